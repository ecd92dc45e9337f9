//! `GET|POST /collections/{c}/search`: by words, by a picture, or by a stored point, for a person with curl or a page.

mod hit;
mod request;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use cluster::engine::query::{
    Query, QueryKind, QueryVector, SearchParams, Selection, VectorSelection,
};
use cluster::engine::{Collection, CollectionConfig, PointId, Vector};
use embed::{Modality, Purpose};
use serde_json::Map;

use self::hit::{Hit, SearchOut};
use self::request::{Mode, Search, SearchBody, SearchQuery};
use crate::app::App;
use crate::http::{
    ApiError, ApiResult, PathParams, QueryParams, RawBody, answer, blocking, from_json,
};
use crate::hybrid::{Way, candidates, fusion};
use crate::inference::Job;
use crate::wire::inference::Medium;

pub(super) async fn get(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    QueryParams(query): QueryParams<SearchQuery>,
) -> ApiResult<Response> {
    let search = query.search(&app)?;
    run(app, name, search).await
}

/// JSON or a picture as the body; what it leaves open may stand in the query string.
pub(super) async fn post(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    QueryParams(query): QueryParams<SearchQuery>,
    body: RawBody,
) -> ApiResult<Response> {
    app.node()?.collection(&name)?;
    let reader = Arc::clone(&app);
    let search = blocking(move || {
        let media_type = body.media_type();
        let picture = media_type.starts_with("image/")
            || media_type == "application/octet-stream"
            || embed::image::sniff(&body.bytes).is_some();
        if picture {
            return Ok(Search {
                image: Some(body.bytes.as_ref().into()),
                ..query.search(&reader)?
            });
        }
        if body.is_blank() {
            return query.search(&reader);
        }
        let body = from_json::<SearchBody>(&body.bytes)?;
        body.search(query.search(&reader)?, &reader)
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
        return Err(ApiError::unprocessable(
            "k: 0 is out of range: give 1 or more",
        ));
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
        Ok(SearchOut { points: hits.collect::<Result<_, _>>()?, searched, explain: found.explain.filter(|_| explain) })
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
        let dense = vectors
            .dense
            .into_iter()
            .filter(|_| search.mode != Mode::Sparse)
            .map(|name| (Way::Dense, name));
        let sparse = vectors
            .sparse
            .into_iter()
            .filter(|_| search.mode != Mode::Dense)
            .map(|name| (Way::Sparse, name));
        let before = wanted.len();
        wanted.extend(
            dense
                .chain(sparse)
                .map(|(way, name)| (way, name, Medium::Text(Arc::clone(&text)))),
        );
        if wanted.len() == before {
            return Err(no_embedder("text", search.mode));
        }
    }
    if let Some(image) = search.image.take() {
        let vectors = app.inference.vectors_for(config, Modality::Image).dense;
        if vectors.is_empty() {
            return Err(no_embedder("pictures", search.mode));
        }
        wanted.extend(
            vectors
                .into_iter()
                .map(|name| (Way::Image, name, Medium::Image(Arc::clone(&image)))),
        );
    }
    let job = |(_, name, medium): &(Way, String, Medium)| Job {
        vector: name.clone(),
        medium: medium.clone(),
        model: None,
        options: Map::new(),
    };
    let embedded = app
        .inference
        .embed(collection, wanted.iter().map(job).collect(), Purpose::Query)
        .await;
    let lists = wanted
        .into_iter()
        .zip(embedded.vectors)
        .map(|((way, using, _), vector)| {
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
fn like_lists(
    collection: &Collection,
    id: &PointId,
    image_vectors: &[String],
) -> ApiResult<Vec<List>> {
    let records = collection.retrieve(
        std::slice::from_ref(id),
        &Selection::None,
        &VectorSelection::All,
    )?;
    let Some(record) = records.into_iter().next() else {
        return Err(ApiError::not_found(format!(
            "Collection `{}` has no point {id}",
            collection.name()
        )));
    };
    let vectors = record.vectors.unwrap_or_default().into_iter();
    let dense: Vec<String> = vectors
        .filter(|(_, vector)| matches!(vector, Vector::Dense(_)))
        .map(|(name, _)| name)
        .collect();
    let looks = dense.iter().any(|name| image_vectors.contains(name));
    let chosen = dense
        .into_iter()
        .filter(|name| !looks || image_vectors.contains(name));
    let lists: Vec<List> = chosen
        .map(|using| List {
            way: if looks { Way::Image } else { Way::Dense },
            vector: QueryVector::Point {
                id: id.clone(),
                using: Some(using.clone()),
            },
            using,
        })
        .collect();
    if lists.is_empty() {
        return Err(ApiError::unprocessable(format!(
            "point {id} has no dense vector to compare with"
        )));
    }
    Ok(lists)
}

/// One list is searched as it is; several are fused.
fn query(mut lists: Vec<List>, search: Search) -> Query {
    let base = Query {
        filter: search.filter,
        // The parts of a fused score come with the explanation.
        params: SearchParams {
            explain: true,
            ..search.params
        },
        limit: search.k,
        offset: search.offset,
        ..Query::default()
    };
    if lists.len() == 1
        && let Some(List { using, vector, .. }) = lists.pop()
    {
        return Query {
            kind: QueryKind::Nearest(vector),
            using,
            with_payload: search.with_payload,
            ..base
        };
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
