//! How soon a node answers after a start, and how searches fare while it is written to.
//!
//! ```text
//! cargo build --release -p cluster --example restart
//! restart fill  FOLDER ROWS DIM    writes the rows and waits until they are sealed
//! restart open  FOLDER ROWS DIM    milliseconds from the start of the process to the first answer, and whether it is right; memory
//! restart kill  FOLDER ROWS DIM    rewrites a hundredth of the rows and kills itself with SIGKILL
//! restart mixed FOLDER ROWS DIM    times of searches at rest and while the rows are written again
//! ```
//!
//! The vector of a row follows from its id, so any process can check an answer.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cluster::engine::query::{Query, QueryKind, QueryVector, Selection};
use cluster::engine::{CollectionConfig, Metric, Payload, Point, PointId, Vector, VectorConfig};
use cluster::{Node, NodeOptions};

const COLLECTION: &str = "rows";
const BATCH: u64 = 256;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let since = Instant::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, folder, rows, dim] = arguments.as_slice() else {
        return Err("usage: restart fill|open|kill|mixed FOLDER ROWS DIM".into());
    };
    let (rows, dim): (u64, usize) = (rows.parse()?, dim.parse()?);
    let node = Node::open(Path::new(folder), NodeOptions::default())?;
    println!("store open after {} ms", since.elapsed().as_millis());
    node.wait_until_ready();
    println!("collections ready after {} ms", since.elapsed().as_millis());
    match command.as_str() {
        "fill" => fill(&node, rows, dim),
        "open" => answer(&node, rows, dim, since),
        "kill" => {
            write(&node, 0..rows / 100, dim)?;
            Err(std::process::Command::new("kill")
                .args(["-9", &std::process::id().to_string()])
                .status()
                .map_or_else(|error| error.to_string(), |_| "still alive".to_owned())
                .into())
        }
        "mixed" => mixed(&node, rows, dim),
        other => Err(format!("there is no command {other}").into()),
    }
}

fn fill(node: &Node, rows: u64, dim: usize) -> Outcome {
    let mut config = CollectionConfig::default();
    let vector = VectorConfig::new(dim, Metric::L2);
    config.vectors.insert(String::new(), vector);
    node.create_collection(COLLECTION, config)?;
    let since = Instant::now();
    write(node, 0..rows, dim)?;
    println!(
        "{:.0} points/s written",
        rows as f64 / since.elapsed().as_secs_f64()
    );
    settle(node)?;
    println!("sealed after {:.1} s", since.elapsed().as_secs_f64());
    memory("after sealing");
    Ok(())
}

fn answer(node: &Node, rows: u64, dim: usize, since: Instant) -> Outcome {
    let is_met = search(node, rows / 3, dim)?;
    println!(
        "first answer after {} ms, correct: {is_met}",
        since.elapsed().as_millis()
    );
    let again = Instant::now();
    let is_met = search(node, rows / 2, dim)?;
    println!(
        "a second one took {} ms, correct: {is_met}",
        again.elapsed().as_millis()
    );
    memory("at rest");
    let info = node.collection(COLLECTION)?.info();
    println!("{} points, {} indexed", info.points, info.indexed_rows);
    Ok(())
}

fn mixed(node: &Node, rows: u64, dim: usize) -> Outcome {
    settle(node)?;
    report(
        "at rest",
        measure(node, rows, dim, &AtomicBool::new(false), 200)?,
    );
    let (done, stalls) = (AtomicBool::new(false), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| -> Outcome {
        let writer = scope.spawn(|| {
            let mut slowest = Vec::new();
            let since = Instant::now();
            let count = rows / 5;
            for first in (0..count).step_by(BATCH as usize) {
                let began = Instant::now();
                write(node, first..(first + BATCH).min(count), dim).map_err(|e| e.to_string())?;
                slowest.push(began.elapsed());
            }
            let rate = count as f64 / since.elapsed().as_secs_f64();
            println!("{rate:.0} points/s written meanwhile");
            *stalls.lock().map_err(|e| e.to_string())? = slowest;
            done.store(true, Ordering::Release);
            Ok::<(), String>(())
        });
        let times = measure(node, rows, dim, &done, usize::MAX);
        done.store(true, Ordering::Release);
        writer.join().map_err(|_| "the writer panicked")??;
        report("searches during load", times?);
        Ok(())
    })?;
    report("writes of 256", stalls.into_inner()?);
    Ok(())
}

/// Times of searches until told to stop; prints how many were right.
fn measure(
    node: &Node,
    rows: u64,
    dim: usize,
    done: &AtomicBool,
    most: usize,
) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    let mut times = Vec::new();
    let mut met = 0;
    while times.len() < most && !done.load(Ordering::Acquire) {
        let began = Instant::now();
        met += usize::from(search(node, times.len() as u64 * 7919 % rows, dim)?);
        times.push(began.elapsed());
    }
    println!("{met} of {} found the point of their vector", times.len());
    Ok(times)
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{what}: {} of them, p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        times.len(),
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0)
    );
}

/// Whether the point whose vector is searched for comes first. Vectors without any structure are the hardest for a graph, which may miss it.
fn search(node: &Node, id: u64, dim: usize) -> Result<bool, Box<dyn std::error::Error>> {
    let query = Query {
        kind: QueryKind::Nearest(QueryVector::Dense(vector(id, dim))),
        limit: 10,
        with_payload: Selection::All,
        ..Query::default()
    };
    let answer = node.collection(COLLECTION)?.query(&query)?;
    let first = answer.points.first();
    Ok(first.is_some_and(|point| point.id == PointId::Num(id)))
}

fn write(node: &Node, ids: std::ops::Range<u64>, dim: usize) -> Outcome {
    for first in ids.clone().step_by(BATCH as usize) {
        let points = (first..(first + BATCH).min(ids.end)).map(|id| Point {
            id: PointId::Num(id),
            vectors: [(String::new(), Vector::Dense(vector(id, dim)))].into(),
            payload: Payload::from_iter([("n".to_owned(), id.into())]),
            expires_at_ms: None,
            media: Vec::new(),
        });
        node.upsert(COLLECTION, points.collect())?;
    }
    Ok(())
}

/// The vector of a row (SplitMix64).
fn vector(id: u64, dim: usize) -> Vec<f32> {
    let mut state = id.wrapping_mul(0xd134_2543_de82_ef95);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..dim).map(|_| next()).collect()
}

fn settle(node: &Node) -> Outcome {
    loop {
        let info = node.collection(COLLECTION)?.info();
        if !info.building && info.indexed_rows == info.points {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Resident memory by part, as the kernel tells.
fn memory(when: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let parts = status
        .lines()
        .filter(|line| line.starts_with("Rss") || line.starts_with("VmHWM"));
    let parts: Vec<String> = parts
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    println!("memory {when}: {}", parts.join(", "));
}
