//! What the log promises, each rule by its name in the design: S (storage) and I (invariants).

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::condition::Precondition;
use crate::config::{Durability, VectorConfig};
use crate::error::{Error, ErrorKind};
use crate::log::{Entry, Operation, Outcome, Share};
use crate::point::{Media, MediaKind, Payload, Point, PointId, Vector};
use crate::request::RequestTag;
use crate::storage::codec;
use crate::storage::record::{GarbageList, LogEntry, LogOperation, PartitionState, PointRow};

mod damage;

const PARTITION: Partition = Partition(3);

fn open(dir: &Path) -> Engine {
    Engine::open(dir, EngineOptions::default()).unwrap()
}

fn config() -> CollectionConfig {
    let mut config = CollectionConfig::default();
    let vector = VectorConfig::new(1, index::Metric::L2);
    config.vectors.insert(String::new(), vector);
    config
}

fn create(engine: &Engine, name: &str) -> CollectionId {
    engine.create_collection(name, config()).unwrap().id()
}

fn point(id: u64, value: f32) -> Point {
    Point {
        id: PointId::Num(id),
        vectors: [(String::new(), Vector::Dense(vec![value]))].into(),
        payload: Payload::new(),
        media: vec![Media {
            kind: MediaKind::Text,
            content_type: "text/plain".into(),
            bytes: b"source"[..].into(),
        }],
        expires_at_ms: None,
    }
}

fn upsert(collection: CollectionId, id: u64, value: f32) -> Operation {
    let point = point(id, value).into();
    Operation::Upsert { collection, point }
}

fn delete(collection: CollectionId, id: u64) -> Operation {
    let id = PointId::Num(id);
    Operation::Delete { collection, id }
}

fn share(operations: Vec<Operation>) -> Share {
    Share {
        partition: PARTITION,
        operations,
    }
}

