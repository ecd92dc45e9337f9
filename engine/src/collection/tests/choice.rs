//! Which exact structure a sealed segment gets, and that it answers thresholds.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::*;

/// A collection of one vector whose rows were sealed while the stopwatch went on by these microseconds between one look and the next, over and over.
fn sealed_by(dir: &Path, vector: VectorConfig, rows: u64, steps: &'static [u64]) -> Engine {
    let (looks, micros) = (AtomicU64::new(0), AtomicU64::new(0));
    let stopwatch = move || {
        let step = steps[looks.fetch_add(1, Ordering::SeqCst) as usize % steps.len()];
        Duration::from_micros(micros.fetch_add(step, Ordering::SeqCst) + step)
    };
    let options = EngineOptions {
        env: Env::system().with_stopwatch(stopwatch),
        ..EngineOptions::default()
    };
    let engine = Engine::open(dir, options).unwrap();
    let mut config = CollectionConfig::default();
    let dim = vector.dim;
    config.vectors.insert(String::new(), vector);
    let collection = engine.create_collection(NAME, config).unwrap();
    collection.is_paused.store(true, Ordering::SeqCst);
    let value = |n: u64, at: usize| (n as f32 * 0.37 * (at + 1) as f32).sin();
    write_rows(&engine, 0..rows, |n| {
        (0..dim).map(|at| value(n, at)).collect()
    });
    collection.seal_now();
    engine
}

fn nearest(values: Vec<f32>, limit: usize) -> Query {
    Query {
        kind: QueryKind::Nearest(QueryVector::Dense(values)),
        limit,
        params: SearchParams {
            explain: true,
            ..SearchParams::default()
        },
        ..Query::default()
    }
}

#[test]
fn the_structure_that_was_faster_on_a_sample_is_kept() {
    // Two looks for each search, two searches of the tree, two of the scan.
    const EVEN: &[u64] = &[0, 5];
    const TREE_IS_SLOW: &[u64] = &[0, 20, 0, 20, 0, 2, 0, 2];
    const TREE_IS_FAST: &[u64] = &[0, 2, 0, 2, 0, 20, 0, 20];
    const STANDS_STILL: &[u64] = &[0];
    let check = |dim, metric, index, rows, steps, expected: &str, because: &str| {
        let dir = tempfile::tempdir().unwrap();
        let engine = sealed_by(
            dir.path(),
            VectorConfig {
                index,
                ..VectorConfig::new(dim, metric)
            },
            rows,
            steps,
        );
        let collection = engine.collection(NAME).unwrap();
        let answer = collection.query(&nearest(vec![0.1; dim], 3)).unwrap();
        let segment = &answer.explain.unwrap().segments[0];
        assert_eq!((segment.state, segment.index), ("sealed", expected));
        assert!(segment.reason.contains(because), "{}", segment.reason);
    };
    let measured = "64 sample queries over 400 rows took a k-d tree 20.0 us each and a scan 2.0 us";
    check(
        2,
        Metric::L2,
        None,
        400,
        EVEN,
        "kdtree",
        "tree 5.0 us each and a scan 5.0 us",
    );
    check(2, Metric::L2, None, 400, TREE_IS_SLOW, "flat", measured);
    check(
        2,
        Metric::L2,
        None,
        200,
        TREE_IS_FAST,
        "kdtree",
        "over 200 rows",
    );
    check(2, Metric::L2, None, 200, EVEN, "flat", "over 200 rows");
    check(
        2,
        Metric::L2,
        None,
        400,
        STANDS_STILL,
        "kdtree",
        "chosen for 400 rows of dim 2 with l2",
    );
    check(
        12,
        Metric::L1,
        None,
        2_100,
        TREE_IS_FAST,
        "kdtree",
        "over 2100 rows",
    );
    check(12, Metric::L1, None, 2_100, EVEN, "flat", "over 2100 rows");
    let forced = Some(IndexKind::KdTree);
    check(
        2,
        Metric::L2,
        forced,
        400,
        TREE_IS_SLOW,
        "kdtree",
        "asked for",
    );
    check(32, Metric::L2, forced, 400, EVEN, "kdtree", "asked for");
}

/// A threshold with a limit that no tree could fetch in order: only the ball around the query is visited.
#[test]
fn a_threshold_is_a_radius_of_the_tree() {
    for dim in [2, 12] {
        for metric in [Metric::L2, Metric::L1, Metric::LInf] {
            let dir = tempfile::tempdir().unwrap();
            let index = Some(IndexKind::KdTree);
            let engine = sealed_by(
                dir.path(),
                VectorConfig {
                    index,
                    ..VectorConfig::new(dim, metric)
                },
                6_000,
                &[0],
            );
            let collection = engine.collection(NAME).unwrap();
            let query = nearest(
                (0..dim).map(|at| (0.4 * (at + 1) as f32).sin()).collect(),
                100_000,
            );
            let all = collection.query(&query).unwrap().points;
            assert_eq!(all.len(), 6_000);
            for at in [0, 7, 60, 5_999] {
                // The score of a row is a threshold that this row just meets.
                let threshold = all[at].score;
                let within = Query {
                    score_threshold: Some(threshold),
                    ..query.clone()
                };
                let answer = collection.query(&within).unwrap();
                let expected = all.iter().take_while(|point| point.score <= threshold);
                let expected: Vec<&PointId> = expected.map(|point| &point.id).collect();
                let found: Vec<&PointId> = answer.points.iter().map(|point| &point.id).collect();
                assert_eq!(found, expected, "{metric:?} {dim} {threshold}");
                let visited = answer.explain.unwrap().visited;
                assert!(at > 10 || visited < 2_000, "{metric:?} {dim}: {visited}");
            }
            let nothing = Query {
                score_threshold: Some(-0.5),
                ..query
            };
            assert!(collection.query(&nothing).unwrap().points.is_empty());
        }
    }
}
