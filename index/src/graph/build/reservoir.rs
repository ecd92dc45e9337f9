//! Where the candidates of a row come together from all leaves.

use std::sync::{Mutex, PoisonError};

use crate::Offset;
use crate::distance::codes::prefetch;

/// `other` may become a neighbour of `row`.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Proposal {
    pub(super) row: Offset,
    pub(super) other: Offset,
    pub(super) distance: u32,
    /// In which of 4096 directions it lies.
    pub(super) direction: u16,
}

/// The candidates of all rows: of each direction the nearest, and of these the nearest `capacity` ("HashPrune").
///
/// What remains does not depend on the order of the proposals: a candidate is dropped only for nearer ones, whose places
/// are only taken by nearer ones still; equal distances are ordered by offset.
pub(in crate::graph) struct Reservoirs {
    capacity: usize,
    shards: Vec<Mutex<Shard>>,
}

/// Rows of a shard: threads lock one shard at a time.
const SHARD_ROWS: usize = 1024;

/// The candidates of [`SHARD_ROWS`] rows.
struct Shard {
    /// `[rows, capacity]`
    directions: Vec<u16>,
    /// `[rows, capacity]`: `distance << 32 | offset`
    candidates: Vec<u64>,
    /// `[rows]`
    states: Vec<State>,
}

#[derive(Copy, Clone, Default)]
struct State {
    len: u32,
    /// The place of the farthest, if the row is full.
    farthest_at: u32,
    farthest: u64,
}

impl Reservoirs {
    pub(super) fn new(rows: usize, capacity: usize) -> Self {
        let shard = |first: usize| {
            let rows = SHARD_ROWS.min(rows - first);
            Mutex::new(Shard {
                directions: vec![0; rows * capacity],
                candidates: vec![0; rows * capacity],
                states: vec![State::default(); rows],
            })
        };
        Self {
            capacity,
            shards: (0..rows).step_by(SHARD_ROWS).map(shard).collect(),
        }
    }

    /// Takes proposals; those for rows of the same shard best come together.
    pub(super) fn offer(&self, proposals: &[Proposal]) {
        /// Proposals whose rows are asked for ahead.
        const AHEAD: usize = 16;
        let shard_of = |proposal: &Proposal| proposal.row as usize / SHARD_ROWS;
        for group in proposals.chunk_by(|a, b| shard_of(a) == shard_of(b)) {
            let mut shard = self.shards[shard_of(&group[0])]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for (i, proposal) in group.iter().enumerate() {
                if let Some(next) = group.get(i + AHEAD) {
                    shard.prefetch(self.capacity, next);
                }
                shard.offer(self.capacity, proposal);
            }
        }
    }

    /// Copies the candidates of a row, in no order: `distance << 32 | offset`.
    pub(in crate::graph) fn copy(&self, row: Offset, keys: &mut Vec<u64>) {
        let (shard_idx, place) = (row as usize / SHARD_ROWS, row as usize % SHARD_ROWS);
        let shard = self.shards[shard_idx]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let from = place * self.capacity;
        let len = shard.states[place].len as usize;
        keys.clear();
        keys.extend_from_slice(&shard.candidates[from..from + len]);
    }

    /// Rows of a shard, but for the last.
    pub(in crate::graph) const fn shard_rows() -> usize {
        SHARD_ROWS
    }
}

impl Shard {
    fn prefetch(&self, capacity: usize, proposal: &Proposal) {
        let row = proposal.row as usize % SHARD_ROWS;
        let state = &self.states[row..=row];
        prefetch(state);
        let len = state[0].len as usize;
        prefetch(&self.directions[row * capacity..][..len]);
        prefetch(&self.candidates[row * capacity..][..len]);
    }

    fn offer(&mut self, capacity: usize, proposal: &Proposal) {
        let row = proposal.row as usize % SHARD_ROWS;
        let key = u64::from(proposal.distance) << 32 | u64::from(proposal.other);
        let state = &mut self.states[row];
        let len = state.len as usize;
        if len == capacity && key >= state.farthest {
            return;
        }
        let directions = &mut self.directions[row * capacity..][..capacity];
        let candidates = &mut self.candidates[row * capacity..][..capacity];
        let same = position(&directions[..len], proposal.direction);
        let at = match same {
            Some(at) if key >= candidates[at] => return,
            Some(at) => at,
            None if len < capacity => {
                state.len += 1;
                len
            }
            None => state.farthest_at as usize,
        };
        directions[at] = proposal.direction;
        candidates[at] = key;
        let full = state.len as usize == capacity;
        if full && (len < capacity || at == state.farthest_at as usize) {
            for (at, &candidate) in candidates.iter().enumerate() {
                if at == 0 || candidate > state.farthest {
                    state.farthest = candidate;
                    state.farthest_at = at as u32;
                }
            }
        }
    }
}

/// Where a value stands; compares 32 at a time.
fn position(values: &[u16], wanted: u16) -> Option<usize> {
    let (blocks, rest) = values.as_chunks::<32>();
    for (block_idx, block) in blocks.iter().enumerate() {
        if block
            .iter()
            .fold(false, |found, &value| found | (value == wanted))
        {
            let lane = block.iter().position(|&value| value == wanted)?;
            return Some(block_idx * 32 + lane);
        }
    }
    let lane = rest.iter().position(|&value| value == wanted)?;
    Some(blocks.len() * 32 + lane)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn what_remains_does_not_depend_on_the_order() {
        let mut random = Random::new(2);
        for capacity in [8, 64] {
            let mut proposals: Vec<Proposal> = (0..5000)
                .map(|_| {
                    let other = random.below(900) as Offset;
                    let row = random.below(1500) as Offset % 7 * 200;
                    Proposal {
                        row,
                        other,
                        // Equal for equal pairs, with ties between different ones.
                        distance: (other * 31 + row) % 50,
                        direction: (other % 90) as u16,
                    }
                })
                .collect();
            let remaining = |proposals: &[Proposal]| {
                let reservoirs = Reservoirs::new(1500, capacity);
                for part in proposals.chunks(97) {
                    reservoirs.offer(part);
                }
                let candidates = |row| {
                    let mut keys = Vec::new();
                    reservoirs.copy(row, &mut keys);
                    keys.sort_unstable();
                    (row, keys)
                };
                (0..1500).map(candidates).collect::<Vec<_>>()
            };
            // By hand: the nearest per direction, of these the nearest.
            let mut expected = vec![std::collections::BTreeMap::new(); 1500];
            for p in &proposals {
                let key = u64::from(p.distance) << 32 | u64::from(p.other);
                let best: &mut u64 = expected[p.row as usize].entry(p.direction).or_insert(key);
                *best = key.min(*best);
            }
            let expected: Vec<(u32, Vec<u64>)> = (0..)
                .zip(&expected)
                .map(|(row, best)| {
                    let mut keys: Vec<u64> = best.values().copied().collect();
                    keys.sort_unstable();
                    keys.truncate(capacity);
                    (row, keys)
                })
                .collect();
            for _ in 0..3 {
                assert_eq!(remaining(&proposals), expected);
                random.shuffle(&mut proposals);
            }
        }
    }
}
