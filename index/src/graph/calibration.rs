//! How much effort a recall takes, measured on the graph itself.

use std::collections::HashSet;
use std::sync::Arc;

use super::trace::{KS, Trace};
use crate::Encoding;

/// Points of a curve are at least so far apart in recall.
const APART: f64 = 0.002;
/// Places of the order of neighbours whose distances are remembered.
const PLACES: usize = 10;
/// The share of queries whose neighbours are nearer than what is remembered as usual.
const USUAL: f64 = 0.99;
const EFS: [f64; 20] = [
    1.0, 1.2, 1.5, 1.9, 2.4, 3.0, 3.8, 4.8, 6.0, 7.5, 9.5, 12.0, 15.0, 19.0, 24.0, 30.0, 38.0,
    48.0, 60.0, 80.0,
];
const GAMMAS: [f32; 20] = [
    0.005,
    0.01,
    0.015,
    0.02,
    0.03,
    0.04,
    0.05,
    0.065,
    0.08,
    0.1,
    0.125,
    0.16,
    0.2,
    0.25,
    0.3,
    0.37,
    0.45,
    0.55,
    0.7,
    f32::INFINITY,
];
/// Times as many candidates are compared in full as is usual for the codes.
const RERANKS: [usize; 3] = [1, 2, 4];
/// What it costs to compare a candidate in full, in codes compared.
const RERANK_COST: f64 = 2.0;
/// The longest walk of calibration: what lies beyond is not measured.
pub(super) const EF_MAX: usize = 600;

/// What a walk's end is expected to bring.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Point {
    /// The mean recall@k of the sample.
    pub recall: f32,
    /// Its standard error.
    pub error: f32,
    /// Candidates after which the walk ends.
    pub ef: u32,
    /// How much farther than the k-th best, as a share, a candidate may be for the walk to go on.
    pub gamma: f32,
    /// Candidates compared in full.
    pub rerank: u32,
    /// Codes compared, on average.
    pub compared: f32,
}

/// Curves from effort to recall for one sample of queries, and how far their neighbours were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// Queries of the sample.
    pub(super) queries: u32,
    /// For each of `KS`: points of rising recall and effort.
    pub(super) curves: [Vec<Point>; KS.len()],
    /// The distance that the first, second, .. neighbour of nearly all queries of the sample does not exceed.
    pub(super) usual: Vec<f32>,
    /// For each of `KS`: the mean recall of a scan of the codes, where the guard of the coding does not vouch for it.
    pub(super) scans: Option<[f32; KS.len()]>,
}

impl Calibration {
    /// Fits the curves to walks.
    ///
    /// Of all pairs of `ef` and `gamma` those are kept that bring a recall with the fewest comparisons.
    pub(super) fn fit(traces: &[Arc<Trace>], encoding: Encoding) -> Self {
        Self::of_curves(traces, |k_idx| {
            frontier(measured(traces, k_idx, encoding).collect())
        })
    }

    /// Fits the curves to walks for other queries, of which there are fewer: of a thousand pairs that are tried on a few walks, the best look better
    /// than they are. So only those pairs are measured that these curves have, and, for what no point of them reaches, ends by `ef` alone.
    pub(super) fn refit(&self, traces: &[Arc<Trace>], encoding: Encoding) -> Self {
        let refitted = Self::of_curves(traces, |k_idx| {
            let end = |point: &Point| (point.ef, point.gamma.to_bits(), point.rerank);
            let known: HashSet<_> = self.curves[k_idx].iter().map(end).collect();
            let measured = measured(traces, k_idx, encoding);
            let of_these = measured
                .filter(|point| point.gamma == f32::INFINITY || known.contains(&end(point)));
            frontier(of_these.collect())
        });
        Self {
            scans: self.scans,
            ..refitted
        }
    }

    fn of_curves(traces: &[Arc<Trace>], curve: impl FnMut(usize) -> Vec<Point>) -> Self {
        let usual = (1..=PLACES).map_while(|k| {
            let mut distances: Vec<f32> = traces.iter().filter_map(|t| t.distance(k)).collect();
            distances.sort_unstable_by(f32::total_cmp);
            let at = (distances.len() as f64 * USUAL) as usize;
            distances
                .get(at.min(distances.len().saturating_sub(1)))
                .copied()
        });
        Self {
            queries: traces.len() as u32,
            curves: std::array::from_fn(curve),
            usual: usual.collect(),
            scans: None,
        }
    }

    /// With what scans of the codes bring: `[queries][KS]`, the recall of each.
    pub(super) fn with_scans(self, recalls: &[[f32; KS.len()]]) -> Self {
        let mean = |k_idx: usize| {
            let sum: f32 = recalls.iter().map(|recalls| recalls[k_idx]).sum();
            sum / recalls.len().max(1) as f32
        };
        Self {
            scans: (!recalls.is_empty()).then(|| std::array::from_fn(mean)),
            ..self
        }
    }

    /// Queries that were measured.
    pub fn queries(&self) -> u32 {
        self.queries
    }

    /// The curve for `k` neighbours: that of the smallest measured number not below it, and beyond 100 that of 100, whose efforts are to be
    /// taken in proportion. Rising in recall and effort.
    pub fn curve(&self, k: usize) -> &[Point] {
        &self.curves[k_idx(k)]
    }

    /// The recall@k that a scan of the codes brings, if that was measured: it is where the guard of the coding does not vouch for it.
    pub fn scan(&self, k: usize) -> Option<f32> {
        self.scans.map(|scans| scans[k_idx(k)])
    }

