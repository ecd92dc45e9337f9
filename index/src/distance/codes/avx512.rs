//! Kernels on codes with AVX-512 (F, BW, VL and VNNI): Ice Lake, Zen 4 and later.
//!
//! `vpdpbusd` multiplies 64 unsigned with 64 signed bytes and adds fours of the products to 16 sums; `vpdpwssd` does so
//! with pairs of 16-bit numbers. What is left past the last 64 bytes is loaded under a mask, which reads zeros: they add
//! nothing.

use std::arch::x86_64::*;

use super::super::avx512;
use super::scalar::common;
use super::{Job, LANES, Packed, Scalar, Simd, TILE_ROWS};

/// The proof that this CPU has the instructions.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512vnni")
            && std::arch::is_x86_feature_detected!("popcnt");
        has.then_some(Self(()))
    }

    pub(super) fn run<J: Job>(self, job: J) -> J::Output {
        // SAFETY: `self` exists only where the instructions were detected.
        unsafe { run(self, job) }
    }
}

/// Makes a kernel of a trait's method: the call is safe because `self` is the proof that the instructions are there.
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

impl Simd for Avx512 {
    kernels! {
        l2_u8(a: &[u8], b: &[u8]) -> u32;
        l2_u8_four(query: &[u8], rows: [&[u8]; 4]) -> [u32; 4];
        dot_u8(query: &[i8], row: &[u8]) -> i32;
        dot_u8_four(query: &[i8], rows: [&[u8]; 4]) -> [i32; 4];
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

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn run<J: Job>(simd: Avx512, job: J) -> J::Output {
    job.run(simd)
}

/// The first `count` of 64 bits.
#[inline(always)]
fn first(count: usize) -> u64 {
    if count >= 64 {
        u64::MAX
    } else {
        (1 << count) - 1
    }
}

/// 64 bytes, those past `count` zero.
///
/// # Safety
///
/// `count` bytes can be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
unsafe fn load(bytes: *const u8, count: usize) -> __m512i {
    if count >= 64 {
        // SAFETY: 64 bytes can be read.
        unsafe { _mm512_loadu_si512(bytes.cast()) }
    } else {
        // SAFETY: a masked load does not touch what is masked.
        unsafe { _mm512_maskz_loadu_epi8(first(count), bytes.cast()) }
    }
}

/// Adds the squared differences of 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn add_squares(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // The absolute difference as 16-bit numbers; the order of the bytes does not matter.
    let difference = _mm512_or_si512(_mm512_subs_epu8(a, b), _mm512_subs_epu8(b, a));
    let low = _mm512_and_si512(difference, _mm512_set1_epi16(0xff));
    let high = _mm512_srli_epi16::<8>(difference);
    _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(sum, low, low), high, high)
}

