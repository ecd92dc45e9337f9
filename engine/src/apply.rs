//! Turning durable log entries into rows: one RocksDB batch with the applied positions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::log::{Change, Decision, Entry, Outcome};
use crate::planted::{Bug, is_planted};
use crate::point::PointId;
use crate::request::{Known, RequestTag, Requests};
use crate::storage::record::{ChangeRecord, GarbageList, PointRow, RequestList};
use crate::storage::{Batch, Family, Store, codec, key};
use crate::{CollectionId, Partition};

/// Puts the effect of the entries into the batch, and answers what became of every change of every entry. Changes to collections that
/// `exists` denies are dropped: they were deleted meanwhile.
///
/// What takes effect depends on the rows, the notes of requests and the entry with its timestamp, never on a clock: equal logs make equal rows.
pub(crate) fn put_entries(
    store: &Store,
    batch: &mut Batch<'_>,
    entries: &[Entry],
    exists: impl Fn(CollectionId) -> bool,
) -> Result<Vec<Vec<Decision>>> {
    let mut pending = Pending {
        store,
        exists: &exists,
        rows: HashMap::new(),
        requests: Requests::default(),
        encoded: Vec::new(),
    };
    entries
        .iter()
        .map(|entry| {
            let mut effect = Effect::new(entry);
            effect.put_all(batch, &mut pending)?;
            Ok(effect.finish(batch))
        })
        .collect()
}

/// What the batch holds already: a later change must see what an earlier one left.
struct Pending<'a> {
    store: &'a Store,
    exists: &'a dyn Fn(CollectionId) -> bool,
    rows: HashMap<Vec<u8>, Option<Arc<PointRow>>>,
    requests: Requests,
    /// The bytes of a row on their way into the batch.
    encoded: Vec<u8>,
}

/// What one entry leaves beside the rows.
struct Effect<'a> {
    entry: &'a Entry,
    decisions: Vec<Decision>,
    garbage: GarbageList,
    touched: BTreeMap<CollectionId, ChangeRecord>,
    requests: RequestList,
}

impl<'a> Effect<'a> {
    fn new(entry: &'a Entry) -> Self {
        Self {
            entry,
            decisions: Vec::with_capacity(entry.changes.len()),
            garbage: GarbageList::default(),
            touched: BTreeMap::new(),
            requests: RequestList {
                timestamp_ms: entry.timestamp_ms,
                ids: Vec::new(),
            },
        }
    }

    fn put_all(&mut self, batch: &mut Batch<'_>, pending: &mut Pending<'_>) -> Result<()> {
        let mut changes = &self.entry.changes[..];
        while let Some((change, rest)) = changes.split_first() {
            changes = rest;
            if let Change::Request { tag, operations } = change {
                let (own, rest) = rest.split_at((*operations).min(rest.len()));
                changes = rest;
                self.put_request(batch, pending, tag, own)?;
            } else {
                self.put(batch, pending, change)?;
            }
        }
        Ok(())
    }

    /// Puts the changes of a request, or what it was answered when it came before.
    fn put_request(
        &mut self,
        batch: &mut Batch<'_>,
        pending: &mut Pending<'_>,
        tag: &RequestTag,
        changes: &[Change],
    ) -> Result<()> {
        let told = |outcome| Decision {
            outcome,
            changed: false,
        };
        let entry = self.entry;
        let at = (entry.partition, entry.index, entry.timestamp_ms);
        match pending
            .requests
            .find(pending.store, at, tag, pending.exists)?
        {
            Some(known) => {
                let outcome = |at| match &known {
                    Known::Repeated(record) => record.outcome(at),
                    Known::Other => Outcome::Conflict,
                };
                self.decisions.push(told(match &known {
                    Known::Repeated(_) => Outcome::Done,
                    Known::Other => Outcome::Conflict,
                }));
                for (at, change) in changes.iter().enumerate() {
                    self.drop_values(change);
                    self.decisions.push(told(outcome(at)));
                }
            }
            None => {
                self.decisions.push(told(Outcome::Done));
                let from = self.decisions.len();
                for change in changes {
                    self.put(batch, pending, change)?;
                }
                let outcomes = self.decisions[from..]
                    .iter()
                    .map(|decision| decision.outcome);
                let outcomes: Vec<Outcome> = outcomes.collect();
                // Nothing was done for it: it may come again when there is such a collection.
                if outcomes.contains(&Outcome::Gone) {
                    return Ok(());
                }
                pending.requests.put(batch, entry, tag, &outcomes);
                self.requests.ids.push(tag.id().as_bytes().to_vec());
            }
        }
        Ok(())
    }

