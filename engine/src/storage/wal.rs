//! Damage of RocksDB's write-ahead log: what of it cannot be read, and holes, zeros where a record should begin, with more behind them.
//!
//! RocksDB takes zeros for the unused rest of a block and goes on with the next one, without a word in any of its recovery modes. So a sector that
//! the disk lost could take records away whose successors are replayed. Such zeros are looked for before RocksDB opens a log, and are made what it
//! notices: a record with a wrong checksum. Zeros up to the end of a file are what a power cut leaves of a file that was growing.
//!
//! The format is that of LevelDB's log: blocks of 32 KiB; records of checksum u32, length u16, kind u8 and the bytes, which never cross the end of a
//! block; no record begins within its last 6 bytes.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::aside;
use super::blob::{crc32c, masked};
use super::durable::sync_folder;
use crate::error::{Error, Result, ResultExt};

const BLOCK: u64 = 32 << 10;
const HEADER: usize = 7;
/// A whole record without bytes. Its right checksum is not 0.
const WRONG: [u8; HEADER] = [0, 0, 0, 0, 0, 0, 1];

/// Kinds of fragments: a whole record, and the first and last one of a record; what is between is of [`MIDDLE`].
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
/// What a log says of the one before it: its number, its bytes, and the number of its last batch's first change, a u64 each.
const OF_PREDECESSOR: u8 = 130;
/// A batch begins with the number of its first change, u64, and how many it has, u32.
const BATCH_HEADER: usize = 12;

/// What of the write-ahead log cannot be read though it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// The file where it begins.
    pub log: PathBuf,
    /// The byte of that file.
    pub at: u64,
    /// The first and the last change that is missing before others that can be read, and how many there are in all.
    pub missing: Option<(u64, u64, u64)>,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log = self.log.file_name().unwrap_or_default().to_string_lossy();
        match self.missing {
            Some((first, last, count)) => write!(
                f,
                "{count} of its changes cannot be read, of those from {first} to {last}, at byte {} of {log}",
                self.at
            ),
            None => write!(f, "{log} is damaged at byte {}", self.at),
        }
    }
}

/// Reads all records of the log, whose changes are numbered without gaps. An end that is cut short is none, as every kill may leave it. A hole is
/// damage whatever stands behind it.
///
/// # Errors
///
/// What the disk says.
pub fn find_damage(database: &Path) -> Result<Option<Damage>> {
    let mut reader = Reader::default();
    for log in aside::logs(database)? {
        let read = File::open(&log).and_then(|file| reader.read(&log, file));
        read.map_err(|error| Error::io(&error, &log))
            .context("read the write-ahead log")?;
    }
    Ok(reader.damage)
}

#[derive(Default)]
struct Reader {
    /// The number that the next change should have.
    next: Option<u64>,
    damage: Option<Damage>,
    /// The first bytes of the record that is being read.
    batch: Option<Vec<u8>>,
    /// Where something was passed over since the last record: an end that is cut short, or damage.
    passed: Option<(PathBuf, u64)>,
}

impl Reader {
    fn read(&mut self, log: &Path, file: impl Read) -> std::io::Result<()> {
        self.batch = None;
        let mut zeros = Zeros::default();
        let whole = each_block(file, |start, block| {
            self.read_block(log, start, block);
            if let Some(at) = zeros.hole(start, block) {
                self.note(log, at, None);
            }
            ControlFlow::<()>::Continue(())
        });
        whole.map(drop)
    }

    /// As RocksDB does, the rest of a block is passed over from the first fragment on that is not sound.
    fn read_block(&mut self, log: &Path, start: u64, block: &[u8]) {
        let mut fragments = Fragments { block, at: 0 };
        for (at, fragment) in &mut fragments {
            let place = start + at as u64;
            if !fragment.is_sound() {
                self.pass_over(log, place);
                self.note(log, place, None);
                return;
            }
            self.take(log, place, fragment.kind, fragment.bytes);
        }
        if fragments.rest().len() >= HEADER {
            self.pass_over(log, start + fragments.at as u64);
        }
    }

    fn pass_over(&mut self, log: &Path, at: u64) {
        self.batch = None;
        self.passed.get_or_insert_with(|| (log.to_path_buf(), at));
    }

    fn take(&mut self, log: &Path, place: u64, kind: u8, bytes: &[u8]) {
        if kind == FULL || kind == FIRST {
            self.batch = Some(Vec::new());
        } else if kind == OF_PREDECESSOR {
            self.compare_end(log, place, bytes);
            return;
        } else if kind != MIDDLE && kind != LAST {
            return;
        }
        let Some(batch) = &mut self.batch else { return };
        let wanted = BATCH_HEADER - batch.len();
        batch.extend_from_slice(&bytes[..bytes.len().min(wanted)]);
        if kind != FULL && kind != LAST {
            return;
        }
        let numbers = batch.split_first_chunk::<8>();
        let numbers = numbers.and_then(|(first, rest)| Some((*first, *rest.first_chunk::<4>()?)));
        self.batch = None;
        let Some((first, count)) = numbers else {
            return;
        };
        let (first, count) = (u64::from_le_bytes(first), u32::from_le_bytes(count));
        let passed = self.passed.take();
        if let Some(next) = self.next.filter(|next| *next < first) {
            let (log, at) = passed.unwrap_or_else(|| (log.to_path_buf(), place));
            self.note(&log, at, Some((next, first - 1)));
        }
        let end = first.saturating_add(count.into());
        self.next = Some(self.next.map_or(end, |next| next.max(end)));
    }

