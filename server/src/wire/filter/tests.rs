use super::*;
use crate::config::FILTER_DEPTH_MAX;

fn read(json: &str) -> ApiResult<Filter> {
    crate::http::from_json::<FilterWire>(json.as_bytes())?.filter(FILTER_DEPTH_MAX)
}

fn one(json: &str) -> Condition {
    let mut filter = read(&format!("{{\"must\": {json}}}")).unwrap();
    assert_eq!(filter.must.len(), 1);
    filter.must.swap_remove(0)
}

const TRIANGLE: &str = r#"{"points": [{"lon": 0, "lat": 0}, {"lon": 1, "lat": 0}, {"lon": 0, "lat": 1}, {"lon": 0, "lat": 0}]}"#;

#[test]
fn every_condition_is_read() {
    let check = |json: &str, expected: &str| {
        let got = format!("{:?}", one(json));
        assert!(got.starts_with(expected), "{json}: {got}");
    };
    check("{\"key\": \"a\", \"match\": {\"value\": 1}}", "Match");
    check(
        "[{\"key\": \"a.b[].c\", \"match\": {\"any\": [\"x\", \"y\"]}}]",
        "Match",
    );
    check("{\"key\": \"a\", \"match\": {\"except\": []}}", "Match");
    check("{\"key\": \"a\", \"match\": {\"text\": \"x\"}}", "Match");
    check(
        "{\"key\": \"a\", \"range\": {\"gt\": 1, \"lte\": 2.5, \"lt\": null}}",
        "Range",
    );
    check(
        "{\"key\": \"a\", \"range\": {\"gt\": \"2026-01-01T00:00:00Z\"}}",
        "DatetimeRange",
    );
    check(
        "{\"key\": \"a\", \"values_count\": {\"gte\": 2}}",
        "ValuesCount",
    );
    check(
        "{\"key\": \"a\", \"geo_radius\": {\"center\": {\"lon\": 1, \"lat\": 2.5}, \"radius\": 0}}",
        "GeoRadius",
    );
    check(
        "{\"key\": \"a\", \"geo_bounding_box\": {\"top_left\": {\"lon\": 170, \"lat\": 2}, \"bottom_right\": {\"lat\": -2, \"lon\": -170}}}",
        "GeoBoundingBox",
    );
    for interiors in [
        "",
        ", \"interiors\": null",
        ", \"interiors\": []",
        &format!(", \"interiors\": [{TRIANGLE}, {TRIANGLE}]"),
    ] {
        check(
            &format!(
                "{{\"key\": \"a\", \"geo_polygon\": {{\"exterior\": {TRIANGLE}{interiors}}}}}"
            ),
            "GeoPolygon",
        );
    }
    check("{\"is_empty\": {\"key\": \"a\"}}", "IsEmpty");
    check("{\"key\": \"a\", \"is_null\": true}", "IsNull");
    check("{\"has_id\": [1, \"x\"]}", "HasId");
    check("{\"has_vector\": \"\"}", "HasVector");
    check(
        "{\"nested\": {\"key\": \"a\", \"filter\": {\"must\": []}}}",
        "Nested",
    );
    check("{\"should\": [{\"has_id\": [1]}]}", "Filter");
    check("{}", "Filter");
    let filter = read(
        "{\"min_should\": {\"conditions\": [{\"has_id\": []}], \"min_count\": 1}, \"must\": null}",
    );
    assert_eq!(filter.unwrap().min_should.unwrap().min_count, 1);
}

#[test]
fn what_is_wrong_is_said() {
    let check = |json: &str, status: u16, part: &str| {
        let error = read(json).unwrap_err();
        assert_eq!(error.status.as_u16(), status, "{error}");
        assert!(error.message.contains(part), "{json}: {error}");
    };
    check("{\"most\": []}", 400, "unknown field `most`");
    check(
        "{\"must\": [{\"key\": \"a\", \"macth\": {}}]}",
        400,
        "unknown field `macth`",
    );
    check("{\"must\": [{\"key\": \"a\"}]}", 400, "no match, range");
    check(
        "{\"must\": [{\"match\": {\"value\": 1}}]}",
        400,
        "without `key`",
    );
    check(
        "{\"must\": [{\"key\": \"a\", \"match\": {}}]}",
        400,
        "0 of value",
    );
    check(
        "{\"must\": [{\"key\": \"a\", \"match\": {\"value\": 1.5}}]}",
        400,
        "`range`",
    );
    check(
        "{\"must\": [{\"key\": \"a\", \"range\": {\"gt\": \"yesterday\"}}]}",
        400,
        "no datetime",
    );
    check(
        "{\"must\": [{\"key\": \"a\", \"range\": {\"gt\": [1]}}]}",
        400,
        "must[0].range.gt",
    );
    check(
        "{\"must\": [{\"key\": \"a\", \"slice\": {}}]}",
        501,
        "not supported yet",
    );
}

