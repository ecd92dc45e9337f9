//! The vectors of one name within a segment.
//!
//! A point may lack a vector, so a column has rows of its own; [`RowMap`] says which offset of the segment each belongs to.

use std::borrow::Cow;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use index::{
    BitSet, Effort, Graph, GraphSearch, IndexKind, Metric, Neighbor, Offset, RECALL_DEFAULT, Route,
    SearchParams, SparseIndex, SparseLists, Stats, VectorIndex,
};
use parking_lot::Mutex;

use super::chunks::Chunks;
use super::file::{DenseContents, Reader, SparseContents, check_count, check_ends, check_offsets};
use super::graph::{self, GraphFile, Owner, SealedRows, Seed};
use super::map::View;
use super::placed::{Placed, is_linkable};
use super::{Link, Numbers, Rows};
use crate::config::VectorConfig;
use crate::error::{Error, Result};
use crate::point::SparseVector;
use crate::query;

/// Numbers of a growing chunk of dense rows: 256 KiB, which a write copies at most once per search that goes on.
const DENSE_CHUNK_NUMBERS: usize = 1 << 16;
/// Rows of a growing chunk of sparse rows, which has inverted lists of its own.
const SPARSE_CHUNK_ROWS: usize = 512;

/// Row of a column to offset of the segment: the same number until a point lacks the vector.
#[derive(Clone, Default)]
pub(super) struct RowMap {
    len: usize,
    /// Ascending, by row; `None` while row and offset are equal for every row.
    offsets: Option<Offsets>,
}

#[derive(Clone)]
enum Offsets {
    Growing(Arc<Vec<Offset>>),
    Mapped(View<Offset>),
}

impl Deref for Offsets {
    type Target = [Offset];

    fn deref(&self) -> &[Offset] {
        match self {
            Self::Growing(offsets) => offsets,
            Self::Mapped(offsets) => offsets,
        }
    }
}

impl RowMap {
    /// The map of `len` rows of a segment of `rows`.
    fn open(
        reader: &Reader,
        len: u32,
        offsets: Option<super::file::Section>,
        rows: u32,
    ) -> Result<Self> {
        let offsets = match offsets {
            None => {
                check_count("vectors without offsets", len as usize, rows as usize)?;
                None
            }
            Some(section) => {
                let offsets: View<Offset> = reader.checked(section, "offsets of vectors")?;
                check_count("offsets of vectors", offsets.len(), len as usize)?;
                check_offsets(&offsets, rows)?;
                Some(Offsets::Mapped(offsets))
            }
        };
        Ok(Self {
            len: len as usize,
            offsets,
        })
    }

    fn push(&mut self, offset: Offset) {
        if self.offsets.is_none() && offset as usize != self.len {
            let equal = (0..self.len as Offset).collect();
            self.offsets = Some(Offsets::Growing(Arc::new(equal)));
        }
        match &mut self.offsets {
            None => {}
            Some(Offsets::Growing(offsets)) => Arc::make_mut(offsets).push(offset),
            Some(Offsets::Mapped(_)) => panic!("a sealed segment takes no rows"),
        }
        self.len += 1;
    }

    fn offset(&self, row: Offset) -> Offset {
        self.offsets
            .as_ref()
            .map_or(row, |offsets| offsets[row as usize])
    }

    fn row(&self, offset: Offset) -> Option<usize> {
        match &self.offsets {
            None => ((offset as usize) < self.len).then_some(offset as usize),
            Some(offsets) => offsets.binary_search(&offset).ok(),
        }
    }

