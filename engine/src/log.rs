//! The log of each partition: appending entries durably, reading them back, purging.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::env::Env;
use crate::error::{Error, Result};
use crate::point::{Point, PointId, Vector};
use crate::segment::Positions;
use crate::storage::record::{
    GarbageList, LogEntry, LogOperation, MediaRef, PartitionState, PointRow, VectorRef,
    encode_vector,
};
use crate::storage::{Batch, Family, Store, Visit, codec, key};
use crate::{CollectionId, PARTITIONS, Partition};

/// One change to one point.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Replaces the whole point.
    Upsert {
        /// Of this collection.
        collection: CollectionId,
        /// What to store; checked by [`crate::Collection::check`] before.
        point: Point,
    },
    /// Removes the point if it is there.
    Delete {
        /// Of this collection.
        collection: CollectionId,
        /// Which point.
        id: PointId,
    },
}

impl Operation {
    /// About how many bytes it brings into a batch: payloads are estimated. Time O(values of the payload).
    pub fn bytes(&self) -> usize {
        match self {
            Self::Upsert { point, .. } => point.bytes(),
            Self::Delete { id, .. } => id.encode().len(),
        }
    }
}

/// The part of a request that one partition gets: one log entry.
#[derive(Clone, Debug)]
pub struct Share {
    /// Whose log.
    pub partition: Partition,
    /// Applied in order.
    pub operations: Vec<Operation>,
}

impl Share {
    /// Whether it writes no point: such a share is accepted when the disk is nearly full.
    pub fn only_deletes(&self) -> bool {
        self.operations
            .iter()
            .all(|operation| matches!(operation, Operation::Delete { .. }))
    }
}

/// A durable log entry, to be applied.
#[derive(Debug)]
pub struct Entry {
    pub(crate) partition: Partition,
    pub(crate) index: u64,
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

/// One operation of an entry, as apply needs it.
#[derive(Debug)]
pub(crate) enum Change {
    /// The row and, unless the entry was read back from disk, the vectors themselves.
    Upsert {
        collection: CollectionId,
        id: PointId,
        row: PointRow,
        vectors: Option<BTreeMap<String, Vector>>,
    },
    Delete {
        collection: CollectionId,
        id: PointId,
    },
}

/// How many applied entries a partition keeps before it purges half of them.
const KEPT_ENTRIES: u64 = 2048;
const TERM: u64 = 1;

/// Positions of all partitions' logs.
pub(crate) struct Log {
    positions: Mutex<Vec<Position>>,
}

#[derive(Copy, Clone, Debug, Default)]
struct Position {
    last: u64,
    state: PartitionState,
}

impl Log {
    /// Reads the positions, and the entries that were durable but not applied, in order.
    pub(crate) fn open(store: &Store) -> Result<(Self, Vec<Entry>)> {
        let mut positions = vec![Position::default(); usize::from(PARTITIONS)];
        let mut unapplied = Vec::new();
        for partition in Partition::all() {
            let position = &mut positions[usize::from(partition.0)];
            if let Some(bytes) = store.get(Family::State, &key::state_applied(partition))? {
                position.state = codec::decode(&bytes, "partition state")?;
            }
            position.last = position.state.applied;
            let from = key::log(partition, position.state.applied + 1);
            store.scan(
                Family::Log,
                &key::log_prefix(partition),
                &from,
                |key, value| {
                    let entry: LogEntry = codec::decode(value, "log entry")?;
                    entry.verify()?;
                    let index = key::last_index(key)?;
                    if index != position.last + 1 {
                        return Err(Error::corrupted(format!(
                            "log of partition {}: entry {index} follows {}",
                            partition.0, position.last
                        )));
                    }
                    position.last = index;
                    unapplied.push(read_entry(partition, index, entry)?);
                    Ok(Visit::Next)
                },
            )?;
        }
        Ok((
            Self {
                positions: Mutex::new(positions),
            },
            unapplied,
        ))
    }

