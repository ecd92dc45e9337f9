//! Every fixture is made here, by the encoders of the `image` crate or by hand.

use image::{DynamicImage, ImageFormat, Rgb, Rgba, RgbaImage};
use proptest::prelude::*;

use super::*;

const FORMATS: [Format; 6] = [
    Format::Jpeg,
    Format::Png,
    Format::WebP,
    Format::Gif,
    Format::Bmp,
    Format::Tiff,
];

fn decode_default(bytes: &[u8]) -> Result<Picture, DecodeError> {
    decode(bytes, &DecodeLimits::default())
}

fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// 48 x 32: red above left, green above right, blue below; with some texture, so that files are not tiny.
fn flag() -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::from_fn(48, 32, |x, y| {
        let grain = ((x * 31 + y * 17) % 13) as u8;
        match (x < 24, y < 16) {
            (true, true) => Rgb([220 + grain, 10, 10]),
            (false, true) => Rgb([10, 200 + grain, 10]),
            (_, false) => Rgb([10, 10, 200 + grain]),
        }
    }))
}

fn assert_near(picture: &RgbImage, at: (u32, u32), wanted: [u8; 3]) {
    let got = picture.get_pixel(at.0, at.1).0;
    assert!(
        (0..3).all(|c| got[c].abs_diff(wanted[c]) <= 26),
        "{at:?}: {got:?}, not {wanted:?}"
    );
}

#[test]
fn every_format_is_read_by_its_content() {
    for format in FORMATS {
        let bytes = encode(&flag(), format.of_decoder());
        let picture = decode_default(&bytes).unwrap();
        assert_eq!((picture.format, picture.stored_size), (format, (48, 32)));
        assert_near(&picture.rgb, (8, 6), [226, 10, 10]);
        assert_near(&picture.rgb, (40, 6), [10, 206, 10]);
        assert_near(&picture.rgb, (24, 28), [10, 10, 206]);
    }
}

#[test]
fn all_kinds_of_pixels_become_rgb() {
    let grey = |value: u8| [value, value, value];
    let base = DynamicImage::ImageRgb8(RgbImage::from_pixel(9, 7, Rgb([90, 90, 90])));
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        for kind in [
            DynamicImage::ImageLuma8(base.to_luma8()),
            DynamicImage::ImageLuma16(base.to_luma16()),
            DynamicImage::ImageRgb16(base.to_rgb16()),
            DynamicImage::ImageRgba16(base.to_rgba16()),
        ] {
            let picture = decode_default(&encode(&kind, format)).unwrap();
            assert_near(&picture.rgb, (3, 3), grey(90));
        }
    }
    let jpeg = encode(
        &DynamicImage::ImageLuma8(base.to_luma8()),
        ImageFormat::Jpeg,
    );
    assert_near(&decode_default(&jpeg).unwrap().rgb, (3, 3), grey(90));
    let float = encode(
        &DynamicImage::ImageRgb32F(base.to_rgb32f()),
        ImageFormat::Tiff,
    );
    assert_near(&decode_default(&float).unwrap().rgb, (3, 3), grey(90));
}

#[test]
fn what_is_transparent_lies_on_white() {
    let glass = RgbaImage::from_fn(4, 1, |x, _| {
        Rgba([255, 0, 0, [0, 128, 255, 64][x as usize]])
    });
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff] {
        let bytes = encode(&DynamicImage::ImageRgba8(glass.clone()), format);
        let pixels: Vec<u8> = decode_default(&bytes).unwrap().rgb.into_raw();
        assert_eq!(
            pixels,
            [255, 255, 255, 255, 127, 127, 255, 0, 0, 255, 191, 191],
            "{format:?}"
        );
    }
}

/// Puts an APP1 segment with one EXIF entry, the orientation, behind the start of a JPEG.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut turned = jpeg[..2].to_vec();
    turned.extend([0xFF, 0xE1]);
    turned.extend((exif.len() as u16 + 2).to_be_bytes());
    turned.extend(exif);
    turned.extend(&jpeg[2..]);
    turned
}

