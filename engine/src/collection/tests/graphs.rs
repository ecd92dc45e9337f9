//! Graphs are built after sealing, kept in files, and derived as these: searches answer without them, and they are built again.

use std::collections::HashSet;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::*;
use crate::collection::GraphStep;
use crate::filter::{Condition, Filter};
use crate::query::{Answer, SegmentExplain};

const ROWS: u64 = 1500;
const K: usize = 5;

/// A graph over rows in the segment's file, and one over rows in linked files.
fn create(engine: &Engine) -> Arc<Collection> {
    let mut config = config();
    for name in ["wide", "large"] {
        config.vectors.get_mut(name).unwrap().index = Some(IndexKind::Graph);
    }
    let collection = engine.create_collection(NAME, config).unwrap();
    collection.is_paused.store(true, Ordering::SeqCst);
    collection
}

fn sealed(dir: &Path) -> (Engine, Arc<Collection>) {
    let engine = open(dir);
    let collection = create(&engine);
    write(&engine, (0..ROWS).map(|n| (n, Some(0.5))));
    collection.seal_now();
    (engine, collection)
}

fn near(n: u64, using: &str) -> Vec<f32> {
    let point = point(n, 0.5);
    match point.vectors.get(using) {
        Some(Vector::Dense(values)) => values.iter().map(|x| x + 0.01).collect(),
        _ => panic!("point {n} has no \"{using}\""),
    }
}

fn ask(collection: &Collection, using: &str, n: u64, params: SearchParams) -> Answer {
    let query = Query {
        kind: QueryKind::Nearest(QueryVector::Dense(near(n, using))),
        using: using.into(),
        limit: K,
        params: SearchParams {
            explain: true,
            ..params
        },
        ..Query::default()
    };
    collection.query(&query).unwrap()
}

fn ids(answer: &Answer) -> HashSet<PointId> {
    let points = answer.points.iter();
    points.map(|point| point.id.clone()).collect()
}

/// Index and route of the only sealed segment.
fn how(answer: &Answer) -> (&'static str, Option<&'static str>) {
    let explain = answer.explain.as_ref().unwrap();
    let sealed: Vec<&SegmentExplain> = explain
        .segments
        .iter()
        .filter(|segment| segment.state == "sealed")
        .collect();
    assert_eq!(sealed.len(), 1, "{explain:?}");
    (sealed[0].index, sealed[0].route)
}

const WALKED: (&str, Option<&str>) = ("graph", Some("walk"));
const SCANNED: (&str, Option<&str>) = ("flat", None);

/// The share of the true neighbours that is answered, over both vectors.
fn recall(collection: &Collection, params: &SearchParams) -> f64 {
    let exact = SearchParams {
        exact: true,
        ..SearchParams::default()
    };
    let (mut met, mut wanted) = (0, 0);
    for using in ["wide", "large"] {
        for n in (0..ROWS).step_by(36) {
            let truth = ids(&ask(collection, using, n, exact.clone()));
            let answer = ids(&ask(collection, using, n, params.clone()));
            assert_eq!(answer.len(), K);
            met += answer.intersection(&truth).count();
            wanted += truth.len();
        }
    }
    met as f64 / wanted as f64
}

fn graph_files(engine: &Engine) -> Vec<PathBuf> {
    let all = files(engine).into_iter();
    all.filter(|path| path.extension().is_some_and(|end| end == "graph"))
        .collect()
}

fn params() -> SearchParams {
    SearchParams::default()
}

/// Whoever waits for green after a load waits for the graph too, though the rows have not rested for long enough to be sealed.
#[test]
fn so_many_rows_that_a_graph_pays_are_work_before_they_are_sealed() {
    const PAYS: u64 = index::GRAPH_PAYS_FROM as u64;
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let collection = create(&engine);
    write(&engine, (0..PAYS - 1).map(|n| (n, Some(0.5))));
    assert!(!collection.progress().pending);
    write(&engine, [(PAYS, Some(0.5))]);
    assert!(collection.progress().pending);
    collection.seal_now();
    collection.build_graphs_now();
    assert!(!collection.progress().pending);
}

