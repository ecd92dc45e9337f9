//! The server and its collections.

use std::time::Instant;

use serde_json::{Value, json};

use super::{Finding, Status, usage};
use crate::cli::client::{Client, collection_path, get};
use crate::cli::output::counted;

/// Asks the server how it is, and what it has.
pub(super) fn all(client: &Client) -> Vec<Finding> {
    let base = client.base();
    let started = Instant::now();
    match client.once(&get("/readyz")) {
        Err(error) => {
            let finding = Finding::new(
                Status::Warn,
                "server",
                format!("none answers at {base} ({error})"),
            );
            return vec![
                finding
                    .mend("start it with `vecino serve`, or name another with --url or VECINO_URL"),
            ];
        }
        Ok(reply) if reply.status != 200 => {
            return vec![Finding::new(
                Status::Warn,
                "server",
                format!(
                    "{base} answers {} to /readyz: it is still loading",
                    reply.status
                ),
            )];
        }
        Ok(_) => {}
    }
    let us = started.elapsed().as_micros() as u64;
    let list = match client.get("/collections") {
        Ok(list) => list,
        Err(failure) => {
            let words = failure.to_json();
            let text = |key: &str| {
                words
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            return vec![
                Finding::new(Status::Fail, "server", format!("{base}: {}", text("what")))
                    .mend(text("mend")),
            ];
        }
    };
    let names = list
        .get("collections")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let names: Vec<&str> = names
        .filter_map(|entry| entry.get("name")?.as_str())
        .collect();
    let ok = Finding::new(
        Status::Ok,
        "server",
        format!(
            "{base} is ready, answered in {:.1} ms; {}",
            us as f64 / 1000.0,
            counted(names.len() as u64, "collection")
        ),
    );
    let mut findings = vec![ok.data(json!({ "url": base, "us": us, "collections": names }))];
    findings.extend(names.into_iter().map(|name| collection(client, name)));
    // A server of another version may not have it.
    if let Ok(of_node) = client.get("/usage") {
        findings.extend(usage::findings(&of_node));
    }
    findings
}

fn collection(client: &Client, name: &str) -> Finding {
    let info = match client.get(&collection_path(name, "")) {
        Ok(info) => info,
        Err(failure) => {
            return Finding::new(
                Status::Fail,
                "collection",
                format!("{name}: {}", failure.to_json()["what"]),
            );
        }
    };
    let status = info
        .get("status")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    let points = info
        .get("points_count")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    let params = info.pointer("/config/params").cloned().unwrap_or_default();
    let vectors = vector_names(&params);
    let detail = format!(
        "{name}: {status}, {}, vectors: {}",
        counted(points, "point"),
        if vectors.is_empty() {
            "none".to_owned()
        } else {
            vectors.join(", ")
        }
    );
    let data = json!({ "name": name, "status": status, "points": points, "vectors": vectors });
    let finding = match status {
        "red" => {
            let trouble = info.pointer("/optimizer_status/error");
            let trouble = trouble.and_then(Value::as_str).unwrap_or("no reason told");
            Finding::new(Status::Fail, "collection", format!("{detail}; {trouble}"))
                .mend("stop the server and run `vecino doctor --repair DIR` on its data folder")
        }
        _ => Finding::new(Status::Ok, "collection", detail),
    };
    finding.data(data)
}

fn vector_names(params: &Value) -> Vec<String> {
    let mut names = vec![];
    if let Some(vectors) = params.get("vectors").and_then(Value::as_object) {
        if vectors.contains_key("size") {
            names.push("(unnamed)".to_owned());
        } else {
            names.extend(vectors.keys().cloned());
        }
    }
    names.extend(
        params
            .get("sparse_vectors")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|sparse| sparse.keys().cloned()),
    );
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_listed() {
        let unnamed = json!({"vectors": {"size": 3, "distance": "Dot"}});
        let named = json!({"vectors": {"a": {"size": 3}}, "sparse_vectors": {"s": {}}});
        assert_eq!(vector_names(&unnamed), ["(unnamed)"]);
        assert_eq!(vector_names(&named), ["a", "s"]);
        assert!(vector_names(&json!({})).is_empty());
    }
}
