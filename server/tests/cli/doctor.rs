//! `vecino doctor` on a server, a stopped one's data, and nothing.

use serde_json::Value;

use crate::harness::{Server, run_in};

fn finding<'a>(report: &'a Value, subject: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|finding| finding["subject"] == subject)
        .unwrap_or_else(|| panic!("no {subject} in {report}"))
}

#[test]
fn all_is_well() {
    let server = Server::start();
    let rows = server.file("rows.jsonl", "{\"text\": \"x\"}\n");
    server.load(&rows, "texts", &[]);
    let report = server.json(&["doctor", "--data", "data"]);
    assert_eq!(report["sound"], true, "{report}");
    for subject in [
        "cpu",
        "memory",
        "limits",
        "embedder",
        "disk",
        "data",
        "server",
        "collection",
    ] {
        assert_ne!(finding(&report, subject)["status"], "FAIL", "{report}");
    }
    assert!(
        finding(&report, "data")["detail"]
            .as_str()
            .unwrap()
            .contains("in use"),
        "{report}"
    );
    assert_eq!(finding(&report, "collection")["data"]["points"], 1);
    let text = server.run(&["doctor", "--data", "data"]);
    assert!(
        text.out.lines().all(|line| !line.starts_with("FAIL"))
            && text.out.contains("texts: green, 1 point,")
            && text.out.starts_with("looking at the data folder /"),
        "{}",
        text.out
    );

    // Without the server its data can be checked.
    let folder = server.stop();
    let ran = run_in(
        folder.path(),
        &[
            "doctor",
            "--data",
            "data",
            "--url",
            "http://127.0.0.1:9",
            "--json",
        ],
        b"",
        &[],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = ran.json();
    assert_eq!(finding(&report, "data")["data"]["points"], 1, "{report}");
    assert_eq!(finding(&report, "server")["status"], "warn");
}

#[test]
fn a_folder_that_is_no_data() {
    let folder = tempfile::tempdir().unwrap();
    let url = "http://127.0.0.1:9";
    let none = run_in(
        folder.path(),
        &["doctor", "--data", "none", "--url", url, "--json"],
        b"",
        &[],
    );
    assert_eq!(
        (
            none.code,
            finding(&none.json(), "data")["status"].as_str().unwrap()
        ),
        (0, "ok")
    );
    assert!(
        !folder.path().join("none").exists(),
        "looking makes nothing"
    );
    crate::harness::write(folder.path(), "file", "x");
    let file = run_in(
        folder.path(),
        &["doctor", "--data", "file", "--url", url, "--json"],
        b"",
        &[],
    );
    assert_eq!(
        (
            file.code,
            finding(&file.json(), "data")["status"].as_str().unwrap()
        ),
        (1, "FAIL"),
        "{file:?}"
    );
}

/// A guard that cannot be read stands for every damage here: what the repair does with each is tested where it is done.
#[test]
fn a_damaged_folder_is_mended_when_the_loss_is_accepted() {
    let server = Server::start();
    let rows = server.file("rows.jsonl", "{\"text\": \"x\"}\n");
    server.load(&rows, "texts", &[]);
    server
        .run(&["doctor", "--repair", "data"])
        .failed_with(&["in use", "stop the server"]);
    let folder = server.stop();
    let doctor = |args: &[&str]| {
        let args = [&["doctor", "--url", "http://127.0.0.1:9"], args].concat();
        run_in(folder.path(), &args, b"", &[])
    };
    let sound = doctor(&["--repair", "data"]);
    assert_eq!(sound.code, 0, "{sound:?}");
    assert!(sound.out.contains("nothing to repair"), "{sound:?}");
    crate::harness::write(folder.path(), "data/guard", [255; 1024]);
    let found = doctor(&["--data", "data"]);
    assert_eq!(found.code, 1);
    assert!(
        found.out.contains("vecino doctor --repair data"),
        "{found:?}"
    );
    let asked = doctor(&["--repair", "data"]);
    assert_eq!(asked.code, 1);
    for part in [
        "lost, and nowhere else",
        "nothing was changed",
        "--accept-loss",
    ] {
        assert!(asked.out.contains(part), "{asked:?}");
    }
    let repaired = doctor(&["--repair", "data", "--accept-loss", "--json"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    let report = repaired.json();
    assert_eq!(report["outcome"], "repaired");
    assert!(
        folder
            .path()
            .join(report["kept"].as_str().unwrap())
            .join("report.json")
            .exists()
    );
    let sound = doctor(&["--data", "data"]);
    assert_eq!(sound.code, 0, "{sound:?}");
    let none = doctor(&["--repair", "nowhere"]);
    assert_eq!(none.code, 1);
    assert!(!folder.path().join("nowhere").exists());
}
