//! How fast a node in process takes writes and gives points back, and how many bytes it writes for them.
//!
//! ```text
//! cargo run --release -p cluster --example writes -- load [ROWS] [FOLDER]     384-d vectors and nothing else
//! cargo run --release -p cluster --example writes -- points [ROWS] [FOLDER]   384-d vectors with payloads of 500 B
//! cargo run --release -p cluster --example writes -- minilm [ROWS] [FOLDER]   the 40,000 vectors of minilm-40k in VECINO_DATA, repeated
//! cargo run --release -p cluster --example writes -- puts [ROWS] [FOLDER]     payloads of 1 KB, interval of 100 ms, 2 clients
//! cargo run --release -p cluster --example writes -- gets [ROWS] [FOLDER]     points of 1 KB one by one, 2 threads
//! ```
//!
//! Clients write batches of 256; but for `puts` they are 4 and every batch is synced. The bytes written are those that the process caused to be
//! written to the disk, until nothing was written for three seconds. The node lies in a temporary folder inside FOLDER; rows are made from
//! their numbers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster::engine::query::{Selection, VectorSelection};
use cluster::engine::{
    CollectionConfig, Durability, Metric, Payload, Point, PointId, Vector, VectorConfig,
};
use cluster::{Node, NodeOptions};

const BATCH: u64 = 256;
const DIM: usize = 384;
const VALUE_BYTES: usize = 1000;
const PAYLOAD_BYTES: usize = 500;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let rows = arguments.next().and_then(|rows| rows.parse().ok());
    let parent = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(parent).expect("make a folder");
    let node = Node::open(dir.path(), NodeOptions::default()).expect("open a node");
    match what.as_str() {
        "load" => load(&node, rows.unwrap_or(1_000_000), 0, numbers),
        "points" => load(&node, rows.unwrap_or(1_000_000), PAYLOAD_BYTES, numbers),
        "minilm" => {
            let all = minilm();
            let row = |id: u64| all[id as usize % (all.len() / DIM) * DIM..][..DIM].to_vec();
            load(&node, rows.unwrap_or(400_000), 0, row);
        }
        "puts" => puts(&node, rows.unwrap_or(1_000_000)),
        "gets" => gets(&node, rows.unwrap_or(100_000)),
        _ => println!("say load, points, minilm, puts or gets"),
    }
}

fn load(node: &Node, rows: u64, payload_bytes: usize, vector_of: impl Fn(u64) -> Vec<f32> + Sync) {
    let mut config = CollectionConfig::default();
    let vector = VectorConfig::new(DIM, Metric::Cosine);
    config.vectors.insert(String::new(), vector);
    node.create_collection("c", config).expect("create");
    let user_bytes = rows * (DIM * 4 + payload_bytes + 8) as u64;
    write(node, rows, 4, user_bytes, |id| Point {
        vectors: BTreeMap::from([(String::new(), Vector::Dense(vector_of(id)))]),
        ..value_point(id, payload_bytes)
    });
}

/// The base rows of the data set: an .npy file of f16, each of which is an f32.
fn minilm() -> Vec<f32> {
    let folder =
        std::env::var_os("VECINO_DATA").expect("VECINO_DATA names the folder of data sets");
    let bytes = std::fs::read(PathBuf::from(folder).join("minilm-40k/base.npy")).expect("read");
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (halves, _) = bytes[10 + header..].as_chunks::<2>();
    let number = |half: &[u8; 2]| {
        let bits = u32::from(u16::from_le_bytes(*half));
        let sign = f32::from_bits((bits & 0x8000) << 16 | 0x3f80_0000);
        // The exponent is moved to f32's place, and its bias by a product, which serves subnormal numbers too.
        sign * f32::from_bits((bits & 0x7fff) << 13) * 2f32.powi(112)
    };
    halves.iter().map(number).collect()
}

/// XorShift (Marsaglia 2003) from the row's number.
fn numbers(id: u64) -> Vec<f32> {
    let mut random = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let number = |_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..DIM).map(number).collect()
}

fn puts(node: &Node, rows: u64) {
    create_with_interval(node);
    let user_bytes = rows * (VALUE_BYTES as u64 + 8);
    write(node, rows, 2, user_bytes, |id| value_point(id, VALUE_BYTES));
}

fn create_with_interval(node: &Node) {
    let config = CollectionConfig {
        durability: Durability::IntervalMs(100),
        ..CollectionConfig::default()
    };
    node.create_collection("c", config).expect("create");
}

