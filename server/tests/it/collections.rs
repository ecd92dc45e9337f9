//! Service routes and collections.

use serde_json::{Value, json};

use crate::harness::{Server, assert_contains};

#[test]
fn the_server_says_who_it_is() {
    let server = Server::start();
    let root = server.get("/").json();
    assert_eq!(root["version"], "1.19.0");
    assert_contains(root["title"].as_str().unwrap(), &["qdrant"]);
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!(
        server.ok("GET", "/cluster", &Value::Null),
        json!({"status": "disabled"})
    );
    assert_eq!(
        server.ok("GET", "/aliases", &Value::Null),
        json!({"aliases": []})
    );
}

#[test]
fn a_collection_lives() {
    let server = Server::start();
    assert_eq!(
        server.ok("GET", "/collections", &Value::Null),
        json!({"collections": []})
    );
    assert_eq!(
        server.ok("GET", "/collections/a/exists", &Value::Null),
        json!({"exists": false})
    );
    server.create("a", 4, "Cosine");
    assert_eq!(
        server.ok("GET", "/collections/a/exists", &Value::Null),
        json!({"exists": true})
    );
    assert_eq!(
        server.ok("GET", "/collections", &Value::Null),
        json!({"collections": [{"name": "a"}]})
    );
    let error = server.refused(
        409,
        "PUT",
        "/collections/a",
        &json!({"vectors": {"size": 4, "distance": "Dot"}}),
    );
    assert_contains(&error, &["already exists"]);
    let info = server.ok("GET", "/collections/a", &Value::Null);
    assert_eq!(
        (&info["status"], &info["optimizer_status"]),
        (&json!("green"), &json!("ok"))
    );
    assert_eq!(info["points_count"], 0);
    assert!(info["segments_count"].is_u64() && info["indexed_vectors_count"].is_u64());
    assert_eq!(
        info["config"]["params"]["vectors"],
        json!({"size": 4, "distance": "Cosine"})
    );
    for key in ["hnsw_config", "optimizer_config", "wal_config"] {
        assert!(info["config"][key].is_object(), "{key}");
    }
    assert!(!info["config"].to_string().contains("null"));
    assert_eq!(info["payload_schema"], json!({}));
    assert_eq!(server.ok("DELETE", "/collections/a", &Value::Null), true);
    assert_eq!(server.ok("DELETE", "/collections/a", &Value::Null), false);
    for (method, path) in [
        ("GET", "/collections/a"),
        ("POST", "/collections/a/points/count"),
        ("GET", "/collections/a/aliases"),
    ] {
        let error = server.refused(404, method, path, &Value::Null);
        assert_contains(&error, &["Collection", "doesn't exist"]);
    }
}

#[test]
fn names_may_hold_anything_but_slashes() {
    let server = Server::start();
    for name in [
        "open-webui_file-abc",
        "a%20b",
        "%C3%A9t%C3%A9",
        "%22quoted%22",
    ] {
        server.create(name, 2, "Dot");
        assert_eq!(
            server.ok("GET", &format!("/collections/{name}/exists"), &Value::Null)["exists"],
            true
        );
    }
    for (name, part) in [
        ("%20", "white space"),
        ("a%20", "white space"),
        ("%2E%2E", "means a folder"),
        ("%2E", "means a folder"),
    ] {
        let error = server.refused(400, "PUT", &format!("/collections/{name}"), &json!({}));
        assert_contains(&error, &[part]);
    }
    let long = "x".repeat(300);
    assert_contains(
        &server.refused(400, "PUT", &format!("/collections/{long}"), &json!({})),
        &["300 bytes"],
    );
    server.refused(400, "PUT", "/collections/a%2Fb", &json!({}));
}

#[test]
fn no_body_makes_a_multimodal_collection_and_an_empty_object_one_without_vectors() {
    let server = Server::start();
    server.create_multimodal("m");
    let info = server.ok("GET", "/collections/m", &Value::Null);
    let params = &info["config"]["params"];
    assert_eq!(
        params["vectors"]["text"],
        json!({"size": 256, "distance": "Cosine"})
    );
    assert!(params["vectors"]["image"]["size"].is_u64());
    assert_eq!(
        params["sparse_vectors"],
        json!({"bm25": {"modifier": "idf"}})
    );
    let embedder = &info["vecino"]["embedders"]["text"];
    assert_eq!(embedder["model"], "vecino/text");
    assert!(!embedder["checksum"].as_str().unwrap().is_empty());
    server.ok("PUT", "/collections/d", &json!({"embedders": "default"}));
    let same = server.ok("GET", "/collections/d", &Value::Null);
    assert_eq!(same["config"]["params"], *params);
    server.ok("PUT", "/collections/e", &json!({}));
    assert_eq!(
        server.ok("GET", "/collections/e", &Value::Null)["config"]["params"]["vectors"],
        json!({})
    );
}

