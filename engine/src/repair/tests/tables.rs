//! Tables and blob files that are damaged or gone.

use tempfile::TempDir;

use super::*;

/// A filled store whose records all stand in tables, compacted.
fn compacted() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let store = Store::open(dir.path()).unwrap();
    store.compact_all();
    dir
}

/// Flips a byte of every place where these bytes stand in blobs.
fn flip_in_blobs(dir: &Path, wanted: &[u8]) -> usize {
    let mut flipped = 0;
    for path in database_files(dir, "blob") {
        let mut bytes = std::fs::read(&path).unwrap();
        let places: Vec<usize> = (0..bytes.len().saturating_sub(wanted.len()))
            .filter(|at| bytes[*at..].starts_with(wanted))
            .collect();
        for at in &places {
            bytes[at + 5] ^= 1;
        }
        flipped += places.len();
        std::fs::write(&path, bytes).unwrap();
    }
    flipped
}

/// A blob is damaged: its collection is quarantined or tells it, and a repair copies everything else.
#[test]
fn a_damaged_blob_costs_its_vector_only() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    // Opening brings what the log has into tables and blobs.
    drop(engine(dir.path()));
    let bytes: Vec<u8> = 2.5f32.to_le_bytes().repeat(DIM);
    // Of `c` and of `other`.
    assert_eq!(flip_in_blobs(dir.path(), &bytes), 2);
    std::fs::remove_dir_all(dir.path().join("segments")).unwrap();
    let running = engine(dir.path());
    let error = running.collection("c").err().unwrap();
    assert!(error.to_string().contains("`c` is quarantined"), "{error}");
    drop(running);
    let asked = repair(dir.path(), OnLoss::Ask).unwrap();
    let lost: Vec<String> = asked.lost.iter().map(ToString::to_string).collect();
    assert_eq!(lost.len(), 2, "{lost:?}");
    assert!(
        lost[0].contains("collection c: point 2: its vector \"\""),
        "{lost:?}"
    );
    assert!(
        lost[1].contains("collection other: point 2: its vector"),
        "{lost:?}"
    );
    let report = repair(dir.path(), OnLoss::Accept).unwrap();
    assert_eq!(report.left, Vec::<String>::new());
    assert!(report.kept.unwrap().join(DATABASE_FOLDER).exists());
    let running = engine(dir.path());
    for name in ["c", "other"] {
        let collection = running.collection(name).unwrap();
        assert_eq!(collection.count(None).unwrap(), 10);
        assert_eq!(collection.vector_rows("").unwrap().len(), 9);
    }
    drop(running);
    assert_eq!(
        repair(dir.path(), OnLoss::Ask).unwrap().outcome,
        RepairOutcome::Sound
    );
}

/// Rows in unreadable blocks: those of the log are restored, the others are named by the segments, and the other rows stay.
#[test]
fn damaged_blocks_of_rows_cost_their_points_only() {
    let dir = compacted();
    let mut rounds = 0;
    for path in database_files(dir.path(), "sst") {
        let bytes = std::fs::read(&path).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 30] {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(dir.path(), copy.path());
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            let name = path.file_name().unwrap();
            std::fs::write(copy.path().join(DATABASE_FOLDER).join(name), damaged).unwrap();
            match repair(copy.path(), OnLoss::Accept) {
                Ok(report) => {
                    assert_eq!(report.left, Vec::<String>::new(), "{name:?} {at}");
                    check_told(
                        copy.path(),
                        &["c", "other"],
                        &report,
                        &format!("{name:?} at {at}"),
                    );
                    rounds += usize::from(report.outcome == RepairOutcome::Repaired);
                }
                Err(error) => panic!("{name:?} at {at}: {error}"),
            }
        }
    }
    assert!(rounds > 5, "inconclusive: {rounds}");
}

/// The first block of every family, alone and with that of each other one: an empty key is before it.
#[test]
fn a_damaged_first_block_costs_what_was_told_only() {
    let original = compacted();
    let tables = database_files(original.path(), "sst");
    assert!(tables.len() >= 7, "{tables:?}");
    for (at, first) in tables.iter().enumerate() {
        for second in &tables[at..] {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(original.path(), copy.path());
            let damaged = BTreeSet::from([first, second]);
            for table in &damaged {
                let name = table.strip_prefix(original.path()).unwrap();
                flip_first_block(&copy.path().join(name));
            }
            let what = format!("{damaged:?}");
            check_accepted(copy.path(), &["c", "other"], &what);
            if first == second {
                check_purged(copy.path(), &what);
            }
        }
    }
}

