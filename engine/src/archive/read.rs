//! Reading an archive: nothing in it is trusted.

use std::io::Read;

use super::frame::{FrameReader, Kind};
use super::record::{End, Header, Points};
use crate::config::CollectionConfig;
use crate::error::{Error, Result};
use crate::point::Point;
use crate::storage::codec;

/// The points of an archive, frame by frame.
pub struct ArchiveReader<R> {
    /// `None` after the end.
    frames: Option<FrameReader<R>>,
    config: CollectionConfig,
    collection: String,
    points: u64,
}

impl<R: Read> ArchiveReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is no archive or of another version, `Corrupted` if it is damaged.
    pub fn open(input: R) -> Result<Self> {
        let mut frames = FrameReader::new(input)?;
        let (Kind::Header, body) = frames.read()? else {
            return Err(Error::corrupted(
                "archive: it does not begin with its header",
            ));
        };
        let header: Header = codec::decode(&body, "archive header")?;
        let config: CollectionConfig = serde_json::from_slice(&header.config_json)
            .map_err(|error| Error::corrupted(format!("archive: settings: {error}")))?;
        config.validate()?;
        Ok(Self {
            frames: Some(frames),
            config,
            collection: header.collection,
            points: 0,
        })
    }

    /// Settings of the collection that was written.
    pub fn config(&self) -> &CollectionConfig {
        &self.config
    }

    /// Its name then.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// The points of the next frame, about a megabyte of them; `None` once the end was read and all of them were there.
    ///
    /// # Errors
    ///
    /// `Corrupted` if a frame is damaged or missing.
    pub fn next_points(&mut self) -> Result<Option<Vec<Point>>> {
        let Some(mut frames) = self.frames.take() else {
            return Ok(None);
        };
        match frames.read()? {
            (Kind::Points, body) => {
                let points: Points = codec::decode(&body, "archived points")?;
                let points = points.points.into_iter().map(|point| point.into_point());
                let points: Vec<Point> = points.collect::<Result<_>>()?;
                self.points += points.len() as u64;
                // Not before: after a frame that cannot be read nothing follows, and no end could count what it held.
                self.frames = Some(frames);
                Ok(Some(points))
            }
            (Kind::End, body) => {
                let end: End = codec::decode(&body, "archive end")?;
                if end.points != self.points {
                    return Err(Error::corrupted(format!(
                        "archive: {} points, {} were written; fetch the archive again",
                        self.points, end.points
                    )));
                }
                frames.finish()?;
                Ok(None)
            }
            (Kind::Header, _) => Err(Error::corrupted("archive: a second header")),
        }
    }
}
