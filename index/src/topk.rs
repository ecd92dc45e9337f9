//! The k nearest of a stream of candidates.

use std::collections::BinaryHeap;

use crate::bitset::Bits;
use crate::{Neighbor, Offset};

/// Keeps the `k` nearest of the neighbors pushed, and of equal distances those with the smaller offset.
///
/// The answer depends on the candidates only, not on the order in which they come. Space O(min(k, candidates)): nothing
/// is allocated by `k` itself, which may be anything a client wrote.
pub struct TopK {
    k: usize,
    /// Candidates farther than this are refused.
    max_distance: f32,
    /// Keys of the best so far, at most `k`; the worst of them is on top.
    heap: BinaryHeap<u64>,
}

impl TopK {
    /// An empty selection of at most `k`.
    pub fn new(k: usize) -> Self {
        Self::within(k, None)
    }

    /// An empty selection of at most `k` neighbors that are not farther than `max_distance`.
    pub fn within(k: usize, max_distance: Option<f32>) -> Self {
        const CAPACITY: usize = 64;
        let max_distance = max_distance
            .filter(|distance| !distance.is_nan())
            .unwrap_or(f32::INFINITY);
        Self {
            k,
            max_distance,
            heap: BinaryHeap::with_capacity(k.min(CAPACITY)),
        }
    }

    /// Offers a candidate. Time O(log k) if it is taken, O(1) if not.
    pub fn push(&mut self, offset: Offset, distance: f32) {
        let candidate = Neighbor::new(offset, distance);
        if candidate.distance > self.max_distance {
            return;
        }
        let key = candidate.to_key();
        if self.heap.len() < self.k {
            self.heap.push(key);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && key < *worst
        {
            *worst = key;
        }
    }

    /// A distance above which no candidate can be taken any more.
    ///
    /// Refuse by `distance > limit` only: NaN must pass, since [`TopK::push`] gives it a place.
    pub fn limit(&self) -> f32 {
        let limit = match self.heap.peek() {
            Some(&worst) if self.is_full() => Neighbor::from_key(worst).distance,
            _ if self.k == 0 => f32::NEG_INFINITY,
            _ => self.max_distance,
        };
        // Infinity saturates at the largest number, so it is not beyond it.
        if limit == f32::MAX {
            f32::INFINITY
        } else {
            limit
        }
    }

    /// Offers the rows `first`, `first + 1`, .. at these distances.
    pub fn push_consecutive(&mut self, first: Offset, distances: &[f32]) {
        for (word_idx, distances) in distances.chunks(64).enumerate() {
            self.push_selected(
                first.wrapping_add(word_idx as Offset * 64),
                distances,
                u64::MAX,
            );
        }
    }

    /// Offers up to 64 rows `first`, `first + 1`, .. at these distances, of which only those count whose bit is set, low
    /// bit first.
    pub(crate) fn push_selected(&mut self, first: Offset, distances: &[f32], selected: u64) {
        /// So many are compared with the limit at once: nearly always none of them passes.
        const GROUP: usize = 16;
        for (group_idx, group) in distances.chunks(GROUP).enumerate() {
            let limit = self.limit();
            // NaN is not greater than anything, so it counts as near, as it must.
            let all_too_far = group
                .iter()
                .fold(true, |far, &distance| far & (distance > limit));
            if !all_too_far {
                let start = group_idx * GROUP;
                let in_group = if group.len() < GROUP {
                    (1 << group.len()) - 1
                } else {
                    (1 << GROUP) - 1
                };
                for bit in Bits(selected >> start & in_group) {
                    self.push(first + start as Offset + bit, group[bit as usize]);
                }
            }
        }
    }

    /// Whether `k` neighbors are held.
    pub fn is_full(&self) -> bool {
        self.heap.len() >= self.k
    }

    /// The number of neighbors held.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The neighbors held, nearest first, equal distances by offset. Time O(k log k).
    pub fn into_sorted(self) -> Vec<Neighbor> {
        self.heap
            .into_sorted_vec()
            .into_iter()
            .map(Neighbor::from_key)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Distances with many ties and all the odd values.
    fn distances() -> impl Strategy<Value = Vec<f32>> {
        let odd = prop::sample::select(vec![
            f32::NAN,
            -f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            -0.0,
            0.0,
            f32::MAX,
        ]);
        prop::collection::vec(
            prop_oneof![4 => (-3i8..3).prop_map(f32::from), 1 => odd, 2 => any::<f32>()],
            0..200,
        )
    }

    fn bound() -> impl Strategy<Value = Option<f32>> {
        let odd = prop::sample::select(vec![f32::MAX, -f32::MAX, f32::INFINITY, f32::NEG_INFINITY]);
        prop_oneof![2 => Just(None), 2 => (-3f32..3.0).prop_map(Some), 1 => odd.prop_map(Some)]
    }

    proptest! {
        #[test]
        fn equals_sort(distances in distances(), k in prop_oneof![0usize..40, Just(usize::MAX)], bound in bound()) {
            let mut expected: Vec<Neighbor> =
                distances.iter().enumerate().map(|(i, &distance)| Neighbor::new(i as Offset, distance)).collect();
            expected.retain(|neighbor| bound.is_none_or(|bound| neighbor.distance <= bound));
            expected.sort();
            expected.truncate(k);

            let mut forward = TopK::within(k, bound);
            distances.iter().enumerate().for_each(|(i, &distance)| forward.push(i as Offset, distance));
            let mut backward = TopK::within(k, bound);
            distances.iter().enumerate().rev().for_each(|(i, &distance)| backward.push(i as Offset, distance));
            let mut grouped = TopK::within(k, bound);
            grouped.push_consecutive(0, &distances);
            let mut last_group_first = TopK::within(k, bound);
            for (group_idx, group) in distances.chunks(50).enumerate().rev() {
                last_group_first.push_consecutive(group_idx as Offset * 50, group);
            }

            prop_assert_eq!(&forward.into_sorted(), &expected);
            prop_assert_eq!(&backward.into_sorted(), &expected);
            prop_assert_eq!(&grouped.into_sorted(), &expected);
            prop_assert_eq!(&last_group_first.into_sorted(), &expected);
        }
    }

    /// Infinity is as far as the largest number: whoever allows the one, or holds it as the k-th, allows the other.
    #[test]
    fn infinity_is_not_beyond_the_largest_number() {
        let far = [f32::INFINITY; 20];
        let mut bounded = TopK::within(3, Some(f32::MAX));
        bounded.push_consecutive(0, &far);
        assert_eq!(bounded.len(), 3);
        let mut full = TopK::new(1);
        full.push(90, f32::MAX);
        full.push_consecutive(0, &far);
        assert_eq!(full.into_sorted(), [Neighbor::new(0, f32::MAX)]);
    }
}
