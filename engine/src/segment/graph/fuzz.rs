//! The door to graph files for a fuzzer: the parts that a graph is made of, behind a frame that is the one of segment files.

use std::sync::{Arc, LazyLock};

use index::{
    BitSet, BuildParams, Effort, Graph, GraphSearch, Metric, Offset, Rows, StoredGraph, TrainParams,
};

/// Enough for calibration.
const ROWS: usize = 300;
const DIM: usize = 4;

/// The same rows for every input, some of them equal.
static ALL: LazyLock<Rows> = LazyLock::new(|| {
    let number = |at: usize| ((at / 3 * 7919) % 1013) as f32 / 100.0;
    Rows::new(DIM, (0..ROWS * DIM).map(number).collect())
});

/// Length of the header and of the codes, u16 each, then these, then the edges.
pub(crate) fn graph(bytes: &[u8]) {
    let Some(([a, b, c, d], rest)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let cut = |rest: &[u8], low: u8, high: u8| {
        let length = usize::from(u16::from_le_bytes([low, high]));
        length.min(rest.len())
    };
    let (header, rest) = rest.split_at(cut(rest, *a, *b));
    let (codes, rest) = rest.split_at(cut(rest, *c, *d));
    let (edges, _) = rest.as_chunks::<4>();
    let edges: Vec<u32> = edges.iter().map(|edge| u32::from_le_bytes(*edge)).collect();
    let stored = Graph::stored(StoredGraph {
        header,
        codes: Arc::new(codes.to_vec()),
        edges: Arc::new(edges),
        rows: Arc::new(ALL.clone()),
    });
    let Ok(graph) = stored else { return };
    assert_eq!(graph.header(), header);
    let some = BitSet::from_offsets(ROWS, (0..ROWS as Offset).step_by(5));
    for k in [1, 10, ROWS + 1] {
        for effort in [Effort::Recall(0.5), Effort::Recall(1.0), Effort::Exact] {
            for filter in [None, Some(&some)] {
                let search = GraphSearch {
                    filter,
                    ..GraphSearch::new(k, effort)
                };
                let answer = graph.search(ALL.row(7), &search).expect("it fits");
                let found = &answer.neighbors;
                let members = filter.map_or(ROWS, BitSet::count);
                assert_eq!(found.len(), k.min(members));
                assert!(found.is_sorted());
                let may_answer = |offset| filter.is_none_or(|set| set.contains(offset));
                assert!(found.iter().all(|hit| may_answer(hit.offset)));
            }
        }
    }
    let _ = graph.observe(ALL.row(9));
}

/// A graph of few edges, for two metrics.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let params = BuildParams {
        degree: 4,
        threads: 1,
        ..BuildParams::default()
    };
    let seed = |metric| {
        let graph = Graph::build(Arc::new(ALL.clone()), &TrainParams::new(metric), &params);
        let (header, codes) = (graph.header(), graph.codes().as_bytes());
        let mut seed = Vec::new();
        for length in [header.len(), codes.len()] {
            let length = u16::try_from(length).expect("it is small");
            seed.extend(length.to_le_bytes());
        }
        seed.extend(&header);
        seed.extend(codes);
        seed.extend(graph.edges().iter().flat_map(|edge| edge.to_le_bytes()));
        seed
    };
    [Metric::L2, Metric::Dot].map(seed).into()
});

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    SEEDS.clone()
}
