//! Measures the graph: walks for queries whose exact neighbours are known.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use rayon::prelude::*;

use super::calibration::{Calibration, EF_MAX};
use super::trace::{KS, Trace};
use super::walk::{Stop, Walk};
use super::{Graph, IsCancelled};
use crate::codes::{close, rerank, with_close};
use crate::pool::Pool;
use crate::quantizer::{Prepared, read_row};
use crate::random::Random;
use crate::{Encoding, Neighbor, Offset, SearchError, TopK};

/// Rows that serve as queries when a graph is built. The standard error at recall 0.95 is about 0.005 then.
const SAMPLE: usize = 288;
/// Queries of one task.
const TASK: usize = 32;
/// The exact neighbours that are looked for: more than the largest k, so that ties of the last are seen.
const TRUTH: usize = KS[KS.len() - 1] + 28;
/// Below so many rows searches scan anyway.
const ROWS_MIN: usize = 256;
/// Queries that were asked, from which on they replace the sample; and the most that are kept.
const OBSERVED_MIN: u64 = 50;
const OBSERVED_MAX: usize = 256;
/// So many of the nearest by codes that the guard does not vouch for are compared in full to find the exact neighbours of a query that was asked:
/// to compare all rows would read them all from the disk.
const OBSERVED_POOL: usize = 4096;

/// A query of calibration.
struct Sample {
    query: Vec<f32>,
    /// The row that it is, which the walk passes by as if it were not there, and so it does its duplicates: they would be
    /// found too easily.
    row: Option<Offset>,
}

/// What the codes say of it.
struct Scanned<'a> {
    sample: &'a Sample,
    prepared: Prepared,
    /// The nearest by their order.
    pool: Pool,
    /// Those of them that have the sample's own code.
    absent: HashSet<Offset>,
}

impl Scanned<'_> {
    /// The nearest by the order of the codes that are no copies of the sample.
    fn candidates(&self) -> impl Iterator<Item = (Offset, f32)> + Clone {
        self.pool
            .iter()
            .filter(|(offset, _)| !self.absent.contains(offset))
    }

    /// Whether there is hardly anything but copies.
    fn is_empty(&self) -> bool {
        self.absent.len() + KS[0] > self.pool.len()
    }
}

impl Graph {
    /// Measures on rows of the graph, each looked for as if it were absent: nearly a query of the same kind.
    ///
    /// What the codes rank first holds the exact neighbours where the guard vouches for them; of coarse ones all rows are compared, and what scans
    /// of them bring is measured, too.
    pub(super) fn calibrate(&mut self, seed: u64, is_cancelled: IsCancelled<'_>) {
        if self.len() < ROWS_MIN {
            return;
        }
        let samples: Vec<Sample> = Random::new(seed ^ 0xca11)
            .sample(self.len(), SAMPLE)
            .into_iter()
            .filter(|&row| row != self.entry)
            .map(|row| {
                let mut query = vec![0.0; self.dim()];
                read_row(&*self.rows, row, &mut query);
                Sample {
                    query,
                    row: Some(row),
                }
            })
            .collect();
        let encoding = self.codes.coding().encoding();
        // The numbers themselves take as long to scan as the rows do.
        let is_of_all = encoding.is_coarse() || encoding == Encoding::F32;
        let count = if is_of_all {
            with_close(encoding.rerank_of_scan(KS[KS.len() - 1]))
        } else {
            near(encoding)
        };
        let mut scanned: Vec<Scanned<'_>> = samples
            .par_chunks(TASK)
            .flat_map_iter(|samples| self.scanned(samples, count))
            .collect();
        scanned.retain(|scanned| !scanned.is_empty());
        let truths = if is_of_all {
            self.nearest_of_all(&scanned, is_cancelled)
        } else {
            let nearest = scanned.par_iter().map(|of| self.nearest_of_pool(of));
            nearest.collect()
        };
        let traces: Vec<Arc<Trace>> = scanned
            .par_iter()
            .zip(&truths)
            .map(|(of, truth)| Arc::new(self.trace(of, truth.clone())))
            .collect();
        let mut built = Calibration::fit(&traces, encoding);
        if encoding.is_coarse() {
            let recalls = scanned.par_iter().zip(&truths);
            let recalls: Vec<_> = recalls
                .map(|(of, truth)| self.recalls_of_scan(of, truth))
                .collect();
            built = built.with_scans(&recalls);
        }
        let learned = self
            .learned
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        learned.built = built;
    }

