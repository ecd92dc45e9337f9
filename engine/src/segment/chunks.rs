//! A list that grows at its end and is cheap to clone, so that searches read the growing segment without holding up writers.

use std::sync::Arc;

/// Values in chunks that clones share. Pushing copies the last chunk if a clone holds it, and nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<T> {
    /// Values of every chunk but the last, which may hold fewer.
    chunk_len: usize,
    len: usize,
    chunks: Vec<Arc<Vec<T>>>,
}

impl<T: Clone> Chunks<T> {
    /// An empty list.
    ///
    /// # Panics
    ///
    /// If `chunk_len` is 0.
    pub fn new(chunk_len: usize) -> Self {
        assert!(chunk_len > 0, "a chunk holds something");
        Self {
            chunk_len,
            len: 0,
            chunks: Vec::new(),
        }
    }

    pub fn push(&mut self, value: T) {
        self.extend(std::slice::from_ref(&value));
    }

    /// Adds values that stay together.
    ///
    /// # Panics
    ///
    /// If chunks do not consist of whole groups of so many.
    pub fn extend(&mut self, values: &[T]) {
        if values.is_empty() {
            return;
        }
        if self.len.is_multiple_of(self.chunk_len) {
            self.chunks.push(Arc::default());
        }
        let last = Arc::make_mut(self.chunks.last_mut().expect("it was pushed"));
        assert!(
            last.len() + values.len() <= self.chunk_len,
            "{} values do not fit a chunk of {}",
            values.len(),
            self.chunk_len
        );
        last.extend_from_slice(values);
        self.len += values.len();
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The value at a place.
    pub fn get(&self, at: usize) -> Option<&T> {
        self.chunks
            .get(at / self.chunk_len)?
            .get(at % self.chunk_len)
    }

    /// `len` values that were pushed together.
    pub fn group(&self, start: usize, len: usize) -> Option<&[T]> {
        let within = start % self.chunk_len;
        let chunk = self.chunks.get(start / self.chunk_len)?;
        chunk.get(within..within.checked_add(len)?)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// The chunks in order, all but the last equally long.
    pub fn chunks(&self) -> impl Iterator<Item = &[T]> {
        self.chunks.iter().map(|chunk| chunk.as_slice())
    }

    /// Bytes of the values themselves.
    pub fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let mut list = Chunks::new(4);
        list.extend(&[1, 2]);
        list.extend(&[3, 4]);
        list.extend(&[5, 6]);
        let before = list.clone();
        list.extend(&[7, 8]);
        list.extend(&[9, 10]);
        assert!(before.iter().copied().eq(1..=6));
        assert!(list.iter().copied().eq(1..=10));
        assert!(Arc::ptr_eq(&before.chunks[0], &list.chunks[0]));
        assert_eq!(list.group(6, 2), Some(&[7, 8][..]));
        assert_eq!((list.get(9), list.get(10)), (Some(&10), None));
        assert_eq!(list.group(10, 2), None);
        assert_eq!(list.chunks().map(<[_]>::len).collect::<Vec<_>>(), [4, 4, 2]);
    }
}
