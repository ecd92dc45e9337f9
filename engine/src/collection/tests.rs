//! Segment files are derived: whatever happens to them, the answers are the same.

mod choice;
mod damaged_rows;
mod encodings;
mod graphs;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use index::{IndexKind, Metric};
use proptest::prelude::*;

use super::Collection;
use crate::budget::Purpose;
use crate::config::{SparseVectorConfig, VectorConfig};
use crate::log::{Operation, Share};
use crate::point::{Payload, Point, PointId, SparseVector, Vector};
use crate::query::{Query, QueryKind, QueryVector, SearchParams};
use crate::segment::RowBytes;
use crate::segment::folder::Folder;
use crate::segment::manifest::Manifest;
use crate::storage::garbage::Collected;
use crate::storage::record::{PointRow, VectorRef};
use crate::storage::{Family, Visit, codec, key};
use crate::{CollectionConfig, Engine, EngineOptions, Env, PARTITIONS, Partition};

const NAME: &str = "c";
const LARGE_DIM: usize = 130;

/// An engine whose segments leave large rows in the store's files.
fn open(dir: &Path) -> Engine {
    let env = Env::system().with_linked_bytes_min(1);
    Engine::open(
        dir,
        EngineOptions {
            env,
            ..EngineOptions::default()
        },
    )
    .unwrap()
}

/// A collection whose files change by [`Collection::seal_now`] only, until the engine is opened again.
fn create(engine: &Engine) -> Arc<Collection> {
    let collection = engine.create_collection(NAME, config()).unwrap();
    collection.is_paused.store(true, Ordering::SeqCst);
    collection
}

/// A k-d tree, a wide vector, one that is large enough for links, and a sparse one.
fn config() -> CollectionConfig {
    let mut config = CollectionConfig::default();
    let dense = |dim, metric, index| VectorConfig {
        index,
        ..VectorConfig::new(dim, metric)
    };
    let tree = dense(2, Metric::L2, Some(IndexKind::KdTree));
    config.vectors.insert(String::new(), tree);
    let wide = dense(20, Metric::Cosine, None);
    config.vectors.insert("wide".into(), wide);
    let large = dense(LARGE_DIM, Metric::L2, None);
    config.vectors.insert("large".into(), large);
    let words = SparseVectorConfig { idf: true };
    config.sparse_vectors.insert("words".into(), words);
    config
}

/// The `n`-th id: numbers, UUIDs and strings.
fn id(n: u64) -> PointId {
    match n % 3 {
        0 => PointId::Num(n),
        1 => PointId::Uuid(u128::from(n) << 70),
        _ => PointId::Str(format!("point {n}").into()),
    }
}

/// Not every point has every vector.
fn point(n: u64, value: f32) -> Point {
    let spread = |at: usize| (n as f32 * 0.37 + at as f32).sin() + value;
    let mut vectors = BTreeMap::new();
    if n % 5 != 4 {
        let values = vec![spread(0), spread(1)];
        vectors.insert(String::new(), Vector::Dense(values));
    }
    if n % 4 != 1 {
        let mut values: Vec<f32> = (0..20).map(spread).collect();
        index::normalize(&mut values);
        vectors.insert("wide".into(), Vector::Dense(values));
    }
    if n % 9 != 2 {
        let values = (0..LARGE_DIM).map(spread).collect();
        vectors.insert("large".into(), Vector::Dense(values));
    }
    if !n.is_multiple_of(7) {
        let words = SparseVector::new(vec![n as u32 % 11, 20 + n as u32 % 3], vec![1.0, value]);
        vectors.insert("words".into(), Vector::Sparse(words.unwrap()));
    }
    Point {
        id: id(n),
        vectors,
        payload: Payload::new(),
        expires_at_ms: None,
        media: Vec::new(),
    }
}

fn write(engine: &Engine, operations: impl IntoIterator<Item = (u64, Option<f32>)>) {
    let collection = engine.collection(NAME).unwrap().id();
    let operation = |value, n| match value {
        Some(value) => Operation::Upsert {
            collection,
            point: point(n, value).into(),
        },
        None => Operation::Delete {
            collection,
            id: id(n),
        },
    };
    let operations = operations.into_iter();
    write_all(
        engine,
        operations.map(|(n, value)| (n, operation(value, n))),
    );
}

