//! What the node takes, by part, and the admission of writes within the memory budget.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Engine;
use crate::budget::Claim;
use crate::collection::{Collection, Progress, superseded_vectors};
use crate::error::Result;
use crate::point::Point;
use crate::usage::{Background, CollectionUsage, FamilyUsage, Parts, Usage};

/// Room that a write has within the memory budget, as long as it is under way.
pub struct Admission {
    _claim: Claim,
}

impl Engine {
    /// What memory and disk are used for. Looks at every file's size and at what waits for the log's purge: tens of milliseconds.
    ///
    /// # Errors
    ///
    /// What RocksDB says.
    pub fn usage(&self) -> Result<Usage> {
        let superseded = superseded_vectors(&self.store)?;
        let ready = self.ready().into_iter();
        let collections: BTreeMap<String, CollectionUsage> = ready
            .map(|of| (of.name().to_owned(), of.usage_beside(&superseded)))
            .collect();
        let budget = self.store.budget().usage();
        let mut memory_bytes = self.store.memory();
        memory_bytes.add("builds", budget.builds);
        let mut mapped_bytes = Parts::default();
        for usage in collections.values() {
            memory_bytes.add_all(&usage.memory_bytes);
            mapped_bytes.add_all(&usage.mapped_bytes);
        }
        let families = self.store.families();
        Ok(Usage {
            collections,
            memory_bytes,
            mapped_bytes,
            disk_bytes: disk_bytes(self.store.dir(), &families),
            families,
            block_cache_pinned_bytes: self.store.block_cache_pinned_bytes(),
            budget,
            background: self.background(),
        })
    }

    /// Work in the background of the node.
    pub fn background(&self) -> Background {
        let loading = self.loading.lock();
        let loading = loading.iter().map(|(name, collection)| {
            let progress = collection.progress();
            (name.clone(), progress)
        });
        Background {
            threads: self.builder.threads(),
            loading: loading.collect::<BTreeMap<String, Progress>>(),
            reclaim_steps: self.reclaimer.steps_left(),
        }
    }

    /// Waits until points can be written to a collection within the memory budget; to be held until they are.
    ///
    /// # Errors
    ///
    /// `StorageFull` if what they leave on the heap does not fit, `Unavailable` if rows are not sealed as fast as they come.
    pub fn admit<'a>(
        &self,
        collection: &Collection,
        points: impl Iterator<Item = &'a Point>,
    ) -> Result<Admission> {
        let (count, growing, kept) = collection.admission(points);
        let budget = self.store.budget();
        let admitted = budget.admit(growing, kept, || self.make_room());
        collection.note_admission(count, admitted.is_err());
        let claim = admitted?;
        Ok(Admission { _claim: claim })
    }

    /// Has the largest growing segment sealed.
    fn make_room(&self) {
        let ready = self.ready();
        let largest = ready
            .iter()
            .max_by_key(|collection| collection.growing_bytes());
        if let Some(collection) = largest {
            collection.ask_to_seal();
            self.builder.wake(collection);
        }
    }
}

/// Every file of the data folder, once each whatever its names.
fn disk_bytes(data: &Path, families: &[FamilyUsage]) -> Parts {
    let mut seen = HashSet::new();
    let store = folder_bytes(&data.join("rocksdb"), &mut seen);
    let logs = store.get("log");
    let sum = |part: fn(&FamilyUsage) -> u64| families.iter().map(part).sum::<u64>();
    let mut parts: Parts = [
        ("tables_live", sum(|family| family.tables_live)),
        ("tables_dead", sum(|family| family.tables_dead)),
        ("blobs_live", sum(|family| family.blobs_live)),
        ("blobs_dead", sum(|family| family.blobs_dead)),
        ("write_ahead_log", logs),
    ]
    .into_iter()
    .collect();
    // Files come and go between the two counts.
    let others = store.sum().saturating_sub(parts.sum());
    for (part, folder) in [("segments", "segments"), ("archives", "snapshots")] {
        parts.add(part, folder_bytes(&data.join(folder), &mut seen).sum());
    }
    let rest = folder_bytes(data, &mut seen).sum();
    parts.add("other", others + rest);
    parts
}

/// Bytes of the files below a folder that were not seen yet, the write-ahead log's (`log`) apart from the `others`.
fn folder_bytes(folder: &Path, seen: &mut HashSet<(u64, u64)>) -> Parts {
    let mut parts = Parts::default();
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    for entry in entries.filter_map(std::result::Result::ok) {
        // A file that has gone meanwhile is none.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            parts.add_all(&folder_bytes(&entry.path(), seen));
        } else if seen.insert((metadata.dev(), metadata.ino())) {
            let is_log = entry.path().extension().is_some_and(|end| end == "log");
            parts.add(if is_log { "log" } else { "others" }, metadata.len());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_two_names_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["rocksdb", "segments/1", "snapshots/node/1/rocksdb"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        for (name, bytes) in [
            ("rocksdb/1.log", 10),
            ("rocksdb/2.sst", 200),
            ("rocksdb/CURRENT", 3),
            ("segments/1/1.segment", 4000),
            ("snapshots/node/1/rocksdb/3.sst", 50_000),
            ("guard", 600_000),
        ] {
            std::fs::write(at(name), vec![0; bytes]).unwrap();
        }
        let link = at("snapshots/node/1/rocksdb/2.sst");
        std::fs::hard_link(at("rocksdb/2.sst"), link).unwrap();
        let family = FamilyUsage {
            tables_live: 150,
            tables_dead: 50,
            ..FamilyUsage::default()
        };
        let parts = disk_bytes(dir.path(), &[family]);
        assert_eq!(parts.sum(), 654_213);
        for (part, bytes) in [
            ("tables_live", 150),
            ("tables_dead", 50),
            ("write_ahead_log", 10),
            ("segments", 4000),
            ("archives", 50_000),
            ("other", 600_003),
        ] {
            assert_eq!(parts.get(part), bytes, "{part}");
        }
    }
}
