//! RocksDB's blob files, read without RocksDB: where in them a value stands.
//!
//! A blob file is written once, by a flush or a compaction, and then never changed. Values stand in it as they were put, so whoever knows the
//! place of one needs no copy of it. RocksDB does not tell places; its files do:
//!
//! ```text
//! header   magic u32 | version u32 | family u32 | flags u8 | compression u8 | expirations u64[2]              30 bytes
//! record   key bytes u64 | value bytes u64 | expiration u64 | CRC of these | CRC of key and value | key | value
//! footer   magic u32 | records u64 | expirations u64[2] | CRC of these                                        32 bytes
//! ```
//!
//! Numbers are little-endian; a CRC is a CRC-32C (Castagnoli), masked. This is version 1 of the format (`db/blob/blob_log_format.h`); a file of
//! another version, compressed, or with expirations is refused, and its values are then copied instead. A file without a footer is still
//! being written.

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;

use std::io::{Read, Seek, SeekFrom};

use crate::error::{Error, Result};

const MAGIC: u32 = 2_395_959;
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 30;
const FOOTER_BYTES: usize = 32;
/// Bytes of a record before its key.
pub const RECORD_HEADER_BYTES: usize = 32;

/// One record.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// As it was put.
    pub key: &'a [u8],
    /// As it was put.
    pub value: &'a [u8],
    /// Offset of the value in the file.
    pub value_at: usize,
    /// The key and the value after it.
    both: &'a [u8],
    checksum: u32,
}

impl Record<'_> {
    /// Compares the checksum of key and value. Time O(bytes).
    ///
    /// # Errors
    ///
    /// `Corrupted` if it differs.
    pub fn verify(&self) -> Result<()> {
        let found = masked(crc32c(0, self.both));
        if found != self.checksum {
            return Err(Error::corrupted(format!(
                "blob at {}: checksum {found:#010x}, expected {:#010x}",
                self.value_at, self.checksum
            )));
        }
        Ok(())
    }
}

/// Compares the checksums of every record of a complete file, compressed or not; one that is still being written is not looked at. Time O(bytes).
///
/// # Errors
///
/// `Corrupted`, with the first place.
pub fn verify(bytes: &[u8]) -> Result<()> {
    let footer = bytes.len().saturating_sub(FOOTER_BYTES);
    if bytes.get(footer..footer + 4) != Some(&MAGIC.to_le_bytes()) {
        return Ok(());
    }
    let mut at = HEADER_BYTES;
    while at < footer {
        let record = read(&bytes[..footer], at)?;
        record.verify()?;
        at = record.value_at + record.value.len();
    }
    Ok(())
}

/// Whether this is a complete file of plain values under keys of so many bytes, by what stands at its ends.
pub fn is_plain_of(mut file: impl Read + Seek, key_bytes: usize) -> bool {
    let mut ends = || -> std::io::Result<_> {
        let (mut begin, mut footer) = ([0; HEADER_BYTES + 8], [0; FOOTER_BYTES]);
        file.read_exact(&mut begin)?;
        file.seek(SeekFrom::End(-(FOOTER_BYTES as i64)))?;
        file.read_exact(&mut footer)?;
        Ok((begin, footer))
    };
    ends().is_ok_and(|(begin, footer)| {
        check_ends(&begin, &footer).is_ok() && u64_at(&begin, HEADER_BYTES) == key_bytes as u64
    })
}

/// The records of a complete file, in its order; after the first error there is none.
///
/// # Errors
///
/// `Corrupted` if these are not the bytes of a complete file of plain values.
pub fn records(bytes: &[u8]) -> Result<Records<'_>> {
    let bad = |why: &str| Error::corrupted(format!("blob file: {why}"));
    let (header, rest) = bytes
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| bad("it is cut"))?;
    let (_, footer) = rest
        .split_last_chunk::<FOOTER_BYTES>()
        .ok_or_else(|| bad("it is cut"))?;
    check_ends(header, footer)?;
    Ok(Records {
        bytes: &bytes[..bytes.len() - FOOTER_BYTES],
        at: HEADER_BYTES,
        left: u64_at(footer, 4),
    })
}

