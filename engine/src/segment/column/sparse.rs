//! The sparse vectors of one name, with inverted lists.

use std::sync::Arc;

use index::{Neighbor, Offset, SparseIndex, SparseLists, Stats};

use super::{Found, RowMap};
use crate::error::{Error, Result};
use crate::point::SparseVector;
use crate::segment::Rows;
use crate::segment::file::{Reader, SparseContents, check_count, check_ends};
use crate::segment::map::View;

/// Rows of a growing chunk of sparse rows, which has inverted lists of its own.
const SPARSE_CHUNK_ROWS: usize = 512;

/// Sparse vectors with inverted lists.
#[derive(Clone)]
pub(crate) struct SparseColumn {
    map: RowMap,
    data: SparseData,
}

#[derive(Clone)]
enum SparseData {
    Growing(SparseGrowing),
    Sealed(SparseSealed),
}

#[derive(Clone, Default)]
struct SparseGrowing {
    /// All but the last with [`SPARSE_CHUNK_ROWS`] rows.
    chunks: Vec<Arc<SparseChunk>>,
    /// Of all rows: counted, for it is asked after every write.
    tokens: usize,
}

#[derive(Clone, Default)]
struct SparseChunk {
    rows: Vec<SparseVector>,
    index: SparseIndex,
}

#[derive(Clone)]
struct SparseSealed {
    row_ends: View<u64>,
    indices: View<u32>,
    values: View<f32>,
    index: SparseIndex,
}

/// Inverted lists in a mapped file.
struct MappedLists {
    tokens: View<u32>,
    starts: View<u64>,
    bounds: View<[f32; 2]>,
    postings: View<index::Posting>,
}

impl SparseLists for MappedLists {
    fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    fn starts(&self) -> &[u64] {
        &self.starts
    }

    fn bounds(&self) -> &[[f32; 2]] {
        &self.bounds
    }

    fn postings(&self) -> &[index::Posting] {
        &self.postings
    }
}

impl SparseColumn {
    pub fn growing() -> Self {
        Self {
            map: RowMap::default(),
            data: SparseData::Growing(SparseGrowing::default()),
        }
    }

    /// The column of a segment's file. Reads it once to check it: time O(bytes).
    ///
    /// # Errors
    ///
    /// `Corrupted` if it is damaged.
    pub fn open(reader: &Reader, contents: &SparseContents, rows: u32) -> Result<Self> {
        let row_ends: View<u64> = reader.checked(contents.row_ends, "ends of sparse rows")?;
        let indices: View<u32> = reader.checked(contents.indices, "sparse indices")?;
        let values: View<f32> = reader.checked(contents.values, "sparse values")?;
        check_count("sparse rows", row_ends.len(), contents.count as usize)?;
        check_count("sparse values", values.len(), indices.len())?;
        check_ends(&row_ends, indices.len())?;
        let lists = MappedLists {
            tokens: reader.checked(contents.tokens, "tokens")?,
            starts: reader.checked(contents.starts, "starts of lists")?,
            bounds: reader.checked(contents.bounds, "bounds of lists")?,
            postings: reader.checked(contents.postings, "postings")?,
        };
        let index = SparseIndex::stored(contents.count, Arc::new(lists)).map_err(|error| {
            Error::corrupted(format!("sparse vector \"{}\": {error}", contents.name))
        })?;
        Ok(Self {
            map: RowMap::open(reader, contents.count, contents.offsets, rows)?,
            data: SparseData::Sealed(SparseSealed {
                row_ends,
                indices,
                values,
                index,
            }),
        })
    }

    pub fn push(&mut self, offset: Offset, vector: &SparseVector) {
        let SparseData::Growing(SparseGrowing { chunks, tokens }) = &mut self.data else {
            panic!("a sealed segment takes no rows");
        };
        *tokens += vector.indices().len();
        if self.map.len.is_multiple_of(SPARSE_CHUNK_ROWS) {
            chunks.push(Arc::default());
        }
        let chunk = Arc::make_mut(chunks.last_mut().expect("it was pushed"));
        let pairs: Vec<(u32, f32)> = vector.iter().collect();
        chunk
            .index
            .push(&pairs)
            .expect("a sparse vector's tokens are unique and its values finite");
        chunk.rows.push(vector.clone());
        self.map.push(offset);
    }

