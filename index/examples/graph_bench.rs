//! Recall against queries a second of a graph, and what building it takes, on vectors in `.npy` files.
//!
//! ```text
//! cargo run --release -p index --example graph_bench -- BASE.npy QUERY.npy [TRUTH.npy] [key=value ...]
//! ```
//!
//! Files hold `[n, dim]` of float32, float16 or uint8 and `[m, k]` of int32; without a truth it is computed. Keys: `metric`
//! (cosine), `encoding` (sq8), `degree`, `alpha`, `fanout` (8,2), `leaf_max`, `leaf_nearest`, `reservoir`, `seed`, `threads` (1), `rounds` (5),
//! `what` (all; or some of build,walk,scan,filter,merge,ef,observe). Times are CPU time, so that other work on the machine counts little.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use index::{
    Among, BitSet, BuildParams, Effort, Encoding, Graph, GraphSearch, Guard, Metric, Origin, Route,
    Rows, TrainParams, ground_truth, normalize,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let (files, options): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| !arg.contains('='));
    let options: HashMap<String, String> = options
        .iter()
        .filter_map(|option| option.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let [base, query, truth @ ..] = &files[..] else {
        return Err("give BASE.npy QUERY.npy [TRUTH.npy] [key=value ...]".into());
    };
    let bench = Bench::load(base, query, truth.first(), options)?;
    bench.run()
}

struct Bench {
    metric: Metric,
    rows: Rows,
    queries: Rows,
    /// The exact 10 nearest, as distances: ties count as found.
    farthest: Vec<f32>,
    options: HashMap<String, String>,
}

impl Bench {
    fn load(
        base: &str,
        query: &str,
        truth: Option<&String>,
        options: HashMap<String, String>,
    ) -> Result<Self> {
        let metric: Metric = options.get("metric").map_or("cosine", |m| m).parse()?;
        let read = |path: &str| -> Result<Rows> {
            let (dim, mut values) = read_npy(path)?;
            if metric.normalizes() {
                values.chunks_exact_mut(dim).for_each(normalize);
            }
            Ok(Rows::new(dim, values))
        };
        let (rows, queries) = (read(base)?, read(query)?);
        let farthest = match truth {
            Some(path) => {
                let (k, truth) = read_npy(path)?;
                let tenth = truth.chunks_exact(k).map(|near| near[9] as u32);
                (0..)
                    .zip(tenth)
                    .map(|(i, tenth)| metric.distance(queries.row(i), rows.row(tenth)))
                    .collect()
            }
            None => ground_truth(metric, queries.as_slice(), rows.as_slice(), rows.dim(), 10)
                .iter()
                .map(|near| near[near.len() - 1].distance)
                .collect(),
        };
        println!(
            "{} rows and {} queries of dim {}, {metric}, {}",
            rows.len(),
            queries.len(),
            rows.dim(),
            index::distance::instruction_set()
        );
        Ok(Self {
            metric,
            rows,
            queries,
            farthest,
            options,
        })
    }

    fn option<T: std::str::FromStr>(&self, key: &str, default: T) -> T {
        self.options
            .get(key)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }

    fn wants(&self, what: &str) -> bool {
        let wanted = self.options.get("what").map_or("all", |what| what);
        wanted == "all" || wanted.split(',').any(|wanted| wanted == what)
    }

    fn params(&self) -> BuildParams {
        let default = BuildParams::default();
        let fanout = self.options.get("fanout").and_then(|fanout| {
            let (first, second) = fanout.split_once(',')?;
            Some([first.parse().ok()?, second.parse().ok()?])
        });
        BuildParams {
            degree: self.option("degree", default.degree),
            alpha: self.option("alpha", default.alpha),
            seed: self.option("seed", default.seed),
            threads: self.option("threads", 1),
            fanout: fanout.unwrap_or(default.fanout),
            leaf_max: self.option("leaf_max", default.leaf_max),
            leaf_nearest: self.option("leaf_nearest", default.leaf_nearest),
            reservoir: self.option("reservoir", default.reservoir),
        }
    }

