//! Vectors from a seed, hard in different ways. A seed means the same vectors for ever, on every machine.

use ndarray::Array2;

use crate::random::Random;

/// How the vectors lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Every number by itself in `[0, 1)`: no structure, the hardest for an index.
    Uniform,
    /// Around `clusters` centres that lie uniformly in `[0, 1)`, each number `spread` away in the mean (standard deviation).
    Clusters {
        /// Count of centres, at least 1.
        clusters: u32,
        /// Standard deviation around a centre.
        spread: f32,
    },
    /// On a curved surface of `latent` dimensions, of unit length: what real embeddings are like. Two random layers
    /// with a soft bend between them, and a little noise.
    Manifold {
        /// Dimensions of the surface, at least 1; 24 is like sentence embeddings.
        latent: u32,
    },
    /// Copies of `distinct` uniform vectors: ties everywhere.
    Duplicates {
        /// Count of different vectors, at least 1.
        distinct: u32,
    },
}

/// A seeded source of base vectors and queries from one distribution.
///
/// Row `i` depends on the seed, shape, dim and `i` only: a smaller set is the beginning of a larger one.
///
/// ```
/// use datasets::synthetic::{Shape, Synthetic};
///
/// let set = Synthetic::new(Shape::Manifold { latent: 24 }, 128, 7);
/// assert_eq!(set.base(1000).dim(), (1000, 128));
/// assert_eq!(set.base(10), set.base(1000).slice(ndarray::s![..10, ..]));
/// ```
#[derive(Debug, Clone)]
pub struct Synthetic {
    shape: Shape,
    dim: usize,
    seed: u64,
    /// Centres `[clusters, dim]`, or the two layers of a manifold: `[hidden, latent]` and `[dim, hidden]`.
    fixed: Vec<Vec<f32>>,
}

/// Streams of random numbers: one for each kind of row.
const FIXED: u64 = 0;
const BASE: u64 = 1;
const QUERIES: u64 = 2;
const DISTINCT: u64 = 3;

impl Synthetic {
    /// # Panics
    ///
    /// If a count in `shape` is 0.
    pub fn new(shape: Shape, dim: usize, seed: u64) -> Synthetic {
        let mut random = Random::of_stream(seed, FIXED, 0);
        let fixed = match shape {
            Shape::Uniform => Vec::new(),
            Shape::Clusters { clusters, .. } => {
                assert!(clusters > 0, "no vector lies around 0 centres");
                (0..clusters)
                    .map(|_| (0..dim).map(|_| random.unit()).collect())
                    .collect()
            }
            Shape::Manifold { latent } => {
                assert!(latent > 0, "a surface has at least 1 dimension");
                let hidden = 2 * latent as usize;
                vec![
                    layer(&mut random, hidden, latent as usize),
                    layer(&mut random, dim, hidden),
                ]
            }
            Shape::Duplicates { distinct } => {
                assert!(distinct > 0, "no vector is a copy of none");
                Vec::new()
            }
        };
        Synthetic {
            shape,
            dim,
            seed,
            fixed,
        }
    }

    /// The first `rows` base vectors, `[rows, dim]`.
    pub fn base(&self, rows: usize) -> Array2<f32> {
        self.matrix(BASE, rows)
    }

    /// The first `rows` queries, `[rows, dim]`: from the same distribution, independent of the base vectors.
    pub fn queries(&self, rows: usize) -> Array2<f32> {
        self.matrix(QUERIES, rows)
    }

    fn matrix(&self, stream: u64, rows: usize) -> Array2<f32> {
        let mut numbers = Vec::with_capacity(rows * self.dim);
        (0..rows).for_each(|idx| {
            self.push_row(
                Random::of_stream(self.seed, stream, idx as u64),
                &mut numbers,
            )
        });
        Array2::from_shape_vec((rows, self.dim), numbers).expect("every row has dim numbers")
    }

    fn push_row(&self, mut random: Random, numbers: &mut Vec<f32>) {
        match self.shape {
            Shape::Uniform => numbers.extend((0..self.dim).map(|_| random.unit())),
            Shape::Clusters { spread, .. } => {
                let centre = random.pick(&self.fixed);
                numbers.extend(centre.iter().map(|x| x + spread * random.normal()));
            }
            Shape::Manifold { latent } => {
                let point: Vec<f32> = (0..latent).map(|_| random.normal()).collect();
                let hidden: Vec<f32> = apply(&self.fixed[0], &point)
                    .map(|x| bend(2.0 * x))
                    .collect();
                let start = numbers.len();
                numbers.extend(apply(&self.fixed[1], &hidden).map(|x| x + 0.01 * random.normal()));
                to_unit_length(&mut numbers[start..]);
            }
            Shape::Duplicates { distinct } => {
                let idx = random.below(u64::from(distinct));
                let mut random = Random::of_stream(self.seed, DISTINCT, idx);
                numbers.extend((0..self.dim).map(|_| random.unit()));
            }
        }
    }
}

/// A random `[rows, columns]` matrix that keeps the variance of what it is applied to.
fn layer(random: &mut Random, rows: usize, columns: usize) -> Vec<f32> {
    let scale = 1.0 / (columns as f32).sqrt();
    (0..rows * columns)
        .map(|_| scale * random.normal())
        .collect()
}

fn apply<'a>(layer: &'a [f32], point: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    layer
        .chunks_exact(point.len())
        .map(move |weights| weights.iter().zip(point).map(|(w, x)| w * x).sum())
}

/// Bends like a hyperbolic tangent, with operations that are exactly rounded everywhere.
fn bend(x: f32) -> f32 {
    x / (1.0 + x.abs())
}

fn to_unit_length(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bits of the first and last number of base and queries: they must never change.
    fn check(shape: Shape, expected: [u32; 4]) {
        let set = Synthetic::new(shape, 16, 42);
        let (base, queries) = (set.base(100), set.queries(10));
        let got = [
            base[[0, 0]],
            base[[99, 15]],
            queries[[0, 0]],
            queries[[9, 15]],
        ]
        .map(f32::to_bits);
        assert_eq!(got, expected, "{shape:?}");
        assert_eq!(set.base(5), base.slice(ndarray::s![..5, ..]), "{shape:?}");
    }

    #[test]
    fn golden() {
        check(
            Shape::Uniform,
            [1_044_063_376, 1_041_680_088, 1_042_904_704, 1_065_324_665],
        );
        check(
            Shape::Clusters {
                clusters: 8,
                spread: 0.05,
            },
            [1_063_687_155, 1_039_170_184, 1_064_252_851, 1_057_091_764],
        );
        check(
            Shape::Manifold { latent: 4 },
            [1_045_755_793, 3_204_303_642, 3_198_218_126, 1_057_537_204],
        );
        check(
            Shape::Duplicates { distinct: 7 },
            [1_050_005_536, 1_042_849_548, 1_050_005_536, 1_054_437_704],
        );
    }

    #[test]
    fn shapes() {
        let manifold = Synthetic::new(Shape::Manifold { latent: 24 }, 128, 1).base(50);
        assert!(
            manifold
                .rows()
                .into_iter()
                .all(|row| (row.dot(&row) - 1.0).abs() < 1e-5)
        );
        let duplicates = Synthetic::new(Shape::Duplicates { distinct: 7 }, 8, 1).base(500);
        let mut rows: Vec<Vec<u32>> = duplicates
            .rows()
            .into_iter()
            .map(|row| row.iter().map(|x| x.to_bits()).collect())
            .collect();
        rows.sort();
        rows.dedup();
        assert_eq!(rows.len(), 7);
    }
}
