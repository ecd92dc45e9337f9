//! Pyramid histogram of oriented gradients: which edge directions, over the whole, its quarters, its sixteenths.
//!
//! Bosch, Zisserman, Munoz: Representing shape with a spatial pyramid kernel (2007).

use super::gradient::Gradient;
use crate::image::canvas::SIDE;

const BINS: usize = 20;
const FINEST: usize = 4;
pub(super) const DIM: usize = (1 + 4 + 16) * BINS;

/// Appends [`DIM`] values: levels from coarse to fine, each summing to the same.
pub(super) fn append_phog(gradient: &Gradient, out: &mut Vec<f32>) {
    let fine = finest_level(gradient);
    let halved = |level: &[[f32; BINS]], cells: usize| -> Vec<[f32; BINS]> {
        let mut coarse = vec![[0.0; BINS]; cells * cells / 4];
        for (at, bins) in level.iter().enumerate() {
            let target = &mut coarse[at / cells / 2 * (cells / 2) + at % cells / 2];
            target
                .iter_mut()
                .zip(bins)
                .for_each(|(sum, bin)| *sum += bin);
        }
        coarse
    };
    let middle = halved(&fine, FINEST);
    let whole = halved(&middle, FINEST / 2);
    for level in [whole, middle, fine] {
        out.extend(level.iter().flatten());
    }
}

fn finest_level(gradient: &Gradient) -> Vec<[f32; BINS]> {
    let cell_pixels = SIDE / FINEST;
    let mut level = vec![[0.0; BINS]; FINEST * FINEST];
    for (at, (&magnitude, &turns)) in gradient.magnitude.iter().zip(&gradient.turns).enumerate() {
        let (x, y) = (at % SIDE, at / SIDE);
        let direction = turns * BINS as f32;
        let first = (direction as usize).min(BINS - 1);
        let cell = &mut level[y / cell_pixels * FINEST + x / cell_pixels];
        cell[first] += magnitude * (1.0 - direction.fract());
        cell[(first + 1) % BINS] += magnitude * direction.fract();
    }
    level
}
