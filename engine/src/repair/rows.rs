//! The rows of a collection within a partition, with their vectors, media, ends and change records.
//!
//! One rule decides for every row ([`Rows::fate`]): it stays if nothing newer is known of its point; what replaced it takes its place if the log
//! has that; it goes if it was removed.

use std::collections::{BTreeMap, BTreeSet};

use super::examine::{Examination, Known};
use super::knowledge::{Knowledge, Newest};
use super::partition::PartitionLog;
use crate::collection::check_dense;
use crate::error::{Error, Result};
use crate::point::{Payload, PointId, Vector};
use crate::storage::record::{
    ChangeRecord, LogEntry, LogOperation, PointRow, VectorRef, decode_vector, encode_vector,
};
use crate::storage::{Family, Store, codec, key};

/// Examines the rows of one collection within one partition.
pub(super) fn examine_rows(
    store: &Store,
    log: &mut PartitionLog,
    known: &Known,
    found: &mut Examination,
) -> Result<()> {
    let knowledge = Knowledge::gather(store, log, known, found);
    let mut rows = Rows {
        store,
        log,
        known,
        found,
        knowledge,
        versions: BTreeMap::new(),
        gone: BTreeSet::new(),
        older: BTreeMap::new(),
        ends: BTreeMap::new(),
    };
    let prefix = key::collection_prefix(rows.log.partition, known.id);
    let mut unreadable: BTreeSet<PointId> = BTreeSet::new();
    let gaps = store.scan_marked(Family::Points, &prefix, |key, value, is_sure| {
        let Ok(id) = PointId::decode(&key[prefix.len()..]) else {
            let what = "a row under an unreadable key".to_owned();
            rows.found.lose(Some(&known.name), None, what);
            rows.found.delete(Family::Points, key.to_vec());
            return;
        };
        match codec::decode::<PointRow>(value, "point row") {
            Ok(row) => rows.judge(&id, row, is_sure),
            Err(_) => {
                unreadable.insert(id);
            }
        }
    });
    if !rows.knowledge.is_complete && !gaps.is_empty() {
        let unknown = rows.found.unknown.entry(known.id).or_default();
        unknown.count += gaps.len() as u64;
    }
    rows.found.note_gaps(gaps);
    for (id, version) in rows.knowledge.take_written() {
        rows.find(&id, version, &mut unreadable);
    }
    for id in unreadable {
        rows.find_none(&id);
    }
    rows.examine_ends();
    rows.mend_changes();
    rows.rebuild_changes();
    Ok(())
}

struct Rows<'a> {
    store: &'a Store,
    log: &'a mut PartitionLog,
    known: &'a Known,
    found: &'a mut Examination,
    knowledge: Knowledge,
    /// Of the rows that are there, by encoded id.
    versions: BTreeMap<Vec<u8>, u64>,
    /// Encoded ids of the points whose rows are lost.
    gone: BTreeSet<Vec<u8>>,
    /// Encoded ids of the points whose newest rows are lost, and the versions of those that are kept.
    older: BTreeMap<Vec<u8>, u64>,
    /// Keys of the records of points that end, and their values.
    ends: BTreeMap<Vec<u8>, u64>,
}

/// What becomes of a row.
enum Fate {
    /// It is what was written last.
    Kept,
    /// It may have been replaced or removed.
    Unsure,
    /// Its point was removed.
    Removed,
    /// The entry of this index wrote a newer one.
    Replaced(u64),
    /// It was replaced or removed, and by which nobody knows.
    Superseded,
}

