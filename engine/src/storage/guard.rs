//! The guard file: notices a store that lost what was acknowledged.
//!
//! RocksDB opens without a word when a WAL file is missing or damaged before its tail. So a small file beside it holds the sequence
//! number that was durable at the last note; a store below that floor refuses to serve as if nothing had happened.
//!
//! It also notes how far RocksDB's catalogue of its files reached ([`super::catalog`]).
//!
//! Two slots of 512 bytes are written in turn, so that a torn write leaves the other: codec record of ([`Slot`]), CRC-32 at the end.
//! The floor is noted at opening, at clean shutdown, and by a thread of its own at most a second after a write: a loss within the last
//! second's writes is not noticed by the guard (the WAL's own checksums still notice damage).

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bincode::{Decode, Encode};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::catalog::{self, Extent};
use super::codec;
use super::durable::{sync_folder, write_durably};
use crate::error::{Error, Result, ResultExt};

const SLOT_BYTES: usize = 512;
/// A write-ahead log of a database that holds nothing is no longer.
const EMPTY_LOG_BYTES: u64 = 4 << 10;
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Copy, Clone, Debug, Default, PartialEq, Encode, Decode)]
struct Slot {
    /// Counts the notes; the higher slot holds.
    serial: u64,
    /// Sequence number that was durable.
    floor: u64,
    /// How far the catalogue reached then; a file without it has the slot's padding here, which says that none is known.
    catalog: Extent,
}

/// The open guard file, and the thread that writes it.
pub struct Guard {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    data: PathBuf,
    /// Held while the file is written.
    slots: Mutex<Slots>,
    /// Held for moments only: a write of points never waits for the file.
    due: Mutex<Due>,
    changed: Condvar,
}

struct Slots {
    file: File,
    last: Slot,
}

struct Due {
    /// The highest sequence number said to be durable.
    durable: u64,
    /// What was tried to be noted of it, and when.
    tried: u64,
    tried_at: Instant,
    closing: bool,
}

