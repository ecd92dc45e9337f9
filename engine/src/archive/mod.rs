//! A collection in one portable file: its settings and every point with vectors, payload and media.
//!
//! An archive knows neither partitions nor log positions nor segments, so it can be read into any store of any version that knows its
//! format. Layout, numbers little-endian:
//!
//! ```text
//! file    "VECINOAR" | version u32 | frame*
//! frame   kind u8 | body bytes u32 | CRC-32 u32 of (frame number u64, kind, body) | body
//! kinds   1 header (first), 2 points (any number), 3 end (last): codec records, see `record`
//! ```
//!
//! The frame's number is part of its checksum, so a frame that is missing or moved is noticed; the end says how many points came before it, so
//! a file that was cut is.

mod frame;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod read;
mod record;
mod write;

pub use read::ArchiveReader;
pub use write::ArchiveSummary;

#[cfg(test)]
mod tests;
