//! Whether the vector of a row that answers is the one that was written.
//!
//! Rows are mapped, and no search reads the checksums of all that it compares: a damaged row may come out nearest. So the few that become
//! hits are looked at, and one that is damaged never answers again. A damaged row that comes out far from the query is not noticed here; a
//! merge and `Engine::check` notice it.

use std::sync::Arc;

use index::{BitSet, Metric, Offset};

use super::column::DenseColumn;
use super::{Link, Segment, places};
use crate::Partition;
use crate::error::{Error, Result};
use crate::storage::blob::Record;
use crate::storage::key;

/// Longest row under cosine, squared: rows are of unit length before rounding.
const LENGTH_SQUARED_MAX: f32 = 1.001;

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
    /// checksum and the row's key, in the segment's own file its numbers must be finite and, under cosine, of unit length at most. Rows of a
    /// growing segment have not been on the disk. Time O(dim) each.
    pub fn damaged_hits(
        &self,
        name: &str,
        offsets: impl Iterator<Item = Offset>,
    ) -> Vec<(Offset, Error)> {
        let Some(column) = self.dense.get(name).filter(|_| self.is_sealed()) else {
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
        for offset in offsets {
            match self.expected(column, offset) {
                Some(expected) => linked.push(expected),
                None => note(offset, check_numbers(column, offset)),
            }
        }
        let records = linked.iter().map(|expected| expected.record(column.dim()));
        let records: Vec<Option<Record<'_>>> = records.collect();
        for (expected, record) in linked.iter().zip(records) {
            note(expected.offset, expected.check(record));
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

    /// The dense vector of a name that the row at `offset` has, as it was written, if it can be read.
    pub fn sound_vector(&self, name: &str, offset: Offset) -> Option<&[f32]> {
        let column = self.dense.get(name)?;
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
        if let Some(column) = self.dense.get(name) {
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
