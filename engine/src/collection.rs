//! A collection on this node: its settings, the table of ids, and its segments.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use index::{BitSet, Offset};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::config::CollectionConfig;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::expiry::Expiry;
use crate::log::Change;
use crate::planted::{Bug, is_planted};
use crate::point::{Media, MediaKind, Point, PointId, Vector};
use crate::segment::policy::{self, GrowingSize, Size};
use crate::segment::{Segment, Source, merge};
use crate::storage::record::{MediaRef, PointRow, decode_vector};
use crate::storage::{Family, Store, Visit, codec, key};
use crate::{CollectionId, Partition};

/// Rows whose vectors are read at once while a collection is loaded.
const LOAD_ROWS: usize = 512;

/// A named set of points: its read side, and the rows in memory.
pub struct Collection {
    id: CollectionId,
    name: String,
    pub(crate) store: Arc<Store>,
    pub(crate) env: Env,
    config: ArcSwap<CollectionConfig>,
    state: RwLock<State>,
}

/// What changes with every write.
pub(crate) struct State {
    pub ids: HashMap<PointId, Location>,
    pub frozen: Vec<Frozen>,
    pub growing: Growing,
    pub expiry: Expiry,
    next_uid: u64,
    last_write: Instant,
    building: bool,
}

/// Where a live point's row is.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Location {
    pub uid: u64,
    pub offset: Offset,
}

/// A segment that takes no more rows, and which of its rows are live.
#[derive(Clone)]
pub(crate) struct Frozen {
    pub segment: Arc<Segment>,
    pub live: Arc<BitSet>,
    pub live_count: usize,
}

/// The segment that takes rows.
pub(crate) struct Growing {
    pub segment: Segment,
    pub live: Vec<bool>,
    pub live_count: usize,
}

impl Growing {
    fn new(uid: u64, config: &CollectionConfig) -> Self {
        Self {
            segment: Segment::growing(uid, config),
            live: Vec::new(),
            live_count: 0,
        }
    }

    /// The live rows as a set; `None` if all are.
    pub fn live_set(&self) -> Option<BitSet> {
        (self.live_count < self.live.len()).then(|| self.live_bits())
    }

    fn live_bits(&self) -> BitSet {
        let live = (0..)
            .zip(&self.live)
            .filter(|(_, live)| **live)
            .map(|(offset, _)| offset);
        BitSet::from_offsets(self.live.len(), live)
    }
}

/// Counts of a collection.
#[derive(Clone, Debug)]
pub struct CollectionInfo {
    /// Live points.
    pub points: usize,
    /// Vectors by name, those of dead rows included until their segment is merged.
    pub vectors: BTreeMap<String, usize>,
    /// Live points in sealed segments.
    pub indexed_rows: usize,
    /// Oldest first, the growing one last.
    pub segments: Vec<SegmentInfo>,
    /// Whether a segment is being built now.
    pub building: bool,
}

