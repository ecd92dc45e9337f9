//! Small copies of pictures, to show in lists: see [`thumbnail`].

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

/// Longer side of a thumbnail in pixels unless the caller says otherwise: sharp in a list on a dense screen, about 12 kB.
pub const THUMBNAIL_SIZE_DEFAULT: u32 = 256;

/// What a thumbnail is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThumbnailFormat {
    /// `image/jpeg` of the given quality (1 to 100).
    Jpeg {
        /// Quality on the encoder's scale; values outside are moved to its ends.
        quality: u8,
    },
    /// `image/png`: exact, for drawings; several times the bytes of a JPEG for photos.
    Png,
}

impl Default for ThumbnailFormat {
    /// JPEG of quality 82: smaller gains no bytes worth its blocks.
    fn default() -> Self {
        ThumbnailFormat::Jpeg { quality: 82 }
    }
}

impl ThumbnailFormat {
    /// The media type to send with the bytes.
    pub fn media_type(self) -> &'static str {
        match self {
            ThumbnailFormat::Jpeg { .. } => "image/jpeg",
            ThumbnailFormat::Png => "image/png",
        }
    }
}

/// Returns an encoded copy of `picture` whose longer side is at most `size_max` pixels (0 counts as 1).
///
/// The shape is kept; a picture that is small already keeps its size. The same picture gives the same bytes.
/// Cost: about 1 ns for each pixel of the picture and 1 ms for a thumbnail of 256.
pub fn thumbnail(picture: &RgbImage, size_max: u32, format: ThumbnailFormat) -> Vec<u8> {
    let (width, height) = fit(picture.dimensions(), size_max);
    let small = resize(picture, width, height, FilterType::CatmullRom);
    let mut bytes = Vec::new();
    let rgb8 = ExtendedColorType::Rgb8;
    match format {
        ThumbnailFormat::Jpeg { quality } => JpegEncoder::new_with_quality(
            &mut bytes,
            quality.clamp(1, 100),
        )
        .write_image(small.as_raw(), width, height, rgb8),
        ThumbnailFormat::Png => {
            PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, PngFilter::Adaptive)
                .write_image(small.as_raw(), width, height, rgb8)
        }
    }
    .expect("writing a small RGB picture to memory cannot fail");
    bytes
}

/// The largest size of the same shape within `size_max`, never larger than it is, each side at least 1.
fn fit((width, height): (u32, u32), size_max: u32) -> (u32, u32) {
    // The encoders take sides up to 65,535.
    let longest = width.max(height).max(1);
    let size = size_max.clamp(1, 8192).min(longest);
    let scale = |side: u32| {
        let scaled =
            (u64::from(side) * u64::from(size) * 2 + u64::from(longest)) / (2 * u64::from(longest));
        (scaled as u32).max(1)
    };
    (scale(width), scale(height))
}

/// Resamples to exactly `width` x `height`; neither they nor the picture's sides may be 0.
pub(super) fn resize(picture: &RgbImage, width: u32, height: u32, filter: FilterType) -> RgbImage {
    if picture.dimensions() == (width, height) {
        return picture.clone();
    }
    let source =
        TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.as_raw())
            .expect("an RgbImage has three bytes a pixel");
    let mut resized = RgbImage::new(width, height);
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut resized)
        .expect("an RgbImage has three bytes a pixel");
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    // Not `resize`, which finds out the type of pixel at run time: it would compile the filters for all types there are,
    // most of the time that this crate takes to compile.
    Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .expect("a whole picture lies within itself");
    resized
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn sides_fit() {
        let check = |from, size, expected| assert_eq!(fit(from, size), expected);
        check((4000, 3000), 256, (256, 192));
        check((3000, 4000), 256, (192, 256));
        check((100, 50), 256, (100, 50));
        check((30_000, 2), 256, (256, 1));
        check((1, 1), 0, (1, 1));
        check((500, 500), u32::MAX, (500, 500));
    }

    #[test]
    fn a_thumbnail_looks_like_its_picture() {
        let half_red = RgbImage::from_fn(800, 400, |x, _| {
            if x < 400 {
                Rgb([220, 20, 20])
            } else {
                Rgb([250, 250, 250])
            }
        });
        for format in [ThumbnailFormat::default(), ThumbnailFormat::Png] {
            let bytes = thumbnail(&half_red, 256, format);
            assert!(bytes.len() < 6000, "{format:?}: {} bytes", bytes.len());
            let small = image::load_from_memory(&bytes).unwrap().into_rgb8();
            assert_eq!(small.dimensions(), (256, 128));
            let near = |at: (u32, u32), wanted: [u8; 3]| {
                let got = small.get_pixel(at.0, at.1).0;
                assert!((0..3).all(|c| got[c].abs_diff(wanted[c]) < 12), "{got:?}");
            };
            near((40, 64), [220, 20, 20]);
            near((220, 64), [250, 250, 250]);
            assert_eq!(bytes, thumbnail(&half_red, 256, format));
        }
    }

    #[test]
    fn odd_shapes_pass() {
        for (width, height) in [(1, 1), (1, 3000), (3000, 1), (257, 255)] {
            let picture = RgbImage::from_pixel(width, height, Rgb([1, 2, 3]));
            let bytes = thumbnail(&picture, 64, ThumbnailFormat::default());
            assert!(image::load_from_memory(&bytes).is_ok());
        }
    }
}
