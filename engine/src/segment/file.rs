//! The file of a sealed segment, and the frame that it shares with other derived files: header, sections, contents.
//!
//! ```text
//! 0      magic "VECINOSG"
//! 8      format version        u32
//! 12     byte order            u32   0x01020304 as the writer's machine stores it
//! 16     place of the contents u64
//! 24     bytes of the contents u64
//! 32     XXH3 of the contents  u64
//! 40     XXH3 of bytes 0..40   u64
//! 48     zeros up to 4096
//! 4096   sections, each at a multiple of 4096, zeros between:
//!          ends of the ids u64[rows] | ids, encoded | versions u64[rows] | partitions u16[rows]
//!          of each dense vector:  f32[n * dim], or of only those rows that stand in no linked file
//!            | offsets u32[n] unless every row has it | places u64[n] if some rows stand in linked files
//!            | ordinals u32[n] of vectors that are large enough for that
//!          of each sparse vector: offsets u32[n] unless every row has it
//!            | row ends u64[n] | indices u32[] | values f32[]
//!            | tokens u32[t] | list starts u64[t + 1] | bounds f32[t][2] | postings (u32, f32)[]
//! last   contents: a record with the place, bytes and XXH3 of every section
//! ```
//!
//! A place is (file << 32 | position of the row's first number): file 0 are the rows here, others the links that the contents name, in their
//! order from 1 on (see `links`). An ordinal and the row's version tell the key under which RocksDB has the vector.
//!
//! Numbers stand in the writer's byte order, because they are mapped and not decoded; a file of the other order is refused and rebuilt.
//! Opening checks header, contents and every section but the rows of dense vectors, by checksum and by sense. Those rows are most of the
//! file and take any bytes without harm; [`Reader::verify`] reads them.

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use bincode::{Decode, Encode};
use index::Offset;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::map::{Map, Plain, View, bytes_of};
use crate::error::{Error, Result, ResultExt};
use crate::planted::{Bug, is_planted};
use crate::storage::codec;
use crate::storage::durable::sync_folder;

const BYTE_ORDER: u32 = 0x0102_0304;
/// Sections begin at multiples of this: the page of every machine that we meet.
const PAGE: u64 = 4096;
const HEADER_BYTES: usize = 48;
/// Bytes after which a file that is being written is brought to the disk. Were all of a large file left to the end, the log's fsyncs would wait
/// for it.
const SYNC_BYTES: u64 = 8 << 20;
/// Bytes that are written at once, from a multiple of them on: the file system keeps what comes in one piece in one huge page, with which
/// [`Map::use_huge_pages`] maps it. Of a file of 20 MB, 18 MB were mapped so, and 14 MB when its sections were written as they come.
const HUGE_PAGE: u64 = 2 << 20;

/// Where a section stands.
#[derive(Copy, Clone, Debug, Default, PartialEq, Encode, Decode)]
pub(crate) struct Section {
    pub(super) at: u64,
    pub(super) bytes: u64,
    pub(super) xxh3: u64,
}

impl Section {
    /// How long it is, without the padding after it.
    pub fn bytes(self) -> u64 {
        self.bytes
    }
}

/// What stands last in a file and names its sections.
pub(crate) trait FileContents: Encode + Decode<()> {
    /// The first bytes of the file.
    const MAGIC: &'static [u8; 8];
    const FORMAT: u32;
    /// What such a file is called.
    const NAME: &'static str;
}

impl FileContents for Contents {
    const MAGIC: &'static [u8; 8] = b"VECINOSG";
    const FORMAT: u32 = 2;
    const NAME: &'static str = "segment";
}

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct Contents {
    pub rows: u32,
    pub links: Vec<LinkContents>,
    pub id_ends: Section,
    pub ids: Section,
    pub versions: Section,
    pub partitions: Section,
    pub dense: Vec<DenseContents>,
    pub sparse: Vec<SparseContents>,
}

/// A linked file in which rows stand.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct LinkContents {
    pub number: u64,
    pub bytes: u64,
}

/// One dense vector's part.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct DenseContents {
    pub name: String,
    pub dim: u32,
    pub metric: String,
    /// Name of the structure that was chosen when the segment was sealed.
    pub kind: String,
    pub reason: String,
    pub count: u32,
    pub offsets: Option<Section>,
    pub places: Option<Section>,
    pub ordinals: Option<Section>,
    pub rows: Section,
}

/// One sparse vector's part.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct SparseContents {
    pub name: String,
    pub count: u32,
    pub offsets: Option<Section>,
    pub row_ends: Section,
    pub indices: Section,
    pub values: Section,
    pub tokens: Section,
    pub starts: Section,
    pub bounds: Section,
    pub postings: Section,
}

