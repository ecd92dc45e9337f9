//! Items become points: ids, vectors of every embedder that takes their media, and an answer per item.

use axum::http::StatusCode;
use axum::response::Response;
use cluster::Refused;
use cluster::engine::{
    Collection, CollectionConfig, Payload, Point, PointId, Precondition, Vector,
};
use embed::{Modality, Purpose};
use serde::Serialize;
use serde_json::{Map, Value};

use super::items::Item;
use crate::app::App;
use crate::http::{ApiError, ApiResult, answer, blocking, quote};
use crate::inference::{Embedded, Job, VectorsFor};
use crate::ingest::keep_medium;
use crate::wire::id::Id;
use crate::wire::inference::Medium;
use crate::wire::point::{check_count, ends_at, item_name};

/// Payload field that keeps the name of an uploaded file.
const FILE_NAME_FIELD: &str = "file_name";

/// What became of an upload.
#[derive(Debug, Serialize)]
struct UploadOut {
    /// Items stored.
    ok: usize,
    /// Items refused.
    failed: usize,
    /// Those of them that were refused by `if_version`.
    #[serde(skip)]
    conflicts: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<u64>,
    /// In the order sent.
    items: Vec<ItemOut>,
}

#[derive(Debug, Serialize)]
struct ItemOut {
    /// Position in the upload, from 0; words count from 1, as those of an upsert.
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Id>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl UploadOut {
    /// Items whose `if_version` did not hold when their turn came. Of several with one id, as many as were refused, the first of them: which of
    /// them it was makes no difference to what is stored.
    fn refuse(&mut self, refused: &[Refused]) {
        for Refused { id, version } in refused {
            let is_it = |item: &&mut ItemOut| {
                item.status == "ok" && item.id.as_ref().is_some_and(|of| of.0 == *id)
            };
            let Some(item) = self.items.iter_mut().find(is_it) else {
                continue;
            };
            let found = match version {
                0 => "is not there".to_owned(),
                version => format!("is at version {version}"),
            };
            item.status = "error";
            item.error = Some(format!(
                "item {} (id {id}): `if_version` did not hold: the point {found}; read it again",
                item.index + 1
            ));
            self.ok -= 1;
            self.failed += 1;
            self.conflicts += 1;
        }
    }
}

/// An item with its id and the vectors it is to get.
struct Prepared {
    id: PointId,
    media: Vec<Medium>,
    payload: Payload,
    /// Names of its vectors, one per job.
    vectors: Vec<String>,
    expires_at_ms: Option<u64>,
    condition: Option<Precondition>,
}

/// Stores every item that can be stored.
///
/// # Errors
///
/// 404 without the collection, 400 for none or too many items, 422 if no item could be stored or an embedder of the collection
/// cannot be opened.
pub async fn store(app: App, name: String, items: Vec<ApiResult<Item>>) -> ApiResult<Response> {
    let node = app.node()?;
    let collection = node.collection(&name)?;
    check_count(items.len(), app.options.limits.batch_points)?;
    let targets = Targets::of(&app, &collection.config())?;
    let now_ms = node.now_ms();
    let (prepared, jobs) = blocking(move || Ok(prepare(items, &targets, now_ms))).await?;
    let embedded = app
        .inference
        .embed(&collection, jobs, Purpose::Document)
        .await;
    answer(move || {
        let (mut outcome, points) = finish(&collection, prepared, embedded);
        if !points.is_empty() {
            let receipt = node.upsert_if(&name, points)?;
            outcome.operation_id = Some(receipt.operation_id);
            outcome.refuse(&receipt.refused);
        }
        if outcome.ok == 0 {
            Err(all_refused(&outcome))
        } else {
            Ok(outcome)
        }
    })
    .await
}

/// Which vectors of a collection an item gets.
struct Targets {
    text: VectorsFor,
    image: VectorsFor,
    keep_media: bool,
}

impl Targets {
    fn of(app: &App, config: &CollectionConfig) -> ApiResult<Self> {
        Ok(Self {
            text: app.inference.vectors_to_make(config, Modality::Text)?,
            image: app.inference.vectors_to_make(config, Modality::Image)?,
            keep_media: config.media.keep,
        })
    }

