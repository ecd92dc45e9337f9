//! What a collection takes, by part, and what of the memory budget it holds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::state::State;
use super::{Collection, View};
use crate::Partition;
use crate::budget::Claim;
use crate::error::Result;
use crate::point::{Point, PointId};
use crate::storage::record::GarbageList;
use crate::storage::{Family, Store, Visit, codec, key};
use crate::usage::{CollectionUsage, Parts};

/// Values of this size or more stand in blob files; see the store.
const BLOB_BYTES_MIN: u64 = crate::storage::BLOB_BYTES_MIN;
/// What a row of a growing segment takes beside its vectors: id, version, partition.
const ROW_BYTES: u64 = size_of::<PointId>() as u64 + 10;

/// What a collection holds of the budget.
pub(super) struct Claims {
    growing: Claim,
    kept: Claim,
    /// Points of the last write, if it was refused.
    refused: AtomicUsize,
}

impl Claims {
    pub fn none(budget: &std::sync::Arc<crate::budget::Budget>) -> Self {
        use crate::budget::Purpose;
        Self {
            growing: budget.claim(Purpose::Growing, 0),
            kept: budget.claim(Purpose::Collections, 0),
            refused: AtomicUsize::new(0),
        }
    }

    /// Notes what the rows hold now. Time O(segments).
    pub fn update(&self, state: &State) {
        let (growing, kept) = state.held_bytes();
        self.growing.set(growing);
        self.kept.set(kept);
    }
}

impl Collection {
    /// What it takes now.
    ///
    /// - Time O(segments), O(rows) if ids are strings, and O(entries of the log) for what waits for its purge.
    ///
    /// # Errors
    ///
    /// What RocksDB says.
    pub fn usage(&self) -> Result<CollectionUsage> {
        let superseded = superseded_vectors(&self.store)?;
        Ok(self.usage_beside(&superseded))
    }

    /// The same, when [`superseded_vectors`] are known.
    pub(crate) fn usage_beside(&self, superseded: &HashMap<u32, u64>) -> CollectionUsage {
        let state = self.state();
        let mut memory_bytes: Parts = [("table", state.table_bytes())].into_iter().collect();
        let view = state.view();
        drop(state);
        let mut mapped_bytes = Parts::default();
        for part in &view.parts {
            part.segment.add_memory(&mut memory_bytes);
            part.segment.add_mapped(&mut mapped_bytes);
            let rows = part.segment.row_bytes(&part.live);
            mapped_bytes.add("linked_vectors", rows.linked as u64);
        }
        let superseded = superseded.get(&self.id.0).copied().unwrap_or(0);
        CollectionUsage {
            memory_bytes,
            mapped_bytes,
            disk_bytes: self.disk_bytes(&view, superseded),
        }
    }

    fn disk_bytes(&self, view: &View, superseded: u64) -> Parts {
        let prefixes: Vec<Vec<u8>> = Partition::all()
            .map(|partition| key::collection_prefix(partition, self.id))
            .collect();
        let tables = |family| self.store.table_bytes(family, &prefixes);
        let mut parts = Parts::default();
        parts.add("rows", tables(Family::Points) + tables(Family::Changes));
        parts.add("vectors", tables(Family::Vectors) + blob_bytes(view));
        let media = tables(Family::Media);
        parts.add("media", media + self.media_blob_bytes(media));
        for part in &view.parts {
            let bytes = part.segment.mapped_bytes() as u64;
            let rows = part.segment.len().max(1) as u64;
            let live = bytes * part.live.count() as u64 / rows;
            parts.add("segments", live);
            parts.add("segments_dead", bytes - live);
        }
        parts.add("superseded", superseded * mean_vector_bytes(view));
        parts
    }

    /// About how many rows the store's tables have of it.
    pub(super) fn rows_about(&self) -> usize {
        let prefixes = Partition::all().map(|partition| key::collection_prefix(partition, self.id));
        let prefixes: Vec<Vec<u8>> = prefixes.collect();
        self.store.rows_about(&prefixes) as usize
    }

