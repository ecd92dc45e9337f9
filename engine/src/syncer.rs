//! One background thread that makes durable what was acknowledged before it was: the write-ahead log of collections with an interval.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::Result;
use crate::planted::{Bug, is_planted};
use crate::storage::Store;
use crate::thread::start_thread;

/// The thread and the way to tell it.
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    due: Mutex<Due>,
    changed: Condvar,
}

#[derive(Default)]
struct Due {
    /// When to sync; `None` if everything is durable.
    at: Option<Instant>,
    closing: bool,
}

impl Syncer {
    /// Starts the thread. It sets `failed` when the disk refuses: it is then unknown what is durable, and nothing may be acknowledged any more.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the operating system gives no thread.
    pub fn start(store: Arc<Store>, failed: Arc<AtomicBool>) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = start_thread("syncer", {
            let shared = shared.clone();
            move || shared.run(&store, &failed)
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Asks that everything written until now becomes durable, at most so much later (and what the sync takes).
    pub fn within(&self, interval: Duration) {
        if is_planted(Bug::SkipInterval) {
            return;
        }
        let at = Instant::now() + interval;
        let mut due = self.shared.due.lock();
        if due.at.is_none_or(|earlier| at < earlier) {
            due.at = Some(at);
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.due.lock().closing = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Asleep without a timer when everything is durable. What is due when the store is closed is synced by its closing.
    fn run(&self, store: &Store, failed: &AtomicBool) {
        let mut due = self.due.lock();
        while !due.closing {
            let Some(at) = due.at else {
                self.changed.wait(&mut due);
                continue;
            };
            if Instant::now() < at {
                self.changed.wait_until(&mut due, at);
                continue;
            }
            // What is written from here on asks again.
            due.at = None;
            MutexGuard::unlocked(&mut due, || {
                if let Err(error) = store.sync() {
                    tracing::error!(%error, "what was acknowledged is not known to be durable; no more writes are taken");
                    failed.store(true, Ordering::Release);
                }
            });
        }
    }
}
