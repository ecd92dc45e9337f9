//! Stores damaged in every way that a repair knows.

use super::*;
use crate::query::{Selection, VectorSelection};
use crate::storage::codec;
use crate::storage::key;
use crate::storage::record::PartitionState;
use crate::{
    CollectionConfig, CollectionId, Media, MediaKind, Metric, Operation, Partition, Point, PointId,
    RequestTag, Share, Vector, VectorConfig,
};

const PARTITION: Partition = Partition(3);
const DIM: usize = 200;

fn engine(dir: &Path) -> Engine {
    Engine::open(dir, EngineOptions::default()).unwrap()
}

fn config() -> CollectionConfig {
    let mut config = CollectionConfig::default();
    let vector = VectorConfig {
        dim: DIM,
        metric: Metric::L2,
        index: None,
    };
    config.vectors.insert(String::new(), vector);
    config
}

/// Everything about it follows from its id and a number.
fn point(id: u64, number: u64) -> Point {
    let text = format!("text {id} {number} ").repeat(40);
    Point {
        id: PointId::Num(id),
        vectors: [(String::new(), Vector::Dense(vec![number as f32 + 0.5; DIM]))].into(),
        payload: [("text".to_owned(), text.clone().into())]
            .into_iter()
            .collect(),
        media: vec![Media {
            kind: MediaKind::Text,
            content_type: "text/plain".into(),
            bytes: text.into_bytes().into(),
        }],
        expires_at_ms: (id == 4).then_some(4_000_000_000_000),
    }
}

fn upsert(collection: CollectionId, id: u64, number: u64) -> Operation {
    let point = point(id, number);
    Operation::Upsert { collection, point }
}

fn write(engine: &Engine, operations: Vec<Operation>) {
    let share = Share {
        partition: PARTITION,
        operations,
    };
    engine.apply(engine.append(vec![share]).unwrap()).unwrap();
}

fn id_of(engine: &Engine, name: &str) -> CollectionId {
    engine.collection(name).unwrap().id()
}

/// Points 0 to 9 in `c` and `other`, each written twice, the first four of `c` no more in the log; segments on disk.
fn filled(dir: &Path) {
    let engine = engine(dir);
    for name in ["c", "other"] {
        let id = engine.create_collection(name, config()).unwrap().id();
        write(
            &engine,
            (0..10).map(|at| upsert(id, at, 100 + at)).collect(),
        );
        write(&engine, (0..10).map(|at| upsert(id, at, at)).collect());
        engine.collection(name).unwrap().seal_now();
    }
    let filler = engine.create_collection("filler", config()).unwrap().id();
    let id = id_of(&engine, "c");
    let entry = |operations| Share {
        partition: PARTITION,
        operations,
    };
    let many = (0..2100).map(|n| {
        entry(vec![Operation::Delete {
            collection: filler,
            id: PointId::Num(n),
        }])
    });
    let entries = engine.append(many.collect()).unwrap();
    engine.apply(entries).unwrap();
    let tag = RequestTag::new("again", 7).unwrap();
    let request = Operation::Request { tag, operations: 6 };
    let mut operations = vec![request];
    operations.extend((4..10).map(|at| upsert(id, at, at)));
    write(&engine, operations);
}

/// Every point of a collection as it was written, but these.
fn check(engine: &Engine, name: &str, without: &[u64]) {
    let collection = engine.collection(name).unwrap();
    let page = collection.scroll(None, None, 99, &Selection::All, &VectorSelection::All);
    let points = page.unwrap().points;
    let held: Vec<u64> = points
        .iter()
        .map(|record| match record.id {
            PointId::Num(id) => id,
            _ => panic!("ids are numbers"),
        })
        .collect();
    let wanted: Vec<u64> = (0..10).filter(|id| !without.contains(id)).collect();
    assert_eq!(held, wanted, "{name}");
    for (id, record) in held.into_iter().zip(points) {
        let written = point(id, id);
        assert_eq!(
            record.payload.as_deref(),
            Some(&written.payload),
            "{name} {id}"
        );
        assert_eq!(record.vectors, Some(written.vectors), "{name} {id}");
        assert_eq!(record.expires_at_ms, written.expires_at_ms, "{name} {id}");
        let medium = collection.media(&record.id, MediaKind::Text).unwrap();
        assert_eq!(medium.as_ref(), written.media.first(), "{name} {id}");
    }
    assert_eq!(collection.vector_rows("").unwrap().len(), wanted.len());
}

fn edit(dir: &Path, family: Family, key: &[u8], value: Option<&[u8]>) {
    let store = Store::open(dir).unwrap();
    let mut batch = store.batch();
    match value {
        Some(value) => batch.put(family, key, value),
        None => batch.delete(family, key),
    }
    store.write_synced(batch).unwrap();
}

