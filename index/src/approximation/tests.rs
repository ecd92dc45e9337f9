//! Scans with approximations find what scans of all numbers find.

use proptest::prelude::*;

use super::*;
use crate::random::Random;
use crate::{BitSet, BlockScan, Neighbor, SearchParams, Stats, scan};

/// Rows of each block.
const BLOCK: usize = 128;

/// What a scan by blocks with approximations finds.
fn by_blocks(
    metric: Metric,
    query: &[f32],
    rows: &[f32],
    params: &SearchParams<'_>,
) -> (Vec<Neighbor>, Stats) {
    let dim = query.len();
    let mut scan = BlockScan::new(metric, query, params);
    let source = crate::Rows::new(dim, rows.to_vec());
    for (at, block) in rows.chunks(BLOCK * dim).enumerate() {
        let made = Approximation::of(metric, dim, block.chunks_exact(dim));
        let first = (at * BLOCK) as Offset;
        match at % 2 {
            0 => scan.rows(first, block, made.as_ref()),
            _ => scan.source(first, block.len() / dim, &source, made.as_ref()),
        }
    }
    let mut stats = Stats::default();
    let found = scan.finish(&mut stats);
    (found, stats)
}

fn numbers(dim: usize, n: usize) -> impl Strategy<Value = Vec<f32>> {
    let plain = prop::collection::vec(-1f32..1.0, n * dim);
    let few = prop::collection::vec((-3i8..3).prop_map(f32::from), n * dim);
    let scale = prop::sample::select(vec![1.0, 1e-30, 1e-22, 1e-3, 1e4, 1e15, 1e18, 3e37]);
    let shift = prop::sample::select(vec![0.0, 0.0, 1.0, -1000.0]);
    let odd = prop_oneof![3 => Just(1f32), 1 => Just(1e4), 1 => Just(1e-4)];
    (prop_oneof![2 => plain, 1 => few], scale, shift, odd).prop_map(
        move |(mut values, scale, shift, odd)| {
            for (at, x) in values.iter_mut().enumerate() {
                let stretch = if at % dim == 1 { odd } else { 1.0 };
                *x = (*x * stretch + shift) * scale;
                if !x.is_finite() {
                    *x = 1.0;
                }
            }
            values
        },
    )
}

