//! What the k-d tree of this crate adds to the one of `kiddo`, from how many rows on it beats a scan, and on which rows of more components a tree over
//! a projection does.
//!
//! The two sides of a comparison run in turns, in blocks of equal queries that take well below a millisecond, and a ratio
//! is the median over many pairs with the range of its middle half. Machines drift and other programs interrupt, but
//! neighbours in time mostly see the same machine. QPS are those of the median block.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use index::{IndexKind, Metric, Rows, SearchParams, Stats, VectorIndex, build};
use kiddo::ImmutableKdTree;
use kiddo::dist::SquaredEuclidean;

const K: usize = 10;
const PAIRS: usize = 301;
/// What a block of queries should take.
const BLOCK: Duration = Duration::from_micros(150);

fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 24) as f32
    };
    (0..len).map(|_| next()).collect()
}

/// What came out of many pairs of blocks.
struct Comparison {
    /// Queries per second of either side.
    qps: [f64; 2],
    /// Time of the second over time of the first: lower quartile, median, upper quartile.
    ratio: [f64; 3],
}

/// Runs both sides in turns over blocks of the queries, which are `dim` long.
fn compare(
    dim: usize,
    queries: &[f32],
    mut first: impl FnMut(&[f32]),
    mut second: impl FnMut(&[f32]),
) -> Comparison {
    let time = |side: &mut dyn FnMut(&[f32]), block: &[f32]| {
        let start = Instant::now();
        side(block);
        start.elapsed().as_secs_f64()
    };
    let a_few = &queries[..20 * dim];
    time(&mut first, a_few);
    time(&mut second, a_few);
    let of_one = time(&mut first, a_few).min(time(&mut second, a_few)) / 20.0;
    let block = ((BLOCK.as_secs_f64() / of_one) as usize).clamp(1, queries.len() / dim);
    let blocks = queries.chunks_exact(block * dim).cycle().take(PAIRS + 1);
    let times: Vec<[f64; 2]> = blocks
        .map(|block| [time(&mut first, block), time(&mut second, block)])
        .skip(1)
        .collect();
    let sorted = |value: &dyn Fn(&[f64; 2]) -> f64| {
        let mut values: Vec<f64> = times.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| values[values.len() * quarter / 4])
    };
    let qps = [0, 1].map(|side| block as f64 / sorted(&|times| times[side])[1]);
    Comparison {
        qps,
        ratio: sorted(&|times| times[1] / times[0]),
    }
}

fn search_all(index: &dyn VectorIndex, queries: &[f32]) {
    let params = SearchParams::new(K);
    for query in queries.chunks_exact(index.dim()) {
        black_box(
            index
                .search(black_box(query), &params, &mut Stats::default())
                .unwrap(),
        );
    }
}

fn against_kiddo<const DIM: usize>(name: &str, values: Vec<f32>, queries: &[f32]) {
    let bare = ImmutableKdTree::<f32, DIM>::new_from_slice(values.as_chunks::<DIM>().0).unwrap();
    let k = NonZeroUsize::new(K).unwrap();
    let start = Instant::now();
    let ours = build(IndexKind::KdTree, Metric::L2, Rows::new(DIM, values)).unwrap();
    let built = start.elapsed();
    let compared = compare(
        DIM,
        queries,
        |queries| search_all(&*ours, queries),
        |queries| {
            for query in queries.as_chunks::<DIM>().0 {
                black_box(
                    bare.query(black_box(query))
                        .nearest_n::<SquaredEuclidean<f32>>(k)
                        .execute(),
                );
            }
        },
    );
    let ([ours_qps, bare_qps], [low, ratio, high]) = (compared.qps, compared.ratio);
    println!(
        "{name:<16} n {:>7}  ours {ours_qps:>9.0} QPS  kiddo {bare_qps:>9.0} QPS  ours/kiddo {ratio:.3} [{low:.3}, {high:.3}]  \
         build {built:.1?}",
        ours.len(),
    );
}

fn against_scan(dim: usize) {
    print!("dim {dim}, scan time / tree time:");
    for n in [125, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 64_000] {
        let rows = Rows::new(dim, noise(1, n * dim));
        let queries = noise(2, 2_000 * dim);
        let tree = build(IndexKind::KdTree, Metric::L2, rows.clone()).unwrap();
        let flat = build(IndexKind::Flat, Metric::L2, rows).unwrap();
        let compared = compare(
            dim,
            &queries,
            |queries| search_all(&*tree, queries),
            |queries| search_all(&*flat, queries),
        );
        print!("  {n}: {:.2}", compared.ratio[1]);
    }
    println!();
}

/// Rows in a thousand balls whose centres lie anywhere, and as many queries from the same balls.
fn clustered(dim: usize, n: usize, queries: usize) -> [Vec<f32>; 2] {
    const BALLS: usize = 1_000;
    let centres = noise(7, BALLS * dim);
    let around = |seed, n: usize| {
        let by = noise(seed, n * dim);
        let centre = |at: usize| centres[at / dim * 7_919 % BALLS * dim + at % dim];
        let moved = by.iter().enumerate();
        moved
            .map(|(at, by)| centre(at) + 0.1 * (by - 0.5))
            .collect()
    };
    [around(8, n), around(9, queries)]
}

