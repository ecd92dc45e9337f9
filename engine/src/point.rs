//! What a user stores: a point with its id, vectors, payload and media.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};

/// The longest string id, in bytes.
pub const STRING_ID_BYTES_MAX: usize = 512;

/// JSON object attached to a point.
pub type Payload = serde_json::Map<String, serde_json::Value>;

/// The user's id of a point.
///
/// Numbers sort before UUIDs, UUIDs before strings; the encoded form sorts the same way.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub enum PointId {
    /// An unsigned integer.
    Num(u64),
    /// A UUID, as its 128 bits.
    Uuid(u128),
    /// Any other string of 1 to 512 bytes.
    Str(Arc<str>),
}

const TAG_NUM: u8 = 1;
const TAG_UUID: u8 = 2;
const TAG_STR: u8 = 3;

impl PointId {
    /// Appends the order-preserving encoding: a tag byte, then big-endian `u64`, 16 UUID bytes, or the string's bytes.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Num(n) => {
                out.push(TAG_NUM);
                out.extend_from_slice(&n.to_be_bytes());
            }
            Self::Uuid(u) => {
                out.push(TAG_UUID);
                out.extend_from_slice(&u.to_be_bytes());
            }
            Self::Str(s) => {
                out.push(TAG_STR);
                out.extend_from_slice(s.as_bytes());
            }
        }
    }

    /// The encoding of [`Self::encode_into`] as a new vector.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(17);
        self.encode_into(&mut out);
        out
    }

    /// Reads what [`Self::encode_into`] wrote.
    ///
    /// # Errors
    ///
    /// `Corrupted` if the bytes are no such encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let bad = || Error::corrupted(format!("point id: {} bytes are no id", bytes.len()));
        let (&tag, rest) = bytes.split_first().ok_or_else(bad)?;
        match tag {
            TAG_NUM => Ok(Self::Num(u64::from_be_bytes(
                rest.try_into().map_err(|_| bad())?,
            ))),
            TAG_UUID => Ok(Self::Uuid(u128::from_be_bytes(
                rest.try_into().map_err(|_| bad())?,
            ))),
            TAG_STR => {
                let text = std::str::from_utf8(rest).map_err(|_| bad())?;
                Ok(Self::Str(text.into()))
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Num(n) => write!(f, "{n}"),
            Self::Uuid(u) => write!(f, "{}", Uuid::from_u128(*u)),
            Self::Str(s) => f.write_str(s),
        }
    }
}

impl FromStr for PointId {
    type Err = Error;

    /// Reads a string id: a UUID in any of its forms, else a free string. A string of digits stays a string: numbers are numbers in JSON.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid(
                "point id: the string is empty; give at least one byte",
            ));
        }
        if text.len() > STRING_ID_BYTES_MAX {
            return Err(Error::invalid(format!(
                "point id: {} bytes are too long; a string id has at most {STRING_ID_BYTES_MAX} bytes",
                text.len()
            )));
        }
        // The braced and URN forms are UUIDs too; other lengths cannot be.
        if matches!(text.len(), 32 | 36 | 38 | 45)
            && let Ok(uuid) = Uuid::try_parse(text)
        {
            return Ok(Self::Uuid(uuid.as_u128()));
        }
        Ok(Self::Str(text.into()))
    }
}

/// A sparse vector: `indices` ascending and unique, one finite value each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseVector {
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl SparseVector {
    /// Sorts by index and checks.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the lengths differ, an index repeats or a value is not finite.
    pub fn new(indices: Vec<u32>, values: Vec<f32>) -> Result<Self> {
        if indices.len() != values.len() {
            return Err(Error::invalid(format!(
                "sparse vector: {} indices but {} values; give one value per index",
                indices.len(),
                values.len()
            )));
        }
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::invalid(format!(
                "sparse vector: value {} at position {at} is not finite",
                values[at]
            )));
        }
        let mut pairs: Vec<(u32, f32)> = indices.into_iter().zip(values).collect();
        pairs.sort_unstable_by_key(|&(index, _)| index);
        if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::invalid(format!(
                "sparse vector: index {} stands twice; indices must be unique",
                pair[0].0
            )));
        }
        let (indices, values) = pairs.into_iter().unzip();
        Ok(Self { indices, values })
    }

    /// The indices, ascending.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The values, in the order of the indices.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Index and value, ascending by index.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.indices
            .iter()
            .copied()
            .zip(self.values.iter().copied())
    }
}

/// One stored vector of a point.
#[derive(Clone, Debug, PartialEq)]
pub enum Vector {
    /// `[dim]` numbers; unit length if the metric is cosine.
    Dense(Vec<f32>),
    /// Indices and values.
    Sparse(SparseVector),
}

/// What kind of source a medium is.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub enum MediaKind {
    /// UTF-8 text.
    Text,
    /// An encoded picture.
    Image,
}

