//! The few numbers of a row that bound its distances.

use crate::{Metric, Offset, Rows};

/// Components that nodes are split and bounded by: a box of them is a cache line.
pub(super) const WIDTH: usize = 8;

/// Rows from which the components are learned.
const SAMPLE: usize = 4_096;

/// How a row of many components becomes one of [`WIDTH`], such that no distance grows.
#[derive(Debug)]
pub(super) enum Components {
    /// The coordinates that vary most: dropping the others makes no distance of any L-norm larger.
    Coordinates([usize; WIDTH]),
    /// The principal axes: an orthonormal projection makes no Euclidean distance larger.
    Principal {
        /// `[dim]`
        mean: Vec<f64>,
        /// Orthonormal, `[WIDTH, dim]`.
        axes: Vec<f64>,
    },
}

impl Components {
    /// Learns them from up to [`SAMPLE`] rows, evenly spread: the same rows give the same components.
    ///
    /// Pearson, "On lines and planes of closest fit to systems of points in space", 1901. Time O(sample * dim^2 + dim^3).
    pub fn learn(metric: Metric, rows: &Rows) -> Self {
        let dim = rows.dim();
        let step = rows.len().div_ceil(SAMPLE).max(1);
        let sample = || (0..rows.len()).step_by(step);
        let count = sample().count().max(1) as f64;
        let mut mean = vec![0.0; dim];
        for at in sample() {
            for (mean, &x) in mean.iter_mut().zip(rows.row(at as Offset)) {
                *mean += f64::from(x) / count;
            }
        }
        let mut covariance = vec![0.0; dim * dim];
        let mut centred = vec![0.0; dim];
        for at in sample() {
            for ((centred, &x), mean) in centred.iter_mut().zip(rows.row(at as Offset)).zip(&mean) {
                *centred = f64::from(x) - mean;
            }
            for i in 0..dim {
                for j in 0..=i {
                    covariance[i * dim + j] += centred[i] * centred[j] / count;
                }
            }
        }
        for i in 0..dim {
            for j in 0..i {
                covariance[j * dim + i] = covariance[i * dim + j];
            }
        }
        match metric {
            Metric::L2 => Self::Principal {
                mean,
                axes: principal_axes(covariance, dim),
            },
            _ => {
                let variances: Vec<f64> = (0..dim).map(|i| covariance[i * dim + i]).collect();
                let largest = largest_first(&variances);
                Self::Coordinates(std::array::from_fn(|at| largest[at]))
            }
        }
    }

    /// The components of a row `[dim]`.
    pub fn of(&self, row: &[f32]) -> [f32; WIDTH] {
        match self {
            Self::Coordinates(chosen) => chosen.map(|at| row[at]),
            Self::Principal { mean, axes } => {
                let mut axes = axes.chunks_exact(mean.len());
                std::array::from_fn(|_| {
                    let axis = axes.next().unwrap_or_default();
                    let products = axis.iter().zip(row).zip(mean);
                    let sum: f64 = products
                        .map(|((axis, &x), mean)| axis * (f64::from(x) - mean))
                        .sum();
                    sum as f32
                })
            }
        }
    }

    /// The least and the largest value of each component over a box of finite corners, but for rounding.
    pub fn of_box(&self, low: &[f32], high: &[f32]) -> [[f32; WIDTH]; 2] {
        match self {
            Self::Coordinates(chosen) => [chosen.map(|at| low[at]), chosen.map(|at| high[at])],
            Self::Principal { mean, axes } => {
                let mut bounds = [[0.0; WIDTH]; 2];
                for (at, axis) in axes.chunks_exact(mean.len()).enumerate() {
                    let mut sums = [0.0; 2];
                    for (i, axis) in axis.iter().enumerate() {
                        let ends = [low[i], high[i]].map(|x| axis * (f64::from(x) - mean[i]));
                        sums[0] += ends[0].min(ends[1]);
                        sums[1] += ends[0].max(ends[1]);
                    }
                    (bounds[0][at], bounds[1][at]) = (sums[0] as f32, sums[1] as f32);
                }
                bounds
            }
        }
    }

