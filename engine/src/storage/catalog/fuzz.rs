//! The door to RocksDB's catalogue for a fuzzer.

use super::BLOCK_BYTES;
use super::edits::Files;
use crate::storage::blob::{crc32c, masked};

/// The bytes as a catalogue, and as its one edit under a right checksum.
pub(crate) fn catalog(bytes: &[u8]) {
    let _ = Files::read(bytes);
    let edit = &bytes[..bytes.len().min(BLOCK_BYTES - super::HEADER_BYTES)];
    if let Some(files) = Files::read(&fragment(edit)) {
        assert!(files.tables.len() + files.blobs.len() <= edit.len());
    }
}

fn fragment(edit: &[u8]) -> Vec<u8> {
    let crc = masked(crc32c(crc32c(0, &[1]), edit));
    let mut bytes = crc.to_le_bytes().to_vec();
    bytes.extend((edit.len() as u16).to_le_bytes());
    bytes.push(1);
    bytes.extend(edit);
    bytes
}

/// A table and a blob file with garbage, and then the table gone and its family named.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let table = [103, 0, 9, 100, 1, b'a', 1, b'z', 5, 7, 4, 1, 11, 1];
    let blob = [0x90, 3, 11, 20, 120, 0, 0, 0, 0x91, 3, 11, 2, 30, 0];
    let gone = [6, 0, 9, 200, 1, 2, 201, 1, 3, b'l', b'o', b'g'];
    vec![
        [&table[..], &blob].concat(),
        fragment(&[&blob[..], &table, &gone].concat()),
        [fragment(&table), fragment(&gone[..3])].concat(),
    ]
}
