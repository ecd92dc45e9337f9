//! Opening a store of which files that RocksDB needs may be damaged or gone.

use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Write};
use std::path::Path;

use super::RepairReport;
use super::double::lock;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::storage::durable::sync_folder;
use crate::storage::guard::Guard;
use crate::storage::{DATABASE_FOLDER, Store, aside, catalog, wal};

/// A store, whatever of it can be opened.
pub(super) struct Opened {
    pub store: Store,
    /// Whether the end of its log is lost, or a part of it.
    pub is_cut: bool,
    /// Whether a part of its log is passed over that a server refuses to pass over.
    pub is_passed_over: bool,
    /// Whether a server refuses it, and nothing is told yet that is the reason.
    pub is_unexplained: bool,
    /// What of its log was passed over now.
    pub damage: Option<String>,
}

/// What is said of a log that was read up to its damage.
fn cut_text(damage: Option<&wal::Damage>, cause: String) -> String {
    match damage {
        Some(damage) => format!(
            "byte {} of {} is damaged, and what stands behind it is left out",
            damage.at,
            damage.log.file_name().unwrap_or_default().to_string_lossy()
        ),
        None => cause,
    }
}

/// Opens a store as a server does, else whatever of it can be.
pub(super) fn open(dir: &Path, report: &mut RepairReport) -> Result<Opened> {
    // Opening removes what it has read, or passed over.
    let damage = wal::find_damage(&dir.join(DATABASE_FOLDER))?;
    let told = aside::dropped_logs(dir)?;
    let opened = Store::open(dir);
    let dropped = aside::dropped_logs(dir)?;
    let newly = dropped.into_iter().find(|log| !told.contains(log));
    let refused = match opened {
        Err(error) if error.kind() == ErrorKind::Corrupted => error,
        opened => {
            return Ok(Opened {
                store: opened?,
                is_cut: false,
                is_passed_over: false,
                is_unexplained: false,
                damage: newly.map(|log| cut_text(damage.as_ref(), log.cause)),
            });
        }
    };
    // RocksDB goes on behind what it cannot read then, and all that it passes over is missing.
    let is_passed_over = damage.is_some() && newly.is_none();
    let text = match newly {
        Some(log) => Some(cut_text(damage.as_ref(), log.cause)),
        None => damage.map(|damage| damage.to_string()),
    };
    if let Some(text) = text.clone().filter(|_| is_passed_over)
        && let Some(kept) = aside::keep_wal(dir)?
    {
        aside::note_dropped(&kept, &Error::corrupted(text))?;
    }
    make_openable(dir, &refused, report)?;
    let is_unexplained = !report.tells_anything();
    let is_cut = !report.lost.is_empty() || is_passed_over;
    if is_cut {
        let kept = match &report.kept {
            Some(kept) => kept.clone(),
            None => aside::create_folder(dir)?,
        };
        let guard = dir.join("guard");
        match std::fs::rename(&guard, kept.join("guard")) {
            Err(error) if error.kind() == IoErrorKind::NotFound => {}
            renamed => renamed.map_err(|error| Error::io(&error, &guard))?,
        }
        report.kept = Some(kept);
        // They may hold, or leave out, what the lost writes did: when they have told of points, they go.
        report
            .rebuilt
            .push("the segments of all collections".to_owned());
    }
    Ok(Opened {
        store: Store::open_lenient(dir)?,
        is_cut,
        is_passed_over,
        is_unexplained,
        damage: text,
    })
}

/// Checks that the database's list of its files can be restored, if it is damaged, in a double, which changes by it.
///
/// # Errors
///
/// `Corrupted`, with the reason, if it cannot: no repair helps then.
pub fn check_catalog_mendable(double: &Path) -> Result<()> {
    restore_catalog(double, &mut RepairReport::default())
}

fn restore_catalog(dir: &Path, report: &mut RepairReport) -> Result<()> {
    if restore_current(dir)? {
        report
            .restored
            .push("the name of the database's manifest".to_owned());
    }
    if let Err(damaged) = Guard::check_catalog(dir) {
        // To be let go before RocksDB takes it.
        let _lock = lock(&dir.join(DATABASE_FOLDER))?;
        let kept = report.kept.clone();
        let kept = || kept.map_or_else(|| aside::create_folder(dir), Ok);
        let noted = Guard::noted_catalog(dir)?;
        let restored = catalog::restore(dir, noted, kept);
        report.kept = Some(restored.map_err(|error| error.context(damaged.to_string()))?);
        let what = "the database's list of its files (MANIFEST), from its copy";
        report.restored.push(what.to_owned());
    }
    Ok(())
}

/// Restores what RocksDB needs to open at all, and tells what it lacks then.
fn make_openable(dir: &Path, refused: &Error, report: &mut RepairReport) -> Result<()> {
    restore_catalog(dir, report)?;
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
        Err(error) => report.lose(error.to_string()),
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
        let mut file = File::create(&temporary)?;
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
