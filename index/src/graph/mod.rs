//! A graph over codes: the approximate structure for vectors of many dimensions.
//!
//! One flat graph (no levels: arXiv 2412.01940 finds none needed above some 30 dimensions) whose edges lead to near rows
//! in all directions. A search [walks](walk) from the entry towards the query, comparing codes, and compares the few rows
//! that came out nearest in full. [`build`] makes the edges from partitions of all rows at once.
//!
//! - Every graph is **calibrated**: long walks for a sample of its rows, compared with the exact answer, tell which effort
//!   brings which recall ([`Calibration`]). A search asks for a recall, not for an `ef`, and its answer carries the estimate.
//! - A **filter** is met by walking on until enough rows match, or by scanning the codes of the members, whichever costs
//!   less ([`Costs`]); a walk that costs more than it should is given up for the scan.
//! - A graph is codes, edges and a few numbers: [`Graph::header`], [`Graph::edges`] and [`Codes::as_bytes`] are what a
//!   file holds, and [`Graph::stored`] takes them back from wherever they are mapped, checked once.
//! - [`Graph::merged`] builds the graph of several segments from the largest one's.

mod build;
mod calibrate;
mod calibration;
mod costs;
mod filtered;
mod merge;
mod search;
mod stored;
mod trace;
mod visited;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use build::{BuildParams, IsCancelled};
pub use calibration::{Calibration, Point};
pub use costs::Costs;
pub use merge::Origin;
pub use search::{Answer, Effort, GraphSearch, RECALL_DEFAULT, Route};
pub use stored::{GraphError, StoredGraph};

use crate::aligned::Aligned;
use crate::quantizer::RowSource;
use crate::{Codes, Metric, Offset, TrainParams};
use costs::CostsCell;
use walk::{GraphView, Scratch};

/// Edges over the rows of one segment, with their codes. Immutable but for what it learns from queries; shared by threads.
///
/// ```
/// use std::sync::Arc;
/// use index::{BuildParams, Effort, Encoding, Graph, GraphSearch, Guard, Metric, Rows, TrainParams};
///
/// let mut state = 1u32;
/// let mut noise = || {
///     state ^= state << 13;
///     state ^= state >> 17;
///     state ^= state << 5;
///     state as f32 / u32::MAX as f32
/// };
/// let rows = Rows::new(16, (0..2000 * 16).map(|_| noise()).collect());
/// let train = TrainParams { encoding: Encoding::Sq8, metric: Metric::L2, seed: 1, guard: Guard::Replace };
/// let graph = Graph::build(Arc::new(rows.clone()), &train, &BuildParams::default());
/// let answer = graph.search(rows.row(7), &GraphSearch::new(3, Effort::Recall(0.98)))?;
/// assert_eq!((answer.neighbors[0].offset, answer.neighbors[0].distance), (7, 0.0));
/// assert!(answer.recall.is_some_and(|recall| recall > 0.9));
/// # Ok::<(), index::SearchError>(())
/// ```
pub struct Graph {
    codes: Codes,
    rows: Arc<dyn RowSource>,
    edges: Edges,
    /// At most [`walk::DEGREE_MAX`].
    degree: usize,
    /// A row, unless there is none.
    entry: Offset,
    alpha: f32,
    /// The recall that the greatest effort brought when the graph was last built anew: merges are held to it.
    best_anew: Option<f32>,
    learned: RwLock<Learned>,
    costs: CostsCell,
    /// Whether a walk met an edge that leads to no row.
    is_damaged: AtomicBool,
    scratches: Mutex<Vec<Scratch>>,
}

/// `[n, degree]`; every edge is a row or [`walk::NO_EDGE`].
enum Edges {
    Owned(Aligned<u32>),
    Shared(Arc<dyn AsRef<[u32]> + Send + Sync>),
}

/// What was measured.
#[derive(Clone, Debug, Default)]
struct Learned {
    /// On rows of the graph, when it was built.
    built: Calibration,
    /// On queries that were really asked.
    observed: Option<Calibration>,
    /// The last of these, from which the next calibration is made.
    traces: VecDeque<Arc<trace::Trace>>,
    /// How many there were.
    asked: u64,
}

impl Graph {
    /// Learns a coding, writes codes, builds the edges, and calibrates.
    ///
    /// - `rows`: of unit length if the metric is cosine; kept, to compare candidates in full.
    /// - Time about 35 us a row of 384 components and core, and about 10 us more of 4-bit and 1-bit codes; extra space about 0.8 KiB a row while it
    ///   builds.
    ///
    /// Equal rows and parameters make equal graphs, whatever the number of threads.
    ///
    /// # Panics
    ///
    /// As [`crate::train`]; if there are more than 2^31 rows.
    pub fn build(rows: Arc<dyn RowSource>, train: &TrainParams, params: &BuildParams) -> Self {
        let built = Self::build_unless(rows, train, params, &|| false);
        built.expect("nobody cancels it")
    }

