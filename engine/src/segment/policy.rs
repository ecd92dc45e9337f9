//! When to seal the growing segment and what to merge with it: a pure function of sizes.
//!
//! The growing segment is sealed when it is large, or when nothing was written for a while. Sealing takes along every sealed segment that is
//! not much larger than what was gathered so far: sizes then grow geometrically, a row is rewritten O(log n) times, and a collection at rest has few segments.

use std::time::Duration;

/// Rows after which the growing segment is sealed, unless [`crate::Env`] says otherwise: a scan of so many costs well under a millisecond.
pub(crate) const SEAL_ROWS: usize = 20_000;
/// Bytes of vectors after which it is sealed.
pub(crate) const SEAL_BYTES: usize = 64 << 20;
/// Bytes of a vector's rows in one segment from which on they stay in the store's files, unless [`crate::Env`] says otherwise: below, a file
/// more costs more than the copy.
pub(crate) const LINKED_BYTES_MIN: usize = 4 << 20;
/// Rest after which it is sealed, whatever its size.
pub(crate) const SEAL_AGE: Duration = Duration::from_secs(1);
/// A segment that is so old gets its graph although rows still come.
const GRAPH_AGE: Duration = Duration::from_secs(5);
/// A sealed segment joins a merge if it has at most this many times the rows gathered so far.
const MERGE_FACTOR: usize = 3;
/// A sealed segment with a larger share of dead rows is rewritten by itself.
const DEAD_SHARE_MAX: f64 = 0.2;
/// Changes after which the manifest is written, if sealing does not write it: so many are read again at a start, in about 0.2 s.
const SAVE_CHANGES: usize = 20_000;

/// Rows of one segment that no longer takes any.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Size {
    /// Live rows.
    pub live: usize,
    /// All rows.
    pub total: usize,
    /// Whether its structures are built.
    pub sealed: bool,
    /// Whether rows stand in a file that the store has dropped, and so have a second copy.
    pub orphaned: bool,
}

/// The growing segment.
#[derive(Copy, Clone, Debug)]
pub(crate) struct GrowingSize {
    /// Rows, dead ones included.
    pub rows: usize,
    /// How many of them are enough.
    pub rows_max: usize,
    /// Bytes of vectors.
    pub bytes: usize,
    /// How many of them are enough.
    pub bytes_max: usize,
    /// Since the last write.
    pub idle: Duration,
    /// Changes since the manifest was written.
    pub unsaved: usize,
}

impl GrowingSize {
    /// Whether it is sealed without waiting for a rest.
    pub fn is_full(self) -> bool {
        self.rows >= self.rows_max || self.bytes >= self.bytes_max
    }
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Take the growing segment along.
    pub seal: bool,
    /// Positions of the other segments to merge with it.
    pub merge: Vec<usize>,
}

/// The next step, if there is anything to do.
pub(crate) fn plan(segments: &[Size], growing: GrowingSize) -> Option<Plan> {
    let full = growing.is_full();
    let seal = growing.rows > 0 && (full || growing.idle >= SEAL_AGE);
    let mut merge: Vec<usize> = (0..segments.len())
        .filter(|&at| is_due(segments[at]))
        .collect();
    if !seal && merge.is_empty() {
        return None;
    }
    let mut gathered: usize = merge.iter().map(|&at| segments[at].live).sum();
    gathered += if seal { growing.rows } else { 0 };
    // Smallest first: each that joins makes room for the next.
    let mut others: Vec<usize> = (0..segments.len())
        .filter(|at| !merge.contains(at))
        .collect();
    others.sort_by_key(|&at| segments[at].live);
    for at in others {
        if segments[at].live > MERGE_FACTOR * gathered {
            break;
        }
        gathered += segments[at].live;
        merge.push(at);
    }
    merge.sort_unstable();
    Some(Plan { seal, merge })
}

/// What is due of the segment with the fewest live rows, for a disk that has no room for more: it gives back most for what it takes.
pub(crate) fn smallest(segments: &[Size]) -> Option<Plan> {
    let due = (0..segments.len()).filter(|&at| is_due(segments[at]));
    let least = due.min_by_key(|&at| segments[at].live)?;
    Some(Plan {
        seal: false,
        merge: vec![least],
    })
}