fn check_ends<const N: usize>(header: &[u8; N], footer: &[u8; FOOTER_BYTES]) -> Result<()> {
    let bad = |why: &str| Error::corrupted(format!("blob file: {why}"));
    if u32_at(header, 0) != MAGIC {
        return Err(bad("this is none"));
    }
    if u32_at(header, 4) != VERSION {
        return Err(bad(&format!("format {}", u32_at(header, 4))));
    }
    if header[12..14] != [0, 0] {
        return Err(bad("its values are compressed or expire"));
    }
    if u32_at(footer, 0) != MAGIC || u32_at(footer, 28) != masked(crc32c(0, &footer[..28])) {
        return Err(bad("it has no footer"));
    }
    Ok(())
}

/// See [`records`].
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    left: u64,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 && self.at == self.bytes.len() {
            return None;
        }
        let read = match self.left {
            0 => Err(Error::corrupted("blob file: more bytes than records")),
            _ => read(self.bytes, self.at),
        };
        match &read {
            Ok(record) => {
                self.left -= 1;
                self.at = record.value_at + record.value.len();
            }
            Err(_) => (self.left, self.at) = (0, self.bytes.len()),
        }
        Some(read)
    }
}

/// The record whose value stands at `value_at`, under a key of `key_bytes`. Neither key nor value are compared with their checksum.
///
/// # Errors
///
/// `Corrupted` if there is no such record.
pub fn record_at(bytes: &[u8], value_at: usize, key_bytes: usize) -> Result<Record<'_>> {
    let at = value_at.checked_sub(RECORD_HEADER_BYTES + key_bytes);
    let record = at.map(|at| read(bytes, at)).transpose()?;
    record
        .filter(|record| record.value_at == value_at)
        .ok_or_else(|| Error::corrupted(format!("blob at {value_at}: no record")))
}

fn read(bytes: &[u8], at: usize) -> Result<Record<'_>> {
    let bad = |why| Error::corrupted(format!("blob record at {at}: {why}"));
    let rest = bytes.get(at..).ok_or_else(|| bad("it is cut"))?;
    let (header, rest) = rest
        .split_first_chunk::<RECORD_HEADER_BYTES>()
        .ok_or_else(|| bad("it is cut"))?;
    if u32_at(header, 24) != masked(crc32c(0, &header[..24])) {
        return Err(bad("the checksum of its header differs"));
    }
    let length = |at| usize::try_from(u64_at(header, at)).ok();
    let parts = length(0).and_then(|key| {
        let both = rest.get(..key.checked_add(length(8)?)?)?;
        Some((both, both.split_at(key)))
    });
    let (both, (key, value)) = parts.ok_or_else(|| bad("it is cut"))?;
    Ok(Record {
        key,
        value,
        both,
        value_at: at + RECORD_HEADER_BYTES + key.len(),
        checksum: u32_at(header, 28),
    })
}

fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |b| u32::from_le_bytes(*b))
}

fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |b| u64::from_le_bytes(*b))
}

