//! A throwaway double of a data folder: opened in its place, so that looking at data changes nothing of it.
//!
//! What never changes once it is written (tables, blob files, segments) is hard links; all else is copied: the write-ahead log, at most a
//! few hundred megabytes, and small files.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, fcntl_lock};

use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::segment::folder::segments;
use crate::storage::{DATABASE_FOLDER, aside, catalog};

/// In the data folder: hard links do not cross file systems.
const FOLDER_PREFIX: &str = "doctor-";
/// Extensions of files that nobody changes in place.
const UNCHANGING: [&str; 4] = ["sst", "blob", "segment", "graph"];

/// A double of a data folder that no server uses; it is gone when this is dropped.
pub struct Double {
    data: PathBuf,
    folder: PathBuf,
    /// RocksDB's own lock, so that no server starts meanwhile: it goes after the folder.
    _lock: Option<File>,
}

impl Double {
    /// Makes the double of `data`. Time O(files), and O(bytes) of the write-ahead log.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a server uses the data; else what the disk says.
    pub fn new(data: &Path) -> Result<Self> {
        let lock = lock(&data.join(DATABASE_FOLDER))?;
        remove_left_behind(data);
        let double = Self {
            data: data.to_path_buf(),
            folder: data.join(format!("{FOLDER_PREFIX}{}", std::process::id())),
            _lock: lock,
        };
        double
            .fill()
            .context("make a double of the data to look at")?;
        Ok(double)
    }

    fn fill(&self) -> Result<()> {
        std::fs::create_dir(&self.folder).map_err(|error| Error::io(&error, &self.folder))?;
        let (from, to) = (self.data.as_path(), self.folder.as_path());
        for folder in [|data: &Path| data.join(DATABASE_FOLDER), segments] {
            if folder(from).is_dir() {
                double_folder(&folder(from), &folder(to))?;
            }
        }
        if from.join("guard").exists() {
            copy(&from.join("guard"), &to.join("guard"))?;
        }
        for path in catalog::copies(from) {
            copy(&path, &to.join(path.file_name().unwrap_or_default()))?;
        }
        Ok(())
    }

    /// The folder to open.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// A text about the double, said of the data.
    pub fn said_of_data(&self, text: &str) -> String {
        let (double, data) = (self.folder.to_string_lossy(), self.data.to_string_lossy());
        // What the double keeps aside goes with it.
        let kept = format!("{}{double}/{}", aside::KEPT_LOG, aside::FOLDER_PREFIX);
        let mut parts = text.split(&kept);
        let mut said = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            said.push_str("the next start or repair copies the write-ahead log to ");
            said.push_str(&format!("{data}/{}<time> first", aside::FOLDER_PREFIX));
            said.push_str(part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
        }
        said.replace(&*double, &data)
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "could not remove the double of the data");
        }
    }
}

/// Takes the lock of a database as RocksDB does; `None` if none was ever taken there.
pub(super) fn lock(database: &Path) -> Result<Option<File>> {
    let path = database.join("LOCK");
    let file = match OpenOptions::new().read(true).write(true).open(&path) {
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| Error::io(&error, &path))?,
    };
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
        let text = format!(
            "{} is in use by another process; stop that server ({error})",
            database.display()
        );
        Error::new(ErrorKind::Unavailable, text)
    })?;
    Ok(Some(file))
}

/// Removes doubles of processes that were killed.
fn remove_left_behind(data: &Path) {
    for entry in std::fs::read_dir(data).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(FOLDER_PREFIX) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Fills a folder with links and copies of what is in another.
pub(super) fn double_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).map_err(|error| Error::io(&error, to))?;
    for entry in std::fs::read_dir(from).map_err(|error| Error::io(&error, from))? {
        let entry = entry.map_err(|error| Error::io(&error, from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let extension = from.extension().and_then(|extension| extension.to_str());
        if from.is_dir() {
            double_folder(&from, &to)?;
        } else if !extension.is_some_and(|extension| UNCHANGING.contains(&extension))
            || std::fs::hard_link(&from, &to).is_err()
        {
            copy(&from, &to)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map_err(|error| Error::io(&error, from))?;
    Ok(())
}