/// A copy that lacks more than was told is no repair: nothing takes the store's place.
#[test]
fn a_copy_that_lacks_more_than_was_told_is_refused() {
    let dir = compacted();
    let damage = |table: &PathBuf| {
        flip_first_block(table);
        let lost = repair(dir.path(), OnLoss::Ask).unwrap().lost;
        lost.iter().any(|loss| loss.point.is_some())
    };
    let tables = database_files(dir.path(), "sst");
    assert!(tables.iter().any(damage));
    let before = database_bytes(dir.path());
    let mut sight = Sight::of(dir.path()).unwrap();
    let told = std::mem::take(&mut sight.told.lost);
    sight.found.edits.clear();
    assert!(!told.is_empty());
    let text = sight.replace(dir.path()).unwrap_err().to_string();
    for part in ["lose more than", "nothing was changed"] {
        assert!(text.contains(part), "{text}");
    }
    let mut sight = Sight::of(dir.path()).unwrap();
    sight.found.rows += 1;
    let text = sight.replace(dir.path()).unwrap_err().to_string();
    assert!(text.contains("rows were copied"), "{text}");
    assert!(before == database_bytes(dir.path()));
    assert!(finish_copy(dir.path()).unwrap().is_none());
    assert_eq!(repair(dir.path(), OnLoss::Ask).unwrap().lost, told);
}

/// Blocks that hold nothing in force are read by merges only, which then end all writing.
#[test]
fn damaged_blocks_of_removed_records_are_found_and_mended() {
    let original = compacted();
    let tables = database_files(original.path(), "sst");
    engine(original.path()).drop_collection("c").unwrap();
    let mut hidden = 0;
    for table in &tables {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(original.path(), copy.path());
        let name = table.strip_prefix(original.path()).unwrap();
        if !copy.path().join(name).exists() {
            continue;
        }
        flip_first_block(&copy.path().join(name));
        if let Ok(engine) = Engine::open(copy.path(), EngineOptions::default()) {
            let problems = engine.check();
            assert!(!problems.is_empty(), "{name:?}");
            let is_hidden = |line: &String| line.contains("would end all writing");
            hidden += usize::from(problems.iter().all(is_hidden));
        }
        let report = check_accepted(copy.path(), &["other"], &format!("{name:?}"));
        assert_eq!(report.outcome, RepairOutcome::Repaired);
        let store = Store::open(copy.path()).unwrap();
        store.compact_all();
        assert_eq!(store.refusal(), None, "{name:?}");
    }
    assert!(hidden > 0, "inconclusive");
}

/// A table that cannot be opened, or whose only block is damaged, reaches over rows that stand in others: those stay. What it held is restored
/// from the log, and what it removed does not come back.
#[test]
fn a_broken_table_costs_only_what_stood_in_it() {
    let original = compacted();
    let before = database_files(original.path(), "sst");
    let running = engine(original.path());
    let delete = Operation::Delete {
        collection: C,
        id: PointId::Num(5),
    };
    write(&running, vec![upsert(C, 0, 0), delete, upsert(C, 9, 9)]);
    drop(running);
    let store = Store::open(original.path()).unwrap();
    store.flush_all();
    drop(store);
    let mut rounds = 0;
    for table in database_files(original.path(), "sst") {
        if before.contains(&table) {
            continue;
        }
        for damage in ["block", "tail", "name of a property", "property"] {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(original.path(), copy.path());
            let name = table.strip_prefix(original.path()).unwrap();
            let broken = copy.path().join(name);
            match damage {
                "name of a property" => flip_properties(&broken, true),
                "property" => flip_properties(&broken, false),
                _ => flip_first_block(&broken),
            }
            if damage == "tail" {
                let mut bytes = std::fs::read(&broken).unwrap();
                let length = bytes.len();
                bytes[length - 60..].fill(0xee);
                std::fs::write(&broken, bytes).unwrap();
            }
            let what = format!("{name:?} {damage}");
            let report = check_accepted(copy.path(), &["other"], &what);
            check_purged(copy.path(), &what);
            // The vectors that these two brought may have stood in it.
            let is_of_it = |loss: &Loss| {
                let point = loss.point.as_deref();
                loss.what.contains("it is missing") && matches!(point, Some("0" | "9"))
                    || loss.what.contains("medium") && matches!(point, Some("0" | "9"))
            };
            let mut of_points = report.lost.iter().filter(|loss| loss.point.is_some());
            assert!(of_points.all(is_of_it), "{what}: {report:?}");
            let running = engine(copy.path());
            if report.lost.is_empty() {
                check(&running, "c", &[5]);
            }
            let collection = running.collection("c").unwrap();
            assert_eq!(collection.count(None).unwrap(), 9, "{what}");
            assert!(!collection.contains(&PointId::Num(5)), "{what}");
            check(&running, "other", &[]);
            rounds += usize::from(report.outcome == RepairOutcome::Repaired);
        }
    }
    assert!(rounds >= 4, "inconclusive: {rounds}");
}

