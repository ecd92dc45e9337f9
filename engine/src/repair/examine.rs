//! The whole store examined: what all collections share, then each partition and collection.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::partition::examine_partition;
use super::rows::examine_rows;
use super::{Loss, is_told_otherwise};
use crate::config::CollectionConfig;
use crate::engine::{read_settings, record_and_copy};
use crate::error::{Error, Result};
use crate::point::PointId;
use crate::segment::Positions;
use crate::segment::folder::Folder;
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
    /// The collections whose segment files are of no use.
    pub stale: BTreeSet<CollectionId>,
    /// How many rows there are.
    pub rows: u64,
    /// How many entries of the log are not in the rows yet.
    pub waiting: u64,
}

impl Examination {
    pub fn is_sound(&self) -> bool {
        self.edits.is_empty()
            && self.gaps.is_empty()
            && self.lost.is_empty()
            && self.stale.is_empty()
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
                self.lose(
                    None,
                    None,
                    format!(
                        "a range of `{}`: notes of requests, which may be applied again when they come again ({})",
                        gap.family.name(),
                        gap.error
                    ),
                );
            }
            self.gaps.push(gap);
        }
    }
}

/// A collection, and what its segment files say of its points.
pub(super) struct Known {
    pub id: CollectionId,
    pub name: String,
    pub config: CollectionConfig,
    /// Points and their versions, by partition.
    pub points: BTreeMap<Partition, Vec<(PointId, u64)>>,
    /// What of the logs they cover; `None` without usable files.
    pub covered: Option<Positions>,
}

/// Examines everything, with the segment files in the folder `data`; of the collections in `stale` it is known that the segment files and change records do not tell all.
///
/// # Errors
///
/// What RocksDB says of more than unreadable records.
pub(super) fn examine(
    store: &Store,
    data: &Path,
    stale: BTreeSet<CollectionId>,
) -> Result<Examination> {
    let mut found = Examination {
        stale,
        ..Examination::default()
    };
    let mut knowns = Vec::new();
    for (id, (name, config)) in examine_records(store, &mut found)? {
        let mut known = Known::new(id, name, config);
        if let Err(error) = known.read_segments(data) {
            tracing::warn!(%error, collection = known.name, "the segment files cannot be used");
            known.points.clear();
            known.covered = None;
            found.make_stale(&known);
        }
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
    if found.gaps.is_empty() {
        // Nothing in force stands there.
        found.gaps = store.unreadable_places();
    }
    Ok(found)
}

impl Known {
    pub fn new(id: CollectionId, name: String, config: CollectionConfig) -> Self {
        Self {
            id,
            name,
            config,
            points: BTreeMap::new(),
            covered: None,
        }
    }

    pub fn read_segments(&mut self, data: &Path) -> Result<()> {
        let folder = Folder::new(data, self.id);
        let Some(manifest) = folder.read_manifest()? else {
            return Ok(());
        };
        for live in &manifest.segments {
            let segment = folder.open_segment(live.number, &self.config)?;
            segment.verify()?;
            let live = live.live(segment.len())?;
            for (id, offset) in segment.ids().zip(0..) {
                if live.contains(offset) {
                    let points = self.points.entry(segment.partition(offset)).or_default();
                    points.push((id.clone(), segment.version(offset)));
                }
            }
        }
        self.covered = Some(manifest.covered);
        Ok(())
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
