//! Running a query: filters first, then every segment under one view, fusion, and the payloads of the answers last.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use index::{BitSet, Metric, Neighbor, Offset};
use serde_json::Value;

use super::fetch::fetch;
use super::fusion::{FusionList, fuse};
use super::list::ordered;
use super::matching::matching;
use super::{
    Answer, Explain, PREFETCH_DEPTH_MAX, Query, QueryKind, QueryVector, ScorePart, ScoredPoint,
    SegmentExplain,
};
use crate::Partition;
use crate::collection::{Collection, State, check_dense, unknown_vector};
use crate::config::CollectionConfig;
use crate::error::{Error, Result};
use crate::point::{PointId, SparseVector, Vector};
use crate::segment::{Found, Rows, Segment};

impl Collection {
    /// Answers a query, best first.
    ///
    /// Filters are evaluated first. Then all segments are searched under one view: a write is seen by the whole query or not at all. Payloads
    /// and vectors of the answers are read last; a point that is deleted in between is left out.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that says what is wrong with the query, `NotFound` for a point that it names, `Corrupted` if a row cannot be read.
    pub fn query(&self, query: &Query) -> Result<Answer> {
        let mut trace = Trace::new(query.params.explain);
        let prepared = prepare(self, query, None, 0, &mut trace)?;
        trace.stage("filter");
        let (page, located) = {
            let state = self.state();
            let mut candidates = run(self, &state, &prepared, &mut trace)?;
            let from = query.offset.min(candidates.len());
            candidates.drain(..from);
            candidates.truncate(query.limit);
            let located: Vec<(PointId, Partition)> = candidates
                .iter()
                .filter_map(|candidate| locate(&state, &candidate.id))
                .collect();
            (candidates, located)
        };
        trace.stage("search");
        let records = fetch(self, &located, &query.with_payload, &query.with_vectors)?;
        let points = page
            .into_iter()
            .zip(records)
            .filter_map(|(candidate, record)| {
                let record = record?;
                Some(ScoredPoint {
                    id: candidate.id,
                    version: record.version,
                    score: candidate.score,
                    payload: record.payload,
                    vectors: record.vectors,
                    order_value: candidate.order_value,
                    score_parts: candidate.parts,
                })
            })
            .collect();
        trace.stage("fetch");
        Ok(Answer {
            points,
            explain: trace.finish(query),
        })
    }
}

/// A query whose filters have been evaluated.
struct Prepared<'q> {
    query: &'q Query,
    /// The only points that may answer; `None` for all.
    allowed: Option<HashSet<PointId>>,
    prefetch: Vec<Prepared<'q>>,
    /// For an order by a payload field: the answers.
    ordered: Vec<(PointId, Value)>,
}

struct Candidate {
    id: PointId,
    score: f32,
    order_value: Option<Value>,
    parts: Vec<ScorePart>,
}

impl Candidate {
    fn new(id: PointId, score: f32) -> Self {
        Self {
            id,
            score,
            order_value: None,
            parts: Vec::new(),
        }
    }
}

fn prepare<'q>(
    collection: &Collection,
    query: &'q Query,
    parent: Option<&HashSet<PointId>>,
    depth: usize,
    trace: &mut Trace,
) -> Result<Prepared<'q>> {
    if depth > PREFETCH_DEPTH_MAX {
        return Err(Error::invalid(format!(
            "prefetch: nested deeper than {PREFETCH_DEPTH_MAX}; flatten it"
        )));
    }
    if let QueryKind::Fusion(fusion) = &query.kind {
        fusion.validate(query.prefetch.len())?;
    }
    let found = match &query.filter {
        Some(filter) => matching(collection, filter)?,
        None => None,
    };
    if let Some(found) = &found {
        trace.filter(&found.how);
    }
    // A query's filter holds for its prefetches too.
    let allowed = match (found.map(|found| found.ids), parent) {
        (Some(own), Some(parent)) => Some(own.intersection(parent).cloned().collect()),
        (Some(own), None) => Some(own),
        (None, parent) => parent.cloned(),
    };
    let ordered = match &query.kind {
        QueryKind::OrderBy(order) => {
            // Where only some points may answer, these need not be among the first of all.
            let restricted = parent.is_some() || !query.prefetch.is_empty();
            let limit = if restricted {
                usize::MAX
            } else {
                needed(query)
            };
            ordered(collection, order, query.filter.as_ref(), limit)?
        }
        _ => Vec::new(),
    };
    let prefetch = query
        .prefetch
        .iter()
        .map(|inner| prepare(collection, inner, allowed.as_ref(), depth + 1, trace))
        .collect::<Result<_>>()?;
    Ok(Prepared {
        query,
        allowed,
        prefetch,
        ordered,
    })
}

