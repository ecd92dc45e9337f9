//! What can be read of a store with damaged files: scans that go on behind an unreadable block, and a copy of all that was read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rocksdb::{DBRecoveryMode, FlushOptions};

use super::durable::sync_folder;
use super::garbage::Garbage;
use super::guard::Guard;
use super::opening::{Checks, Opening, WalTracking, open_with};
use super::record::{LogEntry, LogOperation, PointRow};
use super::{DATABASE_FOLDER, Family, Store, aside, codec, key, space, wal, within};
use crate::budget::{Budget, MemoryShares};
use crate::error::{Error, Result, ResultExt};
use crate::give_back::GiveBack;
use crate::payload_cache::PayloadCache;
use crate::{CollectionId, Partition};

/// Where a copy grows.
const COPY_FOLDER: &str = "repaired";
/// Beside a copy that is complete: it takes the store's place.
const COPY_COMPLETE: &str = "repaired.complete";
/// Bytes of a batch of the copy.
const COPY_BATCH_BYTES: usize = 4 << 20;
/// Seeks that narrow down where a readable record follows.
const PROBES_MAX: usize = 400;
/// Bytes behind a prefix within which the distance to the next readable record is guessed.
const PROBED_BYTES: usize = 24;
/// So many bytes of 255 are behind every key.
const BEHIND_ALL_BYTES: usize = 64;

/// Takes key and value of a record, and whether it is sure to be in force.
type MarkedVisit<'a> = dyn FnMut(&[u8], &[u8], bool) + 'a;

/// A range of keys that cannot be read.
#[derive(Clone, Debug)]
pub struct Gap {
    /// Where.
    pub family: Family,
    /// The next key that can be read; `None` if none can to the end of the range asked.
    pub before: Option<Vec<u8>>,
    /// What the first read said.
    pub error: String,
}

impl Gap {
    /// Whether RocksDB does not say which file it is of, as of the properties of a table.
    fn is_unnamed(&self) -> bool {
        !self.error.contains(".sst") && !self.error.contains(".blob")
    }
}

impl Store {
    /// Opens what is there although files are damaged or the end of the log is missing: the guard must not refuse it any more.
    ///
    /// # Errors
    ///
    /// `Corrupted` if too little is left for RocksDB to open, or by the guard.
    pub fn open_lenient(dir: &Path) -> Result<Self> {
        Guard::check_catalog(dir)?;
        aside::keep_wal(dir)?;
        wal::mark_holes(&dir.join(DATABASE_FOLDER))?;
        let opening = Opening {
            recovery: DBRecoveryMode::PointInTime,
            tracking: WalTracking::Off,
            checks: Checks::Lenient,
        };
        let budget = Budget::new(MemoryShares::of_machine(), GiveBack::default());
        let db = open_with(&dir.join(DATABASE_FOLDER), opening, budget.shares(), 1)?;
        let guard = dir.join("guard");
        Guard::begin(&guard, 0)?;
        let guard = Guard::open(&guard, db.latest_sequence_number())?;
        Ok(Self {
            db,
            dir: dir.to_path_buf(),
            guard,
            payloads: PayloadCache::new(budget.shares().payload_cache),
            budget,
            writing: Mutex::new(()),
            garbage: Garbage::default(),
            beneath: None,
        })
    }

    /// The last sequence number that such an opening finds.
    ///
    /// # Errors
    ///
    /// As [`Self::open_lenient`].
    pub fn lenient_sequence(dir: &Path) -> Result<u64> {
        Guard::check_catalog(dir)?;
        aside::keep_wal(dir)?;
        wal::mark_holes(&dir.join(DATABASE_FOLDER))?;
        let opening = Opening {
            recovery: DBRecoveryMode::PointInTime,
            tracking: WalTracking::Off,
            checks: Checks::Lenient,
        };
        let shares = MemoryShares::of_machine();
        let db = open_with(&dir.join(DATABASE_FOLDER), opening, &shares, 1)?;
        Ok(db.latest_sequence_number())
    }

    /// Has what damaged tables hide be read of the same store without them: vectors, media and entries, which nobody writes twice, and rows,
    /// which [`Self::scan_marked`] tells apart.
    pub fn lay_beneath(&mut self, beneath: Self) {
        self.beneath = Some(Box::new(beneath));
    }

    /// The store without its damaged tables, if it is needed for this family.
    fn beneath(&self, family: Family) -> Option<&Self> {
        let beneath = self.beneath.as_deref();
        beneath.filter(|_| family.is_read_beneath())
    }

