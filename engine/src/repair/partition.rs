//! The log, the notes and the position of one partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::examine::{Examination, Known};
use crate::error::Result;
use crate::point::PointId;
use crate::storage::record::{
    GarbageList, LogEntry, LogOperation, PartitionState, PointRow, RequestList, RequestRecord,
};
use crate::storage::{Family, Store, codec, key};
use crate::{CollectionId, Partition};

/// What is known of a partition before its rows are examined.
pub(super) struct PartitionLog {
    pub partition: Partition,
    pub state: PartitionState,
    /// Those that can be read.
    pub entries: BTreeMap<u64, LogEntry>,
    /// What was superseded and not purged yet, by the entry that did it.
    lists: BTreeMap<u64, GarbageList>,
    /// The keys of these values, with the entry.
    superseded: BTreeMap<Vec<u8>, u64>,
    /// Entries whose lists have changed.
    changed_lists: BTreeSet<u64>,
    /// Keys of values that something refers to; gathered if some that nothing refers to must be removed.
    pub owned: Option<BTreeSet<Vec<u8>>>,
}

impl PartitionLog {
    /// The row that the entry at `index` wrote of a point, if it wrote it once.
    pub fn row(&self, collection: CollectionId, id: &PointId, index: u64) -> Option<&PointRow> {
        let id = id.encode();
        let operations = self.entries.get(&index)?.operations.iter();
        let mut rows = operations.filter_map(|operation| match operation {
            LogOperation::Upsert {
                collection: of,
                id: point,
                row,
            }
            | LogOperation::UpsertIf {
                collection: of,
                id: point,
                row,
                ..
            } if *of == collection.0 && *point == id => Some(row),
            _ => None,
        });
        let row = rows.next()?;
        rows.next().is_none().then_some(row)
    }

    /// The entry that replaced or removed a row, if one of its values is to be removed when the log is purged past that.
    pub fn superseded_by(&self, collection: CollectionId, row: &PointRow) -> Option<u64> {
        let keys = self.keys(collection, row);
        keys.filter_map(|key| self.superseded.get(&key).copied())
            .max()
    }

    /// Has a row that is kept though it was replaced keep its values.
    pub fn keep_values(&mut self, collection: CollectionId, row: &PointRow) {
        let keys: Vec<_> = self.keys(collection, row).collect();
        for (key, value) in keys.into_iter().zip(row.owned()) {
            if let Some(index) = self.superseded.remove(&key)
                && let Some(list) = self.lists.get_mut(&index)
            {
                let named = (collection.0, value);
                list.values.retain(|other| *other != named);
                self.changed_lists.insert(index);
            }
        }
    }

    fn keys(&self, collection: CollectionId, row: &PointRow) -> impl Iterator<Item = Vec<u8>> {
        let partition = self.partition;
        row.owned()
            .map(move |value| key::value(partition, collection, value.index, value.ordinal))
    }

    /// Notes that a row, entry or list refers to these values.
    pub fn own(&mut self, collection: CollectionId, row: &PointRow) {
        if self.owned.is_some() {
            let keys: Vec<_> = self.keys(collection, row).collect();
            self.owned.get_or_insert_default().extend(keys);
        }
    }

    /// Removes values that nothing refers to, where the lists that would have removed them are unreadable.
    pub fn sweep(mut self, store: &Store, knowns: &[Known], found: &mut Examination) {
        for index in std::mem::take(&mut self.changed_lists) {
            let key = key::garbage(self.partition, index);
            found.put(Family::State, key, codec::encode(&self.lists[&index]));
        }
        if self.owned.is_none() {
            return;
        }
        for entry in std::mem::take(&mut self.entries).into_values() {
            for operation in &entry.operations {
                if let LogOperation::Upsert {
                    collection, row, ..
                }
                | LogOperation::UpsertIf {
                    collection, row, ..
                } = operation
                {
                    self.own(CollectionId(*collection), row);
                }
            }
        }
        let mut owned = self.owned.unwrap_or_default();
        owned.extend(self.superseded.into_keys());
        for known in knowns {
            let prefix = key::collection_prefix(self.partition, known.id);
            for family in [Family::Vectors, Family::Media] {
                // Unreadable ranges are noted when the family is read as a whole.
                store.scan_readable(family, &prefix, |key, _| {
                    if !owned.contains(key) {
                        found.delete(family, key.to_vec());
                    }
                });
            }
        }
    }
}

