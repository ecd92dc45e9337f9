//! The data folder and the disk below it.

use std::path::Path;
use std::time::Instant;

use cluster::{Node, NodeOptions};
use serde_json::json;

use super::{Finding, Status, usage};
use crate::cli::output::{bytes_text, counted};
use crate::cli::serve::is_locked;

/// Below this much free space a load of pictures will soon end.
const FREE_BYTES_ODD: u64 = 2_000_000_000;
/// Below this much free space RocksDB can hardly compact.
const FREE_BYTES_BAD: u64 = 200_000_000;
/// What a data folder with something in it holds at least one of.
const STORE_ENTRIES: [&str; 2] = ["rocksdb", "guard"];

/// Space on the disk of the data.
pub(super) fn free_space(folder: &Path) -> Finding {
    // A folder that does not exist yet will lie on the file system of the nearest parent that does.
    let full = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let existing = full
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(Path::new("."));
    match rustix::fs::statvfs(existing) {
        Err(error) => Finding::new(
            Status::Warn,
            "disk",
            format!("{}: {error}", existing.display()),
        ),
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let detail = format!("{} free for {}", bytes_text(free), folder.display());
            let data = json!({ "free_bytes": free });
            let mend = "free some space, or choose a folder on another disk with --data; when it is full, writes answer 507 and reads go on";
            match free {
                0..FREE_BYTES_BAD => Finding::new(Status::Fail, "disk", detail).mend(mend),
                FREE_BYTES_BAD..FREE_BYTES_ODD => {
                    Finding::new(Status::Warn, "disk", detail).mend(mend)
                }
                _ => Finding::new(Status::Ok, "disk", detail),
            }
            .data(data)
        }
    }
}

/// Opens the data as the server would, unless a server has it open.
pub(super) fn folder(folder: &Path) -> Vec<Finding> {
    let shown = folder.display();
    if !folder.exists() {
        return vec![Finding::new(
            Status::Ok,
            "data",
            format!("{shown} does not exist yet; `vecino serve` makes it"),
        )];
    }
    // Opening would make a store in a folder without one.
    if folder.is_dir()
        && STORE_ENTRIES
            .iter()
            .all(|entry| !folder.join(entry).exists())
    {
        let detail = format!("{shown} holds no data yet");
        return vec![Finding::new(Status::Ok, "data", detail)];
    }
    let node = match Node::open(folder, NodeOptions::default()) {
        Ok(node) => node,
        Err(error) if is_locked(&error.to_string()) => {
            return vec![
                Finding::new(
                    Status::Ok,
                    "data",
                    format!("{shown} is in use by a running server"),
                )
                .mend("stop the server to have the data itself checked"),
            ];
        }
        Err(error) => {
            return vec![
                Finding::new(Status::Fail, "data", format!("{shown}: {error}"))
                    .mend(how_to_mend(folder)),
            ];
        }
    };
    let started = Instant::now();
    while !node.is_ready() && started.elapsed().as_secs() < 600 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let problems = node.check();
    if !problems.is_empty() {
        return problems
            .into_iter()
            .map(|problem| Finding::new(Status::Fail, "data", problem).mend(how_to_mend(folder)))
            .collect();
    }
    let names = node.collections();
    let points: usize = names
        .iter()
        .filter_map(|name| node.collection(name).ok())
        .map(|collection| collection.info().points)
        .sum();
    let detail = format!(
        "{shown} is sound: {}, {}",
        counted(names.len() as u64, "collection"),
        counted(points as u64, "point")
    );
    let mut findings = vec![
        Finding::new(Status::Ok, "data", detail)
            .data(json!({ "collections": names, "points": points })),
    ];
    match node.usage().map(serde_json::to_value) {
        Ok(Ok(of_node)) => findings.extend(usage::findings(&of_node)),
        Ok(Err(error)) => findings.push(Finding::new(Status::Warn, "usage", error.to_string())),
        Err(error) => findings.push(Finding::new(Status::Warn, "usage", error.to_string())),
    }
    findings
}

fn how_to_mend(folder: &Path) -> String {
    format!(
        "run `vecino doctor --repair {}`: it tells first what would be lost; or restore a snapshot",
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_has_a_disk() {
        let nowhere = Path::new("/no/such/folder");
        assert!(free_space(nowhere).data.get("free_bytes").is_some());
        assert_eq!(folder(nowhere)[0].status, Status::Ok);
    }

    #[test]
    fn looking_makes_nothing() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("server.log"), "").unwrap();
        assert!(folder(place.path())[0].detail.contains("no data yet"));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