    /// The rows that may answer, as a set over this column; `None` for all.
    fn filter<'a>(&self, rows: Rows<'a>) -> Option<Cow<'a, BitSet>> {
        let Rows::Only(set) = rows else { return None };
        Some(match &self.offsets {
            None if set.len() == self.len => Cow::Borrowed(set),
            None => Cow::Owned(set.slice(0, self.len)),
            Some(offsets) => {
                let chosen =
                    (0..self.len as Offset).filter(|&row| set.contains(offsets[row as usize]));
                Cow::Owned(BitSet::from_offsets(self.len, chosen))
            }
        })
    }

    fn heap_bytes(&self) -> usize {
        match &self.offsets {
            Some(Offsets::Growing(offsets)) => offsets.capacity() * size_of::<Offset>(),
            Some(Offsets::Mapped(_)) | None => 0,
        }
    }
}

/// What a column's search found: neighbors by offset of the segment, and how.
pub(crate) struct Found {
    pub neighbors: Vec<Neighbor>,
    pub index: &'static str,
    pub reason: String,
    pub stats: Stats,
    /// Of a graph.
    pub route: Option<Route>,
    /// Share of the true neighbors to expect; none if that is not known.
    pub recall: Option<f32>,
}

impl Found {
    fn exact(neighbors: Vec<Neighbor>, kind: IndexKind, reason: &str, stats: Stats) -> Self {
        Self {
            neighbors,
            index: kind.name(),
            reason: reason.to_owned(),
            stats,
            route: None,
            recall: Some(1.0),
        }
    }
}

/// Dense vectors, row after row.
#[derive(Clone)]
pub(crate) struct DenseColumn {
    dim: usize,
    metric: Metric,
    map: RowMap,
    data: DenseData,
    /// By row, of vectors that may stand in linked files; [`NO_ORDINAL`] of one that may not.
    ordinals: Option<Numbers<u32>>,
    /// Offsets of rows that were found damaged: they do not answer.
    pub(super) damaged: Arc<ArcSwapOption<BitSet>>,
}

/// Of a vector that was not written by the write that made its row.
pub(super) const NO_ORDINAL: u32 = u32::MAX;

#[derive(Clone)]
enum DenseData {
    Growing(Chunks<f32>),
    Sealed(Sealed),
}

/// Mapped rows and the structure over them.
#[derive(Clone)]
struct Sealed {
    rows: SealedRows,
    /// What was chosen when the segment was sealed.
    kind: IndexKind,
    reason: String,
    /// Empty until it is built in the background: after sealing a graph, after a start a k-d tree, which cannot be mapped.
    structure: Arc<OnceLock<Structure>>,
    /// From what the graph is built; taken when that begins.
    seed: Arc<Mutex<Option<Seed>>>,
}

enum Structure {
    /// Rows are compared one by one: there is no other, or it cannot take these rows.
    Scan,
    Tree(Box<dyn VectorIndex>),
    Graph(Arc<GraphFile>),
}

impl Structure {
    fn kind(&self) -> IndexKind {
        match self {
            Self::Scan => IndexKind::Flat,
            Self::Tree(tree) => tree.kind(),
            Self::Graph(_) => IndexKind::Graph,
        }
    }

    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Scan => 0,
            Self::Tree(tree) => tree.memory(),
            Self::Graph(file) => file.graph.memory(),
        }
    }
}

impl DenseColumn {
    pub fn growing(config: &VectorConfig) -> Self {
        // Whole words of a filter, so that it can be cut like the rows.
        let rows = (DENSE_CHUNK_NUMBERS / config.dim / 64).max(1) * 64;
        Self {
            dim: config.dim,
            metric: config.metric,
            map: RowMap::default(),
            data: DenseData::Growing(Chunks::new(rows * config.dim)),
            ordinals: is_linkable(config).then(|| Numbers::Growing(Chunks::new(super::CHUNK_LEN))),
            damaged: Arc::default(),
        }
    }

