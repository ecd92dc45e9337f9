//! Turning durable log entries into rows: one RocksDB batch with the applied positions.

use std::collections::{BTreeMap, HashMap};

use crate::error::{ErrorKind, Result};
use crate::log::{Change, Entry, Outcome};
use crate::point::PointId;
use crate::storage::record::{ChangeRecord, GarbageList, PointRow};
use crate::storage::{Batch, Family, Store, codec, key};
use crate::{CollectionId, Partition};

/// Puts the effect of the entries into the batch, and answers what became of every change of every entry. Changes to collections
/// that `exists` denies are dropped: they were deleted meanwhile.
///
/// What takes effect depends on the rows and on the entry with its timestamp, never on a clock: equal logs make equal rows.
pub(crate) fn put_entries(
    store: &Store,
    batch: &mut Batch<'_>,
    entries: &[Entry],
    exists: impl Fn(CollectionId) -> bool,
) -> Result<Vec<Vec<Outcome>>> {
    // Rows that this very batch has written: a second change to the same point must see the first.
    let mut pending: HashMap<Vec<u8>, Option<PointRow>> = HashMap::new();
    let mut effects = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut effect = Effect::new(entry);
        for change in &entry.changes {
            let collection = change.collection();
            if !exists(collection) {
                drop_values(batch, entry, collection, change.row());
                effect.outcomes.push(Outcome::Gone);
                continue;
            }
            let key = key::point(entry.partition, collection, change.id());
            let old = match pending.get(&key) {
                Some(row) => row.clone(),
                None => read_superseded(store, entry.partition, collection, change.id())?,
            };
            if effect.put(batch, change, &key, old) {
                pending.insert(key, change.row().cloned());
            }
        }
        effects.push(effect.finish(batch));
    }
    Ok(effects)
}

/// What one entry leaves beside the rows.
struct Effect<'a> {
    entry: &'a Entry,
    outcomes: Vec<Outcome>,
    garbage: GarbageList,
    touched: BTreeMap<CollectionId, ChangeRecord>,
}

impl<'a> Effect<'a> {
    fn new(entry: &'a Entry) -> Self {
        Self {
            entry,
            outcomes: Vec::with_capacity(entry.changes.len()),
            garbage: GarbageList::default(),
            touched: BTreeMap::new(),
        }
    }

    /// Puts one change into the batch, unless the old row says that it takes none; answers whether.
    fn put(
        &mut self,
        batch: &mut Batch<'_>,
        change: &Change,
        key: &[u8],
        old: Option<PointRow>,
    ) -> bool {
        let (collection, id) = (change.collection(), change.id());
        let outcome = change.outcome(old.as_ref(), self.entry.timestamp_ms);
        self.outcomes.push(outcome);
        if outcome != Outcome::Done {
            // What it brought stays as long as its entry does: a replica may need it to apply the entry.
            let values = change.row().into_iter().flat_map(PointRow::owned);
            let values = values.map(|value| (collection.0, value));
            self.garbage.values.extend(values);
            return false;
        }
        let expiry_key =
            |expires_at_ms| key::expiry(self.entry.partition, collection, expires_at_ms, id);
        if let Some(old) = old {
            let values = old.owned().map(|value| (collection.0, value));
            self.garbage.values.extend(values);
            if let Some(expires_at_ms) = old.expires_at_ms {
                batch.delete(Family::State, &expiry_key(expires_at_ms));
            }
        }
        match change.row() {
            Some(row) => {
                batch.put(Family::Points, key, &codec::encode(row));
                if let Some(expires_at_ms) = row.expires_at_ms {
                    let version = codec::encode(&row.version);
                    batch.put(Family::State, &expiry_key(expires_at_ms), &version);
                }
            }
            None => batch.delete(Family::Points, key),
        }
        let touched = self.touched.entry(collection).or_default();
        touched.ids.push((id.encode(), change.row().is_some()));
        true
    }

    fn finish(self, batch: &mut Batch<'_>) -> Vec<Outcome> {
        let Entry {
            partition, index, ..
        } = *self.entry;
        for (collection, record) in self.touched {
            let key = key::change(partition, collection, index);
            batch.put(Family::Changes, &key, &codec::encode(&record));
        }
        if !self.garbage.values.is_empty() {
            let key = key::garbage(partition, index);
            batch.put(Family::State, &key, &codec::encode(&self.garbage));
        }
        self.outcomes
    }
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
