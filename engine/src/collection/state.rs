//! What changes with every write, and the view that a search takes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use index::{BitSet, Offset};

use super::table::{self, Table};
use crate::config::CollectionConfig;
use crate::expiry::Expiry;
use crate::planted::{Bug, is_planted};
use crate::point::{PointId, Vector};
use crate::segment::manifest::{LiveSegment, Manifest};
use crate::segment::policy::{self, GrowingSize, Plan, Size};
use crate::segment::{Positions, Segment, Source};
use crate::storage::record::PointRow;
use crate::{Location, PARTITIONS, Partition};

/// Rows that move to a merged segment under one lock: about a millisecond.
const MOVED_ROWS: usize = 8192;

/// Places below which the table of ids is never made smaller.
const TABLE_SHRINK_MIN: usize = 1 << 16;

/// The table of ids and the segments.
pub(crate) struct State {
    pub ids: Table,
    pub expiry: Expiry,
    /// Rows at which the growing segment is closed.
    seal_rows: usize,
    /// Bytes of vectors at which it is.
    seal_bytes: usize,
    /// Whether it is to be closed soon, small as it is.
    seal_asked: bool,
    /// Segments that take no more rows, oldest first.
    frozen: Vec<Part>,
    growing: Part,
    /// Index of the last entry of each partition that touched this collection.
    applied: Positions,
    next_uid: u64,
    last_write: Instant,
    building: bool,
    /// Changes that the manifest does not cover yet.
    unsaved: usize,
}

/// A segment and which of its rows are live. Cloning is cheap, and a clone stays as it is.
#[derive(Clone)]
pub(crate) struct Part {
    pub segment: Arc<Segment>,
    pub live: Arc<BitSet>,
    /// Of a segment that is no file yet: the positions when it began to take rows.
    begin: Arc<Positions>,
}

impl Part {
    fn growing(uid: u64, config: &CollectionConfig, begin: Positions) -> Self {
        Self {
            segment: Arc::new(Segment::growing(uid, config)),
            live: Arc::new(BitSet::new(0)),
            begin: Arc::new(begin),
        }
    }

    /// A segment from a file.
    pub fn sealed(segment: Segment, live: BitSet) -> Self {
        Self {
            segment: Arc::new(segment),
            live: Arc::new(live),
            begin: Arc::new([0; PARTITIONS as usize]),
        }
    }

    /// The live rows; `None` if all are.
    pub fn live_set(&self) -> Option<&BitSet> {
        (self.live.count() < self.live.len()).then_some(&*self.live)
    }

    fn source(&self) -> Source {
        Source {
            segment: self.segment.clone(),
            live: self.live.clone(),
        }
    }
}

/// All segments at one moment, the growing one last.
pub(crate) struct View {
    pub parts: Vec<Part>,
}

impl View {
    /// The segment with this number, if it was there.
    pub fn segment(&self, uid: u64) -> Option<&Segment> {
        let part = self.parts.iter().find(|part| part.segment.uid == uid)?;
        Some(&part.segment)
    }
}

impl State {
    /// No rows.
    pub fn new(config: &CollectionConfig, seal_rows: usize, seal_bytes: usize) -> Self {
        let zeros = [0; PARTITIONS as usize];
        Self {
            ids: Table::default(),
            expiry: Expiry::default(),
            seal_rows,
            seal_bytes,
            seal_asked: false,
            frozen: Vec::new(),
            growing: Part::growing(1, config, zeros),
            applied: zeros,
            next_uid: 2,
            last_write: Instant::now(),
            building: false,
            unsaved: 0,
        }
    }

    /// The rows of these segments, which are what the log says up to `covered`.
    #[must_use]
    pub fn with_parts(
        &self,
        config: &CollectionConfig,
        frozen: Vec<Part>,
        ids: Table,
        covered: Positions,
        next_uid: u64,
    ) -> Self {
        Self {
            ids,
            expiry: Expiry::default(),
            seal_rows: self.seal_rows,
            seal_bytes: self.seal_bytes,
            seal_asked: false,
            frozen,
            growing: Part::growing(next_uid, config, covered),
            applied: covered,
            next_uid: next_uid.saturating_add(1),
            last_write: Instant::now(),
            building: false,
            unsaved: 0,
        }
    }

    /// Every row as it is now.
    pub fn view(&self) -> View {
        let parts = self.frozen.iter().chain([&self.growing]);
        View {
            parts: parts.cloned().collect(),
        }
    }

    /// The segment with this number.
    pub fn segment(&self, uid: u64) -> &Segment {
        if uid == self.growing.segment.uid {
            return &self.growing.segment;
        }
        let part = self.frozen.iter().find(|part| part.segment.uid == uid);
        &part
            .expect("the table of ids names segments that are there")
            .segment
    }

