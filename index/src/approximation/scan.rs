//! The loop over the codes of a block.

use super::Approximation;
use super::probe::Bound;
use crate::bitset::Bits;
use crate::codes::{FOLLOWED_FROM, PAGE};
use crate::distance::codes::{Job, Simd, prefetch};
use crate::{Offset, TopK};

/// What a scan of a block cost.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Scanned {
    /// Rows that were compared by their codes.
    pub(crate) approximate: u64,
    /// Rows of which the numbers were read.
    pub(crate) exact: u64,
}

/// What orders codes: smaller is nearer.
pub(super) trait Keys: Copy {
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> i32;

    fn four<S: Simd>(self, simd: S, rows: [&[u8]; 4]) -> [i32; 4];
}

#[derive(Copy, Clone)]
pub(super) struct Squares<'a>(pub &'a [u8]);

impl Keys for Squares<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> i32 {
        simd.l2_u8(self.0, row) as i32
    }

    #[inline(always)]
    fn four<S: Simd>(self, simd: S, rows: [&[u8]; 4]) -> [i32; 4] {
        let [a, b, c, d] = simd.l2_u8_four(self.0, rows);
        [a as i32, b as i32, c as i32, d as i32]
    }
}

#[derive(Copy, Clone)]
pub(super) struct Products<'a>(pub &'a [i8]);

impl Keys for Products<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> i32 {
        -simd.dot_u8(self.0, row)
    }

    #[inline(always)]
    fn four<S: Simd>(self, simd: S, rows: [&[u8]; 4]) -> [i32; 4] {
        let [a, b, c, d] = simd.dot_u8_four(self.0, rows);
        [-a, -b, -c, -d]
    }
}

/// A block to be scanned, see [`Approximation::scan`].
pub(super) struct Scan<'a, K, A, D> {
    pub block: &'a Approximation,
    pub keys: K,
    pub bound: Bound,
    pub first: Offset,
    pub among: A,
    pub distance: D,
    pub top: &'a mut TopK,
}

impl<K: Keys, A: Fn(usize) -> u64, D: FnMut(usize) -> f32> Job for Scan<'_, K, A, D> {
    type Output = Scanned;

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> Scanned {
        /// From so many of 64 on, all are compared.
        const DENSE: u32 = 24;
        let size = self.block.row_bytes;
        let mut scanned = Scanned::default();
        let mut limit = self.top.limit();
        let mut most = self.bound.key(limit);
        let mut keys = [i32::MAX; 64];
        for (word_idx, rows) in self.block.codes.as_slice().chunks(64 * size).enumerate() {
            let n = rows.len() / size;
            let all = if n < 64 { (1 << n) - 1 } else { u64::MAX };
            let among = (self.among)(word_idx) & all;
            let count = among.count_ones();
            if count >= DENSE {
                self.compare_all(simd, word_idx * 64 * size, n, &mut keys);
            } else {
                for bit in Bits(among) {
                    let row = &rows[bit as usize * size..][..size];
                    keys[bit as usize] = self.keys.one(simd, row);
                }
            }
            scanned.approximate += u64::from(count);
            let mut near = 0u64;
            for (bit, &key) in keys.iter().enumerate() {
                near |= u64::from(key <= most) << bit;
            }
            for bit in Bits(near & among) {
                // Another may have come in between.
                if keys[bit as usize] > most {
                    continue;
                }
                let row = word_idx * 64 + bit as usize;
                let distance = (self.distance)(row);
                scanned.exact += 1;
                self.top.push(self.first + row as Offset, distance);
                if self.top.limit() != limit {
                    limit = self.top.limit();
                    most = self.bound.key(limit);
                }
            }
        }
        scanned
    }
}

impl<K: Keys, A, D> Scan<'_, K, A, D> {
    /// The keys of `n` rows whose codes begin at byte `start`.
    #[inline(always)]
    fn compare_all<S: Simd>(&self, simd: S, start: usize, n: usize, keys: &mut [i32; 64]) {
        let size = self.block.row_bytes;
        let codes = self.block.codes.as_slice();
        let rows = &codes[start..start + n * size];
        for four in 0..n / 4 {
            if size <= FOLLOWED_FROM {
                let ahead = start + four * 4 * size + PAGE;
                prefetch(codes.get(ahead..ahead + 4 * size).unwrap_or_default());
            }
            let rows = &rows[four * 4 * size..][..4 * size];
            let (a, rest) = rows.split_at(size);
            let (b, rest) = rest.split_at(size);
            let (c, d) = rest.split_at(size);
            let sums = self.keys.four(simd, [a, b, c, d]);
            keys[four * 4..four * 4 + 4].copy_from_slice(&sums);
        }
        for row in n / 4 * 4..n {
            keys[row] = self.keys.one(simd, &rows[row * size..][..size]);
        }
    }
}
