//! Values that live are moved out of blob files that are garbage for a good part, oldest file first, so that RocksDB drops these files.
//!
//! RocksDB moves values whenever it compacts the tables that name them, out of the oldest files: as many as a share of all files that is an option of the
//! family. So the share is set and the tables are compacted one by one. The files that it writes meanwhile are files too: the share is set anew for each
//! table, to that of the files which were there at first, or what was moved would be moved again.

use std::path::Path;

use rocksdb::BottommostLevelCompaction;

use super::garbage::{GARBAGE_SHARE, beside_others};
use super::space::Space;
use super::{DATABASE_FOLDER, Family, Store, blob, key};
use crate::error::{Error, Result, ResultExt};

/// The share of the files, oldest first, that values are moved from: the option's name.
const CUTOFF: &str = "blob_garbage_collection_age_cutoff";
/// Of what work that makes room may take, the parts that are left for the segments, which let go of the files last: one of so many.
const LEFT_TO_SEGMENTS: u64 = 3;
/// The oldest files may have more live bytes than others: so many times as many, at most.
const UNEVEN: u64 = 2;

/// How far it is.
pub(super) struct Moving {
    /// The last key of the tables that have been written again.
    after: Vec<u8>,
    /// Files with smaller numbers are moved from.
    before: u64,
    /// Whether there is room to move from all files.
    from_all: bool,
    /// Bytes of garbage when it began.
    garbage: u64,
    /// The share of garbage for which it is done: one of so many.
    share: u64,
}

impl Moving {
    /// Whether every file is moved from that was there when it began.
    pub fn is_from_all(&self) -> bool {
        self.from_all
    }
}

/// A blob file of vectors.
#[derive(Copy, Clone, Debug)]
struct VectorFile {
    number: u64,
    bytes: u64,
}

impl Store {
    /// Begins to move, if one of `share` of the files' bytes is garbage and there is room for the live values of one file at least.
    pub(super) fn begin_moving(&self, share: u64) -> Result<Option<Moving>> {
        let garbage = self.blob_garbage();
        if !self.is_garbage_due(garbage, share) {
            return Ok(None);
        }
        let room = Space::of(&self.dir)?.for_freeing();
        let room = room - room / LEFT_TO_SEGMENTS;
        let files = self.vector_files()?;
        let all = self.blob_bytes();
        let chosen = files_to_move(&files, all.saturating_sub(garbage), all, room);
        tracing::debug!(
            all,
            garbage,
            room,
            files = files.len(),
            chosen,
            "values are moved out of blob files"
        );
        let Some(last) = chosen.checked_sub(1) else {
            return Ok(None);
        };
        Ok(Some(Moving {
            after: Vec::new(),
            before: files[last].number + 1,
            from_all: chosen == files.len(),
            garbage,
            share,
        }))
    }

    /// Writes the next table again, with what values it names; none when that was the last.
    pub(super) fn move_on(&self, mut moving: Moving) -> Result<Option<Moving>> {
        let files = self.vector_files()?;
        let old = files.iter().take_while(|file| file.number < moving.before);
        let old = old.count();
        if old > 0
            && let Some((first, last)) = self.next_table(&moving.after)?
        {
            let known = self.property(Family::Vectors, "rocksdb.num-blob-files");
            self.set_cutoff(cutoff(old, files.len(), known))?;
            self.compact_vectors(Some((&first, &last)));
            // Of fewer files the share would be others, and RocksDB compacts when it likes.
            self.set_cutoff(0.0)?;
            moving.after = last;
            return Ok(Some(moving));
        }
        // While the disk is short, segments first let go of the files that were moved from.
        let is_again = moving.share == GARBAGE_SHARE
            && !moving.from_all
            && self.blob_garbage() < moving.garbage;
        match is_again {
            true => self.begin_moving(moving.share),
            false => Ok(None),
        }
    }

    /// RocksDB's complete blob files of vectors, oldest first.
    fn vector_files(&self) -> Result<Vec<VectorFile>> {
        let folder = self.dir.join(DATABASE_FOLDER);
        let entries = std::fs::read_dir(&folder).map_err(|error| Error::io(&error, &folder))?;
        let files = entries.filter_map(|entry| vector_file(&entry.ok()?.path()));
        let mut files: Vec<VectorFile> = files.collect();
        files.sort_unstable_by_key(|file| file.number);
        Ok(files)
    }

