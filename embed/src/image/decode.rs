//! Bytes to pixels, without trust: see [`decode`].

use std::fmt;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};

use super::complete::has_an_end;
use super::sniff::{Format, describe_foreign, sniff};

/// A decoded picture as a person sees it: turned upright, on white, 8 bits a channel.
#[derive(Clone)]
pub struct Picture {
    /// Rows from the top, pixels from the left, red, green and blue in sRGB.
    pub rgb: RgbImage,
    /// What the bytes were.
    pub format: Format,
    /// Width and height stored in the file, before it was turned upright.
    pub stored_size: (u32, u32),
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picture")
            .field("size", &self.rgb.dimensions())
            .field("format", &self.format)
            .field("stored_size", &self.stored_size)
            .finish()
    }
}

/// What [`decode`] accepts. Checked from the header, before memory for pixels is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Encoded bytes.
    pub bytes_max: usize,
    /// Width times height.
    pub pixels_max: u64,
    /// Width, and height.
    pub side_max: u32,
    /// Bytes that decoding may take at once: pixels as stored, plus their 8-bit copies.
    pub memory_bytes_max: u64,
}

impl Default for DecodeLimits {
    /// 32 MB, 64 megapixels (more than a phone's largest photo has), 32,768 pixels a side, 512 MB of memory.
    fn default() -> Self {
        Self {
            bytes_max: 32_000_000,
            pixels_max: 64_000_000,
            side_max: 32_768,
            memory_bytes_max: 512_000_000,
        }
    }
}

/// Why bytes could not be read as a picture: what is wrong, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There are no bytes.
    #[error("the picture is empty (0 bytes): send the bytes of a picture file")]
    Empty,
    /// More encoded bytes than [`DecodeLimits::bytes_max`].
    #[error("the picture has {got} bytes, the limit is {max}: make it smaller")]
    TooManyBytes {
        /// Bytes given.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The bytes begin like no format that is read.
    #[error(
        "not a picture: the bytes look like {looks_like}; send JPEG, PNG, WebP, GIF, BMP or TIFF"
    )]
    NotAPicture {
        /// What they seem to be: `text`, `a PDF document`, `unknown` ...
        looks_like: &'static str,
    },
    /// The header announces more than the limits allow; nothing was allocated for it.
    #[error(
        "the {} picture claims {width} x {height} pixels, the limit is {limit}: scale it down",
        format.name()
    )]
    TooLarge {
        /// Format of the bytes.
        format: Format,
        /// Width in the header.
        width: u32,
        /// Height in the header.
        height: u32,
        /// The limit that it exceeds, with its unit.
        limit: String,
    },
    /// The file ends before the picture does.
    #[error("the {} picture is cut off after {got} bytes: send the whole file again", format.name())]
    Truncated {
        /// Format of the bytes.
        format: Format,
        /// Bytes given.
        got: usize,
    },
    /// The format is known, but this variant of it is not read.
    #[error("this kind of {} is not read ({reason}): save it as plain PNG or JPEG", format.name())]
    Unsupported {
        /// Format of the bytes.
        format: Format,
        /// The decoder's words.
        reason: String,
    },
    /// The bytes contradict themselves.
    #[error("the {} picture is damaged ({reason}): save or send it again", format.name())]
    Damaged {
        /// Format of the bytes.
        format: Format,
        /// The decoder's words.
        reason: String,
    },
}

/// Decodes a JPEG, PNG, WebP, GIF, BMP or TIFF picture.
///
/// The format is told by content, never by name. EXIF orientation is applied, the first frame of an animation is taken,
/// transparency is laid over white, 16-bit, grey, palette and CMYK pixels become 8-bit sRGB (colour profiles are ignored).
///
/// Never panics, whatever the bytes; a panic inside a decoder is caught and reported as damage (the process's panic hook
/// still prints it). Cost: about 10 ns a pixel for JPEG.
///
/// # Errors
///
/// [`DecodeError`] with the reason. Limits are checked on the header, before pixels are allocated.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Picture, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if bytes.len() > limits.bytes_max {
        return Err(DecodeError::TooManyBytes {
            got: bytes.len(),
            max: limits.bytes_max,
        });
    }
    let format = sniff(bytes).ok_or_else(|| DecodeError::NotAPicture {
        looks_like: describe_foreign(bytes),
    })?;
    if !has_an_end(bytes, format) {
        return Err(DecodeError::Truncated {
            format,
            got: bytes.len(),
        });
    }
    catch_unwind(AssertUnwindSafe(|| decode_known(bytes, format, limits))).unwrap_or_else(|_| {
        Err(DecodeError::Damaged {
            format,
            reason: "its decoder gave up".to_owned(),
        })
    })
}

