//! Segments to files, in the background: sealing, merging, and the manifest.

use std::ops::Range;
use std::sync::Arc;

use index::Offset;
use parking_lot::RwLockWriteGuard;

use super::{Collection, WorkKind};
use crate::Location;
use crate::budget::Purpose;
use crate::error::{ErrorKind, Result};
use crate::payload_cache::Row;
use crate::point::PointId;
use crate::segment::folder::LargeColumns;
use crate::segment::{Origins, Segment, Source, policy};

/// A file of so many bytes is written whatever it gives back: what it covers need not be kept elsewhere.
const SMALL_BYTES: u64 = 16 << 20;

/// How much of what is due is done in one step.
#[derive(Copy, Clone, Debug)]
enum Portion {
    /// What the policy says.
    Planned,
    /// The least of it, where the disk has no room for all.
    Smallest,
}

impl Collection {
    /// Does the next thing that is due: a structure that a start left out, a sealing or merge, or the manifest. Searches and writes go on
    /// meanwhile.
    pub(crate) fn build_step(&self) -> Result<bool> {
        #[cfg(test)]
        if self.is_paused.load(std::sync::atomic::Ordering::SeqCst) {
            return Ok(false);
        }
        let _sealing = self.sealing.lock();
        #[cfg(test)]
        assert!(
            !self
                .panics_when_built
                .load(std::sync::atomic::Ordering::SeqCst),
            "a bug of this test"
        );
        let done = self.seal();
        self.claims.update(&self.state.read());
        match done {
            // Deleted meanwhile, with its files.
            Err(_) if self.folder.is_removed() => Ok(false),
            done => {
                let failure = done.as_ref().err().map(ToString::to_string);
                self.work.set_failure(failure);
                done
            }
        }
    }

