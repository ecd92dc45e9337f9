//! Writing the sealed segment of others' live rows, straight from them into its file.

use std::path::Path;
use std::sync::Arc;

use index::{BitSet, Offset, SparseIndex};

use super::file::{Contents, DenseContents, Section, SparseContents, Writer};
use super::{Segment, SparseColumn};
use crate::config::{CollectionConfig, VectorConfig};
use crate::error::{Error, Result};

/// A segment whose live rows go into a merge, as they were when it began.
#[derive(Clone)]
pub(crate) struct Source {
    pub segment: Arc<Segment>,
    pub live: Arc<BitSet>,
}

/// Where each row of the merged segment comes from: (segment uid, offset), by its offset.
pub(crate) fn origins(sources: &[Source]) -> Vec<(u64, Offset)> {
    rows(sources)
        .map(|(segment, offset)| (segment.uid, offset))
        .collect()
}

fn rows(sources: &[Source]) -> impl Iterator<Item = (&Segment, Offset)> {
    sources
        .iter()
        .flat_map(|source| source.live.iter().map(|offset| (&*source.segment, offset)))
}

/// Writes the file of a segment of the sources' live rows, in their order, and waits until it is durable.
///
/// # Errors
///
/// `Corrupted` if a source's file is damaged, whose rows must not get a new checksum; what the disk says.
pub(super) fn write_merged(
    path: &Path,
    config: &CollectionConfig,
    sources: &[Source],
) -> Result<()> {
    for source in sources {
        source.segment.verify()?;
    }
    let count = rows(sources).count();
    let count = Offset::try_from(count)
        .map_err(|_| Error::invalid(format!("{count} rows are too many for one segment")))?;
    let mut writer = Writer::create(path)?;
    let (id_ends, ids) = write_ids(&mut writer, sources)?;
    let versions: Vec<u64> = rows(sources)
        .map(|(segment, offset)| segment.version(offset))
        .collect();
    let partitions: Vec<u16> = rows(sources)
        .map(|(segment, offset)| segment.partition(offset).0)
        .collect();
    let contents = Contents {
        rows: count,
        id_ends,
        ids,
        versions: writer.section(&versions)?,
        partitions: writer.section(&partitions)?,
        dense: config
            .vectors
            .iter()
            .map(|(name, vector)| write_dense(&mut writer, name, vector, sources))
            .collect::<Result<_>>()?,
        sparse: config
            .sparse_vectors
            .keys()
            .map(|name| write_sparse(&mut writer, name, sources))
            .collect::<Result<_>>()?,
    };
    writer.finish(&contents)
}

fn write_ids(writer: &mut Writer<'_>, sources: &[Source]) -> Result<(Section, Section)> {
    let mut ends: Vec<u64> = Vec::new();
    let mut bytes = Vec::new();
    let mut end = 0;
    writer.begin();
    for (segment, offset) in rows(sources) {
        bytes.clear();
        segment.id(offset).encode_into(&mut bytes);
        writer.put(&bytes)?;
        end += bytes.len() as u64;
        ends.push(end);
    }
    let ids = writer.end()?;
    Ok((writer.section(&ends)?, ids))
}

fn write_dense(
    writer: &mut Writer<'_>,
    name: &str,
    config: &VectorConfig,
    sources: &[Source],
) -> Result<DenseContents> {
    let mut offsets: Vec<Offset> = Vec::new();
    writer.begin();
    for ((segment, offset), new) in rows(sources).zip(0..) {
        let column = segment.dense.get(name);
        if let Some(values) = column.and_then(|column| column.get(offset)) {
            writer.put(values)?;
            offsets.push(new);
        }
    }
    let values = writer.end()?;
    let kind = index::choose(config.index, config.metric, config.dim, offsets.len())
        .map_err(|error| Error::invalid(error.to_string()))?;
    let reason = match config.index {
        Some(_) => "asked for by the collection".to_owned(),
        None => format!(
            "chosen for {} rows of dim {} with {}",
            offsets.len(),
            config.dim,
            config.metric.name()
        ),
    };
    Ok(DenseContents {
        name: name.to_owned(),
        dim: config.dim as u32,
        metric: config.metric.name().to_owned(),
        kind: kind.name().to_owned(),
        reason,
        count: offsets.len() as u32,
        offsets: write_offsets(writer, sources, &offsets)?,
        rows: values,
    })
}

fn write_sparse(writer: &mut Writer<'_>, name: &str, sources: &[Source]) -> Result<SparseContents> {
    let column = |segment: &Segment, offset| {
        let column: &SparseColumn = segment.sparse.get(name)?;
        column.get(offset)
    };
    let mut offsets: Vec<Offset> = Vec::new();
    let (mut ends, mut indices, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut lists = SparseIndex::new();
    for ((segment, offset), new) in rows(sources).zip(0..) {
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
        offsets: write_offsets(writer, sources, &offsets)?,
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
    sources: &[Source],
    offsets: &[Offset],
) -> Result<Option<Section>> {
    if offsets.len() == rows(sources).count() {
        return Ok(None);
    }
    writer.section(offsets).map(Some)
}
