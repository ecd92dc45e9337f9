//! Collections of the engine: their states, creating, changing, publishing and deleting them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLockWriteGuard;

use super::Engine;
use crate::collection::{Collection, Gone};
use crate::config::{CollectionConfig, Durability, validate_collection_name};
use crate::error::{Error, ErrorKind, Result, ResultExt, how_to_repair};
use crate::reclaim::RemovedLast;
use crate::removal::Removal;
use crate::storage::record::{CollectionCopy, CollectionRecord};
use crate::storage::{Batch, Family, Store, Visit, codec, key};
use crate::{CollectionId, Partition};

/// First character of the names of collections that are not finished: users cannot give it, and a start removes them.
pub(super) const UNFINISHED: char = '\u{1}';

/// A collection by its state of loading.
#[derive(Clone)]
pub(super) enum Slot {
    Loading(CollectionId, Box<CollectionConfig>),
    Ready(Arc<Collection>),
    /// Its record or its rows cannot be read; the others are served. The number is not known if the record and its copy are unreadable.
    Quarantined(Option<CollectionId>, String),
}

impl Slot {
    /// The log index up to which the collection's change records are no longer needed.
    pub(super) fn covered(&self, partition: Partition) -> u64 {
        match self {
            Self::Ready(collection) => collection.covered(partition),
            Self::Loading(..) | Self::Quarantined(..) => 0,
        }
    }

    /// The collection and its interval, if it has one; that of a quarantined one is not known.
    pub(super) fn interval(&self) -> Option<(CollectionId, Duration)> {
        let durability = match self {
            Self::Loading(_, config) => config.durability,
            Self::Ready(collection) => collection.config().durability,
            Self::Quarantined(..) => Durability::Sync,
        };
        match durability {
            Durability::Sync => None,
            Durability::IntervalMs(ms) => Some((self.id()?, Duration::from_millis(ms))),
        }
    }

    /// [`Collection::hold_writes`]; a collection that is not ready takes none.
    fn hold_writes(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        match self {
            Self::Ready(collection) => Some(collection.hold_writes()),
            Self::Loading(..) | Self::Quarantined(..) => None,
        }
    }

    pub(super) fn id(&self) -> Option<CollectionId> {
        match self {
            Self::Loading(id, _) => Some(*id),
            Self::Quarantined(id, _) => *id,
            Self::Ready(collection) => Some(collection.id()),
        }
    }
}

impl Engine {
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
                "Collection `{name}` is quarantined, the others are served: {reason}; {}, restore it from a snapshot, or delete it",
                how_to_repair(self.store.dir())
            ))),
            None => Err(Error::not_found(format!(
                "Collection `{name}` doesn't exist!"
            ))),
        }
    }

    /// Calls `write` with the collection of this name, in whose place no other is put ([`Self::publish_collection`]) before it returns.
    ///
    /// # Errors
    ///
    /// As [`Self::collection`]; what `write` says.
    pub fn write_to<T>(
        &self,
        name: &str,
        write: impl FnOnce(&Collection) -> Result<T>,
    ) -> Result<T> {
        loop {
            let collection = self.collection(name)?;
            let _stays = collection.stay();
            // Another one may have taken its place while this waited.
            if Arc::ptr_eq(&collection, &self.collection(name)?) {
                return write(&collection);
            }
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
        self.create_named(&self.unfinished_name(), config)
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
        put_record(&mut batch, name, CollectionId(next), &config)?;
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
    /// As [`Self::collection`] for one that is not there, damaged or not loaded yet; `InvalidInput` if the change touches vectors or replaces an
    /// embedder that has been recorded; what the disk says, with nothing changed.
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
        put_record(&mut batch, name, collection.id(), &config)?;
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
    /// `Corrupted` if its record does not tell its number; what the disk says. It is still there then. One that is damaged otherwise, or not loaded
    /// yet, can be deleted.
    pub fn drop_collection(&self, name: &str) -> Result<bool> {
        let _changing = self.changing.lock();
        // No entry of this collection is half applied while its rows go.
        let _applying = self.applying.lock();
        let Some(slot) = self.collections.read().get(name).cloned() else {
            return Ok(false);
        };
        let Some(id) = slot.id() else {
            return Err(Error::corrupted(format!(
                "Collection `{name}`: its number cannot be read, so its rows are not known"
            ))
            .or_repair(self.store.dir()));
        };
        let removal = Removal::new(id, name);
        let mut batch = self.store.batch();
        removal.put(&mut batch);
        let leaving = Leaving::begin(&slot);
        self.store
            .write_synced_unreserved(batch)
            .context("delete collection")?;
        leaving.complete();
        self.collections.write().remove(name);
        self.intervals.write().remove(&id);
        if let Slot::Ready(collection) = slot {
            collection.remove_files();
        }
        self.reclaim(&removal);
        Ok(true)
    }

    /// Gives an unfinished collection its name, durably, in the place of the one that has it, if any. Nobody sees the name without a collection:
    /// writes that are under way go to the old one, and those that come meanwhile wait for the new one; who reads the old one then reads on, and
    /// its memory and disk are given back when nobody does any more.
    ///
    /// Its rows are read once more; searches and writes of the old one go on meanwhile.
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
        let replaced = self.collections.read().get(name).cloned();
        let _writes = replaced.as_ref().and_then(Slot::hold_writes);
        // No entry of the collection that goes is half applied.
        let _applying = self.applying.lock();
        let mut batch = self.store.batch();
        batch.delete(Family::Meta, &key::meta_collection(unfinished.name()));
        let removal = self.put_replaced(&mut batch, replaced.as_ref(), name)?;
        put_record(&mut batch, name, collection.id(), &collection.config())?;
        self.store
            .write_synced_unreserved(batch)
            .context("publish collection")?;
        {
            let mut collections = self.collections.write();
            collections.remove(unfinished.name());
            collections.insert(name.to_owned(), Slot::Ready(collection.clone()));
        }
        self.builder.wake(&collection);
        let Some((removal, slot)) = removal.zip(replaced.as_ref()) else {
            return Ok(());
        };
        self.intervals.write().remove(&removal.id());
        match slot {
            Slot::Ready(old) => {
                old.remove_files();
                let reclaiming = self.reclaimer.reclaiming();
                old.set_replaced(RemovedLast::new(removal, reclaiming));
            }
            Slot::Loading(..) | Slot::Quarantined(..) => self.reclaim(&removal),
        }
        Ok(())
    }

    /// Puts what becomes of the collection that another replaces: it gets a name by which a start removes it, as it may still be read. One that
    /// nobody can read is removed. Answers how to remove it, or to give back its disk; `None` if it is not there, or its number is not known.
    fn put_replaced(
        &self,
        batch: &mut Batch<'_>,
        replaced: Option<&Slot>,
        name: &str,
    ) -> Result<Option<Removal>> {
        let Some((slot, id)) = replaced.and_then(|slot| Some((slot, slot.id()?))) else {
            return Ok(None);
        };
        let Slot::Ready(old) = slot else {
            let removal = Removal::new(id, name);
            removal.put(batch);
            return Ok(Some(removal));
        };
        let name = self.unfinished_name();
        put_record(batch, &name, id, &old.config())?;
        Ok(Some(Removal::new(id, &name)))
    }

    /// A name that users cannot give.
    fn unfinished_name(&self) -> String {
        format!("{UNFINISHED}{:016x}", self.env.random())
    }

    /// Gives back memory and disk of a collection that was removed: whole files at once, the rest by and by.
    fn reclaim(&self, removal: &Removal) {
        let ranges = removal.give_back(&self.store);
        self.reclaimer.reclaim(ranges.into_iter());
    }
}

