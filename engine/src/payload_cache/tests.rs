//! What is cached, and that nobody is told what a point no longer holds.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use index::Metric;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::VectorConfig;
use crate::log::{Operation, Share};
use crate::point::{Point, PointId, Vector};
use crate::query::{Query, QueryKind, QueryVector, Selection, VectorSelection};
use crate::{Collection, CollectionConfig, Engine, EngineOptions, Env, Partition};

fn row(collection: u32, uid: u64, offset: Offset) -> Row {
    Row {
        collection: CollectionId(collection),
        location: Location { uid, offset },
    }
}

fn payload(text: &str, serial: u64) -> Payload {
    let fields = [("text", json!(text)), ("serial", json!(serial))];
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn put(cache: &PayloadCache, row: Row, text: &str) {
    cache.put(row, &Arc::new(payload(text, 1)), || false);
}

fn text_of(cache: &PayloadCache, row: Row) -> Option<String> {
    let held = cache.get(std::iter::once(row)).pop().unwrap();
    held.map(|payload| payload["text"].as_str().unwrap().to_owned())
}

#[test]
fn only_the_row_that_is_asked_for_is_given() {
    let cache = PayloadCache::new(1 << 20);
    let one = row(1, 7, 3);
    assert_eq!(text_of(&cache, one), None);
    put(&cache, one, "one");
    assert_eq!(text_of(&cache, one).unwrap(), "one");
    // Another collection's, another segment's or another row's is another payload.
    for stranger in [row(2, 7, 3), row(1, 8, 3), row(1, 7, 4)] {
        assert_eq!(text_of(&cache, stranger), None, "{stranger:?}");
    }
    for n in 0..50 {
        put(&cache, row(1, 7, n), "one");
    }
    // So many that some of them belong in the sets of those that are here.
    for (other, n) in (2..40).flat_map(|other| (0..50).map(move |n| (other, n))) {
        assert_eq!(text_of(&cache, row(other, 7, n)), None, "{other} {n}");
        let segment = row(1, 7 + u64::from(other), n);
        assert_eq!(text_of(&cache, segment), None, "{other} {n}");
    }
    // One of a collection that is gone is not kept.
    let gone = row(1, 7, 50);
    cache.put(gone, &Arc::default(), || true);
    assert_eq!(cache.get([gone].into_iter()), [None]);
}

#[test]
fn many_rows_are_given_in_the_order_asked() {
    let cache = PayloadCache::new(64 << 20);
    let rows = (1..4).flat_map(|uid| (0..5000).map(move |offset| row(uid as u32 % 2, uid, offset)));
    let even = rows.clone().filter(|row| row.location.offset % 2 == 0);
    even.clone()
        .for_each(|row| put(&cache, row, &format!("{row:?}")));
    for row in rows.clone() {
        let wanted = (row.location.offset % 2 == 0).then(|| format!("{row:?}"));
        assert_eq!(text_of(&cache, row), wanted);
    }
    for (row, held) in rows.clone().zip(cache.get(rows)) {
        let text = held.map(|held| held["text"].clone());
        let wanted = (row.location.offset % 2 == 0).then(|| json!(format!("{row:?}")));
        assert_eq!(text, wanted);
    }
    // What it counts is what it holds.
    let held = cache.get(even);
    let bytes: u64 = held
        .iter()
        .map(|held| payload_bytes(held.as_ref().unwrap()))
        .sum();
    let table = cache.table.load();
    assert_eq!(table.payload_bytes.load(Ordering::Relaxed), bytes);
    assert_eq!(table.count.load(Ordering::Relaxed), held.len());
}

#[test]
fn copies_of_rows_have_their_payloads() {
    let cache = PayloadCache::new(1 << 20);
    for offset in 0..100 {
        put(&cache, row(1, 1, offset), &format!("row {offset}"));
    }
    let before = cache.bytes();
    let pairs = (0..50).map(|offset| (row(1, 1, offset), row(1, 2, 99 - offset)));
    cache.rename(pairs.chain([(row(1, 5, 5), row(1, 6, 6))]));
    for offset in 0..50 {
        assert_eq!(text_of(&cache, row(1, 1, offset)), None);
        let copy = text_of(&cache, row(1, 2, 99 - offset));
        assert_eq!(copy.unwrap(), format!("row {offset}"));
        assert!(text_of(&cache, row(1, 1, 50 + offset)).is_some());
    }
    assert_eq!(text_of(&cache, row(1, 6, 6)), None);
    assert_eq!(cache.bytes(), before);
}

#[test]
fn it_holds_no_more_than_its_share() {
    let share = 2 << 20;
    let cache = PayloadCache::new(share);
    for n in 0..20_000 {
        put(&cache, row(1, 1, n), "some text");
        assert!(cache.bytes() <= share, "{n}: {}", cache.bytes());
        // What is asked for all the time stays.
        assert!(text_of(&cache, row(1, 1, 0)).is_some(), "{n}");
    }
    assert!(cache.bytes() > share / 2, "{}", cache.bytes());
    // One that is larger than the share is not kept.
    put(&cache, row(2, 1, 7), &"x".repeat(3 << 20));
    assert_eq!(text_of(&cache, row(2, 1, 7)), None);
    assert!(cache.bytes() <= share, "{}", cache.bytes());
}

#[test]
fn a_collection_is_forgotten_and_the_others_stay() {
    let cache = PayloadCache::new(1 << 20);
    put(&cache, row(1, 1, 1), "gone");
    put(&cache, row(2, 1, 1), "stays");
    let both = cache.bytes();
    cache.forget(CollectionId(1));
    assert_eq!(text_of(&cache, row(1, 1, 1)), None);
    assert_eq!(text_of(&cache, row(2, 1, 1)).unwrap(), "stays");
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

fn upsert(collection: &Collection, id: u64, serial: u64, expires_at_ms: Option<u64>) -> Operation {
    Operation::Upsert {
        collection: collection.id(),
        point: Point {
            id: PointId::Num(id),
            vectors: [(String::new(), Vector::Dense(vec![id as f32]))].into(),
            payload: payload("of a point", serial),
            media: Vec::new(),
            expires_at_ms,
        }
        .into(),
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
                    write(&engine, vec![upsert(&collection, id, serial, None)]);
                    model.insert(id, (serial, u64::MAX));
                }
                Step::PutTwice(id) => {
                    let twice = [serial, serial + 1];
                    write(&engine, twice.map(|serial| upsert(&collection, id, serial, None)).into());
                    model.insert(id, (serial + 1, u64::MAX));
                }
                Step::PutEnding(id, after) => {
                    write(&engine, vec![upsert(&collection, id, serial, Some(now + after))]);
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

/// Removes what the store has of the points of a collection.
fn remove_rows(collection: &Collection) {
    let mut batch = collection.store.batch();
    let prefix = crate::storage::key::collection_prefix(Partition(5), collection.id());
    let end = crate::storage::key::successor(&prefix).unwrap();
    batch.delete_range(crate::storage::Family::Points, &prefix, &end);
    collection.store.write_synced(batch).unwrap();
}

#[test]
fn what_was_read_before_a_merge_is_read_from_the_cache_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        env: Env::new(|| 1000, 1),
        ..EngineOptions::default()
    };
    let engine = Engine::open(dir.path(), options).unwrap();
    let collection = create(&engine, "c");
    for ids in [0..IDS / 2, IDS / 2..IDS] {
        let rows = ids.map(|id| upsert(&collection, id, id, (id == 3).then_some(5000)));
        write(&engine, rows.collect());
        let all = told(&collection);
        collection.seal_now();
        assert_eq!(told(&collection), all);
    }
    let first = told(&collection);
    let bytes = collection.store.payloads().bytes();
    write(
        &engine,
        vec![
            delete(&collection, 0),
            delete(&collection, 1),
            delete(&collection, 2),
        ],
    );
    // More than a fifth of the rows is dead: they are written anew.
    collection.seal_now();
    assert!(collection.store.payloads().bytes() <= bytes);
    remove_rows(&collection);
    let living = first.map(|list| list[3..].to_vec());
    assert_eq!(told(&collection), living);
    let ids = [PointId::Num(3), PointId::Num(4)];
    let read = collection.retrieve(&ids, &Selection::All, &VectorSelection::None);
    let ends: Vec<_> = read
        .unwrap()
        .iter()
        .map(|record| record.expires_at_ms)
        .collect();
    assert_eq!(ends, [Some(5000), None]);
}

/// A second read finds all of them: else the other tests prove nothing.
#[test]
fn what_was_read_is_read_from_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &Arc::default());
    let collection = create(&engine, "c");
    write(
        &engine,
        (0..IDS)
            .map(|id| upsert(&collection, id, id, None))
            .collect(),
    );
    let first = told(&collection);
    assert!(collection.store.payloads().bytes() > 0);
    // Rows that the store no longer has are told all the same.
    remove_rows(&collection);
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
        (0..IDS)
            .map(|id| upsert(&collection, id, 0, None))
            .collect(),
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
            let all = (0..IDS).map(|id| upsert(&collection, id, serial, None));
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
        let operations = all(serial).map(|(id, serial)| upsert(collection, id, serial, None));
        write(&engine, operations.collect());
    };
    write_all(&collection, 7);
    assert_eq!(told(&collection)[0], all(7).collect::<Vec<_>>());
    assert!(payloads.bytes() > 0);
    assert!(engine.drop_collection("c").unwrap());
    assert_eq!(payloads.bytes(), 0);
    // A reader that had read its row before comes too late.
    let late = row(collection.id().0, 1, 1);
    payloads.put(late, &Arc::default(), || collection.is_gone());
    assert_eq!(payloads.bytes(), 0);
    // One of the same name has the same ids, and none of the old payloads.
    let again = create(&engine, "c");
    assert_eq!(told(&again), [vec![], vec![]]);
    write_all(&again, 8);
    assert_eq!(told(&again)[1], all(8).collect::<Vec<_>>());
}