    fn run(&self) -> Result<()> {
        let train = TrainParams {
            encoding: self
                .options
                .get("encoding")
                .map_or("sq8", |encoding| encoding)
                .parse::<Encoding>()?,
            metric: self.metric,
            seed: 1,
            guard: Guard::Replace,
        };
        let params = self.params();
        let rows = Arc::new(self.rows.clone());
        let mut seconds = f64::MAX;
        let mut graph = None;
        for _ in 0..self.option("builds", 1) {
            let start = process_seconds()?;
            graph = Some(Graph::build(rows.clone(), &train, &params));
            seconds = seconds.min(process_seconds()? - start);
        }
        let graph = graph.ok_or("no build")?;
        let degrees = graph
            .edges()
            .iter()
            .filter(|&&edge| edge != u32::MAX)
            .count();
        println!(
            "build {seconds:.2} s of CPU, {:.1} us a row; {} bytes a row; {:.1} edges a row; {:?}",
            seconds * 1e6 / self.rows.len() as f64,
            graph.memory() / self.rows.len(),
            degrees as f64 / self.rows.len() as f64,
            graph.codes().coding(),
        );
        if self.wants("walk") {
            self.walk(&graph);
        }
        if self.wants("ef") {
            for ef in [10, 14, 20, 28, 40, 56, 80, 112, 160, 240, 320] {
                let effort = Effort::Stop {
                    ef,
                    gamma: f32::INFINITY,
                };
                self.measure(&format!("ef {ef}"), &graph, &GraphSearch::new(10, effort));
            }
        }
        if self.wants("scan") {
            self.scan(&graph);
        }
        if self.wants("filter") {
            self.filter(&graph);
        }
        if self.wants("observe") {
            self.observe(&graph);
        }
        if self.wants("merge") {
            self.merge(&train, &params)?;
        }
        Ok(())
    }

    fn walk(&self, graph: &Graph) {
        for recall in [0.9, 0.95, 0.98, 0.99, 0.995] {
            let search = GraphSearch::new(10, Effort::Recall(recall));
            self.measure(&format!("recall {recall}"), graph, &search);
        }
        println!("curve for k = 10, each point measured on the queries:");
        for point in graph.calibrations().0.curve(10) {
            if point.recall < 0.85 {
                continue;
            }
            let effort = Effort::Stop {
                ef: point.ef as usize,
                gamma: point.gamma,
            };
            let label = format!(
                "ef {} gamma {:.3} estimate {:.3}",
                point.ef, point.gamma, point.recall
            );
            self.measure(&label, graph, &GraphSearch::new(10, effort));
        }
    }

    /// Prints recall and queries a second, the mean of some rounds; returns them.
    ///
    /// The scheduler counts in steps of some milliseconds: one round would be too short to measure.
    fn measure(&self, label: &str, graph: &Graph, search: &GraphSearch<'_>) -> (f64, f64) {
        let (mut seconds, mut found, mut visited, mut known, mut estimate) = (0.0, 0, 0, 0, 0.0);
        let rounds: u32 = self.option("rounds", 5);
        for _ in 0..rounds {
            (found, visited, known, estimate) = (0, 0, 0, 0.0);
            let mut answers = Vec::with_capacity(self.queries.len());
            let start = thread_seconds();
            for query in self.queries.as_slice().chunks_exact(self.queries.dim()) {
                answers.push(graph.search(query, search));
            }
            seconds += thread_seconds() - start;
            for (answer, &farthest) in answers.iter().flatten().zip(&self.farthest) {
                found += answer
                    .neighbors
                    .iter()
                    .filter(|near| near.distance <= farthest)
                    .count();
                visited += answer.stats.visited;
                known += usize::from(answer.recall.is_some());
                estimate += f64::from(answer.recall.unwrap_or(0.0));
            }
        }
        let m = self.queries.len() as f64;
        let (recall, qps) = (found as f64 / (10.0 * m), m * f64::from(rounds) / seconds);
        println!(
            "  {label:38} recall {recall:.4} {qps:8.0} QPS {:6.0} compared; estimate {:.3} for {known}",
            visited as f64 / m,
            estimate / known.max(1) as f64
        );
        (recall, qps)
    }