/// A database that takes no more writes says so, without being asked to write.
#[test]
fn a_merge_that_fails_is_trouble_of_every_collection() {
    let dir = compacted();
    let tables = database_files(dir.path(), "sst");
    engine(dir.path()).drop_collection("c").unwrap();
    for table in tables.iter().filter(|table| table.exists()) {
        let sound = std::fs::read(table).unwrap();
        flip_first_block(table);
        // Only what nothing reads before a merge does.
        if Store::open(dir.path()).is_err() {
            std::fs::write(table, sound).unwrap();
        }
    }
    let store = Store::open(dir.path()).unwrap();
    store.compact_all();
    let why = store.refusal().unwrap();
    assert!(why.contains("every write is refused"), "{why}");
    assert!(why.contains("doctor --repair"), "{why}");
    let mut batch = store.batch();
    batch.put(Family::Meta, b"x", b"y");
    assert!(store.write(batch).is_err());
}

#[test]
fn a_missing_table_is_named() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let store = Store::open(folder.path()).unwrap();
    store.compact_all();
    drop(store);
    let table = database_files(folder.path(), "sst").pop().unwrap();
    std::fs::remove_file(&table).unwrap();
    let before = database_bytes(folder.path());
    let error = Engine::open(folder.path(), EngineOptions::default()).err();
    let text = error.unwrap().to_string();
    let name = table.file_name().unwrap().to_str().unwrap();
    assert!(text.contains(name), "{text}");
    assert!(!text.contains("write-ahead log"), "{text}");
    assert!(before == database_bytes(folder.path()));
}

/// Vectors of few numbers stand in tables, and in segments.
#[test]
fn lost_vectors_are_restored_from_segments() {
    let dir = tempfile::tempdir().unwrap();
    let running = engine(dir.path());
    let mut config = config();
    config.vectors.get_mut("").unwrap().dim = 8;
    let id = running.create_collection("small", config).unwrap().id();
    let small = |at: u64, number: u64| {
        let mut point = point(at, number);
        let vector = (0..8).map(|n| (n * number) as f32 + 0.1).collect();
        point.vectors = [(String::new(), Vector::Dense(vector))].into();
        point
    };
    let upsert = |at: u64, number: u64| Operation::Upsert {
        collection: id,
        point: small(at, number).into(),
    };
    write(&running, (0..50).map(|at| upsert(at, at + 100)).collect());
    write(&running, (0..20).map(|at| upsert(at, at)).collect());
    running.collection("small").unwrap().seal_now();
    drop(running);
    let store = Store::open(dir.path()).unwrap();
    store.compact_all();
    drop(store);
    for table in tables_of(dir.path(), Family::Vectors) {
        std::fs::remove_file(table).unwrap();
    }
    let report = repair(dir.path(), OnLoss::Ask).unwrap();
    assert_eq!(report.outcome, RepairOutcome::Repaired, "{report:?}");
    assert_eq!((&report.lost[..], &report.left[..]), (&[][..], &[][..]));
    let is_told =
        |line: &String| line.contains("50 vectors of collection small, from its segments");
    assert!(report.restored.iter().any(is_told), "{report:?}");
    let running = engine(dir.path());
    let collection = running.collection("small").unwrap();
    for at in 0..50 {
        let records = collection
            .retrieve(&[PointId::Num(at)], &Selection::None, &VectorSelection::All)
            .unwrap();
        let wanted = small(at, if at < 20 { at } else { at + 100 });
        assert_eq!(records[0].vectors, Some(wanted.vectors), "{at}");
    }
    drop(running);
    check_purged(dir.path(), "vectors of segments");
}
