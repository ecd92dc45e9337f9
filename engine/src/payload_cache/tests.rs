//! What is cached, and that nobody is told what a point no longer holds.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use index::Metric;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::VectorConfig;
use crate::log::{Operation, Share};
use crate::point::{Point, Vector};
use crate::query::{Query, QueryKind, QueryVector, Selection, VectorSelection};
use crate::{Collection, CollectionConfig, Engine, EngineOptions, Env};

fn owner(collection: u32, id: &PointId) -> Owner<'_> {
    Owner {
        collection: CollectionId(collection),
        partition: Partition(1),
        id,
    }
}

fn payload(text: &str, serial: u64) -> Payload {
    let fields = [("text", json!(text)), ("serial", json!(serial))];
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn held(version: u64, text: &str) -> Held {
    Held {
        version,
        expires_at_ms: None,
        payload: Arc::new(payload(text, version)),
    }
}

#[test]
fn only_the_version_that_is_asked_for_is_given() {
    let cache = PayloadCache::new(1 << 20);
    let id = PointId::Str("a".into());
    let point = owner(1, &id);
    assert!(cache.get(point, 1).is_none());
    cache.put(point, held(1, "old"), || false);
    assert_eq!(cache.get(point, 1).unwrap().payload["text"], "old");
    assert!(cache.get(point, 2).is_none());
    cache.put(point, held(2, "new"), || false);
    assert_eq!(cache.get(point, 2).unwrap().payload["text"], "new");
    assert!(cache.get(point, 1).is_none());
    // Another collection's, another partition's or another point's is another payload.
    let other = PointId::Str("b".into());
    let elsewhere = Owner {
        partition: Partition(2),
        ..point
    };
    for stranger in [owner(2, &id), owner(1, &other), elsewhere] {
        assert!(cache.get(stranger, 2).is_none(), "{stranger:?}");
    }
    // One of a collection that is gone is not kept.
    cache.put(point, held(3, "late"), || true);
    assert!(cache.get(point, 3).is_none());
}

#[test]
fn it_holds_no_more_than_its_share() {
    let share = 2 << 20;
    let cache = PayloadCache::new(share);
    for n in 0..20_000 {
        cache.put(owner(1, &PointId::Num(n)), held(n, "some text"), || false);
    }
    assert!(cache.bytes() <= share, "{}", cache.bytes());
    assert!(cache.bytes() > share / 2, "{}", cache.bytes());
    // One that is larger than the share is not kept.
    let id = PointId::Num(7);
    cache.put(owner(2, &id), held(1, &"x".repeat(3 << 20)), || false);
    assert!(cache.get(owner(2, &id), 1).is_none());
    assert!(cache.bytes() <= share, "{}", cache.bytes());
}

#[test]
fn a_collection_is_forgotten_and_the_others_stay() {
    let cache = PayloadCache::new(1 << 20);
    let id = PointId::Num(1);
    cache.put(owner(1, &id), held(1, "gone"), || false);
    cache.put(owner(2, &id), held(1, "stays"), || false);
    let both = cache.bytes();
    cache.forget(CollectionId(1));
    assert!(cache.get(owner(1, &id), 1).is_none());
    let other = cache.get(owner(2, &id), 1).unwrap();
    assert_eq!(other.payload["text"], "stays");
    assert!(cache.bytes() < both && cache.bytes() > 0);
    cache.forget(CollectionId(2));
    assert_eq!(cache.bytes(), 0);
}

/// An engine that seals and merges all the time, and whose clock is set by hand.
fn open(dir: &Path, clock: &Arc<AtomicU64>) -> Engine {
    let clock = clock.clone();
    let env = Env::new(move || clock.load(Ordering::Relaxed), 1).with_seal_rows(4);
    let options = EngineOptions {
        env,
        ..EngineOptions::default()
    };
    Engine::open(dir, options).unwrap()
}

fn create(engine: &Engine, name: &str) -> Arc<Collection> {
    let mut config = CollectionConfig::default();
    let vector = VectorConfig::new(1, Metric::L2);
    config.vectors.insert(String::new(), vector);
    engine.create_collection(name, config).unwrap()
}

fn put(collection: &Collection, id: u64, serial: u64, expires_at_ms: Option<u64>) -> Operation {
    Operation::Upsert {
        collection: collection.id(),
        point: Point {
            id: PointId::Num(id),
            vectors: [(String::new(), Vector::Dense(vec![id as f32]))].into(),
            payload: payload("of a point", serial),
            media: Vec::new(),
            expires_at_ms,
        },
    }
}

fn delete(collection: &Collection, id: u64) -> Operation {
    Operation::Delete {
        collection: collection.id(),
        id: PointId::Num(id),
    }
}

fn write(engine: &Engine, operations: Vec<Operation>) {
    let share = Share {
        partition: Partition(5),
        operations,
    };
    engine.apply(engine.append(vec![share]).unwrap()).unwrap();
}

fn serial_of(payload: Option<Arc<Payload>>) -> u64 {
    payload.unwrap()["serial"].as_u64().unwrap()
}

/// Ids and serials as a search tells them, and as a point read of the first few ids does: each list by id.
fn told(collection: &Collection) -> [Vec<(u64, u64)>; 2] {
    let number = |id: PointId| match id {
        PointId::Num(number) => number,
        other => panic!("{other} is no number"),
    };
    let query = Query {
        kind: QueryKind::Nearest(QueryVector::Dense(vec![2.0])),
        limit: 100,
        with_payload: Selection::All,
        ..Query::default()
    };
    let found = collection.query(&query).unwrap().points.into_iter();
    let ids: Vec<PointId> = (0..IDS).map(PointId::Num).collect();
    let read = collection.retrieve(&ids, &Selection::All, &VectorSelection::None);
    let read = read.unwrap().into_iter();
    let mut lists = [
        found
            .map(|point| (number(point.id), serial_of(point.payload)))
            .collect::<Vec<_>>(),
        read.map(|record| (number(record.id), serial_of(record.payload)))
            .collect(),
    ];
    lists.iter_mut().for_each(|list| list.sort_unstable());
    lists
}

const IDS: u64 = 12;

#[derive(Clone, Debug)]
enum Step {
    Put(u64),
    /// Twice in one entry, which makes one version.
    PutTwice(u64),
    PutEnding(u64, u64),
    Delete(u64),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || 0..IDS;
    let step = prop_oneof![
        4 => id().prop_map(Step::Put),
        1 => id().prop_map(Step::PutTwice),
        2 => (id(), 1u64..4).prop_map(|(id, after)| Step::PutEnding(id, after)),
        1 => id().prop_map(Step::Delete),
        2 => (1u64..3).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is written, deleted or ends, between any two reads: what is told is what a map holds.
    #[test]
    fn reads_tell_what_was_written_last(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicU64::new(1000));
        let engine = open(dir.path(), &clock);
        let collection = create(&engine, "c");
        let mut model = std::collections::BTreeMap::new();
        for (serial, step) in (1u64..).step_by(2).zip(steps) {
            let now = clock.load(Ordering::Relaxed);
            match step {
                Step::Put(id) => {
                    write(&engine, vec![put(&collection, id, serial, None)]);
                    model.insert(id, (serial, u64::MAX));
                }
                Step::PutTwice(id) => {
                    let twice = [serial, serial + 1];
                    write(&engine, twice.map(|serial| put(&collection, id, serial, None)).into());
                    model.insert(id, (serial + 1, u64::MAX));
                }
                Step::PutEnding(id, after) => {
                    write(&engine, vec![put(&collection, id, serial, Some(now + after))]);
                    model.insert(id, (serial, now + after));
                }
                Step::Delete(id) => {
                    write(&engine, vec![delete(&collection, id)]);
                    model.remove(&id);
                }
                Step::Wait(ms) => clock.store(now + ms, Ordering::Relaxed),
            }
            let now = clock.load(Ordering::Relaxed);
            model.retain(|_, (_, end)| *end > now);
            let wanted: Vec<(u64, u64)> = model.iter().map(|(id, (serial, _))| (*id, *serial)).collect();
            prop_assert_eq!(told(&collection), [wanted.clone(), wanted]);
        }
    }
}

/// A second read finds all of them: else the other tests prove nothing.
#[test]
fn what_was_read_is_read_from_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &Arc::default());
    let collection = create(&engine, "c");
    write(
        &engine,
        (0..IDS).map(|id| put(&collection, id, id, None)).collect(),
    );
    let first = told(&collection);
    assert!(collection.store.payloads().bytes() > 0);
    // Rows that the store no longer has are told all the same.
    let mut batch = collection.store.batch();
    let prefix = crate::storage::key::collection_prefix(Partition(5), collection.id());
    let end = crate::storage::key::successor(&prefix).unwrap();
    batch.delete_range(crate::storage::Family::Points, &prefix, &end);
    collection.store.write_synced(batch).unwrap();
    assert_eq!(told(&collection), first);
    assert_eq!(first[0].len(), IDS as usize);
}

