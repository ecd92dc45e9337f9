//! Where points live and how writes reach them: placement of partitions, the proposer of log entries, and the node's facade.
//!
//! Every point belongs to one of a fixed number of partitions by hash of its collection and id ([`partition_of`]). Each partition has a log of
//! its own and is placed by consistent hashing ([`Ring`]): the partitions are the virtual slices that replicas and moves deal in. Between a
//! request and the logs stands one trait, [`Proposer`]: on a single node [`LocalGroup`] appends to the store itself, with no consensus, no
//! ticks and no network.
//!
//! This crate knows no HTTP and no JSON of requests. [`Node`] is what a server holds.
//!
//! ```
//! use cluster::engine::{CollectionConfig, Metric, Point, PointId, Vector, VectorConfig};
//! use cluster::{Node, NodeOptions};
//!
//! let dir = tempfile::tempdir()?;
//! let node = Node::open(dir.path(), NodeOptions::default())?;
//! node.wait_until_ready();
//! let mut config = CollectionConfig::default();
//! config.vectors.insert(String::new(), VectorConfig::new(2, Metric::L2));
//! node.create_collection("places", config)?;
//! let point = Point {
//!     id: PointId::Num(1),
//!     vectors: [(String::new(), Vector::Dense(vec![1.0, 2.0]))].into(),
//!     payload: Default::default(),
//!     media: Vec::new(),
//!     expires_at_ms: None,
//! };
//! node.upsert("places", vec![point])?;
//! assert_eq!(node.collection("places")?.count(None)?, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod layout;
mod local_group;
mod node;
mod placement;
mod proposer;
mod snapshots;
mod sweeper;

pub use ::engine;
pub use local_group::LocalGroup;
pub use node::{Node, NodeOptions, Receipt, Refused};
pub use placement::{NodeId, Ring, VIRTUAL_NODES, partition_of};
pub use proposer::{Committed, Proposer};
pub use snapshots::SnapshotInfo;
