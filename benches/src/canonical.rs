//! How fast, at what recall: embedding-like vectors for the scan and points in space for the k-d tree.

use anyhow::Result;
use cluster::engine::Metric;
use datasets::synthetic::{Shape, Synthetic};
use serde_json::json;

use crate::data;
use crate::node::{Exact, Loaded};
use crate::report::Report;

/// Rows of either workload.
const ROWS: usize = 50_000;
/// Queries of either workload.
const QUERIES: usize = 1_000;
const K: usize = 10;
const THREADS: [usize; 2] = [1, 2];

/// Runs both workloads in a node of this process.
///
/// # Errors
///
/// The node refuses.
pub fn run(seed: u64) -> Result<Report> {
    let mut report = Report::new("canonical", json!({ "k": K, "seed": seed }));
    let workloads = [
        (
            "manifold",
            Shape::Manifold { latent: 24 },
            128,
            Metric::Cosine,
        ),
        ("uniform", Shape::Uniform, 3, Metric::L2),
    ];
    for (name, shape, dim, metric) in workloads {
        let set = Synthetic::new(shape, dim, seed);
        let (base, queries) = (set.base(ROWS), set.queries(QUERIES));
        report.dataset(data::describe_rows(name, base.view()));
        let exact = Exact::find(&base, &queries, metric, K)?;
        let loaded = Loaded::new(&base, metric)?;
        let measured = loaded.measure(&exact, K, &THREADS)?;
        report.table(loaded.table(name, &exact, &measured));
        for (speed, recall) in &measured {
            let what = format!("{name}, {} threads: recall@{K} = 1", speed.threads);
            report.goal(what, format!("{recall:.4}"), *recall == 1.0);
        }
    }
    Ok(report)
}
