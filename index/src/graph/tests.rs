//! What graphs promise: recall as asked for, the same graph from the same rows, no harm from odd rows or damaged bytes.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::walk::NO_EDGE;
use super::*;
use crate::random::Random;
use crate::{
    BitSet, Encoding, Guard, Neighbor, Rows, SearchError, SearchParams, Stats, normalize, scan,
};

/// Rows around some centers in a space of few dimensions that is bent into `dim`: as embeddings are.
fn rows_like(metric: Metric, n: usize, dim: usize, seed: u64) -> Rows {
    const HIDDEN: usize = 12;
    let mut map = Random::new(77);
    let bends: Vec<f32> = (0..HIDDEN * dim).map(|_| map.signed_unit()).collect();
    let centers: Vec<f32> = (0..HIDDEN * 30).map(|_| map.signed_unit()).collect();
    let mut random = Random::new(seed);
    let mut values = Vec::with_capacity(n * dim);
    for _ in 0..n {
        let center = &centers[random.below(30) * HIDDEN..][..HIDDEN];
        let hidden: Vec<f32> = center
            .iter()
            .map(|x| x + 0.7 * random.signed_unit())
            .collect();
        // Lengths differ for dot products.
        let length = 1.0 + 0.3 * random.signed_unit();
        let mut row: Vec<f32> = bends
            .chunks_exact(HIDDEN)
            .map(|bend| {
                let along: f32 = bend.iter().zip(&hidden).map(|(a, b)| a * b).sum();
                along.sin() * length + 0.05 * random.signed_unit()
            })
            .collect();
        if metric.normalizes() {
            normalize(&mut row);
        }
        values.extend(row);
    }
    Rows::new(dim, values)
}

fn train(metric: Metric, encoding: Encoding) -> TrainParams {
    TrainParams {
        encoding,
        metric,
        seed: 3,
        guard: Guard::Replace,
    }
}

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
        let merged = base.merged_unless(&origins, Arc::new(grown.clone()), &params, &is_cancelled);
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

fn build(rows: &Rows, metric: Metric) -> Graph {
    Graph::build(
        Arc::new(rows.clone()),
        &train(metric, Encoding::Sq8),
        &BuildParams::default(),
    )
}

fn exact(
    metric: Metric,
    query: &[f32],
    rows: &Rows,
    k: usize,
    filter: Option<&BitSet>,
) -> Vec<Neighbor> {
    let params = SearchParams {
        filter,
        ..SearchParams::new(k)
    };
    scan(
        metric,
        query,
        rows.as_slice(),
        rows.dim(),
        &params,
        &mut Stats::default(),
    )
}

/// Mean recall@10 of a graph's answers; ties count as found.
fn recall(graph: &Graph, rows: &Rows, queries: &Rows, effort: Effort) -> f64 {
    recall_at(10, graph, rows, queries, effort)
}

fn recall_at(k: usize, graph: &Graph, rows: &Rows, queries: &Rows, effort: Effort) -> f64 {
    let mut found = 0;
    for i in 0..queries.len() as Offset {
        let query = queries.row(i);
        let answer = graph.search(query, &GraphSearch::new(k, effort)).unwrap();
        let farthest = exact(graph.metric(), query, rows, k, None)[k - 1].distance;
        assert_eq!(answer.neighbors.len(), k);
        assert!(answer.neighbors.is_sorted());
        found += count_within(&answer.neighbors, farthest);
    }
    found as f64 / (k * queries.len()) as f64
}

fn count_within(neighbors: &[Neighbor], farthest: f32) -> usize {
    neighbors
        .iter()
        .filter(|near| near.distance <= farthest)
        .count()
}

/// The number of rows that can be reached from the entry.
fn reached(graph: &Graph) -> usize {
    let mut seen = BitSet::new(graph.len());
    let mut waiting = Vec::new();
    if !graph.is_empty() {
        seen.insert(graph.entry);
        waiting.push(graph.entry);
    }
    while let Some(row) = waiting.pop() {
        waiting.extend(
            graph
                .view()
                .neighbors(row)
                .filter(|&edge| seen.insert(edge)),
        );
    }
    seen.count()
}

