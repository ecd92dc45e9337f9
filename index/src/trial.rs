//! Which of two exact structures is faster on the rows at hand: the k-d tree or the scan.

use std::time::Duration;

use crate::kind::check_kd;
use crate::random::Random;
use crate::{
    BuildError, Flat, IndexKind, KD_DIM_MAX, Metric, Offset, Rows, SearchParams, Stats,
    VectorIndex, build,
};

/// What a k-d tree and a scan took for the same queries.
///
/// [`crate::choose`] knows the shape of the rows only, and the worst case of a tree. Where a tree may be faster or slower than that, a few
/// queries on a sample of the rows tell. The clock is the caller's: where it stands still, nothing is learned and nothing changes.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Trial {
    /// The median of the tree's times.
    pub tree: Duration,
    /// The median of the scan's times.
    pub scan: Duration,
    /// How many queries either answered.
    pub queries: usize,
    dim: usize,
    /// Rows that were tried.
    sample: usize,
}

impl Trial {
    /// The most rows that are tried, so that sealing waits some milliseconds at most.
    pub const ROWS_MAX: usize = 20_000;
    /// Queries that are tried.
    pub const QUERIES: usize = 64;

    /// Whether a trial can change what [`crate::choose`] says, if nothing is forced.
    ///
    /// Fewer than 128 rows are scanned in no time; beyond [`KD_DIM_MAX`] components a graph serves L2, and a tree can only
    /// take the place of a scan that is worth it.
    pub fn may_change(metric: Metric, dim: usize, n: usize) -> bool {
        const ROWS_MIN: usize = 128;
        const PROJECTED_ROWS_MIN: usize = 2_000;
        match metric {
            _ if check_kd(metric, dim).is_err() => false,
            _ if dim <= KD_DIM_MAX => n >= ROWS_MIN,
            Metric::L2 => false,
            _ => n >= PROJECTED_ROWS_MIN,
        }
    }

    /// Which of `n` rows to try: all of them, or [`Trial::ROWS_MAX`] evenly spread.
    pub fn sample(n: usize) -> impl Iterator<Item = usize> {
        let count = n.min(Self::ROWS_MAX);
        (0..count).map(move |at| (at as u128 * n as u128 / count as u128) as usize)
    }

    /// Builds both over a sample of the rows, and has each answer [`Trial::QUERIES`] queries, in turns.
    ///
    /// Queries are rows, each moved by a tenth of the way to another one: they lie where rows lie, and on none.
    ///
    /// - `now`: the time since any moment: looked at before and after each search. Queries that take more than 10 ms in all end the trial early.
    ///
    /// # Errors
    ///
    /// As [`build`].
    pub fn run(
        metric: Metric,
        sample: &Rows,
        now: &dyn Fn() -> Duration,
    ) -> Result<Self, BuildError> {
        const LONGEST: Duration = Duration::from_millis(10);
        const QUERIES_MIN: usize = 8;
        let tree = build(IndexKind::KdTree, metric, sample.clone())?;
        let scan = Flat::new(metric, sample.clone());
        let mut times = [Vec::new(), Vec::new()];
        let mut spent = Duration::ZERO;
        let mut random = Random::new(sample.len() as u64);
        while times[0].len() < Self::QUERIES && !sample.is_empty() {
            if times[0].len() >= QUERIES_MIN && spent > LONGEST {
                break;
            }
            let query = query(sample, &mut random);
            let sides: [&dyn VectorIndex; 2] = [&*tree, &scan];
            for (times, side) in times.iter_mut().zip(sides) {
                let goes = [0; 2].map(|_| time(side, &query, now));
                spent += goes[0] + goes[1];
                // Something else may have had the processor in one of them.
                times.push(goes[0].min(goes[1]));
            }
        }
        let queries = times[0].len();
        let [tree, scan] = times.map(|mut times| {
            times.sort_unstable();
            times.get(times.len() / 2).copied().unwrap_or_default()
        });
        Ok(Self {
            tree,
            scan,
            queries,
            dim: sample.dim(),
            sample: sample.len(),
        })
    }

    /// The faster one for `n` rows of which the sample was taken; `prior` unless the other is clearly faster.
    ///
    /// A scan takes twice the time for twice the rows. So does, at worst, a tree over a projection; one that cuts along all components is taken
    /// to grow with the root of the rows. A tree over a projection must be twice as fast as a scan, which needs no memory.
    pub fn choice(&self, prior: IndexKind, n: usize) -> IndexKind {
        const CLEARLY: f64 = 1.2;
        const WORTH_A_PROJECTION: f64 = 2.0;
        if self.tree.is_zero() || self.scan.is_zero() {
            return prior;
        }
        let growth = (n as f64 / self.sample.max(1) as f64).max(1.0);
        let ratio = self.scan.as_secs_f64() / self.tree.as_secs_f64();
        let (speedup, wanted) = if self.dim <= KD_DIM_MAX {
            (ratio * growth.sqrt(), CLEARLY)
        } else {
            (ratio, WORTH_A_PROJECTION)
        };
        match prior {
            IndexKind::Flat if speedup >= wanted => IndexKind::KdTree,
            IndexKind::KdTree if speedup * wanted <= 1.0 => IndexKind::Flat,
            _ => prior,
        }
    }

    /// What was measured, in words; nothing if the clock stood still.
    pub fn words(&self) -> Option<String> {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (tree, scan) = (micros(self.tree), micros(self.scan));
        let Self {
            queries, sample, ..
        } = self;
        (tree > 0.0 && scan > 0.0).then(|| {
            format!("{queries} sample queries over {sample} rows took a k-d tree {tree:.1} us each and a scan {scan:.1} us")
        })
    }
}

