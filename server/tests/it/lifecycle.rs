//! Starting, stopping, coming back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::ServeOptions;

use crate::harness::{Server, ids};
use crate::pictures::{RED, bmp};

#[test]
fn a_restart_brings_everything_back() {
    let server = Server::start();
    server.create_multimodal("m");
    server.ok(
        "POST",
        "/collections/m/documents",
        &json!([{"id": 1, "text": "a green apple"}, {"id": "x", "text": "the sea"}]),
    );
    let headers = [("content-type", "image/bmp")];
    assert_eq!(
        server
            .send(
                "POST",
                "/collections/m/images?id=3",
                &headers,
                &bmp(20, 20, RED)
            )
            .status,
        200
    );
    server.ok(
        "POST",
        "/collections/m/points/delete",
        &json!({"points": ["x"]}),
    );
    server.ok(
        "PUT",
        "/collections/m/index",
        &json!({"field_name": "a", "field_schema": "keyword"}),
    );
    let info = |server: &Server| {
        let info = server.ok("GET", "/collections/m", &Value::Null);
        (
            info["config"].clone(),
            info["payload_schema"].clone(),
            info["points_count"].clone(),
            info["vecino"]["embedders"].clone(),
        )
    };
    let before = info(&server);
    let server = Server::start_with(server.stop(), |_| {});
    assert_eq!(info(&server), before);
    let found = server.ok(
        "GET",
        "/collections/m/search?text=green+apple",
        &Value::Null,
    );
    assert_eq!(ids(&found["points"])[0], 1);
    assert_eq!(
        server.get("/collections/m/points/3/media").bytes,
        bmp(20, 20, RED)
    );
}

#[test]
fn an_empty_folder_answers_soon() {
    let started = Instant::now();
    let server = Server::start();
    assert_eq!(server.get("/readyz").status, 200);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_taken_port_and_a_taken_folder_are_told() {
    let server = Server::start();
    let runtime = server::runtime().unwrap();
    let mut options = ServeOptions::new(tempfile::tempdir().unwrap().path());
    options.listen = server.addr;
    let error = runtime.block_on(server::spawn(options)).err().unwrap();
    assert!(format!("{error:#}").contains("another server"), "{error:#}");
    let mut options = ServeOptions::new(server.dir.path().join("data"));
    options.listen.set_port(0);
    let ended = runtime.block_on(async { server::spawn(options).await.unwrap().ended().await });
    let error = format!("{:#}", ended.unwrap_err());
    assert!(error.contains("open the data"), "{error}");
}

#[test]
fn stopping_lets_open_requests_finish() {
    let server = Server::start();
    server.create("a", 2, "Dot");
    let points: Vec<Value> = (0..5000)
        .map(|id| json!({"id": id, "vector": [id, 1]}))
        .collect();
    server.ok("PUT", "/collections/a/points", &json!({"points": points}));
    let started = Instant::now();
    let dir = server.stop();
    // An idle connection of the client above does not hold it up.
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    let server = Server::start_with(dir, |_| {});
    assert_eq!(
        server.ok("POST", "/collections/a/points/count", &json!({}))["count"],
        5000
    );
}
