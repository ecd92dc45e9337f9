//! The page at `/ui`: three files inside the binary, nothing from elsewhere.

use axum::Router;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::app::App;

/// What the page may do: load its own files, call this server, and show pictures that it fetched with the key.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route(
            "/ui",
            get(|| async { file("text/html; charset=utf-8", include_str!("index.html")) }),
        )
        .route(
            "/ui/",
            get(|| async { file("text/html; charset=utf-8", include_str!("index.html")) }),
        )
        .route(
            "/ui/app.js",
            get(|| async { file("text/javascript; charset=utf-8", include_str!("app.js")) }),
        )
        .route(
            "/ui/style.css",
            get(|| async { file("text/css; charset=utf-8", include_str!("style.css")) }),
        )
}

fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
