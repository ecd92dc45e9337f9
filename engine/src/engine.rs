//! The node's engine: opening and recovery, collections, append and apply.

mod usage;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::apply::put_entries;
use crate::audit::audit_log;
use crate::budget::{Budget, GiveBack, MemoryShares};
use crate::builder::Builder;
use crate::collection::Collection;
use crate::config::{CollectionConfig, Durability, validate_collection_name};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::log::{Change, Decision, Entry, Log, Operation, Outcome, Share, Wait};
use crate::planted::{Bug, is_planted};
use crate::reclaim::Reclaimer;
use crate::request::RequestTag;
use crate::segment::Positions;
use crate::segment::folder::{self, Folder};
use crate::storage::record::CollectionRecord;
use crate::storage::{Batch, Family, Store, Visit, codec, key};
use crate::syncer::Syncer;
use crate::{CollectionId, PARTITIONS, Partition};

pub use usage::Admission;

/// First character of the names of collections that are not finished: users cannot give it, and a start removes them.
const UNFINISHED: char = '\u{1}';

/// Where the values and rows of a collection stand.
const COLLECTION_FAMILIES: [Family; 4] = [
    Family::Points,
    Family::Vectors,
    Family::Media,
    Family::Changes,
];

/// How to open an engine.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Clock and randomness.
    pub env: Env,
    /// The memory budget in bytes, at least [`crate::MEMORY_BYTES_MIN`]; [`MemoryShares::of_machine`] if `None`.
    pub memory_bytes: Option<u64>,
    /// Called after much memory was freed.
    pub give_back: GiveBack,
    /// Threads that seal, merge and build; half of the cores if `None`, at least one. A collection is worked on by one of them at a time.
    /// RocksDB has as many for compactions, and one for flushes.
    pub background_threads: Option<NonZeroUsize>,
}

impl EngineOptions {
    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.background_threads
            .map_or_else(|| (cores() / 2).max(1), NonZeroUsize::get)
    }
}

/// One node's truth.
pub struct Engine {
    store: Arc<Store>,
    env: Env,
    log: Log,
    collections: RwLock<BTreeMap<String, Slot>>,
    /// Held while collections are created, changed or dropped.
    changing: Mutex<()>,
    /// Held from reading an entry's rows to showing them: entries are applied one batch after the other.
    applying: Mutex<()>,
    builder: Builder,
    reclaimer: Reclaimer,
    /// The collections that are being read.
    loading: Mutex<BTreeMap<String, Arc<Collection>>>,
    /// Where the logs stood when the store was opened: what the collections load.
    opened: Positions,
    /// Set when the rows may lag behind the log: nothing more is written until a restart has replayed it.
    broken: Arc<AtomicBool>,
    /// The collections whose writes are acknowledged before they are durable.
    intervals: RwLock<HashMap<CollectionId, Duration>>,
    syncer: Syncer,
}

/// A collection by its state of loading.
#[derive(Clone)]
enum Slot {
    Loading(CollectionId, Box<CollectionConfig>),
    Ready(Arc<Collection>),
    /// Its rows cannot be read; the others are served.
    Quarantined(CollectionId, String),
}

impl Slot {
    /// The log index up to which the collection's change records are no longer needed.
    fn covered(&self, partition: Partition) -> u64 {
        match self {
            Self::Ready(collection) => collection.covered(partition),
            Self::Loading(..) | Self::Quarantined(..) => 0,
        }
    }

    /// The collection and its interval, if it has one; that of a quarantined one is not known.
    fn interval(&self) -> Option<(CollectionId, Duration)> {
        let durability = match self {
            Self::Loading(_, config) => config.durability,
            Self::Ready(collection) => collection.config().durability,
            Self::Quarantined(..) => Durability::Sync,
        };
        match durability {
            Durability::Sync => None,
            Durability::IntervalMs(ms) => Some((self.id(), Duration::from_millis(ms))),
        }
    }

    fn id(&self) -> CollectionId {
        match self {
            Self::Loading(id, _) | Self::Quarantined(id, _) => *id,
            Self::Ready(collection) => collection.id(),
        }
    }
}