fn rows(engine: &Engine, name: &str) -> Vec<(PointId, Vec<f32>)> {
    let mut rows = engine.collection(name).unwrap().vector_rows("").unwrap();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

/// Waits until the segment files of a collection hold everything that was applied.
fn rest(engine: &Engine, name: &str) {
    rest_up_to(engine, name, state(engine).applied);
}

/// As [`rest`], of what was applied up to an entry.
fn rest_up_to(engine: &Engine, name: &str, index: u64) {
    let since = std::time::Instant::now();
    while engine.collection(name).unwrap().covered(PARTITION) < index {
        assert!(since.elapsed().as_secs() < 60, "{name} was not sealed");
        std::thread::yield_now();
    }
}

fn keys(engine: &Engine, family: Family) -> BTreeSet<Vec<u8>> {
    let mut keys = BTreeSet::new();
    for partition in Partition::all() {
        let prefix = key::log_prefix(partition);
        let visit = |key: &[u8], _: &[u8]| {
            keys.insert(key.to_vec());
            Ok(Visit::Next)
        };
        engine.store.scan(family, &prefix, &[], visit).unwrap();
    }
    keys
}

fn state(engine: &Engine) -> PartitionState {
    let key = key::state_applied(PARTITION);
    let bytes = engine.store.get(Family::State, &key).unwrap().unwrap();
    codec::decode(&bytes, "state").unwrap()
}

/// I10 and its converse: every reference of a row or of a log entry that is not purged has its value, and every value has a row or a garbage
/// list that will remove it. Values of collections that are gone are no longer referred to.
fn check_values(engine: &Engine) {
    let existing: BTreeSet<CollectionId> = engine.collection_ids();
    let mut owned = BTreeSet::new();
    let mut listed = BTreeSet::new();
    let mut note = |collection: CollectionId, value: crate::storage::record::Garbage| {
        let key = key::value(PARTITION, collection, value.index, value.ordinal);
        if existing.contains(&collection) {
            owned.insert((value.media, key));
        } else {
            listed.insert((value.media, key));
        }
    };
    for id in &existing {
        let prefix = key::collection_prefix(PARTITION, *id);
        let visit = |_: &[u8], value: &[u8]| {
            let row: PointRow = codec::decode(value, "row")?;
            row.owned().for_each(|value| note(*id, value));
            Ok(Visit::Next)
        };
        engine
            .store
            .scan(Family::Points, &prefix, &[], visit)
            .unwrap();
    }
    let visit = |_: &[u8], value: &[u8]| {
        let list: GarbageList = codec::decode(value, "garbage")?;
        for (collection, value) in list.values {
            note(CollectionId(collection), value);
        }
        Ok(Visit::Next)
    };
    let prefix = key::garbage_prefix(PARTITION);
    engine
        .store
        .scan(Family::State, &prefix, &[], visit)
        .unwrap();
    let stored: BTreeSet<(bool, Vec<u8>)> = keys(engine, Family::Vectors)
        .into_iter()
        .map(|key| (false, key))
        .chain(
            keys(engine, Family::Media)
                .into_iter()
                .map(|key| (true, key)),
        )
        .collect();
    let (gone, living): (BTreeSet<_>, BTreeSet<_>) = stored
        .iter()
        .cloned()
        .partition(|value| listed.contains(value));
    assert_eq!(living, owned);
    assert!(gone.is_subset(&listed));
    let prefix = key::log_prefix(PARTITION);
    let visit = |_: &[u8], value: &[u8]| {
        let entry: LogEntry = codec::decode(value, "entry")?;
        entry.verify()?;
        for operation in entry.operations {
            if let LogOperation::Upsert {
                collection, row, ..
            } = operation
                && existing.contains(&CollectionId(collection))
            {
                for value in row.owned() {
                    let key = key::value(
                        PARTITION,
                        CollectionId(collection),
                        value.index,
                        value.ordinal,
                    );
                    assert!(stored.contains(&(value.media, key)), "{value:?} is gone");
                }
            }
        }
        Ok(Visit::Next)
    };
    engine.store.scan(Family::Log, &prefix, &[], visit).unwrap();
}

/// S1: what `append` returned is in the log with its values, and nothing of it is in the rows yet. S2, S3, I3: the next start applies it once,
/// together with the applied position; a start after that finds nothing to do.
#[test]
fn s1_s2_s3_i3_an_entry_that_was_durable_is_applied_at_the_next_start_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let id = create(&engine, "c");
    engine
        .apply(
            engine
                .append(vec![share(vec![upsert(id, 1, 1.0), upsert(id, 2, 1.0)])])
                .unwrap(),
        )
        .unwrap();
    let entries = engine
        .append(vec![
            share(vec![upsert(id, 1, 2.0), upsert(id, 1, 3.0)]),
            share(vec![delete(id, 2), upsert(id, 4, 4.0)]),
        ])
        .unwrap();
    assert_eq!(entries.iter().map(Entry::index).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(state(&engine).applied, 1);
    assert_eq!(keys(&engine, Family::Log).len(), 3);
    assert_eq!(keys(&engine, Family::Vectors).len(), 5);
    drop(engine);

    let mut garbage = None;
    for _ in 0..2 {
        let engine = open(dir.path());
        let expected = [(PointId::Num(1), vec![3.0]), (PointId::Num(4), vec![4.0])];
        assert_eq!(rows(&engine, "c"), expected);
        assert_eq!(state(&engine).applied, 3);
        check_values(&engine);
        let now = keys(&engine, Family::State);
        assert_eq!(*garbage.get_or_insert_with(|| now.clone()), now);
    }
}

/// I5: equal logs make equal rows. Two engines that apply the same log decide its conditions alike; one of them applies it after a restart, all at once.
#[test]
fn i5_a_condition_is_decided_by_the_log_alone() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let decided = folders.each_ref().map(|dir| {
        let at_once = std::ptr::eq(dir, &raw const folders[0]);
        let mut engine = open(dir.path());
        let id = create(&engine, "c");
        let write = |point, value, condition| match upsert(id, point, value) {
            Operation::Upsert { collection, point } => Operation::UpsertIf {
                collection,
                point,
                condition,
            },
            other => panic!("{other:?} is no upsert"),
        };
        let shares = [
            vec![upsert(id, 1, 1.0)],
            vec![
                write(1, 2.0, Precondition::Version(1)),
                write(1, 3.0, Precondition::Version(1)),
                write(2, 4.0, Precondition::Present),
            ],
            vec![
                delete(id, 1),
                write(1, 5.0, Precondition::Version(2)),
                write(1, 6.0, Precondition::Version(0)),
                write(1, 7.0, Precondition::Present),
            ],
        ];
        let mut outcomes = Vec::new();
        for operations in shares {
            let entries = engine.append(vec![share(operations)]).unwrap();
            if at_once {
                outcomes.extend(engine.apply(entries).unwrap());
            }
        }
        if at_once {
            let refused = |version| Outcome::Refused { version };
            let done = Outcome::Done;
            let expected = [
                vec![done],
                vec![done, refused(2), refused(0)],
                vec![done, refused(0), done, done],
            ];
            assert_eq!(outcomes, expected);
        }
        drop(engine);
        engine = open(dir.path());
        check_values(&engine);
        let state = keys(&engine, Family::State);
        (rows(&engine, "c"), state, keys(&engine, Family::Points))
    });
    assert_eq!(decided[0], decided[1]);
    assert_eq!(decided[0].0, [(PointId::Num(1), vec![7.0])]);
}

