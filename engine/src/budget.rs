//! The memory budget: one number for the process, split once into shares, and what each share holds now.
//!
//! The budget is of memory that cannot be taken back: heap, not mapped files. The rows of sealed segments are mapped, and the operating system
//! takes their pages back when it needs them; so resident memory is at most the budget and what is resident of the segment files.
//!
//! Too little memory makes things slower or refuses them, and ends nothing: caches are smaller, segments are sealed earlier, a merge or
//! structure that does not fit waits while searches use what is there, and a write that does not fit is refused while reads go on.
//!
//! | share | of the budget | when it is full |
//! |---|---|---|
//! | program | 48 MiB: code that is written to, embedders, threads' stacks | |
//! | block cache | a sixteenth, 4 to 256 MiB | blocks are read again |
//! | payload cache | a sixty-fourth, to 256 MiB | payloads are read and parsed again |
//! | memtables | an eighth, 8 to 256 MiB | they are written to the disk earlier |
//! | growing segments | an eighth, from 8 MiB | they are sealed earlier; then writes wait, and are refused (`Unavailable`) after a while |
//! | request bodies | an eighth, from 8 MiB, to 1 GiB | requests wait, and are refused after a while |
//! | collections and builds | the rest | writes are refused (`StorageFull`); merges and structures wait |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::give_back::{Freed, GiveBack};
use crate::machine;

/// The smallest budget: with less, the shares could hold nothing.
pub const MEMORY_BYTES_MIN: u64 = 128 << 20;
/// What the program takes before it holds anything: 25 MB when it starts, 48 MB when all embedders are loaded.
const PROGRAM_BYTES: u64 = 48 << 20;
/// How long a write waits for growing segments to be sealed: several times what sealing 64 MiB takes.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(10);

/// A budget and its parts, in bytes.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize)]
pub struct MemoryShares {
    /// All of it.
    pub total: u64,
    /// The program itself.
    pub program: u64,
    /// RocksDB's block cache.
    pub block_cache: u64,
    /// Payloads that were read lately, decoded.
    pub payload_cache: u64,
    /// RocksDB's memtables, of all families.
    pub memtables: u64,
    /// Rows that are not in a segment file yet, of all collections.
    pub growing: u64,
    /// Request bodies in flight, with what is made of them.
    pub bodies: u64,
    /// Ids, tables and structures of all collections, and what builds take meanwhile.
    pub collections: u64,
}

impl MemoryShares {
    /// Splits a budget of so many bytes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` below [`MEMORY_BYTES_MIN`].
    pub fn of(total: u64) -> Result<Self> {
        if total < MEMORY_BYTES_MIN {
            return Err(Error::invalid(format!(
                "memory: {total} bytes are too few: give 128M or more, as bytes ({MEMORY_BYTES_MIN}) or with K, M, G or T (512M, 2G)"
            )));
        }
        let block_cache = (total / 16).clamp(4 << 20, 256 << 20);
        let payload_cache = (total / 64).min(256 << 20);
        let memtables = (total / 8).clamp(8 << 20, 256 << 20);
        let growing = (total / 8).max(8 << 20);
        let bodies = (total / 8).clamp(8 << 20, 1 << 30);
        Ok(Self {
            total,
            program: PROGRAM_BYTES,
            block_cache,
            payload_cache,
            memtables,
            growing,
            bodies,
            collections: total
                - PROGRAM_BYTES
                - block_cache
                - payload_cache
                - memtables
                - growing
                - bodies,
        })
    }

    /// The smallest budget, in whole MiB, whose share of collections is this at least.
    fn total_for(collections: u64) -> u64 {
        let fits = |mebibytes: u64| {
            Self::of(mebibytes << 20).is_ok_and(|shares| shares.collections >= collections)
        };
        // The other shares are 29 of 64 parts and 80 MiB at most.
        let (mut low, mut high) = (MEMORY_BYTES_MIN >> 20, 2 * (collections >> 20) + 256);
        while low < high {
            let middle = low.midpoint(high);
            match fits(middle) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        low << 20
    }

    /// Half of what this process may have: of the machine's memory or, if that is less, of the control group's limit. The other half is for the
    /// pages of mapped segments, which are several times larger than what is on the heap, and for other programs.
    pub fn of_machine() -> Self {
        let may_have = machine::memory_bytes().unwrap_or(4 << 30);
        Self::of((may_have / 2).max(MEMORY_BYTES_MIN)).expect("it is as large as wanted")
    }

    /// Bytes of vectors at which one collection's growing segment is sealed: a quarter of the share, so that writes go on while one is written.
    pub(crate) fn seal_bytes(&self) -> usize {
        usize::try_from(self.growing / 4).unwrap_or(usize::MAX)
    }
}

/// What memory is held for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// Rows that are in no file yet, those of writes under way included.
    Growing,
    /// Ids, tables and structures.
    Collections,
    /// Merges and structures under construction.
    Builds,
}

