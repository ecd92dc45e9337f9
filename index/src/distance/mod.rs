//! Kernels: dot product, squared Euclidean, Manhattan and Chebyshev distance of `f32` vectors.
//!
//! [`scalar`](self) code defines the answers; one file per instruction set computes them faster, and [`kernels`] picks
//! the best set that this CPU has, once. Every kernel has two forms, [`Kernel::one`] for a pair of vectors and
//! [`Kernel::rows`] for one query against consecutive rows. Within one set both forms give the **same bits**, so an index
//! that follows pointers and a scan that runs over memory agree on every distance.
//!
//! Up to [`SHORT_DIM_MAX`] components, a sum is taken from left to right without fused operations, whatever the
//! instruction set: short vectors have the same distance on every machine. Beyond that, sets differ by rounding.
//! The Chebyshev distance does not round and is the same everywhere.
//!
//! NaN in any component gives NaN, for every kernel.

pub(crate) mod codes;
mod scalar;
mod short;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use std::fmt;
use std::sync::LazyLock;

pub use codes::instruction_set;
pub use short::SHORT_DIM_MAX;

/// One distance (or product) of `f32` vectors, in the fastest form that this CPU has.
pub struct Kernel {
    /// Safe to call if the CPU has the instruction set and the slices are of equal length.
    one: unsafe fn(&[f32], &[f32]) -> f32,
    /// As `one`; the second vector's components are little-endian bytes at any address.
    bytes: unsafe fn(&[f32], &[[u8; 4]]) -> f32,
    /// Safe to call if the CPU has the instruction set and the rows are `query.len() * out.len()` long.
    rows: unsafe fn(&[f32], &[f32], &mut [f32]),
}

impl Kernel {
    /// The value for two vectors `[dim]`; for `dim` 0 it is 0. Time O(dim).
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn one(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of different dim");
        // SAFETY: lengths are equal, and a `Kernel` of a set that this CPU lacks is not handed out by `Kernels`.
        unsafe { (self.one)(a, b) }
    }

    /// [`Kernel::one`] for a row whose components are little-endian bytes at any address, in a memory-mapped file say.
    /// The same bits. Time O(dim).
    ///
    /// - `row`: `[dim * 4]`.
    ///
    /// # Panics
    ///
    /// If the lengths do not fit.
    pub fn bytes(&self, query: &[f32], row: &[u8]) -> f32 {
        let (row, rest) = row.as_chunks::<4>();
        assert!(
            query.len() == row.len() && rest.is_empty(),
            "a row of another dim"
        );
        // SAFETY: as in `one`.
        unsafe { (self.bytes)(query, row) }
    }

    /// The values of a query `[dim]` with each of the consecutive rows `[n, dim]`, written to `out` `[n]`.
    ///
    /// `out[i]` has the bits of `one(query, row i)`. Time O(n * dim), near memory bandwidth.
    ///
    /// # Panics
    ///
    /// If `rows` is not `out.len()` rows of `query.len()` components.
    pub fn rows(&self, query: &[f32], rows: &[f32], out: &mut [f32]) {
        assert_eq!(
            Some(rows.len()),
            query.len().checked_mul(out.len()),
            "not {} rows of dim {}",
            out.len(),
            query.len()
        );
        // SAFETY: the rows are as long as asserted, and a `Kernel` of a set that this CPU lacks is not handed out.
        unsafe { (self.rows)(query, rows, out) }
    }
}

/// The kernels of one instruction set.
pub struct Kernels {
    /// `avx512`, `avx2` or `scalar`.
    pub name: &'static str,
    /// The sum of products.
    pub dot: Kernel,
    /// The sum of squared differences.
    pub l2: Kernel,
    /// The sum of absolute differences.
    pub l1: Kernel,
    /// The largest absolute difference.
    pub linf: Kernel,
}

impl Kernels {
    /// Those of every instruction set that this CPU has, the fastest first. The last are the scalar ones.
    pub fn available() -> Vec<&'static Self> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                available.push(&avx512::KERNELS);
            }
            if std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma")
            {
                available.push(&avx2::KERNELS);
            }
        }
        available.push(&scalar::KERNELS);
        available
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernels")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The fastest kernels that this CPU has, or those that `VECINO_SIMD` asks for, found on the first call.
pub fn kernels() -> &'static Kernels {
    static CHOSEN: LazyLock<&'static Kernels> = LazyLock::new(|| {
        let available = Kernels::available();
        let chosen = available
            .iter()
            .find(|kernels| codes::is_wanted(kernels.name));
        chosen.copied().unwrap_or(available[0])
    });
    &CHOSEN
}

/// The components as they lie in memory, little-endian as all platforms served are.
pub(crate) fn bytes_of(values: &[f32]) -> &[u8] {
    const { assert!(cfg!(target_endian = "little"), "rows are little-endian") };
    // SAFETY: every byte of an `f32` may be read, and no byte is outside the slice.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

#[cfg(test)]
mod tests;
