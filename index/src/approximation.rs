//! Vector approximations: bytes that tell which rows cannot be among the nearest, so that an exact scan reads a quarter of the memory.
//!
//! As in the VA-file (Weber, Schek and Blott, "A Quantitative Analysis and Performance Study for Similarity-Search Methods in High-Dimensional
//! Spaces", VLDB 1998), a row is first compared by its approximation, and its numbers are read only if they might matter. Here a component is one
//! of 256 levels between the ends of its block, and the bound is the triangle inequality: how far the query and the rows are from their own codes
//! is known, so what two codes differ by tells how near query and row are at most. A row is left out only if even that is too far, rounding
//! included: the answer is that of a scan of all numbers, with the same bits.

use std::fmt;

use crate::TopK;
use crate::aligned::Aligned;
use crate::bitset::Bits;
use crate::distance::codes::{Job, Simd, dispatch};
use crate::quantizer::{Encoding, vectorized};
use crate::{Metric, Offset};

/// The largest code.
const TOP: f32 = 255.0;

/// One byte a component for the rows of a block, and how far the rows are from them. Immutable.
pub struct Approximation {
    metric: Metric,
    dim: usize,
    /// The ends of the components, finite.
    ends: [f32; 2],
    /// From one level to the next: finite and larger than 0. Code 0 is the lower end.
    step: f32,
    /// `[n, row_bytes]`
    codes: Aligned<u8>,
    row_bytes: usize,
    /// The largest distance of a row from its code.
    error: f64,
    /// The largest length of a row.
    norm: f64,
    /// The largest distance of a code from the middle of the levels.
    spread: f64,
}

impl Approximation {
    /// Whether there are approximations of such rows: compared by sums, and of 64 to 33,025 components.
    pub fn serves(metric: Metric, dim: usize) -> bool {
        /// Of shorter rows, the codes take as long to compare as the numbers.
        const DIM_MIN: usize = 64;
        /// So that sums of squares of bytes fit `i32`.
        const DIM_MAX: usize = i32::MAX as usize / (255 * 255);
        matches!(metric, Metric::L2 | Metric::Cosine | Metric::Dot)
            && (DIM_MIN..=DIM_MAX).contains(&dim)
    }

    /// The bytes of the approximations of so many rows.
    pub fn bytes(rows: usize, dim: usize) -> usize {
        rows * Encoding::Sq8.row_bytes(dim)
    }

    /// Approximates the rows of a block, each `[dim]`. `None` if a number is not finite, or so large that a sum of squares would not be. Time
    /// O(n * dim).
    ///
    /// # Panics
    ///
    /// If [`Self::serves`] says no, or a row is of another `dim`.
    pub fn of<'a>(
        metric: Metric,
        dim: usize,
        rows: impl ExactSizeIterator<Item = &'a [f32]> + Clone,
    ) -> Option<Self> {
        assert!(
            Self::serves(metric, dim),
            "no approximations for {metric} of dim {dim}"
        );
        let [low, high] = ends(dim, rows.clone())?;
        let largest = low.abs().max(high.abs());
        if f64::from(largest).powi(2) * dim as f64 > f64::from(f32::MAX) / 16.0 {
            return None;
        }
        // Components that are about equal: any step will do.
        let least = (largest * f32::EPSILON).max(f32::MIN_POSITIVE * 1e6);
        let step = ((high - low) / TOP).max(least);
        let row_bytes = Encoding::Sq8.row_bytes(dim);
        let mut codes = Aligned::new(0, rows.len() * row_bytes);
        let mut most = Differences::default();
        for (row, code) in rows.zip(codes.as_mut_slice().chunks_exact_mut(row_bytes)) {
            most.raise(&encode(row, [low, high], step, code));
        }
        let root = |sum: f64| sum.sqrt() * (1.0 + rounding(dim));
        Some(Self {
            metric,
            dim,
            ends: [low, high],
            step,
            codes,
            row_bytes,
            error: root(most.errors) + grain([low, high], dim),
            norm: root(most.squares),
            spread: root(most.levels) * f64::from(step),
        })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.codes.as_slice().len() / self.row_bytes
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        self.codes.as_slice().len()
    }

    /// Offers `top` the rows that may be near enough for it, `first` being the offset of the block's first.
    ///
    /// - `among`: of every 64 rows, which may answer, low bit first.
    /// - `distance`: the exact distance of a row of the block.
    pub(crate) fn scan(
        &self,
        probe: &mut Probe<'_>,
        first: Offset,
        among: impl Fn(usize) -> u64,
        distance: impl FnMut(usize) -> f32,
        top: &mut TopK,
    ) -> Scanned {
        match self.metric {
            Metric::L2 => {
                let bound = probe.squares(self);
                dispatch(Scan {
                    block: self,
                    keys: Squares(&probe.code),
                    bound,
                    first,
                    among,
                    distance,
                    top,
                })
            }
            _ => dispatch(Scan {
                block: self,
                bound: probe.products(self),
                keys: Products(&probe.signed),
                first,
                among,
                distance,
                top,
            }),
        }
    }
}

