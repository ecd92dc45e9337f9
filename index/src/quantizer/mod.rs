//! Vectors as codes: fewer bytes, faster distances, and the order of the neighbours nearly kept.
//!
//! A search compares codes and then the few rows that came out nearest in full ("re-rank"), so a code need not tell a
//! distance well, only which rows are worth a look. [`Quantizer`] is one way to write codes; [`Coding`] is a trained one
//! together with what makes its codes good: a [`Rotation`] of the space where a few dimensions outweigh the others, or a
//! wider quantizer where that does not help. [`train`] decides by measuring.
//!
//! | [`Encoding`] | bytes a component | distance of codes |
//! |---|---|---|
//! | `Sq8` | 1 | integers between the 0.05 % and 99.95 % quantiles of all components |
//! | `Sq4` | 1/2 | the same with 16 levels, between 0.5 % and 99.5 % |
//! | `F16` | 2 | half precision |
//! | `F32` | 4 | exact |
//! | `Binary` | 1/8 | Hamming distance of the signs around the mean |
//!
//! For L2 both sides are coded and compared by squared difference, which one range for all dimensions keeps in the scale
//! of the original. For cosine and dot the query keeps its own scale in signed bytes and is multiplied with the codes.

mod affine;
mod bits;
mod byte_codes;
mod float;
mod guard;
mod order;
mod rotation;
mod stored;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use bits::Bits;
pub(crate) use byte_codes::ByteCodes;
use float::Float;
pub(crate) use guard::suits;
pub use guard::{Guard, TrainParams, train};
pub use order::Prepared;
pub(crate) use order::{Order, OrderJob};
pub use rotation::Rotation;
pub use stored::CodingError;
pub(crate) use stored::DIM_MAX;

use crate::Metric;
use crate::aligned::Aligned;
use crate::distance::codes::{Job, Simd, dispatch};

