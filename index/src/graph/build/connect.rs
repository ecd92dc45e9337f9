//! Makes every row reachable from the entry.

use super::Material;
use crate::Offset;
use crate::graph::walk::{GraphView, NO_EDGE, Scratch, Stop, Walk};
use crate::quantizer::Prepared;

/// Candidates looked at for a place to attach a row.
const NEAR: usize = 32;

/// Gives rows that cannot be reached an edge from a near row that can; returns how many needed one.
///
/// The edges by which rows were first reached form a tree; only an edge outside it, or an empty place, is taken, so
/// nothing that was reached is lost. A tree of n - 1 edges leaves most of the `n * degree` places free.
pub(in crate::graph) fn connect(
    material: &Material<'_>,
    degree: usize,
    entry: Offset,
    edges: &mut [u32],
) -> usize {
    let n = material.len();
    if n == 0 {
        return 0;
    }
    let mut reach = Reach {
        parents: vec![NO_EDGE; n],
        order: Vec::with_capacity(n),
        from: 0,
        degree,
    };
    reach.parents[entry as usize] = entry;
    reach.order.push(entry);
    reach.follow(edges);
    let mut scratch = Scratch::new(n);
    let (mut attached, mut spare) = (0, 0);
    for row in 0..n as Offset {
        if reach.parents[row as usize] != NO_EDGE {
            continue;
        }
        let codes = material.codes();
        Prepared::bytes(codes.row(row).to_vec()).run(Walk {
            graph: GraphView {
                edges,
                degree,
                codes,
                entry,
            },
            stop: Stop {
                k: 1,
                ef: NEAR,
                gamma: f32::INFINITY,
            },
            keep: NEAR,
            scratch: &mut scratch,
            absent: &[],
            trace: None,
        });
        // A walk meets reached rows only: it starts at the entry.
        let near = scratch.pool.iter().map(|(offset, _)| offset);
        let place = near
            .map(|source| (source, reach.free_place(edges, source)))
            .find_map(|(source, place)| place.map(|place| (source, place)));
        let place = place.or_else(|| reach.any_place(edges, &mut spare));
        let Some((source, place)) = place else {
            break;
        };
        edges[place] = row;
        reach.parents[row as usize] = source;
        reach.order.push(row);
        reach.follow(edges);
        attached += 1;
    }
    attached
}

/// The rows reached so far.
struct Reach {
    /// From where a row was reached; [`NO_EDGE`] if it was not.
    parents: Vec<Offset>,
    /// In the order in which they were reached.
    order: Vec<Offset>,
    /// From here on their edges were not followed yet.
    from: usize,
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
            places
                .iter()
                .rposition(|&edge| self.parents[edge as usize] != source || edge == source)
        };
        empty.or_else(needless).map(|place| first + place)
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
