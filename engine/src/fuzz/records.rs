//! Records and keys: what is read stays the same when it is written and read again.

use std::fmt::Debug;
use std::sync::Arc;

use bincode::{Decode, Encode};

use crate::config::CollectionConfig;
use crate::point::{Payload, PointId, SparseVector, Vector};
use crate::storage::record::{
    ChangeRecord, CollectionRecord, ConditionRecord, Garbage, GarbageList, LogEntry, LogOperation,
    MediaRef, PartitionState, PointRow, RequestList, RequestRecord, VectorRef, decode_vector,
    encode_vector,
};
use crate::storage::{codec, key};
use crate::{CollectionId, MediaKind, Metric, Partition, VectorConfig};

/// The first byte chooses the kind of record.
pub fn record(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    match kind % 9 {
        0 => same::<u64>(bytes),
        1 => same::<u32>(bytes),
        2 => same::<LogEntry>(bytes),
        3 => same::<PartitionState>(bytes),
        4 => same::<GarbageList>(bytes),
        5 => same::<RequestRecord>(bytes),
        6 => same::<RequestList>(bytes),
        7 => {
            same::<ChangeRecord>(bytes);
            same::<CollectionRecord>(bytes);
            if let Ok(record) = codec::decode::<CollectionRecord>(bytes, "collection") {
                settings(&record.config_json);
            }
        }
        _ => {
            same::<PointRow>(bytes);
            if let Ok(row) = codec::decode::<PointRow>(bytes, "row") {
                let _ = serde_json::from_slice::<Payload>(&row.payload);
                let _ = row.media.iter().map(MediaRef::kind).collect::<Vec<_>>();
                assert_eq!(row.owned().count(), row.vectors.len() + row.media.len());
            }
        }
    }
}

/// Reads a record, writes it, and reads it again.
pub(crate) fn same<T: Encode + Decode<()> + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(read) = codec::decode::<T>(bytes, "record") else {
        return;
    };
    let written = codec::encode(&read);
    assert!(written.len() <= bytes.len(), "{read:?}");
    assert!(codec::is_readable::<T>(&written), "{read:?}");
    assert_eq!(codec::decode::<T>(&written, "record").unwrap(), read);
}

/// Settings of a collection: what is accepted is accepted again.
pub(crate) fn settings(json: &[u8]) {
    let Ok(config) = serde_json::from_slice::<CollectionConfig>(json) else {
        return;
    };
    let valid = config.validate().is_ok();
    let written = serde_json::to_vec(&config).unwrap();
    let again: CollectionConfig = serde_json::from_slice(&written).unwrap();
    assert_eq!(again.validate().is_ok(), valid);
    assert_eq!(serde_json::to_vec(&again).unwrap(), written);
}

/// Settings with everything, to begin with.
pub(crate) fn some_settings() -> CollectionConfig {
    let mut config = CollectionConfig::default();
    let dense = VectorConfig {
        index: Some(index::IndexKind::Graph),
        encoding: Some(index::Encoding::Sq4),
        ..VectorConfig::new(2, Metric::L2)
    };
    config.vectors.insert("place".into(), dense);
    let sparse = crate::SparseVectorConfig { idf: true };
    config.sparse_vectors.insert("words".into(), sparse);
    config.durability = crate::Durability::IntervalMs(100);
    config
}

/// A row with everything.
pub(super) fn some_row() -> PointRow {
    let reference = |name: &str| VectorRef {
        name: name.into(),
        index: 300,
        ordinal: 1,
    };
    PointRow {
        version: 300,
        payload: br#"{"a":[1,null,{"b":"x"}]}"#.to_vec(),
        vectors: vec![reference(""), reference("text")],
        media: vec![MediaRef::new(MediaKind::Image, "image/png".into(), 300, 2)],
        expires_at_ms: Some(70_000),
    }
}