#[test]
fn what_is_wrong_with_an_area_is_said() {
    let check = |condition: &str, part: &str| {
        let json = format!("{{\"must\": [{{\"key\": \"home\", {condition}}}]}}");
        let error = read(&json).unwrap_err();
        assert_eq!(error.status.as_u16(), 400, "{error}");
        assert!(error.message.contains(part), "{json}: {error}");
    };
    let radius = |center: &str, radius: &str| {
        format!("\"geo_radius\": {{\"center\": {center}, \"radius\": {radius}}}")
    };
    let null_island = r#"{"lon": 0, "lat": 0}"#;
    check(
        "\"geo_radius\": {}",
        "must[0].geo_radius`: missing field `center`",
    );
    check(
        &radius(r#"{"lon": 181, "lat": 0}"#, "1"),
        "geo_radius of `home`: center: lat 0, lon 181 is no place: give lat -90 to 90",
    );
    check(
        &radius(r#"{"lon": 0, "lat": -90.5}"#, "1"),
        "center: lat -90.5, lon 0 is no place",
    );
    check(
        &radius(r#"{"lon": 0, "latt": 0}"#, "1"),
        "did you mean `lat`?",
    );
    check(&radius(r#"{"lon": 0}"#, "1"), "missing field `lat`");
    check(&radius("\"13.4, 52.5\"", "1"), "must[0].geo_radius.center");
    check(
        &radius(null_island, "-1"),
        "geo_radius of `home`: radius: -1 is no distance: give metres, 0 or more",
    );
    check(&radius(null_island, "1e999"), "must[0].geo_radius.radius");
    check(&radius(null_island, "NaN"), "must[0].geo_radius.radius");
    check(
        &radius(null_island, "\"1 km\""),
        "must[0].geo_radius.radius",
    );

    let corners = |top_left: &str, bottom_right: &str| {
        format!(
            "\"geo_bounding_box\": {{\"top_left\": {top_left}, \"bottom_right\": {bottom_right}}}"
        )
    };
    let north = r#"{"lon": 0, "lat": 1}"#;
    check(
        &corners(null_island, north),
        "geo_bounding_box of `home`: top_left: lat 0 is south of bottom_right, lat 1",
    );
    check(
        &corners(r#"{"lon": 0, "lat": 91}"#, null_island),
        "geo_bounding_box of `home`: top_left: lat 91",
    );
    check(
        &corners(north, r#"{"lon": -181, "lat": 0}"#),
        "geo_bounding_box of `home`: bottom_right: lat 0, lon -181",
    );

    let polygon = |exterior: &str, interiors: &str| {
        format!("\"geo_polygon\": {{\"exterior\": {exterior}, \"interiors\": [{interiors}]}}")
    };
    let ring = |points: &[(i32, i32)]| {
        let points = points.iter();
        let points = points.map(|(lon, lat)| format!("{{\"lon\": {lon}, \"lat\": {lat}}}"));
        let points: Vec<_> = points.collect();
        format!("{{\"points\": [{}]}}", points.join(", "))
    };
    check(
        &polygon(&ring(&[]), ""),
        "geo_polygon of `home`: exterior: it has no points",
    );
    check(
        &polygon(&ring(&[(0, 0), (1, 0), (0, 0)]), ""),
        "geo_polygon of `home`: exterior: 3 points enclose nothing: give 4 or more",
    );
    check(
        &polygon(TRIANGLE, &ring(&[(0, 0), (1, 0), (1, 1), (0, 1)])),
        "geo_polygon of `home`: interiors[0]: it begins at lon 0, lat 0 and ends at lon 0, lat 1",
    );
    check(
        &polygon(&ring(&[(0, 0), (1, 0), (200, 1), (0, 0)]), ""),
        "geo_polygon of `home`: exterior.points[2]: lat 1, lon 200",
    );
    let bad = ring(&[(0, 0), (0, 95)]);
    check(
        &polygon(TRIANGLE, &format!("{TRIANGLE}, {bad}")),
        "geo_polygon of `home`: interiors[1].points[1]: lat 95, lon 0",
    );
    let error =
        read("{\"must\": {\"geo_radius\": {\"center\": {\"lon\": 0, \"lat\": 0}, \"radius\": 1}}}");
    let error = error.unwrap_err();
    assert!(
        error.message.contains("`geo_radius` stands without `key`"),
        "{error}"
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{{}}{}", "{\"must\": ".repeat(depth), "}".repeat(depth));
    assert!(read(&nested(FILTER_DEPTH_MAX)).is_ok());
    for depth in [FILTER_DEPTH_MAX + 1, 63] {
        let error = read(&nested(depth)).unwrap_err();
        assert!(error.message.contains("24 deep"), "{error}");
    }
    let error = read(&nested(1000)).unwrap_err();
    assert!(error.message.contains("128 brackets deep"), "{error}");
    assert!(error.message.len() < 300, "{error}");
}

/// The limit was 64 by the message and less by the JSON parser.
#[test]
fn every_form_may_nest_as_deep_as_is_said() {
    let condition = "{\"key\": \"a\", \"match\": {\"value\": 1}}";
    for (open, close) in [
        ("{\"must\": [", "]}"),
        (
            "{\"must\": [{\"nested\": {\"key\": \"a\", \"filter\": ",
            "}}]}",
        ),
        (
            "{\"min_should\": {\"min_count\": 1, \"conditions\": [",
            "]}}",
        ),
        (
            "{\"min_should\": {\"min_count\": 1, \"conditions\": [{\"nested\": {\"key\": \"a\", \"filter\": ",
            "}}]}}",
        ),
    ] {
        let levels = FILTER_DEPTH_MAX - 1;
        let inner = format!("{{\"must\": [{condition}]}}");
        let filter = format!("{}{inner}{}", open.repeat(levels), close.repeat(levels));
        // As in the body of a query.
        let body = format!("{{\"filter\": {filter}}}");
        #[derive(Deserialize)]
        struct Body {
            filter: FilterWire,
        }
        let body: Body = crate::http::from_json(body.as_bytes()).unwrap();
        body.filter.filter(FILTER_DEPTH_MAX).unwrap();
    }
}
