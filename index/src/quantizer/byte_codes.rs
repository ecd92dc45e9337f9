//! Codes of 8 bits that graphs are built from, whatever quantizer serves the search.

use super::affine::{self, Affine};
use super::{Coding, Quantizer, Rotation, RowSource, read_row};
use crate::random::Random;
use crate::{Metric, Offset};

/// Writes rows as bytes whose squared differences order them as the metric does.
pub(crate) struct ByteCodes {
    rotation: Option<Rotation>,
    affine: Affine,
    /// For dot products: the length that all rows are brought to by `extra` more components.
    length: f32,
    extra: usize,
}

impl ByteCodes {
    /// Learns from a sample of the rows; rotates as the coding does.
    pub(crate) fn learn(coding: &Coding, rows: &dyn RowSource) -> Self {
        /// Rows that are looked at.
        const SAMPLE: usize = 2000;
        let dim = rows.dim();
        let by_dot = coding.metric() == Metric::Dot;
        // As many as fill a cache line, so that none of them stands out.
        let extra = if by_dot { 64 - dim % 64 } else { 0 };
        let extra = if by_dot && extra < 16 {
            extra + 64
        } else {
            extra
        };
        let mut sample: Vec<Vec<f32>> = Random::new(3)
            .sample(rows.len(), SAMPLE)
            .into_iter()
            .map(|offset: Offset| {
                let mut vector = vec![0.0; dim];
                read_row(rows, offset, &mut vector);
                match &coding.rotation {
                    None => vector,
                    Some(rotation) => rotation.rotated(&vector),
                }
            })
            .collect();
        let mut norms: Vec<f32> = sample.iter().map(|row| norm(row)).collect();
        norms.sort_unstable_by(f32::total_cmp);
        let length = norms
            .get(norms.len() * 99 / 100)
            .map_or(1.0, |norm| norm.min(1e18));
        let mut learned = Self {
            rotation: coding.rotation.clone(),
            affine: Affine::between(
                Metric::L2,
                dim + extra,
                affine::Bits::Eight,
                [0.0, 1.0],
                1.0,
            ),
            length,
            extra,
        };
        let mut values: Vec<f32> = sample
            .iter_mut()
            .flat_map(|row| {
                learned.lengthen(row);
                std::mem::take(row)
            })
            .filter(|x| x.is_finite())
            .collect();
        if !values.is_empty() {
            let at = (values.len() as f64 * affine::Bits::Eight.cut()) as usize;
            let last = values.len() - 1 - at;
            let low = *values.select_nth_unstable_by(at, f32::total_cmp).1;
            let high = *values.select_nth_unstable_by(last, f32::total_cmp).1;
            let range = [low.max(-1e18), high.min(1e18)];
            learned.affine =
                Affine::between(Metric::L2, dim + extra, affine::Bits::Eight, range, 1.0);
        }
        learned
    }

    /// Adds the components that bring a row to the common length.
    fn lengthen(&self, row: &mut Vec<f32>) {
        if self.extra > 0 {
            let missing = (self.length * self.length - norm(row).powi(2)).max(0.0);
            let each = (missing / self.extra as f32).sqrt();
            row.resize(row.len() + self.extra, each);
        }
    }

    pub(crate) fn row_bytes(&self) -> usize {
        self.affine.row_bytes()
    }

    pub(crate) fn encode(&self, vector: &[f32], code: &mut [u8]) {
        let mut vector = match &self.rotation {
            None => vector.to_vec(),
            Some(rotation) => rotation.rotated(vector),
        };
        self.lengthen(&mut vector);
        self.affine.encode(&vector, code);
    }
}

fn norm(row: &[f32]) -> f32 {
    row.iter().map(|x| x * x).sum::<f32>().sqrt()
}
