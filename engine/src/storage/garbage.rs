//! The disk of what was removed.
//!
//! RocksDB's own collection of garbage moves the values of its oldest blob files whenever it compacts, garbage or not: a load that removes
//! nothing would write a quarter of its bytes again and again. So it is off, and files go by themselves only when everything in them is dead.
//! When many vectors have been removed, their keys are compacted, which costs some 40 bytes each and tells RocksDB how much of its files is
//! garbage. If that is half of them or more, the other half is moved, table by table: a byte is moved for each that comes free.
//!
//! When the disk is short, nothing waits until it is much: memtables are flushed, so that the write-ahead log can go, and the tables of which something
//! was removed are compacted, what takes least first. All of that takes room before it gives any, so each step looks first whether there is enough: for
//! vectors, only as many of the oldest files are moved from at once as there is room for. A file that is moved from goes when no segment links it any
//! more, so the segments come before the next files; and what had no room is tried again when there is more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rocksdb::CompactOptions;

use super::moving::Moving;
use super::space::Space;
use super::{Family, Store};
use crate::error::{Error, ErrorKind, Result, ResultExt};

/// Vectors that must have been removed: fewer are no matter. Each time a memtable is flushed and tables are compacted: a small collection that is
/// written again and again would be at it all the time.
const REMOVED_MIN: u64 = 16 << 10;
/// Share of the vectors that must have been removed before their keys are compacted: one of so many.
const REMOVED_SHARE: u64 = 4;
/// Bytes of garbage that are no matter.
const GARBAGE_MIN: u64 = 4 << 20;
/// Share of the blob files that must be garbage before the rest is moved: one of so many.
pub(super) const GARBAGE_SHARE: u64 = 2;
/// The same when the disk is short.
const GARBAGE_SHARE_SHORT: u64 = 8;
/// While the disk is short, so much time lies between the end of one relief and the next: deletes often come one after the other.
const RELIEF_INTERVAL: Duration = Duration::from_secs(3);
/// While segments hold files that were moved from, so much time passes until that is looked at again.
const HELD_INTERVAL: Duration = Duration::from_millis(500);
/// Bytes of garbage by which a relief has made progress.
const PROGRESS_MIN: u64 = 512 << 10;

/// What is known of the garbage.
#[derive(Default)]
pub(super) struct Garbage {
    /// Vectors that were removed since their keys were compacted.
    removed: AtomicU64,
    /// Records of any kind that were removed since the disk was short and everything was compacted.
    unsettled: AtomicU64,
    /// Whether the disk was short of room when a write looked last.
    pub(super) was_short: AtomicBool,
    work: Mutex<Work>,
    /// Has the next step panic.
    #[cfg(test)]
    panics: AtomicBool,
}

/// How far the work is.
#[derive(Default)]
struct Work {
    moving: Option<Moving>,
    /// When everything was compacted last because the disk was short, or that was tried.
    relieved: Option<Instant>,
    /// What was as the disk was relieved last, if there was no room to move all values then.
    unfinished: Option<Unfinished>,
}

/// What tells whether another relief would do more than the last.
#[derive(Copy, Clone, Debug)]
struct Unfinished {
    /// Bytes that were free.
    free: u64,
    /// Bytes of garbage in blob files.
    garbage: u64,
}

impl Unfinished {
    /// Whether there is more room now, or less garbage: then the next files can be moved from.
    fn goes_on(self, now: Self) -> bool {
        now.free >= self.free + GARBAGE_MIN || now.garbage + PROGRESS_MIN <= self.garbage
    }
}

/// What a step of [`Store::collect_garbage`] has left to do.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Collected {
    /// Nothing is due.
    Nothing,
    /// Some was done, and there may be more.
    More,
    /// Something is due after this time.
    Later(Duration),
}

impl Garbage {
    /// Notes that a record is removed, or a range of them.
    pub fn note_removal(&self, family: Family) {
        if family == Family::Vectors {
            self.removed.fetch_add(1, Ordering::Relaxed);
        }
        self.unsettled.fetch_add(1, Ordering::Relaxed);
    }
}

impl Store {
    #[cfg(test)]
    pub fn panics_when_collecting(&self) -> &AtomicBool {
        &self.garbage.panics
    }

