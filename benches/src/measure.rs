//! Times: queries on threads, and two sides in turns.

use std::ops::Range;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rustix::time::{ClockId, clock_gettime};

use crate::report::Cell;

/// Queries are repeated for at least so long: shorter times say nothing.
const AT_LEAST: Duration = Duration::from_secs(2);
/// Queries run before the clock starts.
const WARM_UP: usize = 20;

/// How fast queries were answered.
#[derive(Clone, Debug)]
pub struct Speed {
    /// Threads that asked.
    pub threads: usize,
    /// Queries a second, of all threads together.
    pub qps: f64,
    /// Microseconds that 50, 95 and 99 of 100 queries did not exceed.
    pub percentiles_us: [f64; 3],
}

impl Speed {
    /// Heads for [`Self::cells`].
    pub const COLUMNS: [&'static str; 5] = ["threads", "QPS", "p50_us", "p95_us", "p99_us"];

    /// As cells of a row.
    pub fn cells(&self) -> Vec<Cell> {
        let percentiles = self.percentiles_us.map(|us| Cell::Number(us, 0));
        let mut cells = vec![self.threads.into(), Cell::Number(self.qps, 0)];
        cells.extend(percentiles);
        cells
    }
}

/// What one thread asked: nanoseconds per query, the answers, and when it began and ended.
type Asked<T> = (Vec<u64>, Vec<(usize, T)>, [Instant; 2]);

/// Runs `count` queries on `threads` threads, every one at least once and all for two seconds at least. Returns the
/// answers of the first round, in the order of the queries.
///
/// # Errors
///
/// The first query that fails ends it.
pub fn speed<T: Send>(
    count: usize,
    threads: usize,
    search: impl Fn(usize) -> Result<T> + Sync,
) -> Result<(Speed, Vec<T>)> {
    (0..WARM_UP.min(count)).try_for_each(|query_idx| search(query_idx).map(drop))?;
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let barrier = Barrier::new(threads);
    let ask = || -> Result<Asked<T>> {
        let (mut nanoseconds, mut answers) = (Vec::new(), Vec::new());
        barrier.wait();
        let started = Instant::now();
        while !failed.load(Ordering::Relaxed) {
            let ticket = next.fetch_add(1, Ordering::Relaxed);
            if ticket >= count && started.elapsed() >= AT_LEAST {
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
        Ok((nanoseconds, answers, [started, Instant::now()]))
    };
    let parts = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..threads).map(|_| scope.spawn(ask)).collect();
        let ended = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread
                .join()
                .unwrap_or_else(|_| Err(anyhow!("a thread of the benchmark panicked")))
        };
        asking.into_iter().map(ended).collect::<Result<Vec<_>>>()
    })?;
    let started = parts.iter().map(|(_, _, [started, _])| *started).min();
    let ended = parts.iter().map(|(_, _, [_, ended])| *ended).max();
    let seconds = ended
        .zip(started)
        .map_or(0.0, |(ended, started)| (ended - started).as_secs_f64());
    let (mut nanoseconds, mut answers) = (Vec::new(), Vec::new());
    for (times, some, _) in parts {
        nanoseconds.extend(times);
        answers.extend(some);
    }
    nanoseconds.sort_unstable();
    answers.sort_unstable_by_key(|(query_idx, _)| *query_idx);
    let speed = Speed {
        threads,
        qps: nanoseconds.len() as f64 / seconds.max(1e-9),
        percentiles_us: [0.50, 0.95, 0.99].map(|share| percentile_us(&nanoseconds, share)),
    };
    Ok((
        speed,
        answers.into_iter().map(|(_, answer)| answer).collect(),
    ))
}

/// The smallest time that a share of all times does not exceed.
fn percentile_us(sorted_ns: &[u64], share: f64) -> f64 {
    let rank = (share * sorted_ns.len() as f64).ceil() as usize;
    sorted_ns
        .get(rank.saturating_sub(1))
        .map_or(0.0, |&ns| ns as f64 / 1000.0)
}

/// Two sides that did the same work in turns.
#[derive(Clone, Debug)]
pub struct Pairs {
    /// CPU seconds of either side for all the work, one item per pair.
    seconds: Vec<[f64; 2]>,
    work: usize,
}

/// The median of the pairs' ratios.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Ratio {
    /// Speed of the first side over speed of the second.
    pub median: f64,
    /// Where the median lies with 95 % confidence, whatever the distribution.
    pub interval: [f64; 2],
}

