//! The k-d tree for vectors of 9 to 32 components.
//!
//! Space is cut along [`WIDTH`] numbers of a row only, which never make a distance larger: for L2 the principal components, for
//! L1 and L-infinity the coordinates that vary most. Every node knows the box of these numbers around its rows, so the distance of the query's
//! from the box bounds the distance to each of the rows. Nodes are taken in rising order of that bound, the rows of a leaf are compared in full,
//! and the search ends when the next bound is beyond the k-th distance: the answer is that of a scan, bit for bit.
//!
//! - Bentley, "Multidimensional binary search trees used for associative searching", CACM 1975; leaves with many rows: Friedman, Bentley and
//!   Finkel, "An algorithm for finding best matches in logarithmic expected time", TOMS 1977.
//! - The order of nodes: Hjaltason and Samet, "Distance browsing in spatial databases", TODS 1999.
//! - The lower bound by principal components: Sproull, "Refinements to nearest-neighbor searching in k-dimensional trees", Algorithmica 1991.
//!
//! Where a few directions hold most of the spread (clusters, measurements that depend on each other), few leaves are looked at. Where none do,
//! nearly all would be: then the rows are scanned, and what the tree took is lost. `benches/kdtree.rs` prints both.

mod build;
mod components;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use self::components::{Components, WIDTH};
use super::{COORDINATE_MAX, SpatialIndex, check_box, is_in_box, reach, scan_box};
use crate::vector_index::check_search;
use crate::{
    BitSet, IndexKind, Metric, Neighbor, Offset, Rows, SearchError, SearchParams, Stats, TopK,
    VectorIndex,
};

/// Rows of a leaf, which are compared in one go.
const LEAF: usize = 32;

/// A k-d tree over a projection of rows of many components; [`crate::build`] makes one for 9 to 32.
pub struct ProjectedTree {
    /// L2, L1 or LInf.
    metric: Metric,
    rows: Rows,
    components: Components,
    /// In preorder: the left child of a node follows it.
    nodes: Vec<Node>,
    /// The rows once more, leaf after leaf: `[n, dim]`.
    packed: Vec<f32>,
    /// Which row each of `packed` is.
    offsets: Vec<Offset>,
    /// The box around all rows, `[dim]` each.
    low: Vec<f32>,
    high: Vec<f32>,
    /// The size of the largest component.
    component_max: f32,
}

/// Rows `first..end` of the packed ones, and the box around their components.
#[derive(Debug)]
struct Node {
    low: [f32; WIDTH],
    high: [f32; WIDTH],
    first: u32,
    end: u32,
    /// The right child; 0 of a leaf.
    right: u32,
}

/// The query as nodes see it.
struct Probe {
    metric: Metric,
    components: [f32; WIDTH],
    /// How far rounding may have moved components.
    slack: f32,
}

impl Probe {
    /// Not more than the distance to any row of the node, but for the rounding that [`reach`] covers.
    #[inline]
    fn bound(&self, node: &Node) -> f32 {
        let gap = |i: usize| {
            let x = self.components[i];
            (node.low[i] - x).max(x - node.high[i]).max(self.slack) - self.slack
        };
        let gaps: [f32; WIDTH] = std::array::from_fn(gap);
        match self.metric {
            Metric::L1 => gaps.iter().sum(),
            Metric::LInf => gaps.iter().fold(0.0, |most, &gap| gap.max(most)),
            _ => gaps.iter().map(|gap| gap * gap).sum(),
        }
    }
}

/// Nodes to look at, the one with the smallest bound on top: the bits of the bound, then the node.
type Queue = BinaryHeap<Reverse<u64>>;

/// The size of the largest of the values and `least`.
fn largest(values: &[f32], least: f32) -> f32 {
    values.iter().fold(least, |most, x| most.max(x.abs()))
}

