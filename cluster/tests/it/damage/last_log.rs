//! The last file of the write-ahead log is missing: no other file of RocksDB's tells what was in it, only the guard does.

use std::path::Path;
use std::time::{Duration, Instant};

use cluster::engine::query::{Selection, VectorSelection};
use cluster::engine::{ErrorKind, Metric, PointId};
use cluster::{Node, NodeOptions};
use serde_json::json;

use super::{WINDOW, WINDOW_SLACK, folder, is_long};
use crate::{Random, dense, open, point};

/// Writes point 0, 1, 2, ... one by one.
struct Writing {
    node: Node,
    /// Moment of each acknowledgement.
    acknowledged: Vec<Instant>,
}

impl Writing {
    fn write_for(&mut self, time: Duration, payload_bytes: usize) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            let id = self.acknowledged.len() as u64;
            let filler = "x".repeat(payload_bytes);
            let written = point(id, &[id as f32; 4], json!({ "filler": filler }));
            self.node.upsert("c", vec![written]).unwrap();
            self.acknowledged.push(Instant::now());
        }
    }
}

/// How many points there are, which must be the first ones.
fn held(store: &Path) -> Result<usize, cluster::engine::Error> {
    let node = Node::open(store, NodeOptions::default())?;
    node.wait_until_ready();
    assert_eq!(node.check(), Vec::<String>::new());
    let Ok(collection) = node.collection("c") else {
        return Ok(0);
    };
    let (payload, vectors) = (Selection::None, VectorSelection::None);
    let page = collection.scroll(None, None, usize::MAX, &payload, &vectors)?;
    for (record, id) in page.points.iter().zip(0..) {
        assert_eq!(record.id, PointId::Num(id), "the first points, whole");
    }
    Ok(page.points.len())
}

/// A copy as a kill would leave the store now, without the last file of its log.
fn copy_without_last_log(running: &Path, copy: &Path) {
    // Before all else: what is noted while the copy is made must not count.
    let guard = std::fs::read(running.join("guard")).unwrap();
    folder::copy(running, copy);
    std::fs::write(copy.join("guard"), guard).unwrap();
    let last = folder::files(copy, &["log"]).pop().expect("a log");
    std::fs::remove_file(last).unwrap();
}

/// What was seen.
#[derive(Default)]
struct Seen {
    writes: usize,
    refused: u64,
    /// Of these, opened with a loss as soon as the guard was gone.
    by_guard_alone: u64,
    whole: u64,
    short: u64,
    /// How long before the copy the first lost write was acknowledged.
    window: Duration,
}

/// Looks at one store as often as said, at any moment.
fn lose_last_logs(rounds: u64, random: &mut Random, seen: &mut Seen) {
    let dir = crate::scratch();
    let (running, copy) = (dir.path().join("running"), dir.path().join("copy"));
    let node = open(&running);
    node.create_collection("c", dense(4, Metric::L2, None))
        .unwrap();
    let mut writing = Writing {
        node,
        acknowledged: Vec::new(),
    };
    let mut part = |of_ms: u64| Duration::from_millis(of_ms).mul_f32(random.unit());
    for round in 0..rounds {
        // Large ones fill the memtables: the log goes on in another file.
        let payload_bytes = if round % 4 == 3 { 40_000 } else { 10 };
        writing.write_for(part(700), payload_bytes);
        if round % 2 == 1 {
            // The moment is to be anywhere, and nothing comes that could be waited for.
            std::thread::park_timeout(part(1500));
        }
        let (now, count) = (Instant::now(), writing.acknowledged.len());
        copy_without_last_log(&running, &copy);
        match held(&copy) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
                seen.refused += 1;
                // As a snapshot would stand there. If a table was written while the copy was made, RocksDB may miss something too.
                std::fs::remove_file(copy.join("guard")).unwrap();
                std::fs::remove_file(copy.join("rocksdb/LOCK")).unwrap();
                match held(&copy) {
                    Err(other) => assert_eq!(other.kind(), ErrorKind::Corrupted, "{other}"),
                    Ok(held) => {
                        assert!(held < count, "nothing was lost: {error}");
                        seen.by_guard_alone += 1;
                    }
                }
            }
            Ok(held) if held == count => seen.whole += 1,
            Ok(held) => {
                seen.window = seen.window.max(now - writing.acknowledged[held]);
                seen.short += 1;
            }
        }
        std::fs::remove_dir_all(&copy).unwrap();
    }
    seen.writes += writing.acknowledged.len();
}

#[test]
fn a_missing_last_log_file_is_noticed_but_for_the_last_second() {
    let mut random = Random(17);
    let mut seen = Seen::default();
    let stores = if is_long() { 20 } else { 1 };
    for _ in 0..stores {
        lose_last_logs(8, &mut random, &mut seen);
    }
    println!(
        "{} times the last log was missing, {} writes: {} refused ({} by the guard alone), {} with every write, {} opened without writes that \
         were acknowledged at most {} ms before",
        8 * stores,
        seen.writes,
        seen.refused,
        seen.by_guard_alone,
        seen.whole,
        seen.short,
        seen.window.as_millis()
    );
    assert!(seen.by_guard_alone > 1, "inconclusive");
    assert!(
        seen.window <= WINDOW + WINDOW_SLACK,
        "writes of the last {:?} went unnoticed",
        seen.window
    );
}