#[test]
fn a_sealed_segment_gets_its_graphs_and_a_start_maps_them() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection) = sealed(dir.path());
    assert!(collection.progress().pending);
    assert_eq!(collection.progress().indexed_rows, 0);
    assert_eq!(how(&ask(&collection, "wide", 0, params())), SCANNED);
    collection.build_graphs_now();
    assert!(!collection.progress().pending);
    assert_eq!(collection.progress().indexed_rows, ROWS as usize);
    let written = graph_files(&engine);
    assert_eq!(written.len(), 2);
    let check = |collection: &Collection| {
        for using in ["wide", "large"] {
            assert_eq!(how(&ask(collection, using, 0, params())), WALKED);
        }
        assert!(recall(collection, &params()) > 0.95);
        assert!(collection.check_all().is_empty());
    };
    check(&collection);
    let bytes: u64 = written
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    let mut parts = crate::usage::Parts::default();
    let view = collection.view();
    view.parts
        .iter()
        .for_each(|part| part.segment.add_mapped(&mut parts));
    assert_eq!(parts.get("codes") + parts.get("graph"), bytes);
    // Loaded without a builder: nothing is there but what was mapped.
    check(&load_again(&engine));
    // An exact answer compares all rows; a narrow walk finds less than a wide one, and says so.
    let exact = SearchParams {
        exact: true,
        ..params()
    };
    assert_eq!(how(&ask(&collection, "wide", 0, exact)), SCANNED);
    let estimate = |params| {
        let answer = ask(&collection, "large", 0, params);
        answer.explain.unwrap().recall_estimate
    };
    let of = |target| SearchParams {
        target_recall: Some(target),
        ..params()
    };
    assert!(estimate(of(0.5)) <= estimate(of(0.99)));
    assert!(estimate(of(0.99)).is_some_and(|recall| recall > 0.9));
    // A graph promises no more than 0.9975 of them, however far it walks.
    let all = ask(&collection, "large", 0, of(1.0));
    assert_eq!(how(&all), SCANNED);
    let explain = all.explain.unwrap();
    assert_eq!(explain.recall_estimate, Some(1.0));
    let reasons: Vec<&str> = explain.segments.iter().map(|of| &*of.reason).collect();
    let said = "compared exactly, as a target recall of 1 asks";
    assert!(reasons.contains(&said), "{reasons:?}");
}

/// The nearest of the first [`ROWS`] points by their numbers.
fn nearest(n: u64, using: &str) -> HashSet<PointId> {
    let query = near(n, using);
    let mut all: Vec<(f32, PointId)> = (0..ROWS)
        .filter_map(|n| match point(n, 0.5).vectors.get(using) {
            Some(Vector::Dense(values)) => Some((Metric::L2.distance(&query, values), id(n))),
            _ => None,
        })
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.into_iter().take(K).map(|(_, id)| id).collect()
}

#[test]
fn rows_without_a_graph_are_answered_from_approximations_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let collection = create(&engine);
    write(&engine, (0..ROWS).map(|n| (n, Some(0.5))));
    let check = |collection: &Collection, state| {
        let (mut read, mut visited) = (0, 0);
        for n in (0..ROWS).step_by(36) {
            let answer = ask(collection, "large", n, params());
            assert_eq!(ids(&answer), nearest(n, "large"), "{state}: {n}");
            let segments = answer.explain.unwrap().segments;
            let segment = segments.iter().find(|of| of.state == state).unwrap();
            // Beside the codes, the numbers of some.
            read += segment.distance_calls - segment.visited;
            visited += segment.visited;
        }
        assert!(0 < read && read < visited / 4, "{read} of {visited}");
    };
    let codes = |collection: &Collection| collection.usage().unwrap().memory_bytes.get("codes");
    check(&collection, "growing");
    assert!(codes(&collection) > 0);
    collection.seal_now();
    check(&collection, "sealed");
    assert!(codes(&collection) > 0);
    // A start leaves them out: a graph will come.
    let again = load_again(&engine);
    again.seal_now();
    assert_eq!(codes(&again), 0);
    assert_eq!(ids(&ask(&again, "large", 0, params())), nearest(0, "large"));
    // A graph has codes of its own.
    collection.build_graphs_now();
    assert_eq!(codes(&collection), 0);
}

