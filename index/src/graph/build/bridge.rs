//! Leads walks out of places from which no edge goes on towards what they look for.

use rayon::prelude::*;

use super::Material;
use super::reach::{Reach, look_for};
use crate::Offset;
use crate::codes::nearest_codes;
use crate::graph::walk::{GraphView, Scratch};
use crate::quantizer::Prepared;
use crate::random::Random;

/// At first one row in so many is looked for, but so many at least and at most.
const SAMPLE_SHARE: usize = 16;
const SAMPLE: [usize; 2] = [1024, 16_384];
/// One row in so many may be missed.
const MISSED_SHARE: usize = 1000;
/// Samples that are tried at most, each twice as large as the one before.
const ROUNDS: usize = 6;
/// Rows of one task.
const TASK: usize = 64;
/// What is farther than a row's nearest neighbour by more than this factor, of squared distances, is not near the row.
const FAR: f32 = 2.0;

/// Looks for rows as searches would, and gives those whose surroundings are missed an edge from where the walk ended.
///
/// A walk goes to nearer rows only. Where rows lie in clusters far from each other, nearly all edges stay within a cluster, and a walk ends in
/// the one that it met first. What looks for rows of one cluster ends at about the same rows of another, those that face it: an edge from there
/// serves them all. So a sample of the rows is looked for, and another twice as large, until few of one are missed, or after [`ROUNDS`] of them. What the
/// edges of the last round bring is not looked at again.
///
/// Time: about 10 us a row of the sample and core; only one sample is looked at, 1 to 6 % of the time of a build, unless rows lie in such clusters.
pub(in crate::graph) fn bridge(material: &Material<'_>, seed: u64, mut reach: Reach<'_>) {
    let n = material.len();
    let random = Random::new(seed ^ 0xb41d);
    let mut count = (n / SAMPLE_SHARE).clamp(SAMPLE[0], SAMPLE[1]).min(n);
    let mut scratch = Scratch::new(n);
    for round in 0..ROUNDS {
        let sample = random.fork(round as u64).sample(n, count);
        let lost = missed(material, reach.view(), &sample);
        for &row in &lost {
            if material.is_cancelled() {
                return;
            }
            // The edges of those before it may lead to it.
            if !is_met(row, reach.view(), &mut scratch) {
                reach.lead_to(row, &scratch);
            }
        }
        if lost.len() * MISSED_SHARE <= count {
            return;
        }
        count = (2 * count).min(n);
    }
}

/// Those of the rows that a walk misses, in their order.
fn missed(material: &Material<'_>, graph: GraphView<'_>, rows: &[Offset]) -> Vec<Offset> {
    rows.par_iter()
        .with_min_len(TASK)
        .map_init(
            || Scratch::new(graph.rows() as usize),
            |scratch, &row| {
                let is_missed = !material.is_cancelled() && !is_met(row, graph, scratch);
                is_missed.then_some(row)
            },
        )
        .flatten()
        .collect()
}

/// Whether a walk comes near a row: a little more effort finds it then.
fn is_met(row: Offset, graph: GraphView<'_>, scratch: &mut Scratch) -> bool {
    look_for(row, graph, scratch);
    let met = scratch.pool.distance(0);
    met == 0.0 || met <= FAR * nearest(row, graph)
}

/// The distance of the nearest of a row's neighbours that do not have its code; 0 if they all have.
fn nearest(row: Offset, graph: GraphView<'_>) -> f32 {
    let neighbors: Vec<Offset> = graph.neighbors(row).collect();
    let prepared = Prepared::bytes(graph.codes.row(row).to_vec());
    let pool = nearest_codes(&prepared, graph.codes, &neighbors, neighbors.len());
    let mut distances = pool.iter().map(|(_, distance)| distance);
    distances.find(|&distance| distance > 0.0).unwrap_or(0.0)
}
