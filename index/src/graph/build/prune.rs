//! Which candidates become edges.

use rayon::prelude::*;

use super::reservoir::Reservoirs;
use super::{BuildParams, Material};
use crate::Offset;
use crate::aligned::Aligned;
use crate::codes::CodesView;
use crate::distance::codes::{Job, Simd, dispatch, prefetch};
use crate::graph::walk::NO_EDGE;

/// A row and its squared distance from the one that edges are chosen for, ordered by distance, then offset.
pub(in crate::graph) type Candidate = (u32, Offset);

/// Edges to rows with the same code, at most: more would leave no way out of a heap of duplicates.
const EQUAL_MAX: usize = 4;

/// RobustPrune over codes (DiskANN, NeurIPS 2019, algorithm 2).
#[derive(Copy, Clone)]
pub(in crate::graph) struct Pruner<'a> {
    codes: CodesView<'a>,
    degree: usize,
    alpha_squared: f32,
}

impl<'a> Pruner<'a> {
    pub(in crate::graph) fn new(material: &'a Material<'_>, params: &BuildParams) -> Self {
        Self {
            codes: material.codes(),
            degree: params.degree,
            alpha_squared: params.alpha * params.alpha,
        }
    }

    /// Chooses edges for `row` among candidates, nearest first: a candidate is passed by if an edge chosen before leads
    /// to a place nearer to it, by the factor alpha, than the row is. Sorts the candidates.
    #[inline(always)]
    pub(in crate::graph) fn prune<S: Simd>(
        self,
        simd: S,
        row: Offset,
        candidates: &mut Vec<Candidate>,
        chosen: &mut Vec<Offset>,
    ) {
        for &(_, offset) in candidates.iter() {
            prefetch(self.codes.row(offset));
        }
        candidates.sort_unstable();
        candidates.dedup();
        chosen.clear();
        let mut equal = 0;
        for &(distance, offset) in candidates.iter() {
            if chosen.len() >= self.degree {
                break;
            }
            if offset == row || (distance == 0 && equal == EQUAL_MAX) {
                continue;
            }
            if !self.is_needless(simd, distance, offset, chosen) {
                equal += usize::from(distance == 0);
                chosen.push(offset);
            }
        }
    }

    /// Whether a chosen edge leads nearer to the candidate than the row is.
    #[inline(always)]
    fn is_needless<S: Simd>(
        self,
        simd: S,
        distance: u32,
        offset: Offset,
        chosen: &[Offset],
    ) -> bool {
        let code = self.codes.row(offset);
        let nearer = |between: u32| self.alpha_squared * (between as f32) < distance as f32;
        let (fours, rest) = chosen.as_chunks::<4>();
        for four in fours {
            let between = simd.l2_u8_four(code, self.codes.four(four));
            if nearer(between[0].min(between[1]).min(between[2]).min(between[3])) {
                return true;
            }
        }
        for &chosen in rest {
            if nearer(simd.l2_u8(code, self.codes.row(chosen))) {
                return true;
            }
        }
        false
    }

    /// The candidates that these rows are for `row`.
    #[inline(always)]
    pub(in crate::graph) fn measure<S: Simd>(
        self,
        simd: S,
        row: Offset,
        offsets: impl Iterator<Item = Offset> + Clone,
        candidates: &mut Vec<Candidate>,
    ) {
        for offset in offsets.clone() {
            prefetch(self.codes.row(offset));
        }
        let code = self.codes.row(row);
        for offset in offsets {
            candidates.push((simd.l2_u8(code, self.codes.row(offset)), offset));
        }
    }
}

/// Writes edges into a row's places.
pub(in crate::graph) fn write(places: &mut [u32], chosen: &[Offset]) {
    let len = chosen.len().min(places.len());
    places[..len].copy_from_slice(&chosen[..len]);
    places[len..].fill(NO_EDGE);
}

/// The edges `[n, degree]` that pruning leaves of all candidates.
pub(super) fn prune_all(
    material: &Material<'_>,
    params: &BuildParams,
    reservoirs: &Reservoirs,
) -> Aligned<u32> {
    let mut edges = Aligned::new(NO_EDGE, material.len() * params.degree);
    let pruner = Pruner::new(material, params);
    edges
        .as_mut_slice()
        .par_chunks_mut(Reservoirs::shard_rows() * params.degree)
        .enumerate()
        .for_each(|(shard_idx, edges)| {
            if material.is_cancelled() {
                return;
            }
            dispatch(PruneShard {
                pruner,
                reservoirs,
                shard_idx,
                edges,
            });
        });
    edges
}

struct PruneShard<'a> {
    pruner: Pruner<'a>,
    reservoirs: &'a Reservoirs,
    shard_idx: usize,
    edges: &'a mut [u32],
}

impl Job for PruneShard<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            pruner,
            reservoirs,
            shard_idx,
            edges,
        } = self;
        let (mut candidates, mut chosen) = (Vec::new(), Vec::new());
        // Copied out: what runs under the lock is not compiled for the instruction set.
        let mut keys = Vec::new();
        for (place, places) in edges.chunks_exact_mut(pruner.degree).enumerate() {
            let row = (shard_idx * Reservoirs::shard_rows() + place) as Offset;
            reservoirs.copy(row, &mut keys);
            candidates.clear();
            for &key in &keys {
                candidates.push(((key >> 32) as u32, key as u32));
            }
            pruner.prune(simd, row, &mut candidates, &mut chosen);
            write(places, &chosen);
        }
    }
}