    /// The column of a segment's file, with its structure unless that must be built again ([`Self::build_structure`]).
    ///
    /// # Errors
    ///
    /// `Corrupted` if it is damaged or not what the collection's settings say.
    pub fn open(
        reader: &Reader,
        contents: &DenseContents,
        rows: u32,
        config: &VectorConfig,
        links: &[Link],
    ) -> Result<Self> {
        let DenseContents { name, dim, .. } = contents;
        if *dim as usize != config.dim || contents.metric != config.metric.name() {
            return Err(Error::corrupted(format!(
                "vector \"{name}\" is of dim {dim} with {}, the collection has dim {} with {}",
                contents.metric,
                config.dim,
                config.metric.name()
            )));
        }
        let kind: IndexKind = contents
            .kind
            .parse()
            .map_err(|error| Error::corrupted(format!("vector \"{name}\": {error}")))?;
        // Read when they are searched; any number does no harm.
        let values: View<f32> = reader.unchecked(contents.rows)?;
        let map = RowMap::open(reader, contents.count, contents.offsets, rows)?;
        let ordinals = match contents.ordinals {
            None => None,
            Some(section) => {
                let ordinals: View<u32> = reader.checked(section, "ordinals")?;
                check_count("ordinals", ordinals.len(), map.len)?;
                Some(Numbers::Mapped(ordinals))
            }
        };
        let rows = match contents.places {
            Some(places) if kind != IndexKind::KdTree => {
                SealedRows::Placed(Placed::open(reader, contents, places, values, links)?)
            }
            Some(_) => {
                return Err(Error::corrupted(format!(
                    "vector \"{name}\": rows of a {} stand in other files",
                    kind.name()
                )));
            }
            None => {
                let wanted = (contents.count as usize).checked_mul(config.dim);
                check_count("numbers", values.len(), wanted.unwrap_or(usize::MAX))?;
                SealedRows::Own(index::Rows::shared(config.dim, Arc::new(values)))
            }
        };
        let structure = OnceLock::new();
        if kind == IndexKind::Flat || contents.count == 0 {
            let _ = structure.set(Structure::Scan);
        }
        Ok(Self {
            dim: config.dim,
            metric: config.metric,
            map,
            ordinals,
            damaged: Arc::default(),
            data: DenseData::Sealed(Sealed {
                rows,
                kind,
                reason: contents.reason.clone(),
                structure: Arc::new(structure),
                seed: Arc::default(),
            }),
        })
    }

    /// The structure that is still to be built, if one is.
    pub fn lacks(&self) -> Option<IndexKind> {
        let DenseData::Sealed(sealed) = &self.data else {
            return None;
        };
        sealed.structure.get().is_none().then_some(sealed.kind)
    }

    /// Builds the k-d tree that a sealed column lacks. Searches go on meanwhile, by scan.
    pub fn build_tree(&self) {
        let DenseData::Sealed(sealed) = &self.data else {
            return;
        };
        let (IndexKind::KdTree, SealedRows::Own(rows)) = (sealed.kind, &sealed.rows) else {
            return;
        };
        sealed.structure.get_or_init(|| {
            match index::build(sealed.kind, self.metric, rows.clone()) {
                Ok(tree) => Structure::Tree(tree),
                Err(error) => {
                    // A structure that cannot take these rows (they overflow, say) is no reason to lose them.
                    tracing::warn!(%error, kind = sealed.kind.name(), "index build fell back to flat");
                    Structure::Scan
                }
            }
        });
    }

    /// Maps the graph of a file.
    ///
    /// # Errors
    ///
    /// As [`GraphFile::open`].
    pub fn open_graph(&self, path: &Path, owner: Owner<'_>) -> Result<()> {
        let DenseData::Sealed(sealed) = &self.data else {
            return Ok(());
        };
        let file = GraphFile::open(path, owner, sealed.rows.clone())?;
        let _ = sealed.structure.set(Structure::Graph(Arc::new(file)));
        Ok(())
    }

