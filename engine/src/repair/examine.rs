//! The whole store examined: what all collections share, then each partition and collection.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use index::Offset;

use super::knowledge::lost_behind;
use super::partition::examine_partition;
use super::rows::examine_rows;
use super::{Loss, is_told_otherwise};
use crate::config::CollectionConfig;
use crate::engine::{read_settings, record_and_copy};
use crate::error::{Error, Result};
use crate::point::PointId;
use crate::segment::folder::Folder;
use crate::segment::{Positions, Segment};
use crate::storage::record::{CollectionCopy, CollectionRecord};
use crate::storage::salvage::Gap;
use crate::storage::{FORMAT_VERSION, Family, Store, Visit, codec, key};
use crate::{CollectionId, Partition};

/// A record to write; without a value, to remove.
#[derive(Debug)]
pub(super) struct Edit {
    pub family: Family,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// What is wrong with a store, and what mends it.
#[derive(Default)]
pub(super) struct Examination {
    pub edits: Vec<Edit>,
    pub rebuilt: Vec<String>,
    pub restored: Vec<String>,
    pub lost: Vec<Loss>,
    /// What files do not give: the database must be copied.
    pub gaps: Vec<Gap>,
    /// Records within gaps that can be read all the same.
    pub reachable: Vec<(Family, Vec<u8>)>,
    /// The collections that there are.
    pub collections: Vec<CollectionId>,
    /// Their names.
    pub names: Vec<String>,
    /// The collections whose segment files are of no use.
    pub stale: BTreeSet<CollectionId>,
    /// Where change records, or what was written last, are not all there: what they do not tell of a point is not known.
    pub doubtful: BTreeSet<(CollectionId, Partition)>,
    /// Points of which it is not known whether they are as they were written last.
    pub unsure: BTreeMap<CollectionId, IdRange>,
    /// Places where points may have stood of which nothing else tells.
    pub unknown: BTreeMap<CollectionId, IdRange>,
    /// By collection, where segment files are ahead of the store: partitions, and entries in all.
    pub behind: BTreeMap<CollectionId, (u64, u64)>,
    /// Partitions of whose logs the ends cannot be read, and what is missing in the first.
    pub unread_ends: Option<(u64, Partition, u64)>,
    /// What was said of unreadable notes of requests first, and of how many ranges.
    requests: Option<(String, usize)>,
    /// How many vectors segment files restore.
    pub vectors: BTreeMap<CollectionId, u64>,
    /// How many rows there are.
    pub rows: u64,
    /// How many entries of the log are not in the rows yet.
    pub waiting: u64,
}

/// Points of a collection by how many they are, from the least id to the greatest.
#[derive(Clone, Debug, Default)]
pub(super) struct IdRange {
    pub count: u64,
    pub ends: Option<(PointId, PointId)>,
}

impl IdRange {
    pub fn add(&mut self, id: &PointId) {
        self.count += 1;
        self.stretch(id);
    }

    pub fn stretch(&mut self, id: &PointId) {
        self.ends = Some(match self.ends.take() {
            None => (id.clone(), id.clone()),
            Some((least, greatest)) => (least.min(id.clone()), greatest.max(id.clone())),
        });
    }

    fn described(&self) -> String {
        match &self.ends {
            Some((least, greatest)) => format!("ids from {least} to {greatest}"),
            None => "any ids".to_owned(),
        }
    }
}

impl Examination {
    pub fn is_sound(&self) -> bool {
        self.edits.is_empty()
            && self.gaps.is_empty()
            && self.lost.is_empty()
            && self.stale.is_empty()
    }

    /// What an examination tells, without what mends it.
    pub fn told(&self) -> Self {
        Self {
            rebuilt: self.rebuilt.clone(),
            restored: self.restored.clone(),
            lost: self.lost.clone(),
            stale: self.stale.clone(),
            rows: self.rows,
            waiting: self.waiting,
            ..Self::default()
        }
    }

    pub fn put(&mut self, family: Family, key: Vec<u8>, value: Vec<u8>) {
        let value = Some(value);
        self.edits.push(Edit { family, key, value });
    }

    pub fn delete(&mut self, family: Family, key: Vec<u8>) {
        let value = None;
        self.edits.push(Edit { family, key, value });
    }

