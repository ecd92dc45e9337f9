//! Whether a recall that is asked for is what comes, on queries that the calibration never saw.

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use cluster::engine::Metric;
use index::{Effort, Graph, GraphSearch};
use ndarray::Axis;
use serde_json::json;

use crate::bare;
use crate::data;
use crate::node::Exact;
use crate::peers::{Set, Vectors};
use crate::report::{Cell, Report, Table};

const K: usize = 10;
/// How far below the target the measured recall may be.
const BELOW_MAX: f64 = 0.01;

/// What to measure.
#[derive(Args, Debug)]
pub struct RecallArgs {
    /// Data sets.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Set::value_variants().to_vec())]
    sets: Vec<Set>,
    /// Recalls to ask for.
    #[arg(long, value_delimiter = ',', default_values_t = [0.9, 0.95, 0.99])]
    targets: Vec<f32>,
    /// Queries that the graph learns from, before the others are asked again.
    #[arg(long, default_value_t = 200)]
    seen: usize,
}

const COLUMNS: [&str; 7] = [
    "set",
    "learned_from",
    "target",
    "recall@10",
    "estimate",
    "unknown",
    "rows_compared",
];

/// Measures.
///
/// # Errors
///
/// Data is absent or damaged.
pub fn run(args: &RecallArgs, seed: u64) -> Result<Report> {
    let settings = json!({ "k": K, "seen": args.seen, "targets": args.targets, "seed": seed });
    let mut report = Report::new("recall", settings);
    let mut table = Table::new(
        "the recall that is asked for and the one that comes",
        &COLUMNS,
    );
    for &set in &args.sets {
        measure(set, args, seed, &mut table, &mut report)?;
    }
    report.table(table);
    Ok(report)
}

fn measure(
    set: Set,
    args: &RecallArgs,
    seed: u64,
    table: &mut Table,
    report: &mut Report,
) -> Result<()> {
    let Vectors { base, queries } = set.vectors(seed)?;
    report.dataset(data::describe_rows(&set.to_string(), base.view()));
    ensure!(
        queries.nrows() > args.seen,
        "{set}: {} queries are too few",
        queries.nrows()
    );
    let graph = bare::graph(&bare::rows(&base), 0);
    // Spread over all: queries of a file may stand in some order.
    let is_seen = |query_idx: &usize| query_idx * args.seen % queries.nrows() < args.seen;
    let (seen, unseen): (Vec<usize>, Vec<usize>) = (0..queries.nrows()).partition(is_seen);
    let [seen, unseen] = [seen, unseen].map(|rows| queries.select(Axis(0), &rows));
    let exact = Exact::find(&base, &unseen, Metric::L2, K)?;
    let asked = Asked {
        graph: &graph,
        queries: bare::lists(&unseen),
        exact: &exact,
    };

    for &target in &args.targets {
        let got = asked.with(target)?;
        table.push(got.row(set, "its rows", target));
        // Queries of another kind are allowed for, if their answers say so.
        if set == Set::Shifted {
            let met = got.unknown >= 0.5 || got.is_enough(target);
            report.goal(
                format!("{set}, target {target}: told as unknown, or kept"),
                got.words(),
                met,
            );
        } else {
            report.goal(goal(set, target), got.words(), got.is_enough(target));
        }
    }
    for query in bare::lists(&seen) {
        graph.observe(&query)?;
    }
    for &target in &args.targets {
        let got = asked.with(target)?;
        table.push(got.row(set, "queries too", target));
        report.goal(
            format!("{} after {} queries", goal(set, target), args.seen),
            got.words(),
            got.is_enough(target),
        );
    }
    Ok(())
}

fn goal(set: Set, target: f32) -> String {
    format!(
        "{set}, target {target}: recall >= {:.3}",
        f64::from(target) - BELOW_MAX
    )
}

struct Asked<'a> {
    graph: &'a Graph,
    queries: Vec<Vec<f32>>,
    exact: &'a Exact<'a>,
}

/// What came.
struct Got {
    recall: f64,
    /// The mean of what answers said, where they did.
    estimate: f64,
    /// The share of the answers that said nothing.
    unknown: f64,
    /// Rows compared, on average.
    visited: f64,
}

impl Asked<'_> {
    fn with(&self, target: f32) -> Result<Got> {
        let search = GraphSearch::new(K, Effort::Recall(target));
        let count = self.queries.len() as f64;
        let (mut found, mut estimates, mut visited) = (Vec::new(), Vec::new(), 0);
        for query in &self.queries {
            let answer = self.graph.search(query, &search)?;
            found.push(bare::offsets(&answer.neighbors));
            estimates.extend(answer.recall);
            visited += answer.stats.visited;
        }
        let sum: f64 = estimates.iter().map(|&recall| f64::from(recall)).sum();
        Ok(Got {
            recall: self.exact.recall(&found),
            estimate: sum / estimates.len().max(1) as f64,
            unknown: 1.0 - estimates.len() as f64 / count,
            visited: visited as f64 / count,
        })
    }
}

impl Got {
    fn is_enough(&self, target: f32) -> bool {
        self.recall >= f64::from(target) - BELOW_MAX
    }

    fn words(&self) -> String {
        format!(
            "{:.4} (estimate {:.4}, unknown of {:.0} %)",
            self.recall,
            self.estimate,
            100.0 * self.unknown
        )
    }

    fn row(&self, set: Set, learned_from: &str, target: f32) -> Vec<Cell> {
        vec![
            set.to_string().into(),
            learned_from.into(),
            Cell::Number(f64::from(target), 3),
            Cell::Number(self.recall, 4),
            Cell::Number(self.estimate, 4),
            Cell::Number(self.unknown, 3),
            Cell::Number(self.visited, 0),
        ]
    }
}
