//! Notices files that were cut off.
//!
//! The JPEG decoder fills what is missing with grey and reports nothing, which would put a vector of half a picture into
//! a collection. So the container is walked before decoding. The decoders of the other formats report it themselves.

use super::sniff::Format;

/// Whether the file has an end. Cheap: looks at every byte of a JPEG once, at 8 bytes of a WebP.
pub(super) fn has_an_end(bytes: &[u8], format: Format) -> bool {
    match format {
        Format::Jpeg => jpeg_reaches_end_marker(bytes).unwrap_or(false),
        Format::WebP => riff_is_all_there(bytes),
        Format::Png | Format::Gif | Format::Bmp | Format::Tiff => true,
    }
}

const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;

/// Walks segment by segment to the end-of-image marker; `None` if the bytes end first.
///
/// Segments are skipped by their length, so the markers of a thumbnail inside an APP1 segment are not taken for the picture's.
fn jpeg_reaches_end_marker(bytes: &[u8]) -> Option<bool> {
    let mut at = 2; // after start-of-image
    loop {
        at = next_marker(bytes, at)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            END_OF_IMAGE => return Some(true),
            0x01 | 0xD0..=0xD8 => {}
            _ => {
                let length = u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]);
                at += usize::from(length);
                if marker == START_OF_SCAN && at > bytes.len() {
                    return None;
                }
            }
        }
    }
}

/// Position of the next marker's second byte: skips entropy-coded data, stuffed zeros and fill bytes.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)? + 1;
        while *bytes.get(at)? == 0xFF {
            at += 1;
        }
        if bytes[at] != 0 {
            return Some(at);
        }
    }
}

/// The RIFF header counts the bytes after itself.
fn riff_is_all_there(bytes: &[u8]) -> bool {
    let size = bytes
        .get(4..8)
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    size.is_some_and(|size| size as usize <= bytes.len() - 8)
}
