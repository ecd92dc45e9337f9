//! A collection on this node: its settings, the table of ids, and its segments.
//!
//! - `table`: where each point is.
//! - `state`: what a write changes, and the view that a search takes of it.
//! - `ends`: points that are hidden at their time.
//! - `load`: from files and RocksDB at the start.
//! - `seal`: segments to files, in the background.
//! - `graphs`: graphs over them, likewise.
//! - `check`: memory, files and RocksDB compared.
//! - `inspect`: segments compared with their checksums, in the background.
//! - `info`: counts.
//! - `usage`: bytes in memory and on the disk.
//! - `work`: what is done in the background, and how far it is.

mod check;
mod ends;
mod graphs;
mod info;
mod inspect;
mod load;
mod seal;
mod state;
mod table;
mod usage;
mod work;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
pub(crate) use graphs::GraphStep;
pub use info::{CollectionInfo, SegmentInfo};
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub(crate) use state::{Part, State, View};
pub(crate) use usage::superseded_vectors;
pub use work::{Progress, Work, WorkKind};

use crate::config::CollectionConfig;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result, how_to_repair};
use crate::log::Change;
use crate::point::{Media, MediaKind, Point, PointId, Vector};
use crate::reclaim::RemovedLast;
use crate::segment::Positions;
use crate::segment::folder::Folder;
use crate::segment::policy::SEAL_BYTES;
use crate::storage::record::{MediaRef, PointRow, decode_vector};
use crate::storage::{Family, Store, key};
use crate::{CollectionId, Location, PARTITIONS, Partition};

/// A named set of points: its read side, and the rows in memory.
pub struct Collection {
    id: CollectionId,
    name: String,
    pub(crate) store: Arc<Store>,
    pub(crate) env: Env,
    config: ArcSwap<CollectionConfig>,
    folder: Folder,
    state: RwLock<State>,
    /// What the rows hold of the memory budget.
    claims: usage::Claims,
    work: work::WorkState,
    inspections: inspect::Inspections,
    /// Held by whoever seals and merges.
    sealing: Mutex<()>,
    /// Tests that look at the files keep the background thread from them.
    #[cfg(test)]
    is_paused: AtomicBool,
    #[cfg(test)]
    panics_when_built: AtomicBool,
    /// The log positions that the manifest on disk covers: changes after them must not be purged.
    covered: Mutex<Positions>,
    /// Set before its values go.
    gone: AtomicBool,
    /// Held shared by each write from its look-up to its answer, and alone by whoever puts another collection in the place of this.
    turn: RwLock<()>,
    /// Has its values removed with the last reader, once another has taken its place.
    removed_last: OnceLock<RemovedLast>,
    /// What is wrong with it: told once to the log, and to whoever asks for its state.
    trouble: OnceLock<String>,
}

/// A point that was there, and which write made it.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub id: PointId,
    /// Its row.
    pub location: Location,
    pub partition: Partition,
    pub version: u64,
    /// When the point ends. `None` for a hit of a search too: nobody asks it there.
    pub expires_at_ms: Option<u64>,
}

/// Whether a collection is deleted.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Gone {
    Yes,
    No,
}

impl Collection {
    /// An empty collection.
    pub(crate) fn new(
        id: CollectionId,
        name: String,
        config: CollectionConfig,
        store: Arc<Store>,
        env: Env,
    ) -> Self {
        Self {
            id,
            name,
            folder: Folder::new(store.dir(), id),
            state: RwLock::new(State::new(
                &config,
                env.seal_rows(),
                SEAL_BYTES.min(store.budget().shares().seal_bytes()),
            )),
            claims: usage::Claims::none(store.budget()),
            work: work::WorkState::default(),
            inspections: inspect::Inspections::default(),
            store,
            config: ArcSwap::from_pointee(config),
            env,
            sealing: Mutex::new(()),
            #[cfg(test)]
            is_paused: false.into(),
            #[cfg(test)]
            panics_when_built: false.into(),
            covered: Mutex::new([0; PARTITIONS as usize]),
            gone: AtomicBool::new(false),
            turn: RwLock::new(()),
            removed_last: OnceLock::new(),
            trouble: OnceLock::new(),
        }
    }

    /// To be told before its values are removed.
    pub(crate) fn set_gone(&self, gone: Gone) {
        self.gone.store(gone == Gone::Yes, Ordering::SeqCst);
    }

