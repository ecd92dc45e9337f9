//! Kernels on codes with AVX2, FMA and F16C: every x86-64 server since 2013.
//!
//! Products of bytes are widened to 16 bits first, where `vpmaddwd` multiplies and adds pairs exactly. What is left past
//! the last whole register goes through a copy padded with zeros: they add nothing.

use std::arch::x86_64::*;

use super::super::avx2;
use super::scalar::common;
use super::{Job, LANES, Packed, Scalar, Simd, TILE_ROWS};

/// The proof that this CPU has the instructions.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("f16c")
            && std::arch::is_x86_feature_detected!("popcnt");
        has.then_some(Self(()))
    }

    pub(super) fn run<J: Job>(self, job: J) -> J::Output {
        // SAFETY: `self` exists only where the instructions were detected.
        unsafe { run(self, job) }
    }
}

/// As in `avx512`.
macro_rules! kernels {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        $(
            #[inline(always)]
            fn $name(self, $($arg: $type),*) -> $out {
                // SAFETY: `self` exists only where the instructions were detected.
                unsafe { $name($($arg),*) }
            }
        )*
    };
}

impl Simd for Avx2 {
    kernels! {
        l2_u8(a: &[u8], b: &[u8]) -> u32;
        dot_u8(query: &[i8], row: &[u8]) -> i32;
        l2_u4(a: &[u8], b: &[u8]) -> u32;
        dot_u4(low: &[i8], high: &[i8], row: &[u8]) -> i32;
        hamming(a: &[u8], b: &[u8]) -> u32;
        l2_f16(query: &[f32], row: &[u8]) -> f32;
        dot_f16(query: &[f32], row: &[u8]) -> f32;
        l2_f32(query: &[f32], row: &[u8]) -> f32;
        dot_f32(query: &[f32], row: &[u8]) -> f32;
        tile(rows: [&[u8]; TILE_ROWS], norms: [u32; TILE_ROWS], packed: &Packed, out: &mut [u32]) -> ();
        below(values: &[u32; LANES], limit: u32) -> u32;
        greater(a: &[i32; LANES], b: &[i32; LANES]) -> u32;
    }
}

#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn run<J: Job>(simd: Avx2, job: J) -> J::Output {
    job.run(simd)
}

