//! One node's truth: operation log, points, payloads, media, segments, filters and query plans on RocksDB.
//!
//! The engine knows neither HTTP nor replicas nor models: it takes vectors, and media as bytes that it keeps. It is synchronous;
//! clock and randomness enter through [`Env`].
//!
//! Life of a write: [`Engine::append`] makes log entries, vectors and media durable in one batch and one fsync, whatever
//! partitions they touch; [`Engine::apply`] turns the entries into point rows, in one batch with the applied positions, and then into rows
//! of the collection's growing segment, where the next search sees them.
//!
//! Life of a query: [`Collection::query`] evaluates the filter, searches every segment (sealed ones with the structure that was built when they
//! were sealed, the growing one by scan), merges, and fetches the payloads of the answers.
//!
//! ```
//! use engine::{CollectionConfig, Engine, Metric, Operation, Partition, Point, PointId, Share, Vector, VectorConfig};
//! use engine::query::{Query, QueryKind, QueryVector};
//!
//! let dir = tempfile::tempdir()?;
//! let engine = Engine::open(dir.path(), engine::EngineOptions::default())?;
//! let mut config = CollectionConfig::default();
//! config.vectors.insert(String::new(), VectorConfig::new(2, Metric::L2));
//! let collection = engine.create_collection("points", config)?;
//! let point = |id, x| Point {
//!     id: PointId::Num(id),
//!     vectors: [(String::new(), Vector::Dense(vec![x, 0.0]))].into(),
//!     payload: Default::default(),
//!     media: Vec::new(),
//!     expires_at_ms: None,
//! };
//! let operations = [point(1, 1.0), point(2, 5.0)].map(|point| Operation::Upsert { collection: collection.id(), point: point.into() });
//! let entries = engine.append(vec![Share { partition: Partition(0), operations: operations.into() }])?;
//! engine.apply(entries)?;
//!
//! let nearest = Query { kind: QueryKind::Nearest(QueryVector::Dense(vec![4.0, 0.0])), limit: 1, ..Query::default() };
//! assert_eq!(collection.query(&nearest)?.points[0].id, PointId::Num(2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apply;
mod archive;
mod audit;
mod budget;
mod builder;
mod collection;
mod condition;
mod config;
mod engine;
mod env;
mod error;
mod expiry;
pub mod filter;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod give_back;
mod graph_builder;
mod log;
mod machine;
mod named;
mod observer;
mod payload_cache;
mod planted;
mod point;
pub mod query;
mod reclaim;
mod removal;
mod repair;
mod request;
mod segment;
mod storage;
mod syncer;
mod thread;
mod usage;

pub use archive::{ArchiveReader, ArchiveSummary};
pub use budget::{BudgetUsage, MEMORY_BYTES_MIN, MemoryShares};
pub use collection::{Collection, CollectionInfo, Progress, SegmentInfo, Work, WorkKind};
pub use condition::{LOGGED_FILTER_BYTES_MAX, LoggedFilter, Precondition};
pub use config::{
    CollectionConfig, DIM_MAX, DURABILITY_INTERVAL_MS_MAX, Durability, EmbedderConfig, MediaConfig,
    SparseVectorConfig, VectorConfig, validate_collection_name,
};
pub use engine::{Admission, Engine, EngineOptions, StorageStats};
pub use env::Env;
pub use error::{Error, ErrorKind, Result, ResultExt};
pub use give_back::GiveBack;
pub use index::{Encoding, IndexKind, Metric};
pub use log::{Entry, Operation, Outcome, PreparedPoint, Share};
pub use machine::ensure_processor;
pub use point::{Media, MediaKind, Payload, Point, PointId, Record, SparseVector, Vector};
pub use repair::{
    Double, Loss, OnLoss, RepairOutcome, RepairReport, SegmentTrouble, check_catalog_mendable,
    check_segments, repair,
};
pub use request::{REQUEST_ID_BYTES_MAX, REQUEST_MEMORY_ENTRIES, REQUEST_MEMORY_MS, RequestTag};

pub use storage::aside::{DroppedLog, dropped_logs};
pub use storage::durable::sync_folder;
pub use thread::start_thread;
pub use usage::{Background, CollectionUsage, FamilyUsage, Parts, ProcessMemory, Usage};

/// Number of partitions of a store, fixed for its life.
///
/// Each has its own log; together they are the virtual slices that replicas and moves deal in. 32 serves up to about ten nodes.
pub const PARTITIONS: u16 = 32;

/// One of [`PARTITIONS`] fixed slices of all points by hash.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Partition(pub u16);

/// Number of a collection in keys; never used again.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct CollectionId(pub u32);

/// Where the row of a live point of a collection is: in which segment, and at which place of it.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Location {
    pub uid: u64,
    pub offset: index::Offset,
}

impl Partition {
    /// Every partition, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..PARTITIONS).map(Self)
    }
}