    fn set_cutoff(&self, share: f64) -> Result<()> {
        self.db
            .set_options_cf(
                self.handle(Family::Vectors),
                &[(CUTOFF, &format!("{share:.5}"))],
            )
            .context("set options of the family of vectors")
    }

    /// First and last key of the first table whose keys come after.
    fn next_table(&self, after: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let tables = self.db.live_files().context("list tables")?;
        let of_vectors = tables
            .into_iter()
            .filter(|table| table.column_family_name == Family::Vectors.name());
        let ranges = of_vectors.filter_map(|table| Some((table.start_key?, table.end_key?)));
        Ok(ranges.filter(|(first, _)| first.as_slice() > after).min())
    }

    /// Writes the tables of a range of vectors again, or of all; each once, for the share of files would be of others the second time.
    pub(super) fn compact_vectors(&self, range: Option<(&[u8], &[u8])>) {
        let mut options = beside_others();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        self.db.compact_range_cf_opt(
            self.handle(Family::Vectors),
            range.map(|(first, _)| first),
            range.map(|(_, last)| last),
            &options,
        );
    }
}

/// `None` if it is no blob file, of others than vectors, or has gone.
fn vector_file(path: &Path) -> Option<VectorFile> {
    if path.extension()? != "blob" {
        return None;
    }
    let number = path.file_stem()?.to_str()?.parse().ok()?;
    let file = std::fs::File::open(path).ok()?;
    let bytes = file.metadata().ok()?.len();
    blob::is_plain_of(file, key::VALUE_KEY_BYTES).then_some(VectorFile { number, bytes })
}

/// How many of the files, oldest first, can be moved from within `room`, if `live` of `all` their bytes live.
fn files_to_move(files: &[VectorFile], live: u64, all: u64, room: u64) -> usize {
    if live <= room {
        return files.len();
    }
    let mut left = room;
    let fits = |file: &&VectorFile| {
        let live = u128::from(file.bytes) * u128::from(live) / u128::from(all.max(1));
        let takes = file.bytes.min(live as u64 * UNEVEN);
        left.checked_sub(takes).map(|rest| left = rest).is_some()
    };
    files.iter().take_while(fits).count()
}

/// The share of files that has RocksDB move from the `old` oldest of `listed`, of which it knows so many: it drops files a moment before they are gone.
fn cutoff(old: usize, listed: usize, known: u64) -> f64 {
    let dropped = (listed as u64).saturating_sub(known);
    let old = (old as u64).saturating_sub(dropped);
    // It rounds down.
    ((old as f64 + 0.5) / known.max(1) as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_moved_than_there_is_room_for() {
        let check = |bytes: &[u64], live, room, expected: usize| {
            let files = (1..).zip(bytes.iter().copied());
            let files = files.map(|(number, bytes)| VectorFile { number, bytes });
            let files: Vec<VectorFile> = files.collect();
            let all = bytes.iter().sum();
            assert_eq!(
                files_to_move(&files, live, all, room),
                expected,
                "{bytes:?}"
            );
        };
        check(&[], 0, 0, 0);
        check(&[100, 100], 0, 0, 2);
        check(&[100, 100], 120, 120, 2);
        // All of a file may live.
        check(&[100, 100], 120, 119, 1);
        check(&[100, 100], 120, 99, 0);
        // Twice as much of a file as of all.
        check(&[100, 100, 100, 100], 80, 79, 1);
        check(&[100, 100, 100, 100], 40, 39, 1);
        check(&[10, 10, 100, 100], 55, 20, 2);
    }

    #[test]
    fn the_share_is_of_the_oldest_files() {
        let chosen = |old, listed, known: u64| (cutoff(old, listed, known) * known as f64) as u64;
        assert_eq!(chosen(3, 10, 10), 3);
        assert_eq!(chosen(10, 10, 10), 10);
        // One that is dropped is still there, and one that is being written not yet known.
        assert_eq!(chosen(3, 10, 9), 2);
        assert_eq!(chosen(1, 3, 4), 1);
        assert_eq!(chosen(1, 3, 1), 0);
    }
}
