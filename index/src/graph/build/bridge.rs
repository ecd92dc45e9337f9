//! Leads walks out of places from which no edge goes on towards what they look for.

use rayon::prelude::*;

use super::connect::{Reach, look_for};
use super::{BuildParams, Material};
use crate::Offset;
use crate::graph::walk::{GraphView, Scratch};
use crate::random::Random;

/// At first one row in so many is looked for, but so many at least and at most.
const SAMPLE_SHARE: usize = 16;
const SAMPLE: [usize; 2] = [1024, 16_384];
/// One row in so many may be missed.
const MISSED_SHARE: usize = 1000;
/// Samples that are tried at most, each twice as large as the one before.
const ROUNDS: usize = 6;
/// Edges of a row, the nearest ones, that lead to its surroundings.
const SURROUNDINGS: usize = 8;

/// Looks for rows as searches would, and gives those that are missed an edge from where the walk ended.
///
/// A walk goes to nearer rows only. Where rows lie in clusters far from each other, nearly all edges stay within a cluster, and a walk ends in
/// the one that it met first. What looks for rows of one cluster ends at about the same rows of another, those that face it: an edge from there
/// serves them all. So a sample of the rows is looked for, until few of a new one are missed.
///
/// Time: about 10 us a row of the sample and core; only one sample is looked at, 1 to 2 % of the time of a build, unless rows lie in such clusters.
pub(super) fn bridge(
    material: &Material<'_>,
    params: &BuildParams,
    entry: Offset,
    reach: &mut Reach,
    edges: &mut [u32],
) {
    let n = material.len();
    let random = Random::new(params.seed ^ 0xb41d);
    let mut count = (n / SAMPLE_SHARE).clamp(SAMPLE[0], SAMPLE[1]).min(n);
    let mut scratch = Scratch::new(n);
    for round in 0..ROUNDS {
        if material.is_cancelled() {
            return;
        }
        let sample = random.fork(round as u64).sample(n, count);
        let missed = missed(material, view(material, params, entry, edges), &sample);
        for &row in &missed {
            // The edges of those before it may lead to it.
            let graph = view(material, params, entry, edges);
            if !is_met(row, graph, &mut scratch) {
                reach.bridge(edges, row, &scratch);
            }
        }
        if missed.len() * MISSED_SHARE <= count {
            return;
        }
        count = (2 * count).min(n);
    }
}

fn view<'a>(
    material: &'a Material<'_>,
    params: &BuildParams,
    entry: Offset,
    edges: &'a [u32],
) -> GraphView<'a> {
    GraphView {
        edges,
        degree: params.degree,
        codes: material.codes(),
        entry,
    }
}

/// Those of the rows that a walk does not meet, in their order.
fn missed(material: &Material<'_>, graph: GraphView<'_>, rows: &[Offset]) -> Vec<Offset> {
    rows.par_iter()
        .map_init(
            || Scratch::new(material.len()),
            |scratch, &row| (!is_met(row, graph, scratch)).then_some(row),
        )
        .flatten()
        .collect()
}

/// Whether a walk meets the row, or one with its code, or its surroundings: a little more effort finds it then.
fn is_met(row: Offset, graph: GraphView<'_>, scratch: &mut Scratch) -> bool {
    look_for(row, graph, scratch);
    let edges = graph.slots(row);
    let surroundings = &edges[..edges.len().min(SURROUNDINGS)];
    let mut met = scratch.pool.iter().map(|(offset, _)| offset);
    scratch.pool.distance(0) == 0.0 || met.any(|met| surroundings.contains(&met))
}