    /// Its part of the media blobs, by its part of their tables.
    fn media_blob_bytes(&self, table_bytes: u64) -> u64 {
        let families = self.store.families();
        let media = families.iter().find(|of| of.family == Family::Media.name());
        media.map_or(0, |media| {
            let tables = (media.tables_live + media.tables_dead).max(1);
            let share = u128::from(table_bytes.min(tables));
            (u128::from(media.blobs_live) * share / u128::from(tables)) as u64
        })
    }

    /// How many points are to be written, and what they bring: bytes of rows that grow, and bytes that stay on the heap.
    pub(crate) fn admission<'a>(
        &self,
        points: impl Iterator<Item = &'a Point>,
    ) -> (usize, u64, u64) {
        let (mut count, mut growing) = (0, 0);
        for point in points {
            count += 1;
            growing += ROW_BYTES + point.vector_bytes() as u64;
        }
        (count, growing, self.kept_bytes(count))
    }

    /// Notes whether there was room for so many new points.
    pub(crate) fn note_admission(&self, points: usize, is_refused: bool) {
        let refused = if is_refused { points } else { 0 };
        self.claims.refused.store(refused, Ordering::Relaxed);
    }

    /// Why the next point, or a write as the last one if that was refused, would be refused now, in words; `None` if it would not.
    pub(super) fn refusal(&self) -> Option<String> {
        let refused = self.claims.refused.load(Ordering::Relaxed);
        let kept = self.kept_bytes(refused.max(1));
        let refusal = self.store.budget().refusal(kept)?;
        Some(format!(
            "new points are refused (507): {}",
            refusal.message()
        ))
    }

    /// What so many new points leave on the heap for good.
    fn kept_bytes(&self, count: usize) -> u64 {
        let table = self.state.read().table_growth(count);
        table + (count * size_of::<PointId>()) as u64
    }

    /// Bytes of rows that are in no file yet.
    pub(crate) fn growing_bytes(&self) -> u64 {
        self.state.read().held_bytes().0
    }
}

/// Live values of vectors that are large enough for blob files.
fn blob_bytes(view: &View) -> u64 {
    let of_part = |part: &super::Part| {
        let rows = part.segment.len().max(1) as u64;
        let dense = part.segment.dense.values().map(|column| {
            let value = column.dim() as u64 * 4;
            let live = column.rows() as u64 * part.live.count() as u64 / rows;
            if value < BLOB_BYTES_MIN {
                0
            } else {
                live * value
            }
        });
        dense.sum::<u64>()
    };
    view.parts.iter().map(of_part).sum()
}

fn mean_vector_bytes(view: &View) -> u64 {
    let (mut values, mut bytes) = (0, 0);
    for part in &view.parts {
        for column in part.segment.dense.values() {
            values += column.rows() as u64;
            bytes += (column.rows() * column.dim()) as u64 * 4;
        }
        for column in part.segment.sparse.values() {
            values += column.rows() as u64;
            bytes += column.values_bytes() as u64;
        }
    }
    bytes / values.max(1)
}

/// How many vectors of each collection were replaced and wait until the log is purged past the entries that did it. Time O(entries of the log).
pub(crate) fn superseded_vectors(store: &Store) -> Result<HashMap<u32, u64>> {
    let mut counts = HashMap::new();
    for partition in Partition::all() {
        let prefix = key::garbage_prefix(partition);
        store.scan(Family::State, &prefix, &[], |_, value| {
            let list: GarbageList = codec::decode(value, "garbage list")?;
            for (collection, garbage) in list.values {
                if garbage.family() == Family::Vectors {
                    *counts.entry(collection).or_default() += 1;
                }
            }
            Ok(Visit::Next)
        })?;
    }
    Ok(counts)
}