    /// Whether removed records may come to light, which removals in damaged tables hid.
    pub fn has_beneath(&self) -> bool {
        self.beneath.is_some()
    }

    /// A value that nobody writes twice, wherever it can be read.
    ///
    /// # Errors
    ///
    /// What RocksDB says.
    pub fn get_readable(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match (self.get(family, key), self.beneath(family)) {
            (Err(_), Some(beneath)) => beneath.get(family, key),
            (read, _) => read,
        }
    }

    /// The tables that hide something of these families, by number.
    pub fn damaged_tables(gaps: &[Gap]) -> BTreeSet<u64> {
        let gaps = gaps.iter().filter(|gap| gap.family.is_read_beneath());
        gaps.flat_map(|gap| named_tables(&gap.error)).collect()
    }

    /// Whether other tables may tell of what these gaps hide.
    pub fn is_told_beneath(gaps: &[Gap]) -> bool {
        let is_of_table = |gap: &Gap| named_tables(&gap.error).next().is_some();
        let told =
            |gap: &Gap| gap.family.is_read_beneath() && (is_of_table(gap) || gap.is_unnamed());
        gaps.iter().any(told)
    }

    /// The tables, by number, of the families that are read beneath and have gaps of which RocksDB names no file: one of them cannot be opened.
    pub fn tables_in_doubt(&self, gaps: &[Gap]) -> Result<BTreeSet<u64>> {
        let is_in_doubt = |name: &str| {
            let mut unnamed = gaps.iter().filter(|gap| gap.is_unnamed());
            unnamed.any(|gap| gap.family.is_read_beneath() && gap.family.name() == name)
        };
        let tables = self.tables()?.into_iter();
        let in_doubt = tables.filter(|(family, _)| is_in_doubt(family));
        Ok(in_doubt.map(|(_, number)| number).collect())
    }

    /// All tables: name of the family, and number.
    ///
    /// # Errors
    ///
    /// What RocksDB says.
    pub fn tables(&self) -> Result<Vec<(String, u64)>> {
        let tables = self.db.live_files().context("list tables")?.into_iter();
        let numbered = tables.filter_map(|table| {
            let name = table.name.trim_start_matches('/');
            let number = name.strip_suffix(".sst")?.parse().ok()?;
            Some((table.column_family_name, number))
        });
        Ok(numbered.collect())
    }

    /// The gaps of all families that are read beneath damaged tables.
    pub fn gaps_beneath(&self) -> Vec<Gap> {
        let families = Family::ALL.into_iter().filter(|of| of.is_read_beneath());
        families
            .flat_map(|family| self.scan_readable(family, &[], |_, _| {}))
            .collect()
    }

