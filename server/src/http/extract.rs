//! Bodies in: bounded bytes, and JSON whose errors say line, column and field.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::{ApiError, ApiResult, blocking, quote};
use crate::app::App;
use crate::error::cut;

/// Bodies up to this many bytes are parsed where they arrive: in less time than another thread takes to wake.
const INLINE_BYTES_MAX: usize = 16 << 10;
/// A body that is too large is read on for this many of its limits, so that a client which writes before it reads sees the answer.
const DRAIN_LIMITS: usize = 8;
/// And for this long.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// The same of a field path: where it begins, and where in it the fault is.
const PATH_CHARS_MAX: usize = 30;
/// A longer name of a field is no slip.
const FIELD_BYTES_MAX: usize = 64;

/// A whole request body of at most `body_bytes`, read within `body_time_max`, decompressed, with the headers that tell what it is. It is read
/// when there is room for it.
#[derive(Debug)]
pub struct RawBody {
    /// The headers of the request.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Bytes,
}

impl FromRequest<App> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> ApiResult<Self> {
        let (parts, body) = request.into_parts();
        let limit = app.options.limits.body_bytes;
        let announced = parts
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|bytes| bytes > limit as u64) {
            // Whoever asks first, as curl does for large bodies, has not begun to send.
            if !parts.headers.contains_key(header::EXPECT) {
                drain(body, limit).await;
            }
            return Err(too_large(limit));
        }
        // One that does not say how large it is may be as large as any.
        let expected = announced.map_or(limit, |bytes| bytes as usize);
        app.room.take(expected).await?;
        let time_max = app.options.limits.body_time_max;
        let bytes = tokio::time::timeout(time_max, read(body, limit))
            .await
            .map_err(|_| too_slow(time_max))??;
        if announced.is_none() {
            app.room.shrink(bytes.len());
        }
        Ok(Self {
            headers: parts.headers,
            bytes,
        })
    }
}

async fn read(mut body: Body, limit: usize) -> ApiResult<Bytes> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::bad_request(format!(
                "the body ended early or cannot be decompressed ({error}): send it again"
            ))
        })?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if bytes.len() + data.len() > limit {
            drop(bytes);
            drain(body, limit).await;
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes.into())
}

/// Reads and forgets the body of a request that is refused unread, within bounds: a client that writes before it reads would
/// find its connection closed instead of the answer.
pub async fn discard(app: &App, request: Request) {
    // Whoever asks first has not begun to send.
    if !request.headers().contains_key(header::EXPECT) {
        drain(request.into_body(), app.options.limits.body_bytes).await;
    }
}

/// Reads and forgets, within bounds.
async fn drain(mut body: Body, limit: usize) {
    let mut left = limit.saturating_mul(DRAIN_LIMITS);
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(left) => left,
                None => return,
            };
        }
    };
    // Whether it came to an end makes no difference.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!(
            "the body is larger than the limit of {limit} bytes ({} MB): send it in smaller batches",
            limit >> 20
        ),
    )
}

fn too_slow(time_max: Duration) -> ApiError {
    ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        format!("the body took longer than {time_max:?}: send it in smaller batches"),
    )
}

impl RawBody {
    /// The media type, in lower case and without parameters; empty if none was sent.
    pub fn media_type(&self) -> String {
        let value = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let value = value.unwrap_or_default();
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    }

    /// Whether there is nothing but white space.
    pub fn is_blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }

    /// The body as JSON, whatever media type it claims.
    ///
    /// # Errors
    ///
    /// 400 with line, column and field path.
    pub async fn json<T: DeserializeOwned + Send + 'static>(self) -> ApiResult<T> {
        if self.bytes.len() <= INLINE_BYTES_MAX {
            return from_json(&self.bytes);
        }
        blocking(move || from_json(&self.bytes)).await
    }
}

/// Reads JSON; an empty body is an error that says so.
///
/// # Errors
///
/// 400 with line, column and field path.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    // Following the path costs time for every number: it is followed only when something is wrong.
    serde_json::from_slice(bytes).map_err(|error| explain::<T>(bytes, &error))
}

fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> ApiError {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return ApiError::bad_request("the body is empty: send JSON");
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let path = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => error.path().to_string(),
        Ok(_) => String::new(),
    };
    let place = match path.as_str() {
        "" | "." => String::new(),
        path => format!(" at `{}`", cut(path, PATH_CHARS_MAX)),
    };
    let what = plain(&quote(&error.to_string()));
    let meant = meant(&error.to_string());
    ApiError::bad_request(format!("JSON{place}: {what}{}{meant}", hint(bytes, error)))
}

/// Which of the known fields was meant by one that is not known, in the parser's words about it; empty if none is near.
pub fn meant(message: &str) -> String {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let [unknown, known @ ..] = names.as_slice() else {
        return String::new();
    };
    if !message.starts_with("unknown field") || unknown.len() > FIELD_BYTES_MAX {
        return String::new();
    }
    let distances = known.iter().map(|name| (edits(unknown, name), *name));
    match distances.min() {
        Some((distance, name)) if distance * 2 <= name.len() => {
            format!("; did you mean `{name}`?")
        }
        _ => String::new(),
    }
}

