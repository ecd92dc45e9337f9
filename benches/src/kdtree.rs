//! What a k-d tree costs behind our traits and inside a node, against bare kiddo on the same rows and queries.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::ops::Range;

use anyhow::{Context, Result};
use clap::Args;
use cluster::engine::Metric;
use datasets::formats::OpenOptions;
use datasets::matrix::read_vectors;
use datasets::random::Random;
use datasets::synthetic::{Shape, Synthetic};
use index::{IndexKind, Rows, SearchParams, Stats, VectorIndex};
use kiddo::ImmutableKdTree;
use kiddo::dist::SquaredEuclidean;
use ndarray::Array2;
use serde_json::json;

use crate::data;
use crate::measure::{self, Ratio};
use crate::node::{Exact, Loaded, offsets};
use crate::report::{Cell, Report, Table};

const K: usize = 10;
/// The share of bare kiddo's speed that must remain.
const RATIO_MIN: f64 = 0.8;
/// Queries that one side runs before the other has its turn: well below a millisecond.
const CHUNK: usize = 200;
/// Rows of the seeded sets.
const ROWS: usize = 50_000;
/// Queries on them.
const QUERIES: usize = 2_000;
/// Relative difference that summing in another order may make.
const ROUNDING: f32 = 1e-5;

/// How much to measure.
#[derive(Args, Debug)]
pub struct KdtreeArgs {
    /// Pairs of runs; the median of their ratios is reported.
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(15..=1001))]
    pairs: u32,
    /// Queries on the colours.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    queries: u32,
}

/// Measures the colours and seeded rows of 2 to 8 dimensions.
///
/// # Errors
///
/// The data is absent or damaged; a search fails.
pub fn run(args: &KdtreeArgs, seed: u64) -> Result<Report> {
    let path = data::find("colors.csv")?;
    let options = OpenOptions {
        vector_fields: ["r", "g", "b"].map(str::to_owned).into(),
        ..OpenOptions::default()
    };
    let colours = read_vectors(&path, &options, usize::MAX)?;
    let queries = colour_queries(args.queries as usize, seed);

    let settings = json!({ "k": K, "pairs": args.pairs, "queries": args.queries, "seed": seed, "metric": "l2" });
    let mut report = Report::new("kdtree", settings);
    report.dataset(data::describe("colors", &path, colours.nrows())?);
    let pairs = args.pairs as usize;

    let mut against = Table::new(
        format!(
            "k-d tree through `dyn VectorIndex` against bare kiddo, CPU time of one thread, {pairs} interleaved pairs"
        ),
        &[
            "rows_of",
            "rows",
            "dim",
            "queries",
            "ours_QPS",
            "kiddo_QPS",
            "ours/kiddo",
            "from",
            "to",
            "exact",
        ],
    );
    let ratio = compare::<3>(
        "colors",
        &colours,
        &queries,
        pairs,
        &mut against,
        &mut report,
    )?;
    goal(&mut report, "colors, index level", ratio);
    for dim in 2..=8 {
        let set = Synthetic::new(Shape::Uniform, dim, seed);
        let (base, queries) = (set.base(ROWS), set.queries(QUERIES));
        report.dataset(data::describe_rows("uniform", base.view()));
        let compare = match dim {
            2 => compare::<2>,
            3 => compare::<3>,
            4 => compare::<4>,
            5 => compare::<5>,
            6 => compare::<6>,
            7 => compare::<7>,
            _ => compare::<8>,
        };
        let ratio = compare("uniform", &base, &queries, pairs, &mut against, &mut report)?;
        goal(&mut report, &format!("uniform, {dim} dimensions"), ratio);
    }
    report.table(against);
    through_node(&colours, &queries, pairs, &mut report)?;
    Ok(report)
}

/// Colours drawn uniformly from the cube.
fn colour_queries(count: usize, seed: u64) -> Array2<f32> {
    let mut random = Random::new(seed);
    Array2::from_shape_simple_fn((count, 3), || random.between(0.0, 255.0))
}

