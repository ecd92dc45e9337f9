//! `POST /collections/{c}/images`: pictures in, points with their vectors, bytes and words out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::http::header;
use axum::response::Response;
use cluster::engine::{Payload, PointId};

use super::items::{Item, RawItemParams, Terms, is_ndjson, parse};
use super::upload::store;
use crate::app::App;
use crate::http::{ApiError, ApiResult, PathParams, QueryParams, RawBody, blocking, from_json};
use crate::wire::id::from_path;

/// Stores pictures: one as the body (its id and text may stand in the query string), several as multipart files, or
/// `{"id"?, "image": base64, "text"?, "file_name"?, "payload"?}` as JSON, a list or lines.
///
/// In multipart, a field `text`, `id` or `payload` belongs to the file of the same rank if there are as many as files; a single
/// `text` or `payload` belongs to all.
pub(super) async fn post(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    QueryParams(params): QueryParams<RawItemParams>,
    body: RawBody,
) -> ApiResult<Response> {
    app.node()?.collection(&name)?;
    let items = match body.media_type().starts_with("multipart/") {
        true => {
            let terms = params.terms();
            let items = read_form(body).await?;
            let with_terms = |item: Item| Item {
                terms: item.terms.or(terms),
                ..item
            };
            let items = items.into_iter().map(|item| item.map(with_terms));
            items.collect()
        }
        false => blocking(move || read(&body, params)).await?,
    };
    store(app, name, items).await
}

fn read(body: &RawBody, params: RawItemParams) -> ApiResult<Vec<ApiResult<Item>>> {
    let media_type = body.media_type();
    let start = body.bytes.trim_ascii_start().first();
    let json = media_type == "application/json" || is_ndjson(&media_type);
    // Tools send raw bytes under many names: what looks like JSON is JSON unless it claims to be a picture.
    if json || (matches!(start, Some(b'{' | b'[')) && !media_type.starts_with("image/")) {
        let items = parse(&body.bytes, &media_type)?;
        return Ok(items
            .into_iter()
            .map(|item| item.and_then(with_image))
            .collect());
    }
    if body.bytes.is_empty() {
        return Err(ApiError::bad_request(
            "the body is empty: send a picture, multipart files, or JSON with base64",
        ));
    }
    let image: Arc<[u8]> = body.bytes.as_ref().into();
    Ok(vec![Ok(Item {
        image: Some(image),
        ..params.item()?
    })])
}

fn with_image(item: Item) -> ApiResult<Item> {
    match item.image {
        Some(_) => Ok(item),
        None => Err(ApiError::unprocessable(
            "a picture has an `image`, as base64: texts go to /documents",
        )),
    }
}

/// What a form holds, in the order sent.
#[derive(Default)]
struct Form {
    files: Vec<(Option<String>, Arc<[u8]>)>,
    texts: Vec<String>,
    ids: Vec<PointId>,
    payloads: Vec<Payload>,
}

/// The body is in memory and within its limit, so the reader needs none of its own.
async fn read_form(body: RawBody) -> ApiResult<Vec<ApiResult<Item>>> {
    let mut request = Request::new(Body::from(body.bytes));
    if let Some(content_type) = body.headers.get(header::CONTENT_TYPE) {
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type.clone());
    }
    DefaultBodyLimit::disable().apply(&mut request);
    let multipart = Multipart::from_request(request, &()).await;
    let mut multipart =
        multipart.map_err(|error| ApiError::bad_request(error.body_text()).at("multipart"))?;
    let explain = |error: MultipartError| ApiError::bad_request(error.body_text()).at("multipart");
    let mut form = Form::default();
    while let Some(field) = multipart.next_field().await.map_err(explain)? {
        let name = field.name().unwrap_or_default().to_owned();
        if is_file(&field) {
            let file_name = field
                .file_name()
                .filter(|name| !name.is_empty())
                .map(str::to_owned);
            let bytes = field.bytes().await.map_err(explain)?;
            form.files.push((file_name, bytes.as_ref().into()));
            continue;
        }
        let text = field.text().await.map_err(explain)?;
        match name.as_str() {
            "text" | "caption" => form.texts.push(text),
            "id" => form.ids.push(from_path(&text)?),
            "payload" => {
                let payload =
                    from_json(text.as_bytes()).map_err(|error| error.at("field payload"))?;
                form.payloads.push(payload);
            }
            other => {
                return Err(ApiError::bad_request(format!(
                    "multipart: the field `{}` is unknown: send files, and fields text, id, payload",
                    crate::error::quote(other)
                )));
            }
        }
    }
    form.items()
}

/// A part with a file name or a picture's type is a file, whatever its field is called.
fn is_file(field: &Field<'_>) -> bool {
    let image = field
        .content_type()
        .is_some_and(|kind| kind.starts_with("image/"));
    field.file_name().is_some() || image
}

impl Form {
    fn items(self) -> ApiResult<Vec<ApiResult<Item>>> {
        let count = self.files.len();
        let fits = |what: &str, got: usize, one_for_all: bool| {
            if got == 0 || got == count || (got == 1 && one_for_all) {
                return Ok(());
            }
            Err(ApiError::bad_request(format!(
                "multipart: {got} fields `{what}` for {count} files: send one per file"
            )))
        };
        fits("text", self.texts.len(), true)?;
        fits("payload", self.payloads.len(), true)?;
        fits("id", self.ids.len(), false)?;
        let items = self
            .files
            .into_iter()
            .enumerate()
            .map(|(at, (file_name, image))| {
                let text = self
                    .texts
                    .get(at)
                    .or(self.texts.first().filter(|_| self.texts.len() == 1));
                let payload = self
                    .payloads
                    .get(at)
                    .or(self.payloads.first().filter(|_| self.payloads.len() == 1));
                Ok(Item {
                    terms: Terms::default(),
                    id: self.ids.get(at).cloned(),
                    text: text.map(|text| text.as_str().into()),
                    image: Some(image),
                    file_name,
                    payload: payload.cloned().unwrap_or_default(),
                })
            });
        Ok(items.collect())
    }
}
