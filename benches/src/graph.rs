//! A graph through a collection of a node against the same graph by itself: what lies between the index and its user.
//!
//! Both walk with the same effort, the least with which the bare graph has the recall: were they asked for a recall, the node's graph, which learns
//! from the queries that it is asked, would spend another effort than the bare one, and bring another recall.

use anyhow::{Context, Result, ensure};
use clap::Args;
use cluster::engine::Metric;
use cluster::engine::query::{SearchParams, Selection};
use index::{Effort, Graph, GraphSearch, Neighbor, SearchError};
use serde_json::json;

use crate::bare;
use crate::measure::{Pairs, Ratio, pairs};
use crate::node::{Exact, Loaded, offsets};
use crate::peers::{Set, Vectors};
use crate::report::{Cell, Report, Table};

const K: usize = 10;
/// Queries that one side does before the other has its turn.
const CHUNK: usize = 50;
/// Share of the bare graph's speed that a collection must have.
const RATIO_MIN: f64 = 0.85;
const TARGETS: [f64; 2] = [0.95, 0.99];

/// What to measure.
#[derive(Args, Debug)]
pub struct GraphArgs {
    /// Rows and queries.
    #[arg(long, value_enum, default_value = "minilm40k")]
    set: Set,
    /// Interleaved pairs.
    #[arg(long, default_value_t = 15)]
    pairs: usize,
}

/// Measures.
///
/// # Errors
///
/// The data is absent, or the node refuses something.
pub fn run(args: &GraphArgs, seed: u64) -> Result<Report> {
    let Vectors { base, queries } = args.set.vectors(seed)?;
    let mut report = Report::new(
        "graph",
        json!({ "set": format!("{:?}", args.set), "k": K, "pairs": args.pairs }),
    );
    let exact = Exact::find(&base, &queries, Metric::L2, K)?;
    let loaded = Loaded::new(&base, Metric::L2)?;
    ensure!(
        loaded.structures().starts_with("graph over") && !loaded.structures().contains(','),
        "the collection has {}, not one graph",
        loaded.structures()
    );
    let graph = bare::graph(&bare::rows(&base), 0);
    let asked = bare::lists(&queries);

    let mut table = Table::new(
        format!(
            "{:?}: a collection against its bare graph, one thread, CPU time",
            args.set
        ),
        &[
            "target",
            "ef",
            "answers",
            "recall_bare",
            "recall_node",
            "QPS_bare",
            "QPS_node",
            "ratio",
            "low",
            "high",
        ],
    );
    for target in TARGETS {
        let (ef, recall_bare) = effort_for(&graph, &asked, &exact, target)?;
        let alone = |query: &[f32]| search_bare(&graph, query, ef);
        let params = SearchParams {
            ef: Some(ef),
            ..SearchParams::default()
        };
        for (name, payload) in [("ids", Selection::None), ("payloads", Selection::All)] {
            let through = |query: &[f32]| loaded.search_with(query, K, &params, &payload);
            let found: Vec<Vec<u32>> = asked
                .iter()
                .map(|query| offsets(&through(query)?))
                .collect::<Result<_>>()?;
            let recall_node = exact.recall(&found);
            let mut failed = None;
            let measured: Pairs = pairs(
                args.pairs,
                asked.len(),
                CHUNK,
                |range| {
                    for query in &asked[range] {
                        if let Err(error) = through(query) {
                            failed = Some(error);
                        }
                    }
                },
                |range| {
                    for query in &asked[range] {
                        std::hint::black_box(alone(query).is_ok());
                    }
                },
            );
            if let Some(error) = failed {
                return Err(error).context("a query through the node");
            }
            let Ratio {
                median,
                interval: [low, high],
            } = measured.ratio();
            let [node_qps, bare_qps] = measured.rates();
            let number = |value: f64| Cell::Number(value, 3);
            table.push(vec![
                Cell::Number(target, 2),
                ef.into(),
                name.into(),
                Cell::Number(recall_bare, 4),
                Cell::Number(recall_node, 4),
                Cell::Number(bare_qps, 0),
                Cell::Number(node_qps, 0),
                number(median),
                number(low),
                number(high),
            ]);
            report.goal(
                format!("target {target}, {name}: node/bare >= {RATIO_MIN}"),
                format!("{median:.3} [{low:.3}, {high:.3}]"),
                median >= RATIO_MIN,
            );
        }
    }
    report.table(table);
    Ok(report)
}

fn search_bare(graph: &Graph, query: &[f32], ef: usize) -> Result<Vec<Neighbor>, SearchError> {
    let effort = Effort::Stop {
        ef,
        gamma: f32::INFINITY,
    };
    let answer = graph.search(query, &GraphSearch::new(K, effort))?;
    Ok(answer.neighbors)
}

/// The least effort, in steps of a twentieth, with which the bare graph has the recall, and that recall.
fn effort_for(
    graph: &Graph,
    asked: &[Vec<f32>],
    exact: &Exact<'_>,
    target: f64,
) -> Result<(usize, f64)> {
    let mut ef = K;
    loop {
        let offsets = |query: &Vec<f32>| -> Result<Vec<u32>> {
            let found = search_bare(graph, query, ef)?;
            Ok(bare::offsets(&found))
        };
        let found: Vec<Vec<u32>> = asked.iter().map(offsets).collect::<Result<_>>()?;
        let recall = exact.recall(&found);
        if recall >= target {
            return Ok((ef, recall));
        }
        ensure!(
            ef < graph.len(),
            "the graph has recall {recall} when it walks over everything, expected {target}"
        );
        ef += ef.div_ceil(20);
    }
}