/// How many bytes must be put in, taken out or replaced to make one word of another (Wagner and Fischer 1974).
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, a) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// How to mend what JSON writers of other languages like to produce.
fn hint(bytes: &[u8], error: &serde_json::Error) -> &'static str {
    let text = error.to_string();
    if text.starts_with("recursion limit exceeded") {
        return "; JSON is read 128 brackets deep: make it flatter";
    }
    if text.starts_with("number out of range") {
        return "; the number is too large, every vector value must be a finite 32-bit float";
    }
    if error.is_eof() {
        return "; the body was cut off or a bracket is missing";
    }
    let line = bytes
        .split(|&byte| byte == b'\n')
        .nth(error.line().saturating_sub(1));
    let rest = line
        .and_then(|line| line.get(error.column().saturating_sub(1)..))
        .unwrap_or_default();
    // The column points at the first letter that fits nothing: of "NaN" the N, of "-Infinity" the I.
    if [&b"NaN"[..], b"nan", b"Inf", b"inf"]
        .iter()
        .any(|word| rest.starts_with(word))
    {
        return "; JSON knows neither NaN nor infinity: send finite numbers";
    }
    ""
}

/// What parsers call things, and what everybody else does.
const WORDS: [(&str, &str); 20] = [
    (
        "invalid digit found in string",
        "wanted a whole number from 0 on",
    ),
    (
        "number too large to fit in target type",
        "the number is too large",
    ),
    (
        "cannot parse integer from empty string",
        "wanted a whole number, got nothing",
    ),
    ("invalid float literal", "wanted a number"),
    ("expected usize", "expected a whole number from 0 on"),
    ("expected u64", "expected a whole number from 0 on"),
    ("expected u32", "expected a whole number from 0 on"),
    ("expected u16", "expected a whole number from 0 on"),
    ("expected u8", "expected a whole number from 0 to 255"),
    ("expected i64", "expected a whole number"),
    ("expected f64", "expected a number"),
    ("expected f32", "expected a number"),
    ("expected a boolean", "expected true or false"),
    ("expected a map", "expected an object"),
    ("expected a sequence", "expected a list"),
    ("invalid type: map", "invalid type: an object"),
    ("invalid type: sequence", "invalid type: a list"),
    ("invalid type: floating point", "invalid type: the number"),
    ("invalid type: integer", "invalid type: the number"),
    ("invalid type: boolean", "invalid type: the truth value"),
];

/// A parser's message in words that a person knows who has never seen our types.
pub fn plain(message: &str) -> String {
    let mut message = WORDS.iter().fold(message.to_owned(), |text, (from, to)| {
        text.replace(from, to)
    });
    // A struct's name says nothing: it is written as an object.
    while let Some(at) = message.find("expected struct ") {
        let name = message[at + "expected struct ".len()..]
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap_or_default()
            .len();
        message.replace_range(
            at..at + "expected struct ".len() + name,
            "expected an object",
        );
    }
    message
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[allow(dead_code)]
        points: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[allow(dead_code)]
        vector: Vec<f32>,
    }

    fn check(json: &str, parts: &[&str]) {
        let error = from_json::<Outer>(json.as_bytes()).unwrap_err();
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
        for part in parts {
            assert!(
                error.message.contains(part),
                "{}: no {part:?}",
                error.message
            );
        }
    }

    #[test]
    fn errors_say_where() {
        check("", &["empty"]);
        check(
            "{\"points\": [{\"vector\": [1, 2",
            &["points[0].vector", "line 1 column", "cut off"],
        );
        check(
            "{\"points\": [{\"vector\": [1]}, {\"vector\":\n [1, null]}]}",
            &["points[1].vector[1]", "line 2", "null"],
        );
        check("{\"points\": [{\"vector\": [1, NaN]}]}", &["NaN", "line 1"]);
        check(
            "{\"points\": [{\"vector\": [-Infinity]}]}",
            &["points[0].vector[0]", "infinity"],
        );
        check(
            "{\"points\": [{\"vector\": [1e999]}]}",
            &["out of range", "too large"],
        );
        check(&"[".repeat(1000), &["line 1"]);
        check(
            "{\"points\": [{}]}",
            &["points[0]", "missing field `vector`"],
        );
    }

    #[test]
    fn types_have_plain_names() {
        for (said, plainly) in [
            (
                "invalid type: string \"x\", expected usize",
                "invalid type: string \"x\", expected a whole number from 0 on",
            ),
            (
                "invalid type: sequence, expected struct Inner at line 1",
                "invalid type: a list, expected an object at line 1",
            ),
        ] {
            assert_eq!(plain(said), plainly);
        }
        check("{\"points\": [[]]}", &["points[0]"]);
    }

    #[test]
    fn a_path_is_cut() {
        let path = "must[0].".repeat(60);
        assert!(cut(&path, PATH_CHARS_MAX).chars().count() <= 2 * PATH_CHARS_MAX + 3);
    }

    #[test]
    fn long_words_are_cut_in_the_middle() {
        let long = "x".repeat(10_000_000);
        check(&format!("{{\"points\": \"{long}\"}}"), &["...", "line 1"]);
        let error =
            from_json::<Outer>(format!("{{\"points\": \"{long}\"}}").as_bytes()).unwrap_err();
        assert!(error.message.len() < 600);
    }
}