fn goal(report: &mut Report, what: &str, ratio: Ratio) {
    let Ratio {
        median,
        interval: [low, high],
    } = ratio;
    let got = format!("{median:.3} [{low:.3}, {high:.3}]");
    report.goal(
        format!("{what}: ours/kiddo >= {RATIO_MIN}"),
        got,
        median >= RATIO_MIN,
    );
}

/// The tree of `index` against bare kiddo, and its answers against brute force.
fn compare<const DIM: usize>(
    name: &str,
    base: &Array2<f32>,
    queries: &Array2<f32>,
    pairs: usize,
    table: &mut Table,
    report: &mut Report,
) -> Result<Ratio> {
    let values = base
        .as_standard_layout()
        .into_owned()
        .into_raw_vec_and_offset()
        .0;
    let asked = queries
        .as_standard_layout()
        .into_owned()
        .into_raw_vec_and_offset()
        .0;
    let (points, _) = asked.as_chunks::<DIM>();
    let bare = bare::<DIM>(&values)?;
    let kind = index::choose(None, Metric::L2, DIM, base.nrows())?;
    let ours = index::build(kind, Metric::L2, Rows::new(DIM, values.clone()))?;
    let k = NonZeroUsize::new(K).context("k is 0")?;
    let measured = measure::pairs(
        pairs,
        points.len(),
        CHUNK,
        |items| search_all(&*ours, &points[items]),
        |items| search_bare(&bare, &points[items], k),
    );
    let [ours_qps, bare_qps] = measured.rates();
    let ratio = measured.ratio();

    let equal = equal_to_brute_force(&*ours, &values, &asked)?;
    let exact = Exact::find(base, queries, Metric::L2, K)?;
    let answers: Vec<Vec<u32>> = points
        .iter()
        .map(|point| {
            Ok(search(&*ours, point)?
                .into_iter()
                .map(|(offset, _)| offset)
                .collect())
        })
        .collect::<Result<_>>()?;
    let recall = exact.recall(&answers);
    let what = format!(
        "{name}, {DIM} dimensions: {kind}, offsets and distances equal brute force, recall@{K} = 1"
    );
    let got = format!(
        "{kind}, {equal} of {} queries, recall {recall:.4}",
        points.len()
    );
    report.goal(
        what,
        got,
        kind == IndexKind::KdTree && equal == points.len() && recall == 1.0,
    );
    table.push(vec![
        name.into(),
        base.nrows().into(),
        DIM.into(),
        points.len().into(),
        Cell::Number(ours_qps, 0),
        Cell::Number(bare_qps, 0),
        Cell::Number(ratio.median, 3),
        Cell::Number(ratio.interval[0], 3),
        Cell::Number(ratio.interval[1], 3),
        format!("{equal} of {}", points.len()).into(),
    ]);
    Ok(ratio)
}

fn bare<const DIM: usize>(values: &[f32]) -> Result<ImmutableKdTree<f32, DIM>> {
    let (points, _) = values.as_chunks::<DIM>();
    ImmutableKdTree::new_from_slice(points).map_err(|error| anyhow::anyhow!("build kiddo: {error}"))
}

fn search_bare<const DIM: usize>(
    tree: &ImmutableKdTree<f32, DIM>,
    points: &[[f32; DIM]],
    k: NonZeroUsize,
) {
    for point in points {
        black_box(
            tree.query(black_box(point))
                .nearest_n::<SquaredEuclidean<f32>>(k)
                .execute(),
        );
    }
}

fn search_all<const DIM: usize>(index: &dyn VectorIndex, points: &[[f32; DIM]]) {
    let params = SearchParams::new(K);
    for point in points {
        // A refusal would be far too fast: answers are checked elsewhere.
        let _ = black_box(index.search(black_box(point), &params, &mut Stats::default()));
    }
}