#[test]
fn recall_of_every_metric_and_encoding() {
    for metric in [Metric::L2, Metric::Cosine, Metric::Dot] {
        let rows = rows_like(metric, 4000, 96, 1);
        let queries = rows_like(metric, 100, 96, 2);
        for encoding in Encoding::ALL {
            let graph = Graph::build(
                Arc::new(rows.clone()),
                &train(metric, encoding),
                &BuildParams::default(),
            );
            assert_eq!(reached(&graph), rows.len(), "{metric} {encoding}");
            let recall = recall(&graph, &rows, &queries, Effort::Recall(0.95));
            // One bit a component cannot tell near rows apart.
            let wanted = if encoding == Encoding::Binary {
                0.6
            } else {
                0.93
            };
            assert!(recall >= wanted, "{metric} {encoding}: recall {recall}");
        }
    }
}

#[test]
fn asked_for_recall_is_what_comes() {
    for metric in [Metric::L2, Metric::Cosine] {
        let rows = rows_like(metric, 8000, 64, 1);
        let queries = rows_like(metric, 300, 64, 5);
        let graph = build(&rows, metric);
        let mut compared = 0;
        for wanted in [0.9, 0.95, 0.99] {
            for k in [1, 3, 10, 12, 30] {
                let recall = recall_at(k, &graph, &rows, &queries, Effort::Recall(wanted));
                assert!(
                    recall >= f64::from(wanted) - 0.01,
                    "{metric}: {recall} of {k} instead of {wanted}"
                );
            }
            let search = GraphSearch::new(10, Effort::Recall(wanted));
            let answer = graph.search(queries.row(0), &search).unwrap();
            assert!(answer.recall.is_none_or(|recall| recall >= wanted));
            assert_eq!(answer.route, Route::Walk);
            assert!(answer.stats.visited >= compared, "more recall, less effort");
            compared = answer.stats.visited;
        }
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

#[test]
fn rows_that_come_many_times_do_not_hide_the_others() {
    for metric in [Metric::L2, Metric::Cosine, Metric::Dot] {
        let kinds = rows_like(metric, 500, 48, 1);
        let mut values = kinds.as_slice().repeat(10);
        values.extend(rows_like(metric, 2000, 48, 3).as_slice());
        // One kind very often.
        values.extend(kinds.row(7).repeat(700));
        let rows = Rows::new(48, values);
        let queries = rows_like(metric, 100, 48, 2);
        let graph = build(&rows, metric);
        assert_eq!(reached(&graph), rows.len());
        let recall = recall(&graph, &rows, &queries, Effort::Recall(0.95));
        assert!(recall >= 0.93, "{metric}: recall {recall}");
    }
}

#[test]
fn exact_searches_and_bounds() {
    let rows = rows_like(Metric::Cosine, 2000, 48, 1);
    let queries = rows_like(Metric::Cosine, 20, 48, 2);
    let graph = build(&rows, Metric::Cosine);
    let set = BitSet::from_offsets(2000, (0..2000).filter(|i| i % 3 == 0));
    for i in 0..20 {
        let query = queries.row(i);
        let mut search = GraphSearch::new(15, Effort::Exact);
        let all = exact(Metric::Cosine, query, &rows, 15, None);
        assert_eq!(graph.search(query, &search).unwrap().neighbors, all);
        search.filter = Some(&set);
        let some = exact(Metric::Cosine, query, &rows, 15, Some(&set));
        assert_eq!(graph.search(query, &search).unwrap().neighbors, some);
        search = GraphSearch::new(15, Effort::Recall(0.99));
        search.max_distance = Some(all[7].distance);
        let near = graph.search(query, &search).unwrap().neighbors;
        assert!(near.len() <= 8 && near.iter().all(|near| near.distance <= all[7].distance));
        let stop = Effort::Stop {
            ef: 200,
            gamma: f32::INFINITY,
        };
        let answer = graph.search(query, &GraphSearch::new(15, stop)).unwrap();
        assert_eq!(count_within(&answer.neighbors, all[14].distance), 15);
    }
    // More than there are.
    let answer = graph.search(
        queries.row(0),
        &GraphSearch::new(usize::MAX, Effort::Recall(0.9)),
    );
    assert_eq!(answer.unwrap().neighbors.len(), 2000);
    let none = graph.search(queries.row(0), &GraphSearch::new(0, Effort::Recall(0.9)));
    assert!(none.unwrap().neighbors.is_empty());
}

#[test]
fn queries_that_do_not_fit_are_refused() {
    let rows = rows_like(Metric::L2, 300, 8, 1);
    let graph = build(&rows, Metric::L2);
    let search = GraphSearch::new(1, Effort::Recall(0.9));
    let short = graph.search(&[0.0; 7], &search).unwrap_err();
    assert_eq!(short, SearchError::DimMismatch { wanted: 8, got: 7 });
    let mut query = [0.0; 8];
    query[3] = f32::NAN;
    let odd = SearchError::NotFinite { component: 3 };
    assert_eq!(graph.search(&query, &search).unwrap_err(), odd);
    assert_eq!(graph.observe(&query).unwrap_err(), odd);
    let filter = BitSet::full(301);
    let search = GraphSearch {
        filter: Some(&filter),
        ..search
    };
    let other = SearchError::FilterLength {
        wanted: 300,
        got: 301,
    };
    assert_eq!(graph.search(&[0.0; 8], &search).unwrap_err(), other);
}

#[test]
fn filters_of_every_size_near_and_far() {
    let n = 12_000;
    let rows = rows_like(Metric::L2, n, 32, 1);
    let queries = rows_like(Metric::L2, 40, 32, 2);
    let graph = build(&rows, Metric::L2);
    let mut routes = Vec::new();
    for share in [1.0, 0.6, 0.2, 0.05, 0.01, 0.001] {
        for far in [false, true] {
            let mut found = 0;
            let mut possible = 0;
            for i in 0..queries.len() as Offset {
                let query = queries.row(i);
                let mut random = Random::new(9);
                let middle = exact(Metric::L2, query, &rows, n / 3, None)[n / 3 - 1].distance;
                let members = (0..n as Offset).filter(|&row| {
                    let taken = (random.next() >> 11) as f64 / (1u64 << 53) as f64;
                    taken < share && (!far || Metric::L2.distance(query, rows.row(row)) > middle)
                });
                let set = BitSet::from_offsets(n, members);
                let search = GraphSearch {
                    filter: Some(&set),
                    ..GraphSearch::new(10, Effort::Recall(0.95))
                };
                let answer = graph.search(query, &search).unwrap();
                let truth = exact(Metric::L2, query, &rows, 10, Some(&set));
                assert!(
                    answer
                        .neighbors
                        .iter()
                        .all(|near| set.contains(near.offset))
                );
                assert_eq!(answer.neighbors.len(), truth.len());
                found += count_within(&answer.neighbors, truth.last().map_or(0.0, |t| t.distance));
                possible += truth.len();
                routes.push(answer.route);
            }
            assert!(
                found as f64 >= 0.94 * possible as f64,
                "share {share} far {far}: {found} of {possible}"
            );
        }
    }
    for route in [Route::FilteredWalk, Route::Scan, Route::WalkThenScan] {
        assert!(routes.contains(&route), "no {route:?}");
    }
    let none = BitSet::new(n);
    let search = GraphSearch {
        filter: Some(&none),
        ..GraphSearch::new(10, Effort::Recall(0.95))
    };
    let answer = graph.search(queries.row(0), &search).unwrap();
    assert!(answer.neighbors.is_empty());
}

#[test]
fn queries_of_another_kind_are_unknown_until_they_were_observed() {
    let rows = rows_like(Metric::L2, 6000, 48, 1);
    let graph = build(&rows, Metric::L2);
    // Half of the components are of other rows: far from all of them.
    let shifted: Vec<Vec<f32>> = (0..400)
        .map(|i| {
            let mut query = rows.row(i * 7).to_vec();
            query[24..].copy_from_slice(&rows.row(i * 11 + 1)[24..]);
            query.iter_mut().for_each(|x| *x += 1.0);
            query
        })
        .collect();
    let search = GraphSearch::new(10, Effort::Recall(0.95));
    let known = |queries: &[Vec<f32>]| {
        let known = |query: &&Vec<f32>| graph.search(query, &search).unwrap().recall.is_some();
        queries.iter().filter(known).count()
    };
    assert!(known(&shifted[200..]) < 20, "{}", known(&shifted[200..]));
    for query in &shifted[..200] {
        graph.observe(query).unwrap();
    }
    let (_, observed) = graph.calibrations();
    assert!(observed.is_some_and(|observed| observed.queries() >= 190));
    assert!(known(&shifted[200..]) > 180, "{}", known(&shifted[200..]));
    let queries = Rows::new(48, shifted[200..].concat());
    let recall = recall(&graph, &rows, &queries, Effort::Recall(0.95));
    assert!(recall >= 0.94, "recall {recall}");
}

/// A graph's parts as a file would give them back.
fn stored(graph: &Graph, rows: &Rows, header: &[u8]) -> Result<Graph, GraphError> {
    Graph::stored(StoredGraph {
        header,
        codes: Arc::new(graph.codes().as_bytes().to_vec()),
        edges: Arc::new(graph.edges().to_vec()),
        rows: Arc::new(rows.clone()),
    })
}

#[test]
fn comes_back_from_its_parts() {
    let rows = rows_like(Metric::Cosine, 2500, 40, 1);
    let graph = build(&rows, Metric::Cosine);
    for i in 0..60 {
        graph.observe(rows.row(i)).unwrap();
    }
    let header = graph.header();
    let mapped = stored(&graph, &rows, &header).unwrap();
    assert_eq!(mapped.header(), header);
    assert_eq!(mapped.calibrations(), graph.calibrations());
    assert_eq!(mapped.codes().memory(), 0);
    for i in 0..50 {
        let search = GraphSearch::new(10, Effort::Recall(0.95));
        assert_eq!(
            mapped.search(rows.row(i), &search),
            graph.search(rows.row(i), &search)
        );
    }
    let empty = Rows::new(40, Vec::new());
    let graph = build(&empty, Metric::L2);
    assert!(stored(&graph, &empty, &graph.header()).unwrap().is_empty());
}

#[test]
fn parts_that_are_no_graph_are_refused() {
    let rows = rows_like(Metric::L2, 600, 16, 1);
    let graph = build(&rows, Metric::L2);
    let header = graph.header();
    for len in 0..header.len() {
        assert!(
            stored(&graph, &rows, &header[..len]).is_err(),
            "cut at {len}"
        );
    }
    let mut random = Random::new(1);
    for _ in 0..3000 {
        // Whatever comes of it, it does not panic, and neither does a search.
        let mut damaged = header.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(damaged.len());
            damaged[at] ^= 1 << random.below(8);
        }
        if let Ok(graph) = stored(&graph, &rows, &damaged) {
            let query = rows.row(3);
            let search = GraphSearch::new(4, Effort::Recall(0.9));
            if graph.dim() == 16 {
                assert_eq!(graph.search(query, &search).unwrap().neighbors.len(), 4);
            }
        }
    }
    let parts = |codes: Vec<u8>, edges: Vec<u32>, rows: Rows| {
        Graph::stored(StoredGraph {
            header: &header,
            codes: Arc::new(codes),
            edges: Arc::new(edges),
            rows: Arc::new(rows),
        })
        .unwrap_err()
    };
    let (codes, edges) = (graph.codes().as_bytes().to_vec(), graph.edges().to_vec());
    let mut wrong = edges.clone();
    wrong[77] = 600;
    assert_eq!(
        parts(codes.clone(), wrong, rows.clone()),
        GraphError::Edge(77)
    );
    let short = edges[1..].to_vec();
    assert!(matches!(
        parts(codes.clone(), short, rows.clone()),
        GraphError::Edges { .. }
    ));
    let less = codes[1..].to_vec();
    assert!(matches!(
        parts(less, edges.clone(), rows),
        GraphError::Codes(_)
    ));
    let other = rows_like(Metric::L2, 599, 16, 1);
    assert!(matches!(
        parts(codes, edges, other),
        GraphError::Rows { .. }
    ));
}

/// Edges that a file lost: every answer is complete all the same.
#[test]
fn a_graph_cut_apart_answers_by_scanning() {
    let rows = rows_like(Metric::L2, 1500, 16, 1);
    let graph = build(&rows, Metric::L2);
    let cut = Graph::stored(StoredGraph {
        header: &graph.header(),
        codes: Arc::new(graph.codes().as_bytes().to_vec()),
        edges: Arc::new(vec![NO_EDGE; graph.edges().len()]),
        rows: Arc::new(rows.clone()),
    })
    .unwrap();
    let answer = cut
        .search(rows.row(9), &GraphSearch::new(10, Effort::Recall(0.9)))
        .unwrap();
    assert_eq!(answer.route, Route::WalkThenScan);
    assert_eq!(
        answer.neighbors,
        exact(Metric::L2, rows.row(9), &rows, 10, None)
    );
}

#[test]
fn merging_keeps_recall_and_forgets_the_dead() {
    let dim = 48;
    for metric in [Metric::L2, Metric::Dot] {
        let all = rows_like(metric, 6000, dim, 1);
        let queries = rows_like(metric, 150, dim, 2);
        let base_rows = Rows::new(dim, all.as_slice()[..5000 * dim].to_vec());
        let base = build(&base_rows, metric);
        let check = |origins: Vec<Origin>, rows: Rows, name: &str| {
            let params = BuildParams::default();
            let merged = base.merged(&origins, Arc::new(rows.clone()), &params);
            assert_eq!(reached(&merged), rows.len(), "{name} {metric}");
            let merged_recall = recall(
                &merged,
                &rows,
                &queries,
                Effort::Stop {
                    ef: 40,
                    gamma: f32::INFINITY,
                },
            );
            let fresh = build(&rows, metric);
            let fresh_recall = recall(
                &fresh,
                &rows,
                &queries,
                Effort::Stop {
                    ef: 40,
                    gamma: f32::INFINITY,
                },
            );
            assert!(
                merged_recall >= fresh_recall - 0.02,
                "{name} {metric}: {merged_recall} merged, {fresh_recall} fresh"
            );
            let again = BuildParams {
                threads: 3,
                ..params
            };
            let again = base.merged(&origins, Arc::new(rows), &again);
            assert!(again.edges() == merged.edges(), "{name}: another graph");
        };
        let old = |i: usize| {
            if i < 5000 {
                Origin::Base(i as Offset)
            } else {
                Origin::Other
            }
        };
        check((0..6000).map(old).collect(), all.clone(), "a sixth new");
        check(
            (0..5000).map(old).collect(),
            base_rows.clone(),
            "nothing new",
        );
        let pick = |kept: &dyn Fn(usize) -> bool| {
            let order: Vec<usize> = (0..6000).rev().filter(|&i| kept(i)).collect();
            let values: Vec<f32> = order
                .iter()
                .flat_map(|&i| all.row(i as Offset).iter().copied())
                .collect();
            let origins = order.iter().map(|&i| old(i)).collect();
            (origins, Rows::new(dim, values))
        };
        let (origins, rows) = pick(&|i| i % 4 != 0);
        check(origins, rows, "a quarter dead, in reverse order");
        let (origins, rows) = pick(&|i| i % 3 == 0);
        check(origins, rows, "built anew");
    }
}

/// The rows that are there may be of another kind than those that the coding was learned from.
#[test]
fn merging_learns_anew_what_does_not_suit() {
    let rows = rows_like(Metric::L2, 2000, 32, 1);
    let base = build(&rows, Metric::L2);
    let mut values = rows.as_slice().to_vec();
    let far = rows_like(Metric::L2, 600, 32, 5);
    values.extend(far.as_slice().iter().map(|x| x * 40.0));
    let grown = Rows::new(32, values);
    let origins: Vec<Origin> = (0..2600)
        .map(|i| {
            if i < 2000 {
                Origin::Base(i)
            } else {
                Origin::Other
            }
        })
        .collect();
    let merged = base.merged(&origins, Arc::new(grown.clone()), &BuildParams::default());
    let queries = Rows::new(32, grown.as_slice()[2100 * 32..2200 * 32].to_vec());
    let recall = recall(&merged, &grown, &queries, Effort::Recall(0.95));
    assert!(recall >= 0.93, "recall {recall}");
}

#[test]
fn many_threads_search_at_once() {
    let rows = rows_like(Metric::L2, 3000, 32, 1);
    let graph = build(&rows, Metric::L2);
    let search = GraphSearch::new(10, Effort::Recall(0.95));
    let expected: Vec<Answer> = (0..100)
        .map(|i| graph.search(rows.row(i), &search).unwrap())
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (i, expected) in (0..).zip(&expected) {
                    assert_eq!(&graph.search(rows.row(i), &search).unwrap(), expected);
                }
            });
        }
    });
    assert!(graph.memory() > graph.codes().memory());
}

