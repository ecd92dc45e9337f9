//! Exact nearest neighbours by brute force, and recall against them.
//!
//! Distances are computed in tiles: 32-bit matrix products (or sums) say which rows could be among the `k` nearest,
//! with a bound on their rounding error; only these are then computed one by one in 64 bits. So the answer is that of
//! 64-bit brute force, at nearly the speed of a matrix product.

use std::collections::{BinaryHeap, HashSet};
use std::ops::RangeInclusive;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

/// What "near" means; smaller is closer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// `1 - cos`, of vectors of any length; 1 if one of them is zero.
    Cosine,
    /// `- a . b`.
    Dot,
    /// The squared Euclidean distance.
    L2,
    /// The sum of absolute differences.
    L1,
    /// The largest absolute difference.
    LInf,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Metric; 5] = [
        Metric::Cosine,
        Metric::Dot,
        Metric::L2,
        Metric::L1,
        Metric::LInf,
    ];

    /// The distance of two vectors, computed in 64 bits, one number after the other, and rounded once.
    pub fn distance(self, a: &[f32], b: &[f32]) -> f32 {
        self.distance_f64(a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)))) as f32
    }

    fn distance_f64(self, pairs: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
        let sum = |term: fn((f64, f64)) -> f64| pairs.clone().map(term).sum::<f64>();
        match self {
            Metric::Cosine => {
                let lengths = sum(|(a, _)| a * a).sqrt() * sum(|(_, b)| b * b).sqrt();
                if lengths > 0.0 {
                    1.0 - sum(|(a, b)| a * b) / lengths
                } else {
                    1.0
                }
            }
            Metric::Dot => -sum(|(a, b)| a * b),
            Metric::L2 => sum(|(a, b)| (a - b) * (a - b)),
            Metric::L1 => sum(|(a, b)| (a - b).abs()),
            Metric::LInf => pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
        }
    }
}

/// The exact neighbours of a set of queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// What the distances are.
    pub metric: Metric,
    /// Offsets of base vectors, `[queries, min(k, base rows)]`, nearest first; equal distances by offset.
    pub offsets: Array2<u32>,
    /// Their distances, of the same shape.
    pub distances: Array2<f32>,
}

/// Vectors of which no nearest can be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TruthError {
    /// Base vectors and queries have different dims.
    #[error("queries have dim {got}, base vectors {wanted}")]
    Dim {
        /// Dim of the base vectors.
        wanted: usize,
        /// Dim of the queries.
        got: usize,
    },
    /// NaN or infinity has no distance.
    #[error("{set} row {row} has a number that is not finite")]
    NotFinite {
        /// `base` or `queries`.
        set: &'static str,
        /// The row, from 0.
        row: usize,
    },
    /// More rows than 32-bit offsets.
    #[error("{rows} base vectors, but offsets have 32 bits")]
    TooManyRows {
        /// Rows given.
        rows: usize,
    },
}

/// Queries per tile.
const TILE_QUERIES: usize = 64;

/// Base rows per tile: with the queries' tile of products it stays within a second-level cache.
const TILE_ROWS: usize = 512;

/// More than the numbers below the smallest normal one can lose, in up to millions of terms.
const UNDERFLOW: f32 = f32::MIN_POSITIVE;

/// Products of lengths outside make no estimate of a cosine: sums of such products vanish, or overflow.
const LENGTHS: RangeInclusive<f32> = 1e-25..=f32::MAX;

