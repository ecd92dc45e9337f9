//! Kernels with 16 lanes (AVX-512 F).
//!
//! A row runs in four partial sums of 16 lanes; four rows share each load of the query. That is 16 of the 32 registers,
//! and 16 additions in flight hide their latency. The last, incomplete 16 components are loaded under a mask, which
//! reads zeros past the end: they add nothing to any measure.

use std::arch::x86_64::*;

use super::short::{self, SHORT_DIM_MAX};
use super::{Kernel, Kernels};

pub(super) static KERNELS: Kernels = Kernels {
    name: "avx512",
    dot: Kernel {
        one: dot,
        bytes: dot_bytes,
        rows: dot_rows,
    },
    l2: Kernel {
        one: l2,
        bytes: l2_bytes,
        rows: l2_rows,
    },
    l1: Kernel {
        one: l1,
        bytes: l1_bytes,
        rows: l1_rows,
    },
    linf: Kernel {
        one: linf,
        bytes: linf_bytes,
        rows: linf_rows,
    },
};

const LANES: usize = 16;
/// Partial sums per row.
const PARTS: usize = 4;
/// Rows computed together.
const ROWS: usize = 4;

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn add_product(sum: __m512, a: __m512, b: __m512) -> __m512 {
    _mm512_fmadd_ps(a, b, sum)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn add_square(sum: __m512, a: __m512, b: __m512) -> __m512 {
    let difference = _mm512_sub_ps(a, b);
    _mm512_fmadd_ps(difference, difference, sum)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_absolute(sum: __m512, a: __m512, b: __m512) -> __m512 {
    _mm512_add_ps(sum, _mm512_abs_ps(_mm512_sub_ps(a, b)))
}

/// The larger by bit pattern, in which NaN is the largest of the numbers that are not negative.
#[inline]
#[target_feature(enable = "avx512f")]
fn larger(a: __m512, b: __m512) -> __m512 {
    _mm512_castsi512_ps(_mm512_max_epu32(
        _mm512_castps_si512(a),
        _mm512_castps_si512(b),
    ))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn larger_absolute(largest: __m512, a: __m512, b: __m512) -> __m512 {
    larger(largest, _mm512_abs_ps(_mm512_sub_ps(a, b)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sum_of(parts: [__m512; PARTS]) -> f32 {
    let [a, b, c, d] = parts;
    _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn largest_of(parts: [__m512; PARTS]) -> f32 {
    let [a, b, c, d] = parts;
    f32::from_bits(_mm512_reduce_max_epu32(_mm512_castps_si512(larger(
        larger(a, b),
        larger(c, d),
    ))))
}

/// Asks for what will be read one page after `values[at..at + len]`.
///
/// The processor's own prefetching follows long rows, but loses track of short ones that are read side by side: without
/// this, rows of 128 components are read at about 55 % of memory bandwidth, with it at 85 %.
#[inline]
#[target_feature(enable = "avx512f")]
fn prefetch(values: &[f32], at: usize, len: usize) {
    /// From so many components of all rows together on, the processor does as well alone.
    const LEN_MAX: usize = ROWS * 256;
    const LINE: usize = 64 / size_of::<f32>();
    const PAGE: usize = 4096 / size_of::<f32>();
    if len <= LEN_MAX {
        let page_after = values.as_ptr().wrapping_add(at + PAGE);
        for line in 0..len.div_ceil(LINE) {
            // Never faults, so the end of the rows needs no care.
            _mm_prefetch::<_MM_HINT_T0>(page_after.wrapping_add(line * LINE).cast());
        }
    }
}

/// Defines the two forms of a kernel from its step and its end.
macro_rules! kernel {
    ($one:ident, $bytes:ident, $rows:ident, $together:ident, $fold:ty, $step:ident, $end:ident) => {
        #[target_feature(enable = "avx512f")]
        fn $one(a: &[f32], b: &[f32]) -> f32 {
            if a.len() <= SHORT_DIM_MAX {
                short::one::<$fold, f32>(a, b)
            } else {
                assert!(b.len() >= a.len());
                // SAFETY: as many components as the query's can be read.
                unsafe { $together(a, [b.as_ptr()])[0] }
            }
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn $bytes(query: &[f32], row: &[[u8; 4]]) -> f32 {
            if query.len() <= SHORT_DIM_MAX {
                short::one::<$fold, [u8; 4]>(query, row)
            } else {
                assert!(row.len() >= query.len());
                // SAFETY: as many components as the query's can be read, at whatever address: every load is an unaligned one.
                unsafe { $together(query, [row.as_ptr().cast()])[0] }
            }
        }

        #[target_feature(enable = "avx512f")]
        fn $rows(query: &[f32], rows: &[f32], out: &mut [f32]) {
            if query.len() <= SHORT_DIM_MAX {
                return short::rows::<$fold>(query, rows, out);
            }
            let dim = query.len();
            let (groups, rest) = out.as_chunks_mut::<ROWS>();
            let (group_rows, rest_rows) = rows.split_at(groups.len() * ROWS * dim);
            // No closures and no adapters that take them: the standard library's are not compiled for this instruction set.
            for group in 0..groups.len() {
                prefetch(group_rows, group * ROWS * dim, ROWS * dim);
                let mut together = [query.as_ptr(); ROWS];
                for i in 0..ROWS {
                    let from = (group * ROWS + i) * dim;
                    together[i] = group_rows[from..from + dim].as_ptr();
                }
                // SAFETY: each pointer is to `dim` components.
                groups[group] = unsafe { $together(query, together) };
            }
            for (out, row) in rest.iter_mut().zip(rest_rows.chunks_exact(dim)) {
                // SAFETY: the row has `dim` components.
                *out = unsafe { $together(query, [row.as_ptr()])[0] };
            }
        }

        /// The values of the query with `N` rows.
        ///
        /// # Safety
        ///
        /// Each pointer is to as many components as the query has; it need not be aligned.
        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn $together<const N: usize>(query: &[f32], rows: [*const f32; N]) -> [f32; N] {
            let dim = query.len();
            let mut sums = [[_mm512_setzero_ps(); PARTS]; N];
            let mut at = 0;
            while at + PARTS * LANES <= dim {
                for part in 0..PARTS {
                    let from = at + part * LANES;
                    // SAFETY: 16 values from `from` lie below `at + PARTS * LANES`, so inside the query and every row.
                    let q = unsafe { _mm512_loadu_ps(query.as_ptr().add(from)) };
                    for i in 0..N {
                        // SAFETY: as above.
                        let row = unsafe { _mm512_loadu_ps(rows[i].add(from)) };
                        sums[i][part] = $step(sums[i][part], q, row);
                    }
                }
                at += PARTS * LANES;
            }
            for part in 0..PARTS {
                if at >= dim {
                    break;
                }
                let mask = if dim - at >= LANES {
                    __mmask16::MAX
                } else {
                    (1 << (dim - at)) - 1
                };
                // SAFETY: the mask leaves only values below `dim`; a masked load does not touch the others.
                let q = unsafe { _mm512_maskz_loadu_ps(mask, query.as_ptr().add(at)) };
                for i in 0..N {
                    // SAFETY: as above, and the row is at least as long as the query.
                    let row = unsafe { _mm512_maskz_loadu_ps(mask, rows[i].add(at)) };
                    sums[i][part] = $step(sums[i][part], q, row);
                }
                at += LANES;
            }
            let mut values = [0.0; N];
            for i in 0..N {
                values[i] = $end(sums[i]);
            }
            values
        }
    };
}

kernel!(
    dot,
    dot_bytes,
    dot_rows,
    dot_together,
    short::Dot,
    add_product,
    sum_of
);
kernel!(
    l2,
    l2_bytes,
    l2_rows,
    l2_together,
    short::L2,
    add_square,
    sum_of
);
kernel!(
    l1,
    l1_bytes,
    l1_rows,
    l1_together,
    short::L1,
    add_absolute,
    sum_of
);
kernel!(
    linf,
    linf_bytes,
    linf_rows,
    linf_together,
    short::LInf,
    larger_absolute,
    largest_of
);