/// Points of one unnamed vector each, by their numbers.
fn write_rows(engine: &Engine, rows: impl Iterator<Item = u64>, values: impl Fn(u64) -> Vec<f32>) {
    let collection = engine.collection(NAME).unwrap().id();
    let operation = |n| {
        let point = Point {
            id: PointId::Num(n),
            vectors: [(String::new(), Vector::Dense(values(n)))].into(),
            payload: Payload::new(),
            expires_at_ms: None,
            media: Vec::new(),
        };
        Operation::Upsert {
            collection,
            point: point.into(),
        }
    };
    write_all(engine, rows.map(|n| (n, operation(n))));
}

/// Operations on numbered points, in one entry of each partition: every partition has its turn.
fn write_all(engine: &Engine, operations: impl Iterator<Item = (u64, Operation)>) {
    let mut shares: BTreeMap<u16, Vec<Operation>> = BTreeMap::new();
    for (n, operation) in operations {
        let partition = (n % u64::from(PARTITIONS)) as u16;
        shares.entry(partition).or_default().push(operation);
    }
    let shares = shares.into_iter().map(|(partition, operations)| Share {
        partition: Partition(partition),
        operations,
    });
    let entries = engine.append(shares.collect()).unwrap();
    engine.apply(entries).unwrap();
}

/// Everything that can be asked, with the bits of the scores.
fn answers(collection: &Collection) -> Vec<Vec<(PointId, u32, u64)>> {
    let dense = |values: Vec<f32>| QueryKind::Nearest(QueryVector::Dense(values));
    let words = SparseVector::new(vec![3, 5, 20, 21], vec![1.0, 0.5, 2.0, 0.1]).unwrap();
    let queries = [
        ("", QueryKind::Id),
        ("", dense(vec![0.5, 0.25])),
        ("wide", dense((0..20).map(|at| at as f32 - 7.0).collect())),
        ("large", dense(vec![0.3; LARGE_DIM])),
        ("words", QueryKind::Nearest(QueryVector::Sparse(words))),
    ];
    let answer = |(using, kind): (&str, QueryKind)| {
        let query = Query {
            kind,
            using: using.into(),
            limit: 50,
            ..Query::default()
        };
        let points = collection.query(&query).unwrap().points;
        points
            .into_iter()
            .map(|point| (point.id, point.score.to_bits(), point.version))
            .collect()
    };
    let mut all: Vec<Vec<_>> = queries.into_iter().map(answer).collect();
    let mut rows = collection.vector_rows("wide").unwrap();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let rows = rows.into_iter();
    all.push(
        rows.map(|(id, values)| (id, values[0].to_bits(), 0))
            .collect(),
    );
    all
}

/// Sparse scores depend on rows that are dead but not merged away, through the IDF: only their order of magnitude can be compared.
fn without_words(answers: Vec<Vec<(PointId, u32, u64)>>) -> Vec<Vec<(PointId, u32, u64)>> {
    let mut answers = answers;
    answers.remove(4);
    answers
}

/// The same collection once more, loaded from the store and the files that are there.
fn load_again(engine: &Engine) -> Collection {
    let collection = engine.collection(NAME).unwrap();
    Collection::load(
        collection.id(),
        NAME.into(),
        (*collection.config()).clone(),
        collection.store.clone(),
        collection.env.clone(),
        &collection.state().applied_positions(),
    )
    .unwrap()
}

/// Segments and manifest.
fn files(engine: &Engine) -> Vec<PathBuf> {
    let all = all_files(engine).into_iter();
    all.filter(|path| !is_link(path)).collect()
}

fn links(engine: &Engine) -> Vec<PathBuf> {
    let all = all_files(engine).into_iter();
    all.filter(|path| is_link(path)).collect()
}

fn is_link(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "blob")
}

