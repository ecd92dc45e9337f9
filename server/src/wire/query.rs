//! Queries of the dialect: `points/query`, its prefetches, and the legacy `points/search`.

use std::fmt;

use cluster::engine::query::{
    Fusion, Query, QueryKind, QueryVector, SearchParams, Selection, VectorSelection,
};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::OneOrMany;
use super::filter::FilterWire;
use super::params::{OrderByWire, ParamsWire};
use super::selection::{WithPayload, WithVector};
use super::vector::{Entries, VectorInput, VectorVisitor};
use crate::config::Limits;
use crate::error::{ApiError, ApiResult};

/// Answers when a query does not say how many, as in the dialect.
pub const LIMIT_DEFAULT: usize = 10;
/// `k` of reciprocal rank fusion when none is given, as in the dialect.
const RRF_K_DEFAULT: f32 = 2.0;

/// Body of `points/query`, and a prefetch. A field that is not known is refused: a `fliter` that counts for nothing would answer with what it was to keep out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueryWire {
    prefetch: OneOrMany<QueryWire>,
    query: Option<KindWire>,
    using: Option<String>,
    filter: Option<FilterWire>,
    params: Option<ParamsWire>,
    score_threshold: Option<f32>,
    limit: Option<usize>,
    offset: Option<usize>,
    with_payload: Option<WithPayload>,
    #[serde(alias = "with_vectors")]
    with_vector: Option<WithVector>,
    lookup_from: Option<Value>,
    /// Of no meaning here: all points are in one place.
    #[serde(rename = "shard_key")]
    _shard_key: IgnoredAny,
}

/// Body of the legacy `points/search`; fields that are not known as in [`QueryWire`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchWire {
    vector: LegacyVector,
    filter: Option<FilterWire>,
    params: Option<ParamsWire>,
    score_threshold: Option<f32>,
    limit: Option<usize>,
    offset: Option<usize>,
    with_payload: Option<WithPayload>,
    #[serde(alias = "with_vectors")]
    with_vector: Option<WithVector>,
    #[serde(default, rename = "shard_key")]
    _shard_key: IgnoredAny,
}

/// A list of numbers, or `{"name", "vector"}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a list of numbers, or {\"name\": \"\", \"vector\": []}"
)]
enum LegacyVector {
    Named { name: String, vector: VectorInput },
    Plain(VectorInput),
}

impl From<SearchWire> for QueryWire {
    fn from(wire: SearchWire) -> Self {
        let (using, vector) = match wire.vector {
            LegacyVector::Named { name, vector } => (name, vector),
            LegacyVector::Plain(vector) => (String::new(), vector),
        };
        Self {
            query: Some(KindWire::Nearest(vector)),
            using: Some(using),
            filter: wire.filter,
            params: wire.params,
            score_threshold: wire.score_threshold,
            limit: wire.limit,
            offset: wire.offset,
            with_payload: wire.with_payload,
            with_vector: wire.with_vector,
            ..Self::default()
        }
    }
}

