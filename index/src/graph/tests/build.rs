//! What building promises: the same graph from the same rows, every row reached, and an end when nobody wants it.

use std::sync::atomic::AtomicUsize;

use super::*;

/// Whenever it is told so: not even what was nearly done comes of it.
#[test]
fn a_graph_that_nobody_wants_any_more_is_given_up() {
    let rows = rows_like(Metric::L2, 6000, 24, 5);
    let (train, params) = (train(Metric::L2, Encoding::Sq8), BuildParams::default());
    let base = build(&rows, Metric::L2);
    let grown = rows_like(Metric::L2, 7000, 24, 5);
    let origin = |row: Offset| {
        if row < 6000 {
            Origin::Base(row)
        } else {
            Origin::Other
        }
    };
    let origins: Vec<Origin> = (0..7000).map(origin).collect();
    let run = |most: usize| {
        let asked = AtomicUsize::new(0);
        let is_cancelled = || asked.fetch_add(1, Ordering::Relaxed) >= most;
        let built = Graph::build_unless(Arc::new(rows.clone()), &train, &params, &is_cancelled);
        let asked_of_build = asked.swap(0, Ordering::Relaxed);
        let merged = base.merged_unless(
            &origins,
            Arc::new(grown.clone()),
            &train,
            &params,
            &is_cancelled,
        );
        (
            built.is_some(),
            merged.is_some(),
            asked_of_build,
            asked.into_inner(),
        )
    };
    let (is_built, is_merged, of_build, of_merge) = run(usize::MAX);
    assert!(is_built && is_merged && of_build > 20 && of_merge > 20);
    for most in [0, 1, of_build / 2, of_build - 1] {
        assert!(!run(most).0, "of {most}");
    }
    for most in [0, 1, of_merge / 2, of_merge - 1] {
        assert!(!run(most).1, "of {most}");
    }
}

#[test]
fn the_same_rows_make_the_same_graph_on_any_number_of_threads() {
    check_threads(&rows_like(Metric::L2, 3000, 40, 1));
    check_threads(&clustered(3000, 40, 20, 0.05, 1));
}

fn check_threads(rows: &Rows) {
    let graph = |threads: usize, seed: u64| {
        let params = BuildParams {
            threads,
            seed,
            ..BuildParams::default()
        };
        let train = train(Metric::L2, Encoding::Sq8);
        let graph = Graph::build(Arc::new(rows.clone()), &train, &params);
        (graph.edges().to_vec(), graph.header())
    };
    let one = graph(1, 4);
    for threads in [2, 3, 7] {
        assert!(graph(threads, 4) == one, "{threads} threads");
    }
    assert!(graph(1, 5).0 != one.0);
}

#[test]
fn rows_of_every_kind_are_all_reached() {
    let dim = 24;
    let few = rows_like(Metric::L2, 3, dim, 1);
    let mut half_equal = rows_like(Metric::L2, 1500, dim, 1).as_slice().to_vec();
    half_equal.extend(vec![0.25; 1500 * dim]);
    let odd: Vec<(&str, Rows)> = vec![
        ("none", Rows::new(dim, Vec::new())),
        ("one", rows_like(Metric::L2, 1, dim, 1)),
        ("two", rows_like(Metric::L2, 2, dim, 1)),
        ("seventeen", rows_like(Metric::L2, 17, dim, 1)),
        ("a leaf and one", rows_like(Metric::L2, 513, dim, 1)),
        ("all equal", Rows::new(dim, vec![0.5; 2000 * dim])),
        ("three kinds", Rows::new(dim, few.as_slice().repeat(700))),
        ("half equal", Rows::new(dim, half_equal)),
        ("zeros", Rows::new(dim, vec![0.0; 600 * dim])),
        ("huge", Rows::new(dim, vec![f32::MAX; 600 * dim])),
        (
            "one component",
            Rows::new(1, (0..3000).map(|i| i as f32).collect()),
        ),
        ("clusters", clustered(2000, dim, 20, 0.05, 1)),
        ("pairs", clustered(1000, dim, 500, 0.001, 1)),
    ];
    for (name, rows) in odd {
        for (metric, degree) in [(Metric::L2, 32), (Metric::L2, 4), (Metric::Dot, 32)] {
            let params = BuildParams {
                degree,
                ..BuildParams::default()
            };
            let train = train(metric, Encoding::Sq8);
            let graph = Graph::build(Arc::new(rows.clone()), &train, &params);
            assert_eq!(reached(&graph), rows.len(), "{name} {metric}");
            for i in (0..rows.len()).step_by(rows.len() / 5 + 1) {
                let query = rows.row(i as Offset);
                for effort in [Effort::Recall(0.95), Effort::Exact] {
                    let answer = graph.search(query, &GraphSearch::new(5, effort)).unwrap();
                    assert_eq!(answer.neighbors.len(), rows.len().min(5), "{name}");
                    let best = exact(metric, query, &rows, 1, None)[0].distance;
                    if metric == Metric::L2 && (degree > 4 || effort == Effort::Exact) {
                        assert_eq!(answer.neighbors[0].distance, best, "{name}");
                    }
                }
            }
        }
    }
}
