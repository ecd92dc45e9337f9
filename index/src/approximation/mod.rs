//! Vector approximations: bytes that tell which rows cannot be among the nearest, so that an exact scan reads a quarter of the memory.
//!
//! As in the VA-file (Weber, Schek and Blott, "A Quantitative Analysis and Performance Study for Similarity-Search Methods in High-Dimensional
//! Spaces", VLDB 1998), a row is first compared by its approximation, and its numbers are read only if they might matter. Here a component is one
//! of 256 levels between the ends of its block, and the bound is the triangle inequality: how far the query and the rows are from their own codes
//! is known, so what two codes differ by tells how near query and row are at most. A row is left out only if even that is too far, rounding
//! included: the answer is that of a scan of all numbers, with the same bits.

//!
//! - `probe`: the query's side, and the bound.
//! - `scan`: the loop over the codes of a block.

mod probe;
mod scan;

#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use probe::Probe;
use scan::{Products, Scan, Scanned, Squares};

use crate::TopK;
use crate::aligned::Aligned;
use crate::distance::codes::dispatch;
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
    /// O(n * dim), space [`Self::bytes`].
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
            error: root(most.errors + vanished(dim)) + grain([low, high], dim),
            norm: root(most.squares),
            spread: root(most.levels) * f64::from(step),
        })
    }

    /// Whether it is of so many such rows.
    pub(crate) fn is_of(&self, metric: Metric, dim: usize, rows: usize) -> bool {
        self.metric == metric && self.dim == dim && self.len() == rows
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

/// What rounding may add to a sum of products, as a share of the sum of their sizes: twice what it can be.
fn rounding(dim: usize) -> f64 {
    (dim as f64 + 8.0) * f64::from(f32::EPSILON)
}

/// What squares of numbers that are too small for them may have lacked in a sum of so many: twice what it can be.
fn vanished(dim: usize) -> f64 {
    dim as f64 * 4.0 * f64::from(f32::MIN_POSITIVE)
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
