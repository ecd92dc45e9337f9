//! K-d trees: exact search that looks at a part of the rows only.
//!
//! For up to [`crate::KD_DIM_MAX`] components this is [`KdTree`], for more, up to [`crate::KD_PROJECTED_DIM_MAX`], [`ProjectedTree`], which cuts
//! along a few numbers of each row. Beside the nearest rows both answer which rows lie within a distance or in a box ([`SpatialIndex`]), and
//! [`GeoIndex`] does this for places on the globe.
//!
//! [`KdTree`] itself is the `kiddo` crate's immutable tree: it is built once, over rows that no longer change. Around it
//! this module adds what a database needs and the crate leaves open:
//!
//! - **The answer of a scan, bit for bit.** The tree returns an arbitrary one of two rows that tie for the k-th place.
//!   So one row more than `k` is fetched; if it is not clearly farther than the k-th, every row within the k-th distance
//!   is visited, and offsets decide. The tree's own sums run from left to right as those of [`crate::distance`] do for
//!   short vectors, so its distances are taken as they are; the tests compare the bits.
//! - **Filters.** The tree has no predicate. Candidates are fetched in growing numbers until `k` of them pass, and when
//!   that would cost more than comparing the rows that pass, these are scanned.
//! - **Radius.** A search for all rows within a distance visits what the ball touches, in no order, unless so many rows lie there that a scan
//!   is cheaper.
//! - **Boxes.** The tree knows balls only. A box is cut into cubes, which are balls of the Chebyshev distance (`boxes.rs`).
//! - **Huge and tiny numbers.** Where a squared distance could overflow, the rows are scanned. Where it vanishes, all
//!   rows are equally far and the tie rule above applies.

use std::num::NonZeroUsize;

use kiddo::dist::{Chebyshev, DistanceMetric, Manhattan, QueryMetric, SquaredEuclidean};
use kiddo::{Eytzinger, VecOfArenas};

use self::boxes::check_box;
use crate::vector_index::check_search;
use crate::{
    BitSet, BuildError, IndexKind, Metric, Neighbor, Offset, Rows, SearchError, SearchParams,
    Stats, TopK, VectorIndex,
};

mod boxes;
mod geo;
mod projected;
#[cfg(test)]
mod tests;

pub use self::boxes::{SpatialIndex, is_in_box, scan_box};
pub use self::geo::{EARTH_RADIUS_M, GeoBox, GeoError, GeoIndex, GeoNeighbor, GeoPoint};
pub use self::projected::ProjectedTree;

/// Rows fetched beyond `k`, so that the k-th place is usually seen not to be tied.
///
/// More would see the end of short ties too, but every query pays for them: 6 made queries a quarter slower, even where
/// a twentieth of them is tied.
const SPARE: usize = 1;

/// Coordinates up to this size have squared distances far below overflow.
const COORDINATE_MAX: f32 = 1e18;

/// Builds the tree for 1 to [`crate::KD_PROJECTED_DIM_MAX`] components.
///
/// Expects that metric, `dim` and finite rows have been checked.
pub(crate) fn build(metric: Metric, rows: Rows) -> Result<Box<dyn SpatialIndex>, BuildError> {
    Ok(match rows.dim() {
        1 => Box::new(KdTree::<1>::new(metric, rows)?),
        2 => Box::new(KdTree::<2>::new(metric, rows)?),
        3 => Box::new(KdTree::<3>::new(metric, rows)?),
        4 => Box::new(KdTree::<4>::new(metric, rows)?),
        5 => Box::new(KdTree::<5>::new(metric, rows)?),
        6 => Box::new(KdTree::<6>::new(metric, rows)?),
        7 => Box::new(KdTree::<7>::new(metric, rows)?),
        8 => Box::new(KdTree::<8>::new(metric, rows)?),
        dim if dim <= crate::KD_PROJECTED_DIM_MAX => Box::new(ProjectedTree::new(metric, rows)),
        dim => return Err(crate::ChooseError::KdDim(dim).into()),
    })
}

/// Rows of a leaf: half as many as `kiddo` recommends.
const LEAF: usize = 16;

/// `kiddo`'s immutable tree.
type Tree<const DIM: usize> =
    kiddo::KdTree<f32, u32, Eytzinger, VecOfArenas<f32, u32, DIM, LEAF>, DIM, LEAF>;

/// A k-d tree over rows of `DIM` components, 1 to 8; [`crate::build`] makes one for a `dim` known at run time.
///
/// Bentley, "Multidimensional binary search trees used for associative searching", CACM 1975.
pub struct KdTree<const DIM: usize> {
    /// L2, L1 or LInf.
    metric: Metric,
    rows: Rows,
    tree: Tree<DIM>,
    /// Whether some coordinate is larger than [`COORDINATE_MAX`].
    huge: bool,
    /// The box around all rows; empty if there is no row.
    low: [f32; DIM],
    high: [f32; DIM],
}