fn search(index: &dyn VectorIndex, query: &[f32]) -> Result<Vec<(u32, f32)>> {
    let found = index.search(query, &SearchParams::new(K), &mut Stats::default())?;
    Ok(found
        .into_iter()
        .map(|neighbor| (neighbor.offset, neighbor.distance))
        .collect())
}

/// How many queries get the offsets and the bits of the distances that comparing with every row gives.
fn equal_to_brute_force(index: &dyn VectorIndex, values: &[f32], queries: &[f32]) -> Result<usize> {
    let exact = index::ground_truth(Metric::L2, queries, values, index.dim(), K);
    let mut equal = 0;
    for (query, exact) in queries.chunks(index.dim()).zip(&exact) {
        let found = search(index, query)?;
        let same = |(found, exact): (&(u32, f32), &index::Neighbor)| {
            found.0 == exact.offset && found.1.to_bits() == exact.distance.to_bits()
        };
        equal += usize::from(found.len() == exact.len() && found.iter().zip(exact).all(same));
    }
    Ok(equal)
}

/// The same colours in a node: `explain`, distances, and what the way through the engine costs.
fn through_node(
    colours: &Array2<f32>,
    queries: &Array2<f32>,
    pairs: usize,
    report: &mut Report,
) -> Result<()> {
    let exact = Exact::find(colours, queries, Metric::L2, K)?;
    let loaded = Loaded::new(colours, Metric::L2)?;
    let measured = loaded.measure(&exact, K, &[1, 2])?;
    report.table(loaded.table("colors through a node", &exact, &measured));

    let asked: Vec<[f32; 3]> = queries
        .rows()
        .into_iter()
        .map(|row| [row[0], row[1], row[2]])
        .collect();
    let explain = loaded.explain(&asked[0], K)?;
    let searched: Vec<&str> = explain
        .segments
        .iter()
        .filter(|segment| segment.rows > 0)
        .map(|segment| segment.index)
        .collect();
    let by_tree = !searched.is_empty() && searched.iter().all(|&index| index == "kdtree");
    report.goal(
        "colors through a node: explain says kdtree",
        searched.join(", "),
        by_tree,
    );

    let (mut equal, mut recalled) = (0, Vec::with_capacity(asked.len()));
    for (query_idx, query) in asked.iter().enumerate() {
        let points = loaded.search(query, K)?;
        recalled.push(offsets(&points)?);
        // The answer shows the distance itself, the truth its square.
        let exact = exact.distances(query_idx);
        let close = |(point, &squared): (&cluster::engine::query::ScoredPoint, &f32)| {
            let wanted = squared.sqrt();
            (point.score - wanted).abs() <= ROUNDING * wanted.max(1.0)
        };
        equal += usize::from(points.len() == exact.len() && points.iter().zip(&exact).all(close));
    }
    let recall = exact.recall(&recalled);
    let got = format!("{equal} of {}, recall@{K} {recall:.4}", asked.len());
    report.goal(
        "colors through a node: distances equal brute force",
        got,
        equal == asked.len() && recall == 1.0,
    );

    let values = colours
        .as_standard_layout()
        .into_owned()
        .into_raw_vec_and_offset()
        .0;
    let bare = bare::<3>(&values)?;
    let k = NonZeroUsize::new(K).context("k is 0")?;
    let through = |items: Range<usize>| {
        for query in &asked[items] {
            let _ = black_box(loaded.search(black_box(query), K));
        }
    };
    let measured = measure::pairs(pairs, asked.len(), CHUNK, through, |items| {
        search_bare(&bare, &asked[items], k)
    });
    let Ratio {
        median,
        interval: [low, high],
    } = measured.ratio();
    report.remark(format!("through a node, a query runs at {median:.3} [{low:.3}, {high:.3}] of the speed of bare kiddo, one thread"));
    Ok(())
}
