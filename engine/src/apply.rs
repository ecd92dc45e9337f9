//! Turning durable log entries into rows: one RocksDB batch with the applied positions.

use std::collections::{BTreeMap, HashMap};

use crate::error::{ErrorKind, Result};
use crate::log::{Change, Entry};
use crate::planted::{Bug, is_planted};
use crate::point::PointId;
use crate::storage::record::{ChangeRecord, GarbageList, PointRow};
use crate::storage::{Batch, Family, Store, codec, key};
use crate::{CollectionId, Partition};

/// Puts the effect of the entries into the batch. Changes to collections that `exists` denies are dropped: they were deleted meanwhile.
pub(crate) fn put_entries(
    store: &Store,
    batch: &mut Batch<'_>,
    entries: &[Entry],
    exists: impl Fn(CollectionId) -> bool,
) -> Result<()> {
    // Rows that this very batch has written: a second change to the same point must see the first.
    let mut pending: HashMap<Vec<u8>, Option<PointRow>> = HashMap::new();
    for entry in entries {
        let mut garbage = GarbageList::default();
        let mut touched: BTreeMap<CollectionId, ChangeRecord> = BTreeMap::new();
        for change in &entry.changes {
            let (collection, id, row) = match change {
                Change::Upsert {
                    collection,
                    id,
                    row,
                    ..
                } => (*collection, id, Some(row)),
                Change::Delete { collection, id } => (*collection, id, None),
            };
            if !exists(collection) {
                drop_values(batch, entry, collection, row);
                continue;
            }
            let key = key::point(entry.partition, collection, id);
            let old = match pending.get(&key) {
                Some(row) => row.clone(),
                None => read_superseded(store, entry.partition, collection, id)?,
            };
            if let Some(old) = old {
                if is_planted(Bug::PurgeEarly) {
                    drop_values(batch, entry, collection, Some(&old));
                }
                garbage
                    .values
                    .extend(old.owned().map(|value| (collection.0, value)));
            }
            match row {
                Some(row) => batch.put(Family::Points, &key, &codec::encode(row)),
                None => batch.delete(Family::Points, &key),
            }
            touched
                .entry(collection)
                .or_default()
                .ids
                .push((id.encode(), row.is_some()));
            pending.insert(key, row.cloned());
        }
        for (collection, record) in touched {
            batch.put(
                Family::Changes,
                &key::change(entry.partition, collection, entry.index),
                &codec::encode(&record),
            );
        }
        if !garbage.values.is_empty() {
            batch.put(
                Family::State,
                &key::garbage(entry.partition, entry.index),
                &codec::encode(&garbage),
            );
        }
    }
    Ok(())
}

/// The row that a change replaces. One that cannot be read is replaced all the same, or a single damaged row would keep the store from
/// ever applying its log; what it owned stays behind.
fn read_superseded(
    store: &Store,
    partition: Partition,
    collection: CollectionId,
    id: &PointId,
) -> Result<Option<PointRow>> {
    match read_row(store, partition, collection, id) {
        Err(error) if error.kind() == ErrorKind::Corrupted => {
            tracing::error!(%error, collection = collection.0, point = %id, "replaced a row that cannot be read; its vectors and media stay on disk");
            Ok(None)
        }
        read => read,
    }
}

/// Removes the values that an entry brought for a collection that is gone.
fn drop_values(
    batch: &mut Batch<'_>,
    entry: &Entry,
    collection: CollectionId,
    row: Option<&PointRow>,
) {
    for value in row.into_iter().flat_map(PointRow::owned) {
        let family = if value.media {
            Family::Media
        } else {
            Family::Vectors
        };
        batch.delete(
            family,
            &key::value(entry.partition, collection, value.index, value.ordinal),
        );
    }
}

/// The row of a point.
pub(crate) fn read_row(
    store: &Store,
    partition: Partition,
    collection: CollectionId,
    id: &PointId,
) -> Result<Option<PointRow>> {
    store
        .get(Family::Points, &key::point(partition, collection, id))?
        .map(|bytes| codec::decode(&bytes, "point row"))
        .transpose()
}