impl fmt::Debug for Approximation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approximation")
            .field("metric", &self.metric)
            .field("dim", &self.dim)
            .field("rows", &self.len())
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// What a scan of a block cost.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Scanned {
    /// Rows that were compared by their codes.
    pub(crate) approximate: u64,
    /// Rows of which the numbers were read.
    pub(crate) exact: u64,
}

/// What rounding may add to a sum of products, as a share of the sum of their sizes: twice what it can be.
fn rounding(dim: usize) -> f64 {
    (dim as f64 + 8.0) * f64::from(f32::EPSILON)
}

/// What the rounding of levels may add to the distance from a code.
fn grain([low, high]: [f32; 2], dim: usize) -> f64 {
    let largest = f64::from(low.abs().max(high.abs()));
    4.0 * f64::from(f32::EPSILON) * largest * (dim as f64).sqrt()
}

/// Components that are taken together, so that loops become vector instructions.
const LANES: usize = 16;

/// The least and the largest component; `None` if one is not finite.
fn ends<'a>(dim: usize, rows: impl Iterator<Item = &'a [f32]>) -> Option<[f32; 2]> {
    let mut low = [f32::INFINITY; LANES];
    let mut high = [f32::NEG_INFINITY; LANES];
    let mut odd = [0f32; LANES];
    for row in rows {
        assert_eq!(row.len(), dim, "a row of another dim");
        vectorized(
            #[inline(always)]
            || {
                for part in row.chunks(LANES) {
                    for (lane, &x) in part.iter().enumerate() {
                        low[lane] = if x < low[lane] { x } else { low[lane] };
                        high[lane] = if x > high[lane] { x } else { high[lane] };
                        // NaN unless it is finite.
                        odd[lane] += x * 0.0;
                    }
                }
            },
        );
    }
    let low = low.into_iter().fold(f32::INFINITY, f32::min);
    let high = high.into_iter().fold(f32::NEG_INFINITY, f32::max);
    (odd.iter().all(|&odd| odd == 0.0) && low <= high).then_some([low, high])
}

/// Sums over the components of a vector.
#[derive(Copy, Clone, Default)]
struct Differences {
    /// Of the squared differences of the vector, cut off at the ends, from its code.
    errors: f64,
    /// Of the squares of the vector.
    squares: f64,
    /// Of the squared differences of its code from the middle of the levels.
    levels: f64,
}

impl Differences {
    fn raise(&mut self, other: &Self) {
        self.errors = self.errors.max(other.errors);
        self.squares = self.squares.max(other.squares);
        self.levels = self.levels.max(other.levels);
    }
}

