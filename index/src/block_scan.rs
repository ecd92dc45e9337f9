//! The exact scan of rows that come in blocks: every row is compared, or known to be too far.

use crate::approximation::{Approximation, Probe};
use crate::bitset::Bits;
use crate::distance::{Kernel, SHORT_DIM_MAX};
use crate::{BitSet, Metric, Neighbor, Offset, RowSource, SearchParams, Stats, TopK};

/// A scan of blocks of rows, one after another. What was found in one makes the next cheaper.
///
/// ```
/// use index::{Approximation, BlockScan, Metric, SearchParams, Stats};
///
/// let rows: Vec<f32> = (0..128 * 64).map(|i| (i * i % 101) as f32).collect();
/// let (first, second) = rows.split_at(64 * 64);
/// let approximation = Approximation::of(Metric::L2, 64, second.chunks_exact(64));
/// let mut scan = BlockScan::new(Metric::L2, &rows[100 * 64..101 * 64], &SearchParams::new(3));
/// scan.rows(0, first, None);
/// scan.rows(64, second, approximation.as_ref());
/// let nearest = scan.finish(&mut Stats::default());
/// assert_eq!((nearest[0].offset, nearest[0].distance), (100, 0.0));
/// ```
pub struct BlockScan<'a> {
    metric: Metric,
    kernel: &'static Kernel,
    /// `[dim]`
    query: &'a [f32],
    filter: Option<&'a BitSet>,
    probe: Option<Probe<'a>>,
    /// Blocks until approximations are tried again.
    pause: u32,
    top: TopK,
    stats: Stats,
}

