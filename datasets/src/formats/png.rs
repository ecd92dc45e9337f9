//! A PNG of grey bytes, the least that the format allows: pictures out of arrays.
//!
//! Specification: <https://www.w3.org/TR/png-3>, sections 5 and 11.2.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

/// Encodes `grey` (`[height * width]`, from the top left, rows first) as an 8-bit grey PNG.
pub(super) fn encode_grey(width: u32, height: u32, grey: &[u8]) -> Vec<u8> {
    const DEPTH_GREY_DEFLATE_ADAPTIVE_PLAIN: [u8; 5] = [8, 0, 0, 0, 0];
    let mut header = Vec::with_capacity(13);
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend(DEPTH_GREY_DEFLATE_ADAPTIVE_PLAIN);

    let mut filtered = Vec::with_capacity(grey.len() + height as usize);
    for row in grey.chunks(width.max(1) as usize) {
        filtered.push(0); // filter type: none
        filtered.extend_from_slice(row);
    }
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
    let packed = packer
        .write_all(&filtered)
        .and_then(|()| packer.finish())
        .expect("writing to memory does not fail");

    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut png, *b"IHDR", &header);
    chunk(&mut png, *b"IDAT", &packed);
    chunk(&mut png, *b"IEND", &[]);
    png
}

fn chunk(png: &mut Vec<u8>, kind: [u8; 4], body: &[u8]) {
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(body);
    png.extend((body.len() as u32).to_be_bytes());
    png.extend(kind);
    png.extend(body);
    png.extend(crc.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_to_the_same() {
        let grey: Vec<u8> = (0..12).map(|i| i * 20).collect();
        let picture = tiny_skia::Pixmap::decode_png(&encode_grey(4, 3, &grey)).unwrap();
        assert_eq!((picture.width(), picture.height()), (4, 3));
        let got: Vec<u8> = picture.pixels().iter().map(|pixel| pixel.green()).collect();
        assert_eq!(got, grey);
    }
}
