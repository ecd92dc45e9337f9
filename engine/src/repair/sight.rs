//! What a double of the data shows, and what is done about it.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::double::{Double, double_folder};
use super::examine::{Doubt, Edit, Examination, examine};
use super::opening::{Opened, open};
use super::{Loss, RepairReport};
use crate::error::{Error, Result, ResultExt};
use crate::segment::folder::keep_segments;
use crate::storage::aside::{self, DroppedLog};
use crate::storage::durable::sync_folder;
use crate::storage::salvage::{bring_copy, copy_folder, finish_copy, remove_unfinished_copy};
use crate::storage::{DATABASE_FOLDER, Store, catalog};

/// Examinations until there is nothing to mend any more: the second finds what the first could not see, the third nothing.
const ROUNDS_MAX: usize = 6;
/// Bytes of a batch of what was repaired.
const BATCH_BYTES: usize = 16 << 20;

/// What a double of the data shows.
pub(super) struct Sight {
    pub store: Store,
    pub found: Examination,
    /// What a repair will do and lose.
    pub told: RepairReport,
    /// Whether nothing is to be mended.
    pub is_sound: bool,
    /// Whether a server would refuse what is there: a copy must take its place.
    pub is_refused: bool,
    /// Whether the end of the write-ahead log is lost, or may be.
    is_cut: bool,
    double: Double,
}

impl Sight {
    pub fn of(dir: &Path) -> Result<Self> {
        let double = Double::new(dir)?;
        remove_unfinished_copy(dir);
        let look = || look(double.path());
        let Look {
            store,
            found,
            mut told,
            is_cut,
            is_refused,
            damage,
        } = look().map_err(|error: Error| {
            Error::new(error.kind(), double.said_of_data(&error.to_string()))
        })?;
        told.dropped = aside::dropped_logs(dir)?;
        let now = aside::dropped_logs(double.path())?;
        told.dropped.extend(now.into_iter().map(|log| DroppedLog {
            folder: dir.join(DATABASE_FOLDER),
            cause: double.said_of_data(&log.cause),
            ..log
        }));
        for loss in &mut told.lost {
            loss.what = double.said_of_data(&loss.what);
        }
        let names = found.names.clone();
        let is_sound =
            found.is_sound() && !told.tells_anything() && !is_refused && damage.is_none();
        let mut sight = Self {
            store,
            found,
            told,
            is_sound,
            is_refused,
            is_cut,
            double,
        };
        if !sight.is_sound && sight.found.gaps.is_empty() {
            sight.look_further()?;
        }
        if let Some(damage) = damage {
            sight.told.tell_passed_over(&names, &damage);
        }
        Ok(sight)
    }

    /// Mends the double, so that all that mending in place will lose is told before.
    fn look_further(&mut self) -> Result<()> {
        let first = std::mem::take(&mut self.found);
        let stale_at_first = first.stale.clone();
        let data = self.double.path();
        let kept = aside::create_folder(data)?;
        let known = settle(
            &self.store,
            data,
            first,
            &kept,
            &doubt(self.is_cut),
            |_, _| Ok(()),
        )?;
        for found in &known {
            self.told.take(found);
        }
        let stale = known.iter().flat_map(|found| &found.stale).copied();
        let stale = stale.chain(stale_at_first).collect();
        self.found = known.into_iter().next_back().unwrap_or_default();
        self.found.stale = stale;
        Ok(())
    }

    /// Puts a database of all that can be read in the place of the damaged one, which is kept aside.
    pub fn replace(self, dir: &Path) -> Result<RepairReport> {
        let Self {
            store,
            mut found,
            mut told,
            is_cut,
            double,
            ..
        } = self;
        let folder = copy_folder(double.path());
        let copy = store.copy_readable(&folder, &found.reachable, &found.collections)?;
        let (rows, waiting) = (found.rows, found.waiting);
        let doubt = match is_cut {
            true => Doubt::Anywhere,
            false => Doubt::In(std::mem::take(&mut found.doubtful)),
        };
        let set_aside = aside::create_folder(double.path())?;
        let mut stale = found.stale.clone();
        let rounds = settle(&copy, double.path(), found, &set_aside, &doubt, |_, _| {
            Ok(())
        })?;
        // A copy does not show what it lacks.
        if let Some(again) = rounds.first() {
            let of_rows = (rows, again.rows, "rows");
            let of_entries = (waiting, again.waiting, "entries of the log");
            for (told, copied, what) in [of_rows, of_entries] {
                if copied < told {
                    return Err(lost_more(&format!("{copied} of {told} {what} were copied")));
                }
            }
        }
        for again in &rounds {
            ensure_told(&again.lost, &told.lost)?;
            told.take(again);
            stale.extend(&again.stale);
        }
        copy.close_copy()?;
        // What takes the store's place is opened as a server opens it.
        Store::open(&folder)
            .and_then(|copy| copy.close())
            .context("open the copy of what can be read")?;
        drop(store);
        bring_copy(&folder, dir)?;
        drop(double);
        let kept = match finish_copy(dir)? {
            Some(kept) => kept,
            None => aside::create_folder(dir)?,
        };
        if is_cut {
            keep_segments(dir, None, &kept)?;
        }
        for id in stale {
            keep_segments(dir, Some(id), &kept)?;
        }
        for dropped in &mut told.dropped {
            if dropped.folder == dir.join(DATABASE_FOLDER) {
                dropped.folder = kept.join(DATABASE_FOLDER);
            }
        }
        told.kept = Some(kept);
        told.rebuilt
            .push("the database, of every record of it that can be read".to_owned());
        Ok(told)
    }
}

