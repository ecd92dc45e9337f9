//! `GET /collections/{c}`: a collection as its clients expect to see it.

use cluster::engine::{CollectionConfig, CollectionInfo, Metric, SparseVectorConfig, VectorConfig};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::echo::{ECHOED_SPARSE, ECHOED_VECTORS, merge};

/// Answer of `GET /collections/{c}`.
#[derive(Clone, Debug, Serialize)]
pub struct InfoOut {
    status: &'static str,
    optimizer_status: Value,
    points_count: usize,
    indexed_vectors_count: usize,
    segments_count: usize,
    config: Value,
    payload_schema: Map<String, Value>,
    vecino: Value,
}

impl InfoOut {
    /// Describes a collection: `config` as the dialect has it, without null or extra keys, and what is ours under `vecino`.
    pub fn new(config: &CollectionConfig, info: &CollectionInfo) -> Self {
        Self {
            status: match (&info.trouble, info.building || info.refusal.is_some()) {
                (Some(_), _) => "red",
                (None, true) => "yellow",
                (None, false) => "green",
            },
            optimizer_status: match [&info.trouble, &info.refusal, &info.hindrance]
                .into_iter()
                .flatten()
                .next()
            {
                None => "ok".into(),
                Some(why) => json!({ "error": why }),
            },
            points_count: info.points,
            indexed_vectors_count: info.indexed_rows,
            segments_count: info.segments.len(),
            config: dialect_config(config),
            payload_schema: payload_schema(config),
            vecino: own_config(config, info),
        }
    }
}

/// Without nulls and without keys of ours: old clients refuse both.
pub(super) fn dialect_config(config: &CollectionConfig) -> Value {
    let echo = |key: &str| config.dialect.get(key).cloned();
    let with_defaults = |key: &str, defaults: Value| {
        let (Value::Object(mut all), Some(Value::Object(own))) = (defaults.clone(), echo(key))
        else {
            return defaults;
        };
        merge(&mut all, own);
        Value::Object(all)
    };
    let mut params = Map::new();
    params.insert("vectors".to_owned(), vectors_out(config));
    if !config.sparse_vectors.is_empty() {
        params.insert("sparse_vectors".to_owned(), sparse_out(config));
    }
    for (key, default) in [
        ("shard_number", json!(1)),
        ("replication_factor", json!(1)),
        ("write_consistency_factor", json!(1)),
        ("on_disk_payload", json!(true)),
    ] {
        params.insert(key.to_owned(), echo(key).unwrap_or(default));
    }
    let mut out = json!({
        "params": params,
        "hnsw_config": with_defaults("hnsw_config", json!({
            "m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, "max_indexing_threads": 0, "on_disk": false
        })),
        "optimizer_config": with_defaults("optimizers_config", json!({
            "deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0,
            "indexing_threshold": 10_000, "flush_interval_sec": 5
        })),
        "wal_config": with_defaults("wal_config", json!({ "wal_capacity_mb": 32, "wal_segments_ahead": 0 })),
    });
    for key in ["quantization_config", "strict_mode_config", "metadata"] {
        if let (Some(value), Value::Object(out)) = (echo(key), &mut out) {
            out.insert(key.to_owned(), value);
        }
    }
    out
}

/// What was echoed of one vector.
fn echo_of(config: &CollectionConfig, key: &str, name: &str) -> Map<String, Value> {
    let echo = config
        .dialect
        .get(key)
        .and_then(|all| all.get(name))
        .and_then(Value::as_object);
    echo.cloned().unwrap_or_default()
}

fn vectors_out(config: &CollectionConfig) -> Value {
    let one = |name: &str, vector: &VectorConfig| {
        let mut out = Map::new();
        out.insert("size".to_owned(), vector.dim.into());
        out.insert("distance".to_owned(), distance_name(vector.metric).into());
        out.extend(echo_of(config, ECHOED_VECTORS, name));
        Value::Object(out)
    };
    if let (1, Some(vector)) = (config.vectors.len(), config.vectors.get("")) {
        return one("", vector);
    }
    config
        .vectors
        .iter()
        .map(|(name, vector)| (name.clone(), one(name, vector)))
        .collect()
}

fn sparse_out(config: &CollectionConfig) -> Value {
    let one = |(name, sparse): (&String, &SparseVectorConfig)| {
        let mut out = echo_of(config, ECHOED_SPARSE, name);
        if sparse.idf {
            out.insert("modifier".to_owned(), "idf".into());
        }
        (name.clone(), Value::Object(out))
    };
    config.sparse_vectors.iter().map(one).collect()
}

/// `points` counts the points in an index of the field: there is none yet, filters look at the payloads.
fn payload_schema(config: &CollectionConfig) -> Map<String, Value> {
    let one = |(path, schema): (&String, &Value)| {
        let mut out = schema.as_object().cloned().unwrap_or_default();
        out.insert("points".to_owned(), 0.into());
        (path.clone(), Value::Object(out))
    };
    config.payload_schema.iter().map(one).collect()
}

fn own_config(config: &CollectionConfig, info: &CollectionInfo) -> Value {
    let indexes: Map<String, Value> = config
        .vectors
        .iter()
        .filter_map(|(name, vector)| Some((name.clone(), vector.index?.name().into())))
        .collect();
    let encodings: Map<String, Value> = config
        .vectors
        .iter()
        .filter_map(|(name, vector)| Some((name.clone(), vector.encoding?.name().into())))
        .collect();
    let segments: Vec<Value> = info
        .segments
        .iter()
        .map(|segment| {
            json!({
                "state": segment.state, "rows": segment.rows, "live": segment.live,
                "structures": segment.structures, "bytes": segment.bytes, "mapped_bytes": segment.mapped_bytes,
            })
        })
        .collect();
    json!({
        "embedders": config.embedders,
        "media": config.media,
        "durability": config.durability,
        "indexes": indexes,
        "encodings": encodings,
        "vectors_count": info.vectors,
        "segments": segments,
    })
}

/// The dialect's word for a metric.
fn distance_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "Cosine",
        Metric::Dot => "Dot",
        Metric::L2 => "Euclid",
        Metric::L1 => "Manhattan",
        Metric::LInf => "Chebyshev",
    }
}