    /// For how many neighbours a walk that looks for `k` has to go on, so that its recall is what [`Self::curve`] says: the distance at which it
    /// ends was measured from the last of so many. From the first alone it would end far too early.
    pub fn walked(k: usize) -> usize {
        KS.into_iter().find(|&measured| k <= measured).unwrap_or(k)
    }

    /// The least effort that should bring `recall`, one standard error of the sample on the safe side; the greatest
    /// measured if none does, `None` if nothing was measured.
    pub fn pick(&self, k: usize, recall: f32) -> Option<Point> {
        let curve = self.curve(k);
        let mut point = *curve
            .iter()
            .find(|point| point.recall - point.error >= recall)
            .or(curve.last())?;
        let scaled = |count: u32| in_proportion(count as usize, k).min(u32::MAX as usize) as u32;
        point.ef = scaled(point.ef);
        point.rerank = scaled(point.rerank);
        Some(point)
    }

    /// What the greatest effort measured brings; `None` if nothing was measured.
    pub fn best(&self, k: usize) -> Option<Point> {
        self.curve(k).last().copied()
    }

    /// What an end of the walk should bring when as many are compared in full as is usual for the codes: the best point that asks for no more;
    /// `None` if none does.
    pub fn estimate(&self, k: usize, ef: usize, gamma: f32, encoding: Encoding) -> Option<f32> {
        let rerank = encoding.rerank(KS[k_idx(k)]);
        let fits = |point: &&Point| {
            in_proportion(point.ef as usize, k) <= ef
                && point.gamma <= gamma
                && point.rerank as usize <= rerank
        };
        let fitting = self.curve(k).iter().rev().find(fits);
        fitting.map(|point| point.recall)
    }

    /// How many candidates are compared in full for `k` neighbours after the walks that were measured, but for those that ask for more.
    pub(super) fn rerank(k: usize, encoding: Encoding) -> usize {
        in_proportion(encoding.rerank(KS[k_idx(k)]), k)
    }

    /// Whether neighbours at such a distance are what the sample saw: a query far from all rows is of another kind, about
    /// which the curves say nothing.
    pub fn is_usual(&self, place: usize, distance: f32) -> bool {
        let place = place.min(self.usual.len().saturating_sub(1));
        self.usual
            .get(place)
            .is_some_and(|&usual| distance <= usual)
    }
}

/// Which of `KS` stands for `k`.
fn k_idx(k: usize) -> usize {
    let not_below = KS.iter().position(|&measured| k <= measured);
    not_below.unwrap_or(KS.len() - 1)
}

/// What was measured for the last of `KS`, for more neighbours.
fn in_proportion(count: usize, k: usize) -> usize {
    let most = KS[KS.len() - 1];
    if k > most {
        count.saturating_mul(k).div_ceil(most)
    } else {
        count
    }
}

/// All points that walks tell of.
fn measured(
    traces: &[Arc<Trace>],
    k_idx: usize,
    encoding: Encoding,
) -> impl Iterator<Item = Point> {
    let rerank = encoding.rerank(KS[k_idx]);
    let grids = RERANKS
        .iter()
        .map(move |times| grid(traces, k_idx, rerank * times));
    grids.flatten()
}

/// The points that bring more than all that take less effort.
fn frontier(mut points: Vec<Point>) -> Vec<Point> {
    let effort = |point: &Point| f64::from(point.compared) + RERANK_COST * f64::from(point.rerank);
    points.sort_by(|a, b| {
        let by_effort = effort(a).total_cmp(&effort(b));
        by_effort.then(b.recall.total_cmp(&a.recall))
    });
    let mut kept: Vec<Point> = Vec::new();
    for point in points {
        let last = kept.last().map_or(-1.0, |last| last.recall);
        if f64::from(point.recall - last) >= APART
            || (point.recall > last && point.recall >= 0.9995)
        {
            kept.push(point);
        }
    }
    kept
}

/// Every pair of `ef` and `gamma` with so many compared in full.
fn grid(traces: &[Arc<Trace>], k_idx: usize, rerank: usize) -> Vec<Point> {
    let k = KS[k_idx];
    let efs = EFS.map(|times| ((k as f64 * times) as usize).min(EF_MAX));
    let cells = efs.len() * GAMMAS.len();
    let (mut sums, mut squares, mut compared) =
        (vec![0.0; cells], vec![0.0; cells], vec![0.0; cells]);
    let mut count = 0.0;
    for trace in traces {
        let (met, wanted) = trace.met(k, rerank);
        if wanted == 0 {
            continue;
        }
        count += 1.0;
        let by_excess = GAMMAS.map(|gamma| trace.end_by_excess(k_idx, gamma));
        for (i, &ef) in efs.iter().enumerate() {
            let by_rank = trace.end_by_rank(ef);
            for (j, &by_excess) in by_excess.iter().enumerate() {
                let end = by_rank.min(by_excess);
                let found = met.partition_point(|&met| met as usize <= end).min(wanted);
                let recall = found as f64 / wanted as f64;
                let cell = i * GAMMAS.len() + j;
                sums[cell] += recall;
                squares[cell] += recall * recall;
                compared[cell] += f64::from(trace.compared(end));
            }
        }
    }
    if count == 0.0 {
        return Vec::new();
    }
    let point = |cell: usize| {
        let mean: f64 = sums[cell] / count;
        let variance = (squares[cell] / count - mean * mean).max(0.0);
        Point {
            recall: mean as f32,
            error: (variance / count).sqrt() as f32,
            ef: efs[cell / GAMMAS.len()] as u32,
            gamma: GAMMAS[cell % GAMMAS.len()],
            rerank: rerank as u32,
            compared: (compared[cell] / count) as f32,
        }
    };
    (0..cells).map(point).collect()
}
