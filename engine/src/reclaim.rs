//! One background thread that gives back the memory and the disk of deleted collections.
//!
//! A deletion writes range tombstones: the values go when RocksDB happens to compact them, which for a store at rest is never, and until then
//! memtables, write-ahead log and files keep them. So the ranges are compacted, one partition of one family after the other; in between, whoever
//! closes the store is heard. What a crash or a stop leaves undone goes with RocksDB's own compactions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::Result;
use crate::storage::{Family, Store};
use crate::thread::start_thread;

/// A step: to flush, or to compact a range.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
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
        let mut todo = self.shared.todo.lock();
        todo.steps.push_back(Step::Flush);
        let ranges = ranges.map(|(family, prefix)| Step::Compact(family, prefix));
        todo.steps.extend(ranges);
        todo.steps.push_back(Step::GiveBack);
        self.shared.changed.notify_one();
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
            MutexGuard::unlocked(&mut todo, || take(store, &step));
            todo.running = false;
        }
    }
}

fn take(store: &Store, step: &Step) {
    match step {
        Step::Flush => {
            if let Err(error) = store.flush() {
                tracing::warn!(%error, "memtables with deleted collections stay");
            }
        }
        Step::Compact(family, prefix) => store.compact(*family, prefix),
        Step::GiveBack => store.budget().give_back(),
    }
}
