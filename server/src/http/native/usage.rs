//! `GET /usage` and `GET /collections/{c}/usage`: what memory and disk are used for, and how far background work is.

use axum::extract::State;
use axum::response::Response;
use cluster::engine::{CollectionUsage, ProcessMemory, Progress, Usage};
use serde::Serialize;

use crate::app::App;
use crate::http::{ApiResult, PathParams, answer};

#[derive(Serialize)]
struct NodeOut {
    #[serde(flatten)]
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<ProcessOut>,
}

/// The process as the operating system sees it, in bytes.
#[derive(Serialize)]
struct ProcessOut {
    resident: u64,
    anonymous: u64,
    file: u64,
    /// `anonymous` less all parts of `memory_bytes`.
    unexplained: i64,
}

#[derive(Serialize)]
struct CollectionOut {
    #[serde(flatten)]
    usage: CollectionUsage,
    status: &'static str,
    progress: Progress,
}

/// Of the node, by part and by collection.
pub(super) async fn node(State(app): State<App>) -> ApiResult<Response> {
    let node = app.node()?;
    answer(move || {
        let mut usage = node.usage()?;
        usage.memory_bytes.add("bodies", app.room.taken_bytes());
        let process = ProcessMemory::now().map(|process| ProcessOut {
            resident: process.resident,
            anonymous: process.anonymous,
            file: process.file,
            unexplained: process.unexplained(&usage.memory_bytes),
        });
        Ok(NodeOut { usage, process })
    })
    .await
}

/// Of one collection, with what is done for it in the background.
pub(super) async fn collection(
    State(app): State<App>,
    PathParams(name): PathParams<String>,
) -> ApiResult<Response> {
    let node = app.node()?;
    answer(move || {
        let collection = node.collection(&name)?;
        let progress = collection.progress();
        Ok(CollectionOut {
            usage: collection.usage()?,
            status: match (collection.trouble(), progress.pending) {
                (Some(_), _) => "red",
                (None, true) => "yellow",
                (None, false) => "green",
            },
            progress,
        })
    })
    .await
}