fn cases() -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>)> {
    let shape = (64usize..200, 1usize..400);
    shape.prop_flat_map(|(dim, n)| (Just(dim), numbers(dim, n), numbers(dim, 1)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn finds_what_a_scan_of_all_numbers_finds(
        (dim, rows, other) in cases(),
        at in any::<prop::sample::Index>(),
        is_among in any::<bool>(),
        metric in prop::sample::select(vec![Metric::L2, Metric::Cosine, Metric::Dot]),
        k in prop::sample::select(vec![0, 1, 3, 10, 100, usize::MAX]),
        every in 0usize..9,
        covered in 0usize..600,
        odd in prop::option::of(any::<prop::sample::Index>()),
        near in prop::option::of(0usize..20),
    ) {
        let n = rows.len() / dim;
        let (mut query, mut rows) = (other, rows);
        // A damaged row: its block has no approximation.
        if let Some(odd) = odd {
            rows[odd.index(n * dim)] = f32::NAN;
        }
        if is_among {
            query = rows[at.index(n) * dim..][..dim].to_vec();
        }
        // Shorter than the rows, or longer.
        let filter = BitSet::from_offsets(covered, (0..covered as Offset).step_by(every.max(1)));
        let mut params = SearchParams::new(k);
        params.filter = (every > 0).then_some(&filter);
        let all = scan(metric, &query, &rows, dim, &SearchParams::new(n), &mut Stats::default());
        params.max_distance = near.and_then(|near| all.get(near)).map(|near| near.distance);
        let wanted = scan(metric, &query, &rows, dim, &params, &mut Stats::default());
        let (found, _) = by_blocks(metric, &query, &rows, &params);
        prop_assert_eq!(found, wanted);
    }
}

/// Rows and queries right between two levels, all components to the same side: the codes are as wrong as they can be.
#[test]
fn the_rounding_of_codes_leaves_no_row_out() {
    const DIM: usize = 100;
    let check = |metric, query: f32, near: f32, far: f32| {
        // Levels are the whole numbers.
        let ends = [0.0, 255.0];
        let mut rows = Vec::new();
        rows.extend(
            [ends[0], ends[1], far]
                .map(|x| [x; DIM])
                .into_iter()
                .cycle()
                .take(BLOCK),
        );
        rows.extend([ends[0], ends[1], near].map(|x| [x; DIM]));
        let others = SearchParams {
            filter: Some(&BitSet::from_offsets(rows.len(), [2, BLOCK as Offset + 2])),
            ..SearchParams::new(1)
        };
        let (found, stats) = by_blocks(metric, &[query; DIM], rows.as_flattened(), &others);
        assert_eq!(
            found[0].offset,
            BLOCK as Offset + 2,
            "{metric} of {query}, {near}"
        );
        assert_eq!(stats.distance_calls - stats.visited, 1);
    };
    check(Metric::L2, 200.0, 10.49, 10.48);
    check(Metric::L2, 199.51, 10.0, 9.9);
    check(Metric::L2, 199.51, 10.49, 10.48);
    check(Metric::Dot, 1.0, 10.49, 10.48);
    // So small that the squares of the errors vanish, and a query so long that these matter all the same.
    let small = [0.0, 200.49, 200.3, 255.0].map(|level| level * 5e-23 - 127.5 * 5e-23);
    let mut rows = vec![[small[0]; DIM], [small[3]; DIM], [small[2]; DIM]];
    rows.resize(BLOCK, [small[0]; DIM]);
    rows.extend([[small[0]; DIM], [small[3]; DIM], [small[1]; DIM]]);
    let query = [-9e16; DIM];
    let filter = BitSet::from_offsets(rows.len(), [2, BLOCK as Offset + 2]);
    let nearest = SearchParams {
        filter: Some(&filter),
        ..SearchParams::new(1)
    };
    let rows = rows.as_flattened();
    for query in [query, query.map(|x| -x)] {
        let (found, _) = by_blocks(Metric::Dot, &query, rows, &nearest);
        let wanted = scan(
            Metric::Dot,
            &query,
            rows,
            DIM,
            &nearest,
            &mut Stats::default(),
        );
        assert_eq!(found, wanted);
    }
}

/// What it is for: nearly all rows are left out, also where the query is none of them.
#[test]
fn few_rows_are_read() {
    let check = |metric, dim: usize, shift: f32, most: u64| {
        let mut random = Random::new(7);
        let mut vector = || -> Vec<f32> {
            let mut vector: Vec<f32> = (0..dim).map(|_| random.signed_unit() + shift).collect();
            if metric == Metric::Cosine {
                crate::normalize(&mut vector);
            }
            vector
        };
        let rows: Vec<f32> = (0..10_000).flat_map(|_| vector()).collect();
        let query = vector();
        let (_, stats) = by_blocks(metric, &query, &rows, &SearchParams::new(10));
        let exact = stats.distance_calls - stats.visited;
        assert!(
            exact <= most,
            "{metric} of dim {dim}: {exact} rows were read"
        );
    };
    check(Metric::L2, 64, 0.0, 300);
    check(Metric::L2, 128, 5.0, 400);
    check(Metric::Cosine, 384, 0.0, 600);
    check(Metric::Dot, 384, 0.0, 600);
}

#[test]
fn what_is_no_number_has_no_approximation() {
    let of = |x: f32| {
        let row = [[0.0; 64], [x; 64]];
        Approximation::of(Metric::L2, 64, row.iter().map(|row| row.as_slice())).is_some()
    };
    assert!(of(1.0) && of(0.0) && of(1e-40) && of(-1e17));
    for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e19] {
        assert!(!of(x), "{x}");
    }
    let none: [&[f32]; 0] = [];
    assert!(Approximation::of(Metric::Dot, 64, none.into_iter()).is_none());
}