/// The `query` of a query.
#[derive(Clone, Debug)]
enum KindWire {
    Nearest(VectorInput),
    Recommend(RecommendWire),
    Fusion(Fusion),
    OrderBy(OrderByWire),
    Sample,
    Unsupported(&'static str),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RecommendWire {
    positive: Option<Vec<VectorInput>>,
    negative: Option<Vec<VectorInput>>,
    strategy: Option<String>,
}

impl<'de> Deserialize<'de> for KindWire {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = KindWire;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a query: a vector, a point id, {\"nearest\": …}, {\"fusion\": \"rrf\"} or another of the dialect's")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<KindWire, E> {
        VectorVisitor.visit_u64(number).map(KindWire::Nearest)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<KindWire, E> {
        VectorVisitor.visit_i64(number).map(KindWire::Nearest)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<KindWire, E> {
        VectorVisitor.visit_str(text).map(KindWire::Nearest)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<KindWire, A::Error> {
        VectorVisitor.visit_seq(seq).map(KindWire::Nearest)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KindWire, A::Error> {
        let mut kind = None;
        let mut vector: Option<Entries> = None;
        while let Some(key) = map.next_key::<String>()? {
            let read = match key.as_str() {
                "nearest" => KindWire::Nearest(map.next_value()?),
                "recommend" => KindWire::Recommend(map.next_value()?),
                "fusion" => KindWire::Fusion(map.next_value::<FusionName>()?.into()),
                "rrf" => KindWire::Fusion(map.next_value::<RrfWire>()?.into()),
                "order_by" => KindWire::OrderBy(map.next_value()?),
                "sample" => {
                    map.next_value::<SampleName>()?;
                    KindWire::Sample
                }
                other => match unsupported(other) {
                    Some(name) => {
                        let value: Value = map.next_value()?;
                        // Clients write `"mmr": null` beside `nearest`.
                        if value.is_null() {
                            continue;
                        }
                        KindWire::Unsupported(name)
                    }
                    None => {
                        vector.get_or_insert_default().read(key, &mut map)?;
                        continue;
                    }
                },
            };
            kind = Some(match (kind, read) {
                (None, read) => read,
                // Diversity beside `nearest` is what cannot be done.
                (Some(KindWire::Unsupported(name)), _) | (Some(_), KindWire::Unsupported(name)) => {
                    KindWire::Unsupported(name)
                }
                _ => return Err(A::Error::custom("the query has two kinds: give one")),
            });
        }
        match (kind, vector) {
            (Some(kind), None) => Ok(kind),
            (None, Some(entries)) => entries
                .into_vector()
                .map(KindWire::Nearest)
                .map_err(A::Error::custom),
            (Some(_), Some(_)) => Err(A::Error::custom(
                "the query has a key that it does not know",
            )),
            (None, None) => Err(A::Error::custom(
                "the query is empty: leave it out to list points",
            )),
        }
    }
}

/// Kinds of the dialect that this version lacks.
fn unsupported(key: &str) -> Option<&'static str> {
    [
        "discover",
        "context",
        "formula",
        "mmr",
        "relevance_feedback",
    ]
    .into_iter()
    .find(|name| *name == key)
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FusionName {
    Rrf,
    Dbsf,
}

impl From<FusionName> for Fusion {
    fn from(name: FusionName) -> Self {
        match name {
            FusionName::Rrf => Self::Rrf {
                k: RRF_K_DEFAULT,
                weights: Vec::new(),
            },
            FusionName::Dbsf => Self::Dbsf,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SampleName {
    Random,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RrfWire {
    k: Option<f32>,
    weights: Option<Vec<f32>>,
}

impl From<RrfWire> for Fusion {
    fn from(wire: RrfWire) -> Self {
        Self::Rrf {
            k: wire.k.unwrap_or(RRF_K_DEFAULT),
            weights: wire.weights.unwrap_or_default(),
        }
    }
}

impl QueryWire {
    /// Calls `f` with every vector that stands in the query and its prefetches, and the name of the vector it is compared with;
    /// always in the same order.
    pub fn for_each_vector(&mut self, f: &mut dyn FnMut(&str, &mut VectorInput)) {
        for prefetch in &mut self.prefetch.0 {
            prefetch.for_each_vector(f);
        }
        let using = self.using.as_deref().unwrap_or_default();
        match &mut self.query {
            Some(KindWire::Nearest(vector)) => f(using, vector),
            Some(KindWire::Recommend(wire)) => {
                for list in [&mut wire.positive, &mut wire.negative] {
                    list.iter_mut()
                        .flatten()
                        .for_each(|vector| f(using, vector));
                }
            }
            _ => {}
        }
    }

    /// The engine's query, once its media are vectors.
    ///
    /// # Errors
    ///
    /// 400 for what is malformed, 422 for a limit of 0, 501 for what this version lacks.
    pub fn query(self, limits: &Limits) -> ApiResult<Query> {
        self.at_depth(0, limits)
    }

    fn at_depth(self, depth: usize, limits: &Limits) -> ApiResult<Query> {
        if depth > limits.prefetch_depth {
            return Err(ApiError::bad_request(format!(
                "prefetch nests more than {} deep: make it flatter",
                limits.prefetch_depth
            )));
        }
        if self.lookup_from.is_some_and(|lookup| !lookup.is_null()) {
            return Err(ApiError::unsupported("`lookup_from`"));
        }
        let prefetch = self
            .prefetch
            .0
            .into_iter()
            .map(|wire| wire.at_depth(depth + 1, limits));
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 {
            return Err(ApiError::unprocessable(
                "limit: 0 is out of range: give 1 or more",
            ));
        }
        let prefetch = prefetch.collect::<ApiResult<Vec<_>>>()?;
        if prefetch.is_empty() && matches!(self.query, Some(KindWire::Fusion(_))) {
            return Err(ApiError::bad_request(
                "a fusion needs lists to merge: give them as `prefetch`",
            ));
        }
        Ok(Query {
            prefetch,
            kind: self.query.map_or(Ok(QueryKind::Id), KindWire::kind)?,
            using: self.using.unwrap_or_default(),
            filter: self
                .filter
                .map(|filter| filter.filter(limits.filter_depth))
                .transpose()?,
            params: self
                .params
                .map_or(Ok(SearchParams::default()), ParamsWire::params)?,
            score_threshold: self.score_threshold,
            limit,
            offset: self.offset.unwrap_or_default(),
            with_payload: self
                .with_payload
                .map_or(Ok(Selection::None), WithPayload::selection)?,
            with_vectors: self.with_vector.map_or(VectorSelection::None, Into::into),
        })
    }
}

impl KindWire {
    fn kind(self) -> ApiResult<QueryKind> {
        Ok(match self {
            Self::Nearest(vector) => QueryKind::Nearest(query_vector(vector)?),
            Self::Recommend(wire) => wire.kind()?,
            Self::Fusion(fusion) => QueryKind::Fusion(fusion),
            Self::OrderBy(wire) => QueryKind::OrderBy(wire.order_by()?),
            Self::Sample => QueryKind::Sample,
            Self::Unsupported(name) => {
                return Err(ApiError::unsupported(format!("the query `{name}`")));
            }
        })
    }
}

impl RecommendWire {
    fn kind(self) -> ApiResult<QueryKind> {
        if let Some(strategy) = self
            .strategy
            .filter(|strategy| strategy != "average_vector")
        {
            return Err(ApiError::unsupported(format!(
                "the strategy \"{}\" of recommend (\"average_vector\" is)",
                crate::error::quote(&strategy)
            )));
        }
        let vectors = |list: Option<Vec<VectorInput>>| {
            list.unwrap_or_default()
                .into_iter()
                .map(query_vector)
                .collect::<ApiResult<Vec<_>>>()
        };
        let (positive, negative) = (vectors(self.positive)?, vectors(self.negative)?);
        if positive.is_empty() {
            return Err(ApiError::bad_request(
                "recommend.positive is empty: give at least one example",
            ));
        }
        Ok(QueryKind::Recommend { positive, negative })
    }
}

fn query_vector(input: VectorInput) -> ApiResult<QueryVector> {
    match input {
        VectorInput::Dense(numbers) => Ok(QueryVector::Dense(numbers)),
        VectorInput::Sparse(sparse) => Ok(QueryVector::Sparse(sparse)),
        VectorInput::Id(id) => Ok(QueryVector::Point { id, using: None }),
        VectorInput::Multi => Err(ApiError::unsupported("a query with a multi-vector")),
        VectorInput::Named(named) => {
            let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
            Err(ApiError::bad_request(format!(
                "the query has the unknown key `{}`; a vector is chosen by `using`",
                crate::error::quote(&names.join("`, `"))
            )))
        }
        other => Err(ApiError::bad_request(format!(
            "the query is {}",
            other.form()
        ))),
    }
}

#[cfg(test)]
mod tests;
