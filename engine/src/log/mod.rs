//! The log of each partition: appending entries durably, reading them back, purging.

mod entry;
mod prepared;

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

use crate::condition::Precondition;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::point::PointId;
use crate::request::{self, Known, RequestTag, Requests};
use crate::segment::Positions;
use crate::storage::record::{GarbageList, PartitionState};
use crate::storage::{Batch, Family, Store, Visit, codec, key};
use crate::{CollectionId, PARTITIONS, Partition};
use entry::append_share;
pub(crate) use entry::read_entry;
pub(crate) use entry::{Change, Decision};
pub use entry::{Entry, Outcome};
pub use prepared::PreparedPoint;

/// One change to one point.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Replaces the whole point.
    Upsert {
        /// Of this collection.
        collection: CollectionId,
        /// What to store; checked by [`crate::Collection::check`] before.
        point: PreparedPoint,
    },
    /// Replaces the whole point, or makes it, if the condition holds when its turn comes.
    UpsertIf {
        /// Of this collection.
        collection: CollectionId,
        /// What to store; checked by [`crate::Collection::check`] before.
        point: PreparedPoint,
        /// What must hold of the stored point.
        condition: Precondition,
    },
    /// Stands before the operations of a request that may come again, in each partition that it touches.
    Request {
        /// Which request.
        tag: RequestTag,
        /// How many of the following operations of the same share are its.
        operations: usize,
    },
    /// Removes the point if it is there.
    Delete {
        /// Of this collection.
        collection: CollectionId,
        /// Which point.
        id: PointId,
    },
    /// Removes the point if the condition holds when its turn comes.
    DeleteIf {
        /// Of this collection.
        collection: CollectionId,
        /// Which point.
        id: PointId,
        /// What must hold of the stored point.
        condition: Precondition,
    },
    /// Removes the point if its time has come: if its expiry is not after the timestamp of the log entry.
    Expire {
        /// Of this collection.
        collection: CollectionId,
        /// Which point.
        id: PointId,
    },
}

impl Operation {
    /// Of which collection; `None` if it is of none.
    pub fn collection(&self) -> Option<CollectionId> {
        match self {
            Self::Upsert { collection, .. }
            | Self::UpsertIf { collection, .. }
            | Self::Delete { collection, .. }
            | Self::DeleteIf { collection, .. }
            | Self::Expire { collection, .. } => Some(*collection),
            Self::Request { .. } => None,
        }
    }

    /// Which point; `None` if it is about none.
    pub fn point_id(&self) -> Option<&PointId> {
        match self {
            Self::Upsert { point, .. } | Self::UpsertIf { point, .. } => Some(&point.id),
            Self::Delete { id, .. } | Self::DeleteIf { id, .. } | Self::Expire { id, .. } => {
                Some(id)
            }
            Self::Request { .. } => None,
        }
    }

    /// About how many bytes it brings into a batch.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Upsert { point, .. } => point.bytes,
            Self::UpsertIf {
                point, condition, ..
            } => point.bytes + condition.bytes(),
            Self::Delete { id, .. } | Self::Expire { id, .. } => id.encode().len(),
            Self::DeleteIf { id, condition, .. } => id.encode().len() + condition.bytes(),
            Self::Request { tag, .. } => tag.id().len(),
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
        !self.operations.iter().any(|operation| {
            matches!(
                operation,
                Operation::Upsert { .. } | Operation::UpsertIf { .. }
            )
        })
    }
}

/// How many applied entries a partition keeps before it purges half of them. So few that most are purged before their memtable is flushed: their
/// payloads are then never written but to the write-ahead log, and what they superseded goes soon.
pub(crate) const KEPT_ENTRIES: u64 = 128;
/// How many bytes they may have, with the values that they brought, before it purges until half is left: 512 MiB in all partitions. Large
/// payloads, and the values that they supersede, do not stay because entries are few.
const KEPT_BYTES: u64 = 16 << 20;

