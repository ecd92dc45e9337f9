//! The graph of a dense column: built after its segment is sealed, and kept in a file of its own, `<segment>-<position of the vector>.graph`.
//!
//! ```text
//! 0      header as of a segment file (see `file`), magic "VECINOGR"
//! 4096   header of the graph | codes u8[n * bytes of a code] | edges u32[n * degree]
//! last   contents: a record with the vector, the checksum of the segment's contents, and the place, bytes and XXH3 of every section
//! ```
//!
//! It is derived from the segment: a file that is missing, damaged, of another format or of another segment is built again in the background,
//! and scans answer meanwhile. Opening reads the edges once, to see that each leads to a row; damaged codes make bad answers, and are told by
//! [`GraphFile::verify`].

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bincode::{Decode, Encode};
use index::{
    BuildParams, Encoding, Graph, IsCancelled, Metric, Offset, Origin, RowSource, StoredGraph,
    TrainParams,
};

use super::file::{FileContents, Reader, Section, Writer};
use super::map::{View, bytes_of};
use super::placed::Placed;
use crate::error::{Error, Result};
use crate::observer::Observer;

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct GraphContents {
    /// Checksum of the contents of the segment's file.
    segment: u64,
    vector: String,
    header: Section,
    codes: Section,
    edges: Section,
}

impl FileContents for GraphContents {
    const MAGIC: &'static [u8; 8] = b"VECINOGR";
    const FORMAT: u32 = 1;
    const NAME: &'static str = "graph";
}

/// Whose graph it is.
#[derive(Copy, Clone)]
pub(crate) struct Owner<'a> {
    /// Checksum of the contents of the segment's file.
    pub segment: u64,
    pub vector: &'a str,
}

/// The rows of a sealed column.
#[derive(Clone)]
pub(super) enum SealedRows {
    /// One after the other in the segment's file.
    Own(index::Rows),
    /// Most of them in linked files.
    Placed(Placed),
}

impl SealedRows {
    pub fn row(&self, row: usize) -> &[f32] {
        match self {
            Self::Own(rows) => rows.row(row as Offset),
            Self::Placed(placed) => placed.row(row),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Own(rows) => rows.len(),
            Self::Placed(placed) => placed.len(),
        }
    }

    fn are_finite(&self) -> bool {
        (0..self.len()).all(|row| self.row(row).iter().all(|x| x.is_finite()))
    }
}

impl RowSource for SealedRows {
    fn len(&self) -> usize {
        self.len()
    }

    fn dim(&self) -> usize {
        match self {
            Self::Own(rows) => rows.dim(),
            Self::Placed(placed) => placed.dim(),
        }
    }

    fn row(&self, offset: Offset) -> &[u8] {
        match self {
            Self::Own(rows) => RowSource::row(rows, offset),
            // Linked rows are taken only where numbers are little-endian.
            Self::Placed(placed) => bytes_of(placed.row(offset as usize)),
        }
    }

    fn announce(&self, offset: Offset) {
        if let Self::Placed(placed) = self {
            placed.announce(offset as usize);
        }
    }
}

/// The graph of one of the segments that were merged, from which the merged one's begins.
pub(crate) struct Seed {
    graph: Arc<GraphFile>,
    /// Of each row of the merged column, which row of the graph it was.
    origins: Vec<Origin>,
}

impl Seed {
    pub fn new(graph: Arc<GraphFile>, origins: Vec<Origin>) -> Self {
        Self { graph, origins }
    }
}

/// A mapped graph.
pub(crate) struct GraphFile {
    pub graph: Graph,
    reader: Reader<GraphContents>,
    /// Learns from the queries that are asked, once it is there.
    observer: OnceLock<Observer>,
    /// How many were asked.
    asked: AtomicU64,
    /// Whether the costs of filtered searches are measured, or will be.
    is_measured: AtomicBool,
}

impl GraphFile {
    /// The graph of a column's rows in a file.
    ///
    /// # Errors
    ///
    /// What the disk says, `Corrupted` if it is damaged or another's.
    pub(super) fn open(path: &Path, owner: Owner<'_>, rows: SealedRows) -> Result<Self> {
        let reader: Reader<GraphContents> = Reader::open(path)?;
        reader.use_huge_pages();
        Self::read(reader, owner, rows)
            .map_err(|error| error.context(format!("read graph {}", path.display())))
    }

