//! The walk: from the entry towards the query, along edges, always on from the nearest row known.

use super::trace::Trace;
use super::visited::Visited;
use crate::Offset;
use crate::codes::CodesView;
use crate::distance::codes::{Simd, prefetch};
use crate::pool::Pool;
use crate::quantizer::{Order, OrderJob};

/// Marks the end of a row of edges that is not full.
pub(crate) const NO_EDGE: u32 = u32::MAX;
/// The most edges of a row.
pub(crate) const DEGREE_MAX: usize = 128;

/// A graph over codes, for loops.
#[derive(Copy, Clone)]
pub(crate) struct GraphView<'a> {
    /// `[n, degree]`, each row ended by [`NO_EDGE`] or full.
    pub(crate) edges: &'a [u32],
    pub(crate) degree: usize,
    pub(crate) codes: CodesView<'a>,
    pub(crate) entry: Offset,
}

impl<'a> GraphView<'a> {
    #[inline(always)]
    pub(crate) fn slots(self, offset: Offset) -> &'a [u32] {
        &self.edges[offset as usize * self.degree..][..self.degree]
    }

    /// The number of rows: an edge below it leads to a row, another one ends the edges of its row. That is [`NO_EDGE`], unless the file was damaged
    /// while it is mapped.
    #[inline(always)]
    pub(crate) fn rows(self) -> u32 {
        (self.edges.len() / self.degree) as u32
    }

    /// The neighbours of a row.
    pub(crate) fn neighbors(self, offset: Offset) -> impl Iterator<Item = Offset> + 'a {
        let rows = self.rows();
        let edges = self.slots(offset).iter().copied();
        edges.take_while(move |&edge| edge < rows)
    }
}

/// When a walk ends.
///
/// It ends where its nearest unvisited candidate is either behind `ef` nearer ones (HNSW, Malkov and Yashunin, 2016), or
/// farther than `1 + gamma` times the `k`-th best so far (Adaptive Beam Search, arXiv 2505.15636): an easy query, whose
/// neighbours are much nearer than what is around them, ends early. Both look at the same walk, so the first wins.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Stop {
    pub(crate) k: usize,
    pub(crate) ef: usize,
    /// In the scale of the codes' distances, which are squared; infinite to go by `ef` alone.
    pub(crate) gamma: f32,
}

impl Stop {
    /// The distance beyond which nothing is of interest any more, for this distance of the `k`-th best.
    #[inline(always)]
    pub(crate) fn too_far(self, kth: f32) -> f32 {
        if self.gamma == f32::INFINITY {
            f32::INFINITY
        } else {
            kth * (1.0 + self.gamma)
        }
    }
}

/// Memory of a walk, used again.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    pub(crate) visited: Visited,
    /// After a walk: the nearest found.
    pub(crate) pool: Pool,
    /// Rows whose codes were compared.
    pub(crate) compared: u64,
    /// Whether a walk met an edge that leads to no row.
    pub(crate) is_damaged: bool,
}

impl Scratch {
    pub(crate) fn new(n: usize) -> Self {
        Self {
            visited: Visited::new(n),
            pool: Pool::default(),
            compared: 0,
            is_damaged: false,
        }
    }
}

/// A walk as a job: fills `scratch.pool` with at least `keep` candidates if it meets so many.
pub(crate) struct Walk<'a, 't> {
    pub(crate) graph: GraphView<'a>,
    pub(crate) stop: Stop,
    /// Candidates to keep, at least `stop.k`.
    pub(crate) keep: usize,
    /// Whether candidates are kept from which the walk does not go on: of coarse codes, the nearest may be among them.
    pub(crate) keeps_far: bool,
    pub(crate) scratch: &'t mut Scratch,
    /// Rows to pass by, as if they were none: those that the query is itself.
    pub(crate) absent: &'a [Offset],
    pub(crate) trace: Option<&'t mut Trace>,
}

impl OrderJob for Walk<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, O: Order>(self, simd: S, order: O) {
        let Self {
            graph,
            stop,
            keep,
            keeps_far,
            scratch,
            absent,
            mut trace,
        } = self;
        let Scratch {
            visited,
            pool,
            compared,
            is_damaged,
        } = scratch;
        *compared = 0;
        let rows = graph.rows();
        if graph.edges.is_empty() {
            return pool.reset(1);
        }
        pool.reset(keep.max(stop.ef));
        visited.clear();
        for &absent in absent {
            visited.insert(absent);
        }
        // An entry that is to be passed by leads on, but is no candidate of an answer: the trace does not know it.
        visited.insert(graph.entry);
        pool.offer(graph.entry, order.one(simd, graph.codes.row(graph.entry)));
        *compared += 1;
        if let Some(trace) = &mut trace {
            trace.seen(&[graph.entry]);
        }
        let mut fresh = [0u32; DEGREE_MAX];
        while let Some((rank, offset)) = pool.peek() {
            let too_far = stop.too_far(pool.distance(stop.k - 1));
            if rank >= stop.ef || pool.distance(rank) > too_far {
                break;
            }
            let taken = if keeps_far { f32::INFINITY } else { too_far };
            if let Some(trace) = &mut trace {
                trace.step(rank, *compared, pool);
            }
            pool.mark();
            let mut count = 0;
            for &edge in graph.slots(offset) {
                if edge >= rows {
                    *is_damaged |= edge != NO_EDGE;
                    break;
                }
                if visited.insert(edge) {
                    prefetch(graph.codes.row(edge));
                    fresh[count % DEGREE_MAX] = edge;
                    count += 1;
                }
            }
            let fresh = &fresh[..count.min(DEGREE_MAX)];
            for next in pool.upcoming(2) {
                prefetch(graph.slots(next));
            }
            *compared += fresh.len() as u64;
            let (fours, rest) = fresh.as_chunks::<4>();
            for four in fours {
                let distances = order.four(simd, graph.codes.four(four));
                for i in 0..4 {
                    if distances[i] <= taken {
                        pool.offer(four[i], distances[i]);
                    }
                }
            }
            for &edge in rest {
                let distance = order.one(simd, graph.codes.row(edge));
                if distance <= taken {
                    pool.offer(edge, distance);
                }
            }
            if let Some(trace) = &mut trace {
                trace.seen(fresh);
            }
            if let Some(next) = pool.upcoming(1).next() {
                prefetch(graph.slots(next));
            }
        }
        if let Some(trace) = &mut trace {
            trace.end(*compared, pool);
        }
    }
}
