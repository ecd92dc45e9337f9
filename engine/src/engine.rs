//! The node's engine: opening and recovery, and what is asked of the whole of it.
//!
//! - `collections`: creating, changing, publishing and deleting them.
//! - `usage`: what it holds in memory and on the disk.
//! - `writes`: the log and the rows that follow from it.

mod collections;
mod usage;
mod writes;

pub(crate) use collections::{read_settings, record_and_copy};

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::audit::audit_log;
use crate::budget::{Budget, MemoryShares};
use crate::builder::Builder;
use crate::collection::Collection;
use crate::config::CollectionConfig;
use crate::env::Env;
use crate::error::Result;
use crate::give_back::GiveBack;
use crate::log::Log;
use crate::reclaim::Reclaimer;
use crate::segment::Positions;
use crate::segment::folder;
use crate::storage::{Family, Store, Visit, key};
use crate::syncer::Syncer;
use crate::{CollectionId, PARTITIONS, Partition};
use collections::{Slot, UNFINISHED, read_collection};
pub use usage::Admission;

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

/// Which collections there are.
struct Existing {
    ids: HashSet<CollectionId>,
    /// Whether there is one whose number cannot be read: it may be any.
    some_unknown: bool,
}

impl Existing {
    fn contains(&self, id: CollectionId) -> bool {
        self.some_unknown || self.ids.contains(&id)
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
        Self::open_store(dir, options).map_err(|error| error.or_repair(dir))
    }

    fn open_store(dir: &Path, options: EngineOptions) -> Result<Self> {
        let threads = options.threads();
        let shares = match options.memory_bytes {
            Some(bytes) => MemoryShares::of(bytes)?,
            None => MemoryShares::of_machine(),
        };
        let budget = Budget::new(shares, options.give_back);
        let store = Arc::new(Store::open_within(dir, budget, threads)?);
        let mut collections = BTreeMap::new();
        store.scan(Family::Meta, key::META_COLLECTION, &[], |key, value| {
            let name = String::from_utf8_lossy(&key[key::META_COLLECTION.len()..]);
            let slot = read_collection(&store, &name, value)?;
            collections.insert(name.into_owned(), slot);
            Ok(Visit::Next)
        })?;
        let (log, unapplied) = Log::open(&store)?;
        let broken = Arc::new(AtomicBool::new(false));
        let intervals = collections.values().filter_map(Slot::interval).collect();
        let mut engine = Self {
            syncer: Syncer::start(store.clone(), broken.clone())?,
            reclaimer: Reclaimer::start(store.clone())?,
            loading: Mutex::default(),
            store,
            log,
            collections: RwLock::new(collections),
            changing: Mutex::new(()),
            applying: Mutex::new(()),
            builder: Builder::start(threads, &options.env)?,
            opened: [0; PARTITIONS as usize],
            broken,
            intervals: RwLock::new(intervals),
            env: options.env,
        };
        // Before the replay: a request that came again to the collection that replaced one was applied, as that was gone.
        engine.drop_unfinished()?;
        if !unapplied.is_empty() {
            tracing::info!(
                entries = unapplied.len(),
                "replaying log entries that were durable but not applied"
            );
            engine.write_rows(&unapplied)?;
        }
        engine.opened = engine.log.applied_positions();
        let exists = engine.existing();
        folder::remove_others(dir, |id| exists.contains(id));
        Ok(engine)
    }

    /// Removes what restores left: what was not finished, and what was replaced and still read when the engine went.
    fn drop_unfinished(&self) -> Result<()> {
        let names: Vec<String> = self.collections.read().keys().cloned().collect();
        for name in names.iter().filter(|name| name.starts_with(UNFINISHED)) {
            tracing::warn!(
                "removing a collection whose restore was not finished, or which was replaced by one"
            );
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
                    Slot::Quarantined(Some(id), error.to_string())
                }
            };
            // What takes its place meanwhile must know whether there is something to read.
            let _changing = self.changing.lock();
            let mut collections = self.collections.write();
            // It may have been dropped meanwhile.
            if collections
                .get(&name)
                .is_some_and(|slot| slot.id() == Some(id))
            {
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

    /// The store, for tests that bring it into a state which takes many writes otherwise.
    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store {
        &self.store
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
            .filter_map(|slot| Some((slot.id()?, slot.covered(partition))))
            .collect()
    }

    fn collection_ids<C: FromIterator<CollectionId>>(&self) -> C {
        let collections = self.collections.read();
        collections.values().filter_map(Slot::id).collect()
    }

    /// Which collections there are.
    fn existing(&self) -> Existing {
        let some_unknown = self
            .collections
            .read()
            .values()
            .any(|slot| slot.id().is_none());
        Existing {
            ids: self.collection_ids(),
            some_unknown,
        }
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

#[cfg(test)]
mod tests;
