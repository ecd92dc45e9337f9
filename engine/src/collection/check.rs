//! Memory, segment files and RocksDB compared.

use std::collections::BTreeMap;

use super::Collection;
use super::load::LOAD_ROWS;
use crate::Partition;
use crate::apply::decode_row;
use crate::error::{Error, Result, how_to_repair};
use crate::point::{PointId, Vector};
use crate::storage::record::PointRow;
use crate::storage::{Family, Visit, key};

/// Differences that are told of one collection.
const TOLD_MAX: usize = 10;

impl Collection {
    /// Reads every row and vector of the store and every segment file, and compares them; answers what is wrong, the first few of it. Writes
    /// meanwhile may look like differences.
    pub(crate) fn check_all(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for part in &self.view().parts {
            if let Err(error) = part.segment.verify() {
                let mend = how_to_repair(self.store.dir());
                problems.push(format!("{error}; {mend}"));
            }
        }
        if let Err(error) = self.compare_rows(&mut problems) {
            problems.push(error.to_string());
        }
        problems
    }

    fn compare_rows(&self, problems: &mut Vec<String>) -> Result<()> {
        let mut stored = 0;
        for partition in Partition::all() {
            let prefix = key::collection_prefix(partition, self.id);
            let mut rows: Vec<(PointId, PointRow)> = Vec::new();
            self.store
                .scan(Family::Points, &prefix, &[], |key, value| {
                    let id = PointId::decode(&key[key::POINT_PREFIX_BYTES..])?;
                    let row = decode_row(&id, value)?;
                    rows.push((id, row));
                    if rows.len() == LOAD_ROWS {
                        stored += rows.len();
                        self.compare_some(partition, &rows, problems)?;
                        rows.clear();
                    }
                    Ok(Visit::Next)
                })?;
            stored += rows.len();
            self.compare_some(partition, &rows, problems)?;
        }
        let state = self.state();
        let held = state.ids.len() + state.expiry.hidden().count();
        drop(state);
        if held != stored {
            problems.push(format!("{stored} points on disk, {held} in memory"));
        }
        Ok(())
    }

    fn compare_some(
        &self,
        partition: Partition,
        rows: &[(PointId, PointRow)],
        problems: &mut Vec<String>,
    ) -> Result<()> {
        let vectors = self.read_vectors(partition, rows.iter().map(|(_, row)| row), |_| true)?;
        let state = self.state();
        for ((id, row), vectors) in rows.iter().zip(vectors) {
            let differs = match state.ids.get(id) {
                None if state.expiry.is_hidden(id) => None,
                None => Some("is in the store and not in memory".to_owned()),
                Some(location) => {
                    let segment = state.segment(location.uid);
                    difference(
                        row.version,
                        &vectors,
                        segment.version(location.offset),
                        |name| segment.vector(name, location.offset),
                    )
                }
            };
            if let Some(differs) = differs
                && problems.len() < TOLD_MAX
            {
                problems.push(Error::corrupted(format!("point {id} {differs}")).to_string());
            }
        }
        Ok(())
    }
}

fn difference(
    stored_version: u64,
    stored: &BTreeMap<String, Vector>,
    version: u64,
    held: impl Fn(&str) -> Option<Vector>,
) -> Option<String> {
    if stored_version != version {
        return Some(format!(
            "is of version {stored_version} in the store and {version} in memory"
        ));
    }
    let other = stored
        .iter()
        .find(|(name, vector)| held(name).as_ref() != Some(*vector));
    other.map(|(name, _)| format!("has another vector \"{name}\" in memory than in the store"))
}