#[test]
fn rows_that_are_scanned_for_good_get_approximations_when_it_is_quiet() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let mut config = config();
    config.vectors.get_mut("large").unwrap().index = Some(IndexKind::Flat);
    let collection = engine.create_collection(NAME, config).unwrap();
    collection.is_paused.store(true, Ordering::SeqCst);
    write(&engine, (0..ROWS).map(|n| (n, Some(0.5))));
    let codes = |collection: &Collection| collection.usage().unwrap().memory_bytes.get("codes");
    collection.seal_now();
    assert!(codes(&collection) > 0);
    let again = load_again(&engine);
    assert_eq!(codes(&again), 0);
    // No memory, no approximations; the answers are the same.
    let budget = collection.store.budget();
    let taken = budget.claim(Purpose::Builds, budget.left_for_builds());
    again.seal_now();
    assert_eq!(codes(&again), 0);
    assert_eq!(ids(&ask(&again, "large", 0, params())), nearest(0, "large"));
    drop(taken);
    again.seal_now();
    assert!(codes(&again) > 0);
    assert_eq!(ids(&ask(&again, "large", 0, params())), nearest(0, "large"));
}

#[test]
fn a_graph_of_a_deleted_collection_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection) = sealed(dir.path());
    collection.state.write().rest();
    collection.is_paused.store(false, Ordering::SeqCst);
    let GraphStep::Build(job) = collection.begin_graph() else {
        panic!("there is a graph to build");
    };
    assert!(job.build(1).is_some());
    drop(collection);
    engine.drop_collection(NAME).unwrap();
    // A thread in the background may have the last of it, for a moment.
    until("it is built all the same", || job.build(1).is_none());
}

#[test]
fn a_graph_that_is_missing_or_damaged_is_built_again() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection) = sealed(dir.path());
    collection.build_graphs_now();
    let [path, other] = &graph_files(&engine)[..] else {
        panic!("two graphs");
    };
    let sound = std::fs::read(path).unwrap();
    let check = |damaged: Option<Vec<u8>>| {
        match &damaged {
            None => std::fs::remove_file(path).unwrap(),
            Some(bytes) => {
                // As a new file: the old one is mapped.
                std::fs::remove_file(path).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
        }
        let again = load_again(&engine);
        let lacking = again.state.read().lacking_graphs();
        assert_eq!(lacking.len(), 1);
        assert!(recall(&again, &params()) > 0.95);
        again.build_graphs_now();
        assert!(again.state.read().lacking_graphs().is_empty());
        assert_eq!(
            std::fs::read(path).unwrap(),
            sound,
            "equal rows, equal graph"
        );
    };
    check(None);
    check(Some(Vec::new()));
    check(Some(sound[..sound.len() - 1].to_vec()));
    check(Some(std::fs::read(other).unwrap()));
    let mut flipped = sound.clone();
    // The header of the graph, behind that of the file.
    flipped[4096 + 20] ^= 1;
    check(Some(flipped));
    // Of edges every one is looked at; codes are told by a check.
    let mut flipped = sound.clone();
    let last = flipped.len() - 300;
    flipped[4096 * 2 + 70] ^= 0x40;
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, &flipped).unwrap();
    let again = load_again(&engine);
    assert!(again.state.read().lacking_graphs().is_empty());
    let problems = again.check_all();
    assert!(problems[0].contains("codes: checksum"), "{problems:?}");
    assert!(last > 4096);
}

