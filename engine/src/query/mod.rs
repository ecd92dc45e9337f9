//! Queries: the model, planning and execution over segments, fusion of several lists into one.

mod execute;
mod explain;
mod fetch;
pub mod fusion;
mod list;
mod matching;
mod sample;
mod search;
mod target;
mod trace;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use explain::{Explain, SegmentExplain};
use index::IndexKind;
pub(crate) use list::row_passes as passes;

use crate::filter::Filter;
use crate::filter::path::Path;
use crate::point::{Payload, PointId, SparseVector, Vector};

/// The deepest nesting of prefetches.
pub const PREFETCH_DEPTH_MAX: usize = 8;

/// One search, scroll-like listing or fusion. Media have become vectors before.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Lists that feed the query: fused by [`QueryKind::Fusion`], else the only candidates that it may answer.
    pub prefetch: Vec<Query>,
    /// What orders the answers.
    pub kind: QueryKind,
    /// Name of the vector searched; the unnamed one is `""`.
    pub using: String,
    /// Only points that pass may answer.
    pub filter: Option<Filter>,
    /// How to search.
    pub params: SearchParams,
    /// Answers that score worse are left out: below it for cosine, dot and fusion, above it for the others.
    pub score_threshold: Option<f32>,
    /// How many answers; may be huge, nothing is allocated by it.
    pub limit: usize,
    /// How many of the best answers to leave out.
    pub offset: usize,
    /// What of the payload to answer.
    pub with_payload: Selection,
    /// Which vectors to answer.
    pub with_vectors: VectorSelection,
}

/// What orders the answers.
#[derive(Clone, Debug, Default)]
pub enum QueryKind {
    /// By point id, ascending.
    #[default]
    Id,
    /// By distance to a vector.
    Nearest(QueryVector),
    /// By the average of examples minus that of counter-examples.
    Recommend {
        /// Wanted; at least one.
        positive: Vec<QueryVector>,
        /// Unwanted.
        negative: Vec<QueryVector>,
    },
    /// By a rule over the prefetched lists.
    Fusion(Fusion),
    /// By a payload number or datetime.
    OrderBy(OrderBy),
    /// In random order.
    Sample,
}

/// A vector to search with.
#[derive(Clone, Debug)]
pub enum QueryVector {
    /// Dense.
    Dense(Vec<f32>),
    /// Sparse.
    Sparse(SparseVector),
    /// The vector of a stored point, which itself is left out of the answers.
    Point {
        /// Which point.
        id: PointId,
        /// Vector name there; the query's own name if `None`.
        using: Option<String>,
    },
}

/// How lists are merged into one.
#[derive(Clone, Debug, PartialEq)]
pub enum Fusion {
    /// Sum over the lists of `1 / ((rank + 1) / weight + k - 1)`, rank counted from 0; with weight 1 that is `1 / (k + rank)`.
    Rrf {
        /// Smoothing; 2 in the dialect.
        k: f32,
        /// One per list; all 1 if empty.
        weights: Vec<f32>,
    },
    /// Sum of scores, each list normalised from mean - 3 sigma to mean + 3 sigma.
    Dbsf,
    /// Weighted sum of scores, each list normalised from its worst to its best answer; an answer that a list lacks has 0 there.
    MinMax {
        /// One per list; all 1 if empty.
        weights: Vec<f32>,
    },
}

/// Order by a payload field.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderBy {
    /// Which field.
    pub key: Path,
    /// Largest first.
    pub descending: bool,
    /// First value to answer: a number, or microseconds since 1970 for a datetime.
    pub start_from: Option<f64>,
}

/// How to search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchParams {
    /// Compare with every row.
    pub exact: bool,
    /// Share of the true neighbours that a graph should answer, more than 0 and at most 1, which is to compare with every row; other structures
    /// answer all. Goes before `ef`.
    pub target_recall: Option<f32>,
    /// Candidates after which the walk of a graph ends; other structures ignore it.
    pub ef: Option<usize>,
    /// Use only segments' structures of this kind; an error where it cannot serve.
    pub index: Option<IndexKind>,
    /// Report what was done.
    pub explain: bool,
}

impl SearchParams {
    /// Whether nothing but all true neighbours will do.
    pub fn is_exact(&self) -> bool {
        self.exact || self.target_recall.is_some_and(|target| target >= 1.0)
    }
}

/// What of the payload to answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Selection {
    /// Nothing.
    #[default]
    None,
    /// Everything.
    All,
    /// These paths only.
    Include(Vec<Path>),
    /// Everything but these paths.
    Exclude(Vec<Path>),
}

/// Which vectors to answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum VectorSelection {
    /// None.
    #[default]
    None,
    /// All that the point has.
    All,
    /// These names.
    Names(Vec<String>),
}

/// One answer of a query.
#[derive(Clone, Debug)]
pub struct ScoredPoint {
    /// The user's id.
    pub id: PointId,
    /// Log index of the write that made it.
    pub version: u64,
    /// Higher is better for cosine, dot, sparse and fusion; a distance for the others; 0 without a vector.
    pub score: f32,
    /// The selected part of the payload.
    pub payload: Option<Arc<Payload>>,
    /// The selected vectors.
    pub vectors: Option<BTreeMap<String, Vector>>,
    /// The value that ordered it.
    pub order_value: Option<serde_json::Value>,
    /// For a fusion with `explain`: what each list gave, as (vector name, rank from 0, score there).
    pub score_parts: Vec<ScorePart>,
}

/// What one prefetched list contributed to an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ScorePart {
    /// Vector name of the list.
    pub using: String,
    /// Rank there, from 0.
    pub rank: usize,
    /// Score there.
    pub score: f32,
}

/// Answers, best first, and what was done if asked for.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Best first.
    pub points: Vec<ScoredPoint>,
    /// With `params.explain`.
    pub explain: Option<Explain>,
}

/// One page of points by ascending id.
#[derive(Clone, Debug, Default)]
pub struct ScrollPage {
    /// The points.
    pub points: Vec<crate::point::Record>,
    /// Id to go on from; `None` at the end.
    pub next: Option<PointId>,
}