    /// As [`Store::scan`], but goes on behind what cannot be read, and answers where that is.
    ///
    /// A gap ends at the first readable key that a search by halves finds: a few readable records between two damaged blocks may be taken for
    /// part of one gap. They can still be asked for by their keys.
    pub fn scan_readable(
        &self,
        family: Family,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> Vec<Gap> {
        self.scan_marked(family, prefix, |key, value, _| visit(key, value))
    }

    /// As [`Self::scan_readable`], and says of each record whether it is sure to be in force: one beneath a damaged table may have been written
    /// again or removed in that.
    pub fn scan_marked(
        &self,
        family: Family,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], &[u8], bool),
    ) -> Vec<Gap> {
        self.scan_between(family, prefix, prefix, None, &mut visit)
    }

    fn scan_between(
        &self,
        family: Family,
        prefix: &[u8],
        from: &[u8],
        end: Option<&[u8]>,
        visit: &mut MarkedVisit<'_>,
    ) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut from = from.to_vec();
        loop {
            let mut last: Option<Vec<u8>> = None;
            let mut options = within(prefix);
            if let Some(end) = end {
                options.set_iterate_upper_bound(end);
            }
            options.fill_cache(false);
            let mut iterator = self.db.raw_iterator_cf_opt(self.handle(family), options);
            iterator.seek(&from);
            while let Some((key, value)) = iterator.item() {
                visit(key, value, true);
                let last = last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(key);
                iterator.next();
            }
            let Err(error) = iterator.status() else {
                return gaps;
            };
            let start = match &last {
                Some(last) => [last, &[0][..]].concat(),
                None => from.clone(),
            };
            let before = self.next_readable(family, prefix, &start);
            if let Some(beneath) = self.beneath(family) {
                let mut older = |key: &[u8], value: &[u8], _: bool| visit(key, value, false);
                beneath.scan_between(family, prefix, &start, before.as_deref(), &mut older);
            }
            gaps.push(Gap {
                family,
                before: before.clone(),
                error: error.to_string(),
            });
            match before {
                Some(next) if end.is_none_or(|end| *next < *end) => from = next,
                _ => return gaps,
            }
        }
    }

    /// A readable key behind `start`, as near as a search finds it.
    fn next_readable(&self, family: Family, prefix: &[u8], start: &[u8]) -> Option<Vec<u8>> {
        // The first key that can be read from a place on; the inner none is the end.
        let probe = |place: &[u8]| -> Option<Option<Vec<u8>>> {
            let mut iterator = self
                .db
                .raw_iterator_cf_opt(self.handle(family), within(prefix));
            iterator.seek(place);
            let found = iterator.key().map(<[u8]>::to_vec);
            (found.is_some() || iterator.status().is_ok()).then_some(found)
        };
        let mut bad = start.to_vec();
        let mut places = places_behind(prefix, start);
        let (mut good, mut found) = places.find_map(|place| {
            if place <= bad {
                return None;
            }
            match probe(&place) {
                Some(found) => Some((place, found)),
                None => {
                    bad = place;
                    None
                }
            }
        })?;
        for _ in 0..PROBES_MAX {
            let Some(middle) = midpoint(&bad, &good) else {
                break;
            };
            match probe(&middle) {
                Some(nearer) => {
                    good = middle;
                    found = nearer;
                }
                None => bad = middle,
            }
        }
        found
    }

    /// What must be free on the disk for a copy of all of the store in `dir`, and of its write-ahead log.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn bytes_to_copy(dir: &Path) -> Result<u64> {
        let database = dir.join(DATABASE_FOLDER);
        let entries = std::fs::read_dir(&database).map_err(|error| Error::io(&error, &database))?;
        let lengths = entries.flatten().filter_map(|entry| entry.metadata().ok());
        space::wanted(dir, lengths.map(|of| of.len()).sum())
    }

    /// Copies every readable record, and those of these keys that can be read though scans cannot reach them, into a new store in `folder`. Of
    /// these collections, points and changes are read as an examination reads them: nothing more comes that it did not see.
    ///
    /// # Errors
    ///
    /// `StorageFull`; what the disk says. Nothing of this store has changed then.
    pub fn copy_readable(
        &self,
        folder: &Path,
        keys: &[(Family, Vec<u8>)],
        collections: &[CollectionId],
    ) -> Result<Self> {
        let needed: u64 = self.disk_bytes().iter().map(|(_, bytes)| bytes).sum();
        self.ensure_space(needed)
            .context("copy what can be read of the store")?;
        std::fs::create_dir(folder).map_err(|error| Error::io(&error, folder))?;
        let copy = Self::open(folder)?;
        let mut values_in_gaps = Vec::new();
        for family in Family::ALL {
            if self.copy_family(&copy, family, collections)?
                && matches!(family, Family::Vectors | Family::Media)
            {
                values_in_gaps.push(family);
            }
            let mut batch = copy.batch();
            for (_, key) in keys.iter().filter(|(of, _)| *of == family) {
                if let Ok(Some(value)) = self.get(family, key) {
                    batch.put(family, key, &value);
                }
            }
            copy.write(batch)?;
        }
        self.copy_values(&copy, &values_in_gaps)?;
        Ok(copy)
    }

    /// Answers whether some of it cannot be read. What lies between two unreadable ranges may be hidden from a scan of all: each partition is
    /// then scanned by itself too, as an examination does.
    fn copy_family(
        &self,
        copy: &Self,
        family: Family,
        collections: &[CollectionId],
    ) -> Result<bool> {
        let scan = |prefix: &[u8], is_wanted: &dyn Fn(&[u8]) -> bool| -> Result<bool> {
            let mut batch = copy.batch();
            let mut written = Ok(());
            let gaps = self.scan_readable(family, prefix, |key, value| {
                if !is_wanted(key) {
                    return;
                }
                batch.put(family, key, value);
                if batch.inner.size_in_bytes() > COPY_BATCH_BYTES {
                    let full = std::mem::replace(&mut batch, copy.batch());
                    if let Err(error) = copy.write(full) {
                        written = Err(error);
                    }
                }
            });
            written?;
            copy.write(batch)?;
            Ok(!gaps.is_empty())
        };
        let any = |_: &[u8]| true;
        match family {
            Family::Points | Family::Changes => {
                let is_other = |key: &[u8]| {
                    let id = key.get(2..6).and_then(|bytes| bytes.try_into().ok());
                    let id = id.map(|bytes| CollectionId(u32::from_be_bytes(bytes)));
                    id.is_none_or(|id| !collections.contains(&id))
                };
                let mut has_gaps = scan(&[], &is_other)?;
                for partition in Partition::all() {
                    for collection in collections {
                        has_gaps |= scan(&key::collection_prefix(partition, *collection), &any)?;
                    }
                }
                Ok(has_gaps)
            }
            Family::Log => {
                let parts =
                    Partition::all().map(|partition| scan(&key::log_prefix(partition), &any));
                parts
                    .collect::<Result<Vec<_>>>()
                    .map(|gaps| gaps.contains(&true))
            }
            _ => {
                let has_gaps = scan(&[], &any)?;
                if has_gaps && family == Family::Meta {
                    scan(key::META_COLLECTION, &any)?;
                } else if has_gaps {
                    for partition in Partition::all() {
                        scan(&key::log_prefix(partition), &any)?;
                    }
                    scan(key::COLLECTION_COPIES, &any)?;
                }
                Ok(has_gaps)
            }
        }
    }

    /// Writes a copy to tables and closes it.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn close_copy(self) -> Result<()> {
        let families: Vec<_> = Family::ALL.map(|family| self.handle(family)).into();
        self.db
            .flush_cfs_opt(&families, &FlushOptions::default())
            .context("flush the copy")?;
        self.close()
    }
}

