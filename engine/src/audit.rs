//! Reading the log for what must hold at every moment: each value that an entry names is there as long as the entry is, and an entry that
//! counts as applied has left its record of changes, which its rows came with.

use std::collections::{BTreeSet, HashSet};

use crate::error::Result;
use crate::storage::record::{LogEntry, LogOperation, PartitionState};
use crate::storage::{Family, Store, Visit, codec, key};
use crate::{CollectionId, Partition};

/// Values that are read at once: few calls, little memory.
const BATCH_VALUES: usize = 2048;

/// Reads every entry that is not purged, the values that it brought and its record of changes, unless their collection is gone; answers what is missing or cannot
/// be read, one line for each partition at most; then what of the files cannot be read although nothing refers to it.
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
    let mut problems: Vec<String> = Partition::all().filter_map(audit).collect();
    let places = store.unreadable_places();
    problems.extend(places.into_iter().map(|place| {
        format!(
            "a file of `{}` cannot be read everywhere, so that a merge of it would end all writing: {}",
            place.family.name(),
            place.error
        )
    }));
    problems
}

fn audit_partition(
    store: &Store,
    partition: Partition,
    exists: &HashSet<CollectionId>,
) -> Result<Option<String>> {
    let state: PartitionState = match store.get(Family::State, &key::state_applied(partition))? {
        Some(bytes) => codec::decode(&bytes, "partition state")?,
        None => PartitionState::default(),
    };
    let mut named = Named::default();
    let mut missing = None;
    store.scan(
        Family::Log,
        &key::log_prefix(partition),
        &[],
        |log_key, value| {
            let entry: LogEntry = codec::decode(value, "log entry")?;
            entry.verify()?;
            let index = key::last_index(log_key)?;
            named.add_values(partition, index, &entry, exists);
            if index <= state.applied {
                named.add_changes(partition, index, &entry, exists);
            }
            if named.len() < BATCH_VALUES {
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
    changes: Vec<(Vec<u8>, u64)>,
}

impl Named {
    fn len(&self) -> usize {
        self.vectors.len() + self.media.len() + self.changes.len()
    }

    fn add_values(
        &mut self,
        partition: Partition,
        index: u64,
        entry: &LogEntry,
        exists: &HashSet<CollectionId>,
    ) {
        for operation in &entry.operations {
            let (LogOperation::Upsert {
                collection, row, ..
            }
            | LogOperation::UpsertIf {
                collection, row, ..
            }) = operation
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

    fn add_changes(
        &mut self,
        partition: Partition,
        index: u64,
        entry: &LogEntry,
        exists: &HashSet<CollectionId>,
    ) {
        // Only what takes effect whatever was there is sure to have left a record: an operation of a request may have come again.
        let is_request =
            |operation: &LogOperation| matches!(operation, LogOperation::Request { .. });
        if entry.operations.iter().any(is_request) {
            return;
        }
        let touched: BTreeSet<CollectionId> = entry
            .operations
            .iter()
            .filter_map(|operation| match operation {
                LogOperation::Upsert { collection, .. } => Some(CollectionId(*collection)),
                LogOperation::UpsertIf { .. }
                | LogOperation::Delete { .. }
                | LogOperation::DeleteIf { .. }
                | LogOperation::Expire { .. }
                | LogOperation::Request { .. } => None,
            })
            .filter(|collection| exists.contains(collection))
            .collect();
        let keys = touched
            .into_iter()
            .map(|collection| key::change(partition, collection, index));
        self.changes.extend(keys.map(|key| (key, index)));
    }

    /// Reads the values, and forgets them.
    fn take_missing(&mut self, store: &Store) -> Result<Option<String>> {
        let lists = [
            (Family::Vectors, std::mem::take(&mut self.vectors)),
            (Family::Media, std::mem::take(&mut self.media)),
            (Family::Changes, std::mem::take(&mut self.changes)),
        ];
        for (family, list) in lists {
            let (keys, entries): (Vec<Vec<u8>>, Vec<u64>) = list.into_iter().unzip();
            let values = store.get_many(family, &keys)?;
            if let Some(at) = values.iter().position(Option::is_none) {
                return Ok(Some(format!(
                    "a record of {} that belongs to entry {} is missing; the rows may be whole, the log is not",
                    family.name(),
                    entries[at]
                )));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        CollectionConfig, Engine, EngineOptions, Metric, Operation, Point, PointId, Share, Vector,
        VectorConfig,
    };

    const PARTITION: Partition = Partition(3);

    /// The same point twice: its first vector belongs to the log alone.
    fn write(dir: &Path) -> CollectionId {
        let engine = Engine::open(dir, EngineOptions::default()).unwrap();
        let mut config = CollectionConfig::default();
        let vector = VectorConfig::new(1, Metric::L2);
        config.vectors.insert(String::new(), vector);
        let collection = engine.create_collection("c", config).unwrap().id();
        for value in [1.0, 2.0] {
            let point = Point {
                id: PointId::Num(7),
                vectors: [(String::new(), Vector::Dense(vec![value]))].into(),
                payload: crate::Payload::default(),
                expires_at_ms: None,
                media: Vec::new(),
            };
            let share = Share {
                partition: PARTITION,
                operations: vec![Operation::Upsert {
                    collection,
                    point: point.into(),
                }],
            };
            engine.apply(engine.append(vec![share]).unwrap()).unwrap();
        }
        assert_eq!(engine.check(), Vec::<String>::new());
        collection
    }

    #[test]
    fn what_the_log_names_and_is_gone_is_told() {
        let check = |family: Family, key: fn(CollectionId) -> Vec<u8>, wanted: &str| {
            let dir = tempfile::tempdir().unwrap();
            let collection = write(dir.path());
            let store = Store::open(dir.path()).unwrap();
            let mut batch = store.batch();
            batch.delete(family, &key(collection));
            store.write_synced(batch).unwrap();
            drop(store);
            let engine = Engine::open(dir.path(), EngineOptions::default()).unwrap();
            let problems = engine.check();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(wanted), "{problems:?}");
        };
        let value = |collection| key::value(PARTITION, collection, 1, 0);
        check(
            Family::Vectors,
            value,
            "log of partition 3: a record of vectors that belongs to entry 1",
        );
        let change = |collection| key::change(PARTITION, collection, 2);
        check(
            Family::Changes,
            change,
            "log of partition 3: a record of changes that belongs to entry 2",
        );
    }
}