/// The sums of the lanes of four registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn four_sums([a, b, c, d]: [__m512i; 4]) -> [i32; 4] {
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    let all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    let half = _mm256_add_epi32(
        _mm512_castsi512_si256(all),
        _mm512_extracti64x4_epi64::<1>(all),
    );
    let sums = _mm_add_epi32(
        _mm256_castsi256_si128(half),
        _mm256_extracti128_si256::<1>(half),
    );
    [
        _mm_extract_epi32::<0>(sums),
        _mm_extract_epi32::<1>(sums),
        _mm_extract_epi32::<2>(sums),
        _mm_extract_epi32::<3>(sums),
    ]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn l2_u8(a: &[u8], b: &[u8]) -> u32 {
    let len = a.len().min(b.len());
    let mut sums = [_mm512_setzero_si512(); 2];
    let mut at = 0;
    while at < len {
        // SAFETY: `len - at` bytes of both are left.
        let (a, b) = unsafe {
            (
                load(a.as_ptr().add(at), len - at),
                load(b.as_ptr().add(at), len - at),
            )
        };
        sums[at / 64 % 2] = add_squares(sums[at / 64 % 2], a, b);
        at += 64;
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1])) as u32
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn l2_u8_four(query: &[u8], rows: [&[u8]; 4]) -> [u32; 4] {
    let len = rows.iter().fold(query.len(), |len, row| len.min(row.len()));
    let mut sums = [_mm512_setzero_si512(); 4];
    let mut at = 0;
    while at < len {
        // SAFETY: `len - at` bytes of all are left.
        let q = unsafe { load(query.as_ptr().add(at), len - at) };
        for i in 0..4 {
            // SAFETY: as above.
            let row = unsafe { load(rows[i].as_ptr().add(at), len - at) };
            sums[i] = add_squares(sums[i], q, row);
        }
        at += 64;
    }
    four_sums(sums).map(|sum| sum as u32)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn dot_u8(query: &[i8], row: &[u8]) -> i32 {
    let len = query.len().min(row.len());
    let mut sums = [_mm512_setzero_si512(); 2];
    let mut at = 0;
    while at < len {
        // SAFETY: `len - at` bytes of both are left.
        let (q, row) = unsafe {
            (
                load(query.as_ptr().add(at).cast(), len - at),
                load(row.as_ptr().add(at), len - at),
            )
        };
        sums[at / 64 % 2] = _mm512_dpbusd_epi32(sums[at / 64 % 2], row, q);
        at += 64;
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn dot_u8_four(query: &[i8], rows: [&[u8]; 4]) -> [i32; 4] {
    let len = rows.iter().fold(query.len(), |len, row| len.min(row.len()));
    let mut sums = [_mm512_setzero_si512(); 4];
    let mut at = 0;
    while at < len {
        // SAFETY: `len - at` bytes of all are left.
        let q = unsafe { load(query.as_ptr().add(at).cast(), len - at) };
        for i in 0..4 {
            // SAFETY: as above.
            let row = unsafe { load(rows[i].as_ptr().add(at), len - at) };
            sums[i] = _mm512_dpbusd_epi32(sums[i], row, q);
        }
        at += 64;
    }
    four_sums(sums)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn l2_u4(a: &[u8], b: &[u8]) -> u32 {
    let len = a.len().min(b.len());
    let nibble = _mm512_set1_epi8(15);
    let mut sums = [_mm512_setzero_si512(); 2];
    let mut at = 0;
    while at < len {
        // SAFETY: `len - at` bytes of both are left.
        let (a, b) = unsafe {
            (
                load(a.as_ptr().add(at), len - at),
                load(b.as_ptr().add(at), len - at),
            )
        };
        let difference = |a: __m512i, b: __m512i| {
            _mm512_abs_epi8(_mm512_sub_epi8(
                _mm512_and_si512(a, nibble),
                _mm512_and_si512(b, nibble),
            ))
        };
        let low = difference(a, b);
        let high = difference(_mm512_srli_epi16::<4>(a), _mm512_srli_epi16::<4>(b));
        sums[0] = _mm512_dpbusd_epi32(sums[0], low, low);
        sums[1] = _mm512_dpbusd_epi32(sums[1], high, high);
        at += 64;
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1])) as u32
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn dot_u4(low: &[i8], high: &[i8], row: &[u8]) -> i32 {
    let len = low.len().min(high.len()).min(row.len());
    let nibble = _mm512_set1_epi8(15);
    let mut sums = [_mm512_setzero_si512(); 2];
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
        sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_and_si512(row, nibble), low);
        let row_high = _mm512_and_si512(_mm512_srli_epi16::<4>(row), nibble);
        sums[1] = _mm512_dpbusd_epi32(sums[1], row_high, high);
        at += 64;
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
}

/// One `popcnt` for 8 bytes: the byte counts of vectors (`VPOPCNTDQ`) are a set of their own, and codes of bits are short.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn hamming(a: &[u8], b: &[u8]) -> u32 {
    Scalar.hamming(a, b)
}

/// Defines a kernel of `f32` with half precision from its step.
macro_rules! half_precision {
    ($name:ident, $step:path) => {
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
        fn $name(query: &[f32], row: &[u8]) -> f32 {
            let len = query.len().min(row.len() / 2);
            let mut sums = [_mm512_setzero_ps(); 2];
            let mut at = 0;
            while at < len {
                let mask = first((len - at).min(16)) as u16;
                // SAFETY: the mask leaves what is left of both; a masked load does not touch the others.
                let (q, row) = unsafe {
                    (
                        _mm512_maskz_loadu_ps(mask, query.as_ptr().add(at)),
                        _mm256_maskz_loadu_epi16(mask, row.as_ptr().add(at * 2).cast()),
                    )
                };
                sums[at / 16 % 2] = $step(sums[at / 16 % 2], q, _mm512_cvtph_ps(row));
                at += 16;
            }
            _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]))
        }
    };
}

