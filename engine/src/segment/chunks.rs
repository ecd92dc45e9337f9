//! A list that grows at its end and is cheap to clone, so that searches read the growing segment without holding up writers.

use std::sync::{Arc, OnceLock};

/// Values in chunks that clones share. Pushing copies the last chunk if a clone holds it, and nothing else. Of a full chunk a `D` can be derived.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<T, D = ()> {
    /// Values of every chunk but the last, which may hold fewer.
    chunk_len: usize,
    len: usize,
    chunks: Vec<Arc<Chunk<T, D>>>,
}

#[derive(Clone, Debug)]
struct Chunk<T, D> {
    values: Vec<T>,
    /// Of a full chunk, once it was asked for.
    derived: OnceLock<D>,
}

impl<T, D> Default for Chunk<T, D> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            derived: OnceLock::new(),
        }
    }
}

impl<T: Clone, D: Clone> Chunks<T, D> {
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
        let last = &mut last.values;
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
        let chunk = self.chunks.get(at / self.chunk_len)?;
        chunk.values.get(at % self.chunk_len)
    }

    /// `len` values that were pushed together.
    pub fn group(&self, start: usize, len: usize) -> Option<&[T]> {
        let within = start % self.chunk_len;
        let chunk = self.chunks.get(start / self.chunk_len)?;
        chunk.values.get(within..within.checked_add(len)?)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.values.iter())
    }

    /// The chunks in order, all but the last equally long, each with what `derive` makes of it if it is full. That is made once, for all clones.
    pub fn chunks(&self, derive: impl Fn(&[T]) -> D) -> impl Iterator<Item = (&[T], Option<&D>)> {
        self.chunks.iter().map(move |chunk| {
            let is_full = chunk.values.len() == self.chunk_len;
            let derived = is_full.then(|| chunk.derived.get_or_init(|| derive(&chunk.values)));
            (chunk.values.as_slice(), derived)
        })
    }

    /// What was derived so far.
    pub fn derived(&self) -> impl Iterator<Item = &D> {
        self.chunks.iter().filter_map(|chunk| chunk.derived.get())
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
        let mut list: Chunks<i32> = Chunks::new(4);
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
        let lengths = list.chunks(|_| ()).map(|(chunk, _)| chunk.len());
        assert_eq!(lengths.collect::<Vec<_>>(), [4, 4, 2]);
    }

    #[test]
    fn what_is_derived_of_a_full_chunk_is_made_once() {
        let mut list: Chunks<i32, i32> = Chunks::new(2);
        list.extend(&[1, 2]);
        list.push(3);
        let sums = |list: &Chunks<i32, i32>, extra| -> Vec<Option<i32>> {
            let derive = |chunk: &[i32]| chunk.iter().sum::<i32>() + extra;
            let chunks = list.chunks(derive);
            chunks.map(|(_, derived)| derived.copied()).collect()
        };
        let before = list.clone();
        assert_eq!(sums(&before, 0), [Some(3), None]);
        list.push(4);
        assert_eq!(sums(&list, 100), [Some(3), Some(107)]);
        assert_eq!(sums(&before, 200), [Some(3), None]);
        // Pushing copies a chunk of which nothing was derived.
        let mut after = list.clone();
        after.push(5);
        assert_eq!(sums(&after, 300), [Some(3), Some(107), None]);
        after.push(6);
        assert_eq!(sums(&after, 300), [Some(3), Some(107), Some(311)]);
        assert!(list.derived().eq(&[3, 107]));
    }
}