    /// As [`Self::build`], or `None` if it was cancelled.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn build_unless(
        rows: Arc<dyn RowSource>,
        train: &TrainParams,
        params: &BuildParams,
        is_cancelled: IsCancelled<'_>,
    ) -> Option<Self> {
        in_pool(params.threads, || {
            let codes = Codes::build(&*rows, train);
            Self::over(codes, rows, params, is_cancelled)
        })
    }

    /// Builds the edges over codes that are there.
    pub(crate) fn over(
        codes: Codes,
        rows: Arc<dyn RowSource>,
        params: &BuildParams,
        is_cancelled: IsCancelled<'_>,
    ) -> Option<Self> {
        if is_cancelled() {
            return None;
        }
        let params = params.clamped();
        let material = build::Material::new(&codes, &*rows, is_cancelled);
        let built = build::build(&material, &params)?;
        drop(material);
        let (edges, entry) = (built.edges, built.entry);
        let mut graph = Self::assemble(codes, rows, edges, entry, &params, is_cancelled)?;
        let best = graph.calibrations().0.best(merge::MEASURED_K);
        graph.best_anew = best.map(|point| point.recall);
        Some(graph)
    }

    /// A graph of these parts, calibrated; `None` if it was cancelled.
    fn assemble(
        codes: Codes,
        rows: Arc<dyn RowSource>,
        edges: Aligned<u32>,
        entry: Offset,
        params: &BuildParams,
        is_cancelled: IsCancelled<'_>,
    ) -> Option<Self> {
        let mut graph = Self {
            costs: CostsCell::default(),
            is_damaged: AtomicBool::new(false),
            codes,
            rows,
            edges: Edges::Owned(edges),
            degree: params.degree,
            entry,
            alpha: params.alpha,
            best_anew: None,
            learned: RwLock::default(),
            scratches: Mutex::default(),
        };
        graph.calibrate(params.seed, is_cancelled);
        (!is_cancelled()).then_some(graph)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The number of components of a row.
    pub fn dim(&self) -> usize {
        self.codes.coding().dim()
    }

    /// By what rows are compared.
    pub fn metric(&self) -> Metric {
        self.codes.coding().metric()
    }

    /// The codes of the rows.
    pub fn codes(&self) -> &Codes {
        &self.codes
    }

    /// All edges, `[n, degree]`: what a file holds and [`Graph::stored`] takes.
    pub fn edges(&self) -> &[u32] {
        match &self.edges {
            Edges::Owned(edges) => edges.as_slice(),
            Edges::Shared(edges) => (**edges).as_ref(),
        }
    }

    /// The most edges of a row.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// What was measured: on the graph's own rows, and on queries that were asked, if these are enough.
    pub fn calibrations(&self) -> (Calibration, Option<Calibration>) {
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
        (learned.built.clone(), learned.observed.clone())
    }

    /// Whether a walk met an edge that leads to no row: what [`Graph::stored`] was given has changed since. It is searched by scans from then on.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// Bytes held here, what is mapped not included: codes, edges, and the memory of searches.
    pub fn memory(&self) -> usize {
        let edges = match &self.edges {
            Edges::Owned(edges) => size_of_val(edges.as_slice()),
            Edges::Shared(_) => 0,
        };
        let scratches = self
            .scratches
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.codes.memory() + edges + scratches.len() * self.len().min(4 << 20) * 2
    }

    fn view(&self) -> GraphView<'_> {
        GraphView {
            edges: self.edges(),
            degree: self.degree,
            codes: self.codes.view(),
            entry: self.entry,
        }
    }

    /// Lends memory for a walk.
    fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch) -> R) -> R {
        let pooled = self
            .scratches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut scratch = pooled.unwrap_or_else(|| Scratch::new(self.len()));
        let result = work(&mut scratch);
        self.scratches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(scratch);
        result
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("len", &self.len())
            .field("dim", &self.dim())
            .field("degree", &self.degree)
            .field("coding", self.codes.coding())
            .finish_non_exhaustive()
    }
}

/// Runs work on so many threads; 0 for those of the caller's pool.
fn in_pool<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    if threads == 0 {
        return work();
    }
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(work),
        // No threads to be had: those that are there do it.
        Err(_) => work(),
    }
}
