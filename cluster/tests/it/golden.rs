//! A whole data folder that this version wrote, kept in `cluster/tests/golden/store`: later versions must open it.
//!
//! `UPDATE=1 cargo test --release -p cluster --test it golden` writes it anew, when a format changes on purpose: review it as a diff, and say in
//! the changelog what becomes of older data. Segment files are derived: a version that refuses them passes all the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cluster::engine::query::{Query, QueryKind, QueryVector, Selection, VectorSelection};
use cluster::engine::{
    CollectionConfig, Durability, Engine, EngineOptions, Env, Media, MediaKind, Metric, Operation,
    Point, PointId, RequestTag, Share, Vector,
};
use cluster::{Node, NodeOptions, partition_of};
use serde_json::json;

use crate::damage::folder;
use crate::{dense, eventually, hybrid, object, sparse};

/// When the store was written: notes of requests hold for a day.
const NOW_MS: u64 = 1_700_000_000_000;
const DIM: usize = 160;
/// Files of RocksDB that a store opens without.
const LEFT_OUT: [&str; 3] = ["LOG", "LOCK", "OPTIONS-"];

fn options() -> EngineOptions {
    EngineOptions {
        env: Env::new(|| NOW_MS, 1).with_seal_rows(30),
        ..EngineOptions::default()
    }
}

fn open(dir: &Path) -> Node {
    let engine = options();
    let node = Node::open(dir, NodeOptions { engine }).unwrap();
    node.wait_until_ready();
    node
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store")
}

fn id(number: u64) -> PointId {
    match number % 3 {
        0 => PointId::Num(number),
        1 => PointId::Uuid(u128::from(number) << 64 | 7),
        _ => PointId::Str(format!("point {number}").into()),
    }
}

/// A point of `mixed`: dense and sparse, a payload, a text or a picture, some that end.
fn mixed(number: u64) -> Point {
    let mut values = vec![0.0; DIM];
    // Of unit length, so that they come back as they are.
    values[number as usize] = 0.6;
    values[159] = 0.8;
    let words = sparse(&[number as u32, 900], &[1.5, 0.25]);
    let (kind, content_type) = match number % 2 {
        0 => (MediaKind::Text, "text/plain"),
        _ => (MediaKind::Image, "image/png"),
    };
    let bytes = format!("source of {number} ").repeat(40).into_bytes();
    Point {
        id: id(number),
        vectors: BTreeMap::from([
            (String::new(), Vector::Dense(values)),
            ("words".into(), Vector::Sparse(words)),
        ]),
        payload: object(
            json!({"n": number, "even": number.is_multiple_of(2), "text": format!("número {number}"), "nested": {"a": [number, null]}}),
        ),
        media: vec![Media {
            kind,
            content_type: content_type.into(),
            bytes: bytes.into(),
        }],
        expires_at_ms: match number % 10 {
            4 => Some(NOW_MS + 1000),
            5 => Some(NOW_MS),
            _ => None,
        },
    }
}

/// A point of `plain`.
fn plain(number: u64, version: u64) -> Point {
    let (x, y) = (number as f32, version as f32);
    Point {
        id: PointId::Num(number),
        vectors: BTreeMap::from([(String::new(), Vector::Dense(vec![x, y, x * 0.5]))]),
        payload: object(json!({"version": version})),
        media: Vec::new(),
        expires_at_ms: None,
    }
}

