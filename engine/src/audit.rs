//! Reading the log for what must hold at every moment: each value that an entry names is there as long as the entry is.

use std::collections::HashSet;

use crate::error::Result;
use crate::storage::record::{LogEntry, LogOperation};
use crate::storage::{Family, Store, Visit, codec, key};
use crate::{CollectionId, Partition};

/// Values that are read at once: few calls, little memory.
const BATCH_VALUES: usize = 2048;

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
    let mut named = Named::default();
    let mut missing = None;
    store.scan(
        Family::Log,
        &key::log_prefix(partition),
        &[],
        |log_key, value| {
            let entry: LogEntry = codec::decode(value, "log entry")?;
            entry.verify()?;
            named.add(partition, key::last_index(log_key)?, &entry, exists);
            if named.vectors.len() + named.media.len() < BATCH_VALUES {
                return Ok(Visit::Next);
            }
            missing = named.take_missing(store)?;
            Ok(match missing {
                Some(_) => Visit::Stop,
                None => Visit::Next,
            })
        },
    )?;
    match missing {
        Some(missing) => Ok(Some(missing)),
        None => named.take_missing(store),
    }
}

/// Values that entries name, to be read together: key, and the entry's index.
#[derive(Default)]
struct Named {
    vectors: Vec<(Vec<u8>, u64)>,
    media: Vec<(Vec<u8>, u64)>,
}

impl Named {
    fn add(
        &mut self,
        partition: Partition,
        index: u64,
        entry: &LogEntry,
        exists: &HashSet<CollectionId>,
    ) {
        for operation in &entry.operations {
            let LogOperation::Upsert {
                collection, row, ..
            } = operation
            else {
                continue;
            };
            let collection = CollectionId(*collection);
            if !exists.contains(&collection) {
                continue;
            }
            for value in row.owned() {
                let key = key::value(partition, collection, value.index, value.ordinal);
                let list = if value.media {
                    &mut self.media
                } else {
                    &mut self.vectors
                };
                list.push((key, index));
            }
        }
    }

    /// Reads the values, and forgets them.
    fn take_missing(&mut self, store: &Store) -> Result<Option<String>> {
        let lists = [
            (Family::Vectors, std::mem::take(&mut self.vectors)),
            (Family::Media, std::mem::take(&mut self.media)),
        ];
        for (family, list) in lists {
            let (keys, entries): (Vec<Vec<u8>>, Vec<u64>) = list.into_iter().unzip();
            let values = store.get_many(family, &keys)?;
            if let Some(at) = values.iter().position(Option::is_none) {
                return Ok(Some(format!(
                    "a value of {} that entry {} names is missing; the rows may be whole, the log is not",
                    family.name(),
                    entries[at]
                )));
            }
        }
        Ok(None)
    }
}
