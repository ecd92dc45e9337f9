//! A graph by itself, without a node around it, and queries as lists.

use std::sync::Arc;

use anyhow::Result;
use index::{BuildParams, Graph, GraphSearch, Metric, Neighbor, Rows, TrainParams};
use ndarray::Array2;

/// The graph over these rows by squared L2, with the default codes; 0 threads for all there are.
pub fn graph(rows: &Rows, threads: usize) -> Graph {
    let params = BuildParams {
        threads,
        ..BuildParams::default()
    };
    Graph::build(
        Arc::new(rows.clone()),
        &TrainParams::new(Metric::L2),
        &params,
    )
}

/// The rows of a matrix, as the index has them.
pub fn rows(base: &Array2<f32>) -> Rows {
    Rows::new(base.ncols(), base.iter().copied().collect())
}

/// Queries one by one.
pub fn lists(queries: &Array2<f32>) -> Vec<Vec<f32>> {
    queries.rows().into_iter().map(|row| row.to_vec()).collect()
}

/// The offsets of neighbours.
pub fn offsets(neighbors: &[Neighbor]) -> Vec<u32> {
    neighbors.iter().map(|neighbor| neighbor.offset).collect()
}

/// What a graph answers to each query.
///
/// # Errors
///
/// A query does not fit.
pub fn answers(
    graph: &Graph,
    queries: &[Vec<f32>],
    search: &GraphSearch<'_>,
) -> Result<Vec<Vec<u32>>> {
    let answer = |query: &Vec<f32>| Ok(offsets(&graph.search(query, search)?.neighbors));
    queries.iter().map(answer).collect()
}
