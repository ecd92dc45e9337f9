//! Points to be written, as a list or as columns.

use std::collections::BTreeMap;
use std::fmt;

use cluster::engine::{LoggedFilter, Media, Payload, Point, PointId, Precondition, Vector};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::filter::FilterWire;
use super::id::Id;
use super::vector::VectorInput;
use crate::error::{ApiError, ApiResult};

/// Body of `PUT /collections/{c}/points`: `{"points": []}` or `{"batch": {}}`. A field that is not known is refused, here and in points: a
/// condition with a slip in its name would be none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpsertWire {
    /// Of the dialect: where a point is kept, which is decided here by its id.
    #[serde(default, rename = "shard_key")]
    _shard_key: IgnoredAny,
    points: Option<Vec<PointWire>>,
    batch: Option<BatchWire>,
    update_filter: Option<FilterWire>,
    update_mode: Option<UpdateMode>,
}

/// Which points an upsert may write.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum UpdateMode {
    Upsert,
    InsertOnly,
    UpdateOnly,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PointWire {
    id: Id,
    vector: Option<VectorInput>,
    payload: Option<Payload>,
    /// Ours: milliseconds since 1970 from which the point is hidden.
    expires_at: Option<u64>,
    /// Ours: the same as seconds from now.
    ttl: Option<u64>,
    /// Ours: write only if the stored point has this version, 0 for none.
    if_version: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchWire {
    ids: Vec<Id>,
    vectors: Columns,
    payloads: Option<Vec<Option<Payload>>>,
    /// Ours, as the next two: as of single points, one number for all or a list with one (or null) each.
    expires_at: Option<Numbers>,
    ttl: Option<Numbers>,
    if_version: Option<Numbers>,
}

/// One number for every point of a batch, or one each.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "give a whole number from 0 on for all points, or a list with one (or null) each"
)]
enum Numbers {
    All(u64),
    Each(Vec<Option<u64>>),
}

impl Numbers {
    /// One for each of `count` points.
    fn each(this: Option<Self>, what: &str, count: usize) -> ApiResult<Vec<Option<u64>>> {
        match this {
            None => Ok(vec![None; count]),
            Some(Self::All(number)) => Ok(vec![Some(number); count]),
            Some(Self::Each(numbers)) => {
                same_length(count, what, numbers.len())?;
                Ok(numbers)
            }
        }
    }
}

fn same_length(count: usize, what: &str, got: usize) -> ApiResult<()> {
    match got == count {
        true => Ok(()),
        false => Err(ApiError::bad_request(format!(
            "batch: {count} ids but {got} {what}: give one each"
        ))),
    }
}

/// When a point ends, by a time in milliseconds since 1970 or by seconds from `now_ms` on. A `ttl` of 0, as a time that has passed, is of a point
/// that is written and hidden at once: it replaces one of its id, and is dropped by the next sweep.
///
/// # Errors
///
/// 400 if both are given.
pub fn ends_at(expires_at: Option<u64>, ttl: Option<u64>, now_ms: u64) -> ApiResult<Option<u64>> {
    match (expires_at, ttl) {
        (Some(_), Some(_)) => Err(ApiError::bad_request(
            "give either `expires_at` (milliseconds since 1970) or `ttl` (seconds)",
        )),
        (at, None) => Ok(at),
        (None, Some(ttl)) => Ok(Some(now_ms.saturating_add(ttl.saturating_mul(1000)))),
    }
}

/// The vectors of a batch: one list for the unnamed vector (or of whole points), or one list per name.
#[derive(Debug)]
enum Columns {
    Rows(Vec<VectorInput>),
    Named(BTreeMap<String, Vec<VectorInput>>),
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ColumnsVisitor;
        impl<'de> Visitor<'de> for ColumnsVisitor {
            type Value = Columns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of vectors, or an object with a list of vectors per name")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Columns, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Columns::Rows)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Columns, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(map)).map(Columns::Named)
            }
        }
        deserializer.deserialize_any(ColumnsVisitor)
    }
}

/// A point on its way in: its media may not be vectors yet.
#[derive(Clone, Debug)]
pub struct PointDraft {
    /// The user's id.
    pub id: PointId,
    /// Vectors by name; the unnamed one is `""`.
    pub vectors: Vec<(String, VectorInput)>,
    /// JSON object attached to the point.
    pub payload: Payload,
    /// Source bytes to keep.
    pub media: Vec<Media>,
    /// Milliseconds since 1970 from which the point is hidden.
    pub expires_at_ms: Option<u64>,
    /// What must hold of the stored point for this one to be written.
    pub condition: Option<Precondition>,
}

