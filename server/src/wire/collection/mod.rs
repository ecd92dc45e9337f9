//! Collections: creating, changing and describing them.

mod create;
mod describe;
mod echo;
mod field;

use cluster::engine::{CollectionConfig, EmbedderConfig};
use embed::{Identity, Kind};
use serde_json::{Map, Value};

pub use create::CreateWire;
pub use describe::InfoOut;
pub use echo::update;
pub use field::FieldIndexWire;

use crate::error::{ApiError, ApiResult};

/// What a collection remembers of an embedder.
pub fn embedder_config(identity: &Identity, options: Map<String, Value>) -> EmbedderConfig {
    EmbedderConfig {
        model: identity.name.clone(),
        version: identity.version.clone(),
        checksum: identity.checksum.clone(),
        options,
    }
}

/// Whether what an embedder makes fits the vector that a collection declares.
///
/// # Errors
///
/// 400 that names both shapes, or the vectors there are.
pub fn check_shape(
    config: &CollectionConfig,
    name: &str,
    model: &str,
    kind: Kind,
) -> ApiResult<()> {
    let dense = config.vectors.get(name);
    match (dense, config.sparse_vectors.contains_key(name), kind) {
        (Some(vector), _, Kind::Dense { dim, .. }) if vector.dim == dim => Ok(()),
        (Some(vector), _, Kind::Dense { dim, .. }) => Err(ApiError::bad_request(format!(
            "vector \"{name}\" has dim {}, model {model} makes dim {dim}: choose a model of that dim, or create the collection with dim {dim}",
            vector.dim
        ))),
        (None, true, Kind::Sparse { .. }) => Ok(()),
        (Some(_), _, Kind::Sparse { .. }) => Err(ApiError::bad_request(format!(
            "vector \"{name}\" is dense, model {model} makes sparse vectors: use it for a sparse one"
        ))),
        (None, true, Kind::Dense { .. }) => Err(ApiError::bad_request(format!(
            "vector \"{name}\" is sparse, model {model} makes dense vectors: use it for a dense one"
        ))),
        (None, false, _) => Err(unknown_vector(config, name)),
    }
}

/// 400: the collection has no vector of this name; it lists those there are.
pub fn unknown_vector(config: &CollectionConfig, name: &str) -> ApiError {
    let names: Vec<String> = config
        .vectors
        .keys()
        .chain(config.sparse_vectors.keys())
        .map(|name| format!("\"{name}\""))
        .collect();
    let known = match names.is_empty() {
        true => "it has none".to_owned(),
        false => format!("it has {}", names.join(", ")),
    };
    let what = match name {
        "" => "the collection has no unnamed vector".to_owned(),
        name => format!(
            "the collection has no vector \"{}\"",
            crate::error::quote(name)
        ),
    };
    ApiError::bad_request(format!("{what}: {known}"))
}

#[cfg(test)]
mod tests;