/// Writes the nearest levels.
fn encode(vector: &[f32], [low, high]: [f32; 2], step: f32, code: &mut [u8]) -> Differences {
    let inverse = 1.0 / step;
    let (mut errors, mut squares, mut levels) = ([0f32; LANES], [0f32; LANES], [0f32; LANES]);
    vectorized(
        #[inline(always)]
        || {
            for (part, codes) in vector.chunks(LANES).zip(code.chunks_mut(LANES)) {
                for (lane, (&x, code)) in part.iter().zip(codes).enumerate() {
                    let cut = x.clamp(low, high);
                    *code = ((cut - low) * inverse + 0.5).clamp(0.0, TOP) as u8;
                    let level = f32::from(*code);
                    let error = cut - (low + step * level);
                    errors[lane] += error * error;
                    squares[lane] += x * x;
                    levels[lane] += (level - TOP / 2.0) * (level - TOP / 2.0);
                }
            }
        },
    );
    let sum = |lanes: [f32; LANES]| lanes.into_iter().map(f64::from).sum();
    Differences {
        errors: sum(errors),
        squares: sum(squares),
        levels: sum(levels),
    }
}

/// A query, as approximations are compared with it.
pub(crate) struct Probe<'q> {
    query: &'q [f32],
    /// For squares: the levels of the query, cut off at the ends of the block.
    code: Vec<u8>,
    /// For products: the query in units.
    signed: Vec<i8>,
    unit: f64,
    /// The distance of the query from what is in units.
    error: f64,
    norm: f64,
    sum: f64,
    signed_sum: f64,
}

impl<'q> Probe<'q> {
    /// `None` if the query is so long that sums of its products might overflow.
    pub(crate) fn new(metric: Metric, query: &'q [f32]) -> Option<Self> {
        const NORM_MAX: f64 = 1e18;
        let squares = query.iter().map(|&x| f64::from(x) * f64::from(x));
        let norm = squares.sum::<f64>().sqrt();
        if norm.is_nan() || norm > NORM_MAX {
            return None;
        }
        let mut probe = Self {
            query,
            code: Vec::new(),
            signed: Vec::new(),
            unit: 1.0,
            error: 0.0,
            norm,
            sum: 0.0,
            signed_sum: 0.0,
        };
        if metric != Metric::L2 {
            probe.sign();
        }
        Some(probe)
    }

    /// Writes the query in units.
    fn sign(&mut self) {
        let largest = self.query.iter().fold(0f32, |most, x| most.max(x.abs()));
        if largest > 0.0 {
            self.unit = f64::from(largest) / 127.0;
        }
        let mut errors = 0.0;
        for &x in self.query {
            let x = f64::from(x);
            let units = (x / self.unit).round();
            self.signed.push(units as i8);
            errors += (x - units * self.unit).powi(2);
            self.sum += x;
            self.signed_sum += units;
        }
        self.error = errors.sqrt();
    }

    /// Readies it for the codes of a block, compared by squares.
    ///
    /// The query is cut off at the ends of the block, which brings it no farther from any row. So the distance of a row is at least that of the
    /// codes less what either is from its own.
    fn squares(&mut self, block: &Approximation) -> Bound {
        self.code.clear();
        self.code.resize(block.row_bytes, 0);
        let errors = encode(self.query, block.ends, block.step, &mut self.code).errors;
        let own = errors.sqrt() * (1.0 + rounding(block.dim)) + grain(block.ends, block.dim);
        Bound::Squares {
            dim: block.dim,
            error: own + block.error,
            step: f64::from(block.step),
        }
    }

    /// The bound of the products with the codes of a block.
    ///
    /// With `m` the middle of the levels, `q` the query, `u` the same in units, `c` a code and `x` a row, all but the first two terms of
    /// `q.x = m * sum(q) + unit * step * u.(c - m) + (q - unit * u).(step * (c - m)) + q.(x - code)` are at most the products of known lengths.
    fn products(&self, block: &Approximation) -> Bound {
        let (low, step) = (f64::from(block.ends[0]), f64::from(block.step));
        let middle = f64::from(TOP / 2.0);
        let largest = self.norm * block.norm;
        let rounded = (rounding(block.dim) + 1e-6) * (largest + 1.0);
        let one = if block.metric == Metric::Cosine {
            1.0
        } else {
            0.0
        };
        let known = (low + step * middle) * self.sum;
        let unknown = self.error * block.spread + self.norm * block.error + rounded;
        Bound::Products {
            least: one - known - unknown,
            unit: self.unit * step,
            shift: middle * self.signed_sum,
        }
    }
}