/// Finds the `k` nearest base vectors of each query, exactly.
///
/// - `base`: `[n, dim]`; `queries`: `[m, dim]`; finite numbers, of any length also for cosine.
/// - Time O(n * m * dim) on all threads of rayon; extra space O(threads * (k + 64 * 512)), more if very many rows tie.
///
/// # Errors
///
/// [`TruthError`].
pub fn exact(
    base: ArrayView2<f32>,
    queries: ArrayView2<f32>,
    metric: Metric,
    k: usize,
) -> Result<Truth, TruthError> {
    if base.ncols() != queries.ncols() {
        return Err(TruthError::Dim {
            wanted: base.ncols(),
            got: queries.ncols(),
        });
    }
    if u32::try_from(base.nrows()).is_err() {
        return Err(TruthError::TooManyRows { rows: base.nrows() });
    }
    all_finite(base, "base")?;
    all_finite(queries, "queries")?;
    let (base, queries) = (base.as_standard_layout(), queries.as_standard_layout());
    let k = k.min(base.nrows());
    let space = Space {
        base: base.view(),
        base_lengths: lengths(base.view()),
        metric,
    };
    let tile_queries = TILE_QUERIES
        .min(queries.nrows().div_ceil(rayon::current_num_threads()))
        .max(1);
    let tiles: Vec<ArrayView2<f32>> = queries.axis_chunks_iter(Axis(0), tile_queries).collect();
    let found: Vec<Vec<(f32, u32)>> = tiles
        .into_par_iter()
        .flat_map_iter(|tile| space.search_tile(tile, k))
        .collect();
    let shape = (queries.nrows(), k);
    let offsets = found.iter().flatten().map(|&(_, offset)| offset).collect();
    let distances = found
        .iter()
        .flatten()
        .map(|&(distance, _)| distance)
        .collect();
    let of_shape = "every query has k neighbours";
    Ok(Truth {
        metric,
        offsets: Array2::from_shape_vec(shape, offsets).expect(of_shape),
        distances: Array2::from_shape_vec(shape, distances).expect(of_shape),
    })
}

fn all_finite(vectors: ArrayView2<f32>, set: &'static str) -> Result<(), TruthError> {
    match vectors
        .rows()
        .into_iter()
        .position(|row| row.iter().any(|x| !x.is_finite()))
    {
        Some(row) => Err(TruthError::NotFinite { set, row }),
        None => Ok(()),
    }
}

/// Euclidean lengths, rounded once.
fn lengths(vectors: ArrayView2<f32>) -> Vec<f32> {
    let length = |row: ArrayView1<f32>| {
        row.iter()
            .map(|&x| f64::from(x) * f64::from(x))
            .sum::<f64>()
            .sqrt() as f32
    };
    vectors.rows().into_iter().map(length).collect()
}

struct Space<'a> {
    base: ArrayView2<'a, f32>,
    base_lengths: Vec<f32>,
    metric: Metric,
}

