//! The rows of a collection within a partition, with their vectors, media, ends and change records.

use std::collections::{BTreeMap, BTreeSet};

use super::examine::{Examination, Known};
use super::partition::PartitionLog;
use crate::Partition;
use crate::collection::check_dense;
use crate::error::{Error, Result};
use crate::point::{Payload, PointId, Vector};
use crate::storage::record::{
    ChangeRecord, LogEntry, LogOperation, PointRow, VectorRef, decode_vector,
};
use crate::storage::{Family, Store, codec, key};

/// A manifest of segments names durable writes only: one that is ahead of the store tells of a loss.
pub(super) fn lost_behind(partition: Partition, applied: u64, covered: u64) -> String {
    format!(
        "writes of the entries {} to {covered} of partition {}: its segments were made of them, and the end of the write-ahead log is gone",
        applied + 1,
        partition.0
    )
}

/// Examines the rows of one collection within one partition.
pub(super) fn examine_rows(
    store: &Store,
    log: &mut PartitionLog,
    known: &Known,
    found: &mut Examination,
) -> Result<()> {
    let mut rows = Rows {
        store,
        log,
        known,
        found,
        versions: BTreeMap::new(),
        gone: BTreeSet::new(),
        ends: BTreeMap::new(),
    };
    let changes = rows.read_changes();
    let (mut expected, is_complete) = rows.expected(&changes);
    let partition = rows.log.partition;
    let prefix = key::collection_prefix(partition, known.id);
    let mut unreadable: BTreeSet<PointId> = BTreeSet::new();
    let mut unsure = 0;
    let gaps = store.scan_marked(Family::Points, &prefix, |key, value, is_sure| {
        let Ok(id) = PointId::decode(&key[prefix.len()..]) else {
            let what = "a row under an unreadable key".to_owned();
            rows.found.lose(Some(&known.name), None, what);
            rows.found.delete(Family::Points, key.to_vec());
            return;
        };
        match codec::decode::<PointRow>(value, "point row") {
            Ok(row) if is_sure => {
                expected.remove(&id);
                rows.examine(&id, row);
            }
            Ok(row) => {
                let version = expected.remove(&id);
                let is_newest = rows.examine_older(&id, row, version, is_complete);
                unsure += u64::from(!is_newest);
            }
            Err(_) => {
                unreadable.insert(id);
            }
        }
    });
    if !is_complete {
        for gap in &gaps {
            let what = format!(
                "perhaps further points of partition {}, between the keys {:02x?} and {:02x?}",
                partition.0, gap.after, gap.before
            );
            rows.found.lose(Some(&known.name), None, what);
        }
    }
    if unsure > 0 {
        let what = format!(
            "{unsure} points of partition {} are in sound files, but whether a damaged one had them written again or removed cannot be told: they are kept",
            partition.0
        );
        rows.found.lose(Some(&known.name), None, what);
    }
    rows.found.note_gaps(gaps);
    for (id, version) in &expected {
        rows.find(id, *version, &mut unreadable);
    }
    for id in unreadable {
        if !expected.contains_key(&id) {
            rows.find_none(&id);
        }
    }
    rows.examine_ends();
    rows.forget_gone(&changes);
    rows.rebuild_changes(&changes);
    Ok(())
}

struct Rows<'a> {
    store: &'a Store,
    log: &'a mut PartitionLog,
    known: &'a Known,
    found: &'a mut Examination,
    /// Of the rows that are there, by encoded id.
    versions: BTreeMap<Vec<u8>, u64>,
    /// Encoded ids of the points whose rows are lost.
    gone: BTreeSet<Vec<u8>>,
    /// Keys of the records of points that end, and their values.
    ends: BTreeMap<Vec<u8>, u64>,
}

/// The change records that can be read, by index.
type Changes = BTreeMap<u64, ChangeRecord>;