/// A row, moved by a tenth of the way to another.
fn query(rows: &Rows, random: &mut Random) -> Vec<f32> {
    let mut pick = || rows.row(random.below(rows.len()) as Offset);
    let (row, other) = (pick(), pick());
    let pairs = row.iter().zip(other);
    pairs.map(|(row, other)| row * 0.9 + other * 0.1).collect()
}

/// What the index takes for the query.
fn time(index: &dyn VectorIndex, query: &[f32], now: &dyn Fn() -> Duration) -> Duration {
    const K: usize = 10;
    let began = now();
    let found = index.search(query, &SearchParams::new(K), &mut Stats::default());
    std::hint::black_box(found.is_ok());
    now().saturating_sub(began)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn rows(dim: usize, n: usize) -> Rows {
        let mut random = Random::new(1);
        Rows::new(dim, (0..dim * n).map(|_| random.signed_unit()).collect())
    }

    /// A trial by a clock that goes on by the next of these steps, over and over, between two looks.
    fn tried(dim: usize, n: usize, steps: &[u64]) -> Trial {
        let (now, looks) = (Cell::new(0), Cell::new(0));
        let clock = || {
            let step = steps[looks.get() % steps.len()];
            looks.set(looks.get() + 1);
            now.set(now.get() + step);
            Duration::from_nanos(now.get())
        };
        Trial::run(Metric::L1, &rows(dim, n), &clock).unwrap()
    }

    fn trial(dim: usize, tree: u64, scan: u64) -> Trial {
        Trial {
            tree: Duration::from_nanos(tree),
            scan: Duration::from_nanos(scan),
            queries: 64,
            dim,
            sample: 20_000,
        }
    }

    #[test]
    fn the_clearly_faster_one_is_kept() {
        let check = |trial: Trial, prior, n, expected| {
            assert_eq!(trial.choice(prior, n), expected, "{trial:?} {n}")
        };
        let (flat, tree) = (IndexKind::Flat, IndexKind::KdTree);
        check(trial(3, 100, 130), flat, 20_000, tree);
        check(trial(3, 100, 110), flat, 20_000, flat);
        check(trial(3, 100, 110), tree, 20_000, tree);
        check(trial(3, 130, 100), tree, 20_000, flat);
        check(trial(3, 110, 100), tree, 20_000, tree);
        // Four times the rows: twice as fast against a scan.
        check(trial(3, 150, 100), flat, 80_000, tree);
        check(trial(12, 100, 190), flat, 80_000, flat);
        check(trial(12, 100, 210), flat, 80_000, tree);
        // A clock that stands still tells nothing.
        check(trial(3, 0, 0), flat, 20_000, flat);
        check(trial(3, 0, 0), tree, 20_000, tree);
        assert_eq!(trial(3, 0, 0).words(), None);
    }

    #[test]
    fn both_answer_in_turns_by_the_clock_that_is_given() {
        // Two looks for each search: two of the tree, two of the scan.
        let slow_tree = tried(3, 500, &[0, 9_000, 0, 7_000, 0, 5_000, 0, 6_000]);
        assert_eq!((slow_tree.queries, slow_tree.sample), (64, 500));
        let micros = [slow_tree.tree, slow_tree.scan].map(|time| time.as_micros());
        assert_eq!(micros, [7, 5]);
        assert_eq!(slow_tree.choice(IndexKind::KdTree, 500), IndexKind::Flat);
        let words = "64 sample queries over 500 rows took a k-d tree 7.0 us each and a scan 5.0 us";
        assert_eq!(slow_tree.words().as_deref(), Some(words));
        let slow = tried(3, 500, &[1_000_000]);
        assert_eq!(slow.queries, 8);
        assert_eq!(
            tried(3, 500, &[0]).choice(IndexKind::Flat, 500),
            IndexKind::Flat
        );
        assert_eq!(tried(9, 0, &[1]).queries, 0);
    }

    #[test]
    fn only_where_it_may_change_something() {
        let check = |metric, dim, n, expected| {
            assert_eq!(
                Trial::may_change(metric, dim, n),
                expected,
                "{metric:?} {dim} {n}"
            );
        };
        check(Metric::L2, 3, 200, true);
        check(Metric::L2, 3, 100, false);
        check(Metric::L2, 9, 1_000_000, false);
        check(Metric::L1, 9, 1_000_000, true);
        check(Metric::L1, 33, 1_000_000, false);
        check(Metric::Cosine, 3, 1_000_000, false);
        let sample: Vec<usize> = Trial::sample(3).collect();
        assert_eq!(sample, [0, 1, 2]);
        let sample: Vec<usize> = Trial::sample(1_000_000).collect();
        assert_eq!(
            (sample.len(), sample[1], sample[19_999]),
            (20_000, 50, 999_950)
        );
    }

    /// Rows on a line in a space of twelve components: any clock sees that.
    #[test]
    fn clusters_are_worth_a_projection() {
        let values = (0..20_000).flat_map(|i| (0..12).map(move |j| (i * (j + 1)) as f32));
        let began = std::time::Instant::now();
        let rows = Rows::new(12, values.collect());
        let trial = Trial::run(Metric::L1, &rows, &|| began.elapsed()).unwrap();
        assert_eq!(
            trial.choice(IndexKind::Flat, 20_000),
            IndexKind::KdTree,
            "{trial:?}"
        );
        assert!(trial.words().unwrap().contains("over 20000 rows"));
    }
}
