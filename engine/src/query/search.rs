//! Searching every segment of a view for one vector.

use std::collections::HashMap;

use index::{BitSet, Metric, Neighbor};

use super::Query;
use super::execute::Candidate;
use super::trace::Trace;
use crate::Location;
use crate::collection::{Collection, View, check_dense, unknown_vector};
use crate::error::Result;
use crate::named::named;
use crate::point::{PointId, SparseVector, Vector};
use crate::segment::{DenseColumn, Found, Rows, Segment};

/// What to search for, and where.
pub(super) struct Search<'a> {
    pub query: &'a Query,
    pub vector: &'a Vector,
    /// Points that do not answer: the examples.
    pub without: &'a [PointId],
    /// The only rows that may answer, all of them live; `None` for all.
    pub rows: Option<&'a RowSets>,
    pub k: usize,
}

/// Rows as sets over the offsets of each segment, by its number.
pub(super) type RowSets = HashMap<u64, BitSet>;

/// Adds a row to the sets, unless its segment is not in the view.
pub(super) fn add_row(rows: &mut RowSets, view: &View, location: Location) {
    if let Some(segment) = view.segment(location.uid) {
        let set = rows
            .entry(location.uid)
            .or_insert_with(|| BitSet::new(segment.len()));
        set.insert(location.offset);
    }
}

/// Searches every segment and merges, best first; equal distances by id.
///
/// What answers was compared with its checksum ([`Segment::damaged_hits`]). A vector that is damaged is told and left out from then on, and the
/// search is repeated without it, among twice as many hits: as often as the number of damaged rows has bits, and once if there are none.
pub(super) fn search(
    collection: &Collection,
    view: &View,
    search: &Search<'_>,
    trace: &mut Trace,
) -> Result<Vec<Candidate>> {
    let config = &*collection.config();
    let query = search.query;
    let weighted;
    let target = match search.vector {
        Vector::Dense(values) => {
            let wanted = named(&config.vectors, &query.using)
                .ok_or_else(|| unknown_vector(config, &query.using, "dense"))?;
            check_dense(&query.using, values, wanted.dim)?;
            Target::Dense(values, wanted.metric)
        }
        Vector::Sparse(sparse) => {
            let wanted = named(&config.sparse_vectors, &query.using)
                .ok_or_else(|| unknown_vector(config, &query.using, "sparse"))?;
            weighted = if wanted.idf {
                with_idf(view, &query.using, sparse)
            } else {
                sparse.iter().collect()
            };
            Target::Sparse(&weighted)
        }
    };
    let mut k = search.k;
    loop {
        let mut hits = nearest(view, search, &target, k, trace)?;
        tell_damaged_graphs(collection, view, &query.using);
        if leave_out_damaged(collection, view, &query.using, &hits) == 0 {
            hits.truncate(search.k);
            let hits = hits.into_iter();
            return Ok(hits.map(|hit| target.candidate(hit)).collect());
        }
        k = k.saturating_mul(2);
    }
}

/// Tells of graphs that were damaged while they are mapped. They are searched by scans from then on.
fn tell_damaged_graphs(collection: &Collection, view: &View, using: &str) {
    let columns = view
        .parts
        .iter()
        .filter_map(|part| named(&part.segment.dense, using));
    let is_damaged = |column: &DenseColumn| {
        let file = column.graph();
        file.is_some_and(|file| file.graph.is_damaged())
    };
    if columns.into_iter().any(is_damaged) {
        collection.note_trouble(&format!(
            "damaged: a graph of vector \"{using}\" changed on the disk; the vectors are scanned instead, and a restart builds the graph again"
        ));
    }
}

/// A row that was found, and its segment.
type Hit<'v> = (Neighbor, &'v Segment);

