//! RocksDB as the truth: column families, records, batches.
//!
//! - `key`: the bytes of every key, drawn once.
//! - `codec`: the one place that knows bincode; a version byte before every record.
//! - `record`: what the values hold.
//! - `blob`: where in RocksDB's blob files a value stands.
//! - `aside`: damaged files, kept before anything may change them.
//! - `catalog`: whether all of RocksDB's list of its files is there.
//! - `failure`: ends the process when a durable write failed at the disk.
//! - `garbage`: gives back the disk of what was removed.
//! - `guard`: the file outside RocksDB that notices a store which lost what was acknowledged.
//! - `moving`: moves what lives out of files that are mostly garbage.
//! - `opening`: opens RocksDB, also with a damaged write-ahead log.
//! - `view`: the store as it was at one moment.
//! - `salvage`: what can be read of a store with damaged files.
//! - `space`: refuses writes before the disk is full.
//! - `usage`: what it holds in memory and on the disk.
//! - `verify`: reads all of the files, also what no request reads.
//! - `wal`: damage of the write-ahead log.
//!
//! A vector or medium is written once, under (partition, collection, log index, ordinal), by the batch that appends its log entry;
//! log entry and point row name it by reference.

pub mod aside;
pub mod blob;
pub mod catalog;
pub mod codec;
pub mod durable;
mod failure;
pub mod garbage;
pub mod guard;
pub mod key;
mod moving;
mod opening;
pub mod record;
pub mod salvage;
pub mod space;
mod usage;
mod verify;
pub mod view;
pub mod wal;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    ColumnFamily, DB, DBRawIterator, IteratorMode, ReadOptions, WriteBatch, WriteOptions,
};

use crate::budget::{Budget, MemoryShares};
use crate::error::{Error, Result, ResultExt};
use crate::give_back::GiveBack;
use crate::payload_cache::PayloadCache;
use crate::planted::{Bug, is_planted};
use durable::sync_folder;
use garbage::Garbage;
use guard::Guard;
use opening::{kept_fact, open_database};
use space::Space;

/// One column family.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Family {
    /// Entry headers: partition, index.
    Log,
    /// Vector bytes (BlobDB).
    Vectors,
    /// Source bytes (BlobDB).
    Media,
    /// Point rows.
    Points,
    /// Ids touched by each log entry.
    Changes,
    /// Derived indexes over payload fields.
    PayloadIndex,
    /// Applied positions and garbage lists of partitions.
    State,
    /// Collections, node identity, format version.
    Meta,
}

impl Family {
    const ALL: [Self; 8] = [
        Self::Log,
        Self::Vectors,
        Self::Media,
        Self::Points,
        Self::Changes,
        Self::PayloadIndex,
        Self::State,
        Self::Meta,
    ];

    /// Name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Vectors => "vectors",
            Self::Media => "media",
            Self::Points => "points",
            Self::Changes => "changes",
            Self::PayloadIndex => "payload_index",
            Self::State => "state",
            Self::Meta => "meta",
        }
    }
}

/// RocksDB's folder within the data folder.
pub(crate) const DATABASE_FOLDER: &str = "rocksdb";
/// Values of this size or more go to blob files: a 128-d vector does, a 3-d one stays in the tree.
pub const BLOB_BYTES_MIN: u64 = 512;
/// Bytes of memtables that a clean shutdown leaves to the next start.
const REPLAYED_BYTES_MAX: u64 = 16 << 20;
/// Version of the layout below; a store of another version is refused.
pub(crate) const FORMAT_VERSION: u32 = 2;

/// The open store.
pub struct Store {
    db: DB,
    dir: PathBuf,
    guard: Guard,
    budget: Arc<Budget>,
    payloads: PayloadCache,
    /// Held while a batch is written, so that the sequence number noted as durable is of nothing later.
    writing: Mutex<()>,
    garbage: Garbage,
    /// In a repair: the same store without its damaged tables.
    beneath: Option<Box<Store>>,
}

