//! What Vecino adds to the dialect: media in, searches by words and pictures, media out.
//!
//! | call | what |
//! |---|---|
//! | `POST /collections/{c}/documents` | texts: JSON (one or a list), NDJSON, or one `text/plain` |
//! | `POST /collections/{c}/images` | pictures: `image/*`, multipart with several files, JSON or NDJSON with base64 |
//! | `GET\|POST /collections/{c}/search` | `text=`, `like=` (a point), or a picture as the body |
//! | `GET /collections/{c}/points/{id}/media` | the source bytes; `?kind=text\|image` |
//! | `GET /collections/{c}/points/{id}/thumbnail` | a small JPEG; `?size=` |
//! | `GET /collections/{c}/usage` | bytes in memory and on the disk by part, and how far background work is |
//! | `GET /usage` | the same of the node, with the memory budget and the process |
//!
//! An upload answers per item: `{"ok", "failed", "items": [{"index", "id", "status", "error"?}]}`; one bad item does not fail
//! the others, and 422 is answered only if none could be stored. An item without an id gets one from its content (UUIDv5 of
//! the bytes), so that sending it twice adds nothing. So 200 may stand above items that were refused: whoever uploads looks at
//! `failed`.
//!
//! The `score` of a search that fuses several lists orders the hits of one answer only. `score_parts` hold the rank and score of a
//! hit in each list: those of one vector can be compared across answers.

mod documents;
mod images;
mod items;
mod media;
mod search;
mod upload;
mod usage;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;

/// All routes of our own but the page.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/usage", get(usage::node))
        .route("/collections/{collection}/usage", get(usage::collection))
        .route("/collections/{collection}/documents", post(documents::post))
        .route("/collections/{collection}/images", post(images::post))
        .route(
            "/collections/{collection}/search",
            get(search::get).post(search::post),
        )
        .route(
            "/collections/{collection}/points/{id}/media",
            get(media::media),
        )
        .route(
            "/collections/{collection}/points/{id}/thumbnail",
            get(media::thumbnail),
        )
}