    /// Builds the graph that a sealed column lacks, on so many threads; none if there can be none for these rows.
    pub fn build_graph(&self, threads: usize) -> Option<Graph> {
        let DenseData::Sealed(sealed) = &self.data else {
            return None;
        };
        let seed = sealed.seed.lock().take();
        match graph::build(&sealed.rows, self.metric, seed, threads) {
            Ok(graph) => Some(graph),
            Err(error) => {
                tracing::warn!(%error, "index build fell back to flat");
                let _ = sealed.structure.set(Structure::Scan);
                None
            }
        }
    }

    /// The mapped graph, if there is one.
    pub fn graph(&self) -> Option<&Arc<GraphFile>> {
        match &self.data {
            DenseData::Sealed(sealed) => match sealed.structure.get()? {
                Structure::Graph(file) => Some(file),
                Structure::Scan | Structure::Tree(_) => None,
            },
            DenseData::Growing(_) => None,
        }
    }

    /// Notes from what its graph will be built.
    pub fn set_seed(&self, seed: Seed) {
        if let DenseData::Sealed(sealed) = &self.data {
            *sealed.seed.lock() = Some(seed);
        }
    }

    /// The row of an offset in this column.
    pub fn row_of(&self, offset: Offset) -> Option<usize> {
        self.map.row(offset)
    }

    /// The offset of a row of this column.
    pub fn offset_of(&self, row: usize) -> Offset {
        self.map.offset(row as Offset)
    }

    /// Adds the row of an offset; `ordinal` is that of its key in the store, if the rest of the key follows from the row.
    pub fn push(&mut self, offset: Offset, values: &[f32], ordinal: Option<u32>) {
        assert_eq!(
            values.len(),
            self.dim,
            "dims are checked before a point is logged"
        );
        let DenseData::Growing(all) = &mut self.data else {
            panic!("a sealed segment takes no rows");
        };
        all.extend(values);
        self.map.push(offset);
        if let Some(ordinals) = &mut self.ordinals {
            ordinals.push(ordinal.unwrap_or(NO_ORDINAL));
        }
    }

    pub fn get(&self, offset: Offset) -> Option<&[f32]> {
        let row = self.map.row(offset)?;
        match &self.data {
            DenseData::Growing(values) => values.group(row * self.dim, self.dim),
            DenseData::Sealed(sealed) => Some(sealed.rows.row(row)),
        }
    }

    /// The link in which the row at an offset stands, and where in it.
    pub fn link(&self, offset: Offset) -> Option<(usize, u32)> {
        let placed = self.placed()?;
        placed.link(self.map.row(offset)?)
    }

    /// How many live rows stand in linked files.
    pub fn linked_rows(&self, live: &BitSet) -> usize {
        match self.placed() {
            None => 0,
            Some(placed) if placed.own_bytes() == 0 && self.map.offsets.is_none() => live.count(),
            Some(_) => {
                let rows = live.iter();
                rows.filter(|&offset| self.link(offset).is_some()).count()
            }
        }
    }

    /// The ordinal in the row's key in the store, if the rest of the key follows from the row.
    pub fn ordinal(&self, offset: Offset) -> Option<u32> {
        let ordinal = self.ordinals.as_ref()?.get(self.map.row(offset)?)?;
        (ordinal != NO_ORDINAL).then_some(ordinal)
    }

    fn placed(&self) -> Option<&Placed> {
        match &self.data {
            DenseData::Sealed(Sealed {
                rows: SealedRows::Placed(placed),
                ..
            }) => Some(placed),
            _ => None,
        }
    }

    /// Bytes of the rows in the segment's file; none of a growing segment.
    pub fn inline_bytes(&self) -> usize {
        match &self.data {
            DenseData::Growing(_) => 0,
            DenseData::Sealed(sealed) => match &sealed.rows {
                SealedRows::Own(rows) => size_of_val(rows.as_slice()),
                SealedRows::Placed(placed) => placed.own_bytes(),
            },
        }
    }

    pub fn rows(&self) -> usize {
        self.map.len
    }

