//! Who may call: whoever has the API key, and which web pages may reach a server on loopback.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{ApiError, discard};
use crate::app::App;

/// Paths that answer without a key: they tell nothing but that the server lives. The page is empty without data.
const FREE_PATHS: [&str; 8] = [
    "/",
    "/healthz",
    "/livez",
    "/readyz",
    "/ui",
    "/ui/",
    "/ui/app.js",
    "/ui/style.css",
];

/// Refuses requests without the key, and those that a foreign web page made in the user's browser.
pub(crate) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    if let Err(error) = admit(&app, &request) {
        discard(&app, request).await;
        return error.into_response();
    }
    next.run(request).await
}

fn admit(app: &App, request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let free = reads && FREE_PATHS.contains(&request.uri().path());
    if !free && !app.auth.admits(headers) {
        return Err(ApiError::unauthorized(
            "an API key is needed: send it as header `api-key: KEY` or `Authorization: Bearer KEY`",
        ));
    }
    if app.auth.key().is_none() {
        refuse_foreign_pages(request)?;
    }
    Ok(())
}

/// Without a key, any web page that the user opens could write here through the browser: by a plain cross-site POST, or by
/// letting its own name point at 127.0.0.1. A browser says in `Origin` and `Host` where a page came from.
fn refuse_foreign_pages(request: &Request) -> Result<(), ApiError> {
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|v: &axum::http::HeaderValue| v.to_str().ok())
    };
    let host = text(header::HOST).or_else(|| request.uri().authority().map(|a| a.as_str()));
    if let Some(origin) = text(header::ORIGIN) {
        let from = origin.split_once("://").map(|(_, rest)| rest);
        if from.is_none() || from != host {
            return Err(ApiError::forbidden(format!(
                "a web page of {origin} may not call this server; start it with an API key to allow callers by key"
            )));
        }
    }
    match host {
        Some(host) if !is_local_name(host) => Err(ApiError::forbidden(format!(
            "this server has no API key and answers only to localhost or an IP address, not to \"{host}\"; start it with an API key"
        ))),
        _ => Ok(()),
    }
}

/// Whether a `Host` names this machine or an address, with or without a port.
fn is_local_name(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() || host.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.parse::<std::net::IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names() {
        for host in [
            "localhost",
            "localhost:6333",
            "127.0.0.1:6333",
            "[::1]:6333",
            "::1",
            "a.localhost:1",
            "10.0.0.7",
        ] {
            assert!(is_local_name(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:6333",
            "localhost.evil.example",
            "",
        ] {
            assert!(!is_local_name(host), "{host}");
        }
    }
}
