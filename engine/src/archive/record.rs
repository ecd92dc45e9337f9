//! What the frames hold.

use bincode::{Decode, Encode};

use crate::error::{Error, Result};
use crate::point::{Media, MediaKind, Payload, Point, PointId};
use crate::storage::record::decode_vector;

/// The first frame.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(super) struct Header {
    /// Name of the collection that was written.
    pub collection: String,
    /// Its [`crate::CollectionConfig`] as JSON.
    pub config_json: Vec<u8>,
    /// Milliseconds since 1970.
    pub written_at_ms: u64,
}

/// A frame of points.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub(super) struct Points {
    pub points: Vec<ArchivedPoint>,
}

/// The last frame.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(super) struct End {
    /// How many points stand in the frames before.
    pub points: u64,
}

/// A point with everything that it owns.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub(super) struct ArchivedPoint {
    /// Encoded point id.
    pub id: Vec<u8>,
    /// JSON object; empty for none.
    pub payload: Vec<u8>,
    /// Milliseconds since 1970 after which the point is hidden.
    pub expires_at_ms: Option<u64>,
    /// Name, and bytes as they stand in the store.
    pub vectors: Vec<(String, Vec<u8>)>,
    pub media: Vec<ArchivedMedium>,
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(super) struct ArchivedMedium {
    /// 0 text, 1 image.
    pub kind: u8,
    /// MIME type.
    pub content_type: String,
    pub bytes: Vec<u8>,
}

impl ArchivedPoint {
    /// About how many bytes it takes in a frame.
    pub fn bytes(&self) -> usize {
        let vectors: usize = self
            .vectors
            .iter()
            .map(|(name, bytes)| name.len() + bytes.len())
            .sum();
        let media: usize = self
            .media
            .iter()
            .map(|medium| medium.content_type.len() + medium.bytes.len())
            .sum();
        self.id.len() + self.payload.len() + vectors + media
    }

    /// The point as it is written into a collection.
    ///
    /// # Errors
    ///
    /// `Corrupted` if a part cannot be read.
    pub fn into_point(self) -> Result<Point> {
        let id = PointId::decode(&self.id)?;
        let payload = match self.payload.as_slice() {
            [] => Payload::new(),
            json => serde_json::from_slice(json)
                .map_err(|error| Error::corrupted(format!("payload of point {id}: {error}")))?,
        };
        let vectors = self
            .vectors
            .into_iter()
            .map(|(name, bytes)| Ok((name, decode_vector(&bytes)?)));
        let media = self.media.into_iter().map(|medium| {
            Ok(Media {
                kind: MediaKind::from_number(medium.kind)?,
                content_type: medium.content_type,
                bytes: medium.bytes.into(),
            })
        });
        Ok(Point {
            vectors: vectors.collect::<Result<_>>()?,
            media: media.collect::<Result<_>>()?,
            payload,
            expires_at_ms: self.expires_at_ms,
            id,
        })
    }
}
