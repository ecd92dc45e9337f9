//! What the values of the column families hold.

use std::sync::Arc;

use bincode::{Decode, Encode};

use super::{Family, blob, codec, key};
use crate::error::{Error, Result};
use crate::point::{MediaKind, SparseVector, Vector};

/// One entry of a partition's log. Vectors and media stand beside it, under the references that it names.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct LogEntry {
    /// Leader's term; 1 on a single node.
    pub term: u64,
    /// Milliseconds since 1970 at the proposer.
    pub timestamp_ms: u64,
    /// Applied in order.
    pub operations: Vec<LogOperation>,
    /// CRC-32 of the encoded operations.
    pub crc: u32,
}

/// One operation of a log entry.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum LogOperation {
    /// Replaces the whole point.
    Upsert {
        /// Collection number.
        collection: u32,
        /// Encoded point id.
        id: Vec<u8>,
        /// The row to store; its version is the entry's index. Shared with the change that is applied.
        row: Arc<PointRow>,
    },
    /// Removes the point.
    Delete {
        /// Collection number.
        collection: u32,
        /// Encoded point id.
        id: Vec<u8>,
    },
    /// Removes the point if its expiry is not after the entry's timestamp.
    Expire {
        /// Collection number.
        collection: u32,
        /// Encoded point id.
        id: Vec<u8>,
    },
    /// Replaces the whole point if the condition holds.
    UpsertIf {
        /// Collection number.
        collection: u32,
        /// Encoded point id.
        id: Vec<u8>,
        /// The row to store; its version is the entry's index. Shared with the change that is applied.
        row: Arc<PointRow>,
        /// What must hold of the row that is there.
        condition: Box<ConditionRecord>,
    },
    /// The operations after it belong to a request that may come again.
    Request {
        /// Its name.
        id: String,
        /// What tells its body from another.
        digest: u128,
        /// How many of the following operations are its.
        operations: u32,
    },
    /// Removes the point if the condition holds.
    DeleteIf {
        /// Collection number.
        collection: u32,
        /// Encoded point id.
        id: Vec<u8>,
        /// What must hold of the row that is there.
        condition: Box<ConditionRecord>,
    },
}

/// What must hold of a stored row: see [`crate::Precondition`]. Filters are JSON.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum ConditionRecord {
    /// Its version; 0 for none.
    Version(u64),
    /// There is one.
    Present,
    /// There is none, or it passes.
    AbsentOrMatches(Vec<u8>),
    /// There is one and it passes.
    Matches(Vec<u8>),
}

impl LogEntry {
    /// An entry with its checksum.
    pub fn new(term: u64, timestamp_ms: u64, operations: Vec<LogOperation>) -> Self {
        let crc = checksum(&operations);
        Self {
            term,
            timestamp_ms,
            operations,
            crc,
        }
    }

    /// The bytes of [`Self::new`], made without a copy of the operations: payloads are most of what is written.
    pub fn encode(term: u64, timestamp_ms: u64, operations: &[LogOperation]) -> Vec<u8> {
        let rows = operations.iter().map(LogOperation::bytes);
        let mut out = Vec::with_capacity(rows.sum::<usize>() + 32);
        codec::encode_into(&(term, timestamp_ms), &mut out);
        let from = out.len();
        codec::append(&operations, &mut out);
        let crc = checksum_of(&out[from..]);
        codec::append(&crc, &mut out);
        out
    }

    /// Compares the checksum.
    ///
    /// # Errors
    ///
    /// `Corrupted` if it differs.
    pub fn verify(&self) -> Result<()> {
        let found = checksum(&self.operations);
        if found != self.crc {
            return Err(Error::corrupted(format!(
                "log entry: checksum {found:#x}, expected {:#x}",
                self.crc
            )));
        }
        Ok(())
    }
}

impl LogOperation {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        match self {
            Self::Upsert { id, row, .. } | Self::UpsertIf { id, row, .. } => {
                id.len() + row.payload.len() + 32 * (1 + row.vectors.len() + row.media.len())
            }
            _ => 64,
        }
    }
}

fn checksum(operations: &[LogOperation]) -> u32 {
    let mut encoded = Vec::new();
    codec::append(&operations, &mut encoded);
    checksum_of(&encoded)
}

/// CRC-32 of a record of its own with these bytes.
fn checksum_of(encoded: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[codec::VERSION]);
    hasher.update(encoded);
    hasher.finalize()
}