    /// `flat`, `kdtree` or `graph`.
    pub fn structure(&self) -> &'static str {
        match &self.data {
            DenseData::Growing(_) => IndexKind::Flat.name(),
            DenseData::Sealed(sealed) => sealed.kind().name(),
        }
    }

    /// The structure that was or will be built.
    pub fn kind(&self) -> IndexKind {
        match &self.data {
            DenseData::Growing(_) => IndexKind::Flat,
            DenseData::Sealed(sealed) => sealed.kind,
        }
    }

    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Whether rows are of unit length.
    pub fn normalizes(&self) -> bool {
        self.metric.normalizes()
    }

    /// Bytes of the structure, if there is one.
    pub fn structure_bytes(&self) -> usize {
        match &self.data {
            DenseData::Growing(_) => 0,
            DenseData::Sealed(sealed) => sealed.structure_bytes(),
        }
    }

    /// Bytes of rows and structure that are not mapped.
    pub fn heap_bytes(&self) -> usize {
        let data = match &self.data {
            DenseData::Growing(values) => values.bytes(),
            DenseData::Sealed(sealed) => sealed.structure_bytes(),
        };
        let ordinals = self.ordinals.as_ref().map_or(0, Numbers::heap_bytes);
        data + self.map.heap_bytes() + ordinals
    }

    /// The `k` nearest of the rows that may answer.
    pub fn search(
        &self,
        query: &[f32],
        k: usize,
        rows: Rows<'_>,
        params: &query::SearchParams,
    ) -> Result<Found> {
        let sound = self.sound(rows);
        let rows = sound.as_ref().map_or(rows, Rows::Only);
        let filter = self.map.filter(rows);
        let scan = SearchParams {
            k,
            exact: params.exact,
            filter: filter.as_deref(),
            max_distance: None,
        };
        let mut found = match &self.data {
            DenseData::Growing(values) => {
                let mut stats = Stats::default();
                let neighbors = self.scan_growing(values, query, &scan, &mut stats);
                Found::exact(neighbors, IndexKind::Flat, "not sealed yet", stats)
            }
            DenseData::Sealed(sealed) => self.search_sealed(sealed, query, &scan, params)?,
        };
        for neighbor in &mut found.neighbors {
            neighbor.offset = self.map.offset(neighbor.offset);
        }
        Ok(found)
    }

    /// The rows that may answer without those that were found damaged; `None` if there is no such row.
    fn sound(&self, rows: Rows<'_>) -> Option<BitSet> {
        let damaged = self.damaged.load();
        let damaged = damaged.as_deref()?;
        let mut sound = match rows {
            Rows::All => BitSet::full(damaged.len()),
            Rows::Only(set) => set.clone(),
        };
        sound.subtract(damaged);
        Some(sound)
    }

    fn scan_growing(
        &self,
        values: &Chunks<f32>,
        query: &[f32],
        params: &SearchParams<'_>,
        stats: &mut Stats,
    ) -> Vec<Neighbor> {
        let mut nearest = Vec::new();
        let mut first = 0;
        for chunk in values.chunks() {
            let rows = chunk.len() / self.dim;
            let filter = params.filter.map(|filter| filter.slice(first, rows));
            let params = SearchParams {
                filter: filter.as_ref(),
                ..*params
            };
            let found = index::scan(self.metric, query, chunk, self.dim, &params, stats);
            nearest.extend(found.into_iter().map(|neighbor| {
                Neighbor::new(neighbor.offset + first as Offset, neighbor.distance)
            }));
            first += rows;
        }
        nearest.sort_unstable();
        nearest.truncate(params.k);
        nearest
    }

    fn search_sealed(
        &self,
        sealed: &Sealed,
        query: &[f32],
        scan: &SearchParams<'_>,
        params: &query::SearchParams,
    ) -> Result<Found> {
        let flat = IndexKind::Flat;
        let kind = sealed.kind();
        let scanned_because = match (params.index, sealed.structure.get()) {
            (Some(forced), _) if forced != kind && forced != flat => {
                return Err(Error::invalid(format!(
                    "params.index: this collection's segments have {}; leave it out, ask for \"flat\", or create the \
                     collection with the index you want",
                    kind.name()
                )));
            }
            (Some(forced), _) if forced != kind => "asked for by the query",
            (_, None) if kind == IndexKind::Graph => "scanned while the graph is built",
            (_, None) => "scanned while the k-d tree is built again after the start",
            (_, Some(Structure::Scan)) => &sealed.reason,
            (_, Some(Structure::Graph(_))) if params.exact => "compared exactly, as the query asks",
            (_, Some(Structure::Tree(tree))) => {
                let mut stats = Stats::default();
                let neighbors = tree
                    .search(query, scan, &mut stats)
                    .map_err(|error| Error::invalid(error.to_string()))?;
                return Ok(Found::exact(neighbors, kind, &sealed.reason, stats));
            }
            (_, Some(Structure::Graph(file))) => {
                return sealed.search_graph(file, query, scan, params);
            }
        };
        let mut stats = Stats::default();
        let found = match &sealed.rows {
            SealedRows::Own(rows) => {
                let rows = rows.as_slice();
                index::scan(self.metric, query, rows, self.dim, scan, &mut stats)
            }
            SealedRows::Placed(placed) => placed.scan(self.metric, query, scan, &mut stats),
        };
        Ok(Found::exact(found, flat, scanned_because, stats))
    }
}