/// Leaves the hits whose vectors are damaged out of further searches, and tells; how many there are.
fn leave_out_damaged(collection: &Collection, view: &View, using: &str, hits: &[Hit<'_>]) -> usize {
    let mut left_out = 0;
    for part in &view.parts {
        let segment = &*part.segment;
        let of_segment = hits.iter().filter(|(_, of)| of.uid == segment.uid);
        let damaged = segment.damaged_hits(using, of_segment.map(|(hit, _)| hit.offset));
        for (offset, error) in &damaged {
            collection.note_left_out(using, segment.id(*offset), error);
        }
        segment.leave_out(using, damaged.iter().map(|(offset, _)| *offset));
        left_out += damaged.len();
    }
    left_out
}

/// The `k` nearest of all segments, best first.
fn nearest<'v>(
    view: &'v View,
    search: &Search<'_>,
    target: &Target<'_>,
    k: usize,
    trace: &mut Trace,
) -> Result<Vec<Hit<'v>>> {
    let query = search.query;
    let k_searched = k.saturating_add(search.without.len());
    let mut nearest: Vec<Hit<'v>> = Vec::new();
    for part in &view.parts {
        let segment = &*part.segment;
        let permitted = match search.rows {
            None => part.live_set(),
            Some(sets) => match sets.get(&segment.uid) {
                None => continue,
                rows => rows,
            },
        };
        let rows = permitted.map_or(Rows::All, Rows::Only);
        let began = trace.now();
        if let Some(found) = target.search(segment, query, k_searched, rows)? {
            trace.segment(segment, query, part.live.count(), &found, began);
            let neighbors = found.neighbors.iter();
            nearest.extend(neighbors.map(|neighbor| (*neighbor, segment)));
        }
    }
    nearest.sort_unstable_by(|(a, a_segment), (b, b_segment)| {
        a.distance
            .total_cmp(&b.distance)
            .then_with(|| a_segment.id(a.offset).cmp(b_segment.id(b.offset)))
    });
    if !search.without.is_empty() {
        nearest.retain(|(neighbor, segment)| !search.without.contains(segment.id(neighbor.offset)));
    }
    nearest.truncate(k);
    for (neighbor, segment) in &nearest {
        segment.announce(neighbor.offset);
    }
    Ok(nearest)
}

/// What is searched for.
enum Target<'a> {
    Dense(&'a [f32], Metric),
    Sparse(&'a [(u32, f32)]),
}

impl Target<'_> {
    /// The nearest rows of a segment; `None` if it has no such vectors.
    fn search(
        &self,
        segment: &Segment,
        query: &Query,
        k: usize,
        rows: Rows<'_>,
    ) -> Result<Option<Found>> {
        match self {
            Self::Dense(values, metric) => match named(&segment.dense, &query.using) {
                Some(column) if column.rows() > 0 => {
                    let within = query
                        .score_threshold
                        .and_then(|least| reach(*metric, least));
                    column
                        .search(values, k, within, rows, &query.params)
                        .map(Some)
                }
                _ => Ok(None),
            },
            Self::Sparse(weights) => match named(&segment.sparse, &query.using) {
                Some(column) if column.rows() > 0 => Ok(Some(column.search(weights, k, rows))),
                _ => Ok(None),
            },
        }
    }

    fn candidate(&self, (neighbor, segment): Hit<'_>) -> Candidate {
        let location = Location {
            uid: segment.uid,
            offset: neighbor.offset,
        };
        let id = segment.id(neighbor.offset).clone();
        Candidate::new(id, location, self.score(neighbor.distance))
    }

    fn score(&self, distance: f32) -> f32 {
        match self {
            Self::Dense(_, metric) => score(*metric, distance),
            Self::Sparse(_) => -distance,
        }
    }
}

/// The score that the API shows for a distance.
fn score(metric: Metric, distance: f32) -> f32 {
    match metric {
        Metric::Cosine => 1.0 - distance,
        Metric::Dot => -distance,
        Metric::L2 => distance.sqrt(),
        Metric::L1 | Metric::LInf => distance,
    }
}

/// A distance beyond which no row has a score that meets the threshold; none if the threshold is not a number.
///
/// A little more than the threshold's own: whether a score meets it is decided by the score, which was rounded.
fn reach(metric: Metric, threshold: f32) -> Option<f32> {
    const ROUNDING: f32 = 1e-6;
    let distance = match metric {
        Metric::Cosine => 1.0 - threshold + ROUNDING,
        Metric::Dot => -threshold,
        Metric::L2 if threshold < 0.0 => -1.0,
        Metric::L2 => threshold * threshold * (1.0 + ROUNDING) + f32::MIN_POSITIVE,
        Metric::L1 | Metric::LInf => threshold,
    };
    (!distance.is_nan()).then_some(distance)
}

/// Query weights times the inverse document frequency of the collection: `ln(1 + (n - df + 0.5) / (df + 0.5))` (BM25, Robertson and
/// Sparck Jones). Rows that are dead but not merged away yet count.
fn with_idf(view: &View, using: &str, query: &SparseVector) -> Vec<(u32, f32)> {
    let columns: Vec<_> = view
        .parts
        .iter()
        .filter_map(|part| named(&part.segment.sparse, using))
        .collect();
    let n: usize = columns.iter().map(|column| column.rows()).sum();
    query
        .iter()
        .map(|(token, weight)| {
            let df: usize = columns
                .iter()
                .map(|column| column.document_frequency(token))
                .sum();
            let idf = (1.0 + (n as f64 - df as f64 + 0.5) / (df as f64 + 0.5)).ln();
            (token, weight * idf as f32)
        })
        .collect()
}