/// Every kind of operation.
pub(super) fn some_operations() -> Vec<LogOperation> {
    let (collection, id) = (2, PointId::Num(9).encode());
    let upsert = LogOperation::Upsert {
        collection,
        id: PointId::Str("x".into()).encode(),
        row: Arc::new(some_row()),
    };
    let filter =
        crate::filter::Filter::one(crate::filter::Condition::HasId([PointId::Num(9)].into()));
    let filter = serde_json::to_vec(&filter).unwrap();
    let conditions = [
        ConditionRecord::Version(300),
        ConditionRecord::Present,
        ConditionRecord::AbsentOrMatches(filter.clone()),
        ConditionRecord::Matches(filter),
    ];
    let upserts = conditions.map(|condition| LogOperation::UpsertIf {
        collection,
        id: id.clone(),
        row: Arc::default(),
        condition: Box::new(condition),
    });
    let request = LogOperation::Request {
        id: "uuid/17".into(),
        digest: u128::MAX - 1,
        operations: 7,
    };
    let others = [
        LogOperation::Delete {
            collection,
            id: id.clone(),
        },
        LogOperation::Expire { collection, id },
    ];
    [request, upsert]
        .into_iter()
        .chain(upserts)
        .chain(others)
        .collect()
}

pub(super) fn record_seeds() -> Vec<Vec<u8>> {
    let garbage = Garbage {
        media: true,
        index: 5,
        ordinal: 6,
    };
    let records = [
        codec::encode(&u64::MAX),
        codec::encode(&1u32),
        codec::encode(&LogEntry::new(1, 2, some_operations())),
        codec::encode(&PartitionState {
            applied: 7,
            purged: 3,
        }),
        codec::encode(&GarbageList {
            values: vec![(1, garbage)],
        }),
        codec::encode(&RequestRecord {
            index: 1,
            timestamp_ms: 2,
            digest: 3,
            refused: vec![(4, 5)],
        }),
        codec::encode(&RequestList {
            timestamp_ms: 1,
            ids: vec![b"uuid".to_vec()],
        }),
        codec::encode(&ChangeRecord {
            ids: vec![(PointId::Num(1).encode(), true)],
        }),
        codec::encode(&some_row()),
        codec::encode(&CollectionRecord {
            id: 3,
            config_json: serde_json::to_vec(&some_settings()).unwrap(),
        }),
    ];
    // The last shares a number with the change record.
    let numbers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 7];
    let tagged = numbers.into_iter().zip(records);
    tagged
        .map(|(number, record)| [&[number][..], &record].concat())
        .collect()
}

/// The bytes of a stored vector.
pub fn vector(bytes: &[u8]) {
    let Ok(vector) = decode_vector(bytes) else {
        return;
    };
    let written = encode_vector(&vector);
    // Not compared as numbers: stored bits may be those of no number, which differs from itself.
    let again = encode_vector(&decode_vector(&written).unwrap());
    assert_eq!(again, written);
    if let Vector::Sparse(sparse) = vector {
        assert!(sparse.indices().array_windows().all(|[a, b]| a < b));
        assert!(sparse.values().iter().all(|value| value.is_finite()));
    }
}

pub(super) fn vector_seeds() -> Vec<Vec<u8>> {
    let sparse = SparseVector::new(vec![3, 70_000], vec![0.5, -2.0]).unwrap();
    vec![
        encode_vector(&Vector::Dense(vec![1.0, -2.5, 0.0])),
        encode_vector(&Vector::Sparse(sparse)),
    ]
}

/// Point ids, and the keys that are read back.
pub fn key(bytes: &[u8]) {
    if let Ok(id) = PointId::decode(bytes) {
        assert_eq!(id.encode(), bytes);
    }
    if let Ok((time, id)) = key::read_expiry(bytes) {
        let written = key::expiry(Partition(0), CollectionId(0), time, &id);
        // Partition, kind and collection were known before.
        assert_eq!(written[7..], bytes[7..]);
    }
    if let Ok(index) = key::last_index(bytes) {
        assert_eq!(index.to_be_bytes()[..], bytes[bytes.len() - 8..]);
    }
    if let Some(end) = key::successor(bytes) {
        assert!(end.as_slice() > bytes && !end.starts_with(bytes));
    }
}

pub(super) fn key_seeds() -> Vec<Vec<u8>> {
    let ids = [
        PointId::Num(7),
        PointId::Uuid(9),
        PointId::Str("Äpfel/🍏".into()),
    ];
    let keys = ids
        .iter()
        .map(|id| key::expiry(Partition(1), CollectionId(2), 70_000, id));
    let mut seeds: Vec<Vec<u8>> = keys.collect();
    seeds.extend(ids.iter().map(PointId::encode));
    seeds.push(key::log(Partition(7), 99));
    seeds
}
