//! Writes: into the log, and from there into the rows and to the searches.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Engine;
use crate::apply::put_entries;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::log::{Change, Decision, Entry, Keep, Operation, Outcome, Share, Wait};
use crate::planted::{Bug, is_planted};
use crate::request::RequestTag;
use crate::{CollectionId, Partition};

impl Engine {
    /// Makes the shares durable: one entry per share in its partition's log, all in one batch and one fsync. The caller applies the
    /// entries next, in the order in which they were appended.
    ///
    /// If every collection that they touch is of [`crate::Durability::IntervalMs`], they are in the write-ahead log when this returns, and durable
    /// within the shortest of these intervals. An fsync takes everything before it along.
    ///
    /// # Errors
    ///
    /// `StorageFull`, with nothing written; `Unavailable` after an earlier write broke half-way.
    pub fn append(&self, shares: Vec<Share>) -> Result<Vec<Entry>> {
        self.ensure_whole()?;
        let interval = self.interval_of(&shares);
        let wait = interval.map_or(Wait::UntilDurable, |_| Wait::UntilLogged);
        let entries = self
            .log
            .append(&self.store, &self.env, shares, wait)
            .inspect_err(|error| self.make_room_after(error))
            .map_err(|error| self.explained(error))?;
        if let Some(interval) = interval {
            self.syncer.within(interval);
        }
        Ok(entries)
    }

    /// Checks that a write would be taken now, however small.
    ///
    /// # Errors
    ///
    /// `Unavailable` after an earlier write broke half-way, `Corrupted` if the database refuses every write since it found damage, `StorageFull`.
    pub fn ensure_writable(&self) -> Result<()> {
        self.ensure_whole()?;
        match self.refusal() {
            Some(error) => Err(error),
            None => self.store.ensure_space(0),
        }
    }

    fn ensure_whole(&self) -> Result<()> {
        if self.broken.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "an earlier write failed half-way; restart the server: it replays the log (reads go on)",
            ));
        }
        Ok(())
    }

    /// Why the database refuses every write, if it does.
    fn refusal(&self) -> Option<Error> {
        let refusal = self.store.refusal()?;
        Some(Error::corrupted(refusal).noted("reads go on"))
    }

    /// What a failed write tells: that every other one fails too, if so, and how to mend damage.
    fn explained(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Corrupted => self.refusal().unwrap_or(error),
            _ => error,
        }
        .or_repair(self.store.dir())
    }

    /// Has the background give back what it can when a write found the disk full: also of what was removed before.
    fn make_room_after(&self, error: &Error) {
        if error.kind() == ErrorKind::StorageFull
            && let Some(any) = self.ready().first()
        {
            self.builder.wake(any);
        }
    }

    /// The shortest interval of the collections touched; `None` if one of them has none.
    fn interval_of(&self, shares: &[Share]) -> Option<Duration> {
        let intervals = self.intervals.read();
        if intervals.is_empty() {
            return None;
        }
        let operations = shares.iter().flat_map(|share| &share.operations);
        let of_each = operations.filter_map(Operation::collection);
        of_each
            .map(|collection| intervals.get(&collection).copied())
            .reduce(|a, b| Some(a?.min(b?)))
            .flatten()
    }

    /// The request among these shares whose name was used with another body, if one was. To be asked when everything that was appended is
    /// applied, and before the shares are appended: the home partition of a request knows its name whatever other partitions it touches.
    ///
    /// # Errors
    ///
    /// What RocksDB says.
    pub fn conflicting_request(&self, shares: &[Share]) -> Result<Option<RequestTag>> {
        let exist = |id| self.existing().contains(id);
        self.log.conflict(&self.store, &self.env, shares, exist)
    }

    /// Turns durable entries into rows, in one batch with the applied positions, and shows them to searches. Answers what became of every
    /// operation of every entry.
    ///
    /// # Errors
    ///
    /// What RocksDB says; the entries take effect at the next start, and nothing more is written until then.
    pub fn apply(&self, entries: Vec<Entry>) -> Result<Vec<Vec<Outcome>>> {
        let _applying = self.applying.lock();
        let decisions = self
            .write_rows(&entries)
            .inspect_err(|_| self.broken.store(true, Ordering::Release))
            .context("the write is durable, but takes effect only when the server is restarted")?;
        let mut changes: BTreeMap<CollectionId, Vec<(Partition, u64, Change)>> = BTreeMap::new();
        for (entry, decisions) in entries.into_iter().zip(&decisions) {
            for (change, decision) in entry.changes.into_iter().zip(decisions) {
                if decision.changed
                    && let Some((collection, _)) = change.target()
                {
                    let of_collection = changes.entry(collection).or_default();
                    of_collection.push((entry.partition, entry.index, change));
                }
            }
        }
        for collection in self.ready() {
            if let Some(changes) = changes.remove(&collection.id()) {
                collection.apply(changes.into_iter());
                self.builder.wake(&collection);
            }
        }
        let keep = match self.store.was_short_of_space() {
            true => Keep::Unapplied,
            false => Keep::Half,
        };
        if let Err(error) = self
            .log
            .purge(&self.store, &self.env, keep, |at| self.covered(at))
        {
            // The write itself has succeeded and must say so; the next one tries the purge again.
            tracing::warn!(%error, "the log was not purged");
        }
        let outcomes =
            |decisions: Vec<Decision>| decisions.into_iter().map(|d| d.outcome).collect();
        Ok(decisions.into_iter().map(outcomes).collect())
    }

    /// When a point of any collection is to be dropped next: milliseconds since 1970, 0 for at once; `None` if no point ends.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        let ready = self.ready();
        ready
            .iter()
            .filter_map(|collection| collection.next_expiry_ms())
            .min()
    }

    /// The points that are hidden because their time has come, as operations that drop them. Time O(these points).
    pub fn expired(&self) -> Vec<(Partition, Operation)> {
        let mut operations = Vec::new();
        for collection in self.ready() {
            let id_of_collection = collection.id();
            operations.extend(collection.expired().into_iter().map(|(id, partition)| {
                let collection = id_of_collection;
                (partition, Operation::Expire { collection, id })
            }));
        }
        operations
    }

    /// Puts the entries' effect into the store, in one batch with the applied positions.
    pub(super) fn write_rows(&self, entries: &[Entry]) -> Result<Vec<Vec<Decision>>> {
        let exists = self.existing();
        let mut batch = self.store.batch();
        let decisions = put_entries(&self.store, &mut batch, entries, |id| exists.contains(id))?;
        if is_planted(Bug::ApplyApart) {
            let mut applied = self.store.batch();
            self.log.put_applied(&mut applied, entries);
            self.store.write(applied)?;
        } else {
            self.log.put_applied(&mut batch, entries);
        }
        self.store.write(batch).context("apply log entries")?;
        self.log.applied(entries);
        Ok(decisions)
    }
}
