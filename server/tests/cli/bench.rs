//! `vecino bench` on a small file, a collection of a server, and a data folder.

use serde_json::Value;

use crate::harness::{Server, run_in};

/// 600 rows of 3 numbers and 600 of 16.
fn rows(dim: usize) -> String {
    let number =
        |row: usize, column: usize| (row * (17 + 31 * column) + row * row * (column + 3)) % 1009;
    (0..600)
        .map(|row| {
            (0..dim)
                .map(|column| number(row, column).to_string())
                .collect::<Vec<_>>()
                .join(",")
                + "\n"
        })
        .collect()
}

fn check(report: &Value, lines: &[(&str, u64)]) {
    let results = report["workloads"][0]["results"].as_array().unwrap();
    let got: Vec<(&str, u64)> = results
        .iter()
        .map(|line| {
            (
                line["way"].as_str().unwrap(),
                line["threads"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(got, lines, "{report}");
    for line in results {
        // Every structure of this version is exact.
        assert_eq!(line["recall"], 1.0, "{report}");
        assert!(
            line["qps"].as_f64().unwrap() > 0.0
                && line["p50_us"].as_f64() <= line["p99_us"].as_f64(),
            "{report}"
        );
    }
    assert!(report["environment"]["cpu"].is_string());
    assert_eq!(
        report["workloads"][0]["dataset"]["checksum"]
            .as_str()
            .unwrap()
            .len(),
        16
    );
}

#[test]
fn a_file_in_process_and_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let file = crate::harness::write(folder.path(), "points.csv", format!("x,y,z\n{}", rows(3)));
    let args = [
        "bench",
        file.to_str().unwrap(),
        "--vector-columns",
        "x,y,z",
        "--seconds",
        "0.1",
        "--json",
    ];
    let ran = run_in(folder.path(), &args, b"", &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = ran.json();
    check(
        &report,
        &[
            ("in process", 1),
            ("in process", 2),
            ("HTTP", 1),
            ("HTTP", 2),
        ],
    );
    let workload = &report["workloads"][0];
    assert_eq!(workload["dataset"]["rows"], 540);
    assert!(
        workload["structures"][0]
            .as_str()
            .unwrap()
            .contains("kdtree over 540"),
        "{report}"
    );

    let again = run_in(
        folder.path(),
        &[&args[..], &["--only", "in-process", "--threads", "1"]].concat(),
        b"",
        &[],
    );
    assert_eq!(
        again.json()["workloads"][0]["dataset"],
        workload["dataset"],
        "the same rows, queries and checksum"
    );
    let text = run_in(
        folder.path(),
        &[&args[..6], &["--only", "http", "--threads", "1"]].concat(),
        b"",
        &[],
    );
    assert!(
        text.out.contains("recall@10") && text.out.contains("HTTP"),
        "{text:?}"
    );
}

#[test]
fn a_collection_over_http_and_in_its_folder() {
    let server = Server::start();
    let header: Vec<String> = (0..16).map(|column| format!("v{column}")).collect();
    let file = server.file("rows.csv", format!("{}\n{}", header.join(","), rows(16)));
    server.load(
        &file,
        "rows",
        &["--vector-columns", "v*", "--metric", "cosine"],
    );
    let args = [
        "bench",
        "rows",
        "--threads",
        "1",
        "--seconds",
        "0.1",
        "-k",
        "5",
    ];
    let over_http = server.json(&args);
    check(&over_http, &[("HTTP", 1)]);

    let folder = server.stop();
    let args = [&args[..], &["--data", "data", "--json"]].concat();
    let ran = run_in(folder.path(), &args, b"", &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    check(&ran.json(), &[("in process", 1), ("HTTP", 1)]);
    assert_eq!(
        ran.json()["workloads"][0]["dataset"]["checksum"],
        over_http["workloads"][0]["dataset"]["checksum"]
    );
    let none = run_in(
        folder.path(),
        &["bench", "nothing", "--data", "data"],
        b"",
        &[],
    );
    none.failed_with(&["nothing"]);
}
