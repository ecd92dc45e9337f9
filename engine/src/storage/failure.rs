//! When the disk fails a write that was to be durable, the process ends.
//!
//! After an fsync that failed nobody knows what the disk holds: the operating system may have thrown the pages away and marked them clean,
//! and the next fsync would succeed without them (Rebello et al., "Can Applications Recover from fsync Failures?", 2020). So it is never tried
//! again, and nothing that was read from memory since is answered: the next start reads what the disk has.

use std::fmt::Display;
use std::path::Path;

/// Ends the process if `error`, of a write, is the disk's: an I/O error that is no full disk, or an fsync of the WAL that failed for whatever
/// reason. A write that needs no sync is told of one that failed behind it: of a table that was flushed, say.
pub fn end_process_if_not_durable(error: &rocksdb::Error) {
    if leaves_durability_unknown(error.kind(), error.as_ref()) {
        end_process(error);
    }
}

/// Ends the process after an fsync of our own, of a file that RocksDB writes, has failed: a later one, of RocksDB's too, may succeed without what
/// was lost. A full disk ends nothing.
pub fn end_process_if_not_synced(error: &std::io::Error, path: &Path) {
    if error.kind() != std::io::ErrorKind::StorageFull {
        end_process(&format_args!("sync {}: {error}", path.display()));
    }
}

fn end_process(error: &dyn Display) {
    let message = "a durable write failed at the disk: whether it is there is unknown, so the process ends and acknowledges \
                   nothing more; look at the disk, then start again: what was acknowledged before is replayed";
    if tracing::event_enabled!(tracing::Level::ERROR) {
        tracing::error!(%error, "{message}");
    } else {
        eprintln!("{message}: {error}");
    }
    std::process::abort();
}

fn leaves_durability_unknown(kind: rocksdb::ErrorKind, text: &str) -> bool {
    if kind != rocksdb::ErrorKind::IOError {
        return false;
    }
    let full = text.contains("No space left") || text.contains("NoSpace");
    let sync = text.contains("While fdatasync") || text.contains("While fsync");
    !full || (sync && text.contains(".log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_ends_nothing_unless_the_wal_was_not_synced() {
        use rocksdb::ErrorKind::{Corruption, IOError, Incomplete};
        let check = |kind, text: &str, ends: bool| {
            assert_eq!(leaves_durability_unknown(kind, text), ends, "{text}");
        };
        let eio = "IO error: While fdatasync: /data/rocksdb/000004.log: Input/output error";
        check(IOError, eio, true);
        let wrote =
            "IO error: While appending to file: /data/rocksdb/000004.log: Input/output error";
        check(IOError, wrote, true);
        let full = "IO error: No space left on device: While appending to file: /d/000004.log: No space left on device";
        check(IOError, full, false);
        let full = "IO error: No space left on device: While fsync: /d/000009.sst: No space left on device";
        check(IOError, full, false);
        let full = "IO error: No space left on device: While fdatasync: /d/000004.log: No space left on device";
        check(IOError, full, true);
        check(Corruption, "Corruption: block checksum mismatch", false);
        check(Incomplete, "Result incomplete: Write stall", false);
    }
}
