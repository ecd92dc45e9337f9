//! The door to archives for a fuzzer.

use super::frame::{FrameWriter, Kind};
use super::read::ArchiveReader;
use super::record::{ArchivedMedium, ArchivedPoint, End, Header, Points};
use crate::fuzz::{same, settings, some_settings};
use crate::point::{PointId, Vector};
use crate::storage::codec;
use crate::storage::record::encode_vector;

/// A file as it is, and its bytes as frames (kind u8, length u16, body) under right checksums.
pub fn archive(bytes: &[u8]) {
    read(bytes);
    let mut rest = bytes;
    let mut file = Vec::new();
    let mut frames = FrameWriter::new(&mut file).unwrap();
    while let Some(([kind, low, high], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (body, after) = after.split_at(length);
        rest = after;
        let kind = [Kind::Header, Kind::Points, Kind::End][usize::from(kind % 3)];
        frames.write(kind, body).unwrap();
        check_body(kind, body);
    }
    frames.finish().unwrap();
    read(&file);
}

fn check_body(kind: Kind, body: &[u8]) {
    match kind {
        Kind::Header => {
            same::<Header>(body);
            if let Ok(header) = codec::decode::<Header>(body, "header") {
                settings(&header.config_json);
            }
        }
        Kind::Points => same::<Points>(body),
        Kind::End => same::<End>(body),
    }
}

/// Reads all that there is; the end counts the points that came.
fn read(file: &[u8]) {
    let Ok(mut reader) = ArchiveReader::open(file) else {
        return;
    };
    while let Ok(Some(points)) = reader.next_points() {
        for point in points {
            assert_eq!(PointId::decode(&point.id.encode()).unwrap(), point.id);
        }
    }
    // After the end, or an error, there is nothing more.
    assert!(matches!(reader.next_points(), Ok(None)));
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let header = codec::encode(&Header {
        collection: "c".into(),
        config_json: serde_json::to_vec(&some_settings()).unwrap(),
        written_at_ms: 5,
    });
    let medium = ArchivedMedium {
        kind: 1,
        content_type: "image/png".into(),
        bytes: vec![7; 9],
    };
    let point = ArchivedPoint {
        id: PointId::Num(1).encode(),
        payload: br#"{"a":1}"#.to_vec(),
        expires_at_ms: Some(9),
        vectors: vec![(
            "place".into(),
            encode_vector(&Vector::Dense(vec![1.0, 2.0])),
        )],
        media: vec![medium],
    };
    let bare = ArchivedPoint {
        id: PointId::Str("x".into()).encode(),
        ..ArchivedPoint::default()
    };
    let points = vec![point, bare];
    let end = codec::encode(&End { points: 2 });
    let bodies = [header, codec::encode(&Points { points }), end];
    let (mut file, mut loose) = (Vec::new(), Vec::new());
    let mut frames = FrameWriter::new(&mut file).unwrap();
    for ((number, kind), body) in (0..)
        .zip([Kind::Header, Kind::Points, Kind::End])
        .zip(&bodies)
    {
        frames.write(kind, body).unwrap();
        let [low, high] = (body.len() as u16).to_le_bytes();
        loose.extend_from_slice(&[number, low, high]);
        loose.extend_from_slice(body);
    }
    frames.finish().unwrap();
    vec![file, loose]
}