/// Behind the trait a graph answers as asked: exactly, or with the recall that is sought by default.
#[test]
fn serves_as_an_index() {
    let rows = rows_like(Metric::Cosine, 3000, 32, 5);
    let index = crate::build(crate::IndexKind::Graph, Metric::Cosine, rows.clone()).unwrap();
    assert_eq!(
        (index.kind().name(), index.len(), index.dim()),
        ("graph", 3000, 32)
    );
    let (mut found, mut stats) = (0, Stats::default());
    for query in (0..50).map(|row| rows.row(row * 31)) {
        let mut params = SearchParams::new(10);
        let expected = scan(
            Metric::Cosine,
            query,
            rows.as_slice(),
            32,
            &params,
            &mut Stats::default(),
        );
        let near = index.search(query, &params, &mut stats).unwrap();
        found += near
            .iter()
            .filter(|neighbor| expected.contains(neighbor))
            .count();
        params.exact = true;
        assert_eq!(index.search(query, &params, &mut stats).unwrap(), expected);
    }
    assert!(found >= 480, "{found} of 500");
    let l1 = crate::build(crate::IndexKind::Graph, Metric::L1, rows);
    assert!(l1.is_err_and(|error| error.to_string().contains("L1")));
}

/// A clock that goes on by so much each time it is looked at.
fn clock(step: Duration) -> impl Fn() -> Duration {
    let looks = Cell::new(0);
    move || {
        looks.set(looks.get() + 1);
        step * looks.get()
    }
}