/// Rows near a surface of four dimensions, bent through all components, and queries near it.
fn bent(dim: usize, n: usize, queries: usize) -> [Vec<f32>; 2] {
    const LATENT: usize = 4;
    let weights = noise(7, LATENT * dim);
    let on_surface = |seed, n: usize| {
        let (latent, by) = (noise(seed, n * LATENT), noise(seed + 1, n * dim));
        let value = |at: usize| {
            let (row, i) = (at / dim, at % dim);
            let latent = &latent[row * LATENT..][..LATENT];
            let sum: f32 = latent
                .iter()
                .zip(&weights[i * LATENT..])
                .map(|(x, w)| x * w)
                .sum();
            (3.0 * sum).sin() + 0.02 * (by[at] - 0.5)
        };
        (0..n * dim).map(value).collect()
    };
    [on_surface(8, n), on_surface(10, queries)]
}

fn projected_against_scan(
    name: &str,
    metric: Metric,
    dim: usize,
    [values, queries]: [Vec<f32>; 2],
) {
    let rows = Rows::new(dim, values);
    let start = Instant::now();
    let tree = build(IndexKind::KdTree, metric, rows.clone()).unwrap();
    let built = start.elapsed();
    let flat = build(IndexKind::Flat, metric, rows.clone()).unwrap();
    let mut stats = Stats::default();
    let params = SearchParams::new(K);
    for query in queries.chunks_exact(dim) {
        tree.search(query, &params, &mut stats).unwrap();
    }
    let visited = stats.visited as f64 / (queries.len() / dim * rows.len()) as f64;
    let compared = compare(
        dim,
        &queries,
        |queries| search_all(&*tree, queries),
        |queries| search_all(&*flat, queries),
    );
    let ([tree_qps, flat_qps], [low, ratio, high]) = (compared.qps, compared.ratio);
    println!(
        "{name:<10} {metric:<4} dim {dim:>2}  tree {tree_qps:>8.0} QPS  scan {flat_qps:>6.0} QPS  scan/tree time {ratio:>6.2} [{low:.2}, {high:.2}]  \
         rows compared {:.1} %  build {built:.1?}  {:.0} bytes a row",
        100.0 * visited,
        tree.memory() as f64 / rows.len() as f64,
    );
}

/// Red, green and blue of named colours, if the data folder is there.
fn colours() -> Option<Vec<f32>> {
    let folder = std::env::var("VECINO_DATA")
        .unwrap_or(format!("{}/../../shared/data", env!("CARGO_MANIFEST_DIR")));
    let text = std::fs::read_to_string(Path::new(&folder).join("colors.csv")).ok()?;
    let colour = |line: &str| {
        let mut fields: Vec<f32> = line
            .rsplit(',')
            .take(3)
            .filter_map(|field| field.trim().parse().ok())
            .collect();
        fields.reverse();
        fields
    };
    Some(text.lines().skip(1).flat_map(colour).collect())
}

fn main() {
    println!("k-d tree through `dyn VectorIndex` against bare kiddo, L2, k = {K}, one thread:");
    match colours() {
        Some(values) => {
            let queries: Vec<f32> = noise(3, 30_000).iter().map(|x| x * 255.0).collect();
            against_kiddo::<3>("colours", values.clone(), &queries);
            let whole: Vec<f32> = queries.iter().map(|x| x.round()).collect();
            against_kiddo::<3>("colours, whole", values, &whole);
        }
        None => println!("colours: skipped, no data folder"),
    }
    const N: usize = 100_000;
    against_kiddo::<2>("uniform, dim 2", noise(1, N * 2), &noise(2, 10_000 * 2));
    against_kiddo::<3>("uniform, dim 3", noise(1, N * 3), &noise(2, 10_000 * 3));
    against_kiddo::<4>("uniform, dim 4", noise(1, N * 4), &noise(2, 4_000 * 4));
    against_kiddo::<6>("uniform, dim 6", noise(1, N * 6), &noise(2, 1_000 * 6));
    against_kiddo::<8>("uniform, dim 8", noise(1, N * 8), &noise(2, 500 * 8));
    println!("k-d tree against the scan of this crate, uniform rows, L2, k = {K}, one thread:");
    (1..=8).for_each(against_scan);
    println!("tree over a projection against the scan, n = {N}, k = {K}, one thread:");
    for dim in [9, 12, 16, 24, 32] {
        const QUERIES: usize = 400;
        let uniform = [noise(1, N * dim), noise(2, QUERIES * dim)];
        projected_against_scan("uniform", Metric::L2, dim, uniform);
        projected_against_scan("clustered", Metric::L2, dim, clustered(dim, N, QUERIES));
        projected_against_scan("bent", Metric::L2, dim, bent(dim, N, QUERIES));
        projected_against_scan("clustered", Metric::L1, dim, clustered(dim, N, QUERIES));
    }
}
