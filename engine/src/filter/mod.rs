//! Predicates on points: the model, and its evaluation by scan.
//!
//! A [`Filter`] is a plain value without a parser: `server` reads the dialect's JSON into it. Its own serialized form, with the names of
//! these types, stands in logs with the writes that a filter guards. `evaluate` defines what each
//! condition means; every faster way must agree with it.

mod datetime;
mod evaluate;
mod geo;
pub mod path;
mod text;

pub use datetime::parse_datetime;
pub use evaluate::Subject;
pub use geo::{GeoBounds, GeoCircle, GeoPoint, GeoPolygon};

use crate::point::PointId;
use path::Path;
use serde::{Deserialize, Serialize};

/// The deepest nesting of filters that is evaluated.
pub const FILTER_DEPTH_MAX: usize = 64;

/// All of `must`, none of `must_not`, and at least one of `should` (or `min_should`) if any are given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Filter {
    /// Every one holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must: Vec<Condition>,
    /// At least one holds, unless the list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub should: Vec<Condition>,
    /// None holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_not: Vec<Condition>,
    /// At least `min_count` of the conditions hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_should: Option<MinShould>,
}

/// At least `min_count` of `conditions` hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinShould {
    /// The conditions counted.
    pub conditions: Vec<Condition>,
    /// How many must hold.
    pub min_count: usize,
}

/// One predicate. A field that holds an array matches if any element does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Condition {
    /// A value at the path is equal to one given.
    Match {
        /// Where in the payload.
        key: Path,
        /// What to compare with.
        value: Match,
    },
    /// A number at the path lies within bounds.
    Range {
        /// Where in the payload.
        key: Path,
        /// The bounds.
        range: Range,
    },
    /// A datetime (RFC 3339 text) at the path lies within bounds, which are microseconds since 1970.
    DatetimeRange {
        /// Where in the payload.
        key: Path,
        /// The bounds, in microseconds since 1970 UTC.
        range: Range<i64>,
    },
    /// The count of values at the path lies within bounds: the length of an array, 1 for any other value, 0 for none or null.
    ValuesCount {
        /// Where in the payload.
        key: Path,
        /// The bounds.
        range: Range<u64>,
    },
    /// The path has no value, null, or an empty array.
    IsEmpty(Path),
    /// A value at the path is null.
    IsNull(Path),
    /// The point's id is one of these.
    HasId(std::collections::HashSet<PointId>),
    /// The point has a vector of this name.
    HasVector(String),
    /// An element of the array at `key`, taken as a payload of its own, passes the filter.
    Nested {
        /// Path of the array.
        key: Path,
        /// Evaluated per element.
        filter: Box<Filter>,
    },
    /// A filter as a condition.
    Filter(Box<Filter>),
    /// A place at the path lies in a circle.
    GeoRadius {
        /// Where in the payload.
        key: Path,
        /// The circle.
        circle: GeoCircle,
    },
    /// A place at the path lies in a box of degrees.
    GeoBoundingBox {
        /// Where in the payload.
        key: Path,
        /// The box.
        bounds: GeoBounds,
    },
    /// A place at the path lies in a polygon.
    GeoPolygon {
        /// Where in the payload.
        key: Path,
        /// The polygon.
        polygon: GeoPolygon,
    },
}

/// What `match` compares with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Match {
    /// Equal to this.
    Value(Scalar),
    /// Equal to one of these; none for an empty list.
    Any(Vec<Scalar>),
    /// Has a value that is none of these; any value for an empty list.
    Except(Vec<Scalar>),
    /// Contains every word of this text, ignoring case.
    Text(String),
    /// Contains at least one word of this text, ignoring case.
    TextAny(String),
    /// Contains the words of this text in a row, ignoring case.
    Phrase(String),
}

/// A value that `match` compares.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scalar {
    /// true or false.
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// Text; a UUID written in another form is equal too.
    Keyword(String),
}

/// Bounds; absent ones do not bind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Range<T = f64> {
    /// Less than.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub lt: Option<T>,
    /// Less than or equal.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub lte: Option<T>,
    /// Greater than.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub gt: Option<T>,
    /// Greater than or equal.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub gte: Option<T>,
}

impl<T: PartialOrd> Range<T> {
    /// Whether the value lies within the bounds.
    pub fn contains(&self, value: &T) -> bool {
        self.lt.as_ref().is_none_or(|bound| value < bound)
            && self.lte.as_ref().is_none_or(|bound| value <= bound)
            && self.gt.as_ref().is_none_or(|bound| value > bound)
            && self.gte.as_ref().is_none_or(|bound| value >= bound)
    }
}

impl Filter {
    /// Whether there is no condition at all.
    pub fn is_empty(&self) -> bool {
        self.must.is_empty()
            && self.should.is_empty()
            && self.must_not.is_empty()
            && self.min_should.is_none()
    }

    /// A filter of one condition.
    pub fn one(condition: Condition) -> Self {
        Self {
            must: vec![condition],
            ..Self::default()
        }
    }
}
