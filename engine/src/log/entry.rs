//! Log entries: from the operations of a share to bytes, and from bytes to changes that can be applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Operation, PreparedPoint, Share};
use crate::condition::Precondition;
use crate::error::{Error, Result};
use crate::point::{PointId, Vector};
use crate::request::RequestTag;
use crate::storage::record::{
    LogEntry, LogOperation, MediaRef, PointRow, VectorRef, encode_vector,
};
use crate::storage::{Batch, Family, codec, key};
use crate::{CollectionId, Partition};

const TERM: u64 = 1;

/// A durable log entry, to be applied.
#[derive(Debug)]
pub struct Entry {
    pub(crate) partition: Partition,
    pub(crate) index: u64,
    pub(crate) timestamp_ms: u64,
    pub(crate) changes: Vec<Change>,
}

impl Entry {
    /// Whose log.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Position in that log.
    pub fn index(&self) -> u64 {
        self.index
    }
}

/// What became of an operation of an entry.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The point is as the operation says.
    Done,
    /// The operation's condition did not hold; nothing was changed.
    Refused {
        /// Of the point that was there; 0 if it was not.
        version: u64,
    },
    /// The collection was deleted before the operation's turn came; nothing was changed.
    Gone,
    /// It belongs to a request whose name was used with another body; nothing was changed.
    Conflict,
}

/// One operation of an entry, as apply needs it.
#[derive(Debug)]
pub(crate) enum Change {
    /// The row and, unless the entry was read back from disk, the vectors themselves.
    Upsert {
        collection: CollectionId,
        id: PointId,
        row: Arc<PointRow>,
        vectors: Option<BTreeMap<String, Vector>>,
        condition: Option<Precondition>,
    },
    Delete {
        collection: CollectionId,
        id: PointId,
        condition: Option<Precondition>,
    },
    Expire {
        collection: CollectionId,
        id: PointId,
    },
    /// The changes after it belong to this request.
    Request { tag: RequestTag, operations: usize },
}

/// What became of a change: what is answered, and whether it changed anything. The two differ for a request that came again.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Decision {
    pub outcome: Outcome,
    pub changed: bool,
}

impl Change {
    /// The point that it is about, if it is about one.
    pub fn target(&self) -> Option<(CollectionId, &PointId)> {
        match self {
            Self::Upsert { collection, id, .. }
            | Self::Delete { collection, id, .. }
            | Self::Expire { collection, id } => Some((*collection, id)),
            Self::Request { .. } => None,
        }
    }

    /// The row that it writes; `None` if it removes one.
    pub fn row(&self) -> Option<&Arc<PointRow>> {
        match self {
            Self::Upsert { row, .. } => Some(row),
            Self::Delete { .. } | Self::Expire { .. } | Self::Request { .. } => None,
        }
    }

    /// What becomes of it, given the row that is there when its turn comes and the time of its entry.
    pub fn decide(&self, old: Option<&PointRow>, timestamp_ms: u64) -> Decision {
        let ended = old.is_some_and(|old| old.is_expired(timestamp_ms));
        let shown = old.filter(|_| !ended);
        let holds = match self {
            Self::Upsert { id, condition, .. } => condition
                .as_ref()
                .is_none_or(|condition| condition.holds(id, shown)),
            Self::Delete {
                condition: None, ..
            } => shown.is_some(),
            Self::Delete {
                id,
                condition: Some(condition),
                ..
            } => shown.is_some() && condition.holds(id, shown),
            Self::Expire { .. } => ended,
            Self::Request { .. } => true,
        };
        let outcome = if holds {
            Outcome::Done
        } else {
            let version = shown.map_or(0, |row| row.version);
            Outcome::Refused { version }
        };
        // A row that cannot be read looks as if it were not there: a delete removes it.
        let changed = holds
            || matches!(
                self,
                Self::Delete {
                    condition: None,
                    ..
                }
            );
        Decision { outcome, changed }
    }
}

/// Puts the entry of a share into the batch, with the vectors and media that it brings.
pub(super) fn append_share(
    batch: &mut Batch<'_>,
    share: Share,
    index: u64,
    now_ms: u64,
) -> Result<Entry> {
    let partition = share.partition;
    let mut values = Values {
        batch,
        partition,
        index,
        count: 0,
    };
    let mut changes = Vec::with_capacity(share.operations.len());
    let mut operations = Vec::with_capacity(share.operations.len());
    for operation in share.operations {
        let (logged, change) = values.log(operation);
        operations.push(logged);
        changes.push(change);
    }
    let entry = encode_entry(partition, now_ms, &operations)?;
    batch.put(Family::Log, &key::log(partition, index), &entry);
    Ok(Entry {
        partition,
        index,
        timestamp_ms: now_ms,
        changes,
    })
}

/// The vectors and media of one entry, numbered as they come.
struct Values<'b, 's> {
    batch: &'b mut Batch<'s>,
    partition: Partition,
    index: u64,
    count: u32,
}