impl Rows<'_> {
    fn key(&self, id: &PointId) -> Vec<u8> {
        key::point(self.log.partition, self.known.id, id)
    }

    fn lose(&mut self, id: &PointId, what: String) {
        self.found.lose(Some(&self.known.name), Some(id), what);
    }

    fn read_changes(&mut self) -> Changes {
        let mut changes = Changes::new();
        let mut bad = Vec::new();
        let prefix = key::collection_prefix(self.log.partition, self.known.id);
        let gaps = self
            .store
            .scan_readable(Family::Changes, &prefix, |key, value| {
                let record = codec::decode::<ChangeRecord>(value, "change record");
                match (key::last_index(key), record) {
                    (Ok(index), Ok(record)) => {
                        changes.insert(index, record);
                    }
                    _ => bad.push(key.to_vec()),
                }
            });
        if !bad.is_empty() || !gaps.is_empty() {
            self.found.make_stale(self.known);
        }
        for key in bad {
            self.found.delete(Family::Changes, key);
        }
        self.found.note_gaps(gaps);
        changes
    }

    /// The points that must be there with the index of the write that made them, and whether these are all.
    fn expected(&mut self, changes: &Changes) -> (BTreeMap<PointId, u64>, bool) {
        let partition = self.log.partition;
        let mut expected = BTreeMap::new();
        let covered = self.known.covered.map(|all| all[usize::from(partition.0)]);
        let is_usable = covered.is_some_and(|covered| covered <= self.log.state.applied);
        if is_usable {
            let points = self.known.points.get(&partition).into_iter().flatten();
            expected.extend(points.cloned());
        } else if let Some(covered) = covered {
            self.found.lose(
                Some(&self.known.name),
                None,
                lost_behind(partition, self.log.state.applied, covered),
            );
            self.found.make_stale(self.known);
        }
        for (index, record) in changes {
            for (id, written) in &record.ids {
                match (PointId::decode(id), written) {
                    (Ok(id), true) => {
                        expected.insert(id, *index);
                    }
                    (Ok(id), false) => {
                        expected.remove(&id);
                    }
                    (Err(_), _) => {}
                }
            }
        }
        // What was deleted by an entry whose change record is gone is not missed.
        for (index, entry) in &self.log.entries {
            if changes.contains_key(index) {
                continue;
            }
            for operation in &entry.operations {
                if let LogOperation::Delete { collection, id }
                | LogOperation::Expire { collection, id } = operation
                    && *collection == self.known.id.0
                    && let Ok(id) = PointId::decode(id)
                {
                    expected.remove(&id);
                }
            }
        }
        let floor = key::changes_floor(partition, self.known.id);
        let is_never_purged = matches!(self.store.get(Family::State, &floor), Ok(None));
        let is_whole = !self.found.stale.contains(&self.known.id);
        (expected, is_whole && (is_usable || is_never_purged))
    }

    /// A point whose row a scan does not give: it may be reached by its key, or the log may have it.
    fn find(&mut self, id: &PointId, version: u64, unreadable: &mut BTreeSet<PointId>) {
        let key = self.key(id);
        if !unreadable.contains(id)
            && let Ok(Some(bytes)) = self.store.get(Family::Points, &key)
            && let Ok(row) = codec::decode::<PointRow>(&bytes, "point row")
        {
            self.found.reachable.push((Family::Points, key));
            self.examine(id, row);
            return;
        }
        unreadable.remove(id);
        match self.log.row(self.known.id, id, version).cloned() {
            Some(row) => self.restore(id, row),
            None => self.find_none(id),
        }
    }

    /// A row beneath a damaged table, of a point whose newest write is `version` as far as is known; `is_complete` if every point is. Answers
    /// whether it is clear what became of it.
    fn examine_older(
        &mut self,
        id: &PointId,
        row: PointRow,
        version: Option<u64>,
        is_complete: bool,
    ) -> bool {
        match version {
            Some(version) if row.version < version => {
                match self.log.row(self.known.id, id, version).cloned() {
                    Some(newer) => self.restore(id, newer),
                    None => {
                        let kept = row.version;
                        self.lose(id, format!("what entry {version} wrote of it; what it was before, by entry {kept}, is kept"));
                        self.found.make_stale(self.known);
                        self.examine(id, row);
                    }
                }
                true
            }
            None if is_complete => {
                // It was removed.
                let key = self.key(id);
                self.found.delete(Family::Points, key);
                true
            }
            _ => {
                self.examine(id, row);
                is_complete
            }
        }
    }

    /// A point whose row is nowhere.
    fn find_none(&mut self, id: &PointId) {
        self.lose(id, "all of it: its row cannot be read".to_owned());
        self.gone.insert(id.encode());
        let key = self.key(id);
        self.found.delete(Family::Points, key);
        self.found.make_stale(self.known);
    }

    fn restore(&mut self, id: &PointId, row: PointRow) {
        self.found.restored.push(format!(
            "point {id} of collection {}, from the log",
            self.known.name
        ));
        self.found.make_stale(self.known);
        let key = self.key(id);
        self.found.put(Family::Points, key, codec::encode(&row));
        self.examine(id, row);
    }

    /// Reads what a row holds and refers to.
    fn examine(&mut self, id: &PointId, mut row: PointRow) {
        let mut is_changed = false;
        if !row.payload.is_empty() && serde_json::from_slice::<Payload>(&row.payload).is_err() {
            let logged = self.log.row(self.known.id, id, row.version);
            let logged = logged.filter(|logged| {
                logged.payload != row.payload
                    && (logged.payload.is_empty()
                        || serde_json::from_slice::<Payload>(&logged.payload).is_ok())
            });
            match logged.map(|logged| logged.payload.clone()) {
                Some(payload) => {
                    row.payload = payload;
                    self.found.restored.push(format!(
                        "the payload of point {id} of collection {}, from the log",
                        self.known.name
                    ));
                }
                None => {
                    self.lose(id, "its payload".to_owned());
                    row.payload.clear();
                }
            }
            is_changed = true;
        }
        let vectors = std::mem::take(&mut row.vectors);
        for reference in vectors {
            match self.read_vector(&reference) {
                Ok(()) => row.vectors.push(reference),
                Err(error) => {
                    self.lose(id, format!("its vector \"{}\" ({error})", reference.name));
                    is_changed = true;
                }
            }
        }
        let media = std::mem::take(&mut row.media);
        for reference in media {
            let (partition, collection) = (self.log.partition, self.known.id);
            let key = key::value(partition, collection, reference.index, reference.ordinal);
            let value = self.store.get_readable(Family::Media, &key);
            if reference.kind().is_ok() && matches!(value, Ok(Some(_))) {
                row.media.push(reference);
            } else {
                self.lose(id, format!("its medium of type {}", reference.content_type));
                is_changed = true;
            }
        }
        if is_changed {
            let key = self.key(id);
            self.found.put(Family::Points, key, codec::encode(&row));
            self.found.make_stale(self.known);
        }
        if let Some(at) = row.expires_at_ms {
            let key = key::expiry(self.log.partition, self.known.id, at, id);
            self.ends.insert(key, row.version);
        }
        self.versions.insert(id.encode(), row.version);
        self.found.rows += 1;
        self.log.own(self.known.id, &row);
    }

    fn read_vector(&self, reference: &VectorRef) -> Result<()> {
        let (partition, collection) = (self.log.partition, self.known.id);
        let key = key::value(partition, collection, reference.index, reference.ordinal);
        let bytes = self.store.get_readable(Family::Vectors, &key)?;
        let bytes = bytes.ok_or_else(|| Error::corrupted("it is missing"))?;
        let config = &self.known.config;
        match decode_vector(&bytes)? {
            Vector::Dense(values) => {
                let wanted = config.vectors.get(&reference.name);
                let wanted =
                    wanted.ok_or_else(|| Error::corrupted("the collection has no such vector"))?;
                check_dense(&reference.name, &values, wanted.dim)
            }
            Vector::Sparse(_) if config.sparse_vectors.contains_key(&reference.name) => Ok(()),
            Vector::Sparse(_) => Err(Error::corrupted("the collection has no such vector")),
        }
    }

    /// The records of points that end are those of the rows.
    fn examine_ends(&mut self) {
        let prefix = key::expiry_prefix(self.log.partition, self.known.id);
        let mut wanted = std::mem::take(&mut self.ends);
        let mut wrong = Vec::new();
        let gaps = self
            .store
            .scan_readable(Family::State, &prefix, |key, value| {
                let version = codec::decode::<u64>(value, "version of a point that ends").ok();
                if version.is_some() && wanted.get(key).copied() == version {
                    wanted.remove(key);
                } else if !wanted.contains_key(key) {
                    wrong.push(key.to_vec());
                }
            });
        self.found.gaps.extend(gaps);
        if !wanted.is_empty() || !wrong.is_empty() {
            self.found
                .rebuild(format!("when points of collection {} end", self.known.name));
        }
        for key in wrong {
            self.found.delete(Family::State, key);
        }
        for (key, version) in wanted {
            self.found.put(Family::State, key, codec::encode(&version));
        }
    }

    /// Change records that name points whose rows are lost name them as removed: the next examination must not miss them again.
    fn forget_gone(&mut self, changes: &Changes) {
        for (index, record) in changes {
            let is_gone = |(id, written): &(Vec<u8>, bool)| *written && self.gone.contains(id);
            if !record.ids.iter().any(is_gone) {
                continue;
            }
            let mut record = record.clone();
            for named in &mut record.ids {
                named.1 &= !self.gone.contains(&named.0);
            }
            let key = key::change(self.log.partition, self.known.id, *index);
            self.found.put(Family::Changes, key, codec::encode(&record));
        }
    }

    /// Change records of entries that are applied and not purged, where they are gone: what still holds of them.
    fn rebuild_changes(&mut self, changes: &Changes) {
        let (partition, state) = (self.log.partition, self.log.state);
        let mut rebuilt = Vec::new();
        for (index, entry) in self.log.entries.range(state.purged + 1..) {
            if *index > state.applied || changes.contains_key(index) {
                continue;
            }
            let (touched, record) = self.changes_of(*index, entry);
            if touched {
                let key = key::change(partition, self.known.id, *index);
                rebuilt.push((key, codec::encode(&record)));
            }
        }
        if !rebuilt.is_empty() {
            self.found.rebuild(format!(
                "the change records of collection {}",
                self.known.name
            ));
        }
        for (key, value) in rebuilt {
            self.found.put(Family::Changes, key, value);
        }
    }

    /// Whether an entry is sure to have touched the collection, and what of it still holds.
    fn changes_of(&self, index: u64, entry: &LogEntry) -> (bool, ChangeRecord) {
        let mut is_sure = true;
        let mut touched = false;
        let mut record = ChangeRecord::default();
        for operation in &entry.operations {
            let (of, id) = match operation {
                // What follows may have come again, and changed nothing.
                LogOperation::Request { .. } => {
                    is_sure = false;
                    continue;
                }
                LogOperation::Upsert { collection, id, .. } => {
                    touched |= *collection == self.known.id.0;
                    (collection, id)
                }
                LogOperation::UpsertIf { collection, id, .. }
                | LogOperation::Delete { collection, id }
                | LogOperation::DeleteIf { collection, id, .. }
                | LogOperation::Expire { collection, id } => (collection, id),
            };
            if *of != self.known.id.0 {
                continue;
            }
            match self.versions.get(id) {
                Some(version) if *version == index => record.ids.push((id.clone(), true)),
                None => record.ids.push((id.clone(), false)),
                Some(_) => {}
            }
        }
        (is_sure && touched, record)
    }
}
