//! The seam: what every embedder is, whatever it is made of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Batch;

/// What kind of media an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Modality {
    /// UTF-8 text.
    Text,
    /// An encoded picture: JPEG, PNG, WebP, GIF, BMP or TIFF.
    Image,
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Modality::Text => "text",
            Modality::Image => "image",
        })
    }
}

/// One borrowed input of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// A text, as the user wrote it.
    Text(&'a str),
    /// The bytes of a picture's file.
    Image(&'a [u8]),
}

impl Input<'_> {
    /// What kind of media this is.
    pub fn modality(&self) -> Modality {
        match self {
            Input::Text(_) => Modality::Text,
            Input::Image(_) => Modality::Image,
        }
    }

    /// Size of the source in bytes.
    pub fn byte_len(&self) -> usize {
        match self {
            Input::Text(text) => text.len(),
            Input::Image(bytes) => bytes.len(),
        }
    }
}

/// One input that can wait in a queue. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnedInput {
    /// A text, as the user wrote it.
    Text(Arc<str>),
    /// The bytes of a picture's file.
    Image(Arc<[u8]>),
}

impl OwnedInput {
    /// The same input, borrowed.
    pub fn as_input(&self) -> Input<'_> {
        match self {
            OwnedInput::Text(text) => Input::Text(text),
            OwnedInput::Image(bytes) => Input::Image(bytes),
        }
    }
}

impl From<&str> for OwnedInput {
    fn from(text: &str) -> Self {
        OwnedInput::Text(text.into())
    }
}

impl From<String> for OwnedInput {
    fn from(text: String) -> Self {
        OwnedInput::Text(text.into())
    }
}

impl From<Vec<u8>> for OwnedInput {
    fn from(bytes: Vec<u8>) -> Self {
        OwnedInput::Image(bytes.into())
    }
}

impl From<&[u8]> for OwnedInput {
    fn from(bytes: &[u8]) -> Self {
        OwnedInput::Image(bytes.into())
    }
}

/// What the vectors are for. Some embedders weigh a query otherwise than what it is compared with, and a
/// [`Handle`](crate::Handle) serves queries first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To be stored.
    Document,
    /// To be searched with.
    Query,
}

/// How the vectors of an embedder want to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Angle; the embedder's vectors are of unit length.
    Cosine,
    /// Inner product.
    Dot,
    /// L2.
    Euclid,
    /// L1.
    Manhattan,
}

/// The shape of what an embedder gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `dim` numbers.
    Dense {
        /// How many numbers a vector has.
        dim: usize,
        /// How they want to be compared.
        metric: Metric,
    },
    /// Pairs of index and value, compared by inner product.
    Sparse {
        /// Whether the collection must multiply each of the query's values by the inverse document frequency of its index.
        idf: bool,
    },
}

/// Which model made a vector. Stored with the collection: a query by another model is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The name in the registry, without aliases.
    pub name: String,
    /// Version of the weights or of the algorithm.
    pub version: String,
    /// Checksum of the weights in hexadecimal; where there are none, of the version and the options that change the vectors.
    pub checksum: String,
}

/// What an embedder accepts, and what it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest text in bytes; a larger one is refused as too large.
    pub text_bytes_max: usize,
    /// Largest encoded picture in bytes.
    pub image_bytes_max: usize,
    /// Largest picture in pixels, after decoding.
    pub image_pixels_max: u64,
    /// Largest number of inputs in one call; a queue never passes more.
    pub batch_max: usize,
    /// How long a queue may wait for more inputs before it calls. Zero for an embedder that gains nothing from batches.
    pub gather: Duration,
}

/// Turns media into vectors. Object-safe, synchronous, called from several threads at once.
///
/// What holds for every embedder: the same input with the same purpose gives the same vector, whatever else is in the batch
/// (to rounding); vectors are finite; bytes from outside never panic.
pub trait Embedder: Send + Sync {
    /// Which model this is.
    fn identity(&self) -> &Identity;

    /// The media it takes; an input of another kind gets [`EmbedError::WrongModality`](crate::EmbedError::WrongModality).
    fn modalities(&self) -> &[Modality];

    /// The shape of its vectors.
    fn kind(&self) -> Kind;

    /// What it accepts.
    fn limits(&self) -> Limits;

    /// Embeds a batch: one answer per input, in the order of `inputs`; an error concerns its own input only.
    ///
    /// Blocks until all are done. Time grows with the size of the inputs; see each embedder for its speed.
    fn embed(&self, inputs: &[Input<'_>], purpose: Purpose) -> Batch;
}
