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
    values: Values,
}

#[derive(Clone)]
enum Values {
    Owned(Arc<Vec<f32>>),
    Shared(Arc<dyn AsRef<[f32]> + Send + Sync>),
}

impl Rows {
    /// Takes `values` as rows of `dim` components each. No copy.
    ///
    /// # Panics
    ///
    /// If `dim` is 0, `values` does not consist of whole rows, or there are more than [`Offset::MAX`] rows.
    pub fn new(dim: usize, values: Vec<f32>) -> Self {
        check_shape(dim, values.len());
        Self {
            dim,
            values: Values::Owned(Arc::new(values)),
        }
    }

    /// Rows that someone else holds, in a memory-mapped file say, and that never change. No copy.
    ///
    /// # Panics
    ///
    /// As [`Rows::new`].
    pub fn shared(dim: usize, values: Arc<dyn AsRef<[f32]> + Send + Sync>) -> Self {
        check_shape(dim, (*values).as_ref().len());
        Self {
            dim,
            values: Values::Shared(values),
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.as_slice().len() / self.dim
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
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
        &self.as_slice()[start..start + self.dim]
    }

    /// All rows, one after another: `[n * dim]`.
    pub fn as_slice(&self) -> &[f32] {
        match &self.values {
            Values::Owned(values) => values,
            Values::Shared(values) => (**values).as_ref(),
        }
    }
}

fn check_shape(dim: usize, values: usize) {
    assert!(dim > 0, "rows need a dim of at least 1");
    assert!(
        values.is_multiple_of(dim),
        "{values} values are not whole rows of dim {dim}"
    );
    assert!(
        values / dim <= Offset::MAX as usize,
        "{} rows are more than offsets",
        values / dim
    );
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("len", &self.len())
            .field("dim", &self.dim)
            .finish_non_exhaustive()
    }
}