#[test]
fn settings_are_echoed_and_changed() {
    let server = Server::start();
    let body = json!({
        "vectors": {"a": {"size": 4, "distance": "Euclid", "on_disk": true, "index": "kdtree"}},
        "sparse_vectors": {"s": {"index": {"on_disk": false}}},
        "hnsw_config": {"m": 0, "payload_m": 16}, "optimizers_config": {"memmap_threshold": 10_000_000}, "replication_factor": 1,
        "shard_number": null,
    });
    server.ok("PUT", "/collections/a", &body);
    let patch = json!({"optimizers_config": {"indexing_threshold": 0}, "vectors": {"a": {"on_disk": false}}});
    assert_eq!(server.ok("PATCH", "/collections/a", &patch), true);
    let info = server.ok("GET", "/collections/a", &Value::Null);
    let config = &info["config"];
    assert_eq!(
        config["params"]["vectors"],
        json!({"a": {"size": 4, "distance": "Euclid", "on_disk": false}})
    );
    assert_eq!(
        config["params"]["sparse_vectors"],
        json!({"s": {"index": {"on_disk": false}}})
    );
    assert_eq!(
        (
            &config["hnsw_config"]["m"],
            &config["hnsw_config"]["payload_m"]
        ),
        (&json!(0), &json!(16))
    );
    assert_eq!(config["optimizer_config"]["memmap_threshold"], 10_000_000);
    assert_eq!(config["optimizer_config"]["indexing_threshold"], 0);
    assert_eq!(info["vecino"]["indexes"], json!({"a": "kdtree"}));
    let error = server.refused(
        400,
        "PATCH",
        "/collections/a",
        &json!({"optimizer_config": {}}),
    );
    assert_contains(&error, &["unknown setting `optimizer_config`"]);
    server.refused(404, "PATCH", "/collections/b", &json!({}));
}

#[test]
fn a_forced_structure_that_cannot_serve_is_refused() {
    let server = Server::start();
    let body = json!({"vectors": {"size": 64, "distance": "Euclid", "index": "kdtree"}});
    assert_contains(
        &server.refused(400, "PUT", "/collections/a", &body),
        &["kdtree"],
    );
    assert_contains(
        &server.refused(
            400,
            "PUT",
            "/collections/a",
            &json!({"vectors": {"size": 0, "distance": "Dot"}}),
        ),
        &["dim 0"],
    );
}

#[test]
fn an_encoding_is_chosen_where_there_will_be_a_graph() {
    let server = Server::start();
    let of = |distance: &str, more: Value| {
        let mut vector = json!({"size": 64, "distance": distance});
        let more = more.as_object().unwrap().clone();
        vector.as_object_mut().unwrap().extend(more);
        json!({"vectors": {"v": vector}})
    };
    let body = of(
        "Cosine",
        json!({"encoding": "sq4", "quantization_config": {"scalar": {"type": "int8"}}}),
    );
    server.ok("PUT", "/collections/a", &body);
    let info = server.ok("GET", "/collections/a", &Value::Null);
    assert_eq!(info["vecino"]["encodings"], json!({"v": "sq4"}));
    assert_eq!(
        info["config"]["params"]["vectors"]["v"],
        json!({"size": 64, "distance": "Cosine", "quantization_config": {"scalar": {"type": "int8"}}})
    );
    let refused = |distance: &str, more: Value, parts: &[&str]| {
        let error = server.refused(400, "PUT", "/collections/b", &of(distance, more));
        assert_contains(&error, parts);
    };
    let all = "sq8, sq4, f16, f32 or binary";
    refused(
        "Cosine",
        json!({"encoding": "int8"}),
        &["\"v\"", "\"int8\"", all],
    );
    refused("Cosine", json!({"encoding": 8}), &["\"v\""]);
    let at = "vector \"v\": encoding \"f16\"";
    refused(
        "Manhattan",
        json!({"encoding": "f16"}),
        &[at, "none for distance l1", "leave the encoding out"],
    );
    refused(
        "Euclid",
        json!({"encoding": "f16", "index": "flat"}),
        &[at, "index \"flat\""],
    );
    server.refused(404, "GET", "/collections/b", &Value::Null);
}