/// How many candidates the page needs.
fn needed(query: &Query) -> usize {
    query.limit.saturating_add(query.offset)
}

fn run(
    collection: &Collection,
    state: &State,
    prepared: &Prepared<'_>,
    trace: &mut Trace,
) -> Result<Vec<Candidate>> {
    let query = prepared.query;
    let k = needed(query);
    let lists = prepared
        .prefetch
        .iter()
        .map(|inner| run(collection, state, inner, trace))
        .collect::<Result<Vec<Vec<Candidate>>>>()?;
    if let QueryKind::Fusion(_) = query.kind {
        return Ok(run_fusion(collection, prepared, lists, k));
    }
    // Without a fusion, what was prefetched is all that may answer.
    let narrowed: Option<HashSet<PointId>> = (!prepared.prefetch.is_empty()).then(|| {
        let fetched = lists.into_iter().flatten().map(|candidate| candidate.id);
        fetched
            .filter(|id| {
                prepared
                    .allowed
                    .as_ref()
                    .is_none_or(|allowed| allowed.contains(id))
            })
            .collect()
    });
    let allowed = narrowed.as_ref().or(prepared.allowed.as_ref());
    let mut candidates = match &query.kind {
        QueryKind::Nearest(vector) => {
            run_nearest(collection, state, query, vector, allowed, k, trace)?
        }
        QueryKind::Recommend { positive, negative } => run_recommend(
            collection, state, query, positive, negative, allowed, k, trace,
        )?,
        QueryKind::OrderBy(_) => prepared
            .ordered
            .iter()
            .filter(|(id, _)| {
                allowed.is_none_or(|allowed| allowed.contains(id)) && state.ids.contains_key(id)
            })
            .map(|(id, value)| Candidate {
                order_value: Some(value.clone()),
                ..Candidate::new(id.clone(), 0.0)
            })
            .collect(),
        QueryKind::Sample => sample(collection, state, allowed, k),
        QueryKind::Id => {
            let mut ids: Vec<PointId> = living(state, allowed).collect();
            ids.sort_unstable();
            ids.into_iter().map(|id| Candidate::new(id, 0.0)).collect()
        }
        QueryKind::Fusion(_) => unreachable!("returned above"),
    };
    if let Some(threshold) = query.score_threshold {
        let higher = higher_is_better(&collection.config(), &query.using);
        candidates.retain(|c| {
            if higher {
                c.score >= threshold
            } else {
                c.score <= threshold
            }
        });
    }
    candidates.truncate(k);
    Ok(candidates)
}

fn run_fusion(
    collection: &Collection,
    prepared: &Prepared<'_>,
    lists: Vec<Vec<Candidate>>,
    k: usize,
) -> Vec<Candidate> {
    let query = prepared.query;
    let QueryKind::Fusion(fusion) = &query.kind else {
        return Vec::new();
    };
    let config = collection.config();
    let higher = |inner: &Prepared<'_>| match inner.query.kind {
        QueryKind::Fusion(_) => true,
        _ => higher_is_better(&config, &inner.query.using),
    };
    let fusion_lists: Vec<FusionList> = prepared
        .prefetch
        .iter()
        .zip(&lists)
        .map(|(inner, list)| FusionList {
            scores: list
                .iter()
                .map(|candidate| (candidate.id.clone(), candidate.score))
                .collect(),
            higher_is_better: higher(inner),
        })
        .collect();
    let mut fused: Vec<Candidate> = fuse(fusion, &fusion_lists)
        .into_iter()
        .filter(|(_, score)| {
            query
                .score_threshold
                .is_none_or(|threshold| *score >= threshold)
        })
        .take(k)
        .map(|(id, score)| Candidate::new(id, score))
        .collect();
    let mut parts: HashMap<&PointId, Vec<ScorePart>> = HashMap::new();
    for (inner, list) in prepared.prefetch.iter().zip(&lists) {
        for (rank, candidate) in list.iter().enumerate() {
            let part = ScorePart {
                using: inner.query.using.clone(),
                rank,
                score: candidate.score,
            };
            parts.entry(&candidate.id).or_default().push(part);
        }
    }
    for candidate in &mut fused {
        candidate.parts = parts.remove(&candidate.id).unwrap_or_default();
    }
    fused
}

