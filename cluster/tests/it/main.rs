//! The node through its facade, on a real store in a temporary folder.

mod conditions;
mod crash;
mod damage;
mod disk;
mod expiry;
mod full_disk;
mod golden;
mod listing;
mod memory;
mod model;
mod power_loss;
mod queries;
mod recovery;
mod requests;
mod sealing;
mod snapshots;

use std::collections::BTreeMap;
use std::path::Path;

use cluster::engine::{
    CollectionConfig, IndexKind, Metric, Payload, Point, PointId, SparseVector, SparseVectorConfig,
    Vector, VectorConfig,
};
use cluster::{Node, NodeOptions};

/// An opened node whose collections are loaded.
fn open(dir: &Path) -> Node {
    let node = Node::open(dir, NodeOptions::default()).unwrap();
    node.wait_until_ready();
    node
}

/// One unnamed dense vector.
fn dense(dim: usize, metric: Metric, index: Option<IndexKind>) -> CollectionConfig {
    let mut config = CollectionConfig::default();
    config.vectors.insert(
        String::new(),
        VectorConfig {
            index,
            ..VectorConfig::new(dim, metric)
        },
    );
    config
}

/// The unnamed dense vector and a sparse one named `words`, with IDF.
fn hybrid(dim: usize) -> CollectionConfig {
    let mut config = dense(dim, Metric::Cosine, None);
    config
        .sparse_vectors
        .insert("words".into(), SparseVectorConfig { idf: true });
    config
}

fn point(id: u64, values: &[f32], payload: serde_json::Value) -> Point {
    Point {
        id: PointId::Num(id),
        vectors: BTreeMap::from([(String::new(), Vector::Dense(values.to_vec()))]),
        payload: object(payload),
        media: Vec::new(),
        expires_at_ms: None,
    }
}

fn object(value: serde_json::Value) -> Payload {
    match value {
        serde_json::Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

fn sparse(indices: &[u32], values: &[f32]) -> SparseVector {
    SparseVector::new(indices.to_vec(), values.to_vec()).unwrap()
}

/// A folder in memory where there is such a place: for stores whose fsyncs need not reach a disk.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// A stream of numbers that a seed fixes (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// From 0 up to 1.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Waits until a condition holds that background work brings about; fails after a generous while.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let since = std::time::Instant::now();
    while !holds() {
        assert!(
            since.elapsed().as_secs() < 60,
            "{what} did not come about within a minute"
        );
        std::thread::yield_now();
    }
}
