//! Whether the vector of a row that answers is the one that was written.
//!
//! Rows are mapped, and no search reads the checksums of all that it compares: a damaged row may come out nearest. So the few that become
//! hits are looked at, and one that is damaged never answers again. A row of a linked file is compared with its checksum when it becomes a hit
//! for the first time since the file was opened, and later one time in [`AGAIN`]: each time would take 6 % of a query. A damaged row that comes
//! out far from the query is not noticed here; an inspection after the start, a merge and `Engine::check` notice it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use index::{BitSet, Metric, Offset};

use super::column::DenseColumn;
use super::{Link, Segment, places};
use crate::Partition;
use crate::error::{Error, Result};
use crate::named::named;
use crate::storage::blob::Record;
use crate::storage::key;

/// Longest row under cosine, squared: rows are of unit length before rounding.
const LENGTH_SQUARED_MAX: f32 = 1.001;

/// One of so many hits that were found sound is compared with its checksum again.
const AGAIN: u32 = 16;

/// The rows that were compared with their checksums and found sound: a bit each, once there is one.
#[derive(Default)]
pub(super) struct SoundRows {
    words: OnceLock<Box<[AtomicU64]>>,
}

impl SoundRows {
    /// Whether a hit need not be compared now.
    fn spares(&self, offset: Offset) -> bool {
        self.contains(offset) && !is_chosen()
    }