const C: CollectionId = CollectionId(1);

fn point_key(id: u64) -> Vec<u8> {
    key::point(PARTITION, C, &PointId::Num(id))
}

/// What is damaged, and what a repair says of it.
fn check_record(family: Family, key: &[u8], restored: &[&str], lost: &[&str], without: &[u64]) {
    for value in [Some(&b"\x07none"[..]), Some(b"")] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        edit(dir.path(), family, key, value);
        check_repair(dir.path(), restored, lost, without);
    }
}

fn check_repair(dir: &Path, restored: &[&str], lost: &[&str], without: &[u64]) {
    let asked = repair(dir, OnLoss::Ask).unwrap();
    let mut report = asked.clone();
    if !lost.is_empty() {
        assert_eq!(asked.outcome, RepairOutcome::Asked);
        assert!(asked.left.is_empty());
        report = repair(dir, OnLoss::Accept).unwrap();
    }
    assert_eq!(report.outcome, RepairOutcome::Repaired, "{report:?}");
    assert_eq!(report.left, Vec::<String>::new());
    let lines = [report.rebuilt.clone(), report.restored.clone()].concat();
    for part in restored {
        assert!(
            lines.iter().any(|line| line.contains(part)),
            "{part}: {report:?}"
        );
    }
    for (told, part) in asked.lost.iter().zip(lost) {
        assert!(told.to_string().contains(part), "{part}: {report:?}");
    }
    assert_eq!(asked.lost.len(), lost.len(), "{report:?}");
    let kept = report.kept.unwrap();
    assert!(kept.join("report.json").exists());
    let engine = engine(dir);
    check(&engine, "c", without);
    check(&engine, "other", &[]);
    assert_eq!(engine.check(), Vec::<String>::new());
    engine.create_collection("new", config()).unwrap();
    engine.drop_collection("new").unwrap();
    drop(engine);
    assert_eq!(
        repair(dir, OnLoss::Ask).unwrap().outcome,
        RepairOutcome::Sound
    );
}

#[test]
fn a_sound_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        repair(dir.path(), OnLoss::Accept).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    filled(dir.path());
    // Of a repair that was killed before its copy was complete.
    let unfinished = dir.path().join("repaired");
    std::fs::create_dir_all(unfinished.join(DATABASE_FOLDER)).unwrap();
    let report = repair(dir.path(), OnLoss::Accept).unwrap();
    assert_eq!(report.outcome, RepairOutcome::Sound, "{report:?}");
    assert_eq!(report.kept, None);
    assert!(!unfinished.exists());
    check(&engine(dir.path()), "c", &[]);
}

#[test]
fn a_row_is_restored_from_the_log_or_told_as_lost() {
    check_record(
        Family::Points,
        &point_key(7),
        &["point 7 of collection c, from the log"],
        &[],
        &[],
    );
    check_record(
        Family::Points,
        &point_key(2),
        &[],
        &["collection c: point 2: all of it"],
        &[2],
    );
    for (id, lost) in [(7, None), (2, Some("collection c: point 2: all of it"))] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        edit(dir.path(), Family::Points, &point_key(id), None);
        let without = lost.map(|_| id);
        check_repair(dir.path(), &[], lost.as_slice(), without.as_slice());
    }
}

#[test]
fn settings_positions_notes_and_derived_records_are_restored() {
    check_record(
        Family::Meta,
        &key::meta_collection("c"),
        &["settings of collection c, from their copy"],
        &[],
        &[],
    );
    check_record(
        Family::Meta,
        key::META_NEXT_COLLECTION,
        &["number of the next collection"],
        &[],
        &[],
    );
    check_record(
        Family::Meta,
        key::META_FORMAT,
        &["version of the format"],
        &[],
        &[],
    );
    let applied = "position of partition 3: applied up to entry 2105";
    check_record(
        Family::State,
        &key::state_applied(PARTITION),
        &[applied],
        &[],
        &[],
    );
    check_record(
        Family::State,
        &key::collection_copy(C),
        &["copy of the settings"],
        &[],
        &[],
    );
    check_record(
        Family::State,
        &key::garbage(PARTITION, 2105),
        &["superseded and can go"],
        &[],
        &[],
    );
    check_record(
        Family::State,
        &key::request_list(PARTITION, 2105),
        &["lists of requests"],
        &[],
        &[],
    );
    let end = key::expiry(PARTITION, C, 4_000_000_000_000, &PointId::Num(4));
    check_record(
        Family::State,
        &end,
        &["when points of collection c end"],
        &[],
        &[],
    );
    check_record(
        Family::Changes,
        &key::change(PARTITION, C, 2105),
        &["segments of collection c"],
        &[],
        &[],
    );
    // An entry that is in the rows already.
    check_record(
        Family::Log,
        &key::log(PARTITION, 2080),
        &["the log of partition 3, from entry 2081 on"],
        &[],
        &[],
    );
}