impl Rows<'_> {
    fn key(&self, id: &PointId) -> Vec<u8> {
        key::point(self.log.partition, self.known.id, id)
    }

    fn lose(&mut self, id: &PointId, what: String) {
        self.found.lose(Some(&self.known.name), Some(id), what);
    }

    /// Decides about a row that was read; one that is not `is_sure` stood beneath a damaged table.
    fn judge(&mut self, id: &PointId, row: PointRow, is_sure: bool) {
        let newest = self.knowledge.take(id);
        self.settle(id, row, newest, is_sure);
    }

    fn settle(&mut self, id: &PointId, row: PointRow, newest: Option<Newest>, is_sure: bool) {
        match self.fate(id, &row, newest, is_sure) {
            Fate::Kept => self.examine(id, row),
            Fate::Unsure => {
                let unsure = self.found.unsure.entry(self.known.id).or_default();
                unsure.add(id);
                self.examine(id, row);
            }
            Fate::Removed => {
                if is_sure {
                    let name = &self.known.name;
                    self.found
                        .rebuild(format!("that points of collection {name} were removed"));
                    self.found.make_stale(self.known);
                }
                let key = self.key(id);
                self.found.delete(Family::Points, key);
            }
            Fate::Replaced(by) => match self.log.row(self.known.id, id, by).cloned() {
                Some(newer) => self.restore(id, newer),
                None => self.keep_older(id, row, by),
            },
            Fate::Superseded => {
                let kept = row.version;
                self.lose(id, format!("what replaced it, unless it was removed: only what it was before, by entry {kept}, can be read, and that was superseded"));
                self.drop_row(id);
            }
        }
    }

    fn fate(&self, id: &PointId, row: &PointRow, newest: Option<Newest>, is_sure: bool) -> Fate {
        let is_whole = self.knowledge.is_complete;
        match newest {
            Some(Newest::Written(at)) if at > row.version => return Fate::Replaced(at),
            Some(Newest::Removed(at)) if at >= row.version => return Fate::Removed,
            None if is_whole && !is_sure => return Fate::Removed,
            _ => {}
        }
        // No row in force is named by such a list.
        if let Some(by) = self.log.superseded_by(self.known.id, row) {
            return match self.knowledge.changed_since(by, id) {
                Some(Newest::Written(at)) if at > row.version => Fate::Replaced(at),
                Some(Newest::Removed(_)) => Fate::Removed,
                _ => Fate::Superseded,
            };
        }
        match newest {
            _ if is_sure || is_whole => Fate::Kept,
            _ if self.lacks_values(row) => Fate::Superseded,
            _ => Fate::Unsure,
        }
    }

    /// Whether values of a row are gone: they go when it was superseded, and the log purged.
    fn lacks_values(&self, row: &PointRow) -> bool {
        let (partition, collection) = (self.log.partition, self.known.id);
        row.owned().any(|value| {
            let key = key::value(partition, collection, value.index, value.ordinal);
            matches!(self.store.get(value.family(), &key), Ok(None))
        })
    }

    /// A row whose newer one is lost.
    fn keep_older(&mut self, id: &PointId, row: PointRow, newer: u64) {
        let kept = row.version;
        if self.lacks_values(&row) {
            self.lose(id, format!("what entry {newer} wrote of it; what it was before, by entry {kept}, is not whole any more"));
            self.drop_row(id);
            return;
        }
        self.lose(
            id,
            format!("what entry {newer} wrote of it; what it was before, by entry {kept}, is kept"),
        );
        self.found.make_stale(self.known);
        self.older.insert(id.encode(), kept);
        self.log.keep_values(self.known.id, &row);
        self.examine(id, row);
    }

    /// A point whose row a scan does not give: it may be reached by its key, or the log may have it.
    fn find(&mut self, id: &PointId, version: u64, unreadable: &mut BTreeSet<PointId>) {
        let key = self.key(id);
        if !unreadable.remove(id)
            && let Ok(Some(bytes)) = self.store.get(Family::Points, &key)
            && let Ok(row) = codec::decode::<PointRow>(&bytes, "point row")
        {
            self.found.reachable.push((Family::Points, key));
            self.settle(id, row, Some(Newest::Written(version)), true);
            return;
        }
        match self.log.row(self.known.id, id, version).cloned() {
            Some(row) => self.restore(id, row),
            None => self.find_none(id),
        }
    }

    /// A point whose row is nowhere.
    fn find_none(&mut self, id: &PointId) {
        self.lose(id, "all of it: its row cannot be read".to_owned());
        self.drop_row(id);
    }

    fn drop_row(&mut self, id: &PointId) {
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
                Err(_) if self.restore_vector(id, row.version, &reference) => {
                    row.vectors.push(reference);
                }
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

    /// Puts a vector where it stood, if segment files have that of this row.
    fn restore_vector(&mut self, id: &PointId, version: u64, reference: &VectorRef) -> bool {
        let (partition, collection) = (self.log.partition, self.known.id);
        let name = &reference.name;
        let Some(values) = self.known.vector(partition, id, version, name) else {
            return false;
        };
        let wanted = self.known.config.vectors.get(name);
        if wanted.is_none_or(|wanted| check_dense(name, values, wanted.dim).is_err()) {
            return false;
        }
        let key = key::value(partition, collection, reference.index, reference.ordinal);
        let bytes = encode_vector(&Vector::Dense(values.to_vec()));
        self.found.put(Family::Vectors, key, bytes);
        *self.found.vectors.entry(collection).or_default() += 1;
        true
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

    /// Change records name points whose rows are lost as removed, and do not name writes that are lost of points of which an older row is kept: the
    /// next examination must not miss them again.
    fn mend_changes(&mut self) {
        for (index, record) in &self.knowledge.changes {
            let mut mended = record.clone();
            let is_lost = |id: &Vec<u8>| self.older.get(id).is_some_and(|version| version < index);
            mended.ids.retain(|(id, _)| !is_lost(id));
            for (id, written) in &mut mended.ids {
                *written &= !self.gone.contains(id);
            }
            if mended != *record {
                let key = key::change(self.log.partition, self.known.id, *index);
                self.found.put(Family::Changes, key, codec::encode(&mended));
            }
        }
    }

    /// Change records of entries that are applied and not purged, where they are gone: what still holds of them.
    fn rebuild_changes(&mut self) {
        let (partition, state) = (self.log.partition, self.log.state);
        let mut rebuilt = Vec::new();
        for (index, entry) in self.log.entries.range(state.purged + 1..) {
            if *index > state.applied || self.knowledge.changes.contains_key(index) {
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
