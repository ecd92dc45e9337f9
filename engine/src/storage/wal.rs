//! Holes in RocksDB's write-ahead log: zeros where a record should begin, with more behind them.
//!
//! RocksDB takes zeros for the unused rest of a block and goes on with the next one, without a word in any of its recovery modes. So a sector that
//! the disk lost could take records away whose successors are replayed. Such zeros are looked for before RocksDB opens a log, and are made what it
//! notices: a record with a wrong checksum. Zeros up to the end of a file are what a power cut leaves of a file that was growing.
//!
//! The format is that of LevelDB's log: blocks of 32 KiB; records of checksum u32, length u16, kind u8 and the bytes, which never cross the end of a
//! block; no record begins within its last 6 bytes.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::aside;
use super::guard::sync_folder;
use crate::error::{Error, Result, ResultExt};

const BLOCK: u64 = 32 << 10;
const HEADER: usize = 7;
/// A whole record without bytes. Its right checksum is not 0.
const WRONG: [u8; HEADER] = [0, 0, 0, 0, 0, 0, 1];

/// What is wrong with the first log file that has a hole, if one has.
///
/// # Errors
///
/// What the disk says.
pub fn find_hole(database: &Path) -> Result<Option<Error>> {
    for log in aside::logs(database)? {
        if let Some(at) = hole(&log)? {
            return Ok(Some(Error::corrupted(format!(
                "{}: zeros from byte {at} on, where a record should begin, and more behind them",
                log.display()
            ))));
        }
    }
    Ok(None)
}

/// Makes every hole a record that RocksDB refuses. The files must have been kept aside; each is replaced, not written to, for other folders may
/// hold links to it.
///
/// # Errors
///
/// What the disk says.
pub fn mark_holes(database: &Path) -> Result<()> {
    for log in aside::logs(database)? {
        let Some(at) = hole(&log)? else { continue };
        let marked = log.with_extension("marked");
        let replace = || -> std::io::Result<()> {
            std::fs::copy(&log, &marked)?;
            let mut file = OpenOptions::new().write(true).open(&marked)?;
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&WRONG)?;
            file.sync_all()?;
            std::fs::rename(&marked, &log)
        };
        replace()
            .map_err(|error| Error::io(&error, &log))
            .context("mark a hole in the write-ahead log")?;
        sync_folder(database)?;
    }
    Ok(())
}

fn hole(log: &Path) -> Result<Option<u64>> {
    let found = File::open(log).and_then(hole_in);
    found
        .map_err(|error| Error::io(&error, log))
        .context("read the write-ahead log")
}

/// Where zeros stand for the header of a record, with other bytes behind them. Time as of reading the file once.
fn hole_in(log: impl Read + Seek) -> std::io::Result<Option<u64>> {
    let mut log = BufReader::with_capacity(2 * BLOCK as usize, log);
    let mut at = 0;
    loop {
        let left = BLOCK - at % BLOCK;
        if left < HEADER as u64 {
            log.seek_relative(left as i64)?;
            at += left;
        }
        let mut header = [0; HEADER];
        match log.read_exact(&mut header) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let [_, _, _, _, low, high, kind] = header;
        let length = u16::from_le_bytes([low, high]);
        if kind == 0 && length == 0 {
            return Ok(is_more_than_zeros(log)?.then_some(at));
        }
        log.seek_relative(length.into())?;
        at += HEADER as u64 + u64::from(length);
    }
}

fn is_more_than_zeros(mut rest: impl BufRead) -> std::io::Result<bool> {
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        if bytes.iter().any(|&byte| byte != 0) {
            return Ok(true);
        }
        let count = bytes.len();
        rest.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_with_more_behind_them_are_holes() {
        let record = |length: usize| {
            let [low, high] = (length as u16).to_le_bytes();
            [vec![9, 9, 9, 9, low, high, 1], vec![0; length]].concat()
        };
        let check = |parts: &[Vec<u8>], expected| {
            let log = std::io::Cursor::new(parts.concat());
            assert_eq!(hole_in(log).unwrap(), expected);
        };
        check(&[], None);
        check(&[record(3), vec![0; 3]], None);
        check(&[record(3), vec![0; 500]], None);
        check(&[record(3), record(0), record(70)], None);
        check(&[record(3), vec![0; 500], vec![1]], Some(10));
        check(&[vec![0; 8], record(3)], Some(0));
        // The rest of a block that takes no header is no hole; zeros that begin the next one are.
        let full = record(BLOCK as usize - HEADER - 6);
        check(&[full.clone(), vec![0; 6], record(3)], None);
        check(&[full, vec![0; 6], vec![0; 9], record(3)], Some(BLOCK));
        // A length beyond the file, as of a torn one.
        check(&[record(3), vec![9, 9, 9, 9, 255, 255, 1, 0, 0]], None);
    }
}
