//! Rows of a sealed segment that do not stand one after the other: most of them in linked files, where RocksDB wrote them, some here.

use std::sync::Arc;

use index::IndexKind;

use super::Link;
use super::file::{DenseContents, Reader, check_count};
use super::map::View;
use crate::config::VectorConfig;
use crate::error::{Error, Result};
use crate::storage::{BLOB_BYTES_MIN, record};

/// Whether rows of such vectors may stand in RocksDB's files: they are large enough to be in blob files, stand there as this machine reads
/// numbers, and are searched by a scan or a graph, which take them wherever they are.
pub(super) fn is_linkable(config: &VectorConfig) -> bool {
    let kind = index::choose(config.index, config.metric, config.dim, usize::MAX);
    cfg!(target_endian = "little")
        && record::dense_bytes(config.dim) as u64 >= BLOB_BYTES_MIN
        && matches!(kind, Ok(IndexKind::Flat | IndexKind::Graph))
}

/// The bits of a place: `at` in the segment's own rows (file 0), or in the link before `file`.
pub(super) fn pack(file: u32, at: u32) -> u64 {
    u64::from(file) << 32 | u64::from(at)
}

/// Rows with a place each.
#[derive(Clone)]
pub(super) struct Placed {
    dim: usize,
    /// By row: each of a file, and of `dim` numbers within it.
    places: View<u64>,
    /// The segment's own rows, then its links.
    files: Arc<[View<f32>]>,
}

impl Placed {
    /// The rows of a column with places, `own` being those that stand here. Time O(rows); the rows themselves are not read.
    ///
    /// # Errors
    ///
    /// `Corrupted` if a place is outside its file.
    pub fn open(
        reader: &Reader,
        contents: &DenseContents,
        places: super::file::Section,
        own: View<f32>,
        links: &[Link],
    ) -> Result<Self> {
        let places: View<u64> = reader.checked(places, "places of rows")?;
        check_count("places of rows", places.len(), contents.count as usize)?;
        let links = links.iter().map(|link| link.numbers.clone());
        let files: Arc<[View<f32>]> = std::iter::once(own).chain(links).collect();
        let lengths: Vec<usize> = files.iter().map(|file| file.len()).collect();
        let dim = contents.dim as usize;
        let is_within = |&place: &u64| {
            let (file, at) = unpack(place);
            let length = lengths.get(file);
            length.is_some_and(|&length| at as usize + dim <= length)
        };
        if !places.iter().all(is_within) {
            return Err(Error::corrupted(format!(
                "vector \"{}\": a row stands outside of its file",
                contents.name
            )));
        }
        Ok(Self { dim, places, files })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The number of components of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Its numbers.
    pub fn row(&self, row: usize) -> &[f32] {
        let (file, at) = unpack(self.places[row]);
        &self.files[file][at as usize..][..self.dim]
    }

    /// Fetches the place of a row that will be read soon.
    pub fn announce(&self, row: usize) {
        if let Some(place) = self.places.get(row) {
            index::prefetch(std::slice::from_ref(place));
        }
    }

    /// The link in which a row stands and where, if not here.
    pub fn link(&self, row: usize) -> Option<(usize, u32)> {
        let (file, at) = unpack(self.places[row]);
        Some((file.checked_sub(1)?, at))
    }

    /// Bytes of the rows that stand here.
    pub fn own_bytes(&self) -> usize {
        size_of_val::<[f32]>(&self.files[0])
    }
}

fn unpack(place: u64) -> (usize, u32) {
    ((place >> 32) as usize, place as u32)
}
