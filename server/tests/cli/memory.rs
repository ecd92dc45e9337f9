//! Memory and disk of a server: told by part, given back, and kept within a budget.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Server, run_in, wait_until_sealed};

const DIM: usize = 64;
/// Points of one request.
const BATCH: u64 = 5000;

/// A request, and the status and `result` (or the error) of its answer.
fn call(server: &Server, method: &str, path: &str, body: String) -> (u16, Value) {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent = config.build().new_agent();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.url))
        .body(body)
        .unwrap();
    let mut answer = agent.run(request).unwrap();
    let status = answer.status().as_u16();
    let bytes = answer.body_mut().read_to_vec().unwrap();
    let json: Value = serde_json::from_slice(&bytes).unwrap();
    let inner = if status == 200 { "result" } else { "status" };
    (status, json[inner].clone())
}

fn get(server: &Server, path: &str) -> Value {
    let (status, result) = call(server, "GET", path, String::new());
    assert_eq!(status, 200, "{path}: {result}");
    result
}

fn create(server: &Server, name: &str) {
    let body = format!("{{\"vectors\": {{\"size\": {DIM}, \"distance\": \"Euclid\"}}}}");
    let (status, answer) = call(server, "PUT", &format!("/collections/{name}"), body);
    assert_eq!(status, 200, "{answer}");
}

/// Numbers of the vector of a point: quick to make, and no two points alike.
fn value(id: u64, at: usize) -> f32 {
    let bits = (id + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (at as u64).wrapping_mul(0xd134_2543_de82_ef95);
    (bits.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / 1024.0
}

fn put(server: &Server, name: &str, first: u64, count: u64) -> (u16, Value) {
    let mut body = String::from("{\"points\": [");
    for id in first..first + count {
        let comma = if id > first { "," } else { "" };
        let _ = write!(
            body,
            "{comma}{{\"id\": {id}, \"payload\": {{\"n\": {id}}}, \"vector\": ["
        );
        for at in 0..DIM {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(body, "{comma}{}", value(id, at));
        }
        body.push_str("]}");
    }
    body.push_str("]}");
    call(server, "PUT", &format!("/collections/{name}/points"), body)
}

fn fill(server: &Server, name: &str, points: u64) {
    create(server, name);
    for first in (0..points).step_by(BATCH as usize) {
        let (status, answer) = put(server, name, first, BATCH.min(points - first));
        assert_eq!(status, 200, "{answer}");
    }
    wait_until_sealed(server, name);
    assert_eq!(nearest(server, name, points / 2), points / 2);
}

/// Reads every point with its payload, which is cached from then on.
fn read_all(server: &Server, name: &str, points: u64) {
    for first in (0..points).step_by(BATCH as usize) {
        let ids: Vec<u64> = (first..points.min(first + BATCH)).collect();
        let body = serde_json::json!({"ids": ids, "with_payload": true}).to_string();
        let path = format!("/collections/{name}/points");
        let (status, answer) = call(server, "POST", &path, body);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer[0]["payload"]["n"], first);
    }
}

/// The id nearest to a point's own vector.
fn nearest(server: &Server, name: &str, id: u64) -> u64 {
    let vector: Vec<f32> = (0..DIM).map(|at| value(id, at)).collect();
    let body = serde_json::json!({"query": vector, "limit": 1}).to_string();
    let (status, answer) = call(
        server,
        "POST",
        &format!("/collections/{name}/points/query"),
        body,
    );
    assert_eq!(status, 200, "{answer}");
    answer["points"][0]["id"].as_u64().unwrap()
}

fn delete(server: &Server, name: &str) {
    assert_eq!(
        call(
            server,
            "DELETE",
            &format!("/collections/{name}"),
            String::new()
        )
        .0,
        200
    );
    let started = Instant::now();
    while get(server, "/usage")["background"]["reclaim_steps"] != 0 {
        assert!(started.elapsed() < Duration::from_secs(120));
        std::thread::yield_now();
    }
}

fn bytes(usage: &Value, path: &str) -> u64 {
    let found = usage.pointer(path).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no {path} in {usage}"))
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let of_entry = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(of_entry).sum()
}

/// 200,000 points of 64 numbers with payloads: 51 MB of vectors.
#[test]
fn a_deleted_collection_gives_memory_and_disk_back() {
    const POINTS: u64 = 200_000;
    let server = Server::start();
    let resident = || bytes(&get(&server, "/usage"), "/process/resident");
    // Background work lets go of a deleted collection when it is through; what it held is given back a second later.
    let settled = |most: u64| {
        let started = Instant::now();
        while resident() > most && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(50));
        }
        resident()
    };
    // The first time, pages of the program itself are read and stay: nine tenths of what came must go.
    fill(&server, "first", 5000);
    delete(&server, "first");
    let start = resident();
    fill(&server, "first", POINTS);
    read_all(&server, "first", POINTS);
    let loaded = resident();
    delete(&server, "first");
    let before = settled(start + (loaded - start) / 10);
    let disk_before = folder_bytes(&server.data());
    println!("the first time: resident {start} {loaded} {before}");
    assert!(
        before.saturating_sub(start) <= (loaded - start) / 10,
        "{start} {loaded} {before}"
    );

    fill(&server, "large", POINTS);
    read_all(&server, "large", POINTS);
    let full = get(&server, "/usage");
    let (loaded, disk_loaded) = (resident(), folder_bytes(&server.data()));
    assert!(loaded > before + (50 << 20), "{before} {loaded}");
    let vectors = POINTS * DIM as u64 * 4;
    let cached = "/memory_bytes/parts/payload_cache";
    assert!(bytes(&full, cached) > 8 << 20, "{full}");
    let of_large = &full["collections"]["large"];
    assert_eq!(bytes(of_large, "/mapped_bytes/parts/vectors"), vectors);
    assert!(
        bytes(of_large, "/memory_bytes/parts/ids") >= POINTS * 32,
        "{of_large}"
    );
    assert!(
        disk_loaded > disk_before + 2 * vectors,
        "{disk_before} {disk_loaded}"
    );

    delete(&server, "large");
    let after = settled(before + (loaded - before) / 10);
    let disk_after = folder_bytes(&server.data());
    println!("resident {before} {loaded} {after}, disk {disk_before} {disk_loaded} {disk_after}");
    let usage = get(&server, "/usage");
    // What the allocator keeps between what lives on varies: within 10 % of what the collection took.
    assert!(
        after.saturating_sub(before) <= (loaded - before) / 10,
        "{before} {loaded} {after} {usage}"
    );
    // What is left is the log: it keeps its last entries, whose vectors and rows are gone.
    assert!(
        disk_after <= disk_before + (16 << 20),
        "{disk_before} {disk_loaded} {disk_after} {usage}"
    );
    assert_eq!(usage["collections"], serde_json::json!({}));
    assert_eq!(usage["mapped_bytes"]["total"], 0);
    assert_eq!(usage["budget"]["collections"], 0);
    assert_eq!(bytes(&usage, cached), 0);
}