/// Writes sections one after the other, then the contents and the header.
pub(crate) struct Writer<'p> {
    path: &'p Path,
    out: BufWriter<File>,
    at: u64,
    synced: u64,
    open: Option<(u64, Xxh3)>,
}

impl<'p> Writer<'p> {
    /// Creates the file, in the place of any of that name.
    pub fn create(path: &'p Path) -> Result<Self> {
        let create = || -> std::io::Result<_> {
            let mut out = BufWriter::with_capacity(HUGE_PAGE as usize, File::create(path)?);
            out.write_all(&[0; PAGE as usize])?;
            Ok(out)
        };
        Ok(Self {
            path,
            out: create().map_err(|error| Error::io(&error, path))?,
            at: PAGE,
            synced: 0,
            open: None,
        })
    }

    /// One section of one slice.
    pub fn section<T: Plain>(&mut self, numbers: &[T]) -> Result<Section> {
        self.begin();
        self.put(numbers)?;
        self.end()
    }

    /// Begins a section of several [`Self::put`]s.
    pub fn begin(&mut self) {
        assert!(self.open.is_none(), "sections do not nest");
        self.open = Some((self.at, Xxh3::new()));
    }

    /// Adds to the section.
    pub fn put<T: Plain>(&mut self, numbers: &[T]) -> Result<()> {
        let bytes = bytes_of(numbers);
        let (_, hash) = self.open.as_mut().expect("a section has begun");
        hash.update(bytes);
        self.write(bytes)
    }

    /// Ends the section and goes to the next page.
    pub fn end(&mut self) -> Result<Section> {
        let (at, hash) = self.open.take().expect("a section has begun");
        let section = Section {
            at,
            bytes: self.at - at,
            xxh3: hash.digest(),
        };
        let gap = self.at.next_multiple_of(PAGE) - self.at;
        self.write(&[0; PAGE as usize][..gap as usize])?;
        Ok(section)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = HUGE_PAGE - self.at % HUGE_PAGE;
            let (now, later) = rest.split_at(rest.len().min(room as usize));
            self.write_within_page(now)
                .map_err(|error| Error::io(&error, self.path))?;
            rest = later;
        }
        Ok(())
    }

    /// Writes what does not go beyond a huge page of the file, and hands a full one on as a whole.
    fn write_within_page(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        if !self.at.is_multiple_of(HUGE_PAGE) {
            return Ok(());
        }
        self.out.flush()?;
        if self.at - self.synced >= SYNC_BYTES {
            self.synced = self.at;
            self.out.get_ref().sync_data()?;
        }
        Ok(())
    }

    /// Writes contents and header and waits until all of it is durable.
    pub fn finish<C: FileContents>(mut self, contents: &C) -> Result<()> {
        let record = codec::encode(contents);
        let header = header::<C>(self.at, &record);
        self.write(&record)?;
        let finish = || -> std::io::Result<()> {
            let mut file = self.out.into_inner()?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header)?;
            if is_planted(Bug::ManifestFirst) {
                return Ok(());
            }
            file.sync_all()
        };
        finish().map_err(|error| Error::io(&error, self.path))
    }
}

fn header<C: FileContents>(at: u64, contents: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(C::MAGIC);
    header[8..12].copy_from_slice(&C::FORMAT.to_ne_bytes());
    header[12..16].copy_from_slice(&BYTE_ORDER.to_ne_bytes());
    header[16..24].copy_from_slice(&at.to_ne_bytes());
    header[24..32].copy_from_slice(&(contents.len() as u64).to_ne_bytes());
    header[32..40].copy_from_slice(&xxh3_64(contents).to_ne_bytes());
    let checksum = xxh3_64(&header[..40]);
    header[40..].copy_from_slice(&checksum.to_ne_bytes());
    header
}

/// A mapped file with its contents.
#[derive(Clone)]
pub(crate) struct Reader<C = Contents> {
    map: Arc<Map>,
    pub contents: Arc<C>,
    /// XXH3 of the contents, and so of all sections: files that differ have another.
    pub checksum: u64,
}

impl<C: FileContents> Reader<C> {
    /// Maps a file and reads its contents.
    ///
    /// # Errors
    ///
    /// `Corrupted` if it is no such file, cut, damaged, or of another format.
    pub fn open(path: &Path) -> Result<Self> {
        let map = Map::open(path)?;
        let (contents, checksum) = read_contents(map.bytes())
            .map_err(|error| error.context(format!("read {} {}", C::NAME, path.display())))?;
        Ok(Self {
            map,
            contents: Arc::new(contents),
            checksum,
        })
    }

