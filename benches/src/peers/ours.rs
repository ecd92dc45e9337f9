//! Our side of the comparison: the same requests as `benches/peers/worker.py`, answered by crate `index`.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use datasets::formats::OpenOptions;
use datasets::matrix::read_vectors;
use index::{
    BuildParams, Effort, Encoding, Flat, Graph, GraphSearch, Guard, Metric, Rows, SearchParams,
    Stats, TrainParams, VectorIndex,
};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::environment;

/// What of ours is measured.
#[derive(Copy, Clone, Debug, Eq, PartialEq, ValueEnum)]
pub enum Structure {
    /// The graph over 8-bit codes, and the best again by f32. Its parameter `p` asks for a recall of 1 - 1/p.
    Graph,
    /// The same over 4-bit codes.
    GraphSq4,
    /// The exact scan of f32 rows; its parameter means nothing.
    Flat,
}

/// Answers on standard output what is asked on standard input.
#[derive(Args, Debug)]
pub struct OursArgs {
    structure: Structure,
    base: std::path::PathBuf,
    queries: std::path::PathBuf,
}

/// One line.
#[derive(Deserialize, Debug)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Request {
    Build {
        threads: usize,
    },
    Search {
        k: usize,
        parameter: u32,
        threads: usize,
        rounds: usize,
    },
    Answers {
        k: usize,
        parameter: u32,
    },
}

/// An index, and how its one number is understood.
trait Searcher: Sync {
    fn search(&self, query: &[f32], k: usize, parameter: u32) -> Result<Vec<u32>>;
}

impl Searcher for Graph {
    fn search(&self, query: &[f32], k: usize, parameter: u32) -> Result<Vec<u32>> {
        let effort = Effort::Recall(1.0 - 1.0 / parameter.max(1) as f32);
        let answer = Graph::search(self, query, &GraphSearch::new(k, effort))?;
        let offsets = answer.neighbors.into_iter();
        Ok(offsets.map(|neighbor| neighbor.offset).collect())
    }
}

struct Exact(Flat);

impl Searcher for Exact {
    fn search(&self, query: &[f32], k: usize, _parameter: u32) -> Result<Vec<u32>> {
        let found = self
            .0
            .search(query, &SearchParams::new(k), &mut Stats::default())?;
        Ok(found.into_iter().map(|neighbor| neighbor.offset).collect())
    }
}

/// Serves until the input ends.
///
/// # Errors
///
/// A file cannot be read, or a request makes no sense.
pub fn serve(args: &OursArgs) -> Result<()> {
    let matrix = |path: &Path| read_vectors(path, &OpenOptions::default(), usize::MAX);
    let (base, queries) = (matrix(&args.base)?, matrix(&args.queries)?);
    let queries: Vec<Vec<f32>> = queries.rows().into_iter().map(|row| row.to_vec()).collect();
    let mut searcher: Option<Box<dyn Searcher>> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let request: Request =
            serde_json::from_str(&line).with_context(|| format!("request {line:?}"))?;
        let answer = match request {
            Request::Build { threads } => {
                searcher = None;
                let before = resident_bytes()?;
                let mut answer = timed(|| {
                    searcher = Some(build(args.structure, &base, threads)?);
                    Ok(())
                })?;
                answer["bytes"] = json!(resident_bytes()?.saturating_sub(before));
                answer
            }
            Request::Search {
                k,
                parameter,
                threads,
                rounds,
            } => {
                let searcher = searcher.as_deref().context("search before build")?;
                let mut answer = timed(|| {
                    (0..rounds).try_for_each(|_| {
                        search_all(searcher, &queries, k, parameter, threads).map(drop)
                    })
                })?;
                answer["queries"] = json!(rounds * queries.len());
                answer
            }
            Request::Answers { k, parameter } => {
                let searcher = searcher.as_deref().context("answers before build")?;
                json!({ "ids": search_all(searcher, &queries, k, parameter, 1)? })
            }
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn build(
    structure: Structure,
    base: &ndarray::Array2<f32>,
    threads: usize,
) -> Result<Box<dyn Searcher>> {
    let rows = Rows::new(base.ncols(), base.iter().copied().collect());
    match structure {
        Structure::Flat => Ok(Box::new(Exact(Flat::new(Metric::L2, rows)))),
        Structure::Graph => Ok(Box::new(graph(rows, Encoding::Sq8, threads))),
        Structure::GraphSq4 => Ok(Box::new(graph(rows, Encoding::Sq4, threads))),
    }
}

fn graph(rows: Rows, encoding: Encoding, threads: usize) -> Graph {
    let train = TrainParams {
        encoding,
        metric: Metric::L2,
        seed: 1,
        guard: Guard::Replace,
    };
    let params = BuildParams {
        threads,
        ..BuildParams::default()
    };
    Graph::build(Arc::new(rows), &train, &params)
}

/// All queries, one after the other on each thread, in their order.
fn search_all(
    searcher: &dyn Searcher,
    queries: &[Vec<f32>],
    k: usize,
    parameter: u32,
    threads: usize,
) -> Result<Vec<Vec<u32>>> {
    let search_part = |part: &[Vec<f32>]| -> Result<Vec<Vec<u32>>> {
        part.iter()
            .map(|query| searcher.search(query, k, parameter))
            .collect()
    };
    if threads <= 1 {
        return search_part(queries);
    }
    std::thread::scope(|scope| {
        let parts = queries.chunks(queries.len().div_ceil(threads).max(1));
        let asking: Vec<_> = parts
            .map(|part| scope.spawn(move || search_part(part)))
            .collect();
        let mut all = Vec::with_capacity(queries.len());
        for thread in asking {
            match thread.join() {
                Ok(part) => all.extend(part?),
                Err(_) => bail!("a searching thread panicked"),
            }
        }
        Ok(all)
    })
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Value> {
    let cpu = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let (started, before) = (Instant::now(), cpu());
    work()?;
    Ok(json!({ "wall_s": started.elapsed().as_secs_f64(), "cpu_s": cpu() - before }))
}

fn resident_bytes() -> Result<u64> {
    environment::proc_bytes("/proc/self/status", "VmRSS").context("read /proc/self/status")
}
