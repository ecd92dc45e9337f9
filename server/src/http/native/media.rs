//! Media out: the source bytes of a point, and thumbnails of pictures. Never as HTML, never run by a browser.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use cluster::engine::{Media, MediaKind};
use embed::image::{DecodeLimits, THUMBNAIL_SIZE_DEFAULT, ThumbnailFormat, decode};
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::app::App;
use crate::http::{ApiError, ApiResult, PathParams, QueryParams, blocking};
use crate::wire::id::from_path;

/// Longer side of a thumbnail, in pixels.
const THUMBNAIL_SIZES: std::ops::RangeInclusive<u32> = 16..=1024;

/// `?kind=text|image`: the picture if there is one, else the text.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MediaParams {
    kind: Option<Kind>,
}

#[derive(Copy, Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Text,
    Image,
}

fn read(app: &App, collection: &str, id: &str, kind: Option<Kind>) -> ApiResult<Media> {
    let point = from_path(id)?;
    let points = app.node()?.collection(collection)?;
    let wanted = match kind {
        Some(Kind::Text) => &[MediaKind::Text][..],
        Some(Kind::Image) => &[MediaKind::Image],
        None => &[MediaKind::Image, MediaKind::Text],
    };
    for kind in wanted {
        if let Some(medium) = points.media(&point, *kind)? {
            return Ok(medium);
        }
    }
    Err(ApiError::not_found(format!(
        "Collection `{collection}` keeps no such media of point {point}"
    )))
}

/// The source bytes, with ETag and ranges.
pub(super) async fn media(
    State(app): State<App>,
    PathParams((collection, id)): PathParams<(String, String)>,
    QueryParams(params): QueryParams<MediaParams>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    blocking(move || {
        let medium = read(&app, &collection, &id, params.kind)?;
        let tag = format!("\"{:032x}\"", xxh3_128(&medium.bytes));
        let content_type = safe_type(&medium);
        if matches(&headers, &tag) {
            return Ok(respond(
                StatusCode::NOT_MODIFIED,
                content_type,
                &tag,
                Vec::new(),
            ));
        }
        Ok(with_range(&headers, content_type, &tag, &medium.bytes))
    })
    .await
}

/// Pictures and plain text only: what a point claims to be is not believed.
fn safe_type(medium: &Media) -> &'static str {
    match medium.kind {
        MediaKind::Text => "text/plain; charset=utf-8",
        MediaKind::Image => embed::image::sniff(&medium.bytes)
            .map_or("application/octet-stream", |format| format.media_type()),
    }
}

/// Whether the client has these bytes already.
fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    known.is_some_and(|known| {
        known
            .split(',')
            .any(|one| matches!(one.trim().trim_start_matches("W/"), t if t == tag || t == "*"))
    })
}

fn respond(status: StatusCode, content_type: &'static str, tag: &str, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_TYPE, content_type),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox",
        ),
        // A point may change: ask again, but do not send again.
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::ACCEPT_RANGES, "bytes"),
    ];
    for (name, value) in fixed {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Answers one range if one is asked for; several, or a range of other bytes than these, are answered with everything.
fn with_range(
    headers: &HeaderMap,
    content_type: &'static str,
    tag: &str,
    bytes: &[u8],
) -> Response {
    let same = headers
        .get(header::IF_RANGE)
        .is_none_or(|value| value.as_bytes() == tag.as_bytes());
    let asked = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .filter(|_| same);
    let total = bytes.len();
    match asked.and_then(|text| parse_range(text, total)) {
        None => respond(StatusCode::OK, content_type, tag, bytes.to_vec()),
        Some(None) => {
            let mut response = respond(
                StatusCode::RANGE_NOT_SATISFIABLE,
                content_type,
                tag,
                Vec::new(),
            );
            set_content_range(&mut response, &format!("bytes */{total}"));
            response
        }
        Some(Some((first, last))) => {
            let part = bytes[first..=last].to_vec();
            let mut response = respond(StatusCode::PARTIAL_CONTENT, content_type, tag, part);
            set_content_range(&mut response, &format!("bytes {first}-{last}/{total}"));
            response
        }
    }
}

fn set_content_range(response: &mut Response, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
}

/// First and last byte of `bytes=a-b`, `bytes=a-` or `bytes=-n`. `None` if it is no single range, `Some(None)` if it lies outside.
fn parse_range(text: &str, total: usize) -> Option<Option<(usize, usize)>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let last_byte = total.checked_sub(1);
    let range = match (first, last) {
        ("", count) => {
            let count: usize = count.parse().ok()?;
            last_byte
                .filter(|_| count > 0)
                .map(|end| (total.saturating_sub(count), end))
        }
        (first, "") => Some((first.parse().ok()?, usize::MAX)),
        (first, last) => Some((first.parse().ok()?, last.parse().ok()?)),
    };
    let inside = range.and_then(|(first, last)| {
        let last = last.min(last_byte?);
        (first <= last).then_some((first, last))
    });
    Some(inside)
}