    /// The log before may have been cut short, and tables may hold what was written after it.
    fn compare_end(&mut self, log: &Path, place: u64, bytes: &[u8]) {
        let last = bytes.get(16..).and_then(|bytes| bytes.first_chunk::<8>());
        let (Some(last), Some(next)) = (last.map(|of| u64::from_le_bytes(*of)), self.next) else {
            return;
        };
        if next <= last {
            let (log, at) = self
                .passed
                .take()
                .unwrap_or_else(|| (log.to_path_buf(), place));
            self.note(&log, at, Some((next, last)));
            self.next = Some(last.saturating_add(1));
        }
    }

    fn note(&mut self, log: &Path, at: u64, missing: Option<(u64, u64)>) {
        let damage = self.damage.get_or_insert_with(|| Damage {
            log: log.to_path_buf(),
            at,
            missing: None,
        });
        if let Some((first, last)) = missing {
            let (_, until, count) = damage.missing.get_or_insert((first, last, 0));
            *until = last;
            *count = count.saturating_add((last - first).saturating_add(1));
        }
    }
}

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

/// Where zeros stand for the header of a record, with other bytes behind them. Time as of reading the file once: a hole may be anywhere, and takes
/// away what was acknowledged where it lies before what the guard notes as durable.
fn hole_in(log: impl Read) -> std::io::Result<Option<u64>> {
    let mut zeros = Zeros::default();
    let found = each_block(log, |start, block| match zeros.hole(start, block) {
        Some(at) => ControlFlow::Break(at),
        None => ControlFlow::Continue(()),
    });
    found.map(ControlFlow::break_value)
}

/// Calls `visit` with every block of a log and the byte where it begins, in order, until it breaks.
fn each_block<B>(
    mut log: impl Read,
    mut visit: impl FnMut(u64, &[u8]) -> ControlFlow<B>,
) -> std::io::Result<ControlFlow<B>> {
    let mut block = Vec::with_capacity(BLOCK as usize);
    let mut start = 0;
    loop {
        block.clear();
        log.by_ref().take(BLOCK).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        if let ControlFlow::Break(found) = visit(start, &block) {
            return Ok(ControlFlow::Break(found));
        }
        start += block.len() as u64;
    }
}

/// A record, or the part of one that a block has.
struct Fragment<'a> {
    checksum: u32,
    kind: u8,
    bytes: &'a [u8],
}

impl Fragment<'_> {
    fn is_sound(&self) -> bool {
        self.checksum == masked(crc32c(crc32c(0, &[self.kind]), self.bytes))
    }
}

/// The fragments of a block and where they stand in it, sound or not, up to the end of the block, to zeros, or to what is longer than the block.
struct Fragments<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Fragments<'a> {
    /// What is left of the block: no fragment, when there is no further one.
    fn rest(&self) -> &'a [u8] {
        &self.block[self.at..]
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = (usize, Fragment<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = self.rest().split_first_chunk::<HEADER>()?;
        if is_filling(header) {
            return None;
        }
        let [c0, c1, c2, c3, low, high, kind] = *header;
        let bytes = rest.get(..usize::from(u16::from_le_bytes([low, high])))?;
        let checksum = u32::from_le_bytes([c0, c1, c2, c3]);
        let at = self.at;
        self.at += HEADER + bytes.len();
        let fragment = Fragment {
            checksum,
            kind,
            bytes,
        };
        Some((at, fragment))
    }
}

/// Whether RocksDB takes it for the unused rest of a block: kind and length are 0.
fn is_filling(header: &[u8; HEADER]) -> bool {
    header[4..] == [0; 3]
}

/// Looks for the first hole of a log, block by block.
#[derive(Default)]
struct Zeros {
    /// Where zeros stand in the place of a header, with nothing but zeros behind them so far.
    from: Option<u64>,
    is_hole: bool,
}

impl Zeros {
    /// Where the hole begins, with the block that shows that it is one.
    fn hole(&mut self, start: u64, block: &[u8]) -> Option<u64> {
        if self.is_hole {
            return None;
        }
        let rest = match self.from {
            Some(_) => block,
            None => {
                let mut fragments = Fragments { block, at: 0 };
                fragments.by_ref().for_each(drop);
                let (header, behind) = fragments.rest().split_first_chunk::<HEADER>()?;
                if !is_filling(header) {
                    return None;
                }
                self.from = Some(start + fragments.at as u64);
                behind
            }
        };
        self.is_hole = rest.iter().any(|&byte| byte != 0);
        self.from.filter(|_| self.is_hole)
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

    /// Nothing that could be read stands behind it, so no number is missing.
    #[test]
    fn a_hole_is_damage_whatever_stands_behind_it() {
        let batch = [&1u64.to_le_bytes()[..], &1u32.to_le_bytes()].concat();
        let crc = masked(crc32c(crc32c(0, &[FULL]), &batch)).to_le_bytes();
        let record = [&crc[..], &[batch.len() as u8, 0, FULL], &batch].concat();
        let check = |behind: &[u8], expected| {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("000001.log");
            std::fs::write(&log, [&record, &[0; 90][..], behind].concat()).unwrap();
            let damage = find_damage(dir.path()).unwrap();
            assert_eq!(damage.map(|damage| damage.at), expected);
            let hole = find_hole(dir.path()).unwrap();
            assert_eq!(hole.is_some(), expected.is_some());
        };
        check(&[], None);
        check(&[0; 40_000], None);
        check(&[7], Some(record.len() as u64));
        check(
            &[vec![0; 40_000], vec![7]].concat(),
            Some(record.len() as u64),
        );
    }
}