fn all_files(engine: &Engine) -> Vec<PathBuf> {
    let id = engine.collection(NAME).unwrap().id().0.to_string();
    let folder = engine.collection(NAME).unwrap().store.dir().to_owned();
    let entries = std::fs::read_dir(folder.join("segments").join(id)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Two segment files with dead rows, a manifest, and changes after it.
fn filled(dir: &Path) -> Engine {
    let engine = open(dir);
    let collection = create(&engine);
    write(&engine, (0..300).map(|n| (n, Some(1.0))));
    collection.seal_now();
    write(&engine, (250..320).map(|n| (n, Some(2.0))));
    write(&engine, (0..10).map(|n| (n, None)));
    collection.seal_now();
    assert_eq!(files(&engine).len(), 3, "{:?}", files(&engine));
    assert_eq!(links(&engine).len(), 2, "{:?}", links(&engine));
    write(&engine, (20..25).map(|n| (n, None)));
    write(&engine, [(0, Some(3.0)), (30, Some(3.0)), (500, Some(3.0))]);
    engine
}

#[test]
fn a_start_maps_the_files_and_reads_only_what_changed_after_them() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let before = answers(&engine.collection(NAME).unwrap());
    let again = load_again(&engine);
    let info = again.info();
    assert_eq!(info.segments.len(), 3, "{info:?}");
    assert_eq!(info.segments[2].rows, 3, "{info:?}");
    assert!(info.segments[0].mapped_bytes > 4096, "{info:?}");
    assert!(info.segments[0].bytes < 300 * 64, "{info:?}");
    assert_eq!(answers(&again), before);
    drop((again, engine));
    let engine = open(dir.path());
    let collection = engine.collection(NAME).unwrap();
    assert_eq!(without_words(answers(&collection)), without_words(before));
    assert_eq!(engine.check(), Vec::<String>::new());
}

#[test]
fn a_tree_is_scanned_until_it_is_built_again() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let again = load_again(&engine);
    let explain = || {
        let query = Query {
            kind: QueryKind::Nearest(QueryVector::Dense(vec![0.0, 0.0])),
            limit: 3,
            params: SearchParams {
                explain: true,
                ..SearchParams::default()
            },
            ..Query::default()
        };
        again.query(&query).unwrap().explain.unwrap().segments[0].clone()
    };
    let scanned = explain();
    assert_eq!(scanned.index, "flat");
    assert!(scanned.reason.contains("built again after the start"));
    let before = answers(&again);
    again.seal_now();
    assert_eq!(explain().index, "kdtree");
    assert_eq!(without_words(answers(&again)), without_words(before));
}

#[test]
fn every_file_can_be_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let before = without_words(answers(&engine.collection(NAME).unwrap()));
    for path in all_files(&engine) {
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let again = load_again(&engine);
        assert_eq!(without_words(answers(&again)), before, "{}", path.display());
        assert_eq!(again.check_all(), Vec::<String>::new());
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::remove_dir_all(dir.path().join("segments")).unwrap();
    let again = load_again(&engine);
    assert_eq!(without_words(answers(&again)), before);
    again.seal_now();
    assert_eq!(files(&engine).len(), 2);
    assert_eq!(without_words(answers(&load_again(&engine))), before);
}

