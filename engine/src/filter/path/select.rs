//! Parts of a payload: what `with_payload` includes or excludes.
//!
//! Nesting and order stay as they are. Arrays are entered by `[]` only, as in the API dialect: a path with a position such as
//! `a[0]` selects nothing in an array.

use std::collections::HashMap;

use serde_json::Value;

use super::{Path, Step};
use crate::point::Payload;

/// Keeps what lies at or below one of the paths.
///
/// What cannot be entered stays: `a.b` keeps the whole of an `a` that is a number. An array that no path enters becomes empty.
/// Time O(paths + values visited).
pub fn include(payload: &Payload, paths: &[Path]) -> Payload {
    Tree::new(paths).include_object(payload)
}

/// Keeps all but what lies at or below one of the paths. Time O(paths + values visited).
pub fn exclude(payload: &Payload, paths: &[Path]) -> Payload {
    Tree::new(paths).exclude_object(payload)
}

/// The paths, merged by their common beginnings.
#[derive(Default)]
struct Tree<'p> {
    /// A path ends here: everything below is selected.
    whole: bool,
    keys: HashMap<&'p str, Tree<'p>>,
    each: Option<Box<Tree<'p>>>,
}

impl<'p> Tree<'p> {
    fn new(paths: &'p [Path]) -> Self {
        let mut tree = Self::default();
        for path in paths {
            let node = tree.keys.entry(&path.key).or_default();
            if let Some(end) = node.descend(&path.steps) {
                end.whole = true;
            }
        }
        tree
    }

    /// The node at the end of the steps; `None` if they pass a position, which selects nothing.
    fn descend(&mut self, steps: &'p [Step]) -> Option<&mut Self> {
        let mut node = self;
        for step in steps {
            node = match step {
                Step::Key(key) => node.keys.entry(key).or_default(),
                Step::Each => node.each.get_or_insert_default(),
                Step::Index(_) => return None,
            };
        }
        Some(node)
    }

    fn include_object(&self, object: &Payload) -> Payload {
        object
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), self.keys.get(&**key)?.include(value))))
            .collect()
    }

    fn include(&self, value: &Value) -> Value {
        match value {
            _ if self.whole => value.clone(),
            Value::Object(object) => self.include_object(object).into(),
            Value::Array(elements) => match &self.each {
                Some(each) => elements
                    .iter()
                    .map(|element| each.include(element))
                    .collect(),
                None => Value::Array(Vec::new()),
            },
            single => single.clone(),
        }
    }

    fn exclude_object(&self, object: &Payload) -> Payload {
        let kept = object.iter().filter_map(|(key, value)| {
            let value = match self.keys.get(&**key) {
                None => value.clone(),
                Some(below) if below.whole => return None,
                Some(below) => below.exclude(value),
            };
            Some((key.clone(), value))
        });
        kept.collect()
    }

    fn exclude(&self, value: &Value) -> Value {
        match (value, &self.each) {
            (Value::Object(object), _) => self.exclude_object(object).into(),
            (Value::Array(_), Some(each)) if each.whole => Value::Array(Vec::new()),
            (Value::Array(elements), Some(each)) => elements
                .iter()
                .map(|element| each.exclude(element))
                .collect(),
            _ => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload() -> Payload {
        let value = json!({
            "z": 1,
            "a": {"b": 1, "c": {"d": 2, "e": 3}},
            "list": [{"b": 5, "c": 6}, 7, {"c": 8}],
            "a.b": 4,
        });
        match value {
            Value::Object(payload) => payload,
            _ => unreachable!(),
        }
    }

    fn paths(texts: &[&str]) -> Vec<Path> {
        texts
            .iter()
            .map(|text| Path::parse(text).unwrap())
            .collect()
    }

    #[test]
    fn included() {
        fn check(texts: &[&str], expected: Value) {
            assert_eq!(
                Value::Object(include(&payload(), &paths(texts))),
                expected,
                "{texts:?}"
            );
        }
        check(&[], json!({}));
        check(&["missing", "z"], json!({"z": 1}));
        check(&["a.b"], json!({"a": {"b": 1}}));
        check(&["a.b", "a.c.e"], json!({"a": {"b": 1, "c": {"e": 3}}}));
        check(
            &["a.c.e", "a"],
            json!({"a": {"b": 1, "c": {"d": 2, "e": 3}}}),
        );
        check(
            &["a", "a.c.e"],
            json!({"a": {"b": 1, "c": {"d": 2, "e": 3}}}),
        );
        check(&["a.x"], json!({"a": {}}));
        check(&["\"a.b\""], json!({"a.b": 4}));
        check(&["list"], json!({"list": [{"b": 5, "c": 6}, 7, {"c": 8}]}));
        check(
            &["list[]"],
            json!({"list": [{"b": 5, "c": 6}, 7, {"c": 8}]}),
        );
        check(&["list[].b"], json!({"list": [{"b": 5}, 7, {}]}));
        check(&["list.b"], json!({"list": []}));
        check(&["list[0]"], json!({"list": []}));
        check(&["list[0]", "list[].b"], json!({"list": [{"b": 5}, 7, {}]}));
        check(&["z.b"], json!({"z": 1}));
    }

    #[test]
    fn excluded() {
        fn check(texts: &[&str], expected: Value) {
            assert_eq!(
                Value::Object(exclude(&payload(), &paths(texts))),
                expected,
                "{texts:?}"
            );
        }
        check(&[], Value::Object(payload()));
        check(&["a", "list", "\"a.b\""], json!({"z": 1}));
        check(
            &["z", "a.c.d", "list", "\"a.b\""],
            json!({"a": {"b": 1, "c": {"e": 3}}}),
        );
        check(
            &["z", "a", "list[].c"],
            json!({"list": [{"b": 5}, 7, {}], "a.b": 4}),
        );
        check(&["z", "a", "list[]"], json!({"list": [], "a.b": 4}));
        check(
            &["list[0]", "list.c", "z.b", "a[]"],
            Value::Object(payload()),
        );
    }

    #[test]
    fn order_stays() {
        let kept = include(&payload(), &paths(&["\"a.b\"", "list", "z"]));
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["z", "list", "a.b"]);
    }
}
