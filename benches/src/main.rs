//! Workloads on the whole system: every published number comes from one command of this program.
//!
//! ```text
//! cargo run --release -p benches                 how fast, at what recall: the canonical workload, about a minute
//! cargo run --release -p benches -- kdtree       k-d tree against bare kiddo, equal to brute force, through a node
//! cargo run --release -p benches -- mnist        exact search of 60,000 x 784, one and two threads
//! cargo run --release -p benches -- scifact      text: words, meaning and their fusions, over HTTP
//! cargo run --release -p benches -- pictures     pictures: nearest neighbour by class, words, load rate, over HTTP
//! cargo run --release -p benches -- peers        our index against other libraries, at equal recall (`make peers`)
//! cargo run --release -p benches -- graph        a graph through a node against the same graph by itself
//! cargo run --release -p benches -- recall       the recall that is asked for, and the one that comes, on every set
//! cargo run --release -p benches -- filters      filters of 50 to 0.3 %: the way chosen against the walk and the scan
//! cargo run --release -p benches -- growth       speed and build time of a row with 10,000 to 1,000,000 rows
//! cargo run --release -p benches -- churn        recall after half of the rows were deleted and written again
//! cargo run --release -p benches -- idle         memory and CPU of a server at rest, time to the first answer
//! ```
//!
//! A report is a table, or with `--json` one document, and carries settings, seed, data checksum, commit, CPU and
//! threads. Real data is read from `../shared/data` beside the workspace, or from the folder `VECINO_DATA`; where it is
//! absent, the command says so and ends well.
//!
//! Exit codes: 0 done or skipped, 1 failed, 2 wrong usage, 3 measured, but a goal was missed.

mod bare;
mod canonical;
mod churn;
mod data;
mod environment;
mod filters;
mod graph;
mod growth;
mod idle;
mod kdtree;
mod measure;
mod mnist;
mod node;
mod peers;
mod pictures;
mod ranking;
mod recall;
mod report;
mod scifact;
mod target;
mod upload;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::json;

use data::Absent;
use report::Report;

/// Measures Vecino. Without a command: how fast, at what recall, on one canonical workload.
#[derive(Parser, Debug)]
#[command(name = "benches", version)]
struct Arguments {
    /// Print one JSON document.
    #[arg(long, global = true)]
    json: bool,
    /// Fixes what is drawn at random.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// The k-d tree against bare kiddo, against brute force, and through a node.
    Kdtree(kdtree::KdtreeArgs),
    /// Exact search of MNIST through a node.
    Mnist(mnist::MnistArgs),
    /// Text retrieval on SciFact over HTTP.
    Scifact(scifact::ScifactArgs),
    /// Picture retrieval on grocery and caltech51 over HTTP.
    Pictures(pictures::PicturesArgs),
    /// A graph through a node against the same graph by itself.
    Graph(graph::GraphArgs),
    /// The recall that is asked for, and the one that comes.
    Recall(recall::RecallArgs),
    /// Filters that pass many rows or few.
    Filters(filters::FiltersArgs),
    /// What more rows cost.
    Growth(growth::GrowthArgs),
    /// Half of the rows deleted and written again.
    Churn(churn::ChurnArgs),
    /// A server at rest, and how soon it answers.
    Idle(idle::IdleArgs),
    /// Our index against the libraries of others, at equal recall.
    Peers(peers::PeersArgs),
    /// Our side of that comparison.
    #[command(hide = true)]
    PeersWorker(peers::OursArgs),
}

const EXIT_MISSED: u8 = 3;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::PeersWorker(args)) = &arguments.command {
        return match peers::serve(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let measured = run(&arguments);
    match measured {
        Ok(report) => {
            report.print(arguments.json);
            ExitCode::from(if report.all_met() { 0 } else { EXIT_MISSED })
        }
        Err(error) => match error.downcast_ref::<Absent>() {
            Some(absent) if arguments.json => {
                println!("{:#}", json!({ "skipped": absent.to_string() }));
                ExitCode::SUCCESS
            }
            Some(absent) => {
                println!("skipped: {absent}");
                ExitCode::SUCCESS
            }
            None => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn run(arguments: &Arguments) -> Result<Report> {
    let seed = arguments.seed;
    match &arguments.command {
        None => canonical::run(seed),
        Some(Command::Kdtree(args)) => kdtree::run(args, seed),
        Some(Command::Mnist(args)) => mnist::run(args),
        Some(Command::Scifact(args)) => scifact::run(args),
        Some(Command::Pictures(args)) => pictures::run(args),
        Some(Command::Graph(args)) => graph::run(args, seed),
        Some(Command::Recall(args)) => recall::run(args, seed),
        Some(Command::Filters(args)) => filters::run(args, seed),
        Some(Command::Growth(args)) => growth::run(args, seed),
        Some(Command::Churn(args)) => churn::run(args, seed),
        Some(Command::Idle(args)) => idle::run(args),
        Some(Command::Peers(args)) => peers::run(args, seed),
        Some(Command::PeersWorker(_)) => anyhow::bail!("a worker makes no report"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