fn key(bound: f32, node: u32) -> Reverse<u64> {
    Reverse(u64::from(bound.to_bits()) << 32 | u64::from(node))
}

impl ProjectedTree {
    /// The answer by the tree; `None` if a scan is cheaper.
    fn walk(
        &self,
        query: &[f32],
        k: usize,
        params: &SearchParams<'_>,
        stats: &mut Stats,
    ) -> Option<Vec<Neighbor>> {
        let mut budget = self.budget(k, params)?;
        let probe = self.probe(query);
        let mut top = TopK::within(k, params.max_distance);
        let mut queue = Queue::new();
        queue.push(key(probe.bound(self.nodes.first()?), 0));
        while let Some(Reverse(nearest)) = queue.pop() {
            let bound = f32::from_bits((nearest >> 32) as u32);
            if bound > reach(top.limit()) {
                break;
            }
            if let Some(leaf) = self.descend(nearest as u32, &probe, &top, &mut queue) {
                let compared = self.compare(leaf, query, params.filter, &mut top);
                stats.visited += compared as u64;
                stats.distance_calls += compared as u64;
                budget = budget.checked_sub(compared)?;
            }
        }
        Some(top.into_sorted())
    }

    /// Goes down to the nearest leaf and leaves the other children in the queue; `None` if what is in the queue is nearer.
    fn descend(&self, node: u32, probe: &Probe, top: &TopK, queue: &mut Queue) -> Option<&Node> {
        let limit = reach(top.limit());
        let mut at = node;
        loop {
            let node = &self.nodes[at as usize];
            if node.right == 0 {
                return Some(node);
            }
            let children = [at + 1, node.right];
            let bounds = children.map(|child| probe.bound(&self.nodes[child as usize]));
            let near = usize::from(bounds[1] < bounds[0]);
            if bounds[1 - near] <= limit {
                queue.push(key(bounds[1 - near], children[1 - near]));
            }
            if bounds[near] > limit {
                return None;
            }
            let next = key(bounds[near], children[near]);
            if queue.peek().is_some_and(|nearest| next < *nearest) {
                queue.push(next);
                return None;
            }
            at = children[near];
        }
    }

    /// Offers the rows of a leaf; returns how many were compared.
    fn compare(
        &self,
        leaf: &Node,
        query: &[f32],
        filter: Option<&BitSet>,
        top: &mut TopK,
    ) -> usize {
        let (first, end) = (leaf.first as usize, leaf.end as usize);
        let mut distances = [0.0; LEAF];
        let distances = &mut distances[..end - first];
        let rows = &self.packed[first * query.len()..end * query.len()];
        self.metric.kernel().rows(query, rows, distances);
        let mut limit = top.limit();
        for (&offset, &distance) in self.offsets[first..end].iter().zip(&*distances) {
            if distance <= limit && filter.is_none_or(|filter| filter.contains(offset)) {
                top.push(offset, distance);
                limit = top.limit();
            }
        }
        end - first
    }

    /// How many rows may be compared before a scan would have been cheaper; `None` if it is from the start.
    fn budget(&self, k: usize, params: &SearchParams<'_>) -> Option<usize> {
        /// Rows of leaves that are compared in the time in which a scan takes one of a filter, which lies anywhere.
        const COMPARED_PER_MATCHING: usize = 3;
        /// The share of the rows after which the tree is given up. Leaves lie apart, so a row of them takes about ten times as long as in a scan:
        /// a search that is given up takes about 2.4 times a scan in all. Measured for 12 to 32 components, rows anywhere.
        const GIVEN_UP_AFTER_ONE_OF: usize = 8;
        /// So few are compared in no time, wherever they lie.
        const ROWS_MIN: usize = 1_024;
        let bounded = params.max_distance.is_some_and(f32::is_finite);
        match params.filter {
            _ if !bounded && k.saturating_mul(8) >= self.len() => None,
            None => Some((self.len() / GIVEN_UP_AFTER_ONE_OF).max(ROWS_MIN)),
            Some(filter) => Some(filter.count().saturating_mul(COMPARED_PER_MATCHING)),
        }
    }