/// `?size=`: the longer side in pixels.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ThumbnailParams {
    size: Option<u32>,
}

/// A small JPEG of the point's picture.
pub(super) async fn thumbnail(
    State(app): State<App>,
    PathParams((collection, id)): PathParams<(String, String)>,
    QueryParams(params): QueryParams<ThumbnailParams>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let size = params.size.unwrap_or(THUMBNAIL_SIZE_DEFAULT);
    if !THUMBNAIL_SIZES.contains(&size) {
        return Err(ApiError::bad_request(format!(
            "size: {size} is out of range: give {} to {}",
            THUMBNAIL_SIZES.start(),
            THUMBNAIL_SIZES.end()
        )));
    }
    blocking(move || {
        if !app
            .node()?
            .collection(&collection)?
            .config()
            .media
            .thumbnails
        {
            return Err(ApiError::not_found(format!(
                "Collection `{collection}` serves no thumbnails"
            )));
        }
        let medium = read(&app, &collection, &id, Some(Kind::Image))?;
        let hash = xxh3_128(&medium.bytes);
        let tag = format!("\"{hash:032x}-{size}\"");
        let format = ThumbnailFormat::default();
        if matches(&headers, &tag) {
            return Ok(respond(
                StatusCode::NOT_MODIFIED,
                format.media_type(),
                &tag,
                Vec::new(),
            ));
        }
        let limits = DecodeLimits {
            pixels_max: app.options.limits.image_pixels,
            ..DecodeLimits::default()
        };
        let bytes = app.thumbnails.get_or_make((hash, size), || {
            let picture = decode(&medium.bytes, &limits)
                .map_err(|error| ApiError::unprocessable(error.to_string()))?;
            Ok::<_, ApiError>(embed::image::thumbnail(&picture.rgb, size, format))
        })?;
        Ok(respond(
            StatusCode::OK,
            format.media_type(),
            &tag,
            bytes.to_vec(),
        ))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |text: &str, expected| assert_eq!(parse_range(text, 10), expected, "{text}");
        check("bytes=0-3", Some(Some((0, 3))));
        check("bytes=4-", Some(Some((4, 9))));
        check("bytes=-3", Some(Some((7, 9))));
        check("bytes=-30", Some(Some((0, 9))));
        check("bytes=8-100", Some(Some((8, 9))));
        check("bytes=10-", Some(None));
        check("bytes=5-4", Some(None));
        check("bytes=-0", Some(None));
        check("bytes=0-1,3-4", None);
        check("bytes=a-b", None);
        check("items=0-1", None);
        assert_eq!(parse_range("bytes=0-", 0), Some(None));
        assert_eq!(parse_range("bytes=-5", 0), Some(None));
    }

    #[test]
    fn tags() {
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(value))])
        };
        assert!(matches(&headers("\"a\""), "\"a\""));
        assert!(matches(&headers("\"x\", W/\"a\""), "\"a\""));
        assert!(matches(&headers("*"), "\"a\""));
        assert!(!matches(&headers("\"b\""), "\"a\""));
        assert!(!matches(&HeaderMap::new(), "\"a\""));
    }
}
