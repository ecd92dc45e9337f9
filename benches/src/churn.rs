//! Whether a collection answers as well as a fresh one after half of its rows were deleted and written again.

use anyhow::Result;
use clap::Args;
use cluster::engine::Metric;
use cluster::engine::query::{SearchParams, Selection};
use datasets::random::Random;
use serde_json::json;

use crate::bare;
use crate::data;
use crate::node::{Exact, Loaded, offsets};
use crate::peers::{Set, Vectors};
use crate::report::{Cell, Report, Table};

const K: usize = 10;
/// The share of the rows that is deleted.
const SHARE: f32 = 0.5;
/// How much less the recall may be.
const LESS_MAX: f64 = 0.005;

/// What to measure.
#[derive(Args, Debug)]
pub struct ChurnArgs {
    /// Rows and queries.
    #[arg(long, value_enum, default_value = "minilm40k")]
    set: Set,
}

/// Measures.
///
/// # Errors
///
/// The data is absent, or the node refuses something.
pub fn run(args: &ChurnArgs, seed: u64) -> Result<Report> {
    let Vectors { base, queries } = args.set.vectors(seed)?;
    let mut report = Report::new(
        "churn",
        json!({ "set": args.set.to_string(), "k": K, "share": SHARE, "seed": seed }),
    );
    report.dataset(data::describe_rows(&args.set.to_string(), base.view()));
    let exact = Exact::find(&base, &queries, Metric::L2, K)?;
    let asked = bare::lists(&queries);
    let fresh = Loaded::new(&base, Metric::L2)?;
    let churned = Loaded::new(&base, Metric::L2)?;

    let mut random = Random::of_stream(seed, 9, 0);
    let mut order: Vec<(f32, u32)> = (0..base.nrows() as u32)
        .map(|offset| (random.unit(), offset))
        .collect();
    order.retain(|(drawn, _)| *drawn < SHARE);
    let deleted: Vec<u32> = order.iter().map(|&(_, offset)| offset).collect();
    churned.delete(&deleted)?;
    churned.settle()?;
    // Written again in another order than before, and than they were deleted.
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let again: Vec<u32> = order.into_iter().map(|(_, offset)| offset).collect();
    churned.write(&base, &again)?;
    churned.settle()?;

    let mut table = Table::new(
        format!(
            "{} of {} rows deleted and written again",
            again.len(),
            base.nrows()
        ),
        &["setting", "recall_fresh", "recall_churned"],
    );
    for (name, params) in settings() {
        let recall = |loaded: &Loaded| -> Result<f64> {
            let found = asked
                .iter()
                .map(|query| offsets(&loaded.search_with(query, K, &params, &Selection::None)?));
            Ok(exact.recall(&found.collect::<Result<Vec<_>>>()?))
        };
        let (before, after) = (recall(&fresh)?, recall(&churned)?);
        table.push(vec![
            name.clone().into(),
            Cell::Number(before, 4),
            Cell::Number(after, 4),
        ]);
        report.goal(
            format!("{name}: recall is less by at most {LESS_MAX}"),
            format!("{:+.4}", after - before),
            before - after <= LESS_MAX,
        );
    }
    report.table(table);
    report.remark(format!(
        "fresh: {}; churned: {}",
        fresh.structures(),
        churned.structures()
    ));
    Ok(report)
}

/// Settings that a search can be asked with.
fn settings() -> Vec<(String, SearchParams)> {
    let of_target = |target: f32| {
        let params = SearchParams {
            target_recall: Some(target),
            ..SearchParams::default()
        };
        (format!("target {target}"), params)
    };
    let of_ef = |ef: usize| {
        (
            format!("ef {ef}"),
            SearchParams {
                ef: Some(ef),
                ..SearchParams::default()
            },
        )
    };
    [0.9, 0.95, 0.99]
        .map(of_target)
        .into_iter()
        .chain([20, 50, 200].map(of_ef))
        .collect()
}
