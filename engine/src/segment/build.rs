//! The sealed segment made of others' live rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use index::{BitSet, Offset};

use super::Segment;
use crate::config::CollectionConfig;
use crate::error::Result;

/// A segment whose live rows go into a merge, as they were when it began.
pub(crate) struct Source {
    pub segment: Arc<Segment>,
    pub live: Arc<BitSet>,
}

/// A sealed segment of the sources' live rows, and for each of its rows where it came from: (segment uid, offset).
pub(crate) fn merge(
    uid: u64,
    config: &CollectionConfig,
    sources: &[Source],
) -> Result<(Segment, Vec<(u64, Offset)>)> {
    let mut merged = Segment::growing(uid, config);
    let mut origins = Vec::new();
    for source in sources {
        let segment = &source.segment;
        for offset in source.live.iter() {
            let at = offset as usize;
            let new = merged.push(
                segment.ids[at].clone(),
                segment.versions[at],
                segment.partitions[at],
                &BTreeMap::new(),
            );
            origins.push((segment.uid, offset));
            for (name, column) in &mut merged.dense {
                if let Some(values) = segment.dense.get(name).and_then(|old| old.get(offset)) {
                    column.push(new, values);
                }
            }
            for (name, column) in &mut merged.sparse {
                if let Some(vector) = segment.sparse.get(name).and_then(|old| old.get(offset)) {
                    column.push(new, vector);
                }
            }
        }
    }
    let Segment {
        uid,
        ids,
        versions,
        partitions,
        dense,
        sparse,
    } = merged;
    let dense = dense
        .into_iter()
        .map(|(name, column)| {
            let forced = config.vectors.get(&name).and_then(|vector| vector.index);
            Ok((name, column.seal(forced)?))
        })
        .collect::<Result<_>>()?;
    let sparse = sparse
        .into_iter()
        .map(|(name, column)| (name, column.seal()))
        .collect();
    Ok((
        Segment {
            uid,
            ids,
            versions,
            partitions,
            dense,
            sparse,
        },
        origins,
    ))
}