#[test]
fn costs_are_measured_by_the_clock_that_is_given() {
    let rows = rows_like(Metric::L2, 3000, 24, 9);
    let graph = build(&rows, Metric::L2);
    assert_eq!(graph.measure_costs(&clock(Duration::ZERO)), None);
    assert_eq!(graph.costs(), Costs::default());
    // Every walk and every scan takes a microsecond: a code of the walk, which compares fewer than match, costs more.
    let costs = graph
        .measure_costs(&clock(Duration::from_micros(1)))
        .unwrap();
    assert_eq!(graph.costs(), costs);
    assert_ne!(costs, Costs::default());
    let ratio = costs.walk / costs.scan;
    assert!((1.0..=20.0).contains(&ratio), "{ratio}");
    let small = build(&rows_like(Metric::L2, 150, 24, 9), Metric::L2);
    assert_eq!(small.measure_costs(&clock(Duration::from_micros(1))), None);
}

#[test]
fn costs_decide_between_walk_and_scan() {
    let rows = rows_like(Metric::L2, 3000, 24, 9);
    let graph = build(&rows, Metric::L2);
    let mut half = BitSet::new(rows.len());
    for row in (0..rows.len() as Offset).step_by(2) {
        half.insert(row);
    }
    let search = GraphSearch {
        filter: Some(&half),
        ..GraphSearch::new(10, Effort::Recall(0.95))
    };
    let route = |walk| {
        graph.set_costs(Costs { scan: 1.0, walk });
        graph.search(rows.row(5), &search).unwrap().route
    };
    assert_eq!(route(0.01), Route::FilteredWalk);
    assert_eq!(route(1000.0), Route::Scan);
}

