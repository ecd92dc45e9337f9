//! Tells what bytes are by looking at them: a file's name and a request's content type are never believed.

use image::ImageFormat;

/// The picture formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG, baseline or progressive, grey, colour or CMYK.
    Jpeg,
    /// PNG with 1 to 16 bits a channel; of an animated one the default picture.
    Png,
    /// WebP, lossy or lossless; of an animation the first frame.
    WebP,
    /// GIF; of an animation the first frame.
    Gif,
    /// Windows bitmap.
    Bmp,
    /// TIFF; of several pages the first.
    Tiff,
}

impl Format {
    /// The name people use, such as `JPEG`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::WebP => "WebP",
            Format::Gif => "GIF",
            Format::Bmp => "BMP",
            Format::Tiff => "TIFF",
        }
    }

    /// The media type to send with such bytes, such as `image/jpeg`.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Jpeg => "image/jpeg",
            Format::Png => "image/png",
            Format::WebP => "image/webp",
            Format::Gif => "image/gif",
            Format::Bmp => "image/bmp",
            Format::Tiff => "image/tiff",
        }
    }

    pub(super) fn of_decoder(self) -> ImageFormat {
        match self {
            Format::Jpeg => ImageFormat::Jpeg,
            Format::Png => ImageFormat::Png,
            Format::WebP => ImageFormat::WebP,
            Format::Gif => ImageFormat::Gif,
            Format::Bmp => ImageFormat::Bmp,
            Format::Tiff => ImageFormat::Tiff,
        }
    }
}

/// Returns the format that the first bytes announce, or `None` if they announce none that is read.
///
/// Looks at 12 bytes at most; says nothing about whether the rest is sound.
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if starts(b"\xFF\xD8\xFF") {
        Some(Format::Jpeg)
    } else if starts(b"\x89PNG\r\n\x1A\n") {
        Some(Format::Png)
    } else if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(Format::WebP)
    } else if starts(b"GIF87a") || starts(b"GIF89a") {
        Some(Format::Gif)
    } else if starts(b"II*\0") || starts(b"MM\0*") || starts(b"II+\0") || starts(b"MM\0+") {
        Some(Format::Tiff)
    } else if starts(b"BM") && bmp_header_size_is_known(bytes) {
        Some(Format::Bmp)
    } else {
        None
    }
}

/// `BM` alone also begins ordinary words, so the size of the second header is looked at as well.
fn bmp_header_size_is_known(bytes: &[u8]) -> bool {
    let size = bytes
        .get(14..18)
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    matches!(size, Some(12 | 16 | 40 | 52 | 56 | 64 | 108 | 124))
}

/// Says in words what bytes that are no readable picture seem to be, for an error message.
pub(super) fn describe_foreign(bytes: &[u8]) -> &'static str {
    const MAGICS: &[(&[u8], &str)] = &[
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive or an office document"),
        (b"\x1F\x8B", "a gzip file"),
        (b"\xFF\x0A", "a JPEG XL picture, which is not read"),
        (b"\0\0\0\x0CJXL ", "a JPEG XL picture, which is not read"),
        (b"\0\0\0\x0CjP  ", "a JPEG 2000 picture, which is not read"),
        (b"8BPS", "a Photoshop file, which is not read"),
        (b"\0\0\x01\0", "an icon file, which is not read"),
        (b"qoif", "a QOI picture, which is not read"),
        (b"\x1A\x45\xDF\xA3", "a video"),
    ];
    if let Some((_, what)) = MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return what;
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return match bytes.get(8..12) {
            Some(b"avif" | b"avis") => "an AVIF picture, which is not read",
            Some(b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1") => {
                "a HEIC picture, which is not read"
            }
            _ => "a video",
        };
    }
    describe_text(bytes).unwrap_or("unknown")
}

fn describe_text(bytes: &[u8]) -> Option<&'static str> {
    let head = &bytes[..bytes.len().min(512)];
    if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
        return Some("text");
    }
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end of the head, nowhere else.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0C' | '\x1B');
    if text.is_empty() || text.chars().any(is_odd) {
        return None;
    }
    let start = text
        .trim_start_matches('\u{FEFF}')
        .trim_start()
        .to_ascii_lowercase();
    Some(
        if start.starts_with("<svg") || (start.starts_with("<?xml") && start.contains("<svg")) {
            "an SVG drawing, which is not read"
        } else if start.starts_with("<!doctype html") || start.starts_with("<html") {
            "a web page"
        } else if start.starts_with("data:image/") {
            "a data URI, which must be turned into bytes first"
        } else {
            "text"
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let check = |bytes: &[u8], expected| assert_eq!(sniff(bytes), expected, "{bytes:?}");
        check(b"\xFF\xD8\xFF\xE0", Some(Format::Jpeg));
        check(b"\x89PNG\r\n\x1A\n....", Some(Format::Png));
        check(b"RIFF\x10\0\0\0WEBPVP8 ", Some(Format::WebP));
        check(b"RIFF\x10\0\0\0WAVEfmt ", None);
        check(b"GIF89a", Some(Format::Gif));
        check(b"MM\0*\0\0\0\x08", Some(Format::Tiff));
        check(b"BM0000\0\0\0\0\x36\0\0\0\x28\0\0\0", Some(Format::Bmp));
        check(b"BMW builds cars and motorcycles", None);
        check(b"", None);
    }

    #[test]
    fn foreign_bytes_are_named() {
        let check = |bytes: &[u8], expected| assert_eq!(describe_foreign(bytes), expected);
        check(b"hello, world\n", "text");
        check("caf\u{e9} ".repeat(200).as_bytes(), "text");
        check(b"<svg xmlns='x'/>", "an SVG drawing, which is not read");
        check(b"<!DOCTYPE html><p>", "a web page");
        check(b"%PDF-1.7", "a PDF document");
        check(b"\0\0\0\x20ftypheic", "a HEIC picture, which is not read");
        check(b"\x01\x02\x03\xF0\x9F", "unknown");
    }
}
