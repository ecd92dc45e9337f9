//! The tree must answer what a scan answers, bit for bit, whatever the rows.

use proptest::prelude::*;

use super::*;
use crate::{BitSet, build, scan};

const METRICS: [Metric; 3] = [Metric::L2, Metric::L1, Metric::LInf];

fn check(rows: &Rows, query: &[f32], params: &SearchParams<'_>) {
    for metric in METRICS {
        let tree = build(IndexKind::KdTree, metric, rows.clone()).unwrap();
        let answer = tree.search(query, params, &mut Stats::default()).unwrap();
        let expected = scan(
            metric,
            query,
            rows.as_slice(),
            rows.dim(),
            params,
            &mut Stats::default(),
        );
        assert_eq!(
            answer,
            expected,
            "{metric:?}, dim {}, n {}, {query:?}, k {}",
            rows.dim(),
            rows.len(),
            params.k
        );
    }
}

/// Coordinates with many ties, or over the whole range of sizes.
fn coordinate() -> impl Strategy<Value = f32> {
    let grid = (-4i8..4).prop_map(f32::from);
    let sized = (-1f32..1.0, -45i32..39).prop_map(|(x, exponent)| x * 10f32.powi(exponent));
    let odd = prop::sample::select(vec![
        0.0,
        -0.0,
        f32::MAX,
        -f32::MAX,
        1e30,
        1e19,
        1e-30,
        1e-45,
    ]);
    prop_oneof![20 => grid, 10 => -1f32..1.0, 2 => sized.prop_filter("finite", |x| x.is_finite()), 1 => odd]
}

fn tame_coordinate() -> impl Strategy<Value = f32> {
    prop_oneof![1 => (-4i8..4).prop_map(f32::from), 1 => -1f32..1.0, 1 => (-1000i16..1000).prop_map(|x| f32::from(x) * 1e-21)]
}

fn case(coordinate: impl Strategy<Value = f32> + Clone) -> impl Strategy<Value = (Rows, Vec<f32>)> {
    (1usize..=8, 1usize..400).prop_flat_map(move |(dim, n)| {
        let rows = prop::collection::vec(coordinate.clone(), dim * n)
            .prop_map(move |values| Rows::new(dim, values));
        (rows, prop::collection::vec(coordinate.clone(), dim))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn equals_scan((rows, query) in case(tame_coordinate().boxed()), k in prop_oneof![1usize..20, Just(usize::MAX)], bound in prop::option::of(0f32..5.0), keep in prop::option::of(1u32..20)) {
        let filter = keep.map(|keep| BitSet::from_offsets(rows.len(), (0..rows.len() as Offset).filter(|i| i.wrapping_mul(2_654_435_769) >> 16 < 65_536 / keep)));
        check(&rows, &query, &SearchParams { k, filter: filter.as_ref(), max_distance: bound, ..SearchParams::default() });
    }

    #[test]
    fn equals_scan_with_huge_and_tiny_numbers((rows, query) in case(coordinate().boxed()), k in 1usize..20) {
        check(&rows, &query, &SearchParams::new(k));
    }
}

#[test]
fn duplicates_are_ordered_by_offset() {
    for dim in 1..=8 {
        // 5,000 rows at one place, 5,000 at another: far more than a leaf holds.
        let values: Vec<f32> = (0..10_000)
            .flat_map(|i| vec![(i % 2) as f32; dim])
            .collect();
        let rows = Rows::new(dim, values);
        let tree = build(IndexKind::KdTree, Metric::L2, rows.clone()).unwrap();
        let answer = tree
            .search(
                &vec![0.1; dim],
                &SearchParams::new(10),
                &mut Stats::default(),
            )
            .unwrap();
        assert!(
            answer
                .iter()
                .map(|neighbor| neighbor.offset)
                .eq((0..20).step_by(2)),
            "dim {dim}: {answer:?}"
        );
        check(&rows, &vec![0.5; dim], &SearchParams::new(40));
        check(
            &Rows::new(dim, vec![0.0; dim * 10_000]),
            &vec![-0.0; dim],
            &SearchParams::new(10),
        );
    }
}

#[test]
fn one_column_without_spread() {
    let values: Vec<f32> = (0..3_000)
        .flat_map(|i| [7.0, (i % 50) as f32, -0.0])
        .collect();
    check(
        &Rows::new(3, values),
        &[7.0, 11.2, 0.0],
        &SearchParams::new(100),
    );
}

#[test]
fn rare_and_contrary_filters() {
    let n = 20_000u32;
    let values: Vec<f32> = (0..n)
        .flat_map(|i| [(i % 100) as f32, (i / 100) as f32])
        .collect();
    let rows = Rows::new(2, values);
    let check_filter = |keep: &dyn Fn(u32) -> bool| {
        let filter = BitSet::from_offsets(n as usize, (0..n).filter(|&i| keep(i)));
        for k in [1, 10, 1_000] {
            check(
                &rows,
                &[3.0, 3.0],
                &SearchParams {
                    k,
                    filter: Some(&filter),
                    ..SearchParams::default()
                },
            );
        }
    };
    check_filter(&|_| true);
    check_filter(&|_| false);
    check_filter(&|i| i % 2 == 0);
    check_filter(&|i| i % 97 == 0);
    check_filter(&|i| i == 19_999);
    check_filter(&|i| i > n / 2); // none of the near half
}

#[test]
fn nothing_to_find() {
    check(&Rows::new(3, vec![]), &[0.0; 3], &SearchParams::new(5));
    check(
        &Rows::new(3, vec![1.0; 300]),
        &[0.0; 3],
        &SearchParams::new(0),
    );
    check(
        &Rows::new(3, vec![1.0; 300]),
        &[0.0; 3],
        &SearchParams {
            max_distance: Some(-1.0),
            ..SearchParams::new(5)
        },
    );
}

#[test]
fn huge_numbers_are_scanned() {
    let mut values: Vec<f32> = (0..3_000).map(|i| i as f32).collect();
    let visited = |values: &[f32], query: &[f32]| {
        let tree = build(IndexKind::KdTree, Metric::L2, Rows::new(3, values.to_vec())).unwrap();
        let mut stats = Stats::default();
        tree.search(query, &SearchParams::new(10), &mut stats)
            .unwrap();
        stats.visited
    };
    assert!(visited(&values, &[7.0; 3]) < 100);
    assert_eq!(visited(&values, &[7.0, 1e30, 7.0]), 1_000);
    values[100] = -1e30;
    assert_eq!(visited(&values, &[7.0; 3]), 1_000);
}
