//! The vectors of one name within a segment.
//!
//! A point may lack a vector, so a column has rows of its own; [`RowMap`] says which offset of the segment each belongs to.
//!
//! - `dense`, `sparse`: the columns, growing and sealed.
//! - `sealed`: dense rows that take no more, and the structure over them.

mod dense;
mod sealed;
mod sparse;

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

pub(crate) use dense::DenseColumn;
pub(super) use dense::NO_ORDINAL;
use index::{BitSet, Encoding, IndexKind, Neighbor, Offset, Route, Stats};
pub(crate) use sparse::SparseColumn;

use super::Rows;
use super::file::{Reader, Section, check_count, check_offsets};
use super::map::View;
use crate::error::Result;

/// Row of a column to offset of the segment: the same number until a point lacks the vector.
#[derive(Clone, Default)]
pub(super) struct RowMap {
    len: usize,
    /// Ascending, by row; `None` while row and offset are equal for every row.
    offsets: Option<Offsets>,
}

#[derive(Clone)]
enum Offsets {
    Growing(Arc<Vec<Offset>>),
    Mapped(View<Offset>),
}

impl Deref for Offsets {
    type Target = [Offset];

    fn deref(&self) -> &[Offset] {
        match self {
            Self::Growing(offsets) => offsets,
            Self::Mapped(offsets) => offsets,
        }
    }
}

impl RowMap {
    /// The map of `len` rows of a segment of `rows`.
    fn open(reader: &Reader, len: u32, offsets: Option<Section>, rows: u32) -> Result<Self> {
        let offsets = match offsets {
            None => {
                check_count("vectors without offsets", len as usize, rows as usize)?;
                None
            }
            Some(section) => {
                let offsets: View<Offset> = reader.checked(section, "offsets of vectors")?;
                check_count("offsets of vectors", offsets.len(), len as usize)?;
                check_offsets(&offsets, rows)?;
                Some(Offsets::Mapped(offsets))
            }
        };
        Ok(Self {
            len: len as usize,
            offsets,
        })
    }

    fn push(&mut self, offset: Offset) {
        if self.offsets.is_none() && offset as usize != self.len {
            let equal = (0..self.len as Offset).collect();
            self.offsets = Some(Offsets::Growing(Arc::new(equal)));
        }
        match &mut self.offsets {
            None => {}
            Some(Offsets::Growing(offsets)) => Arc::make_mut(offsets).push(offset),
            Some(Offsets::Mapped(_)) => panic!("a sealed segment takes no rows"),
        }
        self.len += 1;
    }

    fn offset(&self, row: Offset) -> Offset {
        self.offsets
            .as_ref()
            .map_or(row, |offsets| offsets[row as usize])
    }

    fn row(&self, offset: Offset) -> Option<usize> {
        match &self.offsets {
            None => ((offset as usize) < self.len).then_some(offset as usize),
            Some(offsets) => offsets.binary_search(&offset).ok(),
        }
    }

    /// The rows that may answer, as a set over this column; `None` for all.
    fn filter<'a>(&self, rows: Rows<'a>) -> Option<Cow<'a, BitSet>> {
        let Rows::Only(set) = rows else { return None };
        Some(match &self.offsets {
            None if set.len() == self.len => Cow::Borrowed(set),
            None => Cow::Owned(set.slice(0, self.len)),
            Some(offsets) => {
                let chosen =
                    (0..self.len as Offset).filter(|&row| set.contains(offsets[row as usize]));
                Cow::Owned(BitSet::from_offsets(self.len, chosen))
            }
        })
    }

    fn heap_bytes(&self) -> usize {
        match &self.offsets {
            Some(Offsets::Growing(offsets)) => offsets.capacity() * size_of::<Offset>(),
            Some(Offsets::Mapped(_)) | None => 0,
        }
    }
}

/// What a column's search found: neighbors by offset of the segment, and how.
pub(crate) struct Found {
    pub neighbors: Vec<Neighbor>,
    pub index: &'static str,
    pub reason: String,
    pub stats: Stats,
    /// Of a graph.
    pub route: Option<Route>,
    /// Of a graph: how its codes are written.
    pub encoding: Option<Encoding>,
    /// Share of the true neighbors to expect; none if that is not known.
    pub recall: Option<f32>,
}

impl Found {
    fn exact(neighbors: Vec<Neighbor>, kind: IndexKind, reason: &str, stats: Stats) -> Self {
        Self {
            neighbors,
            index: kind.name(),
            reason: reason.to_owned(),
            stats,
            route: None,
            encoding: None,
            recall: Some(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_offsets_part_when_a_point_lacks_the_vector() {
        let mut map = RowMap::default();
        map.push(0);
        map.push(1);
        assert!(map.offsets.is_none());
        map.push(4);
        assert_eq!(map.offset(2), 4);
        assert_eq!(map.row(4), Some(2));
        assert_eq!(map.row(2), None);
        let set = BitSet::from_offsets(6, [1, 2, 4]);
        assert_eq!(
            map.filter(Rows::Only(&set))
                .unwrap()
                .iter()
                .collect::<Vec<_>>(),
            [1, 2]
        );
        assert!(map.filter(Rows::All).is_none());
    }

    #[test]
    fn a_set_over_more_offsets_than_rows_is_cut() {
        let mut map = RowMap::default();
        map.push(0);
        map.push(1);
        let set = BitSet::from_offsets(6, [1, 5]);
        assert_eq!(
            map.filter(Rows::Only(&set))
                .unwrap()
                .iter()
                .collect::<Vec<_>>(),
            [1]
        );
    }
}
