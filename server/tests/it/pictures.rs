//! Pictures made by hand, sound and broken.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A bitmap of one colour with a darker frame, so that it has a shape.
pub fn bmp(width: u32, height: u32, [r, g, b]: [u8; 3]) -> Vec<u8> {
    let row_bytes = (width * 3).next_multiple_of(4);
    let size = 54 + row_bytes * height;
    let mut out = b"BM".to_vec();
    for number in [size, 0, 54, 40, width, height] {
        out.extend(number.to_le_bytes());
    }
    out.extend([1, 0, 24, 0]);
    for number in [0, row_bytes * height, 2835, 2835, 0, 0] {
        out.extend(number.to_le_bytes());
    }
    for y in 0..height {
        let mut row = Vec::new();
        for x in 0..width {
            let frame = x < 2 || y < 2 || x + 2 >= width || y + 2 >= height;
            row.extend(if frame {
                [b / 3, g / 3, r / 3]
            } else {
                [b, g, r]
            });
        }
        row.resize(row_bytes as usize, 0);
        out.extend(row);
    }
    out
}

pub const RED: [u8; 3] = [220, 30, 30];
pub const GREEN: [u8; 3] = [40, 170, 60];
pub const BLUE: [u8; 3] = [30, 60, 210];

pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A PNG whose header claims a size that nobody should allocate.
pub fn png_that_claims(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for chunk in [
        header,
        b"IDAT\x78\x9c\x03\0\0\0\0\x01".to_vec(),
        b"IEND".to_vec(),
    ] {
        out.extend(((chunk.len() - 4) as u32).to_be_bytes());
        out.extend(&chunk);
        out.extend(crc32(&chunk).to_be_bytes());
    }
    out
}

/// The start of a JPEG, as a broken upload leaves it.
pub fn truncated_jpeg() -> Vec<u8> {
    let mut out =
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xdb\0\x43\0".to_vec();
    out.extend([16; 40]);
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