    fn contains(&self, offset: Offset) -> bool {
        let (word, bit) = place(offset);
        let word = self.words.get().and_then(|words| words.get(word));
        word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Notes of one of `rows` rows whether it was found sound.
    fn set(&self, offset: Offset, is_sound: bool, rows: usize) {
        let words = self.words.get_or_init(|| {
            let words = 0..rows.div_ceil(u64::BITS as usize);
            words.map(|_| AtomicU64::new(0)).collect()
        });
        let (word, bit) = place(offset);
        if is_sound {
            words[word].fetch_or(bit, Ordering::Relaxed);
        } else {
            words[word].fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

/// True one time in [`AGAIN`], without a pattern that a series of equal queries could fall in with (xorshift, Marsaglia 2003).
fn is_chosen() -> bool {
    thread_local! {
        static RANDOM: Cell<u32> = const { Cell::new(0x9e37_79b9) };
    }
    let mut random = RANDOM.get();
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    RANDOM.set(random);
    random.is_multiple_of(AGAIN)
}

fn place(offset: Offset) -> (usize, u64) {
    ((offset / u64::BITS) as usize, 1 << (offset % u64::BITS))
}

/// What a row in a linked file has to be, and where it stands.
struct Expected<'a> {
    offset: Offset,
    link: &'a Link,
    at: u32,
    /// Partition, log index and ordinal in its key.
    key: (Partition, u64, Option<u32>),
}

impl<'a> Expected<'a> {
    fn record(&self, dim: usize) -> Option<Record<'a>> {
        places::record_at(self.link.map.bytes(), self.at, dim)
    }

    fn check(&self, record: Option<Record<'_>>) -> Result<()> {
        let wrong = || {
            Error::corrupted(format!(
                "linked file {}: the vector of row {} is not where it was",
                self.link.number, self.offset
            ))
        };
        let record = record.ok_or_else(wrong)?;
        record.verify()?;
        let (partition, _, index, ordinal) = key::read_value(record.key).ok_or_else(wrong)?;
        if (partition, index, Some(ordinal)) != self.key {
            return Err(wrong());
        }
        Ok(())
    }
}

impl Segment {
    /// As [`Self::damaged_hits`] of one row.
    ///
    /// # Errors
    ///
    /// `Corrupted` if it is damaged.
    pub fn verify_hit(&self, name: &str, offset: Offset) -> Result<()> {
        let damaged = self.damaged_hits(name, std::iter::once(offset)).pop();
        damaged.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Looks at the vectors of a name in rows that become hits, and answers the damaged ones: in a linked file a vector is compared with its
    /// checksum and the row's key (not each time, see above), in the segment's own file its numbers must be finite and, under cosine, of unit
    /// length at most. Rows of a growing segment have not been on the disk. Time O(dim) each.
    pub fn damaged_hits(
        &self,
        name: &str,
        offsets: impl Iterator<Item = Offset>,
    ) -> Vec<(Offset, Error)> {
        let Some(column) = named(&self.dense, name).filter(|_| self.is_sealed()) else {
            return Vec::new();
        };
        let mut damaged = Vec::new();
        let mut note = |offset, checked: Result<()>| {
            if let Err(error) = checked {
                let context = format!("verify row {offset} of segment {}", self.uid);
                damaged.push((offset, error.context(context)));
            }
        };
        // One step for all rows before the next: what they need from memory comes at the same time, and not row after row.
        let mut linked = Vec::new();
        for offset in offsets.filter(|offset| !column.sound_rows.spares(*offset)) {
            match self.expected(column, offset) {
                Some(expected) => linked.push(expected),
                None => note(offset, check_numbers(column, offset)),
            }
        }
        if linked.is_empty() {
            return damaged;
        }
        let records = linked.iter().map(|expected| expected.record(column.dim()));
        let records: Vec<Option<Record<'_>>> = records.collect();
        for (expected, record) in linked.iter().zip(records) {
            let checked = expected.check(record);
            column
                .sound_rows
                .set(expected.offset, checked.is_ok(), self.len());
            note(expected.offset, checked);
        }
        damaged
    }

    /// Compares one row of a column with its checksum, if it stands in a linked file.
    ///
    /// # Errors
    ///
    /// `Corrupted` if it differs.
    pub(super) fn verify_row(&self, column: &DenseColumn, offset: Offset) -> Result<()> {
        match self.expected(column, offset) {
            Some(expected) => expected.check(expected.record(column.dim())),
            None => Ok(()),
        }
    }

    /// Compares the row of a column that stands in a linked file with the bytes of its record there.
    ///
    /// # Errors
    ///
    /// `Corrupted` if it differs.
    pub(super) fn verify_record(
        &self,
        column: &DenseColumn,
        offset: Offset,
        bytes: &[u8],
    ) -> Result<()> {
        let expected = self.expected(column, offset);
        expected.map_or(Ok(()), |expected| {
            expected.check(places::whole_record(bytes, column.dim()))
        })
    }

    /// The dense vector of a name that the row at `offset` has, as it was written, if it can be read.
    pub fn sound_vector(&self, name: &str, offset: Offset) -> Option<&[f32]> {
        let column = named(&self.dense, name)?;
        self.verify_row(column, offset).ok()?;
        column.get(offset)
    }

    fn expected(&self, column: &DenseColumn, offset: Offset) -> Option<Expected<'_>> {
        let (link, at) = column.link(offset)?;
        Some(Expected {
            offset,
            link: &self.links[link],
            at,
            key: (
                self.partition(offset),
                self.version(offset),
                column.ordinal(offset),
            ),
        })
    }

    /// Leaves the damaged vectors of a name out of all further searches of this segment.
    pub fn leave_out(&self, name: &str, offsets: impl ExactSizeIterator<Item = Offset> + Clone) {
        if offsets.len() == 0 {
            return;
        }
        if let Some(column) = named(&self.dense, name) {
            column.damaged.rcu(|damaged| {
                let mut rows = match damaged {
                    None => BitSet::new(self.len()),
                    Some(rows) => (**rows).clone(),
                };
                for offset in offsets.clone() {
                    rows.insert(offset);
                }
                Some(Arc::new(rows))
            });
        }
    }
}

fn check_numbers(column: &DenseColumn, offset: Offset) -> Result<()> {
    let Some(row) = column.get(offset) else {
        return Ok(());
    };
    // A number that is not finite makes this none; so may large ones.
    let squared = -Metric::Dot.distance(row, row);
    if !squared.is_finite()
        && let Some(at) = row.iter().position(|number| !number.is_finite())
    {
        let number = row[at];
        return Err(Error::corrupted(format!("number {at} is {number}")));
    }
    if column.normalizes() && squared > LENGTH_SQUARED_MAX {
        let length = squared.sqrt();
        return Err(Error::corrupted(format!(
            "the length is {length}, expected 1"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_its_own_bit() {
        let rows = 130;
        let sound = SoundRows::default();
        assert!(!sound.contains(0), "nothing was looked at");
        for offset in [0, 63, 64, 129] {
            sound.set(offset, true, rows);
        }
        sound.set(7, true, rows);
        sound.set(7, false, rows);
        let noted = (0..rows as Offset).filter(|offset| sound.contains(*offset));
        assert_eq!(noted.collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert!(!sound.contains(1_000_000), "there is no such row");
        let looked_at = (0..16_000).filter(|_| !sound.spares(63)).count();
        assert!((800..1200).contains(&looked_at), "{looked_at} of 16,000");
    }
}
