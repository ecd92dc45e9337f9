//! Which structure serves a segment.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::Metric;
use crate::quantizer::DIM_MAX;

/// The most components for which a k-d tree is chosen, and cuts along each of them.
///
/// Its advantage over a scan shrinks with every dimension, and every dimension is compiled separately.
pub const KD_DIM_MAX: usize = 8;

/// The most components for which a k-d tree is built: beyond [`KD_DIM_MAX`] over a projection ([`crate::ProjectedTree`]).
///
/// It pays where rows lie in clusters or near a surface of few dimensions, which no user can rely on; so it is built where it is asked for, or
/// was seen to be faster on the rows themselves ([`crate::Trial`]).
pub const KD_PROJECTED_DIM_MAX: usize = 32;

/// The number of rows from which on a graph is chosen. Fewer are scanned exactly in a fraction of a millisecond, and building
/// would take longer than thousands of scans.
pub const GRAPH_PAYS_FROM: usize = 2_000;

/// A search structure over dense vectors.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum IndexKind {
    /// Compares the query with every row ([`crate::Flat`]).
    Flat,
    /// Halves space again and again ([`crate::KdTree`], [`crate::ProjectedTree`]).
    KdTree,
    /// Walks from row to near row: approximate ([`crate::Graph`]).
    Graph,
}

impl IndexKind {
    /// The name that users write: `flat`, `kdtree` or `graph`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::KdTree => "kdtree",
            Self::Graph => "graph",
        }
    }
}

impl fmt::Display for IndexKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for IndexKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        match name {
            "flat" => Ok(Self::Flat),
            "kdtree" => Ok(Self::KdTree),
            "graph" => Ok(Self::Graph),
            _ => Err(UnknownKind(name.chars().take(40).collect())),
        }
    }
}

/// A name that is no [`IndexKind`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "unknown index {0:?}: use \"flat\", \"kdtree\" or \"graph\", or leave it out to have it chosen"
)]
pub struct UnknownKind(String);

/// Why a structure cannot serve a column.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChooseError {
    /// Too many components for a k-d tree.
    #[error(
        "index \"kdtree\" serves vectors of at most {KD_PROJECTED_DIM_MAX} components, not {0}: leave the index to be chosen"
    )]
    KdDim(usize),
    /// A metric whose balls a k-d tree cannot cut.
    #[error(
        "index \"kdtree\" serves Euclid, Manhattan and Chebyshev distances, not {0:?}: leave the index to be chosen"
    )]
    KdMetric(Metric),
    /// A metric for which there are no codes.
    #[error(
        "index \"graph\" serves cosine, dot product and Euclid distances, not {0:?}: leave the index to be chosen"
    )]
    GraphMetric(Metric),
    /// Too many components for codes.
    #[error(
        "index \"graph\" serves vectors of at most {DIM_MAX} components, not {0}: leave the index to be chosen"
    )]
    GraphDim(usize),
}

/// The structure for `n` rows of `dim` components: the `forced` one if it can serve, else the fastest.
///
/// What follows from numbers alone: [`crate::Trial`] looks at the rows. A k-d tree is chosen for up to [`KD_DIM_MAX`] components with L2, L1 or L-infinity from the number of rows on at which
/// it beats a scan; a graph for more components, or other metrics that it serves, from [`GRAPH_PAYS_FROM`] rows on.
/// Everything else is scanned.
///
/// # Errors
///
/// [`ChooseError`] if the forced structure cannot serve; never if none is forced.
pub fn choose(
    forced: Option<IndexKind>,
    metric: Metric,
    dim: usize,
    n: usize,
) -> Result<IndexKind, ChooseError> {
    let kd_serves = check_kd(metric, dim);
    match forced {
        Some(IndexKind::Flat) => Ok(IndexKind::Flat),
        Some(IndexKind::KdTree) => kd_serves.map(|()| IndexKind::KdTree),
        Some(IndexKind::Graph) => check_graph(metric, dim).map(|()| IndexKind::Graph),
        None if kd_serves.is_ok() && dim <= KD_DIM_MAX => Ok(if n >= kd_pays_from(dim) {
            IndexKind::KdTree
        } else {
            IndexKind::Flat
        }),
        None if n >= GRAPH_PAYS_FROM && check_graph(metric, dim).is_ok() => Ok(IndexKind::Graph),
        None => Ok(IndexKind::Flat),
    }
}