    /// Learns from a query that was asked: finds its exact neighbours and a long walk's course. After 50 of them, efforts
    /// and estimates follow the queries that are asked (the last 256), not the graph's own rows.
    ///
    /// The neighbours are exact among what the codes rank first: 256 rows of 8-bit codes, among which they are; of 4-bit and 1-bit codes 4,096, so
    /// recall may look somewhat better than it is.
    ///
    /// Time of a scan of all codes, a walk of 600 candidates, and so many rows read: for the background, on a sample of the queries.
    ///
    /// # Errors
    ///
    /// [`SearchError`] if the query does not fit.
    pub fn observe(&self, query: &[f32]) -> Result<(), SearchError> {
        if query.len() != self.dim() {
            return Err(SearchError::DimMismatch {
                wanted: self.dim(),
                got: query.len(),
            });
        }
        if let Some(component) = query.iter().position(|x| !x.is_finite()) {
            return Err(SearchError::NotFinite { component });
        }
        if self.len() < ROWS_MIN {
            return Ok(());
        }
        let sample = Sample {
            query: query.to_vec(),
            row: None,
        };
        let encoding = self.codes.coding().encoding();
        let count = if encoding.is_coarse() {
            near(encoding).max(OBSERVED_POOL)
        } else {
            near(encoding)
        };
        let scanned = self.scanned(std::slice::from_ref(&sample), count);
        let traces: Vec<Arc<Trace>> = scanned
            .filter(|of| !of.is_empty())
            .map(|of| Arc::new(self.trace(&of, self.nearest_of_pool(&of))))
            .collect();
        let (kept, built): (Vec<Arc<Trace>>, Calibration) = {
            let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
            learned.traces.extend(traces);
            while learned.traces.len() > OBSERVED_MAX {
                learned.traces.pop_front();
            }
            learned.asked += 1;
            // Every tenth time: fitting takes longer than a walk.
            if learned.asked < OBSERVED_MIN || !learned.asked.is_multiple_of(10) {
                return Ok(());
            }
            let kept = learned.traces.iter().cloned().collect();
            (kept, learned.built.clone())
        };
        let observed = built.refit(&kept, encoding);
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        learned.observed = Some(observed);
        Ok(())
    }