impl Guard {
    /// The sequence number that was durable at the last note.
    ///
    /// # Errors
    ///
    /// `Corrupted` if both slots are unreadable, if the file is empty, or if there is none.
    pub fn floor(path: &Path) -> Result<u64> {
        match File::open(path) {
            Ok(file) if file.metadata().is_ok_and(|file| file.len() == 0) => {
                Err(unguarded(path, "is empty"))
            }
            Ok(file) => Ok(read_file(&file, path)?.floor),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(unguarded(path, "is missing"))
            }
            Err(error) => Err(Error::io(&error, path)),
        }
    }

    /// Makes a file, if there is none, that says that everything up to `floor` was durable: for a store of which nobody else says how far it
    /// reached, or which ends there.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn begin(path: &Path, floor: u64) -> Result<()> {
        if path.exists() {
            return Ok(());
        }
        let slot = Slot {
            serial: 1,
            floor,
            catalog: Extent::default(),
        };
        let bytes = [vec![0; SLOT_BYTES], slot_bytes(slot)].concat();
        write_durably(path, &bytes)?;
        sync_folder(path.parent().unwrap_or(Path::new("")))
    }

    /// Refuses, before RocksDB changes anything, a store in `data` that holds something but has no guard file: it went when the store was moved or mended by hand, and with it the knowledge of
    /// how far the store reached. A database that was never opened where it stands has none yet: it is a snapshot of a node.
    ///
    /// # Errors
    ///
    /// `Corrupted`; what the disk says.
    pub fn check_presence(data: &Path, database: &Path) -> Result<()> {
        let path = data.join("guard");
        if path.exists() || !database.join("CURRENT").exists() {
            return Ok(());
        }
        if !database.join("LOCK").exists() {
            return Self::begin(&path, 0);
        }
        let entries = std::fs::read_dir(database).map_err(|error| Error::io(&error, database))?;
        let holds_records = |path: PathBuf| match path.extension().and_then(|of| of.to_str()) {
            Some("sst") => true,
            Some("log") => path.metadata().is_ok_and(|log| log.len() > EMPTY_LOG_BYTES),
            _ => false,
        };
        match entries.flatten().any(|entry| holds_records(entry.path())) {
            true => Err(unguarded(&path, "is missing")),
            // It may have been made by a start that ended before there was a guard: `open` sees whether it is empty.
            false => Ok(()),
        }
    }

    /// Checks, before RocksDB opens the database in `data`, that its catalogue is what was noted. An unreadable guard file is left to
    /// [`Self::open`] to tell.
    ///
    /// # Errors
    ///
    /// As of [`catalog::check`].
    pub fn check_catalog(data: &Path) -> Result<()> {
        catalog::check(data, Self::noted_catalog(data)?)
    }

    /// How far the catalogue reached at the last note; without a readable one, what its copy holds.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn noted_catalog(data: &Path) -> Result<Extent> {
        let path = data.join("guard");
        match File::open(&path) {
            Ok(file) => match read_file(&file, &path).unwrap_or_default().catalog {
                noted if noted == Extent::default() => Ok(catalog::copied(data)),
                noted => Ok(noted),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(catalog::copied(data)),
            Err(error) => Err(Error::io(&error, &path)),
        }
    }

    /// Opens the file, or creates it beside an empty store, and compares its floor with the store's `sequence`, which is durable.
    ///
    /// # Errors
    ///
    /// `Corrupted` if the store is below the floor, if both slots are unreadable, or if the file is empty or missing beside a store that is not
    /// empty.
    pub fn open(path: &Path, sequence: u64) -> Result<Self> {
        let io = |error: std::io::Error| Error::io(&error, path);
        let fresh = !path.exists();
        if fresh && sequence > 0 {
            return Err(unguarded(path, "is missing"));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)
            .context("open the guard file")?;
        let last = read_file(&file, path)?;
        // A power cut right after it was made leaves it empty, beside a store that has nothing yet.
        if last == Slot::default() && !fresh && sequence > 0 {
            return Err(unguarded(path, "is empty"));
        }
        if sequence < last.floor {
            return Err(Error::corrupted(format!(
                "the store ends at sequence {sequence}, but {} was acknowledged ({}): writes were lost, for example a \
                 write-ahead log file; restore a snapshot, or have a repair go on with what is left",
                last.floor,
                path.display()
            )));
        }
        let shared = Arc::new(Shared {
            path: path.to_path_buf(),
            data: path.parent().unwrap_or(Path::new("")).to_path_buf(),
            slots: Mutex::new(Slots { file, last }),
            due: Mutex::new(Due {
                durable: sequence,
                tried: sequence,
                tried_at: Instant::now(),
                closing: false,
            }),
            changed: Condvar::new(),
        });
        shared.write(sequence)?;
        if fresh && let Some(folder) = path.parent() {
            // A file that a power cut takes away guards nothing.
            sync_folder(folder)?;
        }
        let writer = std::thread::Builder::new().name("guard".into()).spawn({
            let shared = shared.clone();
            move || shared.run()
        });
        Ok(Self {
            shared,
            writer: Some(writer.map_err(io).context("start the guard's thread")?),
        })
    }

    /// Says that everything up to `sequence` is durable: it is noted within a second, without waiting for it here.
    pub fn note(&self, sequence: u64) {
        let mut due = self.shared.due.lock();
        let asleep = due.durable == due.tried;
        due.durable = due.durable.max(sequence);
        if asleep {
            self.shared.changed.notify_one();
        }
    }

    /// The highest sequence number said to be durable.
    #[cfg(test)]
    pub fn durable(&self) -> u64 {
        self.shared.due.lock().durable
    }

    /// Notes at once that everything up to `sequence` is durable.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn note_now(&self, sequence: u64) -> Result<()> {
        self.shared.write(sequence)
    }

    /// Notes the last durable `sequence` of a clean shutdown.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn close(&self, sequence: u64) -> Result<()> {
        self.shared.write(sequence)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.due.lock().closing = true;
        self.shared.changed.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    /// Notes what is due, at most once a second; asleep without a timer when nothing is. While the catalogue grows after the last write, it is
    /// noted too: what was written goes to tables later.
    fn run(&self) {
        let mut due = self.due.lock();
        let mut settled = true;
        while !due.closing {
            if due.durable == due.tried && settled {
                self.changed.wait(&mut due);
                continue;
            }
            let at = due.tried_at + NOTE_INTERVAL;
            if Instant::now() < at {
                self.changed.wait_until(&mut due, at);
                continue;
            }
            let sequence = due.durable;
            let rested = due.tried == sequence;
            due.tried = sequence;
            due.tried_at = Instant::now();
            settled = MutexGuard::unlocked(&mut due, || {
                if rested && !self.catalog_grew() {
                    return true;
                }
                if let Err(error) = self.write(sequence) {
                    // The points are durable all the same: only a loss of them would pass unnoticed, until a note succeeds.
                    tracing::warn!(%error, "the guard file lags behind");
                }
                false
            });
        }
    }

    fn catalog_grew(&self) -> bool {
        let last = self.slots.lock().last.catalog;
        self.catalog(last) != last
    }

    fn write(&self, floor: u64) -> Result<()> {
        let mut slots = self.slots.lock();
        let slot = Slot {
            serial: slots.last.serial + 1,
            // Two notes may overtake each other on their way here.
            floor: floor.max(slots.last.floor),
            catalog: self.catalog(slots.last.catalog),
        };
        let bytes = slot_bytes(slot);
        let at = (slot.serial % 2) * SLOT_BYTES as u64;
        let mut write = || -> std::io::Result<()> {
            slots.file.seek(SeekFrom::Start(at))?;
            slots.file.write_all(&bytes)?;
            slots.file.sync_data()
        };
        write()
            .map_err(|error| Error::io(&error, &self.path))
            .context("write the guard file")?;
        slots.last = slot;
        Ok(())
    }
}

