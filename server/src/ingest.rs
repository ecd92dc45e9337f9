//! From what was sent to points: media are taken out, embedded together, and put back as vectors.

use cluster::engine::{Collection, EmbedderConfig, Media, Point};
use embed::Purpose;

use crate::app::App;
use crate::blocking::blocking;
use crate::error::ApiResult;
use crate::inference::{Embedded, Job};
use crate::wire::inference::InferenceObject;
use crate::wire::point::{PointDraft, item_name};
use crate::wire::query::QueryWire;
use crate::wire::vector::VectorInput;

/// Points ready to be written, and the embedders to record before.
pub struct Ready {
    /// In the order sent.
    pub points: Vec<Point>,
    /// See [`crate::inference::record`].
    pub to_record: Vec<(String, EmbedderConfig)>,
}

/// Turns the media of all drafts into vectors. All or nothing.
///
/// # Errors
///
/// That of the first bad draft, naming it: "item 17 of 100 (id 5): …".
pub async fn embed_drafts(
    app: &App,
    collection: &Collection,
    drafts: Vec<PointDraft>,
) -> ApiResult<Ready> {
    let keep = collection.config().media.keep;
    let (drafts, jobs) = blocking(move || take_media(drafts, keep)).await?;
    let embedded = match jobs.is_empty() {
        true => Embedded {
            vectors: Vec::new(),
            to_record: Vec::new(),
        },
        false => {
            app.inference
                .embed(collection, jobs, Purpose::Document)
                .await
        }
    };
    blocking(move || finish(drafts, embedded)).await
}

fn is_inference(vector: &VectorInput) -> bool {
    matches!(vector, VectorInput::Inference(_))
}

/// Decodes every inference object into a job, and keeps its medium with the point.
fn take_media(mut drafts: Vec<PointDraft>, keep: bool) -> ApiResult<(Vec<PointDraft>, Vec<Job>)> {
    let count = drafts.len();
    let mut jobs = Vec::new();
    for (at, draft) in drafts.iter_mut().enumerate() {
        let PointDraft {
            id, vectors, media, ..
        } = draft;
        for (name, vector) in vectors.iter_mut() {
            let place = || format!("{}, vector \"{name}\"", item_name(at, count, id));
            let Some(job) = take_job(name, vector).map_err(|error| error.at(place()))? else {
                continue;
            };
            if keep {
                keep_medium(media, job.medium.to_media());
            }
            jobs.push(job);
        }
    }
    Ok((drafts, jobs))
}

/// A point keeps one medium of each kind: the first. Texts sent for several vectors are usually the same.
pub fn keep_medium(media: &mut Vec<Media>, medium: Media) {
    if media.iter().all(|kept| kept.kind != medium.kind) {
        media.push(medium);
    }
}

fn take_job(name: &str, vector: &mut VectorInput) -> ApiResult<Option<Job>> {
    if !is_inference(vector) {
        return Ok(None);
    }
    let VectorInput::Inference(object) = std::mem::replace(vector, VectorInput::Pending) else {
        return Ok(None);
    };
    let InferenceObject {
        source,
        model,
        options,
    } = object;
    Ok(Some(Job {
        vector: name.to_owned(),
        medium: source.into_medium()?,
        model,
        options,
    }))
}

/// Puts the vectors back, in the order in which their media were taken out.
fn finish(drafts: Vec<PointDraft>, embedded: Embedded) -> ApiResult<Ready> {
    let count = drafts.len();
    let mut vectors = embedded.vectors.into_iter();
    let mut points = Vec::with_capacity(count);
    for (at, mut draft) in drafts.into_iter().enumerate() {
        let place = item_name(at, count, &draft.id);
        for (name, vector) in &mut draft.vectors {
            if matches!(vector, VectorInput::Pending)
                && let Some(embedded) = vectors.next()
            {
                *vector = embedded
                    .map_err(|error| error.at(format!("{place}, vector \"{name}\"")))?
                    .into();
            }
        }
        points.push(draft.point().map_err(|error| error.at(place))?);
    }
    Ok(Ready {
        points,
        to_record: embedded.to_record,
    })
}

/// Turns the media of queries into vectors.
///
/// # Errors
///
/// That of the first bad medium.
pub async fn embed_queries(
    app: &App,
    collection: &Collection,
    mut wires: Vec<QueryWire>,
) -> ApiResult<Vec<QueryWire>> {
    let mut has_media = false;
    for wire in &mut wires {
        wire.for_each_vector(&mut |_, vector| has_media |= is_inference(vector));
    }
    if !has_media {
        return Ok(wires);
    }
    let (mut wires, jobs) = blocking(move || {
        let mut jobs = Vec::new();
        let mut bad = None;
        for wire in &mut wires {
            wire.for_each_vector(&mut |using, vector| match take_job(using, vector) {
                Ok(job) => jobs.extend(job),
                Err(error) => bad = bad.take().or(Some(error)),
            });
        }
        bad.map_or(Ok((wires, jobs)), Err)
    })
    .await?;
    let embedded = app.inference.embed(collection, jobs, Purpose::Query).await;
    let vectors = embedded.vectors.into_iter().collect::<ApiResult<Vec<_>>>();
    let mut vectors = vectors.map_err(|error| error.at("query"))?.into_iter();
    for wire in &mut wires {
        wire.for_each_vector(&mut |_, vector| {
            if matches!(vector, VectorInput::Pending)
                && let Some(embedded) = vectors.next()
            {
                *vector = embedded.into();
            }
        });
    }
    Ok(wires)
}
