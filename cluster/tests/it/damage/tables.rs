//! Damaged blocks of tables and blob files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cluster::engine::query::{Selection, VectorSelection};
use cluster::engine::{Error, ErrorKind, Media, MediaKind, Metric, Point, PointId, Vector};
use cluster::{Node, NodeOptions};
use serde_json::json;

use super::{folder, is_long};
use crate::{Random, dense, object, open};

const COLLECTIONS: [&str; 2] = ["a", "b"];
const POINTS: u64 = 300;
const DIM: usize = 160;

/// Everything about a point follows from its collection and id.
fn written(collection: &str, id: u64) -> Point {
    let mut random = Random(id ^ u64::from(collection.as_bytes()[0]) << 32);
    let values: Vec<f32> = (0..DIM).map(|_| random.unit()).collect();
    let text = format!("{collection} {id} {}", random.next()).repeat(30);
    Point {
        id: PointId::Num(id),
        vectors: BTreeMap::from([(String::new(), Vector::Dense(values))]),
        payload: object(json!({"text": text, "n": random.below(1000)})),
        expires_at_ms: None,
        media: vec![Media {
            kind: MediaKind::Text,
            content_type: "text/plain".into(),
            bytes: text.into_bytes().into(),
        }],
    }
}

/// Every row, vector and medium, all right; or the first error.
fn read(node: &Node, name: &str) -> Result<(), Error> {
    let collection = node.collection(name)?;
    let (payload, vectors) = (Selection::All, VectorSelection::All);
    let page = collection.scroll(None, None, usize::MAX, &payload, &vectors)?;
    assert_eq!(page.points.len() as u64, POINTS, "points of {name}");
    for record in page.points {
        let PointId::Num(id) = record.id else {
            panic!("ids are numbers")
        };
        let wanted = written(name, id);
        assert_eq!(
            record.payload.as_deref(),
            Some(&wanted.payload),
            "payload of {name}/{id}"
        );
        assert_eq!(
            record.vectors,
            Some(wanted.vectors),
            "vector of {name}/{id}"
        );
        let medium = collection.media(&record.id, MediaKind::Text)?;
        assert_eq!(medium.as_ref(), wanted.media.first(), "text of {name}/{id}");
    }
    for (id, values) in collection.vector_rows("")? {
        let PointId::Num(id) = id else {
            panic!("ids are numbers")
        };
        assert_eq!(
            Vector::Dense(values),
            written(name, id).vectors[""],
            "{name}/{id} in memory"
        );
    }
    Ok(())
}

fn write(dir: &Path) -> PathBuf {
    let store = dir.join("written");
    let node = open(&store);
    for name in COLLECTIONS {
        node.create_collection(name, dense(DIM, Metric::L2, None))
            .unwrap();
        node.upsert(name, (0..POINTS).map(|id| written(name, id)).collect())
            .unwrap();
    }
    drop(node);
    // Opening brings what the log has into tables.
    let node = open(&store);
    for name in COLLECTIONS {
        read(&node, name).unwrap();
    }
    drop(node);
    assert!(folder::files(&store, &["blob"]).len() >= 2);
    store
}

#[test]
fn a_damaged_block_is_noticed_and_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let store = write(dir.path());
    let files: Vec<(PathBuf, Vec<u8>)> = folder::files(&store, &["sst", "blob"])
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    let mut random = Random(5);
    let rounds = if is_long() { 100 } else { 20 };
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0..rounds {
        // Every second time any file, however small; else where most bytes are.
        let bytes: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let mut at = random.below(bytes);
        let mut chosen = random.below(files.len() as u64) as usize;
        if round % 2 == 0 {
            chosen = files
                .iter()
                .take_while(|(_, bytes)| {
                    let here = at < bytes.len() as u64;
                    at = if here { at } else { at - bytes.len() as u64 };
                    !here
                })
                .count();
        }
        let (path, bytes) = &files[chosen];
        let place = random.below(bytes.len() as u64) as usize;
        let mut bytes = bytes.clone();
        let end = bytes.len().min(place + 64);
        bytes[place..end].iter_mut().for_each(|byte| *byte ^= 0x5a);

        let damaged = dir.path().join("damaged");
        folder::copy(&store, &damaged);
        let file = damaged.join("rocksdb").join(path.file_name().unwrap());
        // Not through the link.
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, bytes).unwrap();
        let what = notice(&damaged);
        println!("{} at {place}: {what}", path.file_name().unwrap().display());
        *seen.entry(what).or_default() += 1;
        std::fs::remove_dir_all(&damaged).unwrap();
    }
    println!("{rounds} damages: {seen:?}");
    let unread = seen.get(UNREAD).copied().unwrap_or(0);
    assert!(
        unread * 4 < rounds,
        "most damages must be noticed: {seen:?}"
    );
}

/// All collections share one database, and one that meets damage in the background takes no more writes: it says so, and reads go on.
#[test]
fn writes_that_damage_elsewhere_refuses_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = write(dir.path());
    let mut refused = 0;
    for path in folder::files(&store, &["sst"]) {
        let damaged = dir.path().join("damaged");
        folder::copy(&store, &damaged);
        let file = damaged.join("rocksdb").join(path.file_name().unwrap());
        let mut bytes = std::fs::read(&file).unwrap();
        let place = bytes.len() / 3;
        bytes[place..place + 32]
            .iter_mut()
            .for_each(|byte| *byte ^= 0x5a);
        // Not through the link.
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, bytes).unwrap();
        refused += usize::from(is_refused_and_told(&damaged));
        std::fs::remove_dir_all(&damaged).unwrap();
    }
    assert!(refused > 0, "no merge met the damage");
}

/// Drops one collection, whose records are merged away then. Whether that ended all writes; if so, they must tell why.
fn is_refused_and_told(store: &Path) -> bool {
    let Ok(node) = Node::open(store, NodeOptions::default()) else {
        return false;
    };
    node.wait_until_ready();
    if read(&node, "b").is_err() || node.ensure_writable().is_err() {
        return false;
    }
    if node.drop_collection("a").is_err() {
        return false;
    }
    while node.background().reclaim_steps > 0 {
        std::thread::yield_now();
    }
    let Err(refusal) = node.ensure_writable() else {
        return false;
    };
    let write = node.upsert("b", vec![written("b", 1)]).unwrap_err();
    for error in [refusal, write] {
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
        for said in ["every write is refused", "doctor --repair", "reads go on"] {
            assert!(error.to_string().contains(said), "{error}");
        }
    }
    read(&node, "b").unwrap();
    true
}

const UNREAD: &str = "in bytes that nothing reads";

/// Opens, checks and reads everything; whatever is answered must be right.
fn notice(store: &Path) -> &'static str {
    let node = match Node::open(store, NodeOptions::default()) {
        Ok(node) => node,
        Err(error) => {
            assert!(error.to_string().len() > 20, "{error}");
            return "the store is refused";
        }
    };
    node.wait_until_ready();
    let problems = node.check();
    let reads: Vec<Result<(), Error>> = COLLECTIONS.iter().map(|name| read(&node, name)).collect();
    let failed = reads.iter().filter(|read| read.is_err()).count();
    match (failed, problems.is_empty()) {
        (0, true) => UNREAD,
        (0, false) => "told by the check, both collections served",
        (1, _) => "one collection answers an error, the other is served",
        _ => "both collections answer errors",
    }
}
