//! Compares all pairs of a leaf.

use rayon::prelude::*;

use super::reservoir::{Proposal, Reservoirs};
use super::{BuildParams, Material};
use crate::Offset;
use crate::distance::codes::{Job, LANES, Packed, Simd, TILE_ROWS, dispatch};

/// Four rows against packed ones.
#[derive(Default)]
pub(super) struct Tiles {
    /// The four rows, each byte with its highest bit flipped.
    flipped: Vec<u8>,
    /// `[TILE_ROWS, width]`
    distances: Vec<u32>,
}

impl Tiles {
    /// Computes the distances of one to four rows.
    #[inline(always)]
    pub(super) fn compare<S: Simd>(
        &mut self,
        simd: S,
        material: &Material<'_>,
        offsets: &[Offset],
        packed: &Packed,
    ) {
        let codes = material.codes();
        let size = codes.row_bytes;
        self.flipped.resize(TILE_ROWS * size, 0);
        let mut norms = [0; TILE_ROWS];
        for (i, flipped) in self.flipped.chunks_exact_mut(size).enumerate() {
            // What is missing of four is the last row again.
            let offset = offsets[i.min(offsets.len() - 1)];
            norms[i] = material.sums(offset).squares;
            for (to, from) in flipped.iter_mut().zip(codes.row(offset)) {
                *to = from ^ 0x80;
            }
        }
        self.distances.resize(TILE_ROWS * packed.width(), 0);
        let rows: [&[u8]; TILE_ROWS] =
            std::array::from_fn(|i| &self.flipped[i * size..(i + 1) * size]);
        simd.tile(rows, norms, packed, &mut self.distances);
    }

    /// The distances of row `i` of the four.
    #[inline(always)]
    pub(super) fn line(&self, i: usize, packed: &Packed) -> &[u32] {
        &self.distances[i * packed.width()..][..packed.len()]
    }
}

/// The `count` smallest distances and their positions, `distance << 32 | position`, smallest first; `skip` is passed by.
#[inline(always)]
pub(super) fn nearest_of<S: Simd>(
    simd: S,
    distances: &[u32],
    skip: Option<usize>,
    count: usize,
    nearest: &mut Vec<u64>,
) {
    nearest.clear();
    nearest.resize(count, u64::MAX);
    let mut limit = u32::MAX;
    let (blocks, rest) = distances.as_chunks::<LANES>();
    let mut last = [u32::MAX; LANES];
    last[..rest.len()].copy_from_slice(rest);
    for block_idx in 0..=blocks.len() {
        let block = blocks.get(block_idx).unwrap_or(&last);
        let mut mask = simd.below(block, limit);
        while mask != 0 {
            let lane = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            let (at, distance) = (block_idx * LANES + lane, block[lane]);
            if distance >= limit || Some(at) == skip {
                continue;
            }
            // Sinks in: compared with each place, without a branch.
            let mut key = u64::from(distance) << 32 | at as u64;
            for place in nearest.iter_mut() {
                let nearer = key.min(*place);
                key = key.max(*place);
                *place = nearer;
            }
            limit = (nearest[count - 1] >> 32) as u32;
        }
    }
    while nearest.last() == Some(&u64::MAX) {
        nearest.pop();
    }
}

/// Proposes the nearest rows of each leaf to each other, leaves in parallel.
pub(super) fn compare(
    material: &Material<'_>,
    params: &BuildParams,
    leaves: &[Vec<Offset>],
    sketches: &[[i32; LANES]],
    reservoirs: &Reservoirs,
) {
    leaves
        .par_iter()
        .for_each_init(Buffers::default, |buffers, leaf| {
            if material.is_cancelled() {
                return;
            }
            dispatch(CompareLeaf {
                material,
                nearest: params.leaf_nearest,
                leaf,
                sketches,
                buffers,
            });
            reservoirs.offer(buffers.in_order(leaf.len()));
        });
}

/// Memory of a thread, used again for each leaf.
#[derive(Default)]
struct Buffers {
    packed: Packed,
    tiles: Tiles,
    nearest: Vec<u64>,
    /// With the place in the leaf of the row that each is for.
    proposals: Vec<(u32, Proposal)>,
    starts: Vec<u32>,
    ordered: Vec<Proposal>,
}

impl Buffers {
    /// The proposals by the row that they are for, which ascend as the places do: sorted by counting.
    fn in_order(&mut self, leaf_len: usize) -> &[Proposal] {
        self.starts.clear();
        self.starts.resize(leaf_len + 1, 0);
        for (place, _) in &self.proposals {
            self.starts[*place as usize + 1] += 1;
        }
        for place in 0..leaf_len {
            self.starts[place + 1] += self.starts[place];
        }
        self.ordered.clear();
        self.ordered
            .resize(self.proposals.len(), Proposal::default());
        for (place, proposal) in &self.proposals {
            let start = &mut self.starts[*place as usize];
            self.ordered[*start as usize] = *proposal;
            *start += 1;
        }
        &self.ordered
    }
}

struct CompareLeaf<'a> {
    material: &'a Material<'a>,
    nearest: usize,
    leaf: &'a [Offset],
    sketches: &'a [[i32; LANES]],
    buffers: &'a mut Buffers,
}

impl Job for CompareLeaf<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            material,
            nearest: count,
            leaf,
            sketches,
            buffers,
        } = self;
        let Buffers {
            packed,
            tiles,
            nearest,
            proposals,
            ..
        } = buffers;
        let codes = material.codes();
        packed.fill(codes.row_bytes, leaf.len(), |i| {
            (codes.row(leaf[i]), material.sums(leaf[i]))
        });
        proposals.clear();
        for (four_idx, four) in leaf.chunks(TILE_ROWS).enumerate() {
            tiles.compare(simd, material, four, packed);
            for (i, &row) in four.iter().enumerate() {
                let at = four_idx * TILE_ROWS + i;
                nearest_of(simd, tiles.line(i, packed), Some(at), count, nearest);
                let sketch = &sketches[row as usize];
                for &near in nearest.iter() {
                    let (distance, place) = ((near >> 32) as u32, near as u32);
                    let other = leaf[place as usize];
                    let away = &sketches[other as usize];
                    let proposal = Proposal {
                        row,
                        other,
                        distance,
                        direction: simd.greater(away, sketch) as u16,
                    };
                    proposals.push((at as u32, proposal));
                    let proposal = Proposal {
                        row: other,
                        other: row,
                        distance,
                        direction: simd.greater(sketch, away) as u16,
                    };
                    proposals.push((place, proposal));
                }
            }
        }
    }
}