#[test]
fn readers_are_never_told_less_than_was_acknowledged_before() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &Arc::default());
    let collection = create(&engine, "c");
    write(
        &engine,
        (0..IDS).map(|id| put(&collection, id, 0, None)).collect(),
    );
    let acknowledged = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let before = acknowledged.load(Ordering::SeqCst);
                    for list in told(&collection) {
                        assert_eq!(list.len(), IDS as usize);
                        for (id, serial) in list {
                            assert!(serial >= before, "point {id}: {serial} after {before}");
                        }
                    }
                }
            });
        }
        for serial in 1..400 {
            let all = (0..IDS).map(|id| put(&collection, id, serial, None));
            write(&engine, all.collect());
            acknowledged.store(serial, Ordering::SeqCst);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_deleted_collection_leaves_nothing_whoever_still_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &Arc::default());
    let collection = create(&engine, "c");
    let payloads = collection.store.payloads();
    let all = |serial| (0..IDS).map(move |id| (id, serial));
    let write_all = |collection: &Collection, serial| {
        let operations = all(serial).map(|(id, serial)| put(collection, id, serial, None));
        write(&engine, operations.collect());
    };
    write_all(&collection, 7);
    assert_eq!(told(&collection)[0], all(7).collect::<Vec<_>>());
    assert!(payloads.bytes() > 0);
    assert!(engine.drop_collection("c").unwrap());
    assert_eq!(payloads.bytes(), 0);
    // A reader that had read its row before comes too late.
    let id = PointId::Num(1);
    let late = Owner {
        collection: collection.id(),
        ..owner(0, &id)
    };
    payloads.put(late, held(1, "late"), || collection.is_gone());
    assert_eq!(payloads.bytes(), 0);
    // One of the same name has the same ids, and none of the old payloads.
    let again = create(&engine, "c");
    assert_eq!(told(&again), [vec![], vec![]]);
    write_all(&again, 8);
    assert_eq!(told(&again)[1], all(8).collect::<Vec<_>>());
}
