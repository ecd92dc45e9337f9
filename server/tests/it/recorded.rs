//! Requests as real clients sent them, replayed in order: each must get the status and shape that its client expects.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Server, beside_workspace};

/// Calls that only an embedder of the original could serve: refused with a reason, as their clients can show it.
fn needs_a_foreign_model(body: &Value) -> bool {
    body.to_string().contains("\"model\":\"clip\"")
}

#[test]
fn every_recorded_call_is_answered_as_its_client_expects() {
    let Some(path) = beside_workspace("design/dialect-calls.jsonl") else {
        return;
    };
    let server = Server::start();
    let mut tag = Value::Null;
    let mut dims = BTreeMap::new();
    let mut replayed = 0;
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let call: Value = serde_json::from_str(line).unwrap();
        if call["tag"] != tag {
            tag = call["tag"].clone();
            forget_everything(&server);
        }
        replay(&server, &call, &mut dims);
        replayed += 1;
    }
    println!("{replayed} calls replayed");
    assert!(replayed > 100);
}

fn forget_everything(server: &Server) {
    let list = server.ok("GET", "/collections", &Value::Null);
    for collection in list["collections"].as_array().unwrap() {
        server.ok(
            "DELETE",
            &format!("/collections/{}", collection["name"].as_str().unwrap()),
            &Value::Null,
        );
    }
}

fn replay(server: &Server, call: &Value, dims: &mut BTreeMap<String, usize>) {
    let (method, path) = (call["m"].as_str().unwrap(), call["p"].as_str().unwrap());
    let name = path.split('/').nth(2).unwrap_or_default().to_owned();
    let mut body = call["b"].clone();
    if let Some(dim) = body["vectors"]["size"].as_u64() {
        dims.insert(name.clone(), dim as usize);
    }
    restore(&mut body, dims.get(&name).copied());
    let query: Vec<String> = call["q"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap()))
        .collect();
    let target = format!("{path}?{}", query.join("&"));
    let headers: Vec<(String, String)> = call["h"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| !["connection", "accept-encoding"].contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let bytes = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let reply = server.send(method, &target, &headers, &bytes);
    let answer = reply.json();
    let place = format!("{} {method} {target} {body}: {answer}", call["tag"]);
    if needs_a_foreign_model(&body) {
        assert_eq!(reply.status, 422, "{place}");
        assert!(
            answer["status"]["error"].as_str().unwrap().contains("clip"),
            "{place}"
        );
        return;
    }
    assert_eq!(reply.status, 200, "{place}");
    if path == "/" {
        assert!(answer["version"].is_string(), "{place}");
        return;
    }
    assert_eq!(answer["status"], "ok", "{place}");
    assert!(fits(method, path, &answer["result"]), "{place}");
}

/// The recorder kept large bodies as their size and the first numbers of long vectors only: both are filled up again.
fn restore(body: &mut Value, dim: Option<usize>) {
    let Some(dim) = dim else { return };
    if body.get("_big").is_some() {
        let points: Vec<Value> = (0..10)
            .map(
                |id| json!({"id": id, "vector": vec![id as f32 + 0.5; dim], "payload": {"pk": id}}),
            )
            .collect();
        *body = json!({"points": points});
    }
    for path in ["/query", "/query/nearest", "/vector"] {
        if let Some(Value::Array(numbers)) = body.pointer_mut(path) {
            numbers.resize(dim, json!(0.25));
        }
    }
}

/// Whether a result has the shape that the route's clients read.
fn fits(method: &str, path: &str, result: &Value) -> bool {
    let has_ids = |points: &Value| {
        points
            .as_array()
            .is_some_and(|list| list.iter().all(|point| !point["id"].is_null()))
    };
    let scored = |points: &Value| {
        has_ids(points)
            && points
                .as_array()
                .unwrap()
                .iter()
                .all(|point| point["score"].is_number() && point["version"].is_u64())
    };
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (method, parts.as_slice()) {
        ("GET", ["cluster"]) => result["status"] == "disabled",
        ("GET", ["collections"]) => result["collections"]
            .as_array()
            .is_some_and(|list| list.iter().all(|one| one["name"].is_string())),
        ("GET", ["collections", _]) => {
            result["status"] == "green"
                && result["config"]["params"]["vectors"].is_object()
                && result["points_count"].is_u64()
        }
        ("PUT" | "PATCH" | "DELETE", ["collections", _]) => result.is_boolean(),
        ("GET", ["collections", _, "exists"]) => result["exists"].is_boolean(),
        ("PUT", ["collections", _, "index" | "points"])
        | ("POST", ["collections", _, "points", "delete"]) => {
            result["status"] == "completed" && result["operation_id"].is_u64()
        }
        ("POST", ["collections", _, "points"]) => has_ids(result),
        ("POST", ["collections", _, "points", "scroll"]) => {
            has_ids(&result["points"]) && result.get("next_page_offset").is_some()
        }
        ("POST", ["collections", _, "points", "count"]) => result["count"].is_u64(),
        ("POST", ["collections", _, "points", "query"]) => scored(&result["points"]),
        ("POST", ["collections", _, "points", "query", "batch"]) => result
            .as_array()
            .is_some_and(|list| list.iter().all(|one| scored(&one["points"]))),
        ("POST", ["collections", _, "points", "search"]) => scored(result),
        _ => false,
    }
}