fn higher_is_better(config: &CollectionConfig, using: &str) -> bool {
    match config.vectors.get(using).map(|vector| vector.metric) {
        None | Some(Metric::Cosine | Metric::Dot) => true,
        Some(Metric::L2 | Metric::L1 | Metric::LInf) => false,
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

fn run_nearest(
    collection: &Collection,
    state: &State,
    query: &Query,
    vector: &QueryVector,
    allowed: Option<&HashSet<PointId>>,
    k: usize,
    trace: &mut Trace,
) -> Result<Vec<Candidate>> {
    let without: Vec<&PointId> = match vector {
        QueryVector::Point { id, .. } => vec![id],
        QueryVector::Dense(_) | QueryVector::Sparse(_) => Vec::new(),
    };
    let vector = resolve(collection, state, query, vector)?;
    search(
        collection, state, query, &vector, &without, allowed, k, trace,
    )
}

/// The average of the wanted minus that of the unwanted examples, as the dialect's `average_vector`: `2 * positive - negative`.
#[allow(clippy::too_many_arguments)] // The search's context, passed through.
fn run_recommend(
    collection: &Collection,
    state: &State,
    query: &Query,
    positive: &[QueryVector],
    negative: &[QueryVector],
    allowed: Option<&HashSet<PointId>>,
    k: usize,
    trace: &mut Trace,
) -> Result<Vec<Candidate>> {
    if positive.is_empty() {
        return Err(Error::invalid(
            "recommend: give at least one positive example",
        ));
    }
    let average = |examples: &[QueryVector]| -> Result<Option<Vec<f32>>> {
        let mut sum: Option<Vec<f32>> = None;
        for example in examples {
            let Vector::Dense(values) = resolve(collection, state, query, example)? else {
                return Err(Error::invalid(
                    "recommend: examples of a sparse vector cannot be averaged; name a dense one in `using`",
                ));
            };
            match &mut sum {
                None => sum = Some(values),
                Some(sum) => sum
                    .iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += value),
            }
        }
        Ok(sum.map(|sum| {
            sum.into_iter()
                .map(|value| value / examples.len() as f32)
                .collect()
        }))
    };
    let mut wanted = average(positive)?.unwrap_or_default();
    if let Some(unwanted) = average(negative)? {
        wanted
            .iter_mut()
            .zip(unwanted)
            .for_each(|(wanted, unwanted)| *wanted = 2.0 * *wanted - unwanted);
    }
    let without: Vec<&PointId> = positive
        .iter()
        .chain(negative)
        .filter_map(|example| match example {
            QueryVector::Point { id, .. } => Some(id),
            QueryVector::Dense(_) | QueryVector::Sparse(_) => None,
        })
        .collect();
    let wanted = checked(&collection.config(), &query.using, wanted)?;
    search(
        collection,
        state,
        query,
        &Vector::Dense(wanted),
        &without,
        allowed,
        k,
        trace,
    )
}

/// The vector to search with, checked and of unit length where the metric wants it.
fn resolve(
    collection: &Collection,
    state: &State,
    query: &Query,
    vector: &QueryVector,
) -> Result<Vector> {
    let config = collection.config();
    match vector {
        QueryVector::Dense(values) => Ok(Vector::Dense(checked(
            &config,
            &query.using,
            values.clone(),
        )?)),
        QueryVector::Sparse(sparse) if config.sparse_vectors.contains_key(&query.using) => {
            Ok(Vector::Sparse(sparse.clone()))
        }
        QueryVector::Sparse(_) => Err(unknown_vector(&config, &query.using, "sparse")),
        QueryVector::Point { id, using } => {
            let name = using.as_ref().unwrap_or(&query.using);
            let location = state.ids.get(id).ok_or_else(|| {
                Error::not_found(format!(
                    "Not found: No point with id {id} found in collection {}",
                    collection.name()
                ))
            })?;
            state
                .segment(location.uid)
                .vector(name, location.offset)
                .ok_or_else(|| {
                    Error::invalid(format!(
                        "point {id} has no vector \"{name}\"; name one that it has in `using`"
                    ))
                })
        }
    }
}

fn checked(config: &CollectionConfig, using: &str, mut values: Vec<f32>) -> Result<Vec<f32>> {
    let wanted = config
        .vectors
        .get(using)
        .ok_or_else(|| unknown_vector(config, using, "dense"))?;
    check_dense(using, &values, wanted.dim)?;
    if wanted.metric.normalizes() {
        index::normalize(&mut values);
    }
    Ok(values)
}

/// Searches every segment and merges, best first; equal distances by id.
#[allow(clippy::too_many_arguments)] // The search's context, passed through.
fn search(
    collection: &Collection,
    state: &State,
    query: &Query,
    vector: &Vector,
    without: &[&PointId],
    allowed: Option<&HashSet<PointId>>,
    k: usize,
    trace: &mut Trace,
) -> Result<Vec<Candidate>> {
    let config = collection.config();
    let weighted;
    let target = match vector {
        Vector::Dense(values) => {
            let wanted = config
                .vectors
                .get(&query.using)
                .ok_or_else(|| unknown_vector(&config, &query.using, "dense"))?;
            check_dense(&query.using, values, wanted.dim)?;
            Target::Dense(values, wanted.metric)
        }
        Vector::Sparse(sparse) => {
            let wanted = config
                .sparse_vectors
                .get(&query.using)
                .ok_or_else(|| unknown_vector(&config, &query.using, "sparse"))?;
            weighted = if wanted.idf {
                with_idf(state, &query.using, sparse)
            } else {
                sparse.iter().collect()
            };
            Target::Sparse(&weighted)
        }
    };
    let allowed_rows = allowed.map(|ids| rows_of(state, ids));
    let k_searched = k.saturating_add(without.len());
    let mut nearest: Vec<(Neighbor, &PointId)> = Vec::new();
    let mut search_one =
        |segment: &Segment, live: Option<&BitSet>, live_count: usize| -> Result<()> {
            let permitted = match &allowed_rows {
                None => None,
                Some(by_segment) => match by_segment.get(&segment.uid) {
                    None => return Ok(()),
                    Some(rows) => Some(rows),
                },
            };
            // The table of ids names live rows only, so permitted rows are live.
            let rows = permitted.or(live).map_or(Rows::All, Rows::Only);
            let began = Instant::now();
            if let Some(found) = target.search(segment, query, k_searched, rows)? {
                trace.segment(segment, query, live_count, &found, began);
                nearest.extend(
                    found
                        .neighbors
                        .iter()
                        .map(|neighbor| (*neighbor, id_at(state, segment.uid, neighbor.offset))),
                );
            }
            Ok(())
        };
    for frozen in &state.frozen {
        let live = (frozen.live_count < frozen.segment.len()).then_some(&*frozen.live);
        search_one(&frozen.segment, live, frozen.live_count)?;
    }
    let growing = &state.growing;
    search_one(
        &growing.segment,
        growing.live_set().as_ref(),
        growing.live_count,
    )?;

    nearest.sort_unstable_by(|(a, a_id), (b, b_id)| {
        a.distance
            .total_cmp(&b.distance)
            .then_with(|| a_id.cmp(b_id))
    });
    let candidates = nearest
        .into_iter()
        .filter(|(_, id)| !without.contains(id))
        .take(k);
    Ok(candidates
        .map(|(neighbor, id)| Candidate::new(id.clone(), target.score(neighbor.distance)))
        .collect())
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
            Self::Dense(values, _) => match segment.dense.get(&query.using) {
                Some(column) if column.rows() > 0 => column
                    .search(values, k, rows, query.params.exact, query.params.index)
                    .map(Some),
                _ => Ok(None),
            },
            Self::Sparse(weights) => match segment.sparse.get(&query.using) {
                Some(column) if column.rows() > 0 => Ok(Some(column.search(weights, k, rows))),
                _ => Ok(None),
            },
        }
    }

    fn score(&self, distance: f32) -> f32 {
        match self {
            Self::Dense(_, metric) => score(*metric, distance),
            Self::Sparse(_) => -distance,
        }
    }
}

