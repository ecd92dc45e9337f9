//! The disk of vectors that were removed.
//!
//! RocksDB's own collection of garbage moves the values of its oldest blob files whenever it compacts, garbage or not: a load that removes
//! nothing would write a quarter of its bytes again and again. So it is off, and files go by themselves only when everything in them is dead.
//! When many vectors have been removed, their keys are compacted, which costs some 40 bytes each and tells RocksDB how much of its files is
//! garbage. If that is half of them or more, the other half is moved, table by table: a byte is moved for each that comes free.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rocksdb::{BottommostLevelCompaction, CompactOptions};

use super::{Family, Store};
use crate::error::{Result, ResultExt};

/// Vectors that must have been removed: fewer are no matter. Each time a memtable is flushed and tables are compacted: a small collection that is
/// written again and again would be at it all the time.
const REMOVED_MIN: u64 = 16 << 10;
/// Share of the vectors that must have been removed before their keys are compacted: one of so many.
const REMOVED_SHARE: u64 = 4;
/// Bytes of garbage that are no matter.
const GARBAGE_MIN: u64 = 4 << 20;
/// Files of which so large a part is older than others are moved from: the option's name, off and on.
const CUTOFF: &str = "blob_garbage_collection_age_cutoff";

/// What is known of the garbage.
#[derive(Default)]
pub(super) struct Garbage {
    removed: AtomicU64,
    /// While values are moved: the last key of the tables that have been written again.
    moved: Mutex<Option<Vec<u8>>>,
}

impl Garbage {
    /// Notes that a vector is removed.
    pub fn note_removal(&self) {
        self.removed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Store {
    /// Does the next step of giving back the disk of removed vectors, which takes about a second at most for each million of them; false if
    /// nothing is due. Reads and writes go on meanwhile.
    ///
    /// # Errors
    ///
    /// What RocksDB says; the next call goes on.
    pub fn collect_garbage(&self) -> Result<bool> {
        let mut moved = self.garbage.moved.lock();
        let Some(after) = moved.as_deref() else {
            if !self.is_collection_due() {
                return Ok(false);
            }
            self.garbage.removed.store(0, Ordering::Relaxed);
            self.flush_vectors()?;
            self.compact_vectors(None);
            if self.is_half_garbage() {
                self.set_cutoff("1.0")?;
                *moved = Some(Vec::new());
            }
            return Ok(true);
        };
        match self.next_table(after)? {
            Some((first, last)) => {
                self.compact_vectors(Some((&first, &last)));
                *moved = Some(last);
            }
            None => {
                self.set_cutoff("0.0")?;
                *moved = None;
            }
        }
        Ok(true)
    }

    fn is_collection_due(&self) -> bool {
        let removed = self.garbage.removed.load(Ordering::Relaxed);
        let left = self.vectors_property("rocksdb.estimate-num-keys");
        removed >= REMOVED_MIN && removed >= left / REMOVED_SHARE
    }

    fn is_half_garbage(&self) -> bool {
        let garbage = self.vectors_property("rocksdb.live-blob-file-garbage-size");
        let all = self.vectors_property("rocksdb.live-blob-file-size");
        garbage >= GARBAGE_MIN && garbage >= all / 2
    }

    fn vectors_property(&self, name: &str) -> u64 {
        let property = self
            .db
            .property_int_value_cf(self.handle(Family::Vectors), name);
        property.ok().flatten().unwrap_or(0)
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
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db.compact_range_cf_opt(
            self.handle(Family::Vectors),
            range.map(|(first, _)| first),
            range.map(|(_, last)| last),
            &options,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::key;
    use crate::{CollectionId, Partition};

    fn blob_bytes(store: &Store) -> u64 {
        store.vectors_property("rocksdb.total-blob-file-size")
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
        assert!(!store.collect_garbage().unwrap());
        let full = blob_bytes(&store);
        assert!(full > 20_000_000, "{full}");
        let mut batch = store.batch();
        let removed = (0..20_000).filter(|n| n % 10 != 3);
        removed.for_each(|n| batch.delete(Family::Vectors, &key(n)));
        store.write(batch).unwrap();
        let mut steps = 0;
        while store.collect_garbage().unwrap() {
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
