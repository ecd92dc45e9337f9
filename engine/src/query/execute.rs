//! Running a query: filters first, then every segment under one view, fusion, and the payloads of the answers last.

use std::collections::{HashMap, HashSet};

use index::Metric;
use serde_json::Value;

use super::fetch::fetch;
use super::fusion::{FusionList, fuse};
use super::list::ordered;
use super::matching::matching;
use super::sample::sample;
use super::search::{RowSets, Search, add_row, search};
use super::target::{average_vector, resolve};
use super::trace::Trace;
use super::{
    Answer, PREFETCH_DEPTH_MAX, Query, QueryKind, QueryVector, ScorePart, ScoredPoint, Selection,
    VectorSelection,
};
use crate::Location;
use crate::collection::{Collection, Located, State, View};
use crate::config::CollectionConfig;
use crate::error::{Error, Result};
use crate::named::named;
use crate::point::{PointId, Vector};
use crate::segment::Segment;

impl Collection {
    /// Answers a query, best first.
    ///
    /// Filters are evaluated first. Then one view of all segments is taken and searched: a write is seen by the whole query or not at all, and
    /// does not wait for it. Payloads and vectors of the answers, if they are asked for, are read last; a point that is deleted in between is left
    /// out then.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that says what is wrong with the query, `NotFound` for a point that it names, `Corrupted` if a row cannot be read.
    pub fn query(&self, query: &Query) -> Result<Answer> {
        self.told(self.answer(query))
    }

    fn answer(&self, query: &Query) -> Result<Answer> {
        let mut trace = Trace::new(query.params.explain);
        let prepared = prepare(self, query, None, 0, &mut trace)?;
        trace.stage("filter");
        let (view, bound) = {
            let state = self.state();
            let view = state.view();
            let bound = bind(self, &state, &view, prepared)?;
            (view, bound)
        };
        let mut page = run(self, &view, &bound, &mut trace)?;
        page.drain(..query.offset.min(page.len()));
        page.truncate(query.limit);
        trace.stage("search");
        let points = self.points(query, &view, page)?;
        trace.stage("fetch");
        Ok(Answer {
            points,
            explain: trace.finish(query),
        })
    }

    /// The candidates with what is asked for of their payloads and vectors: the store is read only for these.
    fn points(&self, query: &Query, view: &View, page: Vec<Candidate>) -> Result<Vec<ScoredPoint>> {
        if query.with_payload == Selection::None && query.with_vectors == VectorSelection::None {
            let points = page.into_iter().map(|candidate| {
                let Location { uid, offset } = candidate.location;
                let version = segment(view, uid).version(offset);
                scored(candidate, version)
            });
            return Ok(points.collect());
        }
        let located: Vec<Located> = page
            .iter()
            .map(|candidate| located(view, candidate))
            .collect();
        let records = fetch(self, &located, &query.with_payload, &query.with_vectors)?;
        let points = page.into_iter().zip(records);
        let points = points.filter_map(|(candidate, record)| {
            let record = record?;
            Some(ScoredPoint {
                payload: record.payload,
                vectors: record.vectors,
                ..scored(candidate, record.version)
            })
        });
        Ok(points.collect())
    }
}

