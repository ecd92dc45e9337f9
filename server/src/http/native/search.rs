//! `GET|POST /collections/{c}/search`: by words, by a picture, or by a stored point, for a person with curl or a page.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use cluster::engine::filter::Filter;
use cluster::engine::query::{
    Explain, Query, QueryKind, QueryVector, ScorePart, ScoredPoint, SearchParams, Selection, VectorSelection,
};
use cluster::engine::{Collection, CollectionConfig, MediaKind, Payload, PointId, Vector};
use embed::{Modality, Purpose};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::App;
use crate::http::{ApiError, ApiResult, PathParams, QueryParams, RawBody, answer, blocking, from_json};
use crate::hybrid::{Way, candidates, fusion};
use crate::inference::Job;
use crate::wire::filter::FilterWire;
use crate::wire::id::{Id, from_path, percent_encode, to_path};
use crate::wire::inference::{Medium, image_bytes};
use crate::wire::query::{LIMIT_DEFAULT, ParamsWire};
use crate::wire::record::score_parts;
use crate::wire::selection::WithPayload;

/// Hits whose text and media are looked up; a longer list is for machines, which can ask per point.
const SNIPPETS_MAX: usize = 100;
/// Characters of a hit's text that are answered; all of it stands at `/media?kind=text`.
const SNIPPET_CHARS_MAX: usize = 500;