/// I11: what is forgotten follows from the log. A repetition whose first was durable but not applied finds it when both are replayed; the table forgets with the log.
#[test]
fn i11_a_repeated_request_is_applied_once_in_a_replay() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let id = create(&engine, "c");
    let tagged = |name: &str, value| {
        let tag = RequestTag::new(name, 7).unwrap();
        let request = Operation::Request { tag, operations: 1 };
        vec![share(vec![
            request,
            upsert(id, 1, value),
            upsert(id, 2, value),
        ])]
    };
    let _unapplied = [
        engine.append(tagged("a", 1.0)).unwrap(),
        engine.append(tagged("b", 2.0)).unwrap(),
        engine.append(tagged("a", 3.0)).unwrap(),
    ];
    drop(engine);
    let engine = open(dir.path());
    let expected = [(PointId::Num(1), vec![2.0]), (PointId::Num(2), vec![3.0])];
    assert_eq!(rows(&engine, "c"), expected);
    check_values(&engine);
    let notes = |engine: &Engine| {
        let keys = keys(engine, Family::State);
        [3, 4].map(|kind| keys.iter().filter(|key| key[2] == kind).count())
    };
    assert_eq!(notes(&engine), [2, 2]);
    let mut batch = engine.store.batch();
    let purge = |batch: &mut _, index| {
        crate::request::put_purge(&engine.store, batch, PARTITION, index, 0).unwrap();
    };
    purge(&mut batch, crate::REQUEST_MEMORY_ENTRIES + 1);
    engine.store.write(batch).unwrap();
    assert_eq!(notes(&engine), [1, 1], "the first is forgotten");
    let outcomes = engine
        .apply(engine.append(tagged("b", 4.0)).unwrap())
        .unwrap();
    assert_eq!(outcomes, [[Outcome::Done; 3]]);
    let expected = [(PointId::Num(1), vec![2.0]), (PointId::Num(2), vec![4.0])];
    assert_eq!(rows(&engine, "c"), expected);
}

