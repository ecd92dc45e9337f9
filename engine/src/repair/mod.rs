//! Repair of a data folder that no server uses: what is derived is built again, what has a copy is restored, and what is lost is named.
//!
//! - `double`: a throwaway double of a data folder, to look at.
//! - `examine`: the records that all collections share, and those of each collection.
//! - `partition`: the log, the notes and the position of one partition.
//! - `rows`: the rows of a collection with their vectors and media.
//! - `segments`: what the segment files are worth.
//!
//! Nothing that can be read is dropped. What cannot is told first, and removed only when that is accepted: then the rest can be served again.
//! Before anything is changed, what it was is put aside in `DATA/damaged-<time>`: the write-ahead log, the whole database if blocks of its files
//! cannot be read (what can is copied into a new one), else the records that change.
//!
//! What restores a row: the entries of its partition's log that are not purged (the last thousand and more) hold rows whole, and the change
//! records tell which of them took effect. What names a row that is gone: the segment files and the change records.

mod double;
mod examine;
mod partition;
mod rows;
mod segments;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::segment::folder::keep_segments;
use crate::storage::aside::{self, DroppedLog};
use crate::storage::guard::{Guard, sync_folder};
use crate::storage::salvage::{bring_copy, copy_folder, finish_copy, remove_unfinished_copy};
use crate::storage::{DATABASE_FOLDER, Family, Store, catalog};
use crate::{Engine, EngineOptions};
use examine::{Edit, Examination, examine};

pub use double::Double;
use double::double_folder;
pub use segments::{SegmentTrouble, check_segments};

/// What to do about what is lost.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum OnLoss {
    /// Tell it and change nothing.
    Ask,
    /// Remove what is left of it, so that the rest can be served.
    Accept,
}

/// How a repair ended.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairOutcome {
    /// There was nothing to repair.
    #[default]
    Sound,
    /// Something is lost: nothing was changed until that is accepted.
    Asked,
    /// Everything that could be was mended.
    Repaired,
}

/// What a repair found and did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RepairReport {
    /// How it ended.
    pub outcome: RepairOutcome,
    /// Derived, and built again.
    pub rebuilt: Vec<String>,
    /// Restored from a copy or the log, nothing missing.
    pub restored: Vec<String>,
    /// Cannot be read, and is nowhere else.
    pub lost: Vec<Loss>,
    /// Write-ahead logs that were read up to their damage only, now or by an earlier start.
    pub dropped: Vec<DroppedLog>,
    /// Where what was changed is as it was; the report is there too.
    pub kept: Option<PathBuf>,
    /// What is still wrong after it.
    pub left: Vec<String>,
}

/// Something that cannot be read, and is nowhere else.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Loss {
    /// Of which collection, where that is known.
    pub collection: Option<String>,
    /// Which point, where that is known.
    pub point: Option<String>,
    /// What of it.
    pub what: String,
}

impl Loss {
    fn of_point(&self) -> (Option<String>, Option<String>) {
        (self.collection.clone(), self.point.clone())
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(collection) = &self.collection {
            write!(f, "collection {collection}: ")?;
        }
        if let Some(point) = &self.point {
            write!(f, "point {point}: ")?;
        }
        f.write_str(&self.what)
    }
}

impl RepairReport {
    fn lose(&mut self, what: impl Into<String>) {
        self.lost.push(Loss {
            what: what.into(),
            ..Loss::default()
        });
    }

    fn has_nothing_to_tell(&self) -> bool {
        self.lost.is_empty() && self.restored.is_empty() && self.dropped.is_empty()
    }

    fn take(&mut self, examination: &Examination) {
        let add = |to: &mut Vec<String>, from: &[String]| {
            for line in from {
                if !to.contains(line) {
                    to.push(line.clone());
                }
            }
        };
        add(&mut self.rebuilt, &examination.rebuilt);
        add(&mut self.restored, &examination.restored);
        // A later examination says the same point lost in other words.
        let told: BTreeSet<_> = self.lost.iter().map(Loss::of_point).collect();
        let is_new = |loss: &&Loss| match &loss.point {
            Some(_) => !told.contains(&loss.of_point()),
            None => !self.lost.contains(loss),
        };
        let new: Vec<Loss> = examination.lost.iter().filter(is_new).cloned().collect();
        drop(told);
        self.lost.extend(new);
    }
}

