//! Writing an archive while writes go on.

use std::io::Write;

use super::frame::{FrameWriter, Kind};
use super::record::{ArchivedMedium, ArchivedPoint, End, Header, Points};
use crate::Partition;
use crate::apply::decode_row;
use crate::collection::Collection;
use crate::error::{Error, Result};
use crate::point::PointId;
use crate::storage::record::PointRow;
use crate::storage::view::View;
use crate::storage::{Family, Visit, codec, key};

/// Bytes after which a frame is closed.
const FRAME_BYTES: usize = 1 << 20;
/// Rows whose vectors and media are read at once. Few, because each may have pictures of megabytes.
const ROWS_AT_ONCE: usize = 32;

/// What was written.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct ArchiveSummary {
    /// Points in it.
    pub points: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Collection {
    /// Writes the collection as it is now; writes that come meanwhile are not in it. Time and reads O(bytes), space O(1 MiB and a few rows).
    ///
    /// # Errors
    ///
    /// Of the disk; `Corrupted` if a row or value cannot be read; `NotFound` if the collection is deleted meanwhile.
    pub fn write_archive(&self, out: impl Write) -> Result<ArchiveSummary> {
        self.told(self.write_frames(out))
    }

    fn write_frames(&self, out: impl Write) -> Result<ArchiveSummary> {
        let view = self.store.view();
        let mut archive = Archive {
            frames: FrameWriter::new(out).map_err(|error| not_written(&error))?,
            open: Points::default(),
            open_bytes: 0,
            points: 0,
        };
        let config_json = serde_json::to_vec(&*self.config())
            .map_err(|error| Error::invalid(format!("settings: {error}")))?;
        archive.frame(
            Kind::Header,
            &codec::encode(&Header {
                collection: self.name().to_owned(),
                config_json,
                written_at_ms: self.env.now_ms(),
            }),
        )?;
        for partition in Partition::all() {
            self.archive_partition(&view, partition, &mut archive)?;
        }
        archive.finish()
    }

    fn archive_partition(
        &self,
        view: &View<'_>,
        partition: Partition,
        archive: &mut Archive<impl Write>,
    ) -> Result<()> {
        let prefix = key::collection_prefix(partition, self.id());
        let mut rows: Vec<(Vec<u8>, PointRow)> = Vec::with_capacity(ROWS_AT_ONCE);
        view.scan(Family::Points, &prefix, |key, value| {
            let id = key[key::POINT_PREFIX_BYTES..].to_vec();
            let row = decode_row(&PointId::decode(&id)?, value)?;
            rows.push((id, row));
            if rows.len() == ROWS_AT_ONCE {
                self.archive_rows(view, partition, &mut rows, archive)?;
            }
            Ok(Visit::Next)
        })?;
        self.archive_rows(view, partition, &mut rows, archive)
    }

    fn archive_rows(
        &self,
        view: &View<'_>,
        partition: Partition,
        rows: &mut Vec<(Vec<u8>, PointRow)>,
        archive: &mut Archive<impl Write>,
    ) -> Result<()> {
        let value = |index, ordinal| key::value(partition, self.id(), index, ordinal);
        let vectors = rows.iter().flat_map(|(_, row)| &row.vectors);
        let vectors: Vec<Vec<u8>> = vectors.map(|at| value(at.index, at.ordinal)).collect();
        let media = rows.iter().flat_map(|(_, row)| &row.media);
        let media: Vec<Vec<u8>> = media.map(|at| value(at.index, at.ordinal)).collect();
        let mut vectors = view.get_many(Family::Vectors, &vectors)?.into_iter();
        let mut media = view.get_many(Family::Media, &media)?.into_iter();
        for (id, row) in rows.drain(..) {
            let missing = || {
                let id = PointId::decode(&id).map_or_else(|_| "?".to_owned(), |id| id.to_string());
                Error::corrupted(format!(
                    "collection {}: a vector or medium of point {id} is missing from the store, or the collection was deleted",
                    self.name()
                ))
            };
            let mut point = ArchivedPoint {
                payload: row.payload,
                expires_at_ms: row.expires_at_ms,
                ..ArchivedPoint::default()
            };
            for reference in row.vectors {
                let bytes = vectors.next().flatten().ok_or_else(missing)?;
                point.vectors.push((reference.name, bytes));
            }
            for reference in row.media {
                let bytes = media.next().flatten().ok_or_else(missing)?;
                point.media.push(ArchivedMedium {
                    kind: reference.kind()?.number(),
                    content_type: reference.content_type,
                    bytes,
                });
            }
            point.id = id;
            archive.push(point)?;
        }
        Ok(())
    }
}

/// An archive that is being written.
struct Archive<W> {
    frames: FrameWriter<W>,
    /// Points of the frame to come.
    open: Points,
    open_bytes: usize,
    points: u64,
}

impl<W: Write> Archive<W> {
    fn push(&mut self, point: ArchivedPoint) -> Result<()> {
        self.open_bytes += point.bytes();
        self.open.points.push(point);
        self.points += 1;
        if self.open_bytes >= FRAME_BYTES {
            self.close_frame()?;
        }
        Ok(())
    }

    fn close_frame(&mut self) -> Result<()> {
        self.open_bytes = 0;
        if self.open.points.is_empty() {
            return Ok(());
        }
        let body = codec::encode(&std::mem::take(&mut self.open));
        self.frame(Kind::Points, &body)
    }

    fn frame(&mut self, kind: Kind, body: &[u8]) -> Result<()> {
        self.frames
            .write(kind, body)
            .map_err(|error| not_written(&error))
    }

    fn finish(mut self) -> Result<ArchiveSummary> {
        self.close_frame()?;
        let points = self.points;
        self.frame(Kind::End, &codec::encode(&End { points }))?;
        let bytes = self.frames.finish().map_err(|error| not_written(&error))?;
        Ok(ArchiveSummary { points, bytes })
    }
}

fn not_written(error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull => crate::ErrorKind::StorageFull,
        _ => crate::ErrorKind::Io,
    };
    Error::new(kind, format!("write the archive: {error}"))
}