    /// Waits for its place to be taken by no other collection, and keeps it so: by a write.
    pub(crate) fn stay(&self) -> RwLockReadGuard<'_, ()> {
        self.turn.read()
    }

    /// Waits for the writes that are under way, and keeps further ones waiting: for a restore.
    pub(crate) fn hold_writes(&self) -> RwLockWriteGuard<'_, ()> {
        self.turn.write()
    }

    /// To be told when another has taken its place: it is read until the last of its readers lets go of it.
    pub(crate) fn set_replaced(&self, removed_last: RemovedLast) {
        assert!(
            self.removed_last.set(removed_last).is_ok(),
            "collection {} was replaced twice",
            self.id.0
        );
    }

    /// Whether it is deleted, or about to be.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// Notes what is wrong with it, the first time.
    pub(crate) fn note_trouble(&self, trouble: &str) {
        if self.trouble.set(trouble.to_owned()).is_ok() {
            tracing::error!(
                collection = self.name,
                trouble,
                "a collection is in trouble; what can be read of it is served"
            );
        }
    }

    /// Notes that searches leave out a damaged vector of a point.
    pub(crate) fn note_left_out(&self, name: &str, id: &PointId, error: &Error) {
        let mend = how_to_repair(self.store.dir());
        self.note_trouble(&format!(
            "damaged: vector \"{name}\" of point {id}, which searches leave out: {error}; {mend}"
        ));
    }

    /// What a read answers its caller: damaged bytes are noted and told with the way to mend them, unless the collection was deleted meanwhile.
    pub(crate) fn told<T>(&self, read: Result<T>) -> Result<T> {
        let Err(error) = read else {
            return read;
        };
        if error.kind() != ErrorKind::Corrupted {
            return Err(error);
        }
        if self.is_gone() {
            return Err(Error::not_found(format!(
                "Collection `{}` was deleted while it was read: it doesn't exist!",
                self.name
            )));
        }
        let trouble = format!("damaged: {error}");
        self.note_trouble(&trouble);
        Err(Error::corrupted(format!(
            "Collection `{}` is {trouble}; the rest of it is served, as are the others",
            self.name
        ))
        .or_repair(self.store.dir()))
    }

    /// The vectors of rows of one partition whose names are wanted, in the rows' order.
    pub(crate) fn read_vectors<'a>(
        &self,
        partition: Partition,
        rows: impl Iterator<Item = &'a PointRow>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<BTreeMap<String, Vector>>> {
        let mut keys = Vec::new();
        let mut owners: Vec<(usize, &str)> = Vec::new();
        let mut count = 0;
        for row in rows {
            for reference in row
                .vectors
                .iter()
                .filter(|reference| wanted(&reference.name))
            {
                keys.push(key::value(
                    partition,
                    self.id,
                    reference.index,
                    reference.ordinal,
                ));
                owners.push((count, &reference.name));
            }
            count += 1;
        }
        let mut vectors = vec![BTreeMap::new(); count];
        for ((row, name), value) in owners
            .into_iter()
            .zip(self.store.get_many(Family::Vectors, &keys)?)
        {
            let bytes = value.ok_or_else(|| {
                Error::corrupted(format!(
                    "collection {}: a vector \"{name}\" is missing from the store",
                    self.name
                ))
            })?;
            vectors[row].insert(name.to_owned(), decode_vector(&bytes)?);
        }
        Ok(vectors)
    }

    /// Number in keys.
    pub fn id(&self) -> CollectionId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its settings as they are now.
    pub fn config(&self) -> Arc<CollectionConfig> {
        self.config.load_full()
    }

    pub(crate) fn set_config(&self, config: CollectionConfig) {
        self.config.store(Arc::new(config));
    }

    /// Every row as it is now, to be searched without holding up writers.
    pub(crate) fn view(&self) -> View {
        self.state().view()
    }

    /// The log index up to which the change records of a partition are no longer needed.
    pub(crate) fn covered(&self, partition: Partition) -> u64 {
        self.covered.lock()[usize::from(partition.0)]
    }

    /// Removes the files of its segments for good.
    pub(crate) fn remove_files(&self) {
        self.folder.remove();
    }

    /// Checks a point against the settings before it is logged, and brings cosine vectors to unit length.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that names the vector, what was wanted and what came.
    pub fn check(&self, point: &mut Point) -> Result<()> {
        let config = self.config.load();
        check_vectors(&config, &point.vectors)?;
        for (name, vector) in &mut point.vectors {
            if let Vector::Dense(values) = vector
                && config.vectors[name.as_str()].metric.normalizes()
            {
                index::normalize(values);
            }
        }
        Ok(())
    }

    /// Whether the point is there.
    pub fn contains(&self, id: &PointId) -> bool {
        self.state().ids.contains_key(id)
    }

    /// Those of the ids that are there.
    pub(crate) fn locate(&self, ids: &[PointId]) -> Vec<Located> {
        let state = self.state();
        ids.iter()
            .filter_map(|id| {
                let location = *state.ids.get(id)?;
                let segment = state.segment(location.uid);
                Some(Located {
                    id: id.clone(),
                    location,
                    expires_at_ms: state.expiry.of(id),
                    partition: segment.partition(location.offset),
                    version: segment.version(location.offset),
                })
            })
            .collect()
    }

    /// Kinds of the media kept of a point; reads none of their bytes.
    ///
    /// # Errors
    ///
    /// `NotFound` without the point.
    pub fn media_kinds(&self, id: &PointId) -> Result<Vec<MediaKind>> {
        let kinds =
            |(_, row): (Partition, PointRow)| row.media.iter().map(MediaRef::kind).collect();
        self.told(self.row(id).and_then(kinds))
    }

    /// Source text or picture of a point; `None` if no such medium was kept.
    ///
    /// # Errors
    ///
    /// `NotFound` without the point, `Corrupted` if the bytes that it refers to are gone.
    pub fn media(&self, id: &PointId, kind: MediaKind) -> Result<Option<Media>> {
        self.told(self.read_media(id, kind))
    }

    fn read_media(&self, id: &PointId, kind: MediaKind) -> Result<Option<Media>> {
        let (partition, row) = self.row(id)?;
        for reference in row.media {
            if reference.kind()? == kind {
                let key = key::value(partition, self.id, reference.index, reference.ordinal);
                let bytes = self.store.get(Family::Media, &key)?.ok_or_else(|| {
                    Error::corrupted(format!("point {id}: its {kind:?} is missing"))
                })?;
                return Ok(Some(Media {
                    kind,
                    content_type: reference.content_type,
                    bytes: bytes.into(),
                }));
            }
        }
        Ok(None)
    }

    /// The stored row of a point.
    fn row(&self, id: &PointId) -> Result<(Partition, PointRow)> {
        let missing =
            || Error::not_found(format!("collection {}: there is no point {id}", self.name));
        let located = self.locate(std::slice::from_ref(id)).pop();
        let Located { partition, .. } = located.ok_or_else(missing)?;
        let row = crate::apply::read_row(&self.store, partition, self.id, id)?;
        Ok((partition, row.ok_or_else(missing)?))
    }

    /// Every live dense vector of a name, in no particular order.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no dense vector of this name.
    pub fn vector_rows(&self, name: &str) -> Result<Vec<(PointId, Vec<f32>)>> {
        if !self.config.load().vectors.contains_key(name) {
            return Err(Error::invalid(format!(
                "collection {}: there is no dense vector \"{name}\"",
                self.name
            )));
        }
        let view = self.view();
        let mut rows = Vec::new();
        for part in &view.parts {
            let Some(column) = part.segment.dense.get(name) else {
                continue;
            };
            rows.extend(part.live.iter().filter_map(|offset| {
                let id = part.segment.id(offset).clone();
                Some((id, column.get(offset)?.to_vec()))
            }));
        }
        Ok(rows)
    }

    /// Makes changes that the store holds visible to searches, all at once. Each comes with the partition and index of its entry.
    pub(crate) fn apply(&self, changes: impl Iterator<Item = (Partition, u64, Change)>) {
        let mut state = self.state.write();
        for (partition, index, change) in changes {
            match change {
                Change::Upsert {
                    id, row, vectors, ..
                } => {
                    let vectors = vectors.expect(
                        "entries read back from the log are applied before collections load",
                    );
                    let ends = row.expires_at_ms.map(|at| (id.clone(), at));
                    state.upsert(id, &row, partition, &vectors);
                    if let Some((id, expires_at_ms)) = ends {
                        state.expiry.set(id, expires_at_ms);
                    }
                }
                Change::Delete { id, .. } | Change::Expire { id, .. } => state.remove(&id),
                Change::Request { .. } => {}
            }
            state.note_applied(partition, index);
        }
        state.finish_write(&self.config.load());
        self.claims.update(&state);
    }
}