#[test]
fn what_is_lost_is_named_before_it_is_removed() {
    let request = key::request(PARTITION, b"again");
    check_record(
        Family::State,
        &request,
        &[],
        &["the note of request \"again\""],
        &[],
    );
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let running = engine(dir.path());
    for number in [1, 2] {
        let share = Share {
            partition: PARTITION,
            operations: vec![upsert(C, 20 + number, 1)],
        };
        let _unapplied = running.append(vec![share]).unwrap();
    }
    drop(running);
    let applied = |dir: &Path| {
        let store = Store::open(dir).unwrap();
        let bytes = store
            .get(Family::State, &key::state_applied(PARTITION))
            .unwrap()
            .unwrap();
        codec::decode::<PartitionState>(&bytes, "state")
            .unwrap()
            .applied
    };
    assert_eq!(applied(dir.path()), 2105);
    edit(
        dir.path(),
        Family::Log,
        &key::log(PARTITION, 2106),
        Some(b"none"),
    );
    assert!(Engine::open(dir.path(), EngineOptions::default()).is_err());
    let asked = repair(dir.path(), OnLoss::Ask).unwrap();
    assert_eq!(asked.lost.len(), 1, "{asked:?}");
    assert!(
        asked.lost[0]
            .to_string()
            .contains("entry 2106 of partition 3")
    );
    let report = repair(dir.path(), OnLoss::Accept).unwrap();
    assert_eq!(report.left, Vec::<String>::new());
    let engine = engine(dir.path());
    let collection = engine.collection("c").unwrap();
    assert!(!collection.contains(&PointId::Num(21)));
    assert!(
        collection.contains(&PointId::Num(22)),
        "the entry behind it is applied"
    );
}

#[test]
fn a_point_keeps_what_of_it_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    // Point 2 was last written by entry 2 as the third of ten, a vector and a medium each.
    edit(
        dir.path(),
        Family::Vectors,
        &key::value(PARTITION, C, 2, 4),
        Some(b"\x01\x00"),
    );
    edit(
        dir.path(),
        Family::Media,
        &key::value(PARTITION, C, 2, 3),
        None,
    );
    let lost: Vec<String> = repair(dir.path(), OnLoss::Ask)
        .unwrap()
        .lost
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(lost.len(), 2, "{lost:?}");
    assert!(
        lost[0].contains("collection c: point 1: its medium of type text/plain"),
        "{lost:?}"
    );
    assert!(
        lost[1].contains("collection c: point 2: its vector \"\""),
        "{lost:?}"
    );
    repair(dir.path(), OnLoss::Accept).unwrap();
    let engine = engine(dir.path());
    let collection = engine.collection("c").unwrap();
    let record = collection
        .retrieve(&[PointId::Num(2)], &Selection::All, &VectorSelection::All)
        .unwrap()
        .remove(0);
    assert_eq!(record.payload.as_deref(), Some(&point(2, 2).payload));
    assert_eq!(record.vectors, Some([].into()));
    assert_eq!(
        collection.media(&PointId::Num(1), MediaKind::Text).unwrap(),
        None
    );
    assert_eq!(engine.check(), Vec::<String>::new());
    check(&engine, "other", &[]);
}

/// Files of the database with an extension.
fn database_files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join(DATABASE_FOLDER)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|is| is == extension))
        .collect();
    paths.sort();
    paths
}

/// Flips a byte of every place where these bytes stand in blobs.
fn flip_in_blobs(dir: &Path, wanted: &[u8]) -> usize {
    let mut flipped = 0;
    for path in database_files(dir, "blob") {
        let mut bytes = std::fs::read(&path).unwrap();
        let places: Vec<usize> = (0..bytes.len().saturating_sub(wanted.len()))
            .filter(|at| bytes[*at..].starts_with(wanted))
            .collect();
        for at in &places {
            bytes[at + 5] ^= 1;
        }
        flipped += places.len();
        std::fs::write(&path, bytes).unwrap();
    }
    flipped
}

