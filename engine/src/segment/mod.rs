//! The rows of a collection on this node: one growing segment and a few sealed ones.
//!
//! - `column`: the vectors of one name within a segment, plain while it grows, with a search structure once it is sealed.
//! - `chunks`: what a growing segment is made of, so that searches read it while it grows.
//! - `build`: writing a sealed segment of others' live rows.
//! - `file`: the bytes of a sealed segment, drawn once.
//! - `map`: files as slices of numbers.
//! - `links`, `places`, `placed`: rows that stay in RocksDB's files, how they are found there, and a column of them.
//! - `manifest`: which files are live, and what of the log they cover.
//! - `graph`: the graph of a column, in a file of its own.
//! - `folder`: the files of one collection.
//! - `policy`: when to seal and what to merge, as a pure function.
//! - `sound`: whether a row that answers is the one that was written.
//! - `inspect`: comparing all of it with its checksums while it is served.
//! - `usage`: what a segment holds in memory.
//!
//! A segment knows dense offsets; the table of ids beside it says which point a row belongs to. Segments are derived from RocksDB: every file
//! of them can be deleted, and is then rebuilt.

mod build;
mod chunks;
mod column;
mod file;
pub(crate) mod folder;
pub(crate) mod graph;
pub(crate) mod inspect;
mod links;
pub(crate) mod manifest;
mod map;
mod placed;
mod places;
pub(crate) mod policy;
mod sound;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use build::{Origins, Source};
use chunks::Chunks;
pub(crate) use column::{DenseColumn, Found, SparseColumn};
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use file::fuzz;
use file::{LinkContents, Reader, check_count, check_ends};
pub(crate) use graph::GraphFile;
use index::{BitSet, Graph, IndexKind, Offset, Origin};
use links::Links;
use map::{Map, Plain, View};

use crate::config::CollectionConfig;
use crate::error::{Error, Result};
use crate::named::named;
use crate::point::{PointId, Vector};
use crate::storage::record::PointRow;
use crate::{PARTITIONS, Partition};

/// Ids and numbers of a growing segment that are copied together at most.
const CHUNK_LEN: usize = 1024;

/// A log index of every partition.
pub(crate) type Positions = [u64; PARTITIONS as usize];

/// Rows with their ids and vectors. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Segment {
    /// Unique within the collection's life; the number of the file of a sealed one.
    pub uid: u64,
    ids: Chunks<PointId>,
    versions: Numbers<u64>,
    partitions: Numbers<u16>,
    /// By vector name.
    pub dense: BTreeMap<String, DenseColumn>,
    /// By vector name.
    pub sparse: BTreeMap<String, SparseColumn>,
    /// When it was made, or opened.
    since: Instant,
    /// Of a sealed segment.
    file: Option<Reader>,
    links: Arc<[Link]>,
}

/// A linked file in which rows of a segment stand.
pub(crate) struct Link {
    number: u64,
    map: Arc<Map>,
    /// All of it.
    numbers: View<f32>,
}

impl Link {
    fn open(contents: &LinkContents, links: &Links) -> Result<Self> {
        let map = links.open(contents.number)?;
        let bytes = map.bytes().len() as u64;
        if bytes != contents.bytes {
            return Err(Error::corrupted(format!(
                "linked file {} has {bytes} bytes, expected {}",
                contents.number, contents.bytes
            )));
        }
        Ok(Self {
            number: contents.number,
            numbers: map.view(0, bytes & !3)?,
            map,
        })
    }
}

/// Bytes of the rows of a segment on disk.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowBytes {
    /// Of rows that stand in the segment's own file, dead ones included.
    pub inline: usize,
    /// Of live rows that stand in linked files.
    pub linked: usize,
}

/// A number for every row.
#[derive(Clone)]
enum Numbers<T> {
    Growing(Chunks<T>),
    Mapped(View<T>),
}

