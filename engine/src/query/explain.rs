//! What a query did, for `params.explain`.

use serde::Serialize;

/// What a query did and what it cost.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Explain {
    /// One sentence: what was searched, how, and in which order.
    pub plan: String,
    /// Per list that was searched and segment.
    pub segments: Vec<SegmentExplain>,
    /// How the filter was evaluated and how many points passed it; absent without a filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Rows or nodes looked at.
    pub visited: u64,
    /// Distances computed.
    pub distance_calls: u64,
    /// Microseconds per stage, in order.
    pub us: Vec<(String, u64)>,
    /// Share of the true neighbours expected among the answers: the least of all segments, 1 for exact structures; absent where a graph has not
    /// measured queries of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall_estimate: Option<f32>,
}

/// One segment's part.
#[derive(Clone, Debug, Serialize)]
pub struct SegmentExplain {
    /// Vector name searched.
    pub using: String,
    /// `growing` or `sealed`.
    pub state: &'static str,
    /// Live rows in it.
    pub rows: usize,
    /// `flat`, `kdtree`, `graph` or `sparse`.
    pub index: &'static str,
    /// Why this structure.
    pub reason: String,
    /// How a graph found them: `walk`, `filtered walk`, `scan of codes`, `walk, given up for a scan of codes` or `exact`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'static str>,
    /// How the codes of the graph that answered are written: what was asked for, or wider where that ordered its rows badly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<&'static str>,
    /// Share of the true neighbours expected of this segment's; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall_estimate: Option<f32>,
    /// Rows or nodes looked at.
    pub visited: u64,
    /// Distances computed.
    pub distance_calls: u64,
    /// Microseconds.
    pub us: u64,
}
