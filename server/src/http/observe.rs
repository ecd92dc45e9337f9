//! Every request is timed and counted.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;
use crate::telemetry::Series;

/// Times each request under the route that matched, never under its path: paths hold names of users' things.
pub(crate) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let method = method_name(request.method());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let duration = started.elapsed();
    tracing::debug!(
        route,
        method,
        status,
        us = duration.as_micros() as u64,
        "request"
    );
    app.metrics.observe(
        Series {
            route,
            method,
            status,
        },
        duration,
    );
    response
}

/// A client may invent methods; series must not grow by that.
fn method_name(method: &axum::http::Method) -> &'static str {
    ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"]
        .into_iter()
        .find(|name| *name == method.as_str())
        .unwrap_or("other")
}
