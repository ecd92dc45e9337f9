//! Settings of the dialect that are kept for its clients and mean nothing here.

use cluster::engine::{CollectionConfig, Durability};
use serde_json::{Map, Value};

use super::unknown_vector;
use crate::error::{ApiError, ApiResult};

/// Settings of the dialect that mean nothing here and are given back to clients that ask.
const ECHOED: [&str; 11] = [
    "hnsw_config",
    "wal_config",
    "optimizers_config",
    "quantization_config",
    "strict_mode_config",
    "on_disk_payload",
    "shard_number",
    "replication_factor",
    "write_consistency_factor",
    "read_fan_out_factor",
    "metadata",
];
/// Settings that older or newer clients send and that are not even given back.
const IGNORED: [&str; 4] = ["payload", "id_tracker", "sharding_method", "timeout"];
/// Where the echoed settings of single vectors are kept among the others.
pub(super) const ECHOED_VECTORS: &str = "vectors";
/// The same for sparse vectors.
pub(super) const ECHOED_SPARSE: &str = "sparse_vectors";

/// What of a vector a patch may change.
const CHANGEABLE: [&str; 4] = ["hnsw_config", "quantization_config", "on_disk", "memory"];
/// The same for sparse vectors.
const CHANGEABLE_SPARSE: [&str; 1] = ["index"];

/// Keeps what is known, refuses what is not.
pub(super) fn echoed(others: Map<String, Value>) -> ApiResult<Map<String, Value>> {
    let mut echo = Map::new();
    for (key, value) in without_nulls(others) {
        match key.as_str() {
            key if ECHOED.contains(&key) => {
                echo.insert(key.to_owned(), value);
            }
            "sharding_method" if value != "auto" => {
                return Err(ApiError::unsupported(
                    "`sharding_method` other than \"auto\"",
                ));
            }
            key if IGNORED.contains(&key) => {}
            "init_from" => return Err(ApiError::unsupported("`init_from`")),
            key => {
                return Err(ApiError::bad_request(format!(
                    "unknown setting `{}`: known are vectors, sparse_vectors, embedders, media, durability, {}",
                    crate::error::quote(key),
                    ECHOED.join(", ")
                )));
            }
        }
    }
    Ok(echo)
}

/// Removes nulls, at every level of objects: old clients refuse them inside a collection's config.
pub(super) fn without_nulls(map: Map<String, Value>) -> Map<String, Value> {
    let kept = map.into_iter().filter(|(_, value)| !value.is_null());
    kept.map(|(key, value)| match value {
        Value::Object(inner) => (key, Value::Object(without_nulls(inner))),
        value => (key, value),
    })
    .collect()
}

/// Merges the body of `PATCH /collections/{c}` into the echoed settings, and takes over the durability. Nothing has changed after an error.
///
/// # Errors
///
/// 400 for unknown settings, unknown vectors, and what of a vector cannot change.
pub fn update(config: &mut CollectionConfig, mut body: Map<String, Value>) -> ApiResult<()> {
    let mut nested = Map::new();
    if let Some(vectors) = take_object(&mut body, ECHOED_VECTORS)? {
        let known = |name: &str| config.vectors.contains_key(name);
        check_vectors(config, &vectors, known, &CHANGEABLE)?;
        nested.insert(ECHOED_VECTORS.to_owned(), Value::Object(vectors));
    }
    if let Some(vectors) = take_object(&mut body, ECHOED_SPARSE)? {
        let known = |name: &str| config.sparse_vectors.contains_key(name);
        check_vectors(config, &vectors, known, &CHANGEABLE_SPARSE)?;
        nested.insert(ECHOED_SPARSE.to_owned(), Value::Object(vectors));
    }
    if let Some(params) = take_object(&mut body, "params")? {
        body.extend(params);
    }
    let durability = take_durability(&mut body)?;
    let mut change = echoed(body)?;
    change.extend(nested);
    merge(&mut config.dialect, change);
    config.durability = durability.unwrap_or(config.durability);
    Ok(())
}

/// Ours: `"sync"` or `{"interval_ms": N}`. The engine checks the number.
fn take_durability(body: &mut Map<String, Value>) -> ApiResult<Option<Durability>> {
    match body.remove("durability") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value).map(Some).map_err(|_| {
            ApiError::bad_request("durability: give \"sync\" or {\"interval_ms\": N}")
        }),
    }
}

/// Takes an object without its nulls out of a body; none if it is absent or null.
fn take_object(body: &mut Map<String, Value>, key: &str) -> ApiResult<Option<Map<String, Value>>> {
    match body.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(without_nulls(object))),
        Some(_) => Err(ApiError::bad_request(format!("{key}: give an object"))),
    }
}

/// What is shown of a vector must stay what it is: only settings without a meaning here may change.
fn check_vectors(
    config: &CollectionConfig,
    changes: &Map<String, Value>,
    known: impl Fn(&str) -> bool,
    changeable: &[&str],
) -> ApiResult<()> {
    for (name, change) in changes {
        if !known(name) {
            return Err(unknown_vector(config, name));
        }
        let name = crate::error::quote(name);
        let Value::Object(change) = change else {
            return Err(ApiError::bad_request(format!(
                "vector \"{name}\": give an object"
            )));
        };
        if let Some(key) = change
            .keys()
            .find(|key| !changeable.contains(&key.as_str()))
        {
            return Err(ApiError::bad_request(format!(
                "vector \"{name}\": `{}` cannot be changed, only {}: create another collection",
                crate::error::quote(key),
                changeable.join(", ")
            )));
        }
    }
    Ok(())
}

/// Lays `change` over `into`, object by object.
pub(super) fn merge(into: &mut Map<String, Value>, change: Map<String, Value>) {
    for (key, value) in change {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