impl Family {
    /// Whether what damaged tables hide is read of the others: not of families whose records are written again and again under the same keys
    /// without a sign of their age.
    fn is_read_beneath(self) -> bool {
        matches!(
            self,
            Self::Log | Self::Vectors | Self::Media | Self::Points | Self::Changes
        )
    }
}

/// The numbers of the tables that a message of RocksDB names.
fn named_tables(message: &str) -> impl Iterator<Item = u64> {
    let ends = message.match_indices(".sst").map(|(at, _)| at);
    ends.filter_map(|at| {
        let (_, name) = message[..at].rsplit_once('/')?;
        name.parse().ok()
    })
}

/// Where a copy grows in a folder.
pub fn copy_folder(folder: &Path) -> PathBuf {
    folder.join(COPY_FOLDER)
}

/// Removes what a killed repair left of a copy: it is made anew if it is needed.
pub fn remove_unfinished_copy(dir: &Path) {
    if !dir.join(COPY_COMPLETE).exists() {
        let _ = std::fs::remove_dir_all(dir.join(COPY_FOLDER));
    }
}

/// Brings a closed copy that grew elsewhere on this file system to the data folder, complete: [`finish_copy`] puts it in the store's place.
///
/// # Errors
///
/// What the disk says.
pub fn bring_copy(copy: &Path, dir: &Path) -> Result<()> {
    sync_folder(copy)?;
    let folder = dir.join(COPY_FOLDER);
    std::fs::rename(copy, &folder).map_err(|error| Error::io(&error, &folder))?;
    sync_folder(dir)?;
    let marker = dir.join(COPY_COMPLETE);
    std::fs::write(&marker, []).map_err(|error| Error::io(&error, &marker))?;
    sync_folder(dir)
}

impl Store {
    /// Copies those values of these families that rows and log entries refer to and that can be read, but did not come with a scan.
    fn copy_values(&self, copy: &Self, families: &[Family]) -> Result<()> {
        if families.is_empty() {
            return Ok(());
        }
        let mut written = Ok(());
        let mut bring = |key: &[u8], collection: u32, row: &PointRow| {
            let Some(partition) = key.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)) else {
                return;
            };
            for value in row
                .owned()
                .filter(|value| families.contains(&value.family()))
            {
                let (family, collection) = (value.family(), CollectionId(collection));
                let key = key::value(Partition(partition), collection, value.index, value.ordinal);
                if let (Ok(Some(bytes)), Ok(None)) =
                    (self.get_readable(family, &key), copy.get(family, &key))
                {
                    let mut batch = copy.batch();
                    batch.put(family, &key, &bytes);
                    if let Err(error) = copy.write(batch) {
                        written = Err(error);
                    }
                }
            }
        };
        copy.scan_readable(Family::Points, &[], |key, value| {
            let collection = key.get(2..6).and_then(|bytes| bytes.try_into().ok());
            if let (Some(collection), Ok(row)) = (collection, codec::decode(value, "point row")) {
                bring(key, u32::from_be_bytes(collection), &row);
            }
        });
        copy.scan_readable(Family::Log, &[], |key, value| {
            let entry = codec::decode::<LogEntry>(value, "log entry");
            for operation in entry.into_iter().flat_map(|entry| entry.operations) {
                if let LogOperation::Upsert {
                    collection, row, ..
                }
                | LogOperation::UpsertIf {
                    collection, row, ..
                } = &operation
                {
                    bring(key, *collection, row);
                }
            }
        });
        written
    }
}

