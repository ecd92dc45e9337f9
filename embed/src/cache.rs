//! A bounded memory of what was embedded, by content.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::Xxh3;

use crate::{Embedding, Input, Purpose};

/// Which input for which purpose: a hash of its bytes, salted per process so that nobody can prepare two inputs that collide.
pub(crate) type Key = u128;

/// Bytes that an entry costs beside its vector.
const ENTRY_BYTES: usize = 64;

/// Two generations: an answer that is used moves to the young one; when the young one has half the budget, it becomes the old
/// one and what was old is forgotten. Never more than the budget, every operation O(1) but for copying the vector.
pub(crate) struct Cache {
    salt: u64,
    bytes_max: usize,
    young: HashMap<Key, Embedding>,
    young_bytes: usize,
    old: HashMap<Key, Embedding>,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let salt = RandomState::new().hash_one(0_u8);
        Cache {
            salt,
            bytes_max,
            young: HashMap::new(),
            young_bytes: 0,
            old: HashMap::new(),
        }
    }

    pub(crate) fn salt(&self) -> u64 {
        self.salt
    }

    pub(crate) fn get(&mut self, key: Key) -> Option<Embedding> {
        if let Some(found) = self.young.get(&key) {
            return Some(found.clone());
        }
        let found = self.old.remove(&key)?;
        self.put(key, found.clone());
        Some(found)
    }

    pub(crate) fn put(&mut self, key: Key, embedding: Embedding) {
        let bytes = embedding.byte_len() + ENTRY_BYTES;
        if bytes > self.bytes_max / 2 {
            return;
        }
        if self.young_bytes + bytes > self.bytes_max / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(key, embedding).is_none() {
            self.young_bytes += bytes;
        }
    }
}

/// Hashes an input. Time O(bytes), about 10 GB/s.
pub(crate) fn key(salt: u64, input: Input<'_>, purpose: Purpose) -> Key {
    let mut hasher = Xxh3::with_seed(salt);
    hasher.update(&[input.modality() as u8, purpose as u8]);
    hasher.update(match input {
        Input::Text(text) => text.as_bytes(),
        Input::Image(bytes) => bytes,
    });
    hasher.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(x: f32) -> Embedding {
        Embedding::Dense(vec![x; 16])
    }

    #[test]
    fn bounded_and_keeps_what_is_used() {
        let entry = 16 * 4 + ENTRY_BYTES;
        let mut cache = Cache::new(20 * entry);
        cache.put(0, vector(0.0));
        for key in 1..1000 {
            cache.put(key, vector(key as f32));
            assert!(cache.young.len() + cache.old.len() <= 20);
            assert_eq!(
                cache.get(0),
                Some(vector(0.0)),
                "used at every step, so it stays"
            );
        }
        assert_eq!(cache.get(999), Some(vector(999.0)));
        assert_eq!(cache.get(1), None);
    }

    #[test]
    fn too_large_for_the_budget_is_not_kept() {
        let mut cache = Cache::new(100);
        cache.put(1, vector(1.0));
        assert_eq!(cache.get(1), None);
    }

    #[test]
    fn the_key_depends_on_everything() {
        let keys = [
            key(1, Input::Text("a"), Purpose::Query),
            key(1, Input::Text("a"), Purpose::Document),
            key(1, Input::Image(b"a"), Purpose::Query),
            key(1, Input::Text("b"), Purpose::Query),
            key(2, Input::Text("a"), Purpose::Query),
        ];
        assert_eq!(std::collections::HashSet::from(keys).len(), keys.len());
    }
}
