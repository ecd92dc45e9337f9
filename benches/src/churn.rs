//! Whether a collection answers as well as a fresh one after half of its rows were deleted and written again.
//!
//! The recall of a graph at a given effort depends on the order of its rows, by about as much as is asked for here, so several pairs are made,
//! each of rows in orders of their own, and their means are compared.

use std::collections::HashSet;

use anyhow::Result;
use clap::Args;
use cluster::engine::Metric;
use cluster::engine::query::{SearchParams, Selection};
use datasets::random::Random;
use ndarray::Array2;
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
    /// Fresh and churned collections.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
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
        json!({ "set": args.set.to_string(), "k": K, "share": SHARE, "pairs": args.pairs, "seed": seed }),
    );
    report.dataset(data::describe_rows(&args.set.to_string(), base.view()));
    let exact = Exact::find(&base, &queries, Metric::L2, K)?;
    let asked = bare::lists(&queries);
    let settings = settings();
    let recalls = |loaded: &Loaded| -> Result<Vec<f64>> {
        let recall = |(_, params): &(String, SearchParams)| {
            let found = asked
                .iter()
                .map(|query| offsets(&loaded.search_with(query, K, params, &Selection::None)?));
            Ok(exact.recall(&found.collect::<Result<Vec<_>>>()?))
        };
        settings.iter().map(recall).collect()
    };

    let (mut fresh, mut churned) = (Vec::new(), Vec::new());
    for pair in 0..args.pairs {
        let mut random = Random::of_stream(seed, 9, pair.into());
        let loaded = Loaded::in_order(&base, Metric::L2, &order(&base, &mut random))?;
        report.remark(format!("fresh: {}", loaded.structures()));
        fresh.push(recalls(&loaded)?);
        drop(loaded);
        let loaded = churn(&base, &mut random)?;
        report.remark(format!("churned: {}", loaded.structures()));
        churned.push(recalls(&loaded)?);
    }

    let mut table = Table::new(
        format!(
            "half of {} rows deleted and written again, means of {} and their standard errors",
            base.nrows(),
            args.pairs
        ),
        &[
            "setting",
            "recall_fresh",
            "error_fresh",
            "recall_churned",
            "error_churned",
        ],
    );
    for (at, (name, _)) in settings.iter().enumerate() {
        let of =
            |recalls: &[Vec<f64>]| mean(&recalls.iter().map(|each| each[at]).collect::<Vec<_>>());
        let (before, after) = (of(&fresh), of(&churned));
        let numbers = [before.0, before.1, after.0, after.1];
        let cells = numbers.map(|number| Cell::Number(number, 4));
        table.push([name.clone().into()].into_iter().chain(cells).collect());
        report.goal(
            format!("{name}: recall is less by at most {LESS_MAX}"),
            format!("{:+.4}", after.0 - before.0),
            before.0 - after.0 <= LESS_MAX,
        );
    }
    report.table(table);
    Ok(report)
}

/// A collection of which half of the rows were deleted, and then written in another order than before or than they were deleted.
fn churn(base: &Array2<f32>, random: &mut Random) -> Result<Loaded> {
    let loaded = Loaded::in_order(base, Metric::L2, &order(base, random))?;
    let mut some = order(base, random);
    some.retain(|_| random.unit() < SHARE);
    loaded.delete(&some)?;
    loaded.settle()?;
    let mut again = order(base, random);
    let deleted: HashSet<u32> = some.into_iter().collect();
    again.retain(|offset| deleted.contains(offset));
    loaded.write(base, &again)?;
    loaded.settle()?;
    Ok(loaded)
}

/// All offsets in random order.
fn order(base: &Array2<f32>, random: &mut Random) -> Vec<u32> {
    let mut drawn: Vec<(u64, u32)> = (0..base.nrows() as u32)
        .map(|offset| (random.next_u64(), offset))
        .collect();
    drawn.sort_unstable();
    drawn.into_iter().map(|(_, offset)| offset).collect()
}

/// The mean, and its standard error: 0 for a single value.
fn mean(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0) / count).sqrt())
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
