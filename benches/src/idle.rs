//! A real server process at rest with the sample loaded: its memory, its CPU, and how soon it answers.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use datasets::sample::{SEED, sample};
use datasets::{ImageSource, Row};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use ureq::http::Method;

use crate::environment::proc_bytes;
use crate::measure::median;
use crate::report::{Cell, Report, Table};
use crate::target::Client;
use crate::upload::{Uploaded, upload_to};

/// Resident memory that must not be reached.
const RSS_MAX: f64 = 60e6;
/// Share of one CPU that counts as none: what a clock of a hundredth of a second cannot see.
const CPU_PERCENT_MAX: f64 = 0.05;
/// Milliseconds from start on an empty folder to the first answer.
const FIRST_MS_MAX: f64 = 300.0;
/// How long a server rests before it is watched: segments are sealed meanwhile.
const SETTLE: Duration = Duration::from_secs(5);
/// How often to ask a server that has just started.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// How long to wait for its first answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const COLLECTION: &str = "/collections/sample";

/// How to measure.
#[derive(Args, Debug)]
pub struct IdleArgs {
    /// The program; without it, `vecino` beside this one.
    #[arg(long, value_name = "PATH")]
    vecino: Option<PathBuf>,
    /// Seconds of rest that are watched.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Starts that are timed; the median counts.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=100))]
    starts: u32,
}

/// Starts servers, loads the sample, rests, and starts again.
///
/// # Errors
///
/// The program is absent, does not start, or does not answer.
pub fn run(args: &IdleArgs) -> Result<Report> {
    let program = program(args.vecino.as_deref())?;
    let settings = json!({ "seconds": args.seconds, "starts": args.starts, "settle_seconds": SETTLE.as_secs(), "sample_seed": SEED });
    let mut report = Report::new("idle", settings);

    let mut empty_ms = Vec::new();
    for _ in 0..args.starts {
        let dir = tempfile::tempdir().context("make a temporary folder")?;
        let server = Serving::start(&program, dir.path())?;
        empty_ms.push(server.first_answer(Method::GET, "/collections", None)?);
    }

    let dir = tempfile::tempdir().context("make a temporary folder")?;
    let server = Serving::start(&program, dir.path())?;
    server.first_answer(Method::GET, "/collections", None)?;
    let loaded = load_sample(&server.client)?;
    report.dataset(json!({ "name": "sample", "rows": loaded.stored, "seed": SEED }));
    report.goal(
        "the sample is stored",
        loaded.to_text(),
        loaded.stored > 0 && loaded.skipped == 0,
    );
    let after_load = server.rest(args.seconds)?;
    server.stop()?;

    let mut restart_ms = Vec::new();
    let question = json!({ "text": "a green apple", "k": 1 }).to_string();
    let question = Some(("application/json", question.as_bytes()));
    let search = format!("{COLLECTION}/search");
    for _ in 1..args.starts {
        let server = Serving::start(&program, dir.path())?;
        restart_ms.push(server.first_answer(Method::POST, &search, question)?);
        server.stop()?;
    }
    let server = Serving::start(&program, dir.path())?;
    restart_ms.push(server.first_answer(Method::POST, &search, question)?);
    let after_restart = server.rest(args.seconds)?;
    server.stop()?;

    rests(
        &mut report,
        args.seconds,
        [
            ("the sample loaded by it", after_load),
            ("started on the sample", after_restart),
        ],
    );
    starts(&mut report, empty_ms, restart_ms);
    Ok(report)
}

fn rests(report: &mut Report, seconds: u64, rests: [(&str, Rest); 2]) {
    let columns = &[
        "server",
        "RSS_MB",
        "of_it_anonymous_MB",
        "of_it_file_MB",
        "peak_MB",
        "CPU_%",
        "CPU_ms",
        "threads",
    ];
    let mut table = Table::new(format!("at rest, {seconds} s watched"), columns);
    for (name, rest) in rests {
        table.push(vec![
            name.into(),
            Cell::Number(rest.rss / 1e6, 1),
            Cell::Number(rest.anonymous / 1e6, 1),
            Cell::Number(rest.file / 1e6, 1),
            Cell::Number(rest.peak / 1e6, 1),
            Cell::Number(rest.cpu_percent(), 3),
            Cell::Number(rest.cpu_seconds * 1e3, 2),
            rest.threads.into(),
        ]);
        let got = format!("{:.1} MB", rest.rss / 1e6);
        report.goal(
            format!("{name}: RSS < {} MB", RSS_MAX / 1e6),
            got,
            rest.rss < RSS_MAX,
        );
        let got = format!("{:.3} % over {:.1} s", rest.cpu_percent(), rest.seconds);
        report.goal(
            format!("{name}: 0 % CPU"),
            got,
            rest.cpu_percent() < CPU_PERCENT_MAX,
        );
    }
    report.table(table);
}

fn starts(report: &mut Report, mut empty_ms: Vec<f64>, mut restart_ms: Vec<f64>) {
    let columns = &["start", "starts", "median_ms", "fastest_ms", "slowest_ms"];
    let mut table = Table::new("from the start of the process to its first answer", columns);
    let goal = format!("empty folder to first answer < {FIRST_MS_MAX} ms");
    for (name, times) in [
        ("empty folder, list of collections", &mut empty_ms),
        ("the sample, a search of it", &mut restart_ms),
    ] {
        times.sort_by(f64::total_cmp);
        let (fastest, slowest) = (times[0], times[times.len() - 1]);
        table.push(vec![
            name.into(),
            times.len().into(),
            Cell::Number(median(times), 1),
            Cell::Number(fastest, 1),
            Cell::Number(slowest, 1),
        ]);
    }
    let got = median(&empty_ms);
    report.goal(goal, format!("{got:.1} ms"), got < FIRST_MS_MAX);
    report.table(table);
}

