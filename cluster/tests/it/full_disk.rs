//! A full disk: writes are refused with nothing half-written, reads go on, and room brings writes back.

use std::io::Write;
use std::process::Command;

use cluster::Node;
use cluster::engine::{Error, ErrorKind, IndexKind, Metric, OnLoss, Point, PointId, repair};
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
    let error = fill(&node, &mut acknowledged, |first| {
        let point = |at| point(first + at, &[at as f32; 64], json!({"filler": filler}));
        (0..50).map(point).collect()
    });
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    assert!(error.to_string().contains("reads go on"), "{error}");
    // The message tells to delete points, so that must be possible well below the reserve, also while others still try to write.
    let ballast = disk.0.path().join("ballast");
    let small = |id| vec![point(id, &[0.0; 64], json!({}))];
    let mut file = std::fs::File::create(&ballast).unwrap();
    // Refused writes have the background make room, so that it takes more than a few.
    while node.upsert("c", small(100)).is_ok() {
        file.write_all(&vec![1; 1 << 20]).unwrap();
    }
    file.write_all(&vec![1; 8 << 20]).unwrap();
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

/// Writes to "c" until a write is refused, and answers what it was told. The points of each write are those from `next` on, which counts them.
fn fill(node: &Node, next: &mut u64, points: impl Fn(u64) -> Vec<Point>) -> Error {
    loop {
        let points = points(*next);
        let count = points.len() as u64;
        match node.upsert("c", points) {
            Ok(_) => *next += count,
            Err(error) => return error,
        }
        assert!(*next < 400_000, "the disk never filled");
    }
}

/// Waits for what the background does.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !done() {
        assert!(started.elapsed().as_secs() < 60, "{what}");
        std::thread::yield_now();
    }
}

/// 400 points of 2 KiB.
fn large_points(first: u64) -> Vec<Point> {
    let values = |id: u64| -> Vec<f32> {
        let value = |at: u64| (id * 512 + at).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        (0..512).map(|at| value(at) as f32).collect()
    };
    let ids = first..first + 400;
    ids.map(|id| point(id, &values(id), json!({"n": id})))
        .collect()
}

#[test]
fn deleting_points_brings_writes_back_to_a_full_disk() {
    let Some(disk) = Tmpfs::mount(320) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let folder = disk.0.path().join("data");
    let node = open(&folder);
    node.create_collection("c", dense(512, Metric::L2, Some(IndexKind::Flat)))
        .unwrap();
    let mut stored = 0;
    let error = fill(&node, &mut stored, large_points);
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    let kept = stored - 4000;
    for first in (0..kept).step_by(4000) {
        let ids: Vec<PointId> = (first..kept.min(first + 4000)).map(PointId::Num).collect();
        node.delete("c", &ids).unwrap();
    }
    // Not just a few: a quarter of what was there. Writes may outrun the background for a moment, and are refused meanwhile.
    let mut left = 4000;
    wait_until("writes are still refused", || {
        while left < 4000 + stored / 4
            && node.upsert("c", large_points(stored + left - 4000)).is_ok()
        {
            left += 400;
        }
        left >= 4000 + stored / 4
    });
    let count = |node: &Node| node.collection("c").unwrap().count(None).unwrap() as u64;
    assert_eq!(count(&node), left);
    assert_eq!(node.check(), Vec::<String>::new());
    drop(node);
    assert_eq!(count(&open(&folder)), left);
}

