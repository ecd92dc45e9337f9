//! Writing, reading, paging, counting, deleting.

use serde_json::{Value, json};

use crate::harness::{Server, assert_contains, ids};

const POINTS: &str = "/collections/a/points";

fn started() -> Server {
    let server = Server::start();
    server.create("a", 2, "Euclid");
    server
}

#[test]
fn points_come_back_as_they_went() {
    let server = started();
    let payload = json!({"k": 1, "deep": {"list": [1, null, "é"]}});
    let body = json!({"points": [
        {"id": 7, "vector": [1, 2.5], "payload": payload},
        {"id": "f39c70e620184bc69fa7481538298572", "vector": {"": [3, 4]}},
        {"id": "any string/é", "vector": [5, 6], "payload": null},
        {"id": 18_446_744_073_709_551_615_u64, "vector": {}},
    ]});
    let receipt = server.ok("PUT", &format!("{POINTS}?wait=false"), &body);
    assert_eq!(receipt["status"], "completed");
    assert!(receipt["operation_id"].is_u64());
    let dashed = "f39c70e6-2018-4bc6-9fa7-481538298572";
    let wanted = json!({"ids": ["any string/é", 7, dashed, 99], "with_vector": true});
    let found = server.ok("POST", POINTS, &wanted);
    assert_eq!(
        found,
        json!([
            {"id": "any string/é", "version": 1, "payload": {}, "vector": [5.0, 6.0]},
            {"id": 7, "version": 1, "payload": payload, "vector": [1.0, 2.5]},
            {"id": dashed, "version": 1, "payload": {}, "vector": [3.0, 4.0]},
        ])
    );
    assert_eq!(
        server.ok("GET", &format!("{POINTS}/7"), &Value::Null)["payload"],
        payload
    );
    assert_eq!(
        server.ok(
            "GET",
            &format!("{POINTS}/any%20string%2F%C3%A9"),
            &Value::Null
        )["vector"],
        json!([5.0, 6.0])
    );
    assert_contains(
        &server.refused(404, "GET", &format!("{POINTS}/8"), &Value::Null),
        &["no point 8"],
    );
    assert_eq!(
        server.ok(
            "GET",
            &format!("{POINTS}/18446744073709551615"),
            &Value::Null
        )["vector"],
        json!({})
    );
}

/// One in six of the numbers with many digits came back as its neighbour.
#[test]
fn numbers_come_back_to_the_last_digit() {
    let server = started();
    // The golden ratio's multiples, without their whole parts, are spread like random numbers.
    let numbers = (1..=200).map(|i| 100.0 * (f64::from(i) * 0.618_033_988_749_894_9).fract());
    let numbers: Vec<String> = numbers.map(|number| format!("{number:?}")).collect();
    let payload = format!("\"payload\":{{\"numbers\":[{}]}}", numbers.join(","));
    let body = format!("{{\"points\":[{{\"id\":1,\"vector\":[1,2],{payload}}}]}}");
    let headers = [("content-type", "application/json")];
    let path = "/collections/a/points";
    let reply = server.send("PUT", path, &headers, body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.json());
    let reply = server.send("GET", "/collections/a/points/1", &[], b"");
    let got = String::from_utf8(reply.bytes).unwrap();
    assert!(got.contains(&payload), "{got}");
}

#[test]
fn parts_of_points() {
    let server = started();
    server.ok("PUT", POINTS, &json!({"points": [{"id": 1, "vector": [1, 2], "payload": {"a": {"b": 1, "c": 2}, "d": 3}}]}));
    let check = |with: Value, expected: Value| {
        let found = server.ok("POST", POINTS, &json!({"ids": [1], "with_payload": with}));
        assert_eq!(found[0]["payload"], expected, "{with}");
    };
    check(json!(true), json!({"a": {"b": 1, "c": 2}, "d": 3}));
    check(json!(false), Value::Null);
    check(json!(["a.b"]), json!({"a": {"b": 1}}));
    check(json!({"include": ["d"]}), json!({"d": 3}));
    check(json!({"exclude": ["a.c", "d"]}), json!({"a": {"b": 1}}));
}

#[test]
fn the_batch_form_and_an_update() {
    let server = started();
    let batch = json!({"batch": {"ids": [1, 2], "vectors": [[1, 2], [4, 3]], "payloads": [{"a": 1}, {"a": 2}]}});
    server.ok("PUT", POINTS, &batch);
    server.ok(
        "PUT",
        POINTS,
        &json!({"points": [{"id": 2, "vector": [9, 9]}]}),
    );
    let found = server.ok("POST", POINTS, &json!({"ids": [1, 2], "with_vector": true}));
    assert_eq!(found[0]["payload"], json!({"a": 1}));
    assert_eq!(
        found[1],
        json!({"id": 2, "version": 2, "payload": {}, "vector": [9.0, 9.0]})
    );
    assert_eq!(
        server.ok("POST", &format!("{POINTS}/count"), &json!({"exact": true})),
        json!({"count": 2})
    );
}

