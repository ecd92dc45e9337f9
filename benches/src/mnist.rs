//! MNIST, 60,000 pictures of 784 numbers: exact search through a node finds every exact neighbour.

use anyhow::{Result, ensure};
use clap::Args;
use cluster::engine::Metric;
use datasets::formats::OpenOptions;
use datasets::matrix::read_vectors;
use serde_json::json;

use crate::data;
use crate::node::{Exact, Loaded};
use crate::report::Report;

const K: usize = 10;

/// How much to measure.
#[derive(Args, Debug)]
pub struct MnistArgs {
    /// Queries, of the 10,000 that there are.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    queries: u32,
    /// Numbers of threads that ask.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
}

/// Loads the 60,000 and asks for the neighbours of test pictures.
///
/// # Errors
///
/// The data is absent or damaged; the node refuses.
pub fn run(args: &MnistArgs) -> Result<Report> {
    ensure!(
        !args.threads.contains(&0),
        "--threads: 0 threads ask nothing"
    );
    let base_path = data::find("mnist/train-images-idx3-ubyte.gz")?;
    let queries_path = data::find("mnist/t10k-images-idx3-ubyte.gz")?;
    let options = OpenOptions::default();
    let base = read_vectors(&base_path, &options, usize::MAX)?;
    let queries = read_vectors(&queries_path, &options, args.queries as usize)?;

    let settings = json!({ "k": K, "queries": queries.nrows(), "metric": "l2" });
    let mut report = Report::new("mnist", settings);
    report.dataset(data::describe("mnist base", &base_path, base.nrows())?);
    report.dataset(data::describe(
        "mnist queries",
        &queries_path,
        queries.nrows(),
    )?);
    let exact = Exact::find(&base, &queries, Metric::L2, K)?;
    let loaded = Loaded::new(&base, Metric::L2)?;
    let measured = loaded.measure(&exact, K, &args.threads)?;
    report.table(loaded.table("mnist", &exact, &measured));
    let rows = base.nrows();
    report.goal("60,000 rows", rows.to_string(), rows == 60_000);
    for (speed, recall) in &measured {
        let what = format!("{} threads: exact recall@{K} = 1", speed.threads);
        report.goal(what, format!("{recall:.4}"), *recall == 1.0);
    }
    Ok(report)
}
