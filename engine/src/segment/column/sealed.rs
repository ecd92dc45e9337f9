//! Dense rows of a sealed segment, and the structure over them.

use std::sync::{Arc, OnceLock};

use index::{
    Effort, GraphSearch, IndexKind, Metric, RECALL_DEFAULT, SearchParams, Stats, VectorIndex,
};
use parking_lot::Mutex;

use super::Found;
use crate::error::{Error, Result};
use crate::query;
use crate::segment::graph::{GraphFile, SealedRows, Seed};

/// Mapped rows and the structure over them.
#[derive(Clone)]
pub(super) struct Sealed {
    pub rows: SealedRows,
    /// What was chosen when the segment was sealed.
    pub kind: IndexKind,
    pub reason: String,
    /// Empty until it is built in the background: after sealing a graph, after a start a k-d tree, which cannot be mapped.
    pub structure: Arc<OnceLock<Structure>>,
    /// From what the graph is built; taken when that begins.
    pub seed: Arc<Mutex<Option<Seed>>>,
}

pub(super) enum Structure {
    /// Rows are compared one by one: there is no other, or it cannot take these rows.
    Scan,
    Tree(Box<dyn VectorIndex>),
    Graph(Arc<GraphFile>),
}

impl Structure {
    fn kind(&self) -> IndexKind {
        match self {
            Self::Scan => IndexKind::Flat,
            Self::Tree(tree) => tree.kind(),
            Self::Graph(_) => IndexKind::Graph,
        }
    }

    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Scan => 0,
            Self::Tree(tree) => tree.memory(),
            Self::Graph(file) => file.graph.memory(),
        }
    }
}

impl Sealed {
    /// What it is searched by, or will be.
    pub fn kind(&self) -> IndexKind {
        let built = self.structure.get();
        built.map_or(self.kind, Structure::kind)
    }

    /// Bytes of the structure on the heap.
    pub fn structure_bytes(&self) -> usize {
        self.structure.get().map_or(0, Structure::heap_bytes)
    }

    /// The nearest rows, by row of the column.
    pub fn search(
        &self,
        metric: Metric,
        query: &[f32],
        scan: &SearchParams<'_>,
        params: &query::SearchParams,
    ) -> Result<Found> {
        let flat = IndexKind::Flat;
        let kind = self.kind();
        let scanned_because = match (params.index, self.structure.get()) {
            (Some(forced), _) if forced != kind && forced != flat => {
                return Err(Error::invalid(format!(
                    "params.index: this collection's segments have {}; leave it out, ask for \"flat\", or create the \
                     collection with the index you want",
                    kind.name()
                )));
            }
            (Some(forced), _) if forced != kind => "asked for by the query",
            (_, None) if kind == IndexKind::Graph => "scanned while the graph is built",
            (_, None) => "scanned while the k-d tree is built again after the start",
            (_, Some(Structure::Scan)) => &self.reason,
            (_, Some(Structure::Graph(_))) if params.exact => "compared exactly, as the query asks",
            (_, Some(Structure::Graph(_))) if params.is_exact() => {
                "compared exactly, as a target recall of 1 asks"
            }
            (_, Some(Structure::Tree(tree))) => {
                let mut stats = Stats::default();
                let neighbors = tree
                    .search(query, scan, &mut stats)
                    .map_err(|error| Error::invalid(error.to_string()))?;
                return Ok(Found::exact(neighbors, kind, &self.reason, stats));
            }
            (_, Some(Structure::Graph(file))) => {
                return self.search_graph(file, query, scan, params);
            }
        };
        let mut stats = Stats::default();
        let found = match &self.rows {
            SealedRows::Own(rows) => {
                let rows = rows.as_slice();
                index::scan(metric, query, rows, query.len(), scan, &mut stats)
            }
            SealedRows::Placed(placed) => placed.scan(metric, query, scan, &mut stats),
        };
        Ok(Found::exact(found, flat, scanned_because, stats))
    }

    fn search_graph(
        &self,
        file: &Arc<GraphFile>,
        query: &[f32],
        scan: &SearchParams<'_>,
        params: &query::SearchParams,
    ) -> Result<Found> {
        let effort = match (params.ef, params.target_recall) {
            (_, Some(target)) => Effort::Recall(target),
            (Some(ef), None) => Effort::Stop {
                ef,
                gamma: f32::INFINITY,
            },
            (None, None) => Effort::Recall(RECALL_DEFAULT),
        };
        let search = GraphSearch {
            k: scan.k,
            effort,
            filter: scan.filter,
            max_distance: None,
        };
        let answer = file
            .graph
            .search(query, &search)
            .map_err(|error| Error::invalid(error.to_string()))?;
        if search.passes_most(file.graph.len()) {
            file.note(query);
        }
        if search.filter.is_some() {
            file.note_filtered();
        }
        Ok(Found {
            neighbors: answer.neighbors,
            index: IndexKind::Graph.name(),
            reason: self.reason.clone(),
            stats: answer.stats,
            route: Some(answer.route),
            encoding: Some(file.graph.codes().coding().encoding()),
            recall: answer.recall,
        })
    }
}
