//! Comparing a sealed segment with its checksums while it is served: no search compares the row that it does not bring up.
//!
//! Opening compares everything but the rows of dense vectors, and of graphs the codes and edges; an [`Inspection`] compares these, a step at a time.
//! Bytes are read and not mapped: the process does not become larger by the vectors, and what the disk cannot read is an error, where a mapped
//! page would end the process.

use std::collections::VecDeque;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use index::{BitSet, Offset};
use xxhash_rust::xxh3::Xxh3;

use super::Segment;
use super::column::DenseColumn;
use super::file::{Section, check_sum};
use crate::error::{Error, Result, ResultExt};
use crate::storage::blob;
use crate::storage::{key, record};

/// What a step reads: some tenths of a millisecond if the system has it in memory.
const STEP_BYTES: usize = 1 << 20;
/// So many linked rows are read in the order in which they stand in their files.
const SORTED_ROWS: usize = 1 << 14;
/// Bytes of the record of a row before its value.
const BEFORE_VALUE: usize = blob::RECORD_HEADER_BYTES + key::VALUE_KEY_BYTES;

/// What of a segment is still to be compared.
pub(crate) struct Inspection {
    parts: VecDeque<Part>,
}

enum Part {
    Section(SectionPart),
    Rows(RowsPart),
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Damage {
    /// Some rows of a vector in the segment's own file: which ones its checksum does not tell.
    Rows(Error),
    /// The row of a vector in a linked file.
    Row {
        name: String,
        offset: Offset,
        error: Error,
    },
    /// A graph, in this file.
    Graph(PathBuf, Error),
}

/// Where the files of a segment are.
pub(super) struct Paths<'a> {
    pub segment: PathBuf,
    /// Of the graph of the vector at a position.
    pub graph: &'a dyn Fn(usize) -> PathBuf,
    /// Of a linked file.
    pub link: &'a dyn Fn(u64) -> PathBuf,
}

impl Inspection {
    /// Nothing of the sealed segment is compared yet.
    pub(super) fn new(segment: &Segment, paths: &Paths<'_>) -> Self {
        let mut parts = VecDeque::new();
        let contents = segment.file.iter().flat_map(|file| &file.contents.dense);
        for (at, dense) in contents.enumerate() {
            let column = &segment.dense[&dense.name];
            let mut add = |of, path, section, what| {
                let part = SectionPart::new(of, path, section, what);
                parts.push_back(Part::Section(part));
            };
            let what = format!("rows of \"{}\" of segment {}", dense.name, segment.uid);
            add(FileOf::Segment, paths.segment.clone(), dense.rows, what);
            if let Some(graph) = column.graph() {
                for (section, what) in graph.unchecked() {
                    let what = format!("{what} of \"{}\" of segment {}", dense.name, segment.uid);
                    add(FileOf::Graph, (paths.graph)(at), section, what);
                }
            }
            let links = segment.links();
            let links: Vec<PathBuf> = links.map(|(number, _)| (paths.link)(number)).collect();
            if dense.places.is_some() {
                parts.push_back(Part::Rows(RowsPart {
                    name: dense.name.clone(),
                    links,
                    next: 0,
                    sorted: Vec::new(),
                }));
            }
        }
        Self { parts }
    }

    /// Reads and compares [`STEP_BYTES`], or what is left, and adds what is damaged in them to `damage`. `live` are the segment's rows that may answer: of
    /// those in linked files only these are compared. A file that is gone is not needed any more.
    ///
    /// # Errors
    ///
    /// If a file cannot be opened: the rest of what it has is passed over.
    pub fn step(
        &mut self,
        segment: &Segment,
        live: &BitSet,
        damage: &mut Vec<Damage>,
    ) -> Result<()> {
        let mut left = STEP_BYTES;
        while left > 0
            && let Some(part) = self.parts.front_mut()
        {
            let read = match part {
                Part::Section(part) => part.read(left, damage),
                Part::Rows(part) => part.read(left, segment, live, damage),
            };
            match read {
                Ok(Some(read)) => left = left.saturating_sub(read),
                ended => {
                    self.parts.pop_front();
                    ended?;
                }
            }
        }
        Ok(())
    }

    /// Whether all is compared.
    pub fn is_over(&self) -> bool {
        self.parts.is_empty()
    }
}

/// Which file a section is of.
#[derive(Copy, Clone)]
enum FileOf {
    Segment,
    Graph,
}

/// A section of a file.
struct SectionPart {
    of: FileOf,
    path: PathBuf,
    section: Section,
    what: String,
    /// How many bytes are in the hash.
    done: u64,
    hash: Box<Xxh3>,
}

impl SectionPart {
    fn new(of: FileOf, path: PathBuf, section: Section, what: String) -> Self {
        Self {
            of,
            path,
            section,
            what,
            done: 0,
            hash: Box::default(),
        }
    }

    /// Reads on; how many bytes, `None` at the end.
    fn read(&mut self, left: usize, damage: &mut Vec<Damage>) -> Result<Option<usize>> {
        let bytes = left.min((self.section.bytes - self.done) as usize);
        if bytes > 0 {
            let Some(file) = open(&self.path)? else {
                return Ok(None);
            };
            let mut buffer = vec![0; bytes];
            let read = file.read_exact_at(&mut buffer, self.section.at + self.done);
            if let Err(error) = read {
                let error = Error::io(&error, &self.path).context(format!("read {}", self.what));
                damage.push(self.damage(error));
                return Ok(None);
            }
            self.hash.update(&buffer);
            self.done += bytes as u64;
            return Ok(Some(bytes));
        }
        if let Err(error) = check_sum(self.hash.digest(), self.section.xxh3, &self.what) {
            damage.push(self.damage(error));
        }
        Ok(None)
    }

