//! The store as it was at one moment, while writes go on.

use rocksdb::Snapshot;

use super::{Family, Store, Visit, visit_records, within};
use crate::error::{Result, ResultExt};

/// Reads what was written before [`Store::view`], and nothing later. Values superseded meanwhile stay readable until it is dropped.
pub struct View<'a> {
    store: &'a Store,
    snapshot: Snapshot<'a>,
}

impl Store {
    /// The store as it is now.
    pub fn view(&self) -> View<'_> {
        View {
            store: self,
            snapshot: self.db.snapshot(),
        }
    }
}

impl View<'_> {
    /// As [`Store::scan`].
    ///
    /// # Errors
    ///
    /// What RocksDB or `visit` says.
    pub fn scan(
        &self,
        family: Family,
        prefix: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<Visit>,
    ) -> Result<()> {
        let mut options = within(prefix);
        options.set_readahead_size(1 << 20);
        // A whole collection is read once: what searches keep in the cache stays there.
        options.fill_cache(false);
        let iterator = self
            .snapshot
            .raw_iterator_cf_opt(self.store.handle(family), options);
        visit_records(iterator, prefix, visit)
    }

    /// As [`Store::get_many`].
    ///
    /// # Errors
    ///
    /// What RocksDB says of any of them.
    pub fn get_many(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let handle = self.store.handle(family);
        self.snapshot
            .multi_get_cf(keys.iter().map(|key| (handle, key)))
            .into_iter()
            .map(|value| value.context("read records"))
            .collect()
    }
}