impl UpsertWire {
    /// Whether a point is to be written only at a certain version.
    pub fn names_versions(&self) -> bool {
        let mut points = self.points.iter().flatten();
        let batch = self.batch.as_ref();
        points.any(|point| point.if_version.is_some())
            || batch.is_some_and(|batch| batch.if_version.is_some())
    }

    /// The points, in the order sent. A `ttl` counts from `now_ms`, in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// 400 if there are none or more than `count_max`, the columns of a batch differ in length, or the filter of a conditional write is none or too
    /// large.
    pub fn drafts(
        self,
        count_max: usize,
        filter_depth_max: usize,
        now_ms: u64,
    ) -> ApiResult<Vec<PointDraft>> {
        let condition = condition(self.update_filter, self.update_mode, filter_depth_max)?;
        let mut drafts: Vec<PointDraft> = match (self.points, self.batch) {
            (Some(points), None) => points
                .into_iter()
                .map(|point| point.draft(now_ms))
                .collect::<ApiResult<_>>()?,
            (None, Some(batch)) => batch.drafts(now_ms)?,
            _ => return Err(ApiError::bad_request("give either `points` or `batch`")),
        };
        check_count(drafts.len(), count_max)?;
        if let Some(condition) = condition {
            for draft in &mut drafts {
                if draft.condition.is_some() {
                    return Err(ApiError::bad_request(format!(
                        "point {}: `if_version` does not go with `update_filter` or `update_mode`",
                        draft.id
                    )));
                }
                draft.condition = Some(condition.clone());
            }
        }
        Ok(drafts)
    }
}

/// The dialect's conditions: `update_filter` is about points that are there, `update_mode` about whether they are.
fn condition(
    filter: Option<FilterWire>,
    mode: Option<UpdateMode>,
    filter_depth_max: usize,
) -> ApiResult<Option<Precondition>> {
    let filter = filter
        .map(|filter| filter.filter(filter_depth_max))
        .transpose()
        .map_err(|error| error.at("update_filter"))?
        .map(LoggedFilter::new)
        .transpose()?;
    Ok(match (mode.unwrap_or(UpdateMode::Upsert), filter) {
        (UpdateMode::Upsert, None) => None,
        (UpdateMode::Upsert, Some(filter)) => Some(Precondition::AbsentOrMatches(filter)),
        (UpdateMode::InsertOnly, _) => Some(Precondition::Version(0)),
        (UpdateMode::UpdateOnly, None) => Some(Precondition::Present),
        (UpdateMode::UpdateOnly, Some(filter)) => Some(Precondition::Matches(filter)),
    })
}

/// Refuses a request about nothing, or about too much.
///
/// # Errors
///
/// 400 that says the limit.
pub fn check_count(count: usize, count_max: usize) -> ApiResult<()> {
    match count {
        0 => Err(ApiError::bad_request(
            "the batch is empty: send at least one item",
        )),
        _ if count > count_max => Err(ApiError::bad_request(format!(
            "{count} items are too many: one request takes {count_max}, send several"
        ))),
        _ => Ok(()),
    }
}

impl PointWire {
    fn draft(self, now_ms: u64) -> ApiResult<PointDraft> {
        let expires_at_ms = ends_at(self.expires_at, self.ttl, now_ms)
            .map_err(|error| error.at(format!("point {}", self.id.0)))?;
        // A point is replaced whole: without this, one that was meant to change the payload alone would lose its vectors.
        let Some(vector) = self.vector else {
            return Err(ApiError::bad_request(format!(
                "point {}: `vector` is missing: a point is written whole; {{}} stands for no vectors",
                self.id.0
            )));
        };
        Ok(PointDraft {
            id: self.id.0,
            vectors: by_name(vector),
            payload: self.payload.unwrap_or_default(),
            media: Vec::new(),
            expires_at_ms,
            condition: self.if_version.map(Precondition::Version),
        })
    }
}

/// A lone vector is the unnamed one.
fn by_name(vector: VectorInput) -> Vec<(String, VectorInput)> {
    match vector {
        VectorInput::Named(named) => named,
        vector => vec![(String::new(), vector)],
    }
}