    fn damage(&self, error: Error) -> Damage {
        match self.of {
            FileOf::Graph => Damage::Graph(self.path.clone(), error),
            FileOf::Segment => Damage::Rows(error),
        }
    }
}

/// The rows of a vector that stand in linked files.
struct RowsPart {
    name: String,
    /// By position among the segment's links.
    links: Vec<PathBuf>,
    /// The first offset that is not in `sorted` or compared.
    next: Offset,
    /// Link, place and offset of rows that are compared next, the last one first.
    sorted: Vec<(usize, u32, Offset)>,
}

impl RowsPart {
    /// As [`SectionPart::read`].
    fn read(
        &mut self,
        left: usize,
        segment: &Segment,
        live: &BitSet,
        damage: &mut Vec<Damage>,
    ) -> Result<Option<usize>> {
        let column = &segment.dense[&self.name];
        if self.sorted.is_empty() && !self.sort_more(segment, column, live) {
            return Ok(None);
        }
        let mut buffer = vec![0; BEFORE_VALUE + record::dense_bytes(column.dim())];
        let mut file: Option<(usize, Option<File>)> = None;
        let mut read = 0;
        while read < left
            && let Some((link, at, offset)) = self.sorted.pop()
        {
            let opened = match &file {
                Some((number, opened)) if *number == link => opened,
                _ => &file.insert((link, open(&self.links[link])?)).1,
            };
            read += buffer.len();
            let Some(opened) = opened else {
                continue;
            };
            let compared = read_record(opened, &self.links[link], at, &mut buffer)
                .and_then(|()| segment.verify_record(column, offset, &buffer));
            if let Err(error) = compared {
                let error =
                    error.context(format!("verify row {offset} of segment {}", segment.uid));
                let name = self.name.clone();
                damage.push(Damage::Row {
                    name,
                    offset,
                    error,
                });
            }
        }
        Ok(Some(read))
    }

    /// Takes in the next rows; false if there are none left.
    fn sort_more(&mut self, segment: &Segment, column: &DenseColumn, live: &BitSet) -> bool {
        let rows = segment.len() as Offset;
        while self.next < rows && self.sorted.len() < SORTED_ROWS {
            let offset = self.next;
            self.next += 1;
            if live.contains(offset)
                && let Some((link, at)) = column.link(offset)
            {
                self.sorted.push((link, at, offset));
            }
        }
        self.sorted.sort_unstable_by(|a, b| b.cmp(a));
        !self.sorted.is_empty()
    }
}

/// Reads the record of a row whose numbers stand at `at`, counted in numbers.
fn read_record(file: &File, path: &Path, at: u32, buffer: &mut [u8]) -> Result<()> {
    let value_at = (u64::from(at) * 4).checked_sub(record::NUMBERS_AT as u64);
    let from = value_at.and_then(|value_at| value_at.checked_sub(BEFORE_VALUE as u64));
    let from = from.ok_or_else(|| Error::corrupted("there is no room for its record"))?;
    file.read_exact_at(buffer, from)
        .map_err(|error| Error::io(&error, path))
        .context("read a row")
}

/// The file; `None` if it is gone: the segment was merged away, or the collection deleted.
fn open(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(&error, path)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::Writer;
    use super::*;

    /// A section of several steps: what differs in any of them is found, and how often it is looked at follows from its length.
    #[test]
    fn a_section_is_compared_piece_by_piece() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("numbers");
        let numbers: Vec<u32> = (0..(3 * STEP_BYTES as u32 + 40) / 4).collect();
        let mut writer = Writer::create(&path).unwrap();
        let section = writer.section(&numbers).unwrap();
        drop(writer);
        let read = |path: &Path| {
            let mut part =
                SectionPart::new(FileOf::Segment, path.to_owned(), section, "numbers".into());
            let (mut damage, mut pieces) = (Vec::new(), Vec::new());
            while let Some(read) = part.read(STEP_BYTES, &mut damage).unwrap() {
                pieces.push(read);
            }
            (damage, pieces)
        };
        let (damage, pieces) = read(&path);
        assert!(damage.is_empty(), "{damage:?}");
        assert_eq!(pieces, [STEP_BYTES, STEP_BYTES, STEP_BYTES, 40]);
        let file = File::options().write(true).open(&path).unwrap();
        for at in [0, section.bytes / 2, section.bytes - 1] {
            let place = section.at + at;
            let byte = bytes_at(&path, place);
            file.write_all_at(&[!byte], place).unwrap();
            let (damage, _) = read(&path);
            let [Damage::Rows(error)] = &damage[..] else {
                panic!("at {at}: {damage:?}");
            };
            assert!(
                error.to_string().starts_with("numbers: checksum"),
                "{error}"
            );
            file.write_all_at(&[byte], place).unwrap();
        }
        assert!(read(&path).0.is_empty());
        file.set_len(section.at + 5).unwrap();
        let (damage, _) = read(&path);
        assert!(matches!(&damage[..], [Damage::Rows(_)]), "{damage:?}");
        let (damage, pieces) = read(&dir.path().join("gone"));
        assert!(damage.is_empty() && pieces.is_empty());
    }

    fn bytes_at(path: &Path, place: u64) -> u8 {
        std::fs::read(path).unwrap()[place as usize]
    }
}
