//! What went wrong, where, and how to mend it.

use std::path::Path;

use crate::harness::{Server, run_in};

#[test]
fn without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let rows = crate::harness::write(folder.path(), "rows.jsonl", "{\"text\": \"x\"}\n");
    let url = ["--url", "http://127.0.0.1:9"];
    for args in [
        vec!["load", rows.to_str().unwrap(), "-c", "x"],
        vec!["search", "x", "-c", "x"],
        vec!["sample"],
        vec!["bench", "x"],
    ] {
        let args = [args, url.to_vec()].concat();
        run_in(folder.path(), &args, b"", &[]).failed_with(&[
            "no server answers",
            "127.0.0.1:9",
            "vecino serve",
        ]);
        let json = run_in(folder.path(), &[args, vec!["--json"]].concat(), b"", &[]);
        assert_eq!(json.code, 1);
        assert!(
            json.json()["error"]["mend"]
                .as_str()
                .unwrap()
                .contains("vecino serve"),
            "{json:?}"
        );
    }
}

#[test]
fn what_is_not_there() {
    let server = Server::start();
    server.run(&["search", "x", "-c", "nothing"]).failed_with(&[
        "nothing",
        "doesn't exist",
        "mend",
    ]);
    server
        .run(&["load", "/no/such/path", "-c", "x"])
        .failed_with(&["/no/such/path", "no such file or folder", "check the path"]);
    server
        .run(&["search", "x", "-c", "x", "--url", "foo"])
        .failed_with(&["http://foo", "with its port"]);
    for (query, part) in [("[1,2", "closing ]"), ("[NaN,1,2]", "NaN")] {
        server.run(&["search", query, "-c", "x"]).failed_with(&[
            "the vector cannot be read",
            part,
            "--text",
        ]);
    }
    server
        .run(&["search", "apple.jpg", "-c", "x"])
        .failed_with(&["no such file", "--text"]);
    server
        .run(&["search", "x", "-c", "x", "--filter", "label=apple"])
        .failed_with(&["--filter", "not JSON", "must"]);
    server
        .run(&["bench", "no/such.npy"])
        .failed_with(&["no such file"]);
    let rows = server.file("rows.jsonl", "{\"text\": \"x\"}\n");
    server
        .run(&["load", rows.to_str().unwrap(), "-c", "x", "--metric", "dot"])
        .failed_with(&["--metric", "mend"]);
    server
        .run(&["load", rows.to_str().unwrap(), "-c", "a/b"])
        .failed_with(&["slash"]);
}

#[test]
fn wrong_usage_is_code_2() {
    let folder = Path::new(".");
    for args in [
        vec![],
        vec!["lod"],
        vec!["load"],
        vec!["serve", "--listen", "here"],
        vec!["bench", "--threads", "0"],
    ] {
        let ran = run_in(folder, &args, b"", &[]);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
    }
    let help = run_in(folder, &["--help"], b"", &[]);
    assert!(
        help.code == 0 && help.out.contains("Examples:") && help.out.contains("doctor"),
        "{help:?}"
    );
}

#[test]
fn a_server_with_a_key() {
    let server = Server::start_with(tempfile::tempdir().unwrap(), &["--api-key", "secret"]);
    server
        .run(&["search", "x", "-c", "x"])
        .failed_with(&["VECINO_API_KEY"]);
    let rows = server.file("rows.jsonl", "{\"text\": \"x\"}\n");
    assert_eq!(
        server.load(&rows, "x", &["--api-key", "secret"])["points_added"],
        1
    );
}

#[test]
fn a_port_or_a_folder_that_is_taken() {
    let server = Server::start();
    let port = server.url.trim_start_matches("http://").to_owned();
    server
        .run(&["serve", "--listen", &port, "--data", "elsewhere"])
        .failed_with(&[&port, "--listen"]);
    let data = server.data();
    let data = data.to_str().unwrap();
    server
        .run(&["serve", "--listen", "127.0.0.1:0", "--data", data])
        .failed_with(&[data, "--data"]);
    server
        .run(&["bench", "x", "--data", data])
        .failed_with(&[data, "--url"]);
}
