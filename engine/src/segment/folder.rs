//! The files of one collection: `DATA/segments/<collection>/<number>.segment`, `<number>-<vector>.graph` (see `graph`), `<number>.blob` (see
//! `links`) and `manifest`.
//!
//! Each file is written under a temporary name, synced, renamed, and its folder synced; the manifest comes after the files that it names, and
//! files that it no longer names go after it. So a crash leaves at most files that no manifest names, which the next start removes, once the
//! manifest that it read is durable.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use index::Graph;

use super::build::{Linking, Source, write_merged};
use super::file::publish;
use super::inspect::{Inspection, Paths};
use super::links::{self, Links};
use super::manifest::Manifest;
use super::places::Finder;
use super::{Origins, Segment};
use crate::CollectionId;
use crate::config::CollectionConfig;
use crate::error::{Error, Result, ResultExt};
use crate::planted::{Bug, is_planted};
use crate::storage::DATABASE_FOLDER;
use crate::storage::durable::sync_folder;

const MANIFEST: &str = "manifest";
const SEGMENT_EXTENSION: &str = "segment";
const GRAPH_EXTENSION: &str = "graph";

/// What a column must have for its rows to stay in the store's files.
pub(crate) struct LargeColumns<'a> {
    /// Bytes of rows below which they are copied: a link for a few would be one file more and save nothing.
    pub bytes_min: usize,
    /// Brings what was put into the store to its files.
    pub flush: &'a dyn Fn() -> Result<()>,
}

/// The folder of one collection.
pub(crate) struct Folder {
    dir: PathBuf,
    links: Links,
    finder: Finder,
    /// Whether the folder is there, durably.
    is_named: AtomicBool,
    /// Set when the collection is deleted: what the builder still writes goes too.
    removed: AtomicBool,
}

impl Folder {
    /// The folder of a collection under the data folder; it is made when the first segment is sealed.
    pub fn new(data: &Path, collection: CollectionId) -> Self {
        let dir = segments(data).join(collection.0.to_string());
        Self {
            links: Links::new(&dir, data.join(DATABASE_FOLDER)),
            finder: Finder::new(collection),
            dir,
            is_named: AtomicBool::new(false),
            removed: AtomicBool::new(false),
        }
    }