/// A point's row.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct PointRow {
    /// Log index of the write that made it.
    pub version: u64,
    /// Payload as JSON bytes; empty for none.
    pub payload: Vec<u8>,
    /// Where its vectors stand.
    pub vectors: Vec<VectorRef>,
    /// Where its media stand.
    pub media: Vec<MediaRef>,
    /// Milliseconds since 1970 from which the point is hidden.
    pub expires_at_ms: Option<u64>,
}

impl PointRow {
    /// Whether the point's time has come.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }

    /// The (log index, ordinal) of everything that this row owns outside itself.
    pub fn owned(&self) -> impl Iterator<Item = Garbage> + '_ {
        let vectors = self.vectors.iter().map(|r| Garbage {
            media: false,
            index: r.index,
            ordinal: r.ordinal,
        });
        let media = self.media.iter().map(|r| Garbage {
            media: true,
            index: r.index,
            ordinal: r.ordinal,
        });
        vectors.chain(media)
    }
}

/// Where a vector stands.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct VectorRef {
    /// Vector name.
    pub name: String,
    /// Log index of the entry that brought it.
    pub index: u64,
    /// Position among that entry's values.
    pub ordinal: u32,
}

/// Where a medium stands.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct MediaRef {
    /// 0 text, 1 image.
    kind: u8,
    /// MIME type.
    pub content_type: String,
    /// Log index of the entry that brought it.
    pub index: u64,
    /// Position among that entry's values.
    pub ordinal: u32,
}

impl MediaRef {
    /// A reference.
    pub fn new(kind: MediaKind, content_type: String, index: u64, ordinal: u32) -> Self {
        Self {
            kind: kind.number(),
            content_type,
            index,
            ordinal,
        }
    }

    /// Text or picture.
    ///
    /// # Errors
    ///
    /// `Corrupted` for an unknown kind.
    pub fn kind(&self) -> Result<MediaKind> {
        MediaKind::from_number(self.kind)
    }
}

/// A value that no row owns any more; removed when the log is purged past the entry that superseded it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Garbage {
    /// In `media`, else in `vectors`.
    pub media: bool,
    /// Log index of the entry that brought it.
    pub index: u64,
    /// Position among that entry's values.
    pub ordinal: u32,
}

impl Garbage {
    /// Where it stands.
    pub fn family(&self) -> Family {
        if self.media {
            Family::Media
        } else {
            Family::Vectors
        }
    }
}

/// What the entry at one index superseded, by collection.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct GarbageList {
    /// Collection number and value.
    pub values: Vec<(u32, Garbage)>,
}

/// The applied position of a partition.
#[derive(Copy, Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct PartitionState {
    /// Log index up to which the rows hold the log's effect.
    pub applied: u64,
    /// Log index up to which the log was purged.
    pub purged: u64,
}

/// The note of a request that was applied.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct RequestRecord {
    /// Log index of its entry.
    pub index: u64,
    /// That entry's timestamp.
    pub timestamp_ms: u64,
    /// What tells its body from another.
    pub digest: u128,
    /// Position among its operations and version found, of those that were refused.
    pub refused: Vec<(u32, u64)>,
}

/// The requests of one log entry.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct RequestList {
    /// The entry's timestamp.
    pub timestamp_ms: u64,
    /// Their names.
    pub ids: Vec<Vec<u8>>,
}

/// The ids that one log entry touched in one collection.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct ChangeRecord {
    /// Encoded ids and whether the point was written (else deleted).
    pub ids: Vec<(Vec<u8>, bool)>,
}

/// A collection's record in `meta`.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct CollectionRecord {
    /// Its number, never used again.
    pub id: u32,
    /// Its [`crate::CollectionConfig`] as JSON: bincode cannot read free JSON values back.
    pub config_json: Vec<u8>,
}

/// The copy of a collection's record in `state`: read only by a repair, and to know the number of a collection whose record cannot be read.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct CollectionCopy {
    /// The collection's name.
    pub name: String,
    /// As in `meta`.
    pub record: CollectionRecord,
}

/// Version of a vector's record.
const VECTOR_VERSION: u8 = 2;
/// Offset of the numbers in a vector's record.
pub const NUMBERS_AT: usize = 4;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
/// After the numbers.
const PADDING: [u8; 2] = [0; 2];
/// A record with its key and RocksDB's header in front takes a multiple of four bytes, and so do all before it: in a file of them, after the 30
/// bytes of the file's header, numbers stand at multiples of four and can be read where they are.
const _: () =
    assert!((30 + blob::RECORD_HEADER_BYTES + key::VALUE_KEY_BYTES + NUMBERS_AT).is_multiple_of(4));
const _: () =
    assert!((blob::RECORD_HEADER_BYTES + key::VALUE_KEY_BYTES + dense_bytes(1)).is_multiple_of(4));

