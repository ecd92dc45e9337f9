//! Collections: creating, changing and describing them.

use std::collections::BTreeMap;

use cluster::engine::{
    CollectionConfig, CollectionInfo, EmbedderConfig, MediaConfig, Metric, SparseVectorConfig,
    VectorConfig,
};
use embed::{Identity, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::http::{ApiError, ApiResult};

/// The vectors of a multimodal collection and the embedders that make them: what a collection gets that is created without a
/// word about vectors.
pub const EMBEDDERS_DEFAULT: [(&str, &str); 3] =
    [("text", "vecino/text"), ("image", "vecino/image"), ("bm25", "vecino/bm25")];

/// Settings of the dialect that mean nothing here and are given back to clients that ask.
const ECHOED: [&str; 11] = [
    "hnsw_config",
    "wal_config",
    "optimizers_config",
    "quantization_config",
    "strict_mode_config",
    "on_disk_payload",
    "shard_number",
    "replication_factor",
    "write_consistency_factor",
    "read_fan_out_factor",
    "metadata",
];
/// Settings that older or newer clients send and that are not even given back.
const IGNORED: [&str; 4] = ["payload", "id_tracker", "sharding_method", "timeout"];
/// Where the echoed settings of single vectors are kept among the others.
const ECHOED_VECTORS: &str = "vectors";
/// The same for sparse vectors.
const ECHOED_SPARSE: &str = "sparse_vectors";

/// Body of `PUT /collections/{c}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CreateWire {
    vectors: Option<Map<String, Value>>,
    sparse_vectors: Option<BTreeMap<String, SparseWire>>,
    embedders: Option<EmbeddersWire>,
    media: Option<MediaConfig>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorWire {
    size: usize,
    distance: Distance,
    index: Option<String>,
    hnsw_config: Option<Value>,
    quantization_config: Option<Value>,
    on_disk: Option<bool>,
    memory: Option<Value>,
    datatype: Option<String>,
    multivector_config: Option<Value>,
}

#[derive(Copy, Clone, Debug, Deserialize)]
enum Distance {
    #[serde(alias = "cosine")]
    Cosine,
    #[serde(alias = "dot")]
    Dot,
    #[serde(alias = "euclid")]
    Euclid,
    #[serde(alias = "manhattan")]
    Manhattan,
    /// Ours.
    #[serde(alias = "chebyshev")]
    Chebyshev,
}

impl From<Distance> for Metric {
    fn from(distance: Distance) -> Self {
        match distance {
            Distance::Cosine => Self::Cosine,
            Distance::Dot => Self::Dot,
            Distance::Euclid => Self::L2,
            Distance::Manhattan => Self::L1,
            Distance::Chebyshev => Self::LInf,
        }
    }
}

/// The dialect's word for a metric.
pub fn distance_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "Cosine",
        Metric::Dot => "Dot",
        Metric::L2 => "Euclid",
        Metric::L1 => "Manhattan",
        Metric::LInf => "Chebyshev",
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SparseWire {
    index: Option<Value>,
    modifier: Option<Modifier>,
}

#[derive(Copy, Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Modifier {
    None,
    Idf,
}

