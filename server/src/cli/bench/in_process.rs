//! Queries as calls into a collection of this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::Node;
use cluster::engine::query::{Query, QueryKind, QueryVector};
use cluster::engine::{Collection, Payload, Point, PointId, Vector};

use super::measure::Target;
use super::workload::Workload;
use crate::cli::failure::Result;

/// Rows in one write.
const WRITE_ROWS: usize = 2000;
/// How long to wait for segments to be built.
const BUILD_MAX: Duration = Duration::from_secs(1800);

/// Writes the rows of a workload; the id of a row is its offset.
///
/// # Errors
///
/// The node refuses.
pub fn load(node: &Node, collection: &str, workload: &Workload) -> Result<()> {
    let mut id = 0u64;
    for chunk in workload.base.axis_chunks_iter(ndarray::Axis(0), WRITE_ROWS) {
        let points = chunk.rows().into_iter().map(|row| {
            let point = Point {
                id: PointId::Num(id),
                vectors: [(String::new(), Vector::Dense(row.to_vec()))].into(),
                payload: Payload::new(),
                media: vec![],
                expires_at_ms: None,
            };
            id += 1;
            point
        });
        node.upsert(collection, points.collect())?;
    }
    Ok(())
}

/// Waits until every row lies in a sealed segment; the seconds it took.
pub fn wait_until_built(collection: &Collection) -> f64 {
    let started = Instant::now();
    loop {
        let info = collection.info();
        if (!info.building && info.indexed_rows >= info.points) || started.elapsed() > BUILD_MAX {
            return started.elapsed().as_secs_f64();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What searches a vector, segment by segment: `kdtree over 50,000 rows`.
pub fn structures(collection: &Collection, using: &str) -> Vec<String> {
    let segments = collection.info().segments;
    let of_segment = segments.iter().filter(|segment| segment.live > 0);
    of_segment
        .map(|segment| {
            format!(
                "{} over {} rows",
                segment.structures.get(using).copied().unwrap_or("flat"),
                segment.live
            )
        })
        .collect()
}

/// Calls into a collection.
pub struct InProcess<'a> {
    collection: &'a Arc<Collection>,
    using: &'a str,
    workload: &'a Workload,
}

impl<'a> InProcess<'a> {
    /// For the vector `using` of a collection.
    pub fn new(collection: &'a Arc<Collection>, using: &'a str, workload: &'a Workload) -> Self {
        Self {
            collection,
            using,
            workload,
        }
    }
}

impl Target for InProcess<'_> {
    type Raw = Vec<PointId>;

    fn connect(&self) -> impl FnMut(usize) -> Result<Self::Raw> {
        move |query_idx| {
            let query = Query {
                kind: QueryKind::Nearest(QueryVector::Dense(
                    self.workload.queries.row(query_idx).to_vec(),
                )),
                using: self.using.to_owned(),
                limit: self.workload.limit(),
                ..Query::default()
            };
            let answer = self.collection.query(&query)?;
            Ok(answer.points.into_iter().map(|point| point.id).collect())
        }
    }

    fn ids(&self, raw: Self::Raw) -> Result<Vec<PointId>> {
        Ok(raw)
    }
}
