//! A graph is built with the encoding that its vector asks for, and keeps it.

use index::Encoding;

use super::*;
use crate::query::SegmentExplain;
use crate::usage::Parts;

const DIM: usize = 136;
const ROWS: u64 = 1500;
const MORE: u64 = 400;

/// Between -1 and 1, without any order.
fn noise(n: u64, at: usize) -> f32 {
    let mut bits = (n * DIM as u64 + at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

fn tame(n: u64) -> Vec<f32> {
    (0..DIM).map(|at| noise(n, at)).collect()
}

/// Far from the origin in some components, whose values take nearly all levels of a byte.
fn far(n: u64) -> Vec<f32> {
    let shift = |at: usize| if at.is_multiple_of(32) { 300.0 } else { 0.0 };
    (0..DIM).map(|at| noise(n, at) + shift(at)).collect()
}

fn create(engine: &Engine, encoding: Option<Encoding>) -> Arc<Collection> {
    let vector = VectorConfig {
        index: Some(IndexKind::Graph),
        encoding,
        ..VectorConfig::new(DIM, Metric::L2)
    };
    let config = CollectionConfig {
        vectors: [(String::new(), vector)].into(),
        ..CollectionConfig::default()
    };
    let collection = engine.create_collection(NAME, config).unwrap();
    collection.is_paused.store(true, Ordering::SeqCst);
    collection
}

/// The nearest point, and how the sealed segment found it.
fn nearest(collection: &Collection, values: Vec<f32>) -> (PointId, SegmentExplain) {
    let query = Query {
        kind: QueryKind::Nearest(QueryVector::Dense(values)),
        limit: 10,
        params: SearchParams {
            explain: true,
            ..SearchParams::default()
        },
        ..Query::default()
    };
    let answer = collection.query(&query).unwrap();
    let mut segments = answer.explain.unwrap().segments;
    segments.retain(|segment| segment.state == "sealed");
    (answer.points[0].id.clone(), segments.remove(0))
}

/// One graph over so many rows of this encoding answers each row beside which is asked.
fn check(collection: &Collection, rows: u64, values: fn(u64) -> Vec<f32>, encoding: Encoding) {
    let (mut met, mut asked) = (0, 0);
    for n in (0..rows).step_by(37) {
        let beside = values(n).into_iter().map(|x| x + 0.01).collect();
        let (id, explain) = nearest(collection, beside);
        assert_eq!(explain.index, "graph", "{encoding}: {explain:?}");
        assert_eq!(explain.encoding, Some(encoding.name()), "{explain:?}");
        met += u32::from(id == PointId::Num(n));
        asked += 1;
    }
    // Of rows without any order, which are the hardest to walk through.
    assert!(met * 100 >= asked * 85, "{encoding}: {met} of {asked}");
    let mut parts = Parts::default();
    let view = collection.view();
    view.parts
        .iter()
        .for_each(|part| part.segment.add_mapped(&mut parts));
    let code_bytes = rows * encoding.row_bytes(DIM) as u64;
    assert_eq!(parts.get("codes"), code_bytes, "{encoding}");
    assert!(collection.check_all().is_empty());
}

/// Sealed, opened again, and merged with more rows.
fn lives_on(asked: Option<Encoding>, values: fn(u64) -> Vec<f32>, expected: Encoding) {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let collection = create(&engine, asked);
    write_rows(&engine, 0..ROWS, values);
    collection.seal_now();
    let (_, explain) = nearest(&collection, values(0));
    assert_eq!((explain.index, explain.encoding), ("flat", None));
    collection.build_graphs_now();
    check(&collection, ROWS, values, expected);
    drop((collection, engine));

    let engine = open(dir.path());
    let collection = engine.collection(NAME).unwrap();
    collection.is_paused.store(true, Ordering::SeqCst);
    assert_eq!(collection.config().vectors[""].encoding, asked);
    check(&collection, ROWS, values, expected);
    write_rows(&engine, ROWS..ROWS + MORE, values);
    collection.seal_now();
    collection.build_graphs_now();
    check(&collection, ROWS + MORE, values, expected);
    // Without the graph from which it was made, from the settings alone.
    let graphs = files(&engine).into_iter();
    let graphs = graphs.filter(|path| path.extension().is_some_and(|end| end == "graph"));
    graphs.for_each(|path| std::fs::remove_file(path).unwrap());
    let again = load_again(&engine);
    again.build_graphs_now();
    check(&again, ROWS + MORE, values, expected);
}

#[test]
fn an_encoding_survives_starts_and_merges() {
    for encoding in Encoding::ALL {
        lives_on(Some(encoding), tame, encoding);
    }
    lives_on(None, tame, Encoding::Sq8);
}

#[test]
fn an_answer_tells_the_encoding_that_took_the_place_of_the_one_asked_for() {
    lives_on(Some(Encoding::Sq8), far, Encoding::F16);
}

#[test]
fn what_a_graph_takes_is_known_before_it_is_built() {
    let check = |encoding: Encoding, made: u64| {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        let collection = create(&engine, Some(encoding));
        write_rows(&engine, 0..ROWS, tame);
        collection.seal_now();
        let view = collection.view();
        let sealed = view.parts.iter().find(|part| part.segment.is_sealed());
        let segment = sealed.unwrap().segment.clone();
        let estimate = segment.graph_file_bytes("");
        assert_eq!(segment.graph_bytes("") - estimate, ROWS * (800 + made));
        drop(view);
        collection.build_graphs_now();
        let graph = segment.dense[""].graph().unwrap();
        let bytes = graph.code_bytes() + graph.edge_bytes();
        // Headers, what was measured, and what fills a page.
        assert!(
            (estimate..estimate + 64 * 1024).contains(&bytes),
            "{encoding}: {bytes} of {estimate}"
        );
    };
    check(Encoding::Sq8, 0);
    check(Encoding::Binary, 192);
    check(Encoding::F32, 192);
}
