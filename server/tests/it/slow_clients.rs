//! Clients that dribble or say nothing: they hold no connection for ever.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Server, assert_contains};

/// What the server grants in these tests.
const GRANTED: Duration = Duration::from_millis(200);
/// What a test waits before it says that the connection is held.
const PATIENCE: Duration = Duration::from_secs(10);

fn impatient() -> Server {
    Server::start_with(tempfile::tempdir().unwrap(), |options| {
        options.limits.head_time_max = GRANTED;
        options.limits.body_time_max = GRANTED;
    })
}

/// All that comes back until the server closes the connection, which the client leaves open.
#[track_caller]
fn answer(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let closed = stream.read_to_end(&mut answer);
    assert!(closed.is_ok(), "the connection is held: {closed:?}");
    String::from_utf8(answer).unwrap()
}

/// The head of a request could come one byte an hour.
#[test]
fn a_head_that_does_not_end_holds_no_connection() {
    let server = impatient();
    assert_eq!(answer(&server, b""), "");
    assert_eq!(answer(&server, b"GET / HTTP/1.1\r\nhost: local"), "");
}

#[test]
fn a_connection_without_a_next_request_is_closed() {
    let server = impatient();
    let answer = answer(&server, b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_contains(&answer, &["200 OK", "alive"]);
}

/// An answer that nobody reads held its connection, and there could be any number of them.
#[test]
fn an_answer_that_is_not_read_holds_no_connection() {
    let server = Server::start_with(tempfile::tempdir().unwrap(), |options| {
        options.limits.write_time_max = GRANTED;
        // One is held by the client of the harness.
        options.limits.connections = 2;
    });
    server.create("a", 2, "Dot");
    // More than the buffers of both sockets hold.
    let words = "x".repeat(1 << 20);
    let points: Vec<_> = (0..24)
        .map(|id| json!({"id": id, "vector": [1, 2], "payload": {"words": words}}))
        .collect();
    server.ok("PUT", "/collections/a/points", &json!({"points": points}));
    let mut deaf = TcpStream::connect(server.addr).unwrap();
    let body = "{\"limit\": 100}";
    write!(
        deaf,
        "POST /collections/a/points/scroll HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    // It is taken only when the other has been cut.
    let answer = answer(&server, b"GET /livez HTTP/1.0\r\n\r\n");
    assert_contains(&answer, &["200 OK"]);
}

#[test]
fn further_connections_wait_until_one_ends() {
    let server = Server::start_with(tempfile::tempdir().unwrap(), |options| {
        options.limits.connections = 2;
    });
    let first = TcpStream::connect(server.addr).unwrap();
    let mut second = TcpStream::connect(server.addr).unwrap();
    second.write_all(b"GET /livez HTTP/1.0\r\n\r\n").unwrap();
    second.set_read_timeout(Some(GRANTED)).unwrap();
    let mut answer = Vec::new();
    assert!(second.read_to_end(&mut answer).is_err() && answer.is_empty());
    drop(first);
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    second.read_to_end(&mut answer).unwrap();
    assert_contains(&String::from_utf8(answer).unwrap(), &["200 OK"]);
}

/// So could its body.
#[test]
fn a_body_that_does_not_end_is_refused() {
    let server = impatient();
    server.create("a", 2, "Dot");
    for body in [
        &b"content-length: 10\r\n\r\n{"[..],
        b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    ] {
        let head = b"PUT /collections/a/points HTTP/1.1\r\nhost: localhost\r\n";
        let answer = answer(&server, &[&head[..], body].concat());
        assert_contains(&answer, &["408", "the body took longer than"]);
    }
}