/// What memory is used, of what is allowed; shared by everything that holds much.
pub(crate) struct Budget {
    shares: MemoryShares,
    held: [AtomicU64; 3],
    freed: Freed,
    /// Told when growing memory is freed.
    room: (Mutex<()>, Condvar),
}

/// What is held of the budget now, in bytes.
#[derive(Copy, Clone, Debug, Serialize)]
pub struct BudgetUsage {
    /// What it is split into.
    pub shares: MemoryShares,
    /// Held by rows that are in no file yet.
    pub growing: u64,
    /// Held by ids, tables and structures.
    pub collections: u64,
    /// Set aside for merges and structures under construction.
    pub builds: u64,
}

impl Budget {
    pub fn new(shares: MemoryShares, give_back: GiveBack) -> Arc<Self> {
        Arc::new(Self {
            shares,
            held: [const { AtomicU64::new(0) }; 3],
            freed: Freed::new(give_back),
            room: (Mutex::new(()), Condvar::new()),
        })
    }

    pub fn shares(&self) -> &MemoryShares {
        &self.shares
    }

    pub fn usage(&self) -> BudgetUsage {
        BudgetUsage {
            shares: self.shares,
            growing: self.held(Purpose::Growing),
            collections: self.held(Purpose::Collections),
            builds: self.held(Purpose::Builds),
        }
    }

    fn held(&self, purpose: Purpose) -> u64 {
        self.held[purpose as usize].load(Ordering::Relaxed)
    }

    /// Bytes that a merge or a structure may take now.
    pub fn left_for_builds(&self) -> u64 {
        let held = self.held(Purpose::Collections) + self.held(Purpose::Builds);
        self.shares.collections.saturating_sub(held)
    }

    /// Holds so many bytes, whatever is left.
    pub fn claim(self: &Arc<Self>, purpose: Purpose, bytes: u64) -> Claim {
        let claim = Claim {
            budget: self.clone(),
            purpose,
            bytes: AtomicU64::new(0),
        };
        claim.set(bytes);
        claim
    }

    /// Holds what a write brings, `growing` bytes of rows and `kept` bytes that stay on the heap for good, and waits until there is room.
    ///
    /// `seal` is called before waiting: whoever can make room shall do so.
    ///
    /// # Errors
    ///
    /// `StorageFull` if what stays does not fit, `Unavailable` if no room was made in time.
    pub fn admit(
        self: &Arc<Self>,
        growing: u64,
        kept: u64,
        mut seal: impl FnMut(),
    ) -> Result<Claim> {
        self.refusal(kept).map_or(Ok(()), Err)?;
        let due = Instant::now() + ROOM_WAIT_MAX;
        loop {
            let mut room = self.room.0.lock();
            let held = self.held(Purpose::Growing);
            // One that is larger than the share goes alone: bodies are bounded.
            if held == 0 || held.saturating_add(growing) <= self.shares.growing {
                return Ok(self.claim_locked(growing));
            }
            parking_lot::MutexGuard::unlocked(&mut room, &mut seal);
            if self.held(Purpose::Growing) >= held
                && self.room.1.wait_until(&mut room, due).timed_out()
            {
                return Err(self.busy(held));
            }
        }
    }

    /// As [`Self::claim`] of growing memory, by whoever holds the lock of `room`.
    fn claim_locked(self: &Arc<Self>, bytes: u64) -> Claim {
        self.held[Purpose::Growing as usize].fetch_add(bytes, Ordering::Relaxed);
        Claim {
            budget: self.clone(),
            purpose: Purpose::Growing,
            bytes: AtomicU64::new(bytes),
        }
    }

    /// Why a write that leaves `kept` bytes on the heap for good is refused; `None` if it is not.
    pub fn refusal(&self, kept: u64) -> Option<Error> {
        let held = self.held(Purpose::Collections);
        let wanted = held.saturating_add(kept);
        (wanted > self.shares.collections).then(|| {
            Error::new(
                ErrorKind::StorageFull,
                format!(
                    "the memory budget is used up: ids and structures hold {} KiB of {} KiB, new points need {} KiB more (the table of \
                     ids doubles when it is full); delete points or collections, or start with --memory {}M, now {}M (reads go on)",
                    held >> 10,
                    self.shares.collections >> 10,
                    kept >> 10,
                    MemoryShares::total_for(wanted) >> 20,
                    self.shares.total >> 20
                ),
            )
        })
    }

