//! One background thread that drops the points whose time has come, by ordinary logged operations.
//!
//! They are hidden already; dropping them gives their disk back. The thread sleeps without a timer while no point ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::{Engine, Operation, Partition, Result, Share};

use crate::proposer::Proposer;

/// Points that come due one after the other are dropped together, once in so long.
const SWEEP_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// After so long it looks at the clock again, which may have been set.
const SWEEP_INTERVAL_MAX: Duration = Duration::from_mins(1);
/// Points dropped by one proposal: other writes take their turn in between.
const SWEEP_POINTS: usize = 1024;

/// The thread and the way to wake it.
pub(crate) struct Sweeper {
    waker: Option<Waker>,
    thread: Option<JoinHandle<()>>,
}

/// Tells the thread that points that end were written or loaded.
#[derive(Clone)]
pub(crate) struct Waker(SyncSender<()>);

impl Waker {
    pub fn wake(&self) {
        // If there is no room, it has been told and has not looked yet; if it is gone, the node is being closed.
        let _ = self.0.try_send(());
    }
}

impl Sweeper {
    /// # Errors
    ///
    /// `Unavailable` if the operating system gives no thread.
    pub fn start(engine: Arc<Engine>, proposer: Arc<dyn Proposer>) -> Result<Self> {
        let (sender, receiver) = sync_channel(1);
        let thread = engine::start_thread("sweeper", move || run(&engine, &*proposer, &receiver))?;
        Ok(Self {
            waker: Some(Waker(sender)),
            thread: Some(thread),
        })
    }

    pub fn waker(&self) -> Waker {
        self.waker
            .clone()
            .expect("it is there until this is dropped")
    }

    pub fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }
}

impl Drop for Sweeper {
    /// Waits for the sweep under way. Every other [`Waker`] must be gone.
    fn drop(&mut self) {
        self.waker = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(engine: &Engine, proposer: &dyn Proposer, receiver: &Receiver<()>) {
    let mut due: Option<Instant> = None;
    loop {
        let news = match due {
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => receiver.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match news {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => {
                if let Err(error) = sweep(engine, proposer) {
                    // They stay hidden.
                    tracing::warn!(%error, "points whose time has come were not dropped; trying again");
                }
                due = None;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let next = next_sweep(engine).map(|wait| Instant::now() + wait);
        // News never puts a sweep off.
        due = due.into_iter().chain(next).min();
    }
}

fn next_sweep(engine: &Engine) -> Option<Duration> {
    let wait_ms = engine.next_expiry_ms()?.saturating_sub(engine.now_ms());
    Some(Duration::from_millis(wait_ms).clamp(SWEEP_INTERVAL_MIN, SWEEP_INTERVAL_MAX))
}

/// Drops every point whose time has come now; answers how many it named. Time O(these points).
pub(crate) fn sweep(engine: &Engine, proposer: &dyn Proposer) -> Result<usize> {
    let expired = engine.expired();
    let count = expired.len();
    let mut expired = expired.into_iter().peekable();
    while expired.peek().is_some() {
        let mut shares: BTreeMap<Partition, Vec<Operation>> = BTreeMap::new();
        for (partition, operation) in expired.by_ref().take(SWEEP_POINTS) {
            shares.entry(partition).or_default().push(operation);
        }
        let shares = shares.into_iter().map(|(partition, operations)| Share {
            partition,
            operations,
        });
        proposer.propose_and_wait(shares.collect())?;
    }
    Ok(count)
}