#[test]
fn a_changed_or_cut_file_gives_the_right_rows_or_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let before = without_words(answers(&engine.collection(NAME).unwrap()));
    let check = |path: &Path, damaged: &[u8], what: &str| {
        std::fs::write(path, damaged).unwrap();
        let again = load_again(&engine);
        let answers = without_words(answers(&again));
        if answers != before {
            assert!(
                !again.check_all().is_empty(),
                "{what} of {}",
                path.display()
            );
        }
    };
    for path in all_files(&engine) {
        let bytes = std::fs::read(&path).unwrap();
        // Not in place: the file is mapped, and a mapped file that is cut ends the process.
        std::fs::remove_file(&path).unwrap();
        // Header, a stride over the sections that is no multiple of anything in them, and the contents at the end.
        let end = bytes.len();
        let flips = (0..48).chain((48..end).step_by(509)).chain(end - 40..end);
        for at in flips {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            check(&path, &damaged, &format!("byte {at}"));
            std::fs::remove_file(&path).unwrap();
        }
        for length in [0, 1, 8, 47, 48, 4095, 4096, 5000, end / 2, end - 1] {
            let cut = &bytes[..length.min(end - 1)];
            check(&path, cut, &format!("{length} bytes"));
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn rows_of_a_damaged_file_are_read_from_the_store_when_it_is_merged() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let collection = create(&engine);
    write(&engine, (0..100).map(|n| (n, Some(1.0))));
    collection.seal_now();
    let before = without_words(answers(&collection));
    let path = files(&engine).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    // Every number of a dense vector that stands in the file becomes another.
    let values = collection.vector_rows("wide").unwrap().remove(0).1;
    let wanted: Vec<u8> = values.iter().flat_map(|x| x.to_ne_bytes()).collect();
    let at = bytes
        .windows(wanted.len())
        .position(|window| window == wanted);
    bytes[at.unwrap()] ^= 1;
    // In place, as a failing disk would.
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(collection.check_all().len(), 2);
    write(&engine, (100..200).map(|n| (n, Some(1.0))));
    write(&engine, (100..200).map(|n| (n, None)));
    write(&engine, (0..40).map(|n| (n, Some(1.0))));
    collection.seal_now();
    let rows = |answers: Vec<Vec<(PointId, u32, u64)>>| -> Vec<Vec<(PointId, u32)>> {
        let lists = answers.into_iter();
        lists
            .map(|list| list.into_iter().map(|(id, score, _)| (id, score)).collect())
            .collect()
    };
    let before = rows(before);
    assert_eq!(rows(without_words(answers(&collection))), before);
    assert_eq!(collection.check_all(), Vec::<String>::new());
    let again = load_again(&engine);
    assert_eq!(rows(without_words(answers(&again))), before);
    assert_eq!(again.check_all(), Vec::<String>::new());
}

#[test]
fn a_manifest_ahead_of_the_store_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let collection = engine.collection(NAME).unwrap();
    let before = without_words(answers(&collection));
    let folder = Folder::new(collection.store.dir(), collection.id());
    let mut manifest = folder.read_manifest().unwrap().unwrap();
    manifest.covered[5] += 1000;
    folder.write_manifest(&manifest).unwrap();
    let again = load_again(&engine);
    assert_eq!(without_words(answers(&again)), before);
    assert_eq!(again.info().indexed_rows, 0, "it was read from the store");
}

#[test]
fn a_segment_with_many_dead_rows_is_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let collection = create(&engine);
    write(&engine, (0..100).map(|n| (n, Some(1.0))));
    collection.seal_now();
    let segments = || {
        let segments = collection.info().segments.into_iter();
        segments.map(|s| (s.rows, s.live)).collect::<Vec<_>>()
    };
    write(&engine, (0..20).map(|n| (n, None)));
    collection.seal_now();
    assert_eq!(segments(), [(100, 80), (0, 0)]);
    write(&engine, [(20, None)]);
    collection.seal_now();
    assert_eq!(segments(), [(79, 79), (0, 0)]);
    assert_eq!(files(&engine).len(), 2);
    write(&engine, (0..100).map(|n| (n, None)));
    collection.seal_now();
    assert_eq!(segments(), [(0, 0)]);
    assert_eq!(files(&engine).len(), 1);
    assert_eq!(load_again(&engine).info().points, 0);
}

#[test]
fn a_deleted_collection_takes_its_files_along() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let folder = files(&engine)[0].parent().unwrap().to_owned();
    let kept = engine.collection(NAME).unwrap();
    assert!(engine.drop_collection(NAME).unwrap());
    assert!(!folder.exists());
    // The builder may have begun before.
    kept.seal_now();
    assert!(!folder.exists());
    let leftover = folder.with_file_name("77");
    std::fs::create_dir_all(leftover.join("1.segment")).unwrap();
    drop((kept, engine));
    drop(open(dir.path()));
    assert!(!leftover.exists());
}

#[test]
fn what_a_crash_left_behind_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let before = files(&engine);
    let folder = before[0].parent().unwrap();
    for name in ["99.segment", "100.tmp", "manifest.tmp"] {
        std::fs::write(folder.join(name), b"half a fi").unwrap();
    }
    let again = load_again(&engine);
    assert_eq!(files(&engine), before);
    again.seal_now();
    assert!(
        files(&engine)
            .iter()
            .all(|path| path.extension().is_none_or(|e| e == "segment"))
    );
}