/// How components are written.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 256 levels. The default: a quarter of the bytes of `F32`, and with twice `k` compared in full as near as it.
    #[default]
    Sq8,
    /// 16 levels.
    Sq4,
    /// Half precision.
    F16,
    /// As they are.
    F32,
    /// One bit.
    Binary,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sq8, Self::Sq4, Self::F16, Self::F32, Self::Binary];

    /// `sq8`, `sq4`, `f16`, `f32` or `binary`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sq8 => "sq8",
            Self::Sq4 => "sq4",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::Binary => "binary",
        }
    }

    /// The bytes of the code of a vector of `dim` components: a multiple of 64 unless it is shorter than that, so that rows touch few cache
    /// lines.
    pub fn row_bytes(self, dim: usize) -> usize {
        match self {
            Self::Sq8 => padded(dim),
            // Up to 64 components lie in low nibbles only.
            Self::Sq4 if dim <= 64 => padded(dim),
            Self::Sq4 => dim.div_ceil(affine::NIBBLE_BLOCK) * 64,
            Self::F16 => padded(dim * 2),
            Self::F32 => padded(dim * 4),
            Self::Binary => padded(dim.div_ceil(8)),
        }
    }

    /// Whether rows are coded so coarsely that the guard does not vouch for their order: whoever asks for it knows.
    pub(crate) fn is_coarse(self) -> bool {
        matches!(self, Self::Sq4 | Self::Binary)
    }

    /// How many candidates are compared in full for an answer of `k` after a scan. Of coarse codes more than after most walks: a scan comes where walks
    /// bring too little, and costs as much anyway.
    pub(crate) fn rerank_of_scan(self, k: usize) -> usize {
        let times = if self.is_coarse() { 4 } else { 1 };
        self.rerank(k).saturating_mul(times)
    }

    /// How many candidates are compared in full for an answer of `k`.
    ///
    /// SQ8 alone tops out at recall 0.984 on sentence embeddings, with twice `k` re-ranked it passes 0.99; coarser codes
    /// need more.
    pub fn rerank(self, k: usize) -> usize {
        match self {
            Self::F32 | Self::F16 => k.saturating_add(k / 4).saturating_add(4),
            Self::Sq8 => k.saturating_mul(2).max(k.saturating_add(10)),
            Self::Sq4 => k.saturating_mul(3).max(k.saturating_add(20)),
            Self::Binary => k.saturating_mul(10),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no [`Encoding`] has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no encoding {0:?}; ask for sq8, sq4, f16, f32 or binary")]
pub struct UnknownEncoding(pub String);

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    /// Reads what [`Encoding::name`] writes.
    fn from_str(name: &str) -> Result<Self, UnknownEncoding> {
        Self::ALL
            .into_iter()
            .find(|encoding| encoding.name() == name)
            .ok_or_else(|| UnknownEncoding(name.chars().take(40).collect()))
    }
}

/// One way to write vectors as codes. Trained, immutable, shared by threads.
pub trait Quantizer: Send + Sync + fmt::Debug {
    /// Which way.
    fn encoding(&self) -> Encoding;

    /// The number of components of a vector.
    fn dim(&self) -> usize;

    /// The bytes of a code.
    fn row_bytes(&self) -> usize {
        self.encoding().row_bytes(self.dim())
    }

    /// Writes the code of a vector `[dim]` to `code` `[row_bytes]`. Any numbers will do; those out of range saturate.
    fn encode(&self, vector: &[f32], code: &mut [u8]);

    /// Readies a query `[dim]` for comparing it with codes.
    fn prepare(&self, query: &[f32]) -> Prepared;

    /// Writes what was learned, for [`Coding::read`].
    fn write(&self, out: &mut Vec<u8>);
}

/// A trained quantizer, with the rotation that comes before it.
#[derive(Debug)]
pub struct Coding {
    metric: Metric,
    rotation: Option<Rotation>,
    quantizer: Box<dyn Quantizer>,
}

impl Coding {
    /// Which quantizer.
    pub fn encoding(&self) -> Encoding {
        self.quantizer.encoding()
    }

    /// By what distances it orders rows.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The number of components of a vector.
    pub fn dim(&self) -> usize {
        self.quantizer.dim()
    }

    /// The bytes of a code.
    pub fn row_bytes(&self) -> usize {
        self.quantizer.row_bytes()
    }

    /// Whether vectors are rotated before they are coded.
    pub fn is_rotated(&self) -> bool {
        self.rotation.is_some()
    }

    /// Writes the code of a vector `[dim]` to `code` `[row_bytes]`. Time O(dim), O(dim log dim) if rotated.
    pub fn encode(&self, vector: &[f32], code: &mut [u8]) {
        match &self.rotation {
            None => self.quantizer.encode(vector, code),
            Some(rotation) => self.quantizer.encode(&rotation.rotated(vector), code),
        }
    }

    /// Readies a query `[dim]`.
    pub(crate) fn prepare(&self, query: &[f32]) -> Prepared {
        match &self.rotation {
            None => self.quantizer.prepare(query),
            Some(rotation) => self.quantizer.prepare(&rotation.rotated(query)),
        }
    }

    /// Codes of many vectors, one after another: `[n, row_bytes]`.
    pub(crate) fn encode_all(&self, rows: &dyn RowSource) -> Aligned<u8> {
        use rayon::prelude::*;
        /// Rows of one task.
        const TASK: usize = 256;
        let row_bytes = self.row_bytes();
        let mut codes = Aligned::new(0, rows.len() * row_bytes);
        codes
            .as_mut_slice()
            .par_chunks_mut(TASK * row_bytes)
            .enumerate()
            .for_each(|(task, codes)| {
                let mut vector = vec![0.0; self.dim()];
                for (i, code) in codes.chunks_exact_mut(row_bytes).enumerate() {
                    read_row(rows, (task * TASK + i) as u32, &mut vector);
                    self.encode(&vector, code);
                }
            });
        codes
    }
}

/// Where the rows themselves are: a slice, a section of a mapped file. Asked for the few rows that are compared in full.
pub trait RowSource: Send + Sync {
    /// The number of rows.
    fn len(&self) -> usize;

    /// Whether there is no row.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of components of a row.
    fn dim(&self) -> usize;

    /// Row `offset`, below [`RowSource::len`], as little-endian `f32`: `[dim * 4]` bytes at any address.
    fn row(&self, offset: crate::Offset) -> &[u8];

    /// Tells that row `offset` will be read soon. A source that looks up where a row stands may fetch that; its numbers are asked for later.
    fn announce(&self, _offset: crate::Offset) {}
}

impl RowSource for crate::Rows {
    fn len(&self) -> usize {
        self.len()
    }

    fn dim(&self) -> usize {
        self.dim()
    }

    fn row(&self, offset: crate::Offset) -> &[u8] {
        crate::distance::bytes_of(self.row(offset))
    }
}

/// Copies a row out of its source. What it lacks stays 0.
pub(crate) fn read_row(rows: &dyn RowSource, offset: crate::Offset, vector: &mut [f32]) {
    let bytes = rows.row(offset).as_chunks::<4>().0;
    for (to, from) in vector.iter_mut().zip(bytes) {
        *to = f32::from_le_bytes(*from);
    }
}

/// A number of bytes that a row is given: whole cache lines, or a power of two below one.
pub(crate) fn padded(bytes: usize) -> usize {
    if bytes <= 32 {
        bytes.next_power_of_two().max(8)
    } else {
        bytes.next_multiple_of(64)
    }
}

/// Work that is compiled for the best instruction set but calls no kernel.
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnOnce() -> R> Job for Work<F> {
        type Output = R;

        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> R {
            (self.0)()
        }
    }
    dispatch(Work(work))
}