/// Examines the data in `dir` and mends it. Reads everything: time O(bytes stored), and as much disk again if blocks of files cannot be read.
///
/// What it tells is found on a double of the data, which stays as it is until then; nothing is lost that was not told.
///
/// # Errors
///
/// `Unavailable` if a server uses the folder; `NotFound` if there is no data; `Corrupted` if too little is left for a database to open, or if
/// mending would lose more than was told.
pub fn repair(dir: &Path, on_loss: OnLoss) -> Result<RepairReport> {
    let kept = finish_copy(dir)?;
    if !dir.join(DATABASE_FOLDER).exists() {
        return Err(Error::not_found(format!(
            "{}: there is no database here to repair",
            dir.display()
        )));
    }
    let mut sight = Sight::of(dir)?;
    if sight.found.is_sound() && sight.told.has_nothing_to_tell() {
        sight.told.kept = kept;
        return Ok(sight.told);
    }
    if !sight.told.lost.is_empty() && on_loss == OnLoss::Ask {
        sight.told.outcome = RepairOutcome::Asked;
        return Ok(sight.told);
    }
    let mut report = if sight.found.gaps.is_empty() {
        let Sight {
            store, told, found, ..
        } = sight;
        drop(store);
        drop(found);
        mend_in_place(dir, &told, kept)?
    } else {
        sight.replace(dir)?
    };
    let engine = Engine::open(dir, EngineOptions::default()).context("open the repaired data")?;
    report.left = engine.check();
    report.outcome = RepairOutcome::Repaired;
    write_report(&report)?;
    Ok(report)
}

/// What a double of the data shows.
struct Sight {
    store: Store,
    found: Examination,
    /// What a repair will do and lose.
    told: RepairReport,
    /// Whether the end of the write-ahead log is lost, and the segments with it.
    is_cut: bool,
    double: Double,
}

