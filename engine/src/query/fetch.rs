//! Reading the payloads and vectors of the points that answer: the only part of a search that touches RocksDB, unless payloads are cached.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::matching::parse_payload;
use super::{Selection, VectorSelection};
use crate::Partition;
use crate::apply::decode_row;
use crate::collection::{Collection, Located};
use crate::error::Result;
use crate::filter::path::{exclude, include};
use crate::payload_cache::{Held, Owner};
use crate::point::{Payload, PointId, Record, Vector};
use crate::storage::record::PointRow;
use crate::storage::{Family, key};

impl Collection {
    /// Those of the points that are there, in the order asked.
    ///
    /// # Errors
    ///
    /// `Corrupted` if a row cannot be read.
    pub fn retrieve(
        &self,
        ids: &[PointId],
        payload: &Selection,
        vectors: &VectorSelection,
    ) -> Result<Vec<Record>> {
        let located = self.locate(ids);
        let records = self.told(fetch(self, &located, payload, vectors))?;
        Ok(records.into_iter().flatten().collect())
    }
}

/// The records of located points, in their order; `None` for one that has gone since.
///
/// Payloads are those of the versions that were located, if the cache has them, and else as they are now. With vectors everything is read as it
/// is now: payload and vectors are of one write.
pub(super) fn fetch(
    collection: &Collection,
    located: &[Located],
    payload: &Selection,
    vectors: &VectorSelection,
) -> Result<Vec<Option<Record>>> {
    if *payload == Selection::None || *vectors != VectorSelection::None {
        return read(collection, located, payload, vectors);
    }
    let cache = collection.store.payloads();
    let mut missing = Vec::new();
    let mut records: Vec<Option<Record>> = located
        .iter()
        .map(|at| {
            let held = cache.get(owner(collection, at), at.version);
            if held.is_none() {
                missing.push(at.clone());
            }
            Some(record(&at.id, held?, payload))
        })
        .collect();
    if !missing.is_empty() {
        let read = read_payloads(collection, &missing)?;
        let empty = records.iter_mut().filter(|record| record.is_none());
        for ((record_read, at), held) in empty.zip(&missing).zip(read) {
            *record_read = held.map(|held| record(&at.id, held, payload));
        }
    }
    Ok(records)
}

fn owner<'a>(collection: &Collection, at: &'a Located) -> Owner<'a> {
    Owner {
        collection: collection.id(),
        partition: at.partition,
        id: &at.id,
    }
}

fn record(id: &PointId, held: Held, selection: &Selection) -> Record {
    Record {
        id: id.clone(),
        version: held.version,
        payload: select(held.payload, selection),
        vectors: None,
        expires_at_ms: held.expires_at_ms,
    }
}

/// The payloads of points as they are now, which are cached from then on.
fn read_payloads(collection: &Collection, located: &[Located]) -> Result<Vec<Option<Held>>> {
    let cache = collection.store.payloads();
    let rows = read_rows(collection, located)?;
    let held = located.iter().zip(rows).map(|(at, row)| {
        let Some(row) = row else { return Ok(None) };
        let held = Held {
            version: row.version,
            expires_at_ms: row.expires_at_ms,
            payload: Arc::new(parse_payload(&at.id, &row)?),
        };
        cache.put(owner(collection, at), held.clone(), || collection.is_gone());
        Ok(Some(held))
    });
    held.collect()
}

/// The rows of points as they are now.
fn read_rows(collection: &Collection, located: &[Located]) -> Result<Vec<Option<PointRow>>> {
    let keys: Vec<Vec<u8>> = located
        .iter()
        .map(|at| key::point(at.partition, collection.id(), &at.id))
        .collect();
    let values = collection.store.get_many(Family::Points, &keys)?;
    let rows = located.iter().zip(values);
    rows.map(|(at, value)| value.map(|value| decode_row(&at.id, &value)).transpose())
        .collect()
}

/// The records of points as they are now.
fn read(
    collection: &Collection,
    located: &[Located],
    payload: &Selection,
    vectors: &VectorSelection,
) -> Result<Vec<Option<Record>>> {
    let rows = read_rows(collection, located)?;
    let records = located.iter().zip(rows).map(|(at, row)| {
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Record {
            id: at.id.clone(),
            version: row.version,
            payload: select_payload(&at.id, &row, payload)?,
            vectors: select_vectors(collection, at.partition, &row, vectors)
                .map_err(|error| error.context(format!("read point {}", at.id)))?,
            expires_at_ms: row.expires_at_ms,
        }))
    });
    records.collect()
}

pub(super) fn select_payload(
    id: &PointId,
    row: &PointRow,
    selection: &Selection,
) -> Result<Option<Arc<Payload>>> {
    if *selection == Selection::None {
        return Ok(None);
    }
    let payload = Arc::new(parse_payload(id, row)?);
    Ok(select(payload, selection))
}

fn select(payload: Arc<Payload>, selection: &Selection) -> Option<Arc<Payload>> {
    match selection {
        Selection::None => None,
        Selection::All => Some(payload),
        Selection::Include(paths) => Some(Arc::new(include(&payload, paths))),
        Selection::Exclude(paths) => Some(Arc::new(exclude(&payload, paths))),
    }
}

fn select_vectors(
    collection: &Collection,
    partition: Partition,
    row: &PointRow,
    selection: &VectorSelection,
) -> Result<Option<BTreeMap<String, Vector>>> {
    let read = |wanted: &dyn Fn(&str) -> bool| {
        let mut vectors = collection.read_vectors(partition, std::iter::once(row), wanted)?;
        Ok(vectors.pop())
    };
    match selection {
        VectorSelection::None => Ok(None),
        VectorSelection::All => read(&|_| true),
        VectorSelection::Names(names) => read(&|name| names.iter().any(|wanted| wanted == name)),
    }
}
