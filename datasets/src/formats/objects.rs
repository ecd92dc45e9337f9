//! Named fields, row by row: what JSONL and CSV have in common.

use serde_json::{Map, Value};

use super::Progress;
use super::numbers::RowKey;
use crate::row::{Place, RowError};

/// A stream of rows of named fields.
pub(super) trait Objects: Send {
    /// Reads the next row. `None` at the end, and after an error that ends the file.
    fn next_object(&mut self) -> Option<Result<Object, RowError>>;
    /// What rows without an id are told by.
    fn key(&self) -> RowKey;
    /// The folder against which paths are resolved.
    fn folder(&self) -> Option<&std::path::Path>;
    /// How far reading has come.
    fn progress(&self) -> Progress;
}

/// One row of named fields.
pub(super) struct Object {
    pub place: Place,
    /// The number of the row, from 0, bad rows counted.
    pub row: u64,
    pub fields: Map<String, Value>,
}

/// What a JSON value is called in a message.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
