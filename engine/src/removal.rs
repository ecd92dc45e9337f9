//! Removing a collection from the store: its record, rows, values, what changed in it, and the files of its segments.

use crate::error::{Result, ResultExt};
use crate::segment::folder::Folder;
use crate::storage::{Batch, Family, Store, key};
use crate::{CollectionId, Partition};

/// Where the values and rows of a collection stand.
const COLLECTION_FAMILIES: [Family; 4] = [
    Family::Points,
    Family::Vectors,
    Family::Media,
    Family::Changes,
];

/// A collection that is to be removed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Removal {
    id: CollectionId,
    /// Under which its record stands.
    name: String,
}

impl Removal {
    pub fn new(id: CollectionId, name: &str) -> Self {
        let name = name.to_owned();
        Self { id, name }
    }

    /// Of which collection.
    pub fn id(&self) -> CollectionId {
        self.id
    }

    /// Removes all that the store has of it.
    pub fn put(&self, batch: &mut Batch<'_>) {
        batch.delete(Family::Meta, &key::meta_collection(&self.name));
        for prefix in self.prefixes() {
            let end = key::successor(&prefix).expect("partition numbers are far from their end");
            for family in COLLECTION_FAMILIES {
                batch.delete_range(family, &prefix, &end);
            }
        }
        for prefix in Partition::all().map(|partition| key::expiry_prefix(partition, self.id)) {
            let end = key::successor(&prefix).expect("its third byte is far from its end");
            batch.delete_range(Family::State, &prefix, &end);
        }
        batch.delete(Family::State, &key::collection_copy(self.id));
    }

    /// Gives back memory and disk of what was removed, as far as that takes no work, and answers the ranges that are left to be compacted.
    pub fn give_back(&self, store: &Store) -> Vec<(Family, Vec<u8>)> {
        Folder::new(store.dir(), self.id).remove();
        store.payloads().forget(self.id);
        let ranges = self
            .prefixes()
            .flat_map(|prefix| COLLECTION_FAMILIES.map(|family| (family, prefix.clone())));
        let ranges: Vec<(Family, Vec<u8>)> = ranges.collect();
        for (family, prefix) in &ranges {
            store.reclaim(*family, prefix);
        }
        ranges
    }

    /// Removes it durably, as [`Self::put`] and [`Self::give_back`] do. Nobody may write to it any more.
    pub fn take(&self, store: &Store) -> Result<Vec<(Family, Vec<u8>)>> {
        let mut batch = store.batch();
        self.put(&mut batch);
        store
            .write_synced_unreserved(batch)
            .context("remove a collection that was replaced")?;
        Ok(self.give_back(store))
    }

    fn prefixes(&self) -> impl Iterator<Item = Vec<u8>> {
        Partition::all().map(|partition| key::collection_prefix(partition, self.id))
    }
}
