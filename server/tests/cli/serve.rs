//! What `vecino serve` says.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::harness::{Server, VECINO, run_in, write};

/// It was silent while it loaded, and when it ended.
#[test]
fn loading_and_stopping_are_logged_without_colour() {
    let server = Server::start();
    let rows = server.file("rows.jsonl", "{\"text\": \"x\"}\n{\"text\": \"y\"}\n");
    server.load(&rows, "texts", &[]);
    let folder = server.stop();
    let mut process = Command::new(VECINO)
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path().join("data"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(process.stderr.take().unwrap());
    let mut said = String::new();
    while !(said.contains("listens on") && said.contains("loaded")) {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let id = process.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    stderr.read_to_string(&mut said).unwrap();
    assert!(process.wait().unwrap().success(), "{said}");
    for part in [
        "opening the data",
        "loading collections=1",
        "loaded collections=1 points=2 seconds=",
        "stopped",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert!(!said.contains('\u{1b}'), "{said}");
}

/// It said that it listens, and then that it cannot.
#[test]
fn a_folder_that_cannot_be_opened_has_no_address() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "file", "x");
    let args = ["serve", "--listen", "127.0.0.1:0", "--data", "file"];
    let ran = run_in(folder.path(), &args, b"", &[]);
    ran.failed_with(&["file", "mend"]);
    assert!(!ran.err.contains("listens on"), "{ran:?}");

    let server = Server::start();
    let data = server.data();
    let data = data.to_str().unwrap();
    let taken = server.run(&["serve", "--listen", "127.0.0.1:0", "--data", data]);
    taken.failed_with(&[data, "in use", "--data"]);
    assert!(!taken.err.contains("listens on"), "{taken:?}");
    assert_eq!(taken.err.matches("another folder").count(), 1, "{taken:?}");
}
