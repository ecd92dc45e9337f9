//! `PUT /collections/{c}`: what a new collection is made of.

use std::collections::BTreeMap;

use cluster::engine::{
    CollectionConfig, Durability, MediaConfig, Metric, SparseVectorConfig, VectorConfig,
};
use embed::{Identity, Kind};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::echo::{ECHOED_SPARSE, ECHOED_VECTORS, echoed, without_nulls};
use super::{check_shape, embedder_config};
use crate::error::{ApiError, ApiResult};

/// The vectors of a multimodal collection and the embedders that make them: what a collection gets that is created without a
/// word about vectors.
pub const EMBEDDERS_DEFAULT: [(&str, &str); 3] = [
    ("text", "vecino/text"),
    ("image", "vecino/image"),
    ("bm25", "vecino/bm25"),
];

/// Body of `PUT /collections/{c}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CreateWire {
    vectors: Option<Map<String, Value>>,
    sparse_vectors: Option<BTreeMap<String, SparseWire>>,
    embedders: Option<EmbeddersWire>,
    media: Option<MediaConfig>,
    /// Ours: `"sync"`, or `{"interval_ms": 100}`.
    durability: Option<Durability>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorWire {
    size: usize,
    distance: Distance,
    /// Ours: what searches it.
    index: Option<String>,
    /// Ours: how its graph writes vectors. `quantization_config` is the dialect's, and echoed.
    encoding: Option<String>,
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
#[serde(
    untagged,
    expecting = "\"default\", or an object like {\"text\": {\"model\": \"vecino/text\"}}"
)]
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
        Self {
            embedders: Some(EmbeddersWire::Word("default".to_owned())),
            ..Self::default()
        }
    }

    /// The engine's form.
    ///
    /// # Errors
    ///
    /// 400 for unknown settings and shapes that do not fit, 422 for unknown models, 501 for what this version lacks.
    pub fn config(self, describe: &Describe<'_>) -> ApiResult<CollectionConfig> {
        let mut config = CollectionConfig {
            media: self.media.unwrap_or_default(),
            durability: self.durability.unwrap_or_default(),
            ..CollectionConfig::default()
        };
        config.dialect = echoed(self.others)?;
        let mut echoed_vectors = Map::new();
        for (name, wire) in vectors(self.vectors.unwrap_or_default())? {
            let (vector, echo) = wire
                .config()
                .map_err(|error| error.at(format!("vector \"{name}\"")))?;
            config.vectors.insert(name.clone(), vector);
            if !echo.is_empty() {
                echoed_vectors.insert(name, Value::Object(echo));
            }
        }
        let mut echoed_sparse = Map::new();
        for (name, wire) in self.sparse_vectors.unwrap_or_default() {
            let idf = matches!(wire.modifier, Some(Modifier::Idf));
            config
                .sparse_vectors
                .insert(name.clone(), SparseVectorConfig { idf });
            if let Some(Value::Object(index)) = wire.index {
                let index = Value::Object(without_nulls(index));
                echoed_sparse.insert(name, json!({ "index": index }));
            }
        }
        for (key, echo) in [
            (ECHOED_VECTORS, echoed_vectors),
            (ECHOED_SPARSE, echoed_sparse),
        ] {
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
            ApiError::bad_request(format!(
                "vectors \"{name}\": {error}: write {{\"size\": 128, \"distance\": \"Cosine\"}}"
            ))
        })
    };
    if wire.get("size").is_some_and(Value::is_number) || wire.contains_key("distance") {
        return Ok(vec![(String::new(), read("", Value::Object(wire))?)]);
    }
    wire.into_iter()
        .map(|(name, value)| Ok((name.clone(), read(&name, value)?)))
        .collect()
}

impl VectorWire {
    fn config(self) -> ApiResult<(VectorConfig, Map<String, Value>)> {
        if self
            .multivector_config
            .is_some_and(|value| !value.is_null())
        {
            return Err(ApiError::unsupported("a multi-vector"));
        }
        let datatype = self.datatype.as_deref().unwrap_or("float32");
        if !["float32", "float16", "uint8"].contains(&datatype) {
            return Err(ApiError::unsupported(format!("datatype \"{datatype}\"")));
        }
        let index = self
            .index
            .map(|name| {
                name.parse()
                    .map_err(|error| ApiError::bad_request(format!("{error}")))
            })
            .transpose()?;
        let encoding = self
            .encoding
            .map(|name| {
                name.parse()
                    .map_err(|error| ApiError::bad_request(format!("{error}")))
            })
            .transpose()?;
        let config = VectorConfig {
            index,
            encoding,
            ..VectorConfig::new(self.size, self.distance.into())
        };
        let echo = [
            ("hnsw_config", self.hnsw_config),
            ("quantization_config", self.quantization_config),
            ("on_disk", self.on_disk.map(Value::from)),
            ("memory", self.memory),
            ("datatype", self.datatype.map(Value::from)),
        ];
        let echo = echo
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Ok((config, without_nulls(echo.collect())))
    }
}

impl EmbeddersWire {
    fn list(self) -> ApiResult<Vec<(String, EmbedderWire)>> {
        match self {
            Self::Named(named) => Ok(named.into_iter().collect()),
            Self::Word(word) if word == "default" => {
                let wire = |model: &str| EmbedderWire {
                    model: model.to_owned(),
                    options: Map::new(),
                };
                Ok(EMBEDDERS_DEFAULT
                    .iter()
                    .map(|(name, model)| ((*name).to_owned(), wire(model)))
                    .collect())
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
            config
                .vectors
                .insert(name.to_owned(), VectorConfig::new(dim, metric));
        }
        Kind::Sparse { idf } => {
            config
                .sparse_vectors
                .insert(name.to_owned(), SparseVectorConfig { idf });
        }
    }
    config
        .embedders
        .insert(name.to_owned(), embedder_config(&identity, wire.options));
    Ok(())
}

fn metric_of(metric: embed::Metric) -> Metric {
    match metric {
        embed::Metric::Cosine => Metric::Cosine,
        embed::Metric::Dot => Metric::Dot,
        embed::Metric::Euclid => Metric::L2,
        embed::Metric::Manhattan => Metric::L1,
    }
}