/// A blob is damaged: its collection is quarantined or tells it, and a repair copies everything else.
#[test]
fn a_damaged_blob_costs_its_vector_only() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    // Opening brings what the log has into tables and blobs.
    drop(engine(dir.path()));
    let bytes: Vec<u8> = 2.5f32.to_le_bytes().repeat(DIM);
    // Of `c` and of `other`.
    assert_eq!(flip_in_blobs(dir.path(), &bytes), 2);
    std::fs::remove_dir_all(dir.path().join("segments")).unwrap();
    let running = engine(dir.path());
    let error = running.collection("c").err().unwrap();
    assert!(error.to_string().contains("`c` is quarantined"), "{error}");
    drop(running);
    let asked = repair(dir.path(), OnLoss::Ask).unwrap();
    let lost: Vec<String> = asked.lost.iter().map(ToString::to_string).collect();
    assert_eq!(lost.len(), 2, "{lost:?}");
    assert!(
        lost[0].contains("collection c: point 2: its vector \"\""),
        "{lost:?}"
    );
    assert!(
        lost[1].contains("collection other: point 2: its vector"),
        "{lost:?}"
    );
    let report = repair(dir.path(), OnLoss::Accept).unwrap();
    assert_eq!(report.left, Vec::<String>::new());
    assert!(report.kept.unwrap().join(DATABASE_FOLDER).exists());
    let running = engine(dir.path());
    for name in ["c", "other"] {
        let collection = running.collection(name).unwrap();
        assert_eq!(collection.count(None).unwrap(), 10);
        assert_eq!(collection.vector_rows("").unwrap().len(), 9);
    }
    drop(running);
    assert_eq!(
        repair(dir.path(), OnLoss::Ask).unwrap().outcome,
        RepairOutcome::Sound
    );
}

/// Rows in unreadable blocks: those of the log are restored, the others are named by the segments, and the other rows stay.
#[test]
fn damaged_blocks_of_rows_cost_their_points_only() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let store = Store::open(dir.path()).unwrap();
    store.compact_all();
    drop(store);
    let mut rounds = 0;
    for path in database_files(dir.path(), "sst") {
        let bytes = std::fs::read(&path).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 30] {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(dir.path(), copy.path());
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            let name = path.file_name().unwrap();
            std::fs::write(copy.path().join(DATABASE_FOLDER).join(name), damaged).unwrap();
            match repair(copy.path(), OnLoss::Accept) {
                Ok(report) => {
                    assert_eq!(report.left, Vec::<String>::new(), "{name:?} {at}");
                    check_told(
                        copy.path(),
                        &["c", "other"],
                        &report,
                        &format!("{name:?} at {at}"),
                    );
                    rounds += usize::from(report.outcome == RepairOutcome::Repaired);
                }
                Err(error) => panic!("{name:?} at {at}: {error}"),
            }
        }
    }
    assert!(rounds > 5, "inconclusive: {rounds}");
}

/// Flips a byte of the first block of a table: it is one of records.
fn flip_first_block(table: &Path) {
    let mut bytes = std::fs::read(table).unwrap();
    bytes[20] ^= 0x55;
    std::fs::write(table, bytes).unwrap();
}

/// What is accepted is what was told, and all else stays.
fn check_accepted(dir: &Path, names: &[&str], what: &str) -> RepairReport {
    let asked = repair(dir, OnLoss::Ask).unwrap();
    let report = match asked.outcome {
        RepairOutcome::Asked => repair(dir, OnLoss::Accept).unwrap(),
        _ => asked.clone(),
    };
    assert_eq!(report.left, Vec::<String>::new(), "{what}");
    assert_eq!(asked.lost, report.lost, "{what}");
    check_told(dir, names, &asked, what);
    let again = repair(dir, OnLoss::Ask).unwrap();
    assert_eq!(again.outcome, RepairOutcome::Sound, "{what}: {again:?}");
    report
}

/// The first block of every family, alone and with that of each other one: an empty key is before it.
#[test]
fn a_damaged_first_block_costs_what_was_told_only() {
    let original = tempfile::tempdir().unwrap();
    filled(original.path());
    let store = Store::open(original.path()).unwrap();
    store.compact_all();
    drop(store);
    let tables = database_files(original.path(), "sst");
    assert!(tables.len() >= 7, "{tables:?}");
    for (at, first) in tables.iter().enumerate() {
        for second in &tables[at..] {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(original.path(), copy.path());
            let damaged = std::collections::BTreeSet::from([first, second]);
            for table in &damaged {
                let name = table.strip_prefix(original.path()).unwrap();
                flip_first_block(&copy.path().join(name));
            }
            check_accepted(copy.path(), &["c", "other"], &format!("{damaged:?}"));
        }
    }
}

