//! Documents, pictures and searches of our own.

use serde_json::{Value, json};

use crate::harness::{Server, assert_contains, error_of, ids};
use crate::pictures::{BLUE, GREEN, RED, base64, bmp};

const DOCUMENTS: &str = "/collections/m/documents";
const IMAGES: &str = "/collections/m/images";
const SEARCH: &str = "/collections/m/search";

fn started() -> Server {
    let server = Server::start();
    server.create_multimodal("m");
    server
}

fn count(server: &Server) -> u64 {
    server.ok("POST", "/collections/m/points/count", &json!({}))["count"]
        .as_u64()
        .unwrap()
}

#[track_caller]
fn upload(server: &Server, path: &str, content_type: &str, body: &[u8]) -> Value {
    let reply = server.send("POST", path, &[("content-type", content_type)], body);
    assert_eq!(reply.status, 200, "{}", reply.json());
    reply.json()["result"].clone()
}

#[test]
fn documents_in_all_forms() {
    let server = started();
    let one = server.ok(
        "POST",
        DOCUMENTS,
        &json!({"id": 7, "text": "a green apple", "payload": {"kind": "fruit"}}),
    );
    assert_eq!((&one["ok"], &one["failed"]), (&json!(1), &json!(0)));
    assert_eq!(one["items"], json!([{"index": 0, "id": 7, "status": "ok"}]));
    // A slip must not be a condition less.
    let slip = server.refused(
        400,
        "POST",
        &format!("{DOCUMENTS}?if_verson=3"),
        &json!({"id": 7, "text": "a red apple"}),
    );
    assert_contains(&slip, &["unknown field `if_verson`", "`if_version`"]);
    let list = server.ok(
        "POST",
        DOCUMENTS,
        &json!([{"text": "the blue sea"}, {"id": "s", "text": "a fast red car"}]),
    );
    assert_eq!(list["ok"], 2);
    let lines = b"{\"text\": \"snow in winter\"}\n{\"text\": \"rain in autumn\"}\n";
    assert_eq!(
        upload(&server, DOCUMENTS, "application/x-ndjson", lines)["ok"],
        2
    );
    assert_eq!(
        upload(
            &server,
            DOCUMENTS,
            "application/x-www-form-urlencoded",
            lines
        )["ok"],
        2
    );
    let plain = upload(
        &server,
        &format!("{DOCUMENTS}?id=t1"),
        "text/plain",
        "fünf Katzen".as_bytes(),
    );
    assert_eq!(plain["items"][0]["id"], "t1");
    assert_eq!(count(&server), 6);
    let records = server.ok(
        "POST",
        "/collections/m/points",
        &json!({"ids": [7], "with_vector": true}),
    );
    assert_eq!(records[0]["payload"], json!({"kind": "fruit"}));
    let vectors = records[0]["vector"].as_object().unwrap();
    assert_eq!(vectors.keys().collect::<Vec<_>>(), ["bm25", "text"]);
}

#[test]
fn equal_content_is_one_point() {
    let server = started();
    for _ in 0..2 {
        server.ok(
            "POST",
            DOCUMENTS,
            &json!([{"text": "one"}, {"text": "two"}]),
        );
        upload(&server, IMAGES, "image/bmp", &bmp(16, 16, RED));
    }
    assert_eq!(count(&server), 3);
}

