//! What an embedder gives back: vectors, and an error for each input without one.

use ndarray::Array2;

use crate::EmbedError;

/// A sparse vector: what is not listed is zero.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SparseVector {
    /// Rising, each once.
    pub indices: Vec<u32>,
    /// As many as `indices`, finite.
    pub values: Vec<f32>,
}

impl SparseVector {
    /// Sorts pairs by index; values of equal indices are added.
    ///
    /// Time O(n log n).
    pub fn from_pairs(mut pairs: Vec<(u32, f32)>) -> Self {
        pairs.sort_unstable_by_key(|&(index, _)| index);
        let mut vector = SparseVector {
            indices: Vec::with_capacity(pairs.len()),
            values: Vec::with_capacity(pairs.len()),
        };
        for (index, value) in pairs {
            match vector.indices.last() {
                Some(&last) if last == index => {
                    *vector.values.last_mut().expect("as many values as indices") += value
                }
                _ => {
                    vector.indices.push(index);
                    vector.values.push(value);
                }
            }
        }
        vector
    }

    /// Inner product. Time O(n + m).
    pub fn dot(&self, other: &SparseVector) -> f32 {
        let (mut a, mut b, mut sum) = (0, 0, 0.0);
        while a < self.indices.len() && b < other.indices.len() {
            match self.indices[a].cmp(&other.indices[b]) {
                std::cmp::Ordering::Less => a += 1,
                std::cmp::Ordering::Greater => b += 1,
                std::cmp::Ordering::Equal => {
                    sum += self.values[a] * other.values[b];
                    a += 1;
                    b += 1;
                }
            }
        }
        sum
    }
}

/// One vector.
#[derive(Debug, Clone, PartialEq)]
pub enum Embedding {
    /// `dim` numbers.
    Dense(Vec<f32>),
    /// Pairs of index and value.
    Sparse(SparseVector),
}

impl Embedding {
    /// Bytes on the heap.
    pub fn byte_len(&self) -> usize {
        match self {
            Embedding::Dense(vector) => vector.len() * 4,
            Embedding::Sparse(vector) => vector.indices.len() * 8,
        }
    }

    pub(crate) fn is_finite(&self) -> bool {
        match self {
            Embedding::Dense(vector) => vector.iter().all(|x| x.is_finite()),
            Embedding::Sparse(vector) => vector.values.iter().all(|x| x.is_finite()),
        }
    }
}

/// The answers of one call of [`Embedder::embed`](crate::Embedder::embed), in the order of the inputs.
#[derive(Debug, Clone)]
pub struct Batch {
    vectors: Vectors,
    /// As many as inputs.
    errors: Vec<Option<EmbedError>>,
}

#[derive(Debug, Clone)]
enum Vectors {
    /// `[n, dim]`; the row of an input with an error means nothing.
    Dense(Array2<f32>),
    /// `n`; the vector of an input with an error is empty.
    Sparse(Vec<SparseVector>),
}

impl Batch {
    /// A batch from a matrix.
    ///
    /// - `vectors`: `[n, dim]`; a row whose input failed may hold anything.
    /// - `errors`: `n`; the error of each input that failed.
    ///
    /// # Panics
    ///
    /// If the two lengths differ.
    pub fn dense(vectors: Array2<f32>, errors: Vec<Option<EmbedError>>) -> Self {
        assert_eq!(
            vectors.nrows(),
            errors.len(),
            "a row and an error slot for each input"
        );
        Batch {
            vectors: Vectors::Dense(vectors),
            errors,
        }
    }

    /// A batch from one vector or error per input.
    ///
    /// # Panics
    ///
    /// If a vector has not `dim` numbers.
    pub fn from_rows(dim: usize, rows: Vec<Result<Vec<f32>, EmbedError>>) -> Self {
        let mut vectors = Array2::zeros((rows.len(), dim));
        let mut errors = Vec::with_capacity(rows.len());
        for (mut target, row) in vectors.rows_mut().into_iter().zip(rows) {
            errors.push(match row {
                Ok(row) => {
                    target.assign(&ndarray::ArrayView1::from(&row));
                    None
                }
                Err(error) => Some(error),
            });
        }
        Batch::dense(vectors, errors)
    }

    /// A batch of sparse vectors.
    pub fn sparse(rows: Vec<Result<SparseVector, EmbedError>>) -> Self {
        let (vectors, errors) = rows
            .into_iter()
            .map(|row| match row {
                Ok(vector) => (vector, None),
                Err(error) => (SparseVector::default(), Some(error)),
            })
            .unzip();
        Batch {
            vectors: Vectors::Sparse(vectors),
            errors,
        }
    }

    /// Number of inputs answered.
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// Whether there was no input.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The matrix `[n, dim]` of a dense batch; rows whose input failed mean nothing.
    pub fn matrix(&self) -> Option<&Array2<f32>> {
        match &self.vectors {
            Vectors::Dense(matrix) => Some(matrix),
            Vectors::Sparse(_) => None,
        }
    }

    /// The errors, one slot per input.
    pub fn errors(&self) -> &[Option<EmbedError>] {
        &self.errors
    }
}

impl IntoIterator for Batch {
    type Item = Result<Embedding, EmbedError>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        let embeddings: Vec<Embedding> = match self.vectors {
            Vectors::Dense(matrix) => matrix
                .rows()
                .into_iter()
                .map(|row| Embedding::Dense(row.to_vec()))
                .collect(),
            Vectors::Sparse(vectors) => vectors.into_iter().map(Embedding::Sparse).collect(),
        };
        let answers: Vec<_> = embeddings
            .into_iter()
            .zip(self.errors)
            .map(|(embedding, error)| match error {
                None => Ok(embedding),
                Some(error) => Err(error),
            })
            .collect();
        answers.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Modality;

    #[test]
    fn pairs_are_sorted_and_added() {
        let vector = SparseVector::from_pairs(vec![(9, 1.0), (2, 0.5), (9, 2.0)]);
        assert_eq!(
            vector,
            SparseVector {
                indices: vec![2, 9],
                values: vec![0.5, 3.0]
            }
        );
        assert_eq!(
            vector.dot(&SparseVector {
                indices: vec![1, 9],
                values: vec![7.0, 2.0]
            }),
            6.0
        );
    }

    #[test]
    fn an_error_takes_the_place_of_its_row_only() {
        let empty = EmbedError::Empty {
            modality: Modality::Text,
        };
        let batch = Batch::from_rows(
            2,
            vec![Ok(vec![1.0, 2.0]), Err(empty.clone()), Ok(vec![3.0, 4.0])],
        );
        assert_eq!(batch.matrix().map(|matrix| matrix.dim()), Some((3, 2)));
        let answers: Vec<_> = batch.into_iter().collect();
        assert_eq!(
            answers,
            [
                Ok(Embedding::Dense(vec![1.0, 2.0])),
                Err(empty),
                Ok(Embedding::Dense(vec![3.0, 4.0]))
            ]
        );
    }
}
