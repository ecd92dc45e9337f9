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

/// As the next start finds the files after `damage`, when it has compared all of them and nobody has asked anything.
fn inspected(dir: &Path, damage: impl FnOnce(&[PathBuf])) -> (Engine, Arc<Collection>) {
    let (engine, collection) = sealed(dir);
    let all = all_files(&engine);
    drop((collection, engine));
    damage(&all);
    let engine = open(dir);
    let collection = engine.collection(NAME).unwrap();
    until("the segments are not compared", || {
        collection.is_inspected()
    });
    (engine, collection)
}

fn trouble(collection: &Collection, parts: &[&str]) {
    let trouble = collection.info().trouble.expect("it has trouble");
    assert!(parts.iter().all(|part| trouble.contains(part)), "{trouble}");
}

/// A trial damaged rows such that they fell out of the answers: nobody noticed.
#[test]
fn a_damaged_row_that_no_query_brings_up_is_noticed_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut other = values(60, "wide");
    other.reverse();
    let (_engine, collection) = inspected(dir.path(), |files| {
        assert_eq!(overwrite(files, &values(60, "wide"), &other), 1);
    });
    trouble(
        &collection,
        &["rows of \"wide\"", "checksum", "doctor --repair"],
    );
}

#[test]
fn a_damaged_row_of_a_linked_file_that_no_query_brings_up_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let far = vec![-9.0; LARGE_DIM];
    let (_engine, collection) = inspected(dir.path(), |files| {
        assert_eq!(overwrite(files, &values(60, "large"), &far), 1);
    });
    trouble(
        &collection,
        &[
            "vector \"large\" of point 60",
            "checksum",
            "doctor --repair",
        ],
    );
    let all = hits(&collection, &query("large", QueryVector::Dense(far), 300));
    assert!(all.len() > 200 && all.iter().all(|(found, _)| *found != id(60)));
}

#[test]
fn sound_segments_are_found_sound() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection) = inspected(dir.path(), |_| {});
    assert_eq!(collection.info().trouble, None);
    assert!(!links(&engine).is_empty(), "rows stand in linked files");
}

/// What is merged before it was compared is compared after, also where it stands in files that the merge does not write.
#[test]
fn rows_that_a_merge_carries_along_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection) = sealed(dir.path());
    let linked = links(&engine);
    drop((collection, engine));
    let far = vec![-9.0; LARGE_DIM];
    assert_eq!(overwrite(&linked, &values(61, "large"), &far), 1);
    let engine = open(dir.path());
    let collection = engine.collection(NAME).unwrap();
    collection.is_paused.store(true, Ordering::SeqCst);
    write(&engine, (0..150).filter(|n| *n != 61).map(|n| (n, None)));
    collection.seal_now();
    collection.is_paused.store(false, Ordering::SeqCst);
    until("the segments are not compared", || {
        collection.is_inspected()
    });
    trouble(&collection, &["vector \"large\" of point"]);
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
