//! Which segment files of a collection are live, which of their rows are, and what of the log they cover.
//!
//! ```text
//! 0   magic "VECINOMF"
//! 8   format version       u32, little-endian as the next
//! 12  XXH3 of the record   u64
//! 20  the record
//! ```

use bincode::{Decode, Encode};
use index::BitSet;
use xxhash_rust::xxh3::xxh3_64;

use super::Positions;
use crate::error::{Error, Result};
use crate::storage::codec;

const MAGIC: &[u8; 8] = b"VECINOMF";
const FORMAT: u32 = 2;

/// The record of a collection's segments.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct Manifest {
    /// Larger than the number of any segment so far.
    pub next: u64,
    /// For each partition the log index up to which the segments hold what the log says. Later changes are in `changes`; a few of
    /// them may be in the segments already.
    pub covered: Positions,
    /// Oldest first.
    pub segments: Vec<LiveSegment>,
    /// Numbers of the linked files in which rows of them stand, ascending.
    pub links: Vec<u64>,
}

/// One segment file and its live rows.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct LiveSegment {
    /// Number of its file.
    pub number: u64,
    rows: u32,
    /// The words of the set of live rows, little-endian; none if all are.
    live: Option<Vec<u8>>,
}

impl LiveSegment {
    /// A segment with its live rows.
    pub fn new(number: u64, live: &BitSet) -> Self {
        let words = || live.words().iter().flat_map(|word| word.to_le_bytes());
        Self {
            number,
            rows: live.len() as u32,
            live: (live.count() < live.len()).then(|| words().collect()),
        }
    }

    /// The rows that are live, over `rows`.
    ///
    /// # Errors
    ///
    /// `Corrupted` if the segment has another number of rows.
    pub fn live(&self, rows: usize) -> Result<BitSet> {
        let bad = || {
            Error::corrupted(format!(
                "the manifest says that segment {} has {} rows; it has {rows}",
                self.number, self.rows
            ))
        };
        if rows != self.rows as usize {
            return Err(bad());
        }
        let Some(bytes) = &self.live else {
            return Ok(BitSet::full(rows));
        };
        let (words, rest) = bytes.as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        match BitSet::from_words(rows, words) {
            Some(live) if rest.is_empty() => Ok(live),
            _ => Err(bad()),
        }
    }
}

impl Manifest {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let record = codec::encode(self);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&xxh3_64(&record).to_le_bytes());
        bytes.extend_from_slice(&record);
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// `Corrupted` if the bytes are cut, damaged or of another format.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let bad = |why: &str| Error::corrupted(format!("manifest: {why}"));
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| bad("this is none"))?;
        let (format, rest) = rest.split_first_chunk().ok_or_else(|| bad("it is cut"))?;
        let format = u32::from_le_bytes(*format);
        if format != FORMAT {
            return Err(bad(&format!(
                "format {format}, this program reads {FORMAT}"
            )));
        }
        let (checksum, record) = rest.split_first_chunk().ok_or_else(|| bad("it is cut"))?;
        if xxh3_64(record) != u64::from_le_bytes(*checksum) {
            return Err(bad("its checksum differs"));
        }
        codec::decode(record, "manifest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PARTITIONS;

    fn manifest() -> Manifest {
        let mut covered = [0; PARTITIONS as usize];
        covered[3] = 700;
        let some = BitSet::from_offsets(70, [0, 69]);
        Manifest {
            next: 9,
            covered,
            segments: vec![
                LiveSegment::new(2, &some),
                LiveSegment::new(8, &BitSet::full(3)),
            ],
            links: vec![4, 11],
        }
    }

    #[test]
    fn comes_back() {
        let read = Manifest::decode(&manifest().encode()).unwrap();
        assert_eq!(read, manifest());
        assert!(read.segments[0].live(70).unwrap().iter().eq([0, 69]));
        assert_eq!(read.segments[1].live(3).unwrap().count(), 3);
        assert!(read.segments[1].live(4).is_err());
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let bytes = manifest().encode();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(Manifest::decode(&damaged).is_err(), "byte {at}");
            assert!(Manifest::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
