//! Payloads that were read lately, decoded: a search or a point read that finds one here neither asks RocksDB nor parses JSON.
//!
//! # Why nothing old is served
//!
//! A payload is kept under its row: collection, number of the segment, offset. A row never changes: a point that is written again, or comes again
//! after it was deleted, gets another one, and numbers of segments and of collections are given once (the collection
//! that a restore fills, which has the number of the one that it publishes, is read by nobody). Whoever reads asks for the row that the
//! table of ids or a view has, which it learnt under their lock, after points whose time has come were taken out. So an answer is the point as
//! it was at the moment of the search, and no write has to tell the cache anything. What is put under a row was read from the store with the
//! row's own version: of several writes to one point in an entry, which have one version, no reader ever gets but the last, and the store has no
//! other. A merge copies rows, and [`PayloadCache::rename`] takes their payloads along.
//!
//! A *deleted collection* is never asked for again, but would hold memory: [`PayloadCache::forget`] drops what it has. A read that goes on
//! meanwhile looks whether its collection is gone before it puts, under the lock under which others are forgotten; a deletion marks it first
//! and forgets then. So nothing of it stays.
//!
//! A repair of a damaged store happens when no engine has it open, and the cache begins empty.
//!
//! # How it is found
//!
//! A payload is in one of two sets that follow from the numbers of its row, each a line of the processor's cache. So all the sets that a query
//! needs are fetched at once, and then all their payloads: what would wait for memory twenty times waits twice. What was asked for since it was
//! last looked at stays; of the others goes what stands next (CLOCK, Corbato 1968), so what is asked for once does not stay for long.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use index::{Offset, prefetch};
use parking_lot::Mutex;
use serde_json::Value;

use crate::point::Payload;
use crate::{CollectionId, Location};

/// What an allocation takes beside its bytes.
const ALLOCATION_BYTES: usize = 16;
/// Payloads in a set.
const WAYS: usize = 2;
/// The fewest sets of a table that has any.
const SETS_MIN: usize = 64;

/// Whose payload it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub collection: CollectionId,
    pub location: Location,
}

impl Row {
    /// Every bit depends on all numbers (the finalizer of `MurmurHash3`, Appleby 2011). They are ours: nobody chooses ones that collide.
    fn hash(&self) -> u64 {
        let Location { uid, offset } = self.location;
        let row = u64::from(self.collection.0) << 32 | u64::from(offset);
        let mut hash = row ^ uid.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ hash >> 33
    }
}

#[derive(Clone)]
struct Held {
    uid: u64,
    collection: CollectionId,
    offset: Offset,
    payload: Arc<Payload>,
}

impl Held {
    fn new(row: &Row, payload: Arc<Payload>) -> Self {
        Self {
            uid: row.location.uid,
            collection: row.collection,
            offset: row.location.offset,
            payload,
        }
    }

    fn row(&self) -> Row {
        Row {
            collection: self.collection,
            location: Location {
                uid: self.uid,
                offset: self.offset,
            },
        }
    }
}

/// A line of the cache.
#[derive(Default)]
#[repr(align(64))]
struct Set(Mutex<Ways>);

const _: () = assert!(size_of::<Set>() == 64);

#[derive(Default)]
struct Ways {
    held: [Option<Held>; WAYS],
    /// Whether it was asked for since the sweep came by.
    is_used: [bool; WAYS],
}

impl Ways {
    fn free(&self) -> usize {
        self.held.iter().filter(|held| held.is_none()).count()
    }

    fn find(&self, row: &Row) -> Option<usize> {
        let is_of = |held: &Option<Held>| held.as_ref().is_some_and(|held| held.row() == *row);
        self.held.iter().position(is_of)
    }
}

/// All sets: none, or a power of two.
struct Table {
    sets: Box<[Set]>,
    /// What it holds. Changed under the cache's lock only.
    count: AtomicUsize,
    payload_bytes: AtomicU64,
    /// The set at which the sweep goes on.
    hand: AtomicUsize,
}

