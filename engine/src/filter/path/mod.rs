//! Paths into a payload: `a.b[].c`, `a[0].b`, `"a.b".c`.
//!
//! ```text
//! path = key bracket* ( "." key bracket* )*
//! key  = one or more of letters, digits, "_", "-"  |  '"' anything but '"' '"'
//! bracket = "[]" (every element)  |  "[" digits "]" (one element, from 0)
//! ```
//!
//! A path *selects* values of a payload: nothing where a key is missing, several where `[]` spreads an array. For comparing,
//! a selected value that is an array stands for its elements, one level deep: `a` and `a[]` match alike.

mod parse;
mod select;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::point::Payload;

pub use select::{exclude, include};

/// The most steps of a path. A JSON text is read to a depth of 128, so a longer path could select nothing.
pub const PATH_STEPS_MAX: usize = 128;

/// Where in a payload: a key, then steps down from its value.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path {
    key: Box<str>,
    /// Fewer than [`PATH_STEPS_MAX`], which bounds every recursion along a path.
    steps: Box<[Step]>,
}

#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
enum Step {
    /// The value of this key of an object.
    Key(Box<str>),
    /// The element at this position of an array, from 0.
    Index(u64),
    /// Every element of an array.
    Each,
}

impl Path {
    /// Reads a path in the notation of this module. Time O(bytes).
    ///
    /// # Errors
    ///
    /// `InvalidInput` that names the byte at which the text stops being a path and what to write there.
    pub fn parse(text: &str) -> Result<Self> {
        parse::path(text)
    }

    /// Whether a selected value passes the test; an array is given whole. Stops at the first that passes.
    ///
    /// Values come in the order of the payload. Time O(values on the way).
    pub fn any_selected<'v>(
        &self,
        payload: &'v Payload,
        mut test: impl FnMut(&'v Value) -> bool,
    ) -> bool {
        payload
            .get(&*self.key)
            .is_some_and(|value| any_below(value, &self.steps, &mut test))
    }

    /// Whether a value to compare passes the test: as [`Self::any_selected`], but a selected array gives its elements.
    pub fn any_value<'v>(
        &self,
        payload: &'v Payload,
        mut test: impl FnMut(&'v Value) -> bool,
    ) -> bool {
        self.any_selected(payload, |value| match value {
            Value::Array(elements) => elements.iter().any(&mut test),
            single => test(single),
        })
    }

    /// All values that [`Self::any_value`] compares, in the order of the payload.
    pub fn values<'v>(&self, payload: &'v Payload) -> Vec<&'v Value> {
        let mut values = Vec::new();
        self.any_value(payload, |value| {
            values.push(value);
            false
        });
        values
    }

    /// The path without a `[]` at its end: for conditions that take the array itself and allow both ways of writing it.
    pub(super) fn of_array(&self) -> PathRef<'_> {
        let steps = match &*self.steps {
            [above @ .., Step::Each] => above,
            all => all,
        };
        PathRef {
            key: &self.key,
            steps,
        }
    }
}

/// A path, or the upper part of one.
pub(super) struct PathRef<'p> {
    key: &'p str,
    steps: &'p [Step],
}

impl PathRef<'_> {
    /// As [`Path::any_selected`].
    pub(super) fn any_selected<'v>(
        &self,
        payload: &'v Payload,
        mut test: impl FnMut(&'v Value) -> bool,
    ) -> bool {
        payload
            .get(self.key)
            .is_some_and(|value| any_below(value, self.steps, &mut test))
    }
}

fn any_below<'v>(
    value: &'v Value,
    steps: &[Step],
    test: &mut dyn FnMut(&'v Value) -> bool,
) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return test(value);
    };
    match (step, value) {
        (Step::Key(key), Value::Object(object)) => object
            .get(&**key)
            .is_some_and(|value| any_below(value, rest, test)),
        (Step::Index(index), Value::Array(elements)) => usize::try_from(*index)
            .ok()
            .and_then(|index| elements.get(index))
            .is_some_and(|value| any_below(value, rest, test)),
        (Step::Each, Value::Array(elements)) => {
            elements.iter().any(|value| any_below(value, rest, test))
        }
        _ => false,
    }
}

impl TryFrom<String> for Path {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.to_string()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, &self.key)?;
        for step in &self.steps {
            match step {
                Step::Key(key) => {
                    f.write_str(".")?;
                    write_key(f, key)?;
                }
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Each => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

fn write_key(f: &mut fmt::Formatter<'_>, key: &str) -> fmt::Result {
    if !key.is_empty() && key.chars().all(parse::is_plain) {
        f.write_str(key)
    } else {
        write!(f, "\"{key}\"")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload() -> Payload {
        let value = json!({
            "name": "pear",
            "tags": ["green", "sweet"],
            "none": null,
            "empty": [],
            "stock": [{"shop": "A", "counts": [1, 2]}, {"shop": "B", "counts": [3]}, 7],
            "grid": [[1, 2], [3]],
            "a": {"b": {"c": true}},
            "a.b": 4,
        });
        match value {
            Value::Object(payload) => payload,
            _ => unreachable!(),
        }
    }

    #[test]
    fn values_at_a_path() {
        fn check(path: &str, expected: Value) {
            let payload = payload();
            assert_eq!(
                json!(Path::parse(path).unwrap().values(&payload)),
                expected,
                "{path}"
            );
        }
        check("name", json!(["pear"]));
        check("tags", json!(["green", "sweet"]));
        check("tags[]", json!(["green", "sweet"]));
        check("tags[1]", json!(["sweet"]));
        check("tags[2]", json!([]));
        check("tags[18446744073709551615]", json!([]));
        check("name[]", json!([]));
        check("name.first", json!([]));
        check("none", json!([null]));
        check("empty", json!([]));
        check("stock[].shop", json!(["A", "B"]));
        check("stock.shop", json!([]));
        check("stock[].counts", json!([1, 2, 3]));
        check("stock[0].counts[1]", json!([2]));
        // An array is spread one level, below what `[]` spread already.
        check("grid", json!([[1, 2], [3]]));
        check("grid[]", json!([1, 2, 3]));
        check("grid[][]", json!([1, 2, 3]));
        check("grid[0][1]", json!([2]));
        check("a.b.c", json!([true]));
        check("\"a.b\"", json!([4]));
        check("missing", json!([]));
    }

    #[test]
    fn selected_arrays_stay_whole() {
        fn check(path: &str, expected: Value) {
            let payload = payload();
            let mut selected = Vec::new();
            Path::parse(path).unwrap().any_selected(&payload, |value| {
                selected.push(value.clone());
                false
            });
            assert_eq!(Value::Array(selected), expected, "{path}");
        }
        check("tags", json!([["green", "sweet"]]));
        check("empty", json!([[]]));
        check("grid[]", json!([[1, 2], [3]]));
    }

    #[test]
    fn the_first_passing_value_ends_the_walk() {
        let payload = payload();
        let mut seen = 0;
        assert!(Path::parse("tags").unwrap().any_value(&payload, |_| {
            seen += 1;
            true
        }));
        assert_eq!(seen, 1);
    }
}
