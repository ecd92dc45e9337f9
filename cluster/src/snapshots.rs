//! Snapshots: collections as archives, the node as a folder of hard links, kept where `layout` says.
//!
//! A snapshot that is being written has a name that ends in `.part`; it gets its own when it is durable. What a crash left of one is removed when
//! the next is written.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use engine::{ArchiveReader, Engine, Error, ErrorKind, Point, Result, ResultExt};

use crate::layout;
use crate::node::Node;

/// End of the name of an archive.
const ARCHIVE_SUFFIX: &str = ".vecino";
/// End of the name of one that is being written.
const PART_SUFFIX: &str = ".part";
/// Points that are written in one request while a collection is restored.
const RESTORE_POINTS: usize = 1024;

/// A snapshot that can be restored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SnapshotInfo {
    /// Its name, unique among those of the collection or node.
    pub name: String,
    /// When it was completed; `None` if the file system does not tell.
    pub created: Option<SystemTime>,
    /// Bytes; of a node's snapshot those of its files, which it shares with the store while that has them.
    pub bytes: u64,
}

impl Node {
    /// Writes an archive of a collection. Reads and writes go on; what is acknowledged before is in it.
    ///
    /// # Errors
    ///
    /// As [`Node::collection`]; of the disk.
    pub fn create_snapshot(&self, collection: &str) -> Result<SnapshotInfo> {
        let source = self.collection(collection)?;
        let _one = self.snapshotting.lock();
        let folder = self.archives(collection);
        create_folder(&folder)?;
        remove_parts(&folder);
        let name = format!("{}{ARCHIVE_SUFFIX}", self.snapshot_name(&folder));
        let part = folder.join(format!("{name}{PART_SUFFIX}"));
        let io = |error: std::io::Error| Error::io(&error, &part);
        let written = File::create_new(&part).map_err(io).and_then(|file| {
            let engine = &self.engine;
            let mut out = BufWriter::with_capacity(1 << 20, Reserved { engine, file });
            source.write_archive(&mut out)?;
            let out = out.into_inner().map_err(|error| io(error.into_error()))?;
            out.file.sync_all().map_err(io)
        });
        written
            .and_then(|()| publish(&part, &folder.join(&name)))
            .inspect_err(|_| drop(std::fs::remove_file(&part)))
            .context("write a snapshot")?;
        describe(&folder, &name)
    }

    /// The archives of a collection, oldest first. They stay when the collection is deleted.
    ///
    /// # Errors
    ///
    /// Of the disk.
    pub fn snapshots(&self, collection: &str) -> Result<Vec<SnapshotInfo>> {
        list(&self.archives(collection), |name| {
            name.ends_with(ARCHIVE_SUFFIX)
        })
    }

    /// Where an archive stands, to be read.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub fn snapshot_path(&self, collection: &str, name: &str) -> Result<PathBuf> {
        let folder = self.archives(collection);
        let known = list(&folder, |other| {
            other == name && name.ends_with(ARCHIVE_SUFFIX)
        })?;
        match known.is_empty() {
            false => Ok(folder.join(name)),
            true => Err(missing(name)),
        }
    }

    /// The same for one that is named by its path: it must lie below [`Self::snapshots_folder`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a file that is not there or lies elsewhere.
    pub fn snapshot_at(&self, path: &Path) -> Result<PathBuf> {
        let folder = self.snapshots_folder();
        let inside = folder.canonicalize().ok();
        let found = path.canonicalize().ok();
        found
            .filter(|found| inside.is_some_and(|inside| found.starts_with(inside)))
            .ok_or_else(|| {
                Error::invalid(format!(
                    "{}: there is no such snapshot below {}; copy it there, or upload it",
                    path.display(),
                    folder.display()
                ))
            })
    }

    /// Deletes an archive.
    ///
    /// # Errors
    ///
    /// `NotFound`; of the disk.
    pub fn delete_snapshot(&self, collection: &str, name: &str) -> Result<()> {
        let path = self.snapshot_path(collection, name)?;
        std::fs::remove_file(&path).map_err(|error| Error::io(&error, &path))
    }

    /// Makes `collection` what the archive holds, in the place of what has this name now. Searches and writes of the old one go on until the last
    /// moment, after which they are of the new one, and nothing has changed if anything goes wrong. Returns how many points there are.
    ///
    /// Requests that may come again ([`Node::upsert_once`]) are known by the collection's number, which an archive does not have: one that was answered
    /// before the restore takes effect again when it comes after. A snapshot of the node remembers them.
    ///
    /// The archive is read twice: once to see that it is whole, then to write it. Time O(points), space O(1) beside the points themselves.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is no archive or a damaged one, which says nothing of the store; `StorageFull`.
    pub fn restore_snapshot(&self, collection: &str, archive: &Path) -> Result<u64> {
        engine::validate_collection_name(collection)?;
        let wanted = each_frame(archive, |_| Ok(()))?;
        let config = open_archive(archive)?.config().clone();
        let unfinished = self.engine.create_unfinished(config)?;
        let restored = each_frame(archive, |mut points| {
            while !points.is_empty() {
                let rest = points.split_off(points.len().min(RESTORE_POINTS));
                self.upsert(unfinished.name(), points)?;
                points = rest;
            }
            Ok(())
        });
        let published = restored.and_then(|points| {
            if points != wanted {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "the archive was changed while it was restored; try again",
                ));
            }
            self.engine.publish_collection(&unfinished, collection)
        });
        if let Err(error) = published {
            self.engine.drop_collection(unfinished.name())?;
            return Err(error.context("restore a snapshot"));
        }
        Ok(wanted)
    }

    /// Copies the whole node by hard links into a folder of its own: a data folder to start a server on.
    ///
    /// # Errors
    ///
    /// Of the disk.
    pub fn create_node_snapshot(&self) -> Result<SnapshotInfo> {
        let _one = self.snapshotting.lock();
        let folder = self.node_snapshots_folder();
        create_folder(&folder)?;
        remove_parts(&folder);
        let name = self.snapshot_name(&folder);
        let part = folder.join(format!("{name}{PART_SUFFIX}"));
        self.engine
            .checkpoint(&part)
            .and_then(|()| publish(&part, &folder.join(&name)))
            .inspect_err(|_| drop(std::fs::remove_dir_all(&part)))?;
        describe(&folder, &name)
    }

    /// The snapshots of the node, oldest first.
    ///
    /// # Errors
    ///
    /// Of the disk.
    pub fn node_snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        list(&self.node_snapshots_folder(), |name| {
            !name.ends_with(PART_SUFFIX)
        })
    }

    /// Deletes a snapshot of the node.
    ///
    /// # Errors
    ///
    /// `NotFound`; of the disk.
    pub fn delete_node_snapshot(&self, name: &str) -> Result<()> {
        if !self.node_snapshots()?.iter().any(|info| info.name == name) {
            return Err(missing(name));
        }
        let path = self.node_snapshots_folder().join(name);
        std::fs::remove_dir_all(&path).map_err(|error| Error::io(&error, &path))
    }

    /// Folder of the snapshots of the node.
    pub fn node_snapshots_folder(&self) -> PathBuf {
        layout::node_snapshots(self.engine.folder())
    }

    /// Folder of all snapshots.
    pub fn snapshots_folder(&self) -> PathBuf {
        layout::snapshots(self.engine.folder())
    }

    /// Refuses `bytes` that would leave less than the disk's reserve.
    ///
    /// # Errors
    ///
    /// `StorageFull`.
    pub fn ensure_space(&self, bytes: u64) -> Result<()> {
        self.engine.ensure_space(bytes)
    }

    /// Folder of uploaded archives that are not restored yet; emptied when the node opens.
    ///
    /// # Errors
    ///
    /// Of the disk.
    pub fn uploads_folder(&self) -> Result<PathBuf> {
        let folder = layout::uploads(self.engine.folder());
        create_folder(&folder)?;
        Ok(folder)
    }

    fn archives(&self, collection: &str) -> PathBuf {
        layout::archives(self.engine.folder(), collection)
    }

    /// Milliseconds since 1970, counted on if that is taken.
    fn snapshot_name(&self, folder: &Path) -> String {
        let taken = |name: &String| {
            folder.join(name).exists() || folder.join(format!("{name}{ARCHIVE_SUFFIX}")).exists()
        };
        let mut at = self.engine.env().now_ms();
        loop {
            let name = format!("{at:013}");
            if !taken(&name) {
                return name;
            }
            at += 1;
        }
    }
}