/// What each collection holds.
fn expected() -> [(&'static str, BTreeMap<PointId, Point>); 2] {
    let mixed = (0..40).filter(|n| n % 10 != 5 && *n != 7).map(mixed);
    let plain = (0..50).map(|n| match n {
        0..10 => plain(n, 2),
        10..12 => plain(n, 3),
        _ => plain(n, 1),
    });
    let by_id = |points: Vec<Point>| points.into_iter().map(|point| (point.id.clone(), point));
    [
        ("mixed", by_id(mixed.collect()).collect()),
        (
            "plain",
            by_id(plain.filter(|point| point.id != PointId::Num(20)).collect()).collect(),
        ),
    ]
}

fn tag() -> RequestTag {
    RequestTag::new("request/1", 77).unwrap()
}

/// Two points that a named request wrote.
fn requested(node: &Node) -> usize {
    let points = [plain(8, 2), plain(9, 2)].map(|point| (point, None));
    let receipt = node.upsert_once(tag(), "plain", points).unwrap();
    receipt.points
}

/// Writes the folder: sealed segments, rows that are in none, deletes, an archive, a request, entries that are not applied.
fn generate(dir: &Path) {
    let node = open(dir);
    node.create_collection("mixed", hybrid(DIM)).unwrap();
    let config = CollectionConfig {
        durability: Durability::IntervalMs(50),
        ..dense(3, Metric::L2, None)
    };
    node.create_collection("plain", config).unwrap();
    node.upsert("mixed", (0..40).map(mixed).collect()).unwrap();
    node.upsert("plain", (0..50).map(|n| plain(n, 1)).collect())
        .unwrap();
    for name in ["mixed", "plain"] {
        eventually("a sealed segment", || {
            node.collection(name).unwrap().info().indexed_rows > 30
        });
    }
    node.upsert("plain", (0..8).map(|n| plain(n, 2)).collect())
        .unwrap();
    node.delete("plain", &[PointId::Num(20)]).unwrap();
    node.delete("mixed", &[id(7)]).unwrap();
    assert_eq!(requested(&node), 2);
    node.create_snapshot("mixed").unwrap();
    drop(node);
    let engine = Engine::open(dir, options()).unwrap();
    let collection = engine.collection("plain").unwrap().id();
    let shares = (10..12).map(|n| Share {
        partition: partition_of(collection, &PointId::Num(n)),
        operations: vec![Operation::Upsert {
            collection,
            point: plain(n, 3).into(),
        }],
    });
    assert_eq!(engine.append(shares.collect()).unwrap().len(), 2);
}

fn update(golden: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let written = dir.path().join("written");
    generate(&written);
    let _ = std::fs::remove_dir_all(golden);
    std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
    folder::copy(&written, golden);
    for entry in std::fs::read_dir(golden.join("rocksdb")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if LEFT_OUT.iter().any(|beginning| name.starts_with(beginning)) {
            std::fs::remove_file(path).unwrap();
        }
    }
}

fn check(node: &Node, name: &str, expected: &BTreeMap<PointId, Point>) {
    let collection = node.collection(name).unwrap();
    let page = collection.scroll(None, None, 999, &Selection::All, &VectorSelection::All);
    let records = page.unwrap().points;
    let ids: Vec<&PointId> = records.iter().map(|record| &record.id).collect();
    assert_eq!(ids, expected.keys().collect::<Vec<_>>(), "{name}");
    for (record, point) in records.iter().zip(expected.values()) {
        assert_eq!(
            record.payload.as_deref(),
            Some(&point.payload),
            "{}",
            point.id
        );
        assert_eq!(
            record.vectors.as_ref(),
            Some(&point.vectors),
            "{}",
            point.id
        );
        assert_eq!(record.expires_at_ms, point.expires_at_ms, "{}", point.id);
        for kind in [MediaKind::Text, MediaKind::Image] {
            let kept = collection.media(&point.id, kind).unwrap();
            let wanted = point.media.iter().find(|media| media.kind == kind);
            assert_eq!(kept.as_ref(), wanted, "{} {kind:?}", point.id);
        }
        // Nearest to a point's own vector is the point.
        let nearest = |vector, using: &str| {
            let query = Query {
                kind: QueryKind::Nearest(vector),
                using: using.to_owned(),
                limit: 1,
                ..Query::default()
            };
            collection.query(&query).unwrap().points.remove(0).id
        };
        if let Vector::Dense(values) = &point.vectors[""] {
            assert_eq!(nearest(QueryVector::Dense(values.clone()), ""), point.id);
        }
        if let Some(Vector::Sparse(words)) = point.vectors.get("words") {
            assert_eq!(
                nearest(QueryVector::Sparse(words.clone()), "words"),
                point.id
            );
        }
    }
}

/// Opens a copy, changed by `change`, and reads everything.
fn check_copy(change: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    folder::copy(&golden(), &store);
    change(&store);
    let node = open(&store);
    for (name, expected) in expected() {
        check(&node, name, &expected);
    }
    let config = node.collection("plain").unwrap().config();
    assert_eq!(config.durability, Durability::IntervalMs(50));
    // The request came before, and is remembered.
    node.upsert("plain", vec![plain(8, 9)]).unwrap();
    assert_eq!(requested(&node), 2);
    let held = node.collection("plain").unwrap();
    let held = held.retrieve(&[PointId::Num(8)], &Selection::All, &VectorSelection::None);
    assert_eq!(
        held.unwrap()[0].payload.as_deref(),
        Some(&plain(8, 9).payload)
    );
    // The archive.
    let archive = node.snapshots("mixed").unwrap().remove(0).name;
    let archive = node.snapshot_path("mixed", &archive).unwrap();
    node.restore_snapshot("restored", &archive).unwrap();
    check(&node, "restored", &expected()[0].1);
    assert_eq!(node.check(), Vec::<String>::new());
}

#[test]
fn the_golden_store_opens_whole() {
    if std::env::var_os("UPDATE").is_some() {
        update(&golden());
    }
    check_copy(|_| {});
    check_copy(|store| std::fs::remove_dir_all(store.join("segments")).unwrap());
}
