//! `kill -9` in the middle of a load, twenty times: no acknowledged point is lost, none comes back from the dead.
//!
//! The test runs itself as a child that writes and tells on stdout what was acknowledged.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use cluster::engine::query::{Selection, VectorSelection};
use cluster::engine::{CollectionConfig, Durability, Metric, PointId, Vector};
use serde_json::json;

use crate::{Random, dense, open, point};

const CHILD_FOLDER: &str = "VECINO_CRASH_CHILD_FOLDER";
/// If set, writes are acknowledged before they are durable.
const CHILD_INTERVAL: &str = "VECINO_CRASH_CHILD_INTERVAL";
const IDS: u64 = 500;
const BATCH: u64 = 25;

/// Not a test by itself: the body of the child.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else {
        return;
    };
    let node = open(Path::new(&folder));
    if node.collections().is_empty() {
        let config = CollectionConfig {
            durability: match std::env::var_os(CHILD_INTERVAL) {
                None => Durability::Sync,
                Some(_) => Durability::IntervalMs(50),
            },
            ..dense(8, Metric::L2, None)
        };
        node.create_collection("c", config).unwrap();
    }
    let serial: u64 = std::env::var("VECINO_CRASH_SERIAL")
        .unwrap()
        .parse()
        .unwrap();
    let mut random = Random(serial);
    let mut out = std::io::stdout();
    for serial in serial.. {
        let first = random.below(IDS);
        let ids: Vec<u64> = (first..first + BATCH).map(|id| id % IDS).collect();
        let told: Vec<String> = ids.iter().map(u64::to_string).collect();
        let told = told.join(",");
        // The intention goes first, so that an unacknowledged write may be seen or not.
        if serial % 4 == 0 {
            writeln!(out, "begin {serial} delete {told}").unwrap();
            node.delete(
                "c",
                &ids.iter().map(|id| PointId::Num(*id)).collect::<Vec<_>>(),
            )
            .unwrap();
        } else {
            writeln!(out, "begin {serial} write {told}").unwrap();
            let points = ids
                .iter()
                .map(|id| point(*id, &[serial as f32; 8], json!({"serial": serial})))
                .collect();
            node.upsert("c", points).unwrap();
        }
        writeln!(out, "done {serial}").unwrap();
    }
}

#[derive(Clone)]
struct Told {
    serial: u64,
    delete: bool,
    ids: Vec<u64>,
    done: bool,
}

#[test]
fn twenty_kills_lose_nothing_that_was_acknowledged() {
    kill(20, &[]);
}

/// What is acknowledged by interval is in the log: the end of the process takes nothing of it.
#[test]
fn kills_lose_nothing_that_was_acknowledged_by_interval() {
    kill(6, &[(CHILD_INTERVAL, "1")]);
}

fn kill(rounds: u64, settings: &[(&str, &str)]) {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(42);
    // Serial of the last acknowledged write of each id; none if it was a delete.
    let mut expected: BTreeMap<u64, Option<u64>> = BTreeMap::new();
    let mut serial = 1;
    for round in 0..rounds {
        let writes = run_child(dir.path(), settings, serial, 1 + random.below(60));
        assert!(!writes.is_empty(), "round {round}: the child wrote nothing");
        serial = writes.last().unwrap().serial + 1;
        let unsure = writes.iter().find(|write| !write.done).cloned();
        for write in writes.iter().filter(|write| write.done) {
            for id in &write.ids {
                expected.insert(*id, (!write.delete).then_some(write.serial));
            }
        }
        let held = read_back(dir.path());
        // The write that was under way counts whole or not at all.
        let mut with_unsure = expected.clone();
        if let Some(write) = &unsure {
            for id in &write.ids {
                with_unsure.insert(*id, (!write.delete).then_some(write.serial));
            }
        }
        let living = |map: &BTreeMap<u64, Option<u64>>| -> BTreeMap<u64, u64> {
            map.iter()
                .filter_map(|(id, serial)| Some((*id, (*serial)?)))
                .collect()
        };
        if held == living(&with_unsure) {
            expected = with_unsure;
        } else {
            assert_eq!(held, living(&expected), "round {round}");
        }
    }
}

/// Runs the child until it has acknowledged `acknowledgements` writes, kills it, and answers what it told.
fn run_child(
    dir: &Path,
    settings: &[(&str, &str)],
    serial: u64,
    acknowledgements: u64,
) -> Vec<Told> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(CHILD_FOLDER, dir)
        .envs(settings.iter().copied())
        .env("VECINO_CRASH_SERIAL", serial.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut writes: Vec<Told> = Vec::new();
    let mut acknowledged = 0;
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The harness writes the test's name in front of its first line.
        let from = line
            .find("begin ")
            .or_else(|| line.find("done "))
            .unwrap_or(line.len());
        let words: Vec<&str> = line[from..].split(' ').collect();
        match words[..] {
            ["begin", serial, what, ids] => {
                // A line that the kill has cut is no intention that we could know.
                let ids = ids.split(',').filter_map(|id| id.parse().ok()).collect();
                let serial = serial.parse().unwrap();
                writes.push(Told {
                    serial,
                    delete: what == "delete",
                    ids,
                    done: false,
                });
            }
            ["done", serial]
                if writes
                    .last()
                    .is_some_and(|write| write.serial.to_string() == serial) =>
            {
                writes.last_mut().unwrap().done = true;
                acknowledged += 1;
                if acknowledged == acknowledgements && !killed {
                    // SIGKILL. What it has told until it dies is still read.
                    child.kill().unwrap();
                    killed = true;
                }
            }
            _ => {}
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child stopped by itself");
    writes
}

/// Serial by id, the same in payload, vector on disk and vector in memory.
fn read_back(dir: &Path) -> BTreeMap<u64, u64> {
    let node = open(dir);
    assert_eq!(node.check(), Vec::<String>::new());
    let collection = node.collection("c").unwrap();
    let memory: BTreeMap<PointId, Vec<f32>> =
        collection.vector_rows("").unwrap().into_iter().collect();
    let page = collection
        .scroll(
            None,
            None,
            usize::MAX,
            &Selection::All,
            &VectorSelection::All,
        )
        .unwrap();
    assert_eq!(page.points.len(), memory.len());
    page.points
        .into_iter()
        .map(|record| {
            let serial = record.payload.unwrap()["serial"].as_u64().unwrap();
            let stored = Vector::Dense(vec![serial as f32; 8]);
            assert_eq!(
                record.vectors.unwrap()[""],
                stored,
                "payload and vector of {} differ",
                record.id
            );
            assert_eq!(
                memory[&record.id], [serial as f32; 8],
                "memory and disk of {} differ",
                record.id
            );
            let PointId::Num(id) = record.id else {
                panic!("ids are numbers")
            };
            (id, serial)
        })
        .collect()
}
