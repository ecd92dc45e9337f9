//! Conditional writes: decided when their turn comes, so that of two writers one wins.

use std::sync::Barrier;

use cluster::engine::filter::{Condition, Filter, Match, Scalar, path};
use cluster::engine::query::{Selection, VectorSelection};
use cluster::engine::{LoggedFilter, Metric, Point, PointId, Precondition};
use cluster::{Node, Refused};
use serde_json::json;

use crate::{dense, open, point};

fn counted(id: u64, count: i64) -> Point {
    point(id, &[count as f32], json!({ "count": count }))
}

fn count_is(count: i64) -> LoggedFilter {
    let condition = Condition::Match {
        key: path::Path::parse("count").unwrap(),
        value: Match::Value(Scalar::Integer(count)),
    };
    LoggedFilter::new(Filter::one(condition)).unwrap()
}

/// Version and count of a point as stored; none if it is not there.
fn stored(node: &Node, id: u64) -> Option<(u64, i64)> {
    let collection = node.collection("c").unwrap();
    let records = collection.retrieve(&[PointId::Num(id)], &Selection::All, &VectorSelection::All);
    let record = records.unwrap().pop()?;
    let count = record.payload.unwrap()["count"].as_i64().unwrap();
    Some((record.version, count))
}

/// The same, and that searches see that count: to be asked while no one writes.
fn read(node: &Node, id: u64) -> Option<(u64, i64)> {
    let (version, count) = stored(node, id)?;
    let memory = node.collection("c").unwrap().vector_rows("").unwrap();
    let (_, row) = memory
        .iter()
        .find(|(point, _)| *point == PointId::Num(id))
        .unwrap();
    assert_eq!(row, &[count as f32], "memory and disk differ");
    Some((version, count))
}

#[test]
fn a_write_whose_condition_does_not_hold_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("c", dense(1, Metric::L2, None))
        .unwrap();
    let write = |count, condition| {
        let receipt = node.upsert_if("c", [(counted(1, count), Some(condition))]);
        receipt.unwrap().refused.is_empty()
    };
    assert!(!write(1, Precondition::Present));
    assert!(!write(1, Precondition::Matches(count_is(1))));
    assert!(!write(1, Precondition::Version(1)));
    assert_eq!(read(&node, 1), None);
    assert!(write(2, Precondition::Version(0)));
    assert!(!write(3, Precondition::Version(0)));
    let (version, count) = read(&node, 1).unwrap();
    assert_eq!(count, 2);
    assert!(!write(3, Precondition::Version(version - 1)));
    assert!(write(3, Precondition::Version(version)));
    assert!(!write(4, Precondition::AbsentOrMatches(count_is(4))));
    assert!(write(4, Precondition::AbsentOrMatches(count_is(3))));
    assert!(write(5, Precondition::Matches(count_is(4))));
    assert!(write(6, Precondition::Present));
    node.delete("c", &[PointId::Num(1)]).unwrap();
    assert!(write(7, Precondition::AbsentOrMatches(count_is(4))));

    let points = [3, 1, 2].map(|id| (counted(id, 9), Some(Precondition::Version(0))));
    let receipt = node.upsert_if("c", points).unwrap();
    assert_eq!(receipt.points, 2);
    let (version, _) = read(&node, 1).unwrap();
    let id = PointId::Num(1);
    assert_eq!(receipt.refused, [Refused { id, version }]);
    let held = [1, 2, 3].map(|id| read(&node, id));
    drop(node);
    let node = open(dir.path());
    assert_eq!([1, 2, 3].map(|id| read(&node, id)), held);
    assert!(node.check().is_empty());
}

/// A point whose time has come is not there, dropped or not.
#[test]
fn an_ended_point_counts_as_absent() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("c", dense(1, Metric::L2, None))
        .unwrap();
    let ended = Point {
        expires_at_ms: Some(1),
        ..counted(1, 1)
    };
    node.upsert("c", vec![ended]).unwrap();
    let write = |count, condition| {
        let receipt = node.upsert_if("c", [(counted(1, count), Some(condition))]);
        receipt.unwrap().refused
    };
    let id = PointId::Num(1);
    assert_eq!(
        write(2, Precondition::Present),
        [Refused { id, version: 0 }]
    );
    assert!(write(2, Precondition::Version(0)).is_empty());
    assert_eq!(read(&node, 1).unwrap().1, 2);
}

/// Every increment that was told to have won is in the sum: no update is lost, whatever batches the writers share.
#[test]
fn of_writers_that_saw_the_same_version_one_wins() {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 60;
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("c", dense(1, Metric::L2, None))
        .unwrap();
    node.upsert("c", vec![counted(1, 0)]).unwrap();
    let barrier = Barrier::new(WRITERS);
    let won: usize = std::thread::scope(|scope| {
        let writer = |by_filter: bool| {
            let (node, barrier) = (&node, &barrier);
            move || {
                let mut won = 0;
                // Not in each round: a writer that panicked would keep the others there for ever.
                barrier.wait();
                for _ in 0..ROUNDS {
                    let (version, count) = stored(node, 1).unwrap();
                    let condition = if by_filter {
                        Precondition::Matches(count_is(count))
                    } else {
                        Precondition::Version(version)
                    };
                    let write = [(counted(1, count + 1), Some(condition))];
                    won += node.upsert_if("c", write).unwrap().points;
                }
                won
            }
        };
        let threads: Vec<_> = (0..WRITERS)
            .map(|at| scope.spawn(writer(at % 2 == 0)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(read(&node, 1).unwrap().1, won as i64);
    assert!((ROUNDS..WRITERS * ROUNDS).contains(&won), "{won} won");
}
