//! What is known of the points of a collection within a partition beside their rows: from segment files, change records and the log.
//!
//! Segment files tell every point up to the position that they cover, with the version of its row; change records tell every point that was touched
//! after it. Together they tell exactly which rows there must be: a row that they do not name was removed, and one of an older version was
//! replaced. Where a part of them is missing, what they name is still sure, and what they do not name is not.

use std::collections::BTreeMap;

use super::examine::{Examination, Known};
use super::partition::PartitionLog;
use crate::point::PointId;
use crate::storage::record::{ChangeRecord, LogEntry, LogOperation};
use crate::storage::{Family, Store, codec, key};

/// A manifest of segments names durable writes only: one that is ahead of the store tells of a loss.
pub(super) fn lost_behind(partitions: u64, entries: u64) -> String {
    format!(
        "writes of {entries} entries of {partitions} partitions: its segments were made of them, and the end of the write-ahead log is gone"
    )
}

/// The newest write of a point that is known, by the index of its entry.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Newest {
    Written(u64),
    Removed(u64),
}

/// The change records that can be read, by index.
pub(super) type Changes = BTreeMap<u64, ChangeRecord>;

pub(super) struct Knowledge {
    newest: BTreeMap<PointId, Newest>,
    pub changes: Changes,
    /// Whether a point that it does not name is not there.
    pub is_complete: bool,
}

impl Knowledge {
    /// Gathers what is known, and notes what of it cannot be read.
    pub fn gather(
        store: &Store,
        log: &PartitionLog,
        known: &Known,
        found: &mut Examination,
    ) -> Self {
        let floor = read_floor(store, log, known, found);
        let changes = read_changes(store, log, known, floor, found);
        let is_doubtful = found.doubtful.contains(&(known.id, log.partition));
        let covered = usable_position(log, known, floor, found);
        let mut knowledge = Self {
            newest: BTreeMap::new(),
            changes,
            is_complete: !is_doubtful && (covered.is_some() || floor == Some(0)),
        };
        if covered.is_some() {
            for (id, version) in known.points(log.partition) {
                let newest = Newest::Written(version);
                knowledge.newest.insert(id.clone(), newest);
            }
        }
        let after = covered.unwrap_or(0);
        knowledge.take_changes(after);
        if is_doubtful {
            knowledge.take_entries(log, known, after);
        }
        knowledge
    }

    /// What is known of a point, which is not asked for again.
    pub fn take(&mut self, id: &PointId) -> Option<Newest> {
        self.newest.remove(id)
    }

    /// The points that must be there and were not asked for, with the entries that wrote them.
    pub fn take_written(&mut self) -> Vec<(PointId, u64)> {
        let rest = std::mem::take(&mut self.newest).into_iter();
        rest.filter_map(|(id, newest)| match newest {
            Newest::Written(version) => Some((id, version)),
            Newest::Removed(_) => None,
        })
        .collect()
    }

    /// The newest change record of a point from the entry `index` on.
    pub fn changed_since(&self, index: u64, id: &PointId) -> Option<Newest> {
        let id = id.encode();
        let mut records = self.changes.range(index..).rev();
        records.find_map(|(index, record)| {
            let named = record.ids.iter().rfind(|(named, _)| *named == id)?;
            Some(Newest::of(*index, named.1))
        })
    }

    fn take_changes(&mut self, after: u64) {
        for (index, record) in self.changes.range(after + 1..) {
            for (id, written) in &record.ids {
                let newest = Newest::of(*index, *written);
                if let Ok(id) = PointId::decode(id) {
                    note(&mut self.newest, id, newest);
                }
            }
        }
    }

    /// Where change records are missing, entries that are applied tell what they are sure to have done.
    fn take_entries(&mut self, log: &PartitionLog, known: &Known, after: u64) {
        let applied = log.entries.range(after + 1..);
        let applied = applied.take_while(|(index, _)| **index <= log.state.applied);
        for (index, entry) in applied {
            if self.changes.contains_key(index) {
                continue;
            }
            let is_sure = !is_of_requests(entry);
            for operation in &entry.operations {
                let (of, id, newest) = match operation {
                    LogOperation::Upsert { collection, id, .. } => {
                        (collection, id, Newest::Written(*index))
                    }
                    LogOperation::Delete { collection, id } => {
                        (collection, id, Newest::Removed(*index))
                    }
                    LogOperation::Expire { collection, id }
                    | LogOperation::UpsertIf { collection, id, .. }
                    | LogOperation::DeleteIf { collection, id, .. } => {
                        self.doubt(*collection == known.id.0, id, *index);
                        continue;
                    }
                    LogOperation::Request { .. } => continue,
                };
                let is_ours = *of == known.id.0;
                if !is_sure {
                    self.doubt(is_ours, id, *index);
                } else if is_ours && let Ok(id) = PointId::decode(id) {
                    note(&mut self.newest, id, newest);
                }
            }
        }
    }

