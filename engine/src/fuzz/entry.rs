//! Log entries, as they are and under a right checksum, to their decision.

use super::records::{same, some_operations, some_row};
use crate::Partition;
use crate::log::{Change, read_entry};
use crate::storage::codec;
use crate::storage::record::{LogEntry, PointRow};

/// A log entry that a start reads back and applies.
pub fn log_entry(bytes: &[u8]) {
    same::<LogEntry>(bytes);
    let as_it_is = read_entry(Partition(0), 1, bytes).is_ok();
    let Ok(entry) = codec::decode::<LogEntry>(bytes, "log entry") else {
        return;
    };
    let mended = LogEntry::new(entry.term, entry.timestamp_ms, entry.operations);
    let Ok(read) = read_entry(Partition(0), 1, &codec::encode(&mended)) else {
        assert!(!as_it_is);
        return;
    };
    assert_eq!(read.changes.len(), mended.operations.len());
    let (some, empty) = (some_row(), PointRow::default());
    for change in &read.changes {
        for old in [None, Some(&some), Some(&empty)] {
            decide(change, old, mended.timestamp_ms);
        }
    }
}

/// The same every time: replicas must decide alike.
fn decide(change: &Change, old: Option<&PointRow>, timestamp_ms: u64) {
    let (first, second) = (
        change.decide(old, timestamp_ms),
        change.decide(old, timestamp_ms),
    );
    assert_eq!(
        (first.outcome, first.changed),
        (second.outcome, second.changed)
    );
}

pub(super) fn log_entry_seeds() -> Vec<Vec<u8>> {
    let operations = some_operations();
    let mut entries = vec![LogEntry::new(1, 80_000, operations.clone())];
    entries.extend(
        operations
            .into_iter()
            .map(|operation| LogEntry::new(1, 60_000, vec![operation])),
    );
    entries.iter().map(codec::encode).collect()
}