impl<T: Plain> Numbers<T> {
    fn get(&self, at: usize) -> Option<T> {
        match self {
            Self::Growing(numbers) => numbers.get(at).copied(),
            Self::Mapped(numbers) => numbers.get(at).copied(),
        }
    }

    fn announce(&self, at: usize) {
        if let Self::Mapped(numbers) = self
            && let Some(number) = numbers.get(at)
        {
            index::prefetch(std::slice::from_ref(number));
        }
    }

    fn push(&mut self, number: T) {
        let Self::Growing(numbers) = self else {
            panic!("a sealed segment takes no rows");
        };
        numbers.push(number);
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Growing(numbers) => numbers.bytes(),
            Self::Mapped(_) => 0,
        }
    }
}

impl Segment {
    /// An empty segment that takes rows of this collection.
    pub fn growing(uid: u64, config: &CollectionConfig) -> Self {
        let dense = config
            .vectors
            .iter()
            .map(|(name, vector)| (name.clone(), DenseColumn::growing(vector)));
        let sparse = config
            .sparse_vectors
            .keys()
            .map(|name| (name.clone(), SparseColumn::growing()));
        Self {
            uid,
            ids: Chunks::new(CHUNK_LEN),
            versions: Numbers::Growing(Chunks::new(CHUNK_LEN)),
            partitions: Numbers::Growing(Chunks::new(CHUNK_LEN)),
            dense: dense.collect(),
            sparse: sparse.collect(),
            since: Instant::now(),
            file: None,
            links: Arc::new([]),
        }
    }

    /// A sealed segment from its file. Its graphs are opened by [`Self::open_graph`] or built, k-d trees by [`Self::build_trees`]. Time O(rows), without the rows
    /// of dense vectors, which are not read.
    ///
    /// # Errors
    ///
    /// `Corrupted` if it is damaged, of another format, or not of this collection's vectors.
    pub fn open(uid: u64, path: &Path, config: &CollectionConfig, links: &Links) -> Result<Self> {
        let reader = Reader::open(path)?;
        Self::read(uid, reader, config, links)
            .map_err(|error| error.context(format!("read segment {}", path.display())))
    }

    fn read(uid: u64, reader: Reader, config: &CollectionConfig, links: &Links) -> Result<Self> {
        let contents = &*reader.contents;
        let opened = contents.links.iter();
        let links: Arc<[Link]> = opened
            .map(|link| Link::open(link, links))
            .collect::<Result<_>>()?;
        let rows = contents.rows as usize;
        let versions: View<u64> = reader.checked(contents.versions, "versions")?;
        let partitions: View<u16> = reader.checked(contents.partitions, "partitions")?;
        check_count("versions", versions.len(), rows)?;
        check_count("partitions", partitions.len(), rows)?;
        if let Some(partition) = partitions.iter().find(|number| **number >= PARTITIONS) {
            return Err(Error::corrupted(format!(
                "there is no partition {partition}"
            )));
        }
        check_count("dense vectors", contents.dense.len(), config.vectors.len())?;
        check_count(
            "sparse vectors",
            contents.sparse.len(),
            config.sparse_vectors.len(),
        )?;
        let unknown = |name: &str| Error::corrupted(format!("there is no vector \"{name}\""));
        let mut dense = BTreeMap::new();
        for column in &contents.dense {
            let wanted = config.vectors.get(&column.name);
            let wanted = wanted.ok_or_else(|| unknown(&column.name))?;
            let opened = DenseColumn::open(&reader, column, contents.rows, wanted, &links)?;
            dense.insert(column.name.clone(), opened);
        }
        let mut sparse = BTreeMap::new();
        for column in &contents.sparse {
            if !config.sparse_vectors.contains_key(&column.name) {
                return Err(unknown(&column.name));
            }
            let opened = SparseColumn::open(&reader, column, contents.rows)?;
            sparse.insert(column.name.clone(), opened);
        }
        check_count("dense vectors", dense.len(), config.vectors.len())?;
        check_count("sparse vectors", sparse.len(), config.sparse_vectors.len())?;
        Ok(Self {
            uid,
            ids: read_ids(&reader)?,
            versions: Numbers::Mapped(versions),
            partitions: Numbers::Mapped(partitions),
            dense,
            sparse,
            since: Instant::now(),
            file: Some(reader),
            links,
        })
    }

