//! Clock, randomness and pace, as values: what makes crashes and simulations repeatable, and quick to reach what matters.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::segment::policy::{LINKED_BYTES_MIN, SEAL_ROWS};

/// Where time and randomness come from.
#[derive(Clone)]
pub struct Env {
    now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// The latest time that was told.
    latest_ms: Arc<AtomicU64>,
    random: Arc<AtomicU64>,
    elapsed: Arc<dyn Fn() -> Duration + Send + Sync>,
    seal_rows: usize,
    linked_bytes_min: usize,
}

impl Env {
    /// The machine's clock and a seed of the operating system.
    pub fn system() -> Self {
        let now_ms = || {
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        };
        let since = Instant::now();
        Self::new(now_ms, RandomState::new().hash_one(0)).with_stopwatch(move || since.elapsed())
    }

    /// A clock and a seed of the caller's, and a stopwatch that stands still.
    pub fn new(now_ms: impl Fn() -> u64 + Send + Sync + 'static, seed: u64) -> Self {
        Self {
            now_ms: Arc::new(now_ms),
            latest_ms: Arc::new(AtomicU64::new(0)),
            random: Arc::new(AtomicU64::new(seed)),
            elapsed: Arc::new(|| Duration::ZERO),
            seal_rows: SEAL_ROWS,
            linked_bytes_min: LINKED_BYTES_MIN,
        }
    }

    /// With a stopwatch: the time since any moment, by which structures are compared. Where it stands still they are chosen by the number of rows
    /// alone, which is repeatable.
    #[must_use]
    pub fn with_stopwatch(
        mut self,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        self.elapsed = Arc::new(elapsed);
        self
    }

    /// With growing segments sealed after so many rows: a test that seals and merges all the time gives few.
    #[must_use]
    pub fn with_seal_rows(mut self, rows: usize) -> Self {
        self.seal_rows = rows.max(1);
        self
    }

    /// With rows left in the store's files from so many bytes of a segment on: a test that is about these gives few.
    #[must_use]
    pub fn with_linked_bytes_min(mut self, bytes: usize) -> Self {
        self.linked_bytes_min = bytes;
        self
    }

    pub(crate) fn linked_bytes_min(&self) -> usize {
        self.linked_bytes_min
    }

    /// What the stopwatch shows.
    pub(crate) fn elapsed(&self) -> Duration {
        (self.elapsed)()
    }

    pub(crate) fn seal_rows(&self) -> usize {
        self.seal_rows
    }

    /// Milliseconds since 1970. Never goes back while the process lives, whatever is done to the clock: a point that was hidden because its
    /// time had come stays hidden.
    pub fn now_ms(&self) -> u64 {
        let now_ms = (self.now_ms)();
        now_ms.max(self.latest_ms.fetch_max(now_ms, Ordering::Relaxed))
    }

    /// The next of a stream of random numbers (SplitMix64, Steele et al. 2014).
    pub fn random(&self) -> u64 {
        let mut z = self
            .random
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Default for Env {
    fn default() -> Self {
        Self::system()
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}
