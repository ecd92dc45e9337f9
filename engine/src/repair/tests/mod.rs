//! Stores damaged in every way that a repair knows.
//!
//! - `log`: a part in the middle of the write-ahead log.
//! - `records`: records that are damaged or gone.
//! - `tables`: tables and blob files.
//! - `opening`: what a database needs to be opened at all.
//! - `revived`: rows that come to light when what removed or replaced them is lost.

mod log;
mod opening;
mod records;
mod revived;
mod tables;

use super::sight::Sight;
use super::*;
use crate::error::ErrorKind;
use crate::query::{Selection, VectorSelection};
use crate::storage::record::{GarbageList, PartitionState};
use crate::storage::salvage::bring_copy;
use crate::storage::{Store, Visit, catalog, codec, key};
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
    let vector = VectorConfig::new(DIM, Metric::L2);
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
    Operation::Upsert {
        collection,
        point: point.into(),
    }
}

fn write(engine: &Engine, operations: Vec<Operation>) {
    write_to(engine, PARTITION, operations);
}

fn write_to(engine: &Engine, partition: Partition, operations: Vec<Operation>) {
    let share = Share {
        partition,
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
    check_purged(dir, "repaired");
}

/// The store when all of its log is purged with what that superseded, and its segments are made again: nothing that a row needs may go.
fn check_purged(dir: &Path, what: &str) {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(dir, copy.path());
    let store = Store::open(copy.path()).unwrap();
    Partition::all().for_each(|partition| purge(&store, partition));
    store.close().unwrap();
    drop(store);
    std::fs::remove_dir_all(copy.path().join("segments")).unwrap_or_default();
    let running = engine(copy.path());
    assert_eq!(running.check(), Vec::<String>::new(), "{what}, purged");
    for name in running.collections() {
        running.collection(&name).unwrap();
    }
    drop(running);
    let again = repair(copy.path(), OnLoss::Ask).unwrap();
    assert_eq!(again.outcome, RepairOutcome::Sound, "{what}: {again:?}");
}

fn purge(store: &Store, partition: Partition) {
    let key = key::state_applied(partition);
    let Some(bytes) = store.get(Family::State, &key).unwrap() else {
        return;
    };
    let mut state: PartitionState = codec::decode(&bytes, "state").unwrap();
    state.purged = state.applied;
    let mut batch = store.batch();
    batch.put(Family::State, &key, &codec::encode(&state));
    let end = key::log(partition, state.applied + 1);
    batch.delete_range(Family::Log, &key::log_prefix(partition), &end);
    let prefix = key::garbage_prefix(partition);
    let scanned = store.scan(Family::State, &prefix, &[], |key, value| {
        let list: GarbageList = codec::decode(value, "list").unwrap();
        for (collection, value) in list.values {
            let collection = CollectionId(collection);
            let of = key::value(partition, collection, value.index, value.ordinal);
            batch.delete(value.family(), &of);
        }
        batch.delete(Family::State, key);
        Ok(Visit::Next)
    });
    scanned.unwrap();
    store.write(batch).unwrap();
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
    let of_requests = |loss: &&Loss| loss.what.contains("notes of requests");
    assert!(asked.lost.iter().filter(of_requests).count() <= 1, "{what}");
    report
}

/// Flips a byte of the properties of a table, without which it cannot be opened: of the name of one, or of the first value.
fn flip_properties(table: &Path, of_name: bool) {
    let mut bytes = std::fs::read(table).unwrap();
    let names: Vec<usize> = (0..bytes.len() - 8)
        .filter(|at| bytes[*at..].starts_with(b"rocksdb."))
        .collect();
    let at = match of_name {
        true => names[names.len() / 2],
        false => names[0] + 40,
    };
    bytes[at] ^= 0x55;
    // Not through a link.
    std::fs::remove_file(table).unwrap();
    std::fs::write(table, bytes).unwrap();
}

/// The tables of a family.
fn tables_of(dir: &Path, family: Family) -> Vec<PathBuf> {
    let store = Store::open(dir).unwrap();
    let tables = store.tables().unwrap().into_iter();
    let of_it = tables.filter(|(name, _)| name == family.name());
    let path = |number: u64| dir.join(DATABASE_FOLDER).join(format!("{number:06}.sst"));
    of_it.map(|(_, number)| path(number)).collect()
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