/// From a distance to the key of codes beyond which a row is farther.
#[derive(Copy, Clone)]
enum Bound {
    Squares {
        dim: usize,
        error: f64,
        step: f64,
    },
    /// A row whose code has the product `p` with the query in units is at least at `least - unit * (p - shift)`.
    Products {
        least: f64,
        unit: f64,
        shift: f64,
    },
}

impl Bound {
    /// A row whose key is larger is farther than `limit`.
    fn key(self, limit: f32) -> i32 {
        let limit = f64::from(limit);
        let key = match self {
            Self::Squares { dim, error, step } => {
                // Squares of tiny numbers vanish.
                let vanished = dim as f64 * 4.0 * f64::from(f32::MIN_POSITIVE);
                let reach = (limit * (1.0 + rounding(dim)) + vanished).max(0.0).sqrt() + error;
                (reach / step).powi(2)
            }
            Self::Products { least, unit, shift } => (limit - least) / unit - shift,
        };
        // Saturates.
        (key + 1.0) as i32
    }
}

/// What orders codes: smaller is nearer.
trait Keys: Copy {
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> i32;

    fn four<S: Simd>(self, simd: S, rows: [&[u8]; 4]) -> [i32; 4];
}

#[derive(Copy, Clone)]
struct Squares<'a>(&'a [u8]);

impl Keys for Squares<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> i32 {
        simd.l2_u8(self.0, row) as i32
    }

    #[inline(always)]
    fn four<S: Simd>(self, simd: S, rows: [&[u8]; 4]) -> [i32; 4] {
        let [a, b, c, d] = simd.l2_u8_four(self.0, rows);
        [a as i32, b as i32, c as i32, d as i32]
    }
}

#[derive(Copy, Clone)]
struct Products<'a>(&'a [i8]);

impl Keys for Products<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> i32 {
        -simd.dot_u8(self.0, row)
    }

    #[inline(always)]
    fn four<S: Simd>(self, simd: S, rows: [&[u8]; 4]) -> [i32; 4] {
        let [a, b, c, d] = simd.dot_u8_four(self.0, rows);
        [-a, -b, -c, -d]
    }
}

struct Scan<'a, K, A, D> {
    block: &'a Approximation,
    keys: K,
    bound: Bound,
    first: Offset,
    among: A,
    distance: D,
    top: &'a mut TopK,
}

impl<K: Keys, A: Fn(usize) -> u64, D: FnMut(usize) -> f32> Job for Scan<'_, K, A, D> {
    type Output = Scanned;

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> Scanned {
        /// From so many of 64 on, all are compared.
        const DENSE: u32 = 24;
        let size = self.block.row_bytes;
        let mut scanned = Scanned::default();
        let mut limit = self.top.limit();
        let mut most = self.bound.key(limit);
        let mut keys = [i32::MAX; 64];
        for (word_idx, rows) in self.block.codes.as_slice().chunks(64 * size).enumerate() {
            let n = rows.len() / size;
            let all = if n < 64 { (1 << n) - 1 } else { u64::MAX };
            let among = (self.among)(word_idx) & all;
            let count = among.count_ones();
            if count >= DENSE {
                self.compare_all(simd, rows, &mut keys);
            } else {
                for bit in Bits(among) {
                    let row = &rows[bit as usize * size..][..size];
                    keys[bit as usize] = self.keys.one(simd, row);
                }
            }
            scanned.approximate += u64::from(count);
            let mut near = 0u64;
            for (bit, &key) in keys.iter().enumerate() {
                near |= u64::from(key <= most) << bit;
            }
            for bit in Bits(near & among) {
                // Another may have come in between.
                if keys[bit as usize] > most {
                    continue;
                }
                let row = word_idx * 64 + bit as usize;
                let distance = (self.distance)(row);
                scanned.exact += 1;
                self.top.push(self.first + row as Offset, distance);
                if self.top.limit() != limit {
                    limit = self.top.limit();
                    most = self.bound.key(limit);
                }
            }
        }
        scanned
    }
}

