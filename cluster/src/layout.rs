//! Where snapshots lie in the data folder.
//!
//! ```text
//! DATA/snapshots/collections/<collection>/<name>.vecino
//! DATA/snapshots/node/<name>/
//! DATA/snapshots/uploads/        archives that are not restored yet
//! ```

use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

/// Longest name of a folder of archives; file systems take 255 bytes.
const FOLDER_NAME_BYTES_MAX: usize = 200;

/// All of them.
pub(crate) fn snapshots(data: &Path) -> PathBuf {
    data.join("snapshots")
}

/// The archives of a collection.
pub(crate) fn archives(data: &Path, collection: &str) -> PathBuf {
    snapshots(data)
        .join("collections")
        .join(folder_name(collection))
}

/// The snapshots of the node.
pub(crate) fn node_snapshots(data: &Path) -> PathBuf {
    snapshots(data).join("node")
}

/// What is being uploaded.
pub(crate) fn uploads(data: &Path) -> PathBuf {
    snapshots(data).join("uploads")
}

/// A collection's name as that of a folder: letters, digits, `-` and `_` stay, every other byte becomes `%` and two hex digits. One that would
/// be too long for a file system ends in its hash.
fn folder_name(collection: &str) -> String {
    let mut name = String::with_capacity(collection.len());
    for byte in collection.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            other => name.push_str(&format!("%{other:02X}")),
        }
    }
    if name.len() > FOLDER_NAME_BYTES_MAX {
        name.truncate(FOLDER_NAME_BYTES_MAX - 33);
        name.push_str(&format!(".{:032x}", xxh3_128(collection.as_bytes())));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names() {
        let check =
            |collection: &str, expected: &str| assert_eq!(folder_name(collection), expected);
        check("a-B_9", "a-B_9");
        check("50% ü", "50%25%20%C3%BC");
        check("../x", "%2E%2E%2Fx");
        let (a, b) = ("ü".repeat(120), format!("{}u", "ü".repeat(119)));
        assert_eq!(folder_name(&a).len(), FOLDER_NAME_BYTES_MAX);
        assert_ne!(folder_name(&a), folder_name(&b));
    }
}
