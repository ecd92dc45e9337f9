//! Snapshots: what they hold, what they replace, and what becomes of damaged ones.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::Node;
use cluster::engine::query::{Selection, VectorSelection};
use cluster::engine::{ErrorKind, Metric, PointId};
use serde_json::json;

use crate::{dense, open, point, scratch};

fn fill(node: &Node, name: &str, ids: std::ops::Range<u64>) {
    let points = ids.map(|id| point(id, &[id as f32, 1.0], json!({ "serial": id })));
    node.upsert(name, points.collect()).unwrap();
}

fn shown(node: &Node, name: &str) -> Vec<String> {
    let collection = node.collection(name).unwrap();
    let page = collection
        .scroll(
            None,
            None,
            usize::MAX,
            &Selection::All,
            &VectorSelection::All,
        )
        .unwrap();
    let shown = page.points.into_iter();
    // Versions count the writes of a log; a restored point has another.
    shown
        .map(|record| format!("{:?} {:?} {:?}", record.id, record.payload, record.vectors))
        .collect()
}

fn filled(dir: &Path) -> Node {
    let node = open(dir);
    node.create_collection("c", dense(2, Metric::L2, None))
        .unwrap();
    fill(&node, "c", 0..3000);
    node.delete("c", &[PointId::Num(7)]).unwrap();
    node
}

#[test]
fn a_restored_collection_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let node = filled(dir.path());
    let before = shown(&node, "c");
    let info = node.create_snapshot("c").unwrap();
    assert_eq!(node.snapshots("c").unwrap(), std::slice::from_ref(&info));
    let path = node.snapshot_path("c", &info.name).unwrap();

    fill(&node, "c", 2990..3010);
    assert_eq!(node.restore_snapshot("c", &path).unwrap(), 2999);
    assert_eq!(shown(&node, "c"), before);
    assert_eq!(node.restore_snapshot("other", &path).unwrap(), 2999);
    assert_eq!(shown(&node, "other"), before);
    assert_eq!(node.collections(), ["c", "other"]);

    // The restored collection takes writes, and is there after a restart.
    fill(&node, "c", 7..8);
    drop(node);
    let node = open(dir.path());
    assert_eq!(shown(&node, "other"), before);
    assert_eq!(shown(&node, "c").len(), 3000);
    assert_eq!(node.check(), Vec::<String>::new());
    node.delete_snapshot("c", &info.name).unwrap();
    assert_eq!(node.snapshots("c").unwrap(), []);
    assert_eq!(
        node.delete_snapshot("c", &info.name).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_damaged_archive_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = filled(dir.path());
    let info = node.create_snapshot("c").unwrap();
    let path = node.snapshot_path("c", &info.name).unwrap();
    let before = shown(&node, "c");
    let mut bytes = std::fs::read(&path).unwrap();
    let near_the_end = bytes.len() - 40;
    bytes[near_the_end] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = node.restore_snapshot("c", &path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let error = node.restore_snapshot("new", &path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(shown(&node, "c"), before);
    assert_eq!(node.collections(), ["c"]);
}

#[test]
fn names_lead_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let node = filled(dir.path());
    node.create_snapshot("c").unwrap();
    for name in [
        "",
        ".",
        "..",
        "../c",
        "../../../guard",
        "/etc/passwd",
        "c.vecino.part",
    ] {
        let error = node.snapshot_path("c", name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{name}");
    }
    for path in ["/etc/passwd", "guard", "nowhere"] {
        let error = node.snapshot_at(&dir.path().join(path)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}");
    }
    let long = "ü".repeat(120);
    for name in ["a b", "50%", long.as_str()] {
        node.create_collection(name, dense(2, Metric::L2, None))
            .unwrap();
        let info = node.create_snapshot(name).unwrap();
        assert_eq!(node.snapshots(name).unwrap(), [info]);
    }
}

#[test]
fn writes_go_on_while_a_snapshot_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let node = filled(dir.path());
    let (first, last) = std::thread::scope(|scope| {
        let writer =
            scope.spawn(|| (0..200).for_each(|at| fill(&node, "c", 10_000 + at..10_001 + at)));
        let first = node.create_snapshot("c").unwrap();
        writer.join().unwrap();
        (first, node.create_snapshot("c").unwrap())
    });
    for (name, info, points) in [("first", first, 2999..=3199), ("last", last, 3199..=3199)] {
        let path = node.snapshot_path("c", &info.name).unwrap();
        let restored = node.restore_snapshot(name, &path).unwrap();
        assert!(points.contains(&restored), "{name}: {restored}");
        // What is in it is a beginning of what was written, without holes.
        let serials = node.collection(name).unwrap().count(None).unwrap() as u64;
        assert_eq!(serials, restored);
        let newest = 10_000 + (restored - 2999);
        assert!(
            !node
                .collection(name)
                .unwrap()
                .contains(&PointId::Num(newest))
        );
    }
}

struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A write whose collection was replaced before its turn, and a read whose rows went, were told that there is no such collection.
#[test]
fn nobody_sees_a_collection_absent_that_is_being_replaced() {
    let dir = scratch();
    let node = filled(dir.path());
    let info = node.create_snapshot("c").unwrap();
    let path = node.snapshot_path("c", &info.name).unwrap();
    let restored = AtomicBool::new(false);
    let until_restored = |call: &dyn Fn(u64)| {
        let mut at = 0;
        while !restored.load(Ordering::Relaxed) || at == 0 {
            call(at);
            at += 1;
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until_restored(&|at| fill(&node, "c", 10_000 + at..10_001 + at));
        });
        scope.spawn(|| {
            until_restored(&|at| {
                let ids = [PointId::Num(at % 3000)];
                node.delete("c", &ids).unwrap();
            });
        });
        scope.spawn(|| until_restored(&|_| assert!(shown(&node, "c").len() > 1000)));
        // Also if a restore fails: the others end then.
        let _end = SetWhenDropped(&restored);
        for _ in 0..10 {
            assert_eq!(node.restore_snapshot("c", &path).unwrap(), 2999);
        }
    });
    fill(&node, "c", 50_000..50_001);
    assert!(
        node.collection("c")
            .unwrap()
            .contains(&PointId::Num(50_000))
    );
    assert_eq!(node.check(), Vec::<String>::new());
}

#[test]
fn a_snapshot_of_the_node_is_a_data_folder() {
    let dir = tempfile::tempdir().unwrap();
    let node = filled(dir.path());
    let before = shown(&node, "c");
    let info = node.create_node_snapshot().unwrap();
    assert!(info.bytes > 0);
    assert_eq!(node.node_snapshots().unwrap(), std::slice::from_ref(&info));
    fill(&node, "c", 0..10);
    node.drop_collection("c").unwrap();
    let copy = open(&node.node_snapshots_folder().join(&info.name));
    assert_eq!(shown(&copy, "c"), before);
    drop(copy);
    node.delete_node_snapshot(&info.name).unwrap();
    assert_eq!(
        node.delete_node_snapshot("..").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(node.node_snapshots().unwrap(), []);
}
