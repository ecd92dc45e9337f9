//! The bytes of every key. Numbers are big-endian, so that keys sort as their parts do.
//!
//! ```text
//! log            partition u16 | index u64
//! vectors, media partition u16 | collection u32 | index u64 | ordinal u32
//! points         partition u16 | collection u32 | point id
//! changes        partition u16 | collection u32 | index u64
//! state          partition u16 | 0                       applied position
//!                partition u16 | 1 | index u64           what the entry at index superseded
//!                partition u16 | 2 | collection u32 | expiry ms u64 | point id   version of a point that ends
//!                partition u16 | 3 | request id          note of a request that was applied
//!                partition u16 | 4 | index u64           the requests of the entry at index
//!                partition u16 | 5 | collection u32      up to where its change records are purged
//!                65535 u16     | 6 | collection u32      copy of the collection's record
//! meta           "format" | "next_collection" | "collection/" name
//! ```

use crate::error::{Error, Result};
use crate::point::PointId;
use crate::{CollectionId, Partition};

/// Version of the layout.
pub const META_FORMAT: &[u8] = b"format";
/// The id that the next collection gets.
pub const META_NEXT_COLLECTION: &[u8] = b"next_collection";
/// Prefix of collection records.
pub const META_COLLECTION: &[u8] = b"collection/";

/// Bytes before the point id in a key of `points`.
pub const POINT_PREFIX_BYTES: usize = 6;

/// Bytes of a key of `vectors` or `media`.
pub const VALUE_KEY_BYTES: usize = 18;

/// All log entries of a partition.
pub fn log_prefix(partition: Partition) -> Vec<u8> {
    partition.0.to_be_bytes().to_vec()
}