half_precision!(l2_f16, avx512::add_square);
half_precision!(dot_f16, avx512::add_product);

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn l2_f32(query: &[f32], row: &[u8]) -> f32 {
    let (row, len) = common(query, row);
    avx512::l2_bytes(&query[..len], row)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn dot_f32(query: &[f32], row: &[u8]) -> f32 {
    let (row, len) = common(query, row);
    avx512::dot_bytes(&query[..len], row)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn tile(rows: [&[u8]; TILE_ROWS], norms: [u32; TILE_ROWS], packed: &Packed, out: &mut [u32]) {
    let blocks = packed.width() / LANES;
    let whole = blocks / 4 * 4;
    for block in (0..whole).step_by(4) {
        tile_blocks::<4>(rows, norms, packed, block, out);
    }
    for block in whole..blocks {
        tile_blocks::<1>(rows, norms, packed, block, out);
    }
}

#[expect(
    clippy::needless_range_loop,
    reason = "adapters are not compiled for the instruction set"
)]
/// 4 rows with `N` blocks: `4 * N` sums stay in registers, each load serves 4 or `N` products.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn tile_blocks<const N: usize>(
    rows: [&[u8]; TILE_ROWS],
    norms: [u32; TILE_ROWS],
    packed: &Packed,
    block: usize,
    out: &mut [u32],
) {
    let (width, row_bytes) = (packed.width(), packed.row_bytes);
    let mut blocks = [packed.block(block); N];
    for i in 0..N {
        blocks[i] = packed.block(block + i);
    }
    for row in rows {
        assert!(row.len() >= row_bytes);
    }
    assert!(out.len() >= TILE_ROWS * width);
    let mut sums = [[_mm512_setzero_si512(); N]; TILE_ROWS];
    for four in 0..row_bytes / 4 {
        let mut lines = [_mm512_setzero_si512(); N];
        for i in 0..N {
            // SAFETY: a block has 64 bytes for each four bytes of a row.
            lines[i] = unsafe { _mm512_loadu_si512(blocks[i].0.as_ptr().add(four * 64).cast()) };
        }
        for r in 0..TILE_ROWS {
            // SAFETY: every row has `row_bytes`, as asserted.
            let row = unsafe {
                rows[r]
                    .as_ptr()
                    .add(four * 4)
                    .cast::<i32>()
                    .read_unaligned()
            };
            let row = _mm512_set1_epi32(row);
            for i in 0..N {
                sums[r][i] = _mm512_dpbusd_epi32(sums[r][i], lines[i], row);
            }
        }
    }
    for r in 0..TILE_ROWS {
        let norm = _mm512_set1_epi32(norms[r] as i32);
        for i in 0..N {
            // SAFETY: 16 terms.
            let terms = unsafe { _mm512_loadu_si512(blocks[i].1.as_ptr().cast()) };
            let products = _mm512_slli_epi32::<1>(sums[r][i]);
            let distances = _mm512_sub_epi32(_mm512_add_epi32(terms, norm), products);
            let at = r * width + (block + i) * LANES;
            // SAFETY: `out` has `TILE_ROWS` lines of `width`, as asserted, and block + i is one of `width / LANES`.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(at).cast(), distances) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn below(values: &[u32; LANES], limit: u32) -> u32 {
    // SAFETY: 16 values.
    let values = unsafe { _mm512_loadu_si512(values.as_ptr().cast()) };
    u32::from(_mm512_cmplt_epu32_mask(
        values,
        _mm512_set1_epi32(limit as i32),
    ))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
fn greater(a: &[i32; LANES], b: &[i32; LANES]) -> u32 {
    // SAFETY: 16 values each.
    let (a, b) = unsafe {
        (
            _mm512_loadu_si512(a.as_ptr().cast()),
            _mm512_loadu_si512(b.as_ptr().cast()),
        )
    };
    u32::from(_mm512_cmpgt_epi32_mask(a, b))
}
