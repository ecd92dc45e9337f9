//! Builds a graph from all rows at once: PiPNN ("Pick in Partitions Nearest Neighbors", arXiv 2602.21247).
//!
//! 1. `partition`: rows are put into overlapping leaves of a few hundred, by the nearest of random leaders.
//! 2. `leaf`: inside a leaf all pairs are compared by tiles of integer products; each row keeps its nearest.
//! 3. `reservoir`: the pairs of all leaves meet per row, one per direction ("HashPrune").
//! 4. `prune`: of these, RobustPrune (DiskANN, NeurIPS 2019) keeps edges that no shorter edge makes needless; then
//!    each edge gets its reverse, and rows with too many prune again.
//! 5. `duplicates`: of rows with equal codes one took part so far; the others join it.
//! 6. `connect`: rows that cannot be reached from the entry get an edge from a near one that can (`reach` knows which).
//! 7. `bridge`: rows whose surroundings a walk misses get an edge from where it ends.
//!
//! Everything compares codes of 8 bits by integers and breaks ties by offset, leaves are independent, and reservoirs do
//! not depend on the order in which pairs come. So equal rows and seeds make equal graphs, with any number of threads, on
//! any machine.

mod bridge;
mod connect;
mod duplicates;
mod edges;
mod leaf;
mod material;
mod partition;
mod prune;
mod reach;
mod reservoir;

pub(super) use bridge::bridge;
pub(super) use connect::connect;
use duplicates::Duplicates;
pub(super) use edges::link;
pub(super) use material::Material;
pub(super) use prune::{Candidate, Pruner, write};
use reservoir::Reservoirs;

use crate::Offset;
use crate::aligned::Aligned;
use crate::random::Random;

/// How a graph is built. The defaults are for rows of any kind; see each.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct BuildParams {
    /// The most edges of a row: 32. With 24 the graph is a quarter smaller and as fast on sentence embeddings.
    pub degree: usize,
    /// How much longer a detour may be before the direct edge is kept: 1.1, in distances that are not squared.
    pub alpha: f32,
    /// Equal seeds and rows make equal graphs.
    pub seed: u64,
    /// Threads to use; 0 for those of the caller's rayon pool.
    pub threads: usize,
    /// In how many of the nearest clusters a row is put, at the first two levels of partitioning.
    pub fanout: [usize; 2],
    /// The most rows of a leaf.
    pub leaf_max: usize,
    /// Nearest rows of the same leaf that a row proposes as neighbours.
    pub leaf_nearest: usize,
    /// The most candidates of a row from all leaves.
    pub reservoir: usize,
}

impl Default for BuildParams {
    fn default() -> Self {
        Self {
            degree: 32,
            alpha: 1.1,
            seed: 1,
            threads: 0,
            fanout: [8, 2],
            leaf_max: 512,
            leaf_nearest: 4,
            reservoir: 64,
        }
    }
}

impl BuildParams {
    /// The nearest parameters that make sense.
    pub(super) fn clamped(self) -> Self {
        Self {
            degree: self.degree.clamp(4, super::walk::DEGREE_MAX),
            alpha: if self.alpha >= 1.0 {
                self.alpha.min(4.0)
            } else {
                1.0
            },
            fanout: self.fanout.map(|fanout| fanout.clamp(1, 16)),
            leaf_max: self.leaf_max.clamp(32, 2048),
            leaf_nearest: self.leaf_nearest.clamp(1, 16),
            reservoir: self.reservoir.clamp(8, 256),
            ..self
        }
    }
}

/// Asked while a graph is built, by many threads, between its steps and within the longest: once it says yes, the graph is given up, at the latest when the
/// present step ends (some seconds for a million rows).
pub type IsCancelled<'a> = &'a (dyn Fn() -> bool + Sync);

/// Edges `[n, degree]` over rows that are all reachable from the entry.
pub(super) struct Built {
    pub(super) edges: Aligned<u32>,
    pub(super) entry: Offset,
}

/// The candidates of these rows among each other, from partitions.
pub(super) fn candidates(
    material: &Material<'_>,
    params: &BuildParams,
    offsets: Vec<Offset>,
) -> Reservoirs {
    let random = Random::new(params.seed);
    let leaves = partition::partition(material, params, offsets, &random.fork(1));
    let sketches = material.sketches(&mut random.fork(2));
    let reservoirs = Reservoirs::new(material.len(), params.reservoir);
    leaf::compare(material, params, &leaves, &sketches, &reservoirs);
    reservoirs
}

/// Builds the graph; `None` if it was cancelled. Time about 30 us a row of 384 components and core.
pub(super) fn build(material: &Material<'_>, params: &BuildParams) -> Option<Built> {
    let duplicates = Duplicates::of(material);
    let entry = material.medoid(&duplicates.entries());
    if material.is_cancelled() {
        return None;
    }
    let reservoirs = candidates(material, params, duplicates.representatives.clone());
    let mut edges = prune::prune_all(material, params, &reservoirs);
    drop(reservoirs);
    if material.is_cancelled() {
        return None;
    }
    edges = link(material, params, &edges, |_| true);
    // Of rows that were passed over, far too many could not be reached.
    if material.is_cancelled() {
        return None;
    }
    duplicates.attach(params.degree, edges.as_mut_slice());
    let reach = connect(material, params.degree, entry, edges.as_mut_slice());
    bridge(material, params.seed, reach);
    if material.is_cancelled() {
        return None;
    }
    Some(Built { edges, entry })
}
