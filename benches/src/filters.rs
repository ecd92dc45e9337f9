//! Filters that pass many rows or few, drawn at random or lying away from the query: the way that a search chooses against
//! the two ways that there are, the walk and the scan.

use std::hint::black_box;

use anyhow::Result;
use clap::Args;
use cluster::engine::Metric;
use datasets::random::Random;
use index::{
    Among, BitSet, Costs, Effort, Flat, Graph, GraphSearch, Rows, SearchParams, Stats, VectorIndex,
};
use ndarray::Array2;
use serde_json::json;

use crate::bare;
use crate::data;
use crate::measure::{Pairs, pairs};
use crate::peers::{Set, Vectors};
use crate::report::{Cell, Report, Table};

const K: usize = 10;
/// Shares of the rows that pass.
const SHARES: [f64; 6] = [0.5, 0.2, 0.1, 0.05, 0.01, 0.003];
/// Queries: each has its exact answers found by a scan for every filter.
const QUERIES: usize = 200;
/// Queries that one side does before the other has its turn.
const CHUNK: usize = 20;
const TARGET: f32 = 0.95;
/// Share of the speed of the better way that the chosen one must have.
const RATIO_MIN: f64 = 0.9;

/// What to measure.
#[derive(Args, Debug)]
pub struct FiltersArgs {
    /// Data sets.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Set::Minilm40k, Set::Manifold300k])]
    sets: Vec<Set>,
    /// Interleaved pairs.
    #[arg(long, default_value_t = 15)]
    pairs: usize,
}

/// Where the rows that pass lie.
#[derive(Copy, Clone, Debug)]
enum Lying {
    /// Anywhere.
    Anywhere,
    /// On the side where the query is not, along a direction drawn at random.
    Away,
}

impl Lying {
    fn name(self) -> &'static str {
        match self {
            Self::Anywhere => "random",
            Self::Away => "away from the query",
        }
    }
}

const COLUMNS: [&str; 12] = [
    "filter",
    "share",
    "recall",
    "recall_walk",
    "recall_scan",
    "by_walk",
    "us",
    "us_walk",
    "us_scan",
    "to_better",
    "from",
    "to",
];

/// Measures.
///
/// # Errors
///
/// Data is absent or damaged.
pub fn run(args: &FiltersArgs, seed: u64) -> Result<Report> {
    let settings =
        json!({ "k": K, "target": TARGET, "pairs": args.pairs, "queries": QUERIES, "seed": seed });
    let mut report = Report::new("filters", settings);
    for &set in &args.sets {
        let Vectors { base, queries } = set.vectors(seed)?;
        report.dataset(data::describe_rows(&set.to_string(), base.view()));
        let title = format!("{set}: filters, target recall {TARGET}, CPU time of one thread");
        let mut table = Table::new(title, &COLUMNS);
        let mut bench = Bench::new(&base, &queries);
        for lying in [Lying::Anywhere, Lying::Away] {
            for share in SHARES {
                bench.measure(lying, share, args.pairs, seed, &mut table, &mut report)?;
            }
        }
        report.table(table);
    }
    Ok(report)
}

struct Bench {
    rows: Rows,
    queries: Vec<Vec<f32>>,
    graph: Graph,
    /// The same, but never choosing the scan by itself.
    walking: Graph,
}

impl Bench {
    fn new(base: &Array2<f32>, queries: &Array2<f32>) -> Self {
        let rows = bare::rows(base);
        let graph = bare::graph(&rows, 0);
        let walking = bare::graph(&rows, 0);
        walking.set_costs(Costs {
            scan: f32::INFINITY,
            ..Costs::default()
        });
        let mut queries = bare::lists(queries);
        queries.truncate(QUERIES);
        Self {
            rows,
            queries,
            graph,
            walking,
        }
    }

