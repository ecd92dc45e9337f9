//! Damaged records: which collection is quarantined, what is told, and that the others are served.

use super::*;
use crate::query::{Query, QueryKind, QueryVector, Selection, VectorSelection};

const OTHER: &str = "other";

/// Points 1 to 5 in `c` and in another collection.
fn filled(dir: &Path) -> Engine {
    let engine = open(dir);
    for name in ["c", OTHER] {
        let id = create(&engine, name);
        let points = (1..6).map(|point| upsert(id, point, point as f32));
        write(&engine, points.collect());
    }
    engine
}

fn write(engine: &Engine, operations: Vec<Operation>) -> Vec<Vec<Outcome>> {
    let entries = engine.append(vec![share(operations)]).unwrap();
    engine.apply(entries).unwrap()
}

fn damage(engine: &Engine, family: Family, key: &[u8]) {
    let mut batch = engine.store.batch();
    batch.put(family, key, b"\x07no record");
    engine.store.write_synced(batch).unwrap();
}

fn id_of(engine: &Engine, name: &str) -> CollectionId {
    engine.collection(name).unwrap().id()
}

fn check_told(dir: &Path, error: &Error, parts: &[&str]) {
    let text = error.to_string();
    let repair = format!("`vecino doctor --repair {}`", dir.display());
    for part in [&repair as &str, "stop the server"].iter().chain(parts) {
        assert!(text.contains(part), "{text}: no {part}");
    }
}

/// The other collection reads and writes as if nothing had happened.
fn check_other(engine: &Engine) {
    let id = id_of(engine, OTHER);
    write(engine, vec![upsert(id, 9, 9.0), delete(id, 9)]);
    assert_eq!(rows(engine, OTHER).len(), 5);
    let other = engine.collection(OTHER).unwrap();
    let page = other.scroll(None, None, 9, &Selection::All, &VectorSelection::All);
    assert_eq!(page.unwrap().points.len(), 5);
    assert_eq!(other.info().trouble, None);
}

fn nearest(engine: &Engine, limit: usize) -> Result<usize> {
    let query = Query {
        kind: QueryKind::Nearest(QueryVector::Dense(vec![0.0])),
        limit,
        with_payload: Selection::All,
        ..Query::default()
    };
    let answer = engine.collection("c")?.query(&query)?;
    Ok(answer.points.len())
}

#[test]
fn a_damaged_row_quarantines_its_collection_at_a_start_that_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let key = key::point(PARTITION, id_of(&engine, "c"), &PointId::Num(3));
    damage(&engine, Family::Points, &key);
    drop(engine);
    std::fs::remove_dir_all(dir.path().join("segments")).unwrap_or_default();
    let engine = open(dir.path());
    let error = engine.collection("c").err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    check_told(
        dir.path(),
        &error,
        &["`c`", "read point 3", "others are served"],
    );
    check_other(&engine);
    assert!(
        engine
            .check()
            .iter()
            .any(|problem| problem.contains("collection c: read point 3"))
    );
    // What is written off can be deleted.
    assert!(engine.drop_collection("c").unwrap());
    create(&engine, "c");
}

#[test]
fn a_damaged_row_is_told_by_the_reads_that_meet_it_while_serving() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let id = id_of(&engine, "c");
    let collection = engine.collection("c").unwrap();
    let (all, none) = (Selection::All, VectorSelection::None);
    assert_eq!(collection.info().trouble, None);
    let key = key::point(PARTITION, id, &PointId::Num(3));
    damage(&engine, Family::Points, &key);
    assert_eq!(nearest(&engine, 2).unwrap(), 2);
    assert_eq!(
        collection
            .retrieve(&[PointId::Num(2)], &all, &none)
            .unwrap()
            .len(),
        1
    );
    assert_eq!(collection.count(None).unwrap(), 5);
    let told = ["`c`", "read point 3", "the rest of it is served"];
    let scroll = || collection.scroll(None, None, 9, &all, &none);
    let errors = [
        nearest(&engine, 3).unwrap_err(),
        scroll().unwrap_err(),
        collection
            .retrieve(&[PointId::Num(3)], &all, &none)
            .unwrap_err(),
        collection
            .media(&PointId::Num(3), MediaKind::Text)
            .unwrap_err(),
        collection.write_archive(std::io::sink()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Corrupted);
        check_told(dir.path(), &error, &told);
    }
    let trouble = collection.info().trouble.unwrap();
    assert!(trouble.contains("read point 3"), "{trouble}");
    check_other(&engine);
    // Writing it anew mends it.
    write(&engine, vec![upsert(id, 3, 3.5)]);
    assert_eq!(nearest(&engine, 9).unwrap(), 5);
    assert_eq!(scroll().unwrap().points.len(), 5);
}