/// Leaves out the most expensive merges until the rest fits what is left of the memory budget; `None` if nothing is left to do.
///
/// `costs` are bytes by position. Segments that are in no file yet stay, whatever they cost: their rows leave the heap by it.
pub(crate) fn fit(mut plan: Plan, segments: &[Size], costs: &[u64], left: u64) -> Option<Plan> {
    let mut sum: u64 = plan.merge.iter().map(|&at| costs[at]).sum();
    while sum > left {
        let sealed = plan.merge.iter().filter(|&&at| segments[at].sealed);
        let Some(&most) = sealed.max_by_key(|&&at| costs[at]) else {
            break;
        };
        sum -= costs[most];
        plan.merge.retain(|&at| at != most);
    }
    // A sound segment that is left alone would only be written again, for ever.
    let is_worth_it =
        plan.seal || plan.merge.len() > 1 || plan.merge.iter().any(|&at| is_due(segments[at]));
    is_worth_it.then_some(plan)
}

/// How long to wait until [`plan`] may have something to do without a further write.
pub(crate) fn next_check(growing: GrowingSize) -> Option<Duration> {
    (growing.rows > 0 || growing.unsaved > 0).then(|| SEAL_AGE.saturating_sub(growing.idle))
}

/// Whether a graph is worth building over a segment that has been there for `age`: while rows come fast it would soon be merged with others.
pub(crate) fn graph_due(age: Duration, growing: GrowingSize) -> bool {
    growing.idle >= SEAL_AGE || age >= GRAPH_AGE
}

/// Whether no rows come: work that later ones would undo is worth it.
pub(crate) fn is_quiet(growing: GrowingSize) -> bool {
    growing.rows == 0 || growing.idle >= SEAL_AGE
}

/// Whether the manifest should be written although nothing is to be sealed: many deletes, or a few and then rest.
pub(crate) fn save_due(growing: GrowingSize) -> bool {
    growing.unsaved >= SAVE_CHANGES || growing.unsaved > 0 && growing.idle >= SEAL_AGE
}

