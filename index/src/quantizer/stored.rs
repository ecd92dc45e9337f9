//! A coding as bytes.
//!
//! ```text
//! version u8 | encoding u8 | metric u8 | rotated u8 | dim u32 | rotation seed u64 | the quantizer's numbers, f32
//! ```
//!
//! Little-endian. Affine codes: low, step, largest norm. Floats: largest norm. Bits: the means.

use thiserror::Error;

use super::affine::{self, Affine};
use super::{Bits, Coding, Encoding, Float, Quantizer, Rotation};
use crate::Metric;

const VERSION: u8 = 1;
/// The most components: with more, integer sums of byte products could overflow.
pub(crate) const DIM_MAX: usize = 65_536;
const METRICS: [Metric; 3] = [Metric::L2, Metric::Cosine, Metric::Dot];
const HEADER_BYTES: usize = 16;

/// Why bytes are no coding.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CodingError {
    /// Too few bytes, or too many.
    #[error("{got} bytes are no coding, {wanted} would be")]
    Length {
        /// How many there should be.
        wanted: usize,
        /// How many there are.
        got: usize,
    },
    /// A version, encoding, metric or flag that this program does not know.
    #[error("byte {at} of the coding is {value}: written by another version?")]
    Unknown {
        /// Which byte.
        at: usize,
        /// What it is.
        value: u8,
    },
    /// A dim of 0, too large, or not that of the rows.
    #[error("a coding of dim {0}, which its rows have not")]
    Dim(usize),
    /// A learned number that cannot be one.
    #[error("number {0} of the coding cannot be one: it is damaged")]
    Number(usize),
}

impl Coding {
    /// Writes everything needed to code and compare as this does; [`Coding::read`] reads it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let place = |all: &[Encoding]| all.iter().position(|&e| e == self.encoding());
        let metric = METRICS.iter().position(|&metric| metric == self.metric);
        out.push(VERSION);
        out.push(place(&Encoding::ALL).unwrap_or_default() as u8);
        out.push(metric.unwrap_or_default() as u8);
        out.push(u8::from(self.rotation.is_some()));
        out.extend((self.dim() as u32).to_le_bytes());
        out.extend(
            self.rotation
                .as_ref()
                .map_or(0, Rotation::seed)
                .to_le_bytes(),
        );
        self.quantizer.write(out);
    }

    /// Reads what [`Coding::write`] wrote of a coding of this `dim`. Takes no more memory than that asks for.
    ///
    /// # Errors
    ///
    /// [`CodingError`] for anything else.
    pub fn read(bytes: &[u8], dim: usize) -> Result<Self, CodingError> {
        let short = |wanted| CodingError::Length {
            wanted,
            got: bytes.len(),
        };
        let (header, numbers) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(short(HEADER_BYTES))?;
        let unknown = |at: usize| CodingError::Unknown {
            at,
            value: header[at],
        };
        if header[0] != VERSION {
            return Err(unknown(0));
        }
        let encoding = *Encoding::ALL
            .get(usize::from(header[1]))
            .ok_or(unknown(1))?;
        let metric = *METRICS.get(usize::from(header[2])).ok_or(unknown(2))?;
        if header[3] > 1 {
            return Err(unknown(3));
        }
        let [_, _, _, rotated, d0, d1, d2, d3, seed @ ..] = *header;
        if let (0, Some(at)) = (rotated, seed.iter().position(|&byte| byte != 0)) {
            return Err(unknown(HEADER_BYTES - seed.len() + at));
        }
        let got = u32::from_le_bytes([d0, d1, d2, d3]) as usize;
        if got == 0 || got > DIM_MAX || got != dim {
            return Err(CodingError::Dim(got));
        }
        let count = match encoding {
            Encoding::Sq8 | Encoding::Sq4 => 3,
            Encoding::F16 | Encoding::F32 => 1,
            Encoding::Binary => dim,
        };
        if numbers.len() != count * 4 {
            return Err(short(HEADER_BYTES + count * 4));
        }
        let numbers: Vec<f32> = numbers
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&number| f32::from_le_bytes(number))
            .collect();
        if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
            return Err(CodingError::Number(at));
        }
        Ok(Self {
            metric,
            rotation: (rotated == 1).then(|| Rotation::new(u64::from_le_bytes(seed), dim)),
            quantizer: quantizer(encoding, metric, dim, numbers)?,
        })
    }
}

/// The quantizer of checked, finite numbers.
fn quantizer(
    encoding: Encoding,
    metric: Metric,
    dim: usize,
    numbers: Vec<f32>,
) -> Result<Box<dyn Quantizer>, CodingError> {
    let norm = |at: usize| {
        if numbers[at] < 0.0 {
            Err(CodingError::Number(at))
        } else {
            Ok(numbers[at])
        }
    };
    let affine = |bits| -> Result<Box<dyn Quantizer>, CodingError> {
        if !(numbers[1].is_normal() && numbers[1] > 0.0) {
            return Err(CodingError::Number(1));
        }
        Ok(Box::new(Affine {
            metric,
            dim,
            bits,
            low: numbers[0],
            step: numbers[1],
            norm_max: norm(2)?,
        }))
    };
    let float = |half| -> Result<Box<dyn Quantizer>, CodingError> {
        Ok(Box::new(Float {
            metric,
            dim,
            half,
            norm_max: norm(0)?,
        }))
    };
    match encoding {
        Encoding::Sq8 => affine(affine::Bits::Eight),
        Encoding::Sq4 => affine(affine::Bits::Four),
        Encoding::F16 => float(true),
        Encoding::F32 => float(false),
        Encoding::Binary => Ok(Box::new(Bits { means: numbers })),
    }
}