    /// Whether the collection was deleted.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst)
    }

    /// Bytes of files that RocksDB has dropped and that its segments still hold.
    pub fn held_bytes(&self) -> u64 {
        links::held_bytes(&self.dir)
    }

    /// Links of its segments to files that RocksDB has no more.
    pub fn orphans(&self) -> BTreeSet<u64> {
        self.links.orphans()
    }

    /// Writes the segment of the sources' live rows durably and opens it, without structures. It lives when a manifest names it. `room` is asked whether
    /// the disk has room for its file when it is known how long that will be; `elapsed` is a stopwatch by which structures are compared.
    ///
    /// # Errors
    ///
    /// `Corrupted` if a source's file is damaged; what the disk or `room` says.
    pub fn write_segment(
        &self,
        number: u64,
        config: &CollectionConfig,
        sources: &[Source],
        large: &LargeColumns<'_>,
        room: &dyn Fn(u64) -> Result<()>,
        elapsed: &dyn Fn() -> Duration,
    ) -> Result<(Segment, Origins)> {
        self.create()?;
        let temporary = self.dir.join(format!("{number}.tmp"));
        let path = self.path(number);
        let linking = Linking {
            links: &self.links,
            finder: &self.finder,
            large,
            room,
            elapsed,
        };
        let write = || -> Result<_> {
            let origins = write_merged(&temporary, config, sources, &linking)?;
            publish(&temporary, &path)?;
            Ok((Segment::open(number, &path, config, &self.links)?, origins))
        };
        let (segment, origins) = write().inspect_err(|_| {
            let _ = std::fs::remove_file(&temporary);
            let _ = std::fs::remove_file(&path);
        })?;
        self.finish_removal();
        Ok((segment, origins))
    }

    /// How much of a segment is in its file already: all of it, or what was written so far.
    pub fn written_bytes(&self, number: u64) -> u64 {
        let temporary = self.dir.join(format!("{number}.tmp"));
        [temporary, self.path(number)]
            .iter()
            .find_map(|path| Some(std::fs::metadata(path).ok()?.len()))
            .unwrap_or(0)
    }

    /// Opens a segment that the manifest names, with the graphs that are there.
    ///
    /// # Errors
    ///
    /// As [`Segment::open`].
    pub fn open_segment(&self, number: u64, config: &CollectionConfig) -> Result<Segment> {
        let segment = Segment::open(number, &self.path(number), config, &self.links)?;
        for (at, vector) in segment.graph_columns() {
            let path = self.graph_path(number, at);
            if path.exists()
                && let Err(error) = segment.open_graph(&path, vector)
            {
                tracing::warn!(%error, "a graph cannot be used; it is built again");
            }
        }
        Ok(segment)
    }

    /// Begins to compare a sealed segment with its checksums.
    pub fn inspection(&self, segment: &Segment) -> Inspection {
        let paths = Paths {
            segment: self.path(segment.uid),
            graph: &|at| self.graph_path(segment.uid, at),
            link: &|number| self.links.path(number),
        };
        Inspection::new(segment, &paths)
    }

    /// Why graphs of an open segment cannot be used.
    pub fn graph_errors(&self, segment: &Segment) -> Vec<Error> {
        let columns = segment.graph_columns();
        let paths = columns.map(|(at, vector)| (self.graph_path(segment.uid, at), vector));
        let there = paths.filter(|(path, _)| path.exists());
        there
            .filter_map(|(path, vector)| segment.open_graph(&path, vector).err())
            .collect()
    }

    /// Writes the graph of a segment's vector durably and has searches use it.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn write_graph(&self, segment: &Segment, vector: &str, graph: &Graph) -> Result<()> {
        self.create()?;
        let mut columns = segment.graph_columns();
        let Some((at, _)) = columns.find(|(_, name)| *name == vector) else {
            return Ok(());
        };
        let path = self.graph_path(segment.uid, at);
        let temporary = path.with_extension("tmp");
        let write = || -> Result<_> {
            segment.write_graph(&temporary, vector, graph)?;
            publish(&temporary, &path)?;
            segment.open_graph(&path, vector)
        };
        write().inspect_err(|_| {
            let _ = std::fs::remove_file(&temporary);
            let _ = std::fs::remove_file(&path);
        })?;
        self.finish_removal();
        Ok(())
    }

    /// The manifest; `None` if there is none.
    ///
    /// # Errors
    ///
    /// `Corrupted` if it is damaged or of another format.
    pub fn read_manifest(&self) -> Result<Option<Manifest>> {
        let path = self.dir.join(MANIFEST);
        match std::fs::read(&path) {
            Ok(bytes) => Manifest::decode(&bytes).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&error, &path)),
        }
    }

    /// Replaces the manifest durably, then removes what it does not name.
    ///
    /// # Errors
    ///
    /// What the disk says; the old manifest and its files are there then.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.create()?;
        let temporary = self.dir.join("manifest.tmp");
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(&manifest.encode())?;
            file.sync_all()
        };
        write()
            .map_err(|error| Error::io(&error, &temporary))
            .and_then(|()| publish(&temporary, &self.dir.join(MANIFEST)))
            .context("write the manifest of the segments")?;
        if is_planted(Bug::ManifestFirst) {
            for segment in &manifest.segments {
                let file = File::open(self.path(segment.number)).and_then(|file| file.sync_all());
                file.map_err(|error| Error::io(&error, &self.dir))?;
            }
        }
        self.remove_unnamed(manifest);
        self.finish_removal();
        Ok(())
    }

    /// Makes the manifest durable that was read, then removes what it does not name: what a process that ended has left.
    ///
    /// A process that was killed may have renamed the manifest without making that durable: a power loss would bring the older one back, but not the files
    /// that it names.
    ///
    /// # Errors
    ///
    /// What the disk says; nothing is removed then.
    pub fn remove_leftovers(&self, manifest: &Manifest) -> Result<()> {
        self.create()?;
        sync_folder(&self.dir).context("make the manifest of the segments durable")?;
        self.remove_unnamed(manifest);
        Ok(())
    }

    /// Removes every file that the manifest, which is durable, does not name. One that cannot be removed now is at the next start.
    fn remove_unnamed(&self, manifest: &Manifest) {
        for path in files(&self.dir) {
            let is_live = |number| {
                manifest
                    .segments
                    .iter()
                    .any(|segment| segment.number == number)
            };
            let named = number(&path)
                .or_else(|| graph_number(&path))
                .is_some_and(is_live)
                || links::number(&path)
                    .is_some_and(|number| manifest.links.binary_search(&number).is_ok());
            if !named && path.file_name().is_none_or(|name| name != MANIFEST) {
                remove_file(&path);
            }
        }
    }

    /// Larger than the number of any file here.
    pub fn next_number(&self) -> u64 {
        let numbers = files(&self.dir).filter_map(|path| number(&path));
        numbers.max().map_or(1, |last| last.saturating_add(1))
    }

    /// Removes the folder for good.
    pub fn remove(&self) {
        self.removed.store(true, Ordering::SeqCst);
        remove_folder(&self.dir);
    }

    /// Makes the folder, and its own name durable: the process that made it may have been killed before it did that.
    fn create(&self) -> Result<()> {
        if !self.is_named.load(Ordering::SeqCst) || !self.dir.is_dir() {
            std::fs::create_dir_all(&self.dir).map_err(|error| Error::io(&error, &self.dir))?;
            for folder in self.dir.ancestors().skip(1).take(2) {
                sync_folder(folder).context("create the folder of the segments")?;
            }
            self.is_named.store(true, Ordering::SeqCst);
        }
        self.finish_removal();
        if self.is_removed() {
            return Err(Error::not_found("the collection was deleted"));
        }
        Ok(())
    }

    /// The builder may have made the folder again after [`Self::remove`].
    fn finish_removal(&self) {
        if self.is_removed() {
            remove_folder(&self.dir);
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number}.{SEGMENT_EXTENSION}"))
    }

    /// `at`: position of the vector among those of the segment.
    fn graph_path(&self, number: u64, at: usize) -> PathBuf {
        self.dir.join(format!("{number}-{at}.{GRAPH_EXTENSION}"))
    }
}