fn decode_known(
    bytes: &[u8],
    format: Format,
    limits: &DecodeLimits,
) -> Result<Picture, DecodeError> {
    let explain = |error| explain_failure(error, format, bytes.len());
    // The PNG decoder takes memory for a row before it tells the size.
    if let Some(size) = png_size(bytes).filter(|_| format == Format::Png) {
        check_size(size, 1, format, limits)?;
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.of_decoder());
    let mut memory = image::Limits::default();
    memory.max_alloc = Some(limits.memory_bytes_max);
    reader.limits(memory);
    let mut decoder = reader.into_decoder().map_err(explain)?;
    let stored_size = decoder.dimensions();
    check_size(
        stored_size,
        decoder.color_type().bytes_per_pixel(),
        format,
        limits,
    )?;
    // A damaged EXIF segment says nothing about the pixels: they are taken as they lie.
    let orientation = decoder
        .orientation()
        .unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut pixels = DynamicImage::from_decoder(decoder).map_err(explain)?;
    pixels.apply_orientation(orientation);
    Ok(Picture {
        rgb: flatten(pixels),
        format,
        stored_size,
    })
}

/// Width and height in the header chunk, which comes first.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let side = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    (bytes.get(12..16)? == b"IHDR").then_some((side(16)?, side(20)?))
}

fn check_size(
    (width, height): (u32, u32),
    stored_pixel_bytes: u8,
    format: Format,
    limits: &DecodeLimits,
) -> Result<(), DecodeError> {
    let too_large = |limit| {
        Err(DecodeError::TooLarge {
            format,
            width,
            height,
            limit,
        })
    };
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(DecodeError::Damaged {
            format,
            reason: "it has no pixels".to_owned(),
        });
    }
    if width.max(height) > limits.side_max {
        return too_large(format!("{} pixels a side", limits.side_max));
    }
    if pixels > limits.pixels_max {
        return too_large(format!("{} pixels", limits.pixels_max));
    }
    // Pixels as stored, a turned or 8-bit copy with alpha, and the result.
    let memory_bytes = pixels * (u64::from(stored_pixel_bytes) + 4);
    if memory_bytes > limits.memory_bytes_max {
        return too_large(format!(
            "{} MB of memory (it needs at least {})",
            limits.memory_bytes_max / 1_000_000,
            memory_bytes.div_ceil(1_000_000)
        ));
    }
    Ok(())
}

/// 8-bit RGB, with what is transparent laid over white.
fn flatten(pixels: DynamicImage) -> RgbImage {
    if !pixels.color().has_alpha() {
        return pixels.into_rgb8();
    }
    let rgba = pixels.into_rgba8();
    let (width, height) = rgba.dimensions();
    let over_white = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        // Never above 255 * 255 / 255.
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    let mut rgb = Vec::with_capacity(rgba.len() / 4 * 3);
    for &[r, g, b, alpha] in rgba.as_raw().as_chunks::<4>().0 {
        rgb.extend([
            over_white(r, alpha),
            over_white(g, alpha),
            over_white(b, alpha),
        ]);
    }
    RgbImage::from_raw(width, height, rgb).expect("three bytes a pixel were written")
}

fn explain_failure(error: ImageError, format: Format, got: usize) -> DecodeError {
    let reason = match &error {
        ImageError::Decoding(inner) => innermost(inner),
        _ => innermost(&error),
    };
    match error {
        ImageError::IoError(inner) if inner.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format, got }
        }
        ImageError::Unsupported(_) => DecodeError::Unsupported { format, reason },
        ImageError::Limits(inner) if matches!(inner.kind(), LimitErrorKind::InsufficientMemory) => {
            DecodeError::Damaged {
                format,
                reason: "it asks for more memory than its header needs".to_owned(),
            }
        }
        _ => DecodeError::Damaged { format, reason },
    }
}

/// The deepest cause, which says the most, in one line of bounded length.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
        .to_string()
        .replace(['\n', '\r'], " ")
        .chars()
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests;