#[test]
fn a_merge_keeps_what_the_graph_of_the_larger_segment_knows() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection) = sealed(dir.path());
    collection.build_graphs_now();
    write(&engine, (0..100).map(|n| (n * 3, None)));
    write(&engine, (1..200).map(|n| (n * 7, Some(0.25))));
    assert!(
        recall(&collection, &params()) > 0.95,
        "dead rows are passed by"
    );
    write(&engine, (0..400).map(|n| (ROWS + n, Some(0.5))));
    collection.seal_now();
    let view = collection.view();
    assert_eq!(view.parts.len(), 2, "one sealed, one growing");
    drop(view);
    assert_eq!(how(&ask(&collection, "wide", 0, params())), SCANNED);
    collection.build_graphs_now();
    assert_eq!(how(&ask(&collection, "wide", 0, params())), WALKED);
    assert!(recall(&collection, &params()) > 0.95);
    assert_eq!(
        graph_files(&engine).len(),
        2,
        "those of the old segment went with it"
    );
    assert!(collection.check_all().is_empty());
}

#[test]
fn a_graph_waits_for_memory_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection) = sealed(dir.path());
    let budget = collection.store.budget();
    let all = budget.claim(Purpose::Builds, budget.left_for_builds());
    collection.build_graphs_now();
    assert_eq!(collection.state.read().lacking_graphs().len(), 1);
    let waiting = collection.progress().waiting.unwrap();
    assert!(
        waiting.contains("a graph of") && waiting.contains("--memory"),
        "{waiting}"
    );
    drop(all);
    collection.build_graphs_now();
    assert_eq!(collection.progress().waiting, None);
    assert_eq!(graph_files(&engine).len(), 2);
}

/// The thread does by itself what the other tests ask for, and does not keep the folder when the engine goes.
#[test]
fn graphs_are_built_in_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let collection = create(&engine);
    collection.is_paused.store(false, Ordering::SeqCst);
    write(&engine, (0..ROWS).map(|n| (n, Some(0.5))));
    drop(collection);
    drop(engine);
    let engine = open(dir.path());
    let collection = engine.collection(NAME).unwrap();
    let begun = Instant::now();
    while collection.progress().pending || collection.progress().indexed_rows == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{:?}",
            collection.progress()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(graph_files(&engine).len(), 2);
    assert_eq!(how(&ask(&collection, "wide", 0, params())), WALKED);
}

/// Damaged codes lead walks astray, and no answer shows it.
#[test]
fn damaged_codes_are_noticed_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection) = sealed(dir.path());
    collection.build_graphs_now();
    let path = graph_files(&engine).remove(0);
    drop((collection, engine));
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    // Its header takes less than the page before.
    file.write_all_at(&[77; 9], 2 * 4096 + 100).unwrap();
    let engine = open(dir.path());
    let collection = engine.collection(NAME).unwrap();
    until("its trouble is not told", || {
        collection.info().trouble.is_some()
    });
    let trouble = collection.info().trouble.unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let wanted = ["codes of", "checksum", "remove", name];
    assert!(
        wanted.iter().all(|part| trouble.contains(part)),
        "{trouble}"
    );
}

