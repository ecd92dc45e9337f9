//! Local binary patterns: which of a pixel's eight neighbours are brighter, counted.
//!
//! Ojala, Pietikäinen, Mäenpää: Multiresolution gray-scale and rotation invariant texture classification (2002): the 58
//! patterns with at most two changes around the circle have a bin each, all others share one.

use crate::image::canvas::{Canvas, SIDE};

const BINS: usize = 59;
const GRID: usize = 2;
const RADII: [usize; 2] = [1, 3];
pub(super) const DIM: usize = RADII.len() * GRID * GRID * BINS;

/// A neighbour counts as brighter only from this much L* on: noise and compression make no pattern.
const STEP: f32 = 0.5;

/// Appends [`DIM`] values: for each radius, for each quarter of the picture, shares of the patterns.
pub(super) fn append_lbp(canvas: &Canvas, out: &mut Vec<f32>) {
    let bin_of_pattern = uniform_bins();
    let light = &canvas.lab[0];
    for radius in RADII {
        let mut counts = [[0.0f32; BINS]; GRID * GRID];
        let r = radius as isize;
        // Clockwise from the right; square rather than round, which needs no interpolation.
        let ring = [
            (r, 0),
            (r, r),
            (0, r),
            (-r, r),
            (-r, 0),
            (-r, -r),
            (0, -r),
            (r, -r),
        ];
        let steps = ring.map(|(dx, dy)| dy * SIDE as isize + dx);
        for y in radius..SIDE - radius {
            for x in radius..SIDE - radius {
                let at = y * SIDE + x;
                let middle = light[at] + STEP;
                let mut pattern = 0usize;
                for (bit, step) in steps.iter().enumerate() {
                    let neighbour = light[at.wrapping_add_signed(*step)];
                    pattern |= usize::from(neighbour > middle) << bit;
                }
                let quarter = y * GRID / SIDE * GRID + x * GRID / SIDE;
                counts[quarter][usize::from(bin_of_pattern[pattern])] += 1.0;
            }
        }
        out.extend(
            counts
                .iter()
                .flatten()
                .map(|count| count / (SIDE * SIDE) as f32),
        );
    }
}

fn uniform_bins() -> [u8; 256] {
    let mut bins = [58; 256];
    let mut next = 0;
    for pattern in 0..=255u8 {
        if (pattern ^ pattern.rotate_left(1)).count_ones() <= 2 {
            bins[usize::from(pattern)] = next;
            next += 1;
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_58_uniform_patterns() {
        let bins = uniform_bins();
        assert_eq!(bins.iter().filter(|&&bin| bin < 58).count(), 58);
        assert_eq!(bins.iter().max(), Some(&58));
    }
}
