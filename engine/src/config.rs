//! What a collection is made of: named vectors, embedders, media, sealing.

use std::collections::BTreeMap;

use index::{Encoding, IndexKind, Metric};
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
    #[serde(
        default,
        with = "optional_name",
        skip_serializing_if = "Option::is_none"
    )]
    pub index: Option<IndexKind>,
    /// How its graph writes vectors; [`Encoding::default`] if `None`. The graph may take a wider one where that orders the vectors badly
    /// ([`index::train`]).
    #[serde(
        default,
        with = "optional_name",
        skip_serializing_if = "Option::is_none"
    )]
    pub encoding: Option<Encoding>,
}

impl VectorConfig {
    /// With everything else left to be chosen.
    pub fn new(dim: usize, metric: Metric) -> Self {
        Self {
            dim,
            metric,
            index: None,
            encoding: None,
        }
    }

    /// Checks that an encoding is asked for only where there will be a graph, once there are rows enough.
    fn validate_encoding(&self, name: &str) -> Result<()> {
        let Some(encoding) = self.encoding else {
            return Ok(());
        };
        let why = match (
            self.index,
            index::choose(self.index, self.metric, self.dim, usize::MAX),
        ) {
            (_, Ok(IndexKind::Graph)) => return Ok(()),
            (Some(forced), _) => format!(
                "index \"{forced}\" is asked for; leave the encoding out, or ask for index \"graph\""
            ),
            (None, Ok(IndexKind::KdTree)) => format!(
                "{} components compared by {} get none by themselves; leave the encoding out, or ask for index \"graph\"",
                self.dim, self.metric
            ),
            (None, _) => format!(
                "there is none for distance {}; leave the encoding out, or take cosine, dot or l2",
                self.metric
            ),
        };
        Err(Error::invalid(format!(
            "vector \"{name}\": encoding \"{encoding}\" is that of a graph, and {why}"
        )))
    }
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
            vector.validate_encoding(name)?;
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

/// What the index has a name for, or nothing.
mod optional_name {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::ref_option)]
    pub fn serialize<T: Display, S: Serializer>(
        named: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match named {
            Some(named) => serializer.collect_str(named),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|name| name.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Option<Encoding> = Some(Encoding::Sq4);

    fn of(vector: VectorConfig) -> CollectionConfig {
        CollectionConfig {
            vectors: [("v".to_owned(), vector)].into(),
            ..CollectionConfig::default()
        }
    }

    #[test]
    fn an_encoding_is_taken_where_a_graph_can_be() {
        let check = |dim, metric, index, refusal: Option<&str>| {
            let vector = VectorConfig {
                index,
                encoding: ASKED,
                ..VectorConfig::new(dim, metric)
            };
            match (of(vector).validate(), refusal) {
                (Ok(()), None) => (),
                (Err(error), Some(part)) => {
                    let said = error.to_string();
                    assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
                    assert!(said.contains("vector \"v\": encoding \"sq4\""), "{said}");
                    assert!(said.contains(part), "{said}");
                }
                (outcome, _) => panic!("{dim} {metric} {index:?}: {outcome:?}"),
            }
        };
        let graph = Some(IndexKind::Graph);
        check(384, Metric::Cosine, None, None);
        check(384, Metric::L2, graph, None);
        check(3, Metric::Dot, None, None);
        check(3, Metric::L2, graph, None);
        check(3, Metric::L2, None, Some("index \"graph\""));
        let flat = Some(IndexKind::Flat);
        check(
            384,
            Metric::Cosine,
            flat,
            Some("index \"flat\" is asked for"),
        );
        let tree = Some(IndexKind::KdTree);
        check(9, Metric::L2, tree, Some("index \"kdtree\" is asked for"));
        check(384, Metric::L1, None, Some("none for distance l1"));
        check(3, Metric::LInf, None, Some("leave the encoding out"));
    }

    #[test]
    fn an_encoding_is_written_by_name_if_there_is_one() {
        let plain = VectorConfig::new(16, Metric::Dot);
        let json = serde_json::to_string(&plain).unwrap();
        assert_eq!(json, r#"{"dim":16,"metric":"dot"}"#);
        assert_eq!(serde_json::from_str::<VectorConfig>(&json).unwrap(), plain);
        for encoding in Encoding::ALL {
            let asked = VectorConfig {
                encoding: Some(encoding),
                ..plain.clone()
            };
            let json = serde_json::to_string(&asked).unwrap();
            let expected = format!(r#"{{"dim":16,"metric":"dot","encoding":"{encoding}"}}"#);
            assert_eq!(json, expected);
            assert_eq!(serde_json::from_str::<VectorConfig>(&json).unwrap(), asked);
        }
        let unknown = r#"{"dim":16,"metric":"dot","encoding":"pq"}"#;
        let error = serde_json::from_str::<VectorConfig>(unknown).unwrap_err();
        assert!(error.to_string().contains("ask for sq8"), "{error}");
    }
}