/// Which lists a text is looked up in.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
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
pub(super) struct SearchQuery {
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
struct SearchBody {
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
struct Search {
    text: Option<Arc<str>>,
    image: Option<Arc<[u8]>>,
    like: Option<PointId>,
    k: usize,
    offset: usize,
    mode: Mode,
    filter: Option<Filter>,
    explain: bool,
    params: SearchParams,
    with_payload: Selection,
}

impl SearchQuery {
    fn search(self, app: &App) -> ApiResult<Search> {
        let filter = self.filter.map(|json| from_json::<FilterWire>(json.as_bytes())).transpose()?;
        let with_payload = flag("with_payload", self.with_payload)?.unwrap_or(true);
        // A target is met by every structure of this version: they all answer exactly.
        let params = SearchParams { exact: flag("exact", self.exact)?.unwrap_or_default(), ..SearchParams::default() };
        if self.target_recall.is_some_and(|target| !(target > 0.0 && target <= 1.0)) {
            return Err(ApiError::bad_request("target_recall is out of range: give more than 0 and at most 1"));
        }
        Ok(Search {
            text: self.text.map(Into::into),
            image: None,
            like: self.like.map(|id| from_path(&id)).transpose()?,
            k: self.k.unwrap_or(LIMIT_DEFAULT),
            offset: self.offset.unwrap_or_default(),
            mode: self.mode.unwrap_or_default(),
            filter: filter.map(|filter| filter.filter(app.options.limits.filter_depth)).transpose()?,
            explain: flag("explain", self.explain)?.unwrap_or_default(),
            params,
            with_payload: if with_payload { Selection::All } else { Selection::None },
        })
    }
}

/// `?explain`, `?explain=1` and `?explain=true` are the same.
fn flag(name: &str, value: Option<String>) -> ApiResult<Option<bool>> {
    match value.as_deref() {
        None => Ok(None),
        Some("" | "1" | "true" | "yes") => Ok(Some(true)),
        Some("0" | "false" | "no") => Ok(Some(false)),
        Some(_) => Err(ApiError::bad_request(format!("{name}: write true or false"))),
    }
}

impl SearchBody {
    fn search(self, app: &App) -> ApiResult<Search> {
        let params = self.params.map_or(Ok(SearchParams::default()), ParamsWire::params)?;
        let image = self.image.map(|text| image_bytes(&text)).transpose()?;
        Ok(Search {
            text: self.text.map(Into::into),
            image: image.map(Into::into),
            like: self.like.map(|id| id.0),
            k: self.k.unwrap_or(LIMIT_DEFAULT),
            offset: self.offset.unwrap_or_default(),
            mode: self.mode.unwrap_or_default(),
            filter: self.filter.map(|filter| filter.filter(app.options.limits.filter_depth)).transpose()?,
            explain: self.explain.unwrap_or(params.explain),
            params,
            with_payload: self.with_payload.map_or(Ok(Selection::All), WithPayload::selection)?,
        })
    }
}

pub(super) async fn get(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    QueryParams(query): QueryParams<SearchQuery>,
) -> ApiResult<Response> {
    let search = query.search(&app)?;
    run(app, name, search).await
}

/// JSON, or a picture as the body with the rest in the query string.
pub(super) async fn post(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    QueryParams(query): QueryParams<SearchQuery>,
    body: RawBody,
) -> ApiResult<Response> {
    app.node()?.collection(&name)?;
    let reader = Arc::clone(&app);
    let search = blocking(move || {
        let picture = body.media_type().starts_with("image/") || embed::image::sniff(&body.bytes).is_some();
        if picture {
            return Ok(Search { image: Some(body.bytes.as_ref().into()), ..query.search(&reader)? });
        }
        if body.is_blank() {
            return query.search(&reader);
        }
        from_json::<SearchBody>(&body.bytes)?.search(&reader)
    });
    let search = search.await?;
    run(app, name, search).await
}

/// One list of answers to come: by which way, in which vector, nearest to what.
struct List {
    way: Way,
    using: String,
    vector: QueryVector,
}

async fn run(app: App, name: String, mut search: Search) -> ApiResult<Response> {
    let collection = app.node()?.collection(&name)?;
    if search.k == 0 {
        return Err(ApiError::unprocessable("k: 0 is out of range: give 1 or more"));
    }
    let config = collection.config();
    let mut lists = media_lists(&app, &collection, &config, &mut search).await?;
    let like = search.like.take();
    let image_vectors = app.inference.vectors_for(&config, Modality::Image).dense;
    answer(move || {
        if let Some(id) = like {
            lists.extend(like_lists(&collection, &id, &image_vectors)?);
        }
        if lists.is_empty() {
            return Err(ApiError::bad_request(
                "nothing to search for: give `text`, `like` (the id of a point), or a picture as the body",
            ));
        }
        let searched = lists.iter().map(|list| list.using.clone()).collect();
        let explain = search.explain;
        let query = query(lists, search);
        let single = query.prefetch.is_empty().then(|| query.using.clone());
        let found = collection.query(&query)?;
        let hits = found.points.into_iter().enumerate();
        let hits = hits.map(|(rank, point)| Hit::new(&collection, rank, point, single.as_deref()));
        Ok(SearchOut { points: hits.collect(), searched, explain: found.explain.filter(|_| explain) })
    })
    .await
}

/// Lists for the text and the picture of a search, each in every vector that takes it.
async fn media_lists(
    app: &App,
    collection: &Arc<Collection>,
    config: &CollectionConfig,
    search: &mut Search,
) -> ApiResult<Vec<List>> {
    let mut wanted: Vec<(Way, String, Medium)> = Vec::new();
    if let Some(text) = search.text.take() {
        let vectors = app.inference.vectors_for(config, Modality::Text);
        let dense = vectors.dense.into_iter().filter(|_| search.mode != Mode::Sparse).map(|name| (Way::Dense, name));
        let sparse = vectors.sparse.into_iter().filter(|_| search.mode != Mode::Dense).map(|name| (Way::Sparse, name));
        let before = wanted.len();
        wanted.extend(dense.chain(sparse).map(|(way, name)| (way, name, Medium::Text(Arc::clone(&text)))));
        if wanted.len() == before {
            return Err(no_embedder("text", search.mode));
        }
    }
    if let Some(image) = search.image.take() {
        let vectors = app.inference.vectors_for(config, Modality::Image).dense;
        if vectors.is_empty() {
            return Err(no_embedder("pictures", search.mode));
        }
        wanted.extend(vectors.into_iter().map(|name| (Way::Image, name, Medium::Image(Arc::clone(&image)))));
    }
    let job = |(_, name, medium): &(Way, String, Medium)| Job {
        vector: name.clone(),
        medium: medium.clone(),
        model: None,
        options: Map::new(),
    };
    let embedded = app.inference.embed(collection, wanted.iter().map(job).collect(), Purpose::Query).await;
    let lists = wanted.into_iter().zip(embedded.vectors).map(|((way, using, _), vector)| {
        let vector = match vector.map_err(|error| error.at("query"))? {
            Vector::Dense(numbers) => QueryVector::Dense(numbers),
            Vector::Sparse(sparse) => QueryVector::Sparse(sparse),
        };
        Ok(List { way, using, vector })
    });
    lists.collect()
}

fn no_embedder(what: &str, mode: Mode) -> ApiError {
    let mode = match mode {
        Mode::Hybrid => String::new(),
        Mode::Dense => " in mode dense".to_owned(),
        Mode::Sparse => " in mode sparse".to_owned(),
    };
    ApiError::unprocessable(format!(
        "this collection has no embedder for {what}{mode}: create one with PUT /collections/NAME without a body, or send vectors to points/query"
    ))
}

/// Lists of what is near a stored point, by its dense vectors: by its looks if it has a picture, else by its words.
fn like_lists(collection: &Collection, id: &PointId, image_vectors: &[String]) -> ApiResult<Vec<List>> {
    let records = collection.retrieve(std::slice::from_ref(id), &Selection::None, &VectorSelection::All)?;
    let Some(record) = records.into_iter().next() else {
        return Err(ApiError::not_found(format!("Collection `{}` has no point {id}", collection.name())));
    };
    let vectors = record.vectors.unwrap_or_default().into_iter();
    let dense: Vec<String> =
        vectors.filter(|(_, vector)| matches!(vector, Vector::Dense(_))).map(|(name, _)| name).collect();
    let looks = dense.iter().any(|name| image_vectors.contains(name));
    let chosen = dense.into_iter().filter(|name| !looks || image_vectors.contains(name));
    let lists: Vec<List> = chosen
        .map(|using| List {
            way: if looks { Way::Image } else { Way::Dense },
            vector: QueryVector::Point { id: id.clone(), using: Some(using.clone()) },
            using,
        })
        .collect();
    if lists.is_empty() {
        return Err(ApiError::unprocessable(format!("point {id} has no dense vector to compare with")));
    }
    Ok(lists)
}

/// One list is searched as it is; several are fused.
fn query(mut lists: Vec<List>, search: Search) -> Query {
    let base = Query {
        filter: search.filter,
        // The parts of a fused score come with the explanation.
        params: SearchParams { explain: true, ..search.params },
        limit: search.k,
        offset: search.offset,
        ..Query::default()
    };
    if lists.len() == 1
        && let Some(List { using, vector, .. }) = lists.pop()
    {
        return Query { kind: QueryKind::Nearest(vector), using, with_payload: search.with_payload, ..base };
    }
    let ways: Vec<Way> = lists.iter().map(|list| list.way).collect();
    let wanted = candidates(search.k.saturating_add(search.offset));
    let prefetch = lists.into_iter().map(|List { using, vector, .. }| Query {
        kind: QueryKind::Nearest(vector),
        using,
        limit: wanted,
        offset: 0,
        ..base.clone()
    });
    Query {
        prefetch: prefetch.collect(),
        kind: QueryKind::Fusion(fusion(&ways)),
        filter: None,
        with_payload: search.with_payload,
        ..base.clone()
    }
}

/// The answer of a search.
#[derive(Serialize)]
struct SearchOut {
    points: Vec<Hit>,
    /// Names of the vectors that were searched.
    searched: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Explain>,
}

/// A point that was found, with what a person wants to see of it.
#[derive(Serialize)]
struct Hit {
    id: Id,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload>,
    #[serde(serialize_with = "score_parts")]
    score_parts: Vec<ScorePart>,
}

impl Hit {
    fn new(collection: &Collection, rank: usize, point: ScoredPoint, single: Option<&str>) -> Self {
        let mut parts = point.score_parts;
        if let Some(using) = single {
            parts = vec![ScorePart { using: using.to_owned(), rank, score: point.score }];
        }
        let mut hit = Self {
            score: point.score,
            text: None,
            media: None,
            thumbnail: None,
            payload: point.payload,
            score_parts: parts,
            id: Id(point.id),
        };
        if rank < SNIPPETS_MAX {
            hit.add_media(collection);
        }
        hit
    }

    /// A point deleted since it was found simply has no media.
    fn add_media(&mut self, collection: &Collection) {
        let media = collection.media(&self.id.0).unwrap_or_default();
        let place = format!("/collections/{}/points/{}", percent_encode(collection.name()), to_path(&self.id.0));
        for medium in &media {
            match medium.kind {
                MediaKind::Image => self.thumbnail = Some(format!("{place}/thumbnail")),
                MediaKind::Text => self.text = Some(snippet(&String::from_utf8_lossy(&medium.bytes))),
            }
            self.media = Some(format!("{place}/media"));
        }
    }
}

fn snippet(text: &str) -> String {
    match text.char_indices().nth(SNIPPET_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