impl Sealed {
    fn kind(&self) -> IndexKind {
        let built = self.structure.get();
        built.map_or(self.kind, Structure::kind)
    }

    /// On the heap.
    fn structure_bytes(&self) -> usize {
        self.structure.get().map_or(0, Structure::heap_bytes)
    }

    fn search_graph(
        &self,
        file: &Arc<GraphFile>,
        query: &[f32],
        scan: &SearchParams<'_>,
        params: &query::SearchParams,
    ) -> Result<Found> {
        let effort = match (params.ef, params.target_recall) {
            (_, Some(target)) => Effort::Recall(target),
            (Some(ef), None) => Effort::Stop {
                ef,
                gamma: f32::INFINITY,
            },
            (None, None) => Effort::Recall(RECALL_DEFAULT),
        };
        let search = GraphSearch {
            k: scan.k,
            effort,
            filter: scan.filter,
            max_distance: None,
        };
        let answer = file
            .graph
            .search(query, &search)
            .map_err(|error| Error::invalid(error.to_string()))?;
        if scan.filter.is_none() {
            file.note(query);
        }
        Ok(Found {
            neighbors: answer.neighbors,
            index: IndexKind::Graph.name(),
            reason: self.reason.clone(),
            stats: answer.stats,
            route: Some(answer.route),
            recall: answer.recall,
        })
    }
}

/// Sparse vectors with inverted lists.
#[derive(Clone)]
pub(crate) struct SparseColumn {
    map: RowMap,
    data: SparseData,
}

#[derive(Clone)]
enum SparseData {
    Growing(SparseGrowing),
    Sealed(SparseSealed),
}

#[derive(Clone, Default)]
struct SparseGrowing {
    /// All but the last with [`SPARSE_CHUNK_ROWS`] rows.
    chunks: Vec<Arc<SparseChunk>>,
    /// Of all rows: counted, for it is asked after every write.
    tokens: usize,
}

#[derive(Clone, Default)]
struct SparseChunk {
    rows: Vec<SparseVector>,
    index: SparseIndex,
}

#[derive(Clone)]
struct SparseSealed {
    row_ends: View<u64>,
    indices: View<u32>,
    values: View<f32>,
    index: SparseIndex,
}

/// Inverted lists in a mapped file.
struct MappedLists {
    tokens: View<u32>,
    starts: View<u64>,
    bounds: View<[f32; 2]>,
    postings: View<index::Posting>,
}

