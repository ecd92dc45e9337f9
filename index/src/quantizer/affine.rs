//! 256 or 16 levels between two ends, the same for all dimensions.

use super::order::{Form, Prepared};
use super::{Encoding, Quantizer, vectorized};
use crate::Metric;

/// SQ8 and SQ4: a component is `low + step * code`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Affine {
    pub(super) metric: Metric,
    pub(super) dim: usize,
    pub(super) bits: Bits,
    /// Finite.
    pub(super) low: f32,
    /// Finite and larger than 0.
    pub(super) step: f32,
    /// For products: the largest length of a row, which turns products into distances that are not negative.
    pub(super) norm_max: f32,
}

/// Bits of a component.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    Four,
    Eight,
}

impl Bits {
    /// The largest code.
    fn top(self) -> f32 {
        match self {
            Self::Four => 15.0,
            Self::Eight => 255.0,
        }
    }

    /// The share of components that is cut off at either end.
    pub(super) fn cut(self) -> f64 {
        match self {
            Self::Four => 0.005,
            Self::Eight => 0.0005,
        }
    }
}

impl Affine {
    /// Levels from `low` to `high`; around zero if products are taken, so that the zero is a code.
    pub(super) fn between(
        metric: Metric,
        dim: usize,
        bits: Bits,
        [low, high]: [f32; 2],
        norm_max: f32,
    ) -> Self {
        let by_products = metric != Metric::L2;
        let (low, step) = if by_products && bits == Bits::Eight {
            let step = low.abs().max(high.abs()) / 127.0;
            (-128.0 * step, step)
        } else {
            (low, (high - low) / bits.top())
        };
        // All components equal: any step will do.
        let step = if step.is_normal() && step > 0.0 {
            step
        } else {
            (low.abs() / 128.0).max(f32::MIN_POSITIVE * 1e6)
        };
        Self {
            metric,
            dim,
            bits,
            low,
            step,
            norm_max,
        }
    }

    fn levels(&self, vector: &[f32], codes: &mut [u8]) {
        let (low, inverse, top) = (self.low, 1.0 / self.step, self.bits.top());
        vectorized(
            #[inline(always)]
            || {
                for (code, &x) in codes.iter_mut().zip(vector) {
                    *code = ((x - low) * inverse + 0.5).clamp(0.0, top) as u8;
                }
            },
        );
    }

    /// The query in signed bytes of its own scale, and what the products are subtracted from.
    fn signed(&self, query: &[f32]) -> (Vec<i8>, i32) {
        let largest = query.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        let step = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        let mut signed = vec![0i8; query.len()];
        vectorized(
            #[inline(always)]
            || {
                for (code, &x) in signed.iter_mut().zip(query) {
                    // Rounds by cutting off: shifted to numbers that are not negative.
                    let shifted = ((x / step).clamp(-127.0, 127.0) + 128.5) as u8;
                    *code = shifted.wrapping_sub(128) as i8;
                }
            },
        );
        let sum: i64 = signed.iter().map(|&q| i64::from(q)).sum();
        let squares: f64 = query.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let norms = f64::from(self.norm_max).powi(2) + squares;
        let unit = f64::from(step) * f64::from(self.step);
        // `q.b = unit * (products + low / step * sum)`, and half the squared distance is `norms / 2 - q.b`.
        let base = norms / 2.0 / unit - f64::from(self.low) / f64::from(self.step) * sum as f64;
        // Saturates: such a query is so long, or short, that its distances cannot be told apart anyway by the stop rule.
        (signed, base as i32)
    }
}

/// Components of a block, whose first half lies in the low nibbles of 64 bytes and whose second half in the high ones.
pub(super) const NIBBLE_BLOCK: usize = 128;

fn pack_nibbles(codes: &[u8], packed: &mut [u8]) {
    for (block, bytes) in codes.chunks(NIBBLE_BLOCK).zip(packed.chunks_mut(64)) {
        let (low, high) = block.split_at(block.len().min(64));
        for (byte, &code) in bytes.iter_mut().zip(low) {
            *byte = code;
        }
        for (byte, &code) in bytes.iter_mut().zip(high) {
            *byte |= code << 4;
        }
    }
}

impl Quantizer for Affine {
    fn encoding(&self) -> Encoding {
        match self.bits {
            Bits::Four => Encoding::Sq4,
            Bits::Eight => Encoding::Sq8,
        }
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn encode(&self, vector: &[f32], code: &mut [u8]) {
        code.fill(0);
        match self.bits {
            Bits::Eight => self.levels(vector, code),
            Bits::Four => {
                let mut levels = vec![0; self.dim];
                self.levels(vector, &mut levels);
                pack_nibbles(&levels, code);
            }
        }
    }

    fn prepare(&self, query: &[f32]) -> Prepared {
        let by_products = self.metric != Metric::L2;
        Prepared(match (self.bits, by_products) {
            (Bits::Eight, true) => {
                let (mut query, base) = self.signed(query);
                query.resize(self.row_bytes(), 0);
                Form::DotBytes { query, base }
            }
            (Bits::Four, true) => {
                let (query, base) = self.signed(query);
                let mut low = vec![0; self.row_bytes()];
                let mut high = vec![0; self.row_bytes()];
                for (at, block) in query.chunks(NIBBLE_BLOCK).enumerate() {
                    let (first, second) = block.split_at(block.len().min(64));
                    low[at * 64..at * 64 + first.len()].copy_from_slice(first);
                    high[at * 64..at * 64 + second.len()].copy_from_slice(second);
                }
                Form::DotNibbles { low, high, base }
            }
            (bits, false) => {
                let mut code = vec![0; self.row_bytes()];
                self.encode(query, &mut code);
                match bits {
                    Bits::Eight => Form::L2Bytes(code),
                    Bits::Four => Form::L2Nibbles(code),
                }
            }
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.low.to_le_bytes());
        out.extend(self.step.to_le_bytes());
        out.extend(self.norm_max.to_le_bytes());
    }
}
