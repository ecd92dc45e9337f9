//! Edges in both directions.

use rayon::prelude::*;

use super::prune::{Pruner, write};
use super::{BuildParams, Material};
use crate::Offset;
use crate::aligned::Aligned;
use crate::distance::codes::{Job, Simd, dispatch};
use crate::graph::walk::NO_EDGE;

/// Rows of one task.
const TASK: usize = 1024;

/// Gives each edge of the rows that `sources` names its reverse: rows that then have more than `degree` prune again.
pub(in crate::graph) fn link(
    material: &Material<'_>,
    params: &BuildParams,
    edges: &Aligned<u32>,
    sources: impl Fn(Offset) -> bool,
) -> Aligned<u32> {
    let edges = edges.as_slice();
    let reverse = Reverse::of(edges, params.degree, sources);
    let mut linked = Aligned::new(NO_EDGE, edges.len());
    let pruner = Pruner::new(material, params);
    linked
        .as_mut_slice()
        .par_chunks_mut(TASK * params.degree)
        .enumerate()
        .for_each(|(task, linked)| {
            if material.is_cancelled() {
                return;
            }
            dispatch(LinkRows {
                pruner,
                degree: params.degree,
                first: (task * TASK) as Offset,
                edges,
                reverse: &reverse,
                linked,
            });
        });
    linked
}

/// The rows with an edge to each row, at most twice the degree of them, in ascending order.
struct Reverse {
    /// `[n + 1]`
    starts: Vec<usize>,
    sources: Vec<Offset>,
}

impl Reverse {
    fn of(edges: &[u32], degree: usize, is_source: impl Fn(Offset) -> bool) -> Self {
        let n = edges.len() / degree;
        let most = 2 * degree as u32;
        let mut counts = vec![0u32; n];
        let sources = || {
            edges
                .chunks_exact(degree)
                .enumerate()
                .filter(|&(source, _)| is_source(source as Offset))
        };
        for (_, edges) in sources() {
            for &edge in edges.iter().take_while(|&&edge| edge != NO_EDGE) {
                counts[edge as usize] = (counts[edge as usize] + 1).min(most);
            }
        }
        let mut starts = Vec::with_capacity(n + 1);
        let mut end = 0;
        starts.push(0);
        for &count in &counts {
            end += count as usize;
            starts.push(end);
        }
        let mut found = vec![0; end];
        let mut left = counts;
        for (source, edges) in sources() {
            for &edge in edges.iter().take_while(|&&edge| edge != NO_EDGE) {
                let left = &mut left[edge as usize];
                if *left > 0 {
                    found[starts[edge as usize + 1] - *left as usize] = source as Offset;
                    *left -= 1;
                }
            }
        }
        Self {
            starts,
            sources: found,
        }
    }

    fn sources(&self, row: Offset) -> &[Offset] {
        &self.sources[self.starts[row as usize]..self.starts[row as usize + 1]]
    }
}

struct LinkRows<'a> {
    pruner: Pruner<'a>,
    degree: usize,
    first: Offset,
    edges: &'a [u32],
    reverse: &'a Reverse,
    linked: &'a mut [u32],
}

impl Job for LinkRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (mut all, mut candidates, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
        for (i, places) in self.linked.chunks_exact_mut(self.degree).enumerate() {
            let row = self.first + i as Offset;
            let own = &self.edges[row as usize * self.degree..][..self.degree];
            all.clear();
            all.extend(own.iter().copied().take_while(|&edge| edge != NO_EDGE));
            let own_len = all.len();
            for &source in self.reverse.sources(row) {
                if !all[..own_len].contains(&source) {
                    all.push(source);
                }
            }
            if all.len() <= self.degree {
                write(places, &all);
            } else {
                candidates.clear();
                self.pruner
                    .measure(simd, row, all.iter().copied(), &mut candidates);
                self.pruner.prune(simd, row, &mut candidates, &mut chosen);
                write(places, &chosen);
            }
        }
    }
}
