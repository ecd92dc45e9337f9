//! Writing the sealed segment of others' live rows, straight from them into its file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use index::{BitSet, IndexKind, Offset, SparseIndex, Trial};

use super::column::NO_ORDINAL;
use super::file::{Contents, DenseContents, LinkContents, Section, SparseContents, Writer};
use super::folder::LargeColumns;
use super::links::Links;
use super::placed::{is_linkable, pack};
use super::places::{Finder, Place, Wanted};
use super::{Segment, SparseColumn};
use crate::config::{CollectionConfig, VectorConfig};
use crate::error::{Error, Result};
use crate::point::PointId;

/// Bytes of a file beside its rows, at most.
const FILE_BYTES: usize = 64 << 10;
/// Bytes of a row without its vectors: the longest id that is no text, its end, version, partition.
const FILE_ROW_BYTES: usize = 17 + 8 + 8 + 2;
/// Bytes of a vector beside its numbers: offset, place, ordinal.
const FILE_PLACE_BYTES: usize = 4 + 8 + 4;

/// A segment whose live rows go into a merge, as they were when it began.
#[derive(Clone)]
pub(crate) struct Source {
    pub segment: Arc<Segment>,
    pub live: Arc<BitSet>,
}

/// Where each row of the merged segment comes from: (segment uid, offset), by its offset.
pub(crate) type Origins = Vec<(u64, Offset)>;

/// How rows stay where the store wrote them, and how structures are chosen.
pub(super) struct Linking<'a> {
    pub links: &'a Links,
    pub finder: &'a Finder,
    pub large: &'a LargeColumns<'a>,
    /// Whether the disk has room for a file of so many bytes.
    pub room: &'a dyn Fn(u64) -> Result<()>,
    /// A stopwatch.
    pub elapsed: &'a dyn Fn() -> Duration,
}

/// The live rows of all sources, in the order of the merged segment.
struct Rows<'a> {
    sources: &'a [Source],
    /// Position of the source and offset there.
    rows: Vec<(u32, Offset)>,
}

impl<'a> Rows<'a> {
    fn iter(&self) -> impl ExactSizeIterator<Item = (&'a Segment, Offset)> {
        let sources = self.sources;
        self.rows
            .iter()
            .map(move |&(source, offset)| (&*sources[source as usize].segment, offset))
    }
}

/// Of each row, where its vector stands in the store's files; none if it is copied.
type Places = Vec<Option<Place>>;

/// Writes the file of a segment of the sources' live rows and waits until it is durable; answers whose they were. Rows of large columns stay
/// in the store's files, and all rows are ordered as there, so that a scan walks forward; the others keep the order of the sources.
///
/// # Errors
///
/// `Corrupted` if a source's file is damaged, whose rows must not get a new checksum; what the disk says; `StorageFull` before anything is written if
/// there is no room.
pub(super) fn write_merged(
    path: &Path,
    config: &CollectionConfig,
    sources: &[Source],
    linking: &Linking<'_>,
) -> Result<Origins> {
    for source in sources {
        source.segment.verify_own()?;
    }
    let rows = (0..).zip(sources).flat_map(|(at, source)| {
        let rows = source.live.iter();
        rows.map(move |offset| (at, offset))
    });
    let mut rows = Rows {
        sources,
        rows: rows.collect(),
    };
    let count = Offset::try_from(rows.rows.len()).map_err(|_| {
        let count = rows.rows.len();
        Error::invalid(format!("{count} rows are too many for one segment"))
    })?;
    let mut places = place_all(config, &rows, linking)?;
    order_by_place(&mut rows, &mut places);
    // Only now it is known which rows are copied.
    (linking.room)(file_bytes(config, &rows, &places))?;
    let used = places.values().flatten().flatten().map(|place| place.file);
    let used: BTreeSet<u64> = used.collect();
    let links: Vec<u64> = used.into_iter().collect();
    let rows = &rows;
    let mut writer = Writer::create(path)?;
    let (id_ends, ids) = write_ids(&mut writer, rows)?;
    let versions = rows.iter().map(|(segment, offset)| segment.version(offset));
    let versions: Vec<u64> = versions.collect();
    let partitions = rows.iter();
    let partitions = partitions.map(|(segment, offset)| segment.partition(offset).0);
    let partitions: Vec<u16> = partitions.collect();
    let contents = Contents {
        rows: count,
        links: open_links(&links, linking.links)?,
        id_ends,
        ids,
        versions: writer.section(&versions)?,
        partitions: writer.section(&partitions)?,
        dense: config
            .vectors
            .iter()
            .map(|(name, vector)| {
                let places = places.get(name.as_str()).map(|places| (places, &*links));
                write_dense(&mut writer, name, vector, rows, places, linking.elapsed)
            })
            .collect::<Result<_>>()?,
        sparse: config
            .sparse_vectors
            .keys()
            .map(|name| write_sparse(&mut writer, name, rows))
            .collect::<Result<_>>()?,
    };
    writer.finish(&contents)?;
    let origins = rows.iter().map(|(segment, offset)| (segment.uid, offset));
    Ok(origins.collect())
}

