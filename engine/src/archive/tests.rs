use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::query::{Selection, VectorSelection};
use crate::segment::policy::SEAL_ROWS;
use crate::storage::{Family, Visit};
use crate::{
    Collection, CollectionConfig, Engine, EngineOptions, ErrorKind, Media, MediaKind, Metric,
    Operation, Partition, Point, PointId, Share, SparseVector, SparseVectorConfig, Vector,
    VectorConfig,
};

fn open(dir: &Path) -> Engine {
    Engine::open(dir, EngineOptions::default()).unwrap()
}

fn config() -> CollectionConfig {
    let mut config = CollectionConfig::default();
    let dense = VectorConfig::new(2, Metric::L2);
    config.vectors.insert("place".into(), dense);
    config
        .sparse_vectors
        .insert("words".into(), SparseVectorConfig::default());
    config
}

/// Points with everything, with something and with nothing.
fn points() -> Vec<Point> {
    let sparse = SparseVector::new(vec![7, 9], vec![0.5, 2.0]).unwrap();
    let full = Point {
        id: PointId::Str("Äpfel/🍏".into()),
        vectors: BTreeMap::from([
            ("place".into(), Vector::Dense(vec![1.0, -2.5])),
            ("words".into(), Vector::Sparse(sparse)),
        ]),
        payload: json!({ "name": "apple", "deep": { "list": [1, null, 2.5] } })
            .as_object()
            .unwrap()
            .clone(),
        expires_at_ms: Some(u64::MAX),
        media: vec![
            Media {
                kind: MediaKind::Text,
                content_type: "text/plain".into(),
                bytes: b"an apple".as_slice().into(),
            },
            Media {
                kind: MediaKind::Image,
                content_type: "image/png".into(),
                bytes: vec![7; 5000].into(),
            },
        ],
    };
    let bare = |id| Point {
        id,
        vectors: BTreeMap::new(),
        payload: json!({}).as_object().unwrap().clone(),
        expires_at_ms: None,
        media: Vec::new(),
    };
    vec![full, bare(PointId::Num(u64::MAX)), bare(PointId::Uuid(5))]
}

fn write(engine: &Engine, name: &str, points: Vec<Point>) {
    let collection = engine.collection(name).unwrap().id();
    for (at, point) in (0..).zip(points) {
        let operations = vec![Operation::Upsert {
            collection,
            point: point.into(),
        }];
        let partition = Partition(at % crate::PARTITIONS);
        let entries = engine
            .append(vec![Share {
                partition,
                operations,
            }])
            .unwrap();
        engine.apply(entries).unwrap();
    }
}

fn archive(engine: &Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    let summary = engine
        .collection("c")
        .unwrap()
        .write_archive(&mut bytes)
        .unwrap();
    assert_eq!(summary.bytes, bytes.len() as u64);
    assert_eq!(
        summary.points,
        engine.collection("c").unwrap().info().points as u64
    );
    bytes
}

fn read(bytes: &[u8]) -> crate::Result<Vec<Point>> {
    let mut reader = ArchiveReader::open(bytes)?;
    let mut points = Vec::new();
    while let Some(more) = reader.next_points()? {
        points.extend(more);
    }
    points.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(points)
}

fn show(points: &[Point]) -> Vec<String> {
    points.iter().map(|point| format!("{point:?}")).collect()
}

fn filled(dir: &Path) -> Engine {
    let engine = open(dir);
    engine.create_collection("c", config()).unwrap();
    write(&engine, "c", points());
    engine
}

#[test]
fn what_is_written_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let bytes = archive(&engine);
    let reader = ArchiveReader::open(bytes.as_slice()).unwrap();
    assert_eq!(reader.collection(), "c");
    let json = |config| serde_json::to_value(config).unwrap();
    assert_eq!(json(reader.config()), json(&config()));
    let mut expected = points();
    expected.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(show(&read(&bytes).unwrap()), show(&expected));
}