impl SparseLists for MappedLists {
    fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    fn starts(&self) -> &[u64] {
        &self.starts
    }

    fn bounds(&self) -> &[[f32; 2]] {
        &self.bounds
    }

    fn postings(&self) -> &[index::Posting] {
        &self.postings
    }
}

impl SparseColumn {
    pub fn growing() -> Self {
        Self {
            map: RowMap::default(),
            data: SparseData::Growing(SparseGrowing::default()),
        }
    }

    /// The column of a segment's file. Reads it once to check it: time O(bytes).
    ///
    /// # Errors
    ///
    /// `Corrupted` if it is damaged.
    pub fn open(reader: &Reader, contents: &SparseContents, rows: u32) -> Result<Self> {
        let row_ends: View<u64> = reader.checked(contents.row_ends, "ends of sparse rows")?;
        let indices: View<u32> = reader.checked(contents.indices, "sparse indices")?;
        let values: View<f32> = reader.checked(contents.values, "sparse values")?;
        check_count("sparse rows", row_ends.len(), contents.count as usize)?;
        check_count("sparse values", values.len(), indices.len())?;
        check_ends(&row_ends, indices.len())?;
        let lists = MappedLists {
            tokens: reader.checked(contents.tokens, "tokens")?,
            starts: reader.checked(contents.starts, "starts of lists")?,
            bounds: reader.checked(contents.bounds, "bounds of lists")?,
            postings: reader.checked(contents.postings, "postings")?,
        };
        let index = SparseIndex::stored(contents.count, Arc::new(lists)).map_err(|error| {
            Error::corrupted(format!("sparse vector \"{}\": {error}", contents.name))
        })?;
        Ok(Self {
            map: RowMap::open(reader, contents.count, contents.offsets, rows)?,
            data: SparseData::Sealed(SparseSealed {
                row_ends,
                indices,
                values,
                index,
            }),
        })
    }

    pub fn push(&mut self, offset: Offset, vector: &SparseVector) {
        let SparseData::Growing(SparseGrowing { chunks, tokens }) = &mut self.data else {
            panic!("a sealed segment takes no rows");
        };
        *tokens += vector.indices().len();
        if self.map.len.is_multiple_of(SPARSE_CHUNK_ROWS) {
            chunks.push(Arc::default());
        }
        let chunk = Arc::make_mut(chunks.last_mut().expect("it was pushed"));
        let pairs: Vec<(u32, f32)> = vector.iter().collect();
        chunk
            .index
            .push(&pairs)
            .expect("a sparse vector's tokens are unique and its values finite");
        chunk.rows.push(vector.clone());
        self.map.push(offset);
    }

    pub fn get(&self, offset: Offset) -> Option<SparseVector> {
        let row = self.map.row(offset)?;
        match &self.data {
            SparseData::Growing(SparseGrowing { chunks, .. }) => {
                let chunk = chunks.get(row / SPARSE_CHUNK_ROWS)?;
                chunk.rows.get(row % SPARSE_CHUNK_ROWS).cloned()
            }
            SparseData::Sealed(sealed) => sealed.row(row),
        }
    }

    pub fn rows(&self) -> usize {
        self.map.len
    }

    /// Number of rows that hold the token, dead ones included.
    pub fn document_frequency(&self, token: u32) -> usize {
        self.indexes()
            .map(|index| index.document_frequency(token) as usize)
            .sum()
    }