/// Deletes in portions, with as many writes in between as are taken: what each portion gives back must not be eaten by what the next one takes.
#[test]
fn deleting_in_portions_brings_writes_back_again_and_again() {
    let Some(disk) = Tmpfs::mount(340) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let folder = disk.0.path().join("data");
    let node = open(&folder);
    node.create_collection("c", dense(512, Metric::L2, Some(IndexKind::Flat)))
        .unwrap();
    let mut live = Vec::new();
    let mut next = 0;
    let fill = |live: &mut Vec<u64>, next: &mut u64| {
        let first = *next;
        fill(&node, next, large_points);
        live.extend(first..*next);
    };
    fill(&mut live, &mut next);
    let full = live.len();
    for (round, one_of) in (1..).zip([10, 10, 3, 3]) {
        let goes = |id: &u64| (id * round).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32 & 0xff;
        let (gone, left): (Vec<u64>, Vec<u64>) =
            live.iter().partition(|&id| goes(id) < 256 / one_of);
        for ids in gone.chunks(1000) {
            let ids: Vec<PointId> = ids.iter().copied().map(PointId::Num).collect();
            node.delete("c", &ids).unwrap();
        }
        live = left;
        fill(&mut live, &mut next);
    }
    // A third and a third of the rest were deleted.
    let wanted = live.len() + full / 4;
    wait_until("writes are still refused", || {
        while live.len() < wanted && node.upsert("c", large_points(next)).is_ok() {
            live.extend(next..next + 400);
            next += 400;
        }
        live.len() >= wanted
    });
    let count = |node: &Node| node.collection("c").unwrap().count(None).unwrap();
    assert_eq!(count(&node), live.len());
    assert_eq!(node.check(), Vec::<String>::new());
    drop(node);
    assert_eq!(count(&open(&folder)), live.len());
}

#[test]
fn a_store_that_a_full_disk_keeps_shut_says_so_and_opens_when_there_is_room() {
    let Some(disk) = Tmpfs::mount(192) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let folder = disk.0.path().join("data");
    let node = open(&folder);
    node.create_collection("c", dense(2, Metric::L2, None))
        .unwrap();
    node.upsert("c", vec![point(1, &[1.0, 2.0], json!({}))])
        .unwrap();
    drop(node);
    let ballast = disk.0.path().join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);
    let Err(error) = Node::open(&folder, cluster::NodeOptions::default()) else {
        panic!("opened with no byte free");
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    for said in ["nothing is damaged", "make ", "MiB free"] {
        assert!(error.to_string().contains(said), "{error}");
    }
    let Err(error) = repair(&folder, OnLoss::Ask) else {
        panic!("repaired with no byte free");
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    std::fs::remove_file(&ballast).unwrap();
    let node = open(&folder);
    assert!(node.collection("c").unwrap().contains(&PointId::Num(1)));
    assert_eq!(node.check(), Vec::<String>::new());
}

/// Their vectors stay where the store wrote them, so the segment takes little; the room for a copy is not there.
#[test]
fn rows_that_need_no_copy_are_sealed_though_the_disk_is_short() {
    let Some(disk) = Tmpfs::mount(256) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let node = open(&disk.0.path().join("data"));
    node.create_collection("c", dense(512, Metric::L2, Some(IndexKind::Flat)))
        .unwrap();
    std::fs::write(disk.0.path().join("ballast"), vec![1; 70 << 20]).unwrap();
    for first in (0..10_000).step_by(400) {
        node.upsert("c", large_points(first)).unwrap();
    }
    let collection = node.collection("c").unwrap();
    wait_until("the rows are not sealed", || {
        collection.progress().indexed_rows == 10_000
    });
    assert_eq!(node.check(), Vec::<String>::new());
}

#[test]
fn a_graph_for_which_there_is_no_room_is_not_built() {
    let Some(disk) = Tmpfs::mount(256) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let node = open(&disk.0.path().join("data"));
    node.create_collection("c", dense(16, Metric::L2, None))
        .unwrap();
    let mut ballast = std::fs::File::create(disk.0.path().join("ballast")).unwrap();
    ballast.write_all(&vec![1; 115 << 20]).unwrap();
    let points = (0..3000).map(|id| point(id, &[id as f32; 16], json!({})));
    node.upsert("c", points.collect()).unwrap();
    // Below the reserve before the rows have rested long enough to be sealed: little is left to write.
    ballast.write_all(&vec![1; 25 << 20]).unwrap();
    drop(ballast);
    let collection = node.collection("c").unwrap();
    let waiting = || collection.progress().waiting.unwrap_or_default();
    wait_until("the graph does not wait for room", || {
        waiting().contains("a graph of 3000 rows waits")
    });
    std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
    wait_until("the graph is not built", || {
        collection.progress().indexed_rows == 3000
    });
}