    fn busy(&self, held: u64) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "rows come faster than they can be sealed within the memory budget: {} MiB of {} MiB wait after {} s; send less at once, or start \
                 with a larger --memory than {} MiB (reads go on)",
                held >> 20,
                self.shares.growing >> 20,
                ROOM_WAIT_MAX.as_secs(),
                self.shares.total >> 20
            ),
        )
    }

    /// Gives freed memory back to the operating system at once. To be called by threads that nobody waits for.
    pub fn give_back(&self) {
        self.freed.give_back();
    }
}

/// Memory that somebody holds; given back when it is dropped.
pub(crate) struct Claim {
    budget: Arc<Budget>,
    purpose: Purpose,
    bytes: AtomicU64,
}

impl Claim {
    /// Holds so many bytes from now on.
    pub fn set(&self, bytes: u64) {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        let held = &self.budget.held[self.purpose as usize];
        if bytes >= before {
            held.fetch_add(bytes - before, Ordering::Relaxed);
            return;
        }
        held.fetch_sub(before - bytes, Ordering::Relaxed);
        self.budget.freed.note(before - bytes);
        if self.purpose == Purpose::Growing {
            // Whoever waits has looked before, or looks after this.
            drop(self.budget.room.0.lock());
            self.budget.room.1.notify_all();
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(total: u64) -> Arc<Budget> {
        Budget::new(MemoryShares::of(total).unwrap(), GiveBack::default())
    }

    #[test]
    fn shares_are_all_of_the_budget() {
        for total in [MEMORY_BYTES_MIN, 200 << 20, 1 << 30, 12 << 30, 1 << 45] {
            let shares = MemoryShares::of(total).unwrap();
            let MemoryShares {
                total,
                program,
                block_cache,
                payload_cache,
                memtables,
                growing,
                bodies,
                collections,
            } = shares;
            let caches = block_cache + payload_cache;
            let sum = program + caches + memtables + growing + bodies + collections;
            assert_eq!(sum, total, "{shares:?}");
            assert!(collections >= 16 << 20, "{shares:?}");
        }
        for collections in [0, 30 << 20, 1 << 30, (1 << 34) + 1] {
            let total = MemoryShares::total_for(collections);
            assert!(MemoryShares::of(total).unwrap().collections >= collections);
            let less = MemoryShares::of(total - (1 << 20));
            assert!(less.is_err() || less.unwrap().collections < collections);
        }
        let error = MemoryShares::of(MEMORY_BYTES_MIN - 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(MemoryShares::of_machine().total >= MEMORY_BYTES_MIN);
    }

    #[test]
    fn claims_give_back_what_they_hold() {
        let budget = budget(MEMORY_BYTES_MIN);
        let left = budget.left_for_builds();
        let claim = budget.claim(Purpose::Builds, 1000);
        claim.set(3000);
        claim.set(2000);
        assert_eq!(budget.left_for_builds(), left - 2000);
        assert_eq!(budget.usage().builds, 2000);
        drop(claim);
        assert_eq!(budget.left_for_builds(), left);
    }

    #[test]
    fn a_write_that_can_never_fit_is_refused_at_once() {
        let budget = budget(MEMORY_BYTES_MIN);
        let _held = budget.claim(Purpose::Collections, budget.shares().collections - 10);
        let sealed = std::cell::Cell::new(0);
        let admit = |kept| budget.admit(1, kept, || sealed.set(sealed.get() + 1));
        assert!(admit(10).is_ok());
        let error = admit(11).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(error.message().contains("--memory"), "{error}");
        assert_eq!(sealed.get(), 0);
    }

    #[test]
    fn a_write_waits_until_rows_are_sealed() {
        let budget = budget(MEMORY_BYTES_MIN);
        let share = budget.shares().growing;
        // Alone it goes, however large.
        drop(budget.admit(2 * share, 0, || panic!("nobody is in the way")));
        let growing = Arc::new(Mutex::new(Some(budget.claim(Purpose::Growing, share))));
        let (asked, asks) = std::sync::mpsc::channel();
        let sealing = std::thread::spawn({
            let growing = growing.clone();
            move || {
                asks.recv().unwrap();
                drop(growing.lock().take());
            }
        });
        let claim = budget
            .admit(share / 2, 0, || {
                // The second time it has been done.
                let _ = asked.send(());
            })
            .unwrap();
        sealing.join().unwrap();
        assert_eq!(budget.usage().growing, share / 2);
        drop(claim);
        assert_eq!(budget.usage().growing, 0);
    }

    #[test]
    fn memory_of_claims_is_given_back() {
        let (sender, calls) = std::sync::mpsc::channel();
        let give_back = GiveBack::by(move || sender.send(()).unwrap());
        let budget = Budget::new(MemoryShares::of(1 << 30).unwrap(), give_back);
        drop(budget.claim(Purpose::Builds, 64 << 20));
        calls.recv().unwrap();
    }
}
