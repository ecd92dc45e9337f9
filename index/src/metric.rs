//! How far apart two vectors are.

use std::fmt;
use std::str::FromStr;

use crate::Neighbor;
use crate::distance::{Kernel, kernels};

/// A measure of distance: smaller is closer.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// `1 - a.b` of vectors of unit length: 0 is the same direction, 1 a right angle, 2 the opposite.
    ///
    /// Rows and queries are brought to unit length once, with [`normalize`], before they come here.
    Cosine,
    /// `-a.b`: the larger the product, the closer.
    Dot,
    /// The *squared* Euclidean distance: the order is the same, the root is left to whoever shows it.
    L2,
    /// The sum of absolute differences (Manhattan).
    L1,
    /// The largest absolute difference (Chebyshev).
    LInf,
}

impl Metric {
    /// `cosine`, `dot`, `l2`, `l1` or `linf`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::L2 => "l2",
            Self::L1 => "l1",
            Self::LInf => "linf",
        }
    }

    /// The distance of two vectors of equal length, with the bits that any search of this crate would answer.
    ///
    /// - `a`, `b`: `[dim]`, of unit length for [`Metric::Cosine`].
    /// - Never NaN or infinite, see [`Neighbor::new`].
    /// - Time O(dim).
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn distance(self, a: &[f32], b: &[f32]) -> f32 {
        Neighbor::new(0, self.of_raw(self.kernel().one(a, b))).distance
    }

    /// Whether rows and queries must be of unit length.
    pub fn normalizes(self) -> bool {
        self == Self::Cosine
    }

    /// The kernel whose values [`Metric::of_raw`] turns into distances.
    pub(crate) fn kernel(self) -> &'static Kernel {
        let kernels = kernels();
        match self {
            Self::Cosine | Self::Dot => &kernels.dot,
            Self::L2 => &kernels.l2,
            Self::L1 => &kernels.l1,
            Self::LInf => &kernels.linf,
        }
    }

    /// Turns a kernel's value into a distance.
    pub(crate) fn of_raw(self, raw: f32) -> f32 {
        match self {
            Self::Cosine => 1.0 - raw,
            Self::Dot => -raw,
            Self::L2 | Self::L1 | Self::LInf => raw,
        }
    }

    /// [`Metric::of_raw`] for many values, in place.
    pub(crate) fn of_raws(self, raws: &mut [f32]) {
        match self {
            Self::Cosine => raws.iter_mut().for_each(|raw| *raw = 1.0 - *raw),
            Self::Dot => raws.iter_mut().for_each(|raw| *raw = -*raw),
            Self::L2 | Self::L1 | Self::LInf => {}
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no [`Metric`] has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no metric `{0}`; ask for cosine, dot, l2, l1 or linf")]
pub struct UnknownMetric(pub String);

impl FromStr for Metric {
    type Err = UnknownMetric;

    /// Reads what [`Metric::name`] writes.
    fn from_str(name: &str) -> Result<Self, UnknownMetric> {
        [Self::Cosine, Self::Dot, Self::L2, Self::L1, Self::LInf]
            .into_iter()
            .find(|metric| metric.name() == name)
            .ok_or_else(|| UnknownMetric(name.to_owned()))
    }
}

/// Brings a vector to unit length, in place.
///
/// A zero vector stays zero (its cosine distance to everything is 1), and one with NaN or infinity stays as it is. The
/// length is computed in `f64`, where the square of any `f32` neither overflows nor vanishes.
pub fn normalize(v: &mut [f32]) {
    let length = v
        .iter()
        .map(|&x| f64::from(x) * f64::from(x))
        .sum::<f64>()
        .sqrt();
    if length > 0.0 && length.is_finite() {
        v.iter_mut()
            .for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_by_hand() {
        let (a, b) = ([1.0, 2.0, 2.0], [4.0, -2.0, 2.0]);
        assert_eq!(Metric::L2.distance(&a, &b), 25.0);
        assert_eq!(Metric::L1.distance(&a, &b), 7.0);
        assert_eq!(Metric::LInf.distance(&a, &b), 4.0);
        assert_eq!(Metric::Dot.distance(&a, &b), -4.0);
        assert_eq!(Metric::Cosine.distance(&[0.6, 0.8], &[0.8, -0.6]), 1.0);
        assert_eq!(Metric::L2.distance(&[1e30], &[-1e30]), f32::MAX);
        assert_eq!(
            Metric::Dot.distance(&[1e30, 1e30], &[1e30, -1e30]),
            f32::MAX
        );
        assert_eq!(Metric::L2.distance(&[], &[]), 0.0);
    }

    #[test]
    fn unit_length_of_anything() {
        let check = |v: &[f32]| {
            let mut unit = v.to_vec();
            normalize(&mut unit);
            let length = unit
                .iter()
                .map(|&x| f64::from(x).powi(2))
                .sum::<f64>()
                .sqrt();
            assert!(
                (length - 1.0).abs() < 1e-6,
                "{v:?} became {unit:?} of length {length}"
            );
        };
        check(&[3.0, 4.0]);
        check(&[f32::MAX; 5]);
        check(&[1e-40, -1e-45, 3e-42]);
        check(&[f32::MAX, 1e-45]);
        check(&[0.0, 0.0, -7.0]);

        let mut zero = [0.0; 3];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 3]);
        let mut infinite = [1.0, f32::INFINITY];
        normalize(&mut infinite);
        assert_eq!(infinite, [1.0, f32::INFINITY]);
    }
}
