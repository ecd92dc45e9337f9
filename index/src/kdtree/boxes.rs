//! Which rows lie within a distance, or in a box.

use kiddo::dist::Chebyshev;

use super::{COORDINATE_MAX, KdTree, reach};
use crate::vector_index::check_search;
use crate::{BitSet, Neighbor, Offset, SearchError, SearchParams, Stats, VectorIndex};

/// A structure that finds all rows of a region without looking at each row.
pub trait SpatialIndex: VectorIndex {
    /// Returns all rows that pass the filter and are not farther than `max_distance`, nearest first, equal distances by offset.
    ///
    /// - `query`: `[dim]`; `max_distance` in the unit of the metric (squared for L2).
    /// - Time about O(log n + m log m) for the m rows that are as near, at most that of a scan and a sort.
    ///
    /// # Errors
    ///
    /// As [`VectorIndex::search`].
    fn within(
        &self,
        query: &[f32],
        max_distance: f32,
        filter: Option<&BitSet>,
        stats: &mut Stats,
    ) -> Result<Vec<Neighbor>, SearchError> {
        let params = SearchParams {
            k: usize::MAX,
            max_distance: Some(max_distance),
            filter,
            exact: true,
        };
        self.search(query, &params, stats)
    }

    /// Returns all rows that pass the filter and lie in the box, its faces included, in ascending order.
    ///
    /// - `low`, `high`: the corners, `[dim]`; infinity leaves a side open. A box whose `low` is above its `high` is empty.
    /// - Time about O(n^(1 - 1/dim) + m) for the m rows in the box (Bentley, CACM 1975), at most some times that of a scan.
    ///
    /// # Errors
    ///
    /// As [`VectorIndex::search`], of a corner; only NaN is not a number here.
    fn in_box(
        &self,
        low: &[f32],
        high: &[f32],
        filter: Option<&BitSet>,
        stats: &mut Stats,
    ) -> Result<Vec<Offset>, SearchError>;
}

/// Whether a row `[dim]` lies in a box, its faces included.
pub fn is_in_box(row: &[f32], low: &[f32], high: &[f32]) -> bool {
    let mut sides = row.iter().zip(low.iter().zip(high));
    sides.all(|(x, (low, high))| low <= x && x <= high)
}

/// Returns the rows of a plain slice that lie in a box, as [`SpatialIndex::in_box`] does, by looking at each.
///
/// - `rows`: `[n, dim]`; `low`, `high`: `[dim]`.
/// - Time O(m * dim) for the m rows that pass the filter.
///
/// # Panics
///
/// If `dim` is 0.
pub fn scan_box(
    rows: &[f32],
    dim: usize,
    low: &[f32],
    high: &[f32],
    filter: Option<&BitSet>,
    stats: &mut Stats,
) -> Vec<Offset> {
    let mut looked_at = 0;
    let each = rows.chunks_exact(dim).zip(0..);
    let found = each
        .filter(|&(_, offset)| filter.is_none_or(|filter| filter.contains(offset)))
        .inspect(|_| looked_at += 1)
        .filter(|(row, _)| is_in_box(row, low, high))
        .map(|(_, offset)| offset)
        .collect();
    stats.visited += looked_at;
    found
}

/// Refuses a box or a filter that does not fit an index.
pub(super) fn check_box(
    index: &dyn VectorIndex,
    low: &[f32],
    high: &[f32],
    filter: Option<&BitSet>,
) -> Result<(), SearchError> {
    let params = SearchParams {
        filter,
        ..SearchParams::default()
    };
    for corner in [low, high] {
        if let Some(component) = corner.iter().position(|x| x.is_nan()) {
            return Err(SearchError::NotFinite { component });
        }
        // Infinity is a number here.
        let finite: Vec<f32> = corner.iter().map(|x| x.clamp(f32::MIN, f32::MAX)).collect();
        check_search(index, &finite, &params)?;
    }
    Ok(())
}

/// Equal cubes that cover a box.
struct Cubes<const DIM: usize> {
    low: [f32; DIM],
    high: [f32; DIM],
    side: f32,
    /// How many there are along each axis.
    counts: [usize; DIM],
}

/// The most cubes that a box is cut into.
const CUBES_MAX: usize = 64;