#[test]
fn many_points_take_many_frames() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.create_collection("c", config()).unwrap();
    let mut point = points().swap_remove(0);
    point.media[1].bytes = vec![1; 300_000].into();
    let many = (0..10).map(|id| Point {
        id: PointId::Num(id),
        ..point.clone()
    });
    write(&engine, "c", many.collect());
    let bytes = archive(&engine);
    assert!(bytes.len() > 3_000_000);
    assert_eq!(read(&bytes).unwrap().len(), 10);
}

#[test]
fn cut_anywhere_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = archive(&filled(dir.path()));
    for len in 0..bytes.len() {
        assert!(
            read(&bytes[..len]).is_err(),
            "{len} of {} bytes",
            bytes.len()
        );
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(read(&longer).unwrap_err().kind(), ErrorKind::Corrupted);
}

#[test]
fn a_changed_byte_is_noticed_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = archive(&filled(dir.path()));
    for at in 0..bytes.len() {
        bytes[at] ^= 0x10;
        assert!(read(&bytes).is_err(), "byte {at}");
        bytes[at] ^= 0x10;
    }
}

#[test]
fn a_frame_that_was_left_out_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = archive(&filled(dir.path()));
    let frame = |at: usize| {
        let len = u32::from_le_bytes(bytes[at + 1..at + 5].try_into().unwrap());
        at + 9 + len as usize
    };
    let points = frame(12);
    let without = [&bytes[..points], &bytes[frame(points)..]].concat();
    assert_eq!(read(&without).unwrap_err().kind(), ErrorKind::Corrupted);
}

/// Writes into the collection as soon as the archive begins.
struct Meddler<'a> {
    engine: &'a Engine,
    bytes: Vec<u8>,
}

impl Write for Meddler<'_> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        if self.bytes.is_empty() {
            let late = Point {
                id: PointId::Num(1),
                ..points().swap_remove(1)
            };
            write(self.engine, "c", vec![late]);
        }
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The end counts what was read: a frame that could not be must not be counted as if its points had come.
#[test]
fn nothing_follows_a_frame_that_cannot_be_read() {
    use super::frame::{FrameWriter, Kind};
    use super::record::{ArchivedPoint, End, Header, Points};
    use crate::storage::codec;

    let header = codec::encode(&Header {
        collection: "c".into(),
        config_json: b"{}".to_vec(),
        written_at_ms: 0,
    });
    let no_id = codec::encode(&Points {
        points: vec![ArchivedPoint::default()],
    });
    let end = codec::encode(&End { points: 1 });
    let mut bytes = Vec::new();
    let mut frames = FrameWriter::new(&mut bytes).unwrap();
    for (kind, body) in [
        (Kind::Header, header),
        (Kind::Points, no_id.clone()),
        (Kind::Points, no_id),
        (Kind::End, end),
    ] {
        frames.write(kind, &body).unwrap();
    }
    frames.finish().unwrap();
    let mut reader = ArchiveReader::open(bytes.as_slice()).unwrap();
    assert!(reader.next_points().is_err());
    assert!(reader.next_points().unwrap().is_none());
}

#[test]
fn writes_go_on_and_are_not_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let collection = engine.collection("c").unwrap();
    let mut meddler = Meddler {
        engine: &engine,
        bytes: Vec::new(),
    };
    collection.write_archive(&mut meddler).unwrap();
    assert_eq!(collection.info().points, 4);
    assert_eq!(read(&meddler.bytes).unwrap().len(), 3);
}

#[test]
fn an_unfinished_collection_is_not_listed_and_goes_with_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let unfinished = engine.create_unfinished(config()).unwrap();
    write(&engine, unfinished.name(), points());
    assert_eq!(engine.collections(), ["c"]);
    let name = unfinished.name().to_owned();
    drop((unfinished, engine));
    let engine = open(dir.path());
    assert_eq!(
        engine.collection(&name).err().unwrap().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(engine.collection("c").unwrap().info().points, 3);
}

#[test]
fn a_published_collection_takes_the_place_of_another_durably() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path());
    let unfinished = engine.create_unfinished(config()).unwrap();
    write(&engine, unfinished.name(), points().split_off(1));
    engine.publish_collection(&unfinished, "c").unwrap();
    let check = |engine: &Engine| {
        assert_eq!(engine.collections(), ["c"]);
        assert_eq!(engine.collection("c").unwrap().info().points, 2);
        assert_eq!(engine.check(), Vec::<String>::new());
    };
    check(&engine);
    write(&engine, "c", points().split_off(1));
    check(&engine);
    drop((unfinished, engine));
    check(&open(dir.path()));
}

