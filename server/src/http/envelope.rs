//! The shape of every JSON answer: `{"result", "status", "time"}`, or `{"status": {"error"}, "time"}`.

use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::{ApiError, ApiResult};
use crate::blocking::blocking;

tokio::task_local! {
    /// When the request that this task serves began.
    static STARTED: Instant;
}

/// Seconds that a client waits before it tries again after a 503: long enough for a collection to load or a queue to drain.
const RETRY_AFTER_SECONDS: &str = "1";

/// Notes when a request began, for the `time` of its answer.
pub(crate) async fn clock(request: Request, next: Next) -> Response {
    STARTED.scope(Instant::now(), next.run(request)).await
}

fn started() -> Instant {
    STARTED
        .try_with(|started| *started)
        .unwrap_or_else(|_| Instant::now())
}

#[derive(Serialize)]
struct Success<'a, T> {
    result: &'a T,
    status: &'static str,
    time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Value>,
}

#[derive(Serialize)]
struct Failure<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
    status: FailureStatus<'a>,
    time: f64,
}

#[derive(Serialize)]
struct FailureStatus<'a> {
    error: &'a str,
}

/// Runs `work` and writes its result as JSON on a thread that may block.
///
/// The work goes on to its end even if the client goes away meanwhile: nothing is written by halves.
pub async fn answer<T, F>(work: F) -> ApiResult<Response>
where
    T: Serialize,
    F: FnOnce() -> ApiResult<T> + Send + 'static,
{
    answer_explained(move || Ok((work()?, None))).await
}

/// The same for results that have no room for an explanation: it stands beside them in the envelope.
pub async fn answer_explained<T, F>(work: F) -> ApiResult<Response>
where
    T: Serialize,
    F: FnOnce() -> ApiResult<(T, Option<Value>)> + Send + 'static,
{
    let started = started();
    blocking(move || {
        let (result, explain) = work()?;
        Ok(success(&result, explain, started))
    })
    .await
}

/// Writes a small answer that is known already.
pub fn answer_now<T: Serialize>(result: &T) -> Response {
    success(result, None, started())
}

fn success<T: Serialize>(result: &T, explain: Option<Value>, started: Instant) -> Response {
    let envelope = Success {
        result,
        status: "ok",
        time: started.elapsed().as_secs_f64(),
        explain,
    };
    match serde_json::to_vec(&envelope) {
        Ok(bytes) => json(StatusCode::OK, bytes),
        Err(error) => ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("write the answer: {error}"),
        )
        .into_response(),
    }
}

fn json(status: StatusCode, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %self.message, "a request failed");
        }
        let envelope = Failure {
            result: self.result.as_ref(),
            status: FailureStatus {
                error: &self.message,
            },
            time: started().elapsed().as_secs_f64(),
        };
        // Strings and JSON values always serialise.
        let bytes = serde_json::to_vec(&envelope).unwrap_or_default();
        let mut response = json(self.status, bytes);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(
                header::RETRY_AFTER,
                HeaderValue::from_static(RETRY_AFTER_SECONDS),
            );
        }
        response
    }
}
