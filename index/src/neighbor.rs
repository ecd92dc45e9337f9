//! What a search answers with.

use std::cmp::Ordering;

/// Dense number of a row inside one segment's vector column, counted from 0.
pub type Offset = u32;

/// One row of an answer.
///
/// Ordered by distance, then by offset: the order of every answer.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Neighbor {
    /// Which row.
    pub offset: Offset,
    /// How far: smaller is closer, in the unit of the metric ([`crate::Metric`]). Never NaN or infinite.
    pub distance: f32,
}

impl Neighbor {
    /// A neighbor whose distance is made comparable: NaN and infinity saturate at [`f32::MAX`], -0.0 becomes 0.0.
    ///
    /// Finite rows can have such distances: the square of 1e30 overflows, and two overflows of opposite sign make NaN.
    /// They count as "as far as can be told", so they come last and never disturb the order of the others.
    pub fn new(offset: Offset, distance: f32) -> Self {
        let distance = if distance.is_nan() {
            f32::MAX
        } else {
            distance.clamp(-f32::MAX, f32::MAX) + 0.0
        };
        Self { offset, distance }
    }

    /// A number that sorts as the neighbor does.
    pub(crate) fn to_key(self) -> u64 {
        let bits = self.distance.to_bits();
        let ordered = if bits >> 31 == 1 {
            !bits
        } else {
            bits | 1 << 31
        };
        u64::from(ordered) << 32 | u64::from(self.offset)
    }

    /// The inverse of [`Neighbor::to_key`].
    pub(crate) fn from_key(key: u64) -> Self {
        let ordered = (key >> 32) as u32;
        let bits = if ordered >> 31 == 1 {
            ordered & !(1 << 31)
        } else {
            !ordered
        };
        Self {
            offset: key as u32,
            distance: f32::from_bits(bits),
        }
    }
}

impl Eq for Neighbor {}

impl Ord for Neighbor {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance
            .total_cmp(&other.distance)
            .then(self.offset.cmp(&other.offset))
    }
}

impl PartialOrd for Neighbor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_neighbors_do() {
        let distances = [-f32::MAX, -1.0, -1e-45, 0.0, 1e-45, 0.5, 1.0, f32::MAX];
        let sorted: Vec<Neighbor> = distances
            .iter()
            .flat_map(|&distance| [0, 7, u32::MAX].map(|offset| Neighbor::new(offset, distance)))
            .collect();
        assert!(sorted.is_sorted());
        assert!(sorted.iter().map(|neighbor| neighbor.to_key()).is_sorted());
        for neighbor in sorted {
            assert_eq!(Neighbor::from_key(neighbor.to_key()), neighbor);
        }
    }

    #[test]
    fn distances_saturate() {
        let distance = |raw| Neighbor::new(0, raw).distance;
        assert_eq!(distance(f32::NAN), f32::MAX);
        assert_eq!(distance(-f32::NAN), f32::MAX);
        assert_eq!(distance(f32::INFINITY), f32::MAX);
        assert_eq!(distance(f32::NEG_INFINITY), -f32::MAX);
        assert!(distance(-0.0).is_sign_positive());
    }
}
