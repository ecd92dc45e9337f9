//! The codes of a segment's rows, and the scan of them with a re-rank of what comes out nearest.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::aligned::Aligned;
use crate::distance::codes::{Simd, prefetch};
use crate::pool::{Pool, ROWS_MAX};
use crate::quantizer::{Coding, Order, OrderJob, Prepared, RowSource, TrainParams, train};
use crate::{BitSet, Metric, Neighbor, Offset, TopK};

/// Codes of rows, one after another, with the coding that made them. Immutable; cloning is cheap.
///
/// ```
/// use index::{Among, Codes, Encoding, Guard, Metric, Rows, TrainParams};
///
/// let values: Vec<f32> = (0..3000).map(|i| (i * i % 101) as f32).collect();
/// let rows = Rows::new(3, values);
/// let params = TrainParams { encoding: Encoding::Sq8, metric: Metric::L2, seed: 1, guard: Guard::Replace };
/// let codes = Codes::build(&rows, &params);
/// let nearest = codes.nearest(rows.row(5), 3, Among::All, &rows);
/// assert_eq!((nearest[0].offset, nearest[0].distance), (5, 0.0));
/// ```
#[derive(Clone)]
pub struct Codes {
    coding: Arc<Coding>,
    bytes: Bytes,
    len: usize,
}

#[derive(Clone)]
enum Bytes {
    Owned(Arc<Aligned<u8>>),
    Shared(Arc<dyn AsRef<[u8]> + Send + Sync>),
}

/// Why bytes are no codes of a coding.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{bytes} bytes are no codes of {len} rows, {row_bytes} bytes each")]
pub struct CodesError {
    /// The bytes given.
    pub bytes: usize,
    /// The rows there should be.
    pub len: usize,
    /// The bytes of each.
    pub row_bytes: usize,
}

/// The rows that may answer.
#[derive(Copy, Clone, Debug)]
pub enum Among<'a> {
    /// All of them.
    All,
    /// The members of a set.
    Set(&'a BitSet),
    /// These, each once.
    List(&'a [Offset]),
}

impl Codes {
    /// Learns a coding from rows and writes their codes, on all threads of the current pool. Time O(n * dim).
    ///
    /// # Panics
    ///
    /// As [`train`].
    pub fn build(rows: &dyn RowSource, params: &TrainParams) -> Self {
        Self::encode(Arc::new(train(rows, params)), rows)
    }

    /// Writes codes of rows with a coding that is there already.
    ///
    /// # Panics
    ///
    /// If the rows have another `dim`, or are more than 2^31.
    pub fn encode(coding: Arc<Coding>, rows: &dyn RowSource) -> Self {
        assert_eq!(rows.dim(), coding.dim(), "a coding of another dim");
        assert!(rows.len() <= ROWS_MAX, "{} rows are too many", rows.len());
        Self {
            bytes: Bytes::Owned(Arc::new(coding.encode_all(rows))),
            len: rows.len(),
            coding,
        }
    }

    /// Codes that someone else keeps, in a memory-mapped file say, best from a multiple of 64 bytes on. Any bytes will do:
    /// damaged ones make bad answers, not bad memory.
    ///
    /// # Errors
    ///
    /// [`CodesError`] if they are not `len` rows.
    pub fn stored(
        coding: Arc<Coding>,
        len: usize,
        bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
    ) -> Result<Self, CodesError> {
        let (got, row_bytes) = ((*bytes).as_ref().len(), coding.row_bytes());
        if len > ROWS_MAX || len.checked_mul(row_bytes) != Some(got) {
            return Err(CodesError {
                bytes: got,
                len,
                row_bytes,
            });
        }
        Ok(Self {
            coding,
            bytes: Bytes::Shared(bytes),
            len,
        })
    }

    /// What made them.
    pub fn coding(&self) -> &Arc<Coding> {
        &self.coding
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All codes, one after another: what a file holds and [`Codes::stored`] takes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Owned(bytes) => bytes.as_slice(),
            Bytes::Shared(bytes) => (**bytes).as_ref(),
        }
    }

    /// All codes, for loops.
    pub(crate) fn view(&self) -> CodesView<'_> {
        CodesView {
            bytes: self.as_bytes(),
            row_bytes: self.coding.row_bytes(),
        }
    }

    /// Returns the `k` nearest of the rows that may answer, nearest first, equal distances by offset.
    ///
    /// Compares the query with all their codes, in blocks at nearly memory bandwidth, and the nearest in full
    /// ([`crate::Encoding::rerank`]). So distances are exact, and which rows answer is as the order of the codes has it.
    ///
    /// - `query`: `[dim]`; of unit length, as the rows, if the metric is cosine.
    /// - `rows`: what the codes were made from.
    /// - Time O(m * dim) for the m rows that may answer.
    ///
    /// # Panics
    ///
    /// If the query, the rows or an offset of a list do not fit; [`Among::Set`] may be shorter.
    pub fn nearest(
        &self,
        query: &[f32],
        k: usize,
        among: Among<'_>,
        rows: &dyn RowSource,
    ) -> Vec<Neighbor> {
        assert_eq!(query.len(), self.coding.dim(), "query of another dim");
        assert_eq!(rows.len(), self.len, "other rows");
        let count = self.coding.encoding().rerank(k).min(self.len);
        let mut pool = Pool::default();
        pool.reset(with_close(count));
        if count > 0 {
            self.scan(&self.coding.prepare(query), among, &mut pool);
        }
        let count = close(pool.iter(), k, count);
        let candidates = pool.iter().map(|(offset, _)| offset).take(count);
        rerank(self.coding.metric(), query, k, None, candidates, rows).into_sorted()
    }

    /// Fills the pool with the nearest codes.
    pub(crate) fn scan(&self, prepared: &Prepared, among: Among<'_>, pool: &mut Pool) {
        let codes = self.view();
        match among {
            Among::All => prepared.run(ScanAll {
                codes,
                first: 0,
                pool,
            }),
            Among::List(offsets) => prepared.run(ScanSome {
                codes,
                offsets: offsets.chunks(SOME),
                pool,
            }),
            Among::Set(set) => scan_set(prepared, codes, set, pool),
        }
        pool.settle();
    }

    /// Fills the pools of many queries: a block of codes that fits the cache is compared with all of them before the next
    /// one is fetched.
    pub(crate) fn scan_for_many(&self, prepared: &[Prepared], pools: &mut [Pool]) {
        /// Bytes of a block.
        const BLOCK_BYTES: usize = 256 << 10;
        let codes = self.view();
        let rows = (BLOCK_BYTES / codes.row_bytes).max(BLOCK);
        for (block_idx, block) in codes.bytes.chunks(rows * codes.row_bytes).enumerate() {
            for (prepared, pool) in prepared.iter().zip(pools.iter_mut()) {
                prepared.run(ScanAll {
                    codes: CodesView {
                        bytes: block,
                        row_bytes: codes.row_bytes,
                    },
                    first: (block_idx * rows) as Offset,
                    pool,
                });
            }
        }
        pools.iter_mut().for_each(Pool::settle);
    }

    /// Bytes held here, the codes included unless they are mapped.
    pub fn memory(&self) -> usize {
        match &self.bytes {
            Bytes::Owned(bytes) => bytes.as_slice().len(),
            Bytes::Shared(_) => 0,
        }
    }
}

impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codes")
            .field("coding", &self.coding)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Codes `[n, row_bytes]`.
#[derive(Copy, Clone)]
pub(crate) struct CodesView<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) row_bytes: usize,
}

impl<'a> CodesView<'a> {
    #[inline(always)]
    pub(crate) fn row(self, offset: Offset) -> &'a [u8] {
        &self.bytes[offset as usize * self.row_bytes..][..self.row_bytes]
    }

    /// Four rows. Written out: the standard library's adapters are not compiled for the caller's instruction set.
    #[inline(always)]
    pub(crate) fn four(self, offsets: &[Offset; 4]) -> [&'a [u8]; 4] {
        [
            self.row(offsets[0]),
            self.row(offsets[1]),
            self.row(offsets[2]),
            self.row(offsets[3]),
        ]
    }
}

/// The `count` nearest codes, by the order of the codes.
pub(crate) fn scan_codes(
    prepared: &Prepared,
    bytes: &[u8],
    row_bytes: usize,
    count: usize,
) -> Vec<Neighbor> {
    let mut pool = Pool::default();
    pool.reset(count);
    let codes = CodesView { bytes, row_bytes };
    prepared.run(ScanAll {
        codes,
        first: 0,
        pool: &mut pool,
    });
    pool.settle();
    pool.iter()
        .map(|(offset, distance)| Neighbor::new(offset, distance))
        .collect()
}

/// The nearest `count` of some rows by the order of the codes.
pub(crate) fn nearest_codes(
    prepared: &Prepared,
    codes: CodesView<'_>,
    offsets: &[Offset],
    count: usize,
) -> Pool {
    let mut pool = Pool::default();
    pool.reset(count);
    prepared.run(ScanSome {
        codes,
        offsets: offsets.chunks(SOME),
        pool: &mut pool,
    });
    pool.settle();
    pool
}

/// How many times as many candidates as usual are compared in full, at most, where codes hardly tell them apart.
const CLOSE_TIMES: usize = 8;
/// So many more than usual, at most: where many are looked for, the last of them are about as far as many others.
const CLOSE_MAX: usize = 8192;

/// So many candidates are kept for [`close`].
pub(crate) fn with_close(rerank: usize) -> usize {
    rerank.saturating_add(rerank.saturating_mul(CLOSE_TIMES - 1).min(CLOSE_MAX))
}

/// How many candidates to compare in full: `rerank`, and those after them that are hardly farther than the `k`-th.
///
/// Where the nearest are all at nearly the same distance, on a shell far from the query, codes order them badly.
///
/// - `candidates`: nearest first.
pub(crate) fn close(
    candidates: impl Iterator<Item = (Offset, f32)> + Clone,
    k: usize,
    rerank: usize,
) -> usize {
    const CLOSE: f32 = 1.03;
    let kth = candidates.clone().nth(k.saturating_sub(1));
    let limit = kth.map_or(f32::INFINITY, |(_, distance)| distance * CLOSE);
    let more = candidates.skip(rerank).take_while(|&(_, d)| d <= limit);
    rerank + more.take(with_close(rerank) - rerank).count()
}

