//! Whole files in memory: base vectors, queries and ground truth of a benchmark.

use std::path::Path;

use ndarray::Array2;

use crate::formats::{OpenError, OpenOptions, open, open_numbers};
use crate::row::{RowError, RowFault};

/// A file that cannot be read as a matrix.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A row cannot be read: a benchmark wants all of them.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A row cannot be read.
    #[error("{name} row {row}: {fault}")]
    Fault {
        /// The file's name.
        name: String,
        /// The row, from 0.
        row: u64,
        /// What is wrong with it.
        fault: RowFault,
    },
    /// A row has no vector, or another dim than the first.
    #[error("{source_name}: wanted a vector of {wanted} numbers, got {got}")]
    Dim {
        /// The source of the row.
        source_name: String,
        /// Dim of the first row.
        wanted: usize,
        /// Dim of this row, 0 if it has no vector.
        got: usize,
    },
    /// A neighbour that is no offset.
    #[error("{name} row {row}: {number} is no offset")]
    Offset {
        /// The file's name.
        name: String,
        /// The row, from 0.
        row: u64,
        /// What stands there.
        number: f64,
    },
    /// The file holds no numbers that could be neighbours.
    #[error("{name}: wanted NPY, ivecs or another file of numbers")]
    NotNumbers {
        /// The file's name.
        name: String,
    },
}

/// Reads the first vector of each row of any format, up to `rows_max` rows, as `[rows, dim]`.
///
/// Extra space: none but the matrix, which grows with what is read, not with what a header says.
///
/// # Errors
///
/// The first bad row ends it.
pub fn read_vectors(
    path: &Path,
    options: &OpenOptions,
    rows_max: usize,
) -> Result<Array2<f32>, MatrixError> {
    let mut numbers: Vec<f32> = Vec::new();
    let (mut rows, mut dim) = (0, None);
    for row in open(path, options)?.take(rows_max) {
        let row = row?;
        let vector = row
            .vectors
            .first()
            .map_or(&[][..], |(_, vector)| vector.as_slice());
        let wanted = *dim.get_or_insert(vector.len());
        if vector.len() != wanted || wanted == 0 {
            return Err(MatrixError::Dim {
                source_name: row.source,
                wanted,
                got: vector.len(),
            });
        }
        numbers.extend_from_slice(vector);
        rows += 1;
    }
    let shape = (rows, dim.unwrap_or(0));
    Ok(Array2::from_shape_vec(shape, numbers).expect("every row has the dim of the first"))
}

/// Reads offsets (ground truth: ivecs, or NPY of integers) as `[queries, k]`, exactly.
///
/// # Errors
///
/// The file holds no numbers, or one that is no `u32`.
pub fn read_neighbors(path: &Path, options: &OpenOptions) -> Result<Array2<u32>, MatrixError> {
    let name = || path.display().to_string();
    let mut rows =
        open_numbers(path, options)?.ok_or_else(|| MatrixError::NotNumbers { name: name() })?;
    let (mut offsets, mut numbers) = (Vec::new(), Vec::new());
    let mut row = 0u64;
    while let Some(read) = rows.next_row(&mut numbers) {
        read.map_err(|fault| MatrixError::Fault {
            name: name(),
            row,
            fault,
        })?;
        for &number in &numbers {
            let is_offset = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
            if !is_offset {
                return Err(MatrixError::Offset {
                    name: name(),
                    row,
                    number,
                });
            }
            offsets.push(number as u32);
        }
        row += 1;
    }
    let k = if row == 0 {
        0
    } else {
        offsets.len() / row as usize
    };
    Ok(Array2::from_shape_vec((row as usize, k), offsets).expect("a file's rows have one length"))
}
