//! Texts and pictures where vectors may stand.

use serde_json::{Value, json};

use crate::harness::{Server, assert_contains, ids};
use crate::pictures::{BLUE, GREEN, RED, base64, bmp};

const POINTS: &str = "/collections/m/points";
const QUERY: &str = "/collections/m/points/query";

fn started() -> Server {
    let server = Server::start();
    server.create_multimodal("m");
    let texts = [
        "a red apple on a table",
        "the blue sea under the sky",
        "green grass in the park",
    ];
    let points: Vec<Value> = texts
        .iter()
        .zip([RED, BLUE, GREEN])
        .zip(1..)
        .map(|((text, color), id)| {
            json!({"id": id, "payload": {"n": id}, "vector": {
                "text": {"text": text, "model": "vecino/text"},
                "bm25": {"text": text, "model": "Qdrant/bm25"},
                "image": {"image": base64(&bmp(32, 32, color))},
            }})
        })
        .collect();
    assert_eq!(
        server.ok("PUT", POINTS, &json!({"points": points}))["status"],
        "completed"
    );
    server
}

fn first(server: &Server, body: &Value) -> Value {
    ids(&server.ok("POST", QUERY, body)["points"])[0].clone()
}

#[test]
fn documents_and_pictures_are_found() {
    let server = started();
    assert_eq!(
        first(
            &server,
            &json!({"query": {"text": "apple"}, "using": "bm25"})
        ),
        1
    );
    assert_eq!(
        first(
            &server,
            &json!({"query": {"nearest": {"text": "green grass in the park", "model": "vecino/text"}}, "using": "text"})
        ),
        3
    );
    let blue = base64(&bmp(40, 30, BLUE));
    assert_eq!(
        first(
            &server,
            &json!({"query": {"image": blue}, "using": "image"})
        ),
        2
    );
    let uri = format!("data:image/bmp;base64,{blue}");
    assert_eq!(
        first(
            &server,
            &json!({"query": {"nearest": {"image": uri, "model": "vecino/image"}}, "using": "image"})
        ),
        2
    );
    assert_eq!(
        first(
            &server,
            &json!({"query": {"object": "red apple"}, "using": "text"})
        ),
        1
    );
    let body = json!({
        "prefetch": [{"query": {"text": "grass"}, "using": "bm25"}, {"query": {"text": "grass"}, "using": "text", "limit": 3}],
        "query": {"fusion": "rrf"}, "limit": 2,
    });
    assert_eq!(first(&server, &body), 3);
    let recommend = json!({"query": {"recommend": {"positive": [{"text": "sea"}, 2]}}, "using": "text", "limit": 3});
    assert_eq!(
        server.ok("POST", QUERY, &recommend)["points"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let batch = json!({"searches": [{"query": {"text": "apple"}, "using": "bm25"}, {"query": {"text": "sea"}, "using": "bm25"}]});
    let found = server.ok("POST", &format!("{QUERY}/batch"), &batch);
    assert_eq!(
        (&ids(&found[0]["points"])[0], &ids(&found[1]["points"])[0]),
        (&json!(1), &json!(2))
    );
    let legacy = json!({"vector": {"name": "bm25", "vector": {"text": "sea"}}, "limit": 1});
    assert_eq!(
        ids(&server.ok("POST", &format!("{POINTS}/search"), &legacy)),
        [json!(2)]
    );
}

#[test]
fn columns_of_media() {
    let server = Server::start();
    server.create_multimodal("m");
    let batch = json!({"batch": {"ids": [1, 2], "vectors": {"text": [{"text": "sun"}, {"text": "moon"}], "bm25": [{"text": "sun"}, {"text": "moon"}]}}});
    server.ok("PUT", POINTS, &batch);
    assert_eq!(
        first(
            &server,
            &json!({"query": {"text": "moon"}, "using": "bm25"})
        ),
        2
    );
}

#[test]
fn the_source_is_kept_unless_told_otherwise() {
    let server = started();
    let text = server.get(&format!("{POINTS}/1/media?kind=text"));
    assert_eq!(text.bytes, b"a red apple on a table");
    assert_eq!(
        server.get(&format!("{POINTS}/2/media")).bytes,
        bmp(32, 32, BLUE)
    );
    server.ok(
        "PUT",
        "/collections/n",
        &json!({"embedders": "default", "media": {"keep": false}}),
    );
    server.ok(
        "PUT",
        "/collections/n/points",
        &json!({"points": [{"id": 1, "vector": {"text": {"text": "a"}}}]}),
    );
    assert_eq!(server.get("/collections/n/points/1/media").status, 404);
}

#[test]
fn another_model_is_refused_naming_both() {
    let server = started();
    let body = json!({"query": {"text": "a", "model": "sentence-transformers/all-minilm-l6-v2"}, "using": "text"});
    assert_contains(
        &server.refused(422, "POST", QUERY, &body),
        &["vecino/text", "all-minilm"],
    );
    let body =
        json!({"points": [{"id": 9, "vector": {"text": {"text": "a", "model": "vecino/bm25"}}}]});
    let error = server.refused(422, "PUT", POINTS, &body);
    assert_contains(
        &error,
        &["item 1 of 1 (id 9)", "vecino/text", "vecino/bm25"],
    );
    let body = json!({"points": [{"id": 9, "vector": {"bm25": {"text": "a", "options": {"language": "german"}}}}]});
    assert_contains(
        &server.refused(422, "PUT", POINTS, &body),
        &["options", "german"],
    );
    let body = json!({"points": [{"id": 9, "vector": {"image": {"text": "a"}}}]});
    assert_contains(
        &server.refused(422, "PUT", POINTS, &body),
        &["takes no text"],
    );
}

#[test]
fn a_vector_without_embedder_takes_a_named_model_and_remembers_it() {
    let server = Server::start();
    let body = json!({"vectors": {"t": {"size": 256, "distance": "Cosine"}, "four": {"size": 4, "distance": "Cosine"}}, "sparse_vectors": {"s": {}}});
    server.ok("PUT", "/collections/m", &body);
    let point = |vector: Value| json!({"points": [{"id": 1, "vector": vector}]});
    let error = server.refused(422, "PUT", POINTS, &point(json!({"t": {"text": "a"}})));
    assert_contains(&error, &["has no embedder", "vecino/text"]);
    let error = server.refused(
        422,
        "PUT",
        POINTS,
        &point(json!({"t": {"text": "a", "model": "clip"}})),
    );
    assert_contains(&error, &["\"clip\"", "vecino/text"]);
    let error = server.refused(
        400,
        "PUT",
        POINTS,
        &point(json!({"four": {"text": "a", "model": "vecino/text"}})),
    );
    assert_contains(&error, &["dim 4", "dim 256"]);
    let error = server.refused(
        400,
        "PUT",
        POINTS,
        &point(json!({"t": {"text": "a", "model": "vecino/bm25"}})),
    );
    assert_contains(&error, &["dense", "sparse"]);
    let error = server.refused(
        400,
        "PUT",
        POINTS,
        &point(json!({"text": "a", "model": "vecino/text"})),
    );
    assert_contains(&error, &["no unnamed vector", "\"t\""]);
    assert_eq!(
        server.ok("GET", "/collections/m", &Value::Null)["vecino"]["embedders"],
        json!({})
    );
    let options = json!({"language": "german"});
    let vector = json!({"t": {"text": "die Sonne", "model": "vecino/text"}, "s": {"text": "die Sonne", "model": "qdrant/bm25", "options": options}});
    server.ok("PUT", POINTS, &point(vector));
    let embedders = server.ok("GET", "/collections/m", &Value::Null)["vecino"]["embedders"].clone();
    assert_eq!(
        (&embedders["t"]["model"], &embedders["s"]["model"]),
        (&json!("vecino/text"), &json!("vecino/bm25"))
    );
    assert_eq!(embedders["s"]["options"], options);
    assert_eq!(
        first(&server, &json!({"query": {"text": "Sonnen"}, "using": "s"})),
        1
    );
}

#[test]
fn bad_media_name_their_item() {
    let server = started();
    let mut points: Vec<Value> = (10..30)
        .map(|id| json!({"id": id, "vector": {"text": {"text": format!("text {id}")}}}))
        .collect();
    points[16]["vector"] = json!({"text": {"text": ""}});
    let error = server.refused(422, "PUT", POINTS, &json!({"points": points}));
    assert_contains(&error, &["item 17 of 20 (id 26), vector \"text\"", "empty"]);
    assert_eq!(
        server.ok("POST", &format!("{POINTS}/count"), &json!({}))["count"],
        3
    );
    for (image, part) in [
        ("/home/me/cat.jpg", "reads no local files"),
        ("https://example.org/cat.jpg", "fetches no URLs"),
        ("###", "base64"),
        ("aGVsbG8=", "not a picture"),
    ] {
        let error = server.refused(
            422,
            "POST",
            QUERY,
            &json!({"query": {"image": image}, "using": "image"}),
        );
        assert_contains(&error, &[part]);
    }
}
