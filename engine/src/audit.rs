//! Reading the log for what must hold at every moment: each value that an entry names is there as long as the entry is.

use std::collections::HashSet;

use crate::error::Result;
use crate::storage::record::{LogEntry, LogOperation};
use crate::storage::{Family, Store, Visit, codec, key};
use crate::{CollectionId, Partition};

/// Reads every entry that is not purged, and the values that it brought, unless their collection is gone; answers what is missing or cannot
/// be read, one line for each partition at most.
///
/// A vector that a later write superseded belongs to its entry until the log is purged past that write: a replica may need it. So this
/// notices a purge that is too early, which no search would.
pub(crate) fn audit_log(store: &Store, exists: &HashSet<CollectionId>) -> Vec<String> {
    let audit = |partition: Partition| {
        let problem = match audit_partition(store, partition, exists) {
            Ok(None) => return None,
            Ok(Some(missing)) => missing,
            Err(error) => error.to_string(),
        };
        Some(format!("log of partition {}: {problem}", partition.0))
    };
    Partition::all().filter_map(audit).collect()
}

fn audit_partition(
    store: &Store,
    partition: Partition,
    exists: &HashSet<CollectionId>,
) -> Result<Option<String>> {
    let mut missing = None;
    let prefix = key::log_prefix(partition);
    store.scan(Family::Log, &prefix, &[], |log_key, value| {
        let entry: LogEntry = codec::decode(value, "log entry")?;
        entry.verify()?;
        let (mut vectors, mut media) = (Vec::new(), Vec::new());
        for operation in &entry.operations {
            let LogOperation::Upsert { collection, row, .. } = operation else {
                continue;
            };
            let collection = CollectionId(*collection);
            if !exists.contains(&collection) {
                continue;
            }
            for value in row.owned() {
                let keys = if value.media { &mut media } else { &mut vectors };
                keys.push(key::value(partition, collection, value.index, value.ordinal));
            }
        }
        for (family, keys) in [(Family::Vectors, vectors), (Family::Media, media)] {
            let there = store.get_many(family, &keys)?;
            let gone = there.iter().filter(|value| value.is_none()).count();
            if gone > 0 {
                missing = Some(format!(
                    "entry {} names {} values of {}, {gone} of them are missing; the rows may be whole, the log is not",
                    key::last_index(log_key)?,
                    keys.len(),
                    family.name()
                ));
                return Ok(Visit::Stop);
            }
        }
        Ok(Visit::Next)
    })?;
    Ok(missing)
}