    fn scan(&self, graph: &Graph) {
        let codes = graph.codes();
        let queries = self.queries.len().min(200);
        let mut seconds = f64::MAX;
        let mut found = 0;
        for _ in 0..3 {
            found = 0;
            let start = thread_seconds();
            for i in 0..queries {
                let near = codes.nearest(self.queries.row(i as u32), 10, Among::All, &self.rows);
                found += near
                    .iter()
                    .filter(|near| near.distance <= self.farthest[i])
                    .count();
            }
            seconds = seconds.min(thread_seconds() - start);
        }
        // The same bytes, read as cheaply as can be.
        let bytes = codes.as_bytes();
        let mut reading = f64::MAX;
        for _ in 0..5 {
            let start = thread_seconds();
            for _ in 0..20 {
                std::hint::black_box(read(std::hint::black_box(bytes)));
            }
            reading = reading.min((thread_seconds() - start) / 20.0);
        }
        let each = seconds / queries as f64;
        println!(
            "scan: recall {:.4} {:.0} QPS, {:.2} ns a row; {:.1} GB/s of {:.1} that reading gets: {:.2} times as long",
            found as f64 / (10 * queries) as f64,
            1.0 / each,
            each * 1e9 / self.rows.len() as f64,
            bytes.len() as f64 / each / 1e9,
            bytes.len() as f64 / reading / 1e9,
            each / reading
        );
    }

    /// Random members, and members far from the query: every query has a filter of its own then.
    fn filter(&self, graph: &Graph) {
        let n = self.rows.len();
        let queries = self.queries.len().min(300);
        for (kind, shares) in [
            ("random", vec![0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.003]),
            ("far", vec![0.5, 0.1, 0.02]),
        ] {
            for share in shares {
                let sets: Vec<BitSet> = (0..queries)
                    .map(|i| self.members(kind, i as u32, share, n))
                    .collect();
                let truths: Vec<f32> = (0..queries)
                    .map(|i| self.tenth_among(i as u32, &sets[i]))
                    .collect();
                let measure = |effort: Effort, scan: bool| {
                    let mut best = f64::MAX;
                    let (mut found, mut routes) = (0, HashMap::new());
                    for _ in 0..3 {
                        (found, routes) = (0, HashMap::new());
                        let start = thread_seconds();
                        let answers: Vec<_> = (0..queries)
                            .map(|i| {
                                let query = self.queries.row(i as u32);
                                if scan {
                                    let near = graph.codes().nearest(
                                        query,
                                        10,
                                        Among::Set(&sets[i]),
                                        &self.rows,
                                    );
                                    return (near, Route::Scan);
                                }
                                let search = GraphSearch {
                                    filter: Some(&sets[i]),
                                    ..GraphSearch::new(10, effort)
                                };
                                graph
                                    .search(query, &search)
                                    .map_or((Vec::new(), Route::Exact), |a| (a.neighbors, a.route))
                            })
                            .collect();
                        best = best.min(thread_seconds() - start);
                        for ((near, route), farthest) in answers.iter().zip(&truths) {
                            found += near
                                .iter()
                                .filter(|near| near.distance <= *farthest)
                                .count();
                            *routes.entry(format!("{route:?}")).or_insert(0) += 1;
                        }
                    }
                    (
                        found as f64 / (10 * queries) as f64,
                        queries as f64 / best,
                        routes,
                    )
                };
                let chosen = measure(Effort::Recall(0.95), false);
                let scanned = measure(Effort::Exact, true);
                println!(
                    "filter {kind} {share}: recall {:.4} {:.0} QPS {:?}; scan recall {:.4} {:.0} QPS",
                    chosen.0, chosen.1, chosen.2, scanned.0, scanned.1
                );
            }
        }
    }

