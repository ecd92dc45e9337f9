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
        "{\"must\": [{\"key\": \"a\", \"geo_radius\": {}}]}",
        501,
        "not supported yet",
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