/// A copy that lacks more than was told is no repair: nothing takes the store's place.
#[test]
fn a_copy_that_lacks_more_than_was_told_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let store = Store::open(dir.path()).unwrap();
    store.compact_all();
    drop(store);
    let damage = |table: &PathBuf| {
        flip_first_block(table);
        let lost = repair(dir.path(), OnLoss::Ask).unwrap().lost;
        lost.iter().any(|loss| loss.point.is_some())
    };
    let tables = database_files(dir.path(), "sst");
    assert!(tables.iter().any(damage));
    let before = database_bytes(dir.path());
    let mut sight = Sight::of(dir.path()).unwrap();
    let told = std::mem::take(&mut sight.told.lost);
    sight.found.edits.clear();
    assert!(!told.is_empty());
    let text = sight.replace(dir.path()).unwrap_err().to_string();
    for part in ["lose more than", "nothing was changed"] {
        assert!(text.contains(part), "{text}");
    }
    let mut sight = Sight::of(dir.path()).unwrap();
    sight.found.rows += 1;
    let text = sight.replace(dir.path()).unwrap_err().to_string();
    assert!(text.contains("rows were copied"), "{text}");
    assert!(before == database_bytes(dir.path()));
    assert!(finish_copy(dir.path()).unwrap().is_none());
    assert_eq!(repair(dir.path(), OnLoss::Ask).unwrap().lost, told);
}

/// Blocks that hold nothing in force are read by merges only, which then end all writing.
#[test]
fn damaged_blocks_of_removed_records_are_found_and_mended() {
    let original = tempfile::tempdir().unwrap();
    filled(original.path());
    let store = Store::open(original.path()).unwrap();
    store.compact_all();
    drop(store);
    let tables = database_files(original.path(), "sst");
    engine(original.path()).drop_collection("c").unwrap();
    let mut hidden = 0;
    for table in &tables {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(original.path(), copy.path());
        let name = table.strip_prefix(original.path()).unwrap();
        if !copy.path().join(name).exists() {
            continue;
        }
        flip_first_block(&copy.path().join(name));
        if let Ok(engine) = Engine::open(copy.path(), EngineOptions::default()) {
            let problems = engine.check();
            assert!(!problems.is_empty(), "{name:?}");
            let is_hidden = |line: &String| line.contains("would end all writing");
            hidden += usize::from(problems.iter().all(is_hidden));
        }
        let report = check_accepted(copy.path(), &["other"], &format!("{name:?}"));
        assert_eq!(report.outcome, RepairOutcome::Repaired);
        let store = Store::open(copy.path()).unwrap();
        store.compact_all();
        assert_eq!(store.refusal(), None, "{name:?}");
    }
    assert!(hidden > 0, "inconclusive");
}

/// A table that cannot be opened, or whose only block is damaged, reaches over rows that stand in others: those stay. What it held is restored
/// from the log, and what it removed does not come back.
#[test]
fn a_broken_table_costs_only_what_stood_in_it() {
    let original = tempfile::tempdir().unwrap();
    filled(original.path());
    let store = Store::open(original.path()).unwrap();
    store.compact_all();
    drop(store);
    let before = database_files(original.path(), "sst");
    let running = engine(original.path());
    let delete = Operation::Delete {
        collection: C,
        id: PointId::Num(5),
    };
    write(&running, vec![upsert(C, 0, 0), delete, upsert(C, 9, 9)]);
    drop(running);
    let store = Store::open(original.path()).unwrap();
    store.flush_all();
    drop(store);
    let mut rounds = 0;
    for table in database_files(original.path(), "sst") {
        if before.contains(&table) {
            continue;
        }
        for tail in [false, true] {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(original.path(), copy.path());
            let name = table.strip_prefix(original.path()).unwrap();
            let broken = copy.path().join(name);
            flip_first_block(&broken);
            if tail {
                let mut bytes = std::fs::read(&broken).unwrap();
                let length = bytes.len();
                bytes[length - 60..].fill(0xee);
                std::fs::write(&broken, bytes).unwrap();
            }
            let what = format!("{name:?} {tail}");
            let report = check_accepted(copy.path(), &["other"], &what);
            // The vectors that these two brought may have stood in it.
            let is_of_it = |loss: &Loss| {
                let point = loss.point.as_deref();
                loss.what.contains("it is missing") && matches!(point, Some("0" | "9"))
                    || loss.what.contains("medium") && matches!(point, Some("0" | "9"))
            };
            let mut of_points = report.lost.iter().filter(|loss| loss.point.is_some());
            assert!(of_points.all(is_of_it), "{what}: {report:?}");
            let running = engine(copy.path());
            if report.lost.is_empty() {
                check(&running, "c", &[5]);
            }
            let collection = running.collection("c").unwrap();
            assert_eq!(collection.count(None).unwrap(), 9, "{what}");
            assert!(!collection.contains(&PointId::Num(5)), "{what}");
            check(&running, "other", &[]);
            rounds += usize::from(report.outcome == RepairOutcome::Repaired);
        }
    }
    assert!(rounds >= 4, "inconclusive: {rounds}");
}

