//! Rows, queries and the exact answers to them.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use cluster::engine::{Collection, Metric, PointId};
use datasets::formats::OpenOptions;
use datasets::matrix::{MatrixError, read_vectors};
use datasets::random::Random;
use datasets::synthetic::{Shape, Synthetic};
use datasets::truth::{self, Truth};
use ndarray::{Array2, ArrayView2, Axis};
use xxhash_rust::xxh3::Xxh3;

use super::{BenchArgs, QUERIES_DEFAULT, metric};
use crate::cli::failure::{Failure, Result};
use crate::cli::load::MetricName;

/// Rows of the canonical workloads: a scan of all of them takes about a millisecond.
const CANONICAL_ROWS: usize = 50_000;
/// Not more than this share of a file's rows is held out as queries.
const HELD_OUT_SHARE: usize = 10;

/// What is measured.
pub struct Workload {
    /// For people.
    pub name: String,
    /// `[rows, dim]`.
    pub base: Array2<f32>,
    /// `[queries, dim]`.
    pub queries: Array2<f32>,
    /// How they are compared.
    pub metric: Metric,
    /// How many neighbours.
    pub k: usize,
    /// Where the queries come from.
    pub queries_from: String,
    /// What chose the queries or made the rows.
    pub seed: u64,
    /// Rows by point id; without it, the id of a row is its offset.
    pub offsets: Option<HashMap<PointId, u32>>,
    /// The row that each query is: it is left out of the answers. Empty if queries are no rows.
    pub own_rows: Vec<u32>,
}

impl Workload {
    /// How many answers to ask for: one more if the query itself will be among them.
    pub fn limit(&self) -> usize {
        self.k + usize::from(!self.own_rows.is_empty())
    }

    /// The exact neighbours, [`Self::limit`] of them, and the seconds it took.
    ///
    /// # Errors
    ///
    /// Dims differ.
    pub fn truth(&self) -> Result<(Truth, f64)> {
        let started = Instant::now();
        let truth = truth::exact(
            self.base.view(),
            self.queries.view(),
            truth_metric(self.metric),
            self.limit(),
        )
        .map_err(|error| Failure::new(error.to_string()).at(self.name.clone()))?;
        Ok((truth, started.elapsed().as_secs_f64()))
    }

    /// Recall@k of the answers to one query, given as point ids, best first.
    pub fn recall(&self, truth: &Truth, query_idx: usize, found: &[PointId]) -> f64 {
        let own = self.own_rows.get(query_idx).copied();
        let query = self.queries.row(query_idx);
        let query = query.as_slice().unwrap_or_default();
        let found: Vec<(u32, f32)> = found
            .iter()
            .filter_map(|id| self.offset(id))
            .filter(|&offset| Some(offset) != own)
            .take(self.k)
            .map(|offset| {
                (
                    offset,
                    truth.metric.distance(
                        query,
                        self.base
                            .row(offset as usize)
                            .as_slice()
                            .unwrap_or_default(),
                    ),
                )
            })
            .collect();
        let exact: Vec<(u32, f32)> = truth
            .of_query(query_idx)
            .filter(|&(offset, _)| Some(offset) != own)
            .take(self.k)
            .collect();
        truth::recall_at_k(&found, &exact)
    }

    fn offset(&self, id: &PointId) -> Option<u32> {
        match (&self.offsets, id) {
            (Some(offsets), id) => offsets.get(id).copied(),
            (None, PointId::Num(number)) => u32::try_from(*number)
                .ok()
                .filter(|&offset| (offset as usize) < self.base.nrows()),
            (None, _) => None,
        }
    }

    /// Checksum of rows and queries, 16 hex digits.
    pub fn checksum(&self) -> String {
        let mut hasher = Xxh3::new();
        for matrix in [&self.base, &self.queries] {
            for number in matrix {
                hasher.update(&number.to_le_bytes());
            }
        }
        format!("{:016x}", hasher.digest())
    }
}

/// The truth's name for a metric.
pub fn truth_metric(metric: Metric) -> truth::Metric {
    match metric {
        Metric::Cosine => truth::Metric::Cosine,
        Metric::Dot => truth::Metric::Dot,
        Metric::L2 => truth::Metric::L2,
        Metric::L1 => truth::Metric::L1,
        Metric::LInf => truth::Metric::LInf,
    }
}

