//! The data folder and the disk below it.

use std::path::Path;

use cluster::engine::{Double, ErrorKind, check_catalog_mendable, check_segments, dropped_logs};
use cluster::{Node, NodeOptions};
use serde_json::json;

use super::{Finding, Status, usage};
use crate::cli::output::{bytes_text, counted};

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

/// What there is to say of the data: a double of it is opened as the server would, so that nothing of it changes.
pub(super) fn folder(folder: &Path) -> Vec<Finding> {
    let shown = folder.display();
    let holds = |entry: &&str| folder.join(entry).exists();
    if !folder.exists() {
        let detail = format!("{shown} does not exist yet; `vecino serve` makes it");
        return vec![Finding::new(Status::Ok, "data", detail)];
    }
    if folder.is_dir() && !STORE_ENTRIES.iter().any(holds) {
        let detail = format!("{shown} holds no data yet");
        return vec![Finding::new(Status::Ok, "data", detail)];
    }
    let mut findings = match dropped_logs(folder) {
        Ok(dropped) => dropped
            .into_iter()
            .map(|dropped| failing(folder, dropped.to_string()))
            .collect(),
        Err(error) => vec![unreadable(
            folder,
            error.kind(),
            format!("{shown}: {error}"),
        )],
    };
    match Double::new(folder) {
        Ok(double) => findings.extend(look(folder, &double)),
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            let detail = format!("{shown} is in use by a running server");
            let finding = Finding::new(Status::Ok, "data", detail);
            findings.push(finding.mend("stop the server to have the data itself checked"));
        }
        Err(error) => findings.push(unreadable(
            folder,
            error.kind(),
            format!("{shown}: {error}"),
        )),
    }
    findings
}

/// Opens the double of the data in `folder`, reads everything, and tells what is wrong, or how much there is.
fn look(folder: &Path, double: &Double) -> Vec<Finding> {
    let shown = folder.display();
    // Opening builds them again. What keeps the store from being opened is told below.
    let segments = check_segments(double.path()).unwrap_or_default();
    let node = match Node::open(double.path(), NodeOptions::default()) {
        Ok(node) => node,
        Err(error) => {
            let said = double.said_of_data(&error.to_string());
            let said = format!("{shown}: {said}");
            return vec![match check_catalog_mendable(double.path()) {
                Err(why) if why.kind() == ErrorKind::Corrupted => {
                    beyond_repair(said, &double.said_of_data(&why.to_string()))
                }
                _ => unreadable(folder, error.kind(), said),
            }];
        }
    };
    node.wait_until_ready();
    let mut problems = segments.lost;
    problems.extend(node.check());
    let dropped = dropped_logs(double.path()).unwrap_or_default();
    problems.extend(dropped.iter().map(|dropped| {
        format!(
            "the write-ahead log is damaged ({}; its files: {}): what only its damaged part holds may be lost, also of what was acknowledged; \
             the next start or repair copies the log to {shown}/damaged-<time> first",
            dropped.cause,
            dropped.logs.join(", ")
        )
    }));
    // What the points lack it lacks, too.
    let mend = match problems.is_empty() {
        true => "nothing is lost: the next start builds it again of the points",
        false => "it is built again of the points that are there",
    };
    let damaged = segments
        .damaged
        .iter()
        .map(|what| Finding::new(Status::Warn, "data", double.said_of_data(what)).mend(mend));
    let mut findings: Vec<Finding> = problems
        .iter()
        .map(|problem| failing(folder, double.said_of_data(problem)))
        .collect();
    if findings.is_empty() {
        findings = sound(folder, &node);
    }
    findings.extend(damaged);
    findings
}

