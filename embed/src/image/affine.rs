//! A linear map with a bias, and its bytes: values rounded to 8 bits, a scale a row.
//!
//! ```text
//! affine   rows u32 | columns u32 | scale f32 * rows | bias f32 * rows | i8 * rows * columns
//! ```
//!
//! Little-endian; a matrix value is its i8 times its row's scale.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

/// A matrix of a file may have at most so many rows or columns; ours have at most 2,688.
const SIDE_MAX: usize = 1 << 14;

/// Why bytes are no map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AffineError {
    /// They end before the matrix does.
    #[error("a matrix is cut off")]
    Truncated,
    /// They announce a matrix larger than any of ours.
    #[error("a matrix has a side of {0}")]
    Side(usize),
}

/// `y = matrix x + bias`.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// `[rows, columns]`.
    pub matrix: Array2<f32>,
    /// `[rows]`.
    pub bias: Array1<f32>,
}

impl Affine {
    /// (rows, columns) of the matrix.
    pub fn shape(&self) -> (usize, usize) {
        self.matrix.dim()
    }

    /// Maps one vector `[columns]` to `[rows]`.
    pub fn apply(&self, x: ArrayView1<f32>) -> Array1<f32> {
        self.matrix.dot(&x) + &self.bias
    }

    /// Maps `[n, columns]` to `[n, rows]`.
    pub fn apply_rows(&self, x: ArrayView2<f32>) -> Array2<f32> {
        x.dot(&self.matrix.t()) + &self.bias
    }

    /// The same, as it comes back from a file: values rounded to 8 bits a row.
    pub fn quantized(&self) -> Self {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        Self::read(&mut Reader::new(&bytes)).expect("what was just written")
    }

    /// Appends the bytes drawn above.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (rows, columns) = self.shape();
        for side in [rows, columns] {
            out.extend(u32::try_from(side).expect("a small matrix").to_le_bytes());
        }
        let scales: Vec<f32> = self
            .matrix
            .rows()
            .into_iter()
            .map(|row| {
                row.iter()
                    .fold(0.0f32, |largest, value| largest.max(value.abs()))
                    / 127.0
            })
            .collect();
        scales
            .iter()
            .chain(&self.bias)
            .for_each(|value| out.extend(value.to_le_bytes()));
        for (row, scale) in self.matrix.rows().into_iter().zip(&scales) {
            let inverse = if *scale > 0.0 { 1.0 / scale } else { 0.0 };
            out.extend(
                row.iter()
                    .map(|value| (value * inverse).round() as i8 as u8),
            );
        }
    }

    /// Reads what [`Self::write`] wrote.
    pub(super) fn read(reader: &mut Reader) -> Result<Self, AffineError> {
        let (rows, columns) = (reader.side()?, reader.side()?);
        let scales = reader.floats(rows)?;
        let bias = Array1::from(reader.floats(rows)?);
        let bytes = reader.take(rows * columns)?;
        let matrix = Array2::from_shape_fn((rows, columns), |(row, column)| {
            f32::from(bytes[row * columns + column] as i8) * scales[row]
        });
        Ok(Self { matrix, bias })
    }
}

/// What is left of the bytes that are read.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], AffineError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or(AffineError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn side(&mut self) -> Result<usize, AffineError> {
        let bytes = self.take(4)?;
        let side = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        if side > SIDE_MAX {
            return Err(AffineError::Side(side));
        }
        Ok(side)
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>, AffineError> {
        let (words, _) = self.take(count * 4)?.as_chunks::<4>();
        Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_a_row_within_a_254th_of_its_largest() {
        let matrix = Array2::from_shape_fn((3, 50), |(row, column)| {
            ((row * 50 + column) as f32).sin() * 10f32.powi(row as i32)
        });
        let affine = Affine {
            matrix,
            bias: Array1::from(vec![1.0, -2.0, 0.5]),
        };
        let back = affine.quantized();
        assert_eq!(back.bias, affine.bias);
        for (row, (a, b)) in affine
            .matrix
            .rows()
            .into_iter()
            .zip(back.matrix.rows())
            .enumerate()
        {
            let off = (&a - &b).iter().fold(0.0f32, |m, v| m.max(v.abs()));
            assert!(off <= 10f32.powi(row as i32) / 253.0);
        }
    }
}