#[test]
fn scrolling_sees_each_point_once() {
    let server = started();
    let points: Vec<Value> = (0..25)
        .map(|id| json!({"id": id, "vector": [id, 0], "payload": {"n": 24 - id}}))
        .collect();
    server.ok("PUT", POINTS, &json!({"points": points}));
    let mut seen = Vec::new();
    let mut offset = Value::Null;
    loop {
        let page = server.ok(
            "POST",
            &format!("{POINTS}/scroll"),
            &json!({"limit": 10, "offset": offset, "with_payload": false}),
        );
        seen.extend(ids(&page["points"]));
        offset = page["next_page_offset"].clone();
        if offset.is_null() {
            break;
        }
    }
    assert_eq!(seen, (0..25).map(|id| json!(id)).collect::<Vec<_>>());
    let huge = json!({"limit": 1_000_000_000_000_000_000_u64});
    assert_eq!(
        server.ok("POST", &format!("{POINTS}/scroll"), &huge)["points"]
            .as_array()
            .unwrap()
            .len(),
        25
    );
    let ordered =
        json!({"limit": 2, "order_by": {"key": "n", "direction": "asc", "start_from": 3}});
    let page = server.ok("POST", &format!("{POINTS}/scroll"), &ordered);
    assert_eq!(ids(&page["points"]), [json!(21), json!(20)]);
    assert_eq!(page["points"][0]["order_value"], 3);
    assert!(page["next_page_offset"].is_null());
    assert_contains(
        &server.refused(
            422,
            "POST",
            &format!("{POINTS}/scroll"),
            &json!({"limit": 0}),
        ),
        &["limit"],
    );
}

#[test]
fn filters_choose() {
    let server = started();
    let points = json!({"points": [
        {"id": 1, "vector": [1, 0], "payload": {"city": "Berlin", "n": 1, "tags": ["a", "b"], "at": "2026-01-01T00:00:00Z", "text": "hello world"}},
        {"id": 2, "vector": [2, 0], "payload": {"city": "London", "n": 2, "tags": ["b"], "at": "2026-02-01T00:00:00Z", "items": [{"x": 1, "y": 2}, {"x": 2, "y": 1}]}},
        {"id": 3, "vector": [3, 0], "payload": {"city": "Moscow", "n": 3.5, "none": null, "items": [{"x": 1, "y": 1}]}},
        {"id": "s", "vector": [4, 0], "payload": {}},
    ]});
    server.ok("PUT", POINTS, &points);
    let check = |filter: Value, expected: Value| {
        let page = server.ok(
            "POST",
            &format!("{POINTS}/scroll"),
            &json!({"filter": filter}),
        );
        assert_eq!(json!(ids(&page["points"])), expected, "{filter}");
        let count = server.ok(
            "POST",
            &format!("{POINTS}/count"),
            &json!({"filter": filter}),
        );
        assert_eq!(count["count"], expected.as_array().unwrap().len());
    };
    check(
        json!({"must": [{"key": "city", "match": {"value": "London"}}]}),
        json!([2]),
    );
    check(
        json!({"must": {"key": "city", "match": {"any": ["London", "Berlin"]}}}),
        json!([1, 2]),
    );
    check(
        json!({"must_not": [{"key": "city", "match": {"value": "London"}}]}),
        json!([1, 3, "s"]),
    );
    check(
        json!({"must": [{"key": "tags", "match": {"value": "a"}}]}),
        json!([1]),
    );
    check(
        json!({"must": [{"key": "n", "range": {"gt": 1, "lte": 3.5}}]}),
        json!([2, 3]),
    );
    check(
        json!({"must": [{"key": "at", "range": {"lt": "2026-01-15T00:00:00Z"}}]}),
        json!([1]),
    );
    check(
        json!({"must": [{"key": "text", "match": {"text": "WORLD"}}]}),
        json!([1]),
    );
    check(
        json!({"must": [{"key": "tags", "values_count": {"gte": 2}}]}),
        json!([1]),
    );
    check(
        json!({"must": [{"is_empty": {"key": "tags"}}]}),
        json!([3, "s"]),
    );
    check(json!({"must": [{"is_null": {"key": "none"}}]}), json!([3]));
    check(json!({"must": [{"has_id": [1, "s", 77]}]}), json!([1, "s"]));
    check(
        json!({"must": [{"nested": {"key": "items", "filter": {"must": [{"key": "x", "match": {"value": 1}}, {"key": "y", "match": {"value": 1}}]}}}]}),
        json!([3]),
    );
    check(
        json!({"should": [{"key": "n", "match": {"value": 1}}, {"must": [{"key": "n", "match": {"value": 2}}]}]}),
        json!([1, 2]),
    );
    check(
        json!({"min_should": {"min_count": 2, "conditions": [{"has_id": [1, 2]}, {"has_id": [2, 3]}]}}),
        json!([2]),
    );
    check(json!({"must": []}), json!([1, 2, 3, "s"]));
}

