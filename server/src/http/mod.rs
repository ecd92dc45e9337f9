//! The HTTP surface: routes, and the layers that every request passes.
//!
//! A request passes, from outside in: the clock of its answer, the metrics, the catcher of panics, the key check, decompression.
//! Handlers parse small bodies where they are and everything else on threads that may block; none computes on a thread that
//! serves sockets.

mod admission;
mod dialect;
mod envelope;
mod extract;
mod native;
mod observe;
mod params;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::decompression::RequestDecompressionLayer;

pub use crate::blocking::blocking;
pub use crate::error::{ApiError, ApiResult, quote};
pub use envelope::{answer, answer_explained, answer_now};
pub use extract::{RawBody, discard, from_json, meant, plain};
pub use params::{PathParams, QueryParams};

use crate::app::App;

/// All routes and layers of a server.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .merge(dialect::routes())
        .merge(native::routes())
        .merge(crate::ui::routes())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(RequestDecompressionLayer::new())
        .layer(from_fn_with_state(Arc::clone(&app), check_encoding))
        .layer(from_fn_with_state(Arc::clone(&app), admission::check))
        .layer(CatchPanicLayer::custom(|_| broke()))
        .layer(from_fn_with_state(Arc::clone(&app), observe::observe))
        .layer(from_fn(crate::room::scope))
        .layer(from_fn(envelope::clock))
        .with_state(app)
}

fn broke() -> Response {
    tracing::error!("a handler broke");
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the server broke on this request: please report it with the request",
    )
    .into_response()
}

async fn no_route(State(app): State<App>, request: Request) -> ApiError {
    let error = ApiError::not_found(format!(
        "there is no {} {}: see the documentation for the routes of this version",
        request.method(),
        quote(request.uri().path())
    ));
    discard(&app, request).await;
    error
}

async fn no_method(State(app): State<App>, request: Request) -> ApiError {
    let error = ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!(
            "{} does not take {}",
            quote(request.uri().path()),
            request.method()
        ),
    );
    discard(&app, request).await;
    error
}

/// Refuses compressions that are not read, in the envelope; the others are named in lower case from here on, as the layer that
/// reads them wants.
async fn check_encoding(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let Some(value) = request.headers().get(header::CONTENT_ENCODING) else {
        return next.run(request).await;
    };
    let known = value.to_str().ok().and_then(|name| {
        ["gzip", "br", "identity"]
            .into_iter()
            .find(|known| name.trim().eq_ignore_ascii_case(known))
    });
    if let Some(name) = known {
        let name = HeaderValue::from_static(name);
        request.headers_mut().insert(header::CONTENT_ENCODING, name);
        return next.run(request).await;
    }
    discard(&app, request).await;
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "this content-encoding is not read: send the body plain, gzip or br",
    )
    .into_response()
}
