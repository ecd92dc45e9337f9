//! How fast pictures are decoded, made small, and embedded: one thread, a photo-like picture of 256 and one of 4,000 pixels.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use embed::image::{DecodeLimits, ImageEmbedder, Mode, ThumbnailFormat, decode, thumbnail};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

/// Soft shapes with grain, which compresses about as a photo does.
fn photo(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let grain = (x.wrapping_mul(7919) ^ y.wrapping_mul(104_729)).wrapping_mul(2_654_435_761);
        let value = |phase: f32| {
            let wave = ((u * 9.0 + phase).sin() + (v * 7.0 - phase * u).cos()) * 55.0 + 128.0;
            (wave + (grain >> 28) as f32) as u8
        };
        Rgb([value(0.0), value(1.0), value(2.5)])
    })
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture.clone())
        .write_to(&mut bytes, ImageFormat::Jpeg)
        .unwrap();
    bytes.into_inner()
}

fn pictures(criterion: &mut Criterion) {
    let (small, large) = (photo(256, 256), photo(4000, 3000));
    let mut group = criterion.benchmark_group("image");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for mode in [Mode::All, Mode::Color, Mode::Shape] {
        let model = ImageEmbedder::builtin(mode).unwrap();
        group.bench_function(format!("embed 256 px, {mode:?}"), |bencher| {
            bencher.iter(|| model.embed_picture(black_box(&small)));
        });
    }
    for (name, picture) in [("256 px", &small), ("12 MP", &large)] {
        let bytes = jpeg(picture);
        let limits = DecodeLimits::default();
        group.bench_function(format!("decode JPEG {name}"), |bencher| {
            bencher.iter(|| decode(black_box(&bytes), &limits).unwrap());
        });
        group.bench_function(format!("thumbnail of {name}"), |bencher| {
            bencher.iter(|| thumbnail(black_box(picture), 256, ThumbnailFormat::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, pictures);
criterion_main!(benches);