    /// As [`Map::use_huge_pages`].
    pub fn use_huge_pages(&self) {
        self.map.use_huge_pages();
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> usize {
        self.map.bytes().len()
    }

    /// A section whose checksum is compared first.
    pub fn checked<T: Plain>(&self, section: Section, what: &str) -> Result<View<T>> {
        let view = self.unchecked(section)?;
        self.compare(section, what)?;
        Ok(view)
    }

    /// A section as it is, for numbers that may be anything.
    pub fn unchecked<T: Plain>(&self, section: Section) -> Result<View<T>> {
        self.map.view(section.at, section.bytes)
    }

    /// Compares the checksum of a section.
    ///
    /// # Errors
    ///
    /// `Corrupted` if it differs.
    pub fn compare(&self, section: Section, what: &str) -> Result<()> {
        let found = xxh3_64(&self.map.view::<u8>(section.at, section.bytes)?);
        check_sum(found, section.xxh3, what)
    }
}

impl Reader {
    /// Reads the sections that opening does not: the rows of dense vectors that stand here. Time O(bytes).
    ///
    /// # Errors
    ///
    /// `Corrupted`, with the first that differs.
    pub fn verify(&self) -> Result<()> {
        for dense in &self.contents.dense {
            self.compare(dense.rows, &format!("rows of \"{}\"", dense.name))?;
        }
        Ok(())
    }
}

fn read_contents<C: FileContents>(bytes: &[u8]) -> Result<(C, u64)> {
    let cut = || Error::corrupted(format!("the file is cut: {} bytes", bytes.len()));
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or_else(cut)?;
    let u32_at = |at: usize| {
        header[at..]
            .first_chunk()
            .map_or(0, |b| u32::from_ne_bytes(*b))
    };
    let u64_at = |at: usize| {
        header[at..]
            .first_chunk()
            .map_or(0, |b| u64::from_ne_bytes(*b))
    };
    if &header[..8] != C::MAGIC {
        return Err(Error::corrupted(format!("this is no {} file", C::NAME)));
    }
    if u32_at(12) != BYTE_ORDER {
        return Err(Error::corrupted(
            "written by a machine with the other byte order, or damaged",
        ));
    }
    if u32_at(8) != C::FORMAT {
        return Err(Error::corrupted(format!(
            "format {}, this program reads {}",
            u32_at(8),
            C::FORMAT
        )));
    }
    if u64_at(40) != xxh3_64(&header[..40]) {
        return Err(Error::corrupted("the header's checksum differs"));
    }
    let at = usize::try_from(u64_at(16)).map_err(|_| cut())?;
    let length = usize::try_from(u64_at(24)).map_err(|_| cut())?;
    let end = at.checked_add(length).ok_or_else(cut)?;
    let record = bytes.get(at..end).ok_or_else(cut)?;
    let checksum = xxh3_64(record);
    if checksum != u64_at(32) {
        return Err(Error::corrupted("the contents' checksum differs"));
    }
    let contents = codec::decode(record, &format!("{} contents", C::NAME))?;
    Ok((contents, checksum))
}

/// Checks that the offsets of a column ascend and are rows of the segment.
pub(crate) fn check_offsets(offsets: &[Offset], rows: u32) -> Result<()> {
    let ascends = offsets.array_windows().all(|[a, b]| a < b);
    if !ascends || offsets.last().is_some_and(|last| *last >= rows) {
        return Err(Error::corrupted(
            "the offsets of a vector's rows do not ascend within the segment",
        ));
    }
    Ok(())
}

/// Checks that ends do not descend and the last is `total`.
pub(crate) fn check_ends(ends: &[u64], total: usize) -> Result<()> {
    let ascends = ends.array_windows().all(|[a, b]| a <= b);
    if !ascends || ends.last().copied().unwrap_or_default() != total as u64 {
        return Err(Error::corrupted(
            "the ends of rows do not ascend to the end of their section",
        ));
    }
    Ok(())
}

/// What a wrong checksum is called.
pub(super) fn check_sum(found: u64, expected: u64, what: &str) -> Result<()> {
    if found != expected {
        return Err(Error::corrupted(format!(
            "{what}: checksum {found:#018x}, expected {expected:#018x}"
        )));
    }
    Ok(())
}

/// What a wrong count is called.
pub(crate) fn check_count(what: &str, found: usize, wanted: usize) -> Result<()> {
    if found != wanted {
        return Err(Error::corrupted(format!(
            "{what}: {found} of them, expected {wanted}"
        )));
    }
    Ok(())
}

/// Makes a rename durable that came after the file itself was.
pub(crate) fn publish(temporary: &Path, path: &Path) -> Result<()> {
    std::fs::rename(temporary, path).map_err(|error| Error::io(&error, path))?;
    let folder = path.parent().expect("a segment file is in a folder");
    sync_folder(folder).context("publish a file")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Segment;
    use super::super::links::Links;
    use super::fuzz::sections;
    use super::*;
    use crate::config::{CollectionConfig, SparseVectorConfig, VectorConfig};

    const GOLDEN: &[u8] = include_bytes!("../../tests/golden/segments/3.segment");
    /// With rows in a linked file.
    const LINKED: &[u8] = include_bytes!("../../tests/golden/links/rows.segment");

    fn config() -> CollectionConfig {
        let mut config = CollectionConfig::default();
        let dense = |dim, metric| VectorConfig::new(dim, metric);
        config
            .vectors
            .insert(String::new(), dense(2, index::Metric::L2));
        config
            .vectors
            .insert("wide".into(), dense(20, index::Metric::Cosine));
        config
            .vectors
            .insert("large".into(), dense(130, index::Metric::L2));
        config
            .sparse_vectors
            .insert("words".into(), SparseVectorConfig { idf: true });
        config
    }

    /// Opens the bytes as a segment; if that works, reads all of it.
    fn open_and_read(bytes: &[u8]) -> Result<()> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/links");
        let links = Links::new(&golden, golden.join("none"));
        let segment = Segment::open(1, file.path(), &config(), &links)?;
        let _ = segment.verify();
        let _ = segment.row_bytes(&index::BitSet::full(segment.len()));
        segment.build_trees();
        for offset in 0..segment.len() as Offset {
            let _ = (segment.id(offset), segment.version(offset));
            let _ = segment.partition(offset);
            for name in ["", "wide", "large", "words", "none"] {
                let _ = segment.vector(name, offset);
            }
        }
        let all = super::super::Rows::All;
        let asked = crate::query::SearchParams::default();
        let _ = segment.dense[""].search(&[0.5, 0.5], 5, None, all, &asked)?;
        let _ = segment.dense["wide"].search(&[0.5; 20], 5, None, all, &asked)?;
        let _ = segment.dense["large"].search(&[0.5; 130], 5, None, all, &asked)?;
        let _ = segment.sparse["words"].search(&[(3, 1.0), (20, -1.0), (21, 2.0)], 5, all);
        Ok(())
    }