#[test]
fn a_bad_item_does_not_fail_the_others() {
    let server = started();
    let items = json!([{"text": "one"}, {"text": ""}, {"txt": "x"}, {"id": -1, "text": "a"}, {"text": "five"}]);
    let outcome = server.ok("POST", DOCUMENTS, &items);
    assert_eq!((&outcome["ok"], &outcome["failed"]), (&json!(2), &json!(3)));
    let errors: Vec<&str> = outcome["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["error"].as_str())
        .collect();
    // In words as an upsert's: counted from 1.
    assert_eq!(outcome["items"][1]["index"], 1);
    assert_contains(errors[0], &["item 2 of 5", "empty"]);
    assert_contains(errors[1], &["unknown field `txt`"]);
    assert_contains(errors[2], &["negative"]);
    assert_eq!(outcome["items"][4]["status"], "ok");
    assert_eq!(count(&server), 2);
    let lines = format!(
        "{{\"image\": \"{}\"}}\n{{\"image\": \"aGVsbG8=\"}}\n{{\"im\n",
        base64(&bmp(16, 16, GREEN))
    );
    let outcome = upload(&server, IMAGES, "application/x-ndjson", lines.as_bytes());
    assert_eq!((&outcome["ok"], &outcome["failed"]), (&json!(1), &json!(2)));
    assert_contains(
        outcome["items"][1]["error"].as_str().unwrap(),
        &["not a picture"],
    );
    assert_contains(outcome["items"][2]["error"].as_str().unwrap(), &["line 3"]);
    let (status, answer) = server.call("POST", DOCUMENTS, &json!([{"text": ""}, {}]));
    assert_eq!(status, 422);
    assert_contains(&error_of(&answer), &["none of 2"]);
    assert_eq!(answer["result"]["items"].as_array().unwrap().len(), 2);
    assert_contains(
        &server.refused(400, "POST", DOCUMENTS, &json!([])),
        &["empty"],
    );
    let reply = server.send(
        "POST",
        DOCUMENTS,
        &[("content-type", "application/pdf")],
        b"%PDF-1.4",
    );
    assert_eq!(reply.status, 400);
    assert_contains(&error_of(&reply.json()), &["text/plain"]);
}

fn form(parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file_name, bytes) in parts {
        let file = file_name
            .map(|file| format!("; filename=\"{file}\""))
            .unwrap_or_default();
        body.extend(
            format!("--XX\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n")
                .as_bytes(),
        );
        body.extend(*bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    body
}

const FORM: &str = "multipart/form-data; boundary=XX";

#[test]
fn pictures_in_all_forms() {
    let server = started();
    let red = bmp(24, 24, RED);
    let raw = upload(
        &server,
        &format!("{IMAGES}?id=1&text=a%20red%20square&payload=%7B%22a%22%3A1%7D"),
        "image/bmp",
        &red,
    );
    assert_eq!(raw["items"], json!([{"index": 0, "id": 1, "status": "ok"}]));
    let unnamed = upload(
        &server,
        IMAGES,
        "application/octet-stream",
        &bmp(20, 20, GREEN),
    );
    assert_eq!(unnamed["ok"], 1);
    let two = form(&[
        ("f", Some("blue_wall-07.bmp"), &bmp(24, 24, BLUE)),
        ("f", Some("IMG_1.bmp"), &bmp(20, 30, BLUE)),
        ("payload", None, b"{\"set\": 2}"),
    ]);
    let outcome = upload(&server, IMAGES, FORM, &two);
    assert_eq!(outcome["ok"], 2);
    let texts = form(&[
        ("a", Some("x.bmp"), &red),
        ("b", Some("y.bmp"), &red),
        ("id", None, b"10"),
        ("id", None, b"11"),
        ("text", None, b"one"),
        ("text", None, b"two"),
    ]);
    let ids_given = upload(&server, IMAGES, FORM, &texts);
    assert_eq!(ids_given["items"][1]["id"], 11);
    let json_list = server.ok("POST", IMAGES, &json!([{"image": format!("data:image/bmp;base64,{}", base64(&red)), "caption": "three", "file_name": "z.bmp"}]));
    assert_eq!(json_list["ok"], 1);
    assert_eq!(count(&server), 7);
    let records = server.ok(
        "POST",
        "/collections/m/points",
        &json!({"ids": [1, 11], "with_vector": true}),
    );
    assert_eq!(records[0]["payload"], json!({"a": 1}));
    assert_eq!(records[0]["vector"].as_object().unwrap().len(), 3);
    assert_eq!(records[1]["payload"], json!({"file_name": "y.bmp"}));
    // Words come from the file's name where no text is given.
    let found = server.ok(
        "GET",
        &format!("{SEARCH}?text=blue+wall&mode=sparse"),
        &Value::Null,
    );
    assert_eq!(
        found["points"][0]["payload"],
        json!({"set": 2, "file_name": "blue_wall-07.bmp"})
    );
    assert_eq!(found["points"][0]["text"], "blue wall");
    let bad = form(&[
        ("f", Some("a.bmp"), &red),
        ("f", Some("b.bmp"), &red),
        ("f", Some("c.bmp"), &red),
        ("text", None, b"1"),
        ("text", None, b"2"),
    ]);
    let reply = server.send("POST", IMAGES, &[("content-type", FORM)], &bad);
    assert_eq!(reply.status, 400);
    assert_contains(&error_of(&reply.json()), &["2 fields `text` for 3 files"]);
    let cut = server.send(
        "POST",
        IMAGES,
        &[("content-type", FORM)],
        &two[..two.len() / 2],
    );
    assert_eq!(cut.status, 400);
    let huge = form(&[("f", Some("a.bmp"), &vec![0; 33 << 20])]);
    let reply = server.send("POST", IMAGES, &[("content-type", FORM)], &huge);
    assert_eq!(reply.status, 413, "{}", reply.json());
    assert_eq!(count(&server), 7);
}

#[test]
fn searching_by_words() {
    let server = started();
    let texts = [
        "a green apple",
        "a red apple pie",
        "the wide blue sea",
        "stock markets fell",
    ];
    let items: Vec<Value> = texts
        .iter()
        .zip(1..)
        .map(|(text, id)| json!({"id": id, "text": text, "payload": {"n": id}}))
        .collect();
    server.ok("POST", DOCUMENTS, &json!(items));
    for mode in ["dense", "sparse", "hybrid"] {
        let found = server.ok(
            "GET",
            &format!("{SEARCH}?text=green+apple&k=2&mode={mode}"),
            &Value::Null,
        );
        assert_eq!(found["points"][0]["id"], 1, "{mode}");
        assert!(found["points"].as_array().unwrap().len() <= 2);
        assert_eq!(found["points"][0]["text"], "a green apple");
        assert_eq!(found["points"][0]["media"], "/collections/m/points/1/media");
        assert!(found["points"][0].get("thumbnail").is_none());
        assert!(found.get("explain").is_none());
    }
    let found = server.ok("POST", SEARCH, &json!({"text": "apple", "explain": true}));
    assert_eq!(found["searched"], json!(["text", "bm25"]));
    let parts = found["points"][0]["score_parts"].as_array().unwrap();
    let ways: Vec<&str> = parts
        .iter()
        .map(|part| part["using"].as_str().unwrap())
        .collect();
    assert_eq!(ways, ["text", "bm25"]);
    assert!(found["explain"]["segments"].is_array());
    let filter = json!({"must": [{"key": "n", "match": {"value": 2}}]});
    let found = server.ok(
        "POST",
        SEARCH,
        &json!({"text": "apple", "filter": filter, "with_payload": false}),
    );
    assert_eq!(ids(&found["points"]), [json!(2)]);
    assert!(found["points"][0].get("payload").is_none());
    let encoded =
        "%7B%22must%22%3A%5B%7B%22key%22%3A%22n%22%2C%22match%22%3A%7B%22value%22%3A2%7D%7D%5D%7D";
    let found = server.ok(
        "GET",
        &format!("{SEARCH}?text=apple&filter={encoded}&explain"),
        &Value::Null,
    );
    assert_eq!(ids(&found["points"]), [json!(2)]);
    assert!(found["explain"].is_object());
    // Beside a JSON body, the query string was ignored.
    let found = server.ok(
        "POST",
        &format!("{SEARCH}?text=pie&k=1&filter={encoded}&explain"),
        &json!({"text": "apple", "with_payload": false}),
    );
    assert_eq!(ids(&found["points"]), [json!(2)]);
    assert!(found["explain"].is_object());
    let found = server.ok(
        "POST",
        &format!("{SEARCH}?k=1&mode=sparse"),
        &json!({"text": "apple", "k": 2}),
    );
    assert_eq!(found["points"].as_array().unwrap().len(), 2);
    assert_eq!(found["searched"], json!(["bm25"]));
    let sparse = server.ok(
        "GET",
        &format!("{SEARCH}?text=sea&mode=sparse"),
        &Value::Null,
    );
    assert_eq!(sparse["points"][0]["score_parts"][0]["using"], "bm25");
    let like = server.ok("POST", SEARCH, &json!({"like": 1, "k": 1}));
    assert_eq!(ids(&like["points"]), [json!(2)]);
    let huge = server.ok(
        "POST",
        SEARCH,
        &json!({"text": "apple", "k": 1_000_000_000_000_000_000_u64}),
    );
    assert!(huge["points"].as_array().unwrap().len() >= 2);
}

#[test]
fn searching_by_pictures() {
    let server = started();
    for (id, color) in [(1, RED), (2, GREEN), (3, BLUE)] {
        upload(
            &server,
            &format!("{IMAGES}?id={id}"),
            "image/bmp",
            &bmp(32, 32, color),
        );
    }
    server.ok("POST", DOCUMENTS, &json!({"id": 4, "text": "only words"}));
    let query = bmp(48, 40, GREEN);
    let found = upload(&server, &format!("{SEARCH}?k=2"), "image/bmp", &query);
    assert_eq!(found["points"][0]["id"], 2);
    assert_eq!(found["points"].as_array().unwrap().len(), 2);
    assert_eq!(found["searched"], json!(["image"]));
    assert_eq!(
        found["points"][0]["thumbnail"],
        "/collections/m/points/2/thumbnail"
    );
    assert_eq!(
        upload(&server, SEARCH, "application/octet-stream", &query)["points"][0]["id"],
        2
    );
    let found = server.ok("POST", SEARCH, &json!({"image": base64(&query), "k": 1}));
    assert_eq!(ids(&found["points"]), [json!(2)]);
    let found = server.ok("GET", &format!("{SEARCH}?like=2"), &Value::Null);
    assert!(!ids(&found["points"]).contains(&json!(2)));
    assert_eq!(found["searched"], json!(["image"]));
}

#[test]
fn what_is_wrong_is_said() {
    let server = started();
    server.create("plain", 2, "Dot");
    server.ok(
        "PUT",
        "/collections/plain/points",
        &json!({"points": [{"id": 1, "vector": [1, 2]}, {"id": 2, "vector": [1, 1]}]}),
    );
    let check = |status: u16, path: &str, body: Value, parts: &[&str]| {
        let method = if body.is_null() { "GET" } else { "POST" };
        assert_contains(&server.refused(status, method, path, &body), parts);
    };
    check(
        422,
        "/collections/plain/search?text=a",
        Value::Null,
        &["no embedder for text"],
    );
    check(
        422,
        "/collections/plain/documents",
        json!({"text": "a"}),
        &["no embedder for text"],
    );
    check(400, SEARCH, Value::Null, &["nothing to search for"]);
    check(
        400,
        SEARCH,
        json!({"texts": "a"}),
        &["unknown field `texts`"],
    );
    check(400, &format!("{SEARCH}?txt=a"), Value::Null, &["txt"]);
    check(
        400,
        &format!("{SEARCH}?text=a&mode=fast"),
        Value::Null,
        &["dense"],
    );
    check(
        400,
        &format!("{SEARCH}?text=a&filter=x"),
        Value::Null,
        &["JSON"],
    );
    check(422, &format!("{SEARCH}?text=a&k=0"), Value::Null, &["k: 0"]);
    check(422, &format!("{SEARCH}?text="), Value::Null, &["empty"]);
    check(
        404,
        &format!("{SEARCH}?like=77"),
        Value::Null,
        &["no point 77"],
    );
    let like = server.ok("GET", "/collections/plain/search?like=1", &Value::Null);
    assert_eq!(ids(&like["points"]), [json!(2)]);
}

/// Ends and versions of documents, in every form of body; each item has its own answer.
#[test]
fn documents_and_pictures_end_and_ask_for_versions() {
    let server = Server::start();
    server.create_multimodal("m");
    let point = |id: &str| server.ok("GET", &format!("/collections/m/points/{id}"), &Value::Null);
    let far = 4_102_444_800_000_u64;
    let items = json!([
        {"id": 1, "text": "one", "expires_at": far, "if_version": 0},
        {"id": 2, "text": "two", "if_version": 5},
        {"id": 3, "text": "three", "ttl": 0},
        {"id": 4, "text": "four", "ttl": 1, "expires_at": 1},
    ]);
    let answer = server.ok("POST", DOCUMENTS, &items);
    assert_eq!((&answer["ok"], &answer["failed"]), (&json!(2), &json!(2)));
    let error = |at: usize| {
        answer["items"][at]["error"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_contains(
        &error(1),
        &["item 2 (id 2)", "`if_version`", "is not there"],
    );
    assert_contains(&error(3), &["either `expires_at`"]);
    assert_eq!(point("1")["expires_at"], far);
    server.refused(404, "GET", "/collections/m/points/3", &Value::Null);
    let version = point("1")["version"].as_u64().unwrap();
    let again = json!({"id": 1, "text": "uno", "if_version": version});
    server.ok("POST", DOCUMENTS, &again);
    let told = server.refused(409, "POST", DOCUMENTS, &again);
    assert_contains(&told, &["`if_version`", "is at version"]);
    let headers = [("content-type", "text/plain")];
    let raw = server.send(
        "POST",
        &format!("{DOCUMENTS}?id=9&expires_at={far}"),
        &headers,
        b"nine",
    );
    assert_eq!(raw.status, 200);
    assert_eq!(point("9")["expires_at"], far);
}
