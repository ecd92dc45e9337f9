//! Colour: moments where it lies, histograms of how much there is.

use crate::image::canvas::{Canvas, SIDE};

/// Cells a side of the moments' grid.
const GRID: usize = 4;
pub(super) const MOMENTS_DIM: usize = GRID * GRID * 9;

/// Appends mean, deviation and signed cube root of the third moment of L*, a*, b* in each of 4 x 4 cells.
///
/// Stricker, Orengo: Similarity of color images (1995), on a grid.
pub(super) fn append_lab_moments(canvas: &Canvas, out: &mut Vec<f32>) {
    let cell = SIDE / GRID;
    for row in 0..GRID {
        for column in 0..GRID {
            for (plane, middle) in canvas.lab.iter().zip([50.0, 0.0, 0.0]) {
                let values = || {
                    (row * cell..(row + 1) * cell).flat_map(move |y| {
                        plane[y * SIDE + column * cell..][..cell].iter().copied()
                    })
                };
                let count = (cell * cell) as f32;
                let mean = values().sum::<f32>() / count;
                let (mut second, mut third) = (0.0, 0.0);
                for value in values() {
                    let off = value - mean;
                    second += off * off;
                    third += off * off * off;
                }
                out.extend([
                    mean - middle,
                    (second / count).sqrt(),
                    (third / count).cbrt(),
                ]);
            }
        }
    }
}

const LAB_BINS: [usize; 3] = [6, 8, 8];
pub(super) const LAB_HISTOGRAM_DIM: usize = LAB_BINS[0] * LAB_BINS[1] * LAB_BINS[2];

/// Appends the joint histogram of L*, a*, b*; a pixel is shared between the eight nearest bins. The values sum to 1.
pub(super) fn append_lab_histogram(canvas: &Canvas, out: &mut Vec<f32>) {
    let start = out.len();
    out.resize(start + LAB_HISTOGRAM_DIM, 0.0);
    let histogram = &mut out[start..];
    let share = 1.0 / (SIDE * SIDE) as f32;
    for at in 0..SIDE * SIDE {
        let (l0, l) = place(canvas.lab[0][at] / 100.0, LAB_BINS[0]);
        // The square root spreads the pale colours, where most pixels are.
        let (a0, a) = place(spread(canvas.lab[1][at]), LAB_BINS[1]);
        let (b0, b) = place(spread(canvas.lab[2][at]), LAB_BINS[2]);
        for (dl, wl) in [(0, 1.0 - l), (1, l)] {
            for (da, wa) in [(0, 1.0 - a), (1, a)] {
                let row = ((l0 + dl) * LAB_BINS[1] + a0 + da) * LAB_BINS[2] + b0;
                let weight = wl * wa * share;
                histogram[row] += weight * (1.0 - b);
                histogram[row + 1] += weight * b;
            }
        }
    }
}

/// -110..110 to 0..1, finer around 0.
fn spread(value: f32) -> f32 {
    0.5 + 0.5 * (value.abs() / 110.0).sqrt().copysign(value)
}

/// The lower of the two nearest bins, and the share of the upper one; `value` in 0..1, outside is moved to the ends.
fn place(value: f32, bins: usize) -> (usize, f32) {
    let position = value.clamp(0.0, 1.0) * (bins - 1) as f32;
    let lower = (position as usize).min(bins - 2);
    (lower, position - lower as f32)
}

const HUES: usize = 12;
const SATURATIONS: usize = 3;
const VALUES: usize = 3;
/// Regions: the four quarters and the middle.
const REGIONS: usize = 5;
pub(super) const HSV_DIM: usize = REGIONS * HUES * SATURATIONS * VALUES;

/// Appends, for each quarter of the picture and its middle, the histogram of hue, saturation and value.
pub(super) fn append_hsv_histogram(canvas: &Canvas, out: &mut Vec<f32>) {
    let start = out.len();
    out.resize(start + HSV_DIM, 0.0);
    let histogram = &mut out[start..];
    let region_dim = HSV_DIM / REGIONS;
    let share = 1.0 / (SIDE * SIDE) as f32;
    let middle = SIDE / 4..SIDE / 4 * 3;
    for y in 0..SIDE {
        for x in 0..SIDE {
            let at = y * SIDE + x;
            let (hue, saturation, value) =
                hsv([canvas.rgb[0][at], canvas.rgb[1][at], canvas.rgb[2][at]]);
            let third = |part: f32| ((part * 3.0) as usize).min(2);
            let rest = third(saturation) * VALUES + third(value);
            let position = hue * HUES as f32;
            let first = (position as usize).min(HUES - 1);
            let second = (first + 1) % HUES;
            let upper = position.fract();
            let mut add = |region: usize| {
                let base = region * region_dim + rest;
                histogram[base + first * SATURATIONS * VALUES] += share * (1.0 - upper);
                histogram[base + second * SATURATIONS * VALUES] += share * upper;
            };
            add(y * 2 / SIDE * 2 + x * 2 / SIDE);
            if middle.contains(&x) && middle.contains(&y) {
                add(4);
            }
        }
    }
}

/// Hue in turns (0 for greys), saturation and value from 0 to 1.
fn hsv([r, g, b]: [f32; 3]) -> (f32, f32, f32) {
    let value = r.max(g).max(b);
    let range = value - r.min(g).min(b);
    if range <= 0.0 {
        return (0.0, 0.0, value);
    }
    let sixths = if value == r {
        (g - b) / range
    } else if value == g {
        (b - r) / range + 2.0
    } else {
        (r - g) / range + 4.0
    };
    ((sixths / 6.0).rem_euclid(1.0), range / value, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hsv_of_known_colours() {
        let check = |rgb, expected: (f32, f32, f32)| {
            let got = hsv(rgb);
            let near = |a: f32, b: f32| (a - b).abs() < 1e-6;
            assert!(near(got.0, expected.0) && near(got.1, expected.1) && near(got.2, expected.2));
        };
        check([1.0, 0.0, 0.0], (0.0, 1.0, 1.0));
        check([0.0, 0.5, 0.0], (1.0 / 3.0, 1.0, 0.5));
        check([0.0, 0.0, 1.0], (2.0 / 3.0, 1.0, 1.0));
        check([0.5, 0.5, 0.5], (0.0, 0.0, 0.5));
        check([1.0, 0.0, 1.0], (5.0 / 6.0, 1.0, 1.0));
    }
}
