//! Who is there: version, health, metrics, and what a lone server knows of its cluster.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
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

async fn ready(State(app): State<App>) -> Response {
    match app.node() {
        Ok(node) if node.is_ready() => "all collections are loaded".into_response(),
        _ => {
            let headers = [(header::RETRY_AFTER, "1")];
            (
                StatusCode::SERVICE_UNAVAILABLE,
                headers,
                "collections are loading",
            )
                .into_response()
        }
    }
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