impl Store {
    /// [`Self::open_within`] the machine's memory.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open(dir: &Path) -> Result<Self> {
        let shares = MemoryShares::of_machine();
        Self::open_within(dir, Budget::new(shares, GiveBack::default()), 1)
    }

    /// Opens or creates the store in `dir`. RocksDB compacts with so many threads and flushes with one more.
    ///
    /// # Errors
    ///
    /// `Unavailable` if another process holds it, `Corrupted` if it holds less than was acknowledged or is of another format.
    pub fn open_within(dir: &Path, budget: Arc<Budget>, threads: usize) -> Result<Self> {
        std::fs::create_dir_all(dir)
            .map_err(|error| Error::io(&error, dir))
            .context("create data folder")?;
        let path = dir.join(DATABASE_FOLDER);
        let fresh = !path.join("CURRENT").exists();
        let guard_path = dir.join("guard");
        Guard::check_catalog(dir)?;
        if fresh && guard_path.exists() {
            return Err(Error::corrupted(format!(
                "{} is gone but {} shows that points were acknowledged here; put the folder back, or move the guard file away to start empty",
                path.display(),
                guard_path.display()
            )));
        }
        Guard::check_presence(dir, &path)?;
        let (db, kept) = open_database(dir, &path, budget.shares(), threads)?;
        let sequence = db.latest_sequence_number();
        let guard = Guard::open(&guard_path, sequence).map_err(|error| match &kept {
            Some(kept) => error.noted(&kept_fact(kept)),
            None => error,
        })?;
        if fresh && let Some(parent) = dir.parent().filter(|parent| *parent != Path::new("")) {
            sync_folder(parent)?;
        }
        let store = Self {
            db,
            dir: dir.to_path_buf(),
            guard,
            payloads: PayloadCache::new(budget.shares().payload_cache),
            budget,
            writing: Mutex::new(()),
            garbage: Garbage::default(),
            beneath: None,
        };
        store.check_format(fresh)?;
        Ok(store)
    }

    fn check_format(&self, fresh: bool) -> Result<()> {
        match self.get(Family::Meta, key::META_FORMAT)? {
            Some(bytes) => {
                let version: u32 = codec::decode(&bytes, "format version")?;
                if version != FORMAT_VERSION {
                    return Err(Error::corrupted(format!(
                        "{}: the data is of format {version}, this program reads format {FORMAT_VERSION}; use the version that wrote it",
                        self.dir.display()
                    )));
                }
                Ok(())
            }
            None if fresh || self.is_empty()? => {
                let mut batch = self.batch();
                batch.put(
                    Family::Meta,
                    key::META_FORMAT,
                    &codec::encode(&FORMAT_VERSION),
                );
                self.write_synced(batch)
            }
            None => Err(Error::corrupted(format!(
                "{}: the format version is missing",
                self.dir.display()
            ))),
        }
    }

    fn is_empty(&self) -> Result<bool> {
        for family in Family::ALL {
            if let Some(first) = self
                .db
                .iterator_cf(self.handle(family), IteratorMode::Start)
                .next()
            {
                first.context("read the first record")?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The data folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The memory that it and its collections may use.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Checks that `bytes` of other files can be written without using the reserve.
    ///
    /// # Errors
    ///
    /// `StorageFull`.
    pub fn ensure_space(&self, bytes: u64) -> Result<()> {
        space::ensure(&self.dir, bytes)
    }

    /// As [`Self::ensure_space`], for a file that is written once: it takes no more than its bytes.
    ///
    /// # Errors
    ///
    /// `StorageFull`.
    pub fn ensure_space_for_file(&self, bytes: u64) -> Result<()> {
        space::ensure_for_file(&self.dir, bytes)
    }

    /// As [`Self::ensure_space_for_file`], for one that gives back more than these bytes: it may use most of the reserve.
    ///
    /// # Errors
    ///
    /// `StorageFull`.
    pub fn ensure_space_for_freeing(&self, bytes: u64) -> Result<()> {
        space::ensure_for_freeing(&self.dir, bytes)
    }

    /// As [`Self::ensure_space_for_freeing`], for a file in whose place larger ones go at once: it may use almost all that is left.
    ///
    /// # Errors
    ///
    /// `StorageFull`.
    pub fn ensure_space_for_sure_gain(&self, bytes: u64) -> Result<()> {
        space::ensure_for_sure_gain(&self.dir, bytes)
    }

    /// An empty batch for this store.
    pub fn batch(&self) -> Batch<'_> {
        Batch {
            store: self,
            inner: WriteBatch::default(),
        }
    }

    /// Writes the batch and waits until it is durable: one fsync. Refuses before the disk is full.
    ///
    /// # Errors
    ///
    /// `StorageFull` if less than the reserve would remain; nothing was written then. Else as [`Self::write_synced_unreserved`].
    pub fn write_synced(&self, batch: Batch<'_>) -> Result<()> {
        space::ensure(&self.dir, batch.inner.size_in_bytes() as u64)?;
        self.write_synced_unreserved(batch)
    }

    /// As [`Self::write_synced`], but may use the reserve: for deletes, which make room.
    ///
    /// # Errors
    ///
    /// What RocksDB says. If the disk failed, the process ends here: it is unknown whether the batch will be there after a restart.
    pub fn write_synced_unreserved(&self, batch: Batch<'_>) -> Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(!is_planted(Bug::SkipFsync));
        let _writing = self.writing.lock();
        self.db
            .write_opt(batch.inner, &options)
            .inspect_err(failure::end_process_if_not_durable)
            .context("write durably")?;
        self.guard.note(self.db.latest_sequence_number());
        Ok(())
    }

    /// Writes the batch into the WAL without waiting for the disk: what follows a durable batch may be lost with the tail, never before it.
    ///
    /// # Errors
    ///
    /// What RocksDB says.
    pub fn write(&self, batch: Batch<'_>) -> Result<()> {
        let _writing = self.writing.lock();
        self.db
            .write(batch.inner)
            .inspect_err(failure::end_process_if_not_durable)
            .context("write")
    }

    /// Checks that a batch of so many bytes may be written. Looks at the disk, which [`Self::was_short_of_space`] tells again.
    ///
    /// # Errors
    ///
    /// `StorageFull` if less than the reserve would remain.
    pub fn ensure_write_taken(&self, bytes: u64) -> Result<()> {
        space::ensure_within(self.look()?, &self.dir, bytes)
    }

    /// As [`Self::ensure_write_taken`], for deletes, which make room: they may use the reserve.
    ///
    /// # Errors
    ///
    /// `StorageFull` if not even the write-ahead log has room for it.
    pub fn ensure_delete_taken(&self, bytes: u64) -> Result<()> {
        space::ensure_delete_within(self.look()?, &self.dir, bytes)
    }

    /// Whether the disk was so short of room, when a write looked last, that writes are refused, or will be soon.
    pub fn was_short_of_space(&self) -> bool {
        self.garbage.was_short.load(Ordering::Relaxed)
    }

    fn look(&self) -> Result<Space> {
        let space = Space::of(&self.dir)?;
        self.garbage
            .was_short
            .store(space.is_short(), Ordering::Relaxed);
        Ok(space)
    }

    /// Makes durable what was written until now, and notes it. Writes go on meanwhile.
    ///
    /// # Errors
    ///
    /// What RocksDB says; if the disk failed, the process ends here, as in [`Self::write_synced_unreserved`].
    pub fn sync(&self) -> Result<()> {
        // Of what comes later it is not known whether this sync takes it along.
        let sequence = self.db.latest_sequence_number();
        self.db
            .flush_wal(true)
            .inspect_err(failure::end_process_if_not_durable)
            .context("sync the write-ahead log")?;
        self.guard.note(sequence);
        Ok(())
    }

    /// As [`Self::sync`], and noted in the guard file when this returns: for what other files will rely on. A store that has less is refused.
    ///
    /// # Errors
    ///
    /// As [`Self::sync`].
    pub fn sync_noted(&self) -> Result<()> {
        let sequence = self.db.latest_sequence_number();
        self.sync()?;
        self.guard.note_now(sequence)
    }

    /// Up to where everything is known to be durable.
    #[cfg(test)]
    pub fn durable(&self) -> u64 {
        self.guard.durable()
    }

    /// Writes everything to tables.
    #[cfg(test)]
    pub fn flush_all(&self) {
        for family in Family::ALL {
            self.db.flush_cf(self.handle(family)).unwrap();
        }
    }

    /// Brings everything into tables of the last level.
    #[cfg(test)]
    pub fn compact_all(&self) {
        for family in Family::ALL {
            let handle = self.handle(family);
            // It fails where a merge in the background has.
            self.db.flush_cf(handle).ok();
            self.db
                .compact_range_cf(handle, None::<&[u8]>, None::<&[u8]>);
        }
    }

    /// One value.
    ///
    /// # Errors
    ///
    /// What RocksDB says.
    pub fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.db
            .get_cf(self.handle(family), key)
            .context("read a record")
    }

    /// The values of many keys, in their order.
    ///
    /// # Errors
    ///
    /// What RocksDB says of any of them.
    pub fn get_many(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let handle = self.handle(family);
        if let [key] = keys {
            // Half the price of a batch of one.
            return Ok(vec![self.get(family, key)?]);
        }
        self.db
            .batched_multi_get_cf(handle, keys, false)
            .into_iter()
            .map(|value| Ok(value.context("read records")?.map(|bytes| bytes.to_vec())))
            .collect()
    }

    /// Calls `visit` for every key that begins with `prefix` and is not below `from`, ascending, until it says stop.
    ///
    /// # Errors
    ///
    /// What RocksDB or `visit` says.
    pub fn scan(
        &self,
        family: Family,
        prefix: &[u8],
        from: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<Visit>,
    ) -> Result<()> {
        let mut options = within(prefix);
        options.set_readahead_size(1 << 20);
        let iterator = self.db.raw_iterator_cf_opt(self.handle(family), options);
        visit_records(iterator, if from > prefix { from } else { prefix }, visit)
    }

    /// The records from `from` on whose keys begin with `prefix`, ascending.
    pub fn cursor(&self, family: Family, prefix: &[u8], from: &[u8]) -> Cursor<'_> {
        let mut iterator = self
            .db
            .raw_iterator_cf_opt(self.handle(family), within(prefix));
        iterator.seek(if from > prefix { from } else { prefix });
        Cursor { iterator }
    }

    /// Payloads that were read lately.
    pub(crate) fn payloads(&self) -> &PayloadCache {
        &self.payloads
    }

    /// Gives back the disk of deleted ranges: drops whole files at once, the rest by compaction in the background.
    pub fn reclaim(&self, family: Family, prefix: &[u8]) {
        let Some(end) = key::successor(prefix) else {
            return;
        };
        if let Err(error) = self
            .db
            .delete_file_in_range_cf(self.handle(family), prefix, &end)
        {
            tracing::warn!(%error, family = family.name(), "could not drop files of a deleted range");
        }
    }

    /// About how many bytes the records in a range of keys take on disk; what is in memory only, and in blobs, does not count.
    pub fn approximate_bytes(&self, family: Family, from: &[u8], to: &[u8]) -> u64 {
        let range = [rocksdb::Range::new(from, to)];
        let sizes = self
            .db
            .get_approximate_sizes_cf(self.handle(family), &range);
        sizes.first().copied().unwrap_or(0)
    }

    /// Bytes on disk by family: tables and blobs.
    pub fn disk_bytes(&self) -> Vec<(&'static str, u64)> {
        Family::ALL
            .into_iter()
            .map(|family| {
                let tables = self.property(family, "rocksdb.total-sst-files-size");
                let blobs = self.property(family, "rocksdb.total-blob-file-size");
                (family.name(), tables + blobs)
            })
            .collect()
    }

    /// A second store in `folder`, which must not exist, of hard links to the files of this one: quick whatever the size, and complete to the
    /// last write.
    ///
    /// # Errors
    ///
    /// What the disk says; `folder` on another file system cannot hold hard links and is filled with copies.
    pub fn checkpoint(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::io(&error, folder))
            .context("create the snapshot's folder")?;
        let durable = self.sequence();
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(folder.join(DATABASE_FOLDER)))
            .context("snapshot the store")?;
        Guard::begin(&folder.join("guard"), durable)
    }

    /// Brings the vectors that are only in memory to blob files. Writes go on meanwhile.
    ///
    /// # Errors
    ///
    /// What RocksDB says.
    pub fn flush_vectors(&self) -> Result<()> {
        self.db
            .flush_cf_opt(
                self.handle(Family::Vectors),
                &rocksdb::FlushOptions::default(),
            )
            .context("flush vectors")
    }

    /// Number that grows with every write.
    pub fn sequence(&self) -> u64 {
        self.db.latest_sequence_number()
    }

    /// Makes everything durable and notes it in the guard file.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn close(&self) -> Result<()> {
        self.flush_large_memtables()?;
        // Nothing may come between the sync and the note: it would count as durable.
        let _writing = self.writing.lock();
        self.db
            .flush_wal(true)
            .inspect_err(failure::end_process_if_not_durable)
            .context("sync the write-ahead log")?;
        self.guard.close(self.db.latest_sequence_number())
    }

    /// Writes memtables to tables if the next start would take long to replay them from the write-ahead log: 250 MiB took 1.3 s.
    fn flush_large_memtables(&self) -> Result<()> {
        let held = |family| self.property(family, "rocksdb.cur-size-all-mem-tables");
        if Family::ALL.into_iter().map(held).sum::<u64>() < REPLAYED_BYTES_MAX {
            return Ok(());
        }
        let families: Vec<&ColumnFamily> = Family::ALL.map(|family| self.handle(family)).into();
        self.db
            .flush_cfs_opt(&families, &rocksdb::FlushOptions::default())
            .context("flush memtables")
    }

    fn handle(&self, family: Family) -> &ColumnFamily {
        self.db
            .cf_handle(family.name())
            .expect("every family is opened with the database")
    }
}