/// Bytes of the record of a dense vector.
pub const fn dense_bytes(dim: usize) -> usize {
    NUMBERS_AT + 4 * dim + PADDING.len()
}

/// The bytes of a vector in `vectors`:
///
/// ```text
/// 0  version u8 | kind u8: 0 dense, 1 sparse | 0 u8[2]
/// 4  f32[dim], or of a sparse vector indices u32[n] | f32[n], little-endian
///    0 u8[2]
/// ```
pub fn encode_vector(vector: &Vector) -> Vec<u8> {
    let (kind, indices, values) = match vector {
        Vector::Dense(values) => (DENSE, [].as_slice(), values.as_slice()),
        Vector::Sparse(sparse) => (SPARSE, sparse.indices(), sparse.values()),
    };
    let mut bytes = Vec::with_capacity(dense_bytes(indices.len() + values.len()));
    bytes.extend_from_slice(&[VECTOR_VERSION, kind, 0, 0]);
    bytes.extend(indices.iter().flat_map(|index| index.to_le_bytes()));
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend_from_slice(&PADDING);
    bytes
}

/// Reads what [`encode_vector`] wrote.
///
/// # Errors
///
/// `Corrupted` if the bytes are none.
pub fn decode_vector(bytes: &[u8]) -> Result<Vector> {
    let (kind, numbers) = split_vector(bytes)?;
    if kind == DENSE {
        return Ok(Vector::Dense(f32s(numbers)));
    }
    let (indices, values) = numbers.split_at(numbers.len() / 2);
    let indices = indices.iter().map(|bytes| u32::from_le_bytes(*bytes));
    SparseVector::new(indices.collect(), f32s(values))
        .map(Vector::Sparse)
        .map_err(|error| Error::corrupted(format!("vector: {error}")))
}

/// Whether these are the bytes of a dense vector of `dim` numbers.
pub fn is_dense(bytes: &[u8], dim: usize) -> bool {
    split_vector(bytes).is_ok_and(|(kind, numbers)| kind == DENSE && numbers.len() == dim)
}

/// Kind and numbers.
fn split_vector(bytes: &[u8]) -> Result<(u8, &[[u8; 4]])> {
    let bad = || Error::corrupted(format!("vector: {} bytes are no whole record", bytes.len()));
    let (&[version, kind, 0, 0], rest) = bytes.split_first_chunk().ok_or_else(bad)? else {
        return Err(bad());
    };
    if version != VECTOR_VERSION {
        return Err(Error::corrupted(format!(
            "vector: record version {version}, expected {VECTOR_VERSION}"
        )));
    }
    let numbers = rest.strip_suffix(&PADDING).ok_or_else(bad)?;
    let (numbers, over) = numbers.as_chunks::<4>();
    let whole = kind == DENSE || kind == SPARSE && numbers.len().is_multiple_of(2);
    if !whole || !over.is_empty() {
        return Err(bad());
    }
    Ok((kind, numbers))
}

