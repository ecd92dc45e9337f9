//! Overlapping leaves of rows that are near each other.

use rayon::prelude::*;

use super::{BuildParams, Material};
use crate::Offset;
use crate::distance::codes::{Job, Packed, Simd, TILE_ROWS, dispatch};
use crate::graph::build::leaf::{Tiles, nearest_of};
use crate::random::Random;

/// Deeper than this, rows are dealt out at random: leaders do not tell them apart.
const DEPTH_MAX: usize = 10;
/// Smaller clusters are put together.
const LEAF_MIN: usize = 128;
/// The most leaders of a level.
const LEADERS_MAX: usize = 2000;

/// Puts each of these rows into some leaves of 2 to `leaf_max` rows, in an order that follows from the seed.
///
/// Random leaders are drawn; each row joins the clusters of its nearest ones, `fanout` of them at the first levels and
/// one below; clusters that are too large are cut the same way. Where that does not make them smaller (many equal rows),
/// they are dealt out at random. A single row makes no leaf.
pub(super) fn partition(
    material: &Material<'_>,
    params: &BuildParams,
    offsets: Vec<Offset>,
    random: &Random,
) -> Vec<Vec<Offset>> {
    cut(material, params, offsets, 0, random)
}

fn cut(
    material: &Material<'_>,
    params: &BuildParams,
    offsets: Vec<Offset>,
    depth: usize,
    random: &Random,
) -> Vec<Vec<Offset>> {
    if offsets.len() <= params.leaf_max {
        return if offsets.len() > 1 {
            vec![offsets]
        } else {
            Vec::new()
        };
    }
    let whole = offsets.len();
    let clusters = if depth < DEPTH_MAX {
        join_small(clusters(material, params, &offsets, depth, random))
    } else {
        vec![offsets.clone()]
    };
    // A cluster of nearly everything would go on like that.
    if clusters
        .iter()
        .any(|cluster| cluster.len() > whole - whole / 8)
    {
        return deal(offsets, params.leaf_max, &mut random.fork(1));
    }
    drop(offsets);
    clusters
        .into_par_iter()
        .enumerate()
        .flat_map_iter(|(i, cluster)| {
            cut(
                material,
                params,
                cluster,
                depth + 1,
                &random.fork(2 + i as u64),
            )
        })
        .collect()
}

/// Leaves of rows at random, each row in two.
fn deal(mut offsets: Vec<Offset>, leaf_max: usize, random: &mut Random) -> Vec<Vec<Offset>> {
    let mut leaves = Vec::new();
    for _ in 0..2 {
        random.shuffle(&mut offsets);
        let count = offsets.len().div_ceil(leaf_max);
        let size = offsets.len().div_ceil(count);
        leaves.extend(
            offsets
                .chunks(size)
                .filter(|leaf| leaf.len() > 1)
                .map(<[Offset]>::to_vec),
        );
    }
    leaves
}

/// Puts clusters with fewer than [`LEAF_MIN`] rows together, each row once.
fn join_small(clusters: Vec<Vec<Offset>>) -> Vec<Vec<Offset>> {
    let mut joined = Vec::with_capacity(clusters.len());
    let mut small: Vec<Offset> = Vec::new();
    let close = |small: &mut Vec<Offset>, joined: &mut Vec<Vec<Offset>>| {
        small.sort_unstable();
        small.dedup();
        joined.push(std::mem::take(small));
    };
    for cluster in clusters {
        if cluster.len() >= LEAF_MIN {
            joined.push(cluster);
            continue;
        }
        small.extend(cluster);
        if small.len() >= LEAF_MIN {
            close(&mut small, &mut joined);
        }
    }
    if !small.is_empty() {
        close(&mut small, &mut joined);
    }
    joined
}

/// The rows of each leader.
fn clusters(
    material: &Material<'_>,
    params: &BuildParams,
    offsets: &[Offset],
    depth: usize,
    random: &Random,
) -> Vec<Vec<Offset>> {
    let fanout = params.fanout.get(depth).copied().unwrap_or(1);
    let wanted = 2 * offsets.len() * fanout / params.leaf_max;
    // The first level need not make leaves yet: the second does.
    let wanted = if depth == 0 { wanted / 8 } else { wanted };
    let count = (offsets.len() / 200)
        .max(wanted)
        .clamp(4, LEADERS_MAX)
        .min(offsets.len() / 2);
    let leaders: Vec<Offset> = random
        .fork(0)
        .sample(offsets.len(), count)
        .into_iter()
        .map(|i| offsets[i as usize])
        .collect();
    let codes = material.codes();
    let mut packed = Packed::default();
    packed.fill(codes.row_bytes, leaders.len(), |i| {
        (codes.row(leaders[i]), material.sums(leaders[i]))
    });
    let nearest: Vec<u32> = offsets
        .par_chunks(512)
        .flat_map_iter(|offsets| {
            dispatch(Assign {
                material,
                offsets,
                packed: &packed,
                fanout,
            })
        })
        .collect();
    let mut clusters = vec![Vec::new(); count];
    for (nearest, &offset) in nearest.chunks(fanout).zip(offsets) {
        for &leader in nearest {
            if let Some(cluster) = clusters.get_mut(leader as usize) {
                cluster.push(offset);
            }
        }
    }
    clusters
}

/// The nearest `fanout` leaders of each row: `[rows, fanout]`.
struct Assign<'a> {
    material: &'a Material<'a>,
    offsets: &'a [Offset],
    packed: &'a Packed,
    fanout: usize,
}

impl Job for Assign<'_> {
    type Output = Vec<u32>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<u32> {
        let Self {
            material,
            offsets,
            packed,
            fanout,
        } = self;
        let mut tiles = Tiles::default();
        let mut nearest = Vec::with_capacity(fanout);
        let mut assigned = Vec::with_capacity(offsets.len() * fanout);
        for four in offsets.chunks(TILE_ROWS) {
            tiles.compare(simd, material, four, packed);
            for i in 0..four.len() {
                nearest_of(simd, tiles.line(i, packed), None, fanout, &mut nearest);
                let found = nearest.iter().map(|&near| near as u32);
                assigned.extend(found.chain(std::iter::repeat(u32::MAX)).take(fanout));
            }
        }
        assigned
    }
}
