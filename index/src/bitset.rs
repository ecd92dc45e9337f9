//! A set of offsets.

use crate::Offset;

/// A set of the offsets `0..len`, one bit each: a filter's answer, or the rows that live.
///
/// The number of members is kept, so [`BitSet::count`] is free for those who plan by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitSet {
    len: usize,
    /// Of the words' bits, how many are set.
    count: usize,
    /// Bit `i % 64` of word `i / 64` is offset `i`. Bits from `len` on are clear.
    words: Vec<u64>,
}

impl BitSet {
    /// The empty set over `0..len`.
    pub fn new(len: usize) -> Self {
        Self {
            len,
            count: 0,
            words: vec![0; len.div_ceil(64)],
        }
    }

    /// The set of all of `0..len`.
    pub fn full(len: usize) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(64)];
        if let (Some(last), 1..) = (words.last_mut(), len % 64) {
            *last = (1 << (len % 64)) - 1;
        }
        Self {
            len,
            count: len,
            words,
        }
    }

    /// The set of these offsets over `0..len`.
    ///
    /// # Panics
    ///
    /// If one of them is not below `len`.
    pub fn from_offsets(len: usize, offsets: impl IntoIterator<Item = Offset>) -> Self {
        let mut set = Self::new(len);
        for offset in offsets {
            set.insert(offset);
        }
        set
    }

    /// Reads what [`BitSet::words`] gave.
    ///
    /// # Errors
    ///
    /// Answers `None` if the words are not `len.div_ceil(64)`, or a bit from `len` on is set.
    pub fn from_words(len: usize, words: Vec<u64>) -> Option<Self> {
        let spare = !Self::full(len).words.last().copied().unwrap_or(u64::MAX);
        if words.len() != len.div_ceil(64) || words.last().is_some_and(|last| last & spare != 0) {
            return None;
        }
        let count = words.iter().map(|word| word.count_ones() as usize).sum();
        Some(Self { len, count, words })
    }

    /// Makes room for offsets up to `len`, none of the new ones a member. Time O(1) amortized per 64 offsets.
    ///
    /// # Panics
    ///
    /// If the set covers more already.
    pub fn grow(&mut self, len: usize) {
        assert!(len >= self.len, "a set of {} does not shrink", self.len);
        self.len = len;
        self.words.resize(len.div_ceil(64), 0);
    }

    /// The members among `start..start + len`, counted from `start`: a copy. Offsets from [`BitSet::len`] on are no members.
    ///
    /// # Panics
    ///
    /// If `start` is no multiple of 64.
    pub fn slice(&self, start: usize, len: usize) -> Self {
        assert!(start.is_multiple_of(64), "a slice begins at a word");
        let mut slice = Self::full(len);
        let theirs = self.words.get(start / 64..).unwrap_or_default();
        for (at, word) in slice.words.iter_mut().enumerate() {
            *word &= theirs.get(at).copied().unwrap_or_default();
        }
        slice.count = slice
            .words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum();
        slice
    }

    /// The number of offsets that could be members.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing could be a member. Whether nothing is one tells [`BitSet::count`].
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of members. Time O(1).
    pub fn count(&self) -> usize {
        self.count
    }

    /// Adds an offset; tells whether it was new.
    ///
    /// # Panics
    ///
    /// If `offset` is not below [`BitSet::len`].
    pub fn insert(&mut self, offset: Offset) -> bool {
        assert!(
            (offset as usize) < self.len,
            "offset {offset} in a set of {}",
            self.len
        );
        let word = &mut self.words[offset as usize / 64];
        let bit = 1 << (offset % 64);
        let new = *word & bit == 0;
        *word |= bit;
        self.count += usize::from(new);
        new
    }

    /// Takes an offset out; tells whether it was in.
    pub fn remove(&mut self, offset: Offset) -> bool {
        let Some(word) = self.words.get_mut(offset as usize / 64) else {
            return false;
        };
        let bit = 1 << (offset % 64);
        let was = *word & bit != 0;
        *word &= !bit;
        self.count -= usize::from(was);
        was
    }

    /// Whether `offset` is a member; offsets from [`BitSet::len`] on never are.
    pub fn contains(&self, offset: Offset) -> bool {
        self.words
            .get(offset as usize / 64)
            .is_some_and(|word| word >> (offset % 64) & 1 == 1)
    }

    /// The members in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Offset> + '_ {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(i, &word)| Bits(word).map(move |bit| i as Offset * 64 + bit))
    }

    /// Keeps what is in `other` too. Time O(len / 64).
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn intersect_with(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine & theirs);
    }

    /// Adds what is in `other`. Time O(len / 64).
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn union_with(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine | theirs);
    }

    /// Takes out what is in `other`. Time O(len / 64).
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine & !theirs);
    }

    /// Members as words of 64, low bit first.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    fn combine(&mut self, other: &Self, op: impl Fn(u64, u64) -> u64) {
        assert_eq!(self.len, other.len, "sets of different length");
        self.words
            .iter_mut()
            .zip(&other.words)
            .for_each(|(mine, &theirs)| *mine = op(*mine, theirs));
        self.count = self
            .words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum();
    }
}

/// The positions of the set bits of a word, ascending.
pub(crate) struct Bits(pub(crate) u64);

impl Iterator for Bits {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let bit = (self.0 != 0).then(|| self.0.trailing_zeros())?;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn full_ends_where_it_should() {
        for len in [0, 1, 63, 64, 65, 128, 200] {
            let set = BitSet::full(len);
            assert_eq!(set.count(), len);
            assert!(set.iter().eq(0..len as Offset), "len {len}");
            assert!(!set.contains(len as Offset));
            assert!(!set.contains(Offset::MAX));
        }
    }

    #[test]
    fn slices_grows_and_comes_back_from_its_words() {
        let mut set = BitSet::from_offsets(100, [0, 63, 64, 70, 99]);
        assert!(set.slice(64, 10).iter().eq([0, 6]));
        assert!(set.slice(64, 200).iter().eq([0, 6, 35]));
        assert_eq!(set.slice(128, 5).count(), 0);
        set.grow(130);
        set.insert(129);
        assert!(set.slice(128, 2).iter().eq([1]));
        assert_eq!(
            BitSet::from_words(130, set.words().to_vec()),
            Some(set.clone())
        );
        assert_eq!(BitSet::from_words(129, set.words().to_vec()), None);
        assert_eq!(BitSet::from_words(200, set.words().to_vec()), None);
        assert_eq!(BitSet::from_words(0, Vec::new()), Some(BitSet::new(0)));
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in prop::collection::vec((any::<bool>(), 0u32..150), 0..300), others in prop::collection::btree_set(0u32..150, 0..150)) {
            let (mut set, mut model) = (BitSet::new(150), BTreeSet::new());
            for (insert, offset) in steps {
                if insert {
                    prop_assert_eq!(set.insert(offset), model.insert(offset));
                } else {
                    prop_assert_eq!(set.remove(offset), model.remove(&offset));
                }
            }
            let other = BitSet::from_offsets(150, others.iter().copied());
            let check = |op: fn(&mut BitSet, &BitSet), expected: BTreeSet<u32>| {
                let mut result = set.clone();
                op(&mut result, &other);
                assert_eq!(result.count(), expected.len());
                assert!(result.iter().eq(expected.iter().copied()));
                assert!((0..150).all(|offset| result.contains(offset) == expected.contains(&offset)));
            };
            check(|_, _| {}, model.clone());
            check(BitSet::intersect_with, &model & &others);
            check(BitSet::union_with, &model | &others);
            check(BitSet::subtract, &model - &others);
        }
    }
}
