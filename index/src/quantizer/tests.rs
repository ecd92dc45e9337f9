//! What all quantizers promise, on vectors that are kind and unkind.

use std::sync::Arc;

use super::*;
use crate::random::Random;
use crate::{Among, Codes, Offset, Rows, SearchParams, Stats, normalize, scan};

const METRICS: [Metric; 3] = [Metric::L2, Metric::Cosine, Metric::Dot];

/// Clustered rows: `[n, dim]`, of unit length if the metric wants that.
fn clustered(metric: Metric, n: usize, dim: usize, spread: impl Fn(usize) -> f32) -> Rows {
    let mut random = Random::new(5);
    let centers: Vec<f32> = (0..40 * dim).map(|_| random.signed_unit()).collect();
    let mut values = Vec::with_capacity(n * dim);
    for _ in 0..n {
        let center = random.below(40) * dim;
        let mut row: Vec<f32> = (0..dim)
            .map(|i| (centers[center + i] + 0.4 * random.signed_unit()) * spread(i))
            .collect();
        if metric.normalizes() {
            normalize(&mut row);
        }
        values.extend(row);
    }
    Rows::new(dim, values)
}

fn params(encoding: Encoding, metric: Metric, guard: Guard) -> TrainParams {
    TrainParams {
        encoding,
        metric,
        seed: 11,
        guard,
    }
}

fn recall(codes: &Codes, rows: &Rows) -> f64 {
    let queries = 50;
    let found = (0..queries).map(|i| found(codes, rows, rows.row(i * 7)));
    found.sum::<usize>() as f64 / f64::from(queries * 10)
}

/// How many of the ten nearest a scan of the codes finds.
fn found(codes: &Codes, rows: &Rows, query: &[f32]) -> usize {
    let exact = scan(
        codes.coding().metric(),
        query,
        rows.as_slice(),
        rows.dim(),
        &SearchParams::new(10),
        &mut Stats::default(),
    );
    let near = codes.nearest(query, 10, Among::All, rows);
    near.iter()
        .filter(|near| near.distance <= exact[9].distance)
        .count()
}

#[test]
fn every_encoding_and_metric_finds_the_nearest() {
    for metric in METRICS {
        for dim in [3, 25, 100, 200] {
            let rows = clustered(metric, 2000, dim, |_| 1.0);
            for encoding in Encoding::ALL {
                let codes = Codes::build(&rows, &params(encoding, metric, Guard::Keep));
                assert_eq!(codes.coding().encoding(), encoding);
                let recall = recall(&codes, &rows);
                let wanted = match encoding {
                    Encoding::F32 | Encoding::F16 => 1.0,
                    Encoding::Sq8 => 0.99,
                    Encoding::Sq4 if dim < 10 => 0.3,
                    Encoding::Sq4 => 0.9,
                    Encoding::Binary if dim < 100 => 0.0,
                    Encoding::Binary => 0.5,
                };
                assert!(
                    recall >= wanted,
                    "{encoding} {metric} dim {dim}: recall {recall}"
                );
            }
        }
    }
}

#[test]
fn codes_that_order_badly_are_replaced() {
    let check = |rows: &Rows, rotated: bool, encoding: Encoding| {
        let kept = Codes::build(rows, &params(Encoding::Sq8, Metric::L2, Guard::Keep));
        let guarded = Codes::build(rows, &params(Encoding::Sq8, Metric::L2, Guard::Replace));
        let coding = guarded.coding();
        assert_eq!(
            (coding.is_rotated(), coding.encoding()),
            (rotated, encoding)
        );
        let (before, after) = (recall(&kept, rows), recall(&guarded, rows));
        assert!(after >= 0.98, "recall {before} then {after}");
        assert!(coding.encoding() == Encoding::Sq8 && !rotated || before < after - 0.02);
    };
    let tame = clustered(Metric::L2, 1500, 128, |_| 1.0);
    check(&tame, false, Encoding::Sq8);
    // One dimension of many holds half of all distances, and lies outside the quantiles.
    let outlier = |i| if i == 7 { 60.0 } else { 1.0 };
    check(
        &clustered(Metric::L2, 1500, 2048, outlier),
        true,
        Encoding::Sq8,
    );
    // All rows are far from the origin in a few dimensions, whose values take all levels.
    let mut values = tame.as_slice().to_vec();
    values.iter_mut().step_by(32).for_each(|x| *x += 300.0);
    check(&Rows::new(128, values), false, Encoding::F16);
}

