//! Repair of a data folder that no server uses: what is derived is built again, what has a copy is restored, and what is lost is named.
//!
//! - `double`: a throwaway double of a data folder, to look at.
//! - `opening`: what a database needs to be opened at all.
//! - `sight`: what a double shows, and what is done about it.
//! - `examine`: the records that all collections share, and those of each collection.
//! - `partition`: the log, the notes and the position of one partition.
//! - `knowledge`: what segments, change records and the log tell of the points of a collection.
//! - `rows`: the rows of a collection with their vectors and media.
//! - `segments`: what the segment files are worth.
//!
//! Nothing that can be read is dropped, unless it is known not to be in force. What cannot is told first, and removed only when that is accepted:
//! then the rest can be served again. Before anything is changed, what it was is put aside in `DATA/damaged-<time>`: the write-ahead log, the
//! whole database if blocks of its files cannot be read (what can is copied into a new one), else the records that change.
//!
//! What restores a row: the entries of its partition's log that are not purged hold rows whole, and the change records tell which of them took
//! effect. A vector is also in the segment file that has its row's version. What names a row that is gone: the segment files and the change records.
//!
//! A damaged table may have held the newer state of a row that another table has, or its removal. What was removed must not come back, so that each
//! row that is read is compared with what is known of its point ([`rows`]).
//!
//! # What a repaired store satisfies
//!
//! - A row is the newest that is known of its point, or the report names it; of a row that may not be the newest, the report tells how many there
//!   are in the collection.
//! - Each vector and medium that a row refers to is there, and no garbage list names it: it stays when the log is purged.
//! - Each value that an entry of the log brought, and its change record if it is applied, is there; entries follow each other from the purged
//!   position on.
//! - A position is not below any trace of an applied entry; change records are not missing behind the position up to which they count as purged.
//! - Segment files cover nothing that the store does not have, or are gone.
//!
//! - A server opens it: what it refuses, because a part of its write-ahead log is passed over, is copied into a new one.
//! - A log that was not read in full is told, with a line for each collection: nothing else may tell of what was in it.
//!
//! All but the last is what an examination looks for. So a repair mends and examines again until nothing is found ([`sight`]), and only then puts the
//! mended store in its place.

mod double;
mod examine;
mod knowledge;
mod opening;
mod partition;
mod rows;
mod segments;
mod sight;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::storage::aside::{self, DroppedLog};
use crate::storage::durable::{sync_folder, write_durably};
use crate::storage::salvage::finish_copy;
use crate::storage::space::Space;
use crate::storage::{DATABASE_FOLDER, Family, Store};
use crate::{Engine, EngineOptions};
use examine::Examination;
use sight::{Sight, mend_in_place};

pub use double::Double;
pub use opening::check_catalog_mendable;
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
    /// Write-ahead logs that could not be read in full, now or by an earlier start.
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

    fn tells_anything(&self) -> bool {
        !(self.lost.is_empty() && self.restored.is_empty() && self.dropped.is_empty())
    }

    /// Tells of each collection that a part of the write-ahead log was passed over: of what was in it nothing else may tell.
    fn tell_passed_over(&mut self, names: &[String], damage: &str) {
        let what = format!(
            "perhaps writes that were acknowledged: part of the write-ahead log cannot be read ({damage}); points that only it held are missing, and \
             those that it replaced or deleted may be as they were before"
        );
        if names.is_empty() {
            self.lose(what.clone());
        }
        self.lost.extend(names.iter().map(|name| Loss {
            collection: Some(name.clone()),
            point: None,
            what: what.clone(),
        }));
    }

    /// Adds what was told and has no point to be told by.
    fn take_wide(&mut self, told: &Self) {
        for loss in told.lost.iter().filter(|loss| loss.point.is_none()) {
            if !self.lost.contains(loss) {
                self.lost.push(loss.clone());
            }
        }
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
    mend(dir, on_loss).map_err(|error| match error.kind() {
        ErrorKind::StorageFull => lacks_room(dir).unwrap_or(error),
        _ => error,
    })
}

/// What a repair needs of a disk that is too full for it.
fn lacks_room(dir: &Path) -> Result<Error> {
    let free = Space::of(dir)?.free;
    let needed = Store::bytes_to_copy(dir)?;
    let text = format!(
        "{}: its repair needs up to {} MiB free on that disk, for a copy of the database, and {} MiB are free: move other files away, or snapshots from \
         the folder snapshots/ in it, and repair again",
        dir.display(),
        needed.div_ceil(1 << 20),
        free >> 20
    );
    Ok(Error::new(ErrorKind::StorageFull, text))
}

fn mend(dir: &Path, on_loss: OnLoss) -> Result<RepairReport> {
    let kept = finish_copy(dir)?;
    if !dir.join(DATABASE_FOLDER).exists() {
        return Err(Error::not_found(format!(
            "{}: there is no database here to repair",
            dir.display()
        )));
    }
    let mut sight = Sight::of(dir)?;
    if sight.is_sound {
        sight.told.kept = kept;
        return Ok(sight.told);
    }
    if !sight.told.lost.is_empty() && on_loss == OnLoss::Ask {
        sight.told.outcome = RepairOutcome::Asked;
        return Ok(sight.told);
    }
    let mut report = if sight.found.gaps.is_empty() && !sight.is_refused {
        let Sight { store, told, .. } = sight;
        drop(store);
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

/// Writes the report where what was changed is kept, and beside each dropped log: it is told with that.
fn write_report(report: &RepairReport) -> Result<()> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| Error::invalid(format!("report: {error}")))?;
    let dropped = report.dropped.iter().map(|dropped| &dropped.folder);
    let folders: BTreeSet<&PathBuf> = dropped.chain(&report.kept).collect();
    for folder in folders {
        write_durably(&folder.join(aside::REPORT), text.as_bytes())?;
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
