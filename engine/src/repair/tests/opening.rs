//! What a database needs to be opened at all: its write-ahead log, the list of its files, and the guard file.

use super::*;

/// The log is cut before what was acknowledged: the guard refuses it, the log as it was is kept, and a repair goes on with what is left.
#[test]
fn a_lost_end_of_the_log_is_kept_told_and_accepted() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let log = database_files(dir.path(), "log").pop().unwrap();
    let bytes = std::fs::read(&log).unwrap();
    let mut damaged = bytes.clone();
    let middle = bytes.len() / 2;
    damaged[middle..middle + 600].fill(0);
    std::fs::write(&log, &damaged).unwrap();
    for _ in 0..3 {
        let error = Engine::open(dir.path(), EngineOptions::default())
            .err()
            .unwrap();
        let text = error.to_string();
        assert!(
            text.contains("write-ahead log") && text.contains("--repair"),
            "{text}"
        );
    }
    let kept: Vec<PathBuf> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("damaged-")
        })
        .collect();
    assert!((1..=2).contains(&kept.len()), "{kept:?}");
    let copies = kept
        .iter()
        .map(|kept| std::fs::read(kept.join(log.file_name().unwrap())));
    assert!(
        copies.flatten().any(|copy| copy == damaged),
        "the log as it was is gone"
    );
    let asked = repair(dir.path(), OnLoss::Ask).unwrap();
    assert_eq!(asked.outcome, RepairOutcome::Asked);
    assert!(
        asked.lost[0].what.contains("of the write-ahead log"),
        "{asked:?}"
    );
    let report = repair(dir.path(), OnLoss::Accept).unwrap();
    assert_eq!(report.left, Vec::<String>::new(), "{report:?}");
    let engine = engine(dir.path());
    assert_eq!(engine.check(), Vec::<String>::new());
}

#[test]
fn a_guard_that_cannot_be_read_and_a_missing_name_of_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    std::fs::write(dir.path().join("guard"), [0xff; 1024]).unwrap();
    check_repair(dir.path(), &[], &["neither slot can be read"], &[]);
    std::fs::write(dir.path().join(DATABASE_FOLDER).join("CURRENT"), "").unwrap();
    check_repair(dir.path(), &["name of the database's manifest"], &[], &[]);
}

/// Killed anywhere while the copy takes the store's place: a start never begins with an empty folder, and the repair goes on.
#[test]
fn a_repair_that_was_killed_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let store = Store::open(dir.path()).unwrap();
    let grown = dir.path().join("copy");
    let copy = store.copy_readable(&grown, &[], &[]).unwrap();
    copy.close_copy().unwrap();
    drop(store);
    bring_copy(&grown, dir.path()).unwrap();
    let database = dir.path().join(DATABASE_FOLDER);
    std::fs::rename(&database, dir.path().join("taken")).unwrap();
    assert!(Engine::open(dir.path(), EngineOptions::default()).is_err());
    let report = repair(dir.path(), OnLoss::Ask).unwrap();
    assert_eq!(report.outcome, RepairOutcome::Sound, "{report:?}");
    let engine = engine(dir.path());
    check(&engine, "c", &[]);
    assert_eq!(engine.check(), Vec::<String>::new());
}

