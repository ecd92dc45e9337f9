//! Numbers that look random and follow from a seed.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another sequence, for part `part` of the work: parts may be done in any order.
    pub(crate) fn fork(&self, part: u64) -> Self {
        let mut forked = Self(self.0 ^ part.wrapping_add(1).wrapping_mul(0xd6e8_feb8_6659_fd93));
        forked.next();
        Self(forked.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// A number from -1 up to 1.
    #[cfg(test)]
    pub(crate) fn signed_unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// `count` different numbers below `n` in ascending order; all of them if they are not more.
    pub(crate) fn sample(&mut self, n: usize, count: usize) -> Vec<u32> {
        let count = count.min(n);
        let mut chosen = std::collections::BTreeSet::new();
        // Floyd's way: each step adds one number, so it ends after `count` steps.
        for top in n - count..n {
            let pick = self.below(top + 1) as u32;
            if !chosen.insert(pick) {
                chosen.insert(top as u32);
            }
        }
        chosen.into_iter().collect()
    }

    /// Brings values into a random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_different_numbers_and_shuffles_lose_none() {
        let mut random = Random::new(3);
        for (n, count) in [(0, 5), (1, 1), (10, 3), (10, 10), (10, 20), (1000, 999)] {
            let sample = random.sample(n, count);
            assert_eq!(sample.len(), count.min(n));
            assert!(sample.array_windows().all(|[a, b]| a < b));
            assert!(sample.iter().all(|&i| (i as usize) < n));
        }
        let mut values: Vec<u32> = (0..100).collect();
        random.shuffle(&mut values);
        assert!(!values.is_sorted());
        values.sort_unstable();
        assert!(values.into_iter().eq(0..100));
        let units: Vec<f32> = (0..1000).map(|_| random.signed_unit()).collect();
        assert!(units.iter().all(|unit| (-1.0..1.0).contains(unit)));
        assert!(units.iter().sum::<f32>().abs() < 100.0);
    }
}
