//! The nearest candidates of a search, in order.

use crate::Offset;

/// The nearest candidates so far, sorted, each with a mark for "its neighbours were looked at".
///
/// A sorted array: with some hundred entries, moving a few of them beats a heap, and the next candidate to look at and the
/// k-th best are where they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    /// Distance bits, offset and mark: `distance << 32 | offset << 1 | mark`. Distances are not negative, so their bits sort as they do.
    keys: Vec<u64>,
    capacity: usize,
    /// All before it are marked.
    next: usize,
    /// For a large pool that gathers: only nearer candidates are taken.
    bound: f32,
}

/// A larger pool gathers candidates unsorted: each that is moved into place moves all behind it.
const SORTED_MAX: usize = 1024;
/// Memory for more candidates is given back when a search ends.
const KEPT_MAX: usize = 1 << 16;

/// Rows that a pool can name: one bit of the offset is taken by the mark.
pub(crate) const ROWS_MAX: usize = 1 << 31;

impl Pool {
    /// Empties it, for at most `capacity` candidates.
    pub(crate) fn reset(&mut self, capacity: usize) {
        self.keys.clear();
        self.capacity = capacity.max(1);
        self.next = 0;
        self.bound = f32::INFINITY;
    }

    /// Gives back memory that few searches need.
    pub(crate) fn shrink(&mut self) {
        if self.keys.capacity() > KEPT_MAX {
            self.keys = Vec::new();
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The distance at position `at`, infinite if there is none.
    #[inline(always)]
    pub(crate) fn distance(&self, at: usize) -> f32 {
        self.keys
            .get(at)
            .map_or(f32::INFINITY, |&key| distance(key))
    }

    /// Only nearer candidates are taken: the distance of the last one if the pool is full.
    #[inline(always)]
    pub(crate) fn limit(&self) -> f32 {
        if self.keys.len() == self.capacity {
            distance(self.keys[self.capacity - 1])
        } else {
            f32::INFINITY
        }
    }

    /// Takes a candidate in if it is near enough. Each offset is offered once.
    #[inline(always)]
    pub(crate) fn offer(&mut self, offset: Offset, distance: f32) {
        if distance < self.limit() {
            self.insert(key(offset, distance));
        }
    }

    /// As [`Pool::limit`], between calls of [`Pool::gather`].
    #[inline(always)]
    pub(crate) fn gather_limit(&self) -> f32 {
        if self.capacity <= SORTED_MAX {
            self.limit()
        } else {
            self.bound
        }
    }

    /// As [`Pool::offer`], for a scan, which looks at no candidate before all were offered. [`Pool::settle`] ends it. Time O(1) on average for a
    /// large pool, where `offer` takes O(capacity). Of equally far ones the first that come are kept.
    #[inline(always)]
    pub(crate) fn gather(&mut self, offset: Offset, distance: f32) {
        if distance < self.gather_limit() {
            let key = key(offset, distance);
            if self.capacity <= SORTED_MAX {
                self.insert(key);
            } else {
                self.push(key);
            }
        }
    }

    #[inline(never)]
    fn push(&mut self, key: u64) {
        self.keys.push(key);
        if self.keys.len() >= self.capacity.saturating_mul(2) {
            self.cut();
        }
    }

    /// Drops all but the nearest.
    fn cut(&mut self) {
        if self.keys.len() >= self.capacity {
            let (_, &mut last, _) = self.keys.select_nth_unstable(self.capacity - 1);
            self.keys.truncate(self.capacity);
            self.bound = distance(last);
        }
    }

    /// Puts what was gathered in order.
    pub(crate) fn settle(&mut self) {
        if self.capacity > SORTED_MAX {
            self.cut();
            self.keys.sort_unstable();
        }
    }

    #[inline]
    fn insert(&mut self, key: u64) {
        let at = self.keys.partition_point(|&other| other < key);
        if self.keys.len() == self.capacity {
            self.keys.pop();
        }
        self.keys.insert(at, key);
        self.next = self.next.min(at);
    }

    /// The nearest candidate that is not marked: its position and offset.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<(usize, Offset)> {
        while let Some(&key) = self.keys.get(self.next) {
            if key & 1 == 0 {
                return Some((self.next, offset(key)));
            }
            self.next += 1;
        }
        None
    }

    /// Marks the candidate that [`Pool::peek`] named.
    #[inline(always)]
    pub(crate) fn mark(&mut self) {
        self.keys[self.next] |= 1;
        self.next += 1;
    }

    /// The next candidates that are not marked, at most `count`.
    #[inline(always)]
    pub(crate) fn upcoming(&self, count: usize) -> impl Iterator<Item = Offset> + '_ {
        let rest = self.keys.get(self.next..).unwrap_or_default();
        let unmarked = rest.iter().filter(|&&key| key & 1 == 0);
        unmarked.take(count).map(|&key| offset(key))
    }

