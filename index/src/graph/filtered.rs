//! The walk among rows of which only some may answer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::walk::{DEGREE_MAX, GraphView, NO_EDGE, Scratch, Stop};
use crate::BitSet;
use crate::distance::codes::{Simd, prefetch};
use crate::quantizer::{Order, OrderJob};

/// After so many rows it can be told whether matches are rarer where the query is than elsewhere.
const TOLD_FROM: u64 = 300;
/// They are rarer if the walk saw less than this share of what it would see of a random filter.
const RARE: f32 = 0.5;

/// Walks over all rows and keeps those of the set: ends by the same rules as [`Walk`](super::walk::Walk), which look at
/// the matches alone. So the fewer rows match, the farther it goes, by itself; `budget`
/// bounds that, and a walk that meets much fewer matches than their share of all rows is given up early: they lie elsewhere.
///
/// This is the "inline" filter of DiskANN. Its output tells whether the walk came to its end within the budget; if not,
/// what it found is not to be used. Fills `scratch.pool` with matches.
pub(crate) struct FilteredWalk<'a, 't> {
    pub(crate) graph: GraphView<'a>,
    pub(crate) stop: Stop,
    pub(crate) keep: usize,
    /// As in [`Walk`](super::walk::Walk).
    pub(crate) keeps_far: bool,
    pub(crate) set: &'a BitSet,
    /// The most codes to compare.
    pub(crate) budget: u64,
    /// The share of all rows that match.
    pub(crate) share: f32,
    pub(crate) scratch: &'t mut Scratch,
}

impl OrderJob for FilteredWalk<'_, '_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd, O: Order>(self, simd: S, order: O) -> bool {
        let Self {
            graph,
            stop,
            keep,
            keeps_far,
            set,
            budget,
            share,
            scratch,
        } = self;
        let Scratch {
            visited,
            pool: matches,
            compared,
            is_damaged,
        } = scratch;
        *compared = 0;
        let rows = graph.rows();
        matches.reset(keep.max(stop.ef));
        if graph.edges.is_empty() {
            return true;
        }
        visited.clear();
        // Nearest first: `distance << 32 | offset`; distances are not negative, so their bits sort as they do.
        let mut candidates: BinaryHeap<Reverse<u64>> = BinaryHeap::with_capacity(256);
        let key = |offset: u32, distance: f32| {
            Reverse(u64::from(distance.to_bits()) << 32 | u64::from(offset))
        };
        visited.insert(graph.entry);
        let distance = order.one(simd, graph.codes.row(graph.entry));
        candidates.push(key(graph.entry, distance));
        if set.contains(graph.entry) {
            matches.offer(graph.entry, distance);
        }
        *compared += 1;
        let mut fresh = [0u32; DEGREE_MAX];
        let mut matching = 0u64;
        while let Some(Reverse(nearest)) = candidates.pop() {
            let (offset, distance) = (nearest as u32, f32::from_bits((nearest >> 32) as u32));
            let far_by_rank = matches.distance(stop.ef - 1);
            let too_far = far_by_rank.min(stop.too_far(matches.distance(stop.k - 1)));
            if distance > too_far {
                break;
            }
            let rare =
                *compared >= TOLD_FROM && (matching as f32) < RARE * share * *compared as f32;
            if rare || *compared > budget {
                return false;
            }
            let mut count = 0;
            for &edge in graph.slots(offset) {
                if edge >= rows {
                    *is_damaged |= edge != NO_EDGE;
                    break;
                }
                if visited.insert(edge) {
                    prefetch(graph.codes.row(edge));
                    fresh[count % DEGREE_MAX] = edge;
                    count += 1;
                }
            }
            let fresh = &fresh[..count.min(DEGREE_MAX)];
            *compared += fresh.len() as u64;
            for group in fresh.chunks(4) {
                // What is missing of four is the last one again.
                let last = group.len() - 1;
                let four = [
                    group[0],
                    group[1.min(last)],
                    group[2.min(last)],
                    group[last],
                ];
                let distances = order.four(simd, graph.codes.four(&four));
                for (&edge, distance) in group.iter().zip(distances) {
                    let is_match = set.contains(edge);
                    matching += u64::from(is_match);
                    if distance <= too_far {
                        candidates.push(key(edge, distance));
                    }
                    if is_match && (keeps_far || distance <= too_far) {
                        matches.offer(edge, distance);
                    }
                }
            }
        }
        true
    }
}
