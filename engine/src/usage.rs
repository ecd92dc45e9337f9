//! What memory and disk are used for, by part.
//!
//! Every figure is in bytes. A list of parts is what its sum says: nothing is reported that is not in a part, and nothing twice. Parts:
//!
//! | list | parts |
//! |---|---|
//! | heap of a collection | `vectors` (dense rows in no file yet), `sparse` (sparse rows and inverted lists in no file yet), `ids` (of rows, with versions and partitions), `table` (where each point is, which rows are live, when points end), and one part for each kind of structure over dense vectors, by its name (`kdtree`) |
//! | mapped by a collection | `vectors`, `sparse`, `ids`, `other` (contents, padding, structures in files): the whole segment files. Pages that the operating system takes back |
//! | disk of a collection | `rows` (payloads, references), `vectors`, `media`, `segments`, `segments_dead` (the share of dead rows), `superseded` (vectors that were replaced and wait for the log's purge) |
//! | heap of the node | those of its collections, and `block_cache`, `payload_cache`, `memtables`, `table_readers`, `builds` |
//! | disk of the node | `tables_live`, `tables_dead`, `blobs_live`, `blobs_dead`, `write_ahead_log`, `segments`, `archives`, `other`: every file of the data folder once, hard links too |

use std::collections::BTreeMap;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::budget::BudgetUsage;
use crate::collection::Progress;
use crate::machine::bytes_of_line;

/// Bytes by part. In JSON `{"total": 3, "parts": {"a": 1, "b": 2}}`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Parts(BTreeMap<&'static str, u64>);

impl Parts {
    /// Adds bytes to a part.
    pub fn add(&mut self, part: &'static str, bytes: u64) {
        *self.0.entry(part).or_default() += bytes;
    }

    /// Adds every part of another list.
    pub fn add_all(&mut self, other: &Self) {
        for (part, bytes) in other.iter() {
            self.add(part, bytes);
        }
    }

    /// Bytes of a part; 0 if there is none of this name.
    pub fn get(&self, part: &str) -> u64 {
        self.0.get(part).copied().unwrap_or(0)
    }

    /// Bytes of all parts.
    pub fn sum(&self) -> u64 {
        self.0.values().sum()
    }

    /// Every part with its bytes, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(part, bytes)| (*part, *bytes))
    }
}

impl Serialize for Parts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Parts", 2)?;
        fields.serialize_field("total", &self.sum())?;
        fields.serialize_field("parts", &self.0)?;
        fields.end()
    }
}

impl FromIterator<(&'static str, u64)> for Parts {
    fn from_iter<I: IntoIterator<Item = (&'static str, u64)>>(parts: I) -> Self {
        let mut all = Self::default();
        for (part, bytes) in parts {
            all.add(part, bytes);
        }
        all
    }
}

/// What one collection takes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CollectionUsage {
    /// On the heap.
    pub memory_bytes: Parts,
    /// In mapped files.
    pub mapped_bytes: Parts,
    /// On the disk, about: what is in memtables yet is not counted, and values in files that collections share are estimated.
    pub disk_bytes: Parts,
}

/// What the node takes.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    /// By collection.
    pub collections: BTreeMap<String, CollectionUsage>,
    /// On the heap.
    pub memory_bytes: Parts,
    /// In mapped files, of all collections.
    pub mapped_bytes: Parts,
    /// On the disk.
    pub disk_bytes: Parts,
    /// The store's tables and blobs by column family.
    pub families: Vec<FamilyUsage>,
    /// Of `block_cache`, what cannot be taken out of it now.
    pub block_cache_pinned_bytes: u64,
    /// What is allowed, and what of it is held.
    pub budget: BudgetUsage,
    /// Work in the background.
    pub background: Background,
}

/// One column family on the disk, in bytes. What RocksDB estimates is marked so.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FamilyUsage {
    /// Its name.
    pub family: &'static str,
    /// Records in tables that are the newest of their key: estimated.
    pub tables_live: u64,
    /// The rest of the tables.
    pub tables_dead: u64,
    /// Values in blob files that a table refers to.
    pub blobs_live: u64,
    /// Values that none refers to, and files that nobody needs any more.
    pub blobs_dead: u64,
}

/// Work in the background of the node.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Background {
    /// Threads that seal, merge and build.
    pub threads: usize,
    /// Collections that are being loaded, and how far they are: one whose files cannot be used is read from the store again.
    pub loading: BTreeMap<String, Progress>,
    /// Steps left to give back the disk of deleted collections; 0 when nothing is to be given back.
    pub reclaim_steps: usize,
}

/// Memory of this process as the operating system sees it, in bytes.
#[derive(Copy, Clone, Debug, Serialize)]
pub struct ProcessMemory {
    /// Everything in memory.
    pub resident: u64,
    /// Of it, what is no file's: heap and stacks.
    pub anonymous: u64,
    /// Of it, pages of files: the program and what it has mapped.
    pub file: u64,
}

impl ProcessMemory {
    /// As it is now; `None` where there is no `/proc`.
    pub fn now() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        Some(Self {
            resident: bytes_of_line(&status, "VmRSS:")?,
            anonymous: bytes_of_line(&status, "RssAnon:")?,
            file: bytes_of_line(&status, "RssFile:")?,
        })
    }

    /// What is on the heap beyond these parts: the program's own, embedders, stacks, and what the allocator keeps free. Below 0 if the parts
    /// count memory that was never touched.
    pub fn unexplained(&self, memory_bytes: &Parts) -> i64 {
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        signed(self.anonymous) - signed(memory_bytes.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up() {
        let mut parts: Parts = [("a", 1), ("b", 2), ("a", 3)].into_iter().collect();
        parts.add_all(&[("b", 5), ("c", 7)].into_iter().collect());
        assert_eq!(
            parts.iter().collect::<Vec<_>>(),
            [("a", 4), ("b", 7), ("c", 7)]
        );
        assert_eq!((parts.get("b"), parts.get("d"), parts.sum()), (7, 0, 18));
        assert_eq!(
            serde_json::to_string(&parts).unwrap(),
            r#"{"total":18,"parts":{"a":4,"b":7,"c":7}}"#
        );
    }

    #[test]
    fn this_process_has_memory() {
        let now = ProcessMemory::now().unwrap();
        assert!(
            now.resident >= now.anonymous && now.anonymous > 0,
            "{now:?}"
        );
        let parts: Parts = [("all", now.anonymous + 5)].into_iter().collect();
        assert_eq!(now.unexplained(&parts), -5);
    }
}
