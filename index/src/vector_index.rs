//! What every search structure over dense vectors offers, and how one is built.

use std::sync::Arc;

use thiserror::Error;

use crate::kind::{check_graph, check_kd};
use crate::{
    BitSet, BuildParams, ChooseError, Flat, Graph, IndexKind, Metric, Neighbor, Offset, Rows,
    SpatialIndex, TrainParams, kdtree,
};

/// A search structure over the rows of one segment. Immutable, shared by threads.
pub trait VectorIndex: Send + Sync {
    /// Which structure this is.
    fn kind(&self) -> IndexKind;

    /// The number of rows.
    fn len(&self) -> usize;

    /// Whether there is no row.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of components of a row.
    fn dim(&self) -> usize;

    /// By what rows are compared.
    fn metric(&self) -> Metric;

    /// Returns the `params.k` nearest rows that pass the filter, nearest first, equal distances by offset; of a graph, unless
    /// asked for the exact answer, most of them ([`crate::RECALL_DEFAULT`]).
    ///
    /// Fewer come back only if fewer pass, or lie within `params.max_distance`. Rows and queries hold finite numbers
    /// only, of unit length if the metric is cosine.
    ///
    /// - `query`: `[dim]`.
    /// - `stats`: what the search cost is added.
    ///
    /// # Errors
    ///
    /// [`SearchError`] if the query or the filter does not fit. Nothing is searched then.
    fn search(
        &self,
        query: &[f32],
        params: &SearchParams<'_>,
        stats: &mut Stats,
    ) -> Result<Vec<Neighbor>, SearchError>;

    /// Bytes held beyond the rows.
    fn memory(&self) -> usize;
}

/// What to search for, beside the query.
#[derive(Copy, Clone, Debug, Default)]
pub struct SearchParams<'a> {
    /// How many neighbors. May be anything: nothing is allocated by it.
    pub k: usize,
    /// Ask an approximate structure for the exact answer.
    pub exact: bool,
    /// The rows that may answer; all of them if absent. As long as the index.
    pub filter: Option<&'a BitSet>,
    /// Only rows that are not farther than this answer, in the unit of the metric (squared for L2).
    pub max_distance: Option<f32>,
}

impl SearchParams<'_> {
    /// The `k` nearest of all rows.
    pub fn new(k: usize) -> Self {
        Self {
            k,
            ..Self::default()
        }
    }
}

/// What searches cost.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows looked at: in a scan those that may answer, in a k-d tree the candidates it brought.
    pub visited: u64,
    /// Distances computed, of codes and of numbers: a row may be compared by both.
    ///
    /// What a k-d tree computes inside its leaves it does not tell, so only those of its candidates are counted.
    pub distance_calls: u64,
}

/// Why a query cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SearchError {
    /// The query has another number of components than the rows.
    #[error("the query has {got} components, the vectors have {wanted}")]
    DimMismatch {
        /// The rows' `dim`.
        wanted: usize,
        /// The query's.
        got: usize,
    },
    /// A component of the query is NaN or infinite.
    #[error("component {component} of the query is not a finite number")]
    NotFinite {
        /// The first such component.
        component: usize,
    },
    /// The filter was made for another number of rows.
    #[error("the filter covers {got} rows, the index has {wanted}")]
    FilterLength {
        /// The index's rows.
        wanted: usize,
        /// The filter's.
        got: usize,
    },
}

/// Why a structure cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    /// A component of a row is NaN or infinite.
    #[error("component {component} of row {offset} is not a finite number")]
    NotFinite {
        /// The first such row.
        offset: Offset,
        /// Its first such component.
        component: usize,
    },
    /// The structure cannot serve such vectors.
    #[error(transparent)]
    Unsuitable(#[from] ChooseError),
    /// The k-d tree refused the rows.
    #[error("build k-d tree: {0}")]
    KdTree(String),
}

/// Builds the structure `kind` over `rows`, which it keeps.
///
/// Time O(n) for [`IndexKind::Flat`], which only checks the rows; O(n log n) for [`IndexKind::KdTree`], about 0.1 s for a
/// million rows of 3 components and 1 s for 16; as [`Graph::build`] for [`IndexKind::Graph`], with the default codes and parameters.
///
/// # Errors
///
/// [`BuildError`] if a row is not finite or the structure cannot serve the metric or `dim` ([`crate::choose`] tells
/// beforehand).
pub fn build(
    kind: IndexKind,
    metric: Metric,
    rows: Rows,
) -> Result<Box<dyn VectorIndex>, BuildError> {
    check_finite(&rows)?;
    match kind {
        IndexKind::Flat => Ok(Box::new(Flat::new(metric, rows))),
        IndexKind::KdTree => {
            check_kd(metric, rows.dim())?;
            let tree: Box<dyn VectorIndex> = kdtree::build(metric, rows)?;
            Ok(tree)
        }
        IndexKind::Graph => {
            check_graph(metric, rows.dim())?;
            let train = TrainParams::new(metric);
            let graph = Graph::build(Arc::new(rows), &train, &BuildParams::default());
            Ok(Box::new(graph))
        }
    }
}

/// Builds a k-d tree that answers balls and boxes too, over `rows`, which it keeps.
///
/// Time as [`build`] of [`IndexKind::KdTree`].
///
/// # Errors
///
/// As [`build`].
pub fn build_spatial(metric: Metric, rows: Rows) -> Result<Box<dyn SpatialIndex>, BuildError> {
    check_finite(&rows)?;
    check_kd(metric, rows.dim())?;
    kdtree::build(metric, rows)
}

fn check_finite(rows: &Rows) -> Result<(), BuildError> {
    match rows.as_slice().iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => Err(BuildError::NotFinite {
            offset: (at / rows.dim()) as Offset,
            component: at % rows.dim(),
        }),
    }
}

/// Refuses a query or a filter that does not fit an index.
pub(crate) fn check_search(
    index: &dyn VectorIndex,
    query: &[f32],
    params: &SearchParams<'_>,
) -> Result<(), SearchError> {
    if query.len() != index.dim() {
        return Err(SearchError::DimMismatch {
            wanted: index.dim(),
            got: query.len(),
        });
    }
    if let Some(component) = query.iter().position(|x| !x.is_finite()) {
        return Err(SearchError::NotFinite { component });
    }
    match params.filter {
        Some(filter) if filter.len() != index.len() => Err(SearchError::FilterLength {
            wanted: index.len(),
            got: filter.len(),
        }),
        _ => Ok(()),
    }
}
