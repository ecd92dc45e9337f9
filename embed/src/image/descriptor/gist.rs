//! Gist of the scene: how strong each frequency and direction is, in each of 4 x 4 cells, in lightness and colour.
//!
//! Oliva, Torralba: Modeling the shape of the scene (2001). Where they filter in the Fourier domain, this filters a
//! pyramid: one bank of eight Gabor filters at halved sizes, each filter being a product of a row and a column filter.

use crate::image::canvas::{Canvas, SIDE};

const DIRECTIONS: usize = 8;
const GRID: usize = 4;
/// Sizes filtered, in pixels a side.
const SIZES: [usize; 3] = [64, 32, 16];
pub(super) const DIM: usize = 3 * SIZES.len() * DIRECTIONS * GRID * GRID;

const RADIUS: usize = 4;
const TAPS: usize = 2 * RADIUS + 1;
/// Waves per pixel.
const FREQUENCY: f32 = 0.22;
/// Deviation of the filter's window in pixels: about one octave wide.
const WINDOW: f32 = 2.0;

/// Appends [`DIM`] values: a third each of L*, a* and b*.
pub(super) fn append_gist(canvas: &Canvas, out: &mut Vec<f32>) {
    let bank = Bank::new();
    for plane in &canvas.lab {
        let mut level = plane.clone();
        let mut side = SIDE;
        for wanted in SIZES {
            while side > wanted {
                level = halve(&level, side);
                side /= 2;
            }
            let flat = without_slow_changes(&level, side);
            bank.append_energies(&flat, side, out);
        }
    }
}

/// Mean of 2 x 2.
fn halve(plane: &[f32], side: usize) -> Vec<f32> {
    let half = side / 2;
    let mut small = Vec::with_capacity(half * half);
    for y in 0..half {
        let (upper, lower) = (
            &plane[2 * y * side..][..side],
            &plane[(2 * y + 1) * side..][..side],
        );
        for x in 0..half {
            small.push(0.25 * (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]));
        }
    }
    small
}

/// Subtracts a blurred copy, so that the filters see edges and not the level they stand on.
fn without_slow_changes(plane: &[f32], side: usize) -> Vec<f32> {
    let window = gaussian(3.0);
    let rows = filter_rows(plane, side, &window);
    let blurred = filter_columns(&rows, side, &window);
    plane
        .iter()
        .zip(&blurred)
        .map(|(value, slow)| value - slow)
        .collect()
}

fn gaussian(deviation: f32) -> [f32; TAPS] {
    let mut taps = [0.0; TAPS];
    for (at, tap) in taps.iter_mut().enumerate() {
        let off = at as f32 - RADIUS as f32;
        *tap = (-0.5 * (off / deviation).powi(2)).exp();
    }
    let sum: f32 = taps.iter().sum();
    taps.map(|tap| tap / sum)
}

/// Row and column filters of each direction, cosine and sine.
struct Bank {
    waves: [[Wave; 2]; DIRECTIONS],
}

#[derive(Clone, Copy)]
struct Wave {
    cosine: [f32; TAPS],
    sine: [f32; TAPS],
}

impl Wave {
    fn new(frequency: f32) -> Self {
        let window = gaussian(WINDOW);
        let (mut cosine, mut sine) = (window, window);
        for at in 0..TAPS {
            let phase = std::f32::consts::TAU * frequency * (at as f32 - RADIUS as f32);
            cosine[at] *= phase.cos();
            sine[at] *= phase.sin();
        }
        Self { cosine, sine }
    }
}

impl Bank {
    fn new() -> Self {
        let waves = std::array::from_fn(|direction| {
            let angle = std::f32::consts::PI * direction as f32 / DIRECTIONS as f32;
            [
                Wave::new(FREQUENCY * angle.cos()),
                Wave::new(FREQUENCY * angle.sin()),
            ]
        });
        Self { waves }
    }

    /// Appends, for each direction, the mean response in each cell: |filter * plane|, both phases together.
    fn append_energies(&self, plane: &[f32], side: usize, out: &mut Vec<f32>) {
        let cell = side / GRID;
        for [across, down] in &self.waves {
            // (c1 + i s1)(c2 + i s2) applied as rows, then columns.
            let row_cosine = filter_rows(plane, side, &across.cosine);
            let row_sine = filter_rows(plane, side, &across.sine);
            let real = minus(
                &filter_columns(&row_cosine, side, &down.cosine),
                &filter_columns(&row_sine, side, &down.sine),
            );
            let imaginary = plus(
                &filter_columns(&row_cosine, side, &down.sine),
                &filter_columns(&row_sine, side, &down.cosine),
            );
            let mut cells = [0.0; GRID * GRID];
            for y in 0..side {
                for x in 0..side {
                    let at = y * side + x;
                    let energy = (real[at] * real[at] + imaginary[at] * imaginary[at]).sqrt();
                    cells[y / cell * GRID + x / cell] += energy;
                }
            }
            let count = (cell * cell) as f32;
            out.extend(cells.map(|sum| sum / count));
        }
    }
}

fn minus(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn plus(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Correlates each row with `taps`; the border pixel repeats.
fn filter_rows(plane: &[f32], side: usize, taps: &[f32; TAPS]) -> Vec<f32> {
    let mut padded = vec![0.0; side + 2 * RADIUS];
    let mut out = vec![0.0; side * side];
    for (row, target) in plane.chunks_exact(side).zip(out.chunks_exact_mut(side)) {
        padded[..RADIUS].fill(row[0]);
        padded[RADIUS..RADIUS + side].copy_from_slice(row);
        padded[RADIUS + side..].fill(row[side - 1]);
        for (tap, shifted) in taps.iter().zip(padded.windows(side)) {
            target
                .iter_mut()
                .zip(shifted)
                .for_each(|(sum, value)| *sum += tap * value);
        }
    }
    out
}

/// Correlates each column with `taps`; the border pixel repeats.
fn filter_columns(plane: &[f32], side: usize, taps: &[f32; TAPS]) -> Vec<f32> {
    let mut out = vec![0.0; side * side];
    for (y, target) in out.chunks_exact_mut(side).enumerate() {
        for (at, tap) in taps.iter().enumerate() {
            let source = (y + at).saturating_sub(RADIUS).min(side - 1);
            let row = &plane[source * side..][..side];
            target
                .iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += tap * value);
        }
    }
    out
}