#[test]
fn a_damaged_vector_or_medium_is_told_with_its_point() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let id = id_of(&engine, "c");
    let collection = engine.collection("c").unwrap();
    for (family, ordinal) in [(Family::Vectors, 2), (Family::Media, 5)] {
        let mut batch = engine.store.batch();
        let key = key::value(PARTITION, id, 1, ordinal);
        assert!(engine.store.get(family, &key).unwrap().is_some());
        batch.delete(family, &key);
        engine.store.write_synced(batch).unwrap();
    }
    let read = |point| {
        collection.retrieve(
            &[PointId::Num(point)],
            &Selection::None,
            &VectorSelection::All,
        )
    };
    check_told(
        dir.path(),
        &read(2).unwrap_err(),
        &["`c`", "read point 2", "vector \"\" is missing"],
    );
    assert_eq!(read(3).unwrap().len(), 1);
    let error = collection
        .media(&PointId::Num(3), MediaKind::Text)
        .unwrap_err();
    check_told(dir.path(), &error, &["`c`", "point 3", "Text is missing"]);
    check_other(&engine);
}

#[test]
fn a_damaged_collection_record_quarantines_that_collection_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let id = id_of(&engine, "c");
    // Durable, not applied.
    let _ = engine
        .append(vec![share(vec![upsert(id, 6, 6.0)])])
        .unwrap();
    let values = keys(&engine, Family::Vectors).len();
    damage(&engine, Family::Meta, &key::meta_collection("c"));
    drop(engine);
    let engine = open(dir.path());
    let error = engine.collection("c").err().unwrap();
    check_told(dir.path(), &error, &["`c`", "collection record"]);
    assert_eq!(engine.collections(), ["c", OTHER]);
    check_other(&engine);
    assert_eq!(
        keys(&engine, Family::Points).len(),
        11,
        "the sixth is applied"
    );
    assert!(
        keys(&engine, Family::Vectors).len() > values,
        "nothing was dropped"
    );

    // Without the copy its number is not known: still nothing of it is touched, and it is not half deleted.
    damage(&engine, Family::State, &key::collection_copy(id));
    let _ = engine
        .append(vec![share(vec![upsert(id, 7, 7.0)])])
        .unwrap();
    drop(engine);
    let engine = open(dir.path());
    assert_eq!(keys(&engine, Family::Points).len(), 12);
    check_told(
        dir.path(),
        &engine.drop_collection("c").unwrap_err(),
        &["`c`"],
    );
    check_other(&engine);
}

#[test]
fn a_damaged_copy_of_a_record_or_change_record_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let id = id_of(&engine, "c");
    engine.collection("c").unwrap().seal_now();
    write(&engine, vec![upsert(id, 1, 10.0)]);
    damage(&engine, Family::State, &key::collection_copy(id));
    damage(&engine, Family::Changes, &key::change(PARTITION, id, 3));
    drop(engine);
    let engine = open(dir.path());
    assert_eq!(rows(&engine, "c")[0], (PointId::Num(1), vec![10.0]));
    assert_eq!(nearest(&engine, 9).unwrap(), 5);
    check_other(&engine);
}