impl Space<'_> {
    fn search_tile(&self, queries: ArrayView2<f32>, k: usize) -> Vec<Vec<(f32, u32)>> {
        let mut nearest: Vec<Candidates> =
            (0..queries.nrows()).map(|_| Candidates::new(k)).collect();
        let query_lengths = lengths(queries);
        let mut tile = Array2::<f32>::zeros((queries.nrows(), TILE_ROWS));
        for first in (0..self.base.nrows()).step_by(TILE_ROWS) {
            let rows = self
                .base
                .slice(s![first..(first + TILE_ROWS).min(self.base.nrows()), ..]);
            let mut tile = tile.slice_mut(s![.., ..rows.nrows()]);
            self.fill_tile(queries, rows, &mut tile);
            for (query_idx, (sums, nearest)) in
                tile.rows().into_iter().zip(&mut nearest).enumerate()
            {
                for (idx, &sum) in sums.iter().enumerate() {
                    let lengths = (query_lengths[query_idx], self.base_lengths[first + idx]);
                    let (distance, error) = self.estimate(sum, lengths);
                    nearest.offer((first + idx) as u32, distance, error);
                }
            }
        }
        let exact = |(query, nearest): (ArrayView1<f32>, Candidates)| {
            let query = query.to_slice().expect("standard layout");
            nearest.finish(|offset| {
                let row = self.base.row(offset as usize);
                self.metric
                    .distance(query, row.to_slice().expect("standard layout"))
            })
        };
        queries.rows().into_iter().zip(nearest).map(exact).collect()
    }

    /// Fills `[queries, rows]` with products, or with the sums or maxima of differences.
    fn fill_tile(
        &self,
        queries: ArrayView2<f32>,
        rows: ArrayView2<f32>,
        tile: &mut ArrayViewMut2<f32>,
    ) {
        let combine = match self.metric {
            Metric::Cosine | Metric::Dot | Metric::L2 => {
                return general_mat_mul(1.0, &queries, &rows.t(), 0.0, tile);
            }
            Metric::L1 => l1,
            Metric::LInf => l_inf,
        };
        for (query, mut sums) in queries.rows().into_iter().zip(tile.rows_mut()) {
            let query = query.to_slice().expect("standard layout");
            for (row, sum) in rows.rows().into_iter().zip(&mut sums) {
                *sum = combine(query, row.to_slice().expect("standard layout"));
            }
        }
    }

    /// The distance that a tile's number stands for, and how far at most it is from the exact one rounded to 32 bits.
    ///
    /// A 32-bit product of `dim` terms is off by at most `dim * u` of the product of lengths, in any order of
    /// summation; a sum of terms that are not negative by `dim * u` of itself (Higham, "Accuracy and Stability of
    /// Numerical Algorithms", 2nd edition, section 3.1). The factors below are rounded up.
    fn estimate(&self, sum: f32, (query_length, row_length): (f32, f32)) -> (f32, f32) {
        let unit = f32::EPSILON; // twice the unit roundoff
        let gamma = unit * (self.base.ncols() as f32 + 8.0);
        let lengths = query_length * row_length;
        // Below the smallest normal number a length has lost digits.
        let smallest = query_length.min(row_length);
        match self.metric {
            Metric::Cosine if LENGTHS.contains(&lengths) && smallest >= f32::MIN_POSITIVE => {
                (1.0 - sum / lengths, gamma + 8.0 * unit)
            }
            Metric::Cosine => (1.0, f32::INFINITY),
            Metric::Dot => (-sum, gamma * lengths + UNDERFLOW),
            Metric::L2 => {
                let squares = query_length * query_length + row_length * row_length;
                (
                    squares - 2.0 * sum,
                    gamma * (squares + 2.0 * lengths) + UNDERFLOW,
                )
            }
            Metric::L1 => (sum, gamma * sum + UNDERFLOW),
            Metric::LInf => (sum, 8.0 * unit * sum + UNDERFLOW),
        }
    }
}

/// Independent sums, so that the compiler can keep them in one wide register.
const LANES: usize = 16;

fn l1(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += (a[lane] - b[lane]).abs();
        }
    }
    sums.iter().sum::<f32>()
        + a_rest
            .iter()
            .zip(b_rest)
            .map(|(a, b)| (a - b).abs())
            .sum::<f32>()
}

fn l_inf(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut largest = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            largest[lane] = largest[lane].max((a[lane] - b[lane]).abs());
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b).abs());
    largest.into_iter().chain(rest).fold(0.0, f32::max)
}

/// The rows that could be among the `k` nearest of one query, given estimates and their errors.
struct Candidates {
    k: usize,
    /// The `k` smallest upper bounds seen, the largest on top: no row beyond it is among the nearest.
    upper: BinaryHeap<Ordered>,
    /// Lower bounds and offsets of the rows that may be.
    rows: Vec<(f32, u32)>,
    /// When to sort out next.
    rows_max: usize,
}

impl Candidates {
    fn new(k: usize) -> Candidates {
        Candidates {
            k,
            upper: BinaryHeap::with_capacity(k + 1),
            rows: Vec::new(),
            rows_max: 4 * k + 64,
        }
    }

    fn limit(&self) -> f32 {
        if self.upper.len() < self.k {
            f32::INFINITY
        } else {
            self.upper.peek().map_or(f32::NEG_INFINITY, |top| top.0)
        }
    }

    fn offer(&mut self, offset: u32, distance: f32, error: f32) {
        // An estimate that overflowed says nothing.
        let (lower, upper) = match error.is_finite() && distance.is_finite() {
            true => (distance - error, distance + error),
            false => (f32::NEG_INFINITY, f32::INFINITY),
        };
        let limit = self.limit();
        if lower > limit {
            return;
        }
        self.rows.push((lower, offset));
        if upper < limit || self.upper.len() < self.k {
            self.upper.push(Ordered(upper));
            if self.upper.len() > self.k {
                self.upper.pop();
            }
        }
        if self.rows.len() > self.rows_max {
            self.sort_out();
            self.rows_max = (2 * self.rows.len()).max(4 * self.k + 64);
        }
    }

