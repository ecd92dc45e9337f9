//! Opening RocksDB: its options, what is done about a damaged write-ahead log, and what is said of a full disk.

use std::path::{Path, PathBuf};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    Options, WriteBufferManager,
};

use super::durable::sync_folder;
use super::space::Space;
use super::{BLOB_BYTES_MIN, Family, aside, wal};
use crate::budget::MemoryShares;
use crate::error::{Error, ErrorKind, Result, ResultExt};

/// Room that opening takes beside what the write-ahead log holds: the list of files, and the first pages of the next log.
const OPENING_BYTES: u64 = 4 << 20;

/// The database, and where its write-ahead log is kept as it was if it is damaged.
pub(super) fn open_database(
    data: &Path,
    path: &Path,
    memory: &MemoryShares,
    threads: usize,
) -> Result<(DB, Option<PathBuf>)> {
    let open_with = |opening| open_with(path, opening, memory, threads);
    use DBRecoveryMode::{PointInTime, TolerateCorruptedTailRecords};
    // A damaged tail (a zeroed page after a power cut) must never block opening, and a hole before the tail must never pass
    // silently: the strict mode first, then up to the last consistent point, which the guard compares with what was acknowledged.
    let strict = Opening {
        recovery: TolerateCorruptedTailRecords,
        tracking: WalTracking::On,
        checks: Checks::Strict,
    };
    let hole = match path.exists() {
        true => wal::find_hole(path)?,
        false => None,
    };
    let error = match hole.map_or_else(|| open_with(strict), Err) {
        Err(error) if error.kind() == ErrorKind::Corrupted => error,
        other => return Ok((other?, None)),
    };
    if is_of_another_file(&error) {
        return Err(error);
    }
    // Opening may remove what it does not use, and the guard may refuse the rest.
    let kept = aside::keep_wal(data)?;
    let kept_at = kept
        .as_deref()
        .map_or_else(|| "nothing to keep".to_owned(), kept_fact);
    tracing::warn!(%error, kept_at, "the write-ahead log is damaged; opening up to the last consistent point");
    wal::mark_holes(path)?;
    let consistent = Opening {
        recovery: PointInTime,
        ..strict
    };
    // A power cut soon after a start may take the only file of the log: its name was not durable yet, and nothing in it. RocksDB has no
    // kind for this error.
    let opening = match error.message().contains("with no WAL files") {
        true => Opening {
            tracking: WalTracking::Off,
            ..consistent
        },
        false => consistent,
    };
    let db = open_with(opening).map_err(|error| match &kept {
        Some(kept) => error.noted(&kept_fact(kept)),
        None => error,
    })?;
    match &kept {
        Some(kept) => aside::note_dropped(kept, &error)?,
        // With a guard, nothing of a missing log was durable: else it refuses.
        None if !data.join("guard").exists() => {
            aside::note_dropped(&aside::create_folder(data)?, &error)?;
            sync_folder(data)?;
        }
        None => {}
    }
    Ok((db, kept))
}

/// Where a damaged log is kept, for an error.
pub(super) fn kept_fact(kept: &Path) -> String {
    format!("{}{}", aside::KEPT_LOG, kept.display())
}

/// Whether an error names a damaged or missing file that is none of the write-ahead log: opening it otherwise does not help.
fn is_of_another_file(error: &Error) -> bool {
    let text = error.message();
    let names_other = [".sst", ".blob", "MANIFEST", "CURRENT"];
    names_other.iter().any(|name| text.contains(name)) && !text.contains(".log")
}

/// How to open the database.
#[derive(Copy, Clone, Debug)]
pub(super) struct Opening {
    pub recovery: DBRecoveryMode,
    pub tracking: WalTracking,
    pub checks: Checks,
}

/// Whether every table must be there and sound at its ends.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Checks {
    Strict,
    /// What of them can be read is.
    Lenient,
}

/// Whether each file of the write-ahead log is compared with what its successor says of it. Without that, RocksDB opens without a word when
/// one in the middle is missing, and the guard sees the last sequence number that it expects.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum WalTracking {
    On,
    Off,
}

pub(super) fn open_with(
    path: &Path,
    opening: Opening,
    memory: &MemoryShares,
    threads: usize,
) -> Result<DB> {
    // Rows of the answers, and of scans that a filter needs; vectors are not read through it.
    let cache = Cache::new_lru_cache(memory.block_cache as usize);
    let descriptors = Family::ALL.into_iter().map(|family| {
        let options = family_options(family, &cache, memory)?;
        Ok(ColumnFamilyDescriptor::new(family.name(), options))
    });
    let descriptors = descriptors.collect::<Result<Vec<_>>>()?;
    let room = OpeningRoom::of(path)?;
    let mut options = database_options(opening, room)?;
    // Writers are not stalled by it: they wait for sealing, if for anything.
    let memtables = WriteBufferManager::new_write_buffer_manager(memory.memtables as usize, false);
    options.set_write_buffer_manager(&memtables);
    options.set_max_background_jobs(i32::try_from(threads + 1).unwrap_or(i32::MAX));
    DB::open_cf_descriptors(&options, path, descriptors).map_err(|error| {
        if is_locked(&error) {
            Error::new(
                ErrorKind::Unavailable,
                format!(
                    "{} is in use by another process; stop that server or choose another data folder ({error})",
                    path.display()
                ),
            )
        } else {
            let error = Error::from(error).context(format!("open {}", path.display()));
            match error.kind() {
                ErrorKind::StorageFull => error.noted(&how_to_open(path)),
                _ => error,
            }
        }
    })
}

