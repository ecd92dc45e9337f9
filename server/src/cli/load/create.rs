//! Makes the collection that a dataset needs.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use cluster::engine::Encoding;
use datasets::Row;
use datasets::formats::Format;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use crate::cli::client::{Call, Client, collection_path};
use crate::cli::failure::{Failure, Result};

/// Largest dim for which Euclid is the default: what a k-d tree serves.
const EUCLID_DIM_MAX: usize = 8;

/// How vectors are compared and searched, if the collection is made here.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct VectorChoice {
    /// How vectors are compared. Default: euclid for up to 8 numbers and for bytes, else cosine.
    #[arg(long, value_enum)]
    pub metric: Option<MetricName>,
    /// Search structure; chosen by the server if not given.
    #[arg(long, value_enum)]
    pub index: Option<IndexName>,
    /// How its graph writes vectors: sq8, sq4, f16, f32 or binary; sq8 if not given.
    #[arg(long)]
    pub encoding: Option<Encoding>,
}

/// Names of metrics.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum MetricName {
    /// Angle.
    Cosine,
    /// Inner product.
    Dot,
    /// L2.
    Euclid,
    /// L1.
    Manhattan,
    /// L-infinity.
    Chebyshev,
}

impl MetricName {
    /// The name in the API.
    pub fn wire(self) -> &'static str {
        match self {
            Self::Cosine => "Cosine",
            Self::Dot => "Dot",
            Self::Euclid => "Euclid",
            Self::Manhattan => "Manhattan",
            Self::Chebyshev => "Chebyshev",
        }
    }

    /// What fits vectors of `dim` numbers from a file of this format: few numbers are coordinates and bytes are counts, which
    /// are compared by Euclid; the rest are embeddings.
    pub fn fitting(dim: usize, format: Option<Format>) -> Self {
        let bytes = matches!(format, Some(Format::Bvecs | Format::Ivecs | Format::Idx));
        if dim <= EUCLID_DIM_MAX || bytes {
            Self::Euclid
        } else {
            Self::Cosine
        }
    }
}

/// Names of search structures.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum IndexName {
    /// Exact scan.
    Flat,
    /// k-d tree, exact, for up to 32 numbers compared by euclid, manhattan or chebyshev.
    KdTree,
    /// Approximate, for cosine, dot and euclid.
    Graph,
}

impl IndexName {
    /// The name in the API.
    pub fn wire(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::KdTree => "kdtree",
            Self::Graph => "graph",
        }
    }
}

/// How to make a collection.
#[derive(Clone, Debug, Default)]
pub struct Creation {
    /// What the user asked for.
    pub choice: VectorChoice,
    /// What is being read.
    pub format: Option<Format>,
}

impl Creation {
    /// Makes the collection that rows like `row` need: with ready vectors, one of their dims; else the default, multimodal one.
    /// That somebody else makes it at the same time is no error.
    ///
    /// # Errors
    ///
    /// The server does not answer or refuses.
    pub fn create(&self, client: &Client, collection: &str, row: &Row) -> Result<()> {
        let path = collection_path(collection, "");
        let body = self.body(row)?.map(|body| body.to_string());
        let call = Call {
            method: Method::PUT,
            path: &path,
            body: body
                .as_deref()
                .map(|body| ("application/json", body.as_bytes())),
        };
        let reply = client.retrying(&call)?;
        if reply.status == 409 {
            Ok(())
        } else {
            client.accept(&path, &reply)
        }
    }

    fn body(&self, row: &Row) -> Result<Option<Value>> {
        if row.vectors.is_empty() {
            if self.choice != VectorChoice::default() {
                return Err(Failure::new("--metric, --index and --encoding are for rows with vectors, and these have none")
                    .at(row.source.clone())
                    .mend("leave them out: texts and pictures go into a collection with the built-in embedders; or name the columns of the vector with --vector-columns"));
            }
            return Ok(None);
        }
        let vectors = match row.vectors.as_slice() {
            [(name, vector)] if name.is_empty() => self.vector(vector.len()),
            named => Value::Object(
                named
                    .iter()
                    .map(|(name, vector)| (name.clone(), self.vector(vector.len())))
                    .collect(),
            ),
        };
        Ok(Some(json!({ "vectors": vectors })))
    }

    fn vector(&self, dim: usize) -> Value {
        let metric = self
            .choice
            .metric
            .unwrap_or_else(|| MetricName::fitting(dim, self.format));
        let mut vector = Map::new();
        vector.insert("size".to_owned(), dim.into());
        vector.insert("distance".to_owned(), metric.wire().into());
        if let Some(index) = self.choice.index {
            vector.insert("index".to_owned(), index.wire().into());
        }
        if let Some(encoding) = self.choice.encoding {
            vector.insert("encoding".to_owned(), encoding.name().into());
        }
        Value::Object(vector)
    }
}

/// Whether the collection exists.
///
/// # Errors
///
/// The server does not answer or refuses.
pub fn exists(client: &Client, collection: &str) -> Result<bool> {
    let mut path = collection_path(collection, "");
    let _ = write!(path, "/exists");
    let answer = client.get(&path)?;
    Ok(answer
        .get("exists")
        .and_then(Value::as_bool)
        .unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(vectors: &[(&str, usize)]) -> Row {
        Row {
            source: "x#0".to_owned(),
            id: None,
            text: None,
            image: None,
            vectors: vectors
                .iter()
                .map(|&(name, dim)| (name.to_owned(), vec![1.0; dim]))
                .collect(),
            payload: Map::new(),
        }
    }

    #[test]
    fn the_collection_fits_the_rows() {
        let check = |format, vectors: &[(&str, usize)], expected: Option<Value>| {
            let creation = Creation {
                choice: VectorChoice::default(),
                format,
            };
            assert_eq!(
                creation.body(&row(vectors)).unwrap(),
                expected,
                "{vectors:?}"
            );
        };
        check(None, &[], None);
        check(
            Some(Format::Csv),
            &[("", 3)],
            Some(json!({"vectors": {"size": 3, "distance": "Euclid"}})),
        );
        check(
            Some(Format::Npy),
            &[("", 384)],
            Some(json!({"vectors": {"size": 384, "distance": "Cosine"}})),
        );
        check(
            Some(Format::Bvecs),
            &[("", 128)],
            Some(json!({"vectors": {"size": 128, "distance": "Euclid"}})),
        );
        check(
            Some(Format::Jsonl),
            &[("a", 3), ("b", 9)],
            Some(
                json!({"vectors": {"a": {"size": 3, "distance": "Euclid"}, "b": {"size": 9, "distance": "Cosine"}}}),
            ),
        );
    }

    #[test]
    fn what_was_asked_for_is_sent() {
        let choice = VectorChoice {
            metric: Some(MetricName::Euclid),
            index: Some(IndexName::Graph),
            encoding: Some(Encoding::Sq4),
        };
        let creation = Creation {
            choice,
            format: None,
        };
        let expected = json!({"vectors": {"size": 3, "distance": "Euclid", "index": "graph", "encoding": "sq4"}});
        assert_eq!(creation.body(&row(&[("", 3)])).unwrap(), Some(expected));
        assert!(creation.body(&row(&[])).is_err());
    }
}