/// Counts of a segment.
#[derive(Clone, Debug)]
pub struct SegmentInfo {
    /// `sealed` or `growing`.
    pub state: &'static str,
    /// Rows, dead ones included.
    pub rows: usize,
    /// Live rows.
    pub live: usize,
    /// Search structure by vector name.
    pub structures: BTreeMap<String, &'static str>,
    /// Bytes of vectors and structures in memory.
    pub bytes: usize,
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
        let growing = Growing::new(0, &config);
        let state = State {
            ids: HashMap::new(),
            frozen: Vec::new(),
            growing,
            expiry: Expiry::default(),
            next_uid: 1,
            last_write: Instant::now(),
            building: false,
        };
        Self {
            id,
            name,
            store,
            env,
            config: ArcSwap::from_pointee(config),
            state: RwLock::new(state),
        }
    }

    /// A collection with the rows that the store has.
    ///
    /// # Errors
    ///
    /// `Corrupted` if a row or vector cannot be read, or a vector is not as the settings say.
    pub(crate) fn load(
        id: CollectionId,
        name: String,
        config: CollectionConfig,
        store: Arc<Store>,
        env: Env,
    ) -> Result<Self> {
        let collection = Self::new(id, name, config, store, env);
        let mut rows: Vec<(PointId, PointRow)> = Vec::with_capacity(LOAD_ROWS);
        for partition in Partition::all() {
            let prefix = key::collection_prefix(partition, id);
            collection
                .store
                .scan(Family::Points, &prefix, &[], |key, value| {
                    rows.push((
                        PointId::decode(&key[key::POINT_PREFIX_BYTES..])?,
                        codec::decode(value, "point row")?,
                    ));
                    if rows.len() == LOAD_ROWS {
                        collection.load_rows(partition, &mut rows)?;
                    }
                    Ok(Visit::Next)
                })?;
            collection.load_rows(partition, &mut rows)?;
        }
        collection.load_expiries()?;
        Ok(collection)
    }

    fn load_rows(&self, partition: Partition, rows: &mut Vec<(PointId, PointRow)>) -> Result<()> {
        let vectors = self.read_vectors(partition, rows.iter().map(|(_, row)| row), |_| true)?;
        let config = self.config();
        let mut state = self.state.write();
        for ((id, row), vectors) in rows.drain(..).zip(vectors) {
            check_vectors(&config, &vectors).map_err(|error| {
                Error::corrupted(format!("point {id} of collection {}: {error}", self.name))
            })?;
            state.upsert(id, row.version, partition, &vectors);
        }
        Ok(())
    }

    /// Reads when points end. To be called when the rows are in memory.
    fn load_expiries(&self) -> Result<()> {
        for partition in Partition::all() {
            let prefix = key::expiry_prefix(partition, self.id);
            self.store.scan(Family::State, &prefix, &[], |key, value| {
                let (expires_at_ms, id) = key::read_expiry(key)?;
                let version: u64 = codec::decode(value, "version of a point that ends")?;
                let mut state = self.state.write();
                // One that a damaged row left behind tells nothing of the row that replaced it.
                if state.version(&id) == Some(version) {
                    state.expiry.set(id, expires_at_ms);
                }
                Ok(Visit::Next)
            })?;
        }
        Ok(())
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

    /// Counts of points, vectors and segments.
    pub fn info(&self) -> CollectionInfo {
        let state = self.state();
        let growing = &state.growing;
        let mut segments: Vec<SegmentInfo> = state
            .frozen
            .iter()
            .map(|frozen| segment_info(&frozen.segment, frozen.live_count))
            .collect();
        segments.push(segment_info(&growing.segment, growing.live_count));
        let mut vectors = BTreeMap::new();
        for segment in state
            .frozen
            .iter()
            .map(|frozen| &*frozen.segment)
            .chain([&growing.segment])
        {
            for (name, column) in &segment.dense {
                *vectors.entry(name.clone()).or_default() += column.rows();
            }
            for (name, column) in &segment.sparse {
                *vectors.entry(name.clone()).or_default() += column.rows();
            }
        }
        let sealed = state
            .frozen
            .iter()
            .filter(|frozen| frozen.segment.is_sealed());
        CollectionInfo {
            points: state.ids.len(),
            vectors,
            indexed_rows: sealed.map(|frozen| frozen.live_count).sum(),
            segments,
            building: state.building || state.growing_size(&self.env).is_full(),
        }
    }

    /// Whether the point is there.
    pub fn contains(&self, id: &PointId) -> bool {
        self.state().ids.contains_key(id)
    }

    /// Those of the ids that are there, with their partitions.
    pub(crate) fn locate(&self, ids: &[PointId]) -> Vec<(PointId, Partition)> {
        let state = self.state();
        ids.iter()
            .filter_map(|id| {
                let location = state.ids.get(id)?;
                let segment = state.segment(location.uid);
                Some((id.clone(), segment.partitions[location.offset as usize]))
            })
            .collect()
    }

    /// Kinds of the media kept of a point; reads none of their bytes.
    ///
    /// # Errors
    ///
    /// `NotFound` without the point.
    pub fn media_kinds(&self, id: &PointId) -> Result<Vec<MediaKind>> {
        let (_, row) = self.row(id)?;
        row.media.iter().map(MediaRef::kind).collect()
    }

    /// Source text or picture of a point; `None` if no such medium was kept.
    ///
    /// # Errors
    ///
    /// `NotFound` without the point, `Corrupted` if the bytes that it refers to are gone.
    pub fn media(&self, id: &PointId, kind: MediaKind) -> Result<Option<Media>> {
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
        let (_, partition) = located.ok_or_else(missing)?;
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
        let state = self.state();
        let rows = state.ids.iter().filter_map(|(id, location)| {
            let column = state.segment(location.uid).dense.get(name)?;
            Some((id.clone(), column.get(location.offset)?.to_vec()))
        });
        Ok(rows.collect())
    }

    /// Makes changes that the store holds visible to searches, all at once.
    pub(crate) fn apply(&self, changes: impl Iterator<Item = (Partition, Change)>) {
        let mut state = self.state.write();
        for (partition, change) in changes {
            match change {
                Change::Upsert {
                    id, row, vectors, ..
                } => {
                    let vectors = vectors.expect(
                        "entries read back from the log are applied before collections load",
                    );
                    let ends = row.expires_at_ms.map(|at| (id.clone(), at));
                    state.upsert(id, row.version, partition, &vectors);
                    if let Some((id, expires_at_ms)) = ends {
                        state.expiry.set(id, expires_at_ms);
                    }
                }
                Change::Delete { id, .. } | Change::Expire { id, .. } => state.remove(&id),
                Change::Request { .. } => {}
            }
        }
        state.last_write = Instant::now();
        if state.growing_size(&self.env).is_full() {
            state.freeze(&self.config.load());
        }
    }

    /// Seals and merges once if something is due. Searches and writes go on meanwhile.
    pub(crate) fn build_step(&self) -> Result<bool> {
        let config = self.config();
        let Some((uid, sources)) = self.begin_build(&config) else {
            return Ok(false);
        };
        let merged = merge(uid, &config, &sources);
        let mut state = self.state.write();
        state.building = false;
        let (segment, origins) = merged?;
        state.replace(&sources, segment, &origins);
        Ok(true)
    }

    fn begin_build(&self, config: &CollectionConfig) -> Option<(u64, Vec<Source>)> {
        let mut state = self.state.write();
        let sizes: Vec<Size> = state
            .frozen
            .iter()
            .map(|frozen| Size {
                live: frozen.live_count,
                total: frozen.segment.len(),
                sealed: frozen.segment.is_sealed(),
            })
            .collect();
        let plan = policy::plan(&sizes, state.growing_size(&self.env))?;
        let mut sources: Vec<Source> = plan
            .merge
            .iter()
            .map(|&at| {
                let frozen = &state.frozen[at];
                Source {
                    segment: frozen.segment.clone(),
                    live: frozen.live.clone(),
                }
            })
            .collect();
        if plan.seal {
            let frozen = state.freeze(config);
            sources.push(Source {
                segment: frozen.segment.clone(),
                live: frozen.live.clone(),
            });
        }
        state.building = true;
        Some((state.take_uid(), sources))
    }

    /// When to look again without a further write.
    pub(crate) fn next_check(&self) -> Option<Duration> {
        policy::next_check(self.state.read().growing_size(&self.env))
    }
}

