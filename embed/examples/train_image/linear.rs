//! Principal components, of matrices of a few thousand rows and columns.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::random::Random;

/// Directions tried beyond those wanted, which makes the wanted ones come out exact sooner.
const SPARE: usize = 24;
const ROUNDS: usize = 14;

/// The directions in which rows differ most.
pub struct Pca {
    pub mean: Array1<f32>,
    /// `[k, columns]`, orthonormal, of falling deviation.
    pub directions: Array2<f32>,
    /// `[k]`.
    pub deviations: Vec<f32>,
    /// Share of the variance that the `k` directions hold.
    pub share_kept: f32,
}

impl Pca {
    /// By block power iteration on the covariance (Halko, Martinsson, Tropp: Finding structure with randomness, 2011).
    pub fn new(rows: ArrayView2<f32>, k: usize, random: &mut Random) -> Self {
        let columns = rows.ncols();
        let k = k.min(columns);
        let mean = rows.mean_axis(Axis(0)).expect("rows to learn from");
        let centered = &rows - &mean;
        let covariance = centered.t().dot(&centered) / rows.nrows() as f32;
        let total: f32 = covariance.diag().sum();

        let block = (k + SPARE).min(columns);
        let mut basis = Array2::from_shape_fn((block, columns), |_| random.between(-1.0, 1.0));
        orthonormalize(&mut basis);
        for _ in 0..ROUNDS {
            basis = basis.dot(&covariance);
            orthonormalize(&mut basis);
        }
        let small = basis.dot(&covariance).dot(&basis.t());
        let (values, vectors) = symmetric_eigen(small.mapv(f64::from));
        let mut order: Vec<usize> = (0..block).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        order.truncate(k);
        let rotation = Array2::from_shape_fn((k, block), |(row, column)| {
            vectors[[column, order[row]]] as f32
        });
        let deviations: Vec<f32> = order
            .iter()
            .map(|&at| values[at].max(0.0).sqrt() as f32)
            .collect();
        let kept: f32 = deviations
            .iter()
            .map(|deviation| deviation * deviation)
            .sum();
        let share_kept = if total > 0.0 { kept / total } else { 1.0 };
        Self {
            mean,
            directions: rotation.dot(&basis),
            deviations,
            share_kept,
        }
    }
}

/// Gram-Schmidt on rows, twice for each row.
fn orthonormalize(basis: &mut Array2<f32>) {
    for at in 0..basis.nrows() {
        for _ in 0..2 {
            let (done, mut rest) = basis.view_mut().split_at(Axis(0), at);
            let mut row = rest.row_mut(0);
            let shares = done.dot(&row);
            row -= &shares.dot(&done);
        }
        let mut row = basis.slice_mut(s![at, ..]);
        let length = row.dot(&row).sqrt();
        row /= length.max(1e-20);
    }
}

/// Eigenvalues, and eigenvectors as columns, by cyclic Jacobi rotations.
fn symmetric_eigen(mut matrix: Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let n = matrix.nrows();
    let mut vectors = Array2::eye(n);
    for _ in 0..30 {
        let off: f64 = matrix
            .indexed_iter()
            .filter(|((r, c), _)| r != c)
            .map(|(_, v)| v * v)
            .sum();
        if off <= 1e-18 * matrix.diag().iter().map(|v| v * v).sum::<f64>() {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut matrix, &mut vectors, p, q);
            }
        }
    }
    (matrix.diag().to_vec(), vectors)
}

/// Makes `matrix[p, q]` zero.
fn rotate(matrix: &mut Array2<f64>, vectors: &mut Array2<f64>, p: usize, q: usize) {
    let across = matrix[[p, q]];
    if across == 0.0 {
        return;
    }
    let theta = (matrix[[q, q]] - matrix[[p, p]]) / (2.0 * across);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let tangent = if theta == 0.0 { 1.0 } else { tangent };
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    let turn =
        |a: &mut f64, b: &mut f64| (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    for at in 0..matrix.nrows() {
        let (mut a, mut b) = (matrix[[at, p]], matrix[[at, q]]);
        turn(&mut a, &mut b);
        (matrix[[at, p]], matrix[[at, q]]) = (a, b);
    }
    for at in 0..matrix.nrows() {
        let (mut a, mut b) = (matrix[[p, at]], matrix[[q, at]]);
        turn(&mut a, &mut b);
        (matrix[[p, at]], matrix[[q, at]]) = (a, b);
        let (mut a, mut b) = (vectors[[at, p]], vectors[[at, q]]);
        turn(&mut a, &mut b);
        (vectors[[at, p]], vectors[[at, q]]) = (a, b);
    }
}