    /// What the codes say of the samples.
    fn scanned<'a>(
        &'a self,
        samples: &'a [Sample],
        count: usize,
    ) -> impl Iterator<Item = Scanned<'a>> {
        let coding = self.codes.coding();
        let prepared: Vec<Prepared> = samples
            .iter()
            .map(|sample| coding.prepare(&sample.query))
            .collect();
        let pools = self.scan_many(&prepared, count);
        let scanned = samples.iter().zip(prepared).zip(pools);
        scanned.map(|((sample, prepared), pool)| Scanned {
            sample,
            prepared,
            absent: self.absent(sample, &pool),
            pool,
        })
    }

    /// The rows among the nearest that have the sample's own code.
    fn absent(&self, sample: &Sample, pool: &Pool) -> HashSet<Offset> {
        let Some(row) = sample.row else {
            return HashSet::new();
        };
        let codes = self.codes.view();
        pool.iter()
            .map(|(offset, _)| offset)
            .filter(|&offset| offset == row || codes.row(offset) == codes.row(row))
            .collect()
    }

    /// The course of a long walk.
    fn trace(&self, scanned: &Scanned<'_>, truth: Vec<Neighbor>) -> Trace {
        let most = KS[KS.len() - 1];
        let encoding = self.codes.coding().encoding();
        let absent: Vec<Offset> = scanned.absent.iter().copied().collect();
        let mut trace = Trace::new(truth);
        self.with_scratch(|scratch| {
            scanned.prepared.run(Walk {
                graph: self.view(),
                stop: Stop {
                    k: most,
                    ef: EF_MAX,
                    gamma: 0.7,
                },
                keep: encoding.rerank(most) * 4,
                keeps_far: encoding.is_coarse(),
                scratch,
                absent: &absent,
                trace: Some(&mut trace),
            });
        });
        trace
    }

    /// The exact nearest of what the codes rank first.
    fn nearest_of_pool(&self, scanned: &Scanned<'_>) -> Vec<Neighbor> {
        let candidates = scanned.candidates().map(|(offset, _)| offset);
        let query = &scanned.sample.query;
        let nearest = rerank(self.metric(), query, TRUTH, None, candidates, &*self.rows);
        nearest.into_sorted()
    }

    /// The exact nearest of all rows but the copies of the samples: each row is read once. Whatever it has, if it was cancelled.
    fn nearest_of_all(
        &self,
        scanned: &[Scanned<'_>],
        is_cancelled: IsCancelled<'_>,
    ) -> Vec<Vec<Neighbor>> {
        /// Rows between looks whether it was cancelled.
        const BLOCK: Offset = 1024;
        /// Rows asked for ahead.
        const AHEAD: Offset = 16;
        let (metric, kernel) = (self.metric(), self.metric().kernel());
        let len = self.len() as Offset;
        let empty = || -> Vec<TopK> { scanned.iter().map(|_| TopK::new(TRUTH)).collect() };
        let compare = |mut tops: Vec<TopK>, block: Offset| {
            let rows = block * BLOCK..((block + 1) * BLOCK).min(len);
            for offset in rows.take_while(|offset| offset % BLOCK > 0 || !is_cancelled()) {
                if offset + AHEAD < len {
                    self.rows.announce(offset + AHEAD);
                }
                let row = self.rows.row(offset);
                for (of, top) in scanned.iter().zip(&mut tops) {
                    let distance = metric.of_raw(kernel.bytes(&of.sample.query, row));
                    let is_far = distance > top.limit();
                    if !is_far && !of.absent.contains(&offset) {
                        top.push(offset, distance);
                    }
                }
            }
            tops
        };
        let join = |mut tops: Vec<TopK>, others: Vec<TopK>| {
            for (top, other) in tops.iter_mut().zip(others) {
                for near in other.into_sorted() {
                    top.push(near.offset, near.distance);
                }
            }
            tops
        };
        let blocks = len.div_ceil(BLOCK);
        let parts = 4 * rayon::current_num_threads() as Offset;
        let tops = (0..blocks)
            .into_par_iter()
            .with_min_len(blocks.div_ceil(parts) as usize)
            .fold(empty, compare)
            .reduce(empty, join);
        tops.into_iter().map(TopK::into_sorted).collect()
    }

    /// The recall of a scan, for each of [`KS`].
    fn recalls_of_scan(&self, scanned: &Scanned<'_>, truth: &[Neighbor]) -> [f32; KS.len()] {
        let (metric, kernel) = (self.metric(), self.metric().kernel());
        let encoding = self.codes.coding().encoding();
        KS.map(|k| {
            let Some(last) = truth.get(..k).unwrap_or(truth).last() else {
                return 1.0;
            };
            let wanted = k.min(truth.len());
            let count = close(scanned.candidates(), k, encoding.rerank_of_scan(k));
            let offsets = scanned.candidates().take(count).map(|(offset, _)| offset);
            let found = offsets.filter(|&offset| {
                let row = self.rows.row(offset);
                metric.of_raw(kernel.bytes(&scanned.sample.query, row)) <= last.distance
            });
            found.count().min(wanted) as f32 / wanted as f32
        })
    }
}

/// So many of the nearest by codes that the guard vouches for hold the exact neighbours.
fn near(encoding: Encoding) -> usize {
    encoding.rerank(TRUTH).max(TRUTH + 50)
}
