//! RocksDB's catalogue of its files (`MANIFEST-<number>`, named by `CURRENT`): whether all of it is there.
//!
//! RocksDB takes a catalogue whose end is cut off or zeroed for a shorter one: it opens the older state that is left and deletes the tables of
//! the newer one. Without `CURRENT` it begins a new database and deletes all of them. So the guard notes how far the catalogue reached
//! ([`Extent`]), and what falls short of it is refused before RocksDB sees it.
//!
//! The catalogue is a log of edits (`db/log_format.h`), each in one or more fragments that do not cross blocks of 32 KiB:
//!
//! ```text
//! fragment  masked CRC-32C of kind and bytes u32 | length u16 | kind u8 (1 whole, 2 first, 3 middle, 4 last) | bytes
//! ```
//!
//! - `copy`: a second one, outside the database.
//! - `edits`: the files that it names.
//! - `without`: tables taken out of it.

mod copy;
mod edits;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod without;

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bincode::{Decode, Encode};

use super::blob::{crc32c, masked};
use super::{DATABASE_FOLDER, failure};
use crate::error::{Error, Result, ResultExt};

pub use copy::{copied, copies, restore};
pub use without::remove_tables;

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;
/// What a repair says that cannot restore it.
const MEND: &str = "nothing was changed; restore the folder from a snapshot of the node, or collections from their archives";
/// What a start says.
const MEND_AT_START: &str = "nothing was changed; a repair restores it if it can; if not, restore the folder from a snapshot of the node, or collections from their archives";

/// How far a catalogue reaches.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub struct Extent {
    /// Of the file; it grows with every new one. 0 if none is known.
    pub number: u64,
    /// Bytes up to the end of the last sound fragment.
    pub bytes: u64,
}

impl Extent {
    /// That of the catalogue in use, made durable and copied; `known` if that is still all, or if there is no database. Reads what was added only.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn durable(data: &Path, known: Self) -> Result<Self> {
        let database = &data.join(DATABASE_FOLDER);
        let Some((number, path)) = named(database)? else {
            return Ok(known);
        };
        let file = match File::open(&path) {
            // A newer one takes its place just now.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(known),
            opened => opened.map_err(|error| Error::io(&error, &path))?,
        };
        let from = if number == known.number {
            known.bytes
        } else {
            0
        };
        let io = |error: std::io::Error| Error::io(&error, &path);
        let bytes = sound_bytes(&file, from).map_err(io)?;
        let found = Self { number, bytes };
        if found != known {
            file.sync_data()
                .inspect_err(|error| failure::end_process_if_not_synced(error, &path))
                .map_err(io)?;
        }
        if number != known.number {
            let io = |error: std::io::Error| Error::io(&error, database);
            let folder = File::open(database).map_err(io)?;
            folder
                .sync_all()
                .inspect_err(|error| failure::end_process_if_not_synced(error, database))
                .map_err(io)?;
        }
        if found != known
            && let Err(error) = copy::extend(data, &file, from, found)
        {
            // Only a repair of a damaged catalogue needs it; it refuses one that lacks something.
            tracing::warn!(%error, "there is no copy of the database's list of its files");
        }
        Ok(found)
    }
}

/// Checks, before RocksDB opens the database in `data`, that its catalogue reaches as far as was `noted`. Time O(bytes of the catalogue).
///
/// # Errors
///
/// `Corrupted` if it does not, or if there is none although there are tables; what the disk says.
pub fn check(data: &Path, noted: Extent) -> Result<()> {
    let database = data.join(DATABASE_FOLDER);
    let current = database.join("CURRENT");
    if !database.exists() {
        return Ok(());
    }
    if !current.exists() && (noted.number > 0 || has_contents(&database)) {
        return Err(Error::corrupted(format!(
            "{}: the name of the database's MANIFEST is missing; {MEND_AT_START}",
            current.display()
        )));
    }
    // RocksDB refuses a name that it cannot read.
    let Some((number, path)) = named(&database)? else {
        return Ok(());
    };
    if number < noted.number {
        return Err(Error::corrupted(format!(
            "{}: names MANIFEST-{number:06}, but {} or the copy beside it tells that MANIFEST-{:06} was in use; {MEND_AT_START} (without those files, if the database was put back)",
            current.display(),
            data.join("guard").display(),
            noted.number
        )));
    }
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::corrupted(format!(
                "{}: the database's list of its files is missing; {MEND_AT_START}",
                path.display()
            )));
        }
        opened => opened.map_err(|error| Error::io(&error, &path))?,
    };
    if number > noted.number {
        return Ok(());
    }
    let bytes = sound_bytes(&file, 0).map_err(|error| Error::io(&error, &path))?;
    if bytes < noted.bytes {
        return Err(Error::corrupted(format!(
            "{}: the database's list of its files can be read for {bytes} bytes, but {} were durable; {MEND_AT_START}",
            path.display(),
            noted.bytes
        )));
    }
    Ok(())
}

