//! What must hold of a stored point for a write to it to take effect.
//!
//! A condition is logged with its write and decided when the write's turn comes, from the row that is there then: of two writers that saw the
//! same version, one finds it changed. It sees the row and the timestamp of the log entry, nothing else, so that every replica that applies the
//! log decides alike.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::point::PointId;
use crate::query::passes;
use crate::storage::record::{ConditionRecord, PointRow};

/// The largest filter that goes into the log with a write: as JSON in the engine's own form.
pub const LOGGED_FILTER_BYTES_MAX: usize = 16 << 10;

/// What must hold of the stored point for a write to take effect. A point whose time has come counts as not there.
#[derive(Clone, Debug, PartialEq)]
pub enum Precondition {
    /// Its version is this, as it was read together with the point; 0: it is not there.
    Version(u64),
    /// It is there.
    Present,
    /// It is not there, or it passes.
    AbsentOrMatches(LoggedFilter),
    /// It is there and passes.
    Matches(LoggedFilter),
}

/// A filter that can be logged: checked, and small.
#[derive(Clone, Debug)]
pub struct LoggedFilter {
    filter: Arc<Filter>,
    json: Arc<[u8]>,
}

impl PartialEq for LoggedFilter {
    fn eq(&self, other: &Self) -> bool {
        self.filter == other.filter
    }
}

impl LoggedFilter {
    /// Time O(size of the filter).
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is nested too deep, larger than [`LOGGED_FILTER_BYTES_MAX`] (16 KiB) or has a bound that is not finite.
    pub fn new(filter: Filter) -> Result<Self> {
        filter.validate()?;
        let json = serde_json::to_vec(&filter)
            .map_err(|error| Error::invalid(format!("filter of a write: {error}")))?;
        if json.len() > LOGGED_FILTER_BYTES_MAX {
            return Err(Error::invalid(format!(
                "filter of a write: {} KiB are too many: the limit is {} KiB, because it is logged with every point",
                json.len() >> 10,
                LOGGED_FILTER_BYTES_MAX >> 10
            )));
        }
        // What could not be read back would keep the log from being applied.
        match Self::read(&json) {
            Ok(read) if *read.filter == filter => Ok(read),
            _ => Err(Error::invalid(
                "filter of a write: it cannot be logged: nest it less deep, and give finite bounds",
            )),
        }
    }

    fn read(json: &[u8]) -> Result<Self> {
        let filter = serde_json::from_slice(json)
            .map_err(|error| Error::corrupted(format!("filter of a logged write: {error}")))?;
        Ok(Self {
            filter: Arc::new(filter),
            json: json.into(),
        })
    }
}

impl Precondition {
    /// Whether it holds. A payload that cannot be read passes no filter.
    pub(crate) fn holds(&self, id: &PointId, stored: Option<&PointRow>) -> bool {
        let matches = |filter: &LoggedFilter, row: &PointRow| {
            passes(&filter.filter, id, row).unwrap_or(false)
        };
        match (self, stored) {
            (Self::Version(version), _) => *version == stored.map_or(0, |row| row.version),
            (Self::Present | Self::Matches(_), None) => false,
            (Self::AbsentOrMatches(_), None) | (Self::Present, Some(_)) => true,
            (Self::AbsentOrMatches(filter) | Self::Matches(filter), Some(row)) => {
                matches(filter, row)
            }
        }
    }