#[test]
fn pictures_are_turned_upright() {
    let jpeg = encode(&flag(), ImageFormat::Jpeg);
    // Where the red quarter, above left in the file, must be seen: (left, above).
    for (orientation, left, above) in [
        (1, true, true),
        (2, false, true),
        (3, false, false),
        (4, true, false),
        (5, true, true),
        (6, false, true),
        (7, false, false),
        (8, true, false),
        (99, true, true),
    ] {
        let picture = decode_default(&with_orientation(&jpeg, orientation)).unwrap();
        let (width, height) = picture.rgb.dimensions();
        let is_turned = (5..=8).contains(&orientation);
        assert_eq!((width, height), if is_turned { (32, 48) } else { (48, 32) });
        assert_eq!(picture.stored_size, (48, 32));
        let at = (
            if left { 6 } else { width - 7 },
            if above { 6 } else { height - 7 },
        );
        assert_near(&picture.rgb, at, [226, 10, 10]);
    }
}

#[test]
fn of_an_animation_the_first_frame_is_taken() {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    for color in [[200, 0, 0, 255], [0, 200, 0, 255]] {
        let frame = image::Frame::new(RgbaImage::from_pixel(6, 6, Rgba(color)));
        encoder.encode_frame(frame).unwrap();
    }
    drop(encoder);
    assert_near(&decode_default(&bytes).unwrap().rgb, (3, 3), [200, 0, 0]);
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    let noisy = DynamicImage::ImageRgb8(RgbImage::from_fn(80, 60, |x, y| {
        Rgb([(x * y) as u8, (x * 3 + y * 5) as u8, (x ^ y) as u8 * 3])
    }));
    for format in FORMATS {
        let bytes = encode(&noisy, format.of_decoder());
        for tenth in 0..10 {
            let error = decode_default(&bytes[..bytes.len() * tenth / 10]).unwrap_err();
            let text = error.to_string();
            let says_so = matches!(
                error,
                DecodeError::Empty | DecodeError::Truncated { .. } | DecodeError::Damaged { .. }
            );
            assert!(says_so && text.len() > 40, "{format:?} {tenth}/10: {text}");
        }
    }
}

#[test]
fn a_thumbnail_inside_a_jpeg_is_not_its_end() {
    let jpeg = encode(&flag(), ImageFormat::Jpeg);
    let mut nested = jpeg[..2].to_vec();
    nested.extend([0xFF, 0xE5]);
    nested.extend((jpeg.len() as u16 + 2).to_be_bytes());
    nested.extend(&jpeg);
    nested.extend(&jpeg[2..]);
    assert!(decode_default(&nested).is_ok());
    let cut = &nested[..nested.len() - 200];
    assert!(matches!(
        decode_default(cut),
        Err(DecodeError::Truncated { .. })
    ));
}

#[test]
fn what_is_no_picture_is_named() {
    let check = |bytes: &[u8], start: &str| {
        let text = decode_default(bytes).unwrap_err().to_string();
        assert!(text.starts_with(start), "{text}");
    };
    check(b"", "the picture is empty");
    check(
        b"meeting notes, Tuesday\n",
        "not a picture: the bytes look like text",
    );
    check(
        b"%PDF-1.4\n",
        "not a picture: the bytes look like a PDF document",
    );
    check(&[7; 100], "not a picture: the bytes look like unknown");
    check(b"\xFF\xD8\xFF\xD9", "the JPEG picture is damaged");
}

/// A PNG header of any size, with a checksum that is right, and no pixels.
fn png_that_claims(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1A\n\0\0\0\x0D".to_vec();
    bytes.extend(&header);
    bytes.extend(crc32(&header).to_be_bytes());
    let data = b"IDAT\x78\x9C\x03\0\0\0\0\x01";
    bytes.extend([0, 0, 0, 8]);
    bytes.extend(data);
    bytes.extend(crc32(data).to_be_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let fold = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    };
    !bytes.iter().fold(!0, fold)
}

#[test]
fn claims_beyond_the_limits_are_refused_from_the_header() {
    let check = |bytes: &[u8], limits: &DecodeLimits, end: &str| {
        let text = decode(bytes, limits).unwrap_err().to_string();
        assert!(text.contains(end), "{text}");
    };
    let limits = DecodeLimits::default();
    let started = std::time::Instant::now();
    check(
        &png_that_claims(60_000, 60_000),
        &limits,
        "claims 60000 x 60000 pixels, the limit is",
    );
    check(
        &png_that_claims(1_000_000, 10),
        &limits,
        "32768 pixels a side",
    );
    check(
        &png_that_claims(2_000_000_000, 1),
        &limits,
        "32768 pixels a side",
    );
    check(&png_that_claims(9000, 9000), &limits, "64000000 pixels");
    let tight = DecodeLimits {
        memory_bytes_max: 10_000_000,
        ..limits
    };
    check(
        &png_that_claims(3000, 3000),
        &tight,
        "10 MB of memory (it needs at least 45)",
    );
    let small = DecodeLimits {
        bytes_max: 10,
        ..limits
    };
    check(
        &encode(&flag(), ImageFormat::Png),
        &small,
        "the limit is 10",
    );
    assert!(
        started.elapsed().as_millis() < 500,
        "nothing of that size was allocated"
    );
    // The header alone is not believed either: what is within the limits must be there.
    assert!(matches!(
        decode_default(&png_that_claims(200, 200)),
        Err(DecodeError::Truncated { .. } | DecodeError::Damaged { .. })
    ));
}

