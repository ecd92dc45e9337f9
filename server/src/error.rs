//! Errors on their way to a client. From what went wrong to an HTTP status: the only place that knows both.

use std::fmt;

use axum::http::StatusCode;
use cluster::engine::{self, ErrorKind};
use embed::{EmbedError, RegistryError};

/// How much of a piece of a body an error repeats from each end, in characters.
const QUOTE_CHARS_MAX: usize = 100;

/// An error on its way to a client: a status, and a text that says what, where and how to mend.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What, where, how to mend.
    pub message: String,
    /// What was found out nevertheless, such as the outcome of each item of an upload.
    pub result: Option<serde_json::Value>,
}

/// Result of everything that a handler does.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// An error of `status`.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            result: None,
        }
    }

    /// 400: the request is malformed.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: no key, or a wrong one.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// 403: not from there.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404: the thing named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 404: no collection of this name.
    pub fn no_collection(name: &str) -> Self {
        let message = format!("Collection `{name}` doesn't exist!");
        let mend = mend_of(&message);
        Self::not_found(message + mend)
    }

    /// 422: well formed, but its content cannot be used.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// 501: part of the dialect that this version does not have.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            format!("{what} is not supported yet by this version of Vecino"),
        )
    }

    /// 503: not now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// The same error with where it happened in front.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<engine::Error> for ApiError {
    fn from(error: engine::Error) -> Self {
        let status = match error.kind() {
            ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
            ErrorKind::Corrupted | ErrorKind::Io => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let message = error.to_string();
        let mend = mend_of(&message);
        Self::new(status, message + mend)
    }
}

/// What to do about a collection that is missing or in the way. Clients know the engine's words, so they stay in front.
fn mend_of(message: &str) -> &'static str {
    if message.ends_with("doesn't exist!") {
        " GET /collections lists those there are, PUT /collections/NAME makes one"
    } else if message.ends_with("already exists!") {
        " Use it as it is, choose another name, or DELETE it first"
    } else {
        ""
    }
}

impl From<EmbedError> for ApiError {
    fn from(error: EmbedError) -> Self {
        let status = match &error {
            EmbedError::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            EmbedError::NotFinite { .. } | EmbedError::Internal { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.to_string())
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        let status = match &error {
            RegistryError::Broken { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.to_string())
    }
}
/// At most [`QUOTE_CHARS_MAX`] characters of a client's words, and the end of them, where the position stands.
pub fn quote(text: &str) -> String {
    cut(text, QUOTE_CHARS_MAX)
}

/// At most `chars_max` characters of the beginning and of the end.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= 2 * chars_max {
        return text.to_owned();
    }
    let head: String = chars[..chars_max].iter().collect();
    let tail: String = chars[chars.len() - chars_max..].iter().collect();
    format!("{head}...{tail}")
}