/// S5: a purge removes headers, not the values of living rows. S6: a superseded value goes with the entry that superseded it, not before.
/// The change records go with their entries.
#[test]
fn s5_s6_i10_a_purge_removes_headers_and_what_they_superseded_only() {
    const WRITES: usize = crate::log::KEPT_ENTRIES as usize;
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let id = create(&engine, "c");
    let resting = create(&engine, "resting");
    let write = |shares| engine.apply(engine.append(shares).unwrap()).unwrap();
    write(vec![share(vec![upsert(resting, 7, 7.0)])]);
    let many = (2..WRITES).map(|n| share(vec![upsert(id, 1, n as f32)]));
    write(many.collect());
    assert_eq!(state(&engine).purged, 0);
    assert_eq!(keys(&engine, Family::Log).len(), WRITES - 1);
    assert_eq!(keys(&engine, Family::Vectors).len(), WRITES - 1);
    check_values(&engine);
    rest(&engine, "c");
    rest_up_to(&engine, "resting", 1);

    write(vec![share(vec![upsert(id, 1, 9999.0)])]);
    let PartitionState { applied, purged } = state(&engine);
    assert_eq!((applied, purged), (WRITES as u64, WRITES as u64 / 2));
    assert_eq!(keys(&engine, Family::Log).len(), WRITES / 2);
    assert_eq!(keys(&engine, Family::Changes).len(), WRITES / 2);
    // The living one of each collection, and what the entries that are left superseded.
    assert_eq!(keys(&engine, Family::Vectors).len(), WRITES / 2 + 2);
    check_values(&engine);
    drop(engine);

    let engine = open(dir.path());
    assert_eq!(rows(&engine, "c"), [(PointId::Num(1), vec![9999.0])]);
    assert_eq!(rows(&engine, "resting"), [(PointId::Num(7), vec![7.0])]);
}

/// S6, I10: the values of an entry stay as long as it does, though its collection was deleted before its turn came.
#[test]
fn s6_values_of_a_collection_that_is_gone_go_with_their_entry() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let id = create(&engine, "c");
    let entries = engine
        .append(vec![share(vec![upsert(id, 1, 1.0)])])
        .unwrap();
    engine.drop_collection("c").unwrap();
    // As a replica has it that takes the entry after the collection went.
    let mut batch = engine.store.batch();
    batch.put(Family::Vectors, &key::value(PARTITION, id, 1, 0), b"value");
    engine.store.write(batch).unwrap();
    assert_eq!(engine.apply(entries).unwrap(), [[Outcome::Gone]]);
    assert_eq!(keys(&engine, Family::Vectors).len(), 1);
    check_values(&engine);
    let other = create(&engine, "other");
    let many = (0..2048).map(|n| share(vec![delete(other, n)]));
    engine
        .apply(engine.append(many.collect()).unwrap())
        .unwrap();
    assert!(state(&engine).purged > 1);
    assert!(keys(&engine, Family::Vectors).is_empty());
}

/// Few entries with large payloads, and the values that they supersede, do not stay because they are few.
#[test]
fn a_log_is_purged_by_its_bytes_too() {
    const PAYLOAD_BYTES: usize = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let write = |engine: &Engine, id, count: usize| {
        for _ in 0..count {
            let mut large = point(1, 1.0);
            let text = json!("x".repeat(PAYLOAD_BYTES));
            large.payload.insert("text".into(), text);
            let operation = Operation::Upsert {
                collection: id,
                point: large.into(),
            };
            let entries = engine.append(vec![share(vec![operation])]).unwrap();
            engine.apply(entries).unwrap();
        }
    };
    let engine = open(dir.path());
    let id = create(&engine, "c");
    write(&engine, id, 15);
    assert_eq!(state(&engine).purged, 0);
    write(&engine, id, 1);
    let PartitionState { applied, purged } = state(&engine);
    assert_eq!((applied, purged), (16, 9), "half of the bytes are left");
    check_values(&engine);
    drop(engine);
    // What was there before counts, as far as its size is known.
    let engine = open(dir.path());
    write(&engine, id, 60);
    let PartitionState { applied, purged } = state(&engine);
    assert_eq!(applied, 76);
    assert!(applied - purged <= 16, "{purged}");
    check_values(&engine);
    assert_eq!(rows(&engine, "c").len(), 1);
}

