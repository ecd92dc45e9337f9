//! Points: write, read, page through, count, delete.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post, put};
use cluster::engine::filter::Filter;
use cluster::engine::query::{Selection, VectorSelection};
use cluster::engine::{PointId, Precondition, RequestTag};
use cluster::{Receipt, Refused};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;
use xxhash_rust::xxh3::Xxh3;

use crate::app::App;
use crate::config::Limits;
use crate::http::{ApiError, ApiResult, PathParams, RawBody, answer};
use crate::inference::record;
use crate::ingest::embed_drafts;
use crate::wire::filter::FilterWire;
use crate::wire::id::{Id, from_path};
use crate::wire::params::OrderByWire;
use crate::wire::point::UpsertWire;
use crate::wire::query::LIMIT_DEFAULT;
use crate::wire::record::RecordOut;
use crate::wire::selection::{WithPayload, WithVector};
use crate::wire::vector::ids;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route(
            "/collections/{collection}/points",
            put(upsert).post(retrieve),
        )
        .route("/collections/{collection}/points/{id}", get(retrieve_one))
        .route("/collections/{collection}/points/delete", post(delete))
        .route("/collections/{collection}/points/scroll", post(scroll))
        .route("/collections/{collection}/points/count", post(count))
}

/// How a write is answered. A write is durable and searchable when it is answered, whatever `wait` says.
#[derive(Serialize)]
struct UpdateOut {
    operation_id: u64,
    status: &'static str,
}

impl From<Receipt> for UpdateOut {
    fn from(receipt: Receipt) -> Self {
        Self {
            operation_id: receipt.operation_id,
            status: "completed",
        }
    }
}

/// The header with which a client names a write that it may send again. Not `x-request-id`: proxies put that on requests that are different.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The name that a client gave its write, with a digest of what it says.
fn request_tag(collection: &str, body: &RawBody) -> ApiResult<Option<RequestTag>> {
    let Some(key) = body.headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = key.to_str().map_err(|_| {
        ApiError::bad_request(format!(
            "{IDEMPOTENCY_KEY}: give printable ASCII, as a UUID is"
        ))
    })?;
    let mut hasher = Xxh3::new();
    hasher.update(collection.as_bytes());
    hasher.update(&[0]);
    hasher.update(&body.bytes);
    let tag = RequestTag::new(key, hasher.digest128());
    Ok(Some(tag.map_err(|error| {
        ApiError::from(error).at(IDEMPOTENCY_KEY)
    })?))
}

/// Points that a refusal names: a client that needs more of them reads its whole batch again.
const REFUSED_NAMED_MAX: usize = 100;

async fn upsert(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let node = app.node()?;
    let collection = node.collection(&name)?;
    let tag = request_tag(&name, &body)?;
    let wire: UpsertWire = body.json().await?;
    let by_version = wire.names_versions();
    let limits = &app.options.limits;
    let mut drafts = wire.drafts(limits.batch_points, limits.filter_depth, node.now_ms())?;
    let conditions: Vec<Option<Precondition>> = drafts
        .iter_mut()
        .map(|draft| draft.condition.take())
        .collect();
    let ready = embed_drafts(&app, &collection, drafts).await?;
    answer(move || {
        record(&node, &name, ready.to_record)?;
        let points = ready.points.into_iter().zip(conditions);
        let receipt = match tag {
            Some(tag) => node.upsert_once(tag, &name, points)?,
            None => node.upsert_if(&name, points)?,
        };
        match receipt.refused.is_empty() {
            false if by_version => Err(outdated(&receipt)),
            _ => Ok(UpdateOut::from(receipt)),
        }
    })
    .await
}

