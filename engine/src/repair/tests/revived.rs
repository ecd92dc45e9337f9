//! Rows that come to light when what removed or replaced them is lost.

use std::collections::BTreeMap;

use super::*;

const OTHER: Partition = Partition(5);

/// Points 0 to 9 of `c` in one partition and 20 to 29 in another, in tables of the last level and in segments; then 25 and 26 removed, 27 replaced,
/// which stands in newer tables.
fn revised(dir: &Path) -> BTreeMap<u64, u64> {
    let running = engine(dir);
    let id = running.create_collection("c", config()).unwrap().id();
    write(&running, (0..10).map(|at| upsert(id, at, at)).collect());
    write_to(
        &running,
        OTHER,
        (20..30).map(|at| upsert(id, at, at)).collect(),
    );
    running.collection("c").unwrap().seal_now();
    drop(running);
    let store = Store::open(dir).unwrap();
    store.compact_all();
    drop(store);
    let running = engine(dir);
    let remove = |at: u64| Operation::Delete {
        collection: id,
        id: PointId::Num(at),
    };
    write_to(
        &running,
        OTHER,
        vec![remove(25), upsert(id, 27, 127), remove(26)],
    );
    drop(running);
    let store = Store::open(dir).unwrap();
    store.flush_all();
    drop(store);
    let alive = (0..10).chain(20..30).filter(|at| ![25, 26].contains(at));
    alive
        .map(|at| (at, if at == 27 { 127 } else { at }))
        .collect()
}

/// The points that are there, as far as they are whole.
fn served(dir: &Path) -> BTreeMap<u64, u64> {
    let running = engine(dir);
    let collection = running.collection("c").unwrap();
    let page = collection.scroll(None, None, 99, &Selection::All, &VectorSelection::All);
    let numbered = page.unwrap().points.into_iter().map(|record| {
        let PointId::Num(id) = record.id else {
            panic!("ids are numbers")
        };
        let is_of = |number: &u64| {
            let written = point(id, *number);
            record.payload.as_deref() == Some(&written.payload)
                && record.vectors == Some(written.vectors)
        };
        (id, [id, 127].into_iter().find(is_of).unwrap_or(9999))
    });
    numbered.collect()
}

/// The tables of points that came last.
fn newer_tables(dir: &Path) -> Vec<PathBuf> {
    let mut tables = tables_of(dir, Family::Points);
    tables.sort();
    tables.split_off(1)
}

/// The removals stood in a table that cannot be opened; that another partition lost something makes no difference.
#[test]
fn removed_points_stay_removed_without_their_tombstones() {
    for of_name in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let written = revised(dir.path());
        // Of point 2, the third of ten, each of which brought a vector and a medium.
        let medium = key::value(PARTITION, C, 1, 5);
        edit(dir.path(), Family::Media, &medium, None);
        let tables = newer_tables(dir.path());
        assert!(!tables.is_empty());
        tables
            .iter()
            .for_each(|table| flip_properties(table, of_name));
        let report = repair(dir.path(), OnLoss::Accept).unwrap();
        assert_eq!(report.left, Vec::<String>::new(), "{report:?}");
        let lost: Vec<_> = report.lost.iter().map(|loss| &loss.point).collect();
        assert_eq!(lost, [&Some("2".to_owned())], "{report:?}");
        assert_eq!(served(dir.path()), written);
        check_purged(dir.path(), "tombstones");
        let again = repair(dir.path(), OnLoss::Ask).unwrap();
        assert_eq!(again.outcome, RepairOutcome::Sound, "{again:?}");
    }
}