/// A position among records.
pub struct Cursor<'a> {
    iterator: DBRawIterator<'a>,
}

impl Cursor<'_> {
    /// Key and value here; `None` past the end.
    ///
    /// # Errors
    ///
    /// What RocksDB says.
    pub fn item(&self) -> Result<Option<(&[u8], &[u8])>> {
        match self.iterator.item() {
            Some(item) => Ok(Some(item)),
            None => {
                self.iterator.status().context("read the next record")?;
                Ok(None)
            }
        }
    }

    /// Goes to the next record.
    pub fn advance(&mut self) {
        self.iterator.next();
    }
}

/// Options of an iterator that ends with the prefix.
fn within(prefix: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    if let Some(end) = key::successor(prefix) {
        options.set_iterate_upper_bound(end);
    }
    options
}

/// Calls `visit` for every record of the iterator from `from` on, until it says stop.
fn visit_records(
    mut iterator: DBRawIterator<'_>,
    from: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<Visit>,
) -> Result<()> {
    iterator.seek(from);
    while let Some((key, value)) = iterator.item() {
        match visit(key, value)? {
            Visit::Next => iterator.next(),
            Visit::Stop => return Ok(()),
        }
    }
    iterator.status().context("scan records")
}

/// Whether a scan goes on.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Visit {
    /// Go on.
    Next,
    /// Stop.
    Stop,
}

/// Writes that become visible and durable together.
pub struct Batch<'a> {
    store: &'a Store,
    inner: WriteBatch,
}

impl Batch<'_> {
    /// Bytes of what is in it.
    pub fn bytes(&self) -> usize {
        self.inner.size_in_bytes()
    }

    /// Sets a value.
    pub fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.inner.put_cf(self.store.handle(family), key, value);
    }

    /// Removes a key.
    pub fn delete(&mut self, family: Family, key: &[u8]) {
        self.store.garbage.note_removal(family);
        self.inner.delete_cf(self.store.handle(family), key);
    }

    /// Removes every key from `from` to before `to`.
    pub fn delete_range(&mut self, family: Family, from: &[u8], to: &[u8]) {
        self.store.garbage.note_removal(family);
        self.inner
            .delete_range_cf(self.store.handle(family), from, to);
    }
}
