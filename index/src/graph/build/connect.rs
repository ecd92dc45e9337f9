//! Makes every row reachable from the entry.

use std::collections::HashSet;

use super::bridge::bridge;
use super::{BuildParams, Material};
use crate::Offset;
use crate::graph::walk::{GraphView, NO_EDGE, Scratch, Stop, Walk};
use crate::quantizer::Prepared;

/// Candidates of a walk that looks for a row, and for a place to attach it. With more, rows count as found that searches with little effort miss.
const NEAR: usize = 24;

/// Gives rows that cannot be reached an edge from a near row that can, and then those that walks miss.
///
/// The edges by which rows were first reached form a tree; only an edge outside it, or an empty place, is taken, so
/// nothing that was reached is lost. A tree of n - 1 edges leaves most of the `n * degree` places free.
pub(in crate::graph) fn connect(
    material: &Material<'_>,
    params: &BuildParams,
    entry: Offset,
    edges: &mut [u32],
) {
    let n = material.len();
    if n == 0 {
        return;
    }
    let degree = params.degree;
    let mut reach = Reach {
        parents: vec![NO_EDGE; n],
        order: Vec::with_capacity(n),
        from: 0,
        bridges: HashSet::new(),
        degree,
    };
    reach.parents[entry as usize] = entry;
    reach.order.push(entry);
    reach.follow(edges);
    let mut scratch = Scratch::new(n);
    let mut spare = 0;
    for row in 0..n as Offset {
        if reach.parents[row as usize] != NO_EDGE {
            continue;
        }
        let graph = GraphView {
            edges,
            degree,
            codes: material.codes(),
            entry,
        };
        look_for(row, graph, &mut scratch);
        // A walk meets reached rows only: it starts at the entry.
        let near = reach.place_near(edges, &scratch);
        let place = near.or_else(|| reach.any_place(edges, &mut spare));
        let Some((source, place)) = place else {
            break;
        };
        edges[place] = row;
        reach.parents[row as usize] = source;
        reach.order.push(row);
        reach.follow(edges);
    }
    bridge(material, params, entry, &mut reach, edges);
}

/// Walks towards a row; the nearest that were met are in `scratch.pool`.
pub(super) fn look_for(row: Offset, graph: GraphView<'_>, scratch: &mut Scratch) {
    Prepared::bytes(graph.codes.row(row).to_vec()).run(Walk {
        graph,
        stop: Stop {
            k: 1,
            ef: NEAR,
            gamma: f32::INFINITY,
        },
        keep: NEAR,
        scratch,
        absent: &[],
        trace: None,
    });
}

/// The rows reached so far.
pub(super) struct Reach {
    /// From where a row was reached; [`NO_EDGE`] if it was not.
    parents: Vec<Offset>,
    /// In the order in which they were reached.
    order: Vec<Offset>,
    /// From here on their edges were not followed yet.
    from: usize,
    /// Places among the edges that are not given away any more.
    bridges: HashSet<usize>,
    degree: usize,
}

impl Reach {
    fn follow(&mut self, edges: &[u32]) {
        while let Some(&source) = self.order.get(self.from) {
            self.from += 1;
            for &edge in &edges[source as usize * self.degree..][..self.degree] {
                if edge == NO_EDGE {
                    break;
                }
                if self.parents[edge as usize] == NO_EDGE {
                    self.parents[edge as usize] = source;
                    self.order.push(edge);
                }
            }
        }
    }

    /// A place among the edges of a reached row that is empty, or whose edge is not needed to reach anything.
    fn free_place(&self, edges: &[u32], source: Offset) -> Option<usize> {
        let first = source as usize * self.degree;
        let places = &edges[first..first + self.degree];
        let empty = places.iter().position(|&edge| edge == NO_EDGE);
        let needless = || {
            (0..places.len()).rev().find(|&at| {
                let edge = places[at];
                (self.parents[edge as usize] != source || edge == source)
                    && !self.bridges.contains(&(first + at))
            })
        };
        empty.or_else(needless).map(|place| first + place)
    }

    /// The row nearest to what was looked for that has a place among its edges, and this place.
    fn place_near(&self, edges: &[u32], looked: &Scratch) -> Option<(Offset, usize)> {
        let near = looked.pool.iter().map(|(offset, _)| offset);
        near.map(|source| (source, self.free_place(edges, source)))
            .find_map(|(source, place)| place.map(|place| (source, place)))
    }

    /// Gives a row that was looked for in vain an edge from where that ended, if there is a place.
    pub(super) fn bridge(&mut self, edges: &mut [u32], row: Offset, looked: &Scratch) {
        if let Some((_, place)) = self.place_near(edges, looked) {
            edges[place] = row;
            self.bridges.insert(place);
        }
    }

    /// A free place of whatever reached row; `spare` counts those that have none.
    fn any_place(&self, edges: &[u32], spare: &mut usize) -> Option<(Offset, usize)> {
        while let Some(&source) = self.order.get(*spare) {
            if let Some(place) = self.free_place(edges, source) {
                return Some((source, place));
            }
            *spare += 1;
        }
        None
    }
}
