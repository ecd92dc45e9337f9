//! Sparse vectors: few tokens with a weight each, searched by inverted lists.
//!
//! This serves BM25 and learned sparse embeddings alike: the distance is the plain dot product with its sign turned, and
//! whatever weighs a token (an IDF of the collection, say) is multiplied into the query by the caller, who finds the
//! counts in [`SparseIndex::document_frequency`].

mod search;
mod stored;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::Offset;
pub use stored::{SparseLists, StoredError};

/// Inverted lists over rows of `(token, weight)`.
///
/// Grows by [`SparseIndex::push`], so one type serves growing and sealed segments; [`SparseIndex::stored`] reads lists from where
/// someone else keeps them. Rows are not removed: leave them out by the filter of a search.
#[derive(Clone, Default)]
pub struct SparseIndex {
    /// The number of rows.
    len: Offset,
    lists: Lists,
}

#[derive(Clone)]
enum Lists {
    Growing(HashMap<u32, List>),
    /// Checked by [`SparseIndex::stored`].
    Stored(Arc<dyn SparseLists>),
}

impl Default for Lists {
    fn default() -> Self {
        Self::Growing(HashMap::new())
    }
}

impl fmt::Debug for SparseIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SparseIndex")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// The rows that have one token, wherever they are kept.
#[derive(Copy, Clone)]
struct ListView<'a> {
    postings: &'a [Posting],
    weight_min: f32,
    weight_max: f32,
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

/// One row of a token's list: eight bytes, the offset first.
#[derive(Copy, Clone, Debug, PartialEq)]
#[repr(C)]
pub struct Posting {
    /// The row.
    pub offset: Offset,
    /// The token's weight in it.
    pub weight: f32,
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
    /// The lists are kept by someone else.
    #[error("a stored index takes no rows")]
    Stored,
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
        if let Lists::Growing(lists) = &mut index.lists {
            lists
                .values_mut()
                .for_each(|list| list.postings.shrink_to_fit());
        }
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
        let Lists::Growing(lists) = &mut self.lists else {
            return Err(SparseError::Stored);
        };
        self.len = offset.checked_add(1).ok_or(SparseError::Full)?;
        for &(token, weight) in row {
            let posting = Posting { offset, weight };
            match lists.entry(token) {
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
        self.list(token)
            .map_or(0, |list| list.postings.len() as u32)
    }

    /// Every token of any row with its [`SparseIndex::document_frequency`], in no particular order.
    pub fn tokens(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let (growing, stored) = match &self.lists {
            Lists::Growing(lists) => (Some(lists.keys()), None),
            Lists::Stored(lists) => (None, Some(lists.tokens())),
        };
        growing
            .into_iter()
            .flatten()
            .chain(stored.into_iter().flatten())
            .map(|&token| (token, self.document_frequency(token)))
    }

    /// The rows that have `token`, ascending, with its weights.
    pub fn postings(&self, token: u32) -> &[Posting] {
        self.list(token).map_or(&[], |list| list.postings)
    }

    /// Bytes held: none of those that someone else keeps.
    pub fn memory(&self) -> usize {
        let Lists::Growing(lists) = &self.lists else {
            return 0;
        };
        let table = lists.capacity() * (size_of::<(u32, List)>() + 1);
        table
            + lists
                .values()
                .map(|list| list.postings.capacity() * size_of::<Posting>())
                .sum::<usize>()
    }

    fn list(&self, token: u32) -> Option<ListView<'_>> {
        match &self.lists {
            Lists::Growing(lists) => lists.get(&token).map(|list| ListView {
                postings: &list.postings,
                weight_min: list.weight_min,
                weight_max: list.weight_max,
            }),
            Lists::Stored(lists) => stored::list(&**lists, token),
        }
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
