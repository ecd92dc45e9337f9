//! The graph of several segments, made from the largest one's.

use std::sync::Arc;

use rayon::prelude::*;

use super::build::{
    BuildParams, Candidate, Material, Pruner, bridge, candidates, connect, link, write,
};
use super::calibration::Point;
use super::walk::{GraphView, NO_EDGE, Scratch, Stop, Walk};
use super::{Graph, IsCancelled, RECALL_DEFAULT, in_pool};
use crate::aligned::Aligned;
use crate::distance::codes::{Job, Simd, dispatch};
use crate::quantizer::{Prepared, RowSource, TrainParams, suits};
use crate::{Codes, Offset};

/// Where a row of a merged segment comes from.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A row of the graph that is reused.
    Base(Offset),
    /// Another segment.
    Other,
}

/// If more than this share of the rows is new, building anew is as fast.
const NEW_MAX: f64 = 0.4;
/// If fewer than this share of the base's rows live on, its edges are worth little.
const KEPT_MIN: f64 = 0.5;
/// The number of neighbours for which the recall of the merged graph is judged.
pub(super) const MEASURED_K: usize = 10;
/// How much lower the recall may be that the greatest effort brings than that of the graph that was last built anew, where neither brings
/// [`RECALL_DEFAULT`].
const WORSE_MAX: f32 = 0.005;
/// By so many standard errors of its measurement it may look worse than it is: both were measured.
const ERRORS: f32 = 2.0;
/// Candidates of the walk that finds a new row's place.
const EF: usize = 64;
/// Rows of one task.
const TASK: usize = 256;

impl Graph {
    /// The graph over rows of which many are this graph's own, in whatever order: rows that died are not among them.
    ///
    /// New rows find their candidates by a walk, as in DiskANN, and among each other by partitions; rows that lost
    /// neighbours look at the neighbours of these (FreshDiskANN, arXiv 2105.09613, algorithm 4). If most rows are new, or
    /// most old ones died, or the coding does not suit the rows any more, or calibration finds that no effort brings
    /// [`RECALL_DEFAULT`], nor what the graph brought that was last built anew, it is built anew. Equal inputs make equal graphs.
    ///
    /// - `origins`: `[n]`, from where each of `rows` comes; each row of the base at most once.
    /// - `train`: by what codes are learned if it is built anew; else this graph's coding serves on.
    ///
    /// # Panics
    ///
    /// If `origins` is not as long as `rows`, or names a row that the base has not.
    pub fn merged(
        &self,
        origins: &[Origin],
        rows: Arc<dyn RowSource>,
        train: &TrainParams,
        params: &BuildParams,
    ) -> Self {
        let merged = self.merged_unless(origins, rows, train, params, &|| false);
        merged.expect("nobody cancels it")
    }

    /// As [`Self::merged`], or `None` if it was cancelled.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn merged_unless(
        &self,
        origins: &[Origin],
        rows: Arc<dyn RowSource>,
        train: &TrainParams,
        params: &BuildParams,
        is_cancelled: IsCancelled<'_>,
    ) -> Option<Self> {
        assert_eq!(origins.len(), rows.len(), "an origin for each row");
        in_pool(params.threads, || {
            self.merge(origins, rows, train, params, is_cancelled)
        })
    }

    fn merge(
        &self,
        origins: &[Origin],
        rows: Arc<dyn RowSource>,
        train: &TrainParams,
        params: &BuildParams,
        is_cancelled: IsCancelled<'_>,
    ) -> Option<Self> {
        let params = BuildParams {
            degree: self.degree,
            ..params.clamped()
        };
        let kept = origins
            .iter()
            .filter(|origin| **origin != Origin::Other)
            .count();
        let few_new = (rows.len() - kept) as f64 <= NEW_MAX * rows.len() as f64;
        let many_kept = kept as f64 >= KEPT_MIN * self.len() as f64;
        let coding = self.codes.coding();
        let anew = |rows: Arc<dyn RowSource>| {
            Self::over(Codes::build(&*rows, train), rows, &params, is_cancelled)
        };
        if !(few_new && many_kept && suits(coding, &*rows, params.seed)) {
            return anew(rows);
        }
        let codes = Codes::encode(coding.clone(), &*rows);
        let material = Material::new(&codes, &*rows, is_cancelled);
        let all: Vec<Offset> = (0..rows.len() as Offset).collect();
        let entry = material.medoid(&all);
        let mut edges = self.carried(origins, &material, &params);
        // Old rows only so far, perhaps cut apart by those that died.
        let old: Vec<Offset> = offsets_of(origins, |origin| origin != Origin::Other);
        let new: Vec<Offset> = offsets_of(origins, |origin| origin == Origin::Other);
        let start = if origins.get(entry as usize) == Some(&Origin::Other) {
            old.first().copied().unwrap_or(entry)
        } else {
            entry
        };
        insert(&material, &params, start, &new, &mut edges);
        let is_new = |row: Offset| origins[row as usize] == Origin::Other;
        let mut edges = link(&material, &params, &edges, is_new);
        if is_cancelled() {
            return None;
        }
        let reach = connect(&material, params.degree, entry, edges.as_mut_slice());
        bridge(&material, params.seed, reach);
        drop(material);
        let mut merged = Self::assemble(codes, rows.clone(), edges, entry, &params, is_cancelled)?;
        // Coarse codes may not have brought it before either.
        let best = |graph: &Self| graph.calibrations().0.best(MEASURED_K);
        merged.best_anew = self.best_anew.or(best(self).map(|point| point.recall));
        let wanted = merged.best_anew.map_or(RECALL_DEFAULT, |recall| {
            RECALL_DEFAULT.min(recall - WORSE_MAX)
        });
        let is_worse = |point: Point| point.recall + ERRORS * point.error < wanted;
        if best(&merged).is_some_and(is_worse) {
            return anew(rows);
        }
        Some(merged)
    }

    /// The edges of the base's rows under their new names, mended where neighbours died.
    fn carried(
        &self,
        origins: &[Origin],
        material: &Material<'_>,
        params: &BuildParams,
    ) -> Aligned<u32> {
        let mut names = vec![NO_EDGE; self.len()];
        for (row, origin) in origins.iter().enumerate() {
            if let Origin::Base(old) = *origin {
                names[old as usize] = row as Offset;
            }
        }
        let mut edges = Aligned::new(NO_EDGE, origins.len() * params.degree);
        let pruner = Pruner::new(material, params);
        edges
            .as_mut_slice()
            .par_chunks_mut(TASK * params.degree)
            .enumerate()
            .for_each(|(task, edges)| {
                dispatch(Carry {
                    base: self.view(),
                    names: &names,
                    origins: &origins[task * TASK..(task * TASK + TASK).min(origins.len())],
                    first: (task * TASK) as Offset,
                    pruner,
                    edges,
                });
            });
        edges
    }
}