/// How much there is in sound data, and what uses memory and disk.
fn sound(folder: &Path, node: &Node) -> Vec<Finding> {
    let names = node.collections();
    let points: usize = names
        .iter()
        .filter_map(|name| node.collection(name).ok())
        .map(|collection| collection.info().points)
        .sum();
    let detail = format!(
        "{} is sound: {}, {}",
        folder.display(),
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

fn failing(folder: &Path, what: String) -> Finding {
    Finding::new(Status::Fail, "data", what).mend(how_to_mend(folder))
}

/// What no repair mends.
fn beyond_repair(what: String, why: &str) -> Finding {
    // The server's error points at a repair.
    let what = match what.split_once("; stop the server and run") {
        Some((what, _)) => what.to_owned(),
        None => what,
    };
    Finding::new(Status::Fail, "data", what).mend(format!(
        "restore a snapshot of the node, or collections from their archives: a repair cannot help ({why})"
    ))
}

/// What kept the data from being read. A full disk does so without any damage.
fn unreadable(folder: &Path, kind: ErrorKind, what: String) -> Finding {
    match kind {
        ErrorKind::StorageFull => Finding::new(Status::Fail, "data", what).mend(
            "the data cannot be looked at while the disk is full, which damages nothing: make room on it, then ask again",
        ),
        _ => failing(folder, what),
    }
}

fn how_to_mend(folder: &Path) -> String {
    format!(
        "run `vecino doctor --repair {}`: it tells first what would be lost; or restore a snapshot",
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use cluster::engine::{
        CollectionConfig, Metric, OnLoss, Payload, Point, PointId, RepairOutcome, Vector,
        VectorConfig, repair,
    };

    use super::*;

    const DIM: usize = 160;

    /// A store of one collection with two hundred points, all of them in the write-ahead log.
    fn write(data: &Path) {
        let node = Node::open(data, NodeOptions::default()).unwrap();
        node.wait_until_ready();
        let mut config = CollectionConfig::default();
        config
            .vectors
            .insert(String::new(), VectorConfig::new(DIM, Metric::L2));
        node.create_collection("c", config).unwrap();
        let written = |id| Point {
            id: PointId::Num(id),
            vectors: BTreeMap::from([(String::new(), Vector::Dense(vec![id as f32; DIM]))]),
            payload: Payload::new(),
            expires_at_ms: None,
            media: Vec::new(),
        };
        // One by one, so that the log has many records.
        for id in 0..200 {
            node.upsert("c", vec![written(id)]).unwrap();
        }
    }

    /// As [`write`], and one with a segment.
    fn write_segment(data: &Path) {
        write(data);
        let node = Node::open(data, NodeOptions::default()).unwrap();
        let since = std::time::Instant::now();
        // A rest of a second seals what was written.
        while !data.join("segments/1/manifest").exists() {
            assert!(since.elapsed().as_secs() < 60, "nothing was sealed");
            std::thread::yield_now();
        }
        drop(node);
    }

    /// Every file below the folder, with its bytes.
    fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => files.extend(self::files(&path)),
                false => {
                    let bytes = std::fs::read(&path).unwrap();
                    files.insert(path, bytes);
                }
            }
        }
        files
    }

    fn found(data: &Path) -> Vec<Finding> {
        let before = files(data);
        let found = folder(data);
        assert!(before == files(data), "looking changes nothing: {found:?}");
        found
    }

    fn damage(path: &Path, place: usize) {
        let mut bytes = std::fs::read(path).unwrap();
        let place = place.min(bytes.len() - 40);
        bytes[place..place + 32]
            .iter_mut()
            .for_each(|byte| *byte ^= 0x5a);
        // Not through a link.
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn file(data: &Path, extension: &str) -> PathBuf {
        let is_one = |path: &&PathBuf| path.extension().is_some_and(|of| of == extension);
        let files = files(data);
        files.keys().rfind(is_one).unwrap().clone()
    }

    #[test]
    fn looking_at_a_sound_store_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        write(place.path());
        let found = found(place.path());
        assert_eq!(found[0].status, Status::Ok, "{found:?}");
        assert!(found[0].detail.contains("200 points"), "{found:?}");
    }

    /// Within the second that the guard does not cover, a start drops the damaged end of the log without refusing.
    #[test]
    fn a_damaged_end_of_the_log_is_told_until_a_repair_has_told_it() {
        let place = tempfile::tempdir().unwrap();
        let running = place.path().join("running");
        let data = place.path().join("data");
        write(&running);
        std::fs::create_dir(&data).unwrap();
        std::fs::rename(running.join("rocksdb"), data.join("rocksdb")).unwrap();
        // As one that nobody has opened where it stands: it needs no guard.
        std::fs::remove_file(data.join("rocksdb/LOCK")).unwrap();
        let log = file(&data, "log");
        damage(&log, std::fs::read(&log).unwrap().len() - 400);
        for _ in 0..2 {
            let found = found(&data);
            assert_eq!(found[0].status, Status::Fail, "{found:?}");
            let name = log.file_name().unwrap().to_str().unwrap();
            for part in ["write-ahead log", "may be lost", name] {
                assert!(found[0].detail.contains(part), "{part}: {found:?}");
            }
        }
        drop(Node::open(&data, NodeOptions::default()).unwrap());
        let told = found(&data);
        assert_eq!(told[0].status, Status::Fail, "{told:?}");
        assert!(told[0].detail.contains("damaged-"), "{told:?}");
        let report = repair(&data, OnLoss::Ask).unwrap();
        assert_eq!(report.outcome, RepairOutcome::Repaired, "{report:?}");
        assert_eq!(report.dropped.len(), 1, "{report:?}");
        assert_eq!(found(&data)[0].status, Status::Ok);
    }

    /// It is derived: the next start makes it again of the rows.
    #[test]
    fn looking_at_a_damaged_segment_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        write_segment(place.path());
        damage(&file(place.path(), "segment"), 4096);
        let found = found(place.path());
        assert!(found[0].detail.contains("200 points"), "{found:?}");
        let warned = |part: &str, found: &[Finding]| {
            let is_it = |finding: &&Finding| finding.detail.contains(part);
            let finding = found.iter().find(is_it);
            finding.is_some_and(|finding| finding.status == Status::Warn)
        };
        assert!(warned("segments of collection c", &found), "{found:?}");
        for broken in ["segment", ""] {
            let place = tempfile::tempdir().unwrap();
            write_segment(place.path());
            match broken {
                "" => damage(&place.path().join("segments/1/manifest"), 20),
                extension => std::fs::remove_file(file(place.path(), extension)).unwrap(),
            }
            let found = self::found(place.path());
            assert!(found[0].detail.contains("200 points"), "{found:?}");
            assert!(warned("segments of collection c", &found), "{found:?}");
        }
    }

    /// Neither the list of the database's files nor its copy is there.
    #[test]
    fn what_a_repair_cannot_help_is_not_sent_to_one() {
        let place = tempfile::tempdir().unwrap();
        write(place.path());
        let is_one = |path: &&PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("MANIFEST-")
        };
        let manifest = files(place.path()).keys().find(is_one).unwrap().clone();
        std::fs::remove_file(manifest).unwrap();
        let mend = |found: Vec<Finding>| format!("{:?}", found[0]);
        assert!(mend(found(place.path())).contains("doctor --repair"));
        let is_copy = |path: &&PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("catalog-")
        };
        for copy in files(place.path()).keys().filter(is_copy) {
            std::fs::remove_file(copy).unwrap();
        }
        let told = mend(found(place.path()));
        assert!(told.contains("a repair cannot help"), "{told}");
        assert!(!told.contains("doctor --repair"), "{told}");
    }

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

    #[test]
    fn a_full_disk_is_not_told_as_damage() {
        let found = |kind| {
            let finding = unreadable(Path::new("d"), kind, "No space left".to_owned());
            format!("{finding:?}")
        };
        assert!(!found(ErrorKind::StorageFull).contains("--repair"));
        assert!(found(ErrorKind::Corrupted).contains("--repair"));
    }
}