#[test]
fn payload_fields_are_declared_and_forgotten() {
    let server = Server::start();
    server.create("a", 2, "Dot");
    for (field, schema) in [
        ("doc_id", json!("keyword")),
        (
            "meta.k",
            json!({"type": "integer", "lookup": true, "range": null}),
        ),
    ] {
        let body = json!({"field_name": field, "field_schema": schema});
        assert_eq!(
            server.ok("PUT", "/collections/a/index?wait=true", &body)["status"],
            "completed"
        );
    }
    let schema = server.ok("GET", "/collections/a", &Value::Null)["payload_schema"].clone();
    assert_eq!(
        schema["doc_id"],
        json!({"data_type": "keyword", "points": 0})
    );
    assert_eq!(
        schema["meta.k"]["params"],
        json!({"type": "integer", "lookup": true})
    );
    server.ok("DELETE", "/collections/a/index/meta.k", &Value::Null);
    let schema = server.ok("GET", "/collections/a", &Value::Null)["payload_schema"].clone();
    assert_eq!(schema.as_object().unwrap().len(), 1);
    let error = server.refused(
        400,
        "PUT",
        "/collections/a/index",
        &json!({"field_name": "a", "field_schema": "tree"}),
    );
    assert_contains(&error, &["\"tree\"", "keyword"]);
}

#[test]
fn what_is_missing_says_so() {
    let server = Server::start();
    server.create("a", 2, "Dot");
    for (method, path) in [
        ("POST", "/collections/aliases"),
        ("POST", "/collections/a/facet"),
        ("POST", "/collections/a/points/payload"),
        ("POST", "/collections/a/points/query/groups"),
        ("POST", "/collections/a/points/recommend"),
        ("GET", "/collections/a/shards"),
        ("GET", "/collections/a/shards/1/snapshots"),
        ("GET", "/telemetry"),
        ("GET", "/openapi.json"),
    ] {
        assert_contains(
            &server.refused(501, method, path, &json!({})),
            &["not supported yet"],
        );
    }
    assert_contains(
        &server.refused(404, "GET", "/nowhere", &Value::Null),
        &["no GET /nowhere"],
    );
    assert_contains(
        &server.refused(405, "PATCH", "/collections", &json!({})),
        &["does not take PATCH"],
    );
}

#[test]
fn metrics_are_counted() {
    let server = Server::start();
    server.create("a", 2, "Dot");
    server.ok(
        "PUT",
        "/collections/a/points",
        &json!({"points": [{"id": 1, "vector": [1, 2]}]}),
    );
    server.refused(404, "GET", "/collections/secret-name", &Value::Null);
    let reply = server.get("/metrics");
    assert!(reply.header("content-type").starts_with("text/plain"));
    let text = String::from_utf8(reply.bytes).unwrap();
    assert_contains(
        &text,
        &[
            "vecino_http_request_duration_seconds_count{route=\"/collections/{collection}/points\",method=\"PUT\",status=\"200\"} 1\n",
            "route=\"/collections/{collection}\",method=\"GET\",status=\"404\"",
            "\nvecino_points 1\n",
            "\nvecino_collections 1\n",
            "vecino_storage_disk_bytes{part=",
        ],
    );
    assert!(!text.contains("secret-name"));
}

#[test]
fn durability_is_chosen_and_shown() {
    let server = Server::start();
    let create = |durability: Value| {
        let body = json!({"vectors": {"size": 2, "distance": "Dot"}, "durability": durability});
        server.call("PUT", "/collections/d", &body)
    };
    let shown = || server.ok("GET", "/collections/d", &Value::Null)["vecino"]["durability"].clone();
    for wrong in [
        json!("never"),
        json!({"interval_ms": 0}),
        json!({"interval_ms": 60_001}),
    ] {
        let (status, answer) = create(wrong);
        assert_eq!(status, 400, "{answer}");
    }
    assert_eq!(create(json!({"interval_ms": 100})).0, 200);
    assert_eq!(shown(), json!({"interval_ms": 100}));
    server.ok("DELETE", "/collections/d", &Value::Null);
    assert_eq!(create(Value::Null).0, 200);
    assert_eq!(shown(), "sync");
}
