//! Kernels on codes with NEON, which every 64-bit ARM has.
//!
//! Compiled and checked by type; half precision and tiles take the scalar way, which the compiler vectorizes.

use std::arch::aarch64::*;

use super::{Job, LANES, Packed, Scalar, Simd, TILE_ROWS};

/// The proof that this CPU has the instructions.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Neon(());

impl Neon {
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    pub(super) fn run<J: Job>(self, job: J) -> J::Output {
        // NEON is part of the target: nothing has to be enabled.
        job.run(self)
    }
}

impl Simd for Neon {
    #[inline(always)]
    fn l2_u8(self, a: &[u8], b: &[u8]) -> u32 {
        // SAFETY: `self` exists only where the instructions were detected.
        unsafe { l2_u8(a, b) }
    }

    #[inline(always)]
    fn dot_u8(self, query: &[i8], row: &[u8]) -> i32 {
        // SAFETY: as above.
        unsafe { dot_u8(query, row) }
    }

    #[inline(always)]
    fn l2_u4(self, a: &[u8], b: &[u8]) -> u32 {
        // SAFETY: as above.
        unsafe { l2_u4(a, b) }
    }

    #[inline(always)]
    fn dot_u4(self, low: &[i8], high: &[i8], row: &[u8]) -> i32 {
        // SAFETY: as above.
        unsafe { dot_u4(low, high, row) }
    }

    #[inline(always)]
    fn hamming(self, a: &[u8], b: &[u8]) -> u32 {
        // SAFETY: as above.
        unsafe { hamming(a, b) }
    }

    #[inline(always)]
    fn l2_f16(self, query: &[f32], row: &[u8]) -> f32 {
        Scalar.l2_f16(query, row)
    }

    #[inline(always)]
    fn dot_f16(self, query: &[f32], row: &[u8]) -> f32 {
        Scalar.dot_f16(query, row)
    }

    #[inline(always)]
    fn l2_f32(self, query: &[f32], row: &[u8]) -> f32 {
        Scalar.l2_f32(query, row)
    }

    #[inline(always)]
    fn dot_f32(self, query: &[f32], row: &[u8]) -> f32 {
        Scalar.dot_f32(query, row)
    }

    #[inline(always)]
    fn tile(
        self,
        rows: [&[u8]; TILE_ROWS],
        norms: [u32; TILE_ROWS],
        packed: &Packed,
        out: &mut [u32],
    ) {
        Scalar.tile(rows, norms, packed, out);
    }

    #[inline(always)]
    fn below(self, values: &[u32; LANES], limit: u32) -> u32 {
        Scalar.below(values, limit)
    }
}

/// Splits what is compared into whole registers of 16 bytes and the rest.
#[inline(always)]
fn whole(a: usize, b: usize) -> (usize, usize) {
    let len = a.min(b);
    (len / 16 * 16, len)
}

#[inline]
#[target_feature(enable = "neon")]
fn l2_u8(a: &[u8], b: &[u8]) -> u32 {
    let (whole, len) = whole(a.len(), b.len());
    let mut sum = vdupq_n_u32(0);
    for at in (0..whole).step_by(16) {
        // SAFETY: 16 bytes of both from `at` lie below `whole`.
        let (a, b) = unsafe { (vld1q_u8(a.as_ptr().add(at)), vld1q_u8(b.as_ptr().add(at))) };
        let difference = vabdq_u8(a, b);
        let (low, high) = (vget_low_u8(difference), vget_high_u8(difference));
        sum = vpadalq_u16(sum, vmull_u8(low, low));
        sum = vpadalq_u16(sum, vmull_u8(high, high));
    }
    vaddvq_u32(sum) + Scalar.l2_u8(&a[whole..len], &b[whole..len])
}

