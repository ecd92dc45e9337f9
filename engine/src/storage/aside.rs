//! Damaged files kept aside, in `DATA/damaged-<milliseconds since 1970>`, before anything may change or delete them.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::DATABASE_FOLDER;
use super::durable::{sync_folder, write_durably};
use crate::env::Env;
use crate::error::{Error, Result, ResultExt};

/// Most of what is copied of a write-ahead log: four times what RocksDB lets it grow to. The newest files come first.
const WAL_BYTES_MAX: u64 = 1 << 30;
/// Begins the name of a folder of damaged files.
pub const FOLDER_PREFIX: &str = "damaged-";
/// Beside the copy of a log whose damaged end was dropped: what RocksDB said of it.
const CAUSE: &str = "dropped.txt";
/// Before the folder where a damaged write-ahead log is kept.
pub const KEPT_LOG: &str = "the write-ahead log as it was is kept in ";
/// What a repair says of what it found and did.
pub const REPORT: &str = "report.json";

/// A write-ahead log that could not be read in full, as it was before.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct DroppedLog {
    /// Where its files are kept.
    pub folder: PathBuf,
    /// Names of its files, oldest first.
    pub logs: Vec<String>,
    /// What was wrong with it.
    pub cause: String,
}

impl std::fmt::Display for DroppedLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.logs.is_empty() {
            return write!(
                f,
                "the write-ahead log is gone ({}), and so is the guard file that would tell how far it reached: what it held is lost",
                self.cause
            );
        }
        write!(
            f,
            "the write-ahead log was damaged ({}): what only its damaged part held may be lost, also of what was acknowledged; the log as it was \
             ({}) is kept in {}",
            self.cause,
            self.logs.join(", "),
            self.folder.display()
        )
    }
}

/// Notes durably that the log copied to `kept` was read up to its damage only.
///
/// # Errors
///
/// What the disk says.
pub fn note_dropped(kept: &Path, cause: &Error) -> Result<()> {
    let path = kept.join(CAUSE);
    write_durably(&path, cause.to_string().as_bytes())?;
    sync_folder(kept)
}

/// The logs that were read up to their damage only, and of which no repair has told yet.
///
/// # Errors
///
/// What the disk says.
pub fn dropped_logs(data: &Path) -> Result<Vec<DroppedLog>> {
    let mut dropped = Vec::new();
    for folder in folders(data) {
        let Ok(cause) = std::fs::read(folder.join(CAUSE)) else {
            continue;
        };
        if folder.join(REPORT).exists() {
            continue;
        }
        let names = logs(&folder)?.into_iter().filter_map(|log| {
            let name = log.file_name()?;
            Some(name.to_string_lossy().into_owned())
        });
        dropped.push(DroppedLog {
            logs: names.collect(),
            cause: String::from_utf8_lossy(&cause).into_owned(),
            folder,
        });
    }
    Ok(dropped)
}

/// The folders of damaged files, oldest first.
fn folders(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data).into_iter().flatten().flatten();
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(FOLDER_PREFIX))
    };
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_one).collect();
    folders.sort();
    folders
}

/// Makes a new folder in the data folder to keep damaged files in.
///
/// # Errors
///
/// What the disk says.
pub fn create_folder(data: &Path) -> Result<PathBuf> {
    let mut at = Env::system().now_ms();
    loop {
        let folder = data.join(format!("{FOLDER_PREFIX}{at}"));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => at += 1,
            Err(error) => return Err(Error::io(&error, &folder).context("keep damaged files")),
        }
    }
}

/// Copies the files of the write-ahead log, before RocksDB opens what is left of it and removes the rest. Files that an earlier start has kept
/// are not copied again: a server that is started again and again does not fill the disk. Answers where they are; `None` if there are none.
///
/// # Errors
///
/// What the disk says: without a copy nothing may touch them.
pub fn keep_wal(data: &Path) -> Result<Option<PathBuf>> {
    let logs = logs(&data.join(DATABASE_FOLDER))?;
    if logs.is_empty() {
        return Ok(None);
    }
    if let Some(folder) = kept_before(data, &logs) {
        return Ok(Some(folder));
    }
    let folder = create_folder(data)?;
    let mut bytes = 0;
    for log in logs.iter().rev() {
        bytes += file_bytes(log)?;
        if bytes > WAL_BYTES_MAX {
            tracing::warn!(path = %log.display(), "this and older files of the write-ahead log were not kept aside: they are too large");
            break;
        }
        let copy = || -> std::io::Result<()> {
            let to = folder.join(log.file_name().unwrap_or_default());
            std::fs::copy(log, &to)?;
            File::open(to)?.sync_all()
        };
        copy()
            .map_err(|error| Error::io(&error, log))
            .context("keep the damaged write-ahead log aside")?;
    }
    sync_folder(&folder)?;
    sync_folder(data)?;
    Ok(Some(folder))
}

/// RocksDB's log files, oldest first.
///
/// # Errors
///
/// What the disk says.
pub fn logs(database: &Path) -> Result<Vec<PathBuf>> {
    let io = |error: std::io::Error| Error::io(&error, database);
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(database).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            logs.push(path);
        }
    }
    logs.sort();
    Ok(logs)
}

/// Bytes of all of them; none of one that goes meanwhile.
///
/// # Errors
///
/// As [`logs`].
pub fn logged_bytes(database: &Path) -> Result<u64> {
    let logs = logs(database)?;
    Ok(logs.iter().map(|log| file_bytes(log).unwrap_or(0)).sum())
}

fn file_bytes(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path).map_err(|error| Error::io(&error, path))?;
    Ok(metadata.len())
}

/// A folder that holds files of these names and lengths, of which no repair has told yet.
fn kept_before(data: &Path, logs: &[PathBuf]) -> Option<PathBuf> {
    folders(data).into_iter().find(|folder| {
        let holds_all = logs.iter().all(|log| {
            let copy = folder.join(log.file_name().unwrap_or_default());
            matches!((file_bytes(&copy), file_bytes(log)), (Ok(copy), Ok(log)) if copy == log)
        });
        holds_all && !folder.join(REPORT).exists()
    })
}
