//! The guard file: notices a store that lost what was acknowledged.
//!
//! RocksDB opens without a word when a WAL file is missing or damaged before its tail. So a small file beside it holds the sequence
//! number that was durable at the last note; a store below that floor refuses to serve as if nothing had happened.
//!
//! Two slots of 512 bytes are written in turn, so that a torn write leaves the other: codec record of ([`Slot`]), CRC-32 at the end.
//! The floor is noted at most once a second, at opening and at clean shutdown: a loss within the last second's writes is not
//! noticed by the guard (the WAL's own checksums still notice damage).

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bincode::{Decode, Encode};
use parking_lot::Mutex;

use super::codec;
use crate::error::{Error, Result, ResultExt};

const SLOT_BYTES: usize = 512;
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Copy, Clone, Debug, Default, PartialEq, Encode, Decode)]
struct Slot {
    /// Counts the notes; the higher slot holds.
    serial: u64,
    /// Sequence number that was durable.
    floor: u64,
}

/// The open guard file.
pub struct Guard {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: File,
    last: Slot,
    noted: Instant,
}

impl Guard {
    /// Opens or creates the file and compares its floor with the store's `sequence`.
    ///
    /// # Errors
    ///
    /// `Corrupted` if the store is below the floor, or if both slots are unreadable.
    pub fn open(path: &Path, sequence: u64) -> Result<Self> {
        let io = |error: std::io::Error| Error::io(&error, path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)
            .context("open the guard file")?;
        let mut bytes = Vec::new();
        (&file)
            .take(2 * SLOT_BYTES as u64)
            .read_to_end(&mut bytes)
            .map_err(io)
            .context("read the guard file")?;
        let last = bytes
            .chunks(SLOT_BYTES)
            .filter_map(read_slot)
            .max_by_key(|slot| slot.serial);
        let last = match last {
            None if bytes.is_empty() => Slot::default(),
            None => {
                return Err(Error::corrupted(format!(
                    "{}: neither slot can be read; if the data is known to be complete, move the file away",
                    path.display()
                )));
            }
            Some(slot) => slot,
        };
        if sequence < last.floor {
            return Err(Error::corrupted(format!(
                "the store ends at sequence {sequence}, but {} was acknowledged ({}): writes were lost, for example a \
                 write-ahead log file; restore a snapshot, or move the guard file away to go on with what is left",
                last.floor,
                path.display()
            )));
        }
        let guard = Self {
            path: path.to_path_buf(),
            state: Mutex::new(State {
                file,
                last,
                noted: Instant::now(),
            }),
        };
        guard.write(&mut guard.state.lock(), sequence)?;
        Ok(guard)
    }

    /// Notes that everything up to `sequence` is durable, unless it was noted within the last second.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn note(&self, sequence: u64) -> Result<()> {
        let mut state = self.state.lock();
        if state.noted.elapsed() < NOTE_INTERVAL {
            return Ok(());
        }
        self.write(&mut state, sequence)
    }

    /// Notes the last durable `sequence` of a clean shutdown.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn close(&self, sequence: u64) -> Result<()> {
        self.write(&mut self.state.lock(), sequence)
    }

    fn write(&self, state: &mut State, floor: u64) -> Result<()> {
        let slot = Slot {
            serial: state.last.serial + 1,
            floor,
        };
        let mut bytes = codec::encode(&slot);
        bytes.resize(SLOT_BYTES - 4, 0);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let at = (slot.serial % 2) * SLOT_BYTES as u64;
        let mut write = || -> std::io::Result<()> {
            state.file.seek(SeekFrom::Start(at))?;
            state.file.write_all(&bytes)?;
            state.file.sync_data()
        };
        write()
            .map_err(|error| Error::io(&error, &self.path))
            .context("write the guard file")?;
        state.last = slot;
        state.noted = Instant::now();
        Ok(())
    }
}

fn read_slot(bytes: &[u8]) -> Option<Slot> {
    if bytes.len() != SLOT_BYTES {
        return None;
    }
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    // The record is padded with zeros: its length is that of its encoding.
    (1..=32).find_map(|len| codec::decode::<Slot>(body.get(..len)?, "guard").ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_below_the_floor_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guard");
        let guard = Guard::open(&path, 10).unwrap();
        guard.close(500).unwrap();
        drop(guard);
        let error = Guard::open(&path, 499).err().unwrap();
        assert!(
            error
                .to_string()
                .contains("ends at sequence 499, but 500 was acknowledged"),
            "{error}"
        );
        Guard::open(&path, 500).unwrap();
    }

    #[test]
    fn a_torn_slot_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guard");
        Guard::open(&path, 10).unwrap().close(20).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[..100].fill(0xff);
        std::fs::write(&path, &bytes).unwrap();
        // Serial 2 stood in slot 0; serial 1, with floor 10, is left in slot 1.
        assert!(Guard::open(&path, 9).is_err());
        Guard::open(&path, 10).unwrap();
        std::fs::write(&path, vec![0xff; 2 * SLOT_BYTES]).unwrap();
        assert!(
            Guard::open(&path, 10)
                .err()
                .unwrap()
                .to_string()
                .contains("neither slot")
        );
    }
}