/// Rows whose distances are computed before they are looked at.
const BLOCK: usize = 64;

struct ScanAll<'a> {
    codes: CodesView<'a>,
    /// The offset of the first of these codes.
    first: Offset,
    pool: &'a mut Pool,
}

impl OrderJob for ScanAll<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, O: Order>(self, simd: S, order: O) {
        let Self { codes, first, pool } = self;
        let size = codes.row_bytes;
        let mut distances = [f32::INFINITY; BLOCK];
        for (block_idx, block) in codes.bytes.chunks(BLOCK * size).enumerate() {
            let n = block.len() / size;
            let fours = n / 4;
            for four in 0..fours {
                let rows = &block[four * 4 * size..][..4 * size];
                if size <= FOLLOWED_FROM {
                    let ahead = (block_idx * BLOCK + four * 4) * size + PAGE;
                    prefetch(codes.bytes.get(ahead..ahead + 4 * size).unwrap_or_default());
                }
                let four_rows = [
                    &rows[..size],
                    &rows[size..2 * size],
                    &rows[2 * size..3 * size],
                    &rows[3 * size..],
                ];
                distances[four * 4..four * 4 + 4].copy_from_slice(&order.four(simd, four_rows));
            }
            for i in fours * 4..n {
                distances[i] = order.one(simd, &block[i * size..(i + 1) * size]);
            }
            gather(first + (block_idx * BLOCK) as Offset, &distances[..n], pool);
        }
    }
}

/// Rows of so many bytes are followed by the processor's own prefetching; of shorter ones it loses track.
pub(crate) const FOLLOWED_FROM: usize = 512;
/// How far ahead rows are asked for then.
pub(crate) const PAGE: usize = 4096;

/// Offers the distances of consecutive rows; nearly always none of 16 is near enough.
#[inline(always)]
fn gather(first: Offset, distances: &[f32], pool: &mut Pool) {
    for (group, distances) in distances.chunks(16).enumerate() {
        let limit = pool.gather_limit();
        let near = distances
            .iter()
            .fold(false, |near, &distance| near | (distance < limit));
        if near {
            for (i, &distance) in distances.iter().enumerate() {
                pool.gather(first + (group * 16 + i) as Offset, distance);
            }
        }
    }
}

/// Members of a set or list that are compared in one go.
const SOME: usize = 256;

fn scan_set(prepared: &Prepared, codes: CodesView<'_>, set: &BitSet, pool: &mut Pool) {
    let n = codes.bytes.len() / codes.row_bytes;
    let mut offsets = Vec::with_capacity(set.count().min(n));
    offsets.extend(set.iter().take_while(|&offset| (offset as usize) < n));
    prepared.run(ScanSome {
        codes,
        offsets: offsets.chunks(SOME),
        pool,
    });
}

struct ScanSome<'a, I> {
    codes: CodesView<'a>,
    offsets: I,
    pool: &'a mut Pool,
}

impl<'b, I: Iterator<Item = &'b [Offset]>> OrderJob for ScanSome<'_, I> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, O: Order>(self, simd: S, order: O) {
        /// Rows asked for ahead.
        const AHEAD: usize = 12;
        let Self {
            codes,
            offsets,
            pool,
        } = self;
        for offsets in offsets {
            for &offset in &offsets[..offsets.len().min(AHEAD)] {
                prefetch(codes.row(offset));
            }
            let (fours, rest) = offsets.as_chunks::<4>();
            for (i, four) in fours.iter().enumerate() {
                for &offset in offsets.iter().skip(i * 4 + AHEAD).take(4) {
                    prefetch(codes.row(offset));
                }
                let distances = order.four(simd, codes.four(four));
                for (&offset, distance) in four.iter().zip(distances) {
                    pool.gather(offset, distance);
                }
            }
            for &offset in rest {
                pool.gather(offset, order.one(simd, codes.row(offset)));
            }
        }
    }
}

/// Compares candidates in full.
pub(crate) fn rerank(
    metric: Metric,
    query: &[f32],
    k: usize,
    max_distance: Option<f32>,
    candidates: impl Iterator<Item = Offset> + Clone,
    rows: &dyn RowSource,
) -> TopK {
    /// Rows asked for ahead.
    const AHEAD: usize = 3;
    let kernel = metric.kernel();
    let mut top = TopK::within(k, max_distance);
    candidates.clone().for_each(|offset| rows.announce(offset));
    let mut ahead = candidates.clone();
    for offset in ahead.by_ref().take(AHEAD) {
        prefetch(rows.row(offset));
    }
    for offset in candidates {
        if let Some(next) = ahead.next() {
            prefetch(rows.row(next));
        }
        top.push(offset, metric.of_raw(kernel.bytes(query, rows.row(offset))));
    }
    top
}