    /// Writes one entry per share, with their vectors and media, in one durable batch. Deletes alone may use the disk's reserve.
    pub(crate) fn append(
        &self,
        store: &Store,
        env: &Env,
        shares: Vec<Share>,
    ) -> Result<Vec<Entry>> {
        let mut positions = self.positions.lock();
        let mut lasts: Vec<u64> = positions.iter().map(|position| position.last).collect();
        let makes_room = shares.iter().all(Share::only_deletes);
        let mut batch = store.batch();
        let now = env.now_ms();
        let entries = shares
            .into_iter()
            .map(|share| {
                let last = &mut lasts[usize::from(share.partition.0)];
                *last += 1;
                append_share(&mut batch, share, *last, now)
            })
            .collect::<Result<Vec<Entry>>>()?;
        if entries.is_empty() {
            return Ok(entries);
        }
        if makes_room {
            store.write_synced_unreserved(batch)?;
        } else {
            store.write_synced(batch)?;
        }
        for (position, last) in positions.iter_mut().zip(lasts) {
            position.last = last;
        }
        Ok(entries)
    }

    /// Puts the new applied position of every partition that the entries touch into their batch.
    pub(crate) fn put_applied(&self, batch: &mut Batch<'_>, entries: &[Entry]) {
        let positions = self.positions.lock();
        let mut states: BTreeMap<Partition, PartitionState> = BTreeMap::new();
        for entry in entries {
            let state = states
                .entry(entry.partition)
                .or_insert_with(|| positions[usize::from(entry.partition.0)].state);
            assert!(
                entry.index == state.applied + 1,
                "entries are applied in order: {} after {} in partition {}",
                entry.index,
                state.applied,
                entry.partition.0
            );
            state.applied = entry.index;
        }
        for (partition, state) in states {
            batch.put(
                Family::State,
                &key::state_applied(partition),
                &codec::encode(&state),
            );
        }
    }

    /// Notes that the entries' batch was written.
    pub(crate) fn applied(&self, entries: &[Entry]) {
        let mut positions = self.positions.lock();
        for entry in entries {
            positions[usize::from(entry.partition.0)].state.applied = entry.index;
        }
    }

    /// The applied position of every partition.
    pub(crate) fn applied_positions(&self) -> Positions {
        let positions = self.positions.lock();
        std::array::from_fn(|partition| positions[partition].state.applied)
    }

