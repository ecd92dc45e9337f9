//! What is done in the background for a collection, and how far it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use index::GRAPH_PAYS_FROM;
use parking_lot::Mutex;
use serde::Serialize;

use super::{Collection, Part};
use crate::segment::policy;

/// Of a merge, the share of its work that is writing the file; the rest is building structures and moving rows over.
const WRITING_SHARE: f64 = 0.7;

/// What building a graph takes for a row on one thread, about.
const GRAPH_ROW_SECONDS: f64 = 40e-6;

/// What is done in the background.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkKind {
    /// Rows that were written lately go into their first file.
    Seal,
    /// Several segments become one, or dead rows are dropped.
    Merge,
    /// A structure is built over a sealed segment: a graph, or a k-d tree that a start left out.
    Build,
    /// Rows of a damaged file are read from the store again.
    Rebuild,
}

/// What runs now.
#[derive(Copy, Clone, Debug, Serialize)]
pub struct Work {
    /// What it is.
    pub kind: WorkKind,
    /// How many rows it is about.
    pub rows: usize,
    /// Estimated share that is done, 0 to 1.
    pub share: f64,
    /// Seconds since it began.
    pub seconds: f64,
}

/// How far the background work of a collection is.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// Whether anything is left to do: running, due, or waiting for memory. Few rows of a growing segment that is neither full nor at rest are no work
    /// yet, because a structure would make no difference.
    pub pending: bool,
    /// Live rows.
    pub rows: usize,
    /// Of them, those in sealed segments whose structures are built.
    pub indexed_rows: usize,
    /// What runs now.
    pub running: Option<Work>,
    /// What waits for memory, or a graph for room on the disk, in words.
    pub waiting: Option<String>,
    /// Why the last step failed; it is tried again after a while.
    pub failure: Option<String>,
}

/// See [`Progress`]; kept by whoever works.
#[derive(Default)]
pub(super) struct WorkState {
    running: Mutex<Option<Running>>,
    /// Beside it, in a thread of its own.
    running_graph: Mutex<Option<Running>>,
    waiting: Mutex<Option<String>>,
    waiting_graph: Mutex<Option<String>>,
    failure: Mutex<Option<String>>,
    /// Rows that are through, of the last phase.
    moved: AtomicU64,
}

struct Running {
    kind: WorkKind,
    rows: usize,
    began: Instant,
    /// The file that is being written, and how long it will be.
    file: Option<(u64, u64)>,
}

impl WorkState {
    /// Notes what begins; it ends when the guard is dropped, and what it interrupted goes on. `file` is the number of the file that it writes and its bytes, about.
    pub fn begin(&self, kind: WorkKind, rows: usize, file: Option<(u64, u64)>) -> WorkGuard<'_> {
        self.moved.store(0, Ordering::Relaxed);
        let running = Running {
            kind,
            rows,
            began: Instant::now(),
            file,
        };
        let before = self.running.lock().replace(running);
        WorkGuard {
            state: self,
            before,
        }
    }

    /// Notes that a graph of so many rows is being built.
    pub fn begin_graph(&self, kind: WorkKind, rows: usize) {
        *self.running_graph.lock() = Some(Running {
            kind,
            rows,
            began: Instant::now(),
            file: None,
        });
    }

    /// Notes that it is built.
    pub fn end_graph(&self) {
        *self.running_graph.lock() = None;
    }

    /// Notes which graph waits for memory or room on the disk, or that none does.
    pub fn set_waiting_graph(&self, what: Option<String>) {
        *self.waiting_graph.lock() = what;
    }

    /// Notes how many rows are through.
    pub fn moved(&self, rows: usize) {
        self.moved.store(rows as u64, Ordering::Relaxed);
    }

    /// Notes what waits for memory, or that nothing does.
    pub fn set_waiting(&self, what: Option<String>) {
        *self.waiting.lock() = what;
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting.lock().is_some()
    }

    /// Notes why a step failed, or that it did not.
    pub fn set_failure(&self, why: Option<String>) {
        *self.failure.lock() = why;
    }
}

/// Work that runs as long as this lives.
pub(super) struct WorkGuard<'a> {
    state: &'a WorkState,
    before: Option<Running>,
}

impl Drop for WorkGuard<'_> {
    fn drop(&mut self) {
        *self.state.running.lock() = self.before.take();
    }
}

impl Collection {
    /// How far the background work is.
    pub fn progress(&self) -> Progress {
        let orphans = self.folder.orphans();
        let state = self.state();
        let is_large = state.growing_size().rows >= GRAPH_PAYS_FROM;
        let due = state.is_building()
            || state.has_unsealed()
            || is_large
            || state.plan(&orphans).is_some();
        let rows = state.ids.len();
        let view = state.view();
        drop(state);
        let indexed = view.parts.iter().filter(|part| part.segment.is_sealed());
        let lacking = |part: &Part| part.segment.lacks_structures();
        let pending_structures = view.parts.iter().any(lacking);
        let indexed = indexed.filter(|part| !lacking(part));
        let waiting = self.work.waiting.lock().clone();
        let waiting = waiting.or_else(|| self.work.waiting_graph.lock().clone());
        Progress {
            pending: due || pending_structures || waiting.is_some(),
            rows,
            indexed_rows: indexed.map(|part| part.live.count()).sum(),
            running: self.running().or_else(|| self.running_graph()),
            waiting,
            failure: self.work.failure.lock().clone(),
        }
    }

    fn running(&self) -> Option<Work> {
        let running = self.work.running.lock();
        let running = running.as_ref()?;
        let part = |done: u64, of: u64| (done as f64 / of.max(1) as f64).min(1.0);
        let moved = part(self.work.moved.load(Ordering::Relaxed), running.rows as u64);
        let share = match running.file {
            None => moved,
            Some((number, bytes)) => {
                let written = part(self.folder.written_bytes(number), bytes);
                WRITING_SHARE * written + (1.0 - WRITING_SHARE) * moved
            }
        };
        Some(Work {
            kind: running.kind,
            rows: running.rows,
            share,
            seconds: running.began.elapsed().as_secs_f64(),
        })
    }

    fn running_graph(&self) -> Option<Work> {
        let running = self.work.running_graph.lock();
        let running = running.as_ref()?;
        let seconds = running.began.elapsed().as_secs_f64();
        let expected = running.rows as f64 * GRAPH_ROW_SECONDS;
        Some(Work {
            kind: running.kind,
            rows: running.rows,
            // It does not tell how far it is.
            share: (seconds / expected.max(1e-9)).min(0.95),
            seconds,
        })
    }

    /// Asks that the growing segment is sealed at the next step, small as it is.
    pub(crate) fn ask_to_seal(&self) {
        self.state.write().ask_to_seal();
    }

    /// When to look again without a further write.
    pub(crate) fn next_check(&self) -> Option<std::time::Duration> {
        let next = policy::next_check(self.state.read().growing_size());
        if !self.work.is_waiting() {
            return next;
        }
        // Nobody tells when another collection has given memory back.
        let again = policy::SEAL_AGE;
        Some(next.map_or(again, |next| next.max(again)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_with_its_guard() {
        let work = WorkState::default();
        let guard = work.begin(WorkKind::Merge, 10, None);
        work.moved(4);
        assert_eq!(work.running.lock().as_ref().unwrap().kind, WorkKind::Merge);
        drop(work.begin(WorkKind::Seal, 3, None));
        assert_eq!(work.running.lock().as_ref().unwrap().kind, WorkKind::Merge);
        assert_eq!(work.moved.load(Ordering::Relaxed), 0);
        drop(guard);
        assert!(work.running.lock().is_none());
    }
}