impl Table {
    fn new(sets: usize) -> Self {
        Self {
            sets: (0..sets).map(|_| Set::default()).collect(),
            count: AtomicUsize::new(0),
            payload_bytes: AtomicU64::new(0),
            hand: AtomicUsize::new(0),
        }
    }

    fn bytes(&self) -> u64 {
        self.payload_bytes.load(Ordering::Relaxed) + size_of_val(&*self.sets) as u64
    }

    /// The two sets in which a row may be, if there are any.
    fn sets_of(&self, row: &Row) -> Option<[&Set; 2]> {
        let mask = self.sets.len().checked_sub(1)?;
        let hash = row.hash();
        let set = |half: u64| &self.sets[half as usize & mask];
        Some([set(hash), set(hash >> 32)])
    }

    /// What `found` makes of the payload of a row, if it is here.
    fn with<T>(&self, row: &Row, found: impl FnOnce(&mut Ways, usize) -> T) -> Option<T> {
        for set in self.sets_of(row)? {
            let mut ways = set.0.lock();
            if let Some(at) = ways.find(row) {
                return Some(found(&mut ways, at));
            }
        }
        None
    }

    fn take(&self, row: &Row) -> Option<Held> {
        let held = self.with(row, |ways, at| ways.held[at].take())??;
        self.note_gone(&held);
        Some(held)
    }

    /// Puts what is not here yet; in the place of another if that cannot be helped.
    fn insert(&self, new: Held) {
        let Some(sets) = self.sets_of(&new.row()) else {
            return;
        };
        let bytes = payload_bytes(&new.payload);
        self.payload_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        let full = sets.iter().all(|set| set.0.lock().free() == 0);
        if full {
            self.make_room(sets);
        }
        // The emptier one: few of all are full then (two choices, Azar et al. 1994).
        let [first, second] = sets.map(|set| set.0.lock().free());
        let mut ways = sets[usize::from(second > first)].0.lock();
        let free = ways.held.iter().position(Option::is_none);
        let unused = || ways.is_used.iter().position(|is_used| !is_used);
        let at = free.or_else(unused).unwrap_or(0);
        ways.is_used[at] = false;
        if let Some(old) = ways.held[at].replace(new) {
            self.note_gone(&old);
        }
    }

    /// Moves one of the payloads of full sets to the other set in which it may be, if there is one that has room (cuckoo hashing, Pagh and
    /// Rodler 2001). Whoever looks for it meanwhile finds it in one of the two, or reads it from the store.
    fn make_room(&self, sets: [&Set; 2]) {
        for set in sets {
            for at in 0..WAYS {
                let held = set.0.lock().held[at].clone();
                let Some(held) = held else { return };
                let others = self.sets_of(&held.row()).into_iter().flatten();
                for other in others.filter(|other| !std::ptr::eq(*other, set)) {
                    let mut ways = other.0.lock();
                    if let Some(free) = ways.held.iter().position(Option::is_none) {
                        ways.held[free] = Some(held);
                        ways.is_used[free] = true;
                        drop(ways);
                        set.0.lock().held[at] = None;
                        return;
                    }
                }
            }
        }
    }

    /// Drops what was not asked for since it came by last, of one set.
    fn sweep(&self) {
        let at = self.hand.fetch_add(1, Ordering::Relaxed) % self.sets.len().max(1);
        let Some(set) = self.sets.get(at) else { return };
        let mut ways = set.0.lock();
        let Ways { held, is_used } = &mut *ways;
        for (held, is_used) in held.iter_mut().zip(is_used) {
            if !std::mem::take(is_used)
                && let Some(old) = held.take()
            {
                self.note_gone(&old);
            }
        }
    }