/// Headers of other formats that claim 60,000 x 60,000.
#[test]
fn claims_of_other_formats_are_refused_too() {
    let mut bmp = encode(&flag(), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&60_000i32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000i32.to_le_bytes());
    let mut gif = encode(&flag(), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0x60, 0xEA, 0x60, 0xEA]);
    let mut jpeg = encode(&flag(), ImageFormat::Jpeg);
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xFF, 0xC0])
        .unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xEA, 0x60, 0xEA, 0x60]);
    for bytes in [bmp, gif, jpeg] {
        assert!(matches!(
            decode_default(&bytes),
            Err(DecodeError::TooLarge { .. })
        ));
    }
}

/// A CMYK JPEG of 8 x 8 pixels of one colour, as Adobe writes them (inverted), made bit by bit: every component is one block
/// with a DC value and nothing else.
fn cmyk_jpeg(inverted: [u8; 4]) -> Vec<u8> {
    let mut bytes = b"\xFF\xD8\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0\0".to_vec();
    bytes.extend(b"\xFF\xDB\0\x43\0");
    bytes.extend([8; 64]); // with it, a DC difference of n is n levels of brightness
    bytes.extend(b"\xFF\xC0\0\x14\x08\0\x08\0\x08\x04");
    (1..=4u8).for_each(|component| bytes.extend([component, 0x11, 0]));
    // DC table: sixteen lengths, eight codes of 4 bits for sizes 0 to 7 and one of 5 for 8; AC table: code 0 is end of block.
    bytes.extend(b"\xFF\xC4\0\x1C\0\0\0\0\x08\x01\0\0\0\0\0\0\0\0\0\0\0");
    bytes.extend([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    bytes.extend(b"\xFF\xC4\0\x14\x10\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    bytes.extend(b"\xFF\xDA\0\x0E\x04\x01\0\x02\0\x03\0\x04\0\0\x3F\0");
    let mut bits = Vec::new();
    let mut put = |value: u32, count: u32| {
        bits.extend((0..count).rev().map(|at| value >> at & 1));
    };
    for level in inverted {
        let difference = i32::from(level) - 128;
        let size = 32 - difference.unsigned_abs().leading_zeros();
        if size == 8 {
            put(16, 5)
        } else {
            put(size, 4)
        }
        let low = if difference < 0 {
            difference - 1
        } else {
            difference
        };
        put(low as u32 & ((1 << size) - 1), size);
        put(0, 1);
    }
    bits.resize(bits.len().div_ceil(8) * 8, 1);
    for byte in bits.chunks(8) {
        let byte = byte.iter().fold(0u8, |byte, bit| byte << 1 | *bit as u8);
        bytes.push(byte);
        if byte == 0xFF {
            bytes.push(0);
        }
    }
    bytes.extend([0xFF, 0xD9]);
    bytes
}

#[test]
fn cmyk_becomes_rgb() {
    for (inverted, wanted) in [
        ([255, 255, 255, 255], [255, 255, 255]),
        ([255, 40, 40, 255], [255, 40, 40]),
        ([100, 200, 100, 255], [100, 200, 100]),
        ([255, 255, 255, 60], [60, 60, 60]),
    ] {
        let picture = decode_default(&cmyk_jpeg(inverted)).unwrap();
        assert_near(&picture.rgb, (4, 4), wanted);
    }
}

fn any_format() -> impl Strategy<Value = Format> {
    proptest::sample::select(FORMATS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes_never_panic(format in any_format(), tail in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = encode(&flag(), format.of_decoder())[..20].to_vec();
        bytes.extend(&tail);
        let _ = decode_default(&bytes);
        let _ = decode_default(&tail);
    }

    #[test]
    fn damaged_files_never_panic(
        format in any_format(),
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = encode(&flag(), format.of_decoder());
        for (at, value) in hits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(picture) = decode_default(&bytes) {
            prop_assert!(picture.rgb.width() > 0 && picture.rgb.height() > 0);
        }
    }
}
