//! Counts of a collection.

use std::collections::BTreeMap;

use super::{Collection, Part};

/// Counts of a collection.
#[derive(Clone, Debug)]
pub struct CollectionInfo {
    /// Live points.
    pub points: usize,
    /// Vectors by name, those of dead rows included until their segment is merged.
    pub vectors: BTreeMap<String, usize>,
    /// Live points in sealed segments whose structures are built.
    pub indexed_rows: usize,
    /// Oldest first, the growing one last.
    pub segments: Vec<SegmentInfo>,
    /// Whether anything is left to do now: see [`super::Progress::pending`].
    pub building: bool,
    /// Bytes of the store's files that segments link, each once: rows of other collections stand in them too.
    pub link_bytes: usize,
    /// What is wrong with it since the start, if anything is: some of its bytes are damaged, or background work failed.
    pub trouble: Option<String>,
    /// Why background work failed or waits, if it does.
    pub hindrance: Option<String>,
    /// Why a new point would be refused now, if it would: the memory budget is used up.
    pub refusal: Option<String>,
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
    /// Bytes of ids, vectors and structures in memory, without what is mapped.
    pub bytes: usize,
    /// Bytes of the mapped file: memory that the operating system takes back when it needs it.
    pub mapped_bytes: usize,
    /// Bytes of dense vectors in that file, dead ones included.
    pub inline_bytes: usize,
    /// Bytes of live vectors that stand in linked files of the store, which are mapped too.
    pub linked_bytes: usize,
}

impl Collection {
    /// Why it takes no writes until that is mended, if so.
    pub fn trouble(&self) -> Option<String> {
        let own = self.trouble.get().cloned();
        own.or_else(|| self.store.refusal())
    }

    /// Counts of points, vectors and segments.
    pub fn info(&self) -> CollectionInfo {
        let progress = self.progress();
        let view = self.view();
        let mut vectors = BTreeMap::new();
        for part in &view.parts {
            for (name, column) in &part.segment.dense {
                *vectors.entry(name.clone()).or_default() += column.rows();
            }
            for (name, column) in &part.segment.sparse {
                *vectors.entry(name.clone()).or_default() += column.rows();
            }
        }
        let links = view.parts.iter().flat_map(|part| part.segment.links());
        let links: BTreeMap<u64, usize> = links.collect();
        CollectionInfo {
            points: progress.rows,
            vectors,
            indexed_rows: progress.indexed_rows,
            segments: view.parts.iter().map(segment_info).collect(),
            building: progress.pending,
            link_bytes: links.into_values().sum(),
            trouble: self.trouble(),
            hindrance: progress.failure.or(progress.waiting),
            refusal: self.refusal(),
        }
    }
}

fn segment_info(part: &Part) -> SegmentInfo {
    let segment = &part.segment;
    let rows = segment.row_bytes(&part.live);
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
        live: part.live.count(),
        structures: dense.chain(sparse).collect(),
        bytes: segment.heap_bytes(),
        mapped_bytes: segment.mapped_bytes(),
        inline_bytes: rows.inline,
        linked_bytes: rows.linked,
    }
}
