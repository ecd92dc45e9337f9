//! The door to RocksDB's blob files for a fuzzer.

use super::{FOOTER_BYTES, HEADER_BYTES, RECORD_HEADER_BYTES, crc32c, masked, record_at, records};

/// A file as it is, and under a footer of a right checksum.
pub(crate) fn blob(bytes: &[u8]) {
    read_all(bytes);
    let mut bytes = bytes.to_vec();
    if let Some(footer) = bytes.last_chunk_mut::<FOOTER_BYTES>() {
        let checksum = masked(crc32c(0, &footer[..28]));
        footer[28..].copy_from_slice(&checksum.to_le_bytes());
        read_all(&bytes);
    }
}

fn read_all(bytes: &[u8]) {
    let Ok(records) = records(bytes) else { return };
    let mut end = HEADER_BYTES;
    for record in records {
        let Ok(record) = record else { return };
        assert_eq!(
            record.value_at,
            end + RECORD_HEADER_BYTES + record.key.len(),
            "records follow each other"
        );
        end = record.value_at + record.value.len();
        assert!(end + FOOTER_BYTES <= bytes.len());
        let _ = record.verify();
        let again = record_at(bytes, record.value_at, record.key.len());
        assert_eq!(again.expect("it was read"), record);
    }
}

/// A file that RocksDB wrote.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../../tests/golden/links/10.blob").to_vec()]
}
