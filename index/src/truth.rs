//! Ground truth for many queries at once.

use rayon::prelude::*;

use crate::{Metric, Neighbor, Offset, TopK};

/// The exact `k` nearest rows of every query, on all threads: what recall@k is measured against.
///
/// The same answers as [`crate::scan`] gives one by one, several times faster: a block of rows that fits the cache is
/// compared with a group of queries before the next block is fetched.
///
/// - `queries`: `[m, dim]`; `rows`: `[n, dim]`; of unit length if the metric is cosine.
/// - Returns m lists, nearest first, equal distances by offset.
/// - Time O(m * n * dim), extra space O(m * min(k, n)).
///
/// # Panics
///
/// If `queries` or `rows` are not whole rows of `dim` components, or the rows are more than offsets.
pub fn ground_truth(
    metric: Metric,
    queries: &[f32],
    rows: &[f32],
    dim: usize,
    k: usize,
) -> Vec<Vec<Neighbor>> {
    /// Queries that share a block of rows.
    const GROUP: usize = 64;
    /// Bytes of a block of rows: half of a common second-level cache.
    const BLOCK_BYTES: usize = 512 << 10;

    assert!(
        dim > 0 && queries.len().is_multiple_of(dim) && rows.len().is_multiple_of(dim),
        "not rows of dim {dim}"
    );
    assert!(
        rows.len() / dim <= Offset::MAX as usize,
        "{} rows are more than offsets",
        rows.len() / dim
    );
    let block = (BLOCK_BYTES / (dim * size_of::<f32>())).max(16);
    let kernel = metric.kernel();
    let answer_group = |queries: &[f32]| {
        let mut tops: Vec<TopK> = (0..queries.len() / dim).map(|_| TopK::new(k)).collect();
        let mut distances = vec![0.0; block];
        for (block_idx, rows) in rows.chunks(block * dim).enumerate() {
            let distances = &mut distances[..rows.len() / dim];
            for (query, top) in queries.chunks(dim).zip(&mut tops) {
                kernel.rows(query, rows, distances);
                metric.of_raws(distances);
                top.push_consecutive((block_idx * block) as Offset, distances);
            }
        }
        tops.into_iter().map(TopK::into_sorted).collect::<Vec<_>>()
    };
    queries
        .par_chunks(GROUP * dim)
        .flat_map_iter(answer_group)
        .collect()
}
