//! Where the rows that are about to be sealed stand in RocksDB's blob files.
//!
//! RocksDB does not tell, so the headers of the records of its files are walked, newest file first, until every row is found. What is found
//! is compared with the row, byte by byte: a place is only ever of the right numbers.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::links::Links;
use super::map::{Map, bytes_of};
use crate::storage::blob;
use crate::storage::{key, record};
use crate::{CollectionId, PARTITIONS, Partition};

/// Records that one search may walk, whatever is searched: a second of work.
const RECORDS_MIN: usize = 1 << 22;
/// And for each row: a store that is read in another order than it was written has every row in any file.
const RECORDS_PER_ROW: usize = 64;

/// Where a row's numbers stand.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Number of the blob file.
    pub file: u64,
    /// In numbers of four bytes from its begin.
    pub at: u32,
}

/// A row to be found.
pub(crate) struct Wanted<'a> {
    pub partition: Partition,
    pub index: u64,
    pub ordinal: u32,
    pub row: &'a [f32],
}

impl Wanted<'_> {
    fn key(&self) -> (u16, u64, u32) {
        (self.partition.0, self.index, self.ordinal)
    }
}

/// Finds the rows of one collection.
pub(crate) struct Finder {
    collection: CollectionId,
    /// Of the files that were walked to their end.
    summaries: Mutex<BTreeMap<u64, Summary>>,
}

/// First and last log index of each partition's vectors in a file; none for a file without any.
type Summary = Option<Box<[(u64, u64); PARTITIONS as usize]>>;

impl Finder {
    pub fn new(collection: CollectionId) -> Self {
        Self {
            collection,
            summaries: Mutex::default(),
        }
    }

    /// The places of rows, in their order; the files in which they are have links then. A row is not found if no complete file has it, the
    /// files are of a format that is not known here, or cannot be linked.
    ///
    /// Time O(records of the newest files that may have them * log rows), at most some tens for each row.
    pub fn find(&self, links: &Links, wanted: &[Wanted<'_>]) -> Vec<Option<Place>> {
        let mut search = Search::new(self.collection, wanted);
        let sources = links.sources();
        let mut summaries = self.summaries.lock();
        summaries.retain(|number, _| sources.contains(number));
        for &number in sources.iter().rev() {
            let known = summaries.get(&number);
            if search.is_over() || known.is_some_and(|summary| !search.may_find(summary)) {
                continue;
            }
            // RocksDB may drop it any time.
            let Ok(map) = Map::open(&links.source(number)) else {
                continue;
            };
            let first = search.found.len();
            if let Some(summary) = search.walk(number, map.bytes()) {
                summaries.insert(number, summary);
            }
            if search.found.len() > first
                && let Err(error) = links.make(number)
            {
                tracing::debug!(%error, "a blob file cannot be linked; its rows are copied");
                search.found.truncate(first);
            }
        }
        search.places()
    }
}

struct Search<'a> {
    collection: CollectionId,
    wanted: &'a [Wanted<'a>],
    /// Of `wanted`, by key.
    order: Vec<u32>,
    /// Of `order`; one in a file that cannot be linked is not looked for again.
    is_found: Vec<bool>,
    left: usize,
    /// Position in `wanted` and place.
    found: Vec<(u32, Place)>,
    records_left: usize,
}

impl<'a> Search<'a> {
    fn new(collection: CollectionId, wanted: &'a [Wanted<'a>]) -> Self {
        let mut order: Vec<u32> = (0..wanted.len() as u32).collect();
        order.sort_unstable_by_key(|&at| wanted[at as usize].key());
        Self {
            collection,
            wanted,
            order,
            is_found: vec![false; wanted.len()],
            left: wanted.len(),
            found: Vec::with_capacity(wanted.len()),
            records_left: RECORDS_MIN.max(wanted.len().saturating_mul(RECORDS_PER_ROW)),
        }
    }

    fn is_over(&self) -> bool {
        self.left == 0 || self.records_left == 0
    }

    fn may_find(&self, summary: &Summary) -> bool {
        let Some(ranges) = summary else {
            return false;
        };
        let mut rows = self.order.iter().zip(&self.is_found);
        rows.any(|(&at, is_found)| {
            let wanted = &self.wanted[at as usize];
            let (first, last) = ranges[usize::from(wanted.partition.0)];
            !is_found && (first..=last).contains(&wanted.index)
        })
    }

    /// Looks for the rows in one file; what it has of the collection, if it was read to its end.
    fn walk(&mut self, number: u64, bytes: &[u8]) -> Option<Summary> {
        let mut ranges = Box::new([(u64::MAX, 0); PARTITIONS as usize]);
        let mut is_empty = true;
        for read in blob::records(bytes).ok()? {
            let read = read.ok()?;
            // A file is of one family: that of the log has shorter keys.
            let Some((partition, collection, index, ordinal)) = key::read_value(read.key) else {
                return Some(None);
            };
            self.records_left = self.records_left.checked_sub(1)?;
            if collection != self.collection || partition.0 >= PARTITIONS {
                continue;
            }
            is_empty = false;
            let range = &mut ranges[usize::from(partition.0)];
            *range = (range.0.min(index), range.1.max(index));
            self.compare((partition.0, index, ordinal), number, &read);
        }
        Some((!is_empty).then_some(ranges))
    }

    fn compare(&mut self, key: (u16, u64, u32), number: u64, record: &blob::Record<'_>) {
        let position = self
            .order
            .binary_search_by_key(&key, |&at| self.wanted[at as usize].key());
        let Ok(position) = position else {
            return;
        };
        let at = self.order[position];
        let row = self.wanted[at as usize].row;
        let Some(place) = place(number, record, row) else {
            return;
        };
        if !std::mem::replace(&mut self.is_found[position], true) {
            self.left -= 1;
            self.found.push((at, place));
        }
    }

    fn places(self) -> Vec<Option<Place>> {
        let mut places = vec![None; self.wanted.len()];
        for (at, place) in self.found {
            places[at as usize] = Some(place);
        }
        places
    }
}

/// The place of the numbers of a record, if they are those of the row and can be read as they stand.
fn place(file: u64, found: &blob::Record<'_>, row: &[f32]) -> Option<Place> {
    let bytes_at = found.value_at + record::NUMBERS_AT;
    let numbers = found.value.get(record::NUMBERS_AT..)?;
    let is_it = record::is_dense(found.value, row.len())
        && bytes_at.is_multiple_of(4)
        && numbers.starts_with(bytes_of(row));
    let at = u32::try_from(bytes_at / 4).ok()?;
    is_it.then_some(Place { file, at })
}

/// The record of the row at a place; `None` if there is none of so many numbers.
pub(crate) fn record_at(bytes: &[u8], at: u32, dim: usize) -> Option<blob::Record<'_>> {
    let value_at = (at as usize * 4).checked_sub(record::NUMBERS_AT)?;
    dense_record(bytes, value_at, dim)
}

/// The record that begins with these bytes, as [`record_at`].
pub(super) fn whole_record(bytes: &[u8], dim: usize) -> Option<blob::Record<'_>> {
    let value_at = blob::RECORD_HEADER_BYTES + key::VALUE_KEY_BYTES;
    dense_record(bytes, value_at, dim)
}

fn dense_record(bytes: &[u8], value_at: usize, dim: usize) -> Option<blob::Record<'_>> {
    let found = blob::record_at(bytes, value_at, key::VALUE_KEY_BYTES).ok()?;
    record::is_dense(found.value, dim).then_some(found)
}
