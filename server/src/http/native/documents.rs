//! `POST /collections/{c}/documents`: texts in, points with their vectors out.

use axum::extract::State;
use axum::response::Response;

use super::items::{Item, RawItemParams, parse};
use super::upload::store;
use crate::app::App;
use crate::http::{ApiError, ApiResult, PathParams, QueryParams, RawBody, blocking};

/// Stores texts: `{"id"?, "text", "payload"?}` as JSON, a list of them, one per line, or one text as `text/plain`, whose
/// id may stand in the query string.
pub(super) async fn post(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    QueryParams(params): QueryParams<RawItemParams>,
    body: RawBody,
) -> ApiResult<Response> {
    // A missing collection is told before a large body is looked at.
    app.node()?.collection(&name)?;
    let items = blocking(move || read(&body, params)).await?;
    store(app, name, items).await
}

fn read(body: &RawBody, params: RawItemParams) -> ApiResult<Vec<ApiResult<Item>>> {
    let media_type = body.media_type();
    if media_type == "text/plain" {
        let text = std::str::from_utf8(&body.bytes).map_err(|error| {
            ApiError::bad_request(format!(
                "the text is not UTF-8 from byte {} on: convert it",
                error.valid_up_to()
            ))
        })?;
        return Ok(vec![Ok(Item {
            text: Some(text.into()),
            ..params.item()?
        })]);
    }
    let start = body.bytes.trim_ascii_start().first();
    if !matches!(start, Some(b'{' | b'[')) && !body.is_blank() {
        return Err(ApiError::bad_request(
            "the body is no JSON: send {\"text\": \"…\"}, a list or lines of them, or a text with `Content-Type: text/plain`",
        ));
    }
    let items = parse(&body.bytes, &media_type)?;
    Ok(items
        .into_iter()
        .map(|item| item.and_then(with_text))
        .collect())
}

fn with_text(item: Item) -> ApiResult<Item> {
    match item.text {
        Some(_) => Ok(item),
        None => Err(ApiError::unprocessable(
            "a document has a `text`: pictures go to /images",
        )),
    }
}
