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
use crate::payload_cache::Row;
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
        let points: Vec<_> = located.iter().map(|at| (&at.id, at.partition)).collect();
        return read(collection, &points, payload, vectors);
    }
    let rows = located.iter().map(|at| row_of(collection, at));
    let held = collection.store.payloads().get(rows);
    let records = located.iter().zip(held).map(|(at, held)| {
        Some(Record {
            id: at.id.clone(),
            version: at.version,
            payload: select(held?, payload),
            vectors: None,
            expires_at_ms: at.expires_at_ms,
        })
    });
    let mut records: Vec<Option<Record>> = records.collect();
    let empty = records.iter().zip(located);
    let empty = empty.filter(|(record, _)| record.is_none());
    let missing: Vec<&Located> = empty.map(|(_, at)| at).collect();
    if !missing.is_empty() {
        let read = read_payloads(collection, &missing, payload)?;
        let empty = records.iter_mut().filter(|record| record.is_none());
        for (record, read) in empty.zip(read) {
            *record = read;
        }
    }
    Ok(records)
}

fn row_of(collection: &Collection, at: &Located) -> Row {
    Row {
        collection: collection.id(),
        location: at.location,
    }
}

/// The payloads of points as they are now. Those that the located rows have are cached from then on.
fn read_payloads(
    collection: &Collection,
    located: &[&Located],
    selection: &Selection,
) -> Result<Vec<Option<Record>>> {
    let cache = collection.store.payloads();
    let points: Vec<_> = located.iter().map(|at| (&at.id, at.partition)).collect();
    let rows = read_rows(collection, &points)?;
    let records = located.iter().zip(rows).map(|(at, row)| {
        let Some(row) = row else { return Ok(None) };
        let payload = Arc::new(parse_payload(&at.id, &row)?);
        if row.version == at.version {
            let is_gone = || collection.is_gone();
            cache.put(row_of(collection, at), &payload, is_gone);
        }
        Ok(Some(Record {
            id: at.id.clone(),
            version: row.version,
            payload: select(payload, selection),
            vectors: None,
            expires_at_ms: row.expires_at_ms,
        }))
    });
    records.collect()
}

/// The rows of points as they are now.
fn read_rows(
    collection: &Collection,
    points: &[(&PointId, Partition)],
) -> Result<Vec<Option<PointRow>>> {
    let keys: Vec<Vec<u8>> = points
        .iter()
        .map(|(id, partition)| key::point(*partition, collection.id(), id))
        .collect();
    let values = collection.store.get_many(Family::Points, &keys)?;
    let rows = points.iter().zip(values);
    rows.map(|((id, _), value)| value.map(|value| decode_row(id, &value)).transpose())
        .collect()
}

/// The records of points as they are now.
pub(super) fn read(
    collection: &Collection,
    points: &[(&PointId, Partition)],
    payload: &Selection,
    vectors: &VectorSelection,
) -> Result<Vec<Option<Record>>> {
    let rows = read_rows(collection, points)?;
    let records = points.iter().zip(rows).map(|(&(id, partition), row)| {
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Record {
            id: id.clone(),
            version: row.version,
            payload: select_payload(id, &row, payload)?,
            vectors: select_vectors(collection, partition, &row, vectors)
                .map_err(|error| error.context(format!("read point {id}")))?,
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