    pub fn upsert(
        &mut self,
        id: PointId,
        row: &PointRow,
        partition: Partition,
        vectors: &BTreeMap<String, Vector>,
    ) {
        self.unsaved += 1;
        self.expiry.forget(&id);
        let segment = Arc::make_mut(&mut self.growing.segment);
        let offset = segment.push(id.clone(), row, partition, vectors);
        let uid = segment.uid;
        let live = Arc::make_mut(&mut self.growing.live);
        live.grow(offset as usize + 1);
        live.insert(offset);
        // Looked up once: the table is far larger than the caches.
        if let Some(before) = self.ids.insert(id, Location { uid, offset }) {
            self.bury(before);
        }
    }

    /// As [`Self::upsert`] of a row whose log entry may be covered and purged already.
    pub fn upsert_again(
        &mut self,
        id: PointId,
        row: &PointRow,
        partition: Partition,
        vectors: &BTreeMap<String, Vector>,
    ) {
        // No manifest covers anything until this segment is sealed.
        self.growing.begin = Arc::new([0; PARTITIONS as usize]);
        self.upsert(id, row, partition, vectors);
    }

    /// Log index of the write that made the point.
    pub fn version(&self, id: &PointId) -> Option<u64> {
        let location = self.ids.get(id)?;
        Some(self.segment(location.uid).version(location.offset))
    }

    /// Takes the points whose time has come out of the rows. Time O(log points that end) for each.
    pub fn hide_expired(&mut self, now_ms: u64) {
        while let Some(id) = self.expiry.pop_due(now_ms) {
            if let Some(location) = self.ids.get(&id) {
                let partition = self.segment(location.uid).partition(location.offset);
                self.remove(&id);
                self.expiry.hide(id, partition);
            }
        }
    }

    pub fn remove(&mut self, id: &PointId) {
        self.unsaved += 1;
        self.expiry.forget(id);
        if let Some(location) = self.ids.remove(id) {
            self.bury(location);
        }
    }

    /// Takes a row out of the live ones.
    fn bury(&mut self, location: Location) {
        let part = if location.uid == self.growing.segment.uid {
            &mut self.growing
        } else {
            let part = self
                .frozen
                .iter_mut()
                .find(|part| part.segment.uid == location.uid);
            part.expect("the table of ids names segments that are there")
        };
        Arc::make_mut(&mut part.live).remove(location.offset);
    }

    /// Notes that everything of the partition up to `index` is in.
    pub fn note_applied(&mut self, partition: Partition, index: u64) {
        let applied = &mut self.applied[usize::from(partition.0)];
        *applied = index.max(*applied);
    }

    /// Ends a batch of changes: closes the growing segment if it is full.
    pub fn finish_write(&mut self, config: &CollectionConfig) {
        self.last_write = Instant::now();
        if self.growing_size().is_full() {
            self.freeze(config);
        }
    }

    pub fn growing_size(&self) -> GrowingSize {
        let segment = &self.growing.segment;
        GrowingSize {
            rows: segment.len(),
            rows_max: self.seal_rows,
            bytes: segment.heap_bytes(),
            bytes_max: self.seal_bytes,
            idle: if self.seal_asked {
                policy::SEAL_AGE.max(self.last_write.elapsed())
            } else {
                self.last_write.elapsed()
            },
            unsaved: self.unsaved,
        }
    }

    /// Has the growing segment closed at the next step.
    pub fn ask_to_seal(&mut self) {
        self.seal_asked = self.growing.segment.len() > 0;
    }

    /// As if the last write were long ago.
    #[cfg(test)]
    pub fn rest(&mut self) {
        self.last_write -= policy::SEAL_AGE;
    }

    /// Index of the last entry of each partition that touched this collection.
    #[cfg(test)]
    pub fn applied_positions(&self) -> Positions {
        self.applied
    }

    /// Whether a segment is being built.
    pub fn is_building(&self) -> bool {
        self.building
    }

    /// Marks the end of building.
    pub fn end_building(&mut self) {
        self.building = false;
    }

    /// `orphans` are links to files that the store has no more.
    fn sizes(&self, orphans: &BTreeSet<u64>) -> Vec<Size> {
        let size = |part: &Part| Size {
            live: part.live.count(),
            total: part.segment.len(),
            sealed: part.segment.is_sealed(),
            orphaned: part.segment.uses_any(orphans),
        };
        self.frozen.iter().map(size).collect()
    }