fn check_vectors(config: &CollectionConfig, vectors: &BTreeMap<String, Vector>) -> Result<()> {
    for (name, vector) in vectors {
        match vector {
            Vector::Dense(values) => {
                let wanted = config
                    .vectors
                    .get(name)
                    .ok_or_else(|| unknown_vector(config, name, "dense"))?;
                check_dense(name, values, wanted.dim)?;
            }
            Vector::Sparse(_) if config.sparse_vectors.contains_key(name) => {}
            Vector::Sparse(_) => return Err(unknown_vector(config, name, "sparse")),
        }
    }
    Ok(())
}

/// Checks dim and finiteness.
pub(crate) fn check_dense(name: &str, values: &[f32], dim: usize) -> Result<()> {
    let which = || match name {
        "" => "Vector".to_owned(),
        name => format!("Vector \"{name}\""),
    };
    if values.len() != dim {
        return Err(Error::invalid(format!(
            "{} dimension error: expected dim: {dim}, got {}; give {dim} numbers",
            which(),
            values.len()
        )));
    }
    // All of them without a branch for each: every query comes by here.
    let are_finite = values
        .iter()
        .fold(true, |all, value| all & value.is_finite());
    if !are_finite && let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::invalid(format!(
            "{}: the number at position {at} is {}; every one must be finite",
            which(),
            values[at]
        )));
    }
    Ok(())
}

/// The error for a vector name that the collection does not have.
pub(crate) fn unknown_vector(config: &CollectionConfig, name: &str, kind: &str) -> Error {
    let known: Vec<String> = config
        .vectors
        .keys()
        .chain(config.sparse_vectors.keys())
        .map(|known| format!("\"{known}\""))
        .collect();
    let hint = if known.is_empty() {
        "this collection has no vectors".to_owned()
    } else {
        format!("this collection has {}", known.join(", "))
    };
    Error::invalid(format!(
        "Wrong input: Not existing vector name error: there is no {kind} vector \"{name}\"; {hint}"
    ))
}