/// Places behind `start` among the keys with a prefix, each about twice as far from it as the one before; the last is behind all of them.
fn places_behind(prefix: &[u8], start: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let kept = prefix.len();
    let mut padded = start.to_vec();
    padded.resize(start.len().max(kept + PROBED_BYTES), 0);
    let digits = (kept..padded.len()).rev();
    let steps = digits.flat_map(|at| (0..8).map(move |bit| (at, 1u16 << bit)));
    let near = steps.filter_map(move |(at, step)| {
        let mut place = padded[..=at].to_vec();
        let mut carry = step;
        for digit in place[kept..].iter_mut().rev() {
            let sum = u16::from(*digit) + carry;
            *digit = sum as u8;
            carry = sum >> 8;
        }
        (carry == 0).then_some(place)
    });
    let end = key::successor(prefix).unwrap_or_else(|| vec![0xff; BEHIND_ALL_BYTES]);
    near.chain([end])
}

/// Halfway between two keys; `None` if nothing lies between them that a key of one byte more could not tell apart.
fn midpoint(low: &[u8], high: &[u8]) -> Option<Vec<u8>> {
    let length = low.len().max(high.len()) + 1;
    let digit = |key: &[u8], at: usize| u16::from(key.get(at).copied().unwrap_or(0));
    // The sum, digit by digit from the end, then halved from the front.
    let mut sum = vec![0u16; length];
    let mut carry = 0;
    for at in (0..length).rev() {
        let here = digit(low, at) + digit(high, at) + carry;
        sum[at] = here & 255;
        carry = here >> 8;
    }
    let mut half = Vec::with_capacity(length);
    for here in sum {
        let whole = (carry << 8) | here;
        half.push((whole >> 1) as u8);
        carry = whole & 1;
    }
    (half.as_slice() > low && half.as_slice() < high).then_some(half)
}

/// Puts a complete copy in the place of the store, which must not be open, and the damaged store aside; answers where it is. To be called
/// before a data folder is opened for a repair: one that was killed half-way is finished.
///
/// The guard goes last: in every state between, a start refuses the folder instead of beginning with an empty one.
///
/// # Errors
///
/// What the disk says; calling it again goes on.
pub fn finish_copy(dir: &Path) -> Result<Option<PathBuf>> {
    let (copy, marker) = (dir.join(COPY_FOLDER), dir.join(COPY_COMPLETE));
    if !marker.exists() {
        return Ok(None);
    }
    let rename = |from: &Path, to: &Path| match std::fs::rename(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(|error| Error::io(&error, from)),
    };
    let kept = aside::create_folder(dir)?;
    if copy.join(DATABASE_FOLDER).exists() {
        let database = dir.join(DATABASE_FOLDER);
        rename(&database, &kept.join(DATABASE_FOLDER))?;
        rename(&copy.join(DATABASE_FOLDER), &database)?;
        sync_folder(dir)?;
    }
    if copy.join("guard").exists() {
        rename(&dir.join("guard"), &kept.join("guard"))?;
        rename(&copy.join("guard"), &dir.join("guard"))?;
    }
    std::fs::remove_file(&marker).map_err(|error| Error::io(&error, &marker))?;
    let _ = std::fs::remove_dir_all(&copy);
    sync_folder(dir)?;
    Ok(Some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_midpoint_lies_between() {
        let check = |low: &[u8], high: &[u8], expected: Option<&[u8]>| {
            assert_eq!(midpoint(low, high).as_deref(), expected);
        };
        check(&[1], &[3], Some(&[2, 0]));
        check(&[1], &[2], Some(&[1, 128]));
        check(&[255, 254], &[255, 255], Some(&[255, 254, 128]));
        check(&[1, 2, 3], &[1, 2, 3, 0], None);
        check(&[5], &[5], None);
    }
}
