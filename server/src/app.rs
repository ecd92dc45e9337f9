//! What every handler shares.

use std::sync::{Arc, OnceLock};

use cluster::Node;

use crate::auth::Auth;
use crate::config::ServeOptions;
use crate::error::{ApiError, ApiResult};
use crate::inference::Inference;
use crate::room::Room;
use crate::telemetry::Metrics;
use crate::thumbnails::Thumbnails;

/// What all handlers share.
pub(crate) struct AppState {
    pub options: ServeOptions,
    pub auth: Auth,
    /// For request bodies.
    pub room: Room,
    /// Absent while the storage opens.
    pub node: OnceLock<Arc<Node>>,
    pub inference: Inference,
    pub metrics: Metrics,
    pub thumbnails: Thumbnails,
}

pub(crate) type App = Arc<AppState>;

impl AppState {
    /// The storage.
    ///
    /// # Errors
    ///
    /// 503 while it opens.
    pub fn node(&self) -> ApiResult<Arc<Node>> {
        let starting = || ApiError::unavailable("the server is starting: try again in a second");
        self.node.get().cloned().ok_or_else(starting)
    }
}