/// A database that takes no more writes says so, without being asked to write.
#[test]
fn a_merge_that_fails_is_trouble_of_every_collection() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let store = Store::open(dir.path()).unwrap();
    store.compact_all();
    drop(store);
    let tables = database_files(dir.path(), "sst");
    engine(dir.path()).drop_collection("c").unwrap();
    for table in tables.iter().filter(|table| table.exists()) {
        let sound = std::fs::read(table).unwrap();
        flip_first_block(table);
        // Only what nothing reads before a merge does.
        if Store::open(dir.path()).is_err() {
            std::fs::write(table, sound).unwrap();
        }
    }
    let store = Store::open(dir.path()).unwrap();
    store.compact_all();
    let why = store.refusal().unwrap();
    assert!(why.contains("every write is refused"), "{why}");
    assert!(why.contains("doctor --repair"), "{why}");
    let mut batch = store.batch();
    batch.put(Family::Meta, b"x", b"y");
    assert!(store.write(batch).is_err());
}

/// Every point is as written, or the report says that it is not.
fn check_told(dir: &Path, names: &[&str], report: &RepairReport, what: &str) {
    let engine = engine(dir);
    for &name in names {
        let told = |id: u64| {
            report.lost.iter().any(|loss| {
                let of_it = loss.collection.as_deref() == Some(name);
                of_it
                    && loss
                        .point
                        .as_ref()
                        .is_none_or(|point| *point == id.to_string())
            })
        };
        let Ok(collection) = engine.collection(name) else {
            let is_unnamed = |loss: &Loss| loss.what.contains("settings of further collections");
            let is_told = (0..10).all(told) || report.lost.iter().any(is_unnamed);
            assert!(is_told, "{what}: {name} {report:?}");
            continue;
        };
        for id in 0..10 {
            let records = collection
                .retrieve(&[PointId::Num(id)], &Selection::All, &VectorSelection::All)
                .unwrap();
            let written = point(id, id);
            let is_whole = records.first().is_some_and(|record| {
                record.payload.as_deref() == Some(&written.payload)
                    && record.vectors == Some(written.vectors)
            });
            assert!(
                is_whole || told(id),
                "{what}: {name} {id} {records:?} {report:?}"
            );
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_folder(&path, &to),
            false => drop(std::fs::copy(&path, &to).unwrap()),
        }
    }
}

/// The log is cut before what was acknowledged: the guard refuses it, the log as it was is kept, and a repair goes on with what is left.
#[test]
fn a_lost_end_of_the_log_is_kept_told_and_accepted() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let log = database_files(dir.path(), "log").pop().unwrap();
    let bytes = std::fs::read(&log).unwrap();
    let mut damaged = bytes.clone();
    let middle = bytes.len() / 2;
    damaged[middle..middle + 600].fill(0);
    std::fs::write(&log, &damaged).unwrap();
    for _ in 0..3 {
        let error = Engine::open(dir.path(), EngineOptions::default())
            .err()
            .unwrap();
        let text = error.to_string();
        assert!(
            text.contains("write-ahead log") && text.contains("--repair"),
            "{text}"
        );
    }
    let kept: Vec<PathBuf> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("damaged-")
        })
        .collect();
    assert!((1..=2).contains(&kept.len()), "{kept:?}");
    let copies = kept
        .iter()
        .map(|kept| std::fs::read(kept.join(log.file_name().unwrap())));
    assert!(
        copies.flatten().any(|copy| copy == damaged),
        "the log as it was is gone"
    );
    let asked = repair(dir.path(), OnLoss::Ask).unwrap();
    assert_eq!(asked.outcome, RepairOutcome::Asked);
    assert!(
        asked.lost[0].what.contains("of the write-ahead log"),
        "{asked:?}"
    );
    let report = repair(dir.path(), OnLoss::Accept).unwrap();
    assert_eq!(report.left, Vec::<String>::new(), "{report:?}");
    let engine = engine(dir.path());
    assert_eq!(engine.check(), Vec::<String>::new());
}

#[test]
fn a_guard_that_cannot_be_read_and_a_missing_name_of_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    std::fs::write(dir.path().join("guard"), [0xff; 1024]).unwrap();
    check_repair(dir.path(), &[], &["neither slot can be read"], &[]);
    std::fs::write(dir.path().join(DATABASE_FOLDER).join("CURRENT"), "").unwrap();
    check_repair(dir.path(), &["name of the database's manifest"], &[], &[]);
}