#[test]
fn a_damaged_state_of_a_partition_or_entry_to_apply_refuses_the_store() {
    let check = |family: Family, key: Vec<u8>, parts: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let engine = filled(dir.path());
        let id = id_of(&engine, "c");
        let _ = engine
            .append(vec![share(vec![upsert(id, 6, 6.0)])])
            .unwrap();
        damage(&engine, family, &key);
        drop(engine);
        let error = Engine::open(dir.path(), EngineOptions::default())
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupted);
        check_told(dir.path(), &error, parts);
    };
    check(
        Family::State,
        key::state_applied(PARTITION),
        &["partition 3", "partition state"],
    );
    check(
        Family::Log,
        key::log(PARTITION, 3),
        &["entry 3", "partition 3"],
    );
    check(Family::Meta, key::META_FORMAT.to_vec(), &["format version"]);
}

#[test]
fn a_damaged_garbage_list_does_not_keep_the_log_from_being_purged() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let id = id_of(&engine, "c");
    write(&engine, vec![upsert(id, 1, 1.5)]);
    damage(&engine, Family::State, &key::garbage(PARTITION, 3));
    let many = (0..2100).map(|n| share(vec![upsert(id, 1, n as f32)]));
    engine
        .apply(engine.append(many.collect()).unwrap())
        .unwrap();
    assert_eq!(
        state(&engine).purged,
        3 + 2100 - crate::log::KEPT_ENTRIES / 2
    );
    let list = engine.store.get(Family::State, &key::garbage(PARTITION, 3));
    assert_eq!(list.unwrap(), None);
}

#[test]
fn a_request_whose_note_is_damaged_is_not_applied_twice_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let id = id_of(&engine, "c");
    let tagged = |value| {
        let tag = RequestTag::new("again", 7).unwrap();
        let request = Operation::Request { tag, operations: 1 };
        vec![request, upsert(id, 1, value)]
    };
    write(&engine, tagged(20.0));
    damage(&engine, Family::State, &key::request(PARTITION, b"again"));
    let again = vec![share(tagged(30.0))];
    assert_eq!(
        engine.conflicting_request(&again).unwrap().unwrap().id(),
        "again"
    );
    assert_eq!(write(&engine, tagged(30.0)), [[Outcome::Conflict; 2]]);
    let _ = engine.append(again).unwrap();
    drop(engine);
    let engine = open(dir.path());
    assert_eq!(rows(&engine, "c")[0], (PointId::Num(1), vec![20.0]));
    check_other(&engine);
}

#[test]
fn a_point_ends_though_the_record_of_its_end_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(std::sync::atomic::AtomicU64::new(100));
    let now = clock.clone();
    let env = Env::new(move || now.load(Ordering::Relaxed), 1);
    let options = EngineOptions {
        env,
        ..EngineOptions::default()
    };
    let engine = Engine::open(dir.path(), options.clone()).unwrap();
    let id = create(&engine, "c");
    let mut ending = upsert(id, 1, 1.0);
    if let Operation::Upsert { point, .. } = &mut ending {
        point.expires_at_ms = Some(200);
    }
    write(&engine, vec![ending, upsert(id, 2, 2.0)]);
    damage(
        &engine,
        Family::State,
        &key::expiry(PARTITION, id, 200, &PointId::Num(1)),
    );
    drop(engine);
    let engine = Engine::open(dir.path(), options).unwrap();
    assert_eq!(rows(&engine, "c").len(), 2);
    clock.store(200, Ordering::Relaxed);
    assert_eq!(rows(&engine, "c").len(), 1);
}

/// A search that still holds a collection when it goes does not call it damaged.
#[test]
fn what_is_read_of_a_collection_that_goes_is_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let collection = engine.collection("c").unwrap();
    let row = key::point(PARTITION, collection.id(), &PointId::Num(3));
    let row = engine.store.get(Family::Points, &row).unwrap().unwrap();
    engine.drop_collection("c").unwrap();
    // As a reader holds it that has read the row before and reads the vector after.
    let row: PointRow = codec::decode(&row, "row").unwrap();
    let read = collection.read_vectors(PARTITION, std::iter::once(&row), |_| true);
    assert_eq!(read.as_ref().unwrap_err().kind(), ErrorKind::Corrupted);
    let error = collection.told(read).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().ends_with("doesn't exist!"), "{error}");
    assert_eq!(collection.info().trouble, None);
}