/// Whether the disk has room for tables of what the write-ahead log holds.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum OpeningRoom {
    Enough,
    Tight,
}

impl OpeningRoom {
    fn of(database: &Path) -> Result<Self> {
        if !database.exists() {
            return Ok(Self::Enough);
        }
        let space = Space::of(database)?;
        let is_tight = space.is_short() && space.for_freeing() < aside::logged_bytes(database)?;
        Ok(if is_tight { Self::Tight } else { Self::Enough })
    }
}

/// What to do when the disk is too full to open the database.
fn how_to_open(database: &Path) -> String {
    let free = Space::of(database).map_or(0, |space| space.free);
    let needed = OPENING_BYTES + aside::logged_bytes(database).unwrap_or(0);
    format!(
        "nothing is damaged: the disk is full, with {} KiB free; make {} MiB free on the disk of {} (by moving other files away, or snapshots \
         from the folder snapshots/ beside it) and start again",
        free >> 10,
        needed.div_ceil(1 << 20),
        database.display()
    )
}

/// Whether another process, or another part of this one, holds the folder. RocksDB has no kind for it; paths may hold any word.
fn is_locked(error: &rocksdb::Error) -> bool {
    let text = error.to_string();
    [
        "IO error: While lock file:",
        "IO error: lock hold by current process",
    ]
    .iter()
    .any(|beginning| text.starts_with(beginning))
}

fn database_options(opening: Opening, room: OpeningRoom) -> Result<Options> {
    let mut options = Options::default();
    let tracking = opening.tracking == WalTracking::On;
    // The crate has no setters for these. A log that is allocated beforehand takes 70 MiB of a small disk for nothing. What is replayed goes to
    // tables at once, unless there is no room for them.
    options = options
        .get_options_from_string(format!(
            "allow_fallocate=false;track_and_verify_wals={tracking};avoid_flush_during_recovery={}",
            room == OpeningRoom::Tight
        ))
        .context("set options of the store")?;
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_wal_recovery_mode(opening.recovery);
    options.set_paranoid_checks(opening.checks == Checks::Strict);
    options.set_max_total_wal_size(256 << 20);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(4 << 20);
    options.set_log_level(rocksdb::LogLevel::Warn);
    // No periodic work: an idle server takes no CPU.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    Ok(options)
}

fn family_options(family: Family, cache: &Cache, memory: &MemoryShares) -> Result<Options> {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    if family == Family::Points {
        table.set_bloom_filter(10.0, false);
    }
    // Blocks of files that are gone leave the cache at once. The crate has no setter for it.
    let mut options = Options::default()
        .get_options_from_string("uncache_aggressiveness=1000")
        .context("set options of a column family")?;
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    let write_buffer_bytes = match family {
        Family::Log | Family::Points => 64 << 20,
        Family::Vectors | Family::Media => 32 << 20,
        Family::Changes | Family::PayloadIndex | Family::State | Family::Meta => 4 << 20,
    };
    // Two of the large ones are filled while two are written.
    options.set_write_buffer_size(write_buffer_bytes.min(memory.memtables as usize / 4));
    if family == Family::Points {
        // Ids come in any order, so the tables of a load all overlap: each merge of them writes every row again.
        options.set_level_zero_file_num_compaction_trigger(8);
    }
    // Rows stay in the tree: a point is read from the cache in 3.5 us, from a blob in 4.6 us.
    if matches!(family, Family::Vectors | Family::Media | Family::Log) {
        options.set_enable_blob_files(true);
        options.set_min_blob_size(BLOB_BYTES_MIN);
        options.set_enable_blob_gc(true);
        if family != Family::Media {
            // Those of entries go whole; for those of vectors see `garbage`.
            options.set_blob_gc_age_cutoff(0.0);
        }
        // Entries die in the order in which they came: small files go whole, and compactions never copy a payload that is purged soon.
        options.set_blob_file_size(match family {
            Family::Log => 32 << 20,
            _ => 128 << 20,
        });
        // Vectors do not compress; texts do, and zstd gives up at once on encoded pictures. Entries do not live long enough.
        options.set_blob_compression_type(match family {
            Family::Media => DBCompressionType::Zstd,
            _ => DBCompressionType::None,
        });
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use crate::error::ErrorKind;
    use crate::storage::Store;

    #[test]
    fn a_folder_named_like_a_lock_is_not_taken_for_one_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("blocks");
        let database = folder.join("rocksdb");
        std::fs::create_dir_all(&database).unwrap();
        // RocksDB names the missing manifest, and so the folder, in its error.
        std::fs::write(database.join("CURRENT"), "MANIFEST-000001\n").unwrap();
        let error = Store::open(&folder).err().unwrap();
        assert!(error.to_string().contains("MANIFEST-000001"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");

        let other = dir.path().join("other");
        let _store = Store::open(&other).unwrap();
        let error = Store::open(&other).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}
