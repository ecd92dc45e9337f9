//! What a graph is built from: codes of 8 bits a component, compared by squared difference.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::codes::{CodesView, nearest_codes};
use crate::distance::codes::{Job, LANES, RowSums, Simd, dispatch};
use crate::quantizer::{ByteCodes, Prepared, RowSource, read_row, vectorized};
use crate::random::Random;
use crate::{Codes, Encoding, IsCancelled, Metric, Offset};

/// Planes that tell directions apart, at most 16.
const PLANES: usize = 12;

/// Codes to build from, with the sums that tiles need, and whether the graph is wanted any more.
pub(in crate::graph) struct Material<'a> {
    is_cancelled: IsCancelled<'a>,
    codes: Cow<'a, [u8]>,
    owned: Option<Aligned<u8>>,
    row_bytes: usize,
    sums: Vec<RowSums>,
}

impl<'a> Material<'a> {
    /// The codes themselves if they serve, else codes made for building.
    ///
    /// For dot products, rows get components that bring them all to the same length: then the nearest by angle and by
    /// difference are the same, and a query with zeros there sees the order of its products (Bachrach et al., "Speeding up
    /// the Xbox recommender system", RecSys 2014).
    pub(in crate::graph) fn new(
        codes: &'a Codes,
        rows: &dyn RowSource,
        is_cancelled: IsCancelled<'a>,
    ) -> Self {
        let coding = codes.coding();
        let (borrowed, owned, row_bytes) =
            if coding.encoding() == Encoding::Sq8 && coding.metric() != Metric::Dot {
                (codes.as_bytes(), None, coding.row_bytes())
            } else {
                let made = ByteCodes::learn(coding, rows);
                let row_bytes = made.row_bytes();
                (&[][..], Some(encode(&made, rows)), row_bytes)
            };
        let bytes = owned.as_ref().map_or(borrowed, Aligned::as_slice);
        let sums = bytes
            .par_chunks_exact(row_bytes)
            .with_min_len(1024)
            .map(|row| vectorized(|| RowSums::of(row)))
            .collect();
        Self {
            is_cancelled,
            codes: Cow::Borrowed(borrowed),
            owned,
            row_bytes,
            sums,
        }
    }

    /// Whether the work may stop, whatever is made of it then.
    pub(in crate::graph) fn is_cancelled(&self) -> bool {
        (self.is_cancelled)()
    }

    pub(in crate::graph) fn len(&self) -> usize {
        self.sums.len()
    }

    pub(in crate::graph) fn codes(&self) -> CodesView<'_> {
        CodesView {
            bytes: self.owned.as_ref().map_or(&*self.codes, Aligned::as_slice),
            row_bytes: self.row_bytes,
        }
    }

    pub(super) fn sums(&self, offset: Offset) -> RowSums {
        self.sums[offset as usize]
    }

    /// Where each row lies along random directions, in whole numbers: the signs of differences tell directions apart.
    pub(super) fn sketches(&self, random: &mut Random) -> Vec<[i32; LANES]> {
        let planes: Vec<Vec<i8>> = (0..PLANES)
            .map(|_| {
                (0..self.row_bytes)
                    .map(|_| (random.next() >> 58) as i8 - 32)
                    .collect()
            })
            .collect();
        self.codes()
            .bytes
            .par_chunks(256 * self.row_bytes)
            .flat_map_iter(|rows| {
                dispatch(Sketch {
                    rows,
                    row_bytes: self.row_bytes,
                    planes: &planes,
                })
            })
            .collect()
    }

    /// The one of these rows that is nearest to the mean of all rows; row 0 if there are none.
    pub(in crate::graph) fn medoid(&self, among: &[Offset]) -> Offset {
        let codes = self.codes();
        let step = (self.len() / 100_000).max(1);
        let mut sums = vec![0u64; self.row_bytes];
        for row in codes.bytes.chunks_exact(self.row_bytes).step_by(step) {
            for (sum, &code) in sums.iter_mut().zip(row) {
                *sum += u64::from(code);
            }
        }
        let count = self.len().div_ceil(step).max(1) as u64;
        let mean: Vec<u8> = sums
            .iter()
            .map(|sum| ((sum + count / 2) / count) as u8)
            .collect();
        let mean = Prepared::bytes(mean);
        let nearest = nearest_codes(&mean, codes, among, 1);
        nearest.iter().next().map_or(0, |(offset, _)| offset)
    }
}

fn encode(made: &ByteCodes, rows: &dyn RowSource) -> Aligned<u8> {
    let row_bytes = made.row_bytes();
    let mut codes = Aligned::new(0, rows.len() * row_bytes);
    codes
        .as_mut_slice()
        .par_chunks_mut(256 * row_bytes)
        .enumerate()
        .for_each(|(task, codes)| {
            let mut vector = vec![0.0; rows.dim()];
            for (i, code) in codes.chunks_exact_mut(row_bytes).enumerate() {
                read_row(rows, (task * 256 + i) as Offset, &mut vector);
                made.encode(&vector, code);
            }
        });
    codes
}

struct Sketch<'a> {
    rows: &'a [u8],
    row_bytes: usize,
    planes: &'a [Vec<i8>],
}

impl Job for Sketch<'_> {
    type Output = Vec<[i32; LANES]>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<[i32; LANES]> {
        let mut sketches = Vec::with_capacity(self.rows.len() / self.row_bytes);
        for row in self.rows.chunks_exact(self.row_bytes) {
            let mut sketch = [0; LANES];
            for (value, plane) in sketch.iter_mut().zip(self.planes) {
                *value = simd.dot_u8(plane, row);
            }
            sketches.push(sketch);
        }
        sketches
    }
}