impl<K: Keys, A, D> Scan<'_, K, A, D> {
    #[inline(always)]
    fn compare_all<S: Simd>(&self, simd: S, rows: &[u8], keys: &mut [i32; 64]) {
        let size = self.block.row_bytes;
        let n = rows.len() / size;
        for four in 0..n / 4 {
            let rows = &rows[four * 4 * size..][..4 * size];
            let (a, rest) = rows.split_at(size);
            let (b, rest) = rest.split_at(size);
            let (c, d) = rest.split_at(size);
            let sums = self.keys.four(simd, [a, b, c, d]);
            keys[four * 4..four * 4 + 4].copy_from_slice(&sums);
        }
        for row in n / 4 * 4..n {
            keys[row] = self.keys.one(simd, &rows[row * size..][..size]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::Random;
    use crate::{BitSet, BlockScan, Neighbor, SearchParams, Stats, scan};

    /// Rows of each block.
    const BLOCK: usize = 128;

    /// What a scan by blocks with approximations finds.
    fn by_blocks(
        metric: Metric,
        query: &[f32],
        rows: &[f32],
        params: &SearchParams<'_>,
    ) -> (Vec<Neighbor>, Stats) {
        let dim = query.len();
        let mut scan = BlockScan::new(metric, query, params);
        let source = crate::Rows::new(dim, rows.to_vec());
        for (at, block) in rows.chunks(BLOCK * dim).enumerate() {
            let made = Approximation::of(metric, dim, block.chunks_exact(dim));
            let first = (at * BLOCK) as Offset;
            match at % 3 {
                0 => scan.rows(first, block, made.as_ref()),
                1 => scan.source(first, block.len() / dim, &source, made.as_ref()),
                _ => scan.rows(first, block, made.as_ref()),
            }
        }
        let mut stats = Stats::default();
        let found = scan.finish(&mut stats);
        (found, stats)
    }

    fn numbers(dim: usize, n: usize) -> impl Strategy<Value = Vec<f32>> {
        let plain = prop::collection::vec(-1f32..1.0, n * dim);
        let few = prop::collection::vec((-3i8..3).prop_map(f32::from), n * dim);
        let scale = prop::sample::select(vec![1.0, 1e-30, 1e-22, 1e-3, 1e4, 1e15, 1e18, 3e37]);
        let shift = prop::sample::select(vec![0.0, 0.0, 1.0, -1000.0]);
        let odd = prop_oneof![3 => Just(1f32), 1 => Just(1e4), 1 => Just(1e-4)];
        (prop_oneof![2 => plain, 1 => few], scale, shift, odd).prop_map(
            move |(mut values, scale, shift, odd)| {
                for (at, x) in values.iter_mut().enumerate() {
                    let stretch = if at % dim == 1 { odd } else { 1.0 };
                    *x = (*x * stretch + shift) * scale;
                    if !x.is_finite() {
                        *x = 1.0;
                    }
                }
                values
            },
        )
    }

    fn cases() -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>)> {
        let shape = (64usize..200, 1usize..400);
        shape.prop_flat_map(|(dim, n)| (Just(dim), numbers(dim, n), numbers(dim, 1)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn finds_what_a_scan_of_all_numbers_finds(
            (dim, rows, other) in cases(),
            at in any::<prop::sample::Index>(),
            is_among in any::<bool>(),
            metric in prop::sample::select(vec![Metric::L2, Metric::Cosine, Metric::Dot]),
            k in prop::sample::select(vec![0, 1, 3, 10, 100, usize::MAX]),
            every in 0usize..9,
            near in prop::option::of(0usize..20),
        ) {
            let n = rows.len() / dim;
            let mut query = other;
            if is_among {
                query = rows[at.index(n) * dim..][..dim].to_vec();
            }
            let filter = BitSet::from_offsets(n, (0..n as Offset).step_by(every.max(1)));
            let mut params = SearchParams::new(k);
            params.filter = (every > 0).then_some(&filter);
            let all = scan(metric, &query, &rows, dim, &SearchParams::new(n), &mut Stats::default());
            params.max_distance = near.and_then(|near| all.get(near)).map(|near| near.distance);
            let wanted = scan(metric, &query, &rows, dim, &params, &mut Stats::default());
            let (found, _) = by_blocks(metric, &query, &rows, &params);
            prop_assert_eq!(found, wanted);
        }
    }

    /// Rows and queries right between two levels, all components to the same side: the codes are as wrong as they can be.
    #[test]
    fn the_rounding_of_codes_leaves_no_row_out() {
        const DIM: usize = 100;
        let check = |metric, query: f32, near: f32, far: f32| {
            // Levels are the whole numbers.
            let ends = [0.0, 255.0];
            let mut rows = Vec::new();
            rows.extend(
                [ends[0], ends[1], far]
                    .map(|x| [x; DIM])
                    .into_iter()
                    .cycle()
                    .take(BLOCK),
            );
            rows.extend([ends[0], ends[1], near].map(|x| [x; DIM]));
            let others = SearchParams {
                filter: Some(&BitSet::from_offsets(rows.len(), [2, BLOCK as Offset + 2])),
                ..SearchParams::new(1)
            };
            let (found, stats) = by_blocks(metric, &[query; DIM], rows.as_flattened(), &others);
            assert_eq!(
                found[0].offset,
                BLOCK as Offset + 2,
                "{metric} of {query}, {near}"
            );
            assert_eq!(stats.distance_calls - stats.visited, 1);
        };
        check(Metric::L2, 200.0, 10.49, 10.48);
        check(Metric::L2, 199.51, 10.0, 9.9);
        check(Metric::L2, 199.51, 10.49, 10.48);
        check(Metric::Dot, 1.0, 10.49, 10.48);
    }

    /// What it is for: nearly all rows are left out, also where the query is none of them.
    #[test]
    fn few_rows_are_read() {
        let check = |metric, dim: usize, shift: f32, most: u64| {
            let mut random = Random::new(7);
            let mut vector = || -> Vec<f32> {
                let mut vector: Vec<f32> = (0..dim).map(|_| random.signed_unit() + shift).collect();
                if metric == Metric::Cosine {
                    crate::normalize(&mut vector);
                }
                vector
            };
            let rows: Vec<f32> = (0..10_000).flat_map(|_| vector()).collect();
            let query = vector();
            let (_, stats) = by_blocks(metric, &query, &rows, &SearchParams::new(10));
            let exact = stats.distance_calls - stats.visited;
            assert!(
                exact <= most,
                "{metric} of dim {dim}: {exact} rows were read"
            );
        };
        check(Metric::L2, 64, 0.0, 300);
        check(Metric::L2, 128, 5.0, 400);
        check(Metric::Cosine, 384, 0.0, 600);
        check(Metric::Dot, 384, 0.0, 600);
    }

    #[test]
    fn what_is_no_number_has_no_approximation() {
        let of = |x: f32| {
            let row = [[0.0; 64], [x; 64]];
            Approximation::of(Metric::L2, 64, row.iter().map(|row| row.as_slice())).is_some()
        };
        assert!(of(1.0) && of(0.0) && of(1e-40) && of(-1e17));
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e19] {
            assert!(!of(x), "{x}");
        }
        let none: [&[f32]; 0] = [];
        assert!(Approximation::of(Metric::Dot, 64, none.into_iter()).is_none());
    }
}
