//! Searches through the dialect.

use serde_json::{Value, json};

use crate::harness::{Server, assert_contains, ids};

const QUERY: &str = "/collections/a/points/query";

fn started() -> Server {
    let server = Server::start();
    let body = json!({"vectors": {"": {"size": 2, "distance": "Euclid"}, "d": {"size": 2, "distance": "Dot"}}, "sparse_vectors": {"s": {}}});
    server.ok("PUT", "/collections/a", &body);
    let points: Vec<Value> = (1..=5)
        .map(|id| {
            json!({"id": id, "payload": {"n": id, "odd": id % 2 == 1},
                   "vector": {"": [id, 0], "d": [id, 1], "s": {"indices": [id, 100], "values": [1.0, 0.1 * id as f64]}}})
        })
        .collect();
    server.ok("PUT", "/collections/a/points", &json!({"points": points}));
    server
}

#[test]
fn every_form_of_nearest() {
    let server = started();
    let check = |body: Value, expected: &[i32]| {
        let found = server.ok("POST", QUERY, &body);
        assert_eq!(
            ids(&found["points"]),
            expected.iter().map(|id| json!(id)).collect::<Vec<_>>(),
            "{body}"
        );
        found
    };
    let found = check(json!({"query": [2.2, 0], "limit": 2}), &[2, 3]);
    let point = &found["points"][0];
    assert!((point["score"].as_f64().unwrap() - 0.2).abs() < 1e-6);
    assert!(point["version"].is_u64());
    assert_eq!((point.get("payload"), point.get("vector")), (None, None));
    check(
        json!({"query": {"nearest": [2.2, 0]}, "using": "", "limit": 2}),
        &[2, 3],
    );
    let found = check(
        json!({"query": [1, 0], "using": "d", "limit": 2, "with_payload": true, "with_vector": ["d"]}),
        &[5, 4],
    );
    assert_eq!(found["points"][0]["score"], 5.0);
    assert_eq!(found["points"][0]["payload"]["n"], 5);
    assert_eq!(found["points"][0]["vector"], json!({"d": [5.0, 1.0]}));
    check(
        json!({"query": {"indices": [3], "values": [1]}, "using": "s"}),
        &[3],
    );
    check(
        json!({"query": {"nearest": {"indices": [100, 2], "values": [1, 5]}}, "using": "s", "limit": 3}),
        &[2, 5, 4],
    );
    check(json!({"query": 1, "limit": 2}), &[2, 3]);
    check(json!({"query": {"nearest": 5}, "limit": 1}), &[4]);
    check(
        json!({"query": [0, 0], "filter": {"must": [{"key": "odd", "match": {"value": true}}]}, "limit": 2}),
        &[1, 3],
    );
    check(json!({"query": [0, 0], "limit": 2, "offset": 2}), &[3, 4]);
    check(json!({"query": [0, 0], "score_threshold": 2.5}), &[1, 2]);
    check(
        json!({"query": [1, 0], "using": "d", "score_threshold": 3.5}),
        &[5, 4],
    );
    check(
        json!({"query": [0, 0], "limit": 1_000_000_000_000_000_000_u64, "params": {"exact": true, "hnsw_ef": 64}}),
        &[1, 2, 3, 4, 5],
    );
    check(json!({"limit": 3}), &[1, 2, 3]);
    check(
        json!({"query": {"order_by": {"key": "n", "direction": "desc"}}, "limit": 2}),
        &[5, 4],
    );
    check(
        json!({"query": {"recommend": {"positive": [5, [5, 0]], "negative": [1]}}, "limit": 1}),
        &[4],
    );
    let sample = server.ok(
        "POST",
        QUERY,
        &json!({"query": {"sample": "random"}, "limit": 3}),
    );
    assert_eq!(sample["points"].as_array().unwrap().len(), 3);
}

