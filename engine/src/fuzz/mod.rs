//! Doors for a fuzzer to every decoder of bytes from disk: `fuzz/` at the top runs them for minutes, the tests here over what is kept.
//!
//! A door takes any bytes and panics if what must hold does not: a decoder answers a value or an error; what it answers can be used, and
//! stays the same when it is written and read again. Where a checksum stands before a decoder, the door also gives it the bytes under a right
//! one: checksums only catch accidents.
//!
//! - `records`: what the values and keys of the column families hold.
//! - `entry`: log entries, to their decision.
//! - `lists`: inverted lists of sparse vectors, against lists that were built.
//!
//! Doors to what is private to a module stand beside it: `segment::{file,graph}::fuzz`, `archive::fuzz`, `storage::{blob,catalog,guard}::fuzz`.

mod entry;
mod lists;
mod records;

pub(crate) use records::{same, settings, some_settings};

use crate::PARTITIONS;
use crate::segment::manifest::{LiveSegment, Manifest};
use crate::storage::codec;

/// A decoder and what must hold of it.
#[derive(Copy, Clone, Debug)]
pub struct Target {
    /// What is decoded.
    pub name: &'static str,
    /// Panics if something does not hold.
    pub run: fn(&[u8]),
    /// Inputs that are accepted, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 12] = [
    Target {
        name: "record",
        run: records::record,
        seeds: records::record_seeds,
    },
    Target {
        name: "vector",
        run: records::vector,
        seeds: records::vector_seeds,
    },
    Target {
        name: "key",
        run: records::key,
        seeds: records::key_seeds,
    },
    Target {
        name: "log-entry",
        run: entry::log_entry,
        seeds: entry::log_entry_seeds,
    },
    Target {
        name: "guard",
        run: crate::storage::guard::fuzz::guard,
        seeds: crate::storage::guard::fuzz::seeds,
    },
    Target {
        name: "manifest",
        run: manifest,
        seeds: manifest_seeds,
    },
    Target {
        name: "segment",
        run: crate::segment::fuzz::segment,
        seeds: crate::segment::fuzz::seeds,
    },
    Target {
        name: "graph",
        run: crate::segment::graph::fuzz::graph,
        seeds: crate::segment::graph::fuzz::seeds,
    },
    Target {
        name: "blob",
        run: crate::storage::blob::fuzz::blob,
        seeds: crate::storage::blob::fuzz::seeds,
    },
    Target {
        name: "catalog",
        run: crate::storage::catalog::fuzz::catalog,
        seeds: crate::storage::catalog::fuzz::seeds,
    },
    Target {
        name: "sparse-lists",
        run: lists::sparse_lists,
        seeds: lists::sparse_lists_seeds,
    },
    Target {
        name: "archive",
        run: crate::archive::fuzz::archive,
        seeds: crate::archive::fuzz::seeds,
    },
];

/// The manifest of a collection's segments, as it is and as a record under a right checksum.
fn manifest(bytes: &[u8]) {
    let read = Manifest::decode(bytes).or_else(|_| codec::decode(bytes, "manifest"));
    let Ok(manifest) = read else { return };
    assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
    for segment in &manifest.segments {
        // A segment of so many rows was opened before it is asked.
        for rows in [0, 3, 64, 70, 1000] {
            if let Ok(live) = segment.live(rows) {
                assert!(live.len() == rows && live.iter().all(|offset| (offset as usize) < rows));
            }
        }
    }
}

fn manifest_seeds() -> Vec<Vec<u8>> {
    let mut covered = [0; PARTITIONS as usize];
    covered[3] = 700;
    let some = index::BitSet::from_offsets(70, [0, 69]);
    let manifest = Manifest {
        next: 9,
        covered,
        links: vec![4, 11],
        segments: vec![
            LiveSegment::new(2, &some),
            LiveSegment::new(8, &index::BitSet::full(3)),
        ],
    };
    vec![manifest.encode(), codec::encode(&manifest)]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// What a fuzzer has found once: files named after what was wrong, in a folder for each target.
    fn kept(target: &Target) -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
        let entries = std::fs::read_dir(folder.join(target.name));
        let files = entries.into_iter().flatten().map(|entry| {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            (path.display().to_string(), bytes)
        });
        files.collect()
    }

    #[test]
    fn every_seed_and_every_finding_passes_its_door() {
        for target in &TARGETS {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{}", target.name);
            for bytes in seeds {
                (target.run)(&bytes);
            }
            for (path, bytes) in kept(target) {
                println!("{path}");
                (target.run)(&bytes);
            }
        }
    }

    #[test]
    fn every_kept_folder_is_of_a_target() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let name = entry.unwrap().file_name();
            let known = TARGETS.iter().any(|target| *target.name == *name);
            assert!(known, "{name:?}: there is no such target");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Seeds with a few bytes changed, cut or repeated: what a fuzzer begins with.
        #[test]
        fn changed_seeds_pass_their_doors(
            target in prop::sample::select(&TARGETS[..]),
            which in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        ) {
            let mut seeds = (target.seeds)();
            let mut bytes = seeds.swap_remove(which.index(seeds.len()));
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            (target.run)(&bytes);
        }
    }
}