/// Killed anywhere while the copy takes the store's place: a start never begins with an empty folder, and the repair goes on.
#[test]
fn a_repair_that_was_killed_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let store = Store::open(dir.path()).unwrap();
    let grown = dir.path().join("copy");
    let copy = store.copy_readable(&grown, &[]).unwrap();
    copy.close_copy().unwrap();
    drop(store);
    bring_copy(&grown, dir.path()).unwrap();
    let database = dir.path().join(DATABASE_FOLDER);
    std::fs::rename(&database, dir.path().join("taken")).unwrap();
    assert!(Engine::open(dir.path(), EngineOptions::default()).is_err());
    let report = repair(dir.path(), OnLoss::Ask).unwrap();
    assert_eq!(report.outcome, RepairOutcome::Sound, "{report:?}");
    let engine = engine(dir.path());
    check(&engine, "c", &[]);
    assert_eq!(engine.check(), Vec::<String>::new());
}

/// The file that `CURRENT` names.
fn manifest(dir: &Path) -> PathBuf {
    let database = dir.join(DATABASE_FOLDER);
    let name = std::fs::read_to_string(database.join("CURRENT")).unwrap();
    database.join(name.trim_end())
}

/// Names and bytes of the database's files but the one that RocksDB logs to.
fn database_bytes(dir: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let extensions = ["sst", "blob", "log"];
    let paths = extensions.map(|extension| database_files(dir, extension));
    let read = |path: PathBuf| (path.clone(), std::fs::read(path).unwrap());
    let mut files: std::collections::BTreeMap<_, _> =
        paths.into_iter().flatten().map(read).collect();
    for path in [manifest(dir), dir.join(DATABASE_FOLDER).join("CURRENT")] {
        if path.exists() {
            files.extend([read(path)]);
        }
    }
    files
}

/// RocksDB opens the older state of a list of its files that lacks its end, begins anew without its name, and deletes what it does not know
/// then. All of that is refused before, and nothing is touched until a repair restores it from a copy that names the same files.
#[test]
fn a_damaged_list_of_files_is_refused_and_nothing_is_deleted() {
    let original = tempfile::tempdir().unwrap();
    filled(original.path());
    let store = Store::open(original.path()).unwrap();
    store.flush_all();
    store.close().unwrap();
    drop(store);
    let length = std::fs::read(manifest(original.path())).unwrap().len();
    let damages = [
        "flipped",
        "zeroed",
        "end cut",
        "half cut",
        "end zeroed",
        "missing",
        "unnamed",
        "both missing",
    ];
    for damage in damages {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        copy_folder(original.path(), dir);
        let path = manifest(dir);
        let mut bytes = std::fs::read(&path).unwrap();
        match damage {
            "flipped" => bytes[60] ^= 0x41,
            "zeroed" => bytes.fill(0),
            "end cut" => bytes.truncate(length - 1),
            "half cut" => bytes.truncate(length / 2),
            "end zeroed" => bytes[length / 2..].fill(0),
            _ => {}
        }
        std::fs::write(&path, bytes).unwrap();
        if damage.ends_with("missing") {
            std::fs::remove_file(&path).unwrap();
        }
        let current = dir.join(DATABASE_FOLDER).join("CURRENT");
        if damage == "unnamed" || damage.starts_with("both") {
            std::fs::remove_file(&current).unwrap();
        }
        let files = |dir: &Path| match current.exists() {
            true => database_bytes(dir),
            false => [database_files(dir, "sst"), database_files(dir, "blob")]
                .concat()
                .into_iter()
                .map(|path| (path, Vec::new()))
                .collect(),
        };
        let before = files(dir);
        for _ in 0..2 {
            let error = Engine::open(dir, EngineOptions::default()).err();
            let text = error
                .unwrap_or_else(|| panic!("{damage}: opened"))
                .to_string();
            assert!(text.contains("MANIFEST"), "{damage}: {text}");
            assert!(text.contains("restore"), "{damage}: {text}");
            assert!(!text.contains("write-ahead log"), "{damage}: {text}");
            assert!(before == files(dir), "{damage}: files changed");
        }
        if damage == "unnamed" {
            // The file is there: a repair names it.
            check_repair(dir, &["name of the database's manifest"], &[], &[]);
            continue;
        }
        let refused = |why: &str| {
            for on_loss in [OnLoss::Ask, OnLoss::Accept] {
                let text = repair(dir, on_loss).unwrap_err().to_string();
                for part in ["MANIFEST", "from a snapshot", why] {
                    assert!(text.contains(part), "{damage}: {part}: {text}");
                }
                assert!(!text.contains("doctor-"), "{damage}: {text}");
            }
        };
        let copy = catalog::copies(dir).pop().unwrap();
        let copied = std::fs::read(&copy).unwrap();
        std::fs::remove_file(&copy).unwrap();
        refused("there is no copy");
        std::fs::write(&copy, &copied[..copied.len() - 1]).unwrap();
        refused("damaged too");
        std::fs::write(&copy, &copied).unwrap();
        let newer = dir.join(DATABASE_FOLDER).join("999999.sst");
        std::fs::write(&newer, "").unwrap();
        refused("of another moment than the tables (999999.sst)");
        std::fs::remove_file(&newer).unwrap();
        let table = database_files(dir, "sst").remove(0);
        let bytes = std::fs::read(&table).unwrap();
        std::fs::remove_file(&table).unwrap();
        refused(table.file_stem().unwrap().to_str().unwrap());
        std::fs::write(&table, bytes).unwrap();
        assert!(before == files(dir), "{damage}: a repair changed files");
        check_repair(dir, &["MANIFEST), from its copy"], &[], &[]);
    }
}

