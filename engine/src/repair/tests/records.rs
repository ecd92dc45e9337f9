//! Records that are damaged or gone: every file of the database can be read.

use super::*;

#[test]
fn a_row_is_restored_from_the_log_or_told_as_lost() {
    check_record(
        Family::Points,
        &point_key(7),
        &["point 7 of collection c, from the log"],
        &[],
        &[],
    );
    check_record(
        Family::Points,
        &point_key(2),
        &[],
        &["collection c: point 2: all of it"],
        &[2],
    );
    for (id, lost) in [(7, None), (2, Some("collection c: point 2: all of it"))] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        edit(dir.path(), Family::Points, &point_key(id), None);
        let without = lost.map(|_| id);
        check_repair(dir.path(), &[], lost.as_slice(), without.as_slice());
    }
}

#[test]
fn settings_positions_notes_and_derived_records_are_restored() {
    check_record(
        Family::Meta,
        &key::meta_collection("c"),
        &["settings of collection c, from their copy"],
        &[],
        &[],
    );
    check_record(
        Family::Meta,
        key::META_NEXT_COLLECTION,
        &["number of the next collection"],
        &[],
        &[],
    );
    check_record(
        Family::Meta,
        key::META_FORMAT,
        &["version of the format"],
        &[],
        &[],
    );
    let applied = "position of partition 3: applied up to entry 2105";
    check_record(
        Family::State,
        &key::state_applied(PARTITION),
        &[applied],
        &[],
        &[],
    );
    check_record(
        Family::State,
        &key::collection_copy(C),
        &["copy of the settings"],
        &[],
        &[],
    );
    check_record(
        Family::State,
        &key::garbage(PARTITION, 2105),
        &["superseded and can go"],
        &[],
        &[],
    );
    check_record(
        Family::State,
        &key::request_list(PARTITION, 2105),
        &["lists of requests"],
        &[],
        &[],
    );
    let end = key::expiry(PARTITION, C, 4_000_000_000_000, &PointId::Num(4));
    check_record(
        Family::State,
        &end,
        &["when points of collection c end"],
        &[],
        &[],
    );
    check_record(
        Family::Changes,
        &key::change(PARTITION, C, 2105),
        &["segments of collection c"],
        &[],
        &[],
    );
    // An entry that is in the rows already.
    check_record(
        Family::Log,
        &key::log(PARTITION, 2080),
        &["the log of partition 3, from entry 2081 on"],
        &[],
        &[],
    );
}

#[test]
fn what_is_lost_is_named_before_it_is_removed() {
    let request = key::request(PARTITION, b"again");
    check_record(
        Family::State,
        &request,
        &[],
        &["the note of request \"again\""],
        &[],
    );
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let running = engine(dir.path());
    for number in [1, 2] {
        let share = Share {
            partition: PARTITION,
            operations: vec![upsert(C, 20 + number, 1)],
        };
        let _unapplied = running.append(vec![share]).unwrap();
    }
    drop(running);
    let applied = |dir: &Path| {
        let store = Store::open(dir).unwrap();
        let bytes = store
            .get(Family::State, &key::state_applied(PARTITION))
            .unwrap()
            .unwrap();
        codec::decode::<PartitionState>(&bytes, "state")
            .unwrap()
            .applied
    };
    assert_eq!(applied(dir.path()), 2105);
    edit(
        dir.path(),
        Family::Log,
        &key::log(PARTITION, 2106),
        Some(b"none"),
    );
    assert!(Engine::open(dir.path(), EngineOptions::default()).is_err());
    let asked = repair(dir.path(), OnLoss::Ask).unwrap();
    assert_eq!(asked.lost.len(), 1, "{asked:?}");
    assert!(
        asked.lost[0]
            .to_string()
            .contains("entry 2106 of partition 3")
    );
    let report = repair(dir.path(), OnLoss::Accept).unwrap();
    assert_eq!(report.left, Vec::<String>::new());
    let engine = engine(dir.path());
    let collection = engine.collection("c").unwrap();
    assert!(!collection.contains(&PointId::Num(21)));
    assert!(
        collection.contains(&PointId::Num(22)),
        "the entry behind it is applied"
    );
}

#[test]
fn a_point_keeps_what_of_it_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    // They have the vector too.
    std::fs::remove_dir_all(dir.path().join("segments")).unwrap();
    // Point 2 was last written by entry 2 as the third of ten, a vector and a medium each.
    edit(
        dir.path(),
        Family::Vectors,
        &key::value(PARTITION, C, 2, 4),
        Some(b"\x01\x00"),
    );
    edit(
        dir.path(),
        Family::Media,
        &key::value(PARTITION, C, 2, 3),
        None,
    );
    let lost: Vec<String> = repair(dir.path(), OnLoss::Ask)
        .unwrap()
        .lost
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(lost.len(), 2, "{lost:?}");
    assert!(
        lost[0].contains("collection c: point 1: its medium of type text/plain"),
        "{lost:?}"
    );
    assert!(
        lost[1].contains("collection c: point 2: its vector \"\""),
        "{lost:?}"
    );
    repair(dir.path(), OnLoss::Accept).unwrap();
    let engine = engine(dir.path());
    let collection = engine.collection("c").unwrap();
    let record = collection
        .retrieve(&[PointId::Num(2)], &Selection::All, &VectorSelection::All)
        .unwrap()
        .remove(0);
    assert_eq!(record.payload.as_deref(), Some(&point(2, 2).payload));
    assert_eq!(record.vectors, Some([].into()));
    assert_eq!(
        collection.media(&PointId::Num(1), MediaKind::Text).unwrap(),
        None
    );
    assert_eq!(engine.check(), Vec::<String>::new());
    check(&engine, "other", &[]);
}
