//! Bad input: a clear error each, and nothing lost or half-written.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::harness::{Server, assert_contains, error_of};
use crate::pictures::{RED, base64, bmp, png_that_claims, truncated_jpeg};

const POINTS: &str = "/collections/a/points";

/// A server with one point that must still be there in the end.
fn started() -> Server {
    let server = Server::start();
    server.create("a", 2, "Dot");
    server.ok(
        "PUT",
        POINTS,
        &json!({"points": [{"id": 1, "vector": [1, 2], "payload": {"kept": true}}]}),
    );
    server
}

fn assert_untouched(server: &Server) {
    let page = server.ok(
        "POST",
        &format!("{POINTS}/scroll"),
        &json!({"limit": 100, "with_vector": true}),
    );
    assert_eq!(
        page["points"],
        json!([{"id": 1, "version": 1, "payload": {"kept": true}, "vector": [1.0, 2.0]}])
    );
}

fn send(server: &Server, body: &[u8]) -> (u16, String) {
    let reply = server.send("PUT", POINTS, &[("content-type", "application/json")], body);
    (reply.status, error_of(&reply.json()))
}

#[test]
fn json_that_does_not_parse_or_fit() {
    let server = started();
    let check = |body: &str, parts: &[&str]| {
        let (status, error) = send(&server, body.as_bytes());
        assert_eq!(status, 400, "{body}: {error}");
        assert_contains(&error, parts);
    };
    check(
        "{\"points\": [{\"id\": 2, \"vector\": [1, 2",
        &["points[0].vector", "line 1 column", "cut off"],
    );
    check(
        "{\"points\": [\n {\"id\": 2, \"vector\": [1, NaN]}]}",
        &["points[0].vector[1]", "line 2", "NaN"],
    );
    // A slip in a name must not be a condition less, or a point without its vector.
    let mistyped = |point: &str, parts: &[&str]| {
        check(&format!("{{\"points\": [{point}]}}"), parts);
    };
    mistyped(
        "{\"id\": 2, \"vectro\": [1, 2]}",
        &["unknown field `vectro`", "did you mean `vector`?"],
    );
    mistyped(
        "{\"id\": 2, \"vector\": [1, 2], \"if_versoin\": 0}",
        &["unknown field `if_versoin`", "did you mean `if_version`?"],
    );
    check(
        "{\"batch\": {\"ids\": [2], \"vectors\": [[1, 2]], \"if_verson\": 0}}",
        &["did you mean `if_version`?"],
    );
    check(
        "{\"points\": [{\"id\": 2, \"vector\": [1, 2]}], \"update_fliter\": {}}",
        &["did you mean `update_filter`?"],
    );
    check(
        "{\"points\": [{\"id\": 2, \"vector\": [1, Infinity]}]}",
        &["infinity"],
    );
    check(
        "{\"points\": [{\"id\": 2, \"vector\": [1, 1e999]}]}",
        &["points[0].vector[1]", "out of range"],
    );
    check(
        "{\"points\": [{\"id\": 2, \"vector\": [1, 1e39]}]}",
        &["points[0].vector[1]", "32-bit"],
    );
    check(
        "{\"points\": [{\"id\": 2, \"vector\": [1, null]}]}",
        &["points[0].vector[1]", "null"],
    );
    check(
        "{\"points\": [{\"id\": 2, \"vector\": [1, 2, 3]}]}",
        &["3", "2", "item 1 of 1", "id 2"],
    );
    check(
        "{\"points\": [{\"id\": 2, \"vector\": {\"nope\": [1, 2]}}]}",
        &["nope", "item 1 of 1"],
    );
    for vectorless in [
        "{\"id\": 2, \"payload\": {}}",
        "{\"id\": 2, \"vector\": null}",
    ] {
        mistyped(vectorless, &["point 2", "`vector` is missing", "{}"]);
    }
    check(
        "{\"points\": [{\"id\": -2, \"vector\": [1, 2]}]}",
        &["points[0].id", "negative"],
    );
    check("{\"points\": []}", &["empty"]);
    check("{}", &["`points` or `batch`"]);
    check("", &["empty"]);
    check("\u{feff}{}", &["line 1"]);
    check("[]", &["line 1"]);
    let (status, _) = send(&server, b"{\"points\": [{\"id\": \"\xff\xfe\"}]}");
    assert_eq!(status, 400);
    assert_untouched(&server);
}