    /// Number of rows, dead ones included.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Adds the row of a point that has these vectors. Vectors that the collection does not have (any more) are left out.
    pub fn push(
        &mut self,
        id: PointId,
        row: &PointRow,
        partition: Partition,
        vectors: &BTreeMap<String, Vector>,
    ) -> Offset {
        let offset =
            Offset::try_from(self.len()).expect("a segment is sealed long before 2^32 rows");
        self.ids.push(id);
        self.versions.push(row.version);
        self.partitions.push(partition.0);
        for (name, vector) in vectors {
            match vector {
                Vector::Dense(values) => {
                    if let Some(column) = self.dense.get_mut(name) {
                        column.push(offset, values, ordinal(row, name));
                    }
                }
                Vector::Sparse(sparse) => {
                    if let Some(column) = self.sparse.get_mut(name) {
                        column.push(offset, sparse);
                    }
                }
            }
        }
        offset
    }

    /// Whose row it is.
    ///
    /// # Panics
    ///
    /// If there is no such row, as the next two.
    pub fn id(&self, offset: Offset) -> &PointId {
        self.ids.get(offset as usize).expect("offsets are of rows")
    }

    /// Fetches what an answer tells of a row. Called for all hits before the first of them is looked at: what they need from memory comes at the
    /// same time, and not hit after hit.
    pub fn announce(&self, offset: Offset) {
        if let Some(id) = self.ids.get(offset as usize) {
            index::prefetch(std::slice::from_ref(id));
        }
        self.versions.announce(offset as usize);
        self.partitions.announce(offset as usize);
    }

    /// Every row's point, by offset.
    pub fn ids(&self) -> impl Iterator<Item = &PointId> {
        self.ids.iter()
    }

    /// Log index of the write that made the row.
    pub fn version(&self, offset: Offset) -> u64 {
        let version = self.versions.get(offset as usize);
        version.expect("offsets are of rows")
    }

    /// The partition of the row's point.
    pub fn partition(&self, offset: Offset) -> Partition {
        let number = self.partitions.get(offset as usize);
        Partition(number.expect("offsets are of rows"))
    }

    /// The vector of a name that the row at `offset` has.
    pub fn vector(&self, name: &str, offset: Offset) -> Option<Vector> {
        if let Some(column) = named(&self.dense, name) {
            return column
                .get(offset)
                .map(|values| Vector::Dense(values.to_vec()));
        }
        named(&self.sparse, name)?.get(offset).map(Vector::Sparse)
    }

    /// Whether the row at `offset` has a vector of this name.
    pub fn has_vector(&self, name: &str, offset: Offset) -> bool {
        self.dense
            .get(name)
            .is_some_and(|column| column.get(offset).is_some())
            || self
                .sparse
                .get(name)
                .is_some_and(|column| column.get(offset).is_some())
    }

    /// Bytes of the approximations of scanned rows; of a growing segment what they will be when all are made.
    pub fn approximation_bytes_max(&self) -> usize {
        let columns = self.dense.values();
        columns.map(DenseColumn::approximation_bytes_max).sum()
    }

    /// Bytes of ids, vectors and structures in memory, without what is mapped and without approximations.
    pub fn heap_bytes(&self) -> usize {
        let dense: usize = self.dense.values().map(DenseColumn::heap_bytes).sum();
        let sparse: usize = self.sparse.values().map(SparseColumn::heap_bytes).sum();
        let ids = self.ids.bytes();
        dense + sparse + ids + self.versions.heap_bytes() + self.partitions.heap_bytes()
    }

