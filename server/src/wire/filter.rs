//! The dialect's filter.

mod geo;

use cluster::engine::filter::path::Path;
use cluster::engine::filter::{Condition, Filter, Match, MinShould, Range, Scalar};
use serde::Deserialize;
use serde_json::Value;

use self::geo::{BoundingBoxWire, PolygonWire, RadiusWire};
use super::OneOrMany;
use super::id::Id;
use crate::error::{ApiError, ApiResult};

/// `{"must", "should", "must_not", "min_should"}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilterWire {
    must: OneOrMany<ConditionWire>,
    should: OneOrMany<ConditionWire>,
    must_not: OneOrMany<ConditionWire>,
    min_should: Option<MinShouldWire>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MinShouldWire {
    conditions: Vec<ConditionWire>,
    min_count: usize,
}

/// One condition: its keys tell which. A filter may stand as a condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConditionWire {
    key: Option<String>,
    r#match: Option<MatchWire>,
    range: Option<RangeWire>,
    values_count: Option<CountWire>,
    geo_radius: Option<RadiusWire>,
    geo_bounding_box: Option<BoundingBoxWire>,
    geo_polygon: Option<PolygonWire>,
    is_empty: Option<FlagOrField>,
    is_null: Option<FlagOrField>,
    has_id: Option<Vec<Id>>,
    has_vector: Option<String>,
    nested: Option<Box<NestedWire>>,
    slice: Option<Value>,
    must: Option<OneOrMany<ConditionWire>>,
    should: Option<OneOrMany<ConditionWire>>,
    must_not: Option<OneOrMany<ConditionWire>>,
    min_should: Option<MinShouldWire>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NestedWire {
    key: String,
    filter: FilterWire,
}

/// `{"key": …, "is_empty": true}` or `{"is_empty": {"key": …}}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a boolean beside `key`, or {\"key\": path}")]
enum FlagOrField {
    Flag(bool),
    Field { key: String },
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MatchWire {
    value: Option<Value>,
    any: Option<Vec<Value>>,
    except: Option<Vec<Value>>,
    text: Option<String>,
    text_any: Option<String>,
    phrase: Option<String>,
    prefix: Option<Value>,
    substring: Option<Value>,
}

/// Bounds: numbers, or datetimes as RFC 3339 text.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RangeWire {
    lt: Option<Bound>,
    lte: Option<Bound>,
    gt: Option<Bound>,
    gte: Option<Bound>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a number or an RFC 3339 datetime")]
enum Bound {
    Number(f64),
    Datetime(String),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CountWire {
    lt: Option<u64>,
    lte: Option<u64>,
    gt: Option<u64>,
    gte: Option<u64>,
}

impl FilterWire {
    /// The engine's form.
    ///
    /// # Errors
    ///
    /// 400 if it nests deeper than `depth_max`, a path or datetime cannot be read, an area is none, or a condition is none; 501
    /// for conditions that this version lacks.
    pub fn filter(self, depth_max: usize) -> ApiResult<Filter> {
        self.at_depth(1, depth_max)
            .map_err(|error| error.at("filter"))
    }

    fn at_depth(self, depth: usize, depth_max: usize) -> ApiResult<Filter> {
        if depth > depth_max {
            return Err(ApiError::bad_request(format!(
                "it nests more than {depth_max} deep: make it flatter"
            )));
        }
        let list = |conditions: Vec<ConditionWire>| -> ApiResult<Vec<Condition>> {
            conditions
                .into_iter()
                .map(|condition| condition.condition(depth, depth_max))
                .collect()
        };
        let min_should = self
            .min_should
            .map(|wire| -> ApiResult<MinShould> {
                Ok(MinShould {
                    conditions: list(wire.conditions)?,
                    min_count: wire.min_count,
                })
            })
            .transpose()?;
        Ok(Filter {
            must: list(self.must.0)?,
            should: list(self.should.0)?,
            must_not: list(self.must_not.0)?,
            min_should,
        })
    }
}

impl ConditionWire {
    fn condition(mut self, depth: usize, depth_max: usize) -> ApiResult<Condition> {
        self.refuse_unsupported()?;
        let mut found = Vec::new();
        if let Some(filter) = self.take_filter() {
            found.push(Condition::Filter(Box::new(
                filter.at_depth(depth + 1, depth_max)?,
            )));
        }
        if let Some(ids) = self.has_id.take() {
            found.push(Condition::HasId(ids.into_iter().map(|id| id.0).collect()));
        }
        found.extend(self.has_vector.take().map(Condition::HasVector));
        if let Some(nested) = self.nested.take() {
            let filter = nested.filter.at_depth(depth + 1, depth_max)?;
            found.push(Condition::Nested {
                key: path(&nested.key)?,
                filter: Box::new(filter),
            });
        }
        let key = self.key.take();
        self.push_field_conditions(key.as_deref(), &mut found)?;
        match (found.len(), key) {
            (1, _) => Ok(found.swap_remove(0)),
            (0, Some(key)) => Err(ApiError::bad_request(format!(
                "the condition on `{key}` has no match, range, geo_radius, geo_bounding_box, geo_polygon, values_count, is_empty or is_null"
            ))),
            // `{}` is a filter without conditions: it lets everything pass.
            (0, None) => Ok(Condition::Filter(Box::default())),
            // Several tests in one object: all of them hold.
            _ => Ok(Condition::Filter(Box::new(Filter {
                must: found,
                ..Filter::default()
            }))),
        }
    }

    fn refuse_unsupported(&self) -> ApiResult<()> {
        match self.slice {
            Some(_) => Err(ApiError::unsupported("the condition `slice`")),
            None => Ok(()),
        }
    }