/// RocksDB stores checksums like this, so that the checksum of bytes that hold one is not special.
pub(super) fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C of what had `crc` and then `bytes`.
pub(super) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file of these records, as RocksDB would write it.
    fn file(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([3, 0, 0, 0, 0, 0]);
        bytes.extend([0; 16]);
        for (key, value) in records {
            let mut header = Vec::new();
            header.extend((key.len() as u64).to_le_bytes());
            header.extend((value.len() as u64).to_le_bytes());
            header.extend([0; 8]);
            let crc = masked(crc32c(0, &header));
            header.extend(crc.to_le_bytes());
            header.extend(masked(crc32c(0, &[key.as_slice(), value].concat())).to_le_bytes());
            bytes.extend(header);
            bytes.extend(key);
            bytes.extend(value);
        }
        let mut footer = MAGIC.to_le_bytes().to_vec();
        footer.extend((records.len() as u64).to_le_bytes());
        footer.extend([0; 16]);
        let crc = masked(crc32c(0, &footer));
        footer.extend(crc.to_le_bytes());
        bytes.extend(footer);
        bytes
    }

    fn read_all(bytes: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut all = Vec::new();
        for record in records(bytes)? {
            let record = record?;
            record.verify()?;
            assert_eq!(record_at(bytes, record.value_at, record.key.len())?, record);
            all.push((record.key.to_vec(), record.value.to_vec()));
        }
        Ok(all)
    }

    /// RFC 3720, B.4, and the check value of the catalogue of CRCs.
    #[test]
    fn checksums_are_crc_32c() {
        assert_eq!(crc32c(0, &[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(0, &[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(crc32c(0, b"1234"), b"56789"), 0xe306_9283);
    }

    /// An upgrade that changes the format is noticed here; segments would copy their rows then.
    #[test]
    fn files_of_the_linked_rocksdb_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        options.set_enable_blob_files(true);
        let db = rocksdb::DB::open(&options, dir.path()).unwrap();
        let value = |n: u8| vec![n; 100 + usize::from(n)];
        (0..50).for_each(|n| db.put([1, n], value(n)).unwrap());
        db.flush().unwrap();
        let files = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut blobs = files.filter(|path| path.extension().is_some_and(|end| end == "blob"));
        let bytes = std::fs::read(blobs.next().expect("a blob file")).unwrap();
        let expected: Vec<_> = (0..50).map(|n| (vec![1, n], value(n))).collect();
        assert_eq!(read_all(&bytes).unwrap(), expected);
        assert_eq!(file(&expected).len(), bytes.len());
    }

    #[test]
    fn a_file_that_is_not_finished_or_not_plain_is_refused() {
        let bytes = file(&[(vec![1], vec![2; 9])]);
        for length in 0..bytes.len() {
            assert!(records(&bytes[..length]).is_err(), "{length}");
        }
        for (at, byte) in [(0, 1), (4, 2), (12, 1), (13, 7)] {
            let mut other = bytes.clone();
            other[at] = byte;
            assert!(records(&other).is_err(), "{at}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(all in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..20), proptest::collection::vec(any::<u8>(), 0..50)), 0..8)) {
            prop_assert_eq!(read_all(&file(&all)).unwrap(), all);
        }

        #[test]
        fn a_changed_byte_of_a_record_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = file(&[(vec![1; 18], vec![2; 40]), (vec![3; 18], vec![4; 40])]);
            let records = HEADER_BYTES..bytes.len() - FOOTER_BYTES;
            let at = records.start + at.index(records.len());
            // The expiration is in the header's checksum too.
            bytes[at] ^= 1 << bit;
            prop_assert!(read_all(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..400, framed in any::<bool>()) {
            if framed {
                let whole = file(&[]);
                bytes.splice(0..0, whole[..HEADER_BYTES].iter().copied());
                let mut footer = whole[HEADER_BYTES..].to_vec();
                footer[4] = 9;
                let crc = masked(crc32c(0, &footer[..28]));
                footer[28..].copy_from_slice(&crc.to_le_bytes());
                bytes.extend(footer);
            }
            let _ = read_all(&bytes);
            let _ = record_at(&bytes, at, 18);
        }

        /// Lengths that are wrong under a right checksum.
        #[test]
        fn any_lengths_are_read_without_panic(key in any::<u64>(), value in any::<u64>(), small in any::<bool>()) {
            let (key, value) = if small { (key % 30, value % 60) } else { (key, value) };
            let mut bytes = file(&[(vec![1; 18], vec![2; 40])]);
            let mut header = [key.to_le_bytes(), value.to_le_bytes(), [0; 8]].concat();
            let crc = masked(crc32c(0, &header));
            header.extend(crc.to_le_bytes());
            bytes[HEADER_BYTES..HEADER_BYTES + 28].copy_from_slice(&header);
            let _ = read_all(&bytes);
        }
    }
}