/// Lets both sides do items `0..work`, `pairs` times. They take turns within a pair too, `chunk` items each, the one
/// that begins changing: so a machine that drifts hits both alike. Time is CPU time of this thread, on which both sides
/// do all their work: what other programs take in between belongs to neither.
pub fn pairs(
    pairs: usize,
    work: usize,
    chunk: usize,
    mut first: impl FnMut(Range<usize>),
    mut second: impl FnMut(Range<usize>),
) -> Pairs {
    let mut one_pair = |turn: usize| {
        let mut seconds = [0.0; 2];
        for (chunk_idx, start) in (0..work).step_by(chunk.max(1)).enumerate() {
            let items = start..(start + chunk.max(1)).min(work);
            let begins = (turn + chunk_idx) % 2;
            for side in [begins, 1 - begins] {
                let started = thread_cpu_seconds();
                match side {
                    0 => first(items.clone()),
                    _ => second(items.clone()),
                }
                seconds[side] += thread_cpu_seconds() - started;
            }
        }
        seconds
    };
    one_pair(0);
    Pairs {
        seconds: (0..pairs).map(&mut one_pair).collect(),
        work,
    }
}

/// CPU time of this thread.
pub fn thread_cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

impl Pairs {
    /// Lets side 0 and side 1 say what one item cost them, in turns, the one that begins changing; once before it counts.
    ///
    /// # Errors
    ///
    /// The first side that fails ends it.
    pub fn measure(pairs: usize, mut seconds_of: impl FnMut(usize) -> Result<f64>) -> Result<Self> {
        let mut one_pair = |turn: usize| -> Result<[f64; 2]> {
            let mut seconds = [0.0; 2];
            for side in [turn % 2, 1 - turn % 2] {
                seconds[side] = seconds_of(side)?.max(1e-12);
            }
            Ok(seconds)
        };
        one_pair(0)?;
        Ok(Self {
            seconds: (0..pairs).map(one_pair).collect::<Result<_>>()?,
            work: 1,
        })
    }

    /// Items a second of each side, the median over the pairs.
    pub fn rates(&self) -> [f64; 2] {
        [0, 1].map(|side| {
            let mut seconds: Vec<f64> = self.seconds.iter().map(|pair| pair[side]).collect();
            seconds.sort_by(f64::total_cmp);
            self.work as f64 / median(&seconds)
        })
    }

    /// How much faster the first side was.
    pub fn ratio(&self) -> Ratio {
        let mut ratios: Vec<f64> = self
            .seconds
            .iter()
            .map(|[first, second]| second / first)
            .collect();
        ratios.sort_by(f64::total_cmp);
        let outside = median_interval_rank(ratios.len());
        Ratio {
            median: median(&ratios),
            interval: [ratios[outside], ratios[ratios.len() - 1 - outside]],
        }
    }
}

/// The middle of sorted values, which are not empty.
pub fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    } else {
        sorted[middle]
    }
}

/// How many of `n` sorted values lie outside the 95 % interval of their median on each side: the largest `r` with
/// P(B <= r) <= 0.025, or 0. B counts the values below the true median, each there with probability one half.
fn median_interval_rank(n: usize) -> usize {
    let mut probability = 0.5f64.powi(n as i32);
    let mut below = probability;
    let mut rank = 0;
    while below <= 0.025 && rank < n / 2 {
        rank += 1;
        probability *= (n - rank + 1) as f64 / rank as f64;
        below += probability;
    }
    rank.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_is_answered_in_order() {
        let (speed, answers) = speed(100, 2, |query_idx| Ok(query_idx * 2)).unwrap();
        assert_eq!(answers, (0..100).map(|i| i * 2).collect::<Vec<_>>());
        assert!(speed.qps > 50.0);
        let failing = |query_idx| {
            if query_idx == 70 {
                Err(anyhow!("no"))
            } else {
                Ok(())
            }
        };
        assert!(super::speed(100, 2, failing).is_err());
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times: Vec<u64> = (1..=100).map(|us| us * 1000).collect();
        for (share, us) in [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0)] {
            assert_eq!(percentile_us(&times, share), us);
        }
        assert_eq!(percentile_us(&[], 0.5), 0.0);
    }

    #[test]
    fn intervals_of_the_median() {
        // From tables of order statistics: of 15 values the 4th and 12th, of 31 the 10th and 22nd.
        for (n, rank) in [(5, 0), (6, 0), (9, 1), (15, 3), (20, 5), (31, 9)] {
            assert_eq!(median_interval_rank(n), rank, "{n}");
        }
        let pairs = Pairs {
            seconds: (0..15).map(|i| [1.0, f64::from(i)]).collect(),
            work: 30,
        };
        let expected = Ratio {
            median: 7.0,
            interval: [3.0, 11.0],
        };
        assert_eq!(pairs.ratio(), expected);
        assert_eq!(pairs.rates()[0], 30.0);
    }

    #[test]
    fn both_sides_do_all_the_work() {
        let (mut first, mut second) = (vec![0; 25], vec![0; 25]);
        let measured = pairs(
            3,
            25,
            10,
            |items| items.for_each(|i| first[i] += 1),
            |items| items.for_each(|i| second[i] += 1),
        );
        assert_eq!(measured.seconds.len(), 3);
        assert!(
            first.iter().chain(&second).all(|&count| count == 4),
            "{first:?} {second:?}"
        );
    }
}
