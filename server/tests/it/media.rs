//! Media and thumbnails out.

use serde_json::{Value, json};

use crate::harness::{Server, assert_contains};
use crate::pictures::{RED, bmp};

fn started() -> Server {
    let server = Server::start();
    server.create_multimodal("m");
    let headers = [("content-type", "text/html")];
    let reply = server.send(
        "POST",
        "/collections/m/images?id=a%2Fb&text=%3Cscript%3E",
        &headers,
        &bmp(400, 200, RED),
    );
    assert_eq!(reply.status, 200, "{}", reply.json());
    server
}

const MEDIA: &str = "/collections/m/points/a%2Fb/media";
const THUMBNAIL: &str = "/collections/m/points/a%2Fb/thumbnail";

#[test]
fn bytes_come_back_with_a_safe_type() {
    let server = started();
    let reply = server.get(MEDIA);
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, "image/bmp")
    );
    assert_eq!(reply.bytes, bmp(400, 200, RED));
    let text = server.get(&format!("{MEDIA}?kind=text"));
    assert_eq!(
        (text.header("content-type"), text.bytes.as_slice()),
        ("text/plain; charset=utf-8", &b"<script>"[..])
    );
    for reply in [reply, text] {
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_contains(reply.header("content-security-policy"), &["sandbox"]);
    }
    assert_contains(
        &server.refused(404, "GET", "/collections/m/points/9/media", &Value::Null),
        &["9"],
    );
    assert_contains(
        &server.refused(400, "GET", &format!("{MEDIA}?kind=video"), &Value::Null),
        &["text"],
    );
}

#[test]
fn tags_and_ranges() {
    let server = started();
    let all = server.get(MEDIA);
    let tag = all.header("etag").to_owned();
    let again = server.send("GET", MEDIA, &[("if-none-match", &tag)], b"");
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    let part = server.send("GET", MEDIA, &[("range", "bytes=10-19")], b"");
    assert_eq!(
        (part.status, part.bytes.as_slice()),
        (206, &all.bytes[10..20])
    );
    assert_eq!(
        part.header("content-range"),
        format!("bytes 10-19/{}", all.bytes.len())
    );
    let end = server.send(
        "GET",
        MEDIA,
        &[("range", "bytes=-5"), ("if-range", &tag)],
        b"",
    );
    assert_eq!((end.status, end.bytes.len()), (206, 5));
    let stale = server.send(
        "GET",
        MEDIA,
        &[("range", "bytes=-5"), ("if-range", "\"old\"")],
        b"",
    );
    assert_eq!((stale.status, stale.bytes.len()), (200, all.bytes.len()));
    let outside = server.send("GET", MEDIA, &[("range", "bytes=99999999-")], b"");
    assert_eq!(
        (outside.status, outside.header("content-range")),
        (416, format!("bytes */{}", all.bytes.len()).as_str())
    );
}

#[test]
fn thumbnails_are_small_and_remembered() {
    let server = started();
    let first = server.get(THUMBNAIL);
    assert_eq!(
        (first.status, first.header("content-type")),
        (200, "image/jpeg")
    );
    assert!(first.bytes.starts_with(b"\xff\xd8\xff") && first.bytes.len() < 10_000);
    assert_eq!(server.get(THUMBNAIL).bytes, first.bytes);
    let smaller = server.get(&format!("{THUMBNAIL}?size=32"));
    assert!(smaller.bytes.len() < first.bytes.len());
    assert_ne!(smaller.header("etag"), first.header("etag"));
    let again = server.send(
        "GET",
        THUMBNAIL,
        &[("if-none-match", first.header("etag"))],
        b"",
    );
    assert_eq!(again.status, 304);
    assert_contains(
        &server.refused(
            400,
            "GET",
            &format!("{THUMBNAIL}?size=100000"),
            &Value::Null,
        ),
        &["16 to 1024"],
    );
    for (path, meant) in [
        (format!("{THUMBNAIL}?siez=32"), "expected `size`"),
        (format!("{MEDIA}?kidn=text"), "expected `kind`"),
    ] {
        let error = server.refused(400, "GET", &path, &Value::Null);
        assert_contains(&error, &["unknown field", meant]);
    }
    server.ok(
        "POST",
        "/collections/m/documents",
        &json!({"id": 1, "text": "words"}),
    );
    server.refused(
        404,
        "GET",
        "/collections/m/points/1/thumbnail",
        &Value::Null,
    );
}
