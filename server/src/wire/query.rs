//! Queries of the dialect: `points/query`, its prefetches, and the legacy `points/search`.

use std::fmt;

use cluster::engine::filter::path::Path;
use cluster::engine::query::{
    Fusion, OrderBy, Query, QueryKind, QueryVector, SearchParams, Selection, VectorSelection,
};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::OneOrMany;
use super::filter::FilterWire;
use super::selection::{WithPayload, WithVector};
use super::vector::{Entries, VectorInput, VectorVisitor};
use crate::config::Limits;
use crate::http::{ApiError, ApiResult};

/// Answers when a query does not say how many, as in the dialect.
pub const LIMIT_DEFAULT: usize = 10;
/// `k` of reciprocal rank fusion when none is given, as in the dialect.
const RRF_K_DEFAULT: f32 = 2.0;

/// Body of `points/query`, and a prefetch.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
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
}

/// Body of the legacy `points/search`.
#[derive(Clone, Debug, Deserialize)]
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
}

/// A list of numbers, or `{"name", "vector"}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a list of numbers, or {\"name\": \"\", \"vector\": []}")]
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

/// How to search. Settings for structures that this version lacks are read and mean nothing: they cannot change an answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ParamsWire {
    exact: Option<bool>,
    #[serde(alias = "ef")]
    hnsw_ef: Option<usize>,
    index: Option<String>,
    explain: Option<bool>,
    target_recall: Option<f32>,
    idf: Option<Value>,
}

impl ParamsWire {
    /// The engine's form.
    ///
    /// # Errors
    ///
    /// 400 if `index` or `target_recall` cannot be met by any structure.
    pub fn params(self) -> ApiResult<SearchParams> {
        if self.idf.is_some_and(|idf| !idf.is_null() && idf != "global") {
            return Err(ApiError::unsupported("`params.idf`"));
        }
        // Every structure of this version answers exactly, so each target is met.
        if let Some(target) = self.target_recall
            && !(target > 0.0 && target <= 1.0)
        {
            return Err(ApiError::bad_request(format!(
                "params.target_recall: {target} is out of range: give more than 0 and at most 1"
            )));
        }
        let index = self
            .index
            .map(|name| {
                name.parse().map_err(|error| ApiError::bad_request(format!("params.index: {error}")))
            })
            .transpose()?;
        Ok(SearchParams {
            exact: self.exact.unwrap_or_default(),
            ef: self.hnsw_ef,
            index,
            explain: self.explain.unwrap_or_default(),
        })
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
#[serde(default)]
struct RecommendWire {
    positive: Option<Vec<VectorInput>>,
    negative: Option<Vec<VectorInput>>,
    strategy: Option<String>,
}

/// A path, or `{"key", "direction", "start_from"}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a path, or {\"key\": path, \"direction\": \"asc\"}")]
pub enum OrderByWire {
    /// Ascending from the start.
    Key(String),
    /// In full.
    Full {
        /// Which field.
        key: String,
        /// Upwards if absent.
        direction: Option<Direction>,
        /// First value: a number or a datetime.
        start_from: Option<Value>,
    },
}

/// `asc` or `desc`.
#[derive(Copy, Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Smallest first.
    Asc,
    /// Largest first.
    Desc,
}

impl OrderByWire {
    /// The engine's form.
    ///
    /// # Errors
    ///
    /// 400 if the path or the start cannot be read.
    pub fn order_by(self) -> ApiResult<OrderBy> {
        let (key, direction, start_from) = match self {
            Self::Key(key) => (key, None, None),
            Self::Full { key, direction, start_from } => (key, direction, start_from),
        };
        let start_from = match start_from {
            None | Some(Value::Null) => None,
            Some(value) => Some(start(&value)?),
        };
        let key = Path::parse(&key).map_err(|error| ApiError::from(error).at("order_by"))?;
        Ok(OrderBy { key, descending: matches!(direction, Some(Direction::Desc)), start_from })
    }
}

fn start(value: &Value) -> ApiResult<f64> {
    let datetime = || value.as_str().and_then(cluster::engine::filter::parse_datetime).map(|us| us as f64);
    value.as_f64().or_else(datetime).ok_or_else(|| {
        ApiError::bad_request("order_by.start_from is neither a number nor a datetime as 2026-01-31T12:00:00Z")
    })
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
            // Diversity beside `nearest` is what cannot be done.
            if !matches!(kind, Some(KindWire::Unsupported(_))) {
                kind = Some(read);
            }
        }
        match (kind, vector) {
            (Some(kind), None) => Ok(kind),
            (None, Some(entries)) => {
                entries.into_vector().map(KindWire::Nearest).map_err(A::Error::custom)
            }
            (Some(_), Some(_)) => Err(A::Error::custom("the query has a key that it does not know")),
            (None, None) => Err(A::Error::custom("the query is empty: leave it out to list points")),
        }
    }
}

