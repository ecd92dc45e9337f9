//! Which rows are reached from the entry, and where there is room for an edge that nothing depends on.

use std::collections::HashSet;

use super::Material;
use crate::Offset;
use crate::graph::walk::{GraphView, NO_EDGE, Scratch, Stop, Walk};
use crate::quantizer::Prepared;

/// Candidates of a walk that looks for a row, and for a place to attach it. With more, rows count as found that searches with little effort miss.
const NEAR: usize = 24;

/// The edges of a graph, and what is reached by them.
///
/// The edges by which rows were first reached form a tree; only an edge outside it, or an empty place, is given away, so
/// nothing that was reached is lost. A tree of n - 1 edges leaves most of the `n * degree` places free.
pub(in crate::graph) struct Reach<'a> {
    material: &'a Material<'a>,
    entry: Offset,
    degree: usize,
    edges: &'a mut [u32],
    /// From where a row was reached; [`NO_EDGE`] if it was not.
    parents: Vec<Offset>,
    /// In the order in which they were reached.
    order: Vec<Offset>,
    /// From here on their edges were not followed yet.
    from: usize,
    /// Those before it have no free place.
    spare: usize,
    /// Places of edges that walks need though the tree does not.
    kept: HashSet<usize>,
}

impl<'a> Reach<'a> {
    /// Follows the edges from the entry.
    pub(super) fn new(
        material: &'a Material<'a>,
        degree: usize,
        entry: Offset,
        edges: &'a mut [u32],
    ) -> Self {
        let n = material.len();
        let mut reach = Self {
            material,
            entry,
            degree,
            edges,
            parents: vec![NO_EDGE; n],
            order: Vec::with_capacity(n),
            from: 0,
            spare: 0,
            kept: HashSet::new(),
        };
        if n > 0 {
            reach.parents[entry as usize] = entry;
            reach.order.push(entry);
        }
        reach.follow();
        reach
    }

    pub(super) fn contains(&self, row: Offset) -> bool {
        self.parents[row as usize] != NO_EDGE
    }

    pub(super) fn view(&self) -> GraphView<'_> {
        GraphView {
            edges: self.edges,
            degree: self.degree,
            codes: self.material.codes(),
            entry: self.entry,
        }
    }

    /// Makes a row reachable that was looked for, and what it leads to: from the nearest row that was met and has a place, or from any that has. False if
    /// none has.
    pub(super) fn attach(&mut self, row: Offset, looked: &Scratch) -> bool {
        let Some(place) = self.place_near(looked).or_else(|| self.any_place()) else {
            return false;
        };
        self.edges[place] = row;
        self.parents[row as usize] = (place / self.degree) as Offset;
        self.order.push(row);
        self.follow();
        true
    }

    /// Gives a row that was looked for in vain, though it is reached, an edge from where that ended, if there is a place.
    pub(super) fn lead_to(&mut self, row: Offset, looked: &Scratch) {
        if let Some(place) = self.place_near(looked) {
            self.edges[place] = row;
            self.kept.insert(place);
        }
    }

    fn follow(&mut self) {
        while let Some(&source) = self.order.get(self.from) {
            self.from += 1;
            for &edge in &self.edges[source as usize * self.degree..][..self.degree] {
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
    fn free_place(&self, source: Offset) -> Option<usize> {
        let first = source as usize * self.degree;
        let places = &self.edges[first..first + self.degree];
        let empty = places.iter().position(|&edge| edge == NO_EDGE);
        let is_needless = |at: &usize| {
            let edge = places[*at];
            (self.parents[edge as usize] != source || edge == source)
                && !self.kept.contains(&(first + at))
        };
        let needless = || (0..places.len()).rev().find(is_needless);
        empty.or_else(needless).map(|place| first + place)
    }

    /// A place among the edges of the nearest row that was met and has one.
    fn place_near(&self, looked: &Scratch) -> Option<usize> {
        let mut near = looked.pool.iter().map(|(offset, _)| offset);
        near.find_map(|source| self.free_place(source))
    }

    /// A free place of whatever reached row.
    fn any_place(&mut self) -> Option<usize> {
        while let Some(&source) = self.order.get(self.spare) {
            if let Some(place) = self.free_place(source) {
                return Some(place);
            }
            self.spare += 1;
        }
        None
    }
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
        keeps_far: false,
        scratch,
        absent: &[],
        trace: None,
    });
}
