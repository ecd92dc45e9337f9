//! Rows with equal codes: one of them stands for all while edges are chosen.
//!
//! Left alone, each would propose the others only, and the graph would fall apart into heaps of equal rows.

use rayon::prelude::*;

use super::Material;
use crate::Offset;
use crate::graph::walk::NO_EDGE;

/// The rows by their codes.
pub(super) struct Duplicates {
    /// The first row of each code, ascending.
    pub(super) representatives: Vec<Offset>,
    /// Rows with the same code, two at least, ascending.
    groups: Vec<Vec<Offset>>,
}

impl Duplicates {
    /// Time O(n log n).
    pub(super) fn of(material: &Material<'_>) -> Self {
        let codes = material.codes();
        let mut keys: Vec<(u64, Offset)> = (0..material.len() as Offset)
            .into_par_iter()
            .with_min_len(1024)
            .map(|row| (hash(codes.row(row)), row))
            .collect();
        keys.par_sort_unstable();
        let (mut representatives, mut groups) = (Vec::with_capacity(keys.len()), Vec::new());
        for run in keys.chunk_by(|a, b| a.0 == b.0) {
            let first = run[0].1;
            representatives.push(first);
            let mut group = vec![first];
            for &(_, row) in &run[1..] {
                if codes.row(row) == codes.row(first) {
                    group.push(row);
                } else {
                    // Another code with the same hash: it stands for itself.
                    representatives.push(row);
                }
            }
            if group.len() > 1 {
                groups.push(group);
            }
        }
        representatives.sort_unstable();
        Self {
            representatives,
            groups,
        }
    }

    /// The rows to start walks from: those without a heap of equals, in which a walk would be stuck; all representatives if
    /// there are no others.
    pub(super) fn entries(&self) -> Vec<Offset> {
        /// More equal rows are a heap.
        const HEAP: usize = 4;
        let mut heaps: Vec<Offset> = self
            .groups
            .iter()
            .filter(|group| group.len() > HEAP)
            .map(|group| group[0])
            .collect();
        heaps.sort_unstable();
        let is_heap = |row: &Offset| heaps.binary_search(row).is_ok();
        let mut entries = self.representatives.clone();
        entries.retain(|row| !is_heap(row));
        if entries.is_empty() {
            entries.clone_from(&self.representatives);
        }
        entries
    }

    /// Gives the rows that were represented their edges, `[n, degree]`.
    ///
    /// A group is a tree below its representative, so that a walk that finds one finds all of them, a few steps apart.
    /// Every member also gets the edges of the representative, which lead on.
    pub(super) fn attach(&self, degree: usize, edges: &mut [u32]) {
        let branches = (degree / 8).clamp(1, 4);
        for group in &self.groups {
            let places = |row: Offset| row as usize * degree..(row as usize + 1) * degree;
            let on: Vec<u32> = edges[places(group[0])]
                .iter()
                .copied()
                .take_while(|&edge| edge != NO_EDGE)
                .collect();
            for (at, &row) in group.iter().enumerate() {
                let below = (branches * at + 1..).take(branches);
                let below = below.filter_map(|child| group.get(child).copied());
                let up = (at > 0).then_some(group[0]);
                let all = below.chain(up).chain(on.iter().copied());
                let rest = std::iter::repeat(NO_EDGE);
                for (place, edge) in edges[places(row)].iter_mut().zip(all.chain(rest)) {
                    *place = edge;
                }
            }
        }
    }
}

/// A number that equal codes share, and others hardly ever.
fn hash(code: &[u8]) -> u64 {
    let (words, rest) = code.as_chunks::<8>();
    let mix = |hash: u64, word: u64| {
        (hash ^ word)
            .wrapping_mul(0x9fb2_1c65_1e98_df25)
            .rotate_left(29)
    };
    let hash = words
        .iter()
        .fold(0, |hash, &word| mix(hash, u64::from_le_bytes(word)));
    rest.iter().fold(hash, |hash, &byte| mix(hash, byte.into()))
}