#[test]
fn a_view_stays_as_it_was_while_rows_come_move_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let collection = engine.collection(NAME).unwrap();
    let ids = |view: &super::View| {
        let mut ids: Vec<PointId> = Vec::new();
        for part in &view.parts {
            ids.extend(
                part.live
                    .iter()
                    .map(|offset| part.segment.id(offset).clone()),
            );
        }
        ids.sort_unstable();
        ids
    };
    let view = collection.view();
    let before = ids(&view);
    write(&engine, (0..600).map(|n| (n, Some(9.0))));
    write(&engine, (0..100).map(|n| (n, None)));
    collection.seal_now();
    assert_eq!(ids(&view), before);
    assert_eq!(ids(&collection.view()).len(), 500);
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u64, bool)>),
    Seal,
    Reopen,
    Lose,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let operations = proptest::collection::vec((0u64..60, any::<bool>()), 1..40);
    let step = prop_oneof![
        5 => operations.prop_map(Step::Write),
        3 => Just(Step::Seal),
        2 => Just(Step::Reopen),
        1 => Just(Step::Lose),
    ];
    proptest::collection::vec(step, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn memory_files_and_store_agree_whatever_comes(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = open(dir.path());
        create(&engine);
        let mut expected: BTreeMap<PointId, bool> = BTreeMap::new();
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Write(operations) => {
                    let value = at as f32;
                    write(&engine, operations.iter().map(|&(n, up)| (n, up.then_some(value))));
                    expected.extend(operations.into_iter().map(|(n, up)| (id(n), up)));
                }
                Step::Seal => engine.collection(NAME).unwrap().seal_now(),
                Step::Reopen => {
                    drop(engine);
                    engine = open(dir.path());
                }
                Step::Lose => {
                    drop(engine);
                    let _ = std::fs::remove_dir_all(dir.path().join("segments"));
                    engine = open(dir.path());
                }
            }
            prop_assert_eq!(engine.check(), Vec::<String>::new());
            let collection = engine.collection(NAME).unwrap();
            let held = answers(&collection).remove(0).into_iter().map(|(id, ..)| id);
            let mut wanted = expected.iter().filter(|(_, up)| **up).map(|(id, _)| id.clone()).collect::<Vec<_>>();
            wanted.truncate(50);
            prop_assert_eq!(held.collect::<Vec<_>>(), wanted);
        }
    }
}

/// What does not fit the memory budget waits, searches are answered by scan, and the progress says so.
#[test]
fn structures_and_merges_wait_for_memory() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let before = without_words(answers(&engine.collection(NAME).unwrap()));
    let again = load_again(&engine);
    let budget = again.store.budget().clone();
    let all = budget.shares().collections;
    let held = budget.claim(Purpose::Collections, all);
    while again.build_step().unwrap() {}
    let progress = again.progress();
    let waiting = progress.waiting.as_deref().unwrap_or_default();
    assert!(waiting.contains("--memory"), "{progress:?}");
    assert!(
        progress.pending && progress.indexed_rows == 0,
        "{progress:?}"
    );
    assert!(again.next_check().is_some(), "it is tried again");
    assert_eq!(without_words(answers(&again)), before);
    drop(held);
    again.seal_now();
    let progress = again.progress();
    assert!(
        !progress.pending && progress.waiting.is_none(),
        "{progress:?}"
    );
    assert_eq!(progress.indexed_rows, progress.rows);
    assert_eq!(without_words(answers(&again)), before);
}

/// Tables that hold nothing but the deletion of another collection counted as media of every other one.
#[test]
fn a_collection_without_media_takes_no_disk_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    engine.create_collection("other", config()).unwrap();
    engine.drop_collection("other").unwrap();
    engine.store().flush_all();
    let usage = engine.collection(NAME).unwrap().usage().unwrap();
    assert_eq!(usage.disk_bytes.get("media"), 0, "{usage:?}");
    assert!(usage.disk_bytes.get("rows") > 0, "{usage:?}");
}

/// Parts add up to what is held, and everything is given back when the collection goes.
#[test]
fn usage_is_of_all_that_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let collection = engine.collection(NAME).unwrap();
    let usage = collection.usage().unwrap();
    let files: u64 = files(&engine)
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "segment"))
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert!(files > 0);
    let linked = usage.mapped_bytes.get("linked_vectors");
    assert!(linked > 0);
    assert_eq!(linked, row_bytes(&collection).linked as u64);
    assert_eq!(usage.mapped_bytes.sum() - linked, files);
    let segments = usage.disk_bytes.get("segments") + usage.disk_bytes.get("segments_dead");
    assert_eq!(segments, files);
    for part in ["kdtree", "ids", "table"] {
        assert!(usage.memory_bytes.get(part) > 0, "{part}: {usage:?}");
    }
    let held = engine.usage().unwrap().budget;
    assert!(
        held.collections > usage.memory_bytes.get("table"),
        "{held:?} {usage:?}"
    );
    // A vector that is replaced waits for the purge.
    let superseded = usage.disk_bytes.get("superseded");
    write(&engine, [(40, Some(7.0))]);
    let growing = collection.usage().unwrap();
    assert!(
        growing.disk_bytes.get("superseded") > superseded,
        "{growing:?}"
    );
    assert!(growing.memory_bytes.get("vectors") > 0, "{growing:?}");
    assert!(engine.usage().unwrap().budget.growing > 0);
    drop(collection);
    engine.drop_collection(NAME).unwrap();
    // A thread in the background may have the last of it, for a moment.
    for _ in 0..500 {
        let held = engine.usage().unwrap().budget;
        if held.growing + held.collections + held.builds == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{:?}", engine.usage().unwrap().budget);
}

