//! A write-ahead log of which a part in the middle cannot be read, while tables hold what was written after it.

use super::*;

/// Where the fragments of a log begin, and how many bytes each holds.
fn fragments(log: &[u8]) -> Vec<(usize, usize)> {
    let (mut at, mut found) = (0, Vec::new());
    while at + 7 <= log.len() {
        let left = (32 << 10) - at % (32 << 10);
        if left < 7 {
            at += left;
            continue;
        }
        let length = usize::from(u16::from_le_bytes([log[at + 4], log[at + 5]]));
        // Those of a higher kind are of the file itself.
        if log[at + 6] < 5 {
            found.push((at, length));
        }
        at += 7 + length;
    }
    found
}

/// Two logs, the vectors of the first in a table already. The only write of partition 5 is one of the last in the first log.
fn logged(dir: &Path) {
    let engine = engine(dir);
    for name in ["c", "other"] {
        let id = engine.create_collection(name, config()).unwrap().id();
        for at in 0..9 {
            write(&engine, vec![upsert(id, at, at)]);
        }
    }
    write_to(&engine, Partition(5), vec![upsert(C, 9, 9)]);
    let other = id_of(&engine, "other");
    write_to(&engine, Partition(6), vec![upsert(other, 9, 9)]);
    engine.store().flush_vectors().unwrap();
    write(&engine, vec![upsert(C, 0, 0)]);
    write(&engine, vec![upsert(other, 0, 0)]);
}

fn flipped(original: &Path, dir: &Path, log: &Path, at: usize) {
    copy_folder(original, dir);
    let log = dir.join(DATABASE_FOLDER).join(log.file_name().unwrap());
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[at] ^= 0x55;
    std::fs::write(&log, bytes).unwrap();
}

/// A log that is cut short looks whole by itself: its successor tells where it ended.
#[test]
fn a_log_cut_short_before_what_tables_hold_is_told() {
    let original = tempfile::tempdir().unwrap();
    logged(original.path());
    let log = database_files(original.path(), "log").remove(0);
    let bytes = std::fs::read(&log).unwrap();
    let all = fragments(&bytes);
    let last = database_files(original.path(), "log").pop().unwrap();
    assert!(last != log, "inconclusive");
    // With and without anything in the last log.
    for is_empty in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("data");
        copy_folder(original.path(), &dir);
        let at = |of: &Path| dir.join(DATABASE_FOLDER).join(of.file_name().unwrap());
        std::fs::write(at(&log), &bytes[..all[all.len() * 3 / 4].0]).unwrap();
        if is_empty {
            let mut kept = std::fs::read(&last).unwrap();
            kept.truncate(fragments(&kept)[0].0);
            std::fs::write(at(&last), kept).unwrap();
        }
        let report = check_accepted(&dir, &["c", "other"], "cut short");
        assert_eq!(report.dropped.len(), 1, "{report:?}");
        for name in ["c", "other"] {
            assert!(
                report.lost.iter().any(|loss| is_wide(loss, name)),
                "{report:?}"
            );
        }
    }
}

fn is_wide(loss: &Loss, name: &str) -> bool {
    loss.collection.as_deref() == Some(name)
        && loss.point.is_none()
        && loss.what.contains("part of the write-ahead log")
}

