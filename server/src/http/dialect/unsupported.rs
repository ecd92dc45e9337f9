//! Routes of the dialect that this version does not have: each says so, none pretends.

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::routing::any;

use crate::app::App;
use crate::http::{ApiError, discard};

const ROUTES: [&str; 33] = [
    "/collections/aliases",
    "/collections/{collection}/facet",
    "/collections/{collection}/points/batch",
    "/collections/{collection}/points/payload",
    "/collections/{collection}/points/payload/delete",
    "/collections/{collection}/points/payload/clear",
    "/collections/{collection}/points/vectors",
    "/collections/{collection}/points/vectors/delete",
    "/collections/{collection}/points/query/groups",
    "/collections/{collection}/points/search/groups",
    "/collections/{collection}/points/search/matrix/pairs",
    "/collections/{collection}/points/search/matrix/offsets",
    "/collections/{collection}/points/recommend",
    "/collections/{collection}/points/recommend/batch",
    "/collections/{collection}/points/recommend/groups",
    "/collections/{collection}/points/discover",
    "/collections/{collection}/points/discover/batch",
    "/collections/{collection}/vectors/{vector}",
    "/collections/{collection}/optimizations",
    "/collections/{collection}/cluster",
    "/collections/{collection}/shards",
    "/collections/{collection}/shards/{*rest}",
    "/collections/{collection}/changes",
    "/collections/{collection}/import",
    "/cluster/peer/{peer}",
    "/cluster/recover",
    "/cluster/telemetry",
    "/telemetry",
    "/issues",
    "/locks",
    "/v1/embeddings",
    "/v1/models",
    "/openapi.json",
];

pub(super) fn routes() -> Router<App> {
    ROUTES.iter().fold(Router::new(), |router, route| {
        router.route(route, any(refuse))
    })
}

async fn refuse(State(app): State<App>, path: MatchedPath, request: Request) -> ApiError {
    discard(&app, request).await;
    ApiError::unsupported(path.as_str())
}
