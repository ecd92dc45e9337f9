//! Where the real data lies, and what exactly was read.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ndarray::ArrayView2;
use serde_json::{Value, json};
use xxhash_rust::xxh3::Xxh3;

/// Names the folder of the data; without it, `../shared/data` beside the workspace.
const VARIABLE: &str = "VECINO_DATA";

/// Data that is not there: a reason to skip, not a failure.
#[derive(Debug)]
pub struct Absent(PathBuf);

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.display();
        write!(f, "{path} is absent ({VARIABLE} names another folder)")
    }
}

impl std::error::Error for Absent {}

/// The path of a file or folder of the data.
///
/// # Errors
///
/// [`Absent`].
pub fn find(name: &str) -> Result<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os(VARIABLE).map_or(beside, PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(Absent(path).into())
    }
}

/// What a report says about files: their name and checksum.
///
/// # Errors
///
/// They cannot be read.
pub fn describe(name: &str, path: &Path, rows: usize) -> Result<Value> {
    Ok(json!({ "name": name, "rows": rows, "xxh3": checksum_of(path)? }))
}

/// What a report says about rows that a seed made.
pub fn describe_rows(name: &str, rows: ArrayView2<f32>) -> Value {
    let mut hasher = Xxh3::new();
    for number in rows {
        hasher.update(&number.to_le_bytes());
    }
    json!({ "name": name, "rows": rows.nrows(), "dim": rows.ncols(), "xxh3": hex(&hasher) })
}

/// The checksum of a file, or of all names and bytes in a folder in the order of names: 16 hex digits.
fn checksum_of(path: &Path) -> Result<String> {
    let mut hasher = Xxh3::new();
    add(&mut hasher, path)?;
    Ok(hex(&hasher))
}

fn add(hasher: &mut Xxh3, path: &Path) -> Result<()> {
    let context = || format!("read {}", path.display());
    if !path.is_dir() {
        hasher.update(&fs::read(path).with_context(context)?);
        return Ok(());
    }
    let entries = fs::read_dir(path).with_context(context)?;
    let mut entries: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()
        .with_context(context)?;
    entries.sort();
    for entry in entries {
        hasher.update(entry.file_name().unwrap_or_default().as_encoded_bytes());
        add(hasher, &entry)?;
    }
    Ok(())
}

fn hex(hasher: &Xxh3) -> String {
    format!("{:016x}", hasher.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_sees_names_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &str| {
            fs::write(folder.path().join(name), bytes).unwrap();
            checksum_of(folder.path()).unwrap()
        };
        let first = write("a", "x");
        assert_eq!(write("a", "x"), first);
        assert_ne!(write("a", "y"), first);
        assert_ne!(write("b", "x"), first);
    }

    #[test]
    fn absent_data_is_told_apart() {
        let error = find("no-such-set").unwrap_err();
        assert!(error.downcast_ref::<Absent>().is_some());
    }
}
