//! Whether the vector of a row that answers is the one that was written.
//!
//! Rows are mapped, and no search reads the checksums of all that it compares: a damaged row may come out nearest. So the few that become
//! hits are looked at, and one that is damaged never answers again. A damaged row that comes out far from the query is not noticed here; a
//! merge and `Engine::check` notice it.

use std::sync::Arc;

use index::{BitSet, Offset};

use super::Segment;
use super::column::DenseColumn;
use crate::error::{Error, Result};

/// Longest row under cosine, squared: rows are of unit length before rounding.
const LENGTH_SQUARED_MAX: f32 = 1.001;

impl Segment {
    /// Looks at the vector of a name in a row that becomes a hit: in a linked file it is compared with its checksum and the row's key, in the
    /// segment's own file its numbers must be finite and, under cosine, of unit length at most. Rows of a growing segment have not been on the
    /// disk. Time O(dim).
    ///
    /// # Errors
    ///
    /// `Corrupted` if it is damaged.
    pub fn verify_hit(&self, name: &str, offset: Offset) -> Result<()> {
        let Some(column) = self.dense.get(name).filter(|_| self.is_sealed()) else {
            return Ok(());
        };
        if column.link(offset).is_some() {
            self.verify_row(column, offset)
        } else {
            check_numbers(column, offset)
        }
        .map_err(|error| error.context(format!("verify row {offset} of segment {}", self.uid)))
    }

    /// Leaves the damaged vectors of a name out of all further searches of this segment.
    pub fn leave_out(&self, name: &str, offsets: &[Offset]) {
        if let Some(column) = self.dense.get(name) {
            column.damaged.rcu(|damaged| {
                let mut rows = match damaged {
                    None => BitSet::new(self.len()),
                    Some(rows) => (**rows).clone(),
                };
                for &offset in offsets {
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
    if let Some(at) = row.iter().position(|number| !number.is_finite()) {
        let number = row[at];
        return Err(Error::corrupted(format!("number {at} is {number}")));
    }
    let squared: f32 = row.iter().map(|number| number * number).sum();
    if column.normalizes() && squared > LENGTH_SQUARED_MAX {
        let length = squared.sqrt();
        return Err(Error::corrupted(format!(
            "the length is {length}, expected 1"
        )));
    }
    Ok(())
}