    /// What is due by the policy, whatever memory it takes. `orphans` are links to files that the store has no more.
    pub fn plan(&self, orphans: &BTreeSet<u64>) -> Option<Plan> {
        policy::plan(&self.sizes(orphans), self.growing_size())
    }

    /// The least of what is due that can be done by itself, if that is less than the plan.
    pub fn smallest_plan(&self, orphans: &BTreeSet<u64>) -> Option<Plan> {
        let smallest = policy::smallest(&self.sizes(orphans))?;
        (self.plan(orphans)? != smallest).then_some(smallest)
    }

    /// Whether segments that take no more rows are in no file yet.
    pub fn has_unsealed(&self) -> bool {
        self.frozen.iter().any(|part| !part.segment.is_sealed())
    }

    /// How many rows a plan is about, and what it costs.
    pub fn cost(&self, plan: &Plan) -> (usize, u64) {
        let merged = plan.merge.iter().map(|&at| &self.frozen[at]);
        merged.fold((0, 0), |(rows, bytes), part| {
            (rows + part.live.count(), bytes + part.segment.merge_bytes())
        })
    }

    /// What of the plan fits what is left of the memory budget.
    pub fn fitting(&self, plan: Plan, left: u64, orphans: &BTreeSet<u64>) -> Option<Plan> {
        let costs = self.frozen.iter().map(|part| part.segment.merge_bytes());
        let costs: Vec<u64> = costs.collect();
        policy::fit(plan, &self.sizes(orphans), &costs, left)
    }

    /// Begins what is planned: the number of the new segment, and what to make it of.
    pub fn begin_building(&mut self, config: &CollectionConfig, plan: &Plan) -> (u64, Vec<Source>) {
        let chosen = plan.merge.iter().map(|&at| self.frozen[at].source());
        let mut sources: Vec<Source> = chosen.collect();
        if plan.seal {
            self.freeze(config);
            sources.extend(self.frozen.last().map(Part::source));
        }
        self.building = true;
        (self.take_uid(), sources)
    }

    fn take_uid(&mut self) -> u64 {
        let uid = self.next_uid;
        self.next_uid += 1;
        uid
    }

    /// Closes the growing segment and begins a new one.
    fn freeze(&mut self, config: &CollectionConfig) {
        self.seal_asked = false;
        let next = Part::growing(self.take_uid(), config, self.applied);
        let full = std::mem::replace(&mut self.growing, next);
        self.frozen.push(full);
    }

    /// Takes in a merged segment, none of its rows live yet: [`Self::move_rows`] brings them over.
    pub fn add_merged(&mut self, segment: Segment) {
        let live = BitSet::new(segment.len());
        self.frozen.push(Part::sealed(segment, live));
    }

    /// Makes rows of a merged segment from `first` on live, a few thousand, in the place of those that they came from. Rows that died or
    /// moved while it was built stay dead in it. Answers where to go on; `None` at the end, when sources without live rows are gone.
    pub fn move_rows(
        &mut self,
        uid: u64,
        origins: &[(u64, Offset)],
        first: usize,
    ) -> Option<usize> {
        let end = origins.len().min(first + MOVED_ROWS);
        let merged = self.part_at(uid);
        let segment = self.frozen[merged].segment.clone();
        let mut moved: Vec<(u64, Offset)> = Vec::new();
        for (at, &(from, old)) in (first..end).zip(&origins[first..end]) {
            let offset = at as Offset;
            if let Some(location) = self.ids.get_mut(segment.id(offset))
                && *location
                    == (Location {
                        uid: from,
                        offset: old,
                    })
            {
                *location = Location { uid, offset };
                Arc::make_mut(&mut self.frozen[merged].live).insert(offset);
                moved.push((from, old));
            } else if is_planted(Bug::DropTombstones) && !self.ids.contains_key(segment.id(offset))
            {
                let id = segment.id(offset).clone();
                self.ids.insert(id, Location { uid, offset });
                Arc::make_mut(&mut self.frozen[merged].live).insert(offset);
            }
        }
        // A part is found once for all of its rows.
        moved.sort_unstable();
        for rows in moved.chunk_by(|a, b| a.0 == b.0) {
            let from = self.part_at(rows[0].0);
            let live = Arc::make_mut(&mut self.frozen[from].live);
            for &(_, old) in rows {
                live.remove(old);
            }
        }
        if end < origins.len() {
            return Some(end);
        }
        self.forget_dead();
        None
    }

    /// Drops segments without live rows, and room in the table that deletes have left: when three quarters of it are free, so that it is moved
    /// seldom.
    pub fn forget_dead(&mut self) {
        self.frozen.retain(|part| part.live.count() > 0);
        if self.ids.capacity() > TABLE_SHRINK_MIN.max(4 * self.ids.len()) {
            self.ids.shrink_to(2 * self.ids.len());
        }
    }

