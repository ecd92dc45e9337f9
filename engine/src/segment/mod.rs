//! The rows of a collection on this node: one growing segment and a few sealed ones.
//!
//! - `column`: the vectors of one name within a segment, plain while it grows, with a search structure once it is sealed.
//! - `policy`: when to seal and what to merge, as a pure function.
//! - `build`: the sealed segment made of others' live rows.
//!
//! A segment knows dense offsets; the table of ids beside it says which point a row belongs to. Segments are derived from RocksDB and can be
//! rebuilt from it at any time.

mod build;
mod column;
pub(crate) mod policy;

use std::collections::BTreeMap;

pub(crate) use build::{Source, merge};
pub(crate) use column::{DenseColumn, Found, SparseColumn};
use index::{BitSet, Offset};

use crate::Partition;
use crate::config::CollectionConfig;
use crate::point::{PointId, Vector};

/// Rows with their ids and vectors.
pub(crate) struct Segment {
    /// Unique within the collection's life in memory.
    pub uid: u64,
    /// By offset.
    pub ids: Vec<PointId>,
    /// Log index of the write that made the row, by offset.
    pub versions: Vec<u64>,
    /// By offset.
    pub partitions: Vec<Partition>,
    /// By vector name.
    pub dense: BTreeMap<String, DenseColumn>,
    /// By vector name.
    pub sparse: BTreeMap<String, SparseColumn>,
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
            ids: Vec::new(),
            versions: Vec::new(),
            partitions: Vec::new(),
            dense: dense.collect(),
            sparse: sparse.collect(),
        }
    }

    /// Number of rows, dead ones included.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Adds a row. Vectors that the collection does not have (any more) are left out.
    pub fn push(
        &mut self,
        id: PointId,
        version: u64,
        partition: Partition,
        vectors: &BTreeMap<String, Vector>,
    ) -> Offset {
        let offset =
            Offset::try_from(self.len()).expect("a segment is sealed long before 2^32 rows");
        self.ids.push(id);
        self.versions.push(version);
        self.partitions.push(partition);
        for (name, vector) in vectors {
            match vector {
                Vector::Dense(values) => {
                    if let Some(column) = self.dense.get_mut(name) {
                        column.push(offset, values);
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

    /// The vector of a name that the row at `offset` has.
    pub fn vector(&self, name: &str, offset: Offset) -> Option<Vector> {
        if let Some(column) = self.dense.get(name) {
            return column
                .get(offset)
                .map(|values| Vector::Dense(values.to_vec()));
        }
        self.sparse
            .get(name)?
            .get(offset)
            .map(|sparse| Vector::Sparse(sparse.clone()))
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

    /// Bytes of vectors and structures in memory.
    pub fn bytes(&self) -> usize {
        let dense: usize = self.dense.values().map(DenseColumn::bytes).sum();
        let sparse: usize = self.sparse.values().map(SparseColumn::bytes).sum();
        dense
            + sparse
            + self.len() * (size_of::<PointId>() + size_of::<u64>() + size_of::<Partition>())
    }

    /// Whether its structures are built.
    pub fn is_sealed(&self) -> bool {
        self.dense.values().all(DenseColumn::is_sealed)
            && self.sparse.values().all(SparseColumn::is_sealed)
    }
}

/// Which rows of a segment may answer.
#[derive(Copy, Clone)]
pub(crate) enum Rows<'a> {
    /// All of them.
    All,
    /// Those of the set, over the segment's offsets.
    Only(&'a BitSet),
}