    /// What a change brought that is not made stays as long as its entry does: a replica may need it to apply the entry.
    fn drop_values(&mut self, change: &Change) {
        if let Some((collection, _)) = change.target() {
            let values = change.row().into_iter().flat_map(|row| row.owned());
            let values = values.map(|value| (collection.0, value));
            self.garbage.values.extend(values);
        }
    }

    /// Puts one change into the batch, unless its collection is gone or the old row says that nothing changes.
    fn put(
        &mut self,
        batch: &mut Batch<'_>,
        pending: &mut Pending<'_>,
        change: &Change,
    ) -> Result<()> {
        let entry = self.entry;
        let Some((collection, id)) = change.target() else {
            return Ok(());
        };
        if !(pending.exists)(collection) {
            self.drop_values(change);
            self.decisions.push(Decision {
                outcome: Outcome::Gone,
                changed: false,
            });
            return Ok(());
        }
        let key = key::point(entry.partition, collection, id);
        let old = match pending.rows.get(&key) {
            Some(row) => row.clone(),
            None => read_superseded(pending.store, entry.partition, collection, id)?.map(Arc::new),
        };
        let decision = change.decide(old.as_deref(), entry.timestamp_ms);
        self.decisions.push(decision);
        if decision.changed {
            let encoded = &mut pending.encoded;
            self.replace(
                batch,
                encoded,
                change,
                (collection, id),
                &key,
                old.as_deref(),
            );
            pending.rows.insert(key, change.row().cloned());
        } else {
            self.drop_values(change);
        }
        Ok(())
    }

    fn replace(
        &mut self,
        batch: &mut Batch<'_>,
        encoded: &mut Vec<u8>,
        change: &Change,
        (collection, id): (CollectionId, &PointId),
        key: &[u8],
        old: Option<&PointRow>,
    ) {
        let expiry_key =
            |expires_at_ms| key::expiry(self.entry.partition, collection, expires_at_ms, id);
        if let Some(old) = old {
            if is_planted(Bug::PurgeEarly) {
                drop_values(batch, self.entry, collection, Some(old));
            }
            let values = old.owned().map(|value| (collection.0, value));
            self.garbage.values.extend(values);
            if let Some(expires_at_ms) = old.expires_at_ms {
                batch.delete(Family::State, &expiry_key(expires_at_ms));
            }
        }
        match change.row() {
            Some(row) => {
                codec::encode_into(row, encoded);
                batch.put(Family::Points, key, encoded);
                if let Some(expires_at_ms) = row.expires_at_ms {
                    let version = codec::encode(&row.version);
                    batch.put(Family::State, &expiry_key(expires_at_ms), &version);
                }
            }
            None => batch.delete(Family::Points, key),
        }
        let touched = self.touched.entry(collection).or_default();
        touched.ids.push((id.encode(), change.row().is_some()));
    }

    fn finish(self, batch: &mut Batch<'_>) -> Vec<Decision> {
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
        if !self.requests.ids.is_empty() {
            let key = key::request_list(partition, index);
            batch.put(Family::State, &key, &codec::encode(&self.requests));
        }
        self.decisions
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
        batch.delete(
            value.family(),
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
        .map(|bytes| decode_row(id, &bytes))
        .transpose()
}

/// The row that these bytes of a point hold.
pub(crate) fn decode_row(id: &PointId, bytes: &[u8]) -> Result<PointRow> {
    codec::decode(bytes, "point row").map_err(|error| error.context(format!("read point {id}")))
}