/// How long the file will be, and a little more.
fn file_bytes(config: &CollectionConfig, rows: &Rows<'_>, places: &BTreeMap<&str, Places>) -> u64 {
    let of_ids = rows
        .iter()
        .map(|(segment, offset)| match segment.id(offset) {
            PointId::Str(text) => FILE_ROW_BYTES + text.len(),
            PointId::Num(_) | PointId::Uuid(_) => FILE_ROW_BYTES,
        });
    let of_dense = config.vectors.iter().map(|(name, vector)| {
        let places = places.get(name.as_str());
        let is_placed = |at: usize| places.is_some_and(|places| places[at].is_some());
        let of_row = |((segment, offset), at): ((&Segment, Offset), usize)| {
            let has_row = segment.dense.get(name)?.get(offset).is_some();
            let numbers = if is_placed(at) { 0 } else { vector.dim };
            has_row.then_some(FILE_PLACE_BYTES + numbers * size_of::<f32>())
        };
        rows.iter().zip(0..).filter_map(of_row).sum::<usize>()
    });
    let of_sparse = rows.sources.iter().map(|source| {
        let columns = source.segment.sparse.values();
        let bytes: usize = columns.map(SparseColumn::values_bytes).sum();
        let share = source.live.count() as f64 / source.segment.len().max(1) as f64;
        // As rows, and as lists.
        (2.0 * bytes as f64 * share) as usize
    });
    let all = FILE_BYTES + of_ids.sum::<usize>() + of_dense.sum::<usize>();
    (all + of_sparse.sum::<usize>()) as u64
}

/// The places of the rows of every column that is large enough.
fn place_all<'c>(
    config: &'c CollectionConfig,
    rows: &Rows<'_>,
    linking: &Linking<'_>,
) -> Result<BTreeMap<&'c str, Places>> {
    let mut all = BTreeMap::new();
    for (name, vector) in &config.vectors {
        if !is_linkable(vector) {
            continue;
        }
        let columns = rows.iter().filter_map(|(segment, offset)| {
            let column = segment.dense.get(name)?;
            column.get(offset)
        });
        let bytes: usize = columns.map(size_of_val).sum();
        if bytes > 0 && bytes >= linking.large.bytes_min {
            all.insert(name.as_str(), place_rows(name, rows, linking)?);
        }
    }
    Ok(all)
}

/// Rows that stand in files which RocksDB still has stay there; the others are looked for.
fn place_rows(name: &str, rows: &Rows<'_>, linking: &Linking<'_>) -> Result<Places> {
    let current = linking.links.current();
    let mut places = vec![None; rows.rows.len()];
    let mut wanted = Vec::new();
    let mut wanting = Vec::new();
    for ((segment, offset), at) in rows.iter().zip(0..) {
        let Some(column) = segment.dense.get(name) else {
            continue;
        };
        let place = segment.place(column, offset);
        if place.is_some_and(|place| current.contains(&place.file)) {
            places[at] = place;
        } else if let (Some(row), Some(ordinal)) = (column.get(offset), column.ordinal(offset)) {
            wanting.push(at);
            wanted.push(Wanted {
                partition: segment.partition(offset),
                index: segment.version(offset),
                ordinal,
                row,
            });
        }
    }
    if !wanted.is_empty() {
        (linking.large.flush)()?;
        let found = linking.finder.find(linking.links, &wanted);
        for (at, place) in wanting.into_iter().zip(found) {
            places[at] = place;
        }
    }
    Ok(places)
}

