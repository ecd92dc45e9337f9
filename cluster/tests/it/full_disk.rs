//! A full disk: writes are refused with nothing half-written, reads go on, and room brings writes back.

use std::process::Command;

use cluster::engine::{ErrorKind, Metric, PointId};
use serde_json::json;

use crate::{dense, open, point};

/// A small tmpfs, unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// `None` where mounting is not permitted.
    fn mount(mebibytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// Once, or 20 times in the long form (`scripts/crash --damage`).
#[test]
fn a_full_disk_refuses_writes_and_reads_go_on() {
    for _ in 0..if crate::damage::is_long() { 20 } else { 1 } {
        fill_a_disk();
    }
}

fn fill_a_disk() {
    let Some(disk) = Tmpfs::mount(448) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let folder = disk.0.path().join("data");
    let node = open(&folder);
    node.create_collection("c", dense(64, Metric::L2, None))
        .unwrap();
    let filler = "x".repeat(20_000);
    let mut acknowledged = 0u64;
    let error = loop {
        let points = (0..50)
            .map(|at| {
                point(
                    acknowledged + at,
                    &[at as f32; 64],
                    json!({"filler": filler}),
                )
            })
            .collect();
        match node.upsert("c", points) {
            Ok(_) => acknowledged += 50,
            Err(error) => break error,
        }
        assert!(acknowledged < 100_000, "the disk never filled");
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    assert!(error.to_string().contains("reads go on"), "{error}");
    // The message tells to delete points, so that must be possible well below the reserve, also while others still try to write.
    let ballast = disk.0.path().join("ballast");
    let small = |id| vec![point(id, &[0.0; 64], json!({}))];
    let mut bytes = 0;
    while node.upsert("c", small(100)).is_ok() {
        bytes += 1 << 20;
        std::fs::write(&ballast, vec![1; bytes]).unwrap();
    }
    std::fs::write(&ballast, vec![1; bytes + (8 << 20)]).unwrap();
    std::thread::scope(|scope| {
        for id in [100, 101] {
            let (node, small) = (&node, &small);
            // These points are there already: nothing changes in number if background work has made room meanwhile.
            scope.spawn(move || (0..20).for_each(|_| drop(node.upsert("c", small(id)))));
        }
        for id in 10..30 {
            let receipt = node.delete("c", &[PointId::Num(id), PointId::Num(id)]);
            assert_eq!(receipt.unwrap().points, 1);
        }
    });
    std::fs::remove_file(&ballast).unwrap();
    acknowledged -= 20;
    let collection = node.collection("c").unwrap();
    assert_eq!(collection.count(None).unwrap() as u64, acknowledged);
    assert!(node.check().is_empty());
    drop(collection);
    drop(node);
    let node = open(&folder);
    assert_eq!(
        node.collection("c").unwrap().count(None).unwrap() as u64,
        acknowledged
    );
    // Deleting the collection makes room, and writes come back.
    assert!(node.drop_collection("c").unwrap());
    node.create_collection("d", dense(1, Metric::L2, None))
        .unwrap();
    node.upsert("d", vec![point(1, &[1.0], json!({}))]).unwrap();
    assert!(node.collection("d").unwrap().contains(&PointId::Num(1)));
}