impl BatchWire {
    fn drafts(self, now_ms: u64) -> ApiResult<Vec<PointDraft>> {
        let count = self.ids.len();
        let times = Numbers::each(self.expires_at, "expires_at", count)?;
        let ttls = Numbers::each(self.ttl, "ttl", count)?;
        let versions = Numbers::each(self.if_version, "if_version", count)?;
        let ends = times.into_iter().zip(ttls).zip(&self.ids);
        let ends: Vec<Option<u64>> = ends
            .map(|((at, ttl), id)| {
                ends_at(at, ttl, now_ms).map_err(|error| error.at(format!("point {}", id.0)))
            })
            .collect::<ApiResult<_>>()?;
        let mut vectors: Vec<Vec<(String, VectorInput)>> = Vec::new();
        match self.vectors {
            Columns::Rows(rows) => {
                same_length(count, "vectors", rows.len())?;
                vectors.extend(rows.into_iter().map(by_name));
            }
            Columns::Named(columns) => {
                vectors.resize_with(count, Vec::new);
                for (name, column) in columns {
                    same_length(count, &format!("vectors \"{name}\""), column.len())?;
                    for (point, vector) in vectors.iter_mut().zip(column) {
                        point.push((name.clone(), vector));
                    }
                }
            }
        }
        let mut payloads = self.payloads.unwrap_or_default();
        if payloads.is_empty() {
            payloads.resize(count, None);
        }
        same_length(count, "payloads", payloads.len())?;
        let points = self.ids.into_iter().zip(vectors).zip(payloads);
        let conditions = ends.into_iter().zip(versions);
        Ok(points
            .zip(conditions)
            .map(
                |(((id, vectors), payload), (expires_at_ms, version))| PointDraft {
                    id: id.0,
                    vectors,
                    payload: payload.unwrap_or_default(),
                    media: Vec::new(),
                    expires_at_ms,
                    condition: version.map(Precondition::Version),
                },
            )
            .collect())
    }
}

impl PointDraft {
    /// The point, once its media are vectors.
    ///
    /// # Errors
    ///
    /// 400 if a vector has a form that no point can hold, or its name stands twice; 501 for multi-vectors.
    pub fn point(self) -> ApiResult<Point> {
        let mut vectors = BTreeMap::new();
        for (name, input) in self.vectors {
            let vector = match input {
                VectorInput::Dense(numbers) => Vector::Dense(numbers),
                VectorInput::Sparse(sparse) => Vector::Sparse(sparse),
                VectorInput::Multi => {
                    return Err(ApiError::unsupported(format!(
                        "vector \"{name}\": a multi-vector"
                    )));
                }
                other => {
                    return Err(ApiError::bad_request(format!(
                        "vector \"{name}\": {} is no vector of a point: give a list of numbers",
                        other.form()
                    )));
                }
            };
            if vectors.insert(name.clone(), vector).is_some() {
                return Err(ApiError::bad_request(format!(
                    "vector \"{name}\" stands twice"
                )));
            }
        }
        Ok(Point {
            id: self.id,
            vectors,
            payload: self.payload,
            media: self.media,
            expires_at_ms: self.expires_at_ms,
        })
    }
}