/// Examines what a partition keeps beside rows.
pub(super) fn examine_partition(
    store: &Store,
    partition: Partition,
    knowns: &[Known],
    found: &mut Examination,
) -> Result<PartitionLog> {
    let mut log = PartitionLog {
        partition,
        state: PartitionState::default(),
        entries: BTreeMap::new(),
        lists: BTreeMap::new(),
        superseded: BTreeMap::new(),
        changed_lists: BTreeSet::new(),
        owned: None,
    };
    let mut bad_entries = BTreeSet::new();
    let gaps = store.scan_readable(Family::Log, &key::log_prefix(partition), |key, value| {
        let Ok(index) = key::last_index(key) else {
            return;
        };
        match codec::decode::<LogEntry>(value, "log entry") {
            Ok(entry) if entry.verify().is_ok() => {
                log.entries.insert(index, entry);
            }
            _ => {
                bad_entries.insert(index);
            }
        }
    });
    let end_is_gone = gaps.iter().any(|gap| gap.before.is_none());
    found.note_gaps(gaps);
    log.state = examine_position(store, &log, knowns, &bad_entries, found);
    if store.has_beneath() {
        // What was removed may have come to light.
        let kept = log.entries.split_off(&(log.state.purged + 1));
        for index in std::mem::replace(&mut log.entries, kept).into_keys() {
            found.delete(Family::Log, key::log(partition, index));
        }
        log.owned.get_or_insert_default();
    }
    let lacking = log.examine_values(store, knowns, found);
    log.examine_entries(&bad_entries, lacking, end_is_gone, found);
    found.waiting += log.entries.range(log.state.applied + 1..).count() as u64;
    log.examine_garbage(store, found);
    examine_requests(store, partition, found);
    Ok(log)
}

/// The position; without its record, where the traces of applied entries end.
fn examine_position(
    store: &Store,
    log: &PartitionLog,
    knowns: &[Known],
    bad_entries: &BTreeSet<u64>,
    found: &mut Examination,
) -> PartitionState {
    let partition = log.partition;
    let key = key::state_applied(partition);
    let read = store.get(Family::State, &key);
    if let Ok(Some(bytes)) = &read
        && let Ok(state) = codec::decode(bytes, "partition state")
    {
        return state;
    }
    // What an entry changed stands under its index; an entry that changed nothing changes nothing when it is applied again.
    let mut applied = 0;
    let mut trace = |family: Family, prefix: &[u8], at: fn(&[u8]) -> Option<u64>| {
        store.scan_readable(family, prefix, |key, _| {
            applied = applied.max(at(key).unwrap_or(0));
        });
    };
    let last = |key: &[u8]| key::last_index(key).ok();
    trace(Family::Changes, &key::log_prefix(partition), last);
    trace(Family::State, &key::garbage_prefix(partition), last);
    trace(Family::State, &key::request_list_prefix(partition), last);
    store.scan_readable(Family::Points, &key::log_prefix(partition), |_, value| {
        if let Ok(row) = codec::decode::<PointRow>(value, "point row") {
            applied = applied.max(row.version);
        }
    });
    let covered = knowns.iter().filter_map(|known| known.covered);
    let covered = covered.map(|all| all[usize::from(partition.0)]).max();
    applied = applied.max(covered.unwrap_or(0));
    let first = log.entries.keys().chain(bad_entries).min();
    let purged = first.map_or(applied, |first| first.saturating_sub(1));
    let state = PartitionState {
        applied: applied.max(purged),
        purged,
    };
    if matches!(read, Ok(None)) && state == PartitionState::default() {
        return state;
    }
    found.put(Family::State, key, codec::encode(&state));
    found.rebuild(format!(
        "the position of partition {}: applied up to entry {}",
        partition.0, state.applied
    ));
    state
}

impl PartitionLog {
    /// Reads the values that entries brought. Those that cannot be read are taken out of the entries to be applied; answers the last of the
    /// applied entries that lacks one.
    fn examine_values(
        &mut self,
        store: &Store,
        knowns: &[Known],
        found: &mut Examination,
    ) -> Option<u64> {
        let (partition, applied) = (self.partition, self.state.applied);
        let mut lacking = None;
        for (index, entry) in &mut self.entries {
            let mut is_changed = false;
            for operation in &mut entry.operations {
                let (LogOperation::Upsert {
                    collection,
                    id,
                    row,
                }
                | LogOperation::UpsertIf {
                    collection,
                    id,
                    row,
                    ..
                }) = operation
                else {
                    continue;
                };
                let Some(known) = knowns.iter().find(|known| known.id.0 == *collection) else {
                    continue;
                };
                let is_there = |family, index, ordinal| {
                    let key = key::value(partition, known.id, index, ordinal);
                    matches!(store.get_readable(family, &key), Ok(Some(_)))
                };
                let all = row
                    .owned()
                    .all(|value| is_there(value.family(), value.index, value.ordinal));
                if all {
                    continue;
                }
                if *index <= applied {
                    lacking = Some(*index);
                    continue;
                }
                let row = Arc::make_mut(row);
                row.vectors
                    .retain(|at| is_there(Family::Vectors, at.index, at.ordinal));
                row.media
                    .retain(|at| is_there(Family::Media, at.index, at.ordinal));
                is_changed = true;
                let what =
                    format!("vectors or media of entry {index}, which is not in the rows yet");
                found.lose(Some(&known.name), PointId::decode(id).ok().as_ref(), what);
            }
            if is_changed {
                let operations = std::mem::take(&mut entry.operations);
                *entry = LogEntry::new(entry.term, entry.timestamp_ms, operations);
                let key = key::log(partition, *index);
                found.put(Family::Log, key, codec::encode(entry));
            }
        }
        lacking
    }

