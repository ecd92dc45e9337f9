//! Vectors of locally aggregated descriptors: where the windows of a picture lie around the words of a codebook.
//!
//! Jégou, Douze, Schmid, Pérez: Aggregating local descriptors into a compact image representation (2010); each word's sum is
//! brought to unit length by itself, as in Arandjelovic, Zisserman: All about VLAD (2013). Windows carry their place, as in
//! Sánchez, Perronnin, de Campos: Modeling the spatial layout of images beyond spatial pyramids (2012).

use ndarray::{Array2, ArrayView2, Axis, s};

use super::local::{LOCAL_DIM, LocalDescriptors};
use crate::image::affine::Affine;

/// Words of the codebook.
const WORDS: usize = 64;
/// Numbers a window is reduced to.
const REDUCED: usize = 40;
/// Numbers a window has in the codebook: reduced, and its place.
const WINDOW: usize = REDUCED + 2;
pub(super) const DIM: usize = WORDS * WINDOW;
/// What a whole picture's width counts against a window's unit length.
const PLACE_WEIGHT: f32 = 2.0;

/// What windows are compared with; learned, and shipped in the projection's file.
#[derive(Debug, Clone)]
pub struct Codebook {
    /// Reduces a window: `[REDUCED, LOCAL_DIM]`.
    pub reduce: Affine,
    /// The words: matrix `[WORDS, WINDOW]`, bias minus half their squared length, so that the nearest has the largest value.
    pub words: Affine,
}

impl Codebook {
    /// Words of the codebook.
    pub const WORDS: usize = WORDS;
    /// Numbers a window is reduced to, before its place is added.
    pub const REDUCED: usize = REDUCED;

    /// Whether the matrices have the shapes that this version computes with.
    pub fn is_well_shaped(&self) -> bool {
        self.reduce.shape() == (REDUCED, LOCAL_DIM) && self.words.shape() == (WORDS, WINDOW)
    }

    /// Windows as the words see them: `[n, WINDOW]`.
    pub fn windows(&self, local: &LocalDescriptors) -> Array2<f32> {
        let n = local.centers.len();
        let full = ArrayView2::from_shape((n, LOCAL_DIM), &local.values)
            .expect("LOCAL_DIM values a window");
        let mut windows = Array2::zeros((n, WINDOW));
        windows
            .slice_mut(s![.., ..REDUCED])
            .assign(&self.reduce.apply_rows(full));
        for (mut window, &(x, y)) in windows.rows_mut().into_iter().zip(&local.centers) {
            let mut reduced = window.slice_mut(s![..REDUCED]);
            let length = reduced.dot(&reduced).sqrt().max(0.1);
            reduced /= length;
            window[REDUCED] = x * PLACE_WEIGHT;
            window[REDUCED + 1] = y * PLACE_WEIGHT;
        }
        windows
    }
}

/// Appends [`DIM`] values, word by word.
pub(super) fn append_vlad(local: &LocalDescriptors, codebook: &Codebook, out: &mut Vec<f32>) {
    let windows = codebook.windows(local);
    let nearness = codebook.words.apply_rows(windows.view());
    let mut sums = Array2::<f32>::zeros((WORDS, WINDOW));
    for (window, scores) in windows.rows().into_iter().zip(nearness.axis_iter(Axis(0))) {
        let mut nearest = 0;
        for (word, score) in scores.iter().enumerate() {
            if *score > scores[nearest] {
                nearest = word;
            }
        }
        let mut sum = sums.row_mut(nearest);
        sum += &window;
        sum -= &codebook.words.matrix.row(nearest);
    }
    for sum in sums.rows() {
        let length = sum.dot(&sum).sqrt().max(1e-3);
        out.extend(
            sum.iter()
                .map(|value| (value.abs() / length).sqrt().copysign(*value)),
        );
    }
}