/// Embedding-like vectors for the scan, and points in space for the k-d tree.
pub fn canonical(seed: u64) -> Vec<Workload> {
    let make = |name: &str, shape, dim, metric| {
        let set = Synthetic::new(shape, dim, seed);
        Workload {
            name: name.to_owned(),
            base: set.base(CANONICAL_ROWS),
            queries: set.queries(QUERIES_DEFAULT),
            metric,
            k: 10,
            queries_from: "drawn from the same distribution".to_owned(),
            seed,
            offsets: None,
            own_rows: vec![],
        }
    };
    vec![
        make(
            "manifold, 128 dimensions",
            Shape::Manifold { latent: 24 },
            128,
            Metric::Cosine,
        ),
        make("uniform, 3 dimensions", Shape::Uniform, 3, Metric::L2),
    ]
}

/// The rows of a file; queries from another one, or held out.
///
/// # Errors
///
/// The file cannot be read, or has no vectors.
pub fn from_file(args: &BenchArgs, path: &Path) -> Result<Workload> {
    let options = OpenOptions {
        vector_fields: args.vector_columns.clone(),
        ..OpenOptions::default()
    };
    let format = datasets::formats::open(path, &options)
        .map_err(|error| Failure::new(error.to_string()))?
        .format();
    let all = read(path, &options, args.rows as usize)?;
    let (base, queries, queries_from) = match &args.queries {
        Some(file) => (
            all,
            read(file, &options, usize::MAX)?,
            file.display().to_string(),
        ),
        None => {
            let (base, queries) = hold_out(all.view(), args.seed);
            (base, queries, "held out of the file".to_owned())
        }
    };
    if base.nrows() == 0 || queries.nrows() == 0 {
        return Err(Failure::new(format!(
            "{} rows and {} queries are too few",
            base.nrows(),
            queries.nrows()
        ))
        .at(path.display().to_string())
        .mend("give a larger file, or queries with --queries FILE"));
    }
    let metric_name = args
        .metric
        .unwrap_or_else(|| MetricName::fitting(base.ncols(), Some(format)));
    Ok(Workload {
        name: path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        ),
        base,
        queries,
        metric: metric(metric_name),
        k: args.k as usize,
        queries_from,
        seed: args.seed,
        offsets: None,
        own_rows: vec![],
    })
}

/// Reads a file of vectors.
///
/// # Errors
///
/// The file cannot be read, or has no vectors.
pub fn read(path: &Path, options: &OpenOptions, rows_max: usize) -> Result<Array2<f32>> {
    read_vectors(path, options, rows_max).map_err(|error| {
        let failure = Failure::new(error.to_string()).at(path.display().to_string());
        match error {
            MatrixError::Dim { got: 0, .. } => failure.mend(
                "name its columns with --vector-columns; texts and pictures: `vecino load` them into a collection, then `vecino bench COLLECTION`",
            ),
            _ => failure,
        }
    })
}

/// Takes up to 1,000 rows, at most a tenth, out of the base.
fn hold_out(all: ArrayView2<f32>, seed: u64) -> (Array2<f32>, Array2<f32>) {
    let count = QUERIES_DEFAULT
        .min(all.nrows() / HELD_OUT_SHARE)
        .max(usize::from(all.nrows() > 1));
    let chosen = choose_rows(all.nrows(), count, seed);
    let mut held = vec![false; all.nrows()];
    for &row in &chosen {
        held[row] = true;
    }
    let rest: Vec<usize> = (0..all.nrows()).filter(|&row| !held[row]).collect();
    (all.select(Axis(0), &rest), all.select(Axis(0), &chosen))
}

/// `count` different rows of `rows`, at random for the seed.
pub fn choose_rows(rows: usize, count: usize, seed: u64) -> Vec<usize> {
    // Fisher and Yates, stopped after `count`.
    let mut random = Random::new(seed);
    let mut order: Vec<usize> = (0..rows).collect();
    let count = count.min(rows);
    for at in 0..count {
        let other = at + random.below((rows - at) as u64) as usize;
        order.swap(at, other);
    }
    order.truncate(count);
    order
}

/// The vectors of a collection in this process.
///
/// # Errors
///
/// It has no vectors of that name.
pub fn from_collection(args: &BenchArgs, collection: &Collection, using: &str) -> Result<Workload> {
    let config = collection.config();
    let vector = config.vectors.get(using).ok_or_else(|| {
        Failure::new(format!("there is no vector \"{using}\"")).at(collection.name())
    })?;
    let rows = collection.vector_rows(using)?;
    from_rows(args, collection.name(), rows, vector.metric, vector.dim)
}

