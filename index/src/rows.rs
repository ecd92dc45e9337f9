//! The vectors of a segment, one after another.

use std::fmt;
use std::sync::Arc;

use crate::Offset;

/// Row-major vectors `[n, dim]`, shared and immutable: cloning is cheap.
///
/// Several indexes over the same column hold the same rows.
#[derive(Clone)]
pub struct Rows {
    /// At least 1.
    dim: usize,
    /// A multiple of `dim` long, with no more rows than an [`Offset`] can name.
    values: Arc<Vec<f32>>,
}

impl Rows {
    /// Takes `values` as rows of `dim` components each. No copy.
    ///
    /// # Panics
    ///
    /// If `dim` is 0, `values` does not consist of whole rows, or there are more than [`Offset::MAX`] rows.
    pub fn new(dim: usize, values: Vec<f32>) -> Self {
        assert!(dim > 0, "rows need a dim of at least 1");
        assert!(
            values.len().is_multiple_of(dim),
            "{} values are not whole rows of dim {dim}",
            values.len()
        );
        assert!(
            values.len() / dim <= Offset::MAX as usize,
            "{} rows are more than offsets",
            values.len() / dim
        );
        Self {
            dim,
            values: Arc::new(values),
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The number of components of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Row `offset`: `[dim]`.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn row(&self, offset: Offset) -> &[f32] {
        let start = offset as usize * self.dim;
        &self.values[start..start + self.dim]
    }

    /// All rows, one after another: `[n * dim]`.
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("len", &self.len())
            .field("dim", &self.dim)
            .finish_non_exhaustive()
    }
}