    /// Does the next step of giving back the disk of what was removed, which takes about a second at most for each million of vectors; reads and writes
    /// go on meanwhile. `held` tells how many bytes segments hold of files that RocksDB has dropped.
    ///
    /// # Errors
    ///
    /// What RocksDB says, `StorageFull` if there is no room to begin; a later call goes on.
    pub fn collect_garbage(&self, held: &dyn Fn() -> u64) -> Result<Collected> {
        let mut work = self.garbage.work.lock();
        #[cfg(test)]
        assert!(
            !self.garbage.panics.swap(false, Ordering::SeqCst),
            "a bug of this test"
        );
        if let Some(moving) = work.moving.take() {
            work.moving = self.move_on(moving)?;
            return Ok(Collected::More);
        }
        if Space::of(&self.dir)?.is_short() {
            return self.relieve(&mut work, held() > 0);
        }
        if !self.is_collection_due() {
            return Ok(Collected::Nothing);
        }
        self.garbage.removed.store(0, Ordering::Relaxed);
        self.flush_vectors()?;
        self.compact_vectors(None);
        work.moving = self.begin_moving(GARBAGE_SHARE)?;
        Ok(Collected::More)
    }

    /// Gives back what can be given back, however little it is, if anything was removed since the last time or more can be done now.
    fn relieve(&self, work: &mut Work, is_held: bool) -> Result<Collected> {
        let unsettled = self.garbage.unsettled.load(Ordering::Relaxed);
        let now = self.unfinished()?;
        let goes_on = work.unfinished.is_some_and(|before| before.goes_on(now));
        if unsettled == 0 && !goes_on {
            return Ok(match work.unfinished {
                // There will be more room when others have given theirs back.
                Some(_) => Collected::Later(RELIEF_INTERVAL),
                None => Collected::Nothing,
            });
        }
        // It is about to be given back, which is room for the next files.
        if is_held && unsettled == 0 {
            return Ok(Collected::Later(HELD_INTERVAL));
        }
        let since = work.relieved.map(|relieved| relieved.elapsed());
        let wait = since.and_then(|since| RELIEF_INTERVAL.checked_sub(since));
        if let Some(wait) = wait.filter(|wait| !goes_on && !wait.is_zero()) {
            return Ok(Collected::Later(wait));
        }
        let relieved = self.compact_removed();
        work.relieved = Some(Instant::now());
        let left = self.unfinished()?;
        if !is_held {
            work.moving = self.begin_moving(GARBAGE_SHARE_SHORT)?;
        }
        let is_all = work.moving.as_ref().is_some_and(Moving::is_from_all);
        let is_left = self.is_garbage_due(left.garbage, GARBAGE_SHARE_SHORT) && !is_all;
        work.unfinished = is_left.then_some(left);
        relieved?;
        self.garbage
            .unsettled
            .fetch_sub(unsettled, Ordering::Relaxed);
        Ok(Collected::More)
    }

    /// What is free and what is garbage now.
    fn unfinished(&self) -> Result<Unfinished> {
        Ok(Unfinished {
            free: Space::of(&self.dir)?.free,
            garbage: self.blob_garbage(),
        })
    }

    /// Does what there is room for, what takes least first, and tells at the end for what there was none.
    fn compact_removed(&self) -> Result<()> {
        let mut families = Family::ALL;
        families.sort_by_key(|&family| self.bytes_to_flush(family));
        let flushed = families.map(|family| self.flush_if_room(family));
        let mut tables = self.tables_to_compact()?;
        tables.sort_by_key(|&(_, left)| left);
        let compacted = tables
            .into_iter()
            .map(|(family, left)| self.compact_if_room(family, left));
        let compacted: Vec<Result<()>> = compacted.collect();
        self.garbage.removed.store(0, Ordering::Relaxed);
        flushed.into_iter().chain(compacted).collect()
    }

    fn flush_if_room(&self, family: Family) -> Result<()> {
        self.ensure_room(self.bytes_to_flush(family))?;
        self.flush_family(family)
    }

    /// As [`Self::flush_vectors`], if the disk has room for it.
    ///
    /// # Errors
    ///
    /// What RocksDB says; `StorageFull`.
    pub fn flush_vectors_if_room(&self) -> Result<()> {
        self.flush_if_room(Family::Vectors)
    }

    fn bytes_to_flush(&self, family: Family) -> u64 {
        match family {
            // Purged entries are not written.
            Family::Log => 0,
            _ => self.property(family, "rocksdb.cur-size-all-mem-tables"),
        }
    }

