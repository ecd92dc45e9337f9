use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::filter::{GeoBounds, GeoCircle, GeoPolygon};

fn object(value: Value) -> Payload {
    match value {
        Value::Object(payload) => payload,
        other => panic!("{other} is no object"),
    }
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

/// Whether point 7 with vectors "" and "text" and this payload passes.
fn passes(filter: &Filter, payload: &Payload) -> bool {
    let has_vector = |name: &str| name.is_empty() || name == "text";
    filter.matches(&Subject {
        id: &PointId::Num(7),
        payload,
        has_vector: &has_vector,
    })
}

fn check_condition(condition: Condition, payload: Value, expected: bool) {
    let shown = format!("{condition:?} on {payload}");
    assert_eq!(
        passes(&Filter::one(condition), &object(payload)),
        expected,
        "{shown}"
    );
}

fn ids(numbers: &[u64]) -> Condition {
    Condition::HasId(numbers.iter().map(|&n| PointId::Num(n)).collect())
}

fn yes() -> Condition {
    ids(&[7])
}

fn no() -> Condition {
    ids(&[8])
}

#[test]
fn match_compares_type_and_value() {
    fn check(wanted: Scalar, found: Value, expected: bool) {
        let condition = Condition::Match {
            key: path("x"),
            value: Match::Value(wanted),
        };
        check_condition(condition, json!({ "x": found }), expected);
    }
    fn keyword(text: &str) -> Scalar {
        Scalar::Keyword(text.into())
    }
    check(keyword("red"), json!("red"), true);
    check(keyword("red"), json!("Red"), false);
    check(keyword("red"), json!(["blue", "red"]), true);
    check(keyword("red"), json!([["red"]]), false);
    check(keyword("1"), json!(1), false);
    check(Scalar::Integer(1), json!(1), true);
    check(Scalar::Integer(1), json!(1.0), false);
    check(Scalar::Integer(1), json!(true), false);
    check(Scalar::Integer(-1), json!(u64::MAX), false);
    check(Scalar::Integer(i64::MIN), json!(i64::MIN), true);
    check(Scalar::Bool(true), json!(true), true);
    check(Scalar::Bool(false), json!(0), false);
    check(Scalar::Bool(false), json!(null), false);
    check(
        keyword("f39c70e6-2018-4bc6-9fa7-481538298572"),
        json!("F39C70E620184BC69FA7481538298572"),
        true,
    );
    check(
        keyword("f39c70e6-2018-4bc6-9fa7-481538298572"),
        json!("f39c70e620184bc69fa7481538298573"),
        false,
    );
}

#[test]
fn match_lists() {
    fn check(wanted: &[i64], found: Value, any: bool, except: bool) {
        let scalars = || wanted.iter().map(|&n| Scalar::Integer(n)).collect();
        let payload = json!({ "x": found });
        check_condition(
            Condition::Match {
                key: path("x"),
                value: Match::Any(scalars()),
            },
            payload.clone(),
            any,
        );
        check_condition(
            Condition::Match {
                key: path("x"),
                value: Match::Except(scalars()),
            },
            payload,
            except,
        );
    }
    check(&[1, 2], json!(2), true, false);
    check(&[1, 2], json!(3), false, true);
    check(&[1, 2], json!([1, 2]), true, false);
    check(&[1, 2], json!([1, 3]), true, true);
    check(&[], json!(1), false, true);
    check(&[], json!(null), false, false);
    check(&[], json!([]), false, false);
    check(&[1], json!("1"), false, true);
    check(&[1], json!([null]), false, false);
}

#[test]
fn match_texts() {
    fn check(value: Match, found: Value, expected: bool) {
        check_condition(
            Condition::Match {
                key: path("x"),
                value,
            },
            json!({ "x": found }),
            expected,
        );
    }
    check(
        Match::Text("apple green".into()),
        json!("Green apples and an apple"),
        true,
    );
    check(
        Match::Text("apple green".into()),
        json!(["green", "apple"]),
        false,
    );
    check(
        Match::TextAny("pear apple".into()),
        json!(["green", "apple"]),
        true,
    );
    check(
        Match::Phrase("green apple".into()),
        json!("a Green, apple"),
        true,
    );
    check(
        Match::Phrase("apple green".into()),
        json!("a Green, apple"),
        false,
    );
    check(Match::Text("1".into()), json!(1), false);
}

#[test]
fn ranges() {
    fn check(range: Range, found: Value, expected: bool) {
        check_condition(
            Condition::Range {
                key: path("x"),
                range,
            },
            json!({ "x": found }),
            expected,
        );
    }
    let closed = || Range {
        gte: Some(1.0),
        lte: Some(2.0),
        ..Range::default()
    };
    let open = || Range {
        gt: Some(1.0),
        lt: Some(2.0),
        ..Range::default()
    };
    check(closed(), json!(1), true);
    check(closed(), json!(2.0), true);
    check(open(), json!(1), false);
    check(open(), json!(1.5), true);
    check(open(), json!(2), false);
    check(open(), json!([0, 1.5]), true);
    check(open(), json!([0, 3]), false);
    check(closed(), json!("1"), false);
    check(closed(), json!(true), false);
    check(Range::default(), json!(1), true);
    check(Range::default(), json!(null), false);
    check(
        Range {
            gt: Some(f64::NAN),
            ..Range::default()
        },
        json!(1),
        false,
    );
}

#[test]
fn datetime_ranges() {
    fn check(found: Value, expected: bool) {
        let range = Range {
            gte: parse_datetime("2024-01-01"),
            lt: parse_datetime("2025-01-01T00:00:00Z"),
            ..Range::default()
        };
        check_condition(
            Condition::DatetimeRange {
                key: path("x"),
                range,
            },
            json!({ "x": found }),
            expected,
        );
    }
    check(json!("2024-06-15T12:30:00Z"), true);
    check(json!("2024-01-01"), true);
    check(json!("2024-01-01T00:30:00+01:00"), false);
    check(json!("2025-01-01"), false);
    check(json!(["2025-01-01", "2024-12-31 23:59:59.999999"]), true);
    check(json!("yesterday"), false);
    check(json!(1_718_454_600_000_000_i64), false);
}

#[test]
fn places() {
    fn at(lon: f64, lat: f64) -> GeoPoint {
        GeoPoint::new(lat, lon).unwrap()
    }
    fn check(key: &str, payload: Value, expected: bool) {
        let key = || path(key);
        let corners = [(10.0, 50.0), (10.0, 55.0), (15.0, 55.0), (15.0, 50.0)];
        let ring = corners.iter().chain(&corners[..1]);
        let ring = ring.map(|&(lon, lat)| at(lon, lat)).collect();
        let conditions = [
            Condition::GeoRadius {
                key: key(),
                circle: GeoCircle::new(at(13.4, 52.5), 20_000.0).unwrap(),
            },
            Condition::GeoBoundingBox {
                key: key(),
                bounds: GeoBounds::new(at(10.0, 55.0), at(15.0, 50.0)).unwrap(),
            },
            Condition::GeoPolygon {
                key: key(),
                polygon: GeoPolygon::new(ring, Vec::new()).unwrap(),
            },
        ];
        for condition in conditions {
            let filter = Filter::one(condition.clone());
            assert!(filter.needs_payload() && filter.required_ids().is_none());
            check_condition(condition, payload.clone(), expected);
        }
    }
    let (berlin, paris) = (
        json!({"lon": 13.41, "lat": 52.52}),
        json!({"lon": 2.35, "lat": 48.86}),
    );
    check("x", json!({"x": berlin}), true);
    check("x", json!({"x": paris}), false);
    check("x", json!({"x": [paris, berlin]}), true);
    check("x[]", json!({"x": [paris, berlin]}), true);
    check("x[0]", json!({"x": [paris, berlin]}), false);
    check("x", json!({"x": [[berlin]]}), false);
    check("x.place", json!({"x": {"place": berlin}}), true);
    check(
        "x[].place",
        json!({"x": [{"place": paris}, {"place": [null, berlin]}]}),
        true,
    );
    check("x", json!({}), false);
    check("x", json!({"x": []}), false);
    check("x", json!({"x": null}), false);
    check("x", json!({"x": {"lon": 13.41}}), false);
    check("x", json!({"x": {"lon": 13.41, "lat": "52.52"}}), false);
    check("x", json!({"x": [13.41, 52.52]}), false);
}

#[test]
fn values_are_counted() {
    fn check(key: &str, count: u64) {
        let payload = json!({"x": {"none": null, "empty": [], "one": "a", "three": [1, null, [2]], "rows": [[1, 2], 5]}});
        for other in 0..5 {
            let range = Range {
                gte: Some(other),
                lte: Some(other),
                ..Range::default()
            };
            check_condition(
                Condition::ValuesCount {
                    key: path(key),
                    range,
                },
                payload.clone(),
                other == count,
            );
        }
    }
    check("x.missing", 0);
    check("x.none", 0);
    check("x.empty", 0);
    check("x.one", 1);
    check("x", 1);
    check("x.three", 3);
    // Each selected value is counted by itself.
    check("x.rows[0]", 2);
    check("x.three[0]", 1);
    let both = Range {
        gte: Some(1),
        lte: Some(2),
        ..Range::default()
    };
    check_condition(
        Condition::ValuesCount {
            key: path("x[]"),
            range: both,
        },
        json!({"x": [[1, 2, 3], [1]]}),
        true,
    );
    let between = Range {
        gt: Some(1),
        lt: Some(3),
        ..Range::default()
    };
    check_condition(
        Condition::ValuesCount {
            key: path("x[]"),
            range: between,
        },
        json!({"x": [[1, 2, 3], [1]]}),
        false,
    );
}

#[test]
fn empty_and_null() {
    fn check(payload: Value, empty: bool, null: bool) {
        check_condition(Condition::IsEmpty(path("x")), payload.clone(), empty);
        check_condition(Condition::IsNull(path("x")), payload, null);
    }
    check(json!({}), true, false);
    check(json!({"x": null}), true, true);
    check(json!({"x": []}), true, false);
    check(json!({"x": [null]}), false, true);
    check(json!({"x": [[null]]}), false, false);
    check(json!({"x": {}}), false, false);
    check(json!({"x": ""}), false, false);
    check(json!({"x": 0}), false, false);
    check_condition(
        Condition::IsEmpty(path("x[].y")),
        json!({"x": [{"y": []}, {"z": 1}]}),
        true,
    );
    check_condition(
        Condition::IsEmpty(path("x[].y")),
        json!({"x": [{"y": []}, {"y": 1}]}),
        false,
    );
    check_condition(
        Condition::IsNull(path("x[].y")),
        json!({"x": [{"y": 1}, {"y": null}]}),
        true,
    );
}

#[test]
fn ids_and_vectors() {
    check_condition(ids(&[1, 7]), json!({}), true);
    check_condition(ids(&[1]), json!({}), false);
    check_condition(ids(&[]), json!({}), false);
    check_condition(Condition::HasVector(String::new()), json!({}), true);
    check_condition(Condition::HasVector("text".into()), json!({}), true);
    check_condition(Condition::HasVector("image".into()), json!({}), false);
}

#[test]
fn nested_asks_each_element() {
    fn keyword(key: &str, text: &str) -> Condition {
        Condition::Match {
            key: path(key),
            value: Match::Value(Scalar::Keyword(text.into())),
        }
    }
    fn check(key: &str, must: Vec<Condition>, expected: bool) {
        let payload = json!({
            "diet": [{"food": "meat", "likes": "yes"}, {"food": "leaves", "likes": "no"}, "grass"],
            "one": {"food": "meat", "likes": "yes"},
            "groups": [{"diet": [{"food": "eggs"}]}],
        });
        let filter = Box::new(Filter {
            must,
            ..Filter::default()
        });
        check_condition(
            Condition::Nested {
                key: path(key),
                filter,
            },
            payload,
            expected,
        );
    }
    check(
        "diet",
        vec![keyword("food", "meat"), keyword("likes", "yes")],
        true,
    );
    check(
        "diet[]",
        vec![keyword("food", "meat"), keyword("likes", "yes")],
        true,
    );
    check(
        "diet",
        vec![keyword("food", "meat"), keyword("likes", "no")],
        false,
    );
    check("one", vec![keyword("food", "meat")], false);
    check("missing", vec![], false);
    check("groups[].diet", vec![keyword("food", "eggs")], true);
    check("groups.diet", vec![keyword("food", "eggs")], false);
    // An element has neither id nor vectors.
    check("diet", vec![yes()], false);
    check("diet", vec![Condition::HasVector("text".into())], false);
    let inner = Filter {
        must: vec![keyword("food", "eggs")],
        ..Filter::default()
    };
    check(
        "groups",
        vec![Condition::Nested {
            key: path("diet"),
            filter: Box::new(inner),
        }],
        true,
    );
}

#[test]
fn clauses_combine() {
    fn check(filter: Filter, expected: bool) {
        assert_eq!(passes(&filter, &Payload::new()), expected, "{filter:?}");
    }
    let counted = |conditions, min_count| Filter {
        min_should: Some(MinShould {
            conditions,
            min_count,
        }),
        ..Filter::default()
    };
    check(Filter::default(), true);
    check(
        Filter {
            must: vec![yes(), yes()],
            ..Filter::default()
        },
        true,
    );
    check(
        Filter {
            must: vec![yes(), no()],
            ..Filter::default()
        },
        false,
    );
    check(
        Filter {
            must_not: vec![no(), no()],
            ..Filter::default()
        },
        true,
    );
    check(
        Filter {
            must_not: vec![no(), yes()],
            ..Filter::default()
        },
        false,
    );
    check(
        Filter {
            should: vec![no(), yes()],
            ..Filter::default()
        },
        true,
    );
    check(
        Filter {
            should: vec![no(), no()],
            ..Filter::default()
        },
        false,
    );
    check(
        Filter {
            must: vec![yes()],
            should: vec![no()],
            ..Filter::default()
        },
        false,
    );
    check(
        Filter {
            must: vec![yes()],
            should: vec![yes()],
            must_not: vec![yes()],
            ..Filter::default()
        },
        false,
    );
    check(counted(vec![yes(), no(), yes()], 2), true);
    check(counted(vec![yes(), no(), no()], 2), false);
    check(counted(vec![yes()], usize::MAX), false);
    let not = Filter {
        must_not: vec![yes()],
        ..Filter::default()
    };
    check(Filter::one(Condition::Filter(Box::new(not.clone()))), false);
    check(
        Filter {
            must_not: vec![Condition::Filter(Box::new(not))],
            ..Filter::default()
        },
        true,
    );
}

fn nested(depth: usize) -> Filter {
    let mut filter = Filter::one(yes());
    for level in 1..depth {
        filter = match level % 2 {
            0 => Filter::one(Condition::Filter(Box::new(filter))),
            _ => Filter::one(Condition::Nested {
                key: path("x"),
                filter: Box::new(filter),
            }),
        };
    }
    filter
}

#[test]
fn depth_is_limited() {
    assert_eq!(Filter::default().depth(), 1);
    assert_eq!(nested(5).depth(), 5);
    assert!(nested(FILTER_DEPTH_MAX).validate().is_ok());
    let error = nested(1000).validate().unwrap_err().to_string();
    assert!(
        error.contains("nested 1000 deep; the limit is 64"),
        "{error}"
    );
    let none = Filter {
        min_should: Some(MinShould {
            conditions: vec![yes()],
            min_count: 0,
        }),
        ..Filter::default()
    };
    assert!(
        Filter {
            must_not: vec![Condition::Filter(Box::new(none))],
            ..Filter::default()
        }
        .validate()
        .is_err()
    );
}

#[test]
fn what_a_filter_needs() {
    fn check(filter: &Filter, payload: bool, required: Option<&[u64]>) {
        assert_eq!(filter.needs_payload(), payload, "{filter:?}");
        let found: Option<Vec<PointId>> = filter
            .required_ids()
            .map(|ids| ids.into_iter().cloned().collect());
        let expected = required.map(|ids| ids.iter().map(|&id| PointId::Num(id)).collect());
        assert_eq!(found, expected, "{filter:?}");
    }
    let on_payload = || Condition::IsEmpty(path("x"));
    let wrap = |filter| Condition::Filter(Box::new(filter));
    check(&Filter::default(), false, None);
    check(&Filter::one(ids(&[3, 1, 2])), false, Some(&[1, 2, 3]));
    check(&Filter::one(ids(&[])), false, Some(&[]));
    check(
        &Filter {
            must: vec![ids(&[1, 2]), ids(&[2, 3]), on_payload()],
            ..Filter::default()
        },
        true,
        Some(&[2]),
    );
    check(
        &Filter {
            should: vec![ids(&[1, 2]), ids(&[2, 3])],
            ..Filter::default()
        },
        false,
        Some(&[1, 2, 3]),
    );
    check(
        &Filter {
            should: vec![ids(&[1, 2]), on_payload()],
            ..Filter::default()
        },
        true,
        None,
    );
    check(
        &Filter {
            must_not: vec![ids(&[1])],
            ..Filter::default()
        },
        false,
        None,
    );
    check(
        &Filter::one(wrap(Filter::one(ids(&[4])))),
        false,
        Some(&[4]),
    );
    check(&Filter::one(wrap(Filter::one(on_payload()))), true, None);
    check(
        &Filter::one(Condition::HasVector("text".into())),
        false,
        None,
    );
    check(&nested(2), true, None);
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let set = proptest::collection::hash_set((0u64..10).prop_map(PointId::Num), 0..6);
    let leaf = prop_oneof![
        4 => set.prop_map(Condition::HasId),
        1 => Just(Condition::HasVector("text".into())),
        1 => Just(Condition::IsEmpty(Path::parse("x").unwrap())),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        any_filter(inner).prop_map(|filter| Condition::Filter(Box::new(filter)))
    })
}

