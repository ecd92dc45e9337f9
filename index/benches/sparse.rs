//! Search of inverted lists with word-like frequencies: 10 tokens of a query, weighted as BM25 does.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use index::SparseIndex;

/// Rows of tokens whose frequencies fall as those of words do.
fn rows(n: usize, tokens: usize, mut state: u64) -> Vec<Vec<(u32, f32)>> {
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    // Zipf's law over 50,000 tokens: the logarithm of the rank is uniform.
    let mut row = || {
        let mut row: Vec<(u32, f32)> = (0..tokens)
            .map(|_| (50_000f64.powf(random()) as u32, 0.3 + random() as f32))
            .collect();
        row.sort_by_key(|&(token, _)| token);
        row.dedup_by_key(|(token, _)| *token);
        row
    };
    (0..n).map(|_| row()).collect()
}

fn sparse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sparse");
    group.sample_size(20);
    for n in [5_000, 200_000] {
        let index = SparseIndex::build(rows(n, 100, 1)).unwrap();
        let mut queries = rows(200, 10, 2);
        for (token, weight) in queries.iter_mut().flatten() {
            let frequency = index.document_frequency(*token) as f32;
            *weight = (1.0 + (n as f32 - frequency + 0.5) / (frequency + 0.5)).ln();
        }
        for k in [10, 1000] {
            let mut turn = queries.iter().cycle();
            group.bench_function(format!("{n} rows of 100 tokens, k {k}"), |bencher| {
                bencher.iter(|| index.search(black_box(turn.next().unwrap()), k, None))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, sparse);
criterion_main!(benches);
