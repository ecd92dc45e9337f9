//! Refuses writes before the disk is full, so that RocksDB never meets a full disk in the middle of a flush.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Room for the memtables, logs and compactions that accepted writes still cause: a twentieth of the disk within these bounds. The least is that of
/// the two large memtables in full.
const RESERVE_BYTES_MIN: u64 = 128 << 20;
const RESERVE_BYTES_MAX: u64 = 1 << 30;
/// A byte accepted costs about this many before it has settled: WAL, table or blob, and a rewrite by compaction.
const WRITE_FACTOR: u64 = 3;

/// Checks that `bytes` more can be accepted.
///
/// # Errors
///
/// `StorageFull`, with what is free and what is kept back.
pub fn ensure(dir: &Path, bytes: u64) -> Result<()> {
    let stat = rustix::fs::statvfs(dir).map_err(|error| Error::io(&error.into(), dir))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let reserve = reserve_bytes(stat.f_blocks.saturating_mul(stat.f_frsize));
    if free < reserve.saturating_add(bytes.saturating_mul(WRITE_FACTOR)) {
        return Err(Error::new(
            ErrorKind::StorageFull,
            format!(
                "{}: {} MiB are free and {} MiB are kept in reserve; delete points or give the disk more room (reads go on)",
                dir.display(),
                free >> 20,
                reserve >> 20
            ),
        ));
    }
    Ok(())
}

fn reserve_bytes(total: u64) -> u64 {
    (total / 20).clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX)
}
