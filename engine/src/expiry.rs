//! When points end: which of a collection's points carry an expiry, and which are hidden already and wait to be dropped.
//!
//! A point is hidden at its time, by whoever reads first from then on: [`Expiry::due`] tells in O(1) whether there is anything to hide. It is
//! dropped later, by a logged operation that asks the row itself again ([`crate::Operation::Expire`]), so that every replica
//! drops it at the same place of the log whatever its own clock says.

use std::collections::{BTreeSet, HashMap};

use crate::Partition;
use crate::point::PointId;

/// The points of one collection that end some time.
#[derive(Default)]
pub(crate) struct Expiry {
    /// Of the points that are shown.
    by_id: HashMap<PointId, u64>,
    /// The same, soonest first.
    by_time: BTreeSet<(u64, PointId)>,
    /// Hidden, but still in the store.
    hidden: HashMap<PointId, Partition>,
}

impl Expiry {
    /// The point ends at this time (milliseconds since 1970). Time O(log points that end).
    pub fn set(&mut self, id: PointId, expires_at_ms: u64) {
        self.forget(&id);
        self.by_time.insert((expires_at_ms, id.clone()));
        self.by_id.insert(id, expires_at_ms);
    }

    /// When a point that is shown ends, if it does.
    pub fn of(&self, id: &PointId) -> Option<u64> {
        if self.by_id.is_empty() {
            return None;
        }
        self.by_id.get(id).copied()
    }

    /// The point was replaced or removed. Time O(1) for one without an expiry.
    pub fn forget(&mut self, id: &PointId) {
        self.hidden.remove(id);
        if let Some(expires_at_ms) = self.by_id.remove(id) {
            self.by_time.remove(&(expires_at_ms, id.clone()));
        }
    }

    /// Whether a point is to be hidden. The clock is asked only if some point ends some time.
    pub fn due(&self, now_ms: impl FnOnce() -> u64) -> bool {
        let first = self.by_time.first();
        first.is_some_and(|(expires_at_ms, _)| *expires_at_ms <= now_ms())
    }

    /// The next point that is to be hidden, if any is.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<PointId> {
        if !self.due(|| now_ms) {
            return None;
        }
        let (_, id) = self.by_time.pop_first()?;
        self.by_id.remove(&id);
        Some(id)
    }

    /// The point is hidden and waits to be dropped.
    pub fn hide(&mut self, id: PointId, partition: Partition) {
        self.hidden.insert(id, partition);
    }

    /// Whether the point is hidden and waits to be dropped.
    pub fn is_hidden(&self, id: &PointId) -> bool {
        self.hidden.contains_key(id)
    }

    /// The points that wait to be dropped, in no particular order.
    pub fn hidden(&self) -> impl Iterator<Item = (&PointId, Partition)> {
        self.hidden.iter().map(|(id, partition)| (id, *partition))
    }

    /// Bytes on the heap, about.
    pub fn heap_bytes(&self) -> u64 {
        let ending = size_of::<(PointId, u64)>() as u64;
        let hidden = size_of::<(PointId, Partition)>() as u64;
        // The tree's nodes are two thirds full.
        self.by_id.capacity() as u64 * ending
            + self.by_time.len() as u64 * ending * 3 / 2
            + self.hidden.capacity() as u64 * hidden
    }

    /// When there is something to drop: milliseconds since 1970, 0 if there is something already.
    pub fn next_ms(&self) -> Option<u64> {
        if !self.hidden.is_empty() {
            return Some(0);
        }
        self.by_time
            .first()
            .map(|(expires_at_ms, _)| *expires_at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_due_in_the_order_of_their_times() {
        let mut expiry = Expiry::default();
        expiry.set(PointId::Num(1), 30);
        expiry.set(PointId::Num(2), 10);
        expiry.set(PointId::Num(3), 20);
        expiry.set(PointId::Num(3), 40);
        expiry.set(PointId::Num(4), 5);
        expiry.forget(&PointId::Num(4));
        assert_eq!(expiry.next_ms(), Some(10));
        assert!(!expiry.due(|| 9));
        assert_eq!(expiry.pop_due(9), None);
        assert_eq!(expiry.pop_due(30), Some(PointId::Num(2)));
        assert_eq!(expiry.pop_due(30), Some(PointId::Num(1)));
        assert_eq!(expiry.pop_due(30), None);
        assert_eq!(expiry.next_ms(), Some(40));
        expiry.hide(PointId::Num(1), Partition(3));
        assert_eq!(expiry.next_ms(), Some(0));
        expiry.forget(&PointId::Num(1));
        assert_eq!(expiry.hidden().count(), 0);
    }
}