/// Edges in a file that is damaged while it is mapped.
struct Changing {
    sound: Vec<u32>,
    damaged: Vec<u32>,
    is_damaged: AtomicBool,
}

impl AsRef<[u32]> for Changing {
    fn as_ref(&self) -> &[u32] {
        if self.is_damaged.load(Ordering::SeqCst) {
            &self.damaged
        } else {
            &self.sound
        }
    }
}

#[test]
fn edges_that_are_damaged_while_they_are_searched_are_not_followed() {
    let rows = rows_like(Metric::L2, 3000, 24, 11);
    let built = build(&rows, Metric::L2);
    let damaged = built.edges().iter().enumerate().map(|(at, &edge)| {
        let garbage = [2_695_149_414, rows.len() as u32][at % 2];
        if at % 5 == 0 { garbage } else { edge }
    });
    let edges = Arc::new(Changing {
        sound: built.edges().to_vec(),
        damaged: damaged.collect(),
        is_damaged: AtomicBool::new(false),
    });
    let graph = Graph::stored(StoredGraph {
        header: &built.header(),
        codes: Arc::new(built.codes().as_bytes().to_vec()),
        edges: edges.clone(),
        rows: Arc::new(rows.clone()),
    })
    .unwrap();
    let half = {
        let mut half = BitSet::new(rows.len());
        for row in 0..rows.len() as Offset / 2 {
            half.insert(row);
        }
        half
    };
    graph.set_costs(Costs {
        scan: 1000.0,
        walk: 1.0,
    });
    let ask = |filter: Option<&BitSet>| {
        let search = GraphSearch {
            filter,
            ..GraphSearch::new(10, Effort::Recall(0.98))
        };
        graph.search(rows.row(5), &search).unwrap()
    };
    assert_eq!(ask(None).route, Route::Walk);
    assert_eq!(ask(Some(&half)).route, Route::FilteredWalk);
    assert!(!graph.is_damaged());
    edges.is_damaged.store(true, Ordering::SeqCst);
    graph.observe(rows.row(7)).unwrap();
    for filter in [Some(&half), None] {
        let answer = ask(filter);
        assert!(
            matches!(answer.route, Route::WalkThenScan | Route::Scan),
            "{:?}",
            answer.route
        );
        let expected = exact(Metric::L2, rows.row(5), &rows, 10, filter);
        assert_eq!(answer.neighbors, expected);
    }
    assert!(graph.is_damaged());
}