    /// Purges the older half of every log that has grown long, with the values that its entries superseded, and what the entries changed in
    /// these collections as far as their segment files cover it.
    ///
    /// A vector is removed here and not when it is superseded, because until then a replica may need its entry.
    pub(crate) fn purge(
        &self,
        store: &Store,
        covered: impl Fn(Partition) -> Vec<(CollectionId, u64)>,
    ) -> Result<()> {
        let mut positions = self.positions.lock();
        for partition in Partition::all() {
            let state = &mut positions[usize::from(partition.0)].state;
            if state.applied - state.purged < KEPT_ENTRIES {
                continue;
            }
            let purged = state.applied - KEPT_ENTRIES / 2;
            purge_partition(
                store,
                partition,
                PartitionState {
                    applied: state.applied,
                    purged,
                },
                &covered(partition),
            )?;
            state.purged = purged;
        }
        Ok(())
    }
}

fn purge_partition(
    store: &Store,
    partition: Partition,
    state: PartitionState,
    covered: &[(CollectionId, u64)],
) -> Result<()> {
    let mut batch = store.batch();
    for (collection, covered) in covered {
        let purged = state.purged.min(*covered);
        put_purge_of_changes(store, &mut batch, partition, *collection, purged)?;
    }
    batch.delete_range(
        Family::Log,
        &key::log_prefix(partition),
        &key::log(partition, state.purged + 1),
    );
    store.scan(
        Family::State,
        &key::garbage_prefix(partition),
        &[],
        |key, value| {
            if key::last_index(key)? > state.purged {
                return Ok(Visit::Stop);
            }
            let list: GarbageList = codec::decode(value, "garbage list")?;
            for (collection, garbage) in list.values {
                let family = if garbage.media {
                    Family::Media
                } else {
                    Family::Vectors
                };
                batch.delete(
                    family,
                    &key::value(
                        partition,
                        CollectionId(collection),
                        garbage.index,
                        garbage.ordinal,
                    ),
                );
            }
            batch.delete(Family::State, key);
            Ok(Visit::Next)
        },
    )?;
    batch.put(
        Family::State,
        &key::state_applied(partition),
        &codec::encode(&state),
    );
    store.write(batch)
}

/// Removes the change records up to `purged`, if there are any: a collection at rest is not given a range tombstone at every purge.
fn put_purge_of_changes(
    store: &Store,
    batch: &mut Batch<'_>,
    partition: Partition,
    collection: CollectionId,
    purged: u64,
) -> Result<()> {
    let prefix = key::collection_prefix(partition, collection);
    let first = store.cursor(Family::Changes, &prefix, &prefix);
    if let Some((key, _)) = first.item()?
        && key::last_index(key)? <= purged
    {
        let end = key::change(partition, collection, purged + 1);
        batch.delete_range(Family::Changes, &prefix, &end);
        batch.put(
            Family::State,
            &key::changes_floor(partition, collection),
            &codec::encode(&purged),
        );
    }
    Ok(())
}

fn append_share(batch: &mut Batch<'_>, share: Share, index: u64, now_ms: u64) -> Result<Entry> {
    let partition = share.partition;
    let mut ordinal = 0;
    let mut changes = Vec::with_capacity(share.operations.len());
    let mut operations = Vec::with_capacity(share.operations.len());
    for operation in share.operations {
        match operation {
            Operation::Upsert { collection, point } => {
                let mut row = PointRow {
                    version: index,
                    ..PointRow::default()
                };
                if !point.payload.is_empty() {
                    row.payload = serde_json::to_vec(&point.payload).map_err(|error| {
                        Error::invalid(format!("payload of point {}: {error}", point.id))
                    })?;
                }
                for (name, vector) in &point.vectors {
                    batch.put(
                        Family::Vectors,
                        &key::value(partition, collection, index, ordinal),
                        &encode_vector(vector),
                    );
                    row.vectors.push(VectorRef {
                        name: name.clone(),
                        index,
                        ordinal,
                    });
                    ordinal += 1;
                }
                for media in &point.media {
                    batch.put(
                        Family::Media,
                        &key::value(partition, collection, index, ordinal),
                        &media.bytes,
                    );
                    row.media.push(MediaRef::new(
                        media.kind,
                        media.content_type.clone(),
                        index,
                        ordinal,
                    ));
                    ordinal += 1;
                }
                operations.push(LogOperation::Upsert {
                    collection: collection.0,
                    id: point.id.encode(),
                    row: row.clone(),
                });
                changes.push(Change::Upsert {
                    collection,
                    id: point.id,
                    row,
                    vectors: Some(point.vectors),
                });
            }
            Operation::Delete { collection, id } => {
                operations.push(LogOperation::Delete {
                    collection: collection.0,
                    id: id.encode(),
                });
                changes.push(Change::Delete { collection, id });
            }
        }
    }
    let entry = encode_entry(partition, &LogEntry::new(TERM, now_ms, operations))?;
    batch.put(Family::Log, &key::log(partition, index), &entry);
    Ok(Entry {
        partition,
        index,
        changes,
    })
}

/// An entry that could not be read back would keep the store from opening after a crash.
fn encode_entry(partition: Partition, entry: &LogEntry) -> Result<Vec<u8>> {
    let bytes = codec::encode(entry);
    if bytes.len() > codec::ENTRY_BYTES_MAX || !codec::is_readable::<LogEntry>(&bytes) {
        return Err(Error::invalid(format!(
            "{} operations with {} MiB of payloads fall to partition {}; the limit is {} MiB at once, write fewer points in one request",
            entry.operations.len(),
            bytes.len() >> 20,
            partition.0,
            codec::ENTRY_BYTES_MAX >> 20
        )));
    }
    Ok(bytes)
}

fn read_entry(partition: Partition, index: u64, entry: LogEntry) -> Result<Entry> {
    let changes = entry
        .operations
        .into_iter()
        .map(|operation| match operation {
            LogOperation::Upsert {
                collection,
                id,
                row,
            } => Ok(Change::Upsert {
                collection: CollectionId(collection),
                id: PointId::decode(&id)?,
                row,
                vectors: None,
            }),
            LogOperation::Delete { collection, id } => Ok(Change::Delete {
                collection: CollectionId(collection),
                id: PointId::decode(&id)?,
            }),
        })
        .collect::<Result<_>>()?;
    Ok(Entry {
        partition,
        index,
        changes,
    })
}
