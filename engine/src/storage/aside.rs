//! Damaged files kept aside, in `DATA/damaged-<milliseconds since 1970>`, before anything may change or delete them.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::DATABASE_FOLDER;
use super::guard::sync_folder;
use crate::env::Env;
use crate::error::{Error, Result, ResultExt};

/// Most of what is copied of a write-ahead log: four times what RocksDB lets it grow to. The newest files come first.
const WAL_BYTES_MAX: u64 = 1 << 30;
const FOLDER_PREFIX: &str = "damaged-";

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
        bytes += log.bytes;
        if bytes > WAL_BYTES_MAX {
            tracing::warn!(path = %log.path.display(), "this and older files of the write-ahead log were not kept aside: they are too large");
            break;
        }
        let copy = || -> std::io::Result<()> {
            let to = folder.join(log.path.file_name().unwrap_or_default());
            std::fs::copy(&log.path, &to)?;
            File::open(to)?.sync_all()
        };
        copy()
            .map_err(|error| Error::io(&error, &log.path))
            .context("keep the damaged write-ahead log aside")?;
    }
    sync_folder(&folder)?;
    sync_folder(data)?;
    Ok(Some(folder))
}

struct LogFile {
    path: PathBuf,
    bytes: u64,
}

/// RocksDB's log files, oldest first.
fn logs(database: &Path) -> Result<Vec<LogFile>> {
    let io = |error: std::io::Error| Error::io(&error, database);
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(database).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let bytes = std::fs::metadata(&path).map_err(io)?.len();
            logs.push(LogFile { path, bytes });
        }
    }
    logs.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(logs)
}

/// A folder that holds files of these names and lengths.
fn kept_before(data: &Path, logs: &[LogFile]) -> Option<PathBuf> {
    let folders = std::fs::read_dir(data).ok()?.flatten();
    let mut folders = folders.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(FOLDER_PREFIX))
    });
    folders.find(|folder| {
        logs.iter().all(|log| {
            let copy = folder.join(log.path.file_name().unwrap_or_default());
            std::fs::metadata(copy).is_ok_and(|copy| copy.len() == log.bytes)
        })
    })
}