/// Rows around centres that are far from each other: `[n, dim]`.
fn clustered(n: usize, dim: usize, clusters: usize, spread: f32, seed: u64) -> Rows {
    let mut centers = Random::new(91);
    let centers: Vec<f32> = (0..clusters * dim).map(|_| centers.signed_unit()).collect();
    let mut random = Random::new(seed);
    let mut normal = move || (0..6).map(|_| random.signed_unit()).sum::<f32>() / 2f32.sqrt();
    let values = (0..n * dim)
        .map(|i| centers[i / dim % clusters * dim + i % dim] + spread * normal())
        .collect();
    Rows::new(dim, values)
}

/// Of 1000 answers 200 and 18 had none of the neighbours before walks were led out of clusters.
#[test]
fn clusters_that_are_far_apart_are_found() {
    let check = |n: usize, clusters: usize, spread: f32| {
        let rows = clustered(n, 64, clusters, spread, 5);
        let half = Rows::new(64, rows.as_slice()[..n * 3 / 4 * 64].to_vec());
        let origin = |row: usize| {
            if row < half.len() {
                Origin::Base(row as Offset)
            } else {
                Origin::Other
            }
        };
        let origins: Vec<Origin> = (0..n).map(origin).collect();
        let merged = build(&half, Metric::L2).merged(
            &origins,
            Arc::new(rows.clone()),
            &BuildParams::default(),
        );
        for graph in [build(&rows, Metric::L2), merged] {
            let queries = clustered(1000, 64, clusters, spread, 6);
            let search = GraphSearch::new(10, Effort::Recall(0.98));
            let is_lost = |query: &Offset| {
                let query = queries.row(*query);
                let found = graph.search(query, &search).unwrap().neighbors;
                let farthest = exact(Metric::L2, query, &rows, 10, None)[9].distance;
                count_within(&found, farthest) == 0
            };
            let lost = (0..1000).filter(is_lost).count();
            assert!(lost <= 8, "{n} rows in {clusters} clusters: {lost} of 1000");
        }
    };
    check(6000, 10, 0.02);
    check(6000, 60, 0.1);
}

/// Rows that 8 bits hardly tell apart, and copies of a hundred rows: walks brought 0.6 to 0.9, or nothing for half of the queries, whatever was asked for.
#[test]
fn what_no_walk_brings_is_scanned_for() {
    let kinds = clustered(100, 64, 100, 0.0, 1);
    for rows in [
        clustered(6000, 64, 60, 0.001, 5),
        Rows::new(64, kinds.as_slice().repeat(60)),
    ] {
        let graph = build(&rows, Metric::L2);
        let answer = |i: Offset, effort| {
            let search = GraphSearch::new(10, effort);
            graph.search(rows.row(i), &search).unwrap()
        };
        let lost = |effort| {
            let is_lost = |i: &Offset| answer(*i * 7, effort).neighbors[0].distance > 0.0;
            (0..800).filter(is_lost).count()
        };
        assert_eq!(lost(Effort::Recall(0.99)), 0);
        assert_eq!(answer(0, Effort::Recall(0.99)).route, Route::Scan);
        let (ef, gamma) = (50, f32::INFINITY);
        assert_eq!(answer(0, Effort::Stop { ef, gamma }).route, Route::Walk);
    }
}
