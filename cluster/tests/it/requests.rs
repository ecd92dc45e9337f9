//! Requests that come again: applied once, and answered as the first time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster::engine::query::{Selection, VectorSelection};
use cluster::engine::{
    EngineOptions, Env, ErrorKind, Metric, Point, PointId, Precondition, REQUEST_MEMORY_MS,
    RequestTag,
};
use cluster::{Node, NodeOptions, Receipt};
use serde_json::json;

use crate::{dense, point};

fn open(dir: &Path, clock: &Arc<AtomicU64>) -> Node {
    let clock = clock.clone();
    let env = Env::new(move || clock.load(Ordering::Relaxed), 1);
    let engine = EngineOptions {
        env,
        ..EngineOptions::default()
    };
    let node = Node::open(dir, NodeOptions { engine }).unwrap();
    node.wait_until_ready();
    if node.collections().is_empty() {
        node.create_collection("c", dense(1, Metric::L2, None))
            .unwrap();
    }
    node
}

fn tag(id: &str, digest: u128) -> RequestTag {
    RequestTag::new(id, digest).unwrap()
}

fn numbered(ids: std::ops::Range<u64>, n: u64) -> Vec<(Point, Option<Precondition>)> {
    ids.map(|id| (point(id, &[n as f32], json!({ "n": n })), None))
        .collect()
}

/// The numbers of points 0 to 9, 0 for one that is not there.
fn held(node: &Node) -> Vec<u64> {
    let collection = node.collection("c").unwrap();
    let number = |id| {
        let record =
            collection.retrieve(&[PointId::Num(id)], &Selection::All, &VectorSelection::None);
        let record = record.unwrap().pop();
        record.map_or(0, |record| record.payload.unwrap()["n"].as_u64().unwrap())
    };
    (0..10).map(number).collect()
}

fn same(first: &Receipt, again: &Receipt) {
    assert_eq!(
        (first.points, &first.refused),
        (again.points, &again.refused)
    );
}

#[test]
fn a_request_that_comes_again_is_applied_once() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(1000));
    let node = open(dir.path(), &clock);
    let first = node
        .upsert_once(tag("a", 1), "c", numbered(0..10, 1))
        .unwrap();
    assert_eq!(first.points, 10);
    let later = node
        .upsert_once(tag("b/2", 2), "c", numbered(0..4, 2))
        .unwrap();
    let now = [2, 2, 2, 2, 1, 1, 1, 1, 1, 1];
    assert_eq!(held(&node), now);
    // A late repetition does not bring the old points back.
    same(
        &first,
        &node
            .upsert_once(tag("a", 1), "c", numbered(0..10, 1))
            .unwrap(),
    );
    assert_eq!(held(&node), now);
    let ids = [0, 1, 77, 0].map(PointId::Num);
    let deleted = node.delete_once(tag("d", 3), "c", &ids).unwrap();
    assert_eq!((deleted.points, deleted.refused.len()), (2, 0));
    node.upsert("c", vec![numbered(0..1, 5).remove(0).0])
        .unwrap();
    let now = [5, 0, 2, 2, 1, 1, 1, 1, 1, 1];
    assert_eq!(held(&node), now);
    same(&deleted, &node.delete_once(tag("d", 3), "c", &ids).unwrap());
    drop(node);
    let node = open(dir.path(), &clock);
    same(&deleted, &node.delete_once(tag("d", 3), "c", &ids).unwrap());
    same(
        &later,
        &node
            .upsert_once(tag("b/2", 2), "c", numbered(0..4, 2))
            .unwrap(),
    );
    assert_eq!(held(&node), now);
    // By the time of the log it is forgotten after a day, not before.
    clock.store(1000 + REQUEST_MEMORY_MS - 1, Ordering::Relaxed);
    same(
        &first,
        &node
            .upsert_once(tag("a", 1), "c", numbered(0..10, 1))
            .unwrap(),
    );
    assert_eq!(held(&node), now);
    clock.store(1000 + REQUEST_MEMORY_MS, Ordering::Relaxed);
    node.upsert_once(tag("a", 9), "c", numbered(0..10, 9))
        .unwrap();
    assert_eq!(held(&node), [9; 10]);
    assert!(node.check().is_empty());
}

