//! The dense vectors of one name, row after row.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use index::{
    Approximation, BitSet, BlockScan, Encoding, Graph, IndexKind, IsCancelled, Metric, Neighbor,
    Offset, SearchParams, Stats, TrainParams,
};

use super::sealed::{Sealed, Structure};
use super::{Found, RowMap};
use crate::config::VectorConfig;
use crate::error::{Error, Result};
use crate::query;
use crate::segment::chunks::Chunks;
use crate::segment::file::{DenseContents, Reader, check_count};
use crate::segment::graph::{self, GraphFile, Owner, SealedRows, Seed};
use crate::segment::map::View;
use crate::segment::placed::{Placed, is_linkable};
use crate::segment::sound::SoundRows;
use crate::segment::{CHUNK_LEN, Link, Numbers, Rows};

/// Numbers of a growing chunk of dense rows: 256 KiB, which a write copies at most once per search that goes on.
const DENSE_CHUNK_NUMBERS: usize = 1 << 16;

/// Dense vectors, row after row.
#[derive(Clone)]
pub(crate) struct DenseColumn {
    dim: usize,
    metric: Metric,
    /// Of its graph.
    encoding: Encoding,
    map: RowMap,
    data: DenseData,
    /// By row, of vectors that may stand in linked files; [`NO_ORDINAL`] of one that may not.
    ordinals: Option<Numbers<u32>>,
    /// Offsets of rows that were found damaged: they do not answer.
    pub(in crate::segment) damaged: Arc<ArcSwapOption<BitSet>>,
    pub(in crate::segment) sound_rows: Arc<SoundRows>,
}

/// Of a vector that was not written by the write that made its row.
pub(in crate::segment) const NO_ORDINAL: u32 = u32::MAX;

/// The approximation of the rows of a chunk, if they have one.
type Approximated = Option<Arc<Approximation>>;

#[derive(Clone)]
enum DenseData {
    Growing(Chunks<f32, Approximated>),
    Sealed(Sealed),
}

impl DenseColumn {
    pub fn growing(config: &VectorConfig) -> Self {
        // Whole words of a filter, as a scan of blocks wants them.
        let rows = (DENSE_CHUNK_NUMBERS / config.dim / 64).max(1) * 64;
        Self {
            dim: config.dim,
            metric: config.metric,
            encoding: config.encoding.unwrap_or_default(),
            map: RowMap::default(),
            data: DenseData::Growing(Chunks::new(rows * config.dim)),
            ordinals: is_linkable(config).then(|| Numbers::Growing(Chunks::new(CHUNK_LEN))),
            damaged: Arc::default(),
            sound_rows: Arc::default(),
        }
    }

