//! What a search asks for: the query string, the JSON body, and what both mean.

use std::sync::Arc;

use cluster::engine::PointId;
use cluster::engine::filter::Filter;
use cluster::engine::query::{SearchParams, Selection};
use serde::Deserialize;

use crate::app::App;
use crate::http::{ApiError, ApiResult, from_json};
use crate::wire::filter::FilterWire;
use crate::wire::id::{Id, from_path};
use crate::wire::inference::image_bytes;
use crate::wire::params::{ParamsWire, target_recall};
use crate::wire::query::LIMIT_DEFAULT;
use crate::wire::selection::WithPayload;

/// Which lists a text is looked up in.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    /// By meaning only.
    Dense,
    /// By words only.
    Sparse,
    /// Both, fused.
    #[default]
    Hybrid,
}

/// The query string of GET, or beside a picture of POST.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http::native) struct SearchQuery {
    text: Option<String>,
    like: Option<String>,
    #[serde(alias = "limit")]
    k: Option<usize>,
    offset: Option<usize>,
    mode: Option<Mode>,
    filter: Option<String>,
    explain: Option<String>,
    exact: Option<String>,
    target_recall: Option<f32>,
    with_payload: Option<String>,
}

/// The JSON body of POST.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SearchBody {
    text: Option<String>,
    image: Option<String>,
    like: Option<Id>,
    #[serde(alias = "limit")]
    k: Option<usize>,
    offset: Option<usize>,
    mode: Option<Mode>,
    filter: Option<FilterWire>,
    explain: Option<bool>,
    params: Option<ParamsWire>,
    with_payload: Option<WithPayload>,
}

/// A search, whatever way it was sent.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) text: Option<Arc<str>>,
    pub(super) image: Option<Arc<[u8]>>,
    pub(super) like: Option<PointId>,
    pub(super) k: usize,
    pub(super) offset: usize,
    pub(super) mode: Mode,
    pub(super) filter: Option<Filter>,
    pub(super) explain: bool,
    pub(super) params: SearchParams,
    pub(super) with_payload: Selection,
}

impl SearchQuery {
    /// What it means.
    ///
    /// # Errors
    ///
    /// 400 or 422 for what cannot be read.
    pub(super) fn search(self, app: &App) -> ApiResult<Search> {
        let filter = self
            .filter
            .map(|json| from_json::<FilterWire>(json.as_bytes()))
            .transpose()?;
        let with_payload = flag("with_payload", self.with_payload)?.unwrap_or(true);
        let target = self.target_recall;
        let params = SearchParams {
            exact: flag("exact", self.exact)?.unwrap_or_default(),
            target_recall: target
                .map(|target| target_recall("target_recall", target))
                .transpose()?,
            ..SearchParams::default()
        };
        Ok(Search {
            text: self.text.map(Into::into),
            image: None,
            like: self.like.map(|id| from_path(&id)).transpose()?,
            k: self.k.unwrap_or(LIMIT_DEFAULT),
            offset: self.offset.unwrap_or_default(),
            mode: self.mode.unwrap_or_default(),
            filter: filter
                .map(|filter| filter.filter(app.options.limits.filter_depth))
                .transpose()?,
            explain: flag("explain", self.explain)?.unwrap_or_default(),
            params,
            with_payload: if with_payload {
                Selection::All
            } else {
                Selection::None
            },
        })
    }
}

/// `?explain`, `?explain=1` and `?explain=true` are the same.
fn flag(name: &str, value: Option<String>) -> ApiResult<Option<bool>> {
    match value.as_deref() {
        None => Ok(None),
        Some("" | "1" | "true" | "yes") => Ok(Some(true)),
        Some("0" | "false" | "no") => Ok(Some(false)),
        Some(_) => Err(ApiError::bad_request(format!(
            "{name}: write true or false"
        ))),
    }
}

impl SearchBody {
    /// What it means; what it leaves open is taken from the query string's search `beside` it.
    ///
    /// # Errors
    ///
    /// 400 or 422 for what cannot be read.
    pub(super) fn search(self, beside: Search, app: &App) -> ApiResult<Search> {
        let params = self.params.map(ParamsWire::params).transpose()?;
        let explain = params
            .as_ref()
            .map_or(beside.explain, |params| params.explain || beside.explain);
        let image = self.image.map(|text| image_bytes(&text)).transpose()?;
        let filter = self
            .filter
            .map(|filter| filter.filter(app.options.limits.filter_depth))
            .transpose()?;
        Ok(Search {
            text: self.text.map(Into::into).or(beside.text),
            image: image.map(Into::into),
            like: self.like.map(|id| id.0).or(beside.like),
            k: self.k.unwrap_or(beside.k),
            offset: self.offset.unwrap_or(beside.offset),
            mode: self.mode.unwrap_or(beside.mode),
            filter: filter.or(beside.filter),
            explain: self.explain.unwrap_or(explain),
            params: params.unwrap_or(beside.params),
            with_payload: self
                .with_payload
                .map_or(Ok(beside.with_payload), WithPayload::selection)?,
        })
    }
}
