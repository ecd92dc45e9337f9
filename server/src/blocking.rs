//! Work that would keep a thread from serving sockets.

use axum::http::StatusCode;

use crate::error::{ApiError, ApiResult};

/// Runs `work` on a thread that may block or compute for long, never on one that serves sockets.
///
/// # Errors
///
/// Those of `work`; 500 if it panics, which is a bug of ours and is logged.
pub async fn blocking<T, F>(work: F) -> ApiResult<T>
where
    T: Send + 'static,
    F: FnOnce() -> ApiResult<T> + Send + 'static,
{
    let span = tracing::Span::current();
    // It goes on for a client that goes away, and so does what it holds.
    let taken = crate::room::taken();
    let work = move || {
        let _taken = taken;
        span.in_scope(work)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "a request broke");
            Err(ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the server broke on this request: please report it with the request",
            ))
        }
    }
}