    /// About how many bytes it adds to its log entry.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Version(_) | Self::Present => 8,
            Self::AbsentOrMatches(filter) | Self::Matches(filter) => filter.json.len(),
        }
    }

    pub(crate) fn to_record(&self) -> ConditionRecord {
        match self {
            Self::Version(version) => ConditionRecord::Version(*version),
            Self::Present => ConditionRecord::Present,
            Self::AbsentOrMatches(filter) => ConditionRecord::AbsentOrMatches(filter.json.to_vec()),
            Self::Matches(filter) => ConditionRecord::Matches(filter.json.to_vec()),
        }
    }

    pub(crate) fn from_record(record: ConditionRecord) -> Result<Self> {
        Ok(match record {
            ConditionRecord::Version(version) => Self::Version(version),
            ConditionRecord::Present => Self::Present,
            ConditionRecord::AbsentOrMatches(json) => {
                Self::AbsentOrMatches(LoggedFilter::read(&json)?)
            }
            ConditionRecord::Matches(json) => Self::Matches(LoggedFilter::read(&json)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::path::Path;
    use crate::filter::{
        Condition, GeoBounds, GeoCircle, GeoPoint, GeoPolygon, Match, MinShould, Range, Scalar,
    };

    fn place(lon: f64, lat: f64) -> GeoPoint {
        GeoPoint::new(lat, lon).unwrap()
    }

    fn ring(shift: f64) -> Vec<GeoPoint> {
        let corners = [(0.0, 0.0), (1.5, 0.0), (0.0, -1.0), (0.0, 0.0)];
        let corners = corners.map(|(lon, lat)| place(lon + shift, lat));
        corners.to_vec()
    }

    fn every_condition() -> Filter {
        let key = || Path::parse("a.\"b.c\"[0].d[]").unwrap();
        let keyword = || Scalar::Keyword("x".into());
        let matches = [
            Match::Value(Scalar::Integer(-7)),
            Match::Any(vec![keyword(), Scalar::Bool(true)]),
            Match::Except(vec![keyword()]),
            Match::Text("a b".into()),
            Match::TextAny("a".into()),
            Match::Phrase("a".into()),
        ];
        let matches = matches.map(|value| Condition::Match { key: key(), value });
        let ids = [PointId::Num(u64::MAX), PointId::Uuid(u128::MAX)];
        let inner = Filter::one(Condition::HasVector(String::new()));
        let others = vec![
            Condition::Range {
                key: key(),
                range: Range {
                    gt: Some(0.1),
                    lte: Some(1e300),
                    ..Range::default()
                },
            },
            Condition::DatetimeRange {
                key: key(),
                range: Range {
                    lt: Some(i64::MIN),
                    ..Range::default()
                },
            },
            Condition::ValuesCount {
                key: key(),
                range: Range {
                    gte: Some(u64::MAX),
                    ..Range::default()
                },
            },
            Condition::IsEmpty(key()),
            Condition::IsNull(key()),
            Condition::HasId(ids.into()),
            Condition::Nested {
                key: key(),
                filter: Box::new(inner.clone()),
            },
            Condition::Filter(Box::new(inner)),
            Condition::GeoRadius {
                key: key(),
                // JSON numbers of these digits would be read back as those beside them.
                circle: GeoCircle::new(
                    place(13.404999999999997, 52.519999999999996),
                    100.00000000000001,
                )
                .unwrap(),
            },
            Condition::GeoBoundingBox {
                key: key(),
                bounds: GeoBounds::new(place(170.0, 1.0 / 3.0), place(-170.0, -0.0)).unwrap(),
            },
            Condition::GeoPolygon {
                key: key(),
                polygon: GeoPolygon::new(ring(0.1), vec![ring(0.2), ring(1.0 / 3.0)]).unwrap(),
            },
        ];
        Filter {
            must: matches.to_vec(),
            should: others.clone(),
            must_not: others.clone(),
            min_should: Some(MinShould {
                conditions: others,
                min_count: 2,
            }),
        }
    }

    #[test]
    fn every_condition_can_be_logged_and_read_back() {
        let filter = LoggedFilter::new(every_condition()).unwrap();
        for condition in [
            Precondition::Version(7),
            Precondition::Present,
            Precondition::AbsentOrMatches(filter.clone()),
            Precondition::Matches(filter),
        ] {
            let read = Precondition::from_record(condition.to_record()).unwrap();
            assert_eq!(read, condition);
        }
    }

    /// Logs hold filters in this form: it may grow, but what it says stays.
    #[test]
    fn the_form_of_a_logged_filter_does_not_change() {
        let filter = Filter {
            must: vec![Condition::Match {
                key: Path::parse("a.\"b.c\"[]").unwrap(),
                value: Match::Any(vec![Scalar::Integer(1), Scalar::Keyword("x".into())]),
            }],
            must_not: vec![Condition::Range {
                key: Path::parse("n").unwrap(),
                range: Range {
                    lt: Some(2.5),
                    ..Range::default()
                },
            }],
            ..Filter::default()
        };
        let expected = r#"{"must":[{"Match":{"key":"a.\"b.c\"[]","value":{"Any":[{"Integer":1},{"Keyword":"x"}]}}}],"must_not":[{"Range":{"key":"n","range":{"lt":2.5}}}]}"#;
        let logged = LoggedFilter::new(filter.clone()).unwrap();
        assert_eq!(std::str::from_utf8(&logged.json).unwrap(), expected);
        assert_eq!(
            *LoggedFilter::read(expected.as_bytes()).unwrap().filter,
            filter
        );
    }

    #[test]
    fn the_form_of_logged_areas_does_not_change() {
        let key = || Path::parse("a").unwrap();
        let check = |condition: Condition, expected: &str| {
            let filter = Filter::one(condition);
            let expected = format!(r#"{{"must":[{expected}]}}"#);
            let logged = LoggedFilter::new(filter.clone()).unwrap();
            assert_eq!(std::str::from_utf8(&logged.json).unwrap(), expected);
            let read = LoggedFilter::read(expected.as_bytes()).unwrap();
            assert_eq!(*read.filter, filter);
        };
        check(
            Condition::GeoRadius {
                key: key(),
                circle: GeoCircle::new(place(13.4, 52.5), 1000.0).unwrap(),
            },
            r#"{"GeoRadius":{"key":"a","circle":{"center":[13.4,52.5],"radius_m":1000.0}}}"#,
        );
        check(
            Condition::GeoBoundingBox {
                key: key(),
                bounds: GeoBounds::new(place(170.0, 1.5), place(-170.0, -1.0)).unwrap(),
            },
            r#"{"GeoBoundingBox":{"key":"a","bounds":{"top_left":[170.0,1.5],"bottom_right":[-170.0,-1.0]}}}"#,
        );
        let polygon = |interiors| Condition::GeoPolygon {
            key: key(),
            polygon: GeoPolygon::new(ring(0.0), interiors).unwrap(),
        };
        check(
            polygon(Vec::new()),
            r#"{"GeoPolygon":{"key":"a","polygon":{"exterior":[[0.0,0.0],[1.5,0.0],[0.0,-1.0],[0.0,0.0]]}}}"#,
        );
        check(
            polygon(vec![ring(1.0)]),
            r#"{"GeoPolygon":{"key":"a","polygon":{"exterior":[[0.0,0.0],[1.5,0.0],[0.0,-1.0],[0.0,0.0]],"interiors":[[[1.0,0.0],[2.5,0.0],[1.0,-1.0],[1.0,0.0]]]}}}"#,
        );
    }

    #[test]
    fn what_could_not_be_read_back_is_refused() {
        let check = |filter: Filter, part: &str| {
            let error = LoggedFilter::new(filter).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        };
        let key = Path::parse("a").unwrap();
        let infinite = Range {
            lt: Some(f64::INFINITY),
            ..Range::default()
        };
        check(
            Filter::one(Condition::Range {
                key: key.clone(),
                range: infinite,
            }),
            "finite bounds",
        );
        let value = Match::Text("x".repeat(LOGGED_FILTER_BYTES_MAX));
        check(Filter::one(Condition::Match { key, value }), "16 KiB");
        let nested = |depth| {
            (0..depth).fold(Filter::default(), |inner, _| {
                Filter::one(Condition::Filter(Box::new(inner)))
            })
        };
        check(nested(60), "nest it less deep");
        LoggedFilter::new(nested(20)).unwrap();
    }
}
