//! The disk of what was removed.
//!
//! RocksDB's own collection of garbage moves the values of its oldest blob files whenever it compacts, garbage or not: a load that removes
//! nothing would write a quarter of its bytes again and again. So it is off, and files go by themselves only when everything in them is dead.
//! When many vectors have been removed, their keys are compacted, which costs some 40 bytes each and tells RocksDB how much of its files is
//! garbage. If that is half of them or more, the other half is moved, table by table: a byte is moved for each that comes free.
//!
//! When the disk is short, nothing waits until it is much: memtables are flushed, so that the write-ahead log can go, and the tables of which something
//! was removed are compacted. All of that takes room before it gives any, so each step looks first whether there is enough: for vectors, only as many of
//! the oldest files are moved from at once as there is room for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rocksdb::{BottommostLevelCompaction, CompactOptions};

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
const GARBAGE_SHARE: u64 = 2;
/// The same when the disk is short.
const GARBAGE_SHARE_SHORT: u64 = 8;
/// While the disk is short, so much time lies between the end of one relief and the next: deletes often come one after the other.
const RELIEF_INTERVAL: Duration = Duration::from_secs(3);
/// Files of which so large a part is older than others are moved from: the option's name, off and on.
const CUTOFF: &str = "blob_garbage_collection_age_cutoff";

/// What is known of the garbage.
#[derive(Default)]
pub(super) struct Garbage {
    /// Vectors that were removed since their keys were compacted.
    removed: AtomicU64,
    /// Records of any kind that were removed since the disk was short and everything was compacted.
    unsettled: AtomicU64,
    work: Mutex<Work>,
    /// Has the next step panic.
    #[cfg(test)]
    panics: std::sync::atomic::AtomicBool,
}

/// How far the work is.
#[derive(Default)]
struct Work {
    moving: Option<Moving>,
    /// When everything was compacted last because the disk was short, or that was tried.
    relieved: Option<Instant>,
}

/// Values that live are moved out of blob files.
struct Moving {
    /// The last key of the tables that have been written again.
    after: Vec<u8>,
    /// Whether there is room to move from all files.
    from_all: bool,
    /// Bytes of garbage when it began.
    garbage: u64,
    /// The share of garbage for which it is done: one of so many.
    share: u64,
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
    pub fn panics_when_collecting(&self) -> &std::sync::atomic::AtomicBool {
        &self.garbage.panics
    }

    /// Whether the disk is so short of room that writes are refused, or will be soon.
    pub fn is_short_of_space(&self) -> bool {
        Space::of(&self.dir).is_ok_and(Space::is_short)
    }

    /// Does the next step of giving back the disk of what was removed, which takes about a second at most for each million of vectors; reads and writes
    /// go on meanwhile.
    ///
    /// # Errors
    ///
    /// What RocksDB says, `StorageFull` if there is no room to begin; a later call goes on.
    pub fn collect_garbage(&self) -> Result<Collected> {
        let mut work = self.garbage.work.lock();
        #[cfg(test)]
        assert!(
            !self.garbage.panics.swap(false, Ordering::SeqCst),
            "a bug of this test"
        );
        if work.moving.is_some() {
            return self.move_on(&mut work);
        }
        if Space::of(&self.dir)?.is_short() {
            return self.relieve(&mut work);
        }
        if !self.is_collection_due() {
            return Ok(Collected::Nothing);
        }
        self.garbage.removed.store(0, Ordering::Relaxed);
        self.flush_vectors()?;
        self.compact_vectors(None);
        self.begin_moving(&mut work, GARBAGE_SHARE)?;
        Ok(Collected::More)
    }

