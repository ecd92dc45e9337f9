//! Algorithms on vectors: distances, codes, the scan, the k-d tree, the graph and sparse inverted lists.
//!
//! Slices of numbers go in, [`Offset`]s and distances come out. This crate knows nothing of point ids, payloads, files,
//! time or threads of the caller: a segment of the engine owns the rows and maps offsets to points.
//!
//! - **Smaller is closer**, for every [`Metric`]; a "score" exists in API answers only.
//! - **Order is total**: nearest first, equal distances by offset, so the same rows always give the same answer. A
//!   distance is never NaN and never infinite: it saturates at [`f32::MAX`].
//! - **Every [`VectorIndex`] is exact**: it answers what a scan of all rows would, with the same bits in `distance`.
//!   [`Graph`] and [`Codes`] are approximate: which rows answer is estimated, distances are exact all the same. A graph
//!   tells the recall to expect.
//!
//! | structure | serves | cost of a query |
//! |---|---|---|
//! | [`Flat`], [`scan`] | any metric and `dim` | O(n * dim), near memory bandwidth |
//! | [`BlockScan`] with [`Approximation`]s | L2, cosine, dot | the same answer from a quarter of the bytes |
//! | [`KdTree`] | `dim` of 1 to 8 with L2, L1 or L-infinity | about O(log n + k) for data of low dimension |
//! | [`ProjectedTree`] | `dim` of 9 to 32 with L2, L1 or L-infinity | O(log n) leaves where rows are clustered, all of them where not |
//! | [`GeoIndex`] | places on the globe | as [`KdTree`] of 3 components |
//! | [`Codes`] | L2, cosine, dot | O(n * dim) bytes instead of numbers, at memory bandwidth |
//! | [`Graph`] | L2, cosine, dot; many dimensions | some hundred comparisons of codes for recall 0.95 |
//! | [`SparseIndex`] | dot product of sparse rows | the lists of the query's tokens, cut short by upper bounds |
//!
//! ```
//! use index::{Metric, Rows, SearchParams, Stats};
//!
//! // Four colours as red, green, blue.
//! let rows = Rows::new(3, vec![255., 0., 0.,  250., 10., 5.,  0., 255., 0.,  0., 0., 255.]);
//! let kind = index::choose(None, Metric::L2, rows.dim(), rows.len())?;
//! let colours = index::build(kind, Metric::L2, rows)?;
//!
//! let mut stats = Stats::default();
//! let nearest = colours.search(&[252., 2., 2.], &SearchParams::new(2), &mut stats)?;
//! assert_eq!(nearest.iter().map(|neighbor| neighbor.offset).collect::<Vec<_>>(), [0, 1]);
//! assert_eq!(nearest[0].distance, 9. + 4. + 4.); // L2 is the squared Euclidean distance
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod distance;

mod aligned;
mod approximation;
mod bitset;
mod block_scan;
mod codes;
mod flat;
mod graph;
mod kdtree;
mod kind;
mod metric;
mod neighbor;
mod pool;
mod quantizer;
mod random;
mod rows;
mod sparse;
mod topk;
mod trial;
mod truth;
mod vector_index;

pub use approximation::Approximation;
pub use bitset::BitSet;
pub use block_scan::BlockScan;
pub use codes::{Among, Codes, CodesError};
pub use distance::codes::prefetch;
pub use flat::{Flat, scan};
pub use graph::{
    Answer, BuildParams, Calibration, Costs, Effort, Graph, GraphError, GraphSearch, IsCancelled,
    Origin, Point, RECALL_DEFAULT, Route, StoredGraph,
};
pub use kdtree::{
    EARTH_RADIUS_M, GeoBox, GeoError, GeoIndex, GeoNeighbor, GeoPoint, KdTree, ProjectedTree,
    SpatialIndex, is_in_box, scan_box,
};
pub use kind::{
    ChooseError, GRAPH_PAYS_FROM, IndexKind, KD_DIM_MAX, KD_PROJECTED_DIM_MAX, UnknownKind, choose,
};
pub use metric::{Metric, UnknownMetric, normalize};
pub use neighbor::{Neighbor, Offset};
pub use quantizer::{
    Coding, CodingError, Encoding, Guard, Prepared, Quantizer, Rotation, RowSource, TrainParams,
    UnknownEncoding, train,
};
pub use rows::Rows;
pub use sparse::{Posting, SparseError, SparseIndex, SparseLists, StoredError};
pub use topk::TopK;
pub use trial::Trial;
pub use truth::ground_truth;
pub use vector_index::{
    BuildError, SearchError, SearchParams, Stats, VectorIndex, build, build_spatial,
};