    /// The column of a segment's file, with its structure unless that must be built again ([`Self::build_tree`], [`Self::build_graph`]).
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
            encoding: config.encoding.unwrap_or_default(),
            map,
            ordinals,
            damaged: Arc::default(),
            sound_rows: Arc::default(),
            data: DenseData::Sealed(Sealed {
                rows,
                kind,
                reason: contents.reason.clone(),
                structure: Arc::new(structure),
                seed: Arc::default(),
                approximations: Arc::default(),
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
        sealed.approximations.store(None);
        Ok(())
    }

    /// Builds the graph that a sealed column lacks, on so many threads; none if it was cancelled, or there can be none for these rows.
    pub fn build_graph(&self, threads: usize, is_cancelled: IsCancelled<'_>) -> Option<Graph> {
        let DenseData::Sealed(sealed) = &self.data else {
            return None;
        };
        let seed = sealed.seed.lock().take();
        let params = self.graph_params();
        match graph::build(&sealed.rows, &params, seed, threads, is_cancelled) {
            Ok(graph) => graph,
            Err(error) => {
                tracing::warn!(%error, "index build fell back to flat");
                let _ = sealed.structure.set(Structure::Scan);
                None
            }
        }
    }

    /// By what its graph is built.
    fn graph_params(&self) -> TrainParams {
        TrainParams {
            encoding: self.encoding,
            ..TrainParams::new(self.metric)
        }
    }

    /// About how many bytes of heap building its graph takes.
    pub fn graph_build_bytes(&self) -> u64 {
        graph::build_bytes(self.rows(), self.dim, &self.graph_params())
    }

    /// About how many bytes the file of its graph has.
    pub fn graph_file_bytes(&self) -> u64 {
        graph::file_bytes(self.rows(), self.dim, &self.graph_params())
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

    /// Bytes of the approximations of rows that are scanned. Time O(chunks) of a growing column.
    pub fn approximation_bytes(&self) -> usize {
        match &self.data {
            DenseData::Growing(values) => {
                let made = values.derived().flatten();
                made.map(|approximation| approximation.memory()).sum()
            }
            DenseData::Sealed(sealed) => sealed.approximation_bytes(),
        }
    }

    /// As [`Self::approximation_bytes`]; of a growing column what they will be when all are made. Time O(1).
    pub fn approximation_bytes_max(&self) -> usize {
        match &self.data {
            DenseData::Growing(_) if !Approximation::serves(self.metric, self.dim) => 0,
            DenseData::Growing(_) => Approximation::bytes(self.rows(), self.dim),
            DenseData::Sealed(sealed) => sealed.approximation_bytes(),
        }
    }

    /// Bytes of the approximations that rows should have and have not.
    pub fn lacking_approximation_bytes(&self) -> usize {
        match &self.data {
            DenseData::Sealed(sealed) if sealed.lacks_approximations(self.metric) => {
                Approximation::bytes(self.rows(), self.dim)
            }
            DenseData::Sealed(_) | DenseData::Growing(_) => 0,
        }
    }

    /// Whether rows should have approximations and have none, and no structure will come.
    pub fn lacks_approximations_for_good(&self) -> bool {
        match &self.data {
            DenseData::Sealed(sealed) => {
                sealed.kind() == IndexKind::Flat && sealed.lacks_approximations(self.metric)
            }
            DenseData::Growing(_) => false,
        }
    }

    /// Approximates the rows of a sealed column that are scanned.
    pub fn approximate(&self) {
        if let DenseData::Sealed(sealed) = &self.data
            && sealed.lacks_approximations(self.metric)
        {
            sealed.approximate(self.metric);
        }
    }

    /// Bytes of rows and structure that are not mapped, without approximations.
    pub fn heap_bytes(&self) -> usize {
        let data = match &self.data {
            DenseData::Growing(values) => values.bytes(),
            DenseData::Sealed(sealed) => sealed.structure_bytes(),
        };
        let ordinals = self.ordinals.as_ref().map_or(0, Numbers::heap_bytes);
        data + self.map.heap_bytes() + ordinals
    }

    /// The `k` nearest of the rows that may answer. Rows farther than `max_distance` need not be found.
    pub fn search(
        &self,
        query: &[f32],
        k: usize,
        max_distance: Option<f32>,
        rows: Rows<'_>,
        params: &query::SearchParams,
    ) -> Result<Found> {
        let sound = self.sound(rows);
        let rows = sound.as_ref().map_or(rows, Rows::Only);
        let filter = self.map.filter(rows);
        let scan = SearchParams {
            k,
            exact: params.is_exact(),
            filter: filter.as_deref(),
            max_distance,
        };
        let mut found = match &self.data {
            DenseData::Growing(values) => {
                let mut stats = Stats::default();
                let neighbors = self.scan_growing(values, query, &scan, &mut stats);
                Found::exact(neighbors, IndexKind::Flat, "not sealed yet", stats)
            }
            DenseData::Sealed(sealed) => sealed.search(self.metric, query, &scan, params)?,
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
        values: &Chunks<f32, Approximated>,
        query: &[f32],
        params: &SearchParams<'_>,
        stats: &mut Stats,
    ) -> Vec<Neighbor> {
        let mut scan = BlockScan::new(self.metric, query, params);
        let mut first = 0;
        for (rows, approximation) in values.chunks(|rows| self.approximation(rows)) {
            let approximation = approximation.and_then(|made| made.as_deref());
            scan.rows(first, rows, approximation);
            first += (rows.len() / self.dim) as Offset;
        }
        scan.finish(stats)
    }

    fn approximation(&self, rows: &[f32]) -> Approximated {
        let rows = rows.chunks_exact(self.dim);
        Approximation::serves(self.metric, self.dim)
            .then(|| Approximation::of(self.metric, self.dim, rows))
            .flatten()
            .map(Arc::new)
    }
}