/// A delete that names a version, as one by filter does, takes effect only on what was found.
#[test]
fn a_conditional_delete_leaves_what_was_changed_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let id = create(&engine, "c");
    let delete_if = |point, version| Operation::DeleteIf {
        collection: id,
        id: PointId::Num(point),
        condition: Precondition::Version(version),
    };
    let write = |operations| {
        let entries = engine.append(vec![share(operations)]).unwrap();
        engine.apply(entries).unwrap()
    };
    write(vec![upsert(id, 1, 1.0), upsert(id, 2, 1.0)]);
    write(vec![upsert(id, 2, 2.0)]);
    let refused = |version| Outcome::Refused { version };
    let outcomes = write(vec![delete_if(1, 1), delete_if(2, 1), delete_if(3, 1)]);
    assert_eq!(outcomes, [[Outcome::Done, refused(2), refused(0)]]);
    // Once more after a restart, from the log.
    let _ = engine
        .append(vec![share(vec![
            delete_if(2, 1),
            delete_if(2, 2),
            upsert(id, 4, 4.0),
        ])])
        .unwrap();
    drop(engine);
    let engine = open(dir.path());
    assert_eq!(rows(&engine, "c"), [(PointId::Num(4), vec![4.0])]);
    check_values(&engine);
}

/// The time of the entry decides, not that of the machine which applies it; and only a point that is there as it was.
#[test]
fn an_expiry_takes_effect_by_the_time_of_its_entry() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(std::sync::atomic::AtomicU64::new(100));
    let now = clock.clone();
    let env = Env::new(move || now.load(Ordering::Relaxed), 1);
    let engine = Engine::open(
        dir.path(),
        EngineOptions {
            env: env.clone(),
            ..EngineOptions::default()
        },
    )
    .unwrap();
    let id = create(&engine, "c");
    let ending = |point, at| {
        let mut operation = upsert(id, point, 0.0);
        if let Operation::Upsert { point, .. } = &mut operation {
            point.expires_at_ms = at;
        }
        operation
    };
    let expire = |point| {
        let (collection, id) = (id, PointId::Num(point));
        Operation::Expire { collection, id }
    };
    let points = vec![ending(1, Some(100)), ending(2, Some(101)), ending(3, None)];
    engine
        .apply(engine.append(vec![share(points)]).unwrap())
        .unwrap();
    let expires: Vec<Operation> = (1..5).map(expire).collect();
    let entries = engine.append(vec![share(expires)]).unwrap();
    // The first is written again, to stay, by an entry that is applied with the others after a restart.
    let again = engine
        .append(vec![share(vec![ending(1, None), expire(1)])])
        .unwrap();
    clock.store(1000, Ordering::Relaxed);
    drop((entries, again, engine));
    let engine = Engine::open(
        dir.path(),
        EngineOptions {
            env,
            ..EngineOptions::default()
        },
    )
    .unwrap();
    let row = |point| {
        let row = crate::apply::read_row(&engine.store, PARTITION, id, &PointId::Num(point));
        row.unwrap().map(|row| row.version)
    };
    assert_eq!([1, 2, 3, 4].map(row), [Some(3), Some(1), Some(1), None]);
    check_values(&engine);
    let ends = |engine: &Engine| {
        let keys = keys(engine, Family::State);
        keys.into_iter().filter(|key| key[2] == 2).count()
    };
    assert_eq!(ends(&engine), 1);
    assert_eq!(rows(&engine, "c").len(), 2, "the second is hidden");
    engine.drop_collection("c").unwrap();
    assert_eq!(ends(&engine), 0);
}