    /// Gives back what can be given back, however little it is, if anything was removed since the last time.
    fn relieve(&self, work: &mut Work) -> Result<Collected> {
        let unsettled = self.garbage.unsettled.load(Ordering::Relaxed);
        if unsettled == 0 {
            return Ok(Collected::Nothing);
        }
        let since = work.relieved.map(|relieved| relieved.elapsed());
        let wait = since.and_then(|since| RELIEF_INTERVAL.checked_sub(since));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Ok(Collected::Later(wait));
        }
        let relieved = self.compact_removed(work);
        work.relieved = Some(Instant::now());
        relieved?;
        self.garbage
            .unsettled
            .fetch_sub(unsettled, Ordering::Relaxed);
        Ok(Collected::More)
    }

    /// Does what there is room for, and tells at the end for what there was none.
    fn compact_removed(&self, work: &mut Work) -> Result<()> {
        let flushed = Family::ALL.map(|family| self.flush_if_room(family));
        let compacted = Family::ALL.map(|family| self.compact_if_smaller(family));
        self.garbage.removed.store(0, Ordering::Relaxed);
        self.begin_moving(work, GARBAGE_SHARE_SHORT)?;
        flushed.into_iter().chain(compacted).collect()
    }

    fn flush_if_room(&self, family: Family) -> Result<()> {
        let held = self.property(family, "rocksdb.cur-size-all-mem-tables");
        // Purged entries are not written.
        self.ensure_room(if family == Family::Log { 0 } else { held })?;
        self.flush_family(family)
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

    /// Compacts the tables of a family in which something was removed, if there is room for what is left of them.
    fn compact_if_smaller(&self, family: Family) -> Result<()> {
        let tables = self.db.live_files().context("list tables")?;
        let (mut bytes, mut entries, mut removals) = (0, 0, 0);
        for table in tables {
            if table.column_family_name == family.name() {
                bytes += table.size as u64;
                entries += table.num_entries;
                removals += table.num_deletions;
            }
        }
        if removals == 0 {
            return Ok(());
        }
        // A removal takes another entry along; a range of the log, all of them.
        let left = match family {
            Family::Log => 0,
            _ => entries.saturating_sub(2 * removals),
        };
        let left = (u128::from(bytes) * u128::from(left) / u128::from(entries.max(1))) as u64;
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

    /// Has RocksDB move values out of blob files whenever it compacts, if one of `share` of their bytes is garbage and there is room for some.
    fn begin_moving(&self, work: &mut Work, share: u64) -> Result<()> {
        let garbage = self.blob_garbage();
        let all = self.property(Family::Vectors, "rocksdb.live-blob-file-size");
        if garbage < GARBAGE_MIN || garbage < all / share {
            return Ok(());
        }
        let part = part_to_move(
            all.saturating_sub(garbage),
            Space::of(&self.dir)?.for_freeing(),
        );
        let Some(part) = part else {
            return Ok(());
        };
        self.set_cutoff(&format!("{part:.2}"))?;
        work.moving = Some(Moving {
            after: Vec::new(),
            from_all: part >= 1.0,
            garbage,
            share,
        });
        Ok(())
    }

    /// Writes the next table again, with what values it names.
    fn move_on(&self, work: &mut Work) -> Result<Collected> {
        let Some(moving) = &mut work.moving else {
            return Ok(Collected::Nothing);
        };
        if let Some((first, last)) = self.next_table(&moving.after)? {
            self.compact_vectors(Some((&first, &last)));
            moving.after = last;
            return Ok(Collected::More);
        }
        self.set_cutoff("0.0")?;
        let share = moving.share;
        let is_again = !moving.from_all && self.blob_garbage() < moving.garbage;
        work.moving = None;
        if is_again {
            self.begin_moving(work, share)?;
        }
        Ok(Collected::More)
    }

    fn blob_garbage(&self) -> u64 {
        self.property(Family::Vectors, "rocksdb.live-blob-file-garbage-size")
    }

    fn set_cutoff(&self, share: &str) -> Result<()> {
        self.db
            .set_options_cf(self.handle(Family::Vectors), &[(CUTOFF, share)])
            .context("set options of the family of vectors")
    }

    /// First and last key of the first table whose keys come after.
    fn next_table(&self, after: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let tables = self.db.live_files().context("list tables")?;
        let of_vectors = tables
            .into_iter()
            .filter(|table| table.column_family_name == Family::Vectors.name());
        let ranges = of_vectors.filter_map(|table| Some((table.start_key?, table.end_key?)));
        Ok(ranges.filter(|(first, _)| first.as_slice() > after).min())
    }

    fn compact_vectors(&self, range: Option<(&[u8], &[u8])>) {
        let mut options = beside_others();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db.compact_range_cf_opt(
            self.handle(Family::Vectors),
            range.map(|(first, _)| first),
            range.map(|(_, last)| last),
            &options,
        );
    }
}

fn beside_others() -> CompactOptions {
    let mut options = CompactOptions::default();
    options.set_exclusive_manual_compaction(false);
    options
}

/// Of how large a part of the blob files, oldest first, the `live` bytes can be moved within `room`; `None` if of hardly any. Half as many as seem
/// to fit, if not all do: the oldest may have more of them than others.
fn part_to_move(live: u64, room: u64) -> Option<f64> {
    if live <= room {
        return Some(1.0);
    }
    let part = room as f64 / live as f64 / 2.0;
    (part >= 0.02).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::key;
    use crate::{CollectionId, Partition};

    #[test]
    fn no_more_is_moved_than_there_is_room_for() {
        assert_eq!(part_to_move(0, 0), Some(1.0));
        assert_eq!(part_to_move(100, 100), Some(1.0));
        assert_eq!(part_to_move(100, 50), Some(0.25));
        assert_eq!(part_to_move(100, 3), None);
    }

    fn blob_bytes(store: &Store) -> u64 {
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
        assert_eq!(store.collect_garbage().unwrap(), Collected::Nothing);
        let full = blob_bytes(&store);
        assert!(full > 20_000_000, "{full}");
        let mut batch = store.batch();
        let removed = (0..20_000).filter(|n| n % 10 != 3);
        removed.for_each(|n| batch.delete(Family::Vectors, &key(n)));
        store.write(batch).unwrap();
        let mut steps = 0;
        while store.collect_garbage().unwrap() == Collected::More {
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