    /// The bytes with other contents, under checksums that are right.
    fn with_contents(bytes: &[u8], record: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let at = bytes.len() as u64;
        bytes[..HEADER_BYTES].copy_from_slice(&header::<Contents>(at, record));
        bytes.extend_from_slice(record);
        bytes
    }

    #[test]
    fn the_golden_file_is_read() {
        for golden in [GOLDEN, LINKED] {
            open_and_read(golden).unwrap();
            let contents = read_contents::<Contents>(golden).unwrap().0;
            open_and_read(&with_contents(golden, &codec::encode(&contents))).unwrap();
        }
        assert!(
            read_contents::<Contents>(LINKED).unwrap().0.dense[1]
                .places
                .is_some()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Checksums only catch accidents. Contents that are wrong under a right one give an error or other rows, never a panic.
        #[test]
        fn wrong_contents_under_a_right_checksum_do_not_panic(golden in prop::sample::select(&[GOLDEN, LINKED][..]), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut record = codec::encode(&read_contents::<Contents>(golden).unwrap().0);
            let at = at.index(record.len());
            record[at] = byte;
            let _ = open_and_read(&with_contents(golden, &record));
        }

        /// The same for the sections themselves.
        #[test]
        fn wrong_sections_under_a_right_checksum_do_not_panic(golden in prop::sample::select(&[GOLDEN, LINKED][..]), which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(), longer in -9i64..9) {
            let mut bytes = golden.to_vec();
            let mut contents = read_contents::<Contents>(golden).unwrap().0;
            let mut sections = sections(&mut contents);
            let which = which.index(sections.len());
            let section = &mut *sections[which];
            if section.bytes > 0 {
                bytes[section.at as usize + at.index(section.bytes as usize)] = byte;
            }
            if longer % 3 == 0 {
                section.bytes = section.bytes.saturating_add_signed(longer);
            }
            let range = section.at as usize..(section.at + section.bytes) as usize;
            section.xxh3 = xxh3_64(&bytes[range]);
            let _ = open_and_read(&with_contents(&bytes, &codec::encode(&contents)));
        }

        #[test]
        fn any_bytes_are_no_segment(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read_contents::<Contents>(&bytes).is_err());
            prop_assert!(super::super::manifest::Manifest::decode(&bytes).is_err());
        }
    }
}
