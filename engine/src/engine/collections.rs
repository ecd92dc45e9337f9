//! Collections of the engine: their states, creating, changing, publishing and deleting them.

use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::collection::{Collection, Gone};
use crate::config::{CollectionConfig, Durability, validate_collection_name};
use crate::error::{Error, ErrorKind, Result, ResultExt, how_to_repair};
use crate::segment::folder::Folder;
use crate::storage::record::{CollectionCopy, CollectionRecord};
use crate::storage::{Batch, Family, Store, Visit, codec, key};
use crate::{CollectionId, Partition};

/// First character of the names of collections that are not finished: users cannot give it, and a start removes them.
pub(super) const UNFINISHED: char = '\u{1}';

/// Where the values and rows of a collection stand.
const COLLECTION_FAMILIES: [Family; 4] = [
    Family::Points,
    Family::Vectors,
    Family::Media,
    Family::Changes,
];

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
        let mut batch = self.store.batch();
        batch.delete(Family::Meta, &key::meta_collection(name));
        put_removal(&mut batch, id);
        let leaving = Leaving::begin(Some(&slot));
        self.store
            .write_synced_unreserved(batch)
            .context("delete collection")?;
        leaving.complete();
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
        let replaced = self.collections.read().get(name).cloned();
        let old = replaced.as_ref().and_then(Slot::id);
        let mut batch = self.store.batch();
        batch.delete(Family::Meta, &key::meta_collection(unfinished.name()));
        put_record(&mut batch, name, collection.id(), &collection.config())?;
        if let Some(old) = old {
            put_removal(&mut batch, old);
        }
        let leaving = Leaving::begin(replaced.as_ref());
        self.store
            .write_synced_unreserved(batch)
            .context("publish collection")?;
        leaving.complete();
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
        self.store.payloads().forget(id);
        let prefixes = Partition::all().map(|partition| key::collection_prefix(partition, id));
        let ranges =
            prefixes.flat_map(|prefix| COLLECTION_FAMILIES.map(|family| (family, prefix.clone())));
        let ranges: Vec<(Family, Vec<u8>)> = ranges.collect();
        for (family, prefix) in &ranges {
            self.store.reclaim(*family, prefix);
        }
        self.reclaimer.reclaim(ranges.into_iter());
    }
}

/// A collection that is about to go: whoever still reads it is told so, and not that its values are missing. It stays if the write fails.
struct Leaving<'a>(Option<&'a Collection>);

impl<'a> Leaving<'a> {
    fn begin(slot: Option<&'a Slot>) -> Self {
        let collection = match slot {
            Some(Slot::Ready(collection)) => Some(&**collection),
            _ => None,
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

/// Removes every row and value of a collection, what changed in it, and the copy of its record.
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
    batch.delete(Family::State, &key::collection_copy(id));
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
