//! A collection at the start: its segment files and what the log did since, or every row of the store if a file is missing or damaged.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::table::{IdHash, Table};
use super::{Collection, Part, WorkKind, check_vectors};
use crate::apply::decode_row;
use crate::config::CollectionConfig;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::point::PointId;
use crate::segment::Positions;
use crate::segment::manifest::Manifest;
use crate::storage::record::{ChangeRecord, PointRow};
use crate::storage::{Family, Store, Visit, codec, key};
use crate::{CollectionId, Location, Partition};

/// Rows whose vectors are read at once.
pub(super) const LOAD_ROWS: usize = 512;

impl Collection {
    /// A collection with the rows that the store has, as [`Self::fill`] reads them.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn load(
        id: CollectionId,
        name: String,
        config: CollectionConfig,
        store: Arc<Store>,
        env: Env,
        applied: &Positions,
    ) -> Result<Self> {
        let collection = Self::new(id, name, config, store, env);
        collection.fill(applied)?;
        Ok(collection)
    }

    /// Takes in the rows that the store has; `applied` are the positions of its logs.
    ///
    /// Segment files are mapped, and only what changed after them is read from the store. If they cannot be used, the reason is logged and
    /// every row is read from the store.
    ///
    /// # Errors
    ///
    /// `Corrupted` if a row or vector cannot be read, or a vector is not as the settings say; what the disk says if it cannot make the manifest durable.
    pub(crate) fn fill(&self, applied: &Positions) -> Result<()> {
        let opened = self.open_segments(applied).unwrap_or_else(|error| {
            tracing::warn!(%error, collection = self.name(), "the segment files cannot be used; they are rebuilt from the store");
            None
        });
        match opened {
            Some(manifest) => {
                let removed = self.folder.remove_leftovers(&manifest);
                removed.map_err(|error| error.noted("the next start tries it again"))?;
                // Only now may be purged what it covers.
                *self.covered.lock() = manifest.covered;
            }
            None => self.read_all_rows()?,
        }
        self.load_expiries()?;
        let mut state = self.state.write();
        for partition in Partition::all() {
            state.note_applied(partition, applied[usize::from(partition.0)]);
        }
        self.claims.update(&state);
        Ok(())
    }

    /// Opens what the manifest names and applies what changed since; `None` if there is no manifest.
    fn open_segments(&self, applied: &Positions) -> Result<Option<Manifest>> {
        let Some(manifest) = self.folder.read_manifest()? else {
            return Ok(None);
        };
        self.check_covered(&manifest.covered, applied)?;
        let mut parts = Vec::new();
        for live in &manifest.segments {
            let segment = self.folder.open_segment(live.number, &self.config())?;
            let live = live.live(segment.len())?;
            parts.push(Part::sealed(segment, live));
        }
        let ids = table(&parts)?;
        let next = manifest.next.max(self.folder.next_number());
        let mut state = self.state.write();
        *state = state.with_parts(&self.config(), parts, ids, manifest.covered, next);
        drop(state);
        for live in &manifest.segments {
            self.inspections.add(live.number);
        }
        self.replay(&manifest.covered)?;
        Ok(Some(manifest))
    }

    /// Refuses a manifest that is ahead of the store, or so far behind that changes after it are purged.
    fn check_covered(&self, covered: &Positions, applied: &Positions) -> Result<()> {
        for partition in Partition::all() {
            let at = usize::from(partition.0);
            let floor = match self
                .store
                .get(Family::State, &key::changes_floor(partition, self.id))?
            {
                Some(bytes) => codec::decode(&bytes, "purged position of changes")?,
                None => 0u64,
            };
            if covered[at] > applied[at] || covered[at] < floor {
                return Err(Error::corrupted(format!(
                    "the manifest covers partition {at} up to {}; the store has its changes from {floor} to {}",
                    covered[at], applied[at]
                )));
            }
        }
        Ok(())
    }

    /// Applies the change records after these positions: every point that one names is compared with its row in the store.
    fn replay(&self, covered: &Positions) -> Result<()> {
        for partition in Partition::all() {
            let from = covered[usize::from(partition.0)].saturating_add(1);
            let mut touched: BTreeSet<Vec<u8>> = BTreeSet::new();
            self.store.scan(
                Family::Changes,
                &key::collection_prefix(partition, self.id),
                &key::change(partition, self.id, from),
                |_, value| {
                    let record: ChangeRecord = codec::decode(value, "change record")?;
                    touched.extend(record.ids.into_iter().map(|(id, _)| id));
                    Ok(Visit::Next)
                },
            )?;
            let ids = touched.iter().map(|id| PointId::decode(id));
            let ids: Vec<PointId> = ids.collect::<Result<_>>()?;
            for ids in ids.chunks(LOAD_ROWS) {
                self.reread(partition, ids)?;
            }
        }
        Ok(())
    }

    /// Brings points of one partition to what the store says of them.
    fn reread(&self, partition: Partition, ids: &[PointId]) -> Result<()> {
        let keys: Vec<Vec<u8>> = ids
            .iter()
            .map(|id| key::point(partition, self.id, id))
            .collect();
        let values = self.store.get_many(Family::Points, &keys)?;
        let mut newer = Vec::new();
        for (id, value) in ids.iter().zip(values) {
            let Some(bytes) = value else {
                self.state.write().remove(id);
                continue;
            };
            let row = decode_row(id, &bytes)?;
            let state = self.state.read();
            let known = state.ids.get(id).is_some_and(|location| {
                state.segment(location.uid).version(location.offset) == row.version
            });
            if !known {
                newer.push((id.clone(), row));
            }
        }
        self.load_rows(partition, &mut newer)
    }

    fn read_all_rows(&self) -> Result<()> {
        let next = self.folder.next_number();
        let nothing = [0; crate::PARTITIONS as usize];
        let mut state = self.state.write();
        *state = state.with_parts(&self.config(), Vec::new(), Table::default(), nothing, next);
        drop(state);
        let _work = self.work.begin(WorkKind::Rebuild, self.rows_about(), None);
        let mut read = 0;
        let mut rows: Vec<(PointId, PointRow)> = Vec::with_capacity(LOAD_ROWS);
        for partition in Partition::all() {
            let prefix = key::collection_prefix(partition, self.id);
            self.store
                .scan(Family::Points, &prefix, &[], |key, value| {
                    let id = PointId::decode(&key[key::POINT_PREFIX_BYTES..])?;
                    let row = decode_row(&id, value)?;
                    rows.push((id, row));
                    if rows.len() == LOAD_ROWS {
                        read += LOAD_ROWS;
                        self.load_rows(partition, &mut rows)?;
                        self.make_room_while_loading();
                        self.work.moved(read);
                    }
                    Ok(Visit::Next)
                })?;
            self.load_rows(partition, &mut rows)?;
        }
        Ok(())
    }

    /// Seals what was read if it is more than the memory budget has for rows in no file.
    fn make_room_while_loading(&self) {
        let share = self.store.budget().shares().growing;
        if self.growing_bytes() < share {
            return;
        }
        self.ask_to_seal();
        // The manifest covers nothing of the log yet: a start that finds it reads every change again.
        if let Err(error) = self.build_step() {
            tracing::warn!(%error, collection = self.name(), "rows that were read stay on the heap");
        }
    }

    fn load_rows(&self, partition: Partition, rows: &mut Vec<(PointId, PointRow)>) -> Result<()> {
        let vectors = self.read_vectors(partition, rows.iter().map(|(_, row)| row), |_| true)?;
        let config = self.config();
        let mut state = self.state.write();
        for ((id, row), vectors) in rows.drain(..).zip(vectors) {
            check_vectors(&config, &vectors).map_err(|error| {
                Error::corrupted(format!("point {id} of collection {}: {error}", self.name))
            })?;
            state.upsert(id, &row, partition, &vectors);
        }
        Ok(())
    }
}

/// Where each live point is.
fn table(parts: &[Part]) -> Result<Table> {
    let live = parts.iter().map(|part| part.live.count()).sum();
    let mut ids = Table::with_capacity_and_hasher(live, IdHash::default());
    for part in parts {
        let uid = part.segment.uid;
        for (id, offset) in part.segment.ids().zip(0..) {
            if part.live.contains(offset)
                && ids.insert(id.clone(), Location { uid, offset }).is_some()
            {
                return Err(Error::corrupted(format!(
                    "point {id} is live twice; the second time in segment {uid}"
                )));
            }
        }
    }
    Ok(ids)
}
