//! Building the tree over a projection.

use super::{Components, LEAF, Node, ProjectedTree, WIDTH};
use crate::{Metric, Offset, Rows};

impl ProjectedTree {
    /// The tree over finite rows. The same rows give the same tree.
    ///
    /// Time O(n * dim + n log n), extra space of 36 bytes a row until it is built.
    pub(in crate::kdtree) fn new(metric: Metric, rows: Rows) -> Self {
        let components = Components::learn(metric, &rows);
        let each = rows.as_slice().chunks_exact(rows.dim());
        let projected: Vec<[f32; WIDTH]> = each.map(|row| components.of(row)).collect();
        let mut splitting = Splitting {
            projected: &projected,
            nodes: Vec::new(),
        };
        let mut offsets: Vec<Offset> = (0..rows.len() as Offset).collect();
        if !offsets.is_empty() {
            splitting.split(&mut offsets, 0);
        }
        let nodes = splitting.nodes;
        let mut packed = Vec::with_capacity(rows.as_slice().len());
        for &offset in &offsets {
            packed.extend_from_slice(rows.row(offset));
        }
        let (low, high) = bounds(&rows);
        let root = nodes.first().map(|node| [node.low, node.high]);
        let component_max = root
            .iter()
            .flatten()
            .flatten()
            .fold(0f32, |most, x| most.max(x.abs()));
        Self {
            metric,
            components,
            nodes,
            packed,
            offsets,
            low,
            high,
            component_max,
            rows,
        }
    }
}

/// The box around rows: both `[dim]`, infinite if there is no row.
fn bounds(rows: &Rows) -> (Vec<f32>, Vec<f32>) {
    let mut low = vec![f32::INFINITY; rows.dim()];
    let mut high = vec![f32::NEG_INFINITY; rows.dim()];
    for row in rows.as_slice().chunks_exact(rows.dim()) {
        for ((low, high), &x) in low.iter_mut().zip(&mut high).zip(row) {
            (*low, *high) = (low.min(x), high.max(x));
        }
    }
    (low, high)
}

struct Splitting<'a> {
    /// By offset.
    projected: &'a [[f32; WIDTH]],
    nodes: Vec<Node>,
}

impl Splitting<'_> {
    /// Adds the node of these rows, `first` being the place of the first of them among all, and the nodes below it.
    ///
    /// Halves are equal, counted in full leaves, so it is as deep as the logarithm of the leaves.
    fn split(&mut self, offsets: &mut [Offset], first: usize) {
        let at = self.nodes.len();
        let (low, high) = self.bounds(offsets);
        self.nodes.push(Node {
            low,
            high,
            first: first as u32,
            end: (first + offsets.len()) as u32,
            right: 0,
        });
        if offsets.len() <= LEAF {
            offsets.sort_unstable();
            return;
        }
        let width = |i: usize| high[i] - low[i];
        let widest = (1..WIDTH).fold(
            0,
            |widest, i| if width(i) > width(widest) { i } else { widest },
        );
        let middle = offsets.len().div_ceil(LEAF) / 2 * LEAF;
        let value = |offset: Offset| self.projected[offset as usize][widest];
        // Ties by offset: the halves do not depend on the order in which rows come.
        offsets.select_nth_unstable_by(middle, |&a, &b| {
            value(a).total_cmp(&value(b)).then(a.cmp(&b))
        });
        let (left, right) = offsets.split_at_mut(middle);
        self.split(left, first);
        self.nodes[at].right = self.nodes.len() as u32;
        self.split(right, first + middle);
    }

    fn bounds(&self, offsets: &[Offset]) -> ([f32; WIDTH], [f32; WIDTH]) {
        let mut low = [f32::INFINITY; WIDTH];
        let mut high = [f32::NEG_INFINITY; WIDTH];
        for &offset in offsets {
            let row = &self.projected[offset as usize];
            for i in 0..WIDTH {
                low[i] = low[i].min(row[i]);
                high[i] = high[i].max(row[i]);
            }
        }
        (low, high)
    }
}
