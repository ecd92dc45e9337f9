//! The exact scan: every row is compared, so the answer is the ground truth of recall@k.

use crate::vector_index::check_search;
use crate::{
    BlockScan, IndexKind, Metric, Neighbor, Rows, SearchError, SearchParams, Stats, VectorIndex,
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
/// [`BlockScan`] does the same for rows that come in blocks.
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
    let mut scan = BlockScan::new(metric, query, params);
    scan.rows(0, rows, None);
    scan.finish(stats)
}