struct Look {
    store: Store,
    found: Examination,
    told: RepairReport,
    is_cut: bool,
    is_refused: bool,
    damage: Option<String>,
}

fn look(double: &Path) -> Result<Look> {
    let mut told = RepairReport::default();
    let Opened {
        mut store,
        is_cut,
        is_passed_over,
        is_unexplained,
        damage,
    } = open(double, &mut told)?;
    let doubt = doubt(is_cut);
    let mut found = examine(&store, double, &doubt)?;
    if Store::is_told_beneath(&found.gaps) {
        drop(store);
        let beneath = open_beneath(double, Store::damaged_tables(&found.gaps))?;
        store = Store::open_lenient(double)?;
        store.lay_beneath(beneath);
        found = examine(&store, double, &doubt)?;
    }
    let is_refused = is_passed_over || is_unexplained && found.is_sound();
    told.take(&found);
    told.kept = None;
    Ok(Look {
        store,
        found,
        told,
        is_cut,
        is_refused,
        damage,
    })
}

fn doubt(is_cut: bool) -> Doubt {
    match is_cut {
        true => Doubt::Anywhere,
        false => Doubt::nowhere(),
    }
}

/// Writes what mends a store, and examines it again, until nothing is found any more; answers what was found on the way. Segment files that are of
/// no use go from `data` to `kept`.
///
/// # Errors
///
/// `Corrupted` if it does not end; what `before_write` says, which sees each examination before what it found is written.
fn settle(
    store: &Store,
    data: &Path,
    mut found: Examination,
    kept: &Path,
    doubt: &Doubt,
    mut before_write: impl FnMut(&Examination, usize) -> Result<()>,
) -> Result<Vec<Examination>> {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS_MAX {
        before_write(&found, round)?;
        write(store, std::mem::take(&mut found.edits))?;
        for id in &found.stale {
            keep_segments(data, Some(*id), kept)?;
        }
        let next = examine(store, data, doubt)?;
        if next.is_sound() {
            rounds.push(next);
            return Ok(rounds);
        }
        let told = Examination::told(&next);
        rounds.push(told);
        found = next;
    }
    let wrong = found.lost.first().map(ToString::to_string);
    let wrong = wrong.or_else(|| found.rebuilt.first().cloned());
    Err(Error::corrupted(format!(
        "what is mended is found wrong again ({}): nothing was put in the place of the data; restore a snapshot of the node, or collections from their \
         archives",
        wrong.unwrap_or_else(|| "its segments".to_owned())
    )))
}

/// Opens the store of a double without these tables and those that are found to be damaged below them. It must not be open itself.
fn open_beneath(double: &Path, mut damaged: BTreeSet<u64>) -> Result<Store> {
    let folder = double.join("beneath");
    loop {
        let store = open_without(double, &folder, &damaged)?;
        let gaps = store.gaps_beneath();
        let mut further = Store::damaged_tables(&gaps);
        let in_doubt = store.tables_in_doubt(&gaps)?;
        if further.is_subset(&damaged) && in_doubt.is_empty() {
            return Ok(store);
        }
        let all = store
            .tables()?
            .into_iter()
            .map(|(_, number)| number)
            .collect();
        drop(store);
        remove_folder(&folder)?;
        if further.is_subset(&damaged) {
            further = find_unreadable(double, &folder, &in_doubt, &all)?;
            if further.is_subset(&damaged) {
                return open_without(double, &folder, &damaged);
            }
        }
        damaged.extend(further);
    }
}

