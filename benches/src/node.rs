//! Rows in a node of this process: written, sealed, searched, and compared with exact answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster::engine::query::{
    Explain, Query, QueryKind, QueryVector, ScoredPoint, SearchParams, Selection,
};
use cluster::engine::{
    Collection, CollectionConfig, Metric, Payload, Point, PointId, Vector, VectorConfig,
};
use cluster::{Node, NodeOptions};
use datasets::truth::{self, Truth, recall_at_k};
use ndarray::{Array2, ArrayView2};
use serde_json::json;
use tempfile::TempDir;

use crate::measure::{Speed, speed};
use crate::report::{Cell, Table};

/// Rows in one write.
const WRITE_ROWS: usize = 2000;
/// How long to wait for segments to be built.
const BUILD_MAX: Duration = Duration::from_secs(600);
/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A collection of one unnamed vector in a temporary folder; the id of a row is its offset.
pub struct Loaded {
    // Dropped in this order: the folder goes when nobody has it open.
    collection: Arc<Collection>,
    node: Node,
    _dir: TempDir,
    rows: usize,
    metric: Metric,
    load_seconds: f64,
    build_seconds: f64,
}

/// Exact neighbours and what it takes to count recall against them.
pub struct Exact<'a> {
    base: ArrayView2<'a, f32>,
    queries: ArrayView2<'a, f32>,
    truth: Truth,
    /// What brute force took for all queries.
    pub seconds: f64,
}