fn id_at(state: &State, uid: u64, offset: Offset) -> &PointId {
    &state.segment(uid).ids[offset as usize]
}

/// Query weights times the inverse document frequency of the collection: `ln(1 + (n - df + 0.5) / (df + 0.5))` (BM25, Robertson and
/// Sparck Jones). Rows that are dead but not merged away yet count.
fn with_idf(state: &State, using: &str, query: &SparseVector) -> Vec<(u32, f32)> {
    let columns: Vec<_> = state
        .frozen
        .iter()
        .map(|frozen| &*frozen.segment)
        .chain([&state.growing.segment])
        .filter_map(|segment| segment.sparse.get(using))
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

/// The rows of these points as sets over the offsets of each segment.
fn rows_of(state: &State, ids: &HashSet<PointId>) -> HashMap<u64, BitSet> {
    let mut rows: HashMap<u64, BitSet> = HashMap::new();
    for location in ids.iter().filter_map(|id| state.ids.get(id)) {
        let set = rows
            .entry(location.uid)
            .or_insert_with(|| BitSet::new(state.segment(location.uid).len()));
        set.insert(location.offset);
    }
    rows
}

fn living<'a>(
    state: &'a State,
    allowed: Option<&'a HashSet<PointId>>,
) -> Box<dyn Iterator<Item = PointId> + 'a> {
    match allowed {
        None => Box::new(state.ids.keys().cloned()),
        Some(allowed) => Box::new(
            allowed
                .iter()
                .filter(|id| state.ids.contains_key(id))
                .cloned(),
        ),
    }
}

