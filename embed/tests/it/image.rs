//! `vecino/image` and its two sisters through the registry: what they find on real photos, and what they refuse.

use std::path::{Path, PathBuf};

use embed::{EmbedError, Embedder, Embedding, Input, Kind, Metric, Modality, Purpose, Registry};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use serde_json::Value;

const NAMES: [&str; 3] = ["vecino/image", "vecino/image-color", "vecino/image-shape"];

fn png(picture: RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture)
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

fn embed_all(model: &dyn Embedder, pictures: &[Vec<u8>]) -> Vec<Result<Vec<f32>, EmbedError>> {
    let inputs: Vec<_> = pictures.iter().map(|bytes| Input::Image(bytes)).collect();
    let rows = model.embed(&inputs, Purpose::Document).into_iter();
    rows.map(|row| {
        row.map(|embedding| match embedding {
            Embedding::Dense(vector) => vector,
            Embedding::Sparse(_) => panic!("a picture's vector is dense"),
        })
    })
    .collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A disc or a box of one colour on a light ground.
fn thing(is_round: bool, color: [u8; 3], shift: i32) -> Vec<u8> {
    png(RgbImage::from_fn(120, 120, |x, y| {
        let (dx, dy) = (x as i32 - 60 - shift, y as i32 - 60);
        let inside = if is_round {
            dx * dx + dy * dy < 1500
        } else {
            dx.abs().max(dy.abs()) < 34
        };
        Rgb(if inside { color } else { [240, 238, 230] })
    }))
}

#[test]
fn the_registry_knows_all_three() {
    for (name, dim) in NAMES.into_iter().zip([256, 128, 256]) {
        let model = Registry::builtin().get(name, &Value::Null).unwrap();
        assert_eq!(model.identity().name, name);
        assert_eq!(
            model.kind(),
            Kind::Dense {
                dim,
                metric: Metric::Cosine
            }
        );
        assert_eq!(model.modalities(), [Modality::Image]);
        assert!(
            Registry::builtin()
                .get(name, &serde_json::json!({"size": 3}))
                .is_err()
        );
    }
}

#[test]
fn color_finds_colour_and_shape_finds_shape() {
    let (red, blue) = ([200, 30, 30], [40, 60, 190]);
    let pictures = [
        thing(true, red, 0),
        thing(true, red, 6),
        thing(true, blue, 0),
        thing(false, red, 0),
    ];
    let of = |name| {
        let model = Registry::builtin().get(name, &Value::Null).unwrap();
        let vectors: Vec<_> = embed_all(model.as_ref(), &pictures)
            .into_iter()
            .map(Result::unwrap)
            .collect();
        [1, 2, 3].map(|other: usize| dot(&vectors[0], &vectors[other]))
    };
    let [moved, blue_disc, red_box] = of("vecino/image");
    assert!(
        moved > blue_disc && moved > red_box,
        "{moved} {blue_disc} {red_box}"
    );
    let [_, blue_disc, red_box] = of("vecino/image-color");
    assert!(red_box > blue_disc + 0.2, "{red_box} {blue_disc}");
    let [_, blue_disc, red_box] = of("vecino/image-shape");
    assert!(blue_disc > red_box + 0.2, "{blue_disc} {red_box}");
}

#[test]
fn plain_and_tiny_pictures_get_vectors_of_unit_length() {
    for name in NAMES {
        let model = Registry::builtin().get(name, &Value::Null).unwrap();
        let pictures: Vec<_> = [
            (1, 1, 0),
            (1, 1, 255),
            (300, 2, 128),
            (2, 300, 7),
            (64, 64, 200),
        ]
        .map(|(width, height, grey)| {
            png(RgbImage::from_pixel(width, height, Rgb([grey, grey, grey])))
        })
        .into();
        let first = embed_all(model.as_ref(), &pictures);
        for vector in &first {
            let vector = vector.as_ref().unwrap();
            assert!((dot(vector, vector) - 1.0).abs() < 1e-4, "{name}");
        }
        assert_eq!(
            first,
            embed_all(model.as_ref(), &pictures),
            "{name}: the same bytes again"
        );
    }
}

#[test]
fn one_bad_picture_spoils_no_other() {
    let model = Registry::builtin()
        .get("vecino/image", &Value::Null)
        .unwrap();
    let good = thing(true, [10, 120, 40], 0);
    let cut = good[..good.len() / 2].to_vec();
    let batch = [
        good.clone(),
        b"not a picture at all".to_vec(),
        Vec::new(),
        cut,
        good,
    ];
    let rows = embed_all(model.as_ref(), &batch);
    assert_eq!(rows[0], rows[4]);
    assert!(rows[0].is_ok());
    assert!(
        matches!(&rows[1], Err(EmbedError::Decode(why)) if why.starts_with("not a picture: the bytes look like text"))
    );
    assert_eq!(
        rows[2],
        Err(EmbedError::Empty {
            modality: Modality::Image
        })
    );
    assert!(matches!(&rows[3], Err(EmbedError::Decode(_))));
    let text = model
        .embed(&[Input::Text("a red disc")], Purpose::Query)
        .into_iter()
        .next();
    assert!(matches!(text, Some(Err(EmbedError::WrongModality { .. }))));
}

/// 1-NN accuracy by class on real photos, test split against train split; the floors lie a little under what was measured.
#[test]
fn nearest_photos_are_of_the_same_class() {
    let Some(data) = data() else { return };
    for (name, set, floor) in [
        ("vecino/image", "caltech51", 0.55),
        ("vecino/image", "grocery", 0.24),
        ("vecino/image-color", "grocery", 0.29),
        ("vecino/image-shape", "caltech51", 0.57),
    ] {
        let model = Registry::builtin().get(name, &Value::Null).unwrap();
        let base = embedded(model.as_ref(), &data.join(set).join("train"));
        let queries = embedded(model.as_ref(), &data.join(set).join("test"));
        let hits = queries.iter().filter(|(class, vector)| {
            let nearest = base
                .iter()
                .max_by(|a, b| dot(&a.1, vector).total_cmp(&dot(&b.1, vector)));
            nearest.is_some_and(|(found, _)| found == class)
        });
        let accuracy = hits.count() as f32 / queries.len() as f32;
        println!("{name} on {set}: 1-NN accuracy {accuracy:.3}");
        assert!(accuracy >= floor, "{name} on {set}: {accuracy}");
    }
}

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("VECINO_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    if folder.join("caltech51").is_dir() {
        return Some(folder);
    }
    println!(
        "skipped: no photos in {} (VECINO_DATA names another folder)",
        folder.display()
    );
    None
}

fn embedded(model: &dyn Embedder, folder: &Path) -> Vec<(String, Vec<f32>)> {
    let mut classes = Vec::new();
    let mut files = Vec::new();
    for class in std::fs::read_dir(folder).unwrap() {
        let class = class.unwrap();
        for file in std::fs::read_dir(class.path()).unwrap() {
            classes.push(class.file_name().to_string_lossy().into_owned());
            files.push(std::fs::read(file.unwrap().path()).unwrap());
        }
    }
    classes
        .into_iter()
        .zip(embed_all(model, &files).into_iter().map(Result::unwrap))
        .collect()
}
