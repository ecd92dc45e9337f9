//! Components as floating-point numbers, in full or in half precision.

use half::f16;

use super::order::{Form, Prepared};
use super::{Encoding, Quantizer};
use crate::Metric;

/// `F32` and `F16`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Float {
    pub(super) metric: Metric,
    pub(super) dim: usize,
    pub(super) half: bool,
    /// As in [`super::Affine`].
    pub(super) norm_max: f32,
}

impl Quantizer for Float {
    fn encoding(&self) -> Encoding {
        if self.half {
            Encoding::F16
        } else {
            Encoding::F32
        }
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn encode(&self, vector: &[f32], code: &mut [u8]) {
        code.fill(0);
        if self.half {
            for (bytes, &x) in code.as_chunks_mut::<2>().0.iter_mut().zip(vector) {
                // Half precision ends at 65,504: what is larger stays the largest.
                let x = x.clamp(f16::MIN.to_f32(), f16::MAX.to_f32());
                *bytes = f16::from_f32(x).to_le_bytes();
            }
        } else {
            for (bytes, &x) in code.as_chunks_mut::<4>().0.iter_mut().zip(vector) {
                *bytes = x.to_le_bytes();
            }
        }
    }

    fn prepare(&self, query: &[f32]) -> Prepared {
        let squares: f32 = query.iter().map(|x| x * x).sum();
        let base = ((self.norm_max * self.norm_max + squares) / 2.0).min(f32::MAX);
        let query = query.to_vec();
        Prepared(match (self.metric == Metric::L2, self.half) {
            (true, true) => Form::L2Halves(query),
            (true, false) => Form::L2Floats(query),
            (false, true) => Form::DotHalves { query, base },
            (false, false) => Form::DotFloats { query, base },
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.norm_max.to_le_bytes());
    }
}
