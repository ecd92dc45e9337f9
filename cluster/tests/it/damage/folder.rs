//! Copies of a store to damage.

use std::path::{Path, PathBuf};

/// Copies a store. Tables and blob files, which never change, are links.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() {
            copy(&from, &to);
        } else if has_extension(&from, &["sst", "blob"]) {
            // Not across file systems.
            if std::fs::hard_link(&from, &to).is_err() {
                std::fs::copy(&from, &to).unwrap();
            }
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// RocksDB's files with one of these extensions, by name.
pub fn files(store: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(store.join("rocksdb"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| has_extension(path, extensions))
        .collect();
    files.sort();
    files
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
}
