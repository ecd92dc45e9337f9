//! What a long walk would have found, had it ended earlier.
//!
//! A walk always goes on from the nearest candidate, whatever its end: a walk that ends earlier is the beginning of one
//! that ends later. So one long walk per query tells the recall of every [`Stop`](super::walk::Stop).

use crate::pool::Pool;
use crate::{Neighbor, Offset};

/// The numbers of neighbours for which curves are kept.
pub(super) const KS: [usize; 3] = [10, 30, 100];

/// The course of one walk.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// The exact neighbours, nearest first, with the distances of the metric.
    truth: Vec<Neighbor>,
    /// Before which step each was met; `u32::MAX` if never.
    met: Vec<u32>,
    /// At which place of the order of the codes each ended; `u32::MAX` if at none.
    places: Vec<u32>,
    steps: Vec<Step>,
    /// A bit for each of the exact neighbours, by the low bits of its offset: most rows that are seen are none.
    marks: [u64; 32],
}

/// The state before a row's neighbours are looked at; each number is the largest up to here.
#[derive(Copy, Clone, Debug)]
struct Step {
    /// Candidates nearer than the one to go on from.
    rank: u32,
    /// Codes compared so far.
    compared: u32,
    /// By how much that one is farther than the k-th best, for each of [`KS`].
    excess: [f32; KS.len()],
}

impl Trace {
    pub(crate) fn new(truth: Vec<Neighbor>) -> Self {
        let mut marks = [0; 32];
        for near in &truth {
            marks[near.offset as usize / 64 % 32] |= 1 << (near.offset % 64);
        }
        Self {
            marks,
            met: vec![u32::MAX; truth.len()],
            places: vec![u32::MAX; truth.len()],
            truth,
            steps: Vec::new(),
        }
    }

    #[inline(never)]
    pub(crate) fn step(&mut self, rank: usize, compared: u64, pool: &Pool) {
        let distance = pool.distance(rank);
        let last = self.steps.last().copied();
        let excess = std::array::from_fn(|i| {
            let kth = pool.distance(KS[i] - 1);
            let excess = if kth > 0.0 {
                distance / kth - 1.0
            } else if distance > 0.0 {
                f32::MAX
            } else {
                0.0
            };
            last.map_or(excess, |last| last.excess[i].max(excess))
        });
        self.steps.push(Step {
            rank: last.map_or(rank as u32, |last| last.rank.max(rank as u32)),
            compared: compared as u32,
            excess,
        });
    }

    #[inline(never)]
    pub(crate) fn seen(&mut self, offsets: &[Offset]) {
        for offset in offsets {
            if self.marks[*offset as usize / 64 % 32] >> (offset % 64) & 1 == 0 {
                continue;
            }
            if let Some(at) = self.truth.iter().position(|near| near.offset == *offset) {
                self.met[at] = self.steps.len() as u32;
            }
        }
    }

    pub(crate) fn end(&mut self, compared: u64, pool: &Pool) {
        for (place, (offset, _)) in pool.iter().enumerate() {
            if let Some(at) = self.truth.iter().position(|near| near.offset == offset) {
                self.places[at] = place as u32;
            }
        }
        self.steps.push(Step {
            rank: u32::MAX,
            compared: compared as u32,
            excess: [f32::INFINITY; KS.len()],
        });
    }

    /// The distance of the exact neighbour number `k`, counted from 1; of the last one if there are fewer.
    pub(super) fn distance(&self, k: usize) -> Option<f32> {
        self.truth
            .get(k - 1)
            .or(self.truth.last())
            .map(|near| near.distance)
    }

    /// The step at which a walk with this `ef` ends.
    pub(super) fn end_by_rank(&self, ef: usize) -> usize {
        let last = self.steps.len().saturating_sub(1);
        self.steps
            .partition_point(|step| (step.rank as usize) < ef)
            .min(last)
    }

    /// The step at which a walk for `KS[k_idx]` with this `gamma` ends.
    pub(super) fn end_by_excess(&self, k_idx: usize, gamma: f32) -> usize {
        let last = self.steps.len().saturating_sub(1);
        self.steps
            .partition_point(|step| step.excess[k_idx] <= gamma)
            .min(last)
    }

    /// The codes compared before a step.
    pub(super) fn compared(&self, step: usize) -> u32 {
        self.steps.get(step).map_or(0, |step| step.compared)
    }

    /// Before which steps the neighbours were met that a re-rank of `rerank` would find, ascending, and how many of them
    /// make a complete answer. A neighbour as far as the k-th counts as one: which of equal rows is found means nothing.
    pub(super) fn met(&self, k: usize, rerank: usize) -> (Vec<u32>, usize) {
        let wanted = k.min(self.truth.len());
        let Some(farthest) = self.distance(k) else {
            return (Vec::new(), 0);
        };
        let mut met: Vec<u32> = self
            .truth
            .iter()
            .zip(self.met.iter().zip(&self.places))
            .filter(|(near, (met, place))| {
                near.distance <= farthest && **met != u32::MAX && (**place as usize) < rerank
            })
            .map(|(_, (&met, _))| met)
            .collect();
        met.sort_unstable();
        (met, wanted)
    }
}