/// Without the guard, the copy of the list of files still tells how far that reached.
#[test]
fn a_cut_list_of_files_is_noticed_without_the_guard_too() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let store = Store::open(dir.path()).unwrap();
    store.flush_all();
    store.close().unwrap();
    drop(store);
    std::fs::remove_file(dir.path().join("guard")).unwrap();
    let path = manifest(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let before = database_bytes(dir.path());
    let error = Engine::open(dir.path(), EngineOptions::default()).err();
    let text = error.unwrap().to_string();
    assert!(text.contains("MANIFEST"), "{text}");
    assert!(before == database_bytes(dir.path()));
    check_repair(dir.path(), &["MANIFEST), from its copy"], &[], &[]);
}

/// An empty guard file says nothing, and segments tell of what a store without its log has lost.
#[test]
fn a_missing_log_is_told_without_the_guard_too() {
    let original = tempfile::tempdir().unwrap();
    filled(original.path());
    let store = Store::open(original.path()).unwrap();
    store.flush_all();
    drop(store);
    let running = engine(original.path());
    write(&running, vec![upsert(C, 0, 0)]);
    running.collection("c").unwrap().seal_now();
    drop(running);
    for log in database_files(original.path(), "log") {
        std::fs::remove_file(log).unwrap();
    }
    let guard = |dir: &Path| dir.join("guard");
    for is_empty in [true, false] {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(original.path(), copy.path());
        std::fs::write(guard(copy.path()), "").unwrap();
        if is_empty {
            let error = Engine::open(copy.path(), EngineOptions::default()).err();
            let text = error.unwrap().to_string();
            assert!(text.contains("guard file is empty"), "{text}");
        } else {
            std::fs::remove_file(guard(copy.path())).unwrap();
        }
        let before = database_bytes(copy.path());
        let asked = repair(copy.path(), OnLoss::Ask).unwrap();
        assert_eq!(asked.outcome, RepairOutcome::Asked, "{asked:?}");
        let part = match is_empty {
            true => "cannot be told",
            false => "the end of the write-ahead log is gone",
        };
        let is_told = asked.lost.iter().any(|loss| loss.what.contains(part));
        assert!(is_told, "{asked:?}");
        assert!(
            before == database_bytes(copy.path()),
            "asking changes nothing"
        );
        if !is_empty {
            let looked = tempfile::tempdir().unwrap();
            copy_folder(copy.path(), looked.path());
            assert_eq!(check_segments(looked.path()).unwrap().lost.len(), 1);
        }
        let report = repair(copy.path(), OnLoss::Accept).unwrap();
        assert_eq!(report.left, Vec::<String>::new(), "{report:?}");
        assert_eq!(report.lost, asked.lost);
        check(&engine(copy.path()), "other", &[]);
    }
}

#[test]
fn a_missing_table_is_named() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let store = Store::open(folder.path()).unwrap();
    store.compact_all();
    drop(store);
    let table = database_files(folder.path(), "sst").pop().unwrap();
    std::fs::remove_file(&table).unwrap();
    let before = database_bytes(folder.path());
    let error = Engine::open(folder.path(), EngineOptions::default()).err();
    let text = error.unwrap().to_string();
    let name = table.file_name().unwrap().to_str().unwrap();
    assert!(text.contains(name), "{text}");
    assert!(!text.contains("write-ahead log"), "{text}");
    assert!(before == database_bytes(folder.path()));
}
