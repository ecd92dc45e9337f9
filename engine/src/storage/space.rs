//! Refuses writes before the disk is full, so that RocksDB never meets a full disk in the middle of a flush.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Room for the memtables, logs and compactions that accepted writes still cause: a twentieth of the disk within these bounds. The least is that of
/// the two large memtables in full.
const RESERVE_BYTES_MIN: u64 = 128 << 20;
const RESERVE_BYTES_MAX: u64 = 1 << 30;
/// Part of the reserve that work which makes room leaves: one of so many.
const LEFT_BY_FREEING: u64 = 4;
/// A byte accepted costs about this many before it has settled: WAL, table or blob, and a rewrite by compaction.
const WRITE_FACTOR: u64 = 3;

/// What is free of a disk, and how much of that is kept back. In bytes.
#[derive(Copy, Clone, Debug)]
pub struct Space {
    /// What this process may still write.
    pub free: u64,
    reserve: u64,
}

impl Space {
    /// Of the disk with this folder.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn of(dir: &Path) -> Result<Self> {
        let stat = rustix::fs::statvfs(dir).map_err(|error| Error::io(&error.into(), dir))?;
        Ok(Self {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            reserve: reserve_bytes(stat.f_blocks.saturating_mul(stat.f_frsize)),
        })
    }

    /// Whether writes are refused, or will be soon.
    pub fn is_short(self) -> bool {
        self.free < self.reserve + self.reserve / 2
    }

    /// What work that makes room may take meanwhile: most of the reserve is for it.
    pub fn for_freeing(self) -> u64 {
        self.free.saturating_sub(self.reserve / LEFT_BY_FREEING)
    }
}

/// Checks that `bytes` more can be accepted.
///
/// # Errors
///
/// `StorageFull`, with what is free and what is kept back.
pub fn ensure(dir: &Path, bytes: u64) -> Result<()> {
    let space = Space::of(dir)?;
    let needed = bytes.saturating_mul(WRITE_FACTOR);
    if space.free < space.reserve.saturating_add(needed) {
        return Err(refusal(dir, space.free, needed, space.reserve));
    }
    Ok(())
}

/// As [`ensure`], for what gives back more than these bytes: it may use the reserve.
///
/// # Errors
///
/// As there.
pub fn ensure_for_freeing(dir: &Path, bytes: u64) -> Result<()> {
    let space = Space::of(dir)?;
    if space.for_freeing() < bytes {
        let kept = space.reserve / LEFT_BY_FREEING;
        return Err(refusal(dir, space.free, bytes, kept));
    }
    Ok(())
}

fn refusal(dir: &Path, free: u64, needed: u64, kept: u64) -> Error {
    Error::new(
        ErrorKind::StorageFull,
        format!(
            "{}: {} MiB are free, and {} MiB are needed beside {} MiB that are kept in reserve; delete points, collections or snapshots, or give the \
             disk more room (reads go on)",
            dir.display(),
            free >> 20,
            needed.div_ceil(1 << 20),
            kept >> 20
        ),
    )
}

fn reserve_bytes(total: u64) -> u64 {
    (total / 20).clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX)
}
