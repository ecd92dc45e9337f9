use proptest::prelude::*;

use super::*;
use crate::{BitSet, Neighbor};

type Row = Vec<(u32, f32)>;

fn naive(rows: &[Row], query: &[(u32, f32)], k: usize, filter: Option<&BitSet>) -> Vec<Neighbor> {
    let mut answer: Vec<Neighbor> = Vec::new();
    for (offset, row) in rows.iter().enumerate() {
        let shared = row.iter().flat_map(|&(token, weight)| {
            query
                .iter()
                .filter(move |(wanted, _)| *wanted == token)
                .map(move |&(_, factor)| f64::from(weight) * f64::from(factor))
        });
        let products: Vec<f64> = shared.collect();
        if !products.is_empty() && filter.is_none_or(|filter| filter.contains(offset as Offset)) {
            answer.push(Neighbor::new(
                offset as Offset,
                -(products.iter().sum::<f64>() as f32),
            ));
        }
    }
    answer.sort();
    answer.truncate(k);
    answer
}

/// Whole weights, so that sums are exact in any order and ties abound.
fn weight() -> impl Strategy<Value = f32> {
    (-3i8..6).prop_map(f32::from)
}

fn row(tokens: std::ops::Range<u32>, most: usize) -> impl Strategy<Value = Row> {
    prop::collection::btree_map(tokens, weight(), 0..most).prop_map(|row| row.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn equals_naive(rows in prop::collection::vec(row(0..12, 6), 0..300), query in row(0..14, 8), k in prop_oneof![0usize..12, Just(usize::MAX)], keep in prop::option::of(1u32..5)) {
        let index = SparseIndex::build(&rows).unwrap();
        let filter = keep.map(|keep| BitSet::from_offsets(rows.len(), (0..rows.len() as Offset).filter(|i| i % keep == 0)));
        prop_assert_eq!(index.search(&query, k, filter.as_ref()), naive(&rows, &query, k, filter.as_ref()));
    }
}

/// Rows over several blocks, tokens from frequent to rare, as words are.
fn many_rows(n: u32) -> Vec<Row> {
    let mut state = 88_172_645_463_325_252u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..n)
        .map(|_| {
            let mut row: Row = (0..20)
                .map(|_| ((random().powi(4) * 3_000.0) as u32, (random() * 4.0) as f32))
                .collect();
            row.sort_by_key(|&(token, _)| token);
            row.dedup_by_key(|(token, _)| *token);
            row
        })
        .collect()
}

#[test]
fn equals_naive_over_many_blocks() {
    let rows = many_rows(30_000);
    let index = SparseIndex::build(&rows).unwrap();
    let filter = BitSet::from_offsets(rows.len(), (0..30_000).filter(|i| i % 7 == 3));
    for query in many_rows(40) {
        // As an IDF would: rare tokens weigh more.
        let weighted: Row = query
            .iter()
            .map(|&(token, weight)| {
                let frequency = index.document_frequency(token).max(1) as f32;
                (token, weight * (30_000.0 / frequency).ln())
            })
            .collect();
        for k in [1, 10, 500] {
            for filter in [None, Some(&filter)] {
                for query in [&query, &weighted] {
                    assert_eq!(
                        index.search(query, k, filter),
                        naive(&rows, query, k, filter),
                        "k {k}, {query:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn negative_weights_on_either_side() {
    let rows: Vec<Row> = vec![
        vec![(1, -2.0)],
        vec![(1, 3.0), (2, 1.0)],
        vec![(2, -1.0)],
        vec![(3, 5.0)],
        vec![],
    ];
    let index = SparseIndex::build(&rows).unwrap();
    let search = |query: &[(u32, f32)]| {
        index
            .search(query, 9, None)
            .into_iter()
            .map(|neighbor| (neighbor.offset, neighbor.distance))
            .collect::<Vec<_>>()
    };
    assert_eq!(search(&[(1, -1.0)]), [(0, -2.0), (1, 3.0)]);
    assert_eq!(
        search(&[(1, 1.0), (2, -4.0)]),
        [(2, -4.0), (1, 1.0), (0, 2.0)]
    );
    assert_eq!(search(&[(3, 0.0)]), [(3, 0.0)]);
    assert_eq!(search(&[(9, 1.0)]), []);
    assert_eq!(search(&[]), []);
}

#[test]
fn counts_and_refusals() {
    let mut index = SparseIndex::new();
    assert_eq!(index.push(&[(7, 1.0), (3, 2.0)]), Ok(0));
    assert_eq!(index.push(&[]), Ok(1));
    assert_eq!(
        index.push(&[(3, 1.0), (8, f32::NAN)]),
        Err(SparseError::NotFinite {
            offset: 2,
            token: 8
        })
    );
    assert_eq!(
        index.push(&[(3, 1.0), (8, 1.0), (3, 1.0)]),
        Err(SparseError::DuplicateToken {
            offset: 2,
            token: 3
        })
    );
    assert_eq!(index.push(&[(3, 1.0)]), Ok(2));
    assert_eq!(index.len(), 3);
    assert_eq!(
        [3, 7, 8].map(|token| index.document_frequency(token)),
        [2, 1, 0]
    );
    let mut tokens: Vec<(u32, u32)> = index.tokens().collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [(3, 2), (7, 1)]);
    assert!(index.memory() > 0);
}
