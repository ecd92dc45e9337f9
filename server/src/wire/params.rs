//! How to search, and by which field to order.

use cluster::engine::filter::path::Path;
use cluster::engine::query::{OrderBy, SearchParams};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::error::{ApiError, ApiResult};

/// How to search. Settings for quantization are read and mean nothing: answers are compared in full whatever they say, and a vector's `encoding` says how a graph's codes are written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParamsWire {
    exact: Option<bool>,
    #[serde(alias = "ef")]
    hnsw_ef: Option<usize>,
    index: Option<String>,
    explain: Option<bool>,
    target_recall: Option<f32>,
    idf: Option<Value>,
    #[serde(rename = "quantization")]
    _quantization: IgnoredAny,
    /// All rows are searched, by scans where there is no index yet.
    #[serde(rename = "indexed_only")]
    _indexed_only: IgnoredAny,
    /// How a graph meets filters is not the client's to say.
    #[serde(rename = "acorn")]
    _acorn: IgnoredAny,
}

impl ParamsWire {
    /// The engine's form.
    ///
    /// # Errors
    ///
    /// 400 if `index` is no structure or `target_recall` no share.
    pub fn params(self) -> ApiResult<SearchParams> {
        if self
            .idf
            .is_some_and(|idf| !idf.is_null() && idf != "global")
        {
            return Err(ApiError::unsupported("`params.idf`"));
        }
        let target_recall = self
            .target_recall
            .map(|target| target_recall("params.target_recall", target))
            .transpose()?;
        let index = self
            .index
            .map(|name| {
                name.parse()
                    .map_err(|error| ApiError::bad_request(format!("params.index: {error}")))
            })
            .transpose()?;
        Ok(SearchParams {
            exact: self.exact.unwrap_or_default(),
            target_recall,
            ef: self.hnsw_ef,
            index,
            explain: self.explain.unwrap_or_default(),
        })
    }
}

/// A share that answers should hold of the true neighbours.
///
/// # Errors
///
/// 400 if it is none.
pub fn target_recall(name: &str, target: f32) -> ApiResult<f32> {
    if target > 0.0 && target <= 1.0 {
        return Ok(target);
    }
    Err(ApiError::bad_request(format!(
        "{name}: {target} is out of range: give more than 0 and at most 1"
    )))
}

/// A path, or `{"key", "direction", "start_from"}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a path, or {\"key\": path, \"direction\": \"asc\", \"start_from\": value}"
)]
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
            Self::Full {
                key,
                direction,
                start_from,
            } => (key, direction, start_from),
        };
        let start_from = match start_from {
            None | Some(Value::Null) => None,
            Some(value) => Some(start(&value)?),
        };
        let key = Path::parse(&key).map_err(|error| ApiError::from(error).at("order_by"))?;
        Ok(OrderBy {
            key,
            descending: matches!(direction, Some(Direction::Desc)),
            start_from,
        })
    }
}

fn start(value: &Value) -> ApiResult<f64> {
    let datetime = || {
        value
            .as_str()
            .and_then(cluster::engine::filter::parse_datetime)
            .map(|us| us as f64)
    };
    value.as_f64().or_else(datetime).ok_or_else(|| {
        ApiError::bad_request(
            "order_by.start_from is neither a number nor a datetime as 2026-01-31T12:00:00Z",
        )
    })
}