fn open_without(double: &Path, folder: &Path, tables: &BTreeSet<u64>) -> Result<Store> {
    double_folder(&double.join(DATABASE_FOLDER), &folder.join(DATABASE_FOLDER))?;
    catalog::remove_tables(folder, tables)?;
    Store::open_lenient(folder).context("open what stands in other tables")
}

/// Those of the tables `in_doubt` that cannot be read, each tried without all others. RocksDB does not name one whose properties it does not
/// understand.
fn find_unreadable(
    double: &Path,
    folder: &Path,
    in_doubt: &BTreeSet<u64>,
    all: &BTreeSet<u64>,
) -> Result<BTreeSet<u64>> {
    let mut unreadable = BTreeSet::new();
    for table in in_doubt {
        let others = all.iter().filter(|other| *other != table).copied();
        // Its write-ahead log would fill tables.
        let store = open_without(double, folder, &others.collect())?;
        if !store.gaps_beneath().is_empty() {
            unreadable.insert(*table);
        }
        drop(store);
        remove_folder(folder)?;
    }
    Ok(unreadable)
}

fn remove_folder(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).map_err(|error| Error::io(&error, folder))
}

/// Writes the records that mend what was `told`: every file of the database can be read.
pub(super) fn mend_in_place(
    dir: &Path,
    told: &RepairReport,
    kept: Option<PathBuf>,
) -> Result<RepairReport> {
    let mut report = RepairReport {
        kept,
        ..RepairReport::default()
    };
    let Opened { store, is_cut, .. } = open(dir, &mut report)?;
    report.dropped = aside::dropped_logs(dir)?;
    let doubt = doubt(is_cut);
    let found = examine(&store, dir, &doubt)?;
    report.take(&found);
    let kept = match (&report.kept, report.dropped.last()) {
        (Some(kept), _) => kept.clone(),
        (None, Some(dropped)) => dropped.folder.clone(),
        (None, None) => aside::create_folder(dir)?,
    };
    let keep = |found: &Examination, round: usize| {
        ensure_told(&found.lost, &told.lost)?;
        keep_records(&store, &found.edits, &kept, round)
    };
    let collections = found.collections.clone();
    for again in settle(&store, dir, found, &kept, &doubt, keep)? {
        report.take(&again);
    }
    for id in collections.into_iter().filter(|_| is_cut) {
        keep_segments(dir, Some(id), &kept)?;
    }
    store.close()?;
    report.take_wide(told);
    report.kept = Some(kept);
    Ok(report)
}

/// Refuses to go on if something is lost that was not told: what was accepted is what was told.
fn ensure_told(lost: &[Loss], told: &[Loss]) -> Result<()> {
    let points: BTreeSet<_> = told.iter().map(Loss::of_point).collect();
    let is_told = |loss: &&Loss| match &loss.point {
        Some(_) => points.contains(&loss.of_point()),
        None => told.contains(loss),
    };
    let more: Vec<&Loss> = lost.iter().filter(|loss| !is_told(loss)).collect();
    match more.first() {
        None => Ok(()),
        Some(first) => Err(lost_more(&format!("{} more, first {first}", more.len()))),
    }
}

fn lost_more(what: &str) -> Error {
    Error::corrupted(format!(
        "the repair would lose more than it can tell before ({what}): nothing was changed; restore a snapshot of the node, or collections from their archives"
    ))
}

/// Puts what the edits change aside, a line each: family, key and value in hexadecimal digits; a record that was not there has no value.
fn keep_records(store: &Store, edits: &[Edit], kept: &Path, round: usize) -> Result<()> {
    let path = kept.join(match round {
        0 => "records.jsonl".to_owned(),
        round => format!("records-{round}.jsonl"),
    });
    let io = |error: std::io::Error| Error::io(&error, &path);
    let file = std::fs::File::create(&path).map_err(io)?;
    let mut out = std::io::BufWriter::new(file);
    for edit in edits {
        let value = store.get(edit.family, &edit.key).ok().flatten();
        let line = serde_json::json!({
            "family": edit.family.name(), "key": hex(&edit.key), "value": value.as_deref().map(hex)
        });
        writeln!(out, "{line}").map_err(io)?;
    }
    let file = out.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync_all().map_err(io)?;
    sync_folder(kept)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(store: &Store, edits: Vec<Edit>) -> Result<()> {
    let mut batch = store.batch();
    for Edit { family, key, value } in &edits {
        match value {
            Some(value) => batch.put(*family, key, value),
            None => batch.delete(*family, key),
        }
        if batch.bytes() > BATCH_BYTES {
            let full = std::mem::replace(&mut batch, store.batch());
            store.write(full).context("write what was repaired")?;
        }
    }
    store
        .write_synced_unreserved(batch)
        .context("write what was repaired")
}