    /// The `k` rows with the largest product, of those that may answer and share a token.
    pub fn search(&self, query: &[(u32, f32)], k: usize, rows: Rows<'_>) -> Found {
        let filter = self.map.filter(rows);
        let mut nearest: Vec<Neighbor> = Vec::new();
        let mut first = 0;
        for index in self.indexes() {
            // All but the last begin at a word.
            let filter = filter.as_ref().map(|set| set.slice(first, index.len()));
            let found = index.search(query, k, filter.as_ref());
            nearest.extend(found.into_iter().map(|neighbor| {
                let row = neighbor.offset + first as Offset;
                Neighbor::new(self.map.offset(row), neighbor.distance)
            }));
            first += index.len();
        }
        nearest.sort_unstable();
        nearest.truncate(k);
        let postings: usize = query
            .iter()
            .map(|&(token, _)| self.document_frequency(token))
            .sum();
        let stats = Stats {
            visited: postings as u64,
            distance_calls: postings as u64,
        };
        Found {
            neighbors: nearest,
            index: "sparse",
            reason: "inverted lists; visited counts their lengths".to_owned(),
            stats,
            route: None,
            recall: Some(1.0),
        }
    }

    /// As [`Self::heap_bytes`], with what the lists have set aside. Time O(tokens).
    pub fn exact_heap_bytes(&self) -> usize {
        let SparseData::Growing(growing) = &self.data else {
            return self.heap_bytes();
        };
        let row = size_of::<SparseVector>();
        let rows = growing.chunks.iter().map(|chunk| chunk.rows.len() * row);
        let lists = growing.chunks.iter().map(|chunk| chunk.index.memory());
        let values = growing.tokens * size_of::<(u32, f32)>();
        values + rows.chain(lists).sum::<usize>() + self.map.heap_bytes()
    }

    /// Bytes of all indices and values.
    pub fn values_bytes(&self) -> usize {
        let tokens = match &self.data {
            SparseData::Growing(growing) => growing.tokens,
            SparseData::Sealed(sealed) => sealed.indices.len(),
        };
        tokens * size_of::<(u32, f32)>()
    }

    /// Bytes that are not mapped.
    pub fn heap_bytes(&self) -> usize {
        let rows = match &self.data {
            // Once in its row, once in its list.
            SparseData::Growing(growing) => growing.tokens * 2 * size_of::<(u32, f32)>(),
            SparseData::Sealed(_) => 0,
        };
        rows + self.map.heap_bytes()
    }

    /// One after the other, the rows of all are those of the column.
    fn indexes(&self) -> impl Iterator<Item = &SparseIndex> {
        let (growing, sealed) = match &self.data {
            SparseData::Growing(growing) => (Some(&growing.chunks), None),
            SparseData::Sealed(sealed) => (None, Some(&sealed.index)),
        };
        let growing = growing.into_iter().flatten().map(|chunk| &chunk.index);
        growing.chain(sealed)
    }
}

impl SparseSealed {
    /// `None` if the file's numbers are no sparse vector.
    fn row(&self, row: usize) -> Option<SparseVector> {
        let start = match row.checked_sub(1) {
            None => 0,
            Some(before) => *self.row_ends.get(before)? as usize,
        };
        let range = start..*self.row_ends.get(row)? as usize;
        let indices = self.indices.get(range.clone())?.to_vec();
        SparseVector::new(indices, self.values.get(range)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_offsets_part_when_a_point_lacks_the_vector() {
        let mut map = RowMap::default();
        map.push(0);
        map.push(1);
        assert!(map.offsets.is_none());
        map.push(4);
        assert_eq!(map.offset(2), 4);
        assert_eq!(map.row(4), Some(2));
        assert_eq!(map.row(2), None);
        let set = BitSet::from_offsets(6, [1, 2, 4]);
        assert_eq!(
            map.filter(Rows::Only(&set))
                .unwrap()
                .iter()
                .collect::<Vec<_>>(),
            [1, 2]
        );
        assert!(map.filter(Rows::All).is_none());
    }

    #[test]
    fn a_set_over_more_offsets_than_rows_is_cut() {
        let mut map = RowMap::default();
        map.push(0);
        map.push(1);
        let set = BitSet::from_offsets(6, [1, 5]);
        assert_eq!(
            map.filter(Rows::Only(&set))
                .unwrap()
                .iter()
                .collect::<Vec<_>>(),
            [1]
        );
    }
}