/// What an append waits for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wait {
    /// The entries, and everything before them, survive a loss of power.
    UntilDurable,
    /// They survive the end of the process.
    UntilLogged,
}

/// What a purge leaves of the log.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Keep {
    /// The newer half of what is kept, for replicas that lag behind and for repairs.
    Half,
    /// Only what is not applied yet: the disk is short of room, and what the entries superseded takes it.
    Unapplied,
}

/// Positions of all partitions' logs.
pub(crate) struct Log {
    positions: Mutex<Vec<Position>>,
}

#[derive(Clone, Debug, Default)]
struct Position {
    last: u64,
    state: PartitionState,
    /// Index and bytes of the entries that were appended since the store was opened and are not purged; those from before count as one.
    kept: VecDeque<(u64, u64)>,
    kept_bytes: u64,
}

impl Position {
    fn keep(&mut self, index: u64, bytes: u64) {
        self.last = index;
        self.kept.push_back((index, bytes));
        self.kept_bytes += bytes;
    }

    /// Up to where the log is to be purged; `None` if it is short.
    fn purge_to(&self, keep: Keep) -> Option<u64> {
        let PartitionState { applied, purged } = self.state;
        if keep == Keep::Unapplied {
            return Some(applied).filter(|to| *to > purged);
        }
        let by_count = (applied - purged >= KEPT_ENTRIES).then(|| applied - KEPT_ENTRIES / 2);
        let mut bytes = self.kept_bytes;
        let by_bytes = (bytes > KEPT_BYTES).then(|| {
            let mut oldest = self.kept.iter().take_while(|(index, _)| *index <= applied);
            let last = oldest.find(|(_, of_it)| {
                bytes -= of_it;
                bytes <= KEPT_BYTES / 2
            });
            last.map_or(applied, |(index, _)| *index)
        });
        by_count.max(by_bytes).filter(|to| *to > purged)
    }

    fn purged(&mut self, to: u64) {
        self.state.purged = to;
        while let Some((index, bytes)) = self.kept.front().copied()
            && index <= to
        {
            self.kept.pop_front();
            self.kept_bytes -= bytes;
        }
    }
}