    fn seal(&self) -> Result<bool> {
        if self.folder.is_removed() {
            return Ok(false);
        }
        self.work.set_waiting(None);
        if self.build_lacking_trees() {
            return Ok(true);
        }
        let done = match self.merge_next(Portion::Planned) {
            // Less may fit, and make room for more.
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                let less = self.merge_next(Portion::Smallest)?;
                if !less {
                    return Err(error);
                }
                less
            }
            done => done?,
        };
        if done || self.state.read().must_save() {
            self.save()?;
            return Ok(true);
        }
        // Last: they only make scans faster, and what waits here may hold writes up.
        Ok(self.build_lacking_approximations())
    }

    /// Seals and merges what is due, or some of it; false if nothing is.
    fn merge_next(&self, portion: Portion) -> Result<bool> {
        let Some((uid, sources)) = self.begin(portion) else {
            return Ok(false);
        };
        let merged = self.merge(uid, &sources);
        self.state.write().end_building();
        merged.map(|()| true)
    }

    /// Builds the k-d trees of one segment that a start left out, if there is one for which there is memory.
    fn build_lacking_trees(&self) -> bool {
        let lacking = self.state.read().lacking_trees();
        lacking.iter().any(|segment| {
            let _work = self.work.begin(WorkKind::Build, segment.len(), None);
            self.build_trees(segment)
        })
    }

    /// The same for approximations of rows that are scanned for good, when no rows come.
    fn build_lacking_approximations(&self) -> bool {
        let state = self.state.read();
        if !policy::is_quiet(state.growing_size()) {
            return false;
        }
        let lacking = state.lacking_approximations();
        drop(state);
        lacking.iter().any(|segment| {
            let _work = self.work.begin(WorkKind::Build, segment.len(), None);
            self.approximate(segment)
        })
    }

    /// Approximates the rows of a segment that are scanned; false if there are none, or no memory for it: scans read all numbers then.
    fn approximate(&self, segment: &Segment) -> bool {
        let bytes = segment.lacking_approximation_bytes();
        let budget = self.store.budget();
        if bytes == 0 || bytes > budget.left_for_builds() {
            return false;
        }
        let _claim = budget.claim(Purpose::Builds, bytes);
        segment.approximate();
        true
    }

    /// Builds the k-d trees that a segment lacks; false if there is no memory for it: scans answer until there is.
    fn build_trees(&self, segment: &Segment) -> bool {
        let budget = self.store.budget();
        let bytes = segment.trees_bytes();
        if bytes > budget.left_for_builds() {
            self.wait_for_memory("an index", segment.len(), bytes);
            return false;
        }
        let _claim = budget.claim(Purpose::Builds, bytes);
        segment.build_trees();
        true
    }

    fn wait_for_memory(&self, what: &str, rows: usize, bytes: u64) {
        let lack = self.lack_of_memory(what, rows, bytes);
        self.work.set_waiting(Some(lack));
    }

    /// What waits for memory, in words.
    pub(super) fn lack_of_memory(&self, what: &str, rows: usize, bytes: u64) -> String {
        let left = self.store.budget().left_for_builds();
        format!(
            "{what} of {rows} rows takes {} MiB, and {} MiB are left of the memory budget; delete points or collections, or start with a larger \
             --memory",
            bytes.div_ceil(1 << 20),
            left >> 20
        )
    }

    /// What is to be made a segment now: what the policy says, as far as there is memory for it.
    fn begin(&self, portion: Portion) -> Option<(u64, Vec<Source>)> {
        let left = self.store.budget().left_for_builds();
        let orphans = self.folder.orphans();
        let mut state = self.state.write();
        let plan = match portion {
            Portion::Planned => state.plan(&orphans)?,
            Portion::Smallest => state.smallest_plan(&orphans)?,
        };
        let planned = plan.merge.len();
        let (rows, bytes) = state.cost(&plan);
        let plan = state.fitting(plan, left, &orphans);
        let chosen = plan.as_ref().map_or(0, |plan| plan.merge.len());
        if chosen < planned {
            self.wait_for_memory("a merge", rows, bytes);
        }
        Some(state.begin_building(&self.config(), &plan?))
    }

    /// Removes the files, and makes no more: somebody else has the folder from now on.
    pub(crate) fn abandon_files(&self) {
        let _sealing = self.sealing.lock();
        self.remove_files();
    }

    /// Does all that is due as if nothing had been written for a while.
    #[cfg(test)]
    pub(crate) fn seal_now(&self) {
        let _sealing = self.sealing.lock();
        self.state.write().rest();
        while self.seal().unwrap() {
            self.state.write().rest();
        }
    }

    fn merge(&self, uid: u64, sources: &[Source]) -> Result<()> {
        if sources.iter().all(|source| source.live.count() == 0) {
            self.state.write().forget_dead();
            return Ok(());
        }
        let held = sources.iter().map(|source| source.segment.merge_bytes());
        let _claim = self.store.budget().claim(Purpose::Builds, held.sum());
        let rows = sources.iter().map(|source| source.live.count()).sum();
        let kind = match sources {
            [source] if !source.segment.is_sealed() => WorkKind::Seal,
            _ => WorkKind::Merge,
        };
        let _work = self
            .work
            .begin(kind, rows, Some((uid, live_bytes(sources))));
        let large = LargeColumns {
            bytes_min: self.env.linked_bytes_min(),
            flush: &|| self.store.flush_vectors_if_room(),
        };
        let room = |takes| self.ensure_space_for(sources, takes);
        let elapsed = || self.env.elapsed();
        let written =
            self.folder
                .write_segment(uid, &self.config(), sources, &large, &room, &elapsed);
        let (segment, origins) = match written {
            Err(error) if error.kind() == ErrorKind::Corrupted => {
                tracing::warn!(%error, collection = self.name(), "a segment file is damaged; its rows are read from the store again");
                return self.rescue(sources);
            }
            written => written?,
        };
        self.build_trees(&segment);
        // Of rows that nobody searches a load pays nothing for.
        if sources
            .iter()
            .any(|source| source.segment.is_approximated())
        {
            self.approximate(&segment);
        }
        segment.seed_graphs(sources, &origins);
        let merged = sources.iter().map(|source| source.segment.uid);
        self.inspections.carry(merged, uid);
        self.state.write().add_merged(segment);
        let mut first = 0;
        loop {
            let mut state = self.state.write();
            let next = state.move_rows(uid, &origins, first);
            // Handed on to whoever waits, so that writes and searches come in between.
            RwLockWriteGuard::unlock_fair(state);
            self.rename_payloads(uid, &origins, first..next.unwrap_or(origins.len()));
            match next {
                Some(next) => {
                    self.work.moved(next);
                    first = next;
                }
                None => return Ok(()),
            }
        }
    }

    /// Has the payloads that were read of rows read of their copies in a merged segment.
    fn rename_payloads(&self, uid: u64, origins: &Origins, moved: Range<usize>) {
        let row = |uid, offset| Row {
            collection: self.id,
            location: Location { uid, offset },
        };
        let copies = moved.clone().zip(&origins[moved]);
        let pairs = copies.map(|(at, &(from, old))| (row(from, old), row(uid, at as Offset)));
        self.store.payloads().rename(pairs);
    }

    /// Checks that there is room for a file of so many bytes, of the sources' live rows. A small one, or one that takes the place of larger ones, may
    /// use the reserve.
    fn ensure_space_for(&self, sources: &[Source], takes: u64) -> Result<()> {
        let sealed = sources.iter().filter(|source| source.segment.is_sealed());
        let own: usize = sealed.map(|source| source.segment.mapped_bytes()).sum();
        let orphans = self.folder.orphans();
        let mut sealed = sources.iter().map(|source| &source.segment);
        // As a rule, no other segment uses them.
        let held = match sealed.any(|segment| segment.uses_any(&orphans)) {
            true => self.folder.held_bytes(),
            false => 0,
        };
        if takes <= own as u64 + held {
            self.store.ensure_space_for_sure_gain(takes)
        } else if takes <= SMALL_BYTES {
            self.store.ensure_space_for_freeing(takes)
        } else {
            self.store.ensure_space_for_file(takes)
        }
    }

    /// Brings the live rows of damaged segments into the growing segment, from the store.
    fn rescue(&self, sources: &[Source]) -> Result<()> {
        for source in sources {
            if source.segment.verify().is_err() {
                self.rescue_segment(&source.segment)?;
            }
        }
        self.state.write().forget_dead();
        Ok(())
    }

    fn rescue_segment(&self, segment: &Arc<Segment>) -> Result<()> {
        let located: Vec<(PointId, index::Offset)> = segment.ids().cloned().zip(0..).collect();
        let _work = self.work.begin(WorkKind::Rebuild, located.len(), None);
        let mut done = 0;
        for rows in located.chunks(super::load::LOAD_ROWS) {
            self.work.moved(done);
            done += rows.len();
            for (id, offset) in rows {
                let partition = segment.partition(*offset);
                let row = crate::apply::read_row(&self.store, partition, self.id, id)?;
                let vectors = self.read_vectors(partition, row.iter(), |_| true)?;
                let mut state = self.state.write();
                let at = state.ids.get(id).copied();
                if at.is_none_or(|at| at.uid != segment.uid || at.offset != *offset) {
                    continue;
                }
                match row.iter().zip(&vectors).next() {
                    Some((row, vectors)) => {
                        state.upsert_again(id.clone(), row, partition, vectors);
                    }
                    None => state.remove(id),
                }
            }
        }
        Ok(())
    }

    /// Writes the manifest of what is sealed now. What it covers is made durable in the store first, so that no manifest is ahead of it.
    fn save(&self) -> Result<()> {
        let (manifest, changes) = self.state.write().manifest();
        self.store.sync_noted()?;
        self.folder.write_manifest(&manifest)?;
        *self.covered.lock() = manifest.covered;
        self.state.write().note_saved(changes);
        Ok(())
    }
}

/// About how long the file of the sources' live rows will be.
fn live_bytes(sources: &[Source]) -> u64 {
    let of_source = |source: &Source| {
        let segment = &source.segment;
        let bytes = segment.heap_bytes() + segment.mapped_bytes();
        bytes as u64 * source.live.count() as u64 / segment.len().max(1) as u64
    };
    sources.iter().map(of_source).sum()
}
