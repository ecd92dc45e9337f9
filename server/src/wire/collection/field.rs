//! `PUT /collections/{c}/index`: the declared type of a payload field.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::echo::without_nulls;
use crate::error::{ApiError, ApiResult};

/// Body of `PUT /collections/{c}/index`.
#[derive(Clone, Debug, Deserialize)]
pub struct FieldIndexWire {
    /// Path of the field.
    pub field_name: String,
    #[serde(alias = "field_type")]
    field_schema: Option<SchemaWire>,
}

/// A type's name, or an object with `type` and settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a type, or an object with `type`")]
enum SchemaWire {
    Name(String),
    Full(Map<String, Value>),
}

/// Types of payload fields.
const FIELD_TYPES: [&str; 8] = [
    "keyword", "integer", "float", "bool", "geo", "datetime", "text", "uuid",
];

impl FieldIndexWire {
    /// What the collection remembers: `{"data_type", "params"}`.
    ///
    /// # Errors
    ///
    /// 400 if the path cannot be read or the type is unknown.
    pub fn schema(&self) -> ApiResult<Value> {
        cluster::engine::filter::path::Path::parse(&self.field_name)
            .map_err(|error| ApiError::from(error).at("field_name"))?;
        let (name, params) = match &self.field_schema {
            Some(SchemaWire::Name(name)) => (name.clone(), None),
            Some(SchemaWire::Full(params)) => {
                let name = params
                    .get("type")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                (name.to_owned(), Some(without_nulls(params.clone())))
            }
            None => (String::new(), None),
        };
        if !FIELD_TYPES.contains(&name.as_str()) {
            return Err(ApiError::bad_request(format!(
                "field_schema: \"{}\" is no type of a field: known are {}",
                crate::error::quote(&name),
                FIELD_TYPES.join(", ")
            )));
        }
        Ok(match params {
            Some(params) => json!({ "data_type": name, "params": params }),
            None => json!({ "data_type": name }),
        })
    }
}
