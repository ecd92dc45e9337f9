//! What more rows cost: queries a second at equal recall, and the build of each row.

use anyhow::{Context, Result};
use clap::Args;
use cluster::engine::Metric;
use datasets::synthetic::{Shape, Synthetic};
use index::{Effort, Graph, GraphSearch};
use serde_json::json;

use crate::bare;
use crate::measure::thread_cpu_seconds;
use crate::node::Exact;
use crate::report::{Cell, Report, Table};

const K: usize = 10;
const DIM: usize = 128;
/// Dimensions of the curved surface on which rows lie.
const LATENT: u32 = 24;
const QUERIES: usize = 1000;
/// Recall at which speeds are compared.
const RECALL: f64 = 0.95;
/// How often all queries are timed; the fastest counts.
const ROUNDS: usize = 7;
/// How many times slower queries may be with the most rows than with a tenth of them.
const SLOWER_MAX: f64 = 3.0;
/// How many times longer a row may take to build among the most rows than among the fewest.
const LONGER_MAX: f64 = 2.0;

/// What to measure.
#[derive(Args, Debug)]
pub struct GrowthArgs {
    /// Numbers of rows, rising.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    rows: Vec<usize>,
}

struct Grown {
    rows: usize,
    build_us: f64,
    recall: f64,
    qps: f64,
    visited: f64,
}

/// Measures.
///
/// # Errors
///
/// The recall is not reached.
pub fn run(args: &GrowthArgs, seed: u64) -> Result<Report> {
    let settings = json!({ "k": K, "dim": DIM, "latent": LATENT, "recall": RECALL, "queries": QUERIES, "seed": seed });
    let mut report = Report::new("growth", settings);
    let mut table = Table::new(
        format!(
            "graphs over rows of {DIM} dimensions on a surface of {LATENT}, CPU time of one thread"
        ),
        &[
            "rows",
            "build_us_per_row",
            "recall@10",
            "QPS",
            "rows_compared",
        ],
    );
    let mut grown = Vec::new();
    for &rows in &args.rows {
        let measured = measure(rows, seed)?;
        table.push(vec![
            measured.rows.into(),
            Cell::Number(measured.build_us, 1),
            Cell::Number(measured.recall, 4),
            Cell::Number(measured.qps, 0),
            Cell::Number(measured.visited, 0),
        ]);
        grown.push(measured);
    }
    report.table(table);
    if let [first, .., before, last] = grown.as_slice() {
        let slower = before.qps / last.qps;
        report.goal(
            format!(
                "queries with {} rows cost < {SLOWER_MAX} times those with {}",
                last.rows, before.rows
            ),
            format!("{slower:.2}"),
            slower < SLOWER_MAX,
        );
        let longer = last.build_us / first.build_us;
        report.goal(
            format!(
                "a row of {} takes < {LONGER_MAX} times as long to build as one of {}",
                last.rows, first.rows
            ),
            format!("{longer:.2}"),
            longer < LONGER_MAX,
        );
    }
    Ok(report)
}

fn measure(count: usize, seed: u64) -> Result<Grown> {
    let set = Synthetic::new(Shape::Manifold { latent: LATENT }, DIM, seed);
    let (base, queries) = (set.base(count), set.queries(QUERIES));
    let rows = bare::rows(&base);
    let asked = bare::lists(&queries);
    let started = process_cpu_seconds();
    let graph = bare::graph(&rows, 1);
    let build_us = (process_cpu_seconds() - started) / count as f64 * 1e6;
    let exact = Exact::find(&base, &queries, Metric::L2, K)?;

    let (effort, recall) = reach(&graph, &asked, &exact)?;
    let search = GraphSearch::new(K, effort);
    let mut visited = 0;
    for query in &asked {
        visited += graph.search(query, &search)?.stats.visited;
    }
    let round = || -> Result<f64> {
        let started = thread_cpu_seconds();
        bare::answers(&graph, &asked, &search)?;
        Ok(thread_cpu_seconds() - started)
    };
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        least = least.min(round()?);
    }
    Ok(Grown {
        rows: count,
        build_us,
        recall,
        qps: QUERIES as f64 / least,
        visited: visited as f64 / QUERIES as f64,
    })
}

/// The least effort that brings the recall, of those that a search can ask for.
fn reach(graph: &Graph, asked: &[Vec<f32>], exact: &Exact<'_>) -> Result<(Effort, f64)> {
    let (targets, _) = graph.calibrations();
    for point in targets.curve(K) {
        let effort = Effort::Recall(point.recall - point.error);
        let recall = exact.recall(&bare::answers(graph, asked, &GraphSearch::new(K, effort))?);
        if recall >= RECALL {
            return Ok((effort, recall));
        }
    }
    None.with_context(|| {
        format!(
            "no effort brings a recall of {RECALL} on {} rows",
            graph.len()
        )
    })
}

fn process_cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