#[test]
fn prefetches_are_fused_or_searched_again() {
    let server = started();
    let lists = json!([{"query": {"indices": [3], "values": [1]}, "using": "s"}, {"query": [1, 0], "using": "d", "limit": 2}]);
    let found = server.ok(
        "POST",
        QUERY,
        &json!({"prefetch": lists, "query": {"fusion": "rrf"}, "limit": 10}),
    );
    let mut found = ids(&found["points"]);
    found.sort_by_key(|id| id.as_u64());
    assert_eq!(found, [json!(3), json!(4), json!(5)]);
    let weighted = json!({"prefetch": lists, "query": {"rrf": {"k": 1, "weights": [0.1, 1]}}, "params": {"explain": true}});
    let found = server.ok("POST", QUERY, &weighted);
    assert_eq!(ids(&found["points"])[0], 5);
    assert_eq!(found["points"][0]["score_parts"][0]["using"], "d");
    assert!(found["explain"]["plan"].is_string());
    let again = json!({"prefetch": {"query": [1, 0], "using": "d", "limit": 3}, "query": [0, 0], "limit": 1});
    assert_eq!(ids(&server.ok("POST", QUERY, &again)["points"]), [json!(3)]);
    let dbsf = json!({"prefetch": lists, "query": {"fusion": "dbsf"}});
    assert_eq!(
        server.ok("POST", QUERY, &dbsf)["points"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn filters_by_places() {
    let server = Server::start();
    server.create("a", 1, "Euclid");
    let at = |lon: f64, lat: f64| json!({"lon": lon, "lat": lat});
    let (berlin, paris) = (at(13.405, 52.52), at(2.3522, 48.8566));
    let (fiji, taveuni) = (at(178.45, -18.14), at(-179.97, -16.85));
    let homes = [
        json!(berlin),
        json!([paris, berlin]),
        json!(fiji),
        json!(taveuni),
        json!({"lon": 200, "lat": 0}),
        json!("Berlin"),
        json!(null),
    ];
    let points = homes
        .iter()
        .zip(1..)
        .map(|(home, id)| json!({"id": id, "vector": [id], "payload": {"home": home, "n": id}}));
    let points: Vec<Value> = points.collect();
    server.ok("PUT", "/collections/a/points", &json!({"points": points}));
    let check = |condition: Value, expected: &[i32]| {
        let mut condition = condition;
        condition["key"] = json!("home");
        let expected: Vec<_> = expected.iter().map(|id| json!(id)).collect();
        let body = json!({"query": [0], "filter": {"must": condition}});
        let found = server.ok("POST", QUERY, &body);
        assert_eq!(ids(&found["points"]), expected, "{condition}");
        let count = json!({"filter": body["filter"]});
        let count = server.ok("POST", "/collections/a/points/count", &count);
        assert_eq!(count["count"], expected.len(), "{condition}");
    };
    let near =
        |center: &Value, radius: f64| json!({"geo_radius": {"center": center, "radius": radius}});
    let boxed = |top_left: Value, bottom_right: Value| json!({"geo_bounding_box": {"top_left": top_left, "bottom_right": bottom_right}});
    check(near(&berlin, 1000.0), &[1, 2]);
    check(near(&paris, 1000.0), &[2]);
    check(near(&berlin, 0.0), &[1, 2]);
    check(near(&fiji, 300_000.0), &[3, 4]);
    check(near(&at(0.0, 0.0), 1000.0), &[]);
    check(boxed(at(10.0, 55.0), at(15.0, 50.0)), &[1, 2]);
    check(boxed(at(170.0, -10.0), at(-170.0, -20.0)), &[3, 4]);
    check(boxed(at(-180.0, -10.0), at(-170.0, -20.0)), &[4]);
    let square = |half: f64| {
        let corners = [
            (-half, -half),
            (half, -half),
            (half, half),
            (-half, half),
            (-half, -half),
        ];
        let points = corners.map(|(lon, lat)| at(13.0 + lon, 52.0 + lat));
        json!({"points": points})
    };
    check(json!({"geo_polygon": {"exterior": square(5.0)}}), &[1, 2]);
    check(
        json!({"geo_polygon": {"exterior": square(5.0), "interiors": [square(1.0)]}}),
        &[],
    );
    let elsewhere = json!({"query": [0], "filter": {"must_not": {"key": "home", "geo_radius": {"center": paris, "radius": 1e6}}}});
    let found = server.ok("POST", QUERY, &elsewhere);
    assert_eq!(ids(&found["points"]), [3, 4, 5, 6, 7].map(|id| json!(id)));

    let mut line = square(5.0);
    line["points"].as_array_mut().unwrap().pop();
    let refused = json!({"filter": {"must": {"key": "home", "geo_polygon": {"exterior": line}}}});
    assert_contains(
        &server.refused(400, "POST", QUERY, &refused),
        &[
            "filter: geo_polygon of `home`: exterior: ",
            "end it with its first point",
        ],
    );

    // Such a filter is logged with the write that it guards, whatever its digits.
    let center = at(13.404999999999997, 52.519999999999996);
    let only = json!({"must": {"key": "home", "geo_radius": {"center": center, "radius": 100.00000000000001}}});
    let moved = [1, 3].map(|id| json!({"id": id, "vector": [id], "payload": {"home": paris}}));
    let body = json!({"points": moved, "update_filter": only});
    server.ok("PUT", "/collections/a/points", &body);
    check(near(&paris, 1.0), &[1, 2]);
}

#[test]
fn batches_and_the_legacy_search() {
    let server = started();
    let batch = json!({"searches": [{"query": [1, 0], "limit": 1}, {"query": {"indices": [2], "values": [1]}, "using": "s", "limit": 3}]});
    let found = server.ok("POST", "/collections/a/points/query/batch", &batch);
    assert_eq!(ids(&found[0]["points"]), [json!(1)]);
    assert_eq!(ids(&found[1]["points"]), [json!(2)]);
    let body = json!({"vector": [4, 0], "limit": 2, "score_threshold": 1.0, "with_payload": true, "with_vector": true,
                      "filter": {"must": [{"key": "odd", "match": {"value": false}}]}});
    let found = server.ok("POST", "/collections/a/points/search", &body);
    assert_eq!(ids(&found), [json!(4)]);
    assert_eq!(found[0]["vector"][""], json!([4.0, 0.0]));
    let named =
        json!({"vector": {"name": "d", "vector": [1, 0]}, "limit": 1, "params": {"explain": true}});
    let (_, answer) = server.call("POST", "/collections/a/points/search", &named);
    assert_eq!(ids(&answer["result"]), [json!(5)]);
    assert!(answer["explain"]["segments"].is_array());
    let sparse =
        json!({"vector": {"name": "s", "vector": {"indices": [2], "values": [1]}}, "limit": 1});
    assert_eq!(
        ids(&server.ok("POST", "/collections/a/points/search", &sparse)),
        [json!(2)]
    );
    let found = server.ok(
        "POST",
        "/collections/a/points/search/batch",
        &json!({"searches": [named]}),
    );
    assert_eq!(ids(&found[0]), [json!(5)]);
}

#[test]
fn explain_tells_the_structure() {
    let server = started();
    let found = server.ok(
        "POST",
        QUERY,
        &json!({"query": [1, 0], "params": {"explain": true, "index": "flat"}}),
    );
    let segment = &found["explain"]["segments"][0];
    assert_eq!(segment["index"], "flat");
    assert!(segment["reason"].is_string() && segment["distance_calls"].is_u64());
}

#[test]
fn what_is_wrong_is_said() {
    let server = started();
    let check = |status: u16, body: Value, parts: &[&str]| {
        assert_contains(&server.refused(status, "POST", QUERY, &body), parts);
    };
    check(400, json!({"query": [1, 2, 3]}), &["3", "2"]);
    check(
        400,
        json!({"query": [1, 2], "using": "nope"}),
        &["nope", "\"d\""],
    );
    check(400, json!({"query": [1, 2], "using": "s"}), &["s"]);
    check(
        400,
        json!({"query": {"indices": [1], "values": [1]}, "using": "d"}),
        &["d"],
    );
    check(404, json!({"query": 77}), &["77"]);
    check(400, json!({"query": {"fusion": "rrf"}}), &["prefetch"]);
    check(
        501,
        json!({"query": {"formula": {}}}),
        &["`formula`", "not supported yet"],
    );
    check(501, json!({"query": [[1, 2]]}), &["multi-vector"]);
}