    /// Offsets and distances, nearest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Offset, f32)> + Clone + '_ {
        self.keys.iter().map(|&key| (offset(key), distance(key)))
    }
}

/// That of a candidate that is not marked.
#[inline(always)]
fn key(offset: Offset, distance: f32) -> u64 {
    u64::from(distance.to_bits()) << 32 | u64::from(offset) << 1
}

#[inline(always)]
fn distance(key: u64) -> f32 {
    f32::from_bits((key >> 32) as u32)
}

#[inline(always)]
fn offset(key: u64) -> Offset {
    (key as u32) >> 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn large_pools_gather_what_they_would_sort() {
        let distance = |offset: u32| (offset.wrapping_mul(2_654_435_761) >> 20) as f32;
        for capacity in [SORTED_MAX + 1, 3 * SORTED_MAX, 20_000, 50_000] {
            let (mut gathered, mut sorted) = (Pool::default(), Vec::new());
            gathered.reset(capacity);
            for offset in 0..30_000 {
                gathered.gather(offset, distance(offset));
                sorted.push((distance(offset), offset));
            }
            gathered.settle();
            sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            sorted.truncate(capacity);
            assert!(gathered.iter().map(|(offset, d)| (d, offset)).eq(sorted));
            gathered.shrink();
            assert!(gathered.keys.capacity() <= KEPT_MAX);
        }
    }

    /// Sorted as they come, each of these would move a hundred thousand others.
    #[test]
    fn large_pools_take_what_comes_in_the_worst_order() {
        let mut pool = Pool::default();
        pool.reset(100_000);
        let began = std::time::Instant::now();
        (0..1_000_000).for_each(|offset| pool.gather(offset, (1_000_000 - offset) as f32));
        pool.settle();
        let seconds = began.elapsed().as_secs_f64();
        assert!(
            pool.iter()
                .map(|(offset, _)| offset)
                .eq((900_000..1_000_000).rev())
        );
        assert!(seconds < 2.0, "{seconds} s");
    }

    proptest! {
        #[test]
        fn keeps_the_nearest_and_visits_each_once(distances in prop::collection::vec(0u8..40, 0..120), capacity in 1usize..30) {
            let mut pool = Pool::default();
            pool.reset(capacity);
            let mut visited = Vec::new();
            for (offset, &distance) in distances.iter().enumerate() {
                pool.offer(offset as Offset, f32::from(distance));
                if offset % 3 == 0 && let Some((at, next)) = pool.peek() {
                    prop_assert_eq!(pool.upcoming(1).next(), Some(next));
                    prop_assert_eq!(pool.distance(at), f32::from(distances[next as usize]));
                    prop_assert!(pool.iter().take(at).all(|(offset, _)| visited.contains(&offset)));
                    pool.mark();
                    visited.push(next);
                }
            }
            let mut expected: Vec<f32> = distances.iter().map(|&d| f32::from(d)).collect();
            expected.sort_by(f32::total_cmp);
            expected.truncate(capacity);
            prop_assert_eq!(pool.iter().map(|(_, d)| d).collect::<Vec<_>>(), expected);
            let mut gathered = Pool::default();
            gathered.reset(capacity);
            distances.iter().enumerate().for_each(|(offset, &d)| gathered.gather(offset as Offset, f32::from(d)));
            gathered.settle();
            prop_assert!(gathered.iter().eq(pool.iter()));
            let count = visited.len();
            visited.sort_unstable();
            visited.dedup();
            prop_assert_eq!(visited.len(), count);
        }
    }
}