/// `k` points chosen at random, in random order (reservoir sampling, Vitter 1985, algorithm R).
fn sample(
    collection: &Collection,
    state: &State,
    allowed: Option<&HashSet<PointId>>,
    k: usize,
) -> Vec<Candidate> {
    if k == 0 {
        return Vec::new();
    }
    let mut chosen: Vec<PointId> = Vec::new();
    for (seen, id) in (1u64..).zip(living(state, allowed)) {
        if chosen.len() < k {
            chosen.push(id);
        } else {
            let at = collection.env.random() % seen;
            if at < k as u64 {
                chosen[at as usize] = id;
            }
        }
    }
    for last in (1..chosen.len()).rev() {
        let at = collection.env.random() % (last as u64 + 1);
        chosen.swap(last, at as usize);
    }
    chosen
        .into_iter()
        .map(|id| Candidate::new(id, 0.0))
        .collect()
}

fn locate(state: &State, id: &PointId) -> Option<(PointId, Partition)> {
    let location = state.ids.get(id)?;
    Some((
        id.clone(),
        state.segment(location.uid).partitions[location.offset as usize],
    ))
}

/// Gathers what `explain` answers; does nothing unless asked.
struct Trace {
    explain: Option<Explain>,
    since: Instant,
}

impl Trace {
    fn new(enabled: bool) -> Self {
        Self {
            explain: enabled.then(Explain::default),
            since: Instant::now(),
        }
    }

    fn stage(&mut self, name: &str) {
        if let Some(explain) = &mut self.explain {
            explain.us.push((name.to_owned(), micros(self.since)));
            self.since = Instant::now();
        }
    }

    fn filter(&mut self, how: &str) {
        if let Some(explain) = &mut self.explain {
            let filter = explain.filter.get_or_insert_default();
            if !filter.is_empty() {
                filter.push_str("; ");
            }
            filter.push_str(how);
        }
    }

    fn segment(
        &mut self,
        segment: &Segment,
        query: &Query,
        rows: usize,
        found: &Found,
        began: Instant,
    ) {
        let Some(explain) = &mut self.explain else {
            return;
        };
        explain.visited += found.stats.visited;
        explain.distance_calls += found.stats.distance_calls;
        explain.segments.push(SegmentExplain {
            using: query.using.clone(),
            state: if segment.is_sealed() {
                "sealed"
            } else {
                "growing"
            },
            rows,
            index: found.index,
            reason: found.reason.clone(),
            visited: found.stats.visited,
            distance_calls: found.stats.distance_calls,
            us: micros(began),
        });
    }

    fn finish(self, query: &Query) -> Option<Explain> {
        let mut explain = self.explain?;
        explain.plan = plan_sentence(query);
        // Every structure there is now answers exactly.
        explain.recall_estimate = Some(1.0);
        Some(explain)
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn plan_sentence(query: &Query) -> String {
    let name = |using: &str| {
        if using.is_empty() {
            "the vector".to_owned()
        } else {
            format!("\"{using}\"")
        }
    };
    let own = match &query.kind {
        QueryKind::Id => "list by id".to_owned(),
        QueryKind::Nearest(QueryVector::Point { id, .. }) => {
            format!(
                "search {} of every segment for the vector of point {id}",
                name(&query.using)
            )
        }
        QueryKind::Nearest(_) => format!("search {} of every segment", name(&query.using)),
        QueryKind::Recommend { .. } => {
            format!("search {} for the average of examples", name(&query.using))
        }
        QueryKind::Fusion(fusion) => format!("fuse by {fusion:?}"),
        QueryKind::OrderBy(order) => format!("order by {}", order.key),
        QueryKind::Sample => "choose at random".to_owned(),
    };
    if query.prefetch.is_empty() {
        return own;
    }
    let inner: Vec<String> = query.prefetch.iter().map(plan_sentence).collect();
    format!("{own} over [{}]", inner.join("; "))
}