/// Bytes on disk and in memory.
#[derive(Clone, Debug, Default)]
pub struct StorageStats {
    /// By column family.
    pub disk_bytes: Vec<(&'static str, u64)>,
    /// Vectors and structures in memory, by collection.
    pub memory_bytes: Vec<(String, usize)>,
}

impl Engine {
    /// Opens or creates the store in `dir` and replays what was durable but not applied. Collections are not loaded yet: call
    /// [`Self::load`], from another thread if the server is to listen meanwhile.
    ///
    /// # Errors
    ///
    /// `Unavailable` if another process holds the folder, `Corrupted` if it lost acknowledged writes.
    pub fn open_unloaded(dir: &Path, options: EngineOptions) -> Result<Self> {
        let threads = options.threads();
        let shares = match options.memory_bytes {
            Some(bytes) => MemoryShares::of(bytes)?,
            None => MemoryShares::of_machine(),
        };
        let budget = Budget::new(shares, options.give_back);
        let store = Arc::new(Store::open_within(dir, budget, threads)?);
        let mut collections = BTreeMap::new();
        store.scan(Family::Meta, key::META_COLLECTION, &[], |key, value| {
            let name = std::str::from_utf8(&key[key::META_COLLECTION.len()..])
                .map_err(|_| Error::corrupted("a collection's name is not UTF-8"))?;
            collections.insert(name.to_owned(), read_collection(name, value)?);
            Ok(Visit::Next)
        })?;
        let (log, unapplied) = Log::open(&store)?;
        let broken = Arc::new(AtomicBool::new(false));
        let intervals = collections.values().filter_map(Slot::interval).collect();
        let mut engine = Self {
            syncer: Syncer::start(store.clone(), broken.clone()),
            reclaimer: Reclaimer::start(store.clone()),
            loading: Mutex::default(),
            store,
            env: options.env,
            log,
            collections: RwLock::new(collections),
            changing: Mutex::new(()),
            applying: Mutex::new(()),
            builder: Builder::start(threads),
            opened: [0; PARTITIONS as usize],
            broken,
            intervals: RwLock::new(intervals),
        };
        if !unapplied.is_empty() {
            tracing::info!(
                entries = unapplied.len(),
                "replaying log entries that were durable but not applied"
            );
            engine.write_rows(&unapplied)?;
        }
        engine.opened = engine.log.applied_positions();
        engine.drop_unfinished()?;
        folder::remove_others(dir, |id| {
            engine.collection_ids::<HashSet<_>>().contains(&id)
        });
        Ok(engine)
    }

    /// Removes what a restore left that was killed.
    fn drop_unfinished(&self) -> Result<()> {
        let names: Vec<String> = self.collections.read().keys().cloned().collect();
        for name in names.iter().filter(|name| name.starts_with(UNFINISHED)) {
            tracing::warn!("removing a collection whose restore was not finished");
            self.drop_collection(name)?;
        }
        Ok(())
    }

    /// [`Self::open_unloaded`], then [`Self::load`].
    ///
    /// # Errors
    ///
    /// As [`Self::open_unloaded`].
    pub fn open(dir: &Path, options: EngineOptions) -> Result<Self> {
        let engine = Self::open_unloaded(dir, options)?;
        engine.load();
        Ok(engine)
    }

    /// Loads every collection. One that cannot be read is quarantined: its calls answer why, the others are served.
    pub fn load(&self) {
        let loading: Vec<(String, CollectionId, CollectionConfig)> = self
            .collections
            .read()
            .iter()
            .filter_map(|(name, slot)| match slot {
                Slot::Loading(id, config) => Some((name.clone(), *id, (**config).clone())),
                Slot::Ready(_) | Slot::Quarantined(..) => None,
            })
            .collect();
        for (name, id, config) in loading {
            let (store, env) = (self.store.clone(), self.env.clone());
            let collection = Arc::new(Collection::new(id, name.clone(), config, store, env));
            self.loading.lock().insert(name.clone(), collection.clone());
            let filled = collection.fill(&self.opened);
            self.loading.lock().remove(&name);
            let slot = match filled {
                Ok(()) => {
                    self.builder.wake(&collection);
                    Slot::Ready(collection)
                }
                Err(error) => {
                    tracing::error!(%error, collection = name, "quarantined: its rows cannot be read");
                    Slot::Quarantined(id, error.to_string())
                }
            };
            let mut collections = self.collections.write();
            // It may have been dropped meanwhile.
            if collections.get(&name).is_some_and(|slot| slot.id() == id) {
                collections.insert(name, slot);
            }
        }
    }