/// Whether a graph can serve at all.
pub(crate) fn check_graph(metric: Metric, dim: usize) -> Result<(), ChooseError> {
    match metric {
        Metric::L1 | Metric::LInf => Err(ChooseError::GraphMetric(metric)),
        _ if !(1..=DIM_MAX).contains(&dim) => Err(ChooseError::GraphDim(dim)),
        Metric::Cosine | Metric::Dot | Metric::L2 => Ok(()),
    }
}

/// Whether a k-d tree can serve at all.
pub(crate) fn check_kd(metric: Metric, dim: usize) -> Result<(), ChooseError> {
    match metric {
        Metric::Cosine | Metric::Dot => Err(ChooseError::KdMetric(metric)),
        Metric::L2 | Metric::L1 | Metric::LInf if !(1..=KD_PROJECTED_DIM_MAX).contains(&dim) => {
            Err(ChooseError::KdDim(dim))
        }
        Metric::L2 | Metric::L1 | Metric::LInf => Ok(()),
    }
}

/// The number of rows from which on a k-d tree is faster than a scan for k = 10: measured on uniform rows, which are the
/// worst case (`benches/kdtree.rs` prints the ratios), and rounded up.
fn kd_pays_from(dim: usize) -> usize {
    const PAYS_FROM: [usize; KD_DIM_MAX] = [250, 250, 250, 500, 500, 1_000, 2_000, 5_000];
    PAYS_FROM[dim - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_by_metric_dim_and_rows() {
        let check = |metric, dim, n, expected| {
            assert_eq!(
                choose(None, metric, dim, n),
                Ok(expected),
                "{metric:?} {dim} {n}"
            )
        };
        check(Metric::L2, 3, 30_000, IndexKind::KdTree);
        check(Metric::L1, 1, 1_000_000, IndexKind::KdTree);
        check(Metric::LInf, 8, 1_000_000, IndexKind::KdTree);
        check(Metric::L2, 3, 20, IndexKind::Flat);
        check(Metric::L1, 9, 1_000_000, IndexKind::Flat);
        check(Metric::L2, 9, 1_000_000, IndexKind::Graph);
        check(Metric::Cosine, 3, 1_000_000, IndexKind::Graph);
        check(Metric::Dot, 384, GRAPH_PAYS_FROM, IndexKind::Graph);
        check(Metric::Dot, 384, GRAPH_PAYS_FROM - 1, IndexKind::Flat);
        check(Metric::L1, 384, 1_000_000, IndexKind::Flat);
        check(Metric::L2, DIM_MAX + 1, 1_000_000, IndexKind::Flat);
        check(Metric::L2, 0, 0, IndexKind::Flat);
    }

    #[test]
    fn forced_if_it_serves() {
        assert_eq!(
            choose(Some(IndexKind::KdTree), Metric::L2, 2, 0),
            Ok(IndexKind::KdTree)
        );
        assert_eq!(
            choose(Some(IndexKind::KdTree), Metric::L1, 32, 0),
            Ok(IndexKind::KdTree)
        );
        assert_eq!(
            choose(Some(IndexKind::KdTree), Metric::L2, 33, 0),
            Err(ChooseError::KdDim(33))
        );
        assert_eq!(
            choose(Some(IndexKind::Flat), Metric::L2, 2, 1_000_000),
            Ok(IndexKind::Flat)
        );
        assert_eq!(
            choose(Some(IndexKind::KdTree), Metric::L2, 384, 0),
            Err(ChooseError::KdDim(384))
        );
        assert_eq!(
            choose(Some(IndexKind::KdTree), Metric::Cosine, 2, 0),
            Err(ChooseError::KdMetric(Metric::Cosine))
        );
        assert_eq!(
            choose(Some(IndexKind::Graph), Metric::Cosine, 2, 0),
            Ok(IndexKind::Graph)
        );
        assert_eq!(
            choose(Some(IndexKind::Graph), Metric::L1, 2, 0),
            Err(ChooseError::GraphMetric(Metric::L1))
        );
        assert_eq!(
            choose(Some(IndexKind::Graph), Metric::L2, DIM_MAX + 1, 0),
            Err(ChooseError::GraphDim(DIM_MAX + 1))
        );
    }

    #[test]
    fn names() {
        for kind in [IndexKind::Flat, IndexKind::KdTree, IndexKind::Graph] {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(kind.to_string(), kind.name());
        }
        assert!(
            "hnsw"
                .parse::<IndexKind>()
                .unwrap_err()
                .to_string()
                .contains("\"hnsw\"")
        );
    }
}