/// Acknowledged is one thing and durable another; a write to a collection that waits takes along what came before. Only what is durable is noted.
#[test]
fn an_interval_puts_durability_off_and_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let with = |name: &str, durability| {
        let config = CollectionConfig {
            durability,
            ..config()
        };
        engine.create_collection(name, config).unwrap().id()
    };
    let slow = with("slow", Durability::IntervalMs(60_000));
    let quick = with("quick", Durability::IntervalMs(20));
    let waits = with("waits", Durability::Sync);
    let write = |operations| {
        let entries = engine.append(vec![share(operations)]).unwrap();
        let logged = engine.sequence();
        engine.apply(entries).unwrap();
        logged
    };
    let before = engine.store.durable();
    let logged = write(vec![upsert(slow, 1, 1.0)]);
    assert!(logged > before);
    assert_eq!(engine.store.durable(), before);
    let both = write(vec![upsert(slow, 2, 1.0), upsert(waits, 2, 1.0)]);
    assert_eq!(engine.store.durable(), both);
    let logged = write(vec![upsert(slow, 3, 1.0), upsert(quick, 3, 1.0)]);
    assert!(logged > both);
    let since = std::time::Instant::now();
    while engine.store.durable() < logged {
        assert!(since.elapsed().as_secs() < 30, "it is never synced");
        std::thread::yield_now();
    }
    let change = |config: &mut CollectionConfig| config.durability = Durability::Sync;
    engine.update_collection("slow", change).unwrap();
    let logged = write(vec![delete(slow, 1)]);
    assert_eq!(engine.store.durable(), logged);
    drop(engine);

    let engine = open(dir.path());
    let quick = engine.collection("quick").unwrap();
    assert_eq!(quick.config().durability, Durability::IntervalMs(20));
    assert!(engine.intervals.read().contains_key(&quick.id()));
    let error = engine.update_collection("quick", |config| {
        config.durability = Durability::IntervalMs(0);
    });
    assert!(error.unwrap_err().to_string().contains("interval_ms 0"));
    engine.drop_collection("quick").unwrap();
    assert!(engine.intervals.read().is_empty());
}

/// Change records that no manifest covers are kept by a purge, for a start needs them; and a manifest from before a purge is noticed.
#[test]
fn a_purge_keeps_the_changes_that_the_segments_do_not_hold() {
    const WRITES: u64 = 3000;
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let id = create(&engine, "c");
    let write = |first: u64, last: u64| {
        let shares = (first..last).map(|n| share(vec![upsert(id, n % 9, n as f32)]));
        engine
            .apply(engine.append(shares.collect()).unwrap())
            .unwrap();
    };
    write(0, 10);
    rest(&engine, "c");
    let segments = dir.path().join("segments/1");
    let files = |folder: &Path| -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect()
    };
    let old = files(&segments);
    // In one batch, so that nothing is sealed in between.
    write(10, WRITES);
    assert_eq!(state(&engine).purged, WRITES - crate::log::KEPT_ENTRIES / 2);
    let held = keys(&engine, Family::Changes).len() as u64;
    assert_eq!(held, WRITES - 10, "only what the manifest covers is purged");
    rest(&engine, "c");
    write(WRITES, WRITES + 1024);
    assert_eq!(keys(&engine, Family::Changes).len(), 1024);
    let expected = rows(&engine, "c");
    drop(engine);

    std::fs::remove_dir_all(&segments).unwrap();
    std::fs::create_dir(&segments).unwrap();
    for (path, bytes) in old {
        std::fs::write(path, bytes).unwrap();
    }
    let engine = open(dir.path());
    assert_eq!(rows(&engine, "c"), expected);
    assert_eq!(engine.check(), Vec::<String>::new());
}

