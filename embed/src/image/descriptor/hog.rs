//! Histograms of oriented gradients, 31 channels a cell.
//!
//! Felzenszwalb, Girshick, McAllester, Ramanan: Object Detection with Discriminatively Trained Part Based Models (2010),
//! section 6.1: 18 signed directions, 9 unsigned ones and 4 texture energies, each normalised by the four blocks of cells
//! around it and cut at 0.2.

use super::gradient::Gradient;
use crate::image::canvas::SIDE;

/// Cells a side. Twice as many find little more beside the windows of the codebook, and cost four times the numbers.
const CELLS: usize = 4;
const CHANNELS: usize = SIGNED + UNSIGNED + 4;
pub(super) const DIM: usize = CELLS * CELLS * CHANNELS;
const SIGNED: usize = 18;
const UNSIGNED: usize = 9;
const CUT: f32 = 0.2;

/// Appends [`DIM`] values, cell by cell, row by row.
pub(super) fn append_hog(gradient: &Gradient, out: &mut Vec<f32>) {
    let votes = vote(gradient);
    let energy: Vec<f32> = votes.iter().map(energy_of).collect();
    // Sum over the 2 x 2 block whose first cell is (x, y); cells outside repeat the border.
    let clamp = |at: isize| at.clamp(0, CELLS as isize - 1) as usize;
    let block = |x: isize, y: isize| {
        let at = |x, y| energy[clamp(y) * CELLS + clamp(x)];
        1.0 / (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1) + 1e-4).sqrt()
    };
    for y in 0..CELLS as isize {
        for x in 0..CELLS as isize {
            let norms = [
                block(x - 1, y - 1),
                block(x, y - 1),
                block(x - 1, y),
                block(x, y),
            ];
            append_cell(&votes[y as usize * CELLS + x as usize], norms, out);
        }
    }
}

fn append_cell(votes: &[f32; SIGNED], norms: [f32; 4], out: &mut Vec<f32>) {
    let cut_sum = |value: f32| {
        norms
            .iter()
            .map(|norm| (value * norm).min(CUT))
            .sum::<f32>()
    };
    out.extend(votes.iter().map(|&vote| 0.5 * cut_sum(vote)));
    out.extend((0..UNSIGNED).map(|bin| 0.5 * cut_sum(votes[bin] + votes[bin + UNSIGNED])));
    for norm in norms {
        out.push(0.2357 * votes.iter().map(|vote| (vote * norm).min(CUT)).sum::<f32>());
    }
}

fn energy_of(votes: &[f32; SIGNED]) -> f32 {
    (0..UNSIGNED)
        .map(|bin| (votes[bin] + votes[bin + UNSIGNED]).powi(2))
        .sum()
}

/// Gradient strength per cell and direction; a pixel's vote is shared between the nearest four cells and two directions.
fn vote(gradient: &Gradient) -> Vec<[f32; SIGNED]> {
    let cell_pixels = (SIDE / CELLS) as f32;
    let mut votes = vec![[0.0; SIGNED]; CELLS * CELLS];
    // Scaled so that a cell's sum does not depend on its size.
    let scale = 1.0 / (cell_pixels * cell_pixels);
    for y in 0..SIDE {
        let (rows, row_weights) = neighbours(y, cell_pixels);
        for x in 0..SIDE {
            let at = y * SIDE + x;
            let magnitude = gradient.magnitude[at] * scale;
            if magnitude == 0.0 {
                continue;
            }
            let (columns, column_weights) = neighbours(x, cell_pixels);
            let direction = gradient.turns[at] * SIGNED as f32;
            let share = direction.fract();
            let first = (direction as usize).min(SIGNED - 1);
            let second = (first + 1) % SIGNED;
            for (row, row_weight) in rows.into_iter().zip(row_weights) {
                for (column, column_weight) in columns.into_iter().zip(column_weights) {
                    let weight = magnitude * row_weight * column_weight;
                    let cell = &mut votes[row * CELLS + column];
                    cell[first] += weight * (1.0 - share);
                    cell[second] += weight * share;
                }
            }
        }
    }
    votes
}

/// The two cells whose centres are nearest to a pixel on one axis, with their weights; at the border both are one.
fn neighbours(pixel: usize, cell_pixels: f32) -> ([usize; 2], [f32; 2]) {
    let position = (pixel as f32 + 0.5) / cell_pixels - 0.5;
    let share = position - position.floor();
    let first = position.floor() as isize;
    let clamp = |at: isize| at.clamp(0, CELLS as isize - 1) as usize;
    ([clamp(first), clamp(first + 1)], [1.0 - share, share])
}
