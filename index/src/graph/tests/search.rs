//! Filters, bounds, efforts, and what they cost.

use std::cell::Cell;
use std::time::Duration;

use super::*;
use crate::SearchError;

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

/// A limit may be anything a client wrote.
#[test]
fn very_many_neighbors_take_no_longer_than_comparing_all_rows_some_times() {
    let rows = rows_like(Metric::L2, 100_000, 8, 1);
    let graph = build(&rows, Metric::L2);
    let query = rows.row(77);
    let odd = BitSet::from_offsets(rows.len(), (1..rows.len() as Offset).step_by(2));
    let seconds = |search: &GraphSearch<'_>| {
        let go = || {
            let began = std::time::Instant::now();
            let answer = graph.search(query, search).unwrap();
            (began.elapsed().as_secs_f64(), answer)
        };
        let (first, answer) = go();
        (first.min(go().0), answer)
    };
    for k in [300, 3000, 12_000, 60_000] {
        for filter in [None, Some(&odd)] {
            let search = |effort| GraphSearch {
                filter,
                ..GraphSearch::new(k, effort)
            };
            let (all, exact) = seconds(&search(Effort::Exact));
            let (some, answer) = seconds(&search(Effort::Recall(0.98)));
            let farthest = exact.neighbors.last().unwrap().distance;
            let found = count_within(&answer.neighbors, farthest);
            let name = format!("{k} {} {:?}", filter.is_some(), answer.route);
            println!("{name}: {some} s, exact {all} s, {found}");
            assert_eq!(answer.neighbors.len(), exact.neighbors.len(), "{name}");
            assert!(
                found as f64 >= 0.97 * exact.neighbors.len() as f64,
                "{name}: {found}"
            );
            assert!(
                some <= 20.0 * all + 0.5,
                "{name}: {some} s, {all} s to compare all"
            );
        }
    }
}
