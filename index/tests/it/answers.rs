//! Every structure, metric and filter against sorting all rows.

use index::{
    BitSet, IndexKind, Metric, Neighbor, Offset, Rows, SearchParams, Stats, build, choose,
    ground_truth, normalize, scan,
};
use proptest::prelude::*;

const METRICS: [Metric; 5] = [
    Metric::Cosine,
    Metric::Dot,
    Metric::L2,
    Metric::L1,
    Metric::LInf,
];

/// What any search must answer.
fn sorted(metric: Metric, query: &[f32], rows: &Rows, params: &SearchParams<'_>) -> Vec<Neighbor> {
    let mut all: Vec<Neighbor> = (0..rows.len() as Offset)
        .filter(|&offset| params.filter.is_none_or(|filter| filter.contains(offset)))
        .map(|offset| Neighbor {
            offset,
            distance: metric.distance(query, rows.row(offset)),
        })
        .filter(|neighbor| {
            params
                .max_distance
                .is_none_or(|most| neighbor.distance <= most)
        })
        .collect();
    all.sort();
    all.truncate(params.k);
    all
}

fn check(metric: Metric, mut query: Vec<f32>, rows: &Rows, params: &SearchParams<'_>) {
    let rows = if metric.normalizes() {
        normalize(&mut query);
        let mut values = rows.as_slice().to_vec();
        values.chunks_mut(rows.dim()).for_each(normalize);
        Rows::new(rows.dim(), values)
    } else {
        rows.clone()
    };
    let expected = sorted(metric, &query, &rows, params);
    for kind in [IndexKind::Flat, IndexKind::KdTree] {
        if choose(Some(kind), metric, rows.dim(), rows.len()).is_err() {
            continue;
        }
        let index = build(kind, metric, rows.clone()).unwrap();
        assert_eq!(
            (index.kind(), index.metric(), index.dim(), index.len()),
            (kind, metric, rows.dim(), rows.len())
        );
        let mut stats = Stats::default();
        let answer = index.search(&query, params, &mut stats).unwrap();
        assert_eq!(
            answer,
            expected,
            "{kind} {metric:?} n {} dim {} k {}",
            rows.len(),
            rows.dim(),
            params.k
        );
        assert!(expected.is_empty() || stats.distance_calls > 0 && stats.visited > 0);
    }
    let answer = scan(
        metric,
        &query,
        rows.as_slice(),
        rows.dim(),
        params,
        &mut Stats::default(),
    );
    assert_eq!(answer, expected);
    if params.filter.is_none() && params.max_distance.is_none() {
        let truth = ground_truth(
            metric,
            &[query.clone(), query].concat(),
            rows.as_slice(),
            rows.dim(),
            params.k,
        );
        assert_eq!(truth, [expected.clone(), expected]);
    }
}

fn value() -> impl Strategy<Value = f32> {
    prop_oneof![3 => (-3i8..4).prop_map(f32::from), 3 => -1f32..1.0, 1 => -3e38f32..3e38]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn equal_sort(
        (query, rows) in (1usize..40, 0usize..300).prop_flat_map(|(dim, n)| {
            let rows = prop::collection::vec(value(), dim * n).prop_map(move |values| Rows::new(dim, values));
            (prop::collection::vec(value(), dim), rows)
        }),
        k in prop_oneof![0usize..30, Just(1_000_000_000_000_000_000)],
        dense in prop::option::of(any::<bool>()),
        max_distance in prop::option::of(-2f32..20.0),
    ) {
        let filter = dense.map(|dense| {
            let keep = |offset: &Offset| dense == (offset.wrapping_mul(2_654_435_769) >> 28 > 1);
            BitSet::from_offsets(rows.len(), (0..rows.len() as Offset).filter(keep))
        });
        for metric in METRICS {
            check(metric, query.clone(), &rows, &SearchParams { k, filter: filter.as_ref(), max_distance, exact: false });
        }
    }
}

#[test]
fn recall_is_one_on_ten_thousand_rows() {
    for dim in [1, 2, 3, 5, 8, 9, 16, 100] {
        let mut state = dim as u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        let rows = Rows::new(dim, (0..10_000 * dim).map(|_| random()).collect());
        for _ in 0..5 {
            let query: Vec<f32> = (0..dim).map(|_| random()).collect();
            for metric in METRICS {
                for k in [1, 10, 100, 3_000] {
                    check(metric, query.clone(), &rows, &SearchParams::new(k));
                }
            }
        }
    }
}

#[test]
fn zero_rows_and_negative_zero() {
    let rows = Rows::new(2, vec![0.0, 0.0, -0.0, 0.0, 1.0, 0.0, 0.0, -0.0]);
    for metric in METRICS {
        check(metric, vec![0.0, -0.0], &rows, &SearchParams::new(9));
        check(metric, vec![1.0, 1.0], &rows, &SearchParams::new(9));
    }
}

#[test]
fn a_growing_segment_may_outgrow_its_filter() {
    let rows: Vec<f32> = (0..200).map(|i| i as f32).collect();
    let filter = BitSet::full(70);
    let params = SearchParams {
        k: 500,
        filter: Some(&filter),
        ..SearchParams::default()
    };
    let answer = scan(Metric::L2, &[0.0], &rows, 1, &params, &mut Stats::default());
    assert!(answer.iter().map(|neighbor| neighbor.offset).eq(0..70));
    let answer = scan(
        Metric::L2,
        &[0.0],
        &rows[..33],
        1,
        &params,
        &mut Stats::default(),
    );
    assert!(answer.iter().map(|neighbor| neighbor.offset).eq(0..33));
}