    /// Notes something derived that is built again.
    pub fn rebuild(&mut self, what: String) {
        if self.rebuilt.last() != Some(&what) && !self.rebuilt.contains(&what) {
            self.rebuilt.push(what);
        }
    }

    pub fn lose(&mut self, collection: Option<&str>, point: Option<&PointId>, what: String) {
        self.lost.push(Loss {
            collection: collection.map(str::to_owned),
            point: point.map(ToString::to_string),
            what,
        });
    }

    /// The segment files of a collection are not to be believed.
    pub fn make_stale(&mut self, known: &Known) {
        if self.stale.insert(known.id) {
            self.rebuild(format!("the segments of collection {}", known.name));
        }
    }

    /// Notes unreadable ranges; those of records that nothing else tells of are lost.
    pub fn note_gaps(&mut self, gaps: Vec<Gap>) {
        for gap in gaps {
            if !is_told_otherwise(gap.family) {
                let said = self.requests.get_or_insert((gap.error.clone(), 0));
                said.1 += 1;
            }
            self.gaps.push(gap);
        }
    }

    /// Tells what was counted, a line each.
    fn lose_counted(&mut self, knowns: &[Known]) {
        if let Some((error, ranges)) = self.requests.take() {
            let what = format!(
                "notes of requests in {ranges} ranges of `{}`: such a request may be applied again when it comes again ({error})",
                Family::State.name()
            );
            self.lose(None, None, what);
        }
        if let Some((partitions, first, from)) = self.unread_ends {
            let what = format!(
                "entries of {partitions} partitions that are not in the rows yet, if there were any: in partition {} those from {from} on",
                first.0
            );
            self.lose(None, None, what);
        }
        for known in knowns {
            if let Some((partitions, entries)) = self.behind.get(&known.id) {
                let what = lost_behind(*partitions, *entries);
                self.lose(Some(&known.name), None, what);
            }
            if let Some(count) = self.vectors.get(&known.id) {
                self.restored.push(format!(
                    "{count} vectors of collection {}, from its segments",
                    known.name
                ));
            }
            if let Some(range) = self.unknown.get(&known.id) {
                let what = format!(
                    "perhaps further points of which nothing tells, at {} places of its rows",
                    range.count
                );
                self.lose(Some(&known.name), None, what);
            }
            if let Some(range) = self.unsure.get(&known.id) {
                let what = format!(
                    "what was written last of some of {} points ({}), of which a damaged file may have held a newer state or the removal: those that were \
                     deleted or replaced may be back in an earlier version",
                    range.count,
                    range.described()
                );
                self.lose(Some(&known.name), None, what);
            }
        }
    }
}

/// A collection, and what its segment files say of its points.
pub(super) struct Known {
    pub id: CollectionId,
    pub name: String,
    pub config: CollectionConfig,
    segments: Vec<Segment>,
    /// Live rows by partition, sorted by their points: segment and offset.
    rows: BTreeMap<Partition, Vec<(u32, Offset)>>,
    /// What of the logs they cover; `None` without usable files.
    pub covered: Option<Positions>,
}

/// Examines everything, with the segment files in the folder `data`; of the partitions of collections in `doubtful` it is known that change
/// records do not tell all.
///
/// # Errors
///
/// What RocksDB says of more than unreadable records.
pub(super) fn examine(store: &Store, data: &Path, doubt: &Doubt) -> Result<Examination> {
    let mut found = Examination::default();
    let mut knowns = Vec::new();
    for (id, (name, config)) in examine_records(store, &mut found)? {
        let mut known = Known::new(id, name, config);
        if let Err(error) = known.read_segments(data) {
            tracing::warn!(%error, collection = known.name, "the segment files cannot be used");
            found.make_stale(&known);
        }
        found.doubtful.extend(doubt.of(id));
        knowns.push(known);
    }
    for partition in Partition::all() {
        let mut log = examine_partition(store, partition, &knowns, &mut found)?;
        for known in &knowns {
            examine_rows(store, &mut log, known, &mut found)?;
        }
        log.sweep(store, &knowns, &mut found);
    }
    for family in [Family::Vectors, Family::Media, Family::PayloadIndex] {
        let gaps = store.scan_readable(family, &[], |_, _| {});
        found.note_gaps(gaps);
    }
    found.lose_counted(&knowns);
    found.collections = knowns.iter().map(|known| known.id).collect();
    found.names = knowns.iter().map(|known| known.name.clone()).collect();
    if found.gaps.is_empty() {
        // Nothing in force stands there.
        found.gaps = store.unreadable_places();
    }
    Ok(found)
}

/// Where change records are known to be missing.
#[derive(Clone, Debug)]
pub(super) enum Doubt {
    /// In these partitions of collections.
    In(BTreeSet<(CollectionId, Partition)>),
    /// Anywhere: the end of the write-ahead log is lost, and families of records may end at different writes.
    Anywhere,
}

impl Doubt {
    pub fn nowhere() -> Self {
        Self::In(BTreeSet::new())
    }