/// "item 17 of 100 (id 5)": how errors name one of many, counted from 1.
pub fn item_name(at: usize, count: usize, id: &PointId) -> String {
    format!("item {} of {count} (id {id})", at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> ApiResult<Vec<Point>> {
        let wire: UpsertWire = crate::http::from_json(json.as_bytes())?;
        wire.drafts(3, 8, 5000)?
            .into_iter()
            .map(PointDraft::point)
            .collect()
    }

    #[test]
    fn lists_and_columns_give_the_same() {
        let list = read(
            "{\"points\": [{\"id\": 1, \"vector\": [1, 2], \"payload\": {\"a\": 1}}, {\"id\": \"x\", \"vector\": {\"\": [3, 4]}}]}",
        );
        let rows = read(
            "{\"batch\": {\"ids\": [1, \"x\"], \"vectors\": [[1, 2], [3, 4]], \"payloads\": [{\"a\": 1}, null]}}",
        );
        let named = read(
            "{\"batch\": {\"ids\": [1, \"x\"], \"vectors\": {\"\": [[1, 2], [3, 4]]}, \"payloads\": [{\"a\": 1}, {}]}}",
        );
        let list = format!("{:?}", list.unwrap());
        assert_eq!(list, format!("{:?}", rows.unwrap()));
        assert_eq!(list, format!("{:?}", named.unwrap()));
    }

    #[test]
    fn a_time_to_live_becomes_a_time() {
        let points = read(
            "{\"points\": [{\"id\": 1, \"vector\": {}, \"ttl\": 2}, {\"id\": 2, \"vector\": {}, \"expires_at\": 9}, {\"id\": 3, \"vector\": {}, \"ttl\": 18446744073709551615}]}",
        );
        let times: Vec<Option<u64>> = points.unwrap().iter().map(|p| p.expires_at_ms).collect();
        assert_eq!(times, [Some(7000), Some(9), Some(u64::MAX)]);
    }

    #[test]
    fn columns_of_ends_and_versions() {
        let wire = |json: &str| -> UpsertWire { crate::http::from_json(json.as_bytes()).unwrap() };
        let read = |json: &str| -> Vec<(Option<u64>, Option<Precondition>)> {
            let drafts = wire(json).drafts(3, 8, 5000).unwrap();
            let of_each = drafts.into_iter();
            of_each
                .map(|draft| (draft.expires_at_ms, draft.condition))
                .collect()
        };
        let version = |version| Some(Precondition::Version(version));
        let each = read(
            "{\"batch\": {\"ids\": [1, 2], \"vectors\": {}, \"ttl\": [2, null], \"expires_at\": [null, 9], \"if_version\": [0, 7]}}",
        );
        assert_eq!(each, [(Some(7000), version(0)), (Some(9), version(7))]);
        let all = "{\"batch\": {\"ids\": [1, 2], \"vectors\": {}, \"ttl\": 1, \"if_version\": 3}}";
        assert_eq!(read(all), vec![(Some(6000), version(3)); 2]);
        assert!(wire(all).names_versions());
        let bad = "{\"batch\": {\"ids\": [1, 2], \"vectors\": {}, \"ttl\": [1]}}";
        let error = wire(bad).drafts(3, 8, 0).unwrap_err();
        assert!(error.message.contains("2 ids but 1 ttl"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |json: &str, status: u16, part: &str| {
            let error = read(json).unwrap_err();
            assert_eq!(error.status.as_u16(), status, "{error}");
            assert!(error.message.contains(part), "{json}: {error}");
        };
        check("{}", 400, "either `points` or `batch`");
        check("{\"points\": []}", 400, "empty");
        check(
            "{\"points\": [{\"id\":1,\"vector\":{}},{\"id\":2,\"vector\":{}},{\"id\":3,\"vector\":{}},{\"id\":4,\"vector\":{}}]}",
            400,
            "takes 3",
        );
        check(
            "{\"points\": [{\"id\": 1, \"vector\": [[1]]}]}",
            501,
            "multi-vector",
        );
        check(
            "{\"points\": [{\"id\": 1, \"vector\": 5}]}",
            400,
            "an id is no vector",
        );
        check(
            "{\"points\": [{\"id\": 1, \"vector\": {\"a\": [1], \"a\": [2]}}]}",
            400,
            "twice",
        );
        check(
            "{\"points\": [{\"id\": 1, \"vector\": [1, null]}]}",
            400,
            "points[0].vector[1]",
        );
        check(
            "{\"batch\": {\"ids\": [1], \"vectors\": [[1], [2]]}}",
            400,
            "1 ids but 2 vectors",
        );
        check(
            "{\"batch\": {\"ids\": [1], \"vectors\": {\"a\": []}}}",
            400,
            "vectors \"a\"",
        );
        check(
            "{\"points\": [{\"id\": 7, \"ttl\": 1, \"expires_at\": 1}]}",
            400,
            "point 7: give either `expires_at`",
        );
        check(
            "{\"points\": [{\"id\": 1}], \"update_filter\": {\"must\": {\"key\": \"a\"}}}",
            400,
            "update_filter",
        );
        check(
            "{\"points\": [{\"id\": 1}], \"update_mode\": \"replace\"}",
            400,
            "update_mode",
        );
        check(
            "{\"points\": [{\"id\": 3, \"vector\": {}, \"if_version\": 1}], \"update_mode\": \"insert_only\"}",
            400,
            "point 3: `if_version`",
        );
    }
}