/// A file that leaves the disk's reserve alone.
struct Reserved<'a> {
    engine: &'a Engine,
    file: File,
}

impl Write for Reserved<'_> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let full = |error| std::io::Error::new(std::io::ErrorKind::StorageFull, error);
        self.engine
            .ensure_space(buffer.len() as u64)
            .map_err(full)?;
        self.file.write(buffer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Calls `visit` with the points of every frame; how many there were. The archive is whole if this succeeds.
fn each_frame(archive: &Path, mut visit: impl FnMut(Vec<Point>) -> Result<()>) -> Result<u64> {
    let mut reader = open_archive(archive)?;
    let mut count = 0;
    while let Some(points) = reader.next_points().map_err(of_archive)? {
        count += points.len() as u64;
        visit(points)?;
    }
    Ok(count)
}

fn open_archive(path: &Path) -> Result<ArchiveReader<impl Read>> {
    let file = File::open(path).map_err(|error| Error::io(&error, path))?;
    ArchiveReader::open(BufReader::with_capacity(1 << 20, file)).map_err(of_archive)
}

/// Damage to an archive is a fault of what was given, not of the store.
fn of_archive(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Corrupted => Error::invalid(format!("the archive is damaged: {error}")),
        _ => error,
    }
}

/// Gives what is complete its name, durably.
fn publish(part: &Path, whole: &Path) -> Result<()> {
    std::fs::rename(part, whole).map_err(|error| Error::io(&error, whole))?;
    match whole.parent() {
        Some(folder) => engine::sync_folder(folder),
        None => Ok(()),
    }
}

fn create_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| Error::io(&error, folder))
}

/// Removes what a crash left half-written. Snapshots are made one at a time, so nobody writes it.
fn remove_parts(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().ends_with(PART_SUFFIX) {
            let path = entry.path();
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
        }
    }
}

/// The entries of a folder whose name passes, by name; none if it is not there.
fn list(folder: &Path, passes: impl Fn(&str) -> bool) -> Result<Vec<SnapshotInfo>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| Error::io(&error, folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Error::io(&error, folder))?;
        if let Ok(name) = entry.file_name().into_string()
            && passes(&name)
        {
            found.push(describe(folder, &name)?);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn describe(folder: &Path, name: &str) -> Result<SnapshotInfo> {
    let path = folder.join(name);
    let metadata = std::fs::metadata(&path).map_err(|error| Error::io(&error, &path))?;
    Ok(SnapshotInfo {
        name: name.to_owned(),
        created: metadata.modified().ok(),
        bytes: if metadata.is_dir() {
            folder_bytes(&path)?
        } else {
            metadata.len()
        },
    })
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let io = |error: std::io::Error| Error::io(&error, folder);
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let metadata = entry.metadata().map_err(io)?;
        bytes += if metadata.is_dir() {
            folder_bytes(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}

fn missing(name: &str) -> Error {
    Error::not_found(format!(
        "there is no snapshot `{name}`; list them to see which there are"
    ))
}
