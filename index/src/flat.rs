//! The exact scan: every row is compared, so the answer is the ground truth of recall@k.

use crate::bitset::Bits;
use crate::distance::{Kernel, SHORT_DIM_MAX};
use crate::vector_index::check_search;
use crate::{
    BitSet, IndexKind, Metric, Neighbor, Offset, Rows, SearchError, SearchParams, Stats, TopK,
    VectorIndex,
};

/// Rows without a structure: [`scan`] behind the [`VectorIndex`] trait.
#[derive(Clone, Debug)]
pub struct Flat {
    metric: Metric,
    rows: Rows,
}

impl Flat {
    /// Serves these rows, which are of unit length if the metric is cosine.
    pub fn new(metric: Metric, rows: Rows) -> Self {
        Self { metric, rows }
    }
}

impl VectorIndex for Flat {
    fn kind(&self) -> IndexKind {
        IndexKind::Flat
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
        Ok(scan(
            self.metric,
            query,
            self.rows.as_slice(),
            self.rows.dim(),
            params,
            stats,
        ))
    }

    fn memory(&self) -> usize {
        0
    }
}

/// Returns the `params.k` nearest rows of a plain slice, nearest first, equal distances by offset.
///
/// This is how a growing segment is searched, whose rows belong to no index yet.
///
/// - `query`: `[dim]`; of unit length, as the rows, if the metric is cosine.
/// - `rows`: `[n, dim]`.
/// - `params.filter` may be shorter than `n`: the rows it does not cover do not answer.
/// - Time O(m * dim) for the m rows that pass the filter, extra space O(min(k, m)).
///
/// # Panics
///
/// If the query is not `dim` long, `rows` does not consist of whole rows, or they are more than offsets.
pub fn scan(
    metric: Metric,
    query: &[f32],
    rows: &[f32],
    dim: usize,
    params: &SearchParams<'_>,
    stats: &mut Stats,
) -> Vec<Neighbor> {
    assert_eq!(query.len(), dim, "query of another dim");
    assert!(
        dim > 0 && rows.len().is_multiple_of(dim),
        "{} values are not whole rows of dim {dim}",
        rows.len()
    );
    assert!(
        rows.len() / dim <= Offset::MAX as usize,
        "{} rows are more than offsets",
        rows.len() / dim
    );
    let mut top = TopK::within(params.k, params.max_distance);
    if params.k > 0 {
        let scan = Scan {
            metric,
            kernel: metric.kernel(),
            query,
            rows,
            dim,
        };
        let compared = match params.filter {
            None => scan.all(&mut top),
            Some(filter) => scan.filtered(filter, &mut top),
        };
        stats.visited += compared;
        stats.distance_calls += compared;
    }
    top.into_sorted()
}

struct Scan<'a> {
    metric: Metric,
    kernel: &'static Kernel,
    /// `[dim]`
    query: &'a [f32],
    /// `[n, dim]`
    rows: &'a [f32],
    dim: usize,
}

impl Scan<'_> {
    /// Compares all rows; returns how many.
    fn all(&self, top: &mut TopK) -> u64 {
        /// Rows whose distances are computed before they are looked at: enough to pay for the call, and 1 KiB.
        const BLOCK: usize = 256;
        let mut distances = [0.0; BLOCK];
        for (block_idx, block) in self.rows.chunks(BLOCK * self.dim).enumerate() {
            let distances = &mut distances[..block.len() / self.dim];
            self.compare(block, distances);
            top.push_consecutive((block_idx * BLOCK) as Offset, distances);
        }
        (self.rows.len() / self.dim) as u64
    }

    /// Compares the members of the filter; returns how many distances it computed.
    ///
    /// Decides for every 64 rows whether to compare them all and drop some, or to compare the members one by one.
    fn filtered(&self, filter: &BitSet, top: &mut TopK) -> u64 {
        // From so many members of 64 on, comparing all 64 in one go is faster. Rows of a few components are hardly worth
        // a call each.
        let dense = if self.dim <= SHORT_DIM_MAX { 12 } else { 32 };
        let mut distances = [0.0; 64];
        let mut compared = 0;
        for (word_idx, (&word, rows)) in filter
            .words()
            .iter()
            .zip(self.rows.chunks(64 * self.dim))
            .enumerate()
        {
            let first = word_idx as Offset * 64;
            let n = rows.len() / self.dim;
            // The filter of a growing segment may cover other rows than these.
            let word = if n < 64 { word & ((1 << n) - 1) } else { word };
            if word.count_ones() >= dense {
                self.compare(rows, &mut distances[..n]);
                top.push_selected(first, &distances[..n], word);
                compared += n as u64;
            } else {
                for bit in Bits(word) {
                    let row = &rows[bit as usize * self.dim..(bit as usize + 1) * self.dim];
                    top.push(
                        first + bit,
                        self.metric.of_raw(self.kernel.one(self.query, row)),
                    );
                }
                compared += u64::from(word.count_ones());
            }
        }
        compared
    }

    fn compare(&self, rows: &[f32], distances: &mut [f32]) {
        self.kernel.rows(self.query, rows, distances);
        self.metric.of_raws(distances);
    }
}