    fn members(&self, kind: &str, query: u32, share: f64, n: usize) -> BitSet {
        let mut state = if kind == "random" {
            7
        } else {
            u64::from(query) + 9
        };
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1u64 << 24) as f64
        };
        let query = self.queries.row(query);
        let middle = if kind == "far" {
            let mut some: Vec<f32> = (0..n as u32)
                .step_by(97)
                .map(|i| self.metric.distance(query, self.rows.row(i)))
                .collect();
            some.sort_by(f32::total_cmp);
            some[some.len() / 4]
        } else {
            f32::NEG_INFINITY
        };
        let far = |i: u32| {
            middle == f32::NEG_INFINITY || self.metric.distance(query, self.rows.row(i)) > middle
        };
        BitSet::from_offsets(n, (0..n as u32).filter(|&i| random() < share && far(i)))
    }

    fn tenth_among(&self, query: u32, set: &BitSet) -> f32 {
        let query = self.queries.row(query);
        let mut distances: Vec<f32> = set
            .iter()
            .map(|i| self.metric.distance(query, self.rows.row(i)))
            .collect();
        distances.sort_by(f32::total_cmp);
        distances
            .get(9)
            .or(distances.last())
            .copied()
            .unwrap_or(0.0)
    }

    /// What the graph learns from the first 200 queries.
    fn observe(&self, graph: &Graph) {
        let measure = |when: &str| {
            for recall in [0.9, 0.95, 0.99] {
                let search = GraphSearch::new(10, Effort::Recall(recall));
                self.measure(&format!("{when}, recall {recall}"), graph, &search);
            }
        };
        measure("before queries were seen");
        let start = thread_seconds();
        for i in 0..self.queries.len().min(200) as u32 {
            let _ = graph.observe(self.queries.row(i));
        }
        let each = (thread_seconds() - start) / 200.0;
        println!("observed 200 queries, {:.2} ms each", each * 1e3);
        measure("after");
    }

    /// Nine tenths of the rows, to which the last tenth is merged; and half of the rows replaced.
    fn merge(&self, train: &TrainParams, params: &BuildParams) -> Result<()> {
        let (n, dim) = (self.rows.len(), self.rows.dim());
        let most = n * 9 / 10;
        let part = Rows::new(dim, self.rows.as_slice()[..most * dim].to_vec());
        let graph = Graph::build(Arc::new(part), train, params);
        let origins: Vec<Origin> = (0..n)
            .map(|i| {
                if i < most {
                    Origin::Base(i as u32)
                } else {
                    Origin::Other
                }
            })
            .collect();
        let start = process_seconds()?;
        let merged = graph.merged(&origins, Arc::new(self.rows.clone()), train, params);
        println!(
            "merge of a tenth: {:.2} s of CPU",
            process_seconds()? - start
        );
        for recall in [0.95, 0.99] {
            self.measure(
                &format!("merged, recall {recall}"),
                &merged,
                &GraphSearch::new(10, Effort::Recall(recall)),
            );
        }
        Ok(())
    }
}

/// Touches every byte as cheaply as can be.
fn read(bytes: &[u8]) -> u64 {
    let mut lanes = [0u64; 32];
    for chunk in bytes.as_chunks::<256>().0 {
        for (lane, bytes) in lanes.iter_mut().zip(chunk.as_chunks::<8>().0) {
            *lane |= u64::from_le_bytes(*bytes);
        }
    }
    lanes.iter().fold(0, |all, lane| all | lane)
}

/// CPU time of this thread: nanoseconds that the scheduler counted.
fn thread_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds: Option<f64> = text.split(' ').next().and_then(|field| field.parse().ok());
    nanoseconds.unwrap_or(f64::NAN) / 1e9
}

/// CPU time of all threads, in steps of 10 ms.
fn process_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

/// Reads a two-dimensional array, row by row.
fn read_npy(path: &str) -> Result<(usize, Vec<f32>)> {
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let header_len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + header_len])?;
    let data = &bytes[10 + header_len..];
    let shape = header
        .split("'shape': (")
        .nth(1)
        .and_then(|rest| rest.split(')').next());
    let dim: usize = shape
        .and_then(|shape| shape.split(',').nth(1))
        .ok_or("no shape")?
        .trim()
        .parse()?;
    let values = if header.contains("'<f4'") {
        data.as_chunks::<4>()
            .0
            .iter()
            .map(|&x| f32::from_le_bytes(x))
            .collect()
    } else if header.contains("'<f2'") {
        data.as_chunks::<2>()
            .0
            .iter()
            .map(|&x| half::f16::from_le_bytes(x).to_f32())
            .collect()
    } else if header.contains("'<i4'") {
        data.as_chunks::<4>()
            .0
            .iter()
            .map(|&x| i32::from_le_bytes(x) as f32)
            .collect()
    } else if header.contains("'|u1'") {
        data.iter().map(|&x| f32::from(x)).collect()
    } else {
        return Err(format!("{path}: {header}: another type of numbers").into());
    };
    Ok((dim, values))
}
