//! Reading the payloads and vectors of the points that answer: the only part of a search that touches RocksDB.

use std::collections::BTreeMap;

use super::matching::parse_payload;
use super::{Selection, VectorSelection};
use crate::Partition;
use crate::apply::decode_row;
use crate::collection::Collection;
use crate::error::Result;
use crate::filter::path::{exclude, include};
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
pub(super) fn fetch(
    collection: &Collection,
    located: &[(PointId, Partition)],
    payload: &Selection,
    vectors: &VectorSelection,
) -> Result<Vec<Option<Record>>> {
    let keys: Vec<Vec<u8>> = located
        .iter()
        .map(|(id, partition)| key::point(*partition, collection.id(), id))
        .collect();
    let values = collection.store.get_many(Family::Points, &keys)?;
    located
        .iter()
        .zip(values)
        .map(|((id, partition), value)| {
            let Some(value) = value else { return Ok(None) };
            let row = decode_row(id, &value)?;
            Ok(Some(Record {
                id: id.clone(),
                version: row.version,
                payload: select_payload(id, &row, payload)?,
                vectors: select_vectors(collection, *partition, &row, vectors)
                    .map_err(|error| error.context(format!("read point {id}")))?,
                expires_at_ms: row.expires_at_ms,
            }))
        })
        .collect()
}

pub(super) fn select_payload(
    id: &PointId,
    row: &PointRow,
    selection: &Selection,
) -> Result<Option<Payload>> {
    if *selection == Selection::None {
        return Ok(None);
    }
    let payload = parse_payload(id, row)?;
    Ok(Some(match selection {
        Selection::None | Selection::All => payload,
        Selection::Include(paths) => include(&payload, paths),
        Selection::Exclude(paths) => exclude(&payload, paths),
    }))
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