#[test]
fn deleting_by_id_and_by_filter() {
    let server = started();
    let points: Vec<Value> = (0..10)
        .map(|id| json!({"id": id, "vector": [id, 0], "payload": {"odd": id % 2}}))
        .collect();
    server.ok("PUT", POINTS, &json!({"points": points}));
    let delete = format!("{POINTS}/delete?wait=true&ordering=weak");
    assert_eq!(
        server.ok("POST", &delete, &json!({"points": [0, 1, 99]}))["status"],
        "completed"
    );
    let count = || server.ok("POST", &format!("{POINTS}/count"), &json!({}))["count"].clone();
    assert_eq!(count(), 8);
    server.ok(
        "POST",
        &delete,
        &json!({"filter": {"must": [{"key": "odd", "match": {"value": 1}}]}}),
    );
    assert_eq!(count(), 4);
    server.ok("POST", &delete, &json!({"filter": {"must": []}}));
    assert_eq!(count(), 0);
    assert_contains(
        &server.refused(400, "POST", &delete, &json!({})),
        &["`points` or `filter`"],
    );
}

#[test]
fn compressed_bodies_are_read() {
    let server = started();
    // gzip with one stored block, so that the test needs no compressor.
    let body = json!({"points": [{"id": 1, "vector": [1, 2]}]})
        .to_string()
        .into_bytes();
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    gzip.extend((body.len() as u16).to_le_bytes());
    gzip.extend((!(body.len() as u16)).to_le_bytes());
    gzip.extend(&body);
    gzip.extend(crc32(&body).to_le_bytes());
    gzip.extend((body.len() as u32).to_le_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    let reply = server.send("PUT", POINTS, &headers, &gzip);
    assert_eq!(reply.status, 200, "{}", reply.json());
    // Names of encodings have no case.
    let reply = server.send("PUT", POINTS, &[("content-encoding", " GZip")], &gzip);
    assert_eq!(reply.status, 200);
    let reply = server.send("PUT", POINTS, &headers, &gzip[..30]);
    assert_eq!(reply.status, 400, "{}", reply.json());
    let reply = server.send("PUT", POINTS, &[("content-encoding", "zstd")], &gzip);
    assert_eq!(reply.status, 415);
    assert_contains(
        reply.json()["status"]["error"].as_str().unwrap(),
        &["gzip or br"],
    );
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn a_point_ends_at_its_time() {
    let server = started();
    let far = 4_102_444_800_000_u64;
    let body = json!({"points": [
        {"id": 1, "vector": [0, 0], "expires_at": far},
        {"id": 2, "vector": [0, 0], "expires_at": 1},
        {"id": 3, "vector": [0, 0], "ttl": 3600},
        {"id": 4, "vector": [0, 0], "ttl": 0},
    ]});
    server.ok("PUT", POINTS, &body);
    let found = server.ok("POST", POINTS, &json!({"ids": [1, 2, 3, 4]}));
    assert_eq!(ids(&found), [1, 3]);
    assert_eq!(found[0]["expires_at"], far);
    let count = server.ok("POST", &format!("{POINTS}/count"), &json!({}));
    assert_eq!(count["count"], 2);
}

#[test]
fn a_conditional_write_says_or_skips() {
    let server = started();
    let written = |id: u64| {
        let query =
            json!({"query": [0, 0], "filter": {"must": [{"has_id": [id]}]}, "with_payload": true});
        let found = server.ok("POST", &format!("{POINTS}/query"), &query);
        let point = found["points"][0].clone();
        (point["payload"]["n"].clone(), point["version"].clone())
    };
    let point = |n: u64| json!({"id": 1, "vector": [0, 0], "payload": {"n": n}});
    let put = |body: Value| server.ok("PUT", POINTS, &body);
    put(json!({"points": [point(1)], "update_mode": "update_only"}));
    assert_eq!(written(1).0, Value::Null);
    put(json!({"points": [point(1)], "update_mode": "insert_only"}));
    put(json!({"points": [point(2)], "update_mode": "insert_only"}));
    assert_eq!(written(1).0, 1);
    let n_is = |n: u64| json!({"must": [{"key": "n", "match": {"value": n}}]});
    put(json!({"points": [point(3)], "update_filter": n_is(2)}));
    assert_eq!(written(1).0, 1);
    put(json!({"points": [point(3)], "update_filter": n_is(1), "update_mode": "upsert"}));
    let (n, version) = written(1);
    assert_eq!(n, 3);
    let mut at_version = point(4);
    at_version["if_version"] = version.clone();
    put(json!({"points": [at_version.clone()]}));
    let told = server.refused(409, "PUT", POINTS, &json!({"points": [at_version]}));
    assert_contains(
        &told,
        &["1 of 1 points", "`if_version`", "point 1 is at version"],
    );
    let mut absent = point(5);
    absent["if_version"] = json!(0);
    server.refused(409, "PUT", POINTS, &json!({"points": [absent]}));
    assert_eq!(written(1).0, 4);
}

#[test]
fn a_write_with_a_key_is_applied_once() {
    let server = started();
    let put = |key: &str, n: u64| {
        let body = json!({"points": [{"id": 1, "vector": [0, 0], "payload": {"n": n}}]});
        let headers = [
            ("idempotency-key", key),
            ("content-type", "application/json"),
        ];
        server.send("PUT", POINTS, &headers, body.to_string().as_bytes())
    };
    let n = || server.ok("GET", &format!("{POINTS}/1"), &Value::Null)["payload"]["n"].clone();
    assert_eq!(put("first", 1).status, 200);
    assert_eq!(put("second", 2).status, 200);
    assert_eq!(put("first", 1).status, 200);
    assert_eq!(n(), 2);
    let refused = put("first", 3);
    assert_eq!(refused.status, 409);
    assert_contains(&refused.json().to_string(), &["another body"]);
    assert_eq!(put(&"x".repeat(65), 3).status, 400);
    assert_eq!(n(), 2);
}

/// The columns of a batch, and what is read of a point is what `if_version` takes.
#[test]
fn a_batch_takes_ends_and_versions() {
    let server = started();
    let read = |id: u64| server.ok("GET", &format!("{POINTS}/{id}"), &Value::Null);
    let far = 4_102_444_800_000_u64;
    let body = json!({"batch": {"ids": [1, 2], "vectors": [[0, 0], [1, 1]], "expires_at": [far, null], "if_version": 0}});
    server.ok("PUT", POINTS, &body);
    assert_eq!(read(1)["expires_at"], far);
    assert!(read(2).get("expires_at").is_none());
    let told = server.refused(409, "PUT", POINTS, &body);
    let both = ["point 1 is at version", "point 2 is at version"];
    assert_contains(&told, &["2 of 2 points", "`if_version`"]);
    assert_contains(&told, &both);
    let many: Vec<u64> = (1000..1250).collect();
    let vectors = vec![json!([0, 0]); many.len()];
    let absent = json!({"batch": {"ids": many, "vectors": vectors, "if_version": 7}});
    let told = server.refused(409, "PUT", POINTS, &absent);
    let parts = ["250 of 250 points", "point 1099 is not there, and 150 more"];
    assert_contains(&told, &parts);
    let versions = [read(1)["version"].clone(), json!(77)];
    let body = json!({"batch": {"ids": [1, 2], "vectors": [[5, 5], [5, 5]], "ttl": 3600, "if_version": versions}});
    let told = server.refused(409, "PUT", POINTS, &body);
    assert_contains(&told, &["1 of 2 points", "point 2 is at version"]);
    assert_eq!(read(1)["vector"], json!([5.0, 5.0]));
    assert_eq!(read(2)["vector"], json!([1.0, 1.0]));
}

#[test]
fn the_durability_of_a_collection_can_be_changed() {
    let server = started();
    let durability =
        || server.ok("GET", "/collections/a", &Value::Null)["vecino"]["durability"].clone();
    assert_eq!(durability(), "sync");
    let patch = |body: Value| server.ok("PATCH", "/collections/a", &body);
    patch(json!({"durability": {"interval_ms": 50}}));
    assert_eq!(durability(), json!({"interval_ms": 50}));
    patch(json!({"metadata": {"a": 1}}));
    assert_eq!(durability(), json!({"interval_ms": 50}));
    for (bad, part) in [
        (json!({"durability": {"interval_ms": 0}}), "out of range"),
        (json!({"durability": "never"}), "interval_ms"),
        (
            json!({"durability": "sync", "unknown": 1}),
            "unknown setting",
        ),
    ] {
        let told = server.refused(400, "PATCH", "/collections/a", &bad);
        assert_contains(&told, &[part]);
    }
    assert_eq!(durability(), json!({"interval_ms": 50}));
    server.ok(
        "PUT",
        POINTS,
        &json!({"points": [{"id": 1, "vector": [1, 2]}]}),
    );
    patch(json!({"durability": "sync"}));
    assert_eq!(durability(), "sync");
}
