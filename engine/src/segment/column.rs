//! The vectors of one name within a segment.
//!
//! A point may lack a vector, so a column has rows of its own; [`RowMap`] says which offset of the segment each belongs to.

use index::{BitSet, Metric, Neighbor, Offset, SearchParams, SparseIndex, Stats, VectorIndex};

use super::Rows;
use crate::config::VectorConfig;
use crate::error::{Error, Result};
use crate::point::SparseVector;

/// Row of a column to offset of the segment: the same number until a point lacks the vector.
#[derive(Clone, Debug, Default)]
struct RowMap {
    len: usize,
    /// Ascending, by row; `None` while row and offset are equal for every row.
    offsets: Option<Vec<Offset>>,
}

impl RowMap {
    fn push(&mut self, offset: Offset) {
        if self.offsets.is_none() && offset as usize != self.len {
            self.offsets = Some((0..self.len as Offset).collect());
        }
        if let Some(offsets) = &mut self.offsets {
            offsets.push(offset);
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
    fn filter(&self, rows: Rows<'_>) -> Option<BitSet> {
        let Rows::Only(set) = rows else { return None };
        Some(match &self.offsets {
            None => BitSet::from_offsets(
                self.len,
                set.iter()
                    .take_while(|&offset| (offset as usize) < self.len),
            ),
            Some(offsets) => {
                let chosen =
                    (0..self.len as Offset).filter(|&row| set.contains(offsets[row as usize]));
                BitSet::from_offsets(self.len, chosen)
            }
        })
    }

    fn bytes(&self) -> usize {
        self.offsets
            .as_ref()
            .map_or(0, |offsets| offsets.capacity() * size_of::<Offset>())
    }
}

/// What a column's search found: neighbors by offset of the segment, and how.
pub(crate) struct Found {
    pub neighbors: Vec<Neighbor>,
    pub index: &'static str,
    pub reason: String,
    pub stats: Stats,
}

/// Dense vectors, row after row.
pub(crate) struct DenseColumn {
    dim: usize,
    metric: Metric,
    map: RowMap,
    data: DenseData,
}

enum DenseData {
    Growing(Vec<f32>),
    Sealed {
        rows: index::Rows,
        index: Box<dyn VectorIndex>,
        reason: String,
    },
}

impl DenseColumn {
    pub fn growing(config: &VectorConfig) -> Self {
        Self {
            dim: config.dim,
            metric: config.metric,
            map: RowMap::default(),
            data: DenseData::Growing(Vec::new()),
        }
    }

    /// Builds the structure that suits, over the rows gathered so far.
    pub fn seal(self, forced: Option<index::IndexKind>) -> Result<Self> {
        let Self {
            dim,
            metric,
            map,
            data,
        } = self;
        let DenseData::Growing(values) = data else {
            return Ok(Self {
                dim,
                metric,
                map,
                data,
            });
        };
        let kind = index::choose(forced, metric, dim, map.len)
            .map_err(|error| Error::invalid(error.to_string()))?;
        let reason = match forced {
            Some(_) => "asked for by the collection".to_owned(),
            None => format!(
                "chosen for {} rows of dim {dim} with {}",
                map.len,
                metric.name()
            ),
        };
        let rows = index::Rows::new(dim, values);
        let built = index::build(kind, metric, rows.clone()).or_else(|error| {
            // A structure that cannot take these rows (they overflow, say) is no reason to lose them.
            tracing::warn!(%error, kind = kind.name(), "index build fell back to flat");
            index::build(index::IndexKind::Flat, metric, rows.clone())
        });
        let index = built.map_err(|error| Error::invalid(format!("build index: {error}")))?;
        Ok(Self {
            dim,
            metric,
            map,
            data: DenseData::Sealed {
                rows,
                index,
                reason,
            },
        })
    }

    pub fn push(&mut self, offset: Offset, values: &[f32]) {
        assert_eq!(
            values.len(),
            self.dim,
            "dims are checked before a point is logged"
        );
        let DenseData::Growing(all) = &mut self.data else {
            panic!("a sealed segment takes no rows");
        };
        all.extend_from_slice(values);
        self.map.push(offset);
    }

    pub fn get(&self, offset: Offset) -> Option<&[f32]> {
        let row = self.map.row(offset)?;
        Some(&self.values()[row * self.dim..(row + 1) * self.dim])
    }

    pub fn rows(&self) -> usize {
        self.map.len
    }

    pub fn is_sealed(&self) -> bool {
        matches!(self.data, DenseData::Sealed { .. })
    }

    /// `flat` or `kdtree`.
    pub fn structure(&self) -> &'static str {
        match &self.data {
            DenseData::Growing(_) => index::IndexKind::Flat.name(),
            DenseData::Sealed { index, .. } => index.kind().name(),
        }
    }

    pub fn bytes(&self) -> usize {
        let structure = match &self.data {
            DenseData::Growing(values) => (values.capacity() - values.len()) * size_of::<f32>(),
            DenseData::Sealed { index, .. } => index.memory(),
        };
        size_of_val(self.values()) + structure + self.map.bytes()
    }

    /// The `k` nearest of the rows that may answer.
    pub fn search(
        &self,
        query: &[f32],
        k: usize,
        rows: Rows<'_>,
        exact: bool,
        forced: Option<index::IndexKind>,
    ) -> Result<Found> {
        let filter = self.map.filter(rows);
        let params = SearchParams {
            k,
            exact,
            filter: filter.as_ref(),
            max_distance: None,
        };
        let mut stats = Stats::default();
        let flat = index::IndexKind::Flat;
        let (neighbors, kind, reason) = match &self.data {
            DenseData::Growing(values) => {
                let found = index::scan(self.metric, query, values, self.dim, &params, &mut stats);
                (found, flat, "not sealed yet".to_owned())
            }
            DenseData::Sealed { rows, index, .. }
                if forced == Some(flat) && index.kind() != flat =>
            {
                let found = index::scan(
                    self.metric,
                    query,
                    rows.as_slice(),
                    self.dim,
                    &params,
                    &mut stats,
                );
                (found, flat, "asked for by the query".to_owned())
            }
            DenseData::Sealed { index, .. } if forced.is_some_and(|kind| kind != index.kind()) => {
                return Err(Error::invalid(format!(
                    "params.index: this collection's segments have {}; leave it out, ask for \"flat\", or create the \
                     collection with the index you want",
                    index.kind().name()
                )));
            }
            DenseData::Sealed { index, reason, .. } => {
                let found = index.search(query, &params, &mut stats);
                (
                    found.map_err(|error| Error::invalid(error.to_string()))?,
                    index.kind(),
                    reason.clone(),
                )
            }
        };
        let neighbors = neighbors
            .into_iter()
            .map(|neighbor| Neighbor::new(self.map.offset(neighbor.offset), neighbor.distance))
            .collect();
        Ok(Found {
            neighbors,
            index: kind.name(),
            reason,
            stats,
        })
    }

    fn values(&self) -> &[f32] {
        match &self.data {
            DenseData::Growing(values) => values,
            DenseData::Sealed { rows, .. } => rows.as_slice(),
        }
    }
}

/// Sparse vectors with inverted lists, which take rows at any time.
pub(crate) struct SparseColumn {
    map: RowMap,
    rows: Vec<SparseVector>,
    index: SparseIndex,
    sealed: bool,
}

impl SparseColumn {
    pub fn growing() -> Self {
        Self {
            map: RowMap::default(),
            rows: Vec::new(),
            index: SparseIndex::new(),
            sealed: false,
        }
    }