fn offsets_of(origins: &[Origin], wanted: impl Fn(Origin) -> bool) -> Vec<Offset> {
    (0..)
        .zip(origins)
        .filter(|(_, origin)| wanted(**origin))
        .map(|(row, _)| row)
        .collect()
}

struct Carry<'a> {
    base: GraphView<'a>,
    /// The new names of the base's rows; [`NO_EDGE`] if they died.
    names: &'a [Offset],
    origins: &'a [Origin],
    first: Offset,
    pruner: Pruner<'a>,
    edges: &'a mut [u32],
}

impl Job for Carry<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (mut alive, mut candidates, mut chosen): (Vec<Offset>, Vec<Candidate>, Vec<Offset>) =
            Default::default();
        let name = |old: Offset| self.names[old as usize];
        let places = self.edges.chunks_exact_mut(self.base.degree);
        for ((i, origin), places) in self.origins.iter().enumerate().zip(places) {
            let Origin::Base(old) = *origin else {
                continue;
            };
            let row = self.first + i as Offset;
            alive.clear();
            let mut dead = 0;
            for neighbor in self.base.neighbors(old) {
                if name(neighbor) != NO_EDGE {
                    alive.push(name(neighbor));
                    continue;
                }
                dead += 1;
                let beyond = self.base.neighbors(neighbor).map(name);
                alive.extend(beyond.filter(|&beyond| beyond != NO_EDGE && beyond != row));
            }
            if dead == 0 {
                write(places, &alive);
                continue;
            }
            alive.sort_unstable();
            alive.dedup();
            candidates.clear();
            self.pruner
                .measure(simd, row, alive.iter().copied(), &mut candidates);
            self.pruner.prune(simd, row, &mut candidates, &mut chosen);
            write(places, &chosen);
        }
    }
}

/// Chooses the edges of new rows.
fn insert(
    material: &Material<'_>,
    params: &BuildParams,
    start: Offset,
    new: &[Offset],
    edges: &mut Aligned<u32>,
) {
    if new.is_empty() {
        return;
    }
    let among = among_each_other(material, params, new);
    let graph = GraphView {
        edges: edges.as_slice(),
        degree: params.degree,
        codes: material.codes(),
        entry: start,
    };
    let pruner = Pruner::new(material, params);
    let chosen: Vec<Vec<Offset>> = new
        .par_iter()
        .with_min_len(TASK)
        .zip(among)
        .map_init(
            || Scratch::new(material.len()),
            |scratch, (&row, mut candidates)| {
                if material.is_cancelled() {
                    return Vec::new();
                }
                let code = material.codes().row(row).to_vec();
                Prepared::bytes(code).run(Walk {
                    graph,
                    stop: Stop {
                        k: 1,
                        ef: EF,
                        gamma: f32::INFINITY,
                    },
                    keep: EF,
                    keeps_far: false,
                    scratch,
                    absent: &[],
                    trace: None,
                });
                let met = scratch.pool.iter();
                candidates.extend(met.map(|(offset, distance)| (distance as u32, offset)));
                dispatch(Choose {
                    pruner,
                    row,
                    candidates,
                })
            },
        )
        .collect();
    let edges = edges.as_mut_slice();
    for (&row, chosen) in new.iter().zip(&chosen) {
        write(
            &mut edges[row as usize * params.degree..][..params.degree],
            chosen,
        );
    }
}

/// The candidates that new rows are for each other.
fn among_each_other(
    material: &Material<'_>,
    params: &BuildParams,
    new: &[Offset],
) -> Vec<Vec<Candidate>> {
    let reservoirs = candidates(material, params, new.to_vec());
    new.iter()
        .map(|&row| {
            let mut keys = Vec::new();
            reservoirs.copy(row, &mut keys);
            keys.iter()
                .map(|&key| ((key >> 32) as u32, key as u32))
                .collect()
        })
        .collect()
}

struct Choose<'a> {
    pruner: Pruner<'a>,
    row: Offset,
    candidates: Vec<Candidate>,
}

impl Job for Choose<'_> {
    type Output = Vec<Offset>;

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> Vec<Offset> {
        let mut chosen = Vec::new();
        self.pruner
            .prune(simd, self.row, &mut self.candidates, &mut chosen);
        chosen
    }
}
