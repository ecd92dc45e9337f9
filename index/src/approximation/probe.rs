//! The query's side of a comparison with approximations, and the bound that follows from it.

use super::{Approximation, TOP, encode, grain, rounding, vanished};
use crate::Metric;

/// A query, as approximations are compared with it.
pub(crate) struct Probe<'q> {
    query: &'q [f32],
    /// For squares: the levels of the query, cut off at the ends of the block.
    pub(super) code: Vec<u8>,
    /// For products: the query in units.
    pub(super) signed: Vec<i8>,
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
    pub(super) fn squares(&mut self, block: &Approximation) -> Bound {
        self.code.clear();
        self.code.resize(block.row_bytes, 0);
        let errors = encode(self.query, block.ends, block.step, &mut self.code).errors;
        let own = (errors + vanished(block.dim)).sqrt() * (1.0 + rounding(block.dim))
            + grain(block.ends, block.dim);
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
    pub(super) fn products(&self, block: &Approximation) -> Bound {
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
pub(super) enum Bound {
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
    pub(super) fn key(self, limit: f32) -> i32 {
        let limit = f64::from(limit);
        let key = match self {
            Self::Squares { dim, error, step } => {
                let reach = limit * (1.0 + rounding(dim)) + vanished(dim);
                let reach = reach.max(0.0).sqrt() + error;
                (reach / step).powi(2)
            }
            Self::Products { least, unit, shift } => (limit - least) / unit - shift,
        };
        // Saturates.
        (key + 1.0) as i32
    }
}