#[test]
fn a_damaged_row_does_not_keep_the_log_from_being_applied() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let id = create(&engine, "c");
    let mut batch = engine.store.batch();
    let key = key::point(PARTITION, id, &PointId::Num(1));
    batch.put(Family::Points, &key, b"no row");
    engine.store.write_synced(batch).unwrap();
    engine
        .apply(
            engine
                .append(vec![share(vec![upsert(id, 1, 1.0)])])
                .unwrap(),
        )
        .unwrap();
    drop(engine);
    let engine = open(dir.path());
    assert_eq!(rows(&engine, "c"), [(PointId::Num(1), vec![1.0])]);
}

/// I13: refused means not written, and the partition goes on with the same index.
#[test]
fn i13_an_entry_too_large_to_be_read_back_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let id = create(&engine, "c");
    let mut large = point(1, 1.0);
    let text = json!("x".repeat(codec::ENTRY_BYTES_MAX));
    large.payload.insert("text".into(), text);
    let large = Operation::Upsert {
        collection: id,
        point: large.into(),
    };
    let error = engine.append(vec![share(vec![large])]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(keys(&engine, Family::Vectors).is_empty());
    let entries = engine
        .append(vec![share(vec![upsert(id, 2, 2.0)])])
        .unwrap();
    assert_eq!(entries[0].index(), 1);
    engine.apply(entries).unwrap();
    assert_eq!(rows(&engine, "c"), [(PointId::Num(2), vec![2.0])]);
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u64, bool)>),
    /// As a crash between the two would leave it.
    AppendAndReopen(Vec<(u64, bool)>),
    /// The collection goes, and comes again, between append and apply.
    RecreateBetween(Vec<(u64, bool)>),
    Recreate,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let operations = || proptest::collection::vec((0u64..6, any::<bool>()), 1..6);
    let step = prop_oneof![
        5 => operations().prop_map(Step::Write),
        2 => operations().prop_map(Step::AppendAndReopen),
        1 => operations().prop_map(Step::RecreateBetween),
        1 => Just(Step::Recreate),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// I10 over crashes between append and apply, and over collections that are deleted and made again.
    #[test]
    fn i10_every_value_has_an_owner_and_every_owner_its_value(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = open(dir.path());
        let mut id = create(&engine, "c");
        let mut expected: BTreeMap<u64, f32> = BTreeMap::new();
        for (at, step) in steps.into_iter().enumerate() {
            let value = at as f32;
            let entries = |engine: &Engine, operations: &[(u64, bool)]| {
                let operations = operations.iter().map(|&(point, write)| {
                    if write { upsert(id, point, value) } else { delete(id, point) }
                });
                engine.append(vec![share(operations.collect())]).unwrap()
            };
            match &step {
                Step::Write(operations) => {
                    engine.apply(entries(&engine, operations)).unwrap();
                }
                Step::AppendAndReopen(operations) => {
                    let _ = entries(&engine, operations);
                    drop(engine);
                    engine = open(dir.path());
                }
                Step::RecreateBetween(operations) => {
                    let entries = entries(&engine, operations);
                    engine.drop_collection("c").unwrap();
                    id = create(&engine, "c");
                    engine.apply(entries).unwrap();
                }
                Step::Recreate => {
                    engine.drop_collection("c").unwrap();
                    id = create(&engine, "c");
                }
                Step::Reopen => {
                    drop(engine);
                    engine = open(dir.path());
                }
            }
            match step {
                Step::Write(operations) | Step::AppendAndReopen(operations) => {
                    for (point, write) in operations {
                        if write { expected.insert(point, value); } else { expected.remove(&point); }
                    }
                }
                Step::RecreateBetween(_) | Step::Recreate => expected.clear(),
                Step::Reopen => {}
            }
            check_values(&engine);
            let held = rows(&engine, "c").into_iter().map(|(id, values)| match id {
                PointId::Num(id) => (id, values[0]),
                other => panic!("{other} is no number"),
            });
            prop_assert_eq!(held.collect::<BTreeMap<_, _>>(), expected.clone());
        }
    }
}
