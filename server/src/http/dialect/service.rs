//! Who is there: version, health, metrics, and what a lone server knows of its cluster.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cluster::engine::Error;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::{ApiResult, answer_now, blocking};

/// The version of the dialect: clients warn unless it is within one minor version of theirs.
const DIALECT_VERSION: &str = "1.19.0";

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(root))
        .route("/healthz", get(alive))
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/cluster", get(cluster))
        .route("/aliases", get(aliases))
}

async fn root() -> axum::Json<Value> {
    axum::Json(json!({
        "title": "Vecino, a multimodal vector database (speaks the qdrant REST dialect)",
        "version": DIALECT_VERSION,
        "commit": "",
        "vecino": env!("CARGO_PKG_VERSION"),
    }))
}

async fn alive() -> &'static str {
    "alive"
}

/// What `/readyz` is asked.
#[derive(Debug, Default, Deserialize)]
struct Readiness {
    /// Given: not ready while writes are refused. Reads go on then, so a server for both stays in service.
    writes: Option<String>,
}

async fn ready(State(app): State<App>, Query(asked): Query<Readiness>) -> ApiResult<Response> {
    let node = app.node().ok().filter(|node| node.is_ready());
    let Some(node) = node else {
        return Ok(not_ready("collections are loading".to_owned()));
    };
    let writable = blocking(move || Ok(node.ensure_writable())).await?;
    Ok(readiness(writable, asked.writes.is_some()))
}

/// The answer when all collections are loaded.
fn readiness(writable: Result<(), Error>, for_writes: bool) -> Response {
    const LOADED: &str = "all collections are loaded";
    match writable {
        Ok(()) => LOADED.into_response(),
        Err(refusal) => {
            let text = format!("{LOADED}, and writes are refused: {refusal}");
            match for_writes {
                true => not_ready(text),
                false => text.into_response(),
            }
        }
    }
}

fn not_ready(why: String) -> Response {
    let headers = [(header::RETRY_AFTER, "1")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, why).into_response()
}

async fn metrics(State(app): State<App>) -> ApiResult<Response> {
    let text = blocking(move || {
        Ok({
            let node = app.node().ok();
            let bodies_bytes = app.room.taken_bytes();
            app.metrics
                .render(app.inference.waiting(), bodies_bytes, node.as_deref())
        })
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

/// A lone node: no consensus, no peers.
async fn cluster() -> Response {
    answer_now(&json!({ "status": "disabled" }))
}

/// No alias can be made yet, so there is none.
async fn aliases() -> Response {
    answer_now(&json!({ "aliases": [] }))
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use cluster::engine::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn refused_writes_are_told_and_make_unready_only_who_asks_for_them() {
        let check = async |refused: Option<ErrorKind>, for_writes, status: u16, said: &str| {
            let writable = refused.map_or(Ok(()), |kind| Err(Error::new(kind, "the disk is full")));
            let response = readiness(writable, for_writes);
            assert_eq!(response.status().as_u16(), status);
            let body = to_bytes(response.into_body(), 1000).await.unwrap();
            let text = String::from_utf8_lossy(&body).into_owned();
            assert!(text.contains(said), "{text}");
        };
        check(None, true, 200, "loaded").await;
        let refused = Some(ErrorKind::StorageFull);
        check(refused, false, 200, "writes are refused: the disk is full").await;
        check(refused, true, 503, "writes are refused: the disk is full").await;
    }
}