#[test]
fn odd_rows_and_queries_do_no_harm() {
    let dim = 70;
    let rows_of = |row: Vec<f32>, n: usize| Rows::new(dim, row.repeat(n));
    let odd = [
        rows_of(vec![0.0; dim], 100),
        rows_of(vec![7.5; dim], 100),
        rows_of(vec![f32::MAX; dim], 100),
        rows_of(vec![1e-40; dim], 100),
        rows_of(vec![1.0; dim], 1),
        Rows::new(dim, Vec::new()),
    ];
    for rows in &odd {
        for metric in METRICS {
            for encoding in Encoding::ALL {
                let codes = Codes::build(rows, &params(encoding, metric, Guard::Replace));
                for query in [
                    vec![0.0; dim],
                    vec![1.0; dim],
                    vec![-f32::MAX; dim],
                    vec![1e-45; dim],
                ] {
                    let nearest = codes.nearest(&query, 5, Among::All, rows);
                    assert_eq!(nearest.len(), rows.len().min(5), "{encoding} {metric}");
                    assert!(nearest.is_sorted());
                }
            }
        }
    }
}

#[test]
fn codings_come_back_from_their_bytes() {
    for metric in METRICS {
        for encoding in Encoding::ALL {
            let rows = clustered(metric, 500, 30, |i| if i == 3 { 900.0 } else { 1.0 });
            let codes = Codes::build(&rows, &params(encoding, metric, Guard::Replace));
            let mut bytes = Vec::new();
            codes.coding().write(&mut bytes);
            let coding = Coding::read(&bytes, rows.dim()).unwrap();
            let stored = Codes::stored(
                Arc::new(coding),
                rows.len(),
                Arc::new(codes.as_bytes().to_vec()),
            )
            .unwrap();
            for i in [0, 77, 499] {
                assert_eq!(
                    stored.nearest(rows.row(i), 9, Among::All, &rows),
                    codes.nearest(rows.row(i), 9, Among::All, &rows)
                );
            }
            let mut rewritten = Vec::new();
            stored.coding().write(&mut rewritten);
            assert_eq!(rewritten, bytes);
        }
    }
}

