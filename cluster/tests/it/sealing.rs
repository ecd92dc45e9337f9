//! `kill -9` while segments are sealed and merged: memory, segment files and store agree after every start, and nothing acknowledged is lost.
//!
//! The test runs itself as a child that writes enough for several seals a second.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use cluster::engine::{Metric, PointId};
use serde_json::json;

use crate::{Random, dense, open, point};

const CHILD_FOLDER: &str = "VECINO_SEALING_CHILD_FOLDER";
const FIRST_SERIAL: &str = "VECINO_SEALING_SERIAL";
const ROUNDS: u64 = 8;
const IDS: u64 = 60_000;
const BATCH: u64 = 4000;

fn ids(serial: u64) -> impl Iterator<Item = u64> {
    let first = serial * 7919 * BATCH % IDS;
    (first..first + BATCH).map(|id| id % IDS)
}

/// Not a test by itself: the body of the child.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else {
        return;
    };
    let node = open(Path::new(&folder));
    if node.collections().is_empty() {
        node.create_collection("c", dense(4, Metric::L2, None))
            .unwrap();
    }
    let first: u64 = std::env::var(FIRST_SERIAL).unwrap().parse().unwrap();
    for serial in first.. {
        if serial % 5 == 0 {
            let ids: Vec<PointId> = ids(serial).map(PointId::Num).collect();
            node.delete("c", &ids).unwrap();
        } else {
            let points = ids(serial).map(|id| point(id, &[serial as f32; 4], json!({})));
            node.upsert("c", points.collect()).unwrap();
        }
        writeln!(std::io::stdout(), "done {serial}").unwrap();
    }
}

#[test]
fn kills_during_sealing_leave_files_that_agree_with_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let (mut serial, mut mapped) = (1, 0);
    // The serial that wrote each id last, and whether it was a delete.
    let mut last = vec![None; IDS as usize];
    for round in 0..ROUNDS {
        let acknowledged = run_child(dir.path(), serial, 8 + random.below(30));
        for serial in serial..=acknowledged {
            ids(serial).for_each(|id| last[id as usize] = Some(serial));
        }
        serial = acknowledged + 1;
        let node = open(dir.path());
        assert_eq!(node.check(), Vec::<String>::new(), "round {round}");
        let collection = node.collection("c").unwrap();
        let held: std::collections::HashMap<PointId, Vec<f32>> =
            collection.vector_rows("").unwrap().into_iter().collect();
        // Of the write that was under way, any part of the partitions may be there.
        let unsure: std::collections::HashSet<u64> = ids(serial).collect();
        for (id, last) in (0..).zip(&last) {
            let expected = last.filter(|serial| serial % 5 != 0);
            let found = held.get(&PointId::Num(id)).map(|values| values[0] as u64);
            assert!(
                found == expected || unsure.contains(&id),
                "round {round}, point {id}: {found:?}, expected {expected:?}"
            );
        }
        for id in unsure {
            last[id as usize] = held.get(&PointId::Num(id)).map(|values| values[0] as u64);
        }
        // So that a write that was under way and took effect is not written again.
        serial += 1;
        mapped += collection.info().indexed_rows;
    }
    assert!(mapped > 0, "no child lived long enough to seal anything");
}

/// Runs the child until it has acknowledged so many writes, kills it, and answers the last one that it told.
fn run_child(dir: &Path, serial: u64, acknowledgements: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "sealing::child",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD_FOLDER, dir)
        .env(FIRST_SERIAL, serial.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut last, mut told) = (serial - 1, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((_, number)) = line.split_once("done ") else {
            continue;
        };
        last = number.parse().unwrap();
        told += 1;
        if told == acknowledgements {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(told >= acknowledgements, "the child stopped by itself");
    last
}
