//! Which partition a point belongs to, and which nodes a partition prefers: consistent hashing (Karger et al. 1997) with virtual nodes.
//!
//! Hashes are XXH3-64 of bytes that are written out here, pinned by golden values in the tests: a change of hash would move data.

use engine::{CollectionId, PARTITIONS, Partition, PointId};
use xxhash_rust::xxh3::xxh3_64;

/// Points on the ring per node. More do not help: with few partitions their own number limits the balance.
pub const VIRTUAL_NODES: u32 = 100;

/// A node's identity, stable over restarts and addresses.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct NodeId(pub u64);

/// The partition of a point: XXH3-64 of the collection's number (big-endian) and the encoded id, modulo [`PARTITIONS`].
pub fn partition_of(collection: CollectionId, id: &PointId) -> Partition {
    let mut bytes = Vec::with_capacity(24);
    bytes.extend_from_slice(&collection.0.to_be_bytes());
    id.encode_into(&mut bytes);
    let partition = xxh3_64(&bytes) % u64::from(PARTITIONS);
    Partition(partition as u16)
}

/// The partition in which a request's name is known whatever points the request is about: XXH3-64 of its bytes, modulo [`PARTITIONS`].
pub(crate) fn home_of(request_id: &str) -> Partition {
    Partition((xxh3_64(request_id.as_bytes()) % u64::from(PARTITIONS)) as u16)
}

/// Nodes on a ring of hashes, each at [`VIRTUAL_NODES`] places.
///
/// A partition's preference is the order in which its hash meets different nodes going up the ring. A node that joins or leaves changes the
/// first preference of those partitions only that it gains or loses.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    /// Ascending.
    places: Vec<(u64, NodeId)>,
}

impl Ring {
    /// The ring of these nodes; their order does not matter.
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let mut places: Vec<(u64, NodeId)> = nodes
            .into_iter()
            .flat_map(|node| {
                (0..VIRTUAL_NODES).map(move |replica| (node_hash(node, replica), node))
            })
            .collect();
        places.sort_unstable();
        places.dedup();
        Self { places }
    }

    /// Up to `count` different nodes for the partition, most preferred first. Time O(log(places) + places passed).
    pub fn preference(&self, partition: Partition, count: usize) -> Vec<NodeId> {
        let hash = partition_hash(partition);
        let first = self.places.partition_point(|(place, _)| *place < hash);
        let mut nodes = Vec::new();
        for (_, node) in self.places[first..].iter().chain(&self.places[..first]) {
            if nodes.len() == count {
                break;
            }
            if !nodes.contains(node) {
                nodes.push(*node);
            }
        }
        nodes
    }
}

fn node_hash(node: NodeId, replica: u32) -> u64 {
    let mut bytes = [0; 13];
    bytes[0] = b'n';
    bytes[1..9].copy_from_slice(&node.0.to_be_bytes());
    bytes[9..].copy_from_slice(&replica.to_be_bytes());
    xxh3_64(&bytes)
}

fn partition_hash(partition: Partition) -> u64 {
    let [high, low] = partition.0.to_be_bytes();
    xxh3_64(&[b'p', high, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: u64) -> impl Iterator<Item = NodeId> {
        (1..=count).map(NodeId)
    }

    fn firsts(ring: &Ring) -> Vec<NodeId> {
        Partition::all()
            .map(|partition| ring.preference(partition, 1)[0])
            .collect()
    }

    #[test]
    fn golden_partitions_do_not_change() {
        let check = |collection, id: PointId, expected| {
            assert_eq!(
                partition_of(CollectionId(collection), &id),
                Partition(expected),
                "{collection} {id}"
            );
        };
        check(1, PointId::Num(0), GOLDEN[0]);
        check(1, PointId::Num(1), GOLDEN[1]);
        check(2, PointId::Num(1), GOLDEN[2]);
        check(
            1,
            "f39c70e6-2018-4bc6-9fa7-481538298572".parse().unwrap(),
            GOLDEN[3],
        );
        check(1, "a.jpg".parse().unwrap(), GOLDEN[4]);
    }

    const GOLDEN: [u16; 5] = [8, 2, 0, 24, 27];

    #[test]
    fn golden_preferences_do_not_change() {
        let ring = Ring::new(nodes(5));
        let first: Vec<u64> = (0..4)
            .map(|p| ring.preference(Partition(p), 1)[0].0)
            .collect();
        assert_eq!(first, [5, 4, 5, 4]);
        let all: Vec<u64> = ring
            .preference(Partition(7), 9)
            .into_iter()
            .map(|node| node.0)
            .collect();
        assert_eq!(all, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn preferences_are_different_nodes_and_the_order_of_nodes_does_not_matter() {
        let ring = Ring::new(nodes(5));
        let reversed = Ring::new((1..=5).rev().map(NodeId));
        for partition in Partition::all() {
            let preference = ring.preference(partition, 3);
            assert_eq!(preference, reversed.preference(partition, 3));
            let mut unique = preference.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), 3);
        }
        assert!(Ring::default().preference(Partition(0), 3).is_empty());
        assert_eq!(
            Ring::new([NodeId(9)]).preference(Partition(0), 3),
            [NodeId(9)]
        );
    }

    #[test]
    fn a_joining_node_only_takes() {
        let before = firsts(&Ring::new(nodes(4)));
        let after = firsts(&Ring::new(nodes(5)));
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b);
        assert!(moved.clone().all(|(_, to)| *to == NodeId(5)));
        assert!((1..=16).contains(&moved.count()));
    }

    #[test]
    fn every_partition_has_points() {
        let mut counts = vec![0; usize::from(PARTITIONS)];
        for id in 0..32_000 {
            counts[usize::from(partition_of(CollectionId(1), &PointId::Num(id)).0)] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }
}