/// By the place of the first large column; rows without a place come last.
fn order_by_place(rows: &mut Rows<'_>, places: &mut BTreeMap<&str, Places>) {
    let Some(first) = places.values().next() else {
        return;
    };
    let mut order: Vec<u32> = (0..rows.rows.len() as u32).collect();
    order.sort_by_key(|&at| (first[at as usize].is_none(), first[at as usize]));
    let ordered = order.iter().map(|&at| rows.rows[at as usize]);
    rows.rows = ordered.collect();
    for places in places.values_mut() {
        let ordered = order.iter().map(|&at| places[at as usize]);
        *places = ordered.collect();
    }
}

fn open_links(numbers: &[u64], links: &Links) -> Result<Vec<LinkContents>> {
    let opened = numbers.iter().map(|&number| {
        let bytes = links.open(number)?.bytes().len() as u64;
        Ok(LinkContents { number, bytes })
    });
    opened.collect()
}

fn write_ids(writer: &mut Writer<'_>, rows: &Rows<'_>) -> Result<(Section, Section)> {
    let mut ends: Vec<u64> = Vec::new();
    let mut bytes = Vec::new();
    let mut end = 0;
    writer.begin();
    for (segment, offset) in rows.iter() {
        bytes.clear();
        segment.id(offset).encode_into(&mut bytes);
        writer.put(&bytes)?;
        end += bytes.len() as u64;
        ends.push(end);
    }
    let ids = writer.end()?;
    Ok((writer.section(&ends)?, ids))
}

/// `linked`: places of the rows, and the numbers of the files that the segment links.
fn write_dense(
    writer: &mut Writer<'_>,
    name: &str,
    config: &VectorConfig,
    rows: &Rows<'_>,
    linked: Option<(&Places, &[u64])>,
    elapsed: &dyn Fn() -> Duration,
) -> Result<DenseContents> {
    let mut offsets: Vec<Offset> = Vec::new();
    let (mut places, mut ordinals) = (Vec::new(), Vec::new());
    let mut own = 0;
    writer.begin();
    for ((segment, offset), new) in rows.iter().zip(0..) {
        let Some(column) = segment.dense.get(name) else {
            continue;
        };
        let Some(values) = column.get(offset) else {
            continue;
        };
        let place = linked.and_then(|(places, links)| {
            let place = places[new as usize]?;
            let link = links.binary_search(&place.file);
            Some(pack(link.expect("all are named") as u32 + 1, place.at))
        });
        // Cut only if there are no places.
        places.push(place.unwrap_or(pack(0, own as u32)));
        if place.is_none() {
            segment.verify_row(column, offset)?;
            writer.put(values)?;
            own += values.len();
        }
        ordinals.push(column.ordinal(offset).unwrap_or(NO_ORDINAL));
        offsets.push(new);
    }
    let values = writer.end()?;
    let (kind, reason) = choose(name, config, rows, &offsets, elapsed)?;
    let is_placed = own != offsets.len() * config.dim;
    if is_placed && own > u32::MAX as usize {
        return Err(Error::invalid(format!(
            "vector \"{name}\": {own} numbers in one segment's file are too many beside linked rows"
        )));
    }
    Ok(DenseContents {
        name: name.to_owned(),
        dim: config.dim as u32,
        metric: config.metric.name().to_owned(),
        kind: kind.name().to_owned(),
        reason,
        count: offsets.len() as u32,
        offsets: write_offsets(writer, rows, &offsets)?,
        places: is_placed.then(|| writer.section(&places)).transpose()?,
        ordinals: is_linkable(config)
            .then(|| writer.section(&ordinals))
            .transpose()?,
        rows: values,
    })
}

