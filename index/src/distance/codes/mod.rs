//! Kernels on codes: vectors written in 4 or 8 bits a component, in half precision, or in one bit.
//!
//! [`Simd`] lists them; one file per instruction set implements it, and [`Scalar`] defines the answers. A value of an
//! implementing type is the proof that this CPU has the instructions: it can be had only where they were detected, so
//! callers need no `unsafe`.
//!
//! A search calls a kernel every few nanoseconds, too often for a call through a pointer. So the whole loop around it is
//! a [`Job`], generic over [`Simd`], and [`dispatch`] runs it inside a function that is compiled for the best set of this
//! CPU: the kernels are inlined there. One decision per query.

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

pub(crate) use scalar::Scalar;

/// Rows that [`Simd::tile`] compares at once with packed rows.
pub(crate) const TILE_ROWS: usize = 4;
/// Packed rows that lie side by side.
pub(crate) const LANES: usize = 16;

/// The kernels of one instruction set.
///
/// Slices are compared over their common length, which is any; the sums below are exact as long as it is at most 66,050:
/// 65,536 components and what fills them up.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// The sum of squared differences of unsigned bytes.
    fn l2_u8(self, a: &[u8], b: &[u8]) -> u32;

    /// [`Simd::l2_u8`] of a query with four rows.
    #[inline(always)]
    fn l2_u8_four(self, query: &[u8], rows: [&[u8]; 4]) -> [u32; 4] {
        [
            self.l2_u8(query, rows[0]),
            self.l2_u8(query, rows[1]),
            self.l2_u8(query, rows[2]),
            self.l2_u8(query, rows[3]),
        ]
    }

    /// The sum of products of signed with unsigned bytes.
    fn dot_u8(self, query: &[i8], row: &[u8]) -> i32;

    /// [`Simd::dot_u8`] of a query with four rows.
    #[inline(always)]
    fn dot_u8_four(self, query: &[i8], rows: [&[u8]; 4]) -> [i32; 4] {
        [
            self.dot_u8(query, rows[0]),
            self.dot_u8(query, rows[1]),
            self.dot_u8(query, rows[2]),
            self.dot_u8(query, rows[3]),
        ]
    }

    /// The sum of squared differences of nibbles, two in a byte.
    fn l2_u4(self, a: &[u8], b: &[u8]) -> u32;

    /// The sum of products of signed bytes with nibbles: `low` with the low ones of the row's bytes, `high` with the others.
    fn dot_u4(self, low: &[i8], high: &[i8], row: &[u8]) -> i32;

    /// The number of bits that differ.
    fn hamming(self, a: &[u8], b: &[u8]) -> u32;

    /// The sum of squared differences of `f32` with little-endian half precision at any address.
    fn l2_f16(self, query: &[f32], row: &[u8]) -> f32;

    /// The sum of products of `f32` with little-endian half precision at any address.
    fn dot_f16(self, query: &[f32], row: &[u8]) -> f32;

    /// The sum of squared differences of `f32` with little-endian `f32` at any address.
    fn l2_f32(self, query: &[f32], row: &[u8]) -> f32;

    /// The sum of products of `f32` with little-endian `f32` at any address.
    fn dot_f32(self, query: &[f32], row: &[u8]) -> f32;

    /// The squared distances of [`TILE_ROWS`] rows of bytes from packed rows.
    ///
    /// - `rows`: of equal length, a multiple of 4, each byte with its highest bit flipped (`code - 128` as `i8`).
    /// - `norms`: the sums of the squares of the rows' codes.
    /// - `packed`: what [`Packed`] made of the others.
    /// - `out`: `[TILE_ROWS, packed.width()]`; what lies past [`Packed::len`] is [`u32::MAX`] or close to it.
    fn tile(
        self,
        rows: [&[u8]; TILE_ROWS],
        norms: [u32; TILE_ROWS],
        packed: &Packed,
        out: &mut [u32],
    );

    /// Which of 16 values are smaller than `limit`, low bit first.
    fn below(self, values: &[u32; LANES], limit: u32) -> u32;

    /// Which of 16 values of `a` are greater than those of `b`, low bit first.
    #[inline(always)]
    fn greater(self, a: &[i32; LANES], b: &[i32; LANES]) -> u32 {
        Scalar.greater_scalar(a, b)
    }
}

/// Rows of bytes laid out for [`Simd::tile`]: 16 rows side by side, of each 4 bytes in turn.
///
/// ```text
/// block of 16 rows: | row 0 bytes 0..4 | row 1 bytes 0..4 | .. | row 15 bytes 0..4 | row 0 bytes 4..8 | ..
/// ```
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    len: usize,
    row_bytes: usize,
    bytes: Vec<u8>,
    /// `sum(c^2) - 256 * sum(c)` of each row, wrapping: what a tile adds to `-2 *` the products with signed bytes.
    terms: Vec<u32>,
}

