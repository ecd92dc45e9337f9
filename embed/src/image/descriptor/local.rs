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
        for (cell, step) in SCALES {
            all.append_scale(&smooth(&votes, cell), cell, step);
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

/// Mean under a triangle of about `2 * cell` pixels, along both axes: a box, twice.
fn smooth(votes: &[Directions], cell: usize) -> Vec<Directions> {
    let (before, after) = ((cell - 1) / 2, cell / 2);
    let mut once = vec![[0.0; DIRECTIONS]; SIDE * SIDE];
    let mut twice = once.clone();
    // The second box leans the other way, so that even sizes do not shift the picture.
    slide(votes, &mut once, [SIDE, 1], before, after);
    slide(&once, &mut twice, [SIDE, 1], after, before);
    slide(&twice, &mut once, [1, SIDE], before, after);
    slide(&once, &mut twice, [1, SIDE], after, before);
    twice
}

/// Running mean of `before + 1 + after` pixels along an axis; outside the picture there is nothing.
///
/// `[line, step]`: distance between lines, and between the pixels of a line.
fn slide(
    source: &[Directions],
    target: &mut [Directions],
    [line, step]: [usize; 2],
    before: usize,
    after: usize,
) {
    let share = 1.0 / (before + 1 + after) as f32;
    for start in (0..SIDE).map(|at| at * line) {
        let mut sum = [0.0; DIRECTIONS];
        for at in 0..after {
            add(&mut sum, &source[start + at * step], 1.0);
        }
        for at in 0..SIDE {
            if at + after < SIDE {
                add(&mut sum, &source[start + (at + after) * step], 1.0);
            }
            target[start + at * step] = sum.map(|value| value * share);
            if at >= before {
                add(&mut sum, &source[start + (at - before) * step], -1.0);
            }
        }
    }
}

fn add(sum: &mut Directions, values: &Directions, sign: f32) {
    sum.iter_mut()
        .zip(values)
        .for_each(|(sum, value)| *sum += sign * value);
}