    fn examine_entries(
        &mut self,
        bad: &BTreeSet<u64>,
        lacking: Option<u64>,
        end_is_gone: bool,
        found: &mut Examination,
    ) {
        let (partition, state) = (self.partition, self.state);
        let last = self.entries.keys().chain(bad).max().copied().unwrap_or(0);
        let missing = |index: &u64| !self.entries.contains_key(index);
        // An applied entry is in the rows: only a replica would need it.
        let applied_bad = (state.purged + 1..=state.applied).filter(missing).max();
        let applied_bad = applied_bad.max(lacking);
        let to_apply: Vec<u64> = (state.applied + 1..=last).filter(missing).collect();
        if let Some(purged) = applied_bad {
            let gone: Vec<u64> = self.entries.range(..=purged).map(|(at, _)| *at).collect();
            for index in gone.into_iter().chain(bad.range(..=purged).copied()) {
                found.delete(Family::Log, key::log(partition, index));
            }
            self.state.purged = purged;
            let key = key::state_applied(partition);
            found.put(Family::State, key, codec::encode(&self.state));
            found.rebuild(format!(
                "the log of partition {}, from entry {} on: what was before is in the rows",
                partition.0,
                purged + 1
            ));
        }
        for index in to_apply {
            let what = format!(
                "entry {index} of partition {}: writes that were acknowledged and are not in the rows yet",
                partition.0
            );
            found.lose(None, None, what);
            // The entries behind it are applied in order.
            let before = self.entries.range(..index).next_back();
            let timestamp_ms = before.map_or(0, |(_, entry)| entry.timestamp_ms);
            let nothing = LogEntry::new(1, timestamp_ms, Vec::new());
            let key = key::log(partition, index);
            found.put(Family::Log, key, codec::encode(&nothing));
            self.entries.insert(index, nothing);
            self.owned.get_or_insert_default();
        }
        if end_is_gone {
            let from = last.max(state.applied) + 1;
            let (count, ..) = found.unread_ends.get_or_insert((0, partition, from));
            *count += 1;
        }
    }

    fn examine_garbage(&mut self, store: &Store, found: &mut Examination) {
        let partition = self.partition;
        let mut bad = Vec::new();
        let prefix = key::garbage_prefix(partition);
        let gaps = store.scan_readable(Family::State, &prefix, |key, value| {
            let list = codec::decode::<GarbageList>(value, "garbage list");
            match (key::last_index(key), list) {
                (Ok(index), Ok(list)) => {
                    self.lists.insert(index, list);
                }
                _ => bad.push(key.to_vec()),
            }
        });
        if !bad.is_empty() || !gaps.is_empty() {
            self.owned.get_or_insert_default();
            found.rebuild(format!(
                "what of partition {} was superseded and can go",
                partition.0
            ));
        }
        // The family as a whole tells its gaps once.
        found.gaps.extend(gaps);
        for key in bad {
            found.delete(Family::State, key);
        }
        for (index, list) in &self.lists {
            for (collection, value) in &list.values {
                let collection = CollectionId(*collection);
                let key = key::value(partition, collection, value.index, value.ordinal);
                self.superseded.insert(key, *index);
            }
        }
    }
}

/// The notes of requests, and the lists that say when they can be forgotten.
fn examine_requests(store: &Store, partition: Partition, found: &mut Examination) {
    let mut by_entry: BTreeMap<u64, RequestList> = BTreeMap::new();
    let prefix = key::request(partition, &[]);
    let gaps = store.scan_readable(Family::State, &prefix, |key, value| {
        let id = &key[prefix.len()..];
        match codec::decode::<RequestRecord>(value, "note of a request") {
            Ok(record) => {
                let list = by_entry.entry(record.index).or_default();
                list.timestamp_ms = record.timestamp_ms;
                list.ids.push(id.to_vec());
            }
            Err(_) => {
                let what = format!(
                    "the note of request \"{}\": if it comes again, it is applied again",
                    String::from_utf8_lossy(id)
                );
                found.lose(None, None, what);
                found.delete(Family::State, key.to_vec());
            }
        }
    });
    found.note_gaps(gaps);
    let mut bad = Vec::new();
    let prefix = key::request_list_prefix(partition);
    let gaps = store.scan_readable(Family::State, &prefix, |key, value| {
        match codec::decode::<RequestList>(value, "list of requests") {
            Ok(_) => {
                by_entry.remove(&key::last_index(key).unwrap_or(0));
            }
            Err(_) => bad.push(key.to_vec()),
        }
    });
    found.gaps.extend(gaps);
    for key in bad {
        found.delete(Family::State, key);
    }
    for (index, list) in by_entry {
        let key = key::request_list(partition, index);
        found.put(Family::State, key, codec::encode(&list));
        found.rebuild(format!(
            "the lists of requests of partition {}",
            partition.0
        ));
    }
}
