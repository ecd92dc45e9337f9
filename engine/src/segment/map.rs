//! Memory-mapped files seen as slices of numbers: the only `unsafe` of this crate.
//!
//! A mapped file is one of ours: written under another name, synced, renamed, and never written again, in a folder that no second process
//! uses (RocksDB's lock stands beside it). Someone who cuts a file that is mapped takes the process down with SIGBUS, as with every mapped
//! database; bytes that are merely wrong do no harm, for only types are mapped of which every pattern of bits is a value.

use std::fs::File;
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::error::{Error, Result, ResultExt};

/// Numbers without padding, of which every pattern of bits is a value.
///
/// # Safety
///
/// As the sentence above says, with an alignment of at most 4096.
pub(crate) unsafe trait Plain: Copy + Send + Sync + 'static {}

// SAFETY: integers and floats have no padding and no invalid bits; neither have arrays of them.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for [f32; 2] {}
// SAFETY: `repr(C)` of two fields of four bytes each: no padding, and both take any bits.
unsafe impl Plain for index::Posting {}

/// A file mapped for reading.
pub(crate) struct Map {
    bytes: Mmap,
}

impl Map {
    /// Maps a whole file.
    ///
    /// # Errors
    ///
    /// What the operating system says, `NotFound` if there is no such file.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let map = || {
            let file = File::open(path)?;
            // SAFETY: the file is never written after it has its name, see the module; what it holds is not trusted.
            unsafe { Mmap::map(&file) }
        };
        let bytes = map()
            .map_err(|error| Error::io(&error, path))
            .context("map a file")?;
        Ok(Arc::new(Self { bytes }))
    }

    /// Asks for huge pages, for a file that is read all over the place all the time: its pages are found faster, and all of it stays in memory.
    /// What cannot be had is done without: file systems and kernels differ.
    #[cfg(target_os = "linux")]
    pub fn use_huge_pages(&self) {
        let _ = self.bytes.advise(memmap2::Advice::HugePage);
    }

    /// As on Linux; here there are none to be had.
    #[cfg(not(target_os = "linux"))]
    pub fn use_huge_pages(&self) {}

    /// Memory that looks like a mapped file of these bytes; of one byte if there are none.
    #[cfg(any(test, feature = "fuzz"))]
    pub fn of_bytes(bytes: &[u8]) -> Arc<Self> {
        let mut map = memmap2::MmapMut::map_anon(bytes.len().max(1)).expect("memory");
        map[..bytes.len()].copy_from_slice(bytes);
        let bytes = map.make_read_only().expect("memory of our own");
        Arc::new(Self { bytes })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The numbers that stand in `bytes` bytes from `start` on.
    ///
    /// # Errors
    ///
    /// `Corrupted` if they are not within the file, not aligned, or no whole count.
    pub fn view<T: Plain>(self: &Arc<Self>, start: u64, bytes: u64) -> Result<View<T>> {
        let bad = || {
            Error::corrupted(format!(
                "a section of {bytes} bytes at {start} in a file of {}",
                self.bytes.len()
            ))
        };
        let first = usize::try_from(start).map_err(|_| bad())?;
        let length = usize::try_from(bytes).map_err(|_| bad())?;
        let end = first.checked_add(length).ok_or_else(bad)?;
        let within = self.bytes.get(first..end).ok_or_else(bad)?;
        if !within.as_ptr().addr().is_multiple_of(align_of::<T>())
            || !length.is_multiple_of(size_of::<T>())
        {
            return Err(bad());
        }
        Ok(View {
            map: self.clone(),
            start: first,
            len: length / size_of::<T>(),
            numbers: PhantomData,
        })
    }
}

/// Numbers in a mapped file. Cloning is cheap; the file stays mapped while any view of it lives, even if its name is gone.
#[derive(Clone)]
pub(crate) struct View<T> {
    map: Arc<Map>,
    /// In bytes; `[T; len]` from here on lies within the map and is aligned.
    start: usize,
    len: usize,
    numbers: PhantomData<T>,
}

impl<T: Plain> Deref for View<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `Map::view` is the only constructor: the range lies within the map and is aligned for `T`; the map lives as long as
        // `self` and is never written; `T: Plain` makes any bytes values.
        unsafe {
            let first = self.map.bytes.as_ptr().add(self.start);
            std::slice::from_raw_parts(first.cast::<T>(), self.len)
        }
    }
}

impl<T: Plain> AsRef<[T]> for View<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

/// The bytes of numbers, as this machine orders them.
pub(crate) fn bytes_of<T: Plain>(numbers: &[T]) -> &[u8] {
    // SAFETY: `T: Plain` has no padding, so every byte is initialized; the length is the slice's own, and `u8` needs no alignment.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast::<u8>(), size_of_val(numbers)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_checked_against_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("numbers");
        std::fs::write(&path, bytes_of(&[1.5f32, -2.0, 3.25])).unwrap();
        let map = Map::open(&path).unwrap();
        assert_eq!(*map.view::<f32>(4, 8).unwrap(), [-2.0, 3.25]);
        assert!(map.view::<f32>(12, 0).unwrap().is_empty());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(*map.view::<u32>(0, 4).unwrap(), [1.5f32.to_bits()]);
        for (start, bytes) in [
            (0, 16),
            (2, 4),
            (0, 3),
            (13, 0),
            (u64::MAX, 8),
            (8, u64::MAX),
        ] {
            assert!(map.view::<f32>(start, bytes).is_err(), "{start} {bytes}");
        }
        assert!(Map::open(&path).is_err());
    }
}