fn f32s(numbers: &[[u8; 4]]) -> Vec<f32> {
    let numbers = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes));
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::codec;
    use super::*;

    #[test]
    fn golden_bytes_do_not_change() {
        let row = PointRow {
            version: 300,
            payload: b"{}".to_vec(),
            vectors: vec![VectorRef {
                name: "text".into(),
                index: 300,
                ordinal: 1,
            }],
            media: vec![MediaRef::new(MediaKind::Image, "image/png".into(), 300, 2)],
            expires_at_ms: Some(7),
        };
        let expected = [
            1, 251, 44, 1, 2, 123, 125, 1, 4, 116, 101, 120, 116, 251, 44, 1, 1, 1, 1, 9, 105, 109,
            97, 103, 101, 47, 112, 110, 103, 251, 44, 1, 2, 1, 7,
        ];
        assert_eq!(codec::encode(&row), expected);
        assert_eq!(codec::decode::<PointRow>(&expected, "row").unwrap(), row);
        // As rows were written before points could end.
        let lasting = PointRow {
            expires_at_ms: None,
            ..row
        };
        let before = [&expected[..expected.len() - 2], &[0]].concat();
        assert_eq!(codec::encode(&lasting), before);
        assert_eq!(codec::decode::<PointRow>(&before, "row").unwrap(), lasting);
        assert_eq!(
            encode_vector(&Vector::Dense(vec![1.0])),
            [2, 0, 0, 0, 0, 0, 128, 63, 0, 0]
        );
        assert_eq!(
            encode_vector(&Vector::Sparse(
                SparseVector::new(vec![3], vec![1.0]).unwrap()
            )),
            [2, 1, 0, 0, 3, 0, 0, 0, 0, 0, 128, 63, 0, 0]
        );
    }

    /// Logs of earlier versions are replayed: operations keep their numbers.
    #[test]
    fn golden_bytes_of_operations_do_not_change() {
        let (collection, id) = (2, vec![1, 9]);
        let row = Arc::new(PointRow {
            version: 5,
            ..PointRow::default()
        });
        let row_bytes = [5, 0, 0, 0, 0];
        let condition = |record| LogOperation::UpsertIf {
            collection,
            id: vec![1, 9],
            row: Arc::clone(&row),
            condition: Box::new(record),
        };
        let operations = [
            condition(ConditionRecord::Present),
            condition(ConditionRecord::Version(3)),
        ];
        let entry = LogEntry::new(1, 70_000, operations.to_vec());
        assert_eq!(
            LogEntry::encode(1, 70_000, &operations),
            codec::encode(&entry)
        );
        let upsert = |number: u8| [&[1, number, 2, 2, 1, 9], &row_bytes[..]].concat();
        let check = |operation: LogOperation, expected: Vec<u8>| {
            assert_eq!(codec::encode(&operation), expected);
            let read: LogOperation = codec::decode(&expected, "operation").unwrap();
            assert_eq!(read, operation);
        };
        check(
            LogOperation::Upsert {
                collection,
                id: id.clone(),
                row: Arc::clone(&row),
            },
            upsert(0),
        );
        let delete = LogOperation::Delete {
            collection,
            id: id.clone(),
        };
        check(delete, vec![1, 1, 2, 2, 1, 9]);
        check(
            LogOperation::Expire { collection, id },
            vec![1, 2, 2, 2, 1, 9],
        );
        let request = LogOperation::Request {
            id: "r".into(),
            digest: u128::MAX,
            operations: 3,
        };
        let digest = [[254].as_slice(), &[255; 16]].concat();
        check(request, [&[1, 4, 1, b'r'], &digest[..], &[3]].concat());
        let with = |tail: &[u8]| [&upsert(3), tail].concat();
        let delete_if = LogOperation::DeleteIf {
            collection,
            id: vec![1, 9],
            condition: Box::new(ConditionRecord::Version(7)),
        };
        check(delete_if, vec![1, 5, 2, 2, 1, 9, 0, 7]);
        check(condition(ConditionRecord::Version(7)), with(&[0, 7]));
        check(condition(ConditionRecord::Present), with(&[1]));
        let filter = b"{}".to_vec();
        check(
            condition(ConditionRecord::AbsentOrMatches(filter.clone())),
            with(&[2, 2, 123, 125]),
        );
        check(
            condition(ConditionRecord::Matches(filter)),
            with(&[3, 2, 123, 125]),
        );
    }

    #[test]
    fn a_record_of_another_version_or_length_is_refused() {
        let mut bytes = codec::encode(&7u32);
        bytes.push(0);
        assert!(codec::decode::<u32>(&bytes, "number").is_err());
        bytes.pop();
        bytes[0] = 9;
        let error = codec::decode::<u32>(&bytes, "number").unwrap_err();
        assert_eq!(error.to_string(), "number: record version 9, expected 1");
        assert!(codec::decode::<u32>(&[], "number").is_err());
    }

    #[test]
    fn a_changed_operation_breaks_the_checksum() {
        let mut entry = LogEntry::new(
            1,
            2,
            vec![LogOperation::Delete {
                collection: 1,
                id: vec![1, 2],
            }],
        );
        entry.verify().unwrap();
        entry.operations.push(LogOperation::Delete {
            collection: 1,
            id: vec![3],
        });
        assert!(entry.verify().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut versioned = vec![1];
            versioned.extend_from_slice(&bytes);
            let _ = codec::decode::<LogEntry>(&versioned, "entry");
            let _ = codec::decode::<PointRow>(&versioned, "row");
            let _ = decode_vector(&versioned);
            let _ = decode_vector(&[&[2, bytes.first().map_or(0, |byte| byte % 3), 0, 0], bytes.as_slice(), &[0, 0]].concat());
            let _ = codec::decode::<GarbageList>(&versioned, "garbage");
        }

        #[test]
        fn vectors_survive(values in proptest::collection::vec(-1e30f32..1e30, 0..50)) {
            let dense = Vector::Dense(values.clone());
            prop_assert_eq!(decode_vector(&encode_vector(&dense)).unwrap(), dense);
            let sparse = Vector::Sparse(SparseVector::new((0..values.len() as u32).collect(), values).unwrap());
            prop_assert_eq!(decode_vector(&encode_vector(&sparse)).unwrap(), sparse);
        }
    }
}