    fn part_at(&self, uid: u64) -> usize {
        let at = self.frozen.iter().position(|part| part.segment.uid == uid);
        at.expect("segments under construction stay until they are replaced")
    }

    /// What the sealed segments hold now, and how many of the changes that were not saved it covers.
    pub fn manifest(&mut self) -> (Manifest, usize) {
        if self.growing.segment.len() == 0 {
            // What this manifest covers may be purged: a later one, when there are rows here, must not cover less.
            self.growing.begin = Arc::new(self.applied);
        }
        let mut covered = self.applied;
        let unsealed = self.frozen.iter().filter(|part| !part.segment.is_sealed());
        let growing = [&self.growing];
        let growing = growing.into_iter().filter(|part| part.segment.len() > 0);
        for part in unsealed.chain(growing) {
            for (covered, begin) in covered.iter_mut().zip(&*part.begin) {
                *covered = (*begin).min(*covered);
            }
        }
        let sealed = self.frozen.iter().filter(|part| part.segment.is_sealed());
        let links = sealed.clone().flat_map(|part| part.segment.links());
        let links: BTreeSet<u64> = links.map(|(number, _)| number).collect();
        let manifest = Manifest {
            next: self.next_uid,
            covered,
            links: links.into_iter().collect(),
            segments: sealed
                .map(|part| LiveSegment::new(part.segment.uid, &part.live))
                .collect(),
        };
        (manifest, self.unsaved)
    }

    /// Notes that a manifest of so many unsaved changes is on disk.
    pub fn note_saved(&mut self, changes: usize) {
        self.unsaved = self.unsaved.saturating_sub(changes);
    }

    /// Whether changes wait for a manifest that no sealing will bring.
    pub fn must_save(&self) -> bool {
        policy::save_due(self.growing_size())
    }

    /// Bytes on the heap: of rows that are in no file yet, and of what stays there when they are. Time O(segments).
    pub fn held_bytes(&self) -> (u64, u64) {
        let all = self.frozen.iter().chain([&self.growing]);
        let (sealed, growing): (Vec<&Part>, Vec<&Part>) =
            all.partition(|part| part.segment.is_sealed());
        let sum = |parts: &[&Part]| -> u64 {
            let bytes = parts.iter().map(|part| {
                let segment = &part.segment;
                (segment.heap_bytes() + segment.approximation_bytes_max()) as u64
            });
            bytes.sum()
        };
        (sum(&growing), sum(&sealed) + self.table_bytes())
    }

    /// Bytes of the table of ids, of the sets of live rows, and of when points end.
    pub fn table_bytes(&self) -> u64 {
        let parts = self.frozen.iter().chain([&self.growing]);
        let live: u64 = parts.map(|part| part.live.len() as u64 / 8).sum();
        table::heap_bytes(&self.ids) + live + self.expiry.heap_bytes()
    }

    /// By how many bytes the table grows with so many more points, the old one included, which is there until the new one is filled.
    pub fn table_growth(&self, points: usize) -> u64 {
        if self.ids.len() + points <= self.ids.capacity() {
            return 0;
        }
        let (ids, points) = (self.ids.len() as u64, points as u64);
        // It doubles until they fit.
        2 * table::heap_bytes(&self.ids).max((ids + points) * table::ENTRY_BYTES)
    }

    /// The sealed segment with this number, if it is there.
    pub fn sealed_part(&self, uid: u64) -> Option<Part> {
        let mut sealed = self.frozen.iter().filter(|part| part.segment.is_sealed());
        sealed.find(|part| part.segment.uid == uid).cloned()
    }

    /// Sealed segments whose k-d trees are not built.
    pub fn lacking_trees(&self) -> Vec<Arc<Segment>> {
        self.sealed_segments(Segment::lacks_trees)
    }

    /// Sealed segments with rows that are scanned for good, and in full.
    pub fn lacking_approximations(&self) -> Vec<Arc<Segment>> {
        self.sealed_segments(Segment::lacks_approximations)
    }

    /// Sealed segments whose graphs are not built.
    pub fn lacking_graphs(&self) -> Vec<Arc<Segment>> {
        self.sealed_segments(|segment| segment.lacking_graph().is_some())
    }

    fn sealed_segments(&self, chosen: impl Fn(&Segment) -> bool) -> Vec<Arc<Segment>> {
        let segments = self.frozen.iter().map(|part| &part.segment);
        segments
            .filter(|segment| chosen(segment))
            .cloned()
            .collect()
    }
}
