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
    // Sealing writes the vectors of all collections to a table, and begins a new log.
    let sealed = engine.create_collection("sealed", config()).unwrap().id();
    write(&engine, vec![upsert(sealed, 0, 0)]);
    engine.collection("sealed").unwrap().seal_now();
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
    for (start, length) in fragments(&bytes).into_iter().step_by(3) {
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
