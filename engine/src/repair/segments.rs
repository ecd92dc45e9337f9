//! What the segment files of a store are worth, before a start builds those again that it cannot use.

use std::path::Path;

use super::examine::{Examination, Known, examine_records};
use super::knowledge::lost_behind;
use crate::Partition;
use crate::error::Result;
use crate::segment::folder::Folder;
use crate::storage::record::PartitionState;
use crate::storage::{Family, Store, codec, key};

/// What is wrong with the segment files of a data folder.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SegmentTrouble {
    /// Writes that segments were made of, and that the store does not have.
    pub lost: Vec<String>,
    /// Derived files that the next start builds again.
    pub damaged: Vec<String>,
}

/// Reads the segments and graphs of all collections in `data`, which no server uses. Time O(their bytes).
///
/// # Errors
///
/// As of opening the store.
pub fn check_segments(data: &Path) -> Result<SegmentTrouble> {
    let store = Store::open(data)?;
    let mut trouble = SegmentTrouble::default();
    for (id, (name, config)) in examine_records(&store, &mut Examination::default())? {
        let mut known = Known::new(id, name, config);
        let folder = Folder::new(data, id);
        match known.read_segments(data) {
            Err(error) => {
                let what = format!("the segments of collection {}: {error}", known.name);
                trouble.damaged.push(what);
            }
            Ok(()) => trouble.take_graphs(&folder, &known)?,
        }
        if let Ok(Some(manifest)) = folder.read_manifest() {
            let (mut partitions, mut entries) = (0, 0);
            for partition in Partition::all() {
                let covered = manifest.covered[usize::from(partition.0)];
                let applied = applied(&store, partition);
                if let Some(applied) = applied.filter(|applied| *applied < covered) {
                    partitions += 1;
                    entries += covered - applied;
                }
            }
            if partitions > 0 {
                let what = lost_behind(partitions, entries);
                trouble
                    .lost
                    .push(format!("collection {}: {what}", known.name));
            }
        }
    }
    store.close()?;
    Ok(trouble)
}

impl SegmentTrouble {
    fn take_graphs(&mut self, folder: &Folder, known: &Known) -> Result<()> {
        let Some(manifest) = folder.read_manifest()? else {
            return Ok(());
        };
        for live in &manifest.segments {
            let segment = folder.open_segment(live.number, &known.config)?;
            for error in folder.graph_errors(&segment) {
                let what = format!("a graph of collection {}: {error}", known.name);
                self.damaged.push(what);
            }
        }
        Ok(())
    }
}

/// Where a partition stands; `None` if that cannot be read, which a check of the store tells.
fn applied(store: &Store, partition: Partition) -> Option<u64> {
    match store.get(Family::State, &key::state_applied(partition)) {
        Ok(None) => Some(0),
        Ok(Some(bytes)) => {
            let state = codec::decode::<PartitionState>(&bytes, "partition state");
            state.ok().map(|state| state.applied)
        }
        Err(_) => None,
    }
}