    fn sort_out(&mut self) {
        let limit = self.limit();
        self.rows.retain(|&(lower, _)| lower <= limit);
    }

    fn finish(mut self, distance: impl Fn(u32) -> f32) -> Vec<(f32, u32)> {
        self.sort_out();
        let mut exact: Vec<(f32, u32)> = self
            .rows
            .iter()
            .map(|&(_, offset)| (distance(offset), offset))
            .collect();
        exact.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        exact.truncate(self.k);
        exact
    }
}

#[derive(PartialEq)]
struct Ordered(f32);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Ordered) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Ordered) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Truth {
    /// The neighbours of one query as `(offset, distance)`.
    pub fn of_query(&self, query_idx: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.offsets
            .row(query_idx)
            .into_iter()
            .copied()
            .zip(self.distances.row(query_idx).into_iter().copied())
    }

    /// The share of the exact `k` neighbours of a query that are among the first `k` of `found`: `(offset, distance)`
    /// as an index gave them. See [`recall_at_k`].
    pub fn recall(&self, query_idx: usize, found: &[(u32, f32)], k: usize) -> f64 {
        let truth: Vec<(u32, f32)> = self.of_query(query_idx).take(k).collect();
        recall_at_k(found, &truth)
    }
}

/// How much farther than the last exact neighbour a row may be and still tie with it, relative to the distance: other
/// programs sum in another order.
pub const TIE_TOLERANCE: f32 = 1e-6;

