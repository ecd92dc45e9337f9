//! Tables taken out of a catalogue: what stands in others below them can be read then.

use std::collections::BTreeSet;
use std::path::Path;

use super::edits::Files;
use super::{BLOCK_BYTES, HEADER_BYTES, MEND, named, sound_bytes};
use crate::error::{Error, Result};
use crate::storage::DATABASE_FOLDER;
use crate::storage::blob::{crc32c, masked};

/// Takes the tables of these numbers out of the catalogue of the database in `data`, a double which nobody has opened; answers how many it named.
///
/// # Errors
///
/// `Corrupted` if the catalogue cannot be read; what the disk says.
pub fn remove_tables(data: &Path, numbers: &BTreeSet<u64>) -> Result<usize> {
    let Some((_, path)) = named(&data.join(DATABASE_FOLDER))? else {
        return Ok(0);
    };
    let io = |error: std::io::Error| Error::io(&error, &path);
    let file = std::fs::File::open(&path).map_err(io)?;
    let sound = sound_bytes(&file, 0).map_err(io)?;
    let mut bytes = std::fs::read(&path).map_err(io)?;
    bytes.truncate(sound as usize);
    let files = Files::read(&bytes).ok_or_else(|| {
        Error::corrupted(format!(
            "{}: the database's list of its files cannot be read; {MEND}",
            path.display()
        ))
    })?;
    let edits = numbers.iter().filter_map(|number| files.removal(*number));
    let removed = edits.map(|edit| append(&mut bytes, &edit)).count();
    std::fs::write(&path, bytes).map_err(io)?;
    Ok(removed)
}

/// Adds an edit to a catalogue, in as many fragments as it needs.
fn append(log: &mut Vec<u8>, edit: &[u8]) {
    let (mut rest, mut is_first) = (edit, true);
    loop {
        let left = BLOCK_BYTES - log.len() % BLOCK_BYTES;
        if left < HEADER_BYTES {
            log.resize(log.len() + left, 0);
            continue;
        }
        let (now, after) = rest.split_at(rest.len().min(left - HEADER_BYTES));
        let kind = match (is_first, after.is_empty()) {
            (true, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
            (false, true) => 4,
        };
        log.extend(masked(crc32c(crc32c(0, &[kind]), now)).to_le_bytes());
        log.extend((now.len() as u16).to_le_bytes());
        log.push(kind);
        log.extend(now);
        if after.is_empty() {
            return;
        }
        (rest, is_first) = (after, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_wherever_a_block_ends() {
        for before in (BLOCK_BYTES - 40..BLOCK_BYTES + 3).chain([0]) {
            let mut log = Vec::new();
            // A whole fragment of an unknown, ignorable edit.
            if before > 0 {
                let mut edit = vec![0x80, 0x40];
                let length = before.min(BLOCK_BYTES) - HEADER_BYTES - 2 - 3;
                edit.extend([
                    length as u8 | 128,
                    (length >> 7) as u8 | 128,
                    (length >> 14) as u8,
                ]);
                edit.resize(edit.len() + length, 0);
                append(&mut log, &edit);
            }
            append(&mut log, &[6, 3, 9, 200, 1, 0]);
            append(&mut log, &[6, 3, 10, 200, 1, 0]);
            assert_eq!(Files::read(&log), Some(Files::default()), "{before}");
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("MANIFEST-000001");
            std::fs::write(&path, &log).unwrap();
            let file = std::fs::File::open(&path).unwrap();
            assert_eq!(sound_bytes(&file, 0).unwrap(), log.len() as u64, "{before}");
        }
    }
}
