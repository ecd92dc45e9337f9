//! What the store holds in memory and on the disk, and how it gives it back.

use rocksdb::{BottommostLevelCompaction, CompactOptions, FlushOptions, Range};

use super::{Family, Store, key};
use crate::error::{Result, ResultExt};
use crate::usage::{FamilyUsage, Parts};

impl Store {
    /// Bytes on the heap: `block_cache`, `payload_cache`, `memtables` and `table_readers` (what they keep outside the cache).
    pub fn memory(&self) -> Parts {
        let of_all = |name| {
            Family::ALL
                .into_iter()
                .map(|f| self.property(f, name))
                .sum()
        };
        [
            // There is one cache: every family tells of the whole.
            (
                "block_cache",
                self.property(Family::Meta, "rocksdb.block-cache-usage"),
            ),
            ("payload_cache", self.payloads.bytes()),
            ("memtables", of_all("rocksdb.size-all-mem-tables")),
            (
                "table_readers",
                of_all("rocksdb.estimate-table-readers-mem"),
            ),
        ]
        .into_iter()
        .collect()
    }

    /// Bytes of the block cache that somebody uses right now.
    pub fn block_cache_pinned_bytes(&self) -> u64 {
        self.property(Family::Meta, "rocksdb.block-cache-pinned-usage")
    }

    /// Tables and blobs of every family.
    pub fn families(&self) -> Vec<FamilyUsage> {
        let of_family = |family| {
            let get = |name| self.property(family, name);
            let tables = get("rocksdb.total-sst-files-size");
            let blobs = get("rocksdb.total-blob-file-size");
            let garbage = get("rocksdb.live-blob-file-garbage-size");
            let blobs_live = get("rocksdb.live-blob-file-size")
                .saturating_sub(garbage)
                .min(blobs);
            // It counts live blobs too.
            let live = get("rocksdb.estimate-live-data-size").saturating_sub(blobs_live);
            let tables_live = live.min(tables);
            FamilyUsage {
                family: family.name(),
                tables_live,
                tables_dead: tables - tables_live,
                blobs_live,
                blobs_dead: blobs - blobs_live,
            }
        };
        Family::ALL.into_iter().map(of_family).collect()
    }

    /// About how many bytes the tables have of keys with these prefixes; what is in memtables or blobs is not counted.
    pub fn table_bytes(&self, family: Family, prefixes: &[Vec<u8>]) -> u64 {
        let bounds = prefixes.iter().filter_map(|prefix| {
            let last = [prefix.as_slice(), &[u8::MAX; 9]].concat();
            Some((prefix, last, key::successor(prefix)?))
        });
        let bounds: Vec<_> = bounds.collect();
        // A table that holds nothing but removals counts with its whole length in every range that it reaches across: also in one behind
        // all of our keys.
        let ranges = bounds.iter().flat_map(|(first, last, end)| {
            [
                Range::new(first.as_slice(), end),
                Range::new(last.as_slice(), end),
            ]
        });
        let ranges: Vec<Range<'_>> = ranges.collect();
        let sizes = self
            .db
            .get_approximate_sizes_cf(self.handle(family), &ranges);
        let sizes = sizes.chunks_exact(2);
        sizes.map(|of| of[0].saturating_sub(of[1])).sum()
    }

    /// About how many point rows have these prefixes: those of all collections, by their part of the tables.
    pub fn rows_about(&self, prefixes: &[Vec<u8>]) -> u64 {
        let keys = self.property(Family::Points, "rocksdb.estimate-num-keys");
        let tables = self.property(Family::Points, "rocksdb.total-sst-files-size");
        let ours = self.table_bytes(Family::Points, prefixes);
        match tables {
            0 => keys,
            _ => (u128::from(keys) * u128::from(ours.min(tables)) / u128::from(tables)) as u64,
        }
    }

    /// Writes all memtables to tables, so that their memory and the write-ahead log can go. Writes go on meanwhile.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn flush(&self) -> Result<()> {
        Family::ALL
            .into_iter()
            .try_for_each(|family| self.flush_family(family))
    }

    pub(super) fn flush_family(&self, family: Family) -> Result<()> {
        self.db
            .flush_cf_opt(self.handle(family), &FlushOptions::default())
            .context("flush memtables")
    }

    /// Rewrites what the tables have of keys with this prefix without what was deleted. Takes as long as that takes; reads and writes go on.
    pub fn compact(&self, family: Family, prefix: &[u8]) {
        let Some(end) = key::successor(prefix) else {
            return;
        };
        let mut options = CompactOptions::default();
        // Other compactions need not wait for it.
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        self.db
            .compact_range_cf_opt(self.handle(family), Some(prefix), Some(end), &options);
    }

    pub(super) fn property(&self, family: Family, name: &str) -> u64 {
        let value = self.db.property_int_value_cf(self.handle(family), name);
        value.ok().flatten().unwrap_or(0)
    }
}
