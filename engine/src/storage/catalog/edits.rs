//! Which files a catalogue names: its edits (`db/version_edit.h`), each a sequence of (tag varint, fields).

use std::collections::BTreeMap;

use super::{BLOCK_BYTES, fragment_end};

const NEW_TABLE_END: u64 = 1;
const OLDEST_BLOB: u64 = 4;
const NEW_BLOB_END: u64 = 0;
/// Whoever does not know a tag with this bit skips its field.
const IGNORABLE: u64 = 1 << 13;

/// The files of the state that a catalogue tells, by number.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Files {
    /// Tables.
    pub tables: BTreeMap<u64, Table>,
    /// Blob files; of those that are not in use some may be gone.
    pub blobs: BTreeMap<u64, Blob>,
}

/// A table.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Table {
    family: u64,
    level: u64,
    oldest_blob: Option<u64>,
}

/// A blob file.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Blob {
    family: u64,
    /// How many of its values are not garbage.
    used: u64,
}

impl Files {
    /// Reads the sound bytes of a catalogue; `None` if an edit is of another form than this program's RocksDB writes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut files = Self::default();
        let mut edit = Vec::new();
        for block in bytes.chunks(BLOCK_BYTES) {
            let mut at = 0;
            while let Some(end) = fragment_end(block, at) {
                edit.extend_from_slice(&block[at + super::HEADER_BYTES..end]);
                match block[at + super::HEADER_BYTES - 1] {
                    1 | 4 => {
                        files.apply(&edit)?;
                        edit.clear();
                    }
                    2 | 3 => {}
                    _ => return None,
                }
                at = end;
            }
        }
        // An edit that is not finished was not in force.
        Some(files)
    }

    /// The blob files that must be there: RocksDB drops those below all that the tables of their family refer to, and those of garbage only.
    pub fn blobs_in_use(&self) -> impl Iterator<Item = u64> {
        let mut oldest = BTreeMap::new();
        for table in self.tables.values() {
            if let Some(blob) = table.oldest_blob {
                let least = oldest.entry(table.family).or_insert(blob);
                *least = blob.min(*least);
            }
        }
        let is_in_use = move |number: u64, blob: &Blob| {
            blob.used > 0
                && oldest
                    .get(&blob.family)
                    .is_some_and(|least| number >= *least)
        };
        let blobs = self.blobs.iter();
        blobs.filter_map(move |(number, blob)| is_in_use(*number, blob).then_some(*number))
    }

    /// The edit that removes a table; `None` if there is none of this number.
    pub fn removal(&self, number: u64) -> Option<Vec<u8>> {
        let table = self.tables.get(&number)?;
        let mut edit = Vec::new();
        for field in [6, table.level, number, 200, table.family] {
            put_number(&mut edit, field);
        }
        Some(edit)
    }

    fn apply(&mut self, edit: &[u8]) -> Option<()> {
        // The family comes last.
        let (mut family, mut tables, mut blobs) = (0, Vec::new(), Vec::new());
        let mut rest = edit;
        let rest = &mut rest;
        while !rest.is_empty() {
            match take_number(rest)? {
                200 => family = take_number(rest)?,
                // Log, next file, last sequence, previous log, least log, most families, edits to come of a group.
                2 | 3 | 4 | 9 | 10 | 203 | 300 => {
                    take_number(rest)?;
                }
                // Comparator, name of a family.
                1 | 201 => {
                    take_bytes(rest)?;
                }
                // Where the next compaction of a level begins.
                5 => {
                    take_number(rest)?;
                    take_bytes(rest)?;
                }
                // A table of a level is gone.
                6 => {
                    take_number(rest)?;
                    self.tables.remove(&take_number(rest)?);
                }
                103 => {
                    let (number, table) = take_table(rest)?;
                    self.tables.insert(number, table);
                    tables.push(number);
                }
                400 => {
                    let (number, blob) = take_blob(rest)?;
                    self.blobs.insert(number, blob);
                    blobs.push(number);
                }
                401 => self.add_garbage(rest)?,
                tag if tag & IGNORABLE != 0 => {
                    take_bytes(rest)?;
                }
                _ => return None,
            }
        }
        for number in tables {
            self.tables
                .entry(number)
                .and_modify(|file| file.family = family);
        }
        for number in blobs {
            self.blobs
                .entry(number)
                .and_modify(|file| file.family = family);
        }
        Some(())
    }

    /// Number, values, bytes, further fields.
    fn add_garbage(&mut self, rest: &mut &[u8]) -> Option<()> {
        let (number, values) = (take_number(rest)?, take_number(rest)?);
        take_number(rest)?;
        skip_fields(rest, NEW_BLOB_END)?;
        let blob = self.blobs.get_mut(&number)?;
        blob.used = blob.used.checked_sub(values)?;
        Some(())
    }
}

/// Level, number, bytes, first and last key, least and greatest sequence number, further fields: of no family yet.
fn take_table(rest: &mut &[u8]) -> Option<(u64, Table)> {
    let level = take_number(rest)?;
    let number = take_number(rest)?;
    take_number(rest)?;
    take_bytes(rest)?;
    take_bytes(rest)?;
    take_number(rest)?;
    take_number(rest)?;
    let mut table = Table {
        level,
        ..Table::default()
    };
    loop {
        match take_number(rest)? {
            NEW_TABLE_END => return Some((number, table)),
            OLDEST_BLOB => table.oldest_blob = Some(take_number(&mut take_bytes(rest)?)?),
            _ => {
                take_bytes(rest)?;
            }
        }
    }
}

/// Number, values, bytes, method and value of a checksum, further fields: of no family yet.
fn take_blob(rest: &mut &[u8]) -> Option<(u64, Blob)> {
    let (number, used) = (take_number(rest)?, take_number(rest)?);
    take_number(rest)?;
    take_bytes(rest)?;
    take_bytes(rest)?;
    skip_fields(rest, NEW_BLOB_END)?;
    Some((number, Blob { family: 0, used }))
}

fn skip_fields(rest: &mut &[u8], end: u64) -> Option<()> {
    while take_number(rest)? != end {
        take_bytes(rest)?;
    }
    Some(())
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            return Some(number);
        }
    }
    None
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::fuzz;
    use super::*;

    #[test]
    fn what_edits_add_and_remove_is_told() {
        let seeds = fuzz::seeds();
        let files = Files::read(&seeds[1]).unwrap();
        assert!(files.tables.is_empty());
        let blob = Blob {
            family: 2,
            used: 18,
        };
        assert_eq!(files.blobs, BTreeMap::from([(11, blob)]));
        assert_eq!(files.blobs_in_use().count(), 0, "no table refers to it");
        // The second fragment removes what the first adds; without its end it is not there.
        assert_eq!(Files::read(&seeds[2]), Some(Files::default()));
        let cut = Files::read(&seeds[2][..seeds[2].len() - 1]).unwrap();
        let table = Table {
            family: 0,
            level: cut.tables[&9].level,
            oldest_blob: Some(11),
        };
        assert_eq!(cut.tables, BTreeMap::from([(9, table)]));
    }
}
