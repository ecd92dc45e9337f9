//! Local descriptors on a dense grid: what the edges do in every small window of the picture.
//!
//! Lowe: Distinctive image features from scale-invariant keypoints (2004), section 6: a window of 4 x 4 cells with 8
//! directions each; here on a grid instead of at keypoints, at three window sizes, upright. Square-rooted as in
//! Arandjelovic, Zisserman: Three things everyone should know to improve object retrieval (2012).

use super::gradient::Gradient;
use crate::image::canvas::SIDE;

const DIRECTIONS: usize = 8;
const CELLS: usize = 4;
/// Numbers a local descriptor has.
pub const LOCAL_DIM: usize = CELLS * CELLS * DIRECTIONS;
/// Pixels of a cell's side, and pixels from window to window.
const SCALES: [(usize, usize); 3] = [(4, 6), (6, 6), (9, 8)];
/// Windows weaker than this are faded towards zero, so that noise on a plain background says nothing.
const FAINT: f32 = 0.04;
const CUT: f32 = 0.2;

/// Descriptors of all windows of one picture.
pub struct LocalDescriptors {
    /// `[n, LOCAL_DIM]`, row by row; each of unit length or shorter.
    pub values: Vec<f32>,
    /// Centre of each window, from -0.5 (left, top) to 0.5: `[n]` of (x, y).
    pub centers: Vec<(f32, f32)>,
}

type Directions = [f32; DIRECTIONS];

impl LocalDescriptors {
    pub(super) fn new(gradient: &Gradient) -> Self {
        let votes = vote(gradient);
        let mut all = Self {
            values: Vec::new(),
            centers: Vec::new(),
        };
        let mut smoother = Smoother::new();
        for (cell, step) in SCALES {
            all.append_scale(smoother.smooth(&votes, cell), cell, step);
        }
        all
    }

    fn append_scale(&mut self, smoothed: &[Directions], cell: usize, step: usize) {
        let reach = 2 * cell;
        let middle_of = |center: usize, at: usize| center + at * cell + cell / 2 - reach;
        for y in (reach..=SIDE - reach).step_by(step) {
            for x in (reach..=SIDE - reach).step_by(step) {
                let start = self.values.len();
                for row in 0..CELLS {
                    for column in 0..CELLS {
                        let at = middle_of(y, row) * SIDE + middle_of(x, column);
                        self.values.extend(smoothed[at]);
                    }
                }
                normalize(&mut self.values[start..]);
                let place = |at: usize| at as f32 / SIDE as f32 - 0.5;
                self.centers.push((place(x), place(y)));
            }
        }
    }
}

fn normalize(window: &mut [f32]) {
    let length = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>().sqrt();
    let scale = 1.0 / (length(window) + FAINT);
    window
        .iter_mut()
        .for_each(|value| *value = (*value * scale).min(CUT));
    let scale = 1.0 / length(window).max(0.1);
    window
        .iter_mut()
        .for_each(|value| *value = (*value * scale).max(0.0).sqrt());
}

fn vote(gradient: &Gradient) -> Vec<Directions> {
    let mut votes = vec![[0.0; DIRECTIONS]; SIDE * SIDE];
    for ((vote, &magnitude), &turns) in votes
        .iter_mut()
        .zip(&gradient.magnitude)
        .zip(&gradient.turns)
    {
        let direction = turns * DIRECTIONS as f32;
        let first = (direction as usize).min(DIRECTIONS - 1);
        vote[first] += magnitude * (1.0 - direction.fract());
        vote[(first + 1) % DIRECTIONS] += magnitude * direction.fract();
    }
    votes
}

/// Pixels of votes: the result of the last smoothing, and room for its steps. Kept from scale to scale.
struct Smoother {
    smoothed: Vec<Directions>,
    half_done: Vec<Directions>,
}

impl Smoother {
    fn new() -> Self {
        let plane = vec![[0.0; DIRECTIONS]; SIDE * SIDE];
        Self {
            smoothed: plane.clone(),
            half_done: plane,
        }
    }

    /// Mean under a triangle of about `2 * cell` pixels, along both axes: a box, twice.
    fn smooth(&mut self, votes: &[Directions], cell: usize) -> &[Directions] {
        let (before, after) = ((cell - 1) / 2, cell / 2);
        // The second box leans the other way, so that even sizes do not shift the picture.
        slide_rows(votes, &mut self.half_done, before, after);
        slide_rows(&self.half_done, &mut self.smoothed, after, before);
        slide_columns(&self.smoothed, &mut self.half_done, before, after);
        slide_columns(&self.half_done, &mut self.smoothed, after, before);
        &self.smoothed
    }
}

/// Running mean of `before + 1 + after` pixels along each row; outside the picture there is nothing.
fn slide_rows(source: &[Directions], target: &mut [Directions], before: usize, after: usize) {
    let share = 1.0 / (before + 1 + after) as f32;
    for (row, target) in source.chunks_exact(SIDE).zip(target.chunks_exact_mut(SIDE)) {
        let mut sum = [0.0; DIRECTIONS];
        row[..after]
            .iter()
            .for_each(|pixel| add(&mut sum, pixel, 1.0));
        for at in 0..SIDE {
            if at + after < SIDE {
                add(&mut sum, &row[at + after], 1.0);
            }
            target[at] = sum.map(|value| value * share);
            if at >= before {
                add(&mut sum, &row[at - before], -1.0);
            }
        }
    }
}

/// The same along columns, all columns at once: memory is read in its order.
fn slide_columns(source: &[Directions], target: &mut [Directions], before: usize, after: usize) {
    let share = 1.0 / (before + 1 + after) as f32;
    let row = |at: usize| &source[at * SIDE..][..SIDE];
    let mut sums = [[0.0; DIRECTIONS]; SIDE];
    let add_row = |sums: &mut [Directions; SIDE], row: &[Directions], sign: f32| {
        sums.iter_mut()
            .zip(row)
            .for_each(|(sum, pixel)| add(sum, pixel, sign));
    };
    (0..after).for_each(|at| add_row(&mut sums, row(at), 1.0));
    for (at, target) in target.chunks_exact_mut(SIDE).enumerate() {
        if at + after < SIDE {
            add_row(&mut sums, row(at + after), 1.0);
        }
        for (target, sum) in target.iter_mut().zip(&sums) {
            *target = sum.map(|value| value * share);
        }
        if at >= before {
            add_row(&mut sums, row(at - before), -1.0);
        }
    }
}

fn add(sum: &mut Directions, values: &Directions, sign: f32) {
    sum.iter_mut()
        .zip(values)
        .for_each(|(sum, value)| *sum += sign * value);
}
