//! What a segment holds in memory, by part, and about what a merge of it takes meanwhile.

use index::IndexKind;

use super::file::Section;
use super::{DenseColumn, Segment};
use crate::point::PointId;
use crate::usage::Parts;

/// Bytes that a merge holds for every row: where it comes from, its version and partition, the end of its id in the file, and its id when the
/// file is opened.
const MERGED_ROW_BYTES: u64 = 16 + 8 + 2 + 8 + size_of::<PointId>() as u64;

impl Segment {
    /// Adds what is on the heap to `parts`. Time O(rows) if ids are strings.
    pub fn add_memory(&self, parts: &mut Parts) {
        for column in self.dense.values() {
            let structure = column.structure_bytes() as u64;
            if structure > 0 {
                parts.add(column.structure(), structure);
            }
            let codes = column.approximation_bytes() as u64;
            if codes > 0 {
                parts.add("codes", codes);
            }
            parts.add("vectors", column.heap_bytes() as u64 - structure);
        }
        for column in self.sparse.values() {
            parts.add("sparse", column.exact_heap_bytes() as u64);
        }
        let numbers = self.versions.heap_bytes() + self.partitions.heap_bytes();
        parts.add("ids", (self.ids.bytes() + numbers) as u64);
        let strings = self.ids.iter().map(|id| match id {
            // Shared with the table of ids; with the counts before it.
            PointId::Str(text) => text.len() as u64 + 16,
            PointId::Num(_) | PointId::Uuid(_) => 0,
        });
        parts.add("ids", strings.sum());
    }

    /// Adds the bytes of the mapped file to `parts`.
    pub fn add_mapped(&self, parts: &mut Parts) {
        let Some(file) = &self.file else {
            return;
        };
        let contents = &*file.contents;
        let of = |sections: &[Section]| sections.iter().map(|section| section.bytes()).sum::<u64>();
        let optional = |section: Option<Section>| section.map_or(0, Section::bytes);
        let dense = contents.dense.iter();
        let dense: u64 = dense
            .map(|column| {
                let places = optional(column.places) + optional(column.ordinals);
                column.rows.bytes() + optional(column.offsets) + places
            })
            .sum();
        let sparse = contents.sparse.iter().map(|column| {
            let rows = of(&[column.row_ends, column.indices, column.values]);
            let lists = of(&[column.tokens, column.starts, column.bounds, column.postings]);
            rows + lists + optional(column.offsets)
        });
        let sparse: u64 = sparse.sum();
        let ids = of(&[
            contents.id_ends,
            contents.ids,
            contents.versions,
            contents.partitions,
        ]);
        parts.add("vectors", dense);
        parts.add("sparse", sparse);
        parts.add("ids", ids);
        let mut known = dense + sparse + ids;
        for graph in self.dense.values().filter_map(DenseColumn::graph) {
            parts.add("codes", graph.code_bytes());
            parts.add("graph", graph.edge_bytes());
            known += graph.code_bytes() + graph.edge_bytes();
        }
        parts.add("other", (self.mapped_bytes() as u64).saturating_sub(known));
    }

    /// About how many bytes of heap a merge of its rows takes, until it is done.
    pub fn merge_bytes(&self) -> u64 {
        let sparse: usize = self
            .sparse
            .values()
            .map(|column| column.values_bytes())
            .sum();
        // Rows, lists that grow by doubling, and the lists once more in order.
        self.len() as u64 * MERGED_ROW_BYTES + 4 * sparse as u64 + self.trees_bytes()
    }

    /// About how many bytes the k-d trees of its dense vectors take, when they are built.
    pub fn trees_bytes(&self) -> u64 {
        let trees = self.dense.values().map(|column| match column.kind() {
            IndexKind::Flat | IndexKind::Graph => 0,
            // A tree is made of a copy of its rows, which it orders.
            IndexKind::KdTree => 2 * column.rows() as u64 * (column.dim() as u64 * 4 + 8),
        });
        trees.sum()
    }

    /// About how many bytes of heap building the graph of a vector takes, until it is in its file.
    pub fn graph_bytes(&self, vector: &str) -> u64 {
        self.dense[vector].graph_build_bytes()
    }

    /// About how many bytes the file of the graph of a vector has.
    pub fn graph_file_bytes(&self, vector: &str) -> u64 {
        self.dense[vector].graph_file_bytes()
    }
}
