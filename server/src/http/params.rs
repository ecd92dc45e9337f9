//! Parameters of path and query string, with errors in the envelope.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::extract::plain;
use super::{ApiError, ApiResult};
use crate::error::quote;

/// Parts of the path, percent-decoded.
#[derive(Debug)]
pub struct PathParams<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value))
            .map_err(|error| explain(&error.body_text(), "path"))
    }
}

/// The query string.
#[derive(Debug)]
pub struct QueryParams<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for QueryParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(value)| Self(value))
            .map_err(|error| explain(&error.body_text(), "query string"))
    }
}

/// The framework says the place in its own words first.
fn explain(message: &str, place: &str) -> ApiError {
    let what = ["Failed to deserialize query string: ", "Invalid URL: "]
        .into_iter()
        .find_map(|prefix| message.strip_prefix(prefix));
    ApiError::bad_request(plain(&quote(what.unwrap_or(message)))).at(place)
}
