//! Payloads that were read lately, decoded: a search or a point read that finds one here neither asks RocksDB nor parses JSON.
//!
//! # Why nothing old is served
//!
//! A payload is kept under its point (collection, partition, id) with its version, the index of the log entry that wrote it. What a version of
//! a point holds never changes: an index is given once in the life of a partition, a number once in the life of a store to a collection, and an
//! entry is applied as a whole, in one batch, so of several writes to one point in an entry no reader ever gets but the last. Whoever reads asks
//! for the version that the rows in memory have, which it learnt under their lock, after points whose time has come were taken out. So an answer
//! is the point as it was at the moment of the search, and no write has to tell the cache anything:
//!
//! - of an *updated* point the rows have a newer version, the old payload is not what is asked for, and the next read replaces it;
//! - a *deleted* point, or one that has *ended*, is not among the rows, and nobody asks for it; one that comes again has a newer version;
//! - a reader that was slow may put an old payload in the place of a newer one: that is asked for in vain, and read again.
//!
//! A *deleted collection* is never asked for again, but would hold memory: [`PayloadCache::forget`] drops what it has. A read that goes on
//! meanwhile puts first and looks then whether its collection is gone; a deletion marks it first and forgets then. So one of the two
//! removes what was put.
//!
//! A repair of a damaged store happens when no engine has it open, and the cache begins empty.

#[cfg(test)]
mod tests;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, Weighter};
use serde_json::Value;

use crate::collection::IdHash;
use crate::point::{Payload, PointId};
use crate::{CollectionId, Partition};

/// What a payload weighs on average, about: three short fields.
const ENTRY_BYTES_USUAL: u64 = 1 << 10;
/// What an allocation takes beside its bytes.
const ALLOCATION_BYTES: usize = 16;
/// Places of an entry in the cache's tables, the share of places that are free included.
const PLACE_BYTES: usize = 2 * (size_of::<Key>() + size_of::<Held>() + 32);

/// Whose payload it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Owner<'a> {
    pub collection: CollectionId,
    pub partition: Partition,
    pub id: &'a PointId,
}

/// A payload as one version of its point has it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub version: u64,
    pub expires_at_ms: Option<u64>,
    pub payload: Arc<Payload>,
}

/// [`Owner`], kept.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Key {
    collection: CollectionId,
    partition: Partition,
    id: PointId,
}

impl Key {
    fn owner(&self) -> Owner<'_> {
        Owner {
            collection: self.collection,
            partition: self.partition,
            id: &self.id,
        }
    }
}

impl Hash for Owner<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.collection.0) << 16 | u64::from(self.partition.0));
        self.id.hash(state);
    }
}

// As an owner, which finds its key.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.owner().hash(state);
    }
}

impl Equivalent<Key> for Owner<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.owner()
    }
}

#[derive(Clone)]
struct HeapBytes;

impl Weighter<Key, Held> for HeapBytes {
    fn weight(&self, key: &Key, held: &Held) -> u64 {
        let id = match &key.id {
            PointId::Num(_) | PointId::Uuid(_) => 0,
            PointId::Str(text) => text.len() + ALLOCATION_BYTES,
        };
        let payload = size_of::<Payload>() + ALLOCATION_BYTES + object_bytes(&held.payload);
        (PLACE_BYTES + id + payload) as u64
    }
}

type Entries = Cache<Key, Held, HeapBytes, IdHash, DefaultLifecycle<Key, Held>>;

/// The cache of a node: what is asked for again stays, of what is asked for once little (S3-FIFO, Yang et al. 2023).
pub(crate) struct PayloadCache {
    entries: ArcSwap<Entries>,
    bytes_max: u64,
    /// Held while entries move, and to remove one for good.
    forgetting: Mutex<()>,
}

impl PayloadCache {
    /// Holds so many bytes at most.
    pub fn new(bytes_max: u64) -> Self {
        Self {
            entries: ArcSwap::from_pointee(entries(bytes_max)),
            bytes_max,
            forgetting: Mutex::new(()),
        }
    }

    /// The payload that a version of a point has, if it is here. Time O(1).
    pub fn get(&self, owner: Owner<'_>, version: u64) -> Option<Held> {
        let held = self.entries.load().get(&owner)?;
        (held.version == version).then_some(held)
    }

    /// Keeps a payload that was read, unless its collection `is_gone`, which is asked last. Time O(its values).
    pub fn put(&self, owner: Owner<'_>, held: Held, is_gone: impl FnOnce() -> bool) {
        let key = Key {
            collection: owner.collection,
            partition: owner.partition,
            id: owner.id.clone(),
        };
        self.entries.load().insert(key, held);
        if is_gone() {
            let _forgetting = self.forgetting.lock();
            self.entries.load().remove(&owner);
        }
    }

    /// Drops the payloads of a collection with the room that they took. Time O(entries): others move to new tables.
    pub fn forget(&self, collection: CollectionId) {
        let _forgetting = self.forgetting.lock();
        let old = self.entries.load();
        let kept = entries(self.bytes_max);
        for (key, held) in old.iter() {
            if key.collection != collection {
                kept.insert(key, held);
            }
        }
        self.entries.store(Arc::new(kept));
    }

    /// Bytes that it holds, about.
    pub fn bytes(&self) -> u64 {
        self.entries.load().weight()
    }
}

fn entries(bytes_max: u64) -> Entries {
    let count = usize::try_from(bytes_max / ENTRY_BYTES_USUAL).unwrap_or(usize::MAX);
    Cache::with(
        count,
        bytes_max,
        HeapBytes,
        IdHash::default(),
        DefaultLifecycle::default(),
    )
}

/// Bytes on the heap of an object's fields: a list of them that doubles, and a table of their places.
fn object_bytes(object: &Payload) -> usize {
    if object.is_empty() {
        return 0;
    }
    let places = (object.len() * 8 / 7 + 1).next_power_of_two().max(4);
    let list = places * 7 / 8 * size_of::<(u64, String, Value)>();
    let table = places * (size_of::<usize>() + 1) + ALLOCATION_BYTES;
    let fields = object.iter();
    let values = fields.map(|(name, value)| name.len() + ALLOCATION_BYTES + value_bytes(value));
    list + table + 2 * ALLOCATION_BYTES + values.sum::<usize>()
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len() + ALLOCATION_BYTES,
        Value::Array(elements) => {
            let list = elements.capacity() * size_of::<Value>() + ALLOCATION_BYTES;
            list + elements.iter().map(value_bytes).sum::<usize>()
        }
        Value::Object(object) => object_bytes(object),
    }
}