    fn names(list: &VectorsFor) -> impl Iterator<Item = &String> {
        list.dense.iter().chain(&list.sparse)
    }
}

fn prepare(
    items: Vec<ApiResult<Item>>,
    targets: &Targets,
    now_ms: u64,
) -> (Vec<ApiResult<Prepared>>, Vec<Job>) {
    let mut jobs = Vec::new();
    let prepared = items
        .into_iter()
        .map(|item| prepare_one(item?, targets, now_ms, &mut jobs))
        .collect();
    (prepared, jobs)
}

fn prepare_one(
    item: Item,
    targets: &Targets,
    now_ms: u64,
    jobs: &mut Vec<Job>,
) -> ApiResult<Prepared> {
    let expires_at_ms = ends_at(item.terms.expires_at, item.terms.ttl, now_ms)?;
    let id = item.id_or_derived();
    let words = item.words();
    // Words of a picture are welcome but not needed; what was sent for its own sake must be findable.
    let words_needed = item.image.is_none();
    let media = [
        (words.map(Medium::Text), &targets.text, "text", words_needed),
        (item.image.map(Medium::Image), &targets.image, "image", true),
    ];
    let mut prepared = Prepared {
        id,
        media: Vec::new(),
        payload: item.payload,
        vectors: Vec::new(),
        expires_at_ms,
        condition: item.terms.if_version.map(Precondition::Version),
    };
    for (medium, vectors, kind, needed) in media {
        let Some(medium) = medium else { continue };
        let names: Vec<&String> = Targets::names(vectors).collect();
        if names.is_empty() && needed {
            return Err(ApiError::unprocessable(format!(
                "this collection has no embedder for {kind}: create one with PUT /collections/NAME without a body, or name embedders"
            )));
        }
        for name in names {
            jobs.push(Job {
                vector: name.clone(),
                medium: medium.clone(),
                model: None,
                options: Map::new(),
            });
            prepared.vectors.push(name.clone());
        }
        prepared.media.push(medium);
    }
    if prepared.media.is_empty() {
        return Err(ApiError::unprocessable(
            "the item has neither text nor image: give one",
        ));
    }
    if let Some(file_name) = item.file_name {
        prepared
            .payload
            .entry(FILE_NAME_FIELD)
            .or_insert_with(|| Value::String(file_name));
    }
    if !targets.keep_media {
        prepared.media.clear();
    }
    Ok(prepared)
}

/// Puts vectors and items together. An item is refused if any of its vectors is.
fn finish(
    collection: &Collection,
    prepared: Vec<ApiResult<Prepared>>,
    embedded: Embedded,
) -> (UploadOut, Vec<(Point, Option<Precondition>)>) {
    let mut vectors = embedded.vectors.into_iter();
    let mut outcome = UploadOut {
        ok: 0,
        failed: 0,
        conflicts: 0,
        operation_id: None,
        items: Vec::new(),
    };
    let mut points = Vec::new();
    let count = prepared.len();
    for (index, item) in prepared.into_iter().enumerate() {
        let (id, point) = match item {
            Ok(item) => (
                Some(item.id.clone()),
                assemble(collection, item, &mut vectors),
            ),
            Err(error) => (None, Err(error)),
        };
        let error = match point {
            Ok(point) => {
                points.push(point);
                outcome.ok += 1;
                None
            }
            Err(error) => {
                outcome.failed += 1;
                // In the words of a refused upsert.
                let name = match &id {
                    Some(id) => item_name(index, count, id),
                    None => format!("item {} of {count}", index + 1),
                };
                Some(error.at(name).message)
            }
        };
        let status = if error.is_some() { "error" } else { "ok" };
        outcome.items.push(ItemOut {
            index,
            id: id.map(Id),
            status,
            error,
        });
    }
    (outcome, points)
}

fn assemble(
    collection: &Collection,
    item: Prepared,
    vectors: &mut impl Iterator<Item = ApiResult<Vector>>,
) -> ApiResult<(Point, Option<Precondition>)> {
    // All of its vectors are taken from the line, even if the first is an error.
    let embedded: Vec<_> = vectors.by_ref().take(item.vectors.len()).collect();
    let mut point = Point {
        id: item.id,
        vectors: Default::default(),
        payload: item.payload,
        media: Vec::new(),
        expires_at_ms: item.expires_at_ms,
    };
    for (name, vector) in item.vectors.into_iter().zip(embedded) {
        point.vectors.insert(name, vector?);
    }
    for medium in item.media {
        keep_medium(&mut point.media, medium.to_media());
    }
    collection.check(&mut point)?;
    Ok((point, item.condition))
}

fn all_refused(outcome: &UploadOut) -> ApiError {
    let first = outcome
        .items
        .iter()
        .find_map(|item| item.error.as_deref())
        .unwrap_or_default();
    let message = match outcome.failed {
        1 => first.to_owned(),
        failed => format!("none of {failed} items could be stored: {}", quote(first)),
    };
    let status = match outcome.conflicts == outcome.failed {
        true => StatusCode::CONFLICT,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let mut error = ApiError::new(status, message);
    error.result = serde_json::to_value(outcome).ok();
    error
}
