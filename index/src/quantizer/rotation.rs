//! A random rotation: spreads what a few dimensions hold over all of them.

use crate::random::Random;

/// A rotation of the space that follows from a seed; it keeps distances and products.
///
/// Flips signs at random and mixes by the fast Walsh-Hadamard transform, three times ("FJLT", Ailon and Chazelle, STOC
/// 2006). Where `dim` is no power of two, the transform takes the first and then the last components, as many as the
/// largest power of two, so both overlap in the middle.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    seed: u64,
    dim: usize,
    /// 1 or -1: `[ROUNDS, 2, dim]`.
    signs: Vec<f32>,
}

const ROUNDS: usize = 3;

impl Rotation {
    /// The rotation of `dim` components that follows from `seed`.
    pub fn new(seed: u64, dim: usize) -> Self {
        let mut random = Random::new(seed);
        let signs = (0..ROUNDS * 2 * dim)
            .map(|_| if random.next() >> 63 == 0 { 1.0 } else { -1.0 })
            .collect();
        Self { seed, dim, signs }
    }

    /// What it follows from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The vector `[dim]`, rotated. Time O(dim log dim).
    pub fn rotated(&self, vector: &[f32]) -> Vec<f32> {
        let mut rotated = vector.to_vec();
        let part = if self.dim == 0 {
            0
        } else {
            1 << self.dim.ilog2()
        };
        for signs in self.signs.chunks_exact(self.dim.max(1)).enumerate() {
            let (step, signs) = signs;
            for (x, sign) in rotated.iter_mut().zip(signs) {
                *x *= sign;
            }
            let from = if step % 2 == 0 { 0 } else { self.dim - part };
            transform(&mut rotated[from..from + part]);
        }
        rotated
    }
}

/// The Walsh-Hadamard transform of a power of two of values, scaled to keep their length.
fn transform(values: &mut [f32]) {
    let mut half = 1;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (a, b) = pair.split_at_mut(half);
            for (a, b) in a.iter_mut().zip(b) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let scale = 1.0 / (values.len() as f32).sqrt();
    values.iter_mut().for_each(|x| *x *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_products_and_spreads_outliers() {
        for dim in [1, 2, 3, 8, 25, 100, 128, 384, 768] {
            let rotation = Rotation::new(9, dim);
            let mut random = Random::new(4);
            let a: Vec<f32> = (0..dim).map(|_| random.signed_unit()).collect();
            let mut b = vec![0.0; dim];
            b[dim / 2] = 10.0;
            let product =
                |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
            let (ra, rb) = (rotation.rotated(&a), rotation.rotated(&b));
            assert!(
                (product(&a, &b) - product(&ra, &rb)).abs() < 1e-4 * dim as f32,
                "dim {dim}"
            );
            assert!((product(&a, &a) - product(&ra, &ra)).abs() < 1e-4 * dim as f32);
            if dim >= 100 {
                let largest = rb.iter().fold(0f32, |max, x| max.max(x.abs()));
                assert!(largest < 4.0, "dim {dim}: an outlier of 10 stays {largest}");
            }
        }
    }
}
