//! The routes of the dialect, one file per family.

mod collections;
mod points;
mod query;
mod service;
mod snapshots;
mod unsupported;

use axum::Router;

use crate::app::App;

/// All routes of the dialect.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .merge(service::routes())
        .merge(collections::routes())
        .merge(points::routes())
        .merge(query::routes())
        .merge(snapshots::routes())
        .merge(unsupported::routes())
}