/// Rows with their ids as a workload; queries from a file, or the rows themselves.
///
/// # Errors
///
/// There are none.
pub fn from_rows(
    args: &BenchArgs,
    name: &str,
    mut rows: Vec<(PointId, Vec<f32>)>,
    metric: Metric,
    dim: usize,
) -> Result<Workload> {
    if rows.len() < 2 {
        return Err(Failure::new(format!("it has {} vectors", rows.len()))
            .at(format!("collection {name}"))
            .mend("load some with `vecino load`"));
    }
    // The order of ids makes checksum and choice repeatable.
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let mut base = Array2::zeros((rows.len(), dim));
    let mut offsets = HashMap::with_capacity(rows.len());
    for (offset, (id, vector)) in rows.into_iter().enumerate() {
        if vector.len() != dim {
            return Err(Failure::new(format!(
                "point {id} has {} numbers instead of {dim}",
                vector.len()
            ))
            .at(format!("collection {name}")));
        }
        base.row_mut(offset)
            .assign(&ndarray::ArrayView1::from(&vector));
        offsets.insert(id, offset as u32);
    }
    let (queries, own_rows, queries_from) = match &args.queries {
        Some(file) => (
            read(file, &OpenOptions::default(), usize::MAX)?,
            vec![],
            file.display().to_string(),
        ),
        None => {
            let chosen = choose_rows(base.nrows(), QUERIES_DEFAULT, args.seed);
            let own = chosen.iter().map(|&row| row as u32).collect();
            (
                base.select(Axis(0), &chosen),
                own,
                "its own vectors, each without itself among the answers".to_owned(),
            )
        }
    };
    Ok(Workload {
        name: name.to_owned(),
        base,
        queries,
        metric,
        k: args.k as usize,
        queries_from,
        seed: args.seed,
        offsets: Some(offsets),
        own_rows,
    })
}

/// The vector asked for, or the only one there is.
///
/// # Errors
///
/// There is none of that name, or several and none was named.
pub fn choose_vector(asked: Option<&str>, names: Vec<String>) -> Result<String> {
    let shown = names
        .iter()
        .map(|name| if name.is_empty() { "(unnamed)" } else { name })
        .collect::<Vec<_>>()
        .join(", ");
    match asked {
        Some(name) if names.iter().any(|known| known == name) => Ok(name.to_owned()),
        Some(name) => Err(Failure::new(format!("there is no dense vector \"{name}\""))
            .mend(format!("name one of: {shown}"))),
        None if names.len() == 1 => Ok(names.into_iter().next().unwrap_or_default()),
        None if names.is_empty() => {
            Err(Failure::new("the collection has no dense vectors")
                .mend("measure another collection"))
        }
        None => Err(
            Failure::new(format!("the collection has several vectors: {shown}"))
                .mend("choose one with --using NAME"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_rows_are_no_longer_there() {
        let all = Array2::from_shape_fn((50, 1), |(row, _)| row as f32);
        let (base, queries) = hold_out(all.view(), 3);
        assert_eq!((base.nrows(), queries.nrows()), (45, 5));
        let mut both: Vec<f32> = base.iter().chain(&queries).copied().collect();
        both.sort_by(f32::total_cmp);
        assert_eq!(both, (0..50).map(|x| x as f32).collect::<Vec<_>>());
        assert_eq!(hold_out(all.view(), 3), (base, queries));
    }

    #[test]
    fn a_query_does_not_find_itself() {
        let base = Array2::from_shape_vec((4, 1), vec![0.0, 1.0, 2.0, 9.0]).unwrap();
        let workload = Workload {
            name: "x".into(),
            queries: base.select(Axis(0), &[1]),
            base,
            metric: Metric::L2,
            k: 2,
            queries_from: String::new(),
            seed: 0,
            offsets: None,
            own_rows: vec![1],
        };
        let (truth, _) = workload.truth().unwrap();
        let recall = |ids: &[u64]| {
            workload.recall(
                &truth,
                0,
                &ids.iter().map(|&id| PointId::Num(id)).collect::<Vec<_>>(),
            )
        };
        assert_eq!(recall(&[1, 0, 2]), 1.0);
        assert_eq!(recall(&[1, 2, 3]), 0.5);
        assert_eq!(recall(&[1, 77, 3]), 0.0);
    }

    #[test]
    fn the_only_vector_is_chosen() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(choose_vector(None, names(&[""])).unwrap(), "");
        assert_eq!(choose_vector(Some("b"), names(&["a", "b"])).unwrap(), "b");
        for (asked, known) in [
            (None, vec!["a", "b"]),
            (None, vec![]),
            (Some("c"), vec!["a"]),
        ] {
            assert!(choose_vector(asked, names(&known)).is_err());
        }
    }
}