/// RocksDB opens the older state of a list of its files that lacks its end, begins anew without its name, and deletes what it does not know
/// then. All of that is refused before, and nothing is touched until a repair restores it from a copy that names the same files.
#[test]
fn a_damaged_list_of_files_is_refused_and_nothing_is_deleted() {
    let original = tempfile::tempdir().unwrap();
    filled(original.path());
    let store = Store::open(original.path()).unwrap();
    store.flush_all();
    store.close().unwrap();
    drop(store);
    let length = std::fs::read(manifest(original.path())).unwrap().len();
    let damages = [
        "flipped",
        "zeroed",
        "end cut",
        "half cut",
        "end zeroed",
        "missing",
        "unnamed",
        "both missing",
    ];
    for damage in damages {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        copy_folder(original.path(), dir);
        let path = manifest(dir);
        let mut bytes = std::fs::read(&path).unwrap();
        match damage {
            "flipped" => bytes[60] ^= 0x41,
            "zeroed" => bytes.fill(0),
            "end cut" => bytes.truncate(length - 1),
            "half cut" => bytes.truncate(length / 2),
            "end zeroed" => bytes[length / 2..].fill(0),
            _ => {}
        }
        std::fs::write(&path, bytes).unwrap();
        if damage.ends_with("missing") {
            std::fs::remove_file(&path).unwrap();
        }
        let current = dir.join(DATABASE_FOLDER).join("CURRENT");
        if damage == "unnamed" || damage.starts_with("both") {
            std::fs::remove_file(&current).unwrap();
        }
        let files = |dir: &Path| match current.exists() {
            true => database_bytes(dir),
            false => [database_files(dir, "sst"), database_files(dir, "blob")]
                .concat()
                .into_iter()
                .map(|path| (path, Vec::new()))
                .collect(),
        };
        let before = files(dir);
        for _ in 0..2 {
            let error = Engine::open(dir, EngineOptions::default()).err();
            let text = error
                .unwrap_or_else(|| panic!("{damage}: opened"))
                .to_string();
            assert!(text.contains("MANIFEST"), "{damage}: {text}");
            assert!(text.contains("restore"), "{damage}: {text}");
            assert!(!text.contains("write-ahead log"), "{damage}: {text}");
            assert!(before == files(dir), "{damage}: files changed");
        }
        if damage == "unnamed" {
            // The file is there: a repair names it.
            check_repair(dir, &["name of the database's manifest"], &[], &[]);
            continue;
        }
        let refused = |why: &str| {
            for on_loss in [OnLoss::Ask, OnLoss::Accept] {
                let text = repair(dir, on_loss).unwrap_err().to_string();
                for part in ["MANIFEST", "from a snapshot", why] {
                    assert!(text.contains(part), "{damage}: {part}: {text}");
                }
                assert!(!text.contains("doctor-"), "{damage}: {text}");
            }
        };
        let copy = catalog::copies(dir).pop().unwrap();
        let copied = std::fs::read(&copy).unwrap();
        std::fs::remove_file(&copy).unwrap();
        refused("there is no copy");
        std::fs::write(&copy, &copied[..copied.len() - 1]).unwrap();
        refused("damaged too");
        std::fs::write(&copy, &copied).unwrap();
        let newer = dir.join(DATABASE_FOLDER).join("999999.sst");
        std::fs::write(&newer, "").unwrap();
        refused("of another moment than the tables (999999.sst)");
        std::fs::remove_file(&newer).unwrap();
        let table = database_files(dir, "sst").remove(0);
        let bytes = std::fs::read(&table).unwrap();
        std::fs::remove_file(&table).unwrap();
        refused(table.file_stem().unwrap().to_str().unwrap());
        std::fs::write(&table, bytes).unwrap();
        assert!(before == files(dir), "{damage}: a repair changed files");
        check_repair(dir, &["MANIFEST), from its copy"], &[], &[]);
    }
}

/// Without the guard, the copy of the list of files still tells how far that reached.
#[test]
fn a_cut_list_of_files_is_noticed_without_the_guard_too() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let store = Store::open(dir.path()).unwrap();
    store.flush_all();
    store.close().unwrap();
    drop(store);
    std::fs::remove_file(dir.path().join("guard")).unwrap();
    let path = manifest(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let before = database_bytes(dir.path());
    let error = Engine::open(dir.path(), EngineOptions::default()).err();
    let text = error.unwrap().to_string();
    assert!(text.contains("MANIFEST"), "{text}");
    assert!(before == database_bytes(dir.path()));
    let lost = ["the guard file is missing"];
    check_repair(dir.path(), &["MANIFEST), from its copy"], &lost, &[]);
}

