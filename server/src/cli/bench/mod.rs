//! `vecino bench`: recall beside speed, in process and over HTTP, on a file, on a collection, or on two canonical workloads.
//!
//! Truth comes from brute force in 64 bits over all rows. In process, queries call the collection directly; over HTTP they go
//! through a socket on this machine to a server whose client, this program, shares its cores.

mod environment;
mod in_process;
mod measure;
mod over_http;
mod report;
mod workload;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use cluster::engine::{Collection, CollectionConfig, Encoding, IndexKind, Metric, VectorConfig};
use cluster::{Node, NodeOptions};
use serde_json::Value;

use super::client::{Client, ServerArgs};
use super::failure::{Failure, Result};
use super::load::{IndexName, MetricName};
use super::output::{Output, counted};
use measure::{Measured, measure};
use report::{Line, LoadFigures, Section};
use workload::Workload;

/// The seed, if none is given.
const SEED_DEFAULT: u64 = 7;
/// Queries, if there is no file of them.
const QUERIES_DEFAULT: usize = 1000;
/// The longest time per line.
const SECONDS_MAX: f64 = 3600.0;
/// Name of the collection made for a file.
const COLLECTION: &str = "bench";

/// What to measure.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// A file of vectors, or the name of a collection. Two seeded canonical workloads if not given.
    #[arg(value_name = "FILE|COLLECTION")]
    subject: Option<String>,
    /// File of query vectors. Default: for a file, 1,000 rows held out of it; for a collection, its own vectors, each without
    /// itself among the answers.
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// How many neighbours.
    #[arg(short, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    k: u64,
    /// Numbers of threads to measure with.
    #[arg(long, value_name = "A,B,..", value_delimiter = ',', default_values_t = [1, 2], value_parser = clap::value_parser!(u64).range(1..=256))]
    threads: Vec<u64>,
    /// Most rows to take of a file.
    #[arg(long, value_name = "ROWS", default_value_t = 10_000_000)]
    rows: u64,
    /// How vectors of a file are compared. Default: euclid for up to 8 numbers and for bytes, else cosine.
    #[arg(long, value_enum)]
    metric: Option<MetricName>,
    /// Search structure for a file; chosen if not given.
    #[arg(long, value_enum)]
    index: Option<IndexName>,
    /// How a graph over a file writes vectors: sq8, sq4, f16, f32 or binary; sq8 if not given.
    #[arg(long)]
    encoding: Option<Encoding>,
    /// Columns of a file that together are the vector, as r,g,b.
    #[arg(long, value_name = "A,B,..", value_delimiter = ',')]
    vector_columns: Vec<String>,
    /// Which vector of the collection; its only dense one if not given.
    #[arg(long, value_name = "NAME")]
    using: Option<String>,
    /// Data folder that holds the collection, whose server is stopped: measures in process and over HTTP. Else --url is asked.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// Measure only one of the two ways.
    #[arg(long, value_enum)]
    only: Option<Way>,
    /// Run the queries again and again for at least so many seconds per line; less than 1 says little.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Seed of generated rows and of the choice of queries.
    #[arg(long, default_value_t = SEED_DEFAULT)]
    seed: u64,
}

/// Ways to reach the rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Way {
    /// By a call.
    InProcess,
    /// Through a socket.
    Http,
}

/// Runs the command.
///
/// # Errors
///
/// The subject is neither a file nor a collection, or has no vectors; the server does not answer.
pub fn run(args: &BenchArgs, output: Output) -> Result<()> {
    let sections = match &args.subject {
        None => {
            let workloads = workload::canonical(args.seed);
            workloads
                .into_iter()
                .map(|workload| of_rows(args, workload, output))
                .collect::<Result<Vec<_>>>()?
        }
        Some(path) if Path::new(path).is_file() => vec![of_rows(
            args,
            workload::from_file(args, Path::new(path))?,
            output,
        )?],
        Some(path) if looks_like_a_path(path) => {
            return Err(Failure::new("there is no such file")
                .at(path.as_str())
                .mend("check the path; or give the name of a collection"));
        }
        Some(name) => vec![match &args.data {
            Some(folder) => of_data(args, folder, name, output)?,
            None => of_server(args, name, output)?,
        }],
    };
    let answer = report::to_json(&environment::facts(), &sections);
    output.answer(&answer, |paint| {
        report::to_text(&environment::facts(), &sections, paint)
    });
    Ok(())
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(seconds),
        _ => Err(format!("give 0 to {SECONDS_MAX}")),
    }
}

fn looks_like_a_path(text: &str) -> bool {
    text.contains('/') || Path::new(text).extension().is_some()
}

/// Rows without a home: they go into a temporary one.
fn of_rows(args: &BenchArgs, workload: Workload, output: Output) -> Result<Section> {
    let folder = tempfile::tempdir()
        .map_err(|error| Failure::new(format!("make a temporary folder: {error}")))?;
    output.remark(&format!(
        "{}: loading {}",
        workload.name,
        counted(workload.base.nrows() as u64, "row")
    ));
    let node = open(folder.path())?;
    let vector = VectorConfig {
        index: args.index.map(index_kind),
        encoding: args.encoding,
        ..VectorConfig::new(workload.base.ncols(), workload.metric)
    };
    let config = CollectionConfig {
        vectors: [(String::new(), vector)].into(),
        ..CollectionConfig::default()
    };
    node.create_collection(COLLECTION, config)?;
    let started = Instant::now();
    in_process::load(&node, COLLECTION, &workload)?;
    let load = LoadFigures {
        rows: workload.base.nrows(),
        seconds: started.elapsed().as_secs_f64(),
    };
    let mut section = in_home(args, &node, COLLECTION, "", workload, output)?;
    section.load = Some(load);
    drop(node);
    over_socket(args, folder.path(), COLLECTION, "", &mut section, output)?;
    Ok(section)
}

