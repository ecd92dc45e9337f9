//! Our index against the libraries that others use, on the same rows and queries, at equal recall.
//!
//! Every system is a process of its own with one index; they are asked in turns. Peers with a batch call are called by
//! batch, and of the others the cost of an empty call is subtracted (`benches/peers/worker.py`). A ratio is the median
//! over interleaved pairs of CPU time of one thread, with its 95 % interval.

mod chart;
mod ours;
mod sets;
mod sweep;
mod worker;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use cluster::engine::Metric;
use datasets::writers;
use serde_json::json;

use crate::data;
use crate::measure::{Pairs, Ratio};
use crate::node::Exact;
use crate::report::{Cell, Report, Table};
use chart::Curve;
use ours::Structure;
pub use ours::{OursArgs, serve};
pub use sets::{Set, Vectors};
use sweep::{K, Step};
use worker::Worker;

/// What to compare with what.
#[derive(Args, Debug)]
pub struct PeersArgs {
    /// Data sets.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Set::Minilm40k])]
    sets: Vec<Set>,
    /// Peers.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Peer::value_variants().to_vec())]
    peers: Vec<Peer>,
    /// What of ours.
    #[arg(long, value_enum, default_value_t = Structure::Graph)]
    ours: Structure,
    /// Recalls at which speeds are compared.
    #[arg(long, value_delimiter = ',', default_values_t = [0.95, 0.99])]
    targets: Vec<f64>,
    /// Pairs of timed searches; the median of their ratios is reported.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(15..=1001))]
    pairs: u32,
    /// Pairs of builds.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=101))]
    build_pairs: u32,
    /// The Python that has the peers (`make peers` prepares one).
    #[arg(long, env = "VECINO_PEERS_PYTHON", default_value = "python3")]
    python: PathBuf,
    /// Where vectors and charts go.
    #[arg(long, default_value = "target/peers")]
    out: PathBuf,
}

/// A library of others, as `benches/peers/worker.py` calls it.
#[derive(Copy, Clone, Debug, Eq, PartialEq, ValueEnum)]
enum Peer {
    Hnswlib,
    FaissHnsw,
    FaissHnswSq8,
    FaissIvfpq,
    Usearch,
    Scann,
    QdrantEdge,
    Symphonyqg,
}

impl Peer {
    fn name(self) -> String {
        let value = self.to_possible_value().expect("no peer is hidden");
        value.get_name().to_owned()
    }
}

/// The least ratios, ours over theirs, that we want: of queries a second at both recalls, and of build time.
fn wanted(set: Set, peer: Peer) -> (Option<f64>, Option<f64>) {
    match (set, peer) {
        (Set::Minilm40k, Peer::Hnswlib) => (Some(4.0), Some(5.0)),
        (Set::Minilm40k, Peer::FaissHnsw) => (Some(3.0), None),
        (Set::Minilm40k, Peer::QdrantEdge) => (Some(2.5), None),
        (Set::Minilm40k, Peer::Symphonyqg) => (Some(1.1), Some(4.0)),
        (Set::Manifold300k, Peer::Hnswlib) => (Some(2.2), Some(3.5)),
        (Set::Manifold300k, Peer::Symphonyqg) => (Some(1.0), None),
        _ => (None, None),
    }
}

/// Compares on every set.
///
/// # Errors
///
/// Data or the peers' Python are absent, or a worker fails that has been swept: a peer whose index cannot be built is told in the report.
pub fn run(args: &PeersArgs, seed: u64) -> Result<Report> {
    let settings = json!({
        "k": K, "pairs": args.pairs, "build_pairs": args.build_pairs, "seed": seed, "targets": args.targets,
    });
    let mut report = Report::new("peers", settings);
    for &set in &args.sets {
        compare_on(set, args, seed, &mut report).with_context(|| set.to_string())?;
    }
    Ok(report)
}

/// One system that was swept.
struct Swept {
    worker: Worker,
    steps: Vec<Step>,
    bytes: f64,
}