impl Shared {
    /// How far the catalogue reaches now; what was noted last if that cannot be read.
    fn catalog(&self, last: Extent) -> Extent {
        Extent::durable(&self.data, last).unwrap_or_else(|error| {
            tracing::warn!(%error, "the guard file lags behind the database's list of its files");
            last
        })
    }
}

fn unguarded(path: &Path, how: &str) -> Error {
    Error::corrupted(format!(
        "{}: the guard file {how}, so that whether the end of the write-ahead log is there cannot be told; put the file back, restore a snapshot, or \
         have a repair go on with what is left",
        path.display()
    ))
}

/// The last note in the file; the default if it is empty.
fn read_file(file: &File, path: &Path) -> Result<Slot> {
    let mut bytes = Vec::new();
    file.take(2 * SLOT_BYTES as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(&error, path))
        .context("read the guard file")?;
    match last_slot(&bytes) {
        Some(slot) => Ok(slot),
        None if bytes.is_empty() => Ok(Slot::default()),
        None => Err(unguarded(path, "is damaged (neither slot can be read)")),
    }
}

fn last_slot(bytes: &[u8]) -> Option<Slot> {
    let slots = bytes.chunks(SLOT_BYTES).filter_map(read_slot);
    slots.max_by_key(|slot| slot.serial)
}

fn slot_bytes(slot: Slot) -> Vec<u8> {
    let mut bytes = codec::encode(&slot);
    bytes.resize(SLOT_BYTES - 4, 0);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
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
    (1..=64).find_map(|len| codec::decode::<Slot>(body.get(..len)?, "guard").ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_below_the_floor_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guard");
        Guard::begin(&path, 0).unwrap();
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
    fn a_missing_file_is_refused_beside_a_store_that_is_not_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guard");
        let error = Guard::open(&path, 10).err().unwrap();
        assert!(error.to_string().contains("is missing"), "{error}");
        assert!(!path.exists());
        assert!(Guard::floor(&path).is_err());
        drop(Guard::open(&path, 0).unwrap());
        assert_eq!(Guard::floor(&path).unwrap(), 0);
    }

    #[test]
    fn a_torn_slot_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guard");
        Guard::open(&path, 0).unwrap().close(20).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[..100].fill(0xff);
        std::fs::write(&path, &bytes).unwrap();
        // Serial 2 stood in slot 0; serial 1, with floor 0, is left in slot 1.
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

    /// The last write before a long rest: no further write comes to carry its note.
    #[test]
    fn a_rest_after_a_write_does_not_leave_it_unguarded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guard");
        let guard = Guard::open(&path, 0).unwrap();
        // The second comes when the thread has gone to sleep after the first.
        for sequence in [400, 500] {
            let since = Instant::now();
            guard.note(sequence);
            while read_file(&File::open(&path).unwrap(), &path).unwrap().floor < sequence {
                assert!(since.elapsed() < Duration::from_secs(30), "never noted");
                std::thread::yield_now();
            }
            assert!(since.elapsed() > NOTE_INTERVAL / 2, "noted at every write");
        }
        drop(guard);
        assert!(Guard::open(&path, 499).is_err());
    }
}