    fn of(&self, id: CollectionId) -> Vec<(CollectionId, Partition)> {
        match self {
            Self::In(places) => places.iter().filter(|of| of.0 == id).copied().collect(),
            Self::Anywhere => Partition::all().map(|partition| (id, partition)).collect(),
        }
    }
}

impl Known {
    pub fn new(id: CollectionId, name: String, config: CollectionConfig) -> Self {
        Self {
            id,
            name,
            config,
            segments: Vec::new(),
            rows: BTreeMap::new(),
            covered: None,
        }
    }

    /// Reads the segment files. If an error says that they cannot be served any more, what they tell of points may be sound all the same.
    pub fn read_segments(&mut self, data: &Path) -> Result<()> {
        let folder = Folder::new(data, self.id);
        let Some(manifest) = folder.read_manifest()? else {
            return Ok(());
        };
        let mut rows: BTreeMap<Partition, Vec<(u32, Offset)>> = BTreeMap::new();
        for (at, live) in (0..).zip(&manifest.segments) {
            let segment = folder.open_segment(live.number, &self.config)?;
            segment.verify_own()?;
            let live = live.live(segment.len())?;
            for offset in (0..segment.len() as Offset).filter(|offset| live.contains(*offset)) {
                let of = rows.entry(segment.partition(offset)).or_default();
                of.push((at, offset));
            }
            self.segments.push(segment);
        }
        let segments = &self.segments;
        for of in rows.values_mut() {
            of.sort_unstable_by_key(|(at, offset)| segments[*at as usize].id(*offset));
        }
        self.rows = rows;
        self.covered = Some(manifest.covered);
        self.segments.iter().try_for_each(Segment::verify)
    }

    /// The points of a partition with the versions of their rows, ascending.
    pub fn points(&self, partition: Partition) -> impl Iterator<Item = (&PointId, u64)> {
        let rows = self.rows.get(&partition).into_iter().flatten();
        rows.map(|(at, offset)| {
            let segment = &self.segments[*at as usize];
            (segment.id(*offset), segment.version(*offset))
        })
    }

