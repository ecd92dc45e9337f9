//! Inverted lists of sparse vectors as a segment stores them: refused, or they answer as lists do that were built from the same rows.

use std::sync::Arc;

use index::{Posting, SparseIndex, SparseLists};

#[derive(Debug, Default)]
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

/// Numbers of rows, tokens, starts and bounds, a byte each, then the numbers themselves; postings to the end.
fn read(mut bytes: &[u8]) -> Option<(u32, Arrays)> {
    let [rows, tokens, starts, bounds] = *take::<4>(&mut bytes)?;
    let mut word = || take::<4>(&mut bytes).map(|word| u32::from_le_bytes(*word));
    let mut arrays = Arrays::default();
    for _ in 0..tokens {
        arrays.tokens.push(word()?);
    }
    for _ in 0..starts {
        // The high half as its sign, so that few bytes reach very large ones.
        arrays
            .starts
            .push(i64::from(word()?.cast_signed()).cast_unsigned());
    }
    for _ in 0..bounds {
        arrays
            .bounds
            .push([f32::from_bits(word()?), f32::from_bits(word()?)]);
    }
    while let (Some(offset), Some(weight)) = (word(), word()) {
        let weight = f32::from_bits(weight);
        arrays.postings.push(Posting { offset, weight });
    }
    Some((u32::from(rows), arrays))
}

fn take<'b, const N: usize>(bytes: &mut &'b [u8]) -> Option<&'b [u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(first)
}

/// Lists that are accepted find what lists find that were built row by row.
pub fn sparse_lists(bytes: &[u8]) {
    let Some((rows, arrays)) = read(bytes) else {
        return;
    };
    let arrays = Arc::new(arrays);
    let Ok(stored) = SparseIndex::stored(rows, arrays.clone()) else {
        return;
    };
    let mut built = SparseIndex::new();
    for row in 0..rows {
        let pairs: Vec<(u32, f32)> = arrays
            .tokens
            .iter()
            .filter_map(|&token| {
                let mut postings = stored.postings(token).iter();
                let posting = postings.find(|posting| posting.offset == row)?;
                Some((token, posting.weight))
            })
            .collect();
        built.push(&pairs).expect("lists that were checked");
    }
    let weights = [1.0, -0.5, 3e38];
    let query = arrays.tokens.iter().copied().chain([7]);
    let query: Vec<(u32, f32)> = query.zip(weights.into_iter().cycle()).collect();
    let some = index::BitSet::from_offsets(rows as usize, (0..rows).step_by(2));
    for (k, filter) in [(0, None), (2, None), (2, Some(&some)), (300, None)] {
        for query in [&query[..], &query[..query.len() / 2]] {
            assert_eq!(
                stored.search(query, k, filter),
                built.search(query, k, filter),
                "{arrays:?}"
            );
        }
    }
}

pub(super) fn sparse_lists_seeds() -> Vec<Vec<u8>> {
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let (one, two) = (1f32.to_bits(), (-2f32).to_bits());
    let full = [
        &[3, 2, 3, 2][..],
        &words(&[5, 90]),
        &words(&[0, 2, 3]),
        &words(&[two, one, one, one]),
        &words(&[0, one, 2, two, 1, one]),
    ];
    vec![full.concat(), vec![0, 0, 1, 0, 0, 0, 0, 0]]
}