/// Moves the files of one collection, or of all, to the folder `kept`: they are made again of what the store has. To be called when no
/// collection is open.
///
/// # Errors
///
/// What the disk says.
pub(crate) fn keep_segments(data: &Path, of: Option<CollectionId>, kept: &Path) -> Result<()> {
    let mut from = segments(data);
    let mut to = segments(kept);
    let mut changed = vec![kept.to_path_buf(), data.to_path_buf()];
    if let Some(collection) = of {
        std::fs::create_dir_all(&to).map_err(|error| Error::io(&error, &to))?;
        changed.extend([to.clone(), from.clone()]);
        from.push(collection.0.to_string());
        to.push(collection.0.to_string());
    }
    match std::fs::rename(&from, &to) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(&error, &from)),
        _ => {}
    }
    for folder in changed.iter().filter(|folder| folder.exists()) {
        sync_folder(folder).context("keep segments aside")?;
    }
    Ok(())
}

/// Removes the folders of collections that are no more.
pub(crate) fn remove_others(data: &Path, exists: impl Fn(CollectionId) -> bool) {
    for folder in files(&segments(data)) {
        let number = folder
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        if number.is_some_and(|number| !exists(CollectionId(number))) {
            remove_folder(&folder);
        }
    }
}

/// Bytes of files that RocksDB has dropped and that segments of any collection still hold.
pub(crate) fn held_bytes(data: &Path) -> u64 {
    let segments = segments(data);
    files(&segments)
        .map(|folder| links::held_bytes(&folder))
        .sum()
}

pub(crate) fn segments(data: &Path) -> PathBuf {
    data.join("segments")
}

fn files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path()))
}

fn number(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    (path.extension()? == SEGMENT_EXTENSION).then(|| stem.parse().ok())?
}

/// The segment whose graph this file is.
fn graph_number(path: &Path) -> Option<u64> {
    let (number, _) = path.file_stem()?.to_str()?.split_once('-')?;
    // One that is being written, too.
    let extension = path.extension()?;
    (extension == GRAPH_EXTENSION || extension == "tmp").then(|| number.parse().ok())?
}

fn remove_file(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(%error, path = %path.display(), "a segment file that is not needed could not be removed");
    }
}

fn remove_folder(path: &Path) {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "the segments of a deleted collection could not be removed");
        }
        _ => {}
    }
}