/// Whether RocksDB has ever used a folder: its log and tables come after `CURRENT`.
fn has_contents(database: &Path) -> bool {
    let entries = std::fs::read_dir(database).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let path = entry.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("sst" | "blob" | "log"))
    })
}

/// Number and path of the catalogue in use; `None` if it has no name that can be read.
fn named(database: &Path) -> Result<Option<(u64, PathBuf)>> {
    let current = database.join("CURRENT");
    let name = match std::fs::read(&current) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read
            .map_err(|error| Error::io(&error, &current))
            .context("read the name of the manifest")?,
    };
    let name = String::from_utf8_lossy(&name);
    let number = name.trim_end().strip_prefix("MANIFEST-");
    let number = number.and_then(|digits| digits.parse::<u64>().ok());
    Ok(number.map(|number| (number, database.join(name.trim_end()))))
}

/// Where the sound fragments end that follow each other from `from` on, where one begins.
fn sound_bytes(file: &File, from: u64) -> std::io::Result<u64> {
    let mut sound = from;
    let mut block = vec![0; BLOCK_BYTES];
    let mut start = from - from % BLOCK_BYTES as u64;
    loop {
        let length = read_block(file, start, &mut block)?;
        let mut at = (sound.max(start) - start) as usize;
        while let Some(after) = fragment_end(&block[..length], at) {
            at = after;
            sound = start + at as u64;
        }
        // The next block is asked only if nothing but the filling is left of this one.
        if at + HEADER_BYTES <= BLOCK_BYTES {
            return Ok(sound);
        }
        start += BLOCK_BYTES as u64;
    }
}

fn read_block(file: &File, start: u64, block: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < block.len() {
        match file.read_at(&mut block[length..], start + length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// Where the fragment at `at` ends, if it is sound.
fn fragment_end(block: &[u8], at: usize) -> Option<usize> {
    let (header, rest) = block.get(at..)?.split_first_chunk::<HEADER_BYTES>()?;
    let [c0, c1, c2, c3, l0, l1, kind] = *header;
    let bytes = rest.get(..usize::from(u16::from_le_bytes([l0, l1])))?;
    let crc = masked(crc32c(crc32c(0, &[kind]), bytes));
    (crc == u32::from_le_bytes([c0, c1, c2, c3])).then_some(at + HEADER_BYTES + bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(lengths: &[usize]) -> (Vec<u8>, Vec<u64>) {
        let (mut log, mut ends) = (Vec::new(), Vec::new());
        for length in lengths {
            let left = BLOCK_BYTES - log.len() % BLOCK_BYTES;
            if left < HEADER_BYTES {
                log.resize(log.len() + left, 0);
            }
            let bytes = vec![7; *length];
            log.extend(masked(crc32c(crc32c(0, &[1]), &bytes)).to_le_bytes());
            log.extend((*length as u16).to_le_bytes());
            log.push(1);
            log.extend(bytes);
            ends.push(log.len() as u64);
        }
        (log, ends)
    }

    #[test]
    fn a_catalogue_is_sound_up_to_its_first_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("MANIFEST-000007");
        let check = |bytes: &[u8], from: u64, expected: u64| {
            std::fs::write(&path, bytes).unwrap();
            let file = File::open(&path).unwrap();
            assert_eq!(sound_bytes(&file, from).unwrap(), expected, "from {from}");
        };
        // The second ends 3 bytes before its block does, the fourth fills its block.
        let rest = BLOCK_BYTES - 107 - 7 - 3;
        let (log, ends) = log_of(&[100, rest, 50, BLOCK_BYTES - 57 - 7, 60]);
        assert_eq!(ends[1], BLOCK_BYTES as u64 - 3);
        assert_eq!(ends[3], 2 * BLOCK_BYTES as u64);
        let whole = log.len() as u64;
        check(&[], 0, 0);
        for from in [0].iter().chain(&ends) {
            check(&log, *from, whole);
        }
        for (at, end) in ends.iter().enumerate() {
            let before = if at == 0 { 0 } else { ends[at - 1] };
            check(&log[..*end as usize], 0, *end);
            check(&log[..*end as usize - 1], 0, before);
            let mut damaged = log.clone();
            damaged[*end as usize - 1] ^= 1;
            check(&damaged, 0, before);
            damaged[before as usize..].fill(0);
            check(&damaged, 0, before);
        }
    }
}