/// `"default"`, or a model per vector name.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "\"default\", or an object like {\"text\": {\"model\": \"vecino/text\"}}")]
enum EmbeddersWire {
    Word(String),
    Named(BTreeMap<String, EmbedderWire>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmbedderWire {
    model: String,
    #[serde(default)]
    options: Map<String, Value>,
}

/// Finds out what an embedder is: its identity and the shape of its vectors.
pub type Describe<'a> = dyn Fn(&str, &Map<String, Value>) -> ApiResult<(Identity, Kind)> + 'a;

impl CreateWire {
    /// The body of a request that has none: a multimodal collection.
    pub fn multimodal() -> Self {
        Self { embedders: Some(EmbeddersWire::Word("default".to_owned())), ..Self::default() }
    }

    /// The engine's form.
    ///
    /// # Errors
    ///
    /// 400 for unknown settings and shapes that do not fit, 422 for unknown models, 501 for what this version lacks.
    pub fn config(self, describe: &Describe<'_>) -> ApiResult<CollectionConfig> {
        let mut config = CollectionConfig { media: self.media.unwrap_or_default(), ..CollectionConfig::default() };
        config.dialect = echoed(self.others)?;
        let mut echoed_vectors = Map::new();
        for (name, wire) in vectors(self.vectors.unwrap_or_default())? {
            let (vector, echo) = wire.config().map_err(|error| error.at(format!("vector \"{name}\"")))?;
            config.vectors.insert(name.clone(), vector);
            if !echo.is_empty() {
                echoed_vectors.insert(name, Value::Object(echo));
            }
        }
        let mut echoed_sparse = Map::new();
        for (name, wire) in self.sparse_vectors.unwrap_or_default() {
            let idf = matches!(wire.modifier, Some(Modifier::Idf));
            config.sparse_vectors.insert(name.clone(), SparseVectorConfig { idf });
            if let Some(Value::Object(index)) = wire.index {
                let index = Value::Object(without_nulls(index));
                echoed_sparse.insert(name, json!({ "index": index }));
            }
        }
        for (key, echo) in [(ECHOED_VECTORS, echoed_vectors), (ECHOED_SPARSE, echoed_sparse)] {
            if !echo.is_empty() {
                config.dialect.insert(key.to_owned(), Value::Object(echo));
            }
        }
        for (name, wire) in self.embedders.map_or(Ok(Vec::new()), EmbeddersWire::list)? {
            add_embedder(&mut config, &name, wire, describe)
                .map_err(|error| error.at(format!("embedders.{name}")))?;
        }
        Ok(config)
    }
}

/// One unnamed vector (`size` is a number), or vectors by name.
fn vectors(wire: Map<String, Value>) -> ApiResult<Vec<(String, VectorWire)>> {
    let read = |name: &str, value: Value| {
        serde_json::from_value::<VectorWire>(value).map_err(|error| {
            ApiError::bad_request(format!("vectors \"{name}\": {error}: write {{\"size\": 128, \"distance\": \"Cosine\"}}"))
        })
    };
    if wire.get("size").is_some_and(Value::is_number) || wire.contains_key("distance") {
        return Ok(vec![(String::new(), read("", Value::Object(wire))?)]);
    }
    wire.into_iter().map(|(name, value)| Ok((name.clone(), read(&name, value)?))).collect()
}

impl VectorWire {
    fn config(self) -> ApiResult<(VectorConfig, Map<String, Value>)> {
        if self.multivector_config.is_some_and(|value| !value.is_null()) {
            return Err(ApiError::unsupported("a multi-vector"));
        }
        let datatype = self.datatype.as_deref().unwrap_or("float32");
        if !["float32", "float16", "uint8"].contains(&datatype) {
            return Err(ApiError::unsupported(format!("datatype \"{datatype}\"")));
        }
        let index = self
            .index
            .map(|name| name.parse().map_err(|error| ApiError::bad_request(format!("{error}"))))
            .transpose()?;
        let config = VectorConfig { dim: self.size, metric: self.distance.into(), index };
        let echo = [
            ("hnsw_config", self.hnsw_config),
            ("quantization_config", self.quantization_config),
            ("on_disk", self.on_disk.map(Value::from)),
            ("memory", self.memory),
            ("datatype", self.datatype.map(Value::from)),
        ];
        let echo = echo.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Ok((config, without_nulls(echo.collect())))
    }
}

impl EmbeddersWire {
    fn list(self) -> ApiResult<Vec<(String, EmbedderWire)>> {
        match self {
            Self::Named(named) => Ok(named.into_iter().collect()),
            Self::Word(word) if word == "default" => {
                let wire = |model: &str| EmbedderWire { model: model.to_owned(), options: Map::new() };
                Ok(EMBEDDERS_DEFAULT.iter().map(|(name, model)| ((*name).to_owned(), wire(model))).collect())
            }
            Self::Word(word) => Err(ApiError::bad_request(format!(
                "embedders: \"{word}\" is unknown: write \"default\" or a model per vector name"
            ))),
        }
    }
}

/// Records the embedder of a vector, and declares the vector if the request did not.
fn add_embedder(
    config: &mut CollectionConfig,
    name: &str,
    wire: EmbedderWire,
    describe: &Describe<'_>,
) -> ApiResult<()> {
    let (identity, kind) = describe(&wire.model, &wire.options)?;
    let declared = config.vectors.contains_key(name) || config.sparse_vectors.contains_key(name);
    match kind {
        _ if declared => check_shape(config, name, &identity.name, kind)?,
        Kind::Dense { dim, metric } => {
            let metric = metric_of(metric);
            config.vectors.insert(name.to_owned(), VectorConfig { dim, metric, index: None });
        }
        Kind::Sparse { idf } => {
            config.sparse_vectors.insert(name.to_owned(), SparseVectorConfig { idf });
        }
    }
    config.embedders.insert(name.to_owned(), embedder_config(&identity, wire.options));
    Ok(())
}

/// What a collection remembers of an embedder.
pub fn embedder_config(identity: &Identity, options: Map<String, Value>) -> EmbedderConfig {
    EmbedderConfig {
        model: identity.name.clone(),
        version: identity.version.clone(),
        checksum: identity.checksum.clone(),
        options,
    }
}

fn metric_of(metric: embed::Metric) -> Metric {
    match metric {
        embed::Metric::Cosine => Metric::Cosine,
        embed::Metric::Dot => Metric::Dot,
        embed::Metric::Euclid => Metric::L2,
        embed::Metric::Manhattan => Metric::L1,
    }
}

/// Whether what an embedder makes fits the vector that a collection declares.
///
/// # Errors
///
/// 400 that names both shapes, or the vectors there are.
pub fn check_shape(config: &CollectionConfig, name: &str, model: &str, kind: Kind) -> ApiResult<()> {
    let dense = config.vectors.get(name);
    match (dense, config.sparse_vectors.contains_key(name), kind) {
        (Some(vector), _, Kind::Dense { dim, .. }) if vector.dim == dim => Ok(()),
        (Some(vector), _, Kind::Dense { dim, .. }) => Err(ApiError::bad_request(format!(
            "vector \"{name}\" has dim {}, model {model} makes dim {dim}: choose a model of that dim, or create the collection with dim {dim}",
            vector.dim
        ))),
        (None, true, Kind::Sparse { .. }) => Ok(()),
        (Some(_), _, Kind::Sparse { .. }) => Err(ApiError::bad_request(format!(
            "vector \"{name}\" is dense, model {model} makes sparse vectors: use it for a sparse one"
        ))),
        (None, true, Kind::Dense { .. }) => Err(ApiError::bad_request(format!(
            "vector \"{name}\" is sparse, model {model} makes dense vectors: use it for a dense one"
        ))),
        (None, false, _) => Err(unknown_vector(config, name)),
    }
}

/// 400: the collection has no vector of this name; it lists those there are.
pub fn unknown_vector(config: &CollectionConfig, name: &str) -> ApiError {
    let names: Vec<String> =
        config.vectors.keys().chain(config.sparse_vectors.keys()).map(|name| format!("\"{name}\"")).collect();
    let known = match names.is_empty() {
        true => "it has none".to_owned(),
        false => format!("it has {}", names.join(", ")),
    };
    let what = match name {
        "" => "the collection has no unnamed vector".to_owned(),
        name => format!("the collection has no vector \"{}\"", crate::http::quote(name)),
    };
    ApiError::bad_request(format!("{what}: {known}"))
}

fn echoed(others: Map<String, Value>) -> ApiResult<Map<String, Value>> {
    let mut echo = Map::new();
    for (key, value) in without_nulls(others) {
        match key.as_str() {
            key if ECHOED.contains(&key) => {
                echo.insert(key.to_owned(), value);
            }
            "sharding_method" if value != "auto" => {
                return Err(ApiError::unsupported("`sharding_method` other than \"auto\""));
            }
            key if IGNORED.contains(&key) => {}
            "init_from" => return Err(ApiError::unsupported("`init_from`")),
            key => {
                return Err(ApiError::bad_request(format!(
                    "unknown setting `{}`: known are vectors, sparse_vectors, embedders, media, {}",
                    crate::http::quote(key),
                    ECHOED.join(", ")
                )));
            }
        }
    }
    Ok(echo)
}

/// Removes nulls, at every level of objects: old clients refuse them inside a collection's config.
fn without_nulls(map: Map<String, Value>) -> Map<String, Value> {
    let kept = map.into_iter().filter(|(_, value)| !value.is_null());
    kept.map(|(key, value)| match value {
        Value::Object(inner) => (key, Value::Object(without_nulls(inner))),
        value => (key, value),
    })
    .collect()
}

/// Merges the body of `PATCH /collections/{c}` into the echoed settings.
///
/// # Errors
///
/// 400 for unknown settings and unknown vectors.
pub fn update(config: &mut CollectionConfig, mut body: Map<String, Value>) -> ApiResult<()> {
    let params = body.remove("params");
    let mut nested = Map::new();
    for key in [ECHOED_VECTORS, ECHOED_SPARSE] {
        let Some(Value::Object(diff)) = body.remove(key) else { continue };
        for name in diff.keys() {
            if !config.vectors.contains_key(name) && !config.sparse_vectors.contains_key(name) {
                return Err(unknown_vector(config, name));
            }
        }
        nested.insert(key.to_owned(), Value::Object(without_nulls(diff)));
    }
    if let Some(Value::Object(params)) = params {
        body.extend(params);
    }
    let mut change = echoed(body)?;
    change.extend(nested);
    merge(&mut config.dialect, change);
    Ok(())
}

fn merge(into: &mut Map<String, Value>, change: Map<String, Value>) {
    for (key, value) in change {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Body of `PUT /collections/{c}/index`.
#[derive(Clone, Debug, Deserialize)]
pub struct FieldIndexWire {
    /// Path of the field.
    pub field_name: String,
    #[serde(alias = "field_type")]
    field_schema: Option<SchemaWire>,
}

/// A type's name, or an object with `type` and settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a type, or an object with `type`")]
enum SchemaWire {
    Name(String),
    Full(Map<String, Value>),
}

/// Types of payload fields.
const FIELD_TYPES: [&str; 8] =
    ["keyword", "integer", "float", "bool", "geo", "datetime", "text", "uuid"];

impl FieldIndexWire {
    /// What the collection remembers: `{"data_type", "params"}`.
    ///
    /// # Errors
    ///
    /// 400 if the path cannot be read or the type is unknown.
    pub fn schema(&self) -> ApiResult<Value> {
        cluster::engine::filter::path::Path::parse(&self.field_name)
            .map_err(|error| ApiError::from(error).at("field_name"))?;
        let (name, params) = match &self.field_schema {
            Some(SchemaWire::Name(name)) => (name.clone(), None),
            Some(SchemaWire::Full(params)) => {
                let name = params.get("type").and_then(Value::as_str).unwrap_or_default();
                (name.to_owned(), Some(without_nulls(params.clone())))
            }
            None => (String::new(), None),
        };
        if !FIELD_TYPES.contains(&name.as_str()) {
            return Err(ApiError::bad_request(format!(
                "field_schema: \"{}\" is no type of a field: known are {}",
                crate::http::quote(&name),
                FIELD_TYPES.join(", ")
            )));
        }
        Ok(match params {
            Some(params) => json!({ "data_type": name, "params": params }),
            None => json!({ "data_type": name }),
        })
    }
}

/// Answer of `GET /collections/{c}`.
#[derive(Clone, Debug, Serialize)]
pub struct InfoOut {
    status: &'static str,
    optimizer_status: &'static str,
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
            status: if info.building { "yellow" } else { "green" },
            optimizer_status: "ok",
            points_count: info.points,
            indexed_vectors_count: info.indexed_rows,
            segments_count: info.segments.len(),
            config: dialect_config(config),
            payload_schema: payload_schema(config),
            vecino: own_config(config, info),
        }
    }
}

fn dialect_config(config: &CollectionConfig) -> Value {
    let echo = |key: &str| config.dialect.get(key).cloned();
    let with_defaults = |key: &str, defaults: Value| {
        let (Value::Object(mut all), Some(Value::Object(own))) = (defaults.clone(), echo(key)) else {
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
    let echo = config.dialect.get(key).and_then(|all| all.get(name)).and_then(Value::as_object);
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
    config.vectors.iter().map(|(name, vector)| (name.clone(), one(name, vector))).collect()
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
    let segments: Vec<Value> = info
        .segments
        .iter()
        .map(|segment| {
            json!({
                "state": segment.state, "rows": segment.rows, "live": segment.live,
                "structures": segment.structures, "bytes": segment.bytes,
            })
        })
        .collect();
    json!({
        "embedders": config.embedders,
        "media": config.media,
        "indexes": indexes,
        "vectors_count": info.vectors,
        "segments": segments,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(model: &str, _: &Map<String, Value>) -> ApiResult<(Identity, Kind)> {
        let identity = Identity { name: model.to_owned(), version: "1".into(), checksum: "c".into() };
        match model {
            "vecino/bm25" => Ok((identity, Kind::Sparse { idf: true })),
            "vecino/text" | "vecino/image" => {
                Ok((identity, Kind::Dense { dim: 256, metric: embed::Metric::Cosine }))
            }
            _ => Err(ApiError::unprocessable("unknown model")),
        }
    }

    fn create(json: &str) -> ApiResult<CollectionConfig> {
        crate::http::from_json::<CreateWire>(json.as_bytes())?.config(&describe)
    }

    #[test]
    fn the_multimodal_collection() {
        let config = CreateWire::multimodal().config(&describe).unwrap();
        let same = create("{\"embedders\": \"default\"}").unwrap();
        assert_eq!(config.vectors, same.vectors);
        assert_eq!(config.vectors.keys().collect::<Vec<_>>(), ["image", "text"]);
        assert_eq!(config.vectors["text"].dim, 256);
        assert!(config.sparse_vectors["bm25"].idf);
        assert_eq!(config.embedders["image"].model, "vecino/image");
        assert!(config.media.keep);
        assert!(create("{}").unwrap().vectors.is_empty());
    }

    #[test]
    fn vectors_in_all_forms() {
        let one = create("{\"vectors\": {\"size\": 4, \"distance\": \"Cosine\", \"on_disk\": false, \"datatype\": null}}").unwrap();
        assert_eq!(one.vectors[""], VectorConfig { dim: 4, metric: Metric::Cosine, index: None });
        assert_eq!(dialect_config(&one)["params"]["vectors"], json!({"size": 4, "distance": "Cosine", "on_disk": false}));
        let unnamed = create("{\"vectors\": {\"\": {\"size\": 6, \"distance\": \"Euclid\"}}, \"sparse_vectors\": {}}").unwrap();
        assert_eq!(unnamed.vectors[""].metric, Metric::L2);
        assert_eq!(dialect_config(&unnamed)["params"].get("sparse_vectors"), None);
        let named = create(
            "{\"vectors\": {\"a\": {\"size\": 3, \"distance\": \"Dot\", \"index\": \"flat\"}},
              \"sparse_vectors\": {\"s\": {\"index\": {\"on_disk\": false}, \"modifier\": \"idf\"}, \"t\": {}},
              \"hnsw_config\": {\"m\": 0, \"payload_m\": 16, \"on_disk\": null}, \"shard_number\": null}",
        )
        .unwrap();
        let out = dialect_config(&named);
        assert_eq!(out["params"]["vectors"], json!({"a": {"size": 3, "distance": "Dot"}}));
        assert_eq!(
            out["params"]["sparse_vectors"],
            json!({"s": {"index": {"on_disk": false}, "modifier": "idf"}, "t": {}})
        );
        assert_eq!((&out["hnsw_config"]["m"], &out["hnsw_config"]["payload_m"]), (&json!(0), &json!(16)));
        assert!(!out.to_string().contains("null"), "{out}");
    }

    #[test]
    fn a_patch_is_merged() {
        let mut config = create("{\"vectors\": {\"size\": 4, \"distance\": \"Cosine\"}, \"optimizers_config\": {\"a\": 1}}").unwrap();
        let body = json!({"optimizers_config": {"indexing_threshold": 0}, "params": {"replication_factor": 2},
            "vectors": {"": {"on_disk": true}}, "hnsw_config": null});
        update(&mut config, body.as_object().unwrap().clone()).unwrap();
        let out = dialect_config(&config);
        assert_eq!(out["optimizer_config"]["indexing_threshold"], 0);
        assert_eq!(out["optimizer_config"]["a"], 1);
        assert_eq!(out["params"]["replication_factor"], 2);
        assert_eq!(out["params"]["vectors"]["on_disk"], true);
        let unknown = json!({"vectors": {"b": {}}});
        assert!(update(&mut config, unknown.as_object().unwrap().clone()).is_err());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |json: &str, status: u16, part: &str| {
            let error = create(json).unwrap_err();
            assert_eq!(error.status.as_u16(), status, "{error}");
            assert!(error.message.contains(part), "{json}: {error}");
        };
        check("{\"vectors\": {\"size\": 4, \"distance\": \"Angle\"}}", 400, "Cosine");
        check("{\"vectors\": {\"a\": {\"size\": 4}}}", 400, "vectors \"a\"");
        check("{\"vectors\": {\"size\": 4, \"distance\": \"Dot\", \"multivector_config\": {}}}", 501, "multi-vector");
        check("{\"vectors\": {\"size\": 4, \"distance\": \"Dot\", \"index\": \"ivf\"}}", 400, "ivf");
        check("{\"vector\": {}}", 400, "unknown setting `vector`");
        check("{\"sharding_method\": \"custom\"}", 501, "sharding_method");
        check("{\"embedders\": {\"text\": {\"model\": \"clip\"}}}", 422, "embedders.text");
        check("{\"embedders\": \"all\"}", 400, "\"all\" is unknown");
        check(
            "{\"vectors\": {\"t\": {\"size\": 4, \"distance\": \"Dot\"}}, \"embedders\": {\"t\": {\"model\": \"vecino/text\"}}}",
            400,
            "dim 4, model vecino/text makes dim 256",
        );
    }

    #[test]
    fn field_types() {
        let read = |json: &str| serde_json::from_str::<FieldIndexWire>(json).unwrap().schema();
        assert_eq!(read("{\"field_name\": \"a.b\", \"field_schema\": \"keyword\"}").unwrap(), json!({"data_type": "keyword"}));
        let full = read("{\"field_name\": \"a\", \"field_schema\": {\"type\": \"keyword\", \"is_tenant\": true, \"on_disk\": null}}");
        assert_eq!(full.unwrap(), json!({"data_type": "keyword", "params": {"type": "keyword", "is_tenant": true}}));
        assert!(read("{\"field_name\": \"a\", \"field_schema\": \"tree\"}").unwrap_err().message.contains("known are"));
        assert!(read("{\"field_name\": \"a\"}").is_err());
    }
}
