//! Searches: `points/query`, the legacy `points/search`, and both in batches.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use cluster::engine::Collection;
use cluster::engine::query::{Explain, Query};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::http::{ApiError, ApiResult, PathParams, RawBody, answer, answer_explained};
use crate::ingest::embed_queries;
use crate::wire::point::check_count;
use crate::wire::query::{QueryWire, SearchWire};
use crate::wire::record::ScoredOut;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/collections/{collection}/points/query", post(query))
        .route(
            "/collections/{collection}/points/query/batch",
            post(query_batch),
        )
        .route("/collections/{collection}/points/search", post(search))
        .route(
            "/collections/{collection}/points/search/batch",
            post(search_batch),
        )
}

/// The answer of `points/query`, with what was done if asked for.
#[derive(Serialize)]
struct QueryOut {
    points: Vec<ScoredOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Explain>,
}

fn run(collection: &Collection, query: &Query) -> ApiResult<QueryOut> {
    let answer = collection.query(query)?;
    let points = answer.points.into_iter().map(ScoredOut::from).collect();
    Ok(QueryOut {
        points,
        explain: answer.explain,
    })
}

async fn prepare(
    app: &App,
    name: &str,
    wires: Vec<QueryWire>,
) -> ApiResult<(Arc<Collection>, Vec<Query>)> {
    let collection = app.node()?.collection(name)?;
    let wires = embed_queries(app, &collection, wires).await?;
    let queries = wires
        .into_iter()
        .map(|wire| wire.query(&app.options.limits));
    Ok((collection, queries.collect::<ApiResult<_>>()?))
}

async fn query(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let wire: QueryWire = if body.is_blank() {
        QueryWire::default()
    } else {
        body.json().await?
    };
    let (collection, queries) = prepare(&app, &name, vec![wire]).await?;
    answer(move || run(&collection, &queries[0])).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<T> {
    searches: Vec<T>,
}

async fn query_batch(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let batch: Batch<QueryWire> = body.json().await?;
    check_count(batch.searches.len(), app.options.limits.batch_points)?;
    let (collection, queries) = prepare(&app, &name, batch.searches).await?;
    answer(move || run_all(&collection, &queries)).await
}

fn run_all(collection: &Collection, queries: &[Query]) -> ApiResult<Vec<QueryOut>> {
    let count = queries.len();
    let one = |(at, query)| {
        run(collection, query)
            .map_err(|error: ApiError| error.at(format!("search {} of {count}", at + 1)))
    };
    queries.iter().enumerate().map(one).collect()
}

/// A bare list has no room for `explain`: it stands in the envelope.
async fn search(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let wire: SearchWire = body.json().await?;
    let (collection, queries) = prepare(&app, &name, vec![wire.into()]).await?;
    answer_explained(move || {
        let out = run(&collection, &queries[0])?;
        let explain = out
            .explain
            .and_then(|explain| serde_json::to_value(explain).ok());
        Ok((out.points, explain))
    })
    .await
}

async fn search_batch(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let batch: Batch<SearchWire> = body.json().await?;
    check_count(batch.searches.len(), app.options.limits.batch_points)?;
    let wires = batch.searches.into_iter().map(QueryWire::from).collect();
    let (collection, queries) = prepare(&app, &name, wires).await?;
    answer(move || {
        let answers = run_all(&collection, &queries)?;
        Ok(answers
            .into_iter()
            .map(|out| out.points)
            .collect::<Vec<_>>())
    })
    .await
}