    fn read(reader: Reader<GraphContents>, owner: Owner<'_>, rows: SealedRows) -> Result<Self> {
        let contents = &*reader.contents;
        if contents.segment != owner.segment || contents.vector != owner.vector {
            return Err(Error::corrupted("it is of another segment's vectors"));
        }
        let header: View<u8> = reader.checked(contents.header, "header")?;
        let codes: View<u8> = reader.unchecked(contents.codes)?;
        let edges: View<u32> = reader.unchecked(contents.edges)?;
        let graph = Graph::stored(StoredGraph {
            header: &header,
            codes: Arc::new(codes),
            edges: Arc::new(edges),
            rows: Arc::new(rows),
        });
        let graph = graph.map_err(|error| Error::corrupted(error.to_string()))?;
        Ok(Self {
            graph,
            reader,
            observer: OnceLock::new(),
            asked: AtomicU64::new(0),
            is_measured: AtomicBool::new(false),
        })
    }

    /// Has it learn from queries.
    pub fn observe_by(&self, observer: &Observer) {
        let _ = self.observer.get_or_init(|| observer.clone());
    }

    /// Notes a query that was asked of all rows.
    pub fn note(self: &Arc<Self>, query: &[f32]) {
        if let Some(observer) = self.observer.get() {
            observer.note(&self.asked, || Arc::downgrade(self), query);
        }
    }

    /// Notes that it is searched with a filter: from then on it should know what its ways to answer cost.
    pub fn note_filtered(self: &Arc<Self>) {
        if self.is_measured.load(Ordering::Relaxed) {
            return;
        }
        if let Some(observer) = self.observer.get()
            && !self.is_measured.swap(true, Ordering::Relaxed)
        {
            let is_coming = observer.measure_costs(Arc::downgrade(self));
            self.is_measured.store(is_coming, Ordering::Relaxed);
        }
    }

    /// Compares the checksums that opening leaves out. Time O(bytes).
    ///
    /// # Errors
    ///
    /// `Corrupted`, with the section that differs.
    pub fn verify(&self) -> Result<()> {
        let mut sections = self.unchecked().into_iter();
        sections.try_for_each(|(section, what)| self.reader.compare(section, what))
    }

    /// The sections that opening does not compare with their checksums, and what they are called.
    pub(super) fn unchecked(&self) -> [(Section, &'static str); 2] {
        let contents = &self.reader.contents;
        [(contents.codes, "codes"), (contents.edges, "edges")]
    }

    /// Bytes of the codes in the file.
    pub fn code_bytes(&self) -> u64 {
        self.reader.contents.codes.bytes()
    }

    /// Bytes of everything else in it.
    pub fn edge_bytes(&self) -> u64 {
        self.reader.bytes() as u64 - self.code_bytes()
    }
}

/// A graph over the rows, on so many threads, or `None` if it was cancelled; from the seed's if there is one, and then with its coding, unless that
/// does not suit the rows any more.
///
/// # Errors
///
/// `InvalidInput` if a number is not finite: a damaged row.
pub(super) fn build(
    rows: &SealedRows,
    train: &TrainParams,
    seed: Option<Seed>,
    threads: usize,
    is_cancelled: IsCancelled<'_>,
) -> Result<Option<Graph>> {
    if !rows.are_finite() {
        return Err(Error::invalid("a row has a component that is no number"));
    }
    let params = BuildParams {
        threads,
        ..BuildParams::default()
    };
    let rows = Arc::new(rows.clone());
    Ok(match seed {
        Some(seed) => {
            let base = &seed.graph.graph;
            base.merged_unless(&seed.origins, rows, train, &params, is_cancelled)
        }
        None => Graph::build_unless(rows, train, &params, is_cancelled),
    })
}

/// Writes a graph durably.
///
/// # Errors
///
/// What the disk says.
pub(super) fn write(path: &Path, owner: Owner<'_>, graph: &Graph) -> Result<()> {
    let mut writer = Writer::create(path)?;
    let contents = GraphContents {
        segment: owner.segment,
        vector: owner.vector.to_owned(),
        header: writer.section(&graph.header())?,
        codes: writer.section(graph.codes().as_bytes())?,
        edges: writer.section(graph.edges())?,
    };
    writer.finish(&contents)
}

/// About how many bytes building a graph takes meanwhile: codes, edges, the candidates of every row, and bytes to build from where the codes are
/// no such.
pub(super) fn build_bytes(rows: usize, dim: usize, train: &TrainParams) -> u64 {
    const CANDIDATES: u64 = 800;
    let made = if train.encoding == Encoding::Sq8 && train.metric != Metric::Dot {
        0
    } else {
        Encoding::Sq8.row_bytes(dim) as u64
    };
    rows as u64 * (CANDIDATES + made) + file_bytes(rows, dim, train)
}

/// About how many bytes its file has: codes and edges.
pub(super) fn file_bytes(rows: usize, dim: usize, train: &TrainParams) -> u64 {
    const EDGES: u64 = 32 * 4;
    rows as u64 * (train.encoding.row_bytes(dim) as u64 + EDGES)
}