impl Packed {
    /// Packs `len` rows of equal length, a multiple of 4, with the sums of their codes and of their squares. The buffers of `self` are used again.
    pub(crate) fn fill<'a>(
        &mut self,
        row_bytes: usize,
        len: usize,
        row: impl Fn(usize) -> (&'a [u8], RowSums),
    ) {
        /// Rows asked for ahead.
        const AHEAD: usize = 6;
        assert!(
            row_bytes.is_multiple_of(4),
            "rows of {row_bytes} bytes are not packed"
        );
        self.len = len;
        self.row_bytes = row_bytes;
        // Rows past the last are 0: their products are too, whatever stood there before.
        self.bytes.clear();
        self.bytes
            .resize(self.len.div_ceil(LANES) * LANES * row_bytes, 0);
        self.terms.clear();
        for row_idx in 0..len {
            if row_idx + AHEAD < len {
                prefetch(row(row_idx + AHEAD).0);
            }
            let (codes, sums) = row(row_idx);
            let first = row_idx / LANES * LANES * row_bytes;
            let block = &mut self.bytes[first..first + LANES * row_bytes];
            let lane = row_idx % LANES;
            let lines = block.as_chunks_mut::<4>().0.chunks_exact_mut(LANES);
            for (line, four) in lines.zip(codes.as_chunks::<4>().0) {
                line[lane] = *four;
            }
            self.terms
                .push(sums.squares.wrapping_sub(sums.codes.wrapping_mul(256)));
        }
        // With products of 0 these stay far from rows of up to 33,025 components; of more they may look near, and are cut off with the rows that
        // there are not.
        self.terms
            .resize(self.len.next_multiple_of(LANES), i32::MAX as u32);
    }

    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The number of rows, those of no meaning at the end included: a multiple of 16.
    pub(crate) fn width(&self) -> usize {
        self.terms.len()
    }

    /// The bytes and terms of a block.
    #[inline(always)]
    fn block(&self, block: usize) -> (&[u8], &[u32; LANES]) {
        let size = LANES * self.row_bytes;
        (
            &self.bytes[block * size..(block + 1) * size],
            &self.terms.as_chunks::<LANES>().0[block],
        )
    }
}

/// The sums that a tile needs of a row of bytes.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowSums {
    pub(crate) codes: u32,
    pub(crate) squares: u32,
}

impl RowSums {
    pub(crate) fn of(row: &[u8]) -> Self {
        let add = |sums: Self, &code: &u8| Self {
            codes: sums.codes + u32::from(code),
            squares: sums.squares + u32::from(code) * u32::from(code),
        };
        row.iter().fold(Self::default(), add)
    }
}

/// Work that is compiled once per instruction set.
///
/// Implementations of [`Job::run`] must be `#[inline(always)]`, and so must all that they call between themselves and a
/// kernel: only what is inlined is compiled for the set.
pub(crate) trait Job {
    /// What comes of it.
    type Output;

    /// Does the work.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// An instruction set that this CPU has.
#[derive(Copy, Clone, Debug)]
pub(crate) enum InstructionSet {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    Scalar(Scalar),
}

/// Whether `VECINO_SIMD` asks for the instruction set of this name.
pub(super) fn is_wanted(name: &str) -> bool {
    std::env::var("VECINO_SIMD").is_ok_and(|wanted| wanted == name)
}

impl InstructionSet {
    /// Those that this CPU has, the fastest first.
    pub(crate) fn available() -> Vec<Self> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            available.extend(avx512::Avx512::detect().map(Self::Avx512));
            available.extend(avx2::Avx2::detect().map(Self::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        available.extend(neon::Neon::detect().map(Self::Neon));
        available.push(Self::Scalar(Scalar));
        available
    }

    /// The fastest. `VECINO_SIMD` set to `avx2` or `scalar` asks for that one, so that slower machines can be measured.
    pub(crate) fn fastest() -> Self {
        static FASTEST: LazyLock<InstructionSet> = LazyLock::new(|| {
            let available = InstructionSet::available();
            let chosen = available.iter().find(|set| is_wanted(set.name()));
            *chosen.unwrap_or(&available[0])
        });
        *FASTEST
    }

    /// `avx512`, `avx2`, `neon` or `scalar`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            Self::Scalar(_) => "scalar",
        }
    }

    /// Runs a job with this set.
    pub(crate) fn run<J: Job>(self, job: J) -> J::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.run(job),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.run(job),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => simd.run(job),
            Self::Scalar(simd) => job.run(simd),
        }
    }
}

/// Runs a job with the fastest instruction set of this CPU.
pub(crate) fn dispatch<J: Job>(job: J) -> J::Output {
    InstructionSet::fastest().run(job)
}

/// The name of the instruction set that searches on codes use: `avx512`, `avx2`, `neon` or `scalar`.
pub fn instruction_set() -> &'static str {
    InstructionSet::fastest().name()
}

/// Asks for values that will be read soon, so that several come from memory at the same time. Does nothing where there is no such instruction.
#[inline(always)]
pub fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..size_of_val(values).div_ceil(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let line = values.as_ptr().cast::<i8>().wrapping_add(line * 64);
        // SAFETY: SSE is part of x86-64, and a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}