impl Values<'_, '_> {
    fn log(&mut self, operation: Operation) -> (LogOperation, Change) {
        let (collection, point, condition) = match operation {
            Operation::Upsert { collection, point } => (collection, point, None),
            Operation::UpsertIf {
                collection,
                point,
                condition,
            } => (collection, point, Some(condition)),
            Operation::Delete { collection, id } => {
                let logged = LogOperation::Delete {
                    collection: collection.0,
                    id: id.encode(),
                };
                let condition = None;
                let change = Change::Delete {
                    collection,
                    id,
                    condition,
                };
                return (logged, change);
            }
            Operation::DeleteIf {
                collection,
                id,
                condition,
            } => {
                let logged = LogOperation::DeleteIf {
                    collection: collection.0,
                    id: id.encode(),
                    condition: Box::new(condition.to_record()),
                };
                let condition = Some(condition);
                let change = Change::Delete {
                    collection,
                    id,
                    condition,
                };
                return (logged, change);
            }
            Operation::Expire { collection, id } => {
                let logged = LogOperation::Expire {
                    collection: collection.0,
                    id: id.encode(),
                };
                return (logged, Change::Expire { collection, id });
            }
            Operation::Request { tag, operations } => {
                let logged = LogOperation::Request {
                    id: tag.id().to_owned(),
                    digest: tag.digest(),
                    operations: u32::try_from(operations)
                        .expect("a request has far fewer than 2^32 operations"),
                };
                return (logged, Change::Request { tag, operations });
            }
        };
        let (id, vectors, row) = self.put_point(collection, point);
        let encoded = id.encode();
        let logged = match &condition {
            None => LogOperation::Upsert {
                collection: collection.0,
                id: encoded,
                row: Arc::clone(&row),
            },
            Some(condition) => LogOperation::UpsertIf {
                collection: collection.0,
                id: encoded,
                row: Arc::clone(&row),
                condition: Box::new(condition.to_record()),
            },
        };
        let change = Change::Upsert {
            collection,
            id,
            row,
            vectors: Some(vectors),
            condition,
        };
        (logged, change)
    }

    /// Puts what a row names by reference, and answers the row with the rest of the point.
    fn put_point(
        &mut self,
        collection: CollectionId,
        point: PreparedPoint,
    ) -> (PointId, BTreeMap<String, Vector>, Arc<PointRow>) {
        let index = self.index;
        let mut row = PointRow {
            version: index,
            payload: point.payload,
            expires_at_ms: point.expires_at_ms,
            ..PointRow::default()
        };
        for (name, vector) in &point.vectors {
            let ordinal = self.put(Family::Vectors, collection, &encode_vector(vector));
            row.vectors.push(VectorRef {
                name: name.clone(),
                index,
                ordinal,
            });
        }
        for media in point.media {
            let ordinal = self.put(Family::Media, collection, &media.bytes);
            row.media.push(MediaRef::new(
                media.kind,
                media.content_type,
                index,
                ordinal,
            ));
        }
        (point.id, point.vectors, Arc::new(row))
    }

    fn put(&mut self, family: Family, collection: CollectionId, bytes: &[u8]) -> u32 {
        let ordinal = self.count;
        let key = key::value(self.partition, collection, self.index, ordinal);
        self.batch.put(family, &key, bytes);
        self.count += 1;
        ordinal
    }
}

/// An entry that could not be read back would keep the store from opening after a crash.
fn encode_entry(partition: Partition, now_ms: u64, operations: &[LogOperation]) -> Result<Vec<u8>> {
    let bytes = LogEntry::encode(TERM, now_ms, operations);
    if bytes.len() > codec::ENTRY_BYTES_MAX || !codec::is_readable::<LogEntry>(&bytes) {
        return Err(Error::invalid(format!(
            "{} operations with {} MiB of payloads fall to partition {}; the limit is {} MiB at once, write fewer points in one request",
            operations.len(),
            bytes.len() >> 20,
            partition.0,
            codec::ENTRY_BYTES_MAX >> 20
        )));
    }
    Ok(bytes)
}

/// The entry that these bytes of the log hold, checked. Its vectors are not read.
pub(crate) fn read_entry(partition: Partition, index: u64, bytes: &[u8]) -> Result<Entry> {
    let entry: LogEntry = codec::decode(bytes, "log entry")?;
    entry.verify()?;
    let timestamp_ms = entry.timestamp_ms;
    let changes = entry.operations.into_iter().map(read_change);
    Ok(Entry {
        partition,
        index,
        timestamp_ms,
        changes: changes.collect::<Result<_>>()?,
    })
}

fn read_change(operation: LogOperation) -> Result<Change> {
    let upsert = |collection, id: &[u8], row, condition| {
        Ok(Change::Upsert {
            collection: CollectionId(collection),
            id: PointId::decode(id)?,
            row,
            vectors: None,
            condition,
        })
    };
    match operation {
        LogOperation::Upsert {
            collection,
            id,
            row,
        } => upsert(collection, &id, row, None),
        LogOperation::UpsertIf {
            collection,
            id,
            row,
            condition,
        } => {
            let condition = Precondition::from_record(*condition)?;
            upsert(collection, &id, row, Some(condition))
        }
        LogOperation::Delete { collection, id } => Ok(Change::Delete {
            collection: CollectionId(collection),
            id: PointId::decode(&id)?,
            condition: None,
        }),
        LogOperation::DeleteIf {
            collection,
            id,
            condition,
        } => Ok(Change::Delete {
            collection: CollectionId(collection),
            id: PointId::decode(&id)?,
            condition: Some(Precondition::from_record(*condition)?),
        }),
        LogOperation::Expire { collection, id } => Ok(Change::Expire {
            collection: CollectionId(collection),
            id: PointId::decode(&id)?,
        }),
        LogOperation::Request {
            id,
            digest,
            operations,
        } => Ok(Change::Request {
            tag: RequestTag::new(&id, digest)
                .map_err(|error| Error::corrupted(format!("log entry: {error}")))?,
            operations: operations as usize,
        }),
    }
}