impl<'a> Exact<'a> {
    /// Finds the `k` nearest rows of every query by brute force.
    ///
    /// # Errors
    ///
    /// Dims differ, or a number is not finite.
    pub fn find(
        base: &'a Array2<f32>,
        queries: &'a Array2<f32>,
        metric: Metric,
        k: usize,
    ) -> Result<Self> {
        let started = Instant::now();
        let truth = truth::exact(base.view(), queries.view(), truth_metric(metric), k)?;
        Ok(Self {
            base: base.view(),
            queries: queries.view(),
            truth,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Mean recall of the answers to all queries, given as offsets, best first; ties by distance count as found.
    pub fn recall(&self, answers: &[Vec<u32>]) -> f64 {
        let of_query = |(query_idx, answer): (usize, &Vec<u32>)| {
            let query = self.queries.row(query_idx).to_vec();
            let distance = |offset: u32| {
                let row = self.base.row(offset as usize).to_vec();
                self.truth.metric.distance(&query, &row)
            };
            let found: Vec<(u32, f32)> = answer
                .iter()
                .map(|&offset| (offset, distance(offset)))
                .collect();
            let exact: Vec<(u32, f32)> = self.truth.of_query(query_idx).collect();
            recall_at_k(&found, &exact)
        };
        answers.iter().enumerate().map(of_query).sum::<f64>() / answers.len().max(1) as f64
    }

    /// The exact distances of one query, nearest first.
    pub fn distances(&self, query_idx: usize) -> Vec<f32> {
        self.truth
            .of_query(query_idx)
            .map(|(_, distance)| distance)
            .collect()
    }
}

fn truth_metric(metric: Metric) -> truth::Metric {
    match metric {
        Metric::Cosine => truth::Metric::Cosine,
        Metric::Dot => truth::Metric::Dot,
        Metric::L2 => truth::Metric::L2,
        Metric::L1 => truth::Metric::L1,
        Metric::LInf => truth::Metric::LInf,
    }
}

impl Loaded {
    /// Opens a new node, writes all rows and waits until they are sealed.
    ///
    /// # Errors
    ///
    /// The node refuses, or building takes longer than ten minutes.
    pub fn new(base: &Array2<f32>, metric: Metric) -> Result<Self> {
        let all: Vec<u32> = (0..base.nrows() as u32).collect();
        Self::in_order(base, metric, &all)
    }

    /// The same, with rows written in the order of these offsets.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn in_order(base: &Array2<f32>, metric: Metric, offsets: &[u32]) -> Result<Self> {
        let dir = tempfile::tempdir().context("make a temporary folder")?;
        let node = Node::open(dir.path(), NodeOptions::default()).context("open a node")?;
        node.wait_until_ready();
        let mut config = CollectionConfig::default();
        let vector = VectorConfig::new(base.ncols(), metric);
        config.vectors.insert(String::new(), vector);
        node.create_collection("bench", config)?;
        let collection = node.collection("bench")?;

        let mut loaded = Self {
            collection,
            node,
            _dir: dir,
            rows: base.nrows(),
            metric,
            load_seconds: 0.0,
            build_seconds: 0.0,
        };
        let started = Instant::now();
        loaded.write(base, offsets)?;
        loaded.load_seconds = started.elapsed().as_secs_f64();
        loaded.build_seconds = loaded.settle()?;
        Ok(loaded)
    }

    /// Writes these rows under their offsets, in this order.
    ///
    /// # Errors
    ///
    /// The node refuses.
    pub fn write(&self, base: &Array2<f32>, offsets: &[u32]) -> Result<()> {
        for chunk in offsets.chunks(WRITE_ROWS) {
            let points = chunk.iter().map(|&offset| Point {
                id: PointId::Num(offset.into()),
                vectors: [(
                    String::new(),
                    Vector::Dense(base.row(offset as usize).to_vec()),
                )]
                .into(),
                payload: payload(offset.into()),
                media: Vec::new(),
                expires_at_ms: None,
            });
            self.node.upsert("bench", points.collect())?;
        }
        Ok(())
    }

    /// Deletes the points of these offsets, in this order.
    ///
    /// # Errors
    ///
    /// The node refuses.
    pub fn delete(&self, offsets: &[u32]) -> Result<()> {
        for chunk in offsets.chunks(WRITE_ROWS) {
            let ids: Vec<PointId> = chunk.iter().map(|&id| PointId::Num(id.into())).collect();
            self.node.delete("bench", &ids)?;
        }
        Ok(())
    }

    /// Waits until all rows are in sealed segments with their structures; returns the seconds it took.
    ///
    /// # Errors
    ///
    /// It takes longer than ten minutes.
    pub fn settle(&self) -> Result<f64> {
        let started = Instant::now();
        loop {
            let info = self.collection.info();
            if !info.building && info.indexed_rows == info.points {
                return Ok(started.elapsed().as_secs_f64());
            }
            ensure!(
                started.elapsed() < BUILD_MAX,
                "segments are not built after {BUILD_MAX:?}"
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What searches, segment by segment: `kdtree over 50000 rows`.
    pub fn structures(&self) -> String {
        let segments = self.collection.info().segments;
        let structures = segments
            .iter()
            .filter(|segment| segment.live > 0)
            .map(|segment| {
                let structure = segment.structures.get("").copied().unwrap_or("none");
                format!("{structure} over {} rows", segment.live)
            });
        structures.collect::<Vec<_>>().join(", ")
    }

    /// One query with its explanation.
    ///
    /// # Errors
    ///
    /// The query is refused.
    pub fn explain(&self, query: &[f32], k: usize) -> Result<Explain> {
        let explained = Query {
            params: SearchParams {
                explain: true,
                ..SearchParams::default()
            },
            ..nearest(query, k)
        };
        let answer = self.collection.query(&explained)?;
        answer.explain.context("the node explained nothing")
    }

    /// The `k` nearest points, best first.
    ///
    /// # Errors
    ///
    /// The query is refused.
    pub fn search(&self, query: &[f32], k: usize) -> Result<Vec<ScoredPoint>> {
        Ok(self.collection.query(&nearest(query, k))?.points)
    }

    /// The same, with these settings and this of the payloads.
    ///
    /// # Errors
    ///
    /// The query is refused.
    pub fn search_with(
        &self,
        query: &[f32],
        k: usize,
        params: &SearchParams,
        payload: &Selection,
    ) -> Result<Vec<ScoredPoint>> {
        let query = Query {
            params: params.clone(),
            with_payload: payload.clone(),
            ..nearest(query, k)
        };
        Ok(self.collection.query(&query)?.points)
    }

    /// Recall and speed with as many threads as named, as rows of a table.
    ///
    /// # Errors
    ///
    /// A query is refused.
    pub fn measure(
        &self,
        exact: &Exact<'_>,
        k: usize,
        threads: &[usize],
    ) -> Result<Vec<(Speed, f64)>> {
        let queries: Vec<Vec<f32>> = exact
            .queries
            .rows()
            .into_iter()
            .map(|row| row.to_vec())
            .collect();
        let measure = |&threads: &usize| {
            let (speed, answers) = speed(queries.len(), threads, |query_idx| {
                self.search(&queries[query_idx], k)
            })?;
            let offsets: Result<Vec<Vec<u32>>> =
                answers.iter().map(|points| offsets(points)).collect();
            Ok((speed, exact.recall(&offsets?)))
        };
        threads.iter().map(measure).collect()
    }

    /// The rows of [`Self::measure`] as a table.
    pub fn table(&self, name: &str, exact: &Exact<'_>, measured: &[(Speed, f64)]) -> Table {
        const COLUMNS: [&str; 7] = {
            let [a, b, c, d, e] = Speed::COLUMNS;
            ["searched_by", "recall@10", a, b, c, d, e]
        };
        let title = format!(
            "{name}: {} rows x {}, {}, {} queries, in process; loaded in {:.1} s, sealed {:.1} s later; truth {:.1} s",
            self.rows,
            exact.base.ncols(),
            self.metric,
            exact.queries.nrows(),
            self.load_seconds,
            self.build_seconds,
            exact.seconds
        );
        let mut table = Table::new(title, &COLUMNS);
        for (speed, recall) in measured {
            let mut row = vec![self.structures().into(), Cell::Number(*recall, 4)];
            row.extend(speed.cells());
            table.push(row);
        }
        table
    }
}

/// A number and two short texts, as a picture or a text of a data set has.
fn payload(id: u64) -> Payload {
    let fields = [
        ("row", json!(id)),
        (
            "title",
            json!(format!("Row {id} of the set that is measured")),
        ),
        (
            "kind",
            json!(if id.is_multiple_of(2) { "even" } else { "odd" }),
        ),
    ];
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn nearest(query: &[f32], k: usize) -> Query {
    Query {
        kind: QueryKind::Nearest(QueryVector::Dense(query.to_vec())),
        limit: k,
        ..Query::default()
    }
}

/// The offsets that the ids of answers are.
///
/// # Errors
///
/// An id is no offset.
pub fn offsets(points: &[ScoredPoint]) -> Result<Vec<u32>> {
    let offset = |point: &ScoredPoint| match point.id {
        PointId::Num(number) => u32::try_from(number).context("an id is no offset"),
        _ => anyhow::bail!("the id {} is no number", point.id),
    };
    points.iter().map(offset).collect()
}

#[cfg(test)]
mod tests {
    use datasets::synthetic::{Shape, Synthetic};

    use super::*;

    #[test]
    fn a_node_answers_exactly() {
        let set = Synthetic::new(Shape::Uniform, 3, 5);
        let (base, queries) = (set.base(1500), set.queries(30));
        let exact = Exact::find(&base, &queries, Metric::L2, 10).unwrap();
        let loaded = Loaded::new(&base, Metric::L2).unwrap();
        assert_eq!(loaded.structures(), "kdtree over 1500 rows");
        let measured = loaded.measure(&exact, 10, &[2]).unwrap();
        assert_eq!(measured[0].1, 1.0);
        let explain = loaded.explain(&[0.1, 0.2, 0.3], 10).unwrap();
        assert_eq!(explain.segments[0].index, "kdtree");
        // The truth does see wrong answers.
        assert!(exact.recall(&vec![vec![0, 1, 2]; 30]) < 0.1);
    }
}