impl<const DIM: usize> KdTree<DIM> {
    fn new(metric: Metric, rows: Rows) -> Result<Self, BuildError> {
        let (points, _) = rows.as_slice().as_chunks::<DIM>();
        let tree = Tree::<DIM>::builder()
            // Adding zero makes -0.0 equal to 0.0 for whoever compares bits.
            .build_from_source(points, |point, axis| point[axis] + 0.0, |i, _| i as Offset)
            .map_err(|error| BuildError::KdTree(error.to_string()))?;
        let huge = rows.as_slice().iter().any(|x| x.abs() > COORDINATE_MAX);
        let (mut low, mut high) = ([f32::INFINITY; DIM], [f32::NEG_INFINITY; DIM]);
        for point in points {
            low = std::array::from_fn(|i| low[i].min(point[i]));
            high = std::array::from_fn(|i| high[i].max(point[i]));
        }
        Ok(Self {
            low,
            high,
            metric,
            rows,
            tree,
            huge,
        })
    }

    /// The answer by the tree; `None` if a scan is cheaper or safer.
    fn walk<D>(
        &self,
        point: &[f32; DIM],
        k: usize,
        params: &SearchParams<'_>,
        stats: &mut Stats,
    ) -> Option<Vec<Neighbor>>
    where
        D: QueryMetric<f32> + DistanceMetric<f32, Output = f32>,
    {
        let n = self.rows.len();
        let max_distance = params
            .max_distance
            .filter(|distance| !distance.is_nan())
            .unwrap_or(f32::INFINITY);
        let passes = |offset| params.filter.is_none_or(|filter| filter.contains(offset));
        let Some(mut fetch) = self.first_fetch(k, params) else {
            return self.ball::<D>(point, max_distance, k, params.filter, stats);
        };
        loop {
            let found = self
                .tree
                .query(point)
                .nearest_n::<D>(fetch)
                .within(reach(max_distance))
                .execute();
            stats.visited += found.len() as u64;
            stats.distance_calls += found.len() as u64;
            let found_all = found.len() < fetch.get() || fetch.get() == n;
            // The usual case, cut short: nothing is tied, nothing is left out.
            if params.filter.is_none()
                && found.len() == k + SPARE
                && found.is_sorted_by(|a, b| a.distance < b.distance)
                && found[k].distance > reach(found[k - 1].distance)
                && found[k - 1].distance <= max_distance
            {
                let nearest = found.into_iter().take(k);
                let nearest = nearest.map(|candidate| Neighbor {
                    offset: candidate.item,
                    distance: candidate.distance,
                });
                return Some(nearest.collect());
            }
            let edge = found
                .last()
                .map_or(f32::INFINITY, |candidate| candidate.distance);
            let candidates = found
                .into_iter()
                .map(|candidate| Neighbor::new(candidate.item, candidate.distance));
            // Takes over the allocation.
            let mut nearest: Vec<Neighbor> = candidates
                .filter(|neighbor| neighbor.distance <= max_distance && passes(neighbor.offset))
                .collect();
            // They come by distance, so only ties are out of order.
            if !nearest.is_sorted() {
                nearest.sort_unstable();
            }
            match nearest.get(k - 1).map(|neighbor| neighbor.distance) {
                Some(kth) if !found_all && edge <= reach(kth) => {
                    return Some(self.nearest_within::<D>(point, kth, k, &passes, stats));
                }
                None if !found_all => fetch = self.next_fetch(fetch, params)?,
                _ => {
                    nearest.truncate(k);
                    return Some(nearest);
                }
            }
        }
    }

    /// The nearest `k` of the rows that are not farther than `distance` and pass, where `k` is too large for them to be fetched in
    /// order; `None` if so many rows are as near that a scan is cheaper.
    fn ball<D>(
        &self,
        point: &[f32; DIM],
        distance: f32,
        k: usize,
        filter: Option<&BitSet>,
        stats: &mut Stats,
    ) -> Option<Vec<Neighbor>>
    where
        D: QueryMetric<f32> + DistanceMetric<f32, Output = f32>,
    {
        /// Rows scanned in the time in which the tree visits one.
        const SCANNED_PER_VISITED: usize = 4;
        if distance == f32::INFINITY {
            return None;
        }
        let scanned = filter.map_or(self.rows.len(), BitSet::count);
        let budget = (scanned / SCANNED_PER_VISITED) as u64;
        let mut top = TopK::within(k, Some(distance));
        let mut visited = 0;
        let ball = self.tree.query(point).within::<D>(reach(distance));
        for candidate in ball.unsorted().iter() {
            visited += 1;
            if visited > budget {
                break;
            }
            if filter.is_none_or(|filter| filter.contains(candidate.item)) {
                top.push(candidate.item, candidate.distance);
            }
        }
        stats.visited += visited;
        stats.distance_calls += visited;
        (visited <= budget).then(|| top.into_sorted())
    }

