//! Pictures: decoding without trust, thumbnails, and the built-in embedders of look.
//!
//! ```text
//! bytes --decode--> Picture --canvas--> 128 x 128 --descriptor--> 8 parts --projection--> 256 numbers
//!                      \--thumbnail--> small JPEG or PNG
//! ```
//!
//! What it is: a descriptor of shape, texture and colour as computer vision had them before networks, and a projection
//! learned from a few hundred photos and some drawings. What it is not: it finds look-alikes, not meanings: two photos of the same
//! kind of thing in another pose are far apart. For meanings, give a model.
//!
//! ```
//! use embed::image::{DecodeLimits, ImageEmbedder, Mode, ThumbnailFormat, decode, thumbnail};
//!
//! let red = image::RgbImage::from_pixel(40, 30, image::Rgb([200, 30, 30]));
//! let file = thumbnail(&red, 256, ThumbnailFormat::Png);
//!
//! let picture = decode(&file, &DecodeLimits::default())?;
//! assert_eq!(picture.rgb.dimensions(), (40, 30));
//! let vector = ImageEmbedder::builtin(Mode::All)?.embed_picture(&picture.rgb);
//! assert_eq!(vector.len(), 256);
//!
//! let error = decode(b"dear diary", &DecodeLimits::default()).unwrap_err();
//! assert!(error.to_string().starts_with("not a picture: the bytes look like text"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod affine;
mod canvas;
mod complete;
mod decode;
pub mod descriptor;
mod embedder;
pub mod projection;
mod sniff;
mod thumbnail;

pub use affine::{Affine, AffineError};
pub use decode::{DecodeError, DecodeLimits, Picture, decode};
pub use embedder::ImageEmbedder;
pub use projection::Mode;
pub use sniff::{Format, sniff};
pub use thumbnail::{THUMBNAIL_SIZE_DEFAULT, ThumbnailFormat, thumbnail};