    /// Whether every collection is loaded or quarantined.
    pub fn is_loaded(&self) -> bool {
        !self
            .collections
            .read()
            .values()
            .any(|slot| matches!(slot, Slot::Loading(..)))
    }

    /// Names of all collections, ascending.
    pub fn collections(&self) -> Vec<String> {
        let collections = self.collections.read();
        let finished = collections
            .keys()
            .filter(|name| !name.starts_with(UNFINISHED));
        finished.cloned().collect()
    }

    /// The collection of this name.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Unavailable` while it loads; `Corrupted` if it is quarantined.
    pub fn collection(&self, name: &str) -> Result<Arc<Collection>> {
        match self.collections.read().get(name) {
            Some(Slot::Ready(collection)) => Ok(collection.clone()),
            Some(Slot::Loading(..)) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("Collection `{name}` is being loaded; try again in a moment"),
            )),
            Some(Slot::Quarantined(_, reason)) => Err(Error::corrupted(format!(
                "Collection `{name}` is quarantined, the others are served: {reason}; restore it from a snapshot or delete it"
            ))),
            None => Err(Error::not_found(format!(
                "Collection `{name}` doesn't exist!"
            ))),
        }
    }

    /// Creates a collection, durably.
    ///
    /// # Errors
    ///
    /// `Conflict` if there is one of this name, `InvalidInput` for settings that cannot be.
    pub fn create_collection(
        &self,
        name: &str,
        config: CollectionConfig,
    ) -> Result<Arc<Collection>> {
        validate_collection_name(name)?;
        self.create_named(name, config)
    }

    /// Creates a collection that no list shows, to be filled and then given its name by [`Self::publish_collection`]. One that is not published is
    /// removed at the next start.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for settings that cannot be.
    pub fn create_unfinished(&self, config: CollectionConfig) -> Result<Arc<Collection>> {
        let name = format!("{UNFINISHED}{:016x}", self.env.random());
        self.create_named(&name, config)
    }

    fn create_named(&self, name: &str, config: CollectionConfig) -> Result<Arc<Collection>> {
        config.validate()?;
        let _changing = self.changing.lock();
        if self.collections.read().contains_key(name) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("Wrong input: Collection `{name}` already exists!"),
            ));
        }
        let next = match self.store.get(Family::Meta, key::META_NEXT_COLLECTION)? {
            Some(bytes) => codec::decode(&bytes, "next collection number")?,
            None => 1u32,
        };
        let mut batch = self.store.batch();
        batch.put(
            Family::Meta,
            key::META_NEXT_COLLECTION,
            &codec::encode(&(next + 1)),
        );
        batch.put(
            Family::Meta,
            &key::meta_collection(name),
            &collection_record(CollectionId(next), &config)?,
        );
        self.store
            .write_synced(batch)
            .context("create collection")?;
        let collection = Collection::new(
            CollectionId(next),
            name.to_owned(),
            config,
            self.store.clone(),
            self.env.clone(),
        );
        let collection = Arc::new(collection);
        let slot = Slot::Ready(collection.clone());
        self.intervals.write().extend(slot.interval());
        self.collections.write().insert(name.to_owned(), slot);
        Ok(collection)
    }

    /// Changes settings that rows do not depend on, durably.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the change touches vectors or replaces an embedder that has been recorded.
    pub fn update_collection(
        &self,
        name: &str,
        change: impl FnOnce(&mut CollectionConfig),
    ) -> Result<()> {
        let _changing = self.changing.lock();
        let collection = self.collection(name)?;
        let old = collection.config();
        let mut config = (*old).clone();
        change(&mut config);
        config.validate()?;
        if config.vectors != old.vectors || config.sparse_vectors != old.sparse_vectors {
            return Err(Error::invalid(format!(
                "Collection `{name}`: the vectors of a collection are fixed when it is created; create another and load it"
            )));
        }
        for (vector, embedder) in &old.embedders {
            if config.embedders.get(vector) != Some(embedder) {
                return Err(Error::invalid(format!(
                    "Collection `{name}`: the embedder of \"{vector}\" is {} and stays so: stored vectors never mix models",
                    embedder.model
                )));
            }
        }
        let mut batch = self.store.batch();
        batch.put(
            Family::Meta,
            &key::meta_collection(name),
            &collection_record(collection.id(), &config)?,
        );
        self.store
            .write_synced(batch)
            .context("change collection")?;
        collection.set_config(config);
        let mut intervals = self.intervals.write();
        intervals.remove(&collection.id());
        intervals.extend(Slot::Ready(collection).interval());
        Ok(())
    }

    /// Deletes a collection with everything in it, durably; false if there was none.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn drop_collection(&self, name: &str) -> Result<bool> {
        let _changing = self.changing.lock();
        // No entry of this collection is half applied while its rows go.
        let _applying = self.applying.lock();
        let Some(id) = self.collections.read().get(name).map(Slot::id) else {
            return Ok(false);
        };
        let mut batch = self.store.batch();
        batch.delete(Family::Meta, &key::meta_collection(name));
        put_removal(&mut batch, id);
        self.store
            .write_synced_unreserved(batch)
            .context("delete collection")?;
        let removed = self.collections.write().remove(name);
        self.intervals.write().remove(&id);
        self.remove_files(id, removed);
        self.reclaim(id);
        Ok(true)
    }

    /// Gives an unfinished collection its name, durably, in the place of the one that has it, if any.
    ///
    /// Its rows are read once more; searches of the old one go on meanwhile.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that cannot be; what the disk says. Nothing has changed then.
    pub fn publish_collection(&self, unfinished: &Collection, name: &str) -> Result<()> {
        validate_collection_name(name)?;
        // Its segments were made under the other name; those of this one are made anew, in the same folder.
        unfinished.abandon_files();
        let collection = Collection::load(
            unfinished.id(),
            name.to_owned(),
            (*unfinished.config()).clone(),
            self.store.clone(),
            self.env.clone(),
            &self.log.applied_positions(),
        );
        let collection = Arc::new(collection?);
        let _changing = self.changing.lock();
        // No entry of the collection that goes is half applied.
        let _applying = self.applying.lock();
        let old = self.collections.read().get(name).map(Slot::id);
        let mut batch = self.store.batch();
        batch.delete(Family::Meta, &key::meta_collection(unfinished.name()));
        batch.put(
            Family::Meta,
            &key::meta_collection(name),
            &collection_record(collection.id(), &collection.config())?,
        );
        if let Some(old) = old {
            put_removal(&mut batch, old);
        }
        self.store
            .write_synced_unreserved(batch)
            .context("publish collection")?;
        let removed = {
            let mut collections = self.collections.write();
            collections.remove(unfinished.name());
            collections.insert(name.to_owned(), Slot::Ready(collection.clone()))
        };
        self.builder.wake(&collection);
        if let Some(old) = old {
            self.intervals.write().remove(&old);
            self.remove_files(old, removed);
            self.reclaim(old);
        }
        Ok(())
    }

    /// Removes the segment files of a collection that was deleted.
    fn remove_files(&self, id: CollectionId, slot: Option<Slot>) {
        match slot {
            Some(Slot::Ready(collection)) => collection.remove_files(),
            _ => Folder::new(self.store.dir(), id).remove(),
        }
    }

    /// Gives back the disk of a collection that was deleted: whole files at once, the rest by and by.
    fn reclaim(&self, id: CollectionId) {
        let prefixes = Partition::all().map(|partition| key::collection_prefix(partition, id));
        let ranges =
            prefixes.flat_map(|prefix| COLLECTION_FAMILIES.map(|family| (family, prefix.clone())));
        let ranges: Vec<(Family, Vec<u8>)> = ranges.collect();
        for (family, prefix) in &ranges {
            self.store.reclaim(*family, prefix);
        }
        self.reclaimer.reclaim(ranges.into_iter());
    }

    /// A copy of the whole store in `folder`, which must not exist, by hard links: what was acknowledged before is in it. It is a data
    /// folder to start a server on.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn checkpoint(&self, folder: &Path) -> Result<()> {
        self.store.checkpoint(folder)
    }

    /// Refuses `bytes` of other files in the data folder that would leave less than the reserve.
    ///
    /// # Errors
    ///
    /// `StorageFull`.
    pub fn ensure_space(&self, bytes: u64) -> Result<()> {
        self.store.ensure_space(bytes)
    }

    /// Clock and randomness.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.store.dir()
    }

    /// Makes the shares durable: one entry per share in its partition's log, all in one batch and one fsync. The caller applies the
    /// entries next, in the order in which they were appended.
    ///
    /// If every collection that they touch is of [`crate::Durability::IntervalMs`], they are in the write-ahead log when this returns, and durable
    /// within the shortest of these intervals. An fsync takes everything before it along.
    ///
    /// # Errors
    ///
    /// `StorageFull`, with nothing written; `Unavailable` after an earlier write broke half-way.
    pub fn append(&self, shares: Vec<Share>) -> Result<Vec<Entry>> {
        if self.broken.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "an earlier write failed half-way; restart the server: it replays the log (reads go on)",
            ));
        }
        let interval = self.interval_of(&shares);
        let wait = interval.map_or(Wait::UntilDurable, |_| Wait::UntilLogged);
        let entries = self.log.append(&self.store, &self.env, shares, wait)?;
        if let Some(interval) = interval {
            self.syncer.within(interval);
        }
        Ok(entries)
    }

    /// The shortest interval of the collections touched; `None` if one of them has none.
    fn interval_of(&self, shares: &[Share]) -> Option<Duration> {
        let intervals = self.intervals.read();
        if intervals.is_empty() {
            return None;
        }
        let operations = shares.iter().flat_map(|share| &share.operations);
        let of_each = operations.filter_map(Operation::collection);
        of_each
            .map(|collection| intervals.get(&collection).copied())
            .reduce(|a, b| Some(a?.min(b?)))
            .flatten()
    }

    /// The request among these shares whose name was used with another body, if one was. To be asked when everything that was appended is
    /// applied, and before the shares are appended: the home partition of a request knows its name whatever other partitions it touches.
    ///
    /// # Errors
    ///
    /// What RocksDB says.
    pub fn conflicting_request(&self, shares: &[Share]) -> Result<Option<RequestTag>> {
        self.log.conflict(&self.store, &self.env, shares)
    }

    /// Turns durable entries into rows, in one batch with the applied positions, and shows them to searches. Answers what became of every
    /// operation of every entry.
    ///
    /// # Errors
    ///
    /// What RocksDB says; the entries take effect at the next start, and nothing more is written until then.
    pub fn apply(&self, entries: Vec<Entry>) -> Result<Vec<Vec<Outcome>>> {
        let _applying = self.applying.lock();
        let decisions = self
            .write_rows(&entries)
            .inspect_err(|_| self.broken.store(true, Ordering::Release))
            .context("the write is durable, but takes effect only when the server is restarted")?;
        let mut changes: BTreeMap<CollectionId, Vec<(Partition, u64, Change)>> = BTreeMap::new();
        for (entry, decisions) in entries.into_iter().zip(&decisions) {
            for (change, decision) in entry.changes.into_iter().zip(decisions) {
                if decision.changed
                    && let Some((collection, _)) = change.target()
                {
                    let of_collection = changes.entry(collection).or_default();
                    of_collection.push((entry.partition, entry.index, change));
                }
            }
        }
        for collection in self.ready() {
            if let Some(changes) = changes.remove(&collection.id()) {
                collection.apply(changes.into_iter());
                self.builder.wake(&collection);
            }
        }
        if let Err(error) = self
            .log
            .purge(&self.store, &self.env, |at| self.covered(at))
        {
            // The write itself has succeeded and must say so; the next one tries the purge again.
            tracing::warn!(%error, "the log was not purged");
        }
        let outcomes =
            |decisions: Vec<Decision>| decisions.into_iter().map(|d| d.outcome).collect();
        Ok(decisions.into_iter().map(outcomes).collect())
    }

    /// When a point of any collection is to be dropped next: milliseconds since 1970, 0 for at once; `None` if no point ends.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        let ready = self.ready();
        ready
            .iter()
            .filter_map(|collection| collection.next_expiry_ms())
            .min()
    }

    /// The points that are hidden because their time has come, as operations that drop them. Time O(these points).
    pub fn expired(&self) -> Vec<(Partition, Operation)> {
        let mut operations = Vec::new();
        for collection in self.ready() {
            let id_of_collection = collection.id();
            operations.extend(collection.expired().into_iter().map(|(id, partition)| {
                let collection = id_of_collection;
                (partition, Operation::Expire { collection, id })
            }));
        }
        operations
    }

    fn ready(&self) -> Vec<Arc<Collection>> {
        let collections = self.collections.read();
        let ready = collections.values().filter_map(|slot| match slot {
            Slot::Ready(collection) => Some(collection.clone()),
            Slot::Loading(..) | Slot::Quarantined(..) => None,
        });
        ready.collect()
    }

    /// Milliseconds since 1970 by the clock of [`EngineOptions::env`].
    pub fn now_ms(&self) -> u64 {
        self.env.now_ms()
    }

    fn covered(&self, partition: Partition) -> Vec<(CollectionId, u64)> {
        let collections = self.collections.read();
        let slots = collections.values();
        slots
            .map(|slot| (slot.id(), slot.covered(partition)))
            .collect()
    }

    fn collection_ids<C: FromIterator<CollectionId>>(&self) -> C {
        self.collections.read().values().map(Slot::id).collect()
    }

    fn write_rows(&self, entries: &[Entry]) -> Result<Vec<Vec<Decision>>> {
        let exists: HashSet<CollectionId> = self.collection_ids();
        let mut batch = self.store.batch();
        let decisions = put_entries(&self.store, &mut batch, entries, |id| exists.contains(&id))?;
        if is_planted(Bug::ApplyApart) {
            let mut applied = self.store.batch();
            self.log.put_applied(&mut applied, entries);
            self.store.write(applied)?;
        } else {
            self.log.put_applied(&mut batch, entries);
        }
        self.store.write(batch).context("apply log entries")?;
        self.log.applied(entries);
        Ok(decisions)
    }

    /// Number that grows with every write.
    pub fn sequence(&self) -> u64 {
        self.store.sequence()
    }

    /// Bytes on disk and in memory.
    pub fn storage_stats(&self) -> StorageStats {
        let memory = |slot: &Slot| match slot {
            Slot::Ready(collection) => collection
                .info()
                .segments
                .iter()
                .map(|segment| segment.bytes)
                .sum(),
            Slot::Loading(..) | Slot::Quarantined(..) => 0,
        };
        let collections = self.collections.read();
        StorageStats {
            disk_bytes: self.store.disk_bytes(),
            memory_bytes: collections
                .iter()
                .map(|(name, slot)| (name.clone(), memory(slot)))
                .collect(),
        }
    }

    /// Reads every row, vector and segment file of every collection and compares them with what is in memory, and the log with the values that
    /// it names; answers what is wrong. Writes meanwhile may look like differences.
    pub fn check(&self) -> Vec<String> {
        let slots: Vec<(String, Slot)> = self
            .collections
            .read()
            .iter()
            .map(|(name, slot)| (name.clone(), slot.clone()))
            .collect();
        let mut problems = audit_log(&self.store, &self.collection_ids());
        for (name, slot) in slots {
            let found = match slot {
                Slot::Quarantined(_, reason) => vec![reason],
                Slot::Loading(..) => vec!["still loading".to_owned()],
                Slot::Ready(collection) => collection.check_all(),
            };
            let found = found.into_iter();
            problems.extend(found.map(|problem| format!("collection {name}: {problem}")));
        }
        problems
    }

    /// Makes everything durable before a clean shutdown.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn close(&self) -> Result<()> {
        self.store.close()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing the store failed");
        }
    }
}