/// The structure for the rows at these offsets, and why: what is forced, else what numbers say and, where they are not enough, a trial on a sample
/// of the rows.
fn choose(
    name: &str,
    config: &VectorConfig,
    rows: &Rows<'_>,
    offsets: &[Offset],
    elapsed: &dyn Fn() -> Duration,
) -> Result<(IndexKind, String)> {
    let n = offsets.len();
    let prior = index::choose(config.index, config.metric, config.dim, n)
        .map_err(|error| Error::invalid(error.to_string()))?;
    if config.index.is_some() {
        return Ok((prior, "asked for by the collection".to_owned()));
    }
    let shape = format!(
        "chosen for {n} rows of dim {} with {}",
        config.dim,
        config.metric.name()
    );
    if !Trial::may_change(config.metric, config.dim, n) {
        return Ok((prior, shape));
    }
    let sample = Trial::sample(n).filter_map(|at| {
        let (source, offset) = rows.rows[offsets[at] as usize];
        let segment = &rows.sources[source as usize].segment;
        segment.dense.get(name)?.get(offset)
    });
    let sample = index::Rows::new(config.dim, sample.flatten().copied().collect());
    match Trial::run(config.metric, &sample, elapsed) {
        Ok(trial) => {
            let reason = trial.words().map(|words| format!("{shape}: {words}"));
            Ok((trial.choice(prior, n), reason.unwrap_or(shape)))
        }
        // No tree can take such rows, which is found again when it is built.
        Err(_) => Ok((prior, shape)),
    }
}

fn write_sparse(writer: &mut Writer<'_>, name: &str, rows: &Rows<'_>) -> Result<SparseContents> {
    let column = |segment: &Segment, offset| {
        let column: &SparseColumn = segment.sparse.get(name)?;
        column.get(offset)
    };
    let mut offsets: Vec<Offset> = Vec::new();
    let (mut ends, mut indices, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut lists = SparseIndex::new();
    for ((segment, offset), new) in rows.iter().zip(0..) {
        if let Some(vector) = column(segment, offset) {
            offsets.push(new);
            indices.extend_from_slice(vector.indices());
            values.extend_from_slice(vector.values());
            ends.push(indices.len() as u64);
            let pairs: Vec<(u32, f32)> = vector.iter().collect();
            lists
                .push(&pairs)
                .map_err(|error| Error::invalid(error.to_string()))?;
        }
    }
    let mut tokens: Vec<u32> = lists.tokens().map(|(token, _)| token).collect();
    tokens.sort_unstable();
    let mut starts = vec![0];
    let mut bounds: Vec<[f32; 2]> = Vec::new();
    writer.begin();
    let mut end = 0;
    for &token in &tokens {
        let postings = lists.postings(token);
        writer.put(postings)?;
        end += postings.len() as u64;
        starts.push(end);
        let weights = || postings.iter().map(|posting| posting.weight);
        bounds.push([
            weights().fold(f32::MAX, f32::min),
            weights().fold(f32::MIN, f32::max),
        ]);
    }
    let postings = writer.end()?;
    Ok(SparseContents {
        name: name.to_owned(),
        count: offsets.len() as u32,
        offsets: write_offsets(writer, rows, &offsets)?,
        row_ends: writer.section(&ends)?,
        indices: writer.section(&indices)?,
        values: writer.section(&values)?,
        tokens: writer.section(&tokens)?,
        starts: writer.section(&starts)?,
        bounds: writer.section(&bounds)?,
        postings,
    })
}

/// None if every row has the vector: they are their own offsets then.
fn write_offsets(
    writer: &mut Writer<'_>,
    rows: &Rows<'_>,
    offsets: &[Offset],
) -> Result<Option<Section>> {
    if offsets.len() == rows.rows.len() {
        return Ok(None);
    }
    writer.section(offsets).map(Some)
}
