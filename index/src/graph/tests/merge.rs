//! Graphs of several segments.

use super::*;

#[test]
fn merging_keeps_recall_and_forgets_the_dead() {
    let dim = 48;
    for metric in [Metric::L2, Metric::Dot] {
        let all = rows_like(metric, 6000, dim, 1);
        let queries = rows_like(metric, 150, dim, 2);
        let base_rows = Rows::new(dim, all.as_slice()[..5000 * dim].to_vec());
        let base = build(&base_rows, metric);
        let train = train(metric, Encoding::Sq8);
        let check = |origins: Vec<Origin>, rows: Rows, name: &str| {
            let params = BuildParams::default();
            let merged = base.merged(&origins, Arc::new(rows.clone()), &train, &params);
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
            let again = base.merged(&origins, Arc::new(rows), &train, &again);
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
    let merged = base.merged(
        &origins,
        Arc::new(grown.clone()),
        &train(Metric::L2, Encoding::Sq8),
        &BuildParams::default(),
    );
    let queries = Rows::new(32, grown.as_slice()[2100 * 32..2200 * 32].to_vec());
    let recall = recall(&merged, &grown, &queries, Effort::Recall(0.95));
    assert!(recall >= 0.93, "recall {recall}");
    // By the encoding that is asked for, not by what the base has.
    let sq4 = base.merged(
        &origins,
        Arc::new(grown.clone()),
        &train(Metric::L2, Encoding::Sq4),
        &BuildParams::default(),
    );
    assert_eq!(sq4.codes().coding().encoding(), Encoding::Sq4);
}
