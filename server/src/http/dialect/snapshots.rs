//! Snapshots of collections (archives) and of the node (folders of hard links).

mod transfer;

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post, put};
use cluster::engine::ErrorKind;
use cluster::{Node, SnapshotInfo};
use serde::{Deserialize, Serialize};

use self::transfer::{download, receive};
use crate::app::App;
use crate::http::{ApiError, ApiResult, PathParams, RawBody, answer};

pub(super) fn routes() -> Router<App> {
    let of_collection = "/collections/{collection}/snapshots";
    Router::new()
        .route(of_collection, get(list).post(create))
        .route(&format!("{of_collection}/recover"), put(recover))
        .route(&format!("{of_collection}/upload"), post(upload))
        .route(
            &format!("{of_collection}/{{snapshot}}"),
            get(fetch).delete(remove),
        )
        .route("/snapshots", get(list_of_node).post(create_of_node))
        .route(
            "/snapshots/{snapshot}",
            get(fetch_of_node).delete(remove_of_node),
        )
}

/// The dialect's description of a snapshot. Archives carry their checksums inside.
#[derive(Serialize)]
struct SnapshotOut {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_time: Option<String>,
    size: u64,
}

impl SnapshotOut {
    fn new(info: SnapshotInfo) -> Self {
        let since_1970 = info
            .created
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Self {
            name: info.name,
            creation_time: since_1970.map(|since| datetime(since.as_secs())),
            size: info.bytes,
        }
    }
}

async fn create(
    State(app): State<App>,
    PathParams(collection): PathParams<String>,
) -> ApiResult<Response> {
    let node = app.node()?;
    answer(move || Ok(SnapshotOut::new(node.create_snapshot(&collection)?))).await
}

async fn list(
    State(app): State<App>,
    PathParams(collection): PathParams<String>,
) -> ApiResult<Response> {
    let node = app.node()?;
    answer(move || {
        let found = node.snapshots(&collection)?;
        if found.is_empty() {
            node.collection(&collection)?;
        }
        Ok(found.into_iter().map(SnapshotOut::new).collect::<Vec<_>>())
    })
    .await
}

async fn fetch(
    State(app): State<App>,
    PathParams((collection, snapshot)): PathParams<(String, String)>,
) -> ApiResult<Response> {
    let path = app.node()?.snapshot_path(&collection, &snapshot)?;
    download(path, &snapshot).await
}

async fn remove(
    State(app): State<App>,
    PathParams((collection, snapshot)): PathParams<(String, String)>,
) -> ApiResult<Response> {
    let node = app.node()?;
    answer(move || {
        node.delete_snapshot(&collection, &snapshot)?;
        Ok(true)
    })
    .await
}

/// Where an archive is to be found; what else the dialect allows here concerns replicas.
#[derive(Deserialize)]
struct RecoverWire {
    location: String,
}

/// Makes the collection what an archive of this server holds: by its name, or by a `file://` URL below the folder of snapshots.
async fn recover(
    State(app): State<App>,
    PathParams(collection): PathParams<String>,
    body: RawBody,
) -> ApiResult<Response> {
    let node = app.node()?;
    let wire: RecoverWire = body.json().await?;
    answer(move || {
        let location = wire.location.as_str();
        let path = if let Some(path) = location.strip_prefix("file://") {
            node.snapshot_at(Path::new(path))?
        } else if location.contains("://") {
            return Err(ApiError::unprocessable(
                "location: this server fetches nothing: upload the archive with POST /collections/NAME/snapshots/upload",
            ));
        } else {
            node.snapshot_path(&collection, location)?
        };
        restore(&node, &collection, &path)
    })
    .await
}

/// Makes the collection what the archive holds that is sent: as multipart file `snapshot`, or as the body itself.
async fn upload(
    State(app): State<App>,
    PathParams(collection): PathParams<String>,
    request: Request,
) -> ApiResult<Response> {
    let node = app.node()?;
    let received = receive(&app, request).await?;
    answer(move || restore(&node, &collection, received.path())).await
}

/// 422 for a file that is no archive, or a damaged one.
fn restore(node: &Node, collection: &str, archive: &Path) -> ApiResult<bool> {
    cluster::engine::validate_collection_name(collection)?;
    match node.restore_snapshot(collection, archive) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            Err(ApiError::unprocessable(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

async fn create_of_node(State(app): State<App>) -> ApiResult<Response> {
    let node = app.node()?;
    answer(move || Ok(SnapshotOut::new(node.create_node_snapshot()?))).await
}

async fn list_of_node(State(app): State<App>) -> ApiResult<Response> {
    let node = app.node()?;
    answer(move || {
        let found = node.node_snapshots()?.into_iter();
        Ok(found.map(SnapshotOut::new).collect::<Vec<_>>())
    })
    .await
}

/// A snapshot of the node is a folder to start a server on, not a file.
async fn fetch_of_node(
    State(app): State<App>,
    PathParams(snapshot): PathParams<String>,
) -> ApiResult<Response> {
    let node = app.node()?;
    let known = node
        .node_snapshots()?
        .iter()
        .any(|info| info.name == snapshot);
    let folder: PathBuf = node.node_snapshots_folder().join(&snapshot);
    Err(match known {
        true => ApiError::unprocessable(format!(
            "a snapshot of the node is a folder: copy {} on the server, and start one with `vecino serve --data COPY`; for a file, make snapshots of its collections",
            folder.display()
        )),
        false => ApiError::not_found(format!("there is no snapshot `{snapshot}` of the node")),
    })
}

async fn remove_of_node(
    State(app): State<App>,
    PathParams(snapshot): PathParams<String>,
) -> ApiResult<Response> {
    let node = app.node()?;
    answer(move || {
        node.delete_node_snapshot(&snapshot)?;
        Ok(true)
    })
    .await
}

/// `YYYY-MM-DDTHH:MM:SS` in UTC, as the dialect writes it.
fn datetime(seconds_since_1970: u64) -> String {
    let (days, seconds) = (seconds_since_1970 / 86_400, seconds_since_1970 % 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut day) = (1970, days);
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for len in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < len {
            break;
        }
        day -= len;
        month += 1;
    }
    format!(
        "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}",
        day + 1,
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datetimes() {
        let check = |seconds, expected: &str| assert_eq!(datetime(seconds), expected);
        check(0, "1970-01-01T00:00:00");
        check(951_782_399, "2000-02-28T23:59:59");
        check(951_782_400, "2000-02-29T00:00:00");
        check(978_307_199, "2000-12-31T23:59:59");
        check(1_795_247_093, "2026-11-21T07:44:53");
        check(4_107_542_400, "2100-03-01T00:00:00");
    }
}