/// A slip must not list, count or delete more than was meant.
#[test]
fn fields_that_are_not_known() {
    let server = started();
    let check = |path: &str, body: &str, field: &str, meant: &str| {
        let path = format!("{POINTS}{path}");
        let json = [("content-type", "application/json")];
        let reply = server.send("POST", &path, &json, body.as_bytes());
        let error = error_of(&reply.json());
        assert_eq!(reply.status, 400, "{path} {body}: {error}");
        let meant = format!("did you mean `{meant}`?");
        assert_contains(&error, &[&format!("unknown field `{field}`"), &meant]);
    };
    let of_filter = |path: &str, body: &str| check(path, body, "fliter", "filter");
    of_filter("/scroll", r#"{"limit": 1, "fliter": {}}"#);
    of_filter("/count", r#"{"exact": true, "fliter": {}}"#);
    of_filter("/delete", r#"{"points": [1], "fliter": {}}"#);
    of_filter("/query", r#"{"query": [1, 2], "fliter": {}}"#);
    of_filter("/search", r#"{"vector": [1, 2], "limit": 1, "fliter": {}}"#);
    check(
        "",
        r#"{"ids": [1], "with_vecto": true}"#,
        "with_vecto",
        "with_vector",
    );
    check(
        "/query/batch",
        r#"{"searches": [], "search": []}"#,
        "search",
        "searches",
    );
    check(
        "/search/batch",
        r#"{"searches": [], "search": []}"#,
        "search",
        "searches",
    );
    assert_untouched(&server);

    // What the dialect's clients send beside.
    let key = json!("k");
    server.ok(
        "POST",
        &format!("{POINTS}/count"),
        &json!({"exact": false, "shard_key": key}),
    );
    server.ok(
        "POST",
        &format!("{POINTS}/scroll"),
        &json!({"shard_key": key}),
    );
    server.ok("POST", POINTS, &json!({"ids": [1], "shard_key": key}));
    server.ok(
        "POST",
        &format!("{POINTS}/delete"),
        &json!({"points": [2], "shard_key": null}),
    );
}

/// Parsers spoke of `usize`, and of what failed to deserialize.
#[test]
fn errors_speak_of_numbers_not_of_types() {
    let server = started();
    server.create_multimodal("m");
    for (method, path, body, part) in [
        (
            "POST",
            "/collections/a/points/query",
            json!({"query": [1, 1], "limit": "x"}),
            "a whole number",
        ),
        (
            "GET",
            "/collections/m/search?text=a&k=x",
            Value::Null,
            "k: wanted a whole number",
        ),
    ] {
        let error = server.refused(400, method, path, &body);
        assert_contains(&error, &[part]);
        for word in ["usize", "deserialize", "digit"] {
            assert!(!error.contains(word), "{error}");
        }
    }
}

#[test]
fn one_bad_item_of_a_hundred() {
    let server = started();
    let mut points: Vec<Value> = (100..200)
        .map(|id| json!({"id": id, "vector": [id, 1]}))
        .collect();
    points[16]["vector"] = json!([1]);
    let error = server.refused(400, "PUT", POINTS, &json!({"points": points}));
    assert_contains(&error, &["item 17 of 100", "id 116"]);
    assert_untouched(&server);
}

#[test]
fn giants() {
    let server = started();
    let id = "x".repeat(10_000_000);
    let (status, error) = send(
        &server,
        json!({"points": [{"id": id, "vector": [1, 2]}]})
            .to_string()
            .as_bytes(),
    );
    assert_eq!(status, 400);
    assert_contains(&error, &["10000000 bytes", "512"]);
    assert!(error.len() < 1000);
    let (status, error) = send(&server, &vec![b' '; 100 << 20]);
    assert_eq!(status, 413);
    assert_contains(&error, &["33554432", "32 MB"]);
    // The same without a length: in chunks.
    let mut stream = TcpStream::connect(server.addr).unwrap();
    let head = format!(
        "PUT {POINTS} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = vec![b' '; 1 << 20];
    for _ in 0..40 {
        stream.write_all(b"100000\r\n").unwrap();
        stream.write_all(&chunk).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert_contains(&answer, &["413", "33554432"]);
    let many: Vec<Value> = (0..100_001)
        .map(|id| json!({"id": id, "vector": {}}))
        .collect();
    assert_contains(
        &server.refused(400, "PUT", POINTS, &json!({"points": many})),
        &["100001", "100000"],
    );
    let huge = json!({"query": [1, 1], "limit": 1_000_000_000_000_000_000_u64});
    assert_eq!(
        server.ok("POST", &format!("{POINTS}/query"), &huge)["points"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_untouched(&server);
}

#[test]
fn filters_nested_too_deep() {
    let server = started();
    for (depth, message) in [(1000, "128 brackets deep"), (63, "24 deep")] {
        let filter = format!("{}{{}}{}", "{\"must\":".repeat(depth), "}".repeat(depth));
        let body = format!("{{\"filter\": {filter}}}");
        for path in ["count", "scroll", "query", "delete"] {
            let reply = server.send("POST", &format!("{POINTS}/{path}"), &[], body.as_bytes());
            assert_eq!(reply.status, 400, "{path} {depth}");
            assert_contains(&error_of(&reply.json()), &[message]);
        }
    }
    assert_untouched(&server);
}

#[test]
fn unknown_collections() {
    let server = started();
    for (method, path) in [
        ("PUT", "/collections/b/points"),
        ("POST", "/collections/b/points/query"),
        ("POST", "/collections/b/points/delete"),
        ("POST", "/collections/b/points/scroll"),
        ("POST", "/collections/b/documents"),
        ("POST", "/collections/b/images"),
        ("POST", "/collections/b/search"),
        ("GET", "/collections/b/search?text=a"),
        ("GET", "/collections/b/points/1/media"),
    ] {
        let body = match path {
            "/collections/b/points" => json!({"points": [{"id": 1, "vector": [1]}]}),
            "/collections/b/points/delete" => json!({"points": [1]}),
            _ => json!({"text": "a"}),
        };
        let body = if method == "GET" { Value::Null } else { body };
        let body = if path.ends_with("query") || path.ends_with("scroll") {
            json!({})
        } else {
            body
        };
        assert_contains(
            &server.refused(404, method, path, &body),
            &["Collection", "doesn't exist"],
        );
    }
}

#[test]
fn pictures_that_are_none() {
    let server = started();
    server.create_multimodal("m");
    let check = |bytes: &[u8], parts: &[&str]| {
        let reply = server.send(
            "POST",
            "/collections/m/images",
            &[("content-type", "image/jpeg")],
            bytes,
        );
        assert_eq!(reply.status, 422, "{}", reply.json());
        assert_contains(&error_of(&reply.json()), parts);
        let point = json!({"points": [{"id": 1, "vector": {"image": {"image": base64(bytes)}}}]});
        let error = server.refused(422, "PUT", "/collections/m/points", &point);
        assert_contains(&error, &["item 1 of 1 (id 1)", "vector \"image\""]);
        assert_contains(&error, parts);
        let reply = server.send(
            "POST",
            "/collections/m/search",
            &[("content-type", "image/jpeg")],
            bytes,
        );
        assert_eq!(reply.status, 422);
    };
    check(&truncated_jpeg(), &["JPEG", "cut off"]);
    check(&png_that_claims(60_000, 60_000), &["60000 x 60000"]);
    check(
        b"this is a text file named cat.jpg\n",
        &["not a picture", "text"],
    );
    let bitmap = bmp(32, 32, RED);
    check(&bitmap[..bitmap.len() / 2], &["BMP"]);
    assert_eq!(
        server.ok("POST", "/collections/m/points/count", &json!({}))["count"],
        0
    );
}

#[test]
fn a_client_that_goes_away_leaves_nothing_half_written() {
    let server = started();
    let points: Vec<Value> = (100..2100)
        .map(|id| json!({"id": id, "vector": [id, 1]}))
        .collect();
    let body = json!({"points": points}).to_string();
    for share in [2, 3, 10] {
        let mut stream = TcpStream::connect(server.addr).unwrap();
        let head = format!(
            "PUT {POINTS} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
            .write_all(&body.as_bytes()[..body.len() / share])
            .unwrap();
        drop(stream);
    }
    assert_untouched(&server);
    // Sent in full but never read: all of it or nothing.
    let mut stream = TcpStream::connect(server.addr).unwrap();
    let head = format!(
        "PUT {POINTS} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    drop(stream);
    for _ in 0..20 {
        let count = server.ok("POST", &format!("{POINTS}/count"), &json!({}))["count"]
            .as_u64()
            .unwrap();
        assert!(count == 1 || count == 2001, "{count}");
    }
}

#[test]
fn bytes_that_are_no_http() {
    let server = started();
    assert_contains(
        &server.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n"),
        &["400"],
    );
    assert_eq!(server.get("/healthz").status, 200);
}
