//! Restart brings everything back; what cannot be read is told.

use cluster::engine::query::{Query, QueryKind, QueryVector, Selection, VectorSelection};
use cluster::engine::{CollectionConfig, ErrorKind, Metric, PointId};
use cluster::{Node, NodeOptions};
use serde_json::json;

use crate::{dense, open, point};

#[test]
fn a_restart_brings_everything_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("a", dense(2, Metric::L2, None))
        .unwrap();
    node.create_collection("gone", dense(2, Metric::L2, None))
        .unwrap();
    node.upsert("gone", vec![point(1, &[0.0, 0.0], json!({}))])
        .unwrap();
    node.upsert(
        "a",
        (0..1000)
            .map(|id| point(id, &[id as f32, 1.0], json!({"n": id})))
            .collect(),
    )
    .unwrap();
    node.upsert("a", vec![point(5, &[-5.0, 0.0], json!({"n": "replaced"}))])
        .unwrap();
    node.delete("a", &[PointId::Num(6)]).unwrap();
    assert!(node.drop_collection("gone").unwrap());
    assert!(!node.drop_collection("gone").unwrap());
    drop(node);

    let node = open(dir.path());
    assert_eq!(node.collections(), ["a"]);
    let collection = node.collection("a").unwrap();
    assert_eq!(collection.count(None).unwrap(), 999);
    let record = collection
        .retrieve(&[PointId::Num(5)], &Selection::All, &VectorSelection::None)
        .unwrap();
    assert_eq!(record[0].payload.as_ref().unwrap()["n"], "replaced");
    assert!(!collection.contains(&PointId::Num(6)));
    let query = Query {
        kind: QueryKind::Nearest(QueryVector::Dense(vec![-5.0, 0.0])),
        limit: 1,
        ..Query::default()
    };
    assert_eq!(
        collection.query(&query).unwrap().points[0].id,
        PointId::Num(5)
    );
    // A collection made again under the old name is empty.
    node.create_collection("gone", dense(2, Metric::L2, None))
        .unwrap();
    assert_eq!(node.collection("gone").unwrap().count(None).unwrap(), 0);
    assert!(node.check().is_empty());
}

#[test]
fn a_second_process_is_told_that_the_folder_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let _node = open(dir.path());
    let error = Node::open(dir.path(), NodeOptions::default())
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );
}

#[test]
fn a_store_that_lost_its_tables_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("a", CollectionConfig::default())
        .unwrap();
    drop(node);
    std::fs::remove_dir_all(dir.path().join("rocksdb")).unwrap();
    let error = Node::open(dir.path(), NodeOptions::default())
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert!(error.to_string().contains("put the folder back"), "{error}");
}

#[test]
fn a_missing_write_ahead_log_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("a", dense(1, Metric::L2, None))
        .unwrap();
    node.upsert("a", vec![point(1, &[1.0], json!({}))]).unwrap();
    drop(node);
    for entry in std::fs::read_dir(dir.path().join("rocksdb")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let error = Node::open(dir.path(), NodeOptions::default())
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert!(error.to_string().contains("was acknowledged"), "{error}");
}

#[test]
fn the_log_is_purged_and_superseded_vectors_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("a", dense(4, Metric::L2, None))
        .unwrap();
    // One point, so one partition: its log grows by an entry a write.
    for n in 0..5000u32 {
        node.upsert("a", vec![point(1, &[n as f32; 4], json!({}))])
            .unwrap();
    }
    drop(node);
    let node = open(dir.path());
    let collection = node.collection("a").unwrap();
    let query = Query {
        kind: QueryKind::Nearest(QueryVector::Dense(vec![0.0; 4])),
        limit: 9,
        ..Query::default()
    };
    let points = collection.query(&query).unwrap().points;
    assert_eq!(points.len(), 1);
    assert_eq!(points[0].score, 4999.0 * 2.0);
    assert_eq!(points[0].version, 5000);
    assert!(node.check().is_empty());
}