/// An empty guard file says nothing, and segments tell of what a store without its log has lost.
#[test]
fn a_missing_log_is_told_without_the_guard_too() {
    let original = tempfile::tempdir().unwrap();
    filled(original.path());
    let store = Store::open(original.path()).unwrap();
    store.flush_all();
    drop(store);
    let running = engine(original.path());
    write(&running, vec![upsert(C, 0, 0)]);
    running.collection("c").unwrap().seal_now();
    drop(running);
    for log in database_files(original.path(), "log") {
        std::fs::remove_file(log).unwrap();
    }
    let guard = |dir: &Path| dir.join("guard");
    for is_empty in [true, false] {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(original.path(), copy.path());
        std::fs::write(guard(copy.path()), "").unwrap();
        if is_empty {
            let error = Engine::open(copy.path(), EngineOptions::default()).err();
            let text = error.unwrap().to_string();
            assert!(text.contains("guard file is empty"), "{text}");
        } else {
            std::fs::remove_file(guard(copy.path())).unwrap();
        }
        let before = database_bytes(copy.path());
        let asked = repair(copy.path(), OnLoss::Ask).unwrap();
        assert_eq!(asked.outcome, RepairOutcome::Asked, "{asked:?}");
        let part = match is_empty {
            true => "cannot be told",
            false => "the end of the write-ahead log is gone",
        };
        let is_told = asked.lost.iter().any(|loss| loss.what.contains(part));
        assert!(is_told, "{asked:?}");
        assert!(
            before == database_bytes(copy.path()),
            "asking changes nothing"
        );
        if !is_empty {
            let looked = tempfile::tempdir().unwrap();
            copy_folder(copy.path(), looked.path());
            let error = check_segments(looked.path()).unwrap_err();
            assert!(error.to_string().contains("guard file is missing"));
        }
        let report = repair(copy.path(), OnLoss::Accept).unwrap();
        assert_eq!(report.left, Vec::<String>::new(), "{report:?}");
        assert_eq!(report.lost, asked.lost);
        check(&engine(copy.path()), "other", &[]);
    }
}

/// Nothing else tells whether the end of the write-ahead log is there, and a start would make the segments anew that tell of a loss.
#[test]
fn a_missing_guard_is_never_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let guard = dir.path().join("guard");
    for is_cut in [false, true] {
        std::fs::remove_file(&guard).unwrap();
        if is_cut {
            for log in database_files(dir.path(), "log") {
                std::fs::remove_file(log).unwrap();
            }
            std::fs::remove_dir_all(dir.path().join("segments")).unwrap();
        }
        let before = database_bytes(dir.path());
        for _ in 0..2 {
            let error = Engine::open(dir.path(), EngineOptions::default()).err();
            let text = error.unwrap().to_string();
            for part in ["guard file is missing", "--repair"] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert!(before == database_bytes(dir.path()));
            assert!(!guard.exists());
        }
        if is_cut {
            let asked = repair(dir.path(), OnLoss::Ask).unwrap();
            assert_eq!(asked.outcome, RepairOutcome::Asked, "{asked:?}");
            assert!(asked.lost[0].what.contains("guard file is missing"));
            let report = repair(dir.path(), OnLoss::Accept).unwrap();
            assert_eq!(report.left, Vec::<String>::new(), "{report:?}");
        } else {
            check_repair(dir.path(), &[], &["guard file is missing"], &[]);
        }
        let store = Store::open(dir.path()).unwrap();
        store.flush_all();
        store.close().unwrap();
    }
}

/// Of an older version they have no guard: nobody has opened them where they stand.
#[test]
fn a_snapshot_of_a_node_opens_with_and_without_a_guard() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let snapshot = dir.path().join("snapshot");
    engine(dir.path()).checkpoint(&snapshot).unwrap();
    for is_guarded in [true, false] {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&snapshot, copy.path());
        let guard = copy.path().join("guard");
        assert!(guard.exists());
        if !is_guarded {
            std::fs::remove_file(&guard).unwrap();
        }
        let running = engine(copy.path());
        check(&running, "c", &[]);
        drop(running);
        assert!(guard.exists());
        check(&engine(copy.path()), "other", &[]);
    }
}