    /// The nearest `k` of all rows that are not farther than `distance` and pass.
    fn nearest_within<D>(
        &self,
        point: &[f32; DIM],
        distance: f32,
        k: usize,
        passes: &impl Fn(Offset) -> bool,
        stats: &mut Stats,
    ) -> Vec<Neighbor>
    where
        D: QueryMetric<f32> + DistanceMetric<f32, Output = f32>,
    {
        let mut top = TopK::within(k, Some(distance));
        self.tree
            .query(point)
            .within::<D>(reach(distance))
            .unsorted()
            .visit(|candidate| {
                stats.visited += 1;
                stats.distance_calls += 1;
                if passes(candidate.item) {
                    top.push(candidate.item, candidate.distance);
                }
            });
        top.into_sorted()
    }

    /// How many rows to ask for first, so that `k` of them probably pass; `None` if a scan is cheaper.
    fn first_fetch(&self, k: usize, params: &SearchParams<'_>) -> Option<NonZeroUsize> {
        let (n, matching) = (
            self.rows.len(),
            params
                .filter
                .map_or(self.rows.len(), |filter| filter.count()),
        );
        let fetch = match params.filter {
            None => k + SPARE,
            // A third more than the average, against chance.
            Some(_) => ((k + SPARE) as f64 * n as f64 / matching as f64 * 1.33) as usize,
        };
        self.affordable(fetch, params)
    }

    fn next_fetch(&self, fetch: NonZeroUsize, params: &SearchParams<'_>) -> Option<NonZeroUsize> {
        const GROWTH: usize = 4;
        self.affordable(fetch.get() * GROWTH, params)
    }

    /// `fetch`, unless comparing the rows that pass costs less than fetching so many.
    fn affordable(&self, fetch: usize, params: &SearchParams<'_>) -> Option<NonZeroUsize> {
        /// Rows scanned in the time in which the tree fetches one. Measured for 2 to 8 components and k from 10 to 3,000.
        const SCANNED_PER_FETCHED: usize = 8;
        /// The same with a filter, which the tree cannot use but a scan can.
        const MATCHING_PER_FETCHED: usize = 30;
        let n = self.rows.len();
        let scan_is_cheaper = match params.filter {
            None => fetch.saturating_mul(SCANNED_PER_FETCHED) >= n,
            Some(filter) => fetch.saturating_mul(MATCHING_PER_FETCHED) >= filter.count(),
        };
        if scan_is_cheaper {
            None
        } else {
            NonZeroUsize::new(fetch.min(n))
        }
    }
}

/// A distance that is surely larger than any that rounding can make of `distance`, in the tree's bounds or in ours.
///
/// The tree adds and subtracts at most three terms per level on the way down, each with half a unit of rounding: less
/// than 2^-17 in all for any tree that fits memory. The smallest normal number covers what vanishes below it.
fn reach(distance: f32) -> f32 {
    const ROUNDING: f32 = 1.0 / (1 << 15) as f32;
    distance + distance.abs() * ROUNDING + f32::MIN_POSITIVE
}

impl<const DIM: usize> VectorIndex for KdTree<DIM> {
    fn kind(&self) -> IndexKind {
        IndexKind::KdTree
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn dim(&self) -> usize {
        DIM
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
            .min(params.filter.map_or(self.len(), |filter| filter.count()));
        if k == 0 {
            return Ok(Vec::new());
        }
        let point: [f32; DIM] = std::array::from_fn(|i| query[i] + 0.0);
        let walked = match self.metric {
            _ if self.huge || point.iter().any(|x| x.abs() > COORDINATE_MAX) => None,
            Metric::L2 => self.walk::<SquaredEuclidean<f32>>(&point, k, params, stats),
            Metric::L1 => self.walk::<Manhattan<f32>>(&point, k, params, stats),
            Metric::LInf => self.walk::<Chebyshev<f32>>(&point, k, params, stats),
            Metric::Cosine | Metric::Dot => None,
        };
        Ok(walked.unwrap_or_else(|| {
            crate::scan(self.metric, query, self.rows.as_slice(), DIM, params, stats)
        }))
    }

    /// The tree's copy of the rows with their offsets, and one pivot for about every 16 rows: what its layout comes to,
    /// since it does not tell.
    fn memory(&self) -> usize {
        let leaves = self.len() * (DIM * size_of::<f32>() + size_of::<Offset>());
        leaves + self.len() / 16 * (size_of::<f32>() + 2 * size_of::<usize>())
    }
}