    pub fn seal(self) -> Self {
        Self {
            sealed: true,
            ..self
        }
    }

    pub fn push(&mut self, offset: Offset, vector: &SparseVector) {
        assert!(!self.sealed, "a sealed segment takes no rows");
        let pairs: Vec<(u32, f32)> = vector.iter().collect();
        self.index
            .push(&pairs)
            .expect("a sparse vector's tokens are unique and its values finite");
        self.rows.push(vector.clone());
        self.map.push(offset);
    }

    pub fn get(&self, offset: Offset) -> Option<&SparseVector> {
        self.map.row(offset).map(|row| &self.rows[row])
    }

    pub fn rows(&self) -> usize {
        self.map.len
    }

    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Number of rows that hold the token, dead ones included.
    pub fn document_frequency(&self, token: u32) -> usize {
        self.index.document_frequency(token) as usize
    }

    /// The `k` rows with the largest product, of those that may answer and share a token.
    pub fn search(&self, query: &[(u32, f32)], k: usize, rows: Rows<'_>) -> Found {
        let filter = self.map.filter(rows);
        let found = self.index.search(query, k, filter.as_ref());
        let postings: u64 = query
            .iter()
            .map(|&(token, _)| u64::from(self.index.document_frequency(token)))
            .sum();
        let stats = Stats {
            visited: postings,
            distance_calls: postings,
        };
        let neighbors = found
            .into_iter()
            .map(|neighbor| Neighbor::new(self.map.offset(neighbor.offset), neighbor.distance))
            .collect();
        Found {
            neighbors,
            index: "sparse",
            reason: "inverted lists; visited counts their lengths".to_owned(),
            stats,
        }
    }

    pub fn bytes(&self) -> usize {
        let entries: usize = self.rows.iter().map(|row| row.indices().len()).sum();
        entries * size_of::<(u32, f32)>() + self.index.memory() + self.map.bytes()
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