    fn take_filter(&mut self) -> Option<FilterWire> {
        let filter = (
            self.must.take(),
            self.should.take(),
            self.must_not.take(),
            self.min_should.take(),
        );
        if let (None, None, None, None) = filter {
            return None;
        }
        Some(FilterWire {
            must: filter.0.unwrap_or_default(),
            should: filter.1.unwrap_or_default(),
            must_not: filter.2.unwrap_or_default(),
            min_should: filter.3,
        })
    }

    fn push_field_conditions(self, key: Option<&str>, found: &mut Vec<Condition>) -> ApiResult<()> {
        let field = |name: &str| match key {
            Some(key) => path(key),
            None => Err(ApiError::bad_request(format!(
                "`{name}` stands without `key`: name the field"
            ))),
        };
        if let Some(wire) = self.r#match {
            found.push(Condition::Match {
                key: field("match")?,
                value: wire.value(key.unwrap_or_default())?,
            });
        }
        if let Some(wire) = self.range {
            found.push(wire.condition(field("range")?)?);
        }
        if let Some(wire) = self.geo_radius {
            found.push(wire.condition(field("geo_radius")?)?);
        }
        if let Some(wire) = self.geo_bounding_box {
            found.push(wire.condition(field("geo_bounding_box")?)?);
        }
        if let Some(wire) = self.geo_polygon {
            found.push(wire.condition(field("geo_polygon")?)?);
        }
        if let Some(CountWire { lt, lte, gt, gte }) = self.values_count {
            let range = Range { lt, lte, gt, gte };
            found.push(Condition::ValuesCount {
                key: field("values_count")?,
                range,
            });
        }
        for (name, wire, make) in [
            (
                "is_empty",
                self.is_empty,
                Condition::IsEmpty as fn(Path) -> Condition,
            ),
            ("is_null", self.is_null, Condition::IsNull),
        ] {
            match wire {
                None => {}
                Some(FlagOrField::Field { key }) => found.push(make(path(&key)?)),
                Some(FlagOrField::Flag(true)) => found.push(make(field(name)?)),
                Some(FlagOrField::Flag(false)) => {
                    let must_not = vec![make(field(name)?)];
                    found.push(Condition::Filter(Box::new(Filter {
                        must_not,
                        ..Filter::default()
                    })));
                }
            }
        }
        Ok(())
    }
}

fn path(text: &str) -> ApiResult<Path> {
    Ok(Path::parse(text)?)
}

impl MatchWire {
    fn value(self, key: &str) -> ApiResult<Match> {
        let at = |error: ApiError| error.at(format!("match of `{key}`"));
        if self.prefix.is_some() || self.substring.is_some() {
            return Err(at(ApiError::unsupported("`prefix` or `substring`")));
        }
        let list = |values: Vec<Value>| {
            values
                .into_iter()
                .map(scalar)
                .collect::<ApiResult<Vec<_>>>()
        };
        let mut found = Vec::new();
        if let Some(value) = self.value {
            found.push(Match::Value(scalar(value).map_err(at)?));
        }
        if let Some(values) = self.any {
            found.push(Match::Any(list(values).map_err(at)?));
        }
        if let Some(values) = self.except {
            found.push(Match::Except(list(values).map_err(at)?));
        }
        found.extend(self.text.map(Match::Text));
        found.extend(self.text_any.map(Match::TextAny));
        found.extend(self.phrase.map(Match::Phrase));
        if found.len() != 1 {
            return Err(at(ApiError::bad_request(format!(
                "{} of value, any, except, text, text_any, phrase are given: give one",
                found.len()
            ))));
        }
        Ok(found.swap_remove(0))
    }
}

fn scalar(value: Value) -> ApiResult<Scalar> {
    match value {
        Value::Bool(flag) => Ok(Scalar::Bool(flag)),
        Value::String(text) => Ok(Scalar::Keyword(text)),
        Value::Number(number) => number.as_i64().map(Scalar::Integer).ok_or_else(|| {
            ApiError::bad_request(format!(
                "{number} is no 64-bit integer: compare floats with `range`"
            ))
        }),
        _ => Err(ApiError::bad_request(
            "it compares with strings, integers and booleans only",
        )),
    }
}

impl RangeWire {
    fn condition(self, key: Path) -> ApiResult<Condition> {
        let bounds = [&self.lt, &self.lte, &self.gt, &self.gte];
        let datetime = bounds
            .iter()
            .any(|bound| matches!(bound, Some(Bound::Datetime(_))));
        if datetime {
            let range = Range {
                lt: microseconds(self.lt)?,
                lte: microseconds(self.lte)?,
                gt: microseconds(self.gt)?,
                gte: microseconds(self.gte)?,
            };
            return Ok(Condition::DatetimeRange { key, range });
        }
        let number = |bound: Option<Bound>| match bound {
            Some(Bound::Number(number)) => Some(number),
            _ => None,
        };
        let range = Range {
            lt: number(self.lt),
            lte: number(self.lte),
            gt: number(self.gt),
            gte: number(self.gte),
        };
        Ok(Condition::Range { key, range })
    }
}

fn microseconds(bound: Option<Bound>) -> ApiResult<Option<i64>> {
    match bound {
        None => Ok(None),
        Some(Bound::Number(number)) => Err(ApiError::bad_request(format!(
            "range: {number} stands beside a datetime: give all bounds in one kind"
        ))),
        Some(Bound::Datetime(text)) => {
            let parsed = cluster::engine::filter::parse_datetime(&text);
            parsed.map(Some).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "range: \"{}\" is no datetime: write it as 2026-01-31T12:00:00Z",
                    crate::error::quote(&text)
                ))
            })
        }
    }
}

#[cfg(test)]
mod tests;