impl MediaKind {
    /// How records name it.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Text => 0,
            Self::Image => 1,
        }
    }

    /// Reads [`Self::number`].
    ///
    /// # Errors
    ///
    /// `Corrupted` for an unknown one.
    pub(crate) fn from_number(number: u8) -> Result<Self> {
        match number {
            0 => Ok(Self::Text),
            1 => Ok(Self::Image),
            other => Err(Error::corrupted(format!("unknown kind of medium {other}"))),
        }
    }
}

/// The source text or picture of a point, kept with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// Text or picture.
    pub kind: MediaKind,
    /// For example `image/jpeg` or `text/plain; charset=utf-8`.
    pub content_type: String,
    /// The source bytes as they came.
    pub bytes: Arc<[u8]>,
}

/// A point as it is written.
#[derive(Clone, Debug)]
pub struct Point {
    /// The user's id.
    pub id: PointId,
    /// Vectors by name; the unnamed one is `""`. A point may lack some of the collection's vectors.
    pub vectors: BTreeMap<String, Vector>,
    /// JSON object attached to the point.
    pub payload: Payload,
    /// Source bytes, at most one of each kind.
    pub media: Vec<Media>,
    /// Milliseconds since 1970 from which the point is hidden; it is dropped some time later. `None`: it stays.
    pub expires_at_ms: Option<u64>,
}

impl Point {
    /// Bytes of its vectors and media as they are stored.
    pub(crate) fn value_bytes(&self) -> usize {
        let media = self.media.iter().map(|media| media.bytes.len());
        self.vector_bytes() + media.sum::<usize>()
    }

    /// About how many bytes its payload takes as JSON: without escapes, at most 4 more for each key and number. Time O(values of the payload).
    pub(crate) fn payload_bytes(&self) -> usize {
        object_bytes(&self.payload)
    }

    /// Bytes of its vectors as they are stored.
    pub(crate) fn vector_bytes(&self) -> usize {
        let vectors = self.vectors.values().map(|vector| match vector {
            Vector::Dense(values) => size_of_val(values.as_slice()),
            Vector::Sparse(sparse) => 2 * size_of_val(sparse.values()),
        });
        vectors.sum()
    }
}

fn object_bytes(object: &Payload) -> usize {
    object
        .iter()
        .map(|(key, value)| key.len() + 4 + value_bytes(value))
        .sum()
}

fn value_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(elements) => elements.iter().map(|value| value_bytes(value) + 1).sum(),
        Value::Object(object) => object_bytes(object),
    }
}

/// A point as it is read back.
#[derive(Clone, Debug)]
pub struct Record {
    /// The user's id.
    pub id: PointId,
    /// Log index of the write that made it, within its partition.
    pub version: u64,
    /// The selected part of the payload, shared with who else reads it; `None` if none was asked for.
    pub payload: Option<Arc<Payload>>,
    /// The selected vectors; `None` if none were asked for.
    pub vectors: Option<BTreeMap<String, Vector>>,
    /// Milliseconds since 1970 from which it is hidden; `None` if it stays.
    pub expires_at_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_id() -> impl Strategy<Value = PointId> {
        prop_oneof![
            any::<u64>().prop_map(PointId::Num),
            any::<u128>().prop_map(PointId::Uuid),
            "\\PC{1,40}".prop_map(|s| PointId::Str(s.into())),
        ]
    }

    proptest! {
        #[test]
        fn ids_survive_encoding_and_keep_their_order(a in any_id(), b in any_id()) {
            prop_assert_eq!(&PointId::decode(&a.encode()).unwrap(), &a);
            prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = PointId::decode(&bytes);
        }
    }

    #[test]
    fn a_uuid_is_read_in_any_form() {
        let dashed: PointId = "f39c70e6-2018-4bc6-9fa7-481538298572".parse().unwrap();
        let plain: PointId = "f39c70e620184bc69fa7481538298572".parse().unwrap();
        assert_eq!(dashed, plain);
        assert_eq!(plain.to_string(), "f39c70e6-2018-4bc6-9fa7-481538298572");
        assert_eq!("17".parse::<PointId>().unwrap(), PointId::Str("17".into()));
        assert!("".parse::<PointId>().is_err());
        assert!(
            "x".repeat(STRING_ID_BYTES_MAX + 1)
                .parse::<PointId>()
                .is_err()
        );
    }

    #[test]
    fn a_sparse_vector_is_sorted_and_unique() {
        let v = SparseVector::new(vec![5, 1], vec![0.5, 0.1]).unwrap();
        assert_eq!(v.indices(), [1, 5]);
        assert_eq!(v.values(), [0.1, 0.5]);
        assert!(SparseVector::new(vec![1, 1], vec![0.5, 0.1]).is_err());
        assert!(SparseVector::new(vec![1], vec![f32::NAN]).is_err());
        assert!(SparseVector::new(vec![1], vec![]).is_err());
    }
}