impl State {
    /// The segment with this number.
    pub fn segment(&self, uid: u64) -> &Segment {
        if uid == self.growing.segment.uid {
            return &self.growing.segment;
        }
        let frozen = self.frozen.iter().find(|frozen| frozen.segment.uid == uid);
        &frozen
            .expect("the table of ids names segments that are there")
            .segment
    }

    /// Log index of the write that made the point.
    fn version(&self, id: &PointId) -> Option<u64> {
        let location = self.ids.get(id)?;
        Some(self.segment(location.uid).versions[location.offset as usize])
    }

    /// Takes the points whose time has come out of the rows. Time O(log points that end) for each.
    fn hide_expired(&mut self, now_ms: u64) {
        while let Some(id) = self.expiry.pop_due(now_ms) {
            if let Some(location) = self.ids.get(&id) {
                let partition = self.segment(location.uid).partitions[location.offset as usize];
                self.remove(&id);
                self.expiry.hide(id, partition);
            }
        }
    }

    fn upsert(
        &mut self,
        id: PointId,
        version: u64,
        partition: Partition,
        vectors: &BTreeMap<String, Vector>,
    ) {
        self.remove(&id);
        let growing = &mut self.growing;
        let offset = growing
            .segment
            .push(id.clone(), version, partition, vectors);
        growing.live.push(true);
        growing.live_count += 1;
        self.ids.insert(
            id,
            Location {
                uid: growing.segment.uid,
                offset,
            },
        );
    }