/// Files that this version wrote; later versions must open them.
#[test]
fn the_golden_folder_opens_and_is_written_the_same_again() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/segments");
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), EngineOptions::default()).unwrap();
    let collection = create(&engine);
    write(&engine, (0..12).map(|n| (n, Some(1.0))));
    write(&engine, [(2, None), (3, None)]);
    collection.seal_now();
    write(&engine, [(5, None)]);
    collection.seal_now();
    for path in files(&engine) {
        let name = path.file_name().unwrap();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(&golden).unwrap();
            std::fs::copy(&path, golden.join(name)).unwrap();
        }
        let golden = std::fs::read(golden.join(name)).unwrap();
        assert!(std::fs::read(&path).unwrap() == golden, "{name:?} differs");
        std::fs::write(&path, golden).unwrap();
    }
    let again = load_again(&engine);
    let segments = again.info().segments;
    let sealed = segments.iter().filter(|segment| segment.state == "sealed");
    assert_eq!(sealed.map(|segment| segment.live).sum::<usize>(), 9);
    assert_eq!(again.check_all(), Vec::<String>::new());
}

/// The same of rows that stand in a linked file; `segment::file` changes its bytes.
#[test]
fn the_golden_links_open() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/links");
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let collection = create(&engine);
    write(&engine, (0..12).map(|n| (n, Some(1.0))));
    collection.seal_now();
    if std::env::var_os("UPDATE").is_some() {
        let _ = std::fs::remove_dir_all(&golden);
        std::fs::create_dir_all(&golden).unwrap();
        for path in all_files(&engine) {
            let name = if path.extension().is_some_and(|end| end == "segment") {
                "rows.segment"
            } else {
                path.file_name().unwrap().to_str().unwrap()
            };
            std::fs::copy(&path, golden.join(name)).unwrap();
        }
    }
    let manifest = Manifest::decode(&std::fs::read(golden.join("manifest")).unwrap()).unwrap();
    let [live] = &*manifest.segments else {
        panic!("{manifest:?}");
    };
    for path in all_files(&engine) {
        std::fs::remove_file(path).unwrap();
    }
    let folder = dir
        .path()
        .join("segments")
        .join(collection.id().0.to_string());
    for entry in std::fs::read_dir(&golden).unwrap() {
        let path = entry.unwrap().path();
        let name = match path.file_name().unwrap().to_str().unwrap() {
            "rows.segment" => format!("{}.segment", live.number),
            name => name.to_owned(),
        };
        std::fs::copy(&path, folder.join(name)).unwrap();
    }
    let again = load_again(&engine);
    again.seal_now();
    assert_eq!(again.info().indexed_rows, 12);
    assert_eq!(again.check_all(), Vec::<String>::new());
}

/// Bytes of rows in segment files and in linked files, over all segments.
fn row_bytes(collection: &Collection) -> RowBytes {
    let mut all = RowBytes::default();
    for part in collection.view().parts {
        let bytes = part.segment.row_bytes(&part.live);
        all.inline += bytes.inline;
        all.linked += bytes.linked;
    }
    all
}

/// Bytes of the columns that are too small for links.
fn small_bytes(points: u64) -> usize {
    let count = |lacks: fn(u64) -> bool| (0..points).filter(|n| !lacks(*n)).count();
    4 * (2 * count(|n| n % 5 == 4) + 20 * count(|n| n % 4 == 1))
}

fn large_bytes(points: impl Iterator<Item = u64>) -> usize {
    4 * LARGE_DIM * points.filter(|n| n % 9 != 2).count()
}