#[inline]
#[target_feature(enable = "neon")]
fn dot_u8(query: &[i8], row: &[u8]) -> i32 {
    let (whole, len) = whole(query.len(), row.len());
    let mut sum = vdupq_n_s32(0);
    for at in (0..whole).step_by(16) {
        // SAFETY: 16 bytes of both from `at` lie below `whole`.
        let (q, row) = unsafe {
            (
                vld1q_s8(query.as_ptr().add(at)),
                vld1q_u8(row.as_ptr().add(at)),
            )
        };
        let row_low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(row)));
        let row_high = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(row)));
        let (low, high) = (vmovl_s8(vget_low_s8(q)), vmovl_s8(vget_high_s8(q)));
        sum = vmlal_s16(sum, vget_low_s16(low), vget_low_s16(row_low));
        sum = vmlal_s16(sum, vget_high_s16(low), vget_high_s16(row_low));
        sum = vmlal_s16(sum, vget_low_s16(high), vget_low_s16(row_high));
        sum = vmlal_s16(sum, vget_high_s16(high), vget_high_s16(row_high));
    }
    vaddvq_s32(sum) + Scalar.dot_u8(&query[whole..len], &row[whole..len])
}

#[inline]
#[target_feature(enable = "neon")]
fn l2_u4(a: &[u8], b: &[u8]) -> u32 {
    let (whole, len) = whole(a.len(), b.len());
    let nibble = vdupq_n_u8(15);
    let mut sum = vdupq_n_u32(0);
    for at in (0..whole).step_by(16) {
        // SAFETY: 16 bytes of both from `at` lie below `whole`.
        let (a, b) = unsafe { (vld1q_u8(a.as_ptr().add(at)), vld1q_u8(b.as_ptr().add(at))) };
        let low = vabdq_u8(vandq_u8(a, nibble), vandq_u8(b, nibble));
        let high = vabdq_u8(vshrq_n_u8::<4>(a), vshrq_n_u8::<4>(b));
        // At most 2 * 15 * 15 in a 16-bit sum.
        sum = vpadalq_u16(sum, vpaddlq_u8(vmulq_u8(low, low)));
        sum = vpadalq_u16(sum, vpaddlq_u8(vmulq_u8(high, high)));
    }
    vaddvq_u32(sum) + Scalar.l2_u4(&a[whole..len], &b[whole..len])
}

#[inline]
#[target_feature(enable = "neon")]
fn dot_u4(low: &[i8], high: &[i8], row: &[u8]) -> i32 {
    let (whole, len) = whole(low.len().min(high.len()), row.len());
    let nibble = vdupq_n_u8(15);
    let mut sum = vdupq_n_s32(0);
    for at in (0..whole).step_by(16) {
        // SAFETY: 16 bytes of all from `at` lie below `whole`.
        let (low, high, row) = unsafe {
            (
                vld1q_s8(low.as_ptr().add(at)),
                vld1q_s8(high.as_ptr().add(at)),
                vld1q_u8(row.as_ptr().add(at)),
            )
        };
        let row_low = vreinterpretq_s8_u8(vandq_u8(row, nibble));
        let row_high = vreinterpretq_s8_u8(vshrq_n_u8::<4>(row));
        sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(low), vget_low_s8(row_low)));
        sum = vpadalq_s16(sum, vmull_s8(vget_high_s8(low), vget_high_s8(row_low)));
        sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(high), vget_low_s8(row_high)));
        sum = vpadalq_s16(sum, vmull_s8(vget_high_s8(high), vget_high_s8(row_high)));
    }
    vaddvq_s32(sum) + Scalar.dot_u4(&low[whole..len], &high[whole..len], &row[whole..len])
}

#[inline]
#[target_feature(enable = "neon")]
fn hamming(a: &[u8], b: &[u8]) -> u32 {
    let (whole, len) = whole(a.len(), b.len());
    let mut sum = vdupq_n_u32(0);
    for at in (0..whole).step_by(16) {
        // SAFETY: 16 bytes of both from `at` lie below `whole`.
        let (a, b) = unsafe { (vld1q_u8(a.as_ptr().add(at)), vld1q_u8(b.as_ptr().add(at))) };
        sum = vpadalq_u16(sum, vpaddlq_u8(vcntq_u8(veorq_u8(a, b))));
    }
    vaddvq_u32(sum) + Scalar.hamming(&a[whole..len], &b[whole..len])
}