/// Of a collection of that name that took the place of the one it was about, or came after it: what was done there was not done here.
#[test]
fn a_request_that_comes_again_to_another_collection_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(1000));
    let node = open(dir.path(), &clock);
    let empty = node.create_snapshot("c").unwrap();
    let write = || {
        let points = numbered(0..200, 1);
        let receipt = node.upsert_once(tag("a", 1), "c", points).unwrap();
        assert_eq!(receipt.points, 200);
        node.collection("c").unwrap().count(None).unwrap()
    };
    assert_eq!(write(), 200);
    let path = node.snapshot_path("c", &empty.name).unwrap();
    node.restore_snapshot("c", &path).unwrap();
    assert_eq!(write(), 200, "after a restore");
    node.drop_collection("c").unwrap();
    node.create_collection("c", dense(1, Metric::L2, None))
        .unwrap();
    assert_eq!(write(), 200, "made anew");
}

/// Whatever points the second is about: its name is known in one partition at least.
#[test]
fn a_name_with_another_body_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(1000));
    let node = open(dir.path(), &clock);
    node.upsert_once(tag("a", 1), "c", numbered(0..1, 1))
        .unwrap();
    for id in 0..10 {
        let write = numbered(id..id + 1, 2);
        let error = node.upsert_once(tag("a", 2), "c", write).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("another body"), "{error}");
        let error = node.delete_once(tag("a", 2), "c", &[PointId::Num(0)]);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Conflict);
    }
    assert_eq!(held(&node)[..2], [1, 0]);
}

/// Many at once, of which some share a batch: each name is applied once, with one body.
#[test]
fn repetitions_that_wait_together_are_applied_once() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(1000));
    let node = open(dir.path(), &clock);
    for round in 0..20u64 {
        let name = format!("r{round}");
        let outcomes: Vec<(u128, bool)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8u128)
                .map(|at| {
                    let (node, name, body) = (&node, &name, at % 2);
                    scope.spawn(move || {
                        let n = round * 2 + body as u64 + 1;
                        let points = numbered(body as u64..body as u64 + 1, n);
                        let result = node.upsert_once(tag(name, body), "c", points);
                        match &result {
                            Ok(receipt) => assert_eq!(receipt.points, 1),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
                        }
                        (body, result.is_ok())
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let applied: Vec<u128> = outcomes.iter().filter(|o| o.1).map(|o| o.0).collect();
        assert_eq!(applied.len(), 4, "all of one body and none of the other");
        assert!(applied.iter().all(|body| *body == applied[0]));
        let now = held(&node);
        assert_eq!(now[applied[0] as usize], round * 2 + applied[0] as u64 + 1);
    }
}

/// A refusal is answered again as it was, though the condition would hold now.
#[test]
fn a_repetition_is_answered_as_the_first_was() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(1000));
    let node = open(dir.path(), &clock);
    node.upsert_if("c", numbered(3..4, 1)).unwrap();
    let write = || {
        let mut points = numbered(0..6, 2);
        for (_, condition) in &mut points {
            *condition = Some(Precondition::Version(0));
        }
        node.upsert_once(tag("w", 1), "c", points).unwrap()
    };
    let first = write();
    assert_eq!(first.points, 5);
    assert_eq!(first.refused[0].id, PointId::Num(3));
    node.delete("c", &[PointId::Num(3)]).unwrap();
    same(&first, &write());
    assert_eq!(held(&node)[..6], [2, 2, 2, 0, 2, 2]);
}

#[test]
fn names_have_a_length() {
    assert!(RequestTag::new("", 0).is_err());
    assert!(RequestTag::new(&"x".repeat(64), 0).is_ok());
    let error = RequestTag::new(&"x".repeat(65), 0).unwrap_err();
    assert!(error.to_string().contains("65 bytes"), "{error}");
}
