//! One background thread that gives back the memory and the disk of deleted collections, and removes those that were replaced.
//!
//! A deletion writes range tombstones: the values go when RocksDB happens to compact them, which for a store at rest is never, and until then
//! memtables, write-ahead log and files keep them. So the ranges are compacted, one partition of one family after the other; in between, whoever
//! closes the store is heard. What a crash or a stop leaves undone goes with RocksDB's own compactions.
//!
//! A collection that another has replaced is removed when its last reader has let go of it; after a crash or a stop, at the next start.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::Result;
use crate::removal::Removal;
use crate::storage::{Family, Store};
use crate::thread::start_thread;

/// A step: to remove a collection, to flush, or to compact a range.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    Remove(Removal),
    Flush,
    Compact(Family, Vec<u8>),
    /// Memory goes back to the operating system.
    GiveBack,
}

/// The thread and the way to tell it.
pub(crate) struct Reclaimer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The way to tell the thread that a collection is to be removed, for whoever may outlive it: then nothing happens.
pub(crate) struct Reclaiming(Arc<Shared>);

impl Reclaiming {
    pub fn remove(&self, removal: Removal) {
        self.0.todo.lock().steps.push_back(Step::Remove(removal));
        self.0.changed.notify_one();
    }
}

/// Has a collection removed when this is dropped: with the last reader of one that another has replaced.
pub(crate) struct RemovedLast {
    removal: Removal,
    reclaiming: Reclaiming,
}

impl RemovedLast {
    pub fn new(removal: Removal, reclaiming: Reclaiming) -> Self {
        Self {
            removal,
            reclaiming,
        }
    }
}

impl Drop for RemovedLast {
    fn drop(&mut self) {
        self.reclaiming.remove(self.removal.clone());
    }
}

#[derive(Default)]
struct Shared {
    todo: Mutex<Todo>,
    changed: Condvar,
}

#[derive(Default)]
struct Todo {
    steps: VecDeque<Step>,
    /// Whether the first step, which is taken off already, still runs.
    running: bool,
    closing: bool,
}

impl Reclaimer {
    /// # Errors
    ///
    /// `Unavailable` if the operating system gives no thread.
    pub fn start(store: Arc<Store>) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = start_thread("reclaimer", {
            let shared = shared.clone();
            move || shared.run(&store)
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Gives back what was deleted of these ranges, by and by.
    pub fn reclaim(&self, ranges: impl Iterator<Item = (Family, Vec<u8>)>) {
        self.shared.todo.lock().steps.extend(steps(ranges));
        self.shared.changed.notify_one();
    }

    /// The way to have collections removed.
    pub fn reclaiming(&self) -> Reclaiming {
        Reclaiming(self.shared.clone())
    }

    /// How many steps are left; 0 when everything was given back.
    pub fn steps_left(&self) -> usize {
        let todo = self.shared.todo.lock();
        todo.steps.len() + usize::from(todo.running)
    }
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        self.shared.todo.lock().closing = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, store: &Store) {
        let mut todo = self.todo.lock();
        while !todo.closing {
            let Some(step) = todo.steps.pop_front() else {
                self.changed.wait(&mut todo);
                continue;
            };
            todo.running = true;
            let further = MutexGuard::unlocked(&mut todo, || take(store, &step));
            todo.steps.extend(further);
            todo.running = false;
        }
    }
}

/// The steps that give back what was deleted of these ranges.
fn steps(ranges: impl Iterator<Item = (Family, Vec<u8>)>) -> impl Iterator<Item = Step> {
    let compactions = ranges.map(|(family, prefix)| Step::Compact(family, prefix));
    [Step::Flush]
        .into_iter()
        .chain(compactions)
        .chain([Step::GiveBack])
}

/// Takes a step; which others it brings.
fn take(store: &Store, step: &Step) -> Vec<Step> {
    match step {
        Step::Remove(removal) => match removal.take(store) {
            Ok(ranges) => return steps(ranges.into_iter()).collect(),
            Err(error) => {
                tracing::warn!(%error, "a collection that was replaced is removed at the next start");
            }
        },
        Step::Flush => {
            if let Err(error) = store.flush() {
                tracing::warn!(%error, "memtables with deleted collections stay");
            }
        }
        Step::Compact(family, prefix) => store.compact(*family, prefix),
        Step::GiveBack => store.budget().give_back(),
    }
    Vec::new()
}
