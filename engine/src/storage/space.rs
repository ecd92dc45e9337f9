//! Refuses writes before the disk is full, so that RocksDB never meets a full disk in the middle of a flush.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Room for the memtables, logs and compactions that accepted writes still cause: a twentieth of the disk within these bounds. The least is that of
/// the two large memtables in full.
const RESERVE_BYTES_MIN: u64 = 128 << 20;
const RESERVE_BYTES_MAX: u64 = 1 << 30;
/// Part of the reserve that work which makes room leaves: one of so many.
const LEFT_BY_FREEING: u64 = 4;
/// When less than that is left, such work may take one of so many of what is free: small steps go on, and make room for larger ones.
const SHARE_BY_FREEING: u64 = 3;
/// Bytes that even work leaves which is sure to give back more than it takes.
const LEFT_AT_LAST: u64 = 4 << 20;
/// Bytes that deletes leave: a write-ahead log that hits the end of the disk takes no more writes at all.
const LEFT_BY_DELETES: u64 = 1 << 20;
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
        let beside_rest = self.free.saturating_sub(self.reserve / LEFT_BY_FREEING);
        beside_rest.max(self.free / SHARE_BY_FREEING)
    }
}

/// Checks that `bytes` more can be accepted.
///
/// # Errors
///
/// `StorageFull`, with what is free and what is kept back.
pub fn ensure(dir: &Path, bytes: u64) -> Result<()> {
    ensure_within(Space::of(dir)?, dir, bytes)
}

/// As [`ensure`], of what was looked up.
///
/// # Errors
///
/// As there.
pub fn ensure_within(space: Space, dir: &Path, bytes: u64) -> Result<()> {
    let needed = bytes.saturating_mul(WRITE_FACTOR);
    if space.free < space.reserve.saturating_add(needed) {
        return Err(refusal(dir, space.free, needed, space.reserve));
    }
    Ok(())
}

/// As [`ensure`], for a file of ours: it is written once, and that is all.
///
/// # Errors
///
/// As there.
pub fn ensure_for_file(dir: &Path, bytes: u64) -> Result<()> {
    let space = Space::of(dir)?;
    if space.free < space.reserve.saturating_add(bytes) {
        return Err(refusal(dir, space.free, bytes, space.reserve));
    }
    Ok(())
}

/// As [`ensure_for_file`], for one that gives back more than these bytes: it may use the reserve.
///
/// # Errors
///
/// As there.
pub fn ensure_for_freeing(dir: &Path, bytes: u64) -> Result<()> {
    let space = Space::of(dir)?;
    let room = space.for_freeing();
    if room < bytes {
        let kept = space.free - room;
        return Err(refusal(dir, space.free, bytes, kept));
    }
    Ok(())
}

/// As [`ensure_within`], for a delete: it is taken while the write-ahead log has room for it.
///
/// # Errors
///
/// As there.
pub fn ensure_delete_within(space: Space, dir: &Path, bytes: u64) -> Result<()> {
    if space.free < LEFT_BY_DELETES + bytes {
        return Err(refusal(dir, space.free, bytes, LEFT_BY_DELETES));
    }
    Ok(())
}

/// As [`ensure_for_freeing`], for what is sure to give back more than these bytes, and soon: it may use almost all that is left.
///
/// # Errors
///
/// As there.
pub fn ensure_for_sure_gain(dir: &Path, bytes: u64) -> Result<()> {
    let space = Space::of(dir)?;
    if space.free < LEFT_AT_LAST + bytes {
        return Err(refusal(dir, space.free, bytes, LEFT_AT_LAST));
    }
    Ok(())
}

/// What [`ensure`] wants to be free for `bytes`, in bytes.
///
/// # Errors
///
/// What the disk says.
pub fn wanted(dir: &Path, bytes: u64) -> Result<u64> {
    let reserve = Space::of(dir)?.reserve;
    Ok(reserve.saturating_add(bytes.saturating_mul(WRITE_FACTOR)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_makes_room_has_some_until_the_disk_is_full() {
        let check = |free: u64, expected: u64| {
            let space = Space {
                free: free << 20,
                reserve: 128 << 20,
            };
            assert_eq!(space.for_freeing() >> 20, expected, "{free}");
        };
        check(200, 168);
        check(128, 96);
        check(60, 28);
        // The last quarter of the reserve is for small steps.
        check(36, 12);
        check(9, 3);
        check(0, 0);
    }

    #[test]
    fn deletes_are_taken_until_the_log_would_hit_the_end() {
        let check = |free: u64, bytes: u64, is_taken: bool| {
            let reserve = 128 << 20;
            let taken = ensure_delete_within(Space { free, reserve }, Path::new("d"), bytes);
            assert_eq!(taken.is_ok(), is_taken, "{free} {bytes}");
        };
        check(2 << 20, 1 << 20, true);
        check(2 << 20, 1 + (1 << 20), false);
        check(0, 0, false);
    }
}