/// The rows of a block.
#[derive(Copy, Clone)]
enum Block<'a> {
    /// One after another.
    Slice(&'a [f32]),
    /// So many of a source, from the block's first on.
    Source(&'a dyn RowSource, usize),
}

impl<'a> BlockScan<'a> {
    /// A scan for the `params.k` nearest of the rows that pass the filter, which may be shorter than the rows: those that it does not cover do not
    /// answer. `query` is `[dim]`, of unit length, as the rows, if the metric is cosine.
    pub fn new(metric: Metric, query: &'a [f32], params: &SearchParams<'a>) -> Self {
        Self {
            metric,
            kernel: metric.kernel(),
            query,
            filter: params.filter,
            probe: None,
            pause: 0,
            top: TopK::within(params.k, params.max_distance),
            stats: Stats::default(),
        }
    }

    /// Scans rows `[n, dim]` at the offsets from `first` on. Time O(m * dim) for the m of them that pass the filter, near memory bandwidth: of
    /// their numbers, or of their approximation if there is one and it tells rows apart.
    ///
    /// # Panics
    ///
    /// If `first` is no multiple of 64, there are more rows than offsets, the rows are not whole, or the approximation is of another metric, `dim`
    /// or number of rows.
    pub fn rows(&mut self, first: Offset, rows: &[f32], approximation: Option<&Approximation>) {
        let dim = self.query.len();
        assert!(
            dim > 0 && rows.len().is_multiple_of(dim),
            "{} values are not whole rows of dim {dim}",
            rows.len()
        );
        self.block(first, rows.len() / dim, Block::Slice(rows), approximation);
    }

    /// As [`Self::rows`], for the `n` rows of a source from `first` on.
    ///
    /// # Panics
    ///
    /// As there, or if the source has not so many.
    pub fn source(
        &mut self,
        first: Offset,
        n: usize,
        rows: &dyn RowSource,
        approximation: Option<&Approximation>,
    ) {
        self.block(first, n, Block::Source(rows, n), approximation);
    }

    /// The nearest rows, nearest first, equal distances by offset. Adds what the scan cost.
    pub fn finish(self, stats: &mut Stats) -> Vec<Neighbor> {
        stats.visited += self.stats.visited;
        stats.distance_calls += self.stats.distance_calls;
        self.top.into_sorted()
    }

    fn block(
        &mut self,
        first: Offset,
        n: usize,
        rows: Block<'_>,
        approximation: Option<&Approximation>,
    ) {
        assert!(first.is_multiple_of(64), "blocks are of whole words");
        assert!(
            n <= (Offset::MAX - first) as usize,
            "{n} rows from {first} on are more than offsets"
        );
        let is_of_these = |of: &Approximation| of.is_of(self.metric, self.query.len(), n);
        assert!(
            approximation.is_none_or(is_of_these),
            "the approximation of other rows"
        );
        // Nothing is near enough.
        if self.top.limit() == f32::NEG_INFINITY {
            return;
        }
        let probe = approximation.and_then(|_| self.take_probe());
        match approximation.zip(probe) {
            Some((approximation, mut probe)) => {
                self.approximate(first, rows, approximation, &mut probe);
                self.probe = Some(probe);
            }
            None => {
                self.pause = self.pause.saturating_sub(1);
                self.compare(first, rows);
            }
        }
    }

    /// The query for approximations, if they may leave rows out.
    fn take_probe(&mut self) -> Option<Probe<'a>> {
        if self.pause > 0 || self.top.limit() == f32::INFINITY {
            return None;
        }
        let probe = self.probe.take();
        probe.or_else(|| Probe::new(self.metric, self.query))
    }

    /// Reads the numbers of those rows only that the approximation does not tell to be too far.
    fn approximate(
        &mut self,
        first: Offset,
        rows: Block<'_>,
        approximation: &Approximation,
        probe: &mut Probe<'_>,
    ) {
        /// Blocks without approximations after one in which they left out too few.
        const PAUSE: u32 = 15;
        let (metric, kernel, query) = (self.metric, self.kernel, self.query);
        let words = self.words(first);
        let among = |word: usize| words.map_or(u64::MAX, |words| word_at(words, word));
        let distance = |row: usize| metric.of_raw(rows.compare(kernel, query, first, row));
        let scanned = approximation.scan(probe, first, among, distance, &mut self.top);
        self.stats.visited += scanned.approximate;
        self.stats.distance_calls += scanned.approximate + scanned.exact;
        // A row that is read after all costs more than one that is read in order.
        if scanned.exact > scanned.approximate / 3 {
            self.pause = PAUSE;
        }
    }

    /// The filter's words from those of `first` on.
    fn words(&self, first: Offset) -> Option<&'a [u64]> {
        let words = self.filter?.words();
        Some(words.get(first as usize / 64..).unwrap_or_default())
    }

    fn compare(&mut self, first: Offset, rows: Block<'_>) {
        let compared = match (rows, self.words(first)) {
            (Block::Slice(rows), None) => self.compare_all(first, rows),
            (Block::Slice(rows), Some(words)) => self.compare_some(first, rows, words),
            (Block::Source(_, n), words) => {
                let among = |word: usize| words.map_or(u64::MAX, |words| word_at(words, word));
                let mut compared = 0;
                for word in 0..n.div_ceil(64) {
                    for row in Bits(among(word)).map(|bit| word * 64 + bit as usize) {
                        if row >= n {
                            break;
                        }
                        let raw = rows.compare(self.kernel, self.query, first, row);
                        self.top
                            .push(first + row as Offset, self.metric.of_raw(raw));
                        compared += 1;
                    }
                }
                compared
            }
        };
        self.stats.visited += compared;
        self.stats.distance_calls += compared;
    }

    /// Compares all rows; returns how many.
    fn compare_all(&mut self, first: Offset, rows: &[f32]) -> u64 {
        /// Rows whose distances are computed before they are looked at: enough to pay for the call, and 1 KiB.
        const BLOCK: usize = 256;
        let dim = self.query.len();
        let mut distances = [0.0; BLOCK];
        for (block_idx, block) in rows.chunks(BLOCK * dim).enumerate() {
            let distances = &mut distances[..block.len() / dim];
            self.distances(block, distances);
            let first = first + (block_idx * BLOCK) as Offset;
            self.top.push_consecutive(first, distances);
        }
        (rows.len() / dim) as u64
    }

    /// Compares the members of the filter; returns how many distances it computed.
    ///
    /// Decides for every 64 rows whether to compare them all and drop some, or to compare the members one by one.
    fn compare_some(&mut self, first: Offset, rows: &[f32], words: &[u64]) -> u64 {
        let dim = self.query.len();
        // From so many members of 64 on, comparing all 64 in one go is faster. Rows of a few components are hardly worth
        // a call each.
        let dense = if dim <= SHORT_DIM_MAX { 12 } else { 32 };
        let mut distances = [0.0; 64];
        let mut compared = 0;
        for (word_idx, (&word, rows)) in words.iter().zip(rows.chunks(64 * dim)).enumerate() {
            let first = first + word_idx as Offset * 64;
            let n = rows.len() / dim;
            // The filter of a growing segment may cover other rows than these.
            let word = if n < 64 { word & ((1 << n) - 1) } else { word };
            if word.count_ones() >= dense {
                self.distances(rows, &mut distances[..n]);
                self.top.push_selected(first, &distances[..n], word);
                compared += n as u64;
            } else {
                for bit in Bits(word) {
                    let row = &rows[bit as usize * dim..(bit as usize + 1) * dim];
                    let raw = self.kernel.one(self.query, row);
                    self.top.push(first + bit, self.metric.of_raw(raw));
                }
                compared += u64::from(word.count_ones());
            }
        }
        compared
    }

    fn distances(&self, rows: &[f32], distances: &mut [f32]) {
        self.kernel.rows(self.query, rows, distances);
        self.metric.of_raws(distances);
    }
}

impl Block<'_> {
    /// The kernel's value of the query with a row of the block.
    fn compare(self, kernel: &Kernel, query: &[f32], first: Offset, row: usize) -> f32 {
        match self {
            Self::Slice(rows) => kernel.one(query, &rows[row * query.len()..][..query.len()]),
            Self::Source(rows, _) => kernel.bytes(query, rows.row(first + row as Offset)),
        }
    }
}

fn word_at(words: &[u64], at: usize) -> u64 {
    words.get(at).copied().unwrap_or(0)
}