/// 32 bytes, those past `count` zero.
///
/// # Safety
///
/// `count` bytes can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
unsafe fn load(bytes: *const u8, count: usize) -> __m256i {
    if count >= 32 {
        // SAFETY: 32 bytes can be read.
        unsafe { _mm256_loadu_si256(bytes.cast()) }
    } else {
        let mut padded = [0u8; 32];
        // SAFETY: `count` bytes can be read, and `padded` has room for them.
        unsafe { std::ptr::copy_nonoverlapping(bytes, padded.as_mut_ptr(), count) };
        // SAFETY: 32 bytes.
        unsafe { _mm256_loadu_si256(padded.as_ptr().cast()) }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn sum_of(sums: __m256i) -> i32 {
    let four = _mm_add_epi32(
        _mm256_castsi256_si128(sums),
        _mm256_extracti128_si256::<1>(sums),
    );
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
    let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two));
    _mm_cvtsi128_si32(one)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn l2_u8(a: &[u8], b: &[u8]) -> u32 {
    let len = a.len().min(b.len());
    let byte = _mm256_set1_epi16(0xff);
    let mut sums = [_mm256_setzero_si256(); 2];
    let mut at = 0;
    while at < len {
        // SAFETY: `len - at` bytes of both are left.
        let (a, b) = unsafe {
            (
                load(a.as_ptr().add(at), len - at),
                load(b.as_ptr().add(at), len - at),
            )
        };
        let difference = _mm256_or_si256(_mm256_subs_epu8(a, b), _mm256_subs_epu8(b, a));
        let low = _mm256_and_si256(difference, byte);
        let high = _mm256_srli_epi16::<8>(difference);
        sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(low, low));
        sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(high, high));
        at += 32;
    }
    sum_of(_mm256_add_epi32(sums[0], sums[1])) as u32
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn dot_u8(query: &[i8], row: &[u8]) -> i32 {
    let len = query.len().min(row.len());
    let byte = _mm256_set1_epi16(0xff);
    let mut sums = [_mm256_setzero_si256(); 2];
    let mut at = 0;
    while at < len {
        // SAFETY: `len - at` bytes of both are left.
        let (q, row) = unsafe {
            (
                load(query.as_ptr().add(at).cast(), len - at),
                load(row.as_ptr().add(at), len - at),
            )
        };
        let even = _mm256_madd_epi16(
            _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(q)),
            _mm256_and_si256(row, byte),
        );
        let odd = _mm256_madd_epi16(_mm256_srai_epi16::<8>(q), _mm256_srli_epi16::<8>(row));
        sums[0] = _mm256_add_epi32(sums[0], even);
        sums[1] = _mm256_add_epi32(sums[1], odd);
        at += 32;
    }
    sum_of(_mm256_add_epi32(sums[0], sums[1]))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn l2_u4(a: &[u8], b: &[u8]) -> u32 {
    let len = a.len().min(b.len());
    let (nibble, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
    let mut sum = _mm256_setzero_si256();
    let mut at = 0;
    while at < len {
        // SAFETY: `len - at` bytes of both are left.
        let (a, b) = unsafe {
            (
                load(a.as_ptr().add(at), len - at),
                load(b.as_ptr().add(at), len - at),
            )
        };
        let difference = |a: __m256i, b: __m256i| {
            _mm256_abs_epi8(_mm256_sub_epi8(
                _mm256_and_si256(a, nibble),
                _mm256_and_si256(b, nibble),
            ))
        };
        let low = difference(a, b);
        let high = difference(_mm256_srli_epi16::<4>(a), _mm256_srli_epi16::<4>(b));
        // At most 4 * 15 * 15: no 16-bit sum overflows.
        let squares = _mm256_add_epi16(
            _mm256_maddubs_epi16(low, low),
            _mm256_maddubs_epi16(high, high),
        );
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(squares, ones));
        at += 32;
    }
    sum_of(sum) as u32
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn dot_u4(low: &[i8], high: &[i8], row: &[u8]) -> i32 {
    let len = low.len().min(high.len()).min(row.len());
    let (nibble, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
    let mut sum = _mm256_setzero_si256();
    let mut at = 0;
    while at < len {
        // SAFETY: `len - at` bytes of all are left.
        let (low, high, row) = unsafe {
            (
                load(low.as_ptr().add(at).cast(), len - at),
                load(high.as_ptr().add(at).cast(), len - at),
                load(row.as_ptr().add(at), len - at),
            )
        };
        // At most 4 * 15 * 128: no 16-bit sum overflows.
        let products = _mm256_add_epi16(
            _mm256_maddubs_epi16(_mm256_and_si256(row, nibble), low),
            _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16::<4>(row), nibble), high),
        );
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(products, ones));
        at += 32;
    }
    sum_of(sum)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn hamming(a: &[u8], b: &[u8]) -> u32 {
    Scalar.hamming(a, b)
}