impl Log {
    /// Reads the positions, and the entries that were durable but not applied, in order.
    pub(crate) fn open(store: &Store) -> Result<(Self, Vec<Entry>)> {
        let mut positions = vec![Position::default(); usize::from(PARTITIONS)];
        let mut unapplied = Vec::new();
        for partition in Partition::all() {
            let position = &mut positions[usize::from(partition.0)];
            if let Some(bytes) = store.get(Family::State, &key::state_applied(partition))? {
                position.state = codec::decode(&bytes, "partition state")
                    .map_err(|error| error.context(format!("open partition {}", partition.0)))?;
            }
            if position.state.applied > position.state.purged {
                let from = key::log(partition, position.state.purged);
                let to = key::log(partition, position.state.applied + 1);
                let bytes = store.approximate_bytes(Family::Log, &from, &to);
                position.keep(position.state.applied, bytes);
            }
            position.last = position.state.applied;
            let from = key::log(partition, position.state.applied + 1);
            store.scan(
                Family::Log,
                &key::log_prefix(partition),
                &from,
                |key, value| {
                    let index = key::last_index(key)?;
                    if index != position.last + 1 {
                        return Err(Error::corrupted(format!(
                            "log of partition {}: entry {index} follows {}",
                            partition.0, position.last
                        )));
                    }
                    position.keep(index, value.len() as u64);
                    let entry = read_entry(partition, index, value).map_err(|error| {
                        error.context(format!("read entry {index} of partition {}", partition.0))
                    })?;
                    unapplied.push(entry);
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

    /// Writes one entry per share, with their vectors and media, in one batch. Deletes alone may use the disk's reserve.
    pub(crate) fn append(
        &self,
        store: &Store,
        env: &Env,
        shares: Vec<Share>,
        wait: Wait,
    ) -> Result<Vec<Entry>> {
        let mut positions = self.positions.lock();
        let mut lasts: Vec<u64> = positions.iter().map(|position| position.last).collect();
        let makes_room = shares.iter().all(Share::only_deletes);
        let mut batch = store.batch();
        let now = env.now_ms();
        let mut sizes = Vec::with_capacity(shares.len());
        let entries = shares
            .into_iter()
            .map(|share| {
                let last = &mut lasts[usize::from(share.partition.0)];
                *last += 1;
                let before = batch.bytes();
                let entry = append_share(&mut batch, share, *last, now);
                sizes.push((batch.bytes() - before) as u64);
                entry
            })
            .collect::<Result<Vec<Entry>>>()?;
        if entries.is_empty() {
            return Ok(entries);
        }
        match makes_room {
            true => store.ensure_delete_taken(batch.bytes() as u64)?,
            false => store.ensure_write_taken(batch.bytes() as u64)?,
        }
        match wait {
            Wait::UntilDurable => store.write_synced_unreserved(batch)?,
            Wait::UntilLogged => store.write(batch)?,
        }
        for (entry, bytes) in entries.iter().zip(sizes) {
            positions[usize::from(entry.partition.0)].keep(entry.index, bytes);
        }
        Ok(entries)
    }

    /// The request among these shares whose name was used with another body, if one was, about a collection of those that `exist`. To be asked
    /// when everything that was appended is applied.
    pub(crate) fn conflict(
        &self,
        store: &Store,
        env: &Env,
        shares: &[Share],
        exist: impl Fn(CollectionId) -> bool,
    ) -> Result<Option<RequestTag>> {
        let positions = self.positions.lock();
        for share in shares {
            let next = positions[usize::from(share.partition.0)].last + 1;
            for operation in &share.operations {
                let Operation::Request { tag, .. } = operation else {
                    continue;
                };
                let at = (share.partition, next, env.now_ms());
                let known = Requests::default().find(store, at, tag, &exist)?;
                if let Some(Known::Other) = known {
                    return Ok(Some(tag.clone()));
                }
            }
        }
        Ok(None)
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

    /// Purges every log that has grown long or large, or all that is applied, as `keep` says, with the values that its entries superseded, and what the entries changed in
    /// these collections as far as their segment files cover it.
    ///
    /// A vector is removed here and not when it is superseded, because until then a replica may need its entry.
    pub(crate) fn purge(
        &self,
        store: &Store,
        env: &Env,
        keep: Keep,
        covered: impl Fn(Partition) -> Vec<(CollectionId, u64)>,
    ) -> Result<()> {
        let mut positions = self.positions.lock();
        for partition in Partition::all() {
            let position = &mut positions[usize::from(partition.0)];
            let Some(purged) = position.purge_to(keep) else {
                continue;
            };
            purge_partition(
                store,
                partition,
                PartitionState {
                    applied: position.state.applied,
                    purged,
                },
                env.now_ms(),
                &covered(partition),
            )?;
            position.purged(purged);
        }
        Ok(())
    }
}

fn purge_partition(
    store: &Store,
    partition: Partition,
    state: PartitionState,
    now_ms: u64,
    covered: &[(CollectionId, u64)],
) -> Result<()> {
    let mut batch = store.batch();
    for (collection, covered) in covered {
        let purged = state.purged.min(*covered);
        put_purge_of_changes(store, &mut batch, partition, *collection, purged)?;
    }
    request::put_purge(store, &mut batch, partition, state.applied, now_ms)?;
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
            let list = match codec::decode::<GarbageList>(value, "garbage list") {
                Ok(list) => list,
                Err(error) => {
                    // One damaged record must not keep the log from ever being purged.
                    tracing::error!(%error, partition = partition.0, "values that were superseded stay on disk until a repair");
                    GarbageList::default()
                }
            };
            for (collection, garbage) in list.values {
                batch.delete(
                    garbage.family(),
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