impl<const DIM: usize> Cubes<DIM> {
    fn new(low: [f32; DIM], high: [f32; DIM], side: f32) -> Self {
        let count = |i: usize| {
            let length = high[i] - low[i];
            if length <= side {
                1
            } else {
                (length / side).ceil() as usize
            }
        };
        Self {
            low,
            high,
            side,
            counts: std::array::from_fn(count),
        }
    }

    fn count(&self) -> usize {
        self.counts
            .iter()
            .fold(1, |all: usize, &count| all.saturating_mul(count))
    }

    /// The centre of cube `at`, and how far its faces are, rounding included.
    fn cube(&self, mut at: usize) -> ([f32; DIM], f32) {
        let mut largest = 0f32;
        let centre = std::array::from_fn(|i| {
            let along = at % self.counts[i];
            at /= self.counts[i];
            largest = largest.max(self.low[i].abs()).max(self.high[i].abs());
            self.low[i] + (along as f32 + 0.5) * self.side
        });
        const ROUNDING: f32 = 1.0 / (1 << 20) as f32;
        (centre, self.side * 0.5 + (largest + self.side) * ROUNDING)
    }
}

impl<const DIM: usize> KdTree<DIM> {
    /// The cubes over a box within that of all rows, and about how many rows they hold if these are evenly spread, with the cost of each cube.
    ///
    /// Small cubes cover a long box closely, but each is a search of its own.
    fn cubes(&self, low: [f32; DIM], high: [f32; DIM]) -> (Cubes<DIM>, f32) {
        /// Rows that are visited in the time in which the tree is descended.
        const DESCENT: f32 = 50.0;
        let share = |i: usize, side: f32| {
            let extent = self.high[i] - self.low[i];
            if side < extent { side / extent } else { 1.0 }
        };
        let cost = |cubes: &Cubes<DIM>| {
            let rows = (0..DIM).fold(self.len() as f32, |rows, i| rows * share(i, cubes.side));
            (rows + DESCENT) * cubes.count() as f32
        };
        let longest = (0..DIM).map(|i| high[i] - low[i]).fold(0f32, f32::max);
        let sides = (0..24).map(|halvings| longest / (1u32 << halvings) as f32);
        let cut = sides
            .map(|side| Cubes::new(low, high, side))
            .take_while(|cubes| cubes.count() <= CUBES_MAX)
            .map(|cubes| (cost(&cubes), cubes));
        let best = cut.reduce(|best, next| if next.0 < best.0 { next } else { best });
        let (cost, cubes) = best.unwrap_or((f32::INFINITY, Cubes::new(low, high, longest)));
        (cubes, cost)
    }
}

impl<const DIM: usize> SpatialIndex for KdTree<DIM> {
    fn in_box(
        &self,
        low: &[f32],
        high: &[f32],
        filter: Option<&BitSet>,
        stats: &mut Stats,
    ) -> Result<Vec<Offset>, SearchError> {
        /// Rows scanned in the time in which the tree visits one.
        const SCANNED_PER_VISITED: f32 = 4.0;
        check_box(self, low, high, filter)?;
        let inner_low: [f32; DIM] = std::array::from_fn(|i| low[i].max(self.low[i]));
        let inner_high: [f32; DIM] = std::array::from_fn(|i| high[i].min(self.high[i]));
        if (0..DIM).any(|i| inner_low[i] > inner_high[i]) {
            return Ok(Vec::new());
        }
        let is_huge = self
            .low
            .iter()
            .chain(&self.high)
            .any(|x| x.abs() > COORDINATE_MAX);
        let (cubes, cost) = self.cubes(inner_low, inner_high);
        let scanned = filter.map_or(self.len(), BitSet::count);
        if is_huge || cost * SCANNED_PER_VISITED > scanned as f32 {
            let rows = self.rows.as_slice();
            return Ok(scan_box(rows, DIM, low, high, filter, stats));
        }
        let mut found = Vec::new();
        for at in 0..cubes.count() {
            let (centre, radius) = cubes.cube(at);
            let cube = self
                .tree
                .query(&centre)
                .within::<Chebyshev<f32>>(reach(radius));
            cube.unsorted().visit(|candidate| {
                stats.visited += 1;
                let offset = candidate.item;
                if filter.is_none_or(|filter| filter.contains(offset))
                    && is_in_box(self.rows.row(offset), low, high)
                {
                    found.push(offset);
                }
            });
        }
        found.sort_unstable();
        // Where cubes touch, a row is found by both.
        found.dedup();
        Ok(found)
    }
}
