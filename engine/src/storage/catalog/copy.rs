//! A copy of the catalogue in the data folder (`catalog-<number>`), from which a repair restores a damaged one.
//!
//! The guard's thread adds what the catalogue grew by, and makes it durable. An older state of the catalogue is worse than none: RocksDB would
//! delete the files that it does not name. So the copy is used only if it names exactly the files that are there.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::edits::Files;
use super::{Extent, MEND, sound_bytes};
use crate::error::{Error, Result};
use crate::storage::DATABASE_FOLDER;
use crate::storage::durable::{sync_folder, write_durably};

const PREFIX: &str = "catalog-";

/// The copies in a data folder.
pub fn copies(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(PREFIX))
    };
    paths.filter(is_one).collect()
}

/// How far the newest copy reaches: the catalogue was durable up to there before it was copied. Nothing without one.
pub fn copied(data: &Path) -> Extent {
    let extents = copies(data).into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?;
        let number = name.strip_prefix(PREFIX)?.parse().ok()?;
        let bytes = sound_bytes(&File::open(&path).ok()?, 0).ok()?;
        Some(Extent { number, bytes })
    });
    extents
        .max_by_key(|extent| extent.number)
        .unwrap_or_default()
}

fn path_of(data: &Path, number: u64) -> PathBuf {
    data.join(format!("{PREFIX}{number:06}"))
}

/// Adds the bytes of the `catalog` from `from` up to its extent to the copy of it, durably; copies of others go.
///
/// # Errors
///
/// What the disk says.
pub fn extend(data: &Path, catalog: &File, from: u64, extent: Extent) -> Result<()> {
    let path = path_of(data, extent.number);
    let io = |error: std::io::Error| {
        Error::io(&error, &path).context("copy the database's list of its files")
    };
    // One that lacks something, because it could not be written before, is begun anew.
    let held = std::fs::metadata(&path).map_or(0, |held| held.len());
    let from = if held < from { 0 } else { from };
    let mut added = vec![0; (extent.bytes - from) as usize];
    catalog.read_exact_at(&mut added, from).map_err(io)?;
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(from == 0)
        .open(&path)
        .map_err(io)?;
    file.write_all_at(&added, from).map_err(io)?;
    file.sync_data().map_err(io)?;
    if from == 0 {
        sync_folder(data)?;
        for other in copies(data).into_iter().filter(|other| *other != path) {
            std::fs::remove_file(&other).map_err(|error| Error::io(&error, &other))?;
        }
    }
    Ok(())
}

/// Puts the copy of the catalogue that was `noted` in its place, the damaged one in `kept`. The database must not be open.
///
/// # Errors
///
/// `Corrupted` if there is no copy as long as noted, or if it does not name exactly the files that are there: nothing has changed then. What the
/// disk says.
pub fn restore(
    data: &Path,
    noted: Extent,
    kept: impl FnOnce() -> Result<PathBuf>,
) -> Result<PathBuf> {
    let path = path_of(data, noted.number);
    let refuse = |why: &str| Error::corrupted(format!("{}: {why}; {MEND}", path.display()));
    let file = File::open(&path).map_err(|_| refuse("there is no copy of the MANIFEST"))?;
    let io = |error: std::io::Error| Error::io(&error, &path);
    let sound = sound_bytes(&file, 0).map_err(io)?;
    if sound < noted.bytes {
        return Err(refuse("the copy of the MANIFEST is damaged too"));
    }
    let mut bytes = vec![0; sound as usize];
    file.read_exact_at(&mut bytes, 0).map_err(io)?;
    let files =
        Files::read(&bytes).ok_or_else(|| refuse("the copy of the MANIFEST cannot be read"))?;
    let database = data.join(DATABASE_FOLDER);
    if let Some(name) = unlike(&database, &files)? {
        return Err(refuse(&format!(
            "the copy of the MANIFEST is of another moment than the tables ({name})"
        )));
    }
    let kept = kept()?;
    let (name, current) = (
        format!("MANIFEST-{:06}", noted.number),
        database.join("CURRENT"),
    );
    for path in [&database.join(&name), &current] {
        if path.exists() {
            let to = kept.join(path.file_name().unwrap_or_default());
            std::fs::copy(path, &to).map_err(|error| Error::io(&error, path))?;
        }
    }
    sync_folder(&kept)?;
    for (name, bytes) in [
        (name.as_str(), bytes.as_slice()),
        ("CURRENT", format!("{name}\n").as_bytes()),
    ] {
        // RocksDB removes one that a kill leaves.
        let temporary = database.join(format!("{:06}.dbtmp", noted.number));
        write_durably(&temporary, bytes)?;
        let path = database.join(name);
        std::fs::rename(&temporary, &path).map_err(|error| Error::io(&error, &path))?;
    }
    sync_folder(&database)?;
    Ok(kept)
}

/// A file that is there and not named, or named and not there.
fn unlike(database: &Path, files: &Files) -> Result<Option<String>> {
    let io = |error: std::io::Error| Error::io(&error, database);
    let mut missing: BTreeSet<u64> = files.tables.keys().copied().collect();
    missing.extend(files.blobs_in_use());
    for entry in std::fs::read_dir(database).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let Some((stem, extension)) = name.to_str().and_then(|name| name.rsplit_once('.')) else {
            continue;
        };
        let Ok(number) = stem.parse::<u64>() else {
            continue;
        };
        let is_named = match extension {
            "sst" => files.tables.contains_key(&number),
            "blob" => files.blobs.contains_key(&number),
            _ => continue,
        };
        if !is_named {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
        missing.remove(&number);
    }
    Ok(missing.first().map(|number| format!("{number:06}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::guard::Guard;
    use crate::storage::{Family, Store};

    /// Tables and blob files come, are moved between levels, merged and emptied: a closed store has a copy that names what is there.
    #[test]
    fn a_closed_store_has_a_copy_that_names_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path();
        let mut numbers = Vec::new();
        for round in 0..24u32 {
            let store = Store::open(data).unwrap();
            for family in [Family::Vectors, Family::Log, Family::Points] {
                let mut batch = store.batch();
                for at in 0..40u32 {
                    let key = (at * 7 % 50 + round / 4 * 20).to_be_bytes();
                    match (at + round) % 5 {
                        0 => batch.delete(family, &key),
                        _ => batch.put(family, &key, &[at as u8; 900]),
                    }
                }
                if round % 6 == 5 {
                    batch.delete_range(family, &[0; 4], &(round * 5).to_be_bytes());
                }
                store.write_synced(batch).unwrap();
            }
            match round % 4 {
                0 => {}
                3 => store.compact_all(),
                _ => store.flush_all(),
            }
            if round % 6 == 5 {
                store.reclaim(Family::Vectors, &[0]);
            }
            store.close().unwrap();
            drop(store);
            let noted = Guard::noted_catalog(data).unwrap();
            let path = path_of(data, noted.number);
            assert_eq!(copies(data), std::slice::from_ref(&path));
            let bytes = std::fs::read(&path).unwrap();
            let database = data.join(DATABASE_FOLDER);
            let name = format!("MANIFEST-{:06}", noted.number);
            assert!(
                bytes == std::fs::read(database.join(name)).unwrap(),
                "round {round}"
            );
            let files = Files::read(&bytes).unwrap();
            assert_eq!(
                unlike(&database, &files).unwrap(),
                None,
                "round {round}: {files:?}"
            );
            numbers.push((files.tables.len(), files.blobs.len()));
        }
        assert!(
            numbers
                .iter()
                .any(|(tables, blobs)| *tables > 5 && *blobs > 3),
            "{numbers:?}"
        );
    }
}
