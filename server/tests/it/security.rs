//! Keys, foreign pages, and what the page itself may do.

use serde_json::Value;

use crate::harness::{Server, assert_contains, error_of};

fn with_key() -> Server {
    // Readiness is asked without a key.
    Server::start_with(tempfile::tempdir().unwrap(), |options| {
        options.api_key = Some("secret".into())
    })
}

#[test]
fn a_key_is_asked_for() {
    let server = with_key();
    for path in ["/", "/healthz", "/livez", "/readyz", "/ui"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    for path in [
        "/collections",
        "/metrics",
        "/cluster",
        "/nowhere",
        "/collections/a/points/1/media",
    ] {
        let reply = server.get(path);
        assert_eq!(reply.status, 401, "{path}");
        assert_contains(&error_of(&reply.json()), &["api-key", "Bearer"]);
    }
    assert_eq!(
        server
            .send("GET", "/collections", &[("api-key", "secret")], b"")
            .status,
        200
    );
    assert_eq!(
        server
            .send(
                "GET",
                "/collections",
                &[("authorization", "Bearer secret")],
                b""
            )
            .status,
        200
    );
    assert_eq!(
        server
            .send("GET", "/collections", &[("api-key", "secreT")], b"")
            .status,
        401
    );
    assert_eq!(
        server
            .send("PUT", "/collections/a", &[("api-key", "")], b"")
            .status,
        401
    );
}

#[test]
fn listening_wider_makes_a_key() {
    let server = Server::start_with(tempfile::tempdir().unwrap(), |options| {
        options.listen.set_ip([0, 0, 0, 0].into());
    });
    let key = server.running().api_key.clone().unwrap();
    assert!(server.running().api_key_generated && key.len() >= 32);
    assert_eq!(server.get("/collections").status, 401);
    assert_eq!(
        server
            .send("GET", "/collections", &[("api-key", &key)], b"")
            .status,
        200
    );
}

#[test]
fn foreign_pages_are_kept_out() {
    let server = Server::start();
    let own = format!("http://{}", server.addr);
    let call =
        |headers: &[(&str, &str)]| server.send("PUT", "/collections/a", headers, b"{}").status;
    assert_eq!(
        call(&[
            ("origin", "https://evil.example"),
            ("content-type", "text/plain")
        ]),
        403
    );
    assert_eq!(call(&[("origin", "null")]), 403);
    assert_eq!(call(&[("host", "evil.example")]), 403);
    assert_eq!(
        call(&[("host", "evil.example"), ("origin", "http://evil.example")]),
        403
    );
    assert_eq!(call(&[("origin", &own)]), 200);
    let reply = server.get("/collections");
    assert_eq!(reply.header("access-control-allow-origin"), "");
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let server = Server::start();
    for (path, kind) in [
        ("/ui", "text/html"),
        ("/ui/app.js", "text/javascript"),
        ("/ui/style.css", "text/css"),
    ] {
        let reply = server.get(path);
        assert_eq!(reply.status, 200);
        assert!(reply.header("content-type").starts_with(kind));
        assert_contains(
            reply.header("content-security-policy"),
            &["default-src 'none'", "script-src 'self'"],
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        let text = String::from_utf8(reply.bytes).unwrap();
        for word in [
            "http://",
            "https://",
            "innerHTML",
            "onclick=",
            "style=",
            "eval(",
        ] {
            assert!(!text.contains(word), "{path}: {word}");
        }
    }
}

/// A body that nobody reads closed the connection before its client had read the answer.
#[test]
fn a_refusal_reaches_clients_that_write_first() {
    let server = with_key();
    let body = vec![b' '; 8 << 20];
    for (method, path, key, status) in [
        ("PUT", "/collections/a/points", "wrong", 401),
        ("POST", "/nowhere", "secret", 404),
        ("PATCH", "/collections", "secret", 405),
        ("POST", "/collections/a/facet", "secret", 501),
    ] {
        assert_eq!(
            server.send(method, path, &[("api-key", key)], &body).status,
            status,
            "{path}"
        );
    }
}

#[test]
fn errors_are_in_the_envelope() {
    let server = Server::start();
    let reply = server.send("GET", "/collections/%FF", &[], b"");
    assert_eq!(reply.status, 400);
    let answer: Value = reply.json();
    assert_contains(&error_of(&answer), &["path"]);
    assert!(answer["time"].is_number());
}
