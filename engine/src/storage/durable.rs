//! Files and folders that a power cut does not take away.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result, ResultExt};

/// Writes a file that a power cut does not take away once its folder is synced.
///
/// # Errors
///
/// What the disk says.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| Error::io(&error, path))
}

/// Makes the names in a folder durable.
///
/// # Errors
///
/// What the disk says.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Error::io(&error, folder))
        .context("sync a folder")
}