/// Rows, values, changes and records of collections that the store has.
fn left(engine: &Engine) -> usize {
    let mut count = 0;
    for family in [
        Family::Meta,
        Family::Points,
        Family::Vectors,
        Family::Media,
        Family::Changes,
    ] {
        let mut visit = |_: &[u8], _: &[u8]| {
            count += 1;
            Ok(Visit::Next)
        };
        engine.store().scan(family, &[], &[], &mut visit).unwrap();
    }
    count
}

fn payloads(collection: &Collection) -> usize {
    let (all, vectors) = (Selection::All, VectorSelection::All);
    let page = collection
        .scroll(None, None, usize::MAX, &all, &vectors)
        .unwrap();
    page.points.len()
}

/// What was restored is sealed in the background like any other; the threads still knew the collection that the restore had filled.
#[test]
fn a_published_collection_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let unfinished = engine.create_unfinished(config()).unwrap();
    let upsert = |id| Operation::Upsert {
        collection: unfinished.id(),
        point: Point {
            id: PointId::Num(id),
            vectors: BTreeMap::new(),
            payload: json!({}).as_object().unwrap().clone(),
            expires_at_ms: None,
            media: Vec::new(),
        }
        .into(),
    };
    let fill = |ids: std::ops::Range<u64>| {
        let share = Share {
            partition: Partition(1),
            operations: ids.map(upsert).collect(),
        };
        engine.apply(engine.append(vec![share]).unwrap()).unwrap();
    };
    fill(0..1);
    // The threads hear of what is being filled before it is published.
    let heard = std::time::Duration::from_millis(200);
    std::thread::sleep(heard);
    fill(1..SEAL_ROWS as u64);
    engine.publish_collection(&unfinished, "c").unwrap();
    drop(unfinished);
    let begun = std::time::Instant::now();
    let is_sealed = || {
        let segments = engine.collection("c").unwrap().info().segments;
        segments.iter().any(|segment| segment.state == "sealed")
    };
    while !is_sealed() {
        assert!(begun.elapsed().as_secs() < 30, "it is never sealed");
        std::thread::yield_now();
    }
}

#[test]
fn a_replaced_collection_is_read_on_and_goes_with_its_last_reader() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(&dir.path().join("data"));
    let replace = || {
        let unfinished = engine.create_unfinished(config()).unwrap();
        write(&engine, unfinished.name(), points().split_off(1));
        engine.publish_collection(&unfinished, "c").unwrap();
    };
    let reclaimed = || {
        while engine.background().reclaim_steps > 0 {
            std::thread::yield_now();
        }
        left(&engine)
    };
    // A background thread may be the last that lets go of it.
    let comes_to = |count: usize| {
        let begun = std::time::Instant::now();
        while reclaimed() != count {
            assert!(begun.elapsed().as_secs() < 30, "{} is left", left(&engine));
        }
    };
    replace();
    let once = reclaimed();
    let read = engine.collection("c").unwrap();
    replace();
    assert!(reclaimed() > once, "its rows are there while it is read");
    assert_eq!(payloads(&read), 2);
    // A start finds no reader.
    let copy = dir.path().join("copy");
    engine.checkpoint(&copy).unwrap();
    assert_eq!(left(&open(&copy)), once);
    drop(read);
    comes_to(once);
    assert_eq!(engine.check(), Vec::<String>::new());
}

#[test]
fn a_checkpoint_is_a_data_folder() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(&dir.path().join("data"));
    let folder = dir.path().join("snapshot");
    engine.checkpoint(&folder).unwrap();
    engine.drop_collection("c").unwrap();
    let copy = open(&folder);
    assert_eq!(copy.collection("c").unwrap().info().points, 3);
    assert_eq!(copy.check(), Vec::<String>::new());
    write(&copy, "c", points());
}
