//! Pictures: decoding, thumbnails, and the built-in embedder.

mod canvas;
mod complete;
mod decode;
pub mod descriptor;
mod sniff;
mod thumbnail;

pub use decode::{DecodeError, DecodeLimits, Picture, decode};
pub use sniff::{Format, sniff};
pub use thumbnail::{THUMBNAIL_SIZE_DEFAULT, ThumbnailFormat, thumbnail};