/// 8 numbers of each, those past `count` zero.
///
/// # Safety
///
/// `count` numbers of both can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
unsafe fn load_halves(query: *const f32, row: *const u8, count: usize) -> (__m256, __m256) {
    if count >= 8 {
        // SAFETY: 8 numbers of both can be read.
        unsafe {
            (
                _mm256_loadu_ps(query),
                _mm256_cvtph_ps(_mm_loadu_si128(row.cast())),
            )
        }
    } else {
        let (mut q, mut r) = ([0f32; 8], [0u8; 16]);
        // SAFETY: `count` numbers of both can be read, the arrays have room for 8.
        unsafe {
            std::ptr::copy_nonoverlapping(query, q.as_mut_ptr(), count);
            std::ptr::copy_nonoverlapping(row, r.as_mut_ptr(), count * 2);
            (
                _mm256_loadu_ps(q.as_ptr()),
                _mm256_cvtph_ps(_mm_loadu_si128(r.as_ptr().cast())),
            )
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn sum_of_floats(sums: __m256) -> f32 {
    let four = _mm_add_ps(
        _mm256_castps256_ps128(sums),
        _mm256_extractf128_ps::<1>(sums),
    );
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn l2_f16(query: &[f32], row: &[u8]) -> f32 {
    let len = query.len().min(row.len() / 2);
    let mut sums = [_mm256_setzero_ps(); 2];
    for at in (0..len).step_by(8) {
        // SAFETY: `len - at` numbers of both are left.
        let (q, row) =
            unsafe { load_halves(query.as_ptr().add(at), row.as_ptr().add(at * 2), len - at) };
        let difference = _mm256_sub_ps(q, row);
        sums[at / 8 % 2] = _mm256_fmadd_ps(difference, difference, sums[at / 8 % 2]);
    }
    sum_of_floats(_mm256_add_ps(sums[0], sums[1]))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn dot_f16(query: &[f32], row: &[u8]) -> f32 {
    let len = query.len().min(row.len() / 2);
    let mut sums = [_mm256_setzero_ps(); 2];
    for at in (0..len).step_by(8) {
        // SAFETY: `len - at` numbers of both are left.
        let (q, row) =
            unsafe { load_halves(query.as_ptr().add(at), row.as_ptr().add(at * 2), len - at) };
        sums[at / 8 % 2] = _mm256_fmadd_ps(q, row, sums[at / 8 % 2]);
    }
    sum_of_floats(_mm256_add_ps(sums[0], sums[1]))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn l2_f32(query: &[f32], row: &[u8]) -> f32 {
    let (row, len) = common(query, row);
    avx2::l2_bytes(&query[..len], row)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn dot_f32(query: &[f32], row: &[u8]) -> f32 {
    let (row, len) = common(query, row);
    avx2::dot_bytes(&query[..len], row)
}

#[expect(
    clippy::needless_range_loop,
    reason = "adapters are not compiled for the instruction set"
)]
/// Two rows with a block: 8 sums in registers. A block's line of 64 bytes becomes four registers of 16-bit numbers, each
/// of four packed rows; a row's four bytes are multiplied with all of them.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn tile(rows: [&[u8]; TILE_ROWS], norms: [u32; TILE_ROWS], packed: &Packed, out: &mut [u32]) {
    let (width, row_bytes) = (packed.width(), packed.row_bytes);
    for row in rows {
        assert!(row.len() >= row_bytes);
    }
    assert!(out.len() >= TILE_ROWS * width);
    for block in 0..width / LANES {
        let (bytes, terms) = packed.block(block);
        for pair in [0, 2] {
            let mut sums = [[_mm256_setzero_si256(); 4]; 2];
            for four in 0..row_bytes / 4 {
                let mut fours = [_mm256_setzero_si256(); 2];
                for r in 0..2 {
                    // SAFETY: every row has `row_bytes`, as asserted.
                    let row = unsafe {
                        rows[pair + r]
                            .as_ptr()
                            .add(four * 4)
                            .cast::<i32>()
                            .read_unaligned()
                    };
                    fours[r] = _mm256_cvtepi8_epi16(_mm_set1_epi32(row));
                }
                for part in 0..4 {
                    // SAFETY: a block has 64 bytes for each four bytes of a row.
                    let line = unsafe {
                        _mm_loadu_si128(bytes.as_ptr().add(four * 64 + part * 16).cast())
                    };
                    let line = _mm256_cvtepu8_epi16(line);
                    for r in 0..2 {
                        sums[r][part] =
                            _mm256_add_epi32(sums[r][part], _mm256_madd_epi16(line, fours[r]));
                    }
                }
            }
            for r in 0..2 {
                let out = &mut out[(pair + r) * width + block * LANES..][..LANES];
                for part in 0..4 {
                    let mut pairs = [0i32; 8];
                    // SAFETY: 8 numbers.
                    unsafe { _mm256_storeu_si256(pairs.as_mut_ptr().cast(), sums[r][part]) };
                    for i in 0..4 {
                        let products = (pairs[2 * i] as u32).wrapping_add(pairs[2 * i + 1] as u32);
                        out[part * 4 + i] = norms[pair + r]
                            .wrapping_add(terms[part * 4 + i])
                            .wrapping_sub(products.wrapping_mul(2));
                    }
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn below(values: &[u32; LANES], limit: u32) -> u32 {
    // There is no comparison of unsigned numbers: with the highest bit flipped, signed ones sort alike.
    let flip = _mm256_set1_epi32(i32::MIN);
    let limit = _mm256_xor_si256(_mm256_set1_epi32(limit as i32), flip);
    let mut mask = 0;
    for half in 0..2 {
        // SAFETY: 8 of 16 values.
        let values = unsafe { _mm256_loadu_si256(values.as_ptr().add(half * 8).cast()) };
        let smaller = _mm256_cmpgt_epi32(limit, _mm256_xor_si256(values, flip));
        mask |= (_mm256_movemask_ps(_mm256_castsi256_ps(smaller)) as u32) << (half * 8);
    }
    mask
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn greater(a: &[i32; LANES], b: &[i32; LANES]) -> u32 {
    let mut mask = 0;
    for half in 0..2 {
        // SAFETY: 8 of 16 values each.
        let (a, b) = unsafe {
            (
                _mm256_loadu_si256(a.as_ptr().add(half * 8).cast()),
                _mm256_loadu_si256(b.as_ptr().add(half * 8).cast()),
            )
        };
        let greater = _mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b));
        mask |= (_mm256_movemask_ps(greater) as u32) << (half * 8);
    }
    mask
}
