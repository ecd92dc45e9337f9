//! Inverted lists that someone else keeps, in a memory-mapped file say.

use std::sync::Arc;

use thiserror::Error;

use super::{ListView, Lists, Posting, SparseIndex};
use crate::Offset;

/// Inverted lists as four arrays that never change.
pub trait SparseLists: Send + Sync {
    /// The tokens, ascending: `[t]`.
    fn tokens(&self) -> &[u32];

    /// Where the list of each token begins among the postings, and where the last one ends: `[t + 1]`.
    fn starts(&self) -> &[u64];

    /// The smallest and the largest weight of each list: `[t]`.
    fn bounds(&self) -> &[[f32; 2]];

    /// All lists, one after another, each in ascending order of offsets.
    fn postings(&self) -> &[Posting];
}

/// Why arrays are no inverted lists.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoredError {
    /// The lengths of the arrays do not belong together.
    #[error("{tokens} tokens with {starts} starts and {bounds} bounds over {postings} postings")]
    Shape {
        /// Length of [`SparseLists::tokens`].
        tokens: usize,
        /// Length of [`SparseLists::starts`].
        starts: usize,
        /// Length of [`SparseLists::bounds`].
        bounds: usize,
        /// Length of [`SparseLists::postings`].
        postings: usize,
    },
    /// The tokens do not ascend.
    #[error("token {0} is not larger than the one before it")]
    Tokens(u32),
    /// A list's rows do not ascend or are none of the index.
    #[error("the list of token {0} has rows out of order or beyond the index")]
    Rows(u32),
    /// A weight is not within its list's bounds.
    #[error("the list of token {0} has a weight outside its bounds")]
    Weights(u32),
}

impl SparseIndex {
    /// The index of `len` rows whose lists are kept elsewhere. Reads them once to check them: time O(postings).
    ///
    /// # Errors
    ///
    /// [`StoredError`] if they are none.
    pub fn stored(len: Offset, lists: Arc<dyn SparseLists>) -> Result<Self, StoredError> {
        check(len, &*lists)?;
        Ok(Self {
            len,
            lists: Lists::Stored(lists),
        })
    }
}

/// The list of a token in checked lists. Time O(log tokens).
pub(super) fn list(lists: &dyn SparseLists, token: u32) -> Option<ListView<'_>> {
    let at = lists.tokens().binary_search(&token).ok()?;
    let (start, end) = (*lists.starts().get(at)?, *lists.starts().get(at + 1)?);
    let [weight_min, weight_max] = *lists.bounds().get(at)?;
    Some(ListView {
        postings: lists.postings().get(start as usize..end as usize)?,
        weight_min,
        weight_max,
    })
}

fn check(len: Offset, lists: &dyn SparseLists) -> Result<(), StoredError> {
    let (tokens, starts, postings) = (lists.tokens(), lists.starts(), lists.postings());
    let ends_meet =
        starts.first() == Some(&0) && starts.last().copied() == Some(postings.len() as u64);
    if starts.len() != tokens.len() + 1 || lists.bounds().len() != tokens.len() || !ends_meet {
        return Err(StoredError::Shape {
            tokens: tokens.len(),
            starts: starts.len(),
            bounds: lists.bounds().len(),
            postings: postings.len(),
        });
    }
    if let Some(pair) = tokens.array_windows().find(|[a, b]| a >= b) {
        return Err(StoredError::Tokens(pair[1]));
    }
    for (&token, &[start, end]) in tokens.iter().zip(starts.array_windows()) {
        let rows = postings
            .get(start as usize..end as usize)
            .ok_or(StoredError::Rows(token))?;
        let ascends = rows.array_windows().all(|[a, b]| a.offset < b.offset);
        if !ascends || rows.last().is_some_and(|last| last.offset >= len) {
            return Err(StoredError::Rows(token));
        }
    }
    for (&token, &[low, high]) in tokens.iter().zip(lists.bounds()) {
        let rows = list(lists, token).map_or(&[][..], |list| list.postings);
        // Infinite bounds would hide infinite weights.
        let finite = low.is_finite() && high.is_finite();
        if !finite
            || !rows
                .iter()
                .all(|row| low <= row.weight && row.weight <= high)
        {
            return Err(StoredError::Weights(token));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Arrays {
        tokens: Vec<u32>,
        starts: Vec<u64>,
        bounds: Vec<[f32; 2]>,
        postings: Vec<Posting>,
    }

    impl SparseLists for Arrays {
        fn tokens(&self) -> &[u32] {
            &self.tokens
        }

        fn starts(&self) -> &[u64] {
            &self.starts
        }

        fn bounds(&self) -> &[[f32; 2]] {
            &self.bounds
        }

        fn postings(&self) -> &[Posting] {
            &self.postings
        }
    }

    fn arrays() -> Arrays {
        let posting = |offset, weight| Posting { offset, weight };
        Arrays {
            tokens: vec![3, 8],
            starts: vec![0, 2, 3],
            bounds: vec![[-1.0, 2.0], [0.5, 0.5]],
            postings: vec![posting(0, 2.0), posting(2, -1.0), posting(1, 0.5)],
        }
    }

    #[test]
    fn answers_as_the_index_that_grew() {
        let rows: [&[(u32, f32)]; 3] = [&[(3, 2.0)], &[(8, 0.5)], &[(3, -1.0)]];
        let grown = SparseIndex::build(rows).unwrap();
        let mut stored = SparseIndex::stored(3, Arc::new(arrays())).unwrap();
        for query in [
            &[(3, 1.0)][..],
            &[(8, 1.0), (3, 0.1)],
            &[(3, -1.0)],
            &[(9, 1.0)],
        ] {
            assert_eq!(stored.search(query, 3, None), grown.search(query, 3, None));
        }
        assert_eq!(stored.tokens().collect::<Vec<_>>(), [(3, 2), (8, 1)]);
        assert_eq!(stored.postings(3), grown.postings(3));
        assert_eq!(stored.push(&[]), Err(crate::SparseError::Stored));
    }

    #[test]
    fn arrays_that_are_no_lists_are_refused() {
        let check = |change: fn(&mut Arrays), expected: &str| {
            let mut arrays = arrays();
            change(&mut arrays);
            let error = SparseIndex::stored(3, Arc::new(arrays)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(|a| a.starts[2] = 2, "over 3 postings");
        check(|a| a.starts[0] = 1, "over 3 postings");
        check(|a| a.starts[1] = 9, "token 3 has rows");
        check(|a| a.starts.clear(), "0 starts");
        check(|a| a.bounds.truncate(1), "1 bounds");
        check(|a| a.tokens[1] = 3, "token 3 is not larger");
        check(|a| a.postings[1].offset = 0, "token 3 has rows");
        check(|a| a.postings[2].offset = 3, "token 8 has rows");
        check(|a| a.postings[2].weight = 0.6, "token 8 has a weight");
        check(|a| a.postings[2].weight = f32::NAN, "token 8 has a weight");
        check(|a| a.bounds[0][1] = f32::INFINITY, "token 3 has a weight");
    }
}