/// A collection that is about to go: whoever still reads it is told so, and not that its values are missing. It stays if the write fails.
struct Leaving<'a>(Option<&'a Collection>);

impl<'a> Leaving<'a> {
    fn begin(slot: &'a Slot) -> Self {
        let collection = match slot {
            Slot::Ready(collection) => Some(&**collection),
            Slot::Loading(..) | Slot::Quarantined(..) => None,
        };
        if let Some(collection) = collection {
            collection.set_gone(Gone::Yes);
        }
        Self(collection)
    }

    fn complete(mut self) {
        self.0 = None;
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(collection) = self.0 {
            collection.set_gone(Gone::No);
        }
    }
}

/// The collection of a record. One whose record cannot be read is quarantined, with its number if the copy of the record tells it.
pub(super) fn read_collection(store: &Store, name: &str, value: &[u8]) -> Result<Slot> {
    let read = codec::decode::<CollectionRecord>(value, "collection record").and_then(|record| {
        let config = read_settings(&record)?;
        Ok(Slot::Loading(CollectionId(record.id), Box::new(config)))
    });
    match read {
        Err(error) => {
            tracing::error!(%error, collection = name, "quarantined: its record cannot be read");
            let copy = read_copies(store)?
                .into_iter()
                .find(|copy| copy.name == name);
            let id = copy.map(|copy| CollectionId(copy.record.id));
            Ok(Slot::Quarantined(id, error.to_string()))
        }
        slot => slot,
    }
}

/// The copies of collections' records that can be read.
fn read_copies(store: &Store) -> Result<Vec<CollectionCopy>> {
    let mut copies = Vec::new();
    store.scan(Family::State, key::COLLECTION_COPIES, &[], |_, value| {
        copies.extend(codec::decode::<CollectionCopy>(value, "copy of a record").ok());
        Ok(Visit::Next)
    })?;
    Ok(copies)
}

/// Puts a collection's record, and its copy in another family, which is in another file: what the rows of a collection mean is not lost with
/// one block.
fn put_record(
    batch: &mut Batch<'_>,
    name: &str,
    id: CollectionId,
    config: &CollectionConfig,
) -> Result<()> {
    let (record, copy) = record_and_copy(name, id, config)?;
    batch.put(
        Family::Meta,
        &key::meta_collection(name),
        &codec::encode(&record),
    );
    batch.put(
        Family::State,
        &key::collection_copy(id),
        &codec::encode(&copy),
    );
    Ok(())
}

/// A collection's record and the copy of it.
pub(crate) fn record_and_copy(
    name: &str,
    id: CollectionId,
    config: &CollectionConfig,
) -> Result<(CollectionRecord, CollectionCopy)> {
    let config_json =
        serde_json::to_vec(config).map_err(|error| Error::invalid(format!("settings: {error}")))?;
    let record = CollectionRecord {
        id: id.0,
        config_json,
    };
    let copy = CollectionCopy {
        name: name.to_owned(),
        record: record.clone(),
    };
    Ok((record, copy))
}

/// The settings that a record holds.
pub(crate) fn read_settings(record: &CollectionRecord) -> Result<CollectionConfig> {
    serde_json::from_slice(&record.config_json)
        .map_err(|error| Error::corrupted(format!("settings: {error}")))
}
