//! Numbers that begin at a cache line, many of them in huge pages: a walk jumps from row to row, and the addresses of so many small pages do not
//! fit into the processor's table of them.

use std::mem::MaybeUninit;

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
        let mut values = Vec::with_capacity(len + Self::SLACK);
        use_huge_pages(values.spare_capacity_mut());
        values.resize(len + Self::SLACK, value);
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

/// Bytes from which on huge pages are asked for: some of them, as there are on all machines that we meet.
#[cfg(target_os = "linux")]
const HUGE_FROM: usize = 4 << 20;

/// Asks for huge pages before memory is touched. What cannot be had is done without.
#[cfg(target_os = "linux")]
fn use_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    use rustix::mm::{Advice, madvise};
    if size_of_val(memory) < HUGE_FROM {
        return;
    }
    let page = rustix::param::page_size();
    let start = memory.as_mut_ptr().addr().next_multiple_of(page);
    let end = memory.as_mut_ptr_range().end.addr() / page * page;
    let first = memory.as_mut_ptr().with_addr(start);
    // SAFETY: whole pages within memory that is borrowed for writing; the advice changes the size of the pages behind it and not what it holds.
    let _ = unsafe { madvise(first.cast(), end - start, Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn use_huge_pages<T>(_memory: &mut [MaybeUninit<T>]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_a_line() {
        for len in [0, 1, 63, 64, 100_000, 9_000_001] {
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