/// Kinds of the dialect that this version lacks.
fn unsupported(key: &str) -> Option<&'static str> {
    ["discover", "context", "formula", "mmr", "relevance_feedback"].into_iter().find(|name| *name == key)
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
            FusionName::Rrf => Self::Rrf { k: RRF_K_DEFAULT, weights: Vec::new() },
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
#[serde(default)]
struct RrfWire {
    k: Option<f32>,
    weights: Option<Vec<f32>>,
}

impl From<RrfWire> for Fusion {
    fn from(wire: RrfWire) -> Self {
        Self::Rrf { k: wire.k.unwrap_or(RRF_K_DEFAULT), weights: wire.weights.unwrap_or_default() }
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
                    list.iter_mut().flatten().for_each(|vector| f(using, vector));
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
        let prefetch = self.prefetch.0.into_iter().map(|wire| wire.at_depth(depth + 1, limits));
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 {
            return Err(ApiError::unprocessable("limit: 0 is out of range: give 1 or more"));
        }
        let prefetch = prefetch.collect::<ApiResult<Vec<_>>>()?;
        if prefetch.is_empty() && matches!(self.query, Some(KindWire::Fusion(_))) {
            return Err(ApiError::bad_request("a fusion needs lists to merge: give them as `prefetch`"));
        }
        Ok(Query {
            prefetch,
            kind: self.query.map_or(Ok(QueryKind::Id), KindWire::kind)?,
            using: self.using.unwrap_or_default(),
            filter: self.filter.map(|filter| filter.filter(limits.filter_depth)).transpose()?,
            params: self.params.map_or(Ok(SearchParams::default()), ParamsWire::params)?,
            score_threshold: self.score_threshold,
            limit,
            offset: self.offset.unwrap_or_default(),
            with_payload: self.with_payload.map_or(Ok(Selection::None), WithPayload::selection)?,
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
        if let Some(strategy) = self.strategy.filter(|strategy| strategy != "average_vector") {
            return Err(ApiError::unsupported(format!(
                "the strategy \"{}\" of recommend (\"average_vector\" is)",
                crate::http::quote(&strategy)
            )));
        }
        let vectors = |list: Option<Vec<VectorInput>>| {
            list.unwrap_or_default().into_iter().map(query_vector).collect::<ApiResult<Vec<_>>>()
        };
        let (positive, negative) = (vectors(self.positive)?, vectors(self.negative)?);
        if positive.is_empty() {
            return Err(ApiError::bad_request("recommend.positive is empty: give at least one example"));
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
                crate::http::quote(&names.join("`, `"))
            )))
        }
        other => Err(ApiError::bad_request(format!("the query is {}", other.form()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> ApiResult<Query> {
        crate::http::from_json::<QueryWire>(json.as_bytes())?.query(&Limits::default())
    }

    #[test]
    fn every_kind_is_read() {
        let check = |query: &str, expected: &str| {
            let kind = read(&format!("{{\"query\": {query}, \"prefetch\": {{}}}}")).unwrap().kind;
            let got = format!("{kind:?}");
            assert!(got.starts_with(expected), "{query}: {got}");
        };
        check("null", "Id");
        check("[1, 2]", "Nearest(Dense");
        check("7", "Nearest(Point { id: Num(7)");
        check("\"f39c70e620184bc69fa7481538298572\"", "Nearest(Point { id: Uuid");
        check("{\"nearest\": [1], \"mmr\": null}", "Nearest(Dense");
        check("{\"indices\": [1], \"values\": [1]}", "Nearest(Sparse");
        check("{\"nearest\": {\"indices\": [1], \"values\": [1]}}", "Nearest(Sparse");
        check("{\"nearest\": 7}", "Nearest(Point");
        check("{\"recommend\": {\"positive\": [1, [2]], \"negative\": null}}", "Recommend { positive: [Point");
        check("{\"fusion\": \"rrf\"}", "Fusion(Rrf { k: 2.0, weights: [] })");
        check("{\"fusion\": \"dbsf\"}", "Fusion(Dbsf)");
        check("{\"rrf\": {\"k\": 60, \"weights\": [3, 1]}}", "Fusion(Rrf { k: 60.0, weights: [3.0, 1.0] })");
        check("{\"order_by\": \"a.b\"}", "OrderBy");
        check("{\"order_by\": {\"key\": \"a\", \"direction\": \"desc\", \"start_from\": 3}}", "OrderBy");
        check("{\"sample\": \"random\"}", "Sample");
    }

    #[test]
    fn a_whole_query_is_read() {
        let query = read(
            "{\"prefetch\": {\"query\": [1], \"using\": \"a\", \"limit\": 100}, \"query\": {\"fusion\": \"rrf\"}, \"limit\": 1000000000000000000,
              \"offset\": 3, \"score_threshold\": 0.5, \"filter\": {\"must\": []}, \"params\": {\"hnsw_ef\": 128, \"exact\": true, \"quantization\": null},
              \"with_payload\": [\"a\"], \"with_vector\": true, \"shard_key\": null}",
        )
        .unwrap();
        assert_eq!((query.limit, query.offset, query.score_threshold), (1_000_000_000_000_000_000, 3, Some(0.5)));
        assert_eq!((query.prefetch.len(), query.prefetch[0].limit), (1, 100));
        assert_eq!((query.params.exact, query.params.ef), (true, Some(128)));
        assert!(matches!(query.with_vectors, VectorSelection::All));
    }

    #[test]
    fn media_are_visited_in_order() {
        let mut wire: QueryWire = serde_json::from_str(
            "{\"prefetch\": [{\"query\": {\"text\": \"a\"}, \"using\": \"x\"}, {\"query\": {\"nearest\": {\"text\": \"b\"}}}],
              \"query\": {\"recommend\": {\"positive\": [{\"image\": \"c\"}, 5]}}, \"using\": \"z\"}",
        )
        .unwrap();
        let mut seen = Vec::new();
        wire.for_each_vector(&mut |using, vector| seen.push((using.to_owned(), vector.form())));
        let forms = ["an inference object", "an inference object", "an inference object", "an id"];
        let names = ["x", "", "z", "z"];
        assert_eq!(seen, names.map(str::to_owned).into_iter().zip(forms).collect::<Vec<_>>());
    }

    #[test]
    fn the_legacy_search_is_a_query() {
        let check = |json: &str, using: &str| {
            let wire: SearchWire = crate::http::from_json(json.as_bytes()).unwrap();
            let query = QueryWire::from(wire).query(&Limits::default()).unwrap();
            assert_eq!(query.using, using);
            assert!(matches!(query.kind, QueryKind::Nearest(QueryVector::Dense(_))));
        };
        check("{\"vector\": [1, 2], \"limit\": 4}", "");
        check("{\"vector\": {\"name\": \"a\", \"vector\": [1, 2]}}", "a");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |json: &str, status: u16, part: &str| {
            let error = read(json).unwrap_err();
            assert_eq!(error.status.as_u16(), status, "{error}");
            assert!(error.message.contains(part), "{json}: {error}");
        };
        check("{\"query\": {\"nearest\": [1, null]}}", 400, "query.nearest[1]");
        check("{\"query\": {\"discover\": {}}}", 501, "`discover`");
        check("{\"query\": {\"nearest\": [1], \"mmr\": {}}}", 501, "`mmr`");
        check("{\"query\": {\"mmr\": {}, \"nearest\": [1]}}", 501, "`mmr`");
        check("{\"query\": {\"nearst\": [1]}}", 400, "unknown key `nearst`");
        check("{\"query\": {}}", 400, "empty");
        check("{\"query\": {\"recommend\": {}}}", 400, "positive");
        check("{\"query\": {\"recommend\": {\"positive\": [1], \"strategy\": \"best_score\"}}}", 501, "best_score");
        check("{\"query\": {\"fusion\": \"rrf\"}}", 400, "`prefetch`");
        check("{\"query\": [[1]]}", 501, "multi-vector");
        check("{\"query\": [1], \"limit\": 0}", 422, "limit");
        check("{\"query\": [1], \"limit\": -1}", 400, "`limit`");
        check("{\"query\": [1], \"params\": {\"index\": \"ivf\"}}", 400, "params.index");
        check("{\"query\": [1], \"params\": {\"target_recall\": 2}}", 400, "target_recall");
        check("{\"query\": [1], \"lookup_from\": {\"collection\": \"a\"}}", 501, "lookup_from");
        let deep = format!("{}{{}}{}", "{\"prefetch\": ".repeat(20), "}".repeat(20));
        check(&deep, 400, "prefetch nests more than 8 deep");
    }
}