    fn ensure_room(&self, bytes: u64) -> Result<()> {
        let space = Space::of(&self.dir)?;
        if space.for_freeing() >= bytes {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::StorageFull,
            format!(
                "{}: giving back the disk of what was removed takes {} MiB meanwhile, and {} MiB are free; delete snapshots or a collection, or give the \
                 disk more room",
                self.dir.display(),
                bytes.div_ceil(1 << 20),
                space.free >> 20
            ),
        ))
    }

    /// The families in whose tables something was removed, and about how many bytes are left of them.
    fn tables_to_compact(&self) -> Result<Vec<(Family, u64)>> {
        let tables = self.db.live_files().context("list tables")?;
        let of_family = |family: Family| {
            let (mut bytes, mut entries, mut removals) = (0, 0, 0);
            for table in &tables {
                if table.column_family_name == family.name() {
                    bytes += table.size as u64;
                    entries += table.num_entries;
                    removals += table.num_deletions;
                }
            }
            // A removal takes another entry along; a range of the log, all of them.
            let left = match family {
                Family::Log => 0,
                _ => entries.saturating_sub(2 * removals),
            };
            let left = u128::from(bytes) * u128::from(left) / u128::from(entries.max(1));
            (removals > 0).then_some((family, left as u64))
        };
        Ok(Family::ALL.into_iter().filter_map(of_family).collect())
    }

    fn compact_if_room(&self, family: Family, left: u64) -> Result<()> {
        self.ensure_room(left)?;
        let handle = self.handle(family);
        self.db
            .compact_range_cf_opt(handle, None::<&[u8]>, None::<&[u8]>, &beside_others());
        Ok(())
    }

    fn is_collection_due(&self) -> bool {
        let removed = self.garbage.removed.load(Ordering::Relaxed);
        let left = self.property(Family::Vectors, "rocksdb.estimate-num-keys");
        removed >= REMOVED_MIN && removed >= left / REMOVED_SHARE
    }

    /// Whether so much of the blob files is garbage that it is worth moving the rest: one of `share` of their bytes.
    pub(super) fn is_garbage_due(&self, garbage: u64, share: u64) -> bool {
        garbage >= GARBAGE_MIN && garbage >= self.blob_bytes() / share
    }

    pub(super) fn blob_bytes(&self) -> u64 {
        self.property(Family::Vectors, "rocksdb.live-blob-file-size")
    }

    pub(super) fn blob_garbage(&self) -> u64 {
        self.property(Family::Vectors, "rocksdb.live-blob-file-garbage-size")
    }
}

pub(super) fn beside_others() -> CompactOptions {
    let mut options = CompactOptions::default();
    options.set_exclusive_manual_compaction(false);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::key;
    use crate::{CollectionId, Partition};

    #[test]
    fn a_relief_without_room_goes_on_when_something_has_changed() {
        let of = |free: u64, garbage: u64| Unfinished {
            free: free << 20,
            garbage: garbage << 20,
        };
        let check = |free, garbage, expected| {
            assert_eq!(of(50, 80).goes_on(of(free, garbage)), expected);
        };
        check(50, 80, false);
        check(53, 80, false);
        check(40, 90, false);
        check(54, 80, true);
        check(40, 79, true);
    }

    pub(super) fn blob_bytes(store: &Store) -> u64 {
        store.property(Family::Vectors, "rocksdb.total-blob-file-size")
    }

    #[test]
    fn disk_of_removed_vectors_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = |n: u64| key::value(Partition((n % 32) as u16), CollectionId(1), n, 0);
        let value = |n: u64| vec![n as u8; 1000];
        for first in (0..20_000).step_by(1000) {
            let mut batch = store.batch();
            (first..first + 1000).for_each(|n| batch.put(Family::Vectors, &key(n), &value(n)));
            store.write(batch).unwrap();
        }
        store.flush_vectors().unwrap();
        assert_eq!(store.collect_garbage(&|| 0).unwrap(), Collected::Nothing);
        let full = blob_bytes(&store);
        assert!(full > 20_000_000, "{full}");
        let mut batch = store.batch();
        let removed = (0..20_000).filter(|n| n % 10 != 3);
        removed.for_each(|n| batch.delete(Family::Vectors, &key(n)));
        store.write(batch).unwrap();
        let mut steps = 0;
        while store.collect_garbage(&|| 0).unwrap() == Collected::More {
            steps += 1;
            assert!(steps < 100);
        }
        let left = blob_bytes(&store);
        assert!(left < full / 8, "{left} of {full}");
        for n in 0..20_000 {
            let found = store.get(Family::Vectors, &key(n)).unwrap();
            assert_eq!(found, (n % 10 == 3).then(|| value(n)), "{n}");
        }
    }
}