fn compare_on(set: Set, args: &PeersArgs, seed: u64, report: &mut Report) -> Result<()> {
    let vectors = set.vectors(seed)?;
    let folder = args.out.join(set.to_string());
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let files = [folder.join("base.npy"), folder.join("queries.npy")];
    for (path, matrix) in files.iter().zip([&vectors.base, &vectors.queries]) {
        let file =
            std::fs::File::create(path).with_context(|| format!("create {}", path.display()))?;
        writers::npy(std::io::BufWriter::new(file), matrix.view())
            .with_context(|| format!("write {}", path.display()))?;
    }
    report.dataset(data::describe_rows(&set.to_string(), vectors.base.view()));
    let exact = Exact::find(&vectors.base, &vectors.queries, Metric::L2, K)?;

    let mut tables = Tables::new(set);
    let rows = vectors.base.nrows() as f64;
    let mut ours = sweep_ours(args, &files, &exact)?;
    tables.steps(&ours, rows);
    let mut curves = Vec::new();
    for &peer in &args.peers {
        eprintln!("{set}: {}", peer.name());
        let (speed_min, build_min) = wanted(set, peer);
        // Some end over some sets, which says nothing of the others.
        let mut theirs = match swept(start_peer(peer, args, &files)?, &exact) {
            Ok(theirs) => theirs,
            Err(error) => {
                let what = format!("{set}: {} was not measured", peer.name());
                if speed_min.or(build_min).is_some() {
                    report.goal(what, format!("{error:#}"), false);
                } else {
                    report.remark(format!("{what}: {error:#}"));
                }
                continue;
            }
        };
        tables.steps(&theirs, rows);
        for &target in &args.targets {
            let goal = Goal {
                set,
                peer: peer.name(),
                target,
                min: speed_min,
            };
            compare_speed(
                &goal,
                args.pairs,
                &exact,
                &mut ours,
                &mut theirs,
                &mut tables,
                report,
            )?;
        }
        let build_s = compare_builds(
            set,
            &peer.name(),
            build_min,
            args.build_pairs,
            &mut ours,
            &mut theirs,
            &mut tables,
            report,
        )?;
        if curves.is_empty() {
            curves.push(curve(&ours, build_s[0], rows));
        }
        curves.push(curve(&theirs, build_s[1], rows));
    }
    if curves.is_empty() {
        curves.push(curve(&ours, 0.0, rows));
    }
    let chart = args.out.join(format!("{set}.svg"));
    std::fs::write(&chart, chart::svg(&set.to_string(), &curves))
        .with_context(|| format!("write {}", chart.display()))?;
    report.remark(format!("chart: {}", chart.display()));
    tables.hand_over(report);
    Ok(())
}

fn curve(swept: &Swept, build_s: f64, rows: f64) -> Curve {
    Curve {
        name: swept.worker.name().to_owned(),
        points: swept
            .steps
            .iter()
            .map(|step| (step.recall, step.cpu_qps))
            .collect(),
        build_s,
        bytes: swept.bytes / rows,
    }
}

fn sweep_ours(args: &PeersArgs, files: &[PathBuf; 2], exact: &Exact<'_>) -> Result<Swept> {
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    let structure = args
        .ours
        .to_possible_value()
        .context("no structure is hidden")?;
    command.args(["peers-worker", structure.get_name()]);
    swept(
        Worker::start("vecino", command, &files[0], &files[1])?,
        exact,
    )
}

fn start_peer(peer: Peer, args: &PeersArgs, files: &[PathBuf; 2]) -> Result<Worker> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/worker.py");
    let mut command = Command::new(&args.python);
    command.arg(script).arg(peer.name());
    Worker::start(&peer.name(), command, &files[0], &files[1])
}

fn swept(mut worker: Worker, exact: &Exact<'_>) -> Result<Swept> {
    let built = worker.build(1)?;
    let steps = sweep::sweep(&mut worker, exact)?;
    Ok(Swept {
        worker,
        steps,
        bytes: built.bytes,
    })
}

/// What is compared at one recall.
struct Goal {
    set: Set,
    peer: String,
    target: f64,
    min: Option<f64>,
}

fn compare_speed(
    goal: &Goal,
    pairs: u32,
    exact: &Exact<'_>,
    ours: &mut Swept,
    theirs: &mut Swept,
    tables: &mut Tables,
    report: &mut Report,
) -> Result<()> {
    let mut sides = [ours, theirs];
    let mut reached = [None; 2];
    for (side, reached) in sides.iter_mut().zip(&mut reached) {
        *reached = sweep::reach(&mut side.worker, exact, &side.steps, goal.target)?;
    }
    let what = format!(
        "{}, recall {}: QPS ours/{}",
        goal.set, goal.target, goal.peer
    );
    let [Some(our), Some(their)] = reached else {
        let absent = ["ours", "theirs"]
            .into_iter()
            .zip(reached)
            .filter(|(_, reached)| reached.is_none());
        let absent: Vec<&str> = absent.map(|(name, _)| name).collect();
        tables.unreached(goal, reached);
        if let (Some(min), None) = (goal.min, reached[0]) {
            report.goal(
                format!("{what} >= {min}"),
                format!("never reached: {}", absent.join(", ")),
                false,
            );
        }
        return Ok(());
    };
    let mut rounds = [1; 2];
    for ((side, rounds), (parameter, _)) in sides.iter_mut().zip(&mut rounds).zip([our, their]) {
        *rounds = sweep::rounds_for(&mut side.worker, parameter)?;
    }
    let measured = Pairs::measure(pairs as usize, |side| {
        let (parameter, _) = [our, their][side];
        let searched = sides[side].worker.search(K, parameter, 1, rounds[side])?;
        Ok(searched.cpu_s / searched.queries)
    })?;
    let ratio = measured.ratio();
    tables.speed(goal, [our, their], &measured, ratio);
    if let Some(min) = goal.min {
        report.goal(
            format!("{what} >= {min}"),
            written(ratio),
            ratio.median >= min,
        );
    }
    Ok(())
}

