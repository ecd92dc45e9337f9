//! Hard links to RocksDB's blob files, beside the segments that read their rows there.
//!
//! `<number>.blob` in a collection's folder is a second name of RocksDB's file of that number. RocksDB may drop its own name whenever it
//! likes: the bytes stay while a segment of the manifest names the link. A file of another number is another file for as long as the store
//! lives; a repair writes a new one, whose numbers begin anew beside the links of the old.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::map::Map;
use crate::error::{Error, Result};

const BLOB_EXTENSION: &str = "blob";

/// The links of one collection.
pub(crate) struct Links {
    dir: PathBuf,
    database: PathBuf,
    /// Those that some segment holds: each is mapped once.
    maps: Mutex<HashMap<u64, Weak<Map>>>,
    orphans: Mutex<Option<(Moments, BTreeSet<u64>)>>,
}

/// When names changed last in the folder of the links and in that of their sources.
type Moments = [Option<SystemTime>; 2];

/// A folder that changes twice within a tick of the clock tells it once.
const TICK: Duration = Duration::from_millis(50);

impl Links {
    /// Links in `dir` to files in `database`.
    pub fn new(dir: &Path, database: PathBuf) -> Self {
        Self {
            dir: dir.to_path_buf(),
            database,
            maps: Mutex::default(),
            orphans: Mutex::default(),
        }
    }

    /// Makes the link to a blob file of RocksDB, unless it is there; durable when the folder is synced.
    ///
    /// # Errors
    ///
    /// What the file system says: it may have no hard links, or RocksDB has just dropped the file. `Unavailable` if a segment has rows in a file
    /// of that number that an older store wrote.
    pub fn make(&self, number: u64) -> Result<()> {
        let (from, to) = (self.source(number), self.path(number));
        let linked = match std::fs::hard_link(&from, &to) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => match same(&from, &to) {
                Ok(true) => Ok(()),
                Ok(false) if self.is_used(number) => {
                    return Err(Error::new(
                        crate::ErrorKind::Unavailable,
                        format!(
                            "{} is a file of an older store, in which rows still stand",
                            to.display()
                        ),
                    ));
                }
                Ok(false) => {
                    std::fs::remove_file(&to).and_then(|()| std::fs::hard_link(&from, &to))
                }
                Err(error) => Err(error),
            },
            linked => linked,
        };
        linked.map_err(|error| Error::io(&error, &to))
    }

    /// Whether some segment holds the link.
    fn is_used(&self, number: u64) -> bool {
        let maps = self.maps.lock();
        maps.get(&number).is_some_and(|map| map.strong_count() > 0)
    }

    /// A linked file.
    ///
    /// # Errors
    ///
    /// As [`Map::open`].
    pub fn open(&self, number: u64) -> Result<Arc<Map>> {
        let mut maps = self.maps.lock();
        if let Some(map) = maps.get(&number).and_then(Weak::upgrade) {
            return Ok(map);
        }
        let map = Map::open(&self.path(number))?;
        maps.retain(|_, map| map.strong_count() > 0);
        maps.insert(number, Arc::downgrade(&map));
        Ok(map)
    }

    /// RocksDB's blob files, and so also those that are still being written.
    pub fn sources(&self) -> BTreeSet<u64> {
        numbers(&self.database)
    }

    /// Links to files that RocksDB has no more: their live values stand in newer ones too, and these take disk for nothing. Cheap while no file
    /// comes or goes.
    pub fn orphans(&self) -> BTreeSet<u64> {
        let changed = |dir: &PathBuf| dir.metadata().and_then(|data| data.modified()).ok();
        let moments = [&self.dir, &self.database].map(changed);
        let mut known = self.orphans.lock();
        if let Some((at, orphans)) = &*known
            && *at == moments
        {
            return orphans.clone();
        }
        let orphans = self.find_orphans();
        let is_past = |moment: &SystemTime| moment.elapsed().is_ok_and(|since| since > TICK);
        let is_settled = moments.iter().flatten().all(is_past);
        *known = is_settled.then(|| (moments, orphans.clone()));
        orphans
    }

    fn find_orphans(&self) -> BTreeSet<u64> {
        let links = numbers(&self.dir);
        links.difference(&self.current()).copied().collect()
    }

    /// Links to files that RocksDB still has, under the same number.
    pub fn current(&self) -> BTreeSet<u64> {
        let links = numbers(&self.dir);
        if links.is_empty() {
            return links;
        }
        let sources = self.sources();
        let both = links.intersection(&sources).copied();
        both.filter(|&number| same(&self.source(number), &self.path(number)).unwrap_or(false))
            .collect()
    }

    /// RocksDB's name of a file.
    pub fn source(&self, number: u64) -> PathBuf {
        self.database.join(format!("{number:06}.{BLOB_EXTENSION}"))
    }

    /// Our name of it.
    pub fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number}.{BLOB_EXTENSION}"))
    }
}

/// Bytes of the links in a folder to files that nobody else has a name of.
pub(super) fn held_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let links = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        number(&path)?;
        path.metadata().ok()
    });
    let held = links.filter(|of| of.nlink() == 1).map(|of| of.len());
    held.sum()
}

fn same(a: &Path, b: &Path) -> std::io::Result<bool> {
    let file = |path: &Path| Ok((path.metadata()?.dev(), path.metadata()?.ino()));
    let file: fn(&Path) -> std::io::Result<_> = file;
    Ok(file(a)? == file(b)?)
}

/// The number of a blob file.
pub(super) fn number(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    (path.extension()? == BLOB_EXTENSION).then(|| stem.parse().ok())?
}

fn numbers(dir: &Path) -> BTreeSet<u64> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.filter_map(|path| number(&path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_outlives_its_source_and_is_mapped_once() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, database) = (dir.path().join("ours"), dir.path().join("rocksdb"));
        std::fs::create_dir(&ours).unwrap();
        std::fs::create_dir(&database).unwrap();
        let links = Links::new(&ours, database);
        std::fs::write(links.source(7), b"first").unwrap();
        links.make(7).unwrap();
        links.make(7).unwrap();
        assert!(links.orphans().is_empty());
        let map = links.open(7).unwrap();
        assert!(Arc::ptr_eq(&map, &links.open(7).unwrap()));
        std::fs::remove_file(links.source(7)).unwrap();
        assert!(links.orphans().into_iter().eq([7]));
        assert_eq!(links.open(7).unwrap().bytes(), b"first");
        // A name that another store left is not taken for the file, and not taken from the segments that need it.
        std::fs::write(links.source(7), b"second").unwrap();
        assert!(links.orphans().into_iter().eq([7]));
        assert_eq!(
            links.make(7).unwrap_err().kind(),
            crate::ErrorKind::Unavailable
        );
        assert_eq!(links.open(7).unwrap().bytes(), b"first");
        drop(map);
        links.make(7).unwrap();
        assert!(links.orphans().is_empty());
        assert_eq!(links.open(7).unwrap().bytes(), b"second");
        assert!(links.make(8).is_err());
    }
}
