//! Dense rows of a sealed segment, and the structure over them.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use index::{
    Approximation, BlockScan, Effort, GraphSearch, IndexKind, Metric, Neighbor, Offset,
    RECALL_DEFAULT, RowSource, SearchParams, Stats, VectorIndex,
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
    /// Of the rows, for as long as they are scanned.
    pub approximations: Arc<ArcSwapOption<Approximations>>,
}

/// Approximations of all rows of a column.
pub(super) struct Approximations {
    /// By block of [`BLOCK`] rows.
    blocks: Vec<Option<Approximation>>,
    bytes: usize,
}

/// Rows of a block.
const BLOCK: usize = 1024;

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

    /// Whether its rows should have approximations, and have none: they are scanned, until there is a graph or for good.
    pub fn lacks_approximations(&self, metric: Metric) -> bool {
        let is_scanned = match self.structure.get() {
            None => self.kind == IndexKind::Graph,
            Some(structure) => matches!(structure, Structure::Scan),
        };
        is_scanned
            && self.rows.len() > 0
            && Approximation::serves(metric, self.rows.dim())
            && self.approximations.load().is_none()
    }

    /// Approximates its rows. Time O(n * dim).
    pub fn approximate(&self, metric: Metric) {
        let n = self.rows.len();
        let block = |first: usize| {
            let rows = (first..n.min(first + BLOCK)).map(|row| self.rows.row(row));
            Approximation::of(metric, self.rows.dim(), rows)
        };
        let blocks: Vec<_> = (0..n).step_by(BLOCK).map(block).collect();
        let bytes = blocks.iter().flatten().map(Approximation::memory).sum();
        let made = Approximations { blocks, bytes };
        self.approximations.store(Some(Arc::new(made)));
        // Mapped meanwhile: whoever mapped it may have been earlier.
        if let Some(Structure::Graph(_)) = self.structure.get() {
            self.approximations.store(None);
        }
    }

    /// Bytes of the approximations.
    pub fn approximation_bytes(&self) -> usize {
        let approximations = self.approximations.load();
        approximations.as_ref().map_or(0, |made| made.bytes)
    }

    /// The nearest rows, each compared or known to be too far.
    fn scan(
        &self,
        metric: Metric,
        query: &[f32],
        params: &SearchParams<'_>,
        stats: &mut Stats,
    ) -> Vec<Neighbor> {
        let approximations = self.approximations.load();
        let of = |at: usize| approximations.as_ref()?.blocks.get(at)?.as_ref();
        let mut scan = BlockScan::new(metric, query, params);
        match &self.rows {
            SealedRows::Own(rows) => {
                let blocks = rows.as_slice().chunks(BLOCK * rows.dim());
                for (at, rows) in blocks.enumerate() {
                    scan.rows((at * BLOCK) as Offset, rows, of(at));
                }
            }
            SealedRows::Placed(rows) => {
                for (at, first) in (0..rows.len()).step_by(BLOCK).enumerate() {
                    let count = BLOCK.min(rows.len() - first);
                    scan.source(first as Offset, count, &self.rows, of(at));
                }
            }
        }
        scan.finish(stats)
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
        let found = self.scan(metric, query, scan, &mut stats);
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
