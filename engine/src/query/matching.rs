//! Which points pass a filter: by ids where it names them, else by reading every row.

use std::collections::HashSet;

use index::Offset;

use crate::Partition;
use crate::apply::decode_row;
use crate::collection::{Collection, Located};
use crate::error::{Error, Result};
use crate::filter::{Filter, Subject};
use crate::point::{Payload, PointId};
use crate::segment::Segment;
use crate::storage::record::PointRow;
use crate::storage::{Family, Visit, key};

/// The points that pass a filter.
pub(super) struct Matching {
    pub ids: HashSet<PointId>,
    /// How they were found, for `explain`.
    pub how: String,
}

/// The points that pass; `None` if the filter has no conditions.
///
/// Time O(rows of the collection), or O(ids) if the filter names ids.
pub(super) fn matching(collection: &Collection, filter: &Filter) -> Result<Option<Matching>> {
    if filter.is_empty() {
        return Ok(None);
    }
    filter.validate()?;
    let required: Option<Vec<PointId>> = filter
        .required_ids()
        .map(|ids| ids.into_iter().cloned().collect());
    let (ids, way) = match (required, filter.needs_payload()) {
        (required, false) => (
            by_ids_and_vectors(collection, filter, required),
            "by ids and vectors in memory",
        ),
        (Some(required), true) => (
            by_rows(collection, filter, &required)?,
            "by reading the rows of the ids that it names",
        ),
        (None, true) => (
            by_scan(collection, filter)?,
            "by reading every row: its fields have no index yet",
        ),
    };
    let how = format!("{} points pass; evaluated {way}", ids.len());
    Ok(Some(Matching { ids, how }))
}

fn by_ids_and_vectors(
    collection: &Collection,
    filter: &Filter,
    required: Option<Vec<PointId>>,
) -> HashSet<PointId> {
    let payload = Payload::new();
    let passes = |id: &PointId, segment: &Segment, offset: Offset| {
        let has_vector = |name: &str| segment.has_vector(name, offset);
        filter.matches(&Subject {
            id,
            payload: &payload,
            has_vector: &has_vector,
        })
    };
    let Some(required) = required else {
        let view = collection.view();
        let parts = view.parts.iter();
        return parts
            .flat_map(|part| part.live.iter().map(|offset| (&*part.segment, offset)))
            .map(|(segment, offset)| (segment.id(offset), segment, offset))
            .filter(|&(id, segment, offset)| passes(id, segment, offset))
            .map(|(id, ..)| id.clone())
            .collect();
    };
    let state = collection.state();
    required
        .into_iter()
        .filter(|id| {
            state
                .ids
                .get(id)
                .is_some_and(|location| passes(id, state.segment(location.uid), location.offset))
        })
        .collect()
}

fn by_rows(
    collection: &Collection,
    filter: &Filter,
    required: &[PointId],
) -> Result<HashSet<PointId>> {
    let located = collection.locate(required);
    let keys: Vec<Vec<u8>> = located
        .iter()
        .map(|at| key::point(at.partition, collection.id(), &at.id))
        .collect();
    let rows = collection.store.get_many(Family::Points, &keys)?;
    let mut ids = HashSet::new();
    for (Located { id, .. }, bytes) in located.into_iter().zip(rows) {
        let Some(bytes) = bytes else { continue };
        let row = decode_row(&id, &bytes)?;
        if row_passes(filter, &id, &row, &parse_payload(&id, &row)?) {
            ids.insert(id);
        }
    }
    Ok(ids)
}

fn by_scan(collection: &Collection, filter: &Filter) -> Result<HashSet<PointId>> {
    let mut ids = HashSet::new();
    for_each_row(collection, |id, row, payload| {
        if row_passes(filter, &id, row, payload) {
            ids.insert(id);
        }
    })?;
    Ok(ids)
}

fn row_passes(filter: &Filter, id: &PointId, row: &PointRow, payload: &Payload) -> bool {
    let has_vector = |name: &str| row.vectors.iter().any(|reference| reference.name == name);
    filter.matches(&Subject {
        id,
        payload,
        has_vector: &has_vector,
    })
}

/// Reads every row of the collection with its payload, but those whose time has come.
pub(super) fn for_each_row(
    collection: &Collection,
    mut visit: impl FnMut(PointId, &PointRow, &Payload),
) -> Result<()> {
    let now_ms = collection.env.now_ms();
    for partition in Partition::all() {
        let prefix = key::collection_prefix(partition, collection.id());
        collection
            .store
            .scan(Family::Points, &prefix, &[], |key, value| {
                let id = PointId::decode(&key[key::POINT_PREFIX_BYTES..])?;
                let row = decode_row(&id, value)?;
                if row.is_expired(now_ms) {
                    return Ok(Visit::Next);
                }
                let payload = parse_payload(&id, &row)?;
                visit(id, &row, &payload);
                Ok(Visit::Next)
            })?;
    }
    Ok(())
}

/// The payload of a row.
pub(super) fn parse_payload(id: &PointId, row: &PointRow) -> Result<Payload> {
    if row.payload.is_empty() {
        return Ok(Payload::new());
    }
    serde_json::from_slice(&row.payload)
        .map_err(|error| Error::corrupted(format!("payload of point {id}: {error}")))
}