    fn note_gone(&self, held: &Held) {
        let bytes = payload_bytes(&held.payload);
        self.payload_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// A table of so many sets with what is `kept` of this one.
    fn moved(&self, sets: usize, kept: impl Fn(&Held) -> bool) -> Self {
        let new = Self::new(sets);
        let all = self.sets.iter().flat_map(|set| set.0.lock().held.clone());
        let kept = all.flatten().filter(kept);
        kept.for_each(|held| new.insert(held));
        new
    }
}

/// The cache of a node.
pub(crate) struct PayloadCache {
    table: ArcSwap<Table>,
    bytes_max: u64,
    /// Held by whoever changes what is here. Those who read do not take it.
    changing: Mutex<()>,
}

impl PayloadCache {
    /// Holds so many bytes at most.
    pub fn new(bytes_max: u64) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::new(0)),
            bytes_max,
            changing: Mutex::new(()),
        }
    }

    /// The payloads of rows that are here, in the order asked. Time O(rows).
    pub fn get(&self, rows: impl Iterator<Item = Row> + Clone) -> Vec<Option<Arc<Payload>>> {
        let table = self.table.load();
        let are_several = rows.clone().nth(1).is_some();
        for row in rows.clone().filter(|_| are_several) {
            if let Some([first, _]) = table.sets_of(&row) {
                prefetch(std::slice::from_ref(first));
            }
        }
        for row in rows.clone().filter(|_| are_several) {
            table.with(&row, |ways, at| {
                if let Some(held) = &ways.held[at] {
                    prefetch(std::slice::from_ref(&*held.payload));
                }
            });
        }
        let get = |row| {
            table.with(&row, |ways, at| {
                ways.is_used[at] = true;
                ways.held[at].as_ref().map(|held| held.payload.clone())
            })
        };
        rows.map(|row| get(row).flatten()).collect()
    }

    /// Keeps the payload of a row, unless its collection `is_gone` or the table is being changed: a reader never waits for others. Time O(its
    /// values), and of all entries each time that their number has doubled.
    pub fn put(&self, row: Row, payload: &Arc<Payload>, is_gone: impl FnOnce() -> bool) {
        if payload_bytes(payload) > self.bytes_max / 2 {
            return;
        }
        let Some(_changing) = self.changing.try_lock() else {
            return;
        };
        if is_gone() {
            return;
        }
        let mut table = self.table.load_full();
        if table.with(&row, |_, _| ()).is_some() {
            return;
        }
        if table.count.load(Ordering::Relaxed) >= table.sets.len() {
            let sets = (table.sets.len() * 2).max(SETS_MIN);
            table = Arc::new(table.moved(sets, |_| true));
            self.table.store(table.clone());
        }
        table.insert(Held::new(&row, payload.clone()));
        while table.bytes() > self.bytes_max && table.count.load(Ordering::Relaxed) > 0 {
            table.sweep();
        }
    }

    /// Keeps what rows have under other rows, which are copies of them: from the first of each pair to the second. Time O(pairs).
    pub fn rename(&self, pairs: impl Iterator<Item = (Row, Row)>) {
        let _changing = self.changing.lock();
        let table = self.table.load();
        if table.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        for (from, to) in pairs {
            if let Some(held) = table.take(&from)
                && table.with(&to, |_, _| ()).is_none()
            {
                table.insert(Held::new(&to, held.payload));
            }
        }
    }

    /// Drops the payloads of a collection with the room that they took. Time O(entries): others move to a new table.
    pub fn forget(&self, collection: CollectionId) {
        let _changing = self.changing.lock();
        let table = self.table.load();
        let all = table.sets.iter().flat_map(|set| set.0.lock().held.clone());
        let others = all.flatten().filter(|held| held.collection != collection);
        let sets = match others.count() {
            0 => 0,
            count => count.next_power_of_two().max(SETS_MIN),
        };
        let kept = table.moved(sets, |held| held.collection != collection);
        self.table.store(Arc::new(kept));
    }

    /// Bytes that it holds, about.
    pub fn bytes(&self) -> u64 {
        self.table.load().bytes()
    }
}

/// Bytes of a payload, with what it takes to share it.
fn payload_bytes(payload: &Payload) -> u64 {
    (size_of::<Payload>() + 2 * ALLOCATION_BYTES + object_bytes(payload)) as u64
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
