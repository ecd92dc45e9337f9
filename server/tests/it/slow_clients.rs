//! Clients that dribble or say nothing: they hold no connection for ever.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

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
