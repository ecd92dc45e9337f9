//! Makes every row reachable from the entry.

use super::Material;
use super::reach::{Reach, look_for};
use crate::Offset;
use crate::graph::walk::Scratch;

/// Gives rows that cannot be reached an edge from a near row that can.
pub(in crate::graph) fn connect<'a>(
    material: &'a Material<'a>,
    degree: usize,
    entry: Offset,
    edges: &'a mut [u32],
) -> Reach<'a> {
    let mut reach = Reach::new(material, degree, entry, edges);
    let mut scratch = Scratch::new(material.len());
    for row in 0..material.len() as Offset {
        if reach.contains(row) {
            continue;
        }
        // A walk meets reached rows only: it starts at the entry.
        look_for(row, reach.view(), &mut scratch);
        if !reach.attach(row, &scratch) {
            break;
        }
    }
    reach
}