/// The program to start.
fn program(given: Option<&Path>) -> Result<PathBuf> {
    let program = match given {
        Some(path) => path.to_owned(),
        None => {
            let own = std::env::current_exe().context("find this program")?;
            own.with_file_name(format!("vecino{}", std::env::consts::EXE_SUFFIX))
        }
    };
    ensure!(
        program.is_file(),
        "there is no {}; build it with `cargo build --release -p server`, or name it with --vecino PATH",
        program.display()
    );
    Ok(program)
}

fn load_sample(client: &Client) -> Result<Uploaded> {
    client.send(Method::PUT, COLLECTION, None)?;
    let rows = sample(SEED).map(|picture| {
        let fields = [
            ("label", picture.label),
            ("group", picture.group),
            ("color", picture.color),
            ("file", &picture.name),
        ];
        let payload: Map<String, Value> = fields
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect();
        Ok(Row {
            source: picture.name,
            id: None,
            text: Some(picture.caption),
            image: Some(ImageSource::Bytes(picture.png)),
            vectors: Vec::new(),
            payload,
        })
    });
    upload_to(client, COLLECTION, rows)
}

/// A server process; killed when it is dropped.
struct Serving {
    child: Child,
    started: Instant,
    client: Client,
}

/// What a process at rest uses.
struct Rest {
    rss: f64,
    anonymous: f64,
    file: f64,
    peak: f64,
    threads: usize,
    seconds: f64,
    cpu_seconds: f64,
}

impl Rest {
    fn cpu_percent(&self) -> f64 {
        self.cpu_seconds / self.seconds * 100.0
    }
}

impl Serving {
    /// Starts a server on a free port and reads from its words which.
    fn start(program: &Path, dir: &Path) -> Result<Self> {
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(dir.join("data"))
            .env_remove("VECINO_API_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut words = BufReader::new(child.stderr.take().context("read what the server says")?);
        let mut said = String::new();
        let url = loop {
            let mut line = String::new();
            let bytes = words
                .read_line(&mut line)
                .context("read what the server says")?;
            said += &line;
            if let Some(url) = line
                .split_whitespace()
                .find(|word| word.starts_with("http://"))
            {
                break url.trim_end_matches(['.', ',']).to_owned();
            }
            if bytes == 0 {
                let _ = child.kill();
                let _ = child.wait();
                anyhow::bail!("the server ended: {said}");
            }
        };
        // Whatever else it says must not block it.
        std::thread::spawn(move || std::io::copy(&mut words, &mut std::io::sink()));
        Ok(Self {
            child,
            started,
            client: Client::new(&url, None),
        })
    }

    /// Asks until it answers well; milliseconds since the process was started.
    fn first_answer(&self, method: Method, path: &str, body: Option<(&str, &[u8])>) -> Result<f64> {
        loop {
            let answer = self.client.once(method.clone(), path, body);
            if let Ok((200, _)) = answer {
                return Ok(self.started.elapsed().as_secs_f64() * 1e3);
            }
            if self.started.elapsed() > ANSWER_MAX {
                let (status, body) = answer?;
                anyhow::bail!(
                    "{path} answers {status}: {}",
                    String::from_utf8_lossy(&body)
                );
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// Lets it settle, then watches it.
    fn rest(&self, seconds: u64) -> Result<Rest> {
        std::thread::sleep(SETTLE);
        let proc = format!("/proc/{}", self.child.id());
        let (before, started) = (cpu_times(&proc)?, Instant::now());
        std::thread::sleep(Duration::from_secs(seconds));
        let (after, watched) = (cpu_times(&proc)?, started.elapsed());
        let status = format!("{proc}/status");
        let bytes = |name: &str| {
            let bytes =
                proc_bytes(&status, name).with_context(|| format!("{status} has no {name}"))?;
            anyhow::Ok(bytes as f64)
        };
        Ok(Rest {
            rss: bytes("VmRSS")?,
            anonymous: bytes("RssAnon")?,
            file: bytes("RssFile")?,
            peak: bytes("VmHWM")?,
            threads: after.len(),
            seconds: watched.as_secs_f64(),
            cpu_seconds: cpu_seconds(&before, &after),
        })
    }

    /// Asks it to end in order, and waits for that.
    fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("the server has no process id")?, Signal::TERM)
            .context("stop the server")?;
        let status = self.child.wait().context("wait for the server's end")?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already: then there is nobody to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nanoseconds of CPU by thread, by the scheduler's clock: ticks of a hundredth of a second would hide a little work.
type CpuTimes = HashMap<PathBuf, f64>;

fn cpu_times(proc: &str) -> Result<CpuTimes> {
    let folder = format!("{proc}/task");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("read {folder}; this needs Linux"))?;
    let time = |path: PathBuf| {
        // A thread may end between the two.
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        Some((path, text.split_whitespace().next()?.parse().ok()?))
    };
    Ok(entries
        .filter_map(|entry| time(entry.ok()?.path()))
        .collect())
}

/// Seconds that threads have used between two looks, those that began in between included.
fn cpu_seconds(before: &CpuTimes, after: &CpuTimes) -> f64 {
    let used = after
        .iter()
        .map(|(thread, time)| time - before.get(thread).unwrap_or(&0.0));
    used.sum::<f64>() / 1e9
}
