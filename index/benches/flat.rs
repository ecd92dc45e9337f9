//! How near to memory bandwidth a scan of `f32` rows runs.
//!
//! Every set of rows is 256 MiB, far more than any cache. `read` only reads so many bytes: the throughput of the others
//! over its throughput is the share of the bandwidth that a scan uses. One with approximations reads fewer bytes for the same rows: its throughput
//! is that of the rows.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use index::{Approximation, BlockScan, Metric, Offset, SearchParams, Stats, scan};

const BYTES: usize = 256 << 20;
/// Rows that share an approximation.
const BLOCK: usize = 1024;

fn noise(len: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 24) as f32
    };
    (0..len).map(|_| next()).collect()
}

/// Touches every value as cheaply as can be.
fn read(values: &[f32]) -> u32 {
    let mut lanes = [0u32; 64];
    for chunk in values.as_chunks::<64>().0 {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane |= value.to_bits();
        }
    }
    lanes.iter().fold(0, |all, lane| all | lane)
}

fn flat(criterion: &mut Criterion) {
    let values = noise(BYTES / size_of::<f32>());
    let mut group = criterion.benchmark_group("flat");
    group
        .sample_size(10)
        .throughput(Throughput::Bytes(BYTES as u64));
    group.bench_function("read", |bencher| bencher.iter(|| read(black_box(&values))));
    for metric in [Metric::L2, Metric::Dot, Metric::L1, Metric::LInf] {
        for dim in [3, 128, 384, 784] {
            let n = values.len() / dim;
            let (rows, query) = (&values[..n * dim], &values[7..7 + dim]);
            group.bench_function(format!("{metric:?}, {n} rows of dim {dim}"), |bencher| {
                bencher.iter(|| {
                    scan(
                        metric,
                        black_box(query),
                        rows,
                        dim,
                        &SearchParams::new(10),
                        &mut Stats::default(),
                    )
                })
            });
        }
    }
    for metric in [Metric::L2, Metric::Dot] {
        for dim in [64, 128, 384, 784] {
            let n = values.len() / dim;
            let (rows, query) = (&values[..n * dim], &values[7..7 + dim]);
            let blocks: Vec<_> = rows.chunks(BLOCK * dim).collect();
            let approximate =
                |block: &&[f32]| Approximation::of(metric, dim, block.chunks_exact(dim));
            let approximations: Vec<_> = blocks.iter().map(approximate).collect();
            let name = format!("{metric:?}, {n} rows of dim {dim}, approximations first");
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let mut scan = BlockScan::new(metric, black_box(query), &SearchParams::new(10));
                    for (at, (block, made)) in blocks.iter().zip(&approximations).enumerate() {
                        scan.rows((at * BLOCK) as Offset, block, made.as_ref());
                    }
                    scan.finish(&mut Stats::default())
                })
            });
        }
    }
    group.finish();
}

criterion_group!(benches, flat);
criterion_main!(benches);
