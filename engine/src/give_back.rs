//! Freed memory goes back to the operating system: the allocator keeps it otherwise, for this process alone.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::thread::start_thread;

/// It is worth the trouble when so many bytes were freed.
const MUCH: u64 = 16 << 20;

/// So long after much was freed: claims are given up a moment before what they stand for, and whoever frees much frees more right after.
const SETTLE: Duration = Duration::from_secs(1);

/// What an [`crate::Engine`] calls, from a thread of its own, after it has freed much memory: it may ask the allocator to hand it to the operating
/// system.
#[derive(Clone, Default)]
pub struct GiveBack(Option<Arc<dyn Fn() + Send + Sync>>);

impl GiveBack {
    /// Calls this function.
    pub fn by(function: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(function)))
    }

    fn call(&self) {
        if let Some(function) = &self.0 {
            function();
        }
    }
}

impl fmt::Debug for GiveBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GiveBack").field(&self.0.is_some()).finish()
    }
}

/// Counts what is freed, and has much of it given back a moment later, whoever freed it: background work may end, and the last search let go of a
/// segment, long after the collection was deleted.
pub(crate) struct Freed {
    bytes: AtomicU64,
    give_back: GiveBack,
    /// Wakes the thread, which ends with this; none if there is nothing to call, or no thread to be had.
    waker: Option<SyncSender<()>>,
}

impl Freed {
    pub fn new(give_back: GiveBack) -> Self {
        Self::settling(give_back, SETTLE)
    }

    fn settling(give_back: GiveBack, settle: Duration) -> Self {
        let is_called = give_back.0.is_some();
        Self {
            bytes: AtomicU64::new(0),
            waker: is_called.then(|| start(&give_back, settle)).flatten(),
            give_back,
        }
    }

    /// Notes that so many bytes are free, or will be in a moment. Never waits.
    pub fn note(&self, bytes: u64) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes < MUCH {
            return;
        }
        self.bytes.store(0, Ordering::Relaxed);
        if let Some(waker) = &self.waker {
            // Full if it was woken already: it calls after this.
            let _ = waker.try_send(());
        }
    }

    /// Gives back at once. To be called by threads that nobody waits for.
    pub fn give_back(&self) {
        self.bytes.store(0, Ordering::Relaxed);
        self.give_back.call();
    }
}

/// Starts the thread. Without it, what is freed stays with the process, to be used again.
fn start(give_back: &GiveBack, settle: Duration) -> Option<SyncSender<()>> {
    let (sender, receiver) = sync_channel(1);
    let give_back = give_back.clone();
    match start_thread("memory", move || run(&receiver, &give_back, settle)) {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::warn!(%error, "freed memory stays with the process");
            None
        }
    }
}

fn run(receiver: &Receiver<()>, give_back: &GiveBack, settle: Duration) {
    while receiver.recv().is_ok() {
        std::thread::sleep(settle);
        give_back.call();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_that_was_freed_is_given_back_later() {
        const SETTLE: Duration = Duration::from_millis(20);
        let (sender, calls) = std::sync::mpsc::channel();
        let give_back = GiveBack::by(move || sender.send(()).unwrap());
        let freed = Freed::settling(give_back, SETTLE);
        freed.note(MUCH - 1);
        assert!(calls.recv_timeout(4 * SETTLE).is_err());
        for much in [1, MUCH, MUCH] {
            let begun = std::time::Instant::now();
            freed.note(much);
            calls.recv().unwrap();
            assert!(begun.elapsed() >= SETTLE, "it may not be free yet");
        }
    }
}
