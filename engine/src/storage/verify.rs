//! Reading all of the files: also blocks and blobs whose records are removed or superseded, which no request reads.
//!
//! A merge in the background does read them: at the first that it cannot, RocksDB refuses every write.

use rocksdb::{ReadOptions, WriteBatch, WriteOptions};

use super::salvage::Gap;
use super::{DATABASE_FOLDER, Family, Store, blob};
use crate::error::Error;

impl Store {
    /// What of the files cannot be read, whether a record of it is still in force or not: the first place of each family and of each blob file.
    /// Time O(bytes on disk).
    pub fn unreadable_places(&self) -> Vec<Gap> {
        let tables = Family::ALL.into_iter().filter_map(|family| {
            let error = self.read_hidden(family).err()?;
            Some((family, error.to_string()))
        });
        let mut places: Vec<_> = tables.collect();
        places.extend(
            self.unreadable_blobs()
                .into_iter()
                .map(|error| (Family::Vectors, error)),
        );
        let gap = |(family, error)| Gap {
            family,
            before: None,
            error,
        };
        places.into_iter().map(gap).collect()
    }

    #[expect(
        deprecated,
        reason = "RocksDB found it to be of no use for speed; here it shows what range deletions hide"
    )]
    fn read_hidden(&self, family: Family) -> std::result::Result<(), rocksdb::Error> {
        let mut options = ReadOptions::default();
        options.set_ignore_range_deletions(true);
        options.fill_cache(false);
        options.set_readahead_size(1 << 20);
        let mut iterator = self.db.raw_iterator_cf_opt(self.handle(family), options);
        iterator.seek_to_first();
        while iterator.valid() {
            iterator.next();
        }
        iterator.status()
    }

    fn unreadable_blobs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.join(DATABASE_FOLDER));
        let paths = entries.into_iter().flatten().flatten();
        let paths = paths.map(|entry| entry.path());
        let blobs = paths.filter(|path| path.extension().is_some_and(|of| of == "blob"));
        let unreadable = blobs.filter_map(|path| {
            let error = match std::fs::read(&path) {
                // RocksDB removes those of garbage only.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
                Err(error) => Error::io(&error, &path),
                Ok(bytes) => blob::verify(&bytes).err()?,
            };
            Some(format!("{}: {error}", path.display()))
        });
        unreadable.collect()
    }

    /// Why RocksDB refuses every write, if it does: work in the background failed, and it does not try again by itself.
    pub fn refusal(&self) -> Option<String> {
        // Counted for all families under the default one.
        let errors = self.db.property_int_value("rocksdb.background-errors");
        if matches!(errors, Ok(Some(0) | None)) {
            return None;
        }
        // It may have recovered. Without its log, a batch of nothing leaves no trace.
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let error = self.db.write_opt(WriteBatch::default(), &options).err()?;
        Some(format!(
            "every write is refused, because work of the database in the background failed ({error}); stop the server and run `vecino doctor --repair {}`",
            self.dir.display()
        ))
    }
}
