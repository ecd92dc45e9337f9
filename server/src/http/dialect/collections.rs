//! Collections: list, describe, create, change, delete; declared payload fields.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, get, put};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::http::{ApiError, ApiResult, PathParams, RawBody, answer, answer_now};
use crate::wire::collection::{CreateWire, FieldIndexWire, InfoOut, update};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/collections", get(list))
        .route(
            "/collections/{collection}",
            get(describe).put(create).patch(change).delete(remove),
        )
        .route("/collections/{collection}/exists", get(exists))
        .route("/collections/{collection}/index", put(declare_field))
        .route(
            "/collections/{collection}/index/{field}",
            delete(forget_field),
        )
        .route("/collections/{collection}/aliases", get(aliases))
}

async fn list(State(app): State<App>) -> ApiResult<Response> {
    let node = app.node()?;
    let names: Vec<Value> = node
        .collections()
        .into_iter()
        .map(|name| json!({ "name": name }))
        .collect();
    Ok(answer_now(&json!({ "collections": names })))
}

async fn describe(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
) -> ApiResult<Response> {
    let node = app.node()?;
    answer(move || {
        let collection = node.collection(&name)?;
        Ok(InfoOut::new(&collection.config(), &collection.info()))
    })
    .await
}

async fn exists(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
) -> ApiResult<Response> {
    let exists = app.node()?.collections().contains(&name);
    Ok(answer_now(&json!({ "exists": exists })))
}

/// No body at all makes a multimodal collection; `{}` keeps the dialect's meaning: no vectors.
async fn create(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let node = app.node()?;
    let wire = if body.is_blank() {
        CreateWire::multimodal()
    } else {
        body.json().await?
    };
    answer(move || {
        let config = wire.config(&|model, options| app.inference.describe(model, options))?;
        node.create_collection(&name, config)?;
        Ok(true)
    })
    .await
}

async fn change(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let node = app.node()?;
    let body: Map<String, Value> = body.json().await?;
    answer(move || {
        let mut outcome = Ok(());
        node.update_collection(&name, |config| outcome = update(config, body))?;
        outcome.map(|()| true)
    })
    .await
}

/// The dialect answers `false`, not 404, for a collection that was not there.
async fn remove(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
) -> ApiResult<Response> {
    let node = app.node()?;
    answer(move || Ok(node.drop_collection(&name)?)).await
}

/// Remembers the type of a payload field. Filters look at the payloads themselves for now, so nothing is built.
async fn declare_field(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let node = app.node()?;
    let wire: FieldIndexWire = body.json().await?;
    let schema = wire.schema()?;
    answer(move || {
        node.update_collection(&name, |config| {
            config.payload_schema.insert(wire.field_name, schema);
        })?;
        Ok(json!({ "operation_id": 0, "status": "completed" }))
    })
    .await
}

async fn forget_field(
    State(app): State<App>,
    PathParams((name, field)): PathParams<(String, String)>,
) -> ApiResult<Response> {
    let node = app.node()?;
    answer(move || {
        node.update_collection(&name, |config| {
            config.payload_schema.remove(&field);
        })?;
        Ok(json!({ "operation_id": 0, "status": "completed" }))
    })
    .await
}

/// No alias can be made yet, so a collection has none.
async fn aliases(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
) -> ApiResult<Response> {
    if !app.node()?.collections().contains(&name) {
        return Err(missing(&name));
    }
    Ok(answer_now(&json!({ "aliases": [] })))
}

fn missing(name: &str) -> ApiError {
    ApiError::no_collection(name)
}
