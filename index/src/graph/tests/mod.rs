//! What graphs promise, and the rows that they are tried on.

mod build;
mod merge;
mod recall;
mod search;
mod stored;

use std::sync::Arc;

use super::*;
use crate::random::Random;
use crate::{BitSet, Encoding, Guard, Neighbor, Rows, SearchParams, Stats, normalize, scan};

/// Rows around some centers in a space of few dimensions that is bent into `dim`: as embeddings are.
fn rows_like(metric: Metric, n: usize, dim: usize, seed: u64) -> Rows {
    const HIDDEN: usize = 12;
    let mut map = Random::new(77);
    let bends: Vec<f32> = (0..HIDDEN * dim).map(|_| map.signed_unit()).collect();
    let centers: Vec<f32> = (0..HIDDEN * 30).map(|_| map.signed_unit()).collect();
    let mut random = Random::new(seed);
    let mut values = Vec::with_capacity(n * dim);
    for _ in 0..n {
        let center = &centers[random.below(30) * HIDDEN..][..HIDDEN];
        let hidden: Vec<f32> = center
            .iter()
            .map(|x| x + 0.7 * random.signed_unit())
            .collect();
        // Lengths differ for dot products.
        let length = 1.0 + 0.3 * random.signed_unit();
        let mut row: Vec<f32> = bends
            .chunks_exact(HIDDEN)
            .map(|bend| {
                let along: f32 = bend.iter().zip(&hidden).map(|(a, b)| a * b).sum();
                along.sin() * length + 0.05 * random.signed_unit()
            })
            .collect();
        if metric.normalizes() {
            normalize(&mut row);
        }
        values.extend(row);
    }
    Rows::new(dim, values)
}

/// Rows around centres that are far from each other: `[n, dim]`.
fn clustered(n: usize, dim: usize, clusters: usize, spread: f32, seed: u64) -> Rows {
    let mut centers = Random::new(91);
    let centers: Vec<f32> = (0..clusters * dim).map(|_| centers.signed_unit()).collect();
    let mut random = Random::new(seed);
    let mut normal = move || (0..6).map(|_| random.signed_unit()).sum::<f32>() / 2f32.sqrt();
    let values = (0..n * dim)
        .map(|i| centers[i / dim % clusters * dim + i % dim] + spread * normal())
        .collect();
    Rows::new(dim, values)
}

fn train(metric: Metric, encoding: Encoding) -> TrainParams {
    TrainParams {
        encoding,
        metric,
        seed: 3,
        guard: Guard::Replace,
    }
}

fn build(rows: &Rows, metric: Metric) -> Graph {
    Graph::build(
        Arc::new(rows.clone()),
        &train(metric, Encoding::Sq8),
        &BuildParams::default(),
    )
}

/// A graph's parts as a file would give them back.
fn stored(graph: &Graph, rows: &Rows, header: &[u8]) -> Result<Graph, GraphError> {
    Graph::stored(StoredGraph {
        header,
        codes: Arc::new(graph.codes().as_bytes().to_vec()),
        edges: Arc::new(graph.edges().to_vec()),
        rows: Arc::new(rows.clone()),
    })
}

fn exact(
    metric: Metric,
    query: &[f32],
    rows: &Rows,
    k: usize,
    filter: Option<&BitSet>,
) -> Vec<Neighbor> {
    let params = SearchParams {
        filter,
        ..SearchParams::new(k)
    };
    scan(
        metric,
        query,
        rows.as_slice(),
        rows.dim(),
        &params,
        &mut Stats::default(),
    )
}

/// Mean recall@10 of a graph's answers; ties count as found.
fn recall(graph: &Graph, rows: &Rows, queries: &Rows, effort: Effort) -> f64 {
    recall_at(10, graph, rows, queries, effort)
}

fn recall_at(k: usize, graph: &Graph, rows: &Rows, queries: &Rows, effort: Effort) -> f64 {
    let mut found = 0;
    for i in 0..queries.len() as Offset {
        let query = queries.row(i);
        let answer = graph.search(query, &GraphSearch::new(k, effort)).unwrap();
        let farthest = exact(graph.metric(), query, rows, k, None)[k - 1].distance;
        assert_eq!(answer.neighbors.len(), k);
        assert!(answer.neighbors.is_sorted());
        found += count_within(&answer.neighbors, farthest);
    }
    found as f64 / (k * queries.len()) as f64
}

fn count_within(neighbors: &[Neighbor], farthest: f32) -> usize {
    neighbors
        .iter()
        .filter(|near| near.distance <= farthest)
        .count()
}

/// The number of rows that can be reached from the entry.
fn reached(graph: &Graph) -> usize {
    let mut seen = BitSet::new(graph.len());
    let mut waiting = Vec::new();
    if !graph.is_empty() {
        seen.insert(graph.entry);
        waiting.push(graph.entry);
    }
    while let Some(row) = waiting.pop() {
        waiting.extend(
            graph
                .view()
                .neighbors(row)
                .filter(|&edge| seen.insert(edge)),
        );
    }
    seen.count()
}
