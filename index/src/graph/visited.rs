//! Which rows a walk has seen.

use crate::Offset;

/// A set of offsets that is emptied in O(1).
#[derive(Clone, Debug)]
pub(crate) enum Visited {
    /// A mark per row: the number of the walk that saw it last.
    Marks { marks: Vec<u16>, walk: u16 },
    /// Open addressing with linear probing: where most rows are never seen, marks would only fill the cache.
    Table {
        /// `walk << 32 | offset`; a power of two of them, at most half of this walk.
        slots: Vec<u64>,
        walk: u32,
        len: usize,
    },
}

impl Visited {
    /// Up to so many rows, marks are kept: 8 MiB.
    const MARKS_MAX: usize = 4 << 20;

    /// The empty set over `0..n`.
    pub(crate) fn new(n: usize) -> Self {
        if n <= Self::MARKS_MAX {
            Self::Marks {
                marks: vec![0; n],
                walk: 0,
            }
        } else {
            Self::table()
        }
    }

    fn table() -> Self {
        Self::Table {
            slots: vec![0; 1 << 12],
            walk: 0,
            len: 0,
        }
    }

    /// Empties it.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Marks { marks, walk } => {
                *walk = walk.wrapping_add(1);
                if *walk == 0 {
                    marks.fill(0);
                    *walk = 1;
                }
            }
            Self::Table { slots, walk, len } => {
                *len = 0;
                *walk = walk.wrapping_add(1);
                if *walk == 0 {
                    slots.fill(0);
                    *walk = 1;
                }
            }
        }
    }

    /// Adds an offset; tells whether it was new.
    #[inline(always)]
    pub(crate) fn insert(&mut self, offset: Offset) -> bool {
        match self {
            Self::Marks { marks, walk } => {
                let mark = &mut marks[offset as usize];
                let new = *mark != *walk;
                *mark = *walk;
                new
            }
            Self::Table { .. } => self.insert_in_table(offset),
        }
    }

    fn insert_in_table(&mut self, offset: Offset) -> bool {
        let Self::Table { slots, walk, len } = self else {
            return false;
        };
        if *len * 2 >= slots.len() {
            let kept: Vec<u64> = slots
                .iter()
                .copied()
                .filter(|slot| slot >> 32 == u64::from(*walk))
                .collect();
            *slots = vec![0; slots.len() * 2];
            for key in kept {
                place(slots, *walk, key);
            }
        }
        let new = place(slots, *walk, u64::from(*walk) << 32 | u64::from(offset));
        *len += usize::from(new);
        new
    }
}

/// Puts a key into the first slot from its own on that is not of this walk; false if it is there already.
fn place(slots: &mut [u64], walk: u32, key: u64) -> bool {
    let mask = slots.len() - 1;
    let mut at = (key as u32).wrapping_mul(0x9e37_79b1) as usize & mask;
    loop {
        if slots[at] == key {
            return false;
        }
        if slots[at] >> 32 != u64::from(walk) {
            slots[at] = key;
            return true;
        }
        at = (at + 1) & mask;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::Random;

    #[test]
    fn both_behave_as_a_set_over_many_walks() {
        for mut visited in [Visited::new(50_000), Visited::table()] {
            let mut random = Random::new(1);
            for walk in 0..70_000 {
                visited.clear();
                let mut model = BTreeSet::new();
                let size = if walk % 10_000 == 0 { 20_000 } else { 4 };
                for _ in 0..size {
                    let offset = random.below(50_000) as Offset;
                    assert_eq!(visited.insert(offset), model.insert(offset));
                }
            }
        }
        assert!(matches!(
            Visited::new(Visited::MARKS_MAX + 1),
            Visited::Table { .. }
        ));
    }
}