/// Wherever it is damaged: what a repair leaves is opened by a server, and that a part is passed over is told before and after.
#[test]
fn a_log_damaged_before_what_tables_hold_is_replaced_and_told() {
    let original = tempfile::tempdir().unwrap();
    logged(original.path());
    let log = database_files(original.path(), "log").remove(0);
    let bytes = std::fs::read(&log).unwrap();
    let mut refused = 0;
    let all = fragments(&bytes);
    // The collections are made by the first records.
    for (start, length) in all.iter().skip(all.len() / 2).step_by(3) {
        let at = start + 7 + length / 2;
        let what = format!("flipped at {at} of {}", bytes.len());
        let folder = tempfile::tempdir().unwrap();
        let (dir, looked) = (folder.path().join("data"), folder.path().join("looked"));
        flipped(original.path(), &dir, &log, at);
        flipped(original.path(), &looked, &log, at);
        let opened = Engine::open(&looked, EngineOptions::default());
        refused += u64::from(opened.is_err_and(|of| of.to_string().contains("corruption in CF")));
        let asked = repair(&dir, OnLoss::Ask).unwrap();
        assert_eq!(asked.outcome, RepairOutcome::Asked, "{what}: {asked:?}");
        assert_eq!(asked.dropped.len(), 1, "{what}: {asked:?}");
        let report = check_accepted(&dir, &["c", "other"], &what);
        assert_eq!(report.dropped.len(), 1, "{what}: {report:?}");
        let told = &report.dropped[0];
        let kept = told.folder.join(log.file_name().unwrap());
        assert!(told.logs.len() > 1, "{what}: {told}");
        assert!(std::fs::read(kept).unwrap() != bytes, "{what}: {told}");
        for name in ["c", "other"] {
            let wide = report.lost.iter().filter(|loss| is_wide(loss, name));
            assert_eq!(wide.count(), 1, "{what}: {name}: {report:?}");
        }
        let engine = engine(&dir);
        engine.create_collection("new", config()).unwrap();
        assert_eq!(engine.check(), Vec::<String>::new(), "{what}");
    }
    assert!(refused > 3, "inconclusive: {refused} refused");
}

/// Nothing else tells of the only write of a partition: neither an entry nor a position, a change record or a segment.
#[test]
fn the_last_write_of_a_partition_is_not_lost_without_a_word() {
    let original = tempfile::tempdir().unwrap();
    logged(original.path());
    let log = database_files(original.path(), "log").remove(0);
    let bytes = std::fs::read(&log).unwrap();
    let mut gone = 0;
    for (start, length) in fragments(&bytes).into_iter().rev().take(14) {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("data");
        flipped(original.path(), &dir, &log, start + 7 + length - 1);
        let report = repair(&dir, OnLoss::Accept).unwrap();
        let engine = engine(&dir);
        for name in ["c", "other"] {
            let collection = engine.collection(name).unwrap();
            let found =
                collection.retrieve(&[PointId::Num(9)], &Selection::All, &VectorSelection::All);
            if found.unwrap().is_empty() {
                gone += 1;
                let of_it = |loss: &Loss| {
                    is_wide(loss, name)
                        || loss.collection.as_deref() == Some(name)
                            && loss.point.as_deref() == Some("9")
                };
                assert!(report.lost.iter().any(of_it), "{name}: {report:?}");
                assert!(!report.dropped.is_empty(), "{name}: {report:?}");
            }
        }
    }
    assert!(gone > 0, "inconclusive");
}

/// What a look keeps aside goes with it: nobody is sent to a folder that is not there.
#[test]
fn a_look_names_no_folder_that_goes_with_it() {
    let original = tempfile::tempdir().unwrap();
    logged(original.path());
    let log = database_files(original.path(), "log").remove(0);
    let all = fragments(&std::fs::read(&log).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let (start, length) = all[all.len() / 2];
    flipped(original.path(), &dir, &log, start + 7 + length / 2);
    let double = Double::new(&dir).unwrap();
    let error = Engine::open(double.path(), EngineOptions::default()).err();
    let said = double.said_of_data(&error.unwrap().to_string());
    assert!(!said.contains("is kept in"), "{said}");
    let will = format!("log to {}/damaged-<time> first", dir.display());
    assert!(said.contains(&will), "{said}");
}

#[test]
fn a_repair_without_room_says_how_much_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let error = lacks_room(dir.path()).unwrap();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let text = error.to_string();
    for part in ["repair needs up to", "MiB free", "repair again"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("reads go on"), "{text}");
}
