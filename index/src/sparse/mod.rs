//! Sparse vectors: few tokens with a weight each, searched by inverted lists.
//!
//! This serves BM25 and learned sparse embeddings alike: the distance is the plain dot product with its sign turned, and
//! whatever weighs a token (an IDF of the collection, say) is multiplied into the query by the caller, who finds the
//! counts in [`SparseIndex::document_frequency`].

mod search;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use thiserror::Error;

use crate::Offset;

/// Inverted lists over rows of `(token, weight)`.
///
/// Grows by [`SparseIndex::push`], so one type serves growing and sealed segments. Rows are not removed: leave them out
/// by the filter of a search.
#[derive(Clone, Debug, Default)]
pub struct SparseIndex {
    /// The number of rows.
    len: Offset,
    lists: HashMap<u32, List>,
}

/// The rows that have one token.
#[derive(Clone, Debug)]
struct List {
    /// In ascending order of offsets.
    postings: Vec<Posting>,
    /// The smallest of their weights.
    weight_min: f32,
    /// The largest of their weights.
    weight_max: f32,
}

#[derive(Copy, Clone, Debug)]
struct Posting {
    offset: Offset,
    weight: f32,
}

/// Why a sparse row cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SparseError {
    /// A weight is NaN or infinite.
    #[error("the weight of token {token} in row {offset} is not a finite number")]
    NotFinite {
        /// The row.
        offset: Offset,
        /// The first such token.
        token: u32,
    },
    /// A token stands twice in a row.
    #[error("token {token} stands twice in row {offset}")]
    DuplicateToken {
        /// The row.
        offset: Offset,
        /// The smallest such token.
        token: u32,
    },
    /// There are as many rows as there are offsets.
    #[error("a segment holds at most {} rows", Offset::MAX)]
    Full,
}

impl SparseIndex {
    /// An index of no rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// The index of these rows, whose offsets are their places in the sequence. Time O(tokens).
    ///
    /// # Errors
    ///
    /// That of the first row which [`SparseIndex::push`] refuses.
    pub fn build<Row: AsRef<[(u32, f32)]>>(
        rows: impl IntoIterator<Item = Row>,
    ) -> Result<Self, SparseError> {
        let mut index = Self::new();
        for row in rows {
            index.push(row.as_ref())?;
        }
        index
            .lists
            .values_mut()
            .for_each(|list| list.postings.shrink_to_fit());
        Ok(index)
    }

    /// Adds a row and returns its offset. Time O(tokens), more if they are not in ascending order.
    ///
    /// - `row`: `(token, weight)` in any order; a row without tokens takes an offset but never answers.
    ///
    /// # Errors
    ///
    /// [`SparseError`] if a weight is not finite, a token stands twice, or the offsets are used up. Nothing is added then.
    pub fn push(&mut self, row: &[(u32, f32)]) -> Result<Offset, SparseError> {
        let offset = self.len;
        if let Some(&(token, _)) = row.iter().find(|(_, weight)| !weight.is_finite()) {
            return Err(SparseError::NotFinite { offset, token });
        }
        if let Some(token) = duplicate(row) {
            return Err(SparseError::DuplicateToken { offset, token });
        }
        self.len = offset.checked_add(1).ok_or(SparseError::Full)?;
        for &(token, weight) in row {
            let posting = Posting { offset, weight };
            match self.lists.entry(token) {
                Entry::Occupied(mut entry) => entry.get_mut().push(posting),
                Entry::Vacant(entry) => {
                    entry.insert(List {
                        postings: vec![posting],
                        weight_min: weight,
                        weight_max: weight,
                    });
                }
            }
        }
        Ok(offset)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of rows that have `token`.
    pub fn document_frequency(&self, token: u32) -> u32 {
        self.lists
            .get(&token)
            .map_or(0, |list| list.postings.len() as u32)
    }

    /// Every token of any row with its [`SparseIndex::document_frequency`], in no particular order.
    pub fn tokens(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.lists
            .iter()
            .map(|(&token, list)| (token, list.postings.len() as u32))
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        let table = self.lists.capacity() * (size_of::<(u32, List)>() + 1);
        table
            + self
                .lists
                .values()
                .map(|list| list.postings.capacity() * size_of::<Posting>())
                .sum::<usize>()
    }
}

impl List {
    fn push(&mut self, posting: Posting) {
        self.weight_min = self.weight_min.min(posting.weight);
        self.weight_max = self.weight_max.max(posting.weight);
        self.postings.push(posting);
    }
}

/// The smallest token that stands twice.
fn duplicate(row: &[(u32, f32)]) -> Option<u32> {
    if row.is_sorted_by(|a, b| a.0 < b.0) {
        return None;
    }
    let mut tokens: Vec<u32> = row.iter().map(|&(token, _)| token).collect();
    tokens.sort_unstable();
    tokens
        .array_windows()
        .find(|[a, b]| a == b)
        .map(|&[a, _]| a)
}
