//! What each condition means: the definition that every faster way must agree with.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use super::datetime::parse_datetime;
use super::path::Path;
use super::{
    Condition, FILTER_DEPTH_MAX, Filter, GeoPoint, Match, MinShould, Range, Scalar, geo, text,
};
use crate::error::{Error, Result};
use crate::point::{Payload, PointId};

/// What a filter is asked about: one point.
#[derive(Copy, Clone)]
pub struct Subject<'a> {
    /// Its id.
    pub id: &'a PointId,
    /// Its payload; may be empty if the filter says that it [needs none](Filter::needs_payload).
    pub payload: &'a Payload,
    /// Whether it has a vector of this name.
    pub has_vector: &'a dyn Fn(&str) -> bool,
}

impl Filter {
    /// Whether the point passes.
    ///
    /// The recursion is as deep as the filter: [`Self::validate`] filters from outside before. Time O(conditions * values at
    /// their paths).
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.passes(&Place {
            point: Some(subject),
            payload: subject.payload,
        })
    }

    fn passes(&self, place: &Place<'_>) -> bool {
        self.must.iter().all(|condition| condition.holds(place))
            && !self.must_not.iter().any(|condition| condition.holds(place))
            && (self.should.is_empty()
                || self.should.iter().any(|condition| condition.holds(place)))
            && self
                .min_should
                .as_ref()
                .is_none_or(|min_should| min_should.holds(place))
    }

    /// Checks what evaluation relies on: nesting of at most [`FILTER_DEPTH_MAX`], a `min_count` of at least 1.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that says the limit.
    pub fn validate(&self) -> Result<()> {
        let depth = self.depth();
        if depth > FILTER_DEPTH_MAX {
            return Err(Error::invalid(format!(
                "filter: nested {depth} deep; the limit is {FILTER_DEPTH_MAX}; write conditions that must all hold into one list"
            )));
        }
        let mut result = Ok(());
        self.for_each_filter(|filter, _| {
            if filter
                .min_should
                .as_ref()
                .is_some_and(|min_should| min_should.min_count == 0)
            {
                result = Err(Error::invalid(
                    "filter: min_should.min_count is 0; give 1 or more, or leave min_should out",
                ));
            }
        });
        result
    }

    /// How deep filters are nested: 1 for one whose conditions hold no filter. Time and space O(conditions), no recursion.
    pub fn depth(&self) -> usize {
        let mut deepest = 0;
        self.for_each_filter(|_, depth| deepest = deepest.max(depth));
        deepest
    }

    /// This filter and all inside it, each with its depth.
    fn for_each_filter(&self, mut visit: impl FnMut(&Self, usize)) {
        let mut waiting = vec![(self, 1)];
        while let Some((filter, depth)) = waiting.pop() {
            visit(filter, depth);
            waiting.extend(filter.conditions().filter_map(|condition| match condition {
                Condition::Filter(inner) | Condition::Nested { filter: inner, .. } => {
                    Some((&**inner, depth + 1))
                }
                _ => None,
            }));
        }
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let counted = self
            .min_should
            .iter()
            .flat_map(|min_should| &min_should.conditions);
        self.must
            .iter()
            .chain(&self.should)
            .chain(&self.must_not)
            .chain(counted)
    }

    /// Whether the answer depends on the payload: false if all conditions are about the id and the vectors.
    pub fn needs_payload(&self) -> bool {
        self.conditions().any(|condition| match condition {
            Condition::HasId(_) | Condition::HasVector(_) => false,
            Condition::Filter(inner) => inner.needs_payload(),
            _ => true,
        })
    }

    /// Ids outside of which no point passes, ascending, so that only these need a look; `None` if the filter names none.
    ///
    /// The ids themselves need not pass: ask [`Self::matches`] for each. Time O(ids * log ids).
    pub fn required_ids(&self) -> Option<BTreeSet<&PointId>> {
        let from_must = self.must.iter().filter_map(Condition::required_ids);
        from_must
            .chain(self.required_ids_of_should())
            .reduce(|a, b| a.intersection(&b).copied().collect())
    }

    /// If each alternative names ids: all of them.
    fn required_ids_of_should(&self) -> Option<BTreeSet<&PointId>> {
        if self.should.is_empty() {
            return None;
        }
        let alternatives: Option<Vec<_>> =
            self.should.iter().map(Condition::required_ids).collect();
        alternatives.map(|sets| sets.into_iter().flatten().collect())
    }
}

/// Where conditions are asked: a point, or an element of an array in its payload.
struct Place<'a> {
    /// `None` inside `nested`: an element has no id and no vectors.
    point: Option<&'a Subject<'a>>,
    payload: &'a Payload,
}