    pub fn get(&self, offset: Offset) -> Option<SparseVector> {
        let row = self.map.row(offset)?;
        match &self.data {
            SparseData::Growing(SparseGrowing { chunks, .. }) => {
                let chunk = chunks.get(row / SPARSE_CHUNK_ROWS)?;
                chunk.rows.get(row % SPARSE_CHUNK_ROWS).cloned()
            }
            SparseData::Sealed(sealed) => sealed.row(row),
        }
    }

    pub fn rows(&self) -> usize {
        self.map.len
    }

    /// Number of rows that hold the token, dead ones included.
    pub fn document_frequency(&self, token: u32) -> usize {
        self.indexes()
            .map(|index| index.document_frequency(token) as usize)
            .sum()
    }

    /// The `k` rows with the largest product, of those that may answer and share a token.
    pub fn search(&self, query: &[(u32, f32)], k: usize, rows: Rows<'_>) -> Found {
        let filter = self.map.filter(rows);
        let mut nearest: Vec<Neighbor> = Vec::new();
        let mut first = 0;
        for index in self.indexes() {
            // All but the last begin at a word.
            let filter = filter.as_ref().map(|set| set.slice(first, index.len()));
            let found = index.search(query, k, filter.as_ref());
            nearest.extend(found.into_iter().map(|neighbor| {
                let row = neighbor.offset + first as Offset;
                Neighbor::new(self.map.offset(row), neighbor.distance)
            }));
            first += index.len();
        }
        nearest.sort_unstable();
        nearest.truncate(k);
        let postings: usize = query
            .iter()
            .map(|&(token, _)| self.document_frequency(token))
            .sum();
        let stats = Stats {
            visited: postings as u64,
            distance_calls: postings as u64,
        };
        Found {
            neighbors: nearest,
            index: "sparse",
            reason: "inverted lists; visited counts their lengths".to_owned(),
            stats,
            route: None,
            encoding: None,
            recall: Some(1.0),
        }
    }

    /// As [`Self::heap_bytes`], with what the lists have set aside. Time O(tokens).
    pub fn exact_heap_bytes(&self) -> usize {
        let SparseData::Growing(growing) = &self.data else {
            return self.heap_bytes();
        };
        let row = size_of::<SparseVector>();
        let rows = growing.chunks.iter().map(|chunk| chunk.rows.len() * row);
        let lists = growing.chunks.iter().map(|chunk| chunk.index.memory());
        let values = growing.tokens * size_of::<(u32, f32)>();
        values + rows.chain(lists).sum::<usize>() + self.map.heap_bytes()
    }

    /// Bytes of all indices and values.
    pub fn values_bytes(&self) -> usize {
        let tokens = match &self.data {
            SparseData::Growing(growing) => growing.tokens,
            SparseData::Sealed(sealed) => sealed.indices.len(),
        };
        tokens * size_of::<(u32, f32)>()
    }

    /// Bytes that are not mapped.
    pub fn heap_bytes(&self) -> usize {
        let rows = match &self.data {
            // Once in its row, once in its list.
            SparseData::Growing(growing) => growing.tokens * 2 * size_of::<(u32, f32)>(),
            SparseData::Sealed(_) => 0,
        };
        rows + self.map.heap_bytes()
    }

    /// One after the other, the rows of all are those of the column.
    fn indexes(&self) -> impl Iterator<Item = &SparseIndex> {
        let (growing, sealed) = match &self.data {
            SparseData::Growing(growing) => (Some(&growing.chunks), None),
            SparseData::Sealed(sealed) => (None, Some(&sealed.index)),
        };
        let growing = growing.into_iter().flatten().map(|chunk| &chunk.index);
        growing.chain(sealed)
    }
}

impl SparseSealed {
    /// `None` if the file's numbers are no sparse vector.
    fn row(&self, row: usize) -> Option<SparseVector> {
        let start = match row.checked_sub(1) {
            None => 0,
            Some(before) => *self.row_ends.get(before)? as usize,
        };
        let range = start..*self.row_ends.get(row)? as usize;
        let indices = self.indices.get(range.clone())?.to_vec();
        SparseVector::new(indices, self.values.get(range)?.to_vec()).ok()
    }
}