/// The candidate as an answer, without what only the store has.
fn scored(candidate: Candidate, version: u64) -> ScoredPoint {
    ScoredPoint {
        id: candidate.id,
        version,
        score: candidate.score,
        payload: None,
        vectors: None,
        order_value: candidate.order_value,
        score_parts: candidate.parts,
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

/// A query with everything that the table of ids is needed for.
struct Bound<'q> {
    query: &'q Query,
    /// As in [`Prepared`].
    allowed: Option<HashSet<PointId>>,
    /// The rows of `allowed`.
    rows: Option<RowSets>,
    prefetch: Vec<Bound<'q>>,
    order: Order,
}

/// What orders the answers of a query.
enum Order {
    Nearest {
        vector: Vector,
        /// The examples, which do not answer.
        without: Vec<PointId>,
    },
    /// The answers in their order.
    Field(Vec<Candidate>),
    Sample,
    Id,
    Fusion,
}

#[derive(Clone)]
pub(super) struct Candidate {
    id: PointId,
    location: Location,
    score: f32,
    order_value: Option<Value>,
    parts: Vec<ScorePart>,
}

impl Candidate {
    pub fn new(id: PointId, location: Location, score: f32) -> Self {
        Self {
            id,
            location,
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

fn bind<'q>(
    collection: &Collection,
    state: &State,
    view: &View,
    prepared: Prepared<'q>,
) -> Result<Bound<'q>> {
    let Prepared {
        query,
        allowed,
        prefetch,
        ordered,
    } = prepared;
    let order = match &query.kind {
        QueryKind::Nearest(vector) => Order::Nearest {
            vector: resolve(collection, state, query, vector)?,
            without: examples(std::slice::from_ref(vector)),
        },
        QueryKind::Recommend { positive, negative } => Order::Nearest {
            vector: average_vector(collection, state, query, positive, negative)?,
            without: [examples(positive), examples(negative)].concat(),
        },
        QueryKind::OrderBy(_) => Order::Field(ordered_rows(state, ordered)),
        QueryKind::Sample => Order::Sample,
        QueryKind::Id => Order::Id,
        QueryKind::Fusion(_) => Order::Fusion,
    };
    // What was prefetched narrows the rows later.
    let rows = allowed.as_ref().filter(|_| prefetch.is_empty()).map(|ids| {
        let mut rows = RowSets::new();
        for location in ids.iter().filter_map(|id| state.ids.get(id)) {
            add_row(&mut rows, view, *location);
        }
        rows
    });
    let prefetch = prefetch
        .into_iter()
        .map(|inner| bind(collection, state, view, inner))
        .collect::<Result<_>>()?;
    Ok(Bound {
        query,
        allowed,
        rows,
        prefetch,
        order,
    })
}

/// Those of the points that are still there.
fn ordered_rows(state: &State, ordered: Vec<(PointId, Value)>) -> Vec<Candidate> {
    let found = ordered.into_iter().filter_map(|(id, value)| {
        let location = *state.ids.get(&id)?;
        Some(Candidate {
            order_value: Some(value),
            ..Candidate::new(id, location, 0.0)
        })
    });
    found.collect()
}

fn examples(vectors: &[QueryVector]) -> Vec<PointId> {
    let ids = vectors.iter().filter_map(|vector| match vector {
        QueryVector::Point { id, .. } => Some(id.clone()),
        QueryVector::Dense(_) | QueryVector::Sparse(_) => None,
    });
    ids.collect()
}

fn run(
    collection: &Collection,
    view: &View,
    bound: &Bound<'_>,
    trace: &mut Trace,
) -> Result<Vec<Candidate>> {
    let query = bound.query;
    let k = needed(query);
    let lists = bound
        .prefetch
        .iter()
        .map(|inner| run(collection, view, inner, trace))
        .collect::<Result<Vec<Vec<Candidate>>>>()?;
    if let Order::Fusion = bound.order {
        return Ok(run_fusion(collection, bound, lists, k));
    }
    // Without a fusion, what was prefetched is all that may answer.
    let narrowed = (!bound.prefetch.is_empty()).then(|| {
        let mut rows = RowSets::new();
        for candidate in lists.into_iter().flatten() {
            let allowed = bound.allowed.as_ref();
            if allowed.is_none_or(|allowed| allowed.contains(&candidate.id)) {
                add_row(&mut rows, view, candidate.location);
            }
        }
        rows
    });
    let rows = narrowed.as_ref().or(bound.rows.as_ref());
    let config = collection.config();
    let mut candidates = match &bound.order {
        Order::Nearest { vector, without } => {
            let wanted = Search {
                query,
                vector,
                without,
                rows,
                k,
            };
            search(collection, view, &wanted, trace)?
        }
        Order::Field(ordered) => ordered
            .iter()
            .filter(|candidate| permits(rows, candidate.location))
            .cloned()
            .collect(),
        Order::Sample => sample(collection, living(view, rows), k),
        Order::Id => {
            let mut all: Vec<Candidate> = living(view, rows).collect();
            all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
            all
        }
        Order::Fusion => unreachable!("returned above"),
    };
    if let Some(threshold) = query.score_threshold {
        let higher = higher_is_better(&config, &query.using);
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

fn permits(rows: Option<&RowSets>, location: Location) -> bool {
    rows.is_none_or(|rows| {
        let set = rows.get(&location.uid);
        set.is_some_and(|set| set.contains(location.offset))
    })
}

/// Every live row that may answer.
fn living<'a>(view: &'a View, rows: Option<&'a RowSets>) -> impl Iterator<Item = Candidate> + 'a {
    view.parts.iter().flat_map(move |part| {
        let segment = &*part.segment;
        let chosen = match rows {
            None => Some(&*part.live),
            Some(rows) => rows.get(&segment.uid),
        };
        let offsets = chosen.into_iter().flat_map(|set| set.iter());
        offsets.map(|offset| {
            let uid = segment.uid;
            Candidate::new(segment.id(offset).clone(), Location { uid, offset }, 0.0)
        })
    })
}

fn run_fusion(
    collection: &Collection,
    bound: &Bound<'_>,
    lists: Vec<Vec<Candidate>>,
    k: usize,
) -> Vec<Candidate> {
    let query = bound.query;
    let QueryKind::Fusion(fusion) = &query.kind else {
        return Vec::new();
    };
    let config = collection.config();
    let higher = |inner: &Bound<'_>| match inner.query.kind {
        QueryKind::Fusion(_) => true,
        _ => higher_is_better(&config, &inner.query.using),
    };
    let fusion_lists: Vec<FusionList> = bound
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
    let locations: HashMap<&PointId, Location> = lists
        .iter()
        .flatten()
        .map(|candidate| (&candidate.id, candidate.location))
        .collect();
    let mut fused: Vec<Candidate> = fuse(fusion, &fusion_lists)
        .into_iter()
        .filter(|(_, score)| {
            query
                .score_threshold
                .is_none_or(|threshold| *score >= threshold)
        })
        .take(k)
        .map(|(id, score)| {
            let location = locations[&id];
            Candidate::new(id, location, score)
        })
        .collect();
    let mut parts: HashMap<&PointId, Vec<ScorePart>> = HashMap::new();
    for (inner, list) in bound.prefetch.iter().zip(&lists) {
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
    match named(&config.vectors, using).map(|vector| vector.metric) {
        None | Some(Metric::Cosine | Metric::Dot) => true,
        Some(Metric::L2 | Metric::L1 | Metric::LInf) => false,
    }
}

fn segment(view: &View, uid: u64) -> &Segment {
    let segment = view.segment(uid);
    segment.expect("candidates are rows of the view")
}

fn located(view: &View, candidate: &Candidate) -> Located {
    let Location { uid, offset } = candidate.location;
    let segment = segment(view, uid);
    Located {
        id: candidate.id.clone(),
        location: candidate.location,
        expires_at_ms: None,
        partition: segment.partition(offset),
        version: segment.version(offset),
    }
}