    /// A point that an entry may have written or removed is not missed.
    fn doubt(&mut self, is_ours: bool, id: &[u8], index: u64) {
        if is_ours
            && let Ok(id) = PointId::decode(id)
            && self.newest.get(&id).is_some_and(|of| of.index() < index)
        {
            self.newest.remove(&id);
        }
    }
}

/// Segment files may hold some of what they do not say that they cover.
fn note(all: &mut BTreeMap<PointId, Newest>, id: PointId, newest: Newest) {
    let before = all.get(&id).map_or(0, |before| before.index());
    if before <= newest.index() {
        all.insert(id, newest);
    }
}

impl Newest {
    fn of(index: u64, is_written: bool) -> Self {
        match is_written {
            true => Self::Written(index),
            false => Self::Removed(index),
        }
    }

    fn index(self) -> u64 {
        match self {
            Self::Written(index) | Self::Removed(index) => index,
        }
    }
}

/// Whether an entry may have changed nothing, because its requests came again.
fn is_of_requests(entry: &LogEntry) -> bool {
    let is_request = |operation: &LogOperation| matches!(operation, LogOperation::Request { .. });
    entry.operations.iter().any(is_request)
}

/// Up to where change records are purged; `None` if that cannot be read: then everything that the log was purged of counts.
fn read_floor(
    store: &Store,
    log: &PartitionLog,
    known: &Known,
    found: &mut Examination,
) -> Option<u64> {
    let key = key::changes_floor(log.partition, known.id);
    let floor = match store.get(Family::State, &key) {
        Ok(None) => return Some(0),
        Ok(Some(bytes)) => codec::decode::<u64>(&bytes, "purged position of changes").ok(),
        Err(_) => None,
    };
    if floor.is_none() {
        found.doubtful.insert((known.id, log.partition));
        found.put(Family::State, key, codec::encode(&log.state.purged));
        found.rebuild(format!(
            "up to where the change records of collection {} are purged",
            known.name
        ));
    }
    floor
}

fn read_changes(
    store: &Store,
    log: &PartitionLog,
    known: &Known,
    floor: Option<u64>,
    found: &mut Examination,
) -> Changes {
    let mut changes = Changes::new();
    let mut bad = Vec::new();
    let mut purged = Vec::new();
    let prefix = key::collection_prefix(log.partition, known.id);
    let floor = floor.unwrap_or(0);
    let gaps = store.scan_marked(Family::Changes, &prefix, |key, value, is_sure| {
        let record = codec::decode::<ChangeRecord>(value, "change record");
        match (key::last_index(key), record) {
            // What was removed came to light beneath a damaged table.
            (Ok(index), _) if !is_sure && index <= floor => purged.push(key.to_vec()),
            (Ok(index), Ok(record)) => {
                changes.insert(index, record);
            }
            _ => bad.push(key.to_vec()),
        }
    });
    if !bad.is_empty() || !gaps.is_empty() {
        found.doubtful.insert((known.id, log.partition));
        found.make_stale(known);
    }
    for key in bad.into_iter().chain(purged) {
        found.delete(Family::Changes, key);
    }
    found.note_gaps(gaps);
    changes
}

/// The position that usable segment files cover.
fn usable_position(
    log: &PartitionLog,
    known: &Known,
    floor: Option<u64>,
    found: &mut Examination,
) -> Option<u64> {
    let partition = log.partition;
    let covered = known.covered?[usize::from(partition.0)];
    if covered > log.state.applied {
        let (partitions, entries) = found.behind.entry(known.id).or_default();
        *partitions += 1;
        *entries += covered - log.state.applied;
        found.make_stale(known);
        return None;
    }
    // Changes after it that are purged are known to nobody.
    floor
        .is_some_and(|floor| floor <= covered)
        .then_some(covered)
}