/// Queries that are far from all rows are of another kind than those that were measured: nothing is claimed of them until enough were asked.
#[test]
fn a_graph_learns_from_the_queries_that_are_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (_engine, collection) = sealed(dir.path());
    collection.build_graphs_now();
    collection.observe_by(&crate::observer::Observer::start(Env::system()).unwrap());
    let estimate = |n: u64| {
        let far = (0..LARGE_DIM).map(|at| 9.0 + ((n * 31 + at as u64) as f32).sin());
        let query = Query {
            kind: QueryKind::Nearest(QueryVector::Dense(far.collect())),
            using: "large".into(),
            limit: K,
            params: SearchParams {
                explain: true,
                ..params()
            },
            ..Query::default()
        };
        let answer = collection.query(&query).unwrap();
        answer.explain.unwrap().recall_estimate
    };
    assert_eq!(estimate(0), None);
    let begun = Instant::now();
    let mut asked = 0;
    while estimate(asked).is_none() {
        asked += 1;
        assert!(begun.elapsed() < Duration::from_secs(60), "{asked} asked");
        std::thread::sleep(Duration::from_millis(1));
    }
    // Every second one is learned from: the fiftieth of these was the one before, if it was learned from at once.
    assert!((98..400).contains(&asked), "{asked}");
}

/// Whether a filter is met by a walk or by a scan depends on what both cost on this machine.
#[test]
fn costs_are_measured_when_a_filter_comes_for_the_first_time() {
    let dir = tempfile::tempdir().unwrap();
    let (_engine, collection) = sealed(dir.path());
    collection.build_graphs_now();
    collection.observe_by(&crate::observer::Observer::start(Env::system()).unwrap());
    let costs = || {
        let view = collection.view();
        let columns = view.parts.iter().map(|part| &part.segment.dense["wide"]);
        let graphs = columns.filter_map(|column| column.graph());
        graphs.map(|file| file.graph.costs()).next().unwrap()
    };
    assert_eq!(costs(), index::Costs::default());
    ask(&collection, "wide", 0, params());
    let filter = Filter {
        must: vec![Condition::HasId((0..ROWS / 2).map(id).collect())],
        ..Filter::default()
    };
    let filtered = Query {
        kind: QueryKind::Nearest(QueryVector::Dense(near(0, "wide"))),
        using: "wide".into(),
        filter: Some(filter),
        limit: K,
        ..Query::default()
    };
    collection.query(&filtered).unwrap();
    let begun = Instant::now();
    while costs() == index::Costs::default() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not measured");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A trial wrote garbage into a graph that was served: searches panicked.
#[test]
fn a_graph_that_is_damaged_while_it_is_served_is_told_and_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection) = sealed(dir.path());
    collection.build_graphs_now();
    let exact = SearchParams {
        exact: true,
        ..params()
    };
    let wanted: Vec<_> = (0..20)
        .map(|n| ids(&ask(&collection, "wide", 4 * n, exact.clone())))
        .collect();
    assert_eq!(how(&ask(&collection, "wide", 0, params())), WALKED);
    for path in graph_files(&engine) {
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let end = file.metadata().unwrap().len();
        // Within the edges, which stand last but for the contents; not all points have the vector.
        let edges = ROWS / 2 * 32 * 4;
        let garbage = vec![0xa0; edges as usize * 3 / 4];
        file.write_all_at(&garbage, end - edges).unwrap();
    }
    let mut found = 0;
    for (n, wanted) in (0..).zip(&wanted) {
        let answer = ask(&collection, "wide", 4 * n, params());
        found += ids(&answer).intersection(wanted).count();
    }
    assert!(found >= 19 * K, "{found} of {}", 20 * K);
    let trouble = collection.info().trouble.unwrap();
    assert!(trouble.contains("graph of vector \"wide\""), "{trouble}");
}

/// A row that is no number cannot be coded: its segment is searched by scan.
#[test]
fn rows_that_no_graph_takes_are_scanned() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = sealed(dir.path());
    let path = files(&engine)
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "segment"))
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let Some(Vector::Dense(values)) = point(4, 0.5).vectors.remove("wide") else {
        panic!("it has one");
    };
    let row: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let at = bytes
        .windows(row.len())
        .position(|window| window == row)
        .unwrap();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let again = load_again(&engine);
    again.build_graphs_now();
    assert_eq!(how(&ask(&again, "wide", 0, params())), SCANNED);
    assert_eq!(how(&ask(&again, "large", 0, params())), WALKED);
}