/// A collection in a data folder that nobody else has open.
fn of_data(args: &BenchArgs, folder: &Path, name: &str, output: Output) -> Result<Section> {
    if !folder.is_dir() {
        return Err(Failure::new("there is no such folder")
            .at(folder.display().to_string())
            .mend("name the data folder of a server with --data"));
    }
    let node = open(folder)?;
    let collection = node.collection(name)?;
    let config = collection.config();
    let using = workload::choose_vector(
        args.using.as_deref(),
        config.vectors.keys().cloned().collect(),
    )?;
    let workload = workload::from_collection(args, &collection, &using)?;
    drop(collection);
    let mut section = in_home(args, &node, name, &using, workload, output)?;
    drop(node);
    over_socket(args, folder, name, &using, &mut section, output)?;
    Ok(section)
}

/// A collection of a server that runs.
fn of_server(args: &BenchArgs, name: &str, output: Output) -> Result<Section> {
    let client = Client::connect(&args.server)?;
    output.remark(&format!(
        "{name}: fetching its vectors from {}",
        client.base()
    ));
    let (workload, using) = over_http::workload(args, &client, name)?;
    let (truth, truth_seconds) = workload.truth()?;
    let mut section = Section::new(workload, truth, truth_seconds);
    section.structures = over_http::structures(&client, name, &using, &section.workload)?;
    measure_http(args, &client, name, &using, &mut section, output)?;
    Ok(section)
}

fn open(folder: &Path) -> Result<Node> {
    let node = Node::open(folder, NodeOptions::default()).map_err(|error| {
        let failure = Failure::from(error).at(folder.display().to_string());
        failure
            .mend("stop the server that uses this folder, or ask it with --url instead of --data")
    })?;
    while !node.is_ready() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Ok(node)
}

/// Truth, and the measurements by call.
fn in_home(
    args: &BenchArgs,
    node: &Node,
    name: &str,
    using: &str,
    workload: Workload,
    output: Output,
) -> Result<Section> {
    let (truth, truth_seconds) = workload.truth()?;
    let mut section = Section::new(workload, truth, truth_seconds);
    let collection: Arc<Collection> = node.collection(name)?;
    section.build_seconds = Some(in_process::wait_until_built(&collection));
    section.structures = in_process::structures(&collection, using);
    if args.only != Some(Way::Http) {
        for &threads in &args.threads {
            output.remark(&format!(
                "{}: in process, {}",
                section.workload.name,
                counted(threads, "thread")
            ));
            let target = in_process::InProcess::new(&collection, using, &section.workload);
            let measured = measure(
                &target,
                &section.workload,
                &section.truth,
                threads as usize,
                args.seconds,
            )?;
            section
                .lines
                .push(Line::new("in process", threads, measured));
        }
    }
    Ok(section)
}

/// A server on the same folder, and the measurements through its socket.
fn over_socket(
    args: &BenchArgs,
    folder: &Path,
    name: &str,
    using: &str,
    section: &mut Section,
    output: Output,
) -> Result<()> {
    if args.only == Some(Way::InProcess) {
        return Ok(());
    }
    let started = Instant::now();
    let server = over_http::LocalServer::start(folder)?;
    let client = server.client()?;
    over_http::wait_until_ready(&client, name)?;
    section.restart_seconds = Some(started.elapsed().as_secs_f64());
    over_http::wait_until_built(&client, name)?;
    measure_http(args, &client, name, using, section, output)
}

fn measure_http(
    args: &BenchArgs,
    client: &Client,
    name: &str,
    using: &str,
    section: &mut Section,
    output: Output,
) -> Result<()> {
    for &threads in &args.threads {
        output.remark(&format!(
            "{}: over HTTP, {}",
            section.workload.name,
            counted(threads, "thread")
        ));
        let target = over_http::OverHttp::new(client, name, using, &section.workload);
        let measured: Measured = measure(
            &target,
            &section.workload,
            &section.truth,
            threads as usize,
            args.seconds,
        )?;
        section
            .lines
            .push(Line::new(report::HTTP, threads, measured));
    }
    Ok(())
}

fn index_kind(name: IndexName) -> IndexKind {
    match name {
        IndexName::Flat => IndexKind::Flat,
        IndexName::KdTree => IndexKind::KdTree,
        IndexName::Graph => IndexKind::Graph,
    }
}

/// The engine's name for a metric.
fn metric(name: MetricName) -> Metric {
    match name {
        MetricName::Cosine => Metric::Cosine,
        MetricName::Dot => Metric::Dot,
        MetricName::Euclid => Metric::L2,
        MetricName::Manhattan => Metric::L1,
        MetricName::Chebyshev => Metric::LInf,
    }
}

/// A point id as the API writes it.
fn id_text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
