//! What `explain` answers, gathered while a query runs.

use std::time::{Duration, Instant};

use index::{Encoding, Route};

use super::{Explain, Query, QueryKind, QueryVector, SegmentExplain};
use crate::segment::{Found, Segment};

/// Gathers what `explain` answers; does nothing unless asked.
pub(super) struct Trace {
    explain: Option<Explain>,
    /// When the stage began; the clock is not asked otherwise.
    since: Option<Instant>,
}

impl Trace {
    pub fn new(enabled: bool) -> Self {
        Self {
            explain: enabled.then(Explain::default),
            since: enabled.then(Instant::now),
        }
    }

    /// When a part of a stage begins.
    pub fn now(&self) -> Option<Instant> {
        self.explain.as_ref().map(|_| Instant::now())
    }

    pub fn stage(&mut self, name: &str) {
        if let Some(explain) = &mut self.explain {
            explain.us.push((name.to_owned(), micros(self.since)));
            self.since = Some(Instant::now());
        }
    }

    pub fn filter(&mut self, how: &str) {
        if let Some(explain) = &mut self.explain {
            let filter = explain.filter.get_or_insert_default();
            if !filter.is_empty() {
                filter.push_str("; ");
            }
            filter.push_str(how);
        }
    }

    pub fn segment(
        &mut self,
        segment: &Segment,
        query: &Query,
        rows: usize,
        found: &Found,
        began: Option<Instant>,
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
            route: found.route.map(words),
            encoding: found.encoding.map(Encoding::name),
            recall_estimate: found.recall,
            visited: found.stats.visited,
            distance_calls: found.stats.distance_calls,
            us: micros(began),
        });
    }

    pub fn finish(self, query: &Query) -> Option<Explain> {
        let mut explain = self.explain?;
        explain.plan = plan_sentence(query);
        let least = |least: Option<f32>, segment: &SegmentExplain| {
            Some(least?.min(segment.recall_estimate?))
        };
        explain.recall_estimate = explain.segments.iter().fold(Some(1.0), least);
        Some(explain)
    }
}

fn words(route: Route) -> &'static str {
    match route {
        Route::Walk => "walk",
        Route::FilteredWalk => "filtered walk",
        Route::Scan => "scan of codes",
        Route::WalkThenScan => "walk, given up for a scan of codes",
        Route::Exact => "exact",
    }
}

fn micros(since: Option<Instant>) -> u64 {
    let elapsed = since.map_or(Duration::ZERO, |since| since.elapsed());
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
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