    fn remove(&mut self, id: &PointId) {
        self.expiry.forget(id);
        let Some(location) = self.ids.remove(id) else {
            return;
        };
        if location.uid == self.growing.segment.uid {
            self.growing.live[location.offset as usize] = false;
            self.growing.live_count -= 1;
            return;
        }
        let frozen = self
            .frozen
            .iter_mut()
            .find(|frozen| frozen.segment.uid == location.uid);
        let frozen = frozen.expect("the table of ids names segments that are there");
        Arc::make_mut(&mut frozen.live).remove(location.offset);
        frozen.live_count -= 1;
    }

    fn growing_size(&self, env: &Env) -> GrowingSize {
        let segment = &self.growing.segment;
        GrowingSize {
            rows: segment.len(),
            rows_max: env.seal_rows(),
            bytes: segment.bytes(),
            idle: self.last_write.elapsed(),
        }
    }

    fn take_uid(&mut self) -> u64 {
        let uid = self.next_uid;
        self.next_uid += 1;
        uid
    }

    /// Closes the growing segment and begins a new one.
    fn freeze(&mut self, config: &CollectionConfig) -> &Frozen {
        let uid = self.take_uid();
        let full = std::mem::replace(&mut self.growing, Growing::new(uid, config));
        let live = Arc::new(full.live_bits());
        self.frozen.push(Frozen {
            segment: Arc::new(full.segment),
            live,
            live_count: full.live_count,
        });
        self.frozen.last().expect("it was pushed just now")
    }

    /// Puts a merged segment in the place of its sources. Rows that died or moved while it was built are dead in it.
    fn replace(&mut self, sources: &[Source], segment: Segment, origins: &[(u64, Offset)]) {
        let mut live = BitSet::new(segment.len());
        let mut live_count = 0;
        for (offset, (id, &(uid, old))) in (0..).zip(segment.ids.iter().zip(origins)) {
            if let Some(location) = self.ids.get_mut(id)
                && *location == (Location { uid, offset: old })
            {
                *location = Location {
                    uid: segment.uid,
                    offset,
                };
                live.insert(offset);
                live_count += 1;
            } else if is_planted(Bug::DropTombstones) && !self.ids.contains_key(id) {
                let uid = segment.uid;
                self.ids.insert(id.clone(), Location { uid, offset });
                live.insert(offset);
                live_count += 1;
            }
        }
        self.frozen.retain(|frozen| {
            !sources
                .iter()
                .any(|source| source.segment.uid == frozen.segment.uid)
        });
        if live_count > 0 {
            self.frozen.push(Frozen {
                segment: Arc::new(segment),
                live: Arc::new(live),
                live_count,
            });
        }
    }
}

fn segment_info(segment: &Segment, live: usize) -> SegmentInfo {
    let dense = segment
        .dense
        .iter()
        .map(|(name, column)| (name.clone(), column.structure()));
    let sparse = segment.sparse.keys().map(|name| (name.clone(), "sparse"));
    SegmentInfo {
        state: if segment.is_sealed() {
            "sealed"
        } else {
            "growing"
        },
        rows: segment.len(),
        live,
        structures: dense.chain(sparse).collect(),
        bytes: segment.bytes(),
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
    let which = if name.is_empty() {
        "Vector".to_owned()
    } else {
        format!("Vector \"{name}\"")
    };
    if values.len() != dim {
        return Err(Error::invalid(format!(
            "{which} dimension error: expected dim: {dim}, got {}; give {dim} numbers",
            values.len()
        )));
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::invalid(format!(
            "{which}: the number at position {at} is {}; every one must be finite",
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
