//! One bit a component: on which side of the mean it lies.

use super::order::{Form, Prepared};
use super::{Encoding, Quantizer};

/// `Binary`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bits {
    /// The mean of every component; finite.
    pub(super) means: Vec<f32>,
}

impl Quantizer for Bits {
    fn encoding(&self) -> Encoding {
        Encoding::Binary
    }

    fn dim(&self) -> usize {
        self.means.len()
    }

    fn encode(&self, vector: &[f32], code: &mut [u8]) {
        code.fill(0);
        for (i, (x, mean)) in vector.iter().zip(&self.means).enumerate() {
            code[i / 8] |= u8::from(x > mean) << (i % 8);
        }
    }

    fn prepare(&self, query: &[f32]) -> Prepared {
        let mut code = vec![0; self.row_bytes()];
        self.encode(query, &mut code);
        Prepared(Form::Bits(code))
    }

    fn write(&self, out: &mut Vec<u8>) {
        for mean in &self.means {
            out.extend(mean.to_le_bytes());
        }
    }
}