/// One log entry.
pub fn log(partition: Partition, index: u64) -> Vec<u8> {
    let mut key = log_prefix(partition);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

/// Reads the index of a key of `log` or `state`'s garbage lists: its last eight bytes.
///
/// # Errors
///
/// `Corrupted` if the key is too short.
pub fn last_index(key: &[u8]) -> Result<u64> {
    key.last_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or_else(|| Error::corrupted(format!("a key of {} bytes has no log index", key.len())))
}

/// All rows of a collection within a partition: the prefix of `points`, `vectors`, `media` and `changes`.
pub fn collection_prefix(partition: Partition, collection: CollectionId) -> Vec<u8> {
    let mut key = Vec::with_capacity(24);
    key.extend_from_slice(&partition.0.to_be_bytes());
    key.extend_from_slice(&collection.0.to_be_bytes());
    key
}

/// One point row.
pub fn point(partition: Partition, collection: CollectionId, id: &PointId) -> Vec<u8> {
    let mut key = collection_prefix(partition, collection);
    id.encode_into(&mut key);
    key
}

/// One vector or medium.
pub fn value(partition: Partition, collection: CollectionId, index: u64, ordinal: u32) -> Vec<u8> {
    let mut key = change(partition, collection, index);
    key.extend_from_slice(&ordinal.to_be_bytes());
    key
}

/// Reads partition, collection, index and ordinal of a key of [`value`]; `None` if it is none.
pub fn read_value(key: &[u8]) -> Option<(Partition, CollectionId, u64, u32)> {
    let (partition, rest) = key.split_first_chunk()?;
    let (collection, rest) = rest.split_first_chunk()?;
    let (index, ordinal) = rest.split_first_chunk()?;
    Some((
        Partition(u16::from_be_bytes(*partition)),
        CollectionId(u32::from_be_bytes(*collection)),
        u64::from_be_bytes(*index),
        u32::from_be_bytes(ordinal.try_into().ok()?),
    ))
}

/// The ids that a log entry touched.
pub fn change(partition: Partition, collection: CollectionId, index: u64) -> Vec<u8> {
    let mut key = collection_prefix(partition, collection);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

/// The applied position of a partition.
pub fn state_applied(partition: Partition) -> Vec<u8> {
    let mut key = partition.0.to_be_bytes().to_vec();
    key.push(0);
    key
}

/// All garbage lists of a partition.
pub fn garbage_prefix(partition: Partition) -> Vec<u8> {
    let mut key = partition.0.to_be_bytes().to_vec();
    key.push(1);
    key
}

/// What the entry at `index` superseded.
pub fn garbage(partition: Partition, index: u64) -> Vec<u8> {
    let mut key = garbage_prefix(partition);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

/// When the points of a collection within a partition end.
pub fn expiry_prefix(partition: Partition, collection: CollectionId) -> Vec<u8> {
    let mut key = partition.0.to_be_bytes().to_vec();
    key.push(2);
    key.extend_from_slice(&collection.0.to_be_bytes());
    key
}

/// When one point ends: sorted by time.
pub fn expiry(
    partition: Partition,
    collection: CollectionId,
    expires_at_ms: u64,
    id: &PointId,
) -> Vec<u8> {
    let mut key = expiry_prefix(partition, collection);
    key.extend_from_slice(&expires_at_ms.to_be_bytes());
    id.encode_into(&mut key);
    key
}

/// Reads time and id of a key of [`expiry`].
///
/// # Errors
///
/// `Corrupted` if the key is none.
pub fn read_expiry(key: &[u8]) -> Result<(u64, PointId)> {
    const PREFIX_BYTES: usize = 2 + 1 + 4;
    let split = key
        .get(PREFIX_BYTES..)
        .and_then(|rest| rest.split_first_chunk::<8>());
    let (time, id) = split
        .ok_or_else(|| Error::corrupted(format!("an expiry key of {} bytes is cut", key.len())))?;
    Ok((u64::from_be_bytes(*time), PointId::decode(id)?))
}

/// The note of one request.
pub fn request(partition: Partition, id: &[u8]) -> Vec<u8> {
    let mut key = partition.0.to_be_bytes().to_vec();
    key.push(3);
    key.extend_from_slice(id);
    key
}

/// Which requests the entries of a partition brought.
pub fn request_list_prefix(partition: Partition) -> Vec<u8> {
    let mut key = partition.0.to_be_bytes().to_vec();
    key.push(4);
    key
}

/// Which requests the entry at `index` brought.
pub fn request_list(partition: Partition, index: u64) -> Vec<u8> {
    let mut key = request_list_prefix(partition);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

/// Up to where the change records of a collection are purged.
pub fn changes_floor(partition: Partition, collection: CollectionId) -> Vec<u8> {
    let mut key = partition.0.to_be_bytes().to_vec();
    key.push(5);
    key.extend_from_slice(&collection.0.to_be_bytes());
    key
}

/// All copies of collections' records: under a partition that there will never be.
pub const COLLECTION_COPIES: &[u8] = &[255, 255, 6];

/// The copy of one collection's record.
pub fn collection_copy(collection: CollectionId) -> Vec<u8> {
    [COLLECTION_COPIES, &collection.0.to_be_bytes()].concat()
}

/// One collection record.
pub fn meta_collection(name: &str) -> Vec<u8> {
    [META_COLLECTION, name.as_bytes()].concat()
}

/// The smallest key above every key with this prefix; `None` if there is none.
pub fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_parts() {
        let a = value(Partition(1), CollectionId(2), 3, 4);
        let b = value(Partition(1), CollectionId(2), 4, 0);
        let c = value(Partition(1), CollectionId(256), 0, 0);
        let d = value(Partition(256), CollectionId(0), 0, 0);
        assert!(a < b && b < c && c < d);
        assert_eq!(a.len(), VALUE_KEY_BYTES);
        assert_eq!(read_value(&a), Some((Partition(1), CollectionId(2), 3, 4)));
        assert_eq!(read_value(&a[..17]), None);
        assert!(log(Partition(0), u64::MAX) < log(Partition(1), 0));
        assert_eq!(last_index(&log(Partition(7), 99)).unwrap(), 99);
        assert!(last_index(b"short").is_err());
        let id = PointId::Str("x".into());
        let sooner = expiry(Partition(1), CollectionId(2), 255, &id);
        let later = expiry(Partition(1), CollectionId(2), 256, &PointId::Num(0));
        assert!(sooner < later);
        assert_eq!(read_expiry(&sooner).unwrap(), (255, id));
        assert!(read_expiry(&sooner[..14]).is_err());
    }

    #[test]
    fn the_successor_bounds_a_prefix() {
        assert_eq!(successor(&[1, 255]), Some(vec![2]));
        assert_eq!(successor(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(successor(&[255, 255]), None);
    }
}