impl Sight {
    fn of(dir: &Path) -> Result<Self> {
        let double = Double::new(dir)?;
        remove_unfinished_copy(dir);
        let look = || {
            let mut told = RepairReport::default();
            let (store, is_cut) = open(double.path(), &mut told)?;
            let mut found = examine(&store, double.path(), BTreeSet::new())?;
            let mut store = store;
            let damaged = Store::damaged_tables(&found.gaps);
            if !damaged.is_empty() {
                drop(store);
                let beneath = open_beneath(double.path(), damaged)?;
                store = Store::open_lenient(double.path())?;
                store.lay_beneath(beneath);
                found = examine(&store, double.path(), BTreeSet::new())?;
            }
            told.take(&found);
            told.kept = None;
            Ok((store, found, told, is_cut))
        };
        let (store, found, mut told, is_cut) = look().map_err(|error: Error| {
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
        Ok(Self {
            store,
            found,
            told,
            is_cut,
            double,
        })
    }

    /// Puts a database of all that can be read in the place of the damaged one, which is kept aside.
    fn replace(self, dir: &Path) -> Result<RepairReport> {
        let Self {
            store,
            found,
            mut told,
            is_cut,
            double,
        } = self;
        let folder = copy_folder(double.path());
        let copy = store.copy_readable(&folder, &found.reachable)?;
        write(&copy, found.edits)?;
        // A copy does not show what it lacks.
        let again = examine(&copy, double.path(), found.stale)?;
        let of_rows = (found.rows, again.rows, "rows");
        let of_entries = (found.waiting, again.waiting, "entries of the log");
        for (told, copied, what) in [of_rows, of_entries] {
            if copied < told {
                return Err(lost_more(&format!("{copied} of {told} {what} were copied")));
            }
        }
        ensure_told(&again.lost, &told.lost)?;
        told.take(&again);
        write(&copy, again.edits)?;
        copy.close_copy()?;
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
        for id in again.stale {
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

/// Opens the store of a double without these tables and those that are found to be damaged below them. It must not be open itself.
fn open_beneath(double: &Path, mut damaged: BTreeSet<u64>) -> Result<Store> {
    let folder = double.join("beneath");
    loop {
        double_folder(&double.join(DATABASE_FOLDER), &folder.join(DATABASE_FOLDER))?;
        catalog::remove_tables(&folder, &damaged)?;
        let store = Store::open_lenient(&folder).context("open what stands in other tables")?;
        let further = Store::damaged_tables(&store.gaps_beneath());
        if further.is_subset(&damaged) {
            return Ok(store);
        }
        damaged.extend(further);
        drop(store);
        std::fs::remove_dir_all(&folder).map_err(|error| Error::io(&error, &folder))?;
    }
}

/// Writes the records that mend what was `told`: every file of the database can be read.
fn mend_in_place(dir: &Path, told: &RepairReport, kept: Option<PathBuf>) -> Result<RepairReport> {
    let mut report = RepairReport {
        kept,
        ..RepairReport::default()
    };
    let (store, _) = open(dir, &mut report)?;
    report.dropped = aside::dropped_logs(dir)?;
    let found = examine(&store, dir, BTreeSet::new())?;
    report.take(&found);
    ensure_told(&report.lost, &told.lost)?;
    let kept = match (&report.kept, report.dropped.last()) {
        (Some(kept), _) => kept.clone(),
        (None, Some(dropped)) => dropped.folder.clone(),
        (None, None) => aside::create_folder(dir)?,
    };
    keep_records(&store, &found.edits, &kept)?;
    write(&store, found.edits)?;
    for id in found.stale {
        keep_segments(dir, Some(id), &kept)?;
    }
    store.close()?;
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

/// The store, whatever of it can be opened, and whether the end of its log is lost.
fn open(dir: &Path, report: &mut RepairReport) -> Result<(Store, bool)> {
    let refused = match Store::open(dir) {
        Err(error) if error.kind() == ErrorKind::Corrupted => error,
        opened => return Ok((opened?, false)),
    };
    make_openable(dir, &refused, report)?;
    let is_cut = !report.lost.is_empty();
    if is_cut {
        let kept = match &report.kept {
            Some(kept) => kept.clone(),
            None => aside::create_folder(dir)?,
        };
        let guard = dir.join("guard");
        std::fs::rename(&guard, kept.join("guard")).map_err(|error| Error::io(&error, &guard))?;
        // They may hold, or leave out, what the lost writes did.
        keep_segments(dir, None, &kept)?;
        report.kept = Some(kept);
        report
            .rebuilt
            .push("the segments of all collections".to_owned());
    }
    Ok((Store::open_lenient(dir)?, is_cut))
}

/// Restores what RocksDB needs to open at all, and tells what it lacks then.
fn make_openable(dir: &Path, refused: &Error, report: &mut RepairReport) -> Result<()> {
    if restore_current(dir)? {
        report
            .restored
            .push("the name of the database's manifest".to_owned());
    }
    if let Err(damaged) = Guard::check_catalog(dir) {
        // To be let go before RocksDB takes it.
        let _lock = double::lock(&dir.join(DATABASE_FOLDER))?;
        let kept = report.kept.clone();
        let kept = || kept.map_or_else(|| aside::create_folder(dir), Ok);
        let noted = Guard::noted_catalog(dir)?;
        let restored = catalog::restore(dir, noted, kept);
        report.kept = Some(restored.map_err(|error| error.context(damaged.to_string()))?);
        let what = "the database's list of its files (MANIFEST), from its copy";
        report.restored.push(what.to_owned());
    }
    let sequence = Store::lenient_sequence(dir).map_err(|error| {
        error
            .context(refused.to_string())
            .noted("what is left of it cannot be opened; restore the folder from a snapshot of the node, or collections from their archives")
    })?;
    match Guard::floor(&dir.join("guard")) {
        Ok(floor) if sequence < floor => report.lose(format!(
            "the last {} changes of the write-ahead log, up to its change {floor}: writes that were acknowledged",
            floor - sequence
        )),
        Ok(_) => {}
        Err(error) => report.lose(format!(
            "{error}: whether the end of the write-ahead log is there cannot be told"
        )),
    }
    Ok(())
}

/// Writes the file `CURRENT` if it names no manifest and there is one.
fn restore_current(dir: &Path) -> Result<bool> {
    let database = dir.join(DATABASE_FOLDER);
    let current = database.join("CURRENT");
    let named = std::fs::read_to_string(&current).unwrap_or_default();
    if named.starts_with("MANIFEST-") && database.join(named.trim_end()).exists() {
        return Ok(false);
    }
    let entries = std::fs::read_dir(&database).map_err(|error| Error::io(&error, &database))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    let Some(newest) = names.filter(|name| name.starts_with("MANIFEST-")).max() else {
        return Ok(false);
    };
    let write = || -> std::io::Result<()> {
        let temporary = database.join("CURRENT.repaired");
        let mut file = std::fs::File::create(&temporary)?;
        writeln!(file, "{newest}")?;
        file.sync_all()?;
        std::fs::rename(&temporary, &current)
    };
    write()
        .map_err(|error| Error::io(&error, &current))
        .context("name the manifest")?;
    sync_folder(&database)?;
    Ok(true)
}

/// Puts what the edits change aside, a line each: family, key and value in hexadecimal digits; a record that was not there has no value.
fn keep_records(store: &Store, edits: &[Edit], kept: &Path) -> Result<()> {
    let path = kept.join("records.jsonl");
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
    }
    store
        .write_synced_unreserved(batch)
        .context("write what was repaired")
}

/// Writes the report where what was changed is kept, and beside each dropped log: it is told with that.
fn write_report(report: &RepairReport) -> Result<()> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| Error::invalid(format!("report: {error}")))?;
    let dropped = report.dropped.iter().map(|dropped| &dropped.folder);
    let folders: BTreeSet<&PathBuf> = dropped.chain(&report.kept).collect();
    for folder in folders {
        aside::write_durably(&folder.join(aside::REPORT), text.as_bytes())?;
        sync_folder(folder)?;
    }
    Ok(())
}

/// Names of families whose unreadable ranges are told by what refers to them, or are built again.
fn is_told_otherwise(family: Family) -> bool {
    !matches!(family, Family::State)
}

#[cfg(test)]
mod tests;
