//! Numbers that begin at a cache line.

/// A vector of numbers whose first one lies at a multiple of 64 bytes, so that rows of whole lines touch no line more.
#[derive(Default)]
pub(crate) struct Aligned<T> {
    /// Never grows, so `start` stays where it is.
    values: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy> Aligned<T> {
    const SLACK: usize = 64 / size_of::<T>();

    /// `len` times `value`.
    pub(crate) fn new(value: T, len: usize) -> Self {
        let values = vec![value; len + Self::SLACK];
        let start = values.as_ptr().align_offset(64).min(Self::SLACK);
        Self { values, start, len }
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        &self.values[self.start..self.start + self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.values[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_a_line() {
        for len in [0, 1, 63, 64, 100_000] {
            let bytes = Aligned::new(7u8, len);
            assert_eq!(bytes.as_slice(), vec![7; len]);
            assert!(bytes.as_slice().as_ptr().addr().is_multiple_of(64));
            let mut numbers = Aligned::new(u32::MAX, len);
            numbers.as_mut_slice().fill(3);
            assert_eq!(numbers.as_slice(), vec![3; len]);
            assert!(numbers.as_slice().as_ptr().addr().is_multiple_of(64));
        }
    }
}
