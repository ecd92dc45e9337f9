//! The memory budget and what is told of memory, on a node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster::engine::{
    EngineOptions, ErrorKind, GiveBack, MEMORY_BYTES_MIN, Metric, Point, PointId,
};
use cluster::{Node, NodeOptions};
use serde_json::json;

use super::{dense, point};

fn open_small(dir: &std::path::Path, give_back: GiveBack) -> Node {
    let engine = EngineOptions {
        memory_bytes: Some(MEMORY_BYTES_MIN),
        give_back,
        ..EngineOptions::default()
    };
    let node = Node::open(dir, NodeOptions { engine }).unwrap();
    node.wait_until_ready();
    node
}

fn points(ids: std::ops::Range<u64>) -> Vec<Point> {
    ids.map(|id| point(id, &[id as f32, 1.0], json!({})))
        .collect()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !done() {
        assert!(started.elapsed().as_secs() < 60, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_full_budget_refuses_writes_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let given_back = Arc::new(AtomicU64::new(0));
    let count = given_back.clone();
    let node = open_small(
        dir.path(),
        GiveBack::by(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }),
    );
    node.create_collection("many", dense(2, Metric::L2, None))
        .unwrap();
    let mut stored = 0;
    let error = loop {
        match node.upsert("many", points(stored..stored + 4000)) {
            Ok(_) => stored += 4000,
            Err(error) => break error,
        }
        assert!(stored < 1_000_000, "everything fits");
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    assert!(stored > 40_000, "{stored}: {error}");
    let collection = node.collection("many").unwrap();
    assert_eq!(collection.count(None).unwrap() as u64, stored);
    // What is told before the next write is tried.
    let parts = ["table of ids doubles", "KiB more", "--memory 1", "now 128M"];
    let told = collection.info().refusal.unwrap_or_default();
    for text in [error.to_string(), told] {
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    let usage = node.usage().unwrap();
    let held = usage.budget.collections + usage.budget.growing;
    let shares = usage.budget.shares;
    assert!(held <= shares.collections + shares.growing, "{usage:?}");
    assert!(
        usage.budget.collections > shares.collections / 3,
        "{usage:?}"
    );

    // Deletes pass; when the dead rows are gone, there is room again.
    let ids: Vec<PointId> = (0..stored - 1000).map(PointId::Num).collect();
    for ids in ids.chunks(10_000) {
        node.delete("many", ids).unwrap();
    }
    wait_until("dead rows are rewritten", || {
        node.upsert("many", points(0..4000)).is_ok()
    });
    assert_eq!(collection.info().refusal, None);

    // A collection that goes gives back all that it holds.
    drop(collection);
    assert!(node.drop_collection("many").unwrap());
    wait_until("the range is compacted", || {
        node.background().reclaim_steps == 0
    });
    wait_until("what it held is free", || {
        let budget = node.usage().unwrap().budget;
        budget.collections + budget.growing + budget.builds == 0
    });
    assert!(given_back.load(Ordering::Relaxed) > 0);
    let families = node.usage().unwrap().families;
    let points = families
        .iter()
        .find(|family| family.family == "points")
        .unwrap();
    assert_eq!(points.tables_live + points.tables_dead, 0, "{families:?}");
}