/// A client that names a version wants to hear that it was not there. The dialect's `update_filter` and `update_mode` skip points in silence.
fn outdated(receipt: &Receipt) -> ApiError {
    let found = |Refused { id, version }: &Refused| match version {
        0 => format!("point {id} is not there"),
        version => format!("point {id} is at version {version}"),
    };
    let refused = receipt.refused.len();
    let named = receipt.refused.iter().take(REFUSED_NAMED_MAX);
    let mut names: Vec<String> = named.map(found).collect();
    if refused > REFUSED_NAMED_MAX {
        names.push(format!("and {} more", refused - REFUSED_NAMED_MAX));
    }
    ApiError::new(
        StatusCode::CONFLICT,
        format!(
            "{refused} of {} points were not written, because `if_version` did not hold: {}; read them again (the others are written)",
            refused + receipt.points,
            names.join(", ")
        ),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetrieveWire {
    ids: Vec<Id>,
    with_payload: Option<WithPayload>,
    #[serde(alias = "with_vectors")]
    with_vector: Option<WithVector>,
    #[serde(default, rename = "shard_key")]
    _shard_key: IgnoredAny,
}

/// What of a point to answer: the payload and no vectors unless told otherwise.
fn selections(
    payload: Option<WithPayload>,
    vectors: Option<WithVector>,
) -> ApiResult<(Selection, VectorSelection)> {
    Ok((
        payload.map_or(Ok(Selection::All), WithPayload::selection)?,
        vectors.map_or(VectorSelection::None, Into::into),
    ))
}

async fn retrieve(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let node = app.node()?;
    let wire: RetrieveWire = body.json().await?;
    let (payload, vectors) = selections(wire.with_payload, wire.with_vector)?;
    answer(move || {
        let records = node
            .collection(&name)?
            .retrieve(&ids(wire.ids), &payload, &vectors)?;
        Ok(records.into_iter().map(RecordOut::from).collect::<Vec<_>>())
    })
    .await
}

async fn retrieve_one(
    State(app): State<App>,
    PathParams((name, id)): PathParams<(String, String)>,
) -> ApiResult<Response> {
    let node = app.node()?;
    answer(move || {
        let id = from_path(&id)?;
        let collection = node.collection(&name)?;
        let records = collection.retrieve(
            std::slice::from_ref(&id),
            &Selection::All,
            &VectorSelection::All,
        )?;
        let record = records.into_iter().next();
        record
            .map(RecordOut::from)
            .ok_or_else(|| missing(&name, &id))
    })
    .await
}

fn missing(collection: &str, id: &PointId) -> ApiError {
    ApiError::not_found(format!("Collection `{collection}` has no point {id}"))
}

/// Either ids or a filter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteWire {
    points: Option<Vec<Id>>,
    filter: Option<FilterWire>,
    #[serde(default, rename = "shard_key")]
    _shard_key: IgnoredAny,
}

async fn delete(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let node = app.node()?;
    let tag = request_tag(&name, &body)?;
    let wire: DeleteWire = body.json().await?;
    let depth_max = app.options.limits.filter_depth;
    answer(move || {
        let receipt = match (wire.points, wire.filter) {
            (Some(points), None) => match tag {
                Some(tag) => node.delete_once(tag, &name, &ids(points))?,
                None => node.delete(&name, &ids(points))?,
            },
            (None, Some(_)) if tag.is_some() => {
                return Err(ApiError::bad_request(format!(
                    "{IDEMPOTENCY_KEY} does not go with a filter, which may find other points when it comes again: delete by ids"
                )));
            }
            (None, Some(filter)) => node.delete_by_filter(&name, &filter.filter(depth_max)?)?,
            _ => return Err(ApiError::bad_request("give either `points` or `filter`")),
        };
        Ok(UpdateOut::from(receipt))
    })
    .await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ScrollWire {
    offset: Option<Id>,
    limit: Option<usize>,
    filter: Option<FilterWire>,
    with_payload: Option<WithPayload>,
    #[serde(alias = "with_vectors")]
    with_vector: Option<WithVector>,
    order_by: Option<OrderByWire>,
    #[serde(rename = "shard_key")]
    _shard_key: IgnoredAny,
}

#[derive(Serialize)]
struct ScrollOut {
    points: Vec<RecordOut>,
    next_page_offset: Option<Id>,
}

async fn scroll(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let node = app.node()?;
    let wire: ScrollWire = body.json().await?;
    let limit = wire.limit.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 {
        return Err(ApiError::unprocessable(
            "limit: 0 is out of range: give 1 or more",
        ));
    }
    let filter = filter(wire.filter, &app.options.limits)?;
    let (payload, vectors) = selections(wire.with_payload, wire.with_vector)?;
    let order = wire.order_by.map(OrderByWire::order_by).transpose()?;
    let start = wire.offset.map(|id| id.0);
    answer(move || {
        let collection = node.collection(&name)?;
        if let Some(order) = order {
            if start.is_some() {
                return Err(ApiError::bad_request(
                    "scroll: `offset` does not go with `order_by`: go on by `order_by.start_from`",
                ));
            }
            let records =
                collection.scroll_ordered(&order, filter.as_ref(), limit, &payload, &vectors)?;
            let points = records
                .into_iter()
                .map(|(record, value)| RecordOut::ordered(record, value))
                .collect();
            return Ok(ScrollOut {
                points,
                next_page_offset: None,
            });
        }
        let page = collection.scroll(filter.as_ref(), start.as_ref(), limit, &payload, &vectors)?;
        Ok(ScrollOut {
            points: page.points.into_iter().map(RecordOut::from).collect(),
            next_page_offset: page.next.map(Id),
        })
    })
    .await
}

fn filter(wire: Option<FilterWire>, limits: &Limits) -> ApiResult<Option<Filter>> {
    wire.map(|filter| filter.filter(limits.filter_depth))
        .transpose()
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CountWire {
    filter: Option<FilterWire>,
    /// Not needed: counts are exact.
    #[serde(rename = "exact")]
    _exact: IgnoredAny,
    #[serde(rename = "shard_key")]
    _shard_key: IgnoredAny,
}

async fn count(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let node = app.node()?;
    let wire: CountWire = if body.is_blank() {
        CountWire::default()
    } else {
        body.json().await?
    };
    let filter = filter(wire.filter, &app.options.limits)?;
    answer(move || {
        let count = node.collection(&name)?.count(filter.as_ref())?;
        Ok(json!({ "count": count }))
    })
    .await
}