/// A point without vectors, whose payload has so many bytes that do not compress to nothing.
fn value_point(id: u64, bytes: usize) -> Point {
    let mut random = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    // Eight letters of each number: making the values must not take the cores from what is measured.
    let letters = |_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let letters = random.to_le_bytes().map(|byte| b'0' + (byte >> 2));
        letters.map(|letter| if letter == b'\\' { b'z' } else { letter })
    };
    let bytes_of_text = bytes.saturating_sub(8);
    let mut text: Vec<u8> = (0..bytes_of_text.div_ceil(8)).flat_map(letters).collect();
    text.truncate(bytes_of_text);
    let text = String::from_utf8(text).expect("letters are ASCII");
    Point {
        id: PointId::Num(id),
        vectors: BTreeMap::new(),
        payload: if bytes == 0 {
            Payload::new()
        } else {
            [("v".to_owned(), text.into())].into_iter().collect()
        },
        media: Vec::new(),
        expires_at_ms: None,
    }
}

/// Writes all rows from so many threads, and says what it took.
fn write(
    node: &Node,
    rows: u64,
    threads: usize,
    user_bytes: u64,
    point: impl Fn(u64) -> Point + Sync,
) {
    let next = AtomicU64::new(0);
    let half_us = AtomicU64::new(0);
    let before = Usage::now();
    let started = Instant::now();
    let client = || {
        loop {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= rows {
                return;
            }
            if first >= rows / 2 {
                let now = started.elapsed().as_micros() as u64;
                // The first to come here says when the half was reached.
                let _ = half_us.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
            }
            let points = (first..(first + BATCH).min(rows)).map(&point);
            node.upsert("c", points.collect()).expect("write");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(client);
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let half = half_us.into_inner() as f64 / 1e6;
    let loaded = Usage::now();
    let rate = |seconds: f64, share: f64| rows as f64 * share / seconds;
    println!(
        "{rows} rows in {seconds:.1} s: {:.0} points/s (first half {:.0}, second {:.0}), {:.1} s of CPU",
        rate(seconds, 1.0),
        rate(half, 0.5),
        rate(seconds - half, 0.5),
        loaded.cpu_seconds - before.cpu_seconds
    );
    let per_byte = |bytes: u64| bytes as f64 / user_bytes as f64;
    let settled = settle(loaded);
    let stats = node.storage_stats();
    let disk: u64 = stats.disk_bytes.iter().map(|(_, bytes)| bytes).sum();
    println!(
        "bytes per user byte: {:.2} written when loaded, {:.2} when settled; {:.2} in tables and blobs",
        per_byte(loaded.written - before.written),
        per_byte(settled.written - before.written),
        per_byte(disk)
    );
    for (family, bytes) in stats.disk_bytes {
        println!("  {family:14} {:>8.1} MB", bytes as f64 / 1e6);
    }
}

fn gets(node: &Node, rows: u64) {
    create_with_interval(node);
    for first in (0..rows).step_by(BATCH as usize) {
        let points = (first..(first + BATCH).min(rows)).map(|id| value_point(id, VALUE_BYTES));
        node.upsert("c", points.collect()).expect("write");
    }
    let collection = node.collection("c").expect("it was made above");
    let get = |id: u64, payload: &Selection| {
        let ids = [PointId::Num(id)];
        let found = collection.retrieve(&ids, payload, &VectorSelection::None);
        assert_eq!(found.expect("read").len(), 1);
    };
    one_by_one("get", 300_000, rows, |id| get(id, &Selection::All));
    one_by_one("get without payload", 300_000, rows, |id| {
        get(id, &Selection::None)
    });
    one_by_one("put", 20_000, rows, |id| {
        node.upsert("c", vec![value_point(id, VALUE_BYTES)])
            .expect("write");
    });
}

/// Calls with random ids from two threads.
fn one_by_one(name: &str, calls: usize, rows: u64, call: impl Fn(u64) + Sync) {
    let started = Instant::now();
    let timed = |seed: u64| {
        let mut random = seed;
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let started = Instant::now();
            call((random >> 33) % rows);
            times.push(started.elapsed());
        }
        times
    };
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let timed = &timed;
        let threads = [1, 2].map(|seed| scope.spawn(move || timed(seed)));
        let times = threads.map(|thread| thread.join().expect("no panic"));
        times.into_iter().flatten().collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    println!(
        "{name}: {:.0}/s on 2 threads, p50 {:.1} us, p95 {:.1} us, p99 {:.1} us",
        times.len() as f64 / seconds,
        at(0.5),
        at(0.95),
        at(0.99)
    );
}

/// What the process has used.
#[derive(Copy, Clone)]
struct Usage {
    /// Bytes that it caused to be written to the disk.
    written: u64,
    cpu_seconds: f64,
}

impl Usage {
    fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let io = read("/proc/self/io");
        let written = io
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: "));
        // After the name in brackets; user and system time are the fields 14 and 15, in hundredths.
        let stat = read("/proc/self/stat");
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        Self {
            written: written.and_then(|bytes| bytes.parse().ok()).unwrap_or(0),
            cpu_seconds: ticks / 100.0,
        }
    }
}

/// Waits until nothing has been written for three seconds.
fn settle(mut last: Usage) -> Usage {
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(200));
        let now = Usage::now();
        if now.written != last.written {
            (last, since) = (now, Instant::now());
        }
    }
    last
}