fn is_due(size: Size) -> bool {
    let dead = size.total - size.live;
    !size.sealed || size.orphaned || dead as f64 > DEAD_SHARE_MAX * size.total as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(live: usize) -> Size {
        Size {
            live,
            total: live,
            sealed: true,
            orphaned: false,
        }
    }

    fn growing(rows: usize, idle_ms: u64) -> GrowingSize {
        GrowingSize {
            rows,
            rows_max: SEAL_ROWS,
            bytes: rows * 100,
            bytes_max: SEAL_BYTES,
            idle: Duration::from_millis(idle_ms),
            unsaved: rows,
        }
    }

    #[test]
    fn merges_that_do_not_fit_are_left_out() {
        let check = |seal, merge: &[usize], left, expected: Option<&[usize]>| {
            let segments = [
                sealed(100),
                sealed(100),
                Size {
                    sealed: false,
                    ..sealed(100)
                },
            ];
            let merge = merge.to_vec();
            let plan = fit(Plan { seal, merge }, &segments, &[50, 30, 40], left);
            assert_eq!(plan.map(|plan| plan.merge).as_deref(), expected, "{left}");
        };
        check(true, &[0, 1, 2], 120, Some(&[0, 1, 2]));
        check(true, &[0, 1, 2], 119, Some(&[1, 2]));
        // What is in no file stays.
        check(false, &[0, 1, 2], 69, Some(&[2]));
        check(false, &[0, 1, 2], 0, Some(&[2]));
        // The growing segment is sealed, with nothing.
        check(true, &[0, 1], 29, Some(&[]));
        check(false, &[0, 1], 80, Some(&[0, 1]));
        // A sound one by itself is not written again.
        check(false, &[0, 1], 79, None);
        check(false, &[0, 1], 29, None);
    }

    #[test]
    fn the_smallest_step_is_one_segment_that_is_due() {
        let orphaned = |live| Size {
            orphaned: true,
            ..sealed(live)
        };
        let check = |segments: &[Size], expected: Option<usize>| {
            let merge = smallest(segments).map(|plan| plan.merge);
            assert_eq!(merge, expected.map(|at| vec![at]), "{segments:?}");
        };
        check(&[], None);
        check(&[sealed(10)], None);
        check(&[orphaned(500), sealed(10), orphaned(100)], Some(2));
    }

    #[test]
    fn graphs_wait_for_a_rest_or_some_age() {
        let check = |age_ms, idle_ms, expected| {
            let age = Duration::from_millis(age_ms);
            assert_eq!(graph_due(age, growing(10, idle_ms)), expected);
        };
        check(0, 1000, true);
        check(4999, 999, false);
        check(5000, 0, true);
    }

    #[test]
    fn plans() {
        let check = |segments: &[Size], growing, expected: Option<(bool, &[usize])>| {
            let expected = expected.map(|(seal, merge)| Plan {
                seal,
                merge: merge.to_vec(),
            });
            assert_eq!(
                plan(segments, growing),
                expected,
                "{segments:?} {growing:?}"
            );
        };
        // Nothing to do.
        check(&[], growing(0, 9000), None);
        check(&[sealed(100)], growing(0, 9000), None);
        check(&[], growing(10, 0), None);
        // At rest, or full.
        check(&[], growing(10, 1000), Some((true, &[])));
        check(&[], growing(SEAL_ROWS, 0), Some((true, &[])));
        // Small segments join, large ones do not.
        check(&[sealed(1000)], growing(10, 1000), Some((true, &[])));
        check(&[sealed(30)], growing(10, 1000), Some((true, &[0])));
        check(
            &[sealed(120), sealed(30)],
            growing(10, 1000),
            Some((true, &[0, 1])),
        );
        check(
            &[sealed(121), sealed(30)],
            growing(10, 1000),
            Some((true, &[1])),
        );
        check(
            &[sealed(500), sealed(30)],
            growing(10, 1000),
            Some((true, &[1])),
        );
        // Unbuilt and delete-heavy segments are rewritten.
        check(
            &[Size {
                live: 79,
                total: 100,
                sealed: true,
                orphaned: false,
            }],
            growing(0, 0),
            Some((false, &[0])),
        );
        check(
            &[Size {
                live: 80,
                total: 100,
                sealed: true,
                orphaned: false,
            }],
            growing(0, 0),
            None,
        );
        check(
            &[Size {
                live: 9,
                total: 9,
                sealed: false,
                orphaned: false,
            }],
            growing(5, 0),
            Some((false, &[0])),
        );
        check(
            &[Size {
                live: 0,
                total: 9,
                sealed: true,
                orphaned: false,
            }],
            growing(0, 0),
            Some((false, &[0])),
        );
        // One that keeps a file of the store alive leaves it.
        let orphaned = Size {
            orphaned: true,
            ..sealed(500)
        };
        check(
            &[sealed(9000), orphaned],
            growing(0, 0),
            Some((false, &[1])),
        );
    }

    /// The segment that is due costs too much: nothing is done, and not the sound one beside it again and again.
    #[test]
    fn what_is_left_of_a_plan_comes_to_rest() {
        let due = Size {
            live: 100_000,
            total: 200_000,
            sealed: true,
            orphaned: false,
        };
        let mut segments = vec![due, sealed(29_000), sealed(10_000)];
        let mut steps = 0;
        loop {
            let costs: Vec<u64> = segments.iter().map(|size| size.total as u64).collect();
            let planned = plan(&segments, growing(0, 9000)).expect("one is due");
            assert!(planned.merge.contains(&0));
            let Some(fitting) = fit(planned, &segments, &costs, 150_000) else {
                break;
            };
            let live = fitting.merge.iter().map(|&at| segments[at].live).sum();
            segments = (0..segments.len())
                .filter(|at| !fitting.merge.contains(at))
                .map(|at| segments[at])
                .collect();
            segments.push(sealed(live));
            steps += 1;
            assert!(steps < 5, "{segments:?}");
        }
        assert_eq!(segments.len(), 2);
    }

    #[test]
    fn deletes_alone_bring_a_manifest() {
        let check = |unsaved, idle_ms, expected| {
            let size = GrowingSize {
                unsaved,
                ..growing(0, idle_ms)
            };
            assert_eq!(save_due(size), expected, "{size:?}");
            assert_eq!(next_check(size).is_some(), unsaved > 0);
        };
        check(0, 5000, false);
        check(1, 999, false);
        check(1, 1000, true);
        check(SAVE_CHANGES, 0, true);
    }

    #[test]
    fn a_growing_collection_keeps_few_segments_and_rewrites_little() {
        let mut segments: Vec<Size> = Vec::new();
        let mut written = 0;
        let steps = 1000;
        for _ in 0..steps {
            let plan = plan(&segments, growing(SEAL_ROWS, 0)).unwrap();
            let merged: usize = plan
                .merge
                .iter()
                .map(|&at| segments[at].live)
                .sum::<usize>()
                + SEAL_ROWS;
            segments = (0..segments.len())
                .filter(|at| !plan.merge.contains(at))
                .map(|at| segments[at])
                .collect();
            segments.push(sealed(merged));
            written += merged;
            assert!(segments.len() <= 6, "{} segments", segments.len());
        }
        let amplification = written as f64 / (steps * SEAL_ROWS) as f64;
        assert!(
            amplification < 12.0,
            "each row was written {amplification} times"
        );
    }
}