    /// A vector of the row that the entry `version` wrote, as segment files have it.
    pub fn vector(
        &self,
        partition: Partition,
        id: &PointId,
        version: u64,
        name: &str,
    ) -> Option<&[f32]> {
        let rows = self.rows.get(&partition)?;
        let of = |(at, offset): &(u32, Offset)| self.segments[*at as usize].id(*offset).cmp(id);
        let (at, offset) = rows[rows.binary_search_by(of).ok()?];
        let segment = &self.segments[at as usize];
        let is_of_it = segment.version(offset) == version;
        is_of_it.then(|| segment.sound_vector(name, offset))?
    }
}

pub(super) type Records = BTreeMap<CollectionId, (String, CollectionConfig)>;

/// The records of `meta`, and their copies in `state`.
pub(super) fn examine_records(store: &Store, found: &mut Examination) -> Result<Records> {
    let format = store.get(Family::Meta, key::META_FORMAT).ok().flatten();
    let format = format.and_then(|bytes| codec::decode::<u32>(&bytes, "format version").ok());
    if let Some(version) = format.filter(|version| *version != FORMAT_VERSION) {
        return Err(Error::corrupted(format!(
            "the data is of format {version}, this program knows format {FORMAT_VERSION}; use the version that wrote it"
        )));
    }
    if format.is_none() {
        let bytes = codec::encode(&FORMAT_VERSION);
        found.put(Family::Meta, key::META_FORMAT.to_vec(), bytes);
        found.rebuild("the version of the format".to_owned());
    }
    let mut records = Records::new();
    let mut bad = BTreeSet::new();
    let prefix = key::META_COLLECTION;
    let gaps = store.scan_readable(Family::Meta, prefix, |key, value| {
        let name = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
        let record = codec::decode::<CollectionRecord>(value, "collection record");
        match record.and_then(|record| Ok((CollectionId(record.id), read_settings(&record)?))) {
            Ok((id, config)) => {
                records.insert(id, (name, config));
            }
            Err(_) => {
                bad.insert((name, key.to_vec()));
            }
        }
    });
    let is_whole = gaps.is_empty();
    found.note_gaps(gaps);
    let is_copied = restore_from_copies(store, found, &mut records, &mut bad)?;
    if !is_whole && !is_copied {
        let what = "perhaps the settings of further collections, without which their points cannot be served; their points stay in the database";
        found.lose(None, None, what.to_owned());
    }
    for (name, key) in bad {
        let what = "its settings, without which its points cannot be served; its points stay in the database";
        found.lose(Some(&name), None, what.to_owned());
        found.delete(Family::Meta, key);
    }
    examine_next_number(store, found, &records)?;
    Ok(records)
}

/// Answers whether all copies can be read.
fn restore_from_copies(
    store: &Store,
    found: &mut Examination,
    records: &mut Records,
    bad: &mut BTreeSet<(String, Vec<u8>)>,
) -> Result<bool> {
    let mut copied = BTreeSet::new();
    let mut copies: Vec<CollectionCopy> = Vec::new();
    let mut is_whole = true;
    let gaps =
        store.scan_readable(
            Family::State,
            key::COLLECTION_COPIES,
            |_, value| match codec::decode::<CollectionCopy>(value, "copy of a record") {
                Ok(copy) => copies.push(copy),
                Err(_) => is_whole = false,
            },
        );
    is_whole &= gaps.is_empty();
    found.note_gaps(gaps);
    for CollectionCopy { name, record } in copies {
        let id = CollectionId(record.id);
        copied.insert(id);
        if records.contains_key(&id) {
            continue;
        }
        let key = key::meta_collection(&name);
        let is_bad = bad.remove(&(name.clone(), key.clone()));
        // A copy goes with its record, in one batch.
        let is_free = is_bad || records.values().all(|(taken, _)| *taken != name);
        if let Ok(config) = read_settings(&record)
            && is_free
        {
            found.put(Family::Meta, key, codec::encode(&record));
            found.restored.push(format!(
                "the settings of collection {name}, from their copy"
            ));
            records.insert(id, (name, config));
        }
    }
    for (id, (name, config)) in records {
        if !copied.contains(id) {
            let (_, copy) = record_and_copy(name, *id, config)?;
            found.put(
                Family::State,
                key::collection_copy(*id),
                codec::encode(&copy),
            );
            found.rebuild(format!("the copy of the settings of collection {name}"));
        }
    }
    Ok(is_whole)
}

/// The next number must be above every number that was ever given.
fn examine_next_number(store: &Store, found: &mut Examination, records: &Records) -> Result<()> {
    let last = records.keys().map(|id| id.0).max().unwrap_or(0);
    let last = last.max(last_owner(store));
    let next = match store.get(Family::Meta, key::META_NEXT_COLLECTION) {
        Ok(Some(bytes)) => codec::decode::<u32>(&bytes, "next collection number").ok(),
        Ok(None) if last == 0 => return Ok(()),
        Ok(None) | Err(_) => None,
    };
    if next.is_none_or(|next| next <= last) {
        let key = key::META_NEXT_COLLECTION.to_vec();
        found.put(Family::Meta, key, codec::encode(&(last + 1)));
        found.rebuild("the number of the next collection".to_owned());
    }
    Ok(())
}

/// The highest number of a collection under which rows or values stand.
fn last_owner(store: &Store) -> u32 {
    let mut last = 0;
    for family in [Family::Points, Family::Vectors, Family::Media] {
        for partition in Partition::all() {
            loop {
                let from = key::collection_prefix(partition, CollectionId(last + 1));
                let mut next = None;
                let scanned = store.scan(family, &key::log_prefix(partition), &from, |key, _| {
                    next = key.get(2..6).and_then(|bytes| bytes.try_into().ok());
                    Ok(Visit::Stop)
                });
                match (scanned, next) {
                    (Ok(()), Some(bytes)) => last = last.max(u32::from_be_bytes(bytes)),
                    _ => break,
                }
            }
        }
    }
    last
}