#[test]
fn bytes_that_are_no_coding_are_refused() {
    let rows = clustered(Metric::L2, 500, 30, |_| 1.0);
    let mut bytes = Vec::new();
    train(&rows, &params(Encoding::Sq8, Metric::L2, Guard::Keep)).write(&mut bytes);
    let check = |change: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        let error = Coding::read(&bytes, rows.dim()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    for len in 0..bytes.len() {
        check(&|b| b.truncate(len), "bytes are no coding");
    }
    check(&|b| b.push(0), "bytes are no coding");
    check(&|b| b[0] = 9, "byte 0");
    check(&|b| b[1] = 5, "byte 1");
    check(&|b| b[2] = 3, "byte 2");
    check(&|b| b[3] = 2, "byte 3");
    check(&|b| b[12] = 1, "byte 12");
    check(&|b| b[4..8].fill(0), "dim 0");
    check(&|b| b[4..8].fill(255), "dim 4294967295");
    check(&|b| b[4] += 1, "which its rows have not");
    check(&|b| b[16..20].fill(255), "number 0");
    check(&|b| b[20..24].fill(0), "number 1");
    check(&|b| b[27] = 0xbf, "number 2");
    assert!(
        Codes::stored(
            Arc::new(Coding::read(&bytes, rows.dim()).unwrap()),
            5,
            Arc::new(vec![0u8; 5 * 32 - 1])
        )
        .is_err()
    );
}

#[test]
fn sets_and_lists_restrict_the_scan() {
    let rows = clustered(Metric::L2, 1000, 40, |_| 1.0);
    let codes = Codes::build(&rows, &params(Encoding::Sq8, Metric::L2, Guard::Keep));
    for step in [1, 2, 7, 300] {
        let list: Vec<u32> = (0..1000).step_by(step).collect();
        let set = crate::BitSet::from_offsets(1000, list.iter().copied());
        for query in [3, 500] {
            let query = rows.row(query);
            let among = |among| codes.nearest(query, 10, among, &rows);
            let mut exact = SearchParams::new(10);
            exact.filter = Some(&set);
            let exact = scan(
                Metric::L2,
                query,
                rows.as_slice(),
                40,
                &exact,
                &mut Stats::default(),
            );
            assert_eq!(among(Among::Set(&set)), exact);
            assert_eq!(among(Among::List(&list)), exact);
        }
    }
    assert!(
        codes
            .nearest(rows.row(0), 10, Among::List(&[]), &rows)
            .is_empty()
    );
    assert!(codes.nearest(rows.row(0), 0, Among::All, &rows).is_empty());
}

/// The longest rows answer most queries by dot product, those that the sample does not have, too.
#[test]
fn products_with_the_longest_rows_are_told_apart() {
    let (n, dim) = (44_000, 8);
    let mut values = clustered(Metric::Cosine, n, dim, |_| 1.0)
        .as_slice()
        .to_vec();
    // Up to two thousand times as long as the others, the longest last: a tie would go to the first.
    for giant in 0..22 {
        let row = &mut values[(giant * 2000 + 7) * dim..][..dim];
        row.fill(0.0);
        row[0] = 3.0 * 1.35f32.powi(giant as i32);
    }
    let rows = Rows::new(dim, values);
    let mut query = vec![0.0; dim];
    query[0] = 1.0;
    for encoding in [Encoding::F32, Encoding::F16] {
        let codes = Codes::build(&rows, &params(encoding, Metric::Dot, Guard::Keep));
        let near = crate::codes::scan_codes(
            &codes.coding().prepare(&query),
            codes.as_bytes(),
            codes.coding().row_bytes(),
            5,
        );
        let offsets: Vec<Offset> = near.iter().map(|near| near.offset).collect();
        assert_eq!(
            offsets,
            [42_007, 40_007, 38_007, 36_007, 34_007],
            "{encoding}"
        );
    }
}

/// Half precision ends at 65,504.
#[test]
fn numbers_beyond_half_precision_are_kept_in_full() {
    let rows = clustered(Metric::L2, 3000, 8, |_| 1e6);
    let encoding = |wanted, guard| train(&rows, &params(wanted, Metric::L2, guard)).encoding();
    assert_eq!(encoding(Encoding::F16, Guard::Replace), Encoding::F32);
    assert_eq!(encoding(Encoding::F16, Guard::Keep), Encoding::F16);
}

/// Rows that are never an answer, however many and long, do not hide the differences of those that are.
#[test]
fn giants_that_point_away_hide_no_difference() {
    let (n, dim) = (8000, 16);
    let mut values = clustered(Metric::Cosine, n, dim, |_| 1.0)
        .as_slice()
        .to_vec();
    for giant in values.chunks_exact_mut(dim).step_by(400) {
        giant[0] = -1e6;
    }
    let rows = Rows::new(dim, values);
    let codes = Codes::build(&rows, &params(Encoding::Sq8, Metric::Dot, Guard::Replace));
    let queries = (1..400).step_by(8).map(|query| {
        let mut query = rows.row(query).to_vec();
        query[0] = query[0].abs();
        query
    });
    let found: usize = queries.map(|query| found(&codes, &rows, &query)).sum();
    assert!(
        found >= 495,
        "{found} of 500 by {}",
        codes.coding().encoding()
    );
}