    /// How far a component may be from the true one, for rows with coordinates up to `coordinate` and components up to
    /// `component` in size.
    pub fn rounding(&self, coordinate: f32, component: f32) -> f32 {
        match self {
            Self::Coordinates(_) => 0.0,
            // Rounding to f32, and that of the sums in f64.
            Self::Principal { mean, .. } => {
                let sums = coordinate * mean.len() as f32 * 1e-14;
                component / (1 << 22) as f32 + sums
            }
        }
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        match self {
            Self::Coordinates(_) => 0,
            Self::Principal { mean, axes } => (mean.len() + axes.len()) * size_of::<f64>(),
        }
    }
}

/// Positions of the values, that of the largest first, of equal ones the first.
fn largest_first(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    order
}

/// The [`WIDTH`] eigenvectors of a covariance `[dim, dim]` with the largest eigenvalues, largest first: `[WIDTH, dim]`.
///
/// Jacobi's rotations, which keep the vectors orthonormal to the last bits whatever the matrix (Golub and Van Loan, "Matrix
/// computations", 8.5). Time O(dim^3) for each of about ten sweeps.
fn principal_axes(mut matrix: Vec<f64>, dim: usize) -> Vec<f64> {
    const SWEEPS_MAX: usize = 30;
    let mut vectors = vec![0.0; dim * dim];
    (0..dim).for_each(|i| vectors[i * dim + i] = 1.0);
    for _ in 0..SWEEPS_MAX {
        let mut rotated = false;
        for p in 0..dim {
            for q in p + 1..dim {
                let off = matrix[p * dim + q];
                let (a, b) = (matrix[p * dim + p], matrix[q * dim + q]);
                if off.abs() <= f64::EPSILON * (a.abs() * b.abs()).sqrt() {
                    continue;
                }
                rotated = true;
                let theta = (b - a) / (2.0 * off);
                let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = tangent * cosine;
                for i in 0..dim {
                    turn(&mut matrix, i * dim + p, i * dim + q, cosine, sine);
                }
                for i in 0..dim {
                    turn(&mut matrix, p * dim + i, q * dim + i, cosine, sine);
                    turn(&mut vectors, p * dim + i, q * dim + i, cosine, sine);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    let values: Vec<f64> = (0..dim).map(|i| matrix[i * dim + i]).collect();
    let largest = largest_first(&values).into_iter().take(WIDTH);
    largest
        .flat_map(|i| vectors[i * dim..(i + 1) * dim].to_vec())
        .collect()
}

/// Turns the pair of values at `p` and `q`.
fn turn(values: &mut [f64], p: usize, q: usize, cosine: f64, sine: f64) {
    let (x, y) = (values[p], values[q]);
    values[p] = cosine * x - sine * y;
    values[q] = sine * x + cosine * y;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn axes_are_orthonormal_and_follow_the_spread() {
        let mut random = Random::new(5);
        for dim in [9, 16, 32] {
            // Spread along a diagonal a hundred times as far as anywhere else.
            let mut values = Vec::new();
            for _ in 0..500 {
                let along = random.signed_unit() * 100.0;
                values.extend((0..dim).map(|_| 7.0 + along + random.signed_unit()));
            }
            let components = Components::learn(Metric::L2, &Rows::new(dim, values));
            let Components::Principal { axes, .. } = &components else {
                panic!("L2 has axes");
            };
            let axes: Vec<&[f64]> = axes.chunks_exact(dim).collect();
            assert_eq!(axes.len(), WIDTH);
            for (i, a) in axes.iter().enumerate() {
                for (j, b) in axes.iter().enumerate() {
                    let product: f64 = a.iter().zip(*b).map(|(a, b)| a * b).sum();
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!(
                        (product - expected).abs() < 1e-12,
                        "{dim}: {i} {j} {product}"
                    );
                }
            }
            let diagonal = 1.0 / (dim as f64).sqrt();
            assert!(axes[0].iter().all(|x| (x.abs() - diagonal).abs() < 0.01));
        }
    }

    #[test]
    fn the_coordinates_that_vary_most() {
        let row = |sign: f32| (0..20).map(move |i| if i % 2 == 0 { 5.0 } else { sign * i as f32 });
        let rows = Rows::new(20, row(1.0).chain(row(-1.0)).collect());
        let components = Components::learn(Metric::L1, &rows);
        let Components::Coordinates(chosen) = components else {
            panic!("L1 has coordinates");
        };
        assert_eq!(chosen, [19, 17, 15, 13, 11, 9, 7, 5]);
    }
}