    /// Bytes of the mapped files, its own and those of its graphs: memory that the operating system takes back when it needs it.
    pub fn mapped_bytes(&self) -> usize {
        let graphs = self.dense.values().filter_map(DenseColumn::graph);
        let graphs: u64 = graphs
            .map(|graph| graph.code_bytes() + graph.edge_bytes())
            .sum();
        self.file.as_ref().map_or(0, Reader::bytes) + graphs as usize
    }

    /// Whether it is a file.
    pub fn is_sealed(&self) -> bool {
        self.file.is_some()
    }

    /// Whether it is searched by scan although it should not be: a structure is still to be built.
    pub fn lacks_structures(&self) -> bool {
        self.dense.values().any(|column| column.lacks().is_some())
    }

    /// Whether [`Self::build_trees`] has something to do.
    pub fn lacks_trees(&self) -> bool {
        let lacks = |column: &DenseColumn| column.lacks() == Some(IndexKind::KdTree);
        self.dense.values().any(lacks)
    }

    /// Builds the k-d trees that a sealed segment lacks after it was opened.
    pub fn build_trees(&self) {
        self.dense.values().for_each(DenseColumn::build_tree);
    }

    /// Bytes of the approximations that scanned rows should have and have not.
    pub fn lacking_approximation_bytes(&self) -> u64 {
        let lacking = self.dense.values();
        lacking
            .map(|column| column.lacking_approximation_bytes() as u64)
            .sum()
    }

    /// Whether rows lack approximations that are scanned for good.
    pub fn lacks_approximations(&self) -> bool {
        let mut columns = self.dense.values();
        columns.any(DenseColumn::lacks_approximations_for_good)
    }

    /// Whether some rows have approximations: a search has met them, or they are scanned for good.
    pub fn is_approximated(&self) -> bool {
        let mut columns = self.dense.values();
        columns.any(|column| column.approximation_bytes() > 0)
    }

    /// Approximates the rows that are scanned.
    pub fn approximate(&self) {
        self.dense.values().for_each(DenseColumn::approximate);
    }

    /// How long it has been there.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// The vector whose graph is still to be built, if one is.
    pub fn lacking_graph(&self) -> Option<&str> {
        let mut columns = self.dense.iter();
        let lacking = columns.find(|(_, column)| column.lacks() == Some(IndexKind::Graph));
        lacking.map(|(name, _)| name.as_str())
    }

    /// Positions and names of the vectors that may have a graph in a file.
    fn graph_columns(&self) -> impl Iterator<Item = (usize, &str)> {
        let columns = self.dense.iter().enumerate();
        let of_graph = columns.filter(|(_, (_, column))| column.kind() == IndexKind::Graph);
        of_graph.map(|(at, (name, _))| (at, name.as_str()))
    }

    /// Writes the graph of a vector durably under a temporary name.
    fn write_graph(&self, path: &Path, vector: &str, graph: &Graph) -> Result<()> {
        graph::write(path, self.owner(vector), graph)
    }

    /// Maps the graph of a vector.
    ///
    /// # Errors
    ///
    /// What the disk says, `Corrupted` if it is damaged or another's.
    fn open_graph(&self, path: &Path, vector: &str) -> Result<()> {
        self.dense[vector].open_graph(path, self.owner(vector))
    }