impl MinShould {
    fn holds(&self, place: &Place<'_>) -> bool {
        let held = self
            .conditions
            .iter()
            .filter(|condition| condition.holds(place));
        held.take(self.min_count).count() == self.min_count
    }
}

impl Condition {
    fn holds(&self, place: &Place<'_>) -> bool {
        let payload = place.payload;
        match self {
            Self::Match { key, value } => key.any_value(payload, |found| value.matches(found)),
            Self::Range { key, range } => key.any_value(payload, |found| {
                found.as_f64().is_some_and(|number| range.contains(&number))
            }),
            Self::DatetimeRange { key, range } => key.any_value(payload, |found| {
                found
                    .as_str()
                    .and_then(parse_datetime)
                    .is_some_and(|micros| range.contains(&micros))
            }),
            Self::ValuesCount { key, range } => count_lies_in(payload, key, range),
            Self::IsEmpty(key) => !key.any_selected(payload, |found| !is_empty(found)),
            Self::IsNull(key) => key.any_selected(payload, is_null),
            Self::HasId(ids) => place.point.is_some_and(|point| ids.contains(point.id)),
            Self::HasVector(name) => place.point.is_some_and(|point| (point.has_vector)(name)),
            Self::Nested { key, filter } => key.of_array().any_selected(payload, |found| {
                let elements = found
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_object);
                elements.into_iter().any(|payload| {
                    filter.passes(&Place {
                        point: None,
                        payload,
                    })
                })
            }),
            Self::Filter(filter) => filter.passes(place),
            Self::GeoRadius { key, circle } => {
                any_place(payload, key, |found| circle.contains(found))
            }
            Self::GeoBoundingBox { key, bounds } => {
                any_place(payload, key, |found| bounds.contains(found))
            }
            Self::GeoPolygon { key, polygon } => {
                any_place(payload, key, |found| polygon.contains(found))
            }
        }
    }

    fn required_ids(&self) -> Option<BTreeSet<&PointId>> {
        match self {
            Self::HasId(ids) => Some(ids.iter().collect()),
            Self::Filter(filter) => filter.required_ids(),
            _ => None,
        }
    }
}

/// Whether a place at the path passes; what is no place never does.
fn any_place(payload: &Payload, key: &Path, test: impl Fn(GeoPoint) -> bool) -> bool {
    key.any_value(payload, |found| geo::place(found).is_some_and(&test))
}

fn count_lies_in(payload: &Payload, key: &Path, range: &Range<u64>) -> bool {
    let mut selected = false;
    let within = key.any_selected(payload, |found| {
        selected = true;
        range.contains(&match found {
            Value::Null => 0,
            Value::Array(elements) => elements.len() as u64,
            _ => 1,
        })
    });
    within || (!selected && range.contains(&0))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    }
}

fn is_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.iter().any(Value::is_null),
        _ => false,
    }
}

impl Match {
    fn matches(&self, found: &Value) -> bool {
        match self {
            Self::Value(wanted) => wanted.equals(found),
            Self::Any(wanted) => wanted.iter().any(|wanted| wanted.equals(found)),
            // Null is the absence of a value, not a value unlike those listed.
            Self::Except(unwanted) => {
                !found.is_null() && !unwanted.iter().any(|unwanted| unwanted.equals(found))
            }
            Self::Text(query) => found
                .as_str()
                .is_some_and(|found| text::contains_all(found, query)),
            Self::TextAny(query) => found
                .as_str()
                .is_some_and(|found| text::contains_any(found, query)),
            Self::Phrase(query) => found
                .as_str()
                .is_some_and(|found| text::contains_phrase(found, query)),
        }
    }
}

impl Scalar {
    /// Equal in type and value: 1, 1.0, true and "1" all differ, as in the API dialect.
    fn equals(&self, found: &Value) -> bool {
        match (self, found) {
            (Self::Bool(wanted), Value::Bool(found)) => wanted == found,
            (Self::Integer(wanted), Value::Number(found)) => found.as_i64() == Some(*wanted),
            (Self::Keyword(wanted), Value::String(found)) => {
                wanted == found || is_same_uuid(wanted, found)
            }
            _ => false,
        }
    }
}

fn is_same_uuid(a: &str, b: &str) -> bool {
    // The lengths of a UUID's forms: plain, dashed, in braces, as URN.
    let may_be = |text: &str| matches!(text.len(), 32 | 36 | 38 | 45);
    may_be(a) && may_be(b) && Uuid::try_parse(a).is_ok_and(|a| Uuid::try_parse(b) == Ok(a))
}

#[cfg(test)]
mod tests;
