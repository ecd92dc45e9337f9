//! The door to segment files for a fuzzer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use index::Offset;
use xxhash_rust::xxh3::xxh3_64;

use super::{Contents, HEADER_BYTES, Reader, Section, header, read_contents};
use crate::config::{CollectionConfig, SparseVectorConfig, VectorConfig};
use crate::error::Result;
use crate::fuzz::same;
use crate::segment::links::Links;
use crate::segment::map::Map;
use crate::segment::{Rows, Segment};
use crate::storage::codec;

/// Where the body of a loose segment stands: behind the header, at a multiple of every alignment.
const BODY: usize = HEADER_BYTES.next_multiple_of(64);

/// A file as it is; and its bytes as a loose segment (length of the contents u16, contents, body) under right checksums.
pub(crate) fn segment(bytes: &[u8]) {
    let _ = open_and_read(bytes);
    let Some(([low, high], rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
    let (record, body) = rest.split_at(length);
    same::<Contents>(record);
    if let Ok(contents) = codec::decode::<Contents>(record, "segment contents") {
        let file = with_right_checksums(contents, body);
        let _ = open_and_read(&file);
    }
}

/// Opens the bytes as a segment; if that works, reads all of it.
fn open_and_read(bytes: &[u8]) -> Result<()> {
    let map = Map::of_bytes(bytes);
    let (contents, checksum) = read_contents(map.bytes())?;
    let reader = Reader {
        map,
        contents: Arc::new(contents),
        checksum,
    };
    let _ = reader.verify();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/links");
    let links = Links::new(&golden, golden.join("none"));
    let segment = Segment::read(1, reader, &config(), &links)?;
    let _ = segment.verify();
    segment.build_trees();
    let rows = segment.len() as Offset;
    for offset in 0..rows.min(300) {
        let _ = (segment.id(offset), segment.version(offset));
        assert!(segment.partition(offset).0 < crate::PARTITIONS);
        for name in ["", "wide", "large", "words", "none"] {
            let vector = segment.vector(name, offset);
            assert_eq!(vector.is_some(), segment.has_vector(name, offset));
        }
    }
    let some = index::BitSet::from_offsets(rows as usize, (0..rows).step_by(3));
    let asked = crate::query::SearchParams::default();
    for rows in [Rows::All, Rows::Only(&some)] {
        let _ = segment.dense[""].search(&[0.5, 0.5], 5, None, rows, &asked)?;
        let _ = segment.dense["wide"].search(&[0.5; 20], 5, None, rows, &asked)?;
        let _ = segment.dense["large"].search(&[0.5; 130], 5, None, rows, &asked)?;
        let query = [(3, 1.0), (20, -1.0), (21, 2.0)];
        let found = segment.sparse["words"].search(&query, 5, rows);
        let live = |offset| matches!(rows, Rows::All) || some.contains(offset);
        assert!(found.neighbors.iter().all(|found| live(found.offset)));
    }
    Ok(())
}

/// The vectors of the golden segment.
fn config() -> CollectionConfig {
    let dense = |dim, metric| VectorConfig::new(dim, metric);
    CollectionConfig {
        vectors: BTreeMap::from([
            (String::new(), dense(2, index::Metric::L2)),
            ("wide".into(), dense(20, index::Metric::Cosine)),
            ("large".into(), dense(130, index::Metric::L2)),
        ]),
        sparse_vectors: BTreeMap::from([("words".into(), SparseVectorConfig { idf: true })]),
        ..CollectionConfig::default()
    }
}

fn with_right_checksums(mut contents: Contents, body: &[u8]) -> Vec<u8> {
    let mut file = vec![0; BODY];
    file.extend_from_slice(body);
    for section in sections(&mut contents) {
        let start = usize::try_from(section.at).ok();
        let end = section.at.checked_add(section.bytes);
        let range = start.zip(end.and_then(|end| usize::try_from(end).ok()));
        if let Some(bytes) = range.and_then(|(start, end)| file.get(start..end)) {
            section.xxh3 = xxh3_64(bytes);
        }
    }
    let record = codec::encode(&contents);
    let header = header::<Contents>(file.len() as u64, &record);
    file[..HEADER_BYTES].copy_from_slice(&header);
    file.extend_from_slice(&record);
    file
}

/// All sections that the contents name.
pub(super) fn sections(contents: &mut Contents) -> Vec<&mut Section> {
    let mut sections = vec![
        &mut contents.ids,
        &mut contents.id_ends,
        &mut contents.versions,
        &mut contents.partitions,
    ];
    for dense in &mut contents.dense {
        sections.push(&mut dense.rows);
        sections.extend(&mut dense.offsets);
        sections.extend(&mut dense.places);
        sections.extend(&mut dense.ordinals);
    }
    for sparse in &mut contents.sparse {
        sections.extend(&mut sparse.offsets);
        sections.extend([
            &mut sparse.row_ends,
            &mut sparse.indices,
            &mut sparse.values,
            &mut sparse.tokens,
            &mut sparse.starts,
            &mut sparse.bounds,
            &mut sparse.postings,
        ]);
    }
    sections
}

const GOLDEN: &[u8] = include_bytes!("../../../tests/golden/segments/3.segment");
/// With rows in a linked file.
const LINKED: &[u8] = include_bytes!("../../../tests/golden/links/rows.segment");

/// Golden files without the gaps between their sections, which are most of them and which a fuzzer would change in vain; and a header.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    vec![
        loose(GOLDEN),
        loose(LINKED),
        GOLDEN[..HEADER_BYTES].to_vec(),
    ]
}

fn loose(golden: &[u8]) -> Vec<u8> {
    let (mut contents, _) = read_contents::<Contents>(golden).expect("the golden file");
    let mut body = Vec::new();
    for section in sections(&mut contents) {
        let (start, length) = (section.at as usize, section.bytes as usize);
        section.at = (BODY + body.len()) as u64;
        body.extend_from_slice(&golden[start..start + length]);
        body.resize(body.len().next_multiple_of(8), 0);
    }
    let record = codec::encode(&contents);
    let length = u16::try_from(record.len()).expect("it is small");
    [&length.to_le_bytes()[..], &record, &body].concat()
}