    fn owner<'a>(&self, vector: &'a str) -> graph::Owner<'a> {
        let segment = self.file.as_ref().map_or(0, |reader| reader.checksum);
        graph::Owner { segment, vector }
    }

    /// Has its graphs built from the largest of those of the segments that it was merged from.
    pub fn seed_graphs(&self, sources: &[Source], origins: &Origins) {
        for (name, column) in &self.dense {
            if column.lacks() == Some(IndexKind::Graph)
                && let Some(seed) = seed(name, column, sources, origins)
            {
                column.set_seed(seed);
            }
        }
    }

    /// Compares the checksums that opening leaves out. Time O(bytes of its rows).
    ///
    /// # Errors
    ///
    /// `Corrupted`, with the vector whose rows are damaged.
    pub fn verify(&self) -> Result<()> {
        self.verify_own()?;
        for (name, column) in &self.dense {
            if let Some(graph) = column.graph() {
                graph.verify().map_err(|error| {
                    error.context(format!(
                        "verify graph of \"{name}\" of segment {}",
                        self.uid
                    ))
                })?;
            }
            for offset in 0..self.len() as Offset {
                self.verify_row(column, offset).map_err(|error| {
                    error.context(format!("verify \"{name}\" of segment {}", self.uid))
                })?;
            }
        }
        Ok(())
    }

    /// As [`Self::verify`], without the rows that stand in linked files.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn verify_own(&self) -> Result<()> {
        let Some(reader) = &self.file else {
            return Ok(());
        };
        reader
            .verify()
            .map_err(|error| error.context(format!("verify segment {}", self.uid)))
    }

    /// Where the row of a column stands, if in a linked file.
    fn place(&self, column: &DenseColumn, offset: Offset) -> Option<places::Place> {
        let (link, at) = column.link(offset)?;
        let file = self.links[link].number;
        Some(places::Place { file, at })
    }

    /// Number and bytes of each linked file in which rows stand.
    pub fn links(&self) -> impl Iterator<Item = (u64, usize)> {
        let links = self.links.iter();
        links.map(|link| (link.number, link.map.bytes().len()))
    }

    /// Whether rows stand in one of these linked files.
    pub fn uses_any(&self, links: &BTreeSet<u64>) -> bool {
        !links.is_empty() && self.links().any(|(number, _)| links.contains(&number))
    }

    /// Bytes of rows by where they stand. Time O(rows) if a vector stands in linked files and points lack it or others stand here, else of
    /// counting the live ones.
    pub fn row_bytes(&self, live: &BitSet) -> RowBytes {
        let mut bytes = RowBytes::default();
        for column in self.dense.values() {
            bytes.inline += column.inline_bytes();
            bytes.linked += column.linked_rows(live) * column.dim() * size_of::<f32>();
        }
        bytes
    }
}

/// The ordinal in the key of a row's vector, if the rest of the key follows from the row.
fn ordinal(row: &PointRow, name: &str) -> Option<u32> {
    let mut references = row.vectors.iter();
    let reference = references.find(|reference| reference.name == name)?;
    (reference.index == row.version).then_some(reference.ordinal)
}

/// The largest graph of a vector's sources, and which of its rows the rows of the column were.
fn seed(
    name: &str,
    column: &DenseColumn,
    sources: &[Source],
    origins: &Origins,
) -> Option<graph::Seed> {
    let graphs = sources.iter().filter_map(|source| {
        let column = source.segment.dense.get(name)?;
        Some((&*source.segment, column, column.graph()?))
    });
    let (segment, base, graph) = graphs.max_by_key(|(_, column, _)| column.rows())?;
    let origin = |row: usize| {
        let (uid, offset) = origins[column.offset_of(row) as usize];
        let row = (uid == segment.uid).then(|| base.row_of(offset)).flatten();
        row.map_or(Origin::Other, |row| Origin::Base(row as Offset))
    };
    let origins = (0..column.rows()).map(origin).collect();
    Some(graph::Seed::new(graph.clone(), origins))
}

fn read_ids(reader: &Reader) -> Result<Chunks<PointId>> {
    let contents = &*reader.contents;
    let ends: View<u64> = reader.checked(contents.id_ends, "ends of ids")?;
    let bytes: View<u8> = reader.checked(contents.ids, "ids")?;
    check_count("ids", ends.len(), contents.rows as usize)?;
    check_ends(&ends, bytes.len())?;
    let mut ids = Chunks::new(CHUNK_LEN);
    let mut start = 0;
    for &end in &*ends {
        ids.push(PointId::decode(&bytes[start..end as usize])?);
        start = end as usize;
    }
    Ok(ids)
}

/// Which rows of a segment may answer.
#[derive(Copy, Clone)]
pub(crate) enum Rows<'a> {
    /// All of them.
    All,
    /// Those of the set, over the segment's offsets.
    Only(&'a BitSet),
}