/// Neither segments nor change records tell what was removed: that values of a row are listed as superseded does.
#[test]
fn a_row_whose_values_were_superseded_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let written = revised(dir.path());
    std::fs::remove_dir_all(dir.path().join("segments")).unwrap();
    let mut broken = newer_tables(dir.path());
    for family in [Family::Changes, Family::Log] {
        broken.extend(tables_of(dir.path(), family));
    }
    broken.iter().for_each(|table| flip_first_block(table));
    let report = repair(dir.path(), OnLoss::Accept).unwrap();
    assert_eq!(report.left, Vec::<String>::new(), "{report:?}");
    let served = served(dir.path());
    for id in [25, 26, 27] {
        let named = report
            .lost
            .iter()
            .any(|loss| loss.point == Some(id.to_string()));
        assert!(named && !served.contains_key(&id), "{id}: {report:?}");
    }
    for (id, number) in written.iter().filter(|(id, _)| **id != 27) {
        assert_eq!(served.get(id), Some(number), "{id}: {report:?}");
    }
    check_purged(dir.path(), "superseded");
}

/// Without any sign of what was removed, it is told that it may be back.
#[test]
fn what_may_be_back_is_told_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    revised(dir.path());
    let store = Store::open(dir.path()).unwrap();
    Partition::all().for_each(|partition| purge(&store, partition));
    // As if segments had covered all: its changes are purged.
    let mut batch = store.batch();
    for partition in [PARTITION, OTHER] {
        let prefix = key::collection_prefix(partition, C);
        batch.delete_range(Family::Changes, &prefix, &key::change(partition, C, 99));
        let floor = key::changes_floor(partition, C);
        batch.put(Family::State, &floor, &codec::encode(&2u64));
    }
    store.write_synced(batch).unwrap();
    drop(store);
    std::fs::remove_dir_all(dir.path().join("segments")).unwrap();
    for table in newer_tables(dir.path()) {
        flip_properties(&table, true);
    }
    let report = repair(dir.path(), OnLoss::Accept).unwrap();
    assert_eq!(report.left, Vec::<String>::new(), "{report:?}");
    let told = report
        .lost
        .iter()
        .find(|loss| loss.what.contains("may be back"));
    let told = told.unwrap_or_else(|| panic!("{report:?}"));
    assert!(told.what.contains("ids from 0 to 29"), "{told}");
    // Values that were purged are gone: nothing half comes back.
    let served = served(dir.path());
    assert!(
        [25, 26].iter().all(|id| !served.contains_key(id)),
        "{served:?}"
    );
    assert!(served.values().all(|number| *number != 9999), "{served:?}");
    check_purged(dir.path(), "back");
}

/// A store as an older repair left it: a removed point is back, and a list says that its values go with the log.
#[test]
fn a_row_that_a_list_condemns_is_found_before_the_purge() {
    let dir = tempfile::tempdir().unwrap();
    let mut written = revised(dir.path());
    let store = Store::open(dir.path()).unwrap();
    let bytes = store
        .get(Family::Log, &key::log(OTHER, 1))
        .unwrap()
        .unwrap();
    let entry: crate::storage::record::LogEntry = codec::decode(&bytes, "entry").unwrap();
    let row = entry
        .operations
        .iter()
        .find_map(|operation| match operation {
            crate::storage::record::LogOperation::Upsert { id, row, .. }
                if *id == PointId::Num(25).encode() =>
            {
                Some(row.clone())
            }
            _ => None,
        });
    let key = key::point(OTHER, C, &PointId::Num(25));
    let mut batch = store.batch();
    batch.put(Family::Points, &key, &codec::encode(&row.unwrap()));
    batch.delete(Family::Changes, &key::change(OTHER, C, 2));
    store.write_synced(batch).unwrap();
    drop(store);
    std::fs::remove_dir_all(dir.path().join("segments")).unwrap();
    let asked = repair(dir.path(), OnLoss::Ask).unwrap();
    assert_ne!(asked.outcome, RepairOutcome::Sound, "{asked:?}");
    let report = repair(dir.path(), OnLoss::Accept).unwrap();
    assert_eq!(report.left, Vec::<String>::new(), "{report:?}");
    let served = served(dir.path());
    written.retain(|id, _| *id != 25);
    assert_eq!(served, written, "{report:?}");
    check_purged(dir.path(), "condemned");
}
