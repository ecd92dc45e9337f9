//! Rows that are damaged while they are served: none of them is a hit, the others are.

use std::os::unix::fs::FileExt;

use super::*;
use crate::error::ErrorKind;

/// Writes other numbers where the files have those of a row; how many places have them.
fn overwrite(files: &[PathBuf], row: &[f32], other: &[f32]) -> usize {
    let bytes = |numbers: &[f32]| -> Vec<u8> {
        let numbers = numbers.iter();
        numbers.flat_map(|number| number.to_le_bytes()).collect()
    };
    let (row, other) = (bytes(row), bytes(other));
    let mut places = 0;
    for path in files {
        let held = std::fs::read(path).unwrap();
        let windows = held.windows(row.len()).enumerate();
        let found: Vec<usize> = windows
            .filter_map(|(at, window)| (window == row).then_some(at))
            .collect();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        for at in &found {
            file.write_all_at(&other, *at as u64).unwrap();
        }
        places += found.len();
    }
    places
}

fn values(n: u64, name: &str) -> Vec<f32> {
    match point(n, 1.0).vectors.remove(name) {
        Some(Vector::Dense(values)) => values,
        _ => panic!("point {n} has no \"{name}\""),
    }
}

fn query(using: &str, vector: QueryVector, limit: usize) -> Query {
    Query {
        kind: QueryKind::Nearest(vector),
        using: using.into(),
        limit,
        ..Query::default()
    }
}

fn hits(collection: &Collection, query: &Query) -> Vec<(PointId, u32)> {
    let points = collection.query(query).unwrap().points.into_iter();
    points
        .map(|point| (point.id, point.score.to_bits()))
        .collect()
}

/// 300 points in one segment.
fn sealed(dir: &Path) -> (Engine, Arc<Collection>) {
    let engine = open(dir);
    let collection = create(&engine);
    write(&engine, (0..300).map(|n| (n, Some(1.0))));
    collection.seal_now();
    (engine, collection)
}

/// A trial found one served with a score of 5.7e24.
#[test]
fn a_damaged_row_of_a_linked_file_is_no_hit() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection) = sealed(dir.path());
    let target = vec![0.3; LARGE_DIM];
    let ask = |limit| query("large", QueryVector::Dense(target.clone()), limit);
    let all = hits(&collection, &ask(300));
    assert_eq!(collection.info().trouble, None);
    // As near as can be, more of them than are asked for.
    let damaged: Vec<u64> = (30..80).filter(|n| n % 9 != 2).collect();
    for &n in &damaged {
        assert_eq!(
            overwrite(&links(&engine), &values(n, "large"), &target),
            1,
            "{n}"
        );
    }
    let is_sound = |id: &PointId| damaged.iter().all(|&n| super::id(n) != *id);
    let mut sound = all;
    sound.retain(|(id, _)| is_sound(id));
    // All were compared with their checksums by the first query, before they were damaged; some of the hits are each time.
    let noticed = (0..1000).any(|_| hits(&collection, &ask(300)) == sound);
    assert!(noticed, "damaged rows are hits after 1,000 queries");
    for limit in [1, 10, 300] {
        assert_eq!(
            hits(&collection, &ask(limit)),
            sound[..limit.min(sound.len())]
        );
    }
    let trouble = collection.info().trouble.unwrap();
    let wanted = ["vector \"large\" of point", "checksum", "doctor --repair"];
    assert!(
        wanted.iter().all(|part| trouble.contains(part)),
        "{trouble}"
    );
    // Nor is one searched with, and what has no part in it is answered.
    let like = |n| QueryVector::Point {
        id: id(n),
        using: None,
    };
    let error = collection.query(&query("large", like(30), 3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert_eq!(hits(&collection, &query("large", like(3), 3)).len(), 3);
    assert_eq!(collection.count(None).unwrap(), 300);
    // Written anew, it answers again.
    write(&engine, [(30, Some(0.3))]);
    assert!(
        hits(&collection, &ask(300))
            .iter()
            .any(|(found, _)| *found == id(30))
    );
}

#[test]
fn a_row_of_a_segment_with_impossible_numbers_is_no_hit() {
    let check = |damage: f32| {
        let dir = tempfile::tempdir().unwrap();
        let (engine, collection) = sealed(dir.path());
        let target: Vec<f32> = values(60, "wide");
        let ask = query("wide", QueryVector::Dense(target.clone()), 10);
        let mut expected = hits(&collection, &ask);
        let first = expected.remove(0);
        assert_eq!(first.0, id(60));
        let mut row = target.clone();
        row[0] = damage * target[0].signum();
        assert_eq!(overwrite(&files(&engine), &target, &row), 1);
        let found = hits(&collection, &ask);
        assert_eq!(found.len(), 10, "{damage}");
        assert_eq!(found[..9], expected, "{damage}");
        let trouble = collection.info().trouble.unwrap();
        assert!(trouble.contains("vector \"wide\" of point 60"), "{trouble}");
    };
    check(5.7e24);
    check(f32::INFINITY);
    check(2.0);
}
