//! What a collection is made of: named vectors, embedders, media, sealing.

use std::collections::BTreeMap;

use index::{IndexKind, Metric};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The largest `dim` of a dense vector.
pub const DIM_MAX: usize = 65_536;
/// The longest name of a collection or vector, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Settings of one collection. Written to disk as JSON inside its record, so that fields can be added.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionConfig {
    /// Dense vectors by name; the unnamed one is `""`.
    #[serde(default)]
    pub vectors: BTreeMap<String, VectorConfig>,
    /// Sparse vectors by name.
    #[serde(default)]
    pub sparse_vectors: BTreeMap<String, SparseVectorConfig>,
    /// Which embedder made (and makes) the vectors of a name. The engine stores it and never interprets it.
    #[serde(default)]
    pub embedders: BTreeMap<String, EmbedderConfig>,
    /// What is kept of the source media.
    #[serde(default)]
    pub media: MediaConfig,
    /// When a write is acknowledged.
    #[serde(default)]
    pub durability: Durability,
    /// Payload fields with a declared type, by path.
    #[serde(default)]
    pub payload_schema: BTreeMap<String, serde_json::Value>,
    /// Settings of the API dialect that are echoed to its clients and mean nothing here.
    #[serde(default)]
    pub dialect: serde_json::Map<String, serde_json::Value>,
}

/// When a write is acknowledged. In JSON `"sync"` or `{"interval_ms": 100}`.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// When it is durable: it survives a loss of power. The default.
    #[default]
    Sync,
    /// When it is in the write-ahead log, which becomes durable at most so many milliseconds later (and what the sync takes): it survives the end of the
    /// process at once, a loss of power only then. On a single node only: a replica that forgets is none.
    IntervalMs(u64),
}

/// The longest interval of [`Durability::IntervalMs`]: a minute.
pub const DURABILITY_INTERVAL_MS_MAX: u64 = 60_000;

/// Settings of one dense vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorConfig {
    /// Count of numbers in every vector of this name.
    pub dim: usize,
    /// How two of them are compared.
    #[serde(with = "metric_name")]
    pub metric: Metric,
    /// The search structure asked for; chosen when a segment is sealed if `None`.
    #[serde(default, with = "index_name", skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexKind>,
}

/// Settings of one sparse vector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparseVectorConfig {
    /// Whether query values are multiplied by the inverse document frequency of the collection.
    #[serde(default)]
    pub idf: bool,
}

/// The embedder of one vector name: a stored point never mixes models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderConfig {
    /// Registry name, as `vecino/text`.
    pub model: String,
    /// Version of the embedder that wrote the first vector.
    #[serde(default)]
    pub version: String,
    /// Checksum of its weights.
    #[serde(default)]
    pub checksum: String,
    /// Options given to its constructor.
    #[serde(default)]
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// What is kept of the source media.
#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaConfig {
    /// Whether the source text or picture bytes are kept. Default true: a model can then be changed later.
    #[serde(default = "yes")]
    pub keep: bool,
    /// Whether thumbnails are served. Default true.
    #[serde(default = "yes")]
    pub thumbnails: bool,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            keep: true,
            thumbnails: true,
        }
    }
}

fn yes() -> bool {
    true
}

impl CollectionConfig {
    /// Checks dims, names and forced structures.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, naming the vector and the limit.
    pub fn validate(&self) -> Result<()> {
        if let Durability::IntervalMs(interval_ms) = self.durability
            && !(1..=DURABILITY_INTERVAL_MS_MAX).contains(&interval_ms)
        {
            return Err(Error::invalid(format!(
                "durability: interval_ms {interval_ms} is out of range; give 1 to {DURABILITY_INTERVAL_MS_MAX}, or \"sync\""
            )));
        }
        for (name, vector) in &self.vectors {
            validate_vector_name(name)?;
            if vector.dim == 0 || vector.dim > DIM_MAX {
                return Err(Error::invalid(format!(
                    "vector \"{name}\": dim {} is out of range; give 1 to {DIM_MAX}",
                    vector.dim
                )));
            }
            index::choose(vector.index, vector.metric, vector.dim, 0)
                .map_err(|error| Error::invalid(format!("vector \"{name}\": {error}")))?;
        }
        for name in self.sparse_vectors.keys() {
            validate_vector_name(name)?;
            if self.vectors.contains_key(name) {
                return Err(Error::invalid(format!(
                    "vector \"{name}\" is both dense and sparse; give the two different names"
                )));
            }
        }
        for name in self.embedders.keys() {
            if !self.vectors.contains_key(name) && !self.sparse_vectors.contains_key(name) {
                return Err(Error::invalid(format!(
                    "embedders: there is no vector \"{name}\" in this collection"
                )));
            }
        }
        Ok(())
    }
}

fn validate_vector_name(name: &str) -> Result<()> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::invalid(format!(
            "vector name: {} bytes are too long; the limit is {NAME_BYTES_MAX}",
            name.len()
        )));
    }
    Ok(())
}

/// Checks a collection's name: 1 to `NAME_BYTES_MAX` (255) bytes, no slash, no control character, no white space at either end,
/// and neither `.` nor `..`, which the path of a URL cannot hold.
///
/// # Errors
///
/// `InvalidInput` that says which rule is broken.
pub fn validate_collection_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(Error::invalid(format!(
            "collection name: {} bytes; give 1 to {NAME_BYTES_MAX}",
            name.len()
        )));
    }
    if let Some(bad) = name
        .chars()
        .find(|c| c.is_control() || matches!(c, '/' | '\\'))
    {
        return Err(Error::invalid(format!(
            "collection name: the character {bad:?} is not allowed; leave out slashes and control characters"
        )));
    }
    if name.trim() != name {
        return Err(Error::invalid(format!(
            "collection name: {name:?} begins or ends with white space; leave it out"
        )));
    }
    if matches!(name, "." | "..") {
        return Err(Error::invalid(format!(
            "collection name: {name:?} means a folder in the path of a URL; give another"
        )));
    }
    Ok(())
}

mod metric_name {
    use index::Metric;
    use serde::{Deserialize, Deserializer, Serializer};

    // Serde's `with` hands a reference.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub fn serialize<S: Serializer>(metric: &Metric, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(metric.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Metric, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

mod index_name {
    use index::IndexKind;
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::ref_option)]
    pub fn serialize<S: Serializer>(
        kind: &Option<IndexKind>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match kind {
            Some(kind) => serializer.serialize_some(kind.name()),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<IndexKind>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|name| name.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}
