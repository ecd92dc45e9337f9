//! Small copies of pictures, made when asked for and remembered for a while.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

/// Bytes of thumbnails kept: some hundred of the default size.
const BYTES_MAX: usize = 4 << 20;

/// Which thumbnail: a hash of the picture's bytes, and the longer side.
pub type Key = (u128, u32);

/// A bounded memory of thumbnails; the one unused for longest goes first.
#[derive(Default)]
pub struct Thumbnails {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_key: HashMap<Key, (u64, Arc<[u8]>)>,
    /// From the time of its last use to the key; times are unique.
    by_use: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
}

impl Thumbnails {
    /// The thumbnail of this key, made by `make` if it is not there. Two callers may make the same one at once; both are equal.
    ///
    /// # Errors
    ///
    /// That of `make`.
    pub fn get_or_make<E>(
        &self,
        key: Key,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Arc<[u8]>, E> {
        if let Some(bytes) = self.kept.lock().touch(key) {
            return Ok(bytes);
        }
        let bytes: Arc<[u8]> = make()?.into();
        self.kept.lock().insert(key, Arc::clone(&bytes));
        Ok(bytes)
    }
}

impl Kept {
    fn touch(&mut self, key: Key) -> Option<Arc<[u8]>> {
        self.clock += 1;
        let (used, bytes) = self.by_key.get_mut(&key)?;
        self.by_use.remove(used);
        *used = self.clock;
        self.by_use.insert(self.clock, key);
        Some(Arc::clone(bytes))
    }

    fn insert(&mut self, key: Key, bytes: Arc<[u8]>) {
        if bytes.len() > BYTES_MAX || self.touch(key).is_some() {
            return;
        }
        self.bytes += bytes.len();
        self.by_use.insert(self.clock, key);
        self.by_key.insert(key, (self.clock, bytes));
        while self.bytes > BYTES_MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
            && let Some((_, bytes)) = self.by_key.remove(&oldest)
        {
            self.bytes -= bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_goes_first() {
        let thumbnails = Thumbnails::default();
        let make = |n: u128| {
            thumbnails
                .get_or_make((n, 0), || Ok::<_, ()>(vec![0; BYTES_MAX / 4]))
                .unwrap()
        };
        (0..4).for_each(|n| drop(make(n)));
        make(0);
        make(4);
        let kept = thumbnails.kept.lock();
        let mut keys: Vec<u128> = kept.by_key.keys().map(|key| key.0).collect();
        keys.sort_unstable();
        assert_eq!(keys, [0, 2, 3, 4]);
        assert_eq!(kept.bytes, 4 * (BYTES_MAX / 4));
        assert_eq!(kept.by_use.len(), 4);
    }

    #[test]
    fn errors_and_giants_are_not_kept() {
        let thumbnails = Thumbnails::default();
        assert_eq!(thumbnails.get_or_make((1, 0), || Err("no")), Err("no"));
        thumbnails
            .get_or_make((2, 0), || Ok::<_, ()>(vec![0; BYTES_MAX + 1]))
            .unwrap();
        assert_eq!(thumbnails.kept.lock().bytes, 0);
    }
}
