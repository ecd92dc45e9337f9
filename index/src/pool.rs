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
}

/// Rows that a pool can name: one bit of the offset is taken by the mark.
pub(crate) const ROWS_MAX: usize = 1 << 31;

impl Pool {
    /// Empties it, for at most `capacity` candidates.
    pub(crate) fn reset(&mut self, capacity: usize) {
        self.keys.clear();
        self.capacity = capacity.max(1);
        self.next = 0;
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
            self.insert(u64::from(distance.to_bits()) << 32 | u64::from(offset) << 1);
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
            let count = visited.len();
            visited.sort_unstable();
            visited.dedup();
            prop_assert_eq!(visited.len(), count);
        }
    }
}