/// The sum of the parts is what is told, and the folder is what is summed.
#[test]
fn usage_is_told_by_part() {
    let server = Server::start();
    fill(&server, "mine", 20_000);
    let usage = get(&server, "/usage");
    for list in ["memory_bytes", "mapped_bytes", "disk_bytes"] {
        let parts = usage[list]["parts"].as_object().unwrap();
        let sum: u64 = parts.values().map(|bytes| bytes.as_u64().unwrap()).sum();
        assert_eq!(usage[list]["total"], sum, "{list}");
    }
    let mine = get(&server, "/collections/mine/usage");
    assert_eq!(mine["status"], "green");
    assert_eq!(mine["progress"]["indexed_rows"], 20_000);
    assert_eq!(mine["progress"]["running"], Value::Null);
    assert_eq!(
        mine["mapped_bytes"],
        usage["collections"]["mine"]["mapped_bytes"]
    );
    // Files come and go between the two counts.
    let (told, found) = (
        bytes(&usage, "/disk_bytes/total"),
        folder_bytes(&server.data()),
    );
    assert!(told.abs_diff(found) < 1 << 20, "{told} {found}");
    assert_eq!(
        call(&server, "GET", "/collections/none/usage", String::new()).0,
        404
    );
    let metrics = ureq::get(format!("{}/metrics", server.url)).call();
    let metrics = metrics.unwrap().body_mut().read_to_string().unwrap();
    for line in [
        "vecino_memory_bytes{part=\"table\"}",
        "vecino_memory_mapped_bytes{part=\"vectors\"} 5120000",
        "vecino_disk_bytes{part=\"write_ahead_log\"}",
        "vecino_memory_budget_bytes{share=\"memtables\"}",
        "vecino_memory_held_bytes{purpose=\"collections\"}",
        "vecino_background_pending_collections 0",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    // The doctor asks the server, and the store without one.
    let told = server.run(&["doctor", "--data", "data"]);
    assert!(
        told.out.contains("mine: ") && told.out.contains("on the heap"),
        "{told:?}"
    );
    let folder = server.stop();
    let args = ["doctor", "--data", "data", "--url", "http://127.0.0.1:9"];
    let told = run_in(folder.path(), &args, b"", &[]);
    assert!(
        told.out.contains("mapped") && told.out.contains("disk: "),
        "{told:?}"
    );
}

/// 128 MB hold about a hundred thousand points; many more are sent.
#[test]
fn a_small_budget_refuses_writes_and_answers_reads() {
    const BUDGET: u64 = 128 << 20;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder, &["--memory", "128M"]);
    assert_eq!(
        bytes(&get(&server, "/usage"), "/budget/shares/total"),
        BUDGET
    );
    create(&server, "many");
    let mut stored = 0;
    let mut most = 0;
    let refusal = loop {
        let (status, answer) = put(&server, "many", stored, BATCH);
        assert!([200, 503, 507].contains(&status), "{status} {answer}");
        if status == 200 {
            stored += BATCH;
        }
        assert_eq!(nearest(&server, "many", stored / 2), stored / 2);
        let process = get(&server, "/usage")["process"].clone();
        most = most.max(bytes(&process, "/anonymous"));
        if status == 507 {
            break answer["error"].as_str().unwrap().to_owned();
        }
        assert!(stored < 1_000_000, "everything fits");
    };
    println!("{stored} points, {most} bytes of heap at most: {refusal}");
    assert!(stored >= 50_000, "{stored}: {refusal}");
    assert!(
        refusal.contains("--memory") && refusal.contains("reads go on"),
        "{refusal}"
    );
    assert!(most <= BUDGET, "{most}");
    // A large body is refused by its size, a deletion is not, and makes room.
    let (status, answer) = call(
        &server,
        "PUT",
        "/collections/many/points",
        " ".repeat(20 << 20),
    );
    assert_eq!(status, 413, "{answer}");
    assert_eq!(nearest(&server, "many", 7), 7);
    delete(&server, "many");
    create(&server, "few");
    let (status, answer) = put(&server, "few", 0, BATCH);
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn a_budget_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (size, word) in [("64M", "128M"), ("lots", "512M")] {
        let ran = run_in(folder.path(), &["serve", "--memory", size], b"", &[]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(word), "{ran:?}");
    }
}