#[test]
fn large_rows_stay_where_the_store_wrote_them() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let collection = create(&engine);
    let mut before = Vec::new();
    for first in [0, 100, 200] {
        write(&engine, (first..first + 100).map(|n| (n, Some(1.0))));
        before = answers(&collection);
        collection.seal_now();
    }
    assert_eq!(files(&engine).len(), 2, "they were merged");
    let expected = RowBytes {
        inline: small_bytes(300),
        linked: large_bytes(0..300),
    };
    assert_eq!(row_bytes(&collection), expected);
    assert_eq!(links(&engine).len(), 3);
    for link in links(&engine) {
        assert_eq!(link.metadata().unwrap().nlink(), 2, "{}", link.display());
    }
    assert_eq!(without_words(answers(&collection)), without_words(before));
    // They belong to no other collection, and go with their own.
    assert!(engine.drop_collection(NAME).unwrap());
    assert!(!dir.path().join("segments").join("1").exists());
}

#[test]
fn rows_are_copied_where_there_are_no_hard_links() {
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(other.path(), dir.path().join("segments")).unwrap();
    if other.path().metadata().unwrap().dev() == dir.path().metadata().unwrap().dev() {
        return;
    }
    let engine = open(dir.path());
    let collection = create(&engine);
    write(&engine, (0..100).map(|n| (n, Some(1.0))));
    collection.seal_now();
    let expected = RowBytes {
        inline: small_bytes(100) + large_bytes(0..100),
        linked: 0,
    };
    assert_eq!(row_bytes(&collection), expected);
    assert_eq!(collection.check_all(), Vec::<String>::new());
}

/// Values that no row names any more are removed, as the purge of the log does.
fn remove_unnamed_vectors(collection: &Collection) {
    let store = &collection.store;
    let mut named = BTreeSet::new();
    let all = |family, visit: &mut dyn FnMut(&[u8], &[u8])| {
        let visit = |key: &[u8], value: &[u8]| {
            visit(key, value);
            Ok(Visit::Next)
        };
        store.scan(family, &[], &[], visit).unwrap();
    };
    all(Family::Points, &mut |point, value| {
        let row: PointRow = codec::decode(value, "row").unwrap();
        let partition = Partition(u16::from_be_bytes([point[0], point[1]]));
        named.extend(row.vectors.iter().map(|reference| {
            let VectorRef { index, ordinal, .. } = reference;
            key::value(partition, collection.id(), *index, *ordinal)
        }));
    });
    let mut batch = store.batch();
    all(Family::Vectors, &mut |key, _| {
        if !named.contains(key) {
            batch.delete(Family::Vectors, key);
        }
    });
    store.write(batch).unwrap();
}

#[test]
fn links_that_the_store_has_dropped_are_left() {
    // So many that their removal is no matter of a few.
    const ROWS: u64 = 24_000;
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let collection = create(&engine);
    let lives = |n: &u64| n % 10 == 3;
    write(&engine, (0..ROWS).map(|n| (n, Some(1.0))));
    collection.seal_now();
    let first = links(&engine);
    write(&engine, (0..ROWS).filter(|n| !lives(n)).map(|n| (n, None)));
    remove_unnamed_vectors(&collection);
    let before = without_words(answers(&collection));
    while collection.store.collect_garbage(&|| 0).unwrap() == Collected::More {}
    assert_eq!(without_words(answers(&collection)), before, "still mapped");
    collection.seal_now();
    assert_eq!(without_words(answers(&collection)), before);
    let bytes = |paths: &[PathBuf]| -> u64 {
        let sizes = paths.iter().map(|path| path.metadata().unwrap().len());
        sizes.sum()
    };
    let now = links(&engine);
    assert!(!now.is_empty() && first.iter().all(|link| !now.contains(link)));
    assert!(bytes(&now) < ROWS * 600 / 9, "{} bytes", bytes(&now));
    let linked = row_bytes(&collection).linked;
    assert_eq!(linked, large_bytes((0..ROWS).filter(lives)));
    assert_eq!(collection.check_all(), Vec::<String>::new());
    drop(collection);
    drop(engine);
    let engine = open(dir.path());
    let collection = engine.collection(NAME).unwrap();
    assert_eq!(without_words(answers(&collection)), before);
}

