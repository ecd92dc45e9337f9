//! Points as they are answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::engine::query::{ScorePart, ScoredPoint};
use cluster::engine::{Payload, Record, Vector};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::id::Id;
use super::vector::VectorsOut;

/// A stored point, as `points` and `points/scroll` answer it.
#[derive(Debug, Serialize)]
pub struct RecordOut {
    id: Id,
    /// Ours: what `if_version` compares with.
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Arc<Payload>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "vectors")]
    vector: Option<BTreeMap<String, Vector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_value: Option<Value>,
    /// Ours: only of points that end.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

impl RecordOut {
    /// With the value that ordered it.
    pub fn ordered(record: Record, value: Value) -> Self {
        Self {
            order_value: Some(value),
            ..record.into()
        }
    }
}

impl From<Record> for RecordOut {
    fn from(record: Record) -> Self {
        Self {
            id: Id(record.id),
            version: record.version,
            payload: record.payload,
            vector: record.vectors,
            order_value: None,
            expires_at: record.expires_at_ms,
        }
    }
}

/// An answer of a query, as `points/query` and `points/search` give it.
#[derive(Debug, Serialize)]
pub struct ScoredOut {
    id: Id,
    version: u64,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Arc<Payload>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "vectors")]
    vector: Option<BTreeMap<String, Vector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_value: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "score_parts")]
    score_parts: Vec<ScorePart>,
}

impl From<ScoredPoint> for ScoredOut {
    fn from(point: ScoredPoint) -> Self {
        Self {
            id: Id(point.id),
            version: point.version,
            score: point.score,
            payload: point.payload,
            vector: point.vectors,
            order_value: point.order_value,
            score_parts: point.score_parts,
        }
    }
}

fn vectors<S: Serializer>(
    vectors: &Option<BTreeMap<String, Vector>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match vectors {
        Some(vectors) => VectorsOut(vectors).serialize(serializer),
        None => serializer.serialize_none(),
    }
}

#[derive(Serialize)]
struct PartOut<'a> {
    using: &'a str,
    rank: usize,
    score: f32,
}

/// Writes which list gave an answer which rank (from 0) and score.
pub fn score_parts<S: Serializer>(parts: &[ScorePart], serializer: S) -> Result<S::Ok, S::Error> {
    let mut seq = serializer.serialize_seq(Some(parts.len()))?;
    for ScorePart { using, rank, score } in parts {
        seq.serialize_element(&PartOut {
            using,
            rank: *rank,
            score: *score,
        })?;
    }
    seq.end()
}