/// Returns the median seconds of either side.
#[expect(clippy::too_many_arguments, reason = "it is called once")]
fn compare_builds(
    set: Set,
    peer: &str,
    min: Option<f64>,
    pairs: u32,
    ours: &mut Swept,
    theirs: &mut Swept,
    tables: &mut Tables,
    report: &mut Report,
) -> Result<[f64; 2]> {
    let measured = Pairs::measure(pairs as usize, |side| {
        let worker = if side == 0 {
            &mut ours.worker
        } else {
            &mut theirs.worker
        };
        Ok(worker.build(1)?.cpu_s)
    })?;
    let ratio = measured.ratio();
    let seconds = measured.rates().map(|rate| 1.0 / rate);
    tables.build(peer, seconds, ratio);
    if let Some(min) = min {
        let what = format!("{set}: build time {peer}/ours >= {min}");
        report.goal(what, written(ratio), ratio.median >= min);
    }
    Ok(seconds)
}

fn written(ratio: Ratio) -> String {
    let [low, high] = ratio.interval;
    format!("{:.2} [{low:.2}, {high:.2}]", ratio.median)
}

const STEP_COLUMNS: [&str; 7] = [
    "system",
    "parameter",
    "recall@10",
    "QPS_cpu",
    "QPS_wall",
    "QPS_wall_2_threads",
    "bytes/vector",
];
const SPEED_COLUMNS: [&str; 11] = [
    "peer",
    "recall",
    "our_parameter",
    "our_recall",
    "its_parameter",
    "its_recall",
    "our_us",
    "its_us",
    "ours/its",
    "from",
    "to",
];
const BUILD_COLUMNS: [&str; 6] = ["peer", "our_s", "its_s", "its/ours", "from", "to"];

/// The tables of one set.
struct Tables {
    steps: Table,
    speed: Table,
    build: Table,
}

impl Tables {
    fn new(set: Set) -> Self {
        Self {
            steps: Table::new(format!("{set}: curves"), &STEP_COLUMNS),
            speed: Table::new(
                format!("{set}: queries a second at equal recall, CPU of one thread"),
                &SPEED_COLUMNS,
            ),
            build: Table::new(
                format!("{set}: CPU time of building, one thread"),
                &BUILD_COLUMNS,
            ),
        }
    }

    fn steps(&mut self, swept: &Swept, rows: f64) {
        for step in &swept.steps {
            self.steps.push(vec![
                swept.worker.name().into(),
                (step.parameter as usize).into(),
                Cell::Number(step.recall, 4),
                Cell::Number(step.cpu_qps, 0),
                Cell::Number(step.wall_qps, 0),
                Cell::Number(step.wall_qps_2, 0),
                Cell::Number(swept.bytes / rows, 0),
            ]);
        }
    }

    fn speed(&mut self, goal: &Goal, reached: [(u32, f64); 2], measured: &Pairs, ratio: Ratio) {
        let micros = measured.rates().map(|rate| Cell::Number(1e6 / rate, 2));
        self.push_speed(
            goal,
            reached.map(Some),
            micros,
            [ratio.median, ratio.interval[0], ratio.interval[1]].map(|n| Cell::Number(n, 3)),
        );
    }

    fn unreached(&mut self, goal: &Goal, reached: [Option<(u32, f64)>; 2]) {
        self.push_speed(
            goal,
            reached,
            [Cell::Empty, Cell::Empty],
            [Cell::Empty, Cell::Empty, Cell::Empty],
        );
    }

    fn push_speed(
        &mut self,
        goal: &Goal,
        reached: [Option<(u32, f64)>; 2],
        micros: [Cell; 2],
        ratio: [Cell; 3],
    ) {
        let mut row = vec![goal.peer.clone().into(), Cell::Number(goal.target, 2)];
        for side in reached {
            row.push(side.map_or(Cell::Empty, |(parameter, _)| (parameter as usize).into()));
            row.push(side.map_or(Cell::Empty, |(_, recall)| Cell::Number(recall, 4)));
        }
        row.extend(micros);
        row.extend(ratio);
        self.speed.push(row);
    }

    fn build(&mut self, peer: &str, seconds: [f64; 2], ratio: Ratio) {
        self.build.push(vec![
            peer.into(),
            Cell::Number(seconds[0], 2),
            Cell::Number(seconds[1], 2),
            Cell::Number(ratio.median, 2),
            Cell::Number(ratio.interval[0], 2),
            Cell::Number(ratio.interval[1], 2),
        ]);
    }

    fn hand_over(self, report: &mut Report) {
        report.table(self.steps);
        report.table(self.speed);
        report.table(self.build);
    }
}