    fn measure(
        &mut self,
        lying: Lying,
        share: f64,
        count: usize,
        seed: u64,
        table: &mut Table,
        report: &mut Report,
    ) -> Result<()> {
        let filters = Filters::new(lying, share, &self.rows, seed);
        let chosen: Vec<&BitSet> = self.queries.iter().map(|query| filters.of(query)).collect();
        let exact: Vec<Vec<f32>> = (0..self.queries.len())
            .map(|at| self.exact(at, chosen[at]))
            .collect::<Result<_>>()?;
        let graph = |graph: &Graph, at: usize| {
            let search = GraphSearch {
                filter: Some(chosen[at]),
                ..GraphSearch::new(K, Effort::Recall(TARGET))
            };
            graph.search(&self.queries[at], &search)
        };
        let scan = |at: usize| {
            self.graph
                .codes()
                .nearest(&self.queries[at], K, Among::Set(chosen[at]), &self.rows)
        };

        let (mut found, mut walked, mut by_walk) = ([0.0; 3], 0, 0);
        for (at, exact) in exact.iter().enumerate() {
            let answer = graph(&self.graph, at)?;
            by_walk += usize::from(answer.route == index::Route::FilteredWalk);
            let forced = graph(&self.walking, at)?;
            walked += usize::from(forced.route == index::Route::FilteredWalk);
            for (sum, neighbors) in
                found
                    .iter_mut()
                    .zip([answer.neighbors, forced.neighbors, scan(at)])
            {
                *sum += recall(exact, &neighbors);
            }
        }
        let count_queries = self.queries.len() as f64;
        let [ours, walk, scanned] = found.map(|sum| sum / count_queries);
        let search_all = |with: &Graph, range: std::ops::Range<usize>| {
            for at in range {
                black_box(graph(with, at).is_ok());
            }
        };
        let work = self.queries.len();
        let to_walk = pairs(
            count,
            work,
            CHUNK,
            |range| search_all(&self.graph, range),
            |range| search_all(&self.walking, range),
        );
        let to_scan = pairs(
            count,
            work,
            CHUNK,
            |range| search_all(&self.graph, range),
            |range| {
                for at in range {
                    black_box(scan(at).len());
                }
            },
        );
        // A walk that brings too little is no better way, however fast.
        let better = if walk >= f64::from(TARGET) - 0.01
            && to_walk.ratio().median < to_scan.ratio().median
        {
            &to_walk
        } else {
            &to_scan
        };
        let (us, ratio) = (
            |pairs: &Pairs| pairs.rates().map(|rate| 1e6 / rate),
            better.ratio(),
        );
        let [own_us, walk_us] = us(&to_walk);
        let number = |value: f64, places: usize| Cell::Number(value, places);
        table.push(vec![
            lying.name().into(),
            number(share, 3),
            number(ours, 4),
            number(walk, 4),
            number(scanned, 4),
            number(by_walk as f64 / count_queries, 2),
            number(own_us, 1),
            number(walk_us, 1),
            number(us(&to_scan)[1], 1),
            number(ratio.median, 3),
            number(ratio.interval[0], 3),
            number(ratio.interval[1], 3),
        ]);
        let what = format!(
            "{} rows, {} % {}",
            self.rows.len(),
            share * 100.0,
            lying.name()
        );
        report.goal(
            format!("{what}: recall >= {TARGET}"),
            format!("{ours:.4}"),
            ours >= f64::from(TARGET),
        );
        report.goal(
            format!("{what}: speed >= {RATIO_MIN} of the better way"),
            format!(
                "{:.3} [{:.3}, {:.3}] ({walked} of {work} forced walks came to their end)",
                ratio.median, ratio.interval[0], ratio.interval[1]
            ),
            ratio.median >= RATIO_MIN,
        );
        Ok(())
    }

    /// The distances of the nearest rows that pass.
    fn exact(&self, at: usize, filter: &BitSet) -> Result<Vec<f32>> {
        let flat = Flat::new(Metric::L2, self.rows.clone());
        let params = SearchParams {
            filter: Some(filter),
            ..SearchParams::new(K)
        };
        let found = flat.search(&self.queries[at], &params, &mut Stats::default())?;
        Ok(found
            .into_iter()
            .map(|neighbor| neighbor.distance)
            .collect())
    }
}

/// Ties count as found; sums in another order round otherwise.
fn recall(exact: &[f32], found: &[index::Neighbor]) -> f64 {
    let Some(&last) = exact.last() else {
        return 1.0;
    };
    let within = found
        .iter()
        .filter(|neighbor| neighbor.distance <= last * (1.0 + 1e-5))
        .count();
    within.min(exact.len()) as f64 / exact.len() as f64
}

/// One set of rows, or one for queries of either side.
struct Filters {
    direction: Vec<f32>,
    middle: f32,
    low: BitSet,
    high: BitSet,
}

impl Filters {
    fn new(lying: Lying, share: f64, rows: &Rows, seed: u64) -> Self {
        let mut random = Random::of_stream(seed, 7, 0);
        let direction: Vec<f32> = (0..rows.dim()).map(|_| random.normal()).collect();
        let mut order: Vec<(f32, usize)> = (0..rows.len())
            .map(|offset| match lying {
                Lying::Anywhere => (random.normal(), offset),
                Lying::Away => (dot(&direction, rows.row(offset as u32)), offset),
            })
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let count = ((share * rows.len() as f64) as usize).max(1);
        let set = |part: &[(f32, usize)]| {
            BitSet::from_offsets(rows.len(), part.iter().map(|&(_, offset)| offset as u32))
        };
        let low = set(&order[..count]);
        match lying {
            Lying::Anywhere => Self {
                direction,
                middle: f32::INFINITY,
                high: low.clone(),
                low,
            },
            Lying::Away => Self {
                direction,
                middle: order[order.len() / 2].0,
                high: set(&order[order.len() - count..]),
                low,
            },
        }
    }

    fn of(&self, query: &[f32]) -> &BitSet {
        if dot(&self.direction, query) < self.middle {
            &self.high
        } else {
            &self.low
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
