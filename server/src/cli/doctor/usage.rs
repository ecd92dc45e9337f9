//! What memory and disk are used for: a line each, from a store or from a server's answer.

use serde_json::Value;

use super::{Finding, Status};
use crate::cli::output::bytes_text;

/// Parts below this share of the whole are summed up.
const SMALL_PART: u64 = 50;

/// Lines of what `GET /usage` answers, or a store says of itself in the same form.
pub(super) fn findings(usage: &Value) -> Vec<Finding> {
    let mut findings = vec![
        node(usage, "memory_bytes", "memory", "on the heap"),
        node(usage, "disk_bytes", "disk", "on the disk"),
    ];
    let collections = usage.get("collections").and_then(Value::as_object);
    findings.extend(collections.into_iter().flatten().map(|(name, usage)| {
        let part =
            |list: &str, place: &str| format!("{} {place}", bytes_text(total(usage.get(list))));
        let detail = format!(
            "{name}: {}, {}, {} ({})",
            part("memory_bytes", "on the heap"),
            part("mapped_bytes", "mapped"),
            part("disk_bytes", "on the disk"),
            parts_text(usage.get("disk_bytes")),
        );
        Finding::new(Status::Ok, "usage", detail).data(usage.clone())
    }));
    findings
}

fn node(usage: &Value, list: &str, what: &str, place: &str) -> Finding {
    let parts = usage.get(list);
    let mut detail = format!(
        "{what}: {} {place} ({})",
        bytes_text(total(parts)),
        parts_text(parts)
    );
    let process = usage.get("process").filter(|_| list == "memory_bytes");
    if let Some(process) = process {
        let bytes = |field: &str| process.get(field).and_then(Value::as_i64).unwrap_or(0);
        let text = |field| bytes_text(bytes(field).unsigned_abs());
        let sign = if bytes("unexplained") < 0 { "-" } else { "" };
        detail.push_str(&format!(
            "; the process has {} of its own, of which {sign}{} are in no part, and {} of files",
            text("anonymous"),
            text("unexplained"),
            text("file")
        ));
    }
    Finding::new(Status::Ok, "usage", detail).data(parts.cloned().unwrap_or_default())
}

fn total(parts: Option<&Value>) -> u64 {
    let total = parts.and_then(|parts| parts.get("total"));
    total.and_then(Value::as_u64).unwrap_or(0)
}

/// The parts, largest first, the small ones together.
fn parts_text(parts: Option<&Value>) -> String {
    let whole = total(parts);
    let named = parts.and_then(|parts| parts.get("parts")?.as_object());
    let mut named: Vec<(&str, u64)> = named
        .into_iter()
        .flatten()
        .filter_map(|(name, bytes)| Some((name.as_str(), bytes.as_u64()?)))
        .collect();
    named.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let (large, small): (Vec<_>, Vec<_>) = named
        .into_iter()
        .partition(|(_, bytes)| *bytes > whole / SMALL_PART);
    let rest: u64 = small.iter().map(|(_, bytes)| bytes).sum();
    let mut texts: Vec<String> = large
        .into_iter()
        .map(|(name, bytes)| format!("{} {}", name.replace('_', " "), bytes_text(bytes)))
        .collect();
    if rest > 0 {
        texts.push(format!("others {}", bytes_text(rest)));
    }
    if texts.is_empty() {
        texts.push("nothing".to_owned());
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_told_largest_first() {
        let parts =
            json!({"total": 1_000_000, "parts": {"a_b": 10_000, "c": 390_000, "d": 600_000}});
        let text = parts_text(Some(&parts));
        assert!(
            text.starts_with("d ") && text.contains(", c ") && text.contains(", others "),
            "{text}"
        );
        assert_eq!(parts_text(None), "nothing");
        let usage = json!({
            "memory_bytes": parts, "disk_bytes": parts,
            "process": {"anonymous": 5_000_000, "file": 7_000_000, "unexplained": -3_000_000},
            "collections": {"mine": {"memory_bytes": parts}},
        });
        let findings = findings(&usage);
        assert_eq!(findings.len(), 3);
        assert!(findings[0].detail.contains("-3"), "{}", findings[0].detail);
        assert!(
            findings[2].detail.starts_with("mine: "),
            "{}",
            findings[2].detail
        );
    }
}