#[test]
fn a_panic_in_background_work_stops_that_of_its_collection_only() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), EngineOptions::default()).unwrap();
    let config = || {
        let mut config = CollectionConfig::default();
        config
            .sparse_vectors
            .insert("words".into(), SparseVectorConfig::default());
        config
    };
    let point = |collection: &Collection| {
        let share = Share {
            partition: Partition(0),
            operations: vec![Operation::Upsert {
                collection: collection.id(),
                point: Point {
                    id: id(1),
                    vectors: BTreeMap::new(),
                    payload: Default::default(),
                    media: Vec::new(),
                    expires_at_ms: None,
                }
                .into(),
            }],
        };
        engine.apply(engine.append(vec![share]).unwrap()).unwrap();
    };
    let bad = engine.create_collection("bad", config()).unwrap();
    bad.panics_when_built.store(true, Ordering::SeqCst);
    point(&bad);
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let since = std::time::Instant::now();
        while !holds() {
            assert!(since.elapsed().as_secs() < 30, "{what}");
            std::thread::yield_now();
        }
    };
    until("the panic is not told", &|| bad.info().trouble.is_some());
    let trouble = bad.info().trouble.unwrap();
    assert!(trouble.contains("a bug of this test"), "{trouble}");
    let good = engine.create_collection("good", config()).unwrap();
    point(&good);
    point(&bad);
    until("the other is not sealed", &|| good.info().indexed_rows == 1);
    assert_eq!(bad.info().points, 1);
    assert_eq!(good.info().trouble, None);
}

/// A collection of sparse vectors in a new engine, and a write of one point to it.
fn with_a_write(dir: &Path, name: &str) -> (Engine, Arc<Collection>, impl Fn(&Engine)) {
    let engine = Engine::open(dir, EngineOptions::default()).unwrap();
    let mut config = CollectionConfig::default();
    config
        .sparse_vectors
        .insert("words".into(), SparseVectorConfig::default());
    let collection = engine.create_collection(name, config).unwrap();
    let of = collection.id();
    let write = move |engine: &Engine| {
        let point = Point {
            id: id(1),
            vectors: BTreeMap::new(),
            payload: Default::default(),
            media: Vec::new(),
            expires_at_ms: None,
        };
        let share = Share {
            partition: Partition(0),
            operations: vec![Operation::Upsert {
                collection: of,
                point: point.into(),
            }],
        };
        engine.apply(engine.append(vec![share]).unwrap()).unwrap();
    };
    (engine, collection, write)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let since = std::time::Instant::now();
    while !holds() {
        assert!(since.elapsed().as_secs() < 30, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_sealing_that_failed_is_tried_again_without_a_write() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection, write) = with_a_write(dir.path(), NAME);
    // A file in the place of the folder of its segments.
    let segments = dir.path().join("segments");
    let folder = segments.join(collection.id().0.to_string());
    std::fs::create_dir_all(&segments).unwrap();
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::write(&folder, []).unwrap();
    write(&engine);
    until("the sealing does not fail", || {
        collection.progress().failure.is_some()
    });
    std::fs::remove_file(&folder).unwrap();
    until("it is not tried again", || {
        collection.progress().failure.is_none() && collection.info().indexed_rows == 1
    });
}

#[test]
fn a_panic_while_garbage_is_collected_does_not_end_sealing() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection, write) = with_a_write(dir.path(), NAME);
    let panics = collection.store.panics_when_collecting();
    panics.store(true, Ordering::SeqCst);
    write(&engine);
    until("it does not panic", || !panics.load(Ordering::SeqCst));
    until("the row is not sealed", || {
        collection.info().indexed_rows == 1
    });
    write(&engine);
    until("the row is not sealed again", || {
        collection.info().indexed_rows == 1
    });
    assert_eq!(collection.info().trouble, None);
}

#[test]
fn what_manifests_cover_never_shrinks() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let collection = create(&engine);
    write(&engine, (0..300).map(|n| (n, Some(1.0))));
    collection.seal_now();
    // Removals from sealed segments alone: nothing grows.
    write(&engine, (0..200).map(|n| (n, None)));
    let covered = || collection.state.write().manifest().0.covered;
    let before = covered();
    write(&engine, (0..100).map(|n| (n, Some(2.0))));
    let after = covered();
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(before, after)| before <= after)
    );
    assert!(before.iter().any(|position| *position > 0));
}