/// Recall@k of one query, `k` being `truth.len()`: the share of its exact neighbours that were found.
///
/// A row counts as found if it is one of them, or as near as the last of them (ties): not farther by more than
/// [`TIE_TOLERANCE`]. Only the first `k` found are looked at, a row that appears twice counts once, and distances that
/// are NaN never tie. 1 if there is nothing to find.
pub fn recall_at_k(found: &[(u32, f32)], truth: &[(u32, f32)]) -> f64 {
    let Some(&(_, last)) = truth.last() else {
        return 1.0;
    };
    let limit = last + TIE_TOLERANCE * last.abs();
    let exact: HashSet<u32> = truth.iter().map(|&(offset, _)| offset).collect();
    let mut seen = HashSet::new();
    let hits = found
        .iter()
        .take(truth.len())
        .filter(|&&(offset, distance)| {
            seen.insert(offset) && (exact.contains(&offset) || distance <= limit)
        });
    hits.count() as f64 / truth.len() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::Random;
    use crate::synthetic::{Shape, Synthetic};

    fn naive(
        base: &Array2<f32>,
        query: ArrayView1<f32>,
        metric: Metric,
        k: usize,
    ) -> Vec<(u32, f32)> {
        let query = query.to_vec();
        let mut all: Vec<(u32, f32)> = base
            .rows()
            .into_iter()
            .enumerate()
            .map(|(i, row)| (i as u32, metric.distance(&query, &row.to_vec())))
            .collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        all.truncate(k);
        all
    }

    fn check(base: &Array2<f32>, queries: &Array2<f32>, k: usize) {
        for metric in Metric::ALL {
            let truth = exact(base.view(), queries.view(), metric, k).unwrap();
            for (idx, query) in queries.rows().into_iter().enumerate() {
                let got: Vec<_> = truth.of_query(idx).collect();
                assert_eq!(
                    got,
                    naive(base, query, metric, k),
                    "{metric:?}, query {idx}"
                );
                assert_eq!(truth.recall(idx, &got, k), 1.0);
            }
        }
    }

    #[test]
    fn equals_sorting_everything() {
        for shape in [
            Shape::Uniform,
            Shape::Clusters {
                clusters: 9,
                spread: 0.01,
            },
            Shape::Manifold { latent: 5 },
            Shape::Duplicates { distinct: 13 },
        ] {
            let set = Synthetic::new(shape, 37, 3);
            check(&set.base(1300), &set.queries(9), 10);
        }
    }

    #[test]
    fn hard_numbers() {
        // Far from the origin, so that products cancel; tiny and huge numbers; rows of zeros.
        let set = Synthetic::new(Shape::Uniform, 5, 4);
        check(
            &set.base(700).mapv(|x| 1e4 + x),
            &set.queries(5).mapv(|x| 1e4 + x),
            7,
        );
        check(
            &set.base(700).mapv(|x| x * 1e-20),
            &set.queries(5).mapv(|x| x * 1e-20),
            7,
        );
        check(
            &set.base(700).mapv(|x| x * 1e-30),
            &set.queries(5).mapv(|x| x * 1e-30),
            7,
        );
        check(
            &set.base(700).mapv(|x| (x - 0.5) * 1e30),
            &set.queries(5),
            7,
        );
        let mut base = set.base(100);
        base.slice_mut(s![..50, ..]).fill(0.0);
        check(&base, &Array2::zeros((2, 5)), 60);
    }

    #[test]
    fn products_of_lengths_that_overflow_are_no_cosine() {
        // The products of the long rows fit 32 bits, the products of their lengths do not. The short rows are farther.
        let base = Array2::from_shape_fn((40, 2), |(row, column)| match row % 2 {
            0 => [0.1 + row as f32 / 100.0, 1.0][column] * 2e19,
            _ => [0.05, 1.0][column],
        });
        check(&base, &ndarray::array![[2e19, 0.0]], 5);
    }

    #[test]
    fn lengths_with_few_digits_are_no_cosine() {
        let base = Array2::from_shape_fn((40, 2), |(row, column)| {
            [
                f32::from_bits(1 + row as u32 % 7),
                f32::from_bits(1 + row as u32 / 7),
            ][column]
        });
        check(&base, &ndarray::array![[1e25, 2e25]], 5);
    }

    #[test]
    fn edges() {
        let set = Synthetic::new(Shape::Uniform, 3, 4);
        check(&set.base(4), &set.queries(2), 10);
        check(&set.base(4), &set.queries(2), 0);
        check(&set.base(0), &set.queries(2), 3);
        check(&set.base(4), &set.queries(0), 3);
        let (mut base, queries) = (set.base(4), set.queries(2));
        let wide = Array2::zeros((2, 4));
        assert_eq!(
            exact(base.view(), wide.view(), Metric::L2, 1),
            Err(TruthError::Dim { wanted: 3, got: 4 })
        );
        base[[2, 1]] = f32::NAN;
        assert_eq!(
            exact(base.view(), queries.view(), Metric::L2, 1),
            Err(TruthError::NotFinite {
                set: "base",
                row: 2
            })
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn random_sets(seed: u64, rows in 1usize..80, dim in 1usize..20, k in 1usize..12, steps in 1u64..6) {
            let mut random = Random::new(seed);
            let mut matrix = |rows| Array2::from_shape_simple_fn((rows, dim), || random.below(steps) as f32 - 2.0);
            check(&matrix(rows), &matrix(3), k);
        }
    }

    #[test]
    fn recall_counts_ties() {
        let truth = [(4, 0.5), (2, 1.0), (9, 2.0)];
        let check = |found: &[(u32, f32)], expected: f64| {
            assert_eq!(recall_at_k(found, &truth), expected, "{found:?}")
        };
        check(&[(4, 0.5), (2, 1.0), (9, 2.0)], 1.0);
        check(&[(4, 0.5), (2, 1.0), (7, 2.0)], 1.0); // ties with the last
        check(&[(4, 0.5), (2, 1.0), (7, 2.1)], 2.0 / 3.0);
        check(&[(4, 0.5), (4, 0.5), (4, 0.5)], 1.0 / 3.0);
        check(&[(1, f32::NAN)], 0.0);
        check(&[(1, 9.0), (3, 9.0), (5, 9.0), (4, 0.5)], 0.0); // beyond the first k
        check(&[], 0.0);
        assert_eq!(recall_at_k(&[], &[]), 1.0);
    }
}