fn any_filter(
    condition: impl Strategy<Value = Condition> + Clone,
) -> impl Strategy<Value = Filter> {
    let list = proptest::collection::vec(condition, 0..3);
    (
        list.clone(),
        list.clone(),
        list.clone(),
        proptest::option::of((list, 1usize..3)),
    )
        .prop_map(|(must, should, must_not, counted)| {
            let min_should = counted.map(|(conditions, min_count)| MinShould {
                conditions,
                min_count,
            });
            Filter {
                must,
                should,
                must_not,
                min_should,
            }
        })
}

proptest! {
    #[test]
    fn shortcuts_agree_with_evaluation(filter in any_filter(any_condition().boxed()), full: bool) {
        let payload = if full { object(json!({"x": 1})) } else { Payload::new() };
        let required: Option<HashSet<PointId>> = filter.required_ids().map(|ids| ids.into_iter().cloned().collect());
        for id in (0..10).map(PointId::Num) {
            let has_vector = |_: &str| id == PointId::Num(3);
            let passes = |payload| filter.matches(&Subject { id: &id, payload, has_vector: &has_vector });
            if passes(&payload) {
                prop_assert!(required.as_ref().is_none_or(|required| required.contains(&id)));
            }
            if !filter.needs_payload() {
                prop_assert_eq!(passes(&payload), passes(&Payload::new()));
            }
        }
    }
}
