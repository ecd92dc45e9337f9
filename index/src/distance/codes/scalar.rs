//! Kernels on codes without any instruction set of their own: what the others must agree with.

use half::f16;

use super::super::scalar;
use super::{LANES, Packed, Simd, TILE_ROWS};

/// Every CPU.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Scalar;

impl Scalar {
    #[inline(always)]
    pub(super) fn greater_scalar(self, a: &[i32; LANES], b: &[i32; LANES]) -> u32 {
        let bit = |lane: usize| u32::from(a[lane] > b[lane]) << lane;
        (0..LANES).map(bit).sum()
    }
}

impl Simd for Scalar {
    fn l2_u8(self, a: &[u8], b: &[u8]) -> u32 {
        let square = |(&a, &b): (&u8, &u8)| u32::from(a.abs_diff(b)).pow(2);
        a.iter().zip(b).map(square).sum()
    }

    fn dot_u8(self, query: &[i8], row: &[u8]) -> i32 {
        let product = |(&a, &b): (&i8, &u8)| i32::from(a) * i32::from(b);
        query.iter().zip(row).map(product).sum()
    }

    fn l2_u4(self, a: &[u8], b: &[u8]) -> u32 {
        let square = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
        let squares = |(&a, &b): (&u8, &u8)| square(a & 15, b & 15) + square(a >> 4, b >> 4);
        a.iter().zip(b).map(squares).sum()
    }

    fn dot_u4(self, low: &[i8], high: &[i8], row: &[u8]) -> i32 {
        let products = |((&low, &high), &row): ((&i8, &i8), &u8)| {
            i32::from(low) * i32::from(row & 15) + i32::from(high) * i32::from(row >> 4)
        };
        low.iter().zip(high).zip(row).map(products).sum()
    }

    #[inline(always)]
    fn hamming(self, a: &[u8], b: &[u8]) -> u32 {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
        let words = |(&a, &b): (&[u8; 8], &[u8; 8])| {
            (u64::from_le_bytes(a) ^ u64::from_le_bytes(b)).count_ones()
        };
        let bytes = |(&a, &b): (&u8, &u8)| (a ^ b).count_ones();
        // The shorter one ends the comparison, wherever its last whole word is.
        let rest: u32 = if a.len() == b.len() {
            a_rest.iter().zip(b_rest).map(bytes).sum()
        } else if a.len() < b.len() {
            a_rest.iter().zip(&b[a.len()]).map(bytes).sum()
        } else {
            a[b.len()].iter().zip(b_rest).map(bytes).sum()
        };
        a.iter().zip(b).map(words).sum::<u32>() + rest
    }

    fn l2_f16(self, query: &[f32], row: &[u8]) -> f32 {
        let square = |a: f32, b: f32| (a - b) * (a - b);
        sum_f16(query, row, square)
    }

    fn dot_f16(self, query: &[f32], row: &[u8]) -> f32 {
        sum_f16(query, row, |a, b| a * b)
    }

    fn l2_f32(self, query: &[f32], row: &[u8]) -> f32 {
        let (row, len) = common(query, row);
        scalar::l2_bytes(&query[..len], row)
    }

    fn dot_f32(self, query: &[f32], row: &[u8]) -> f32 {
        let (row, len) = common(query, row);
        scalar::dot_bytes(&query[..len], row)
    }

    fn tile(
        self,
        rows: [&[u8]; TILE_ROWS],
        norms: [u32; TILE_ROWS],
        packed: &Packed,
        out: &mut [u32],
    ) {
        let width = packed.width();
        for ((row, norm), out) in rows.iter().zip(norms).zip(out.chunks_mut(width)) {
            for (block_idx, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let (bytes, terms) = packed.block(block_idx);
                let mut products = [0i32; LANES];
                for (line, four) in bytes
                    .as_chunks::<{ LANES * 4 }>()
                    .0
                    .iter()
                    .zip(row.as_chunks::<4>().0)
                {
                    for lane in 0..LANES {
                        for i in 0..4 {
                            products[lane] +=
                                i32::from(four[i] as i8) * i32::from(line[lane * 4 + i]);
                        }
                    }
                }
                for lane in 0..LANES {
                    out[lane] = norm
                        .wrapping_add(terms[lane])
                        .wrapping_sub((products[lane] as u32).wrapping_mul(2));
                }
            }
        }
    }

    #[inline(always)]
    fn below(self, values: &[u32; LANES], limit: u32) -> u32 {
        let bit = |(lane, &value): (usize, &u32)| u32::from(value < limit) << lane;
        values.iter().enumerate().map(bit).sum()
    }
}

/// The components of a row, and how many it has in common with the query.
#[inline(always)]
pub(super) fn common<'a>(query: &[f32], row: &'a [u8]) -> (&'a [[u8; 4]], usize) {
    let row = row.as_chunks::<4>().0;
    let len = query.len().min(row.len());
    (&row[..len], len)
}

/// A sum in 16 partial ones.
fn sum_f16(query: &[f32], row: &[u8], term: impl Fn(f32, f32) -> f32) -> f32 {
    let row = row.as_chunks::<2>().0;
    let mut sums = [0.0; LANES];
    for (i, (&a, &b)) in query.iter().zip(row).enumerate() {
        sums[i % LANES] += term(a, f16::from_le_bytes(b).to_f32());
    }
    sums.iter().sum()
}
