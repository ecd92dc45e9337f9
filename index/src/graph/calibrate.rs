//! Measures the graph: walks for queries whose exact neighbours are known.

use std::sync::PoisonError;

use rayon::prelude::*;

use super::Graph;
use super::calibration::{Calibration, EF_MAX};
use super::trace::{KS, Trace};
use super::walk::{Stop, Walk};
use crate::codes::rerank;
use crate::pool::Pool;
use crate::quantizer::{Prepared, read_row};
use crate::random::Random;
use crate::{Offset, SearchError};

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

/// A query of calibration.
struct Sample {
    query: Vec<f32>,
    /// The row that it is, which the walk passes by as if it were not there, and so it does its duplicates: they would be
    /// found too easily.
    row: Option<Offset>,
}

impl Graph {
    /// Measures on rows of the graph, each looked for as if it were absent: nearly a query of the same kind.
    pub(super) fn calibrate(&mut self, seed: u64) {
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
        let traces: Vec<Trace> = samples
            .par_chunks(TASK)
            .flat_map_iter(|samples| self.trace(samples))
            .collect();
        let built = Calibration::fit(&traces, self.codes.coding().encoding());
        let learned = self
            .learned
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        learned.built = built;
    }

    /// Learns from a query that was asked: finds its exact neighbours and a long walk's course. After 50 of them, efforts
    /// and estimates follow the queries that are asked (the last 256), not the graph's own rows.
    ///
    /// Time of a scan of all codes and a walk of 600 candidates: for the background, on a sample of the queries.
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
        let traces = self.trace(&[sample]);
        let (kept, built): (Vec<Trace>, Calibration) = {
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
        let observed = built.refit(&kept, self.codes.coding().encoding());
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        learned.observed = Some(observed);
        Ok(())
    }

    /// The courses of long walks.
    fn trace(&self, samples: &[Sample]) -> Vec<Trace> {
        let coding = self.codes.coding();
        let prepared: Vec<Prepared> = samples
            .iter()
            .map(|sample| coding.prepare(&sample.query))
            .collect();
        let pools = self.scan_many(&prepared, coding.encoding().rerank(TRUTH).max(TRUTH + 50));
        let most = KS[KS.len() - 1];
        samples
            .iter()
            .zip(&prepared)
            .zip(pools)
            .filter_map(|((sample, prepared), pool)| {
                let absent = self.absent(sample, &pool);
                // Nothing but duplicates.
                if absent.len() + KS[0] > pool.len() {
                    return None;
                }
                let others = pool
                    .iter()
                    .map(|(offset, _)| offset)
                    .filter(|offset| !absent.contains(offset));
                let truth = rerank(
                    self.metric(),
                    &sample.query,
                    TRUTH.min(self.len() - 1),
                    None,
                    others,
                    &*self.rows,
                );
                let mut trace = Trace::new(truth.into_sorted());
                self.with_scratch(|scratch| {
                    prepared.run(Walk {
                        graph: self.view(),
                        stop: Stop {
                            k: most,
                            ef: EF_MAX,
                            gamma: 0.7,
                        },
                        keep: coding.encoding().rerank(most) * 4,
                        scratch,
                        absent: &absent,
                        trace: Some(&mut trace),
                    });
                });
                Some(trace)
            })
            .collect()
    }

    /// The rows among the nearest that have the sample's own code.
    fn absent(&self, sample: &Sample, pool: &Pool) -> Vec<Offset> {
        let Some(row) = sample.row else {
            return Vec::new();
        };
        let codes = self.codes.view();
        pool.iter()
            .map(|(offset, _)| offset)
            .filter(|&offset| offset == row || codes.row(offset) == codes.row(row))
            .collect()
    }
}