    fn probe(&self, query: &[f32]) -> Probe {
        let components = self.components.of(query);
        let coordinate = largest(query, largest(&self.low, largest(&self.high, 0.0)));
        let component = largest(&components, self.component_max);
        Probe {
            metric: self.metric,
            slack: self.components.rounding(coordinate, component),
            components,
        }
    }

    /// Whether a distance could overflow.
    fn is_huge(&self, values: &[f32]) -> bool {
        let mut all = values.iter().chain(&self.low).chain(&self.high);
        all.any(|x| x.abs() > COORDINATE_MAX)
    }
}

impl VectorIndex for ProjectedTree {
    fn kind(&self) -> IndexKind {
        IndexKind::KdTree
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn dim(&self) -> usize {
        self.rows.dim()
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn search(
        &self,
        query: &[f32],
        params: &SearchParams<'_>,
        stats: &mut Stats,
    ) -> Result<Vec<Neighbor>, SearchError> {
        check_search(self, query, params)?;
        let k = params
            .k
            .min(params.filter.map_or(self.len(), BitSet::count));
        if k == 0 {
            return Ok(Vec::new());
        }
        let walked = if self.is_huge(query) {
            None
        } else {
            self.walk(query, k, params, stats)
        };
        Ok(walked.unwrap_or_else(|| {
            let rows = self.rows.as_slice();
            crate::scan(self.metric, query, rows, self.dim(), params, stats)
        }))
    }

    fn memory(&self) -> usize {
        size_of_val(&*self.packed)
            + size_of_val(&*self.offsets)
            + size_of_val(&*self.nodes)
            + size_of_val(&*self.low) * 2
            + self.components.memory()
    }
}

impl SpatialIndex for ProjectedTree {
    fn in_box(
        &self,
        low: &[f32],
        high: &[f32],
        filter: Option<&BitSet>,
        stats: &mut Stats,
    ) -> Result<Vec<Offset>, SearchError> {
        check_box(self, low, high, filter)?;
        if self.is_huge(&[]) {
            let rows = self.rows.as_slice();
            return Ok(scan_box(rows, self.dim(), low, high, filter, stats));
        }
        let clamped = |from: &[f32], to: &[f32], pick: fn(f32, f32) -> f32| -> Vec<f32> {
            from.iter().zip(to).map(|(&a, &b)| pick(a, b)).collect()
        };
        let (inner_low, inner_high) = (
            clamped(low, &self.low, f32::max),
            clamped(high, &self.high, f32::min),
        );
        let mut found = Vec::new();
        if self.is_empty()
            || inner_low
                .iter()
                .zip(&inner_high)
                .any(|(low, high)| low > high)
        {
            return Ok(found);
        }
        let [least, most] = self.components.of_box(&inner_low, &inner_high);
        let coordinate = largest(&self.low, largest(&self.high, 0.0));
        let corner = largest(&least, largest(&most, self.component_max));
        let slack = 4.0 * self.components.rounding(coordinate, corner);
        let is_apart = |node: &Node| {
            (0..WIDTH).any(|i| node.low[i] > most[i] + slack || node.high[i] < least[i] - slack)
        };
        let mut stack = vec![0];
        while let Some(at) = stack.pop() {
            let node = &self.nodes[at as usize];
            if is_apart(node) {
                continue;
            }
            if node.right != 0 {
                stack.extend([at + 1, node.right]);
                continue;
            }
            for row in node.first as usize..node.end as usize {
                let offset = self.offsets[row];
                let values = &self.packed[row * self.dim()..(row + 1) * self.dim()];
                stats.visited += 1;
                if is_in_box(values, low, high) && filter.is_none_or(|set| set.contains(offset)) {
                    found.push(offset);
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}
