//! Points that end: hidden from readers at their time, until they are dropped by a logged operation.

use parking_lot::{RwLockReadGuard, RwLockWriteGuard};

use super::{Collection, State};
use crate::Partition;
use crate::error::Result;
use crate::point::PointId;
use crate::storage::{Family, Visit, codec, key};

impl Collection {
    /// The rows as readers may see them: points whose time has come are hidden.
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        let state = self.state.read();
        if !state.expiry.due(|| self.env.now_ms()) {
            return state;
        }
        drop(state);
        let mut state = self.state.write();
        state.hide_expired(self.env.now_ms());
        RwLockWriteGuard::downgrade(state)
    }

    /// The points that are hidden because their time has come, and wait to be dropped.
    pub fn expired(&self) -> Vec<(PointId, Partition)> {
        let state = self.state();
        let hidden = state.expiry.hidden();
        hidden
            .map(|(id, partition)| (id.clone(), partition))
            .collect()
    }

    /// When a point is to be dropped next: milliseconds since 1970, 0 for at once; `None` if no point ends.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        self.state.read().expiry.next_ms()
    }

    /// Reads when points end. To be called when the rows are in memory.
    pub(super) fn load_expiries(&self) -> Result<()> {
        for partition in Partition::all() {
            let prefix = key::expiry_prefix(partition, self.id);
            self.store.scan(Family::State, &prefix, &[], |key, value| {
                let (expires_at_ms, id) = key::read_expiry(key)?;
                match codec::decode(value, "version of a point that ends") {
                    Ok(version) => self.load_expiry(partition, id, version, expires_at_ms)?,
                    // The row knows.
                    Err(error) => {
                        let row = crate::apply::read_row(&self.store, partition, self.id, &id)?;
                        tracing::warn!(%error, point = %id, "the row is asked when it ends");
                        let row = row.filter(|row| row.expires_at_ms == Some(expires_at_ms));
                        if let Some(row) = row {
                            self.load_expiry(partition, id, row.version, expires_at_ms)?;
                        }
                    }
                }
                Ok(Visit::Next)
            })?;
        }
        Ok(())
    }

    fn load_expiry(
        &self,
        partition: Partition,
        id: PointId,
        version: u64,
        expires_at_ms: u64,
    ) -> Result<()> {
        let mut state = self.state.write();
        match state.version(&id) {
            Some(held) if held == version => state.expiry.set(id, expires_at_ms),
            // One that a damaged row left behind tells nothing of the row that replaced it.
            Some(_) => {}
            // It was hidden already when the segments were written down, and is still to be dropped.
            None => {
                let row = crate::apply::read_row(&self.store, partition, self.id, &id)?;
                if row.is_some_and(|row| row.version == version) {
                    state.expiry.hide(id, partition);
                }
            }
        }
        Ok(())
    }
}