/// Removes every row and value of a collection, and what changed in it.
fn put_removal(batch: &mut Batch<'_>, id: CollectionId) {
    for prefix in Partition::all().map(|partition| key::collection_prefix(partition, id)) {
        let end = key::successor(&prefix).expect("partition numbers are far from their end");
        for family in COLLECTION_FAMILIES {
            batch.delete_range(family, &prefix, &end);
        }
    }
    for prefix in Partition::all().map(|partition| key::expiry_prefix(partition, id)) {
        let end = key::successor(&prefix).expect("its third byte is far from its end");
        batch.delete_range(Family::State, &prefix, &end);
    }
}

fn read_collection(name: &str, value: &[u8]) -> Result<Slot> {
    let record: CollectionRecord = codec::decode(value, "collection record")?;
    let id = CollectionId(record.id);
    Ok(match serde_json::from_slice(&record.config_json) {
        Ok(config) => Slot::Loading(id, Box::new(config)),
        Err(error) => Slot::Quarantined(id, format!("settings of collection {name}: {error}")),
    })
}

fn collection_record(id: CollectionId, config: &CollectionConfig) -> Result<Vec<u8>> {
    let config_json =
        serde_json::to_vec(config).map_err(|error| Error::invalid(format!("settings: {error}")))?;
    Ok(codec::encode(&CollectionRecord {
        id: id.0,
        config_json,
    }))
}

#[cfg(test)]
mod tests;
