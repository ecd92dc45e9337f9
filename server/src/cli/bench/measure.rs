//! Times queries.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cluster::engine::PointId;
use datasets::truth::Truth;

use super::workload::Workload;
use crate::cli::failure::{Failure, Result};

/// If not every query had its turn after this time (or what was asked for, if that is longer), recall is that of those that had.
const PATIENCE: Duration = Duration::from_secs(60);
/// Queries run by each thread before the clock starts.
const WARM_UP: usize = 20;

/// Something that answers queries of a workload by number.
pub trait Target: Sync {
    /// An answer as it comes, to be understood after the clock has stopped.
    type Raw: Send;

    /// A connection for one thread: a function from the query's number to its answer.
    fn connect(&self) -> impl FnMut(usize) -> Result<Self::Raw>;

    /// The point ids of an answer, best first.
    ///
    /// # Errors
    ///
    /// The answer cannot be understood.
    fn ids(&self, raw: Self::Raw) -> Result<Vec<PointId>>;
}

/// Recall and speed, never one without the other.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Mean recall@k over the different queries that were run.
    pub recall: f64,
    /// Queries a second, of all threads together.
    pub qps: f64,
    /// Microseconds: median, 95 and 99 of 100 queries are at least so fast.
    pub p50_us: f64,
    /// See [`Self::p50_us`].
    pub p95_us: f64,
    /// See [`Self::p50_us`].
    pub p99_us: f64,
    /// Queries timed.
    pub timed: usize,
    /// Different queries that recall is the mean of.
    pub distinct: usize,
}

/// What one thread did.
struct Part<Raw> {
    nanoseconds: Vec<u64>,
    /// The first answer to each query that it ran.
    answers: Vec<(usize, Raw)>,
    ended: Instant,
}

/// Runs all queries on `threads` threads, again and again for at least `seconds`.
///
/// # Errors
///
/// A query fails.
pub fn measure<T: Target>(
    target: &T,
    workload: &Workload,
    truth: &Truth,
    threads: usize,
    seconds: f64,
) -> Result<Measured> {
    let count = workload.queries.nrows();
    let at_least = Duration::from_secs_f64(seconds);
    let at_most = at_least.max(PATIENCE);
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let barrier = Barrier::new(threads + 1);
    let thread = || -> Result<Part<T::Raw>> {
        let mut search = target.connect();
        let warm = (0..WARM_UP).try_for_each(|at| search(at % count).map(drop));
        failed.fetch_or(warm.is_err(), Ordering::Relaxed);
        barrier.wait();
        warm?;
        let started = Instant::now();
        let (mut nanoseconds, mut answers) = (Vec::new(), Vec::new());
        while !failed.load(Ordering::Relaxed) {
            let ticket = next.fetch_add(1, Ordering::Relaxed);
            let elapsed = started.elapsed();
            if (ticket >= count && elapsed >= at_least) || elapsed >= at_most {
                break;
            }
            let from = Instant::now();
            let answer =
                search(ticket % count).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            nanoseconds.push(from.elapsed().as_nanos() as u64);
            if ticket < count {
                answers.push((ticket, answer));
            }
        }
        Ok(Part {
            nanoseconds,
            answers,
            ended: Instant::now(),
        })
    };
    let (seconds, parts) = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
        barrier.wait();
        let started = Instant::now();
        let parts = handles.into_iter().map(|handle| {
            handle
                .join()
                .unwrap_or_else(|_| Err(Failure::new("a thread of the benchmark ended early")))
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let ended = parts.iter().map(|part| part.ended).max().unwrap_or(started);
        Ok::<_, Failure>(((ended - started).as_secs_f64(), parts))
    })?;
    let mut nanoseconds = Vec::new();
    let (mut recall, mut distinct) = (0.0, 0);
    for part in parts {
        nanoseconds.extend(part.nanoseconds);
        for (query_idx, raw) in part.answers {
            recall += workload.recall(truth, query_idx, &target.ids(raw)?);
            distinct += 1;
        }
    }
    nanoseconds.sort_unstable();
    Ok(Measured {
        recall: recall / f64::from(u32::try_from(distinct).unwrap_or(u32::MAX).max(1)),
        qps: nanoseconds.len() as f64 / seconds.max(1e-9),
        p50_us: percentile_us(&nanoseconds, 0.50),
        p95_us: percentile_us(&nanoseconds, 0.95),
        p99_us: percentile_us(&nanoseconds, 0.99),
        timed: nanoseconds.len(),
        distinct,
    })
}

/// The smallest time that a share of all times does not exceed.
fn percentile_us(sorted_ns: &[u64], share: f64) -> f64 {
    let rank = (share * sorted_ns.len() as f64).ceil() as usize;
    sorted_ns
        .get(rank.saturating_sub(1))
        .map_or(0.0, |&ns| ns as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times: Vec<u64> = (1..=100).map(|us| us * 1000).collect();
        for (share, us) in [
            (0.5, 50.0),
            (0.95, 95.0),
            (0.99, 99.0),
            (1.0, 100.0),
            (0.0, 1.0),
        ] {
            assert_eq!(percentile_us(&times, share), us);
        }
        assert_eq!(percentile_us(&[7000], 0.5), 7.0);
        assert_eq!(percentile_us(&[], 0.5), 0.0);
    }
}
