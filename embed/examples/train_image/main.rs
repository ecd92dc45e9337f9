//! Learns the projection of `vecino/image` and writes `embed/src/image/projection.bin`.
//!
//! ```text
//! cargo run --release -p embed --example train_image -- --data ../shared/data --out embed/src/image/projection.bin
//! ```
//!
//! Learns from the train splits of `grocery` and `clothing`, random views of them, and drawn pictures; judges on their test
//! splits and on `caltech51`, from which nothing is learned. `embed/train/README.md` has the recipe and the figures.

mod augment;
mod codebook;
mod draw;
mod evaluate;
mod linear;
mod photos;
mod random;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use embed::image::Affine;
use embed::image::descriptor::{PARTS, Part, describe};
use embed::image::projection::{MODES, Mode, Projection};
use image::RgbImage;
use ndarray::{Array1, Array2, Axis, concatenate, s};
use rayon::prelude::*;

use linear::Pca;
use random::Random;

/// Random views of each photo, beside itself.
const VIEWS: usize = 5;
const DRAWINGS: usize = 1000;

/// Numbers that each part is reduced to before the parts are joined: 8 bits each of that times the part's own numbers is the
/// size of the file.
fn reduced_dim(part: Part) -> usize {
    match part {
        Part::Hog => 80,
        Part::Phog | Part::LabMoments => 48,
        Part::Gist => 96,
        Part::Lbp | Part::LabHistogram | Part::HsvHistogram => 64,
        Part::Vlad => 128,
    }
}

/// How much a part counts in a mode, before the last rotation.
fn weight(part: Part, mode: Mode) -> f32 {
    match (part, mode) {
        (Part::Vlad, _) => 2.0,
        (part, Mode::All) if part.is_color() => COLOR_WEIGHT,
        _ => 1.0,
    }
}

/// Colour beside shape: more of it finds groceries better and objects worse.
const COLOR_WEIGHT: f32 = 0.5;

/// How far the directions of the result are evened out: divided by their deviation to this power.
const WHITENING: f32 = 0.6;

fn output_dim(mode: Mode) -> usize {
    match mode {
        Mode::All | Mode::Shape => 256,
        Mode::Color => 128,
    }
}

struct Arguments {
    data: PathBuf,
    out: PathBuf,
    seed: u64,
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    let started = Instant::now();
    let say = |what: &str| println!("{:7.1} s  {what}", started.elapsed().as_secs_f32());
    let mut random = Random::new(arguments.seed);

    let pictures = training_pictures(&arguments.data, &mut random)?;
    say(&format!("{} pictures to learn from", pictures.len()));
    let codebook = codebook::learn(&pictures, &mut random);
    say("codebook learned");
    let described: Vec<_> = pictures
        .par_iter()
        .map(|picture| describe(picture, &codebook, |_| true))
        .collect();
    say("pictures described");

    let mut parts = Vec::new();
    let mut reduced = Vec::new();
    for (at, part) in PARTS.into_iter().enumerate() {
        let values: Vec<f32> = described
            .iter()
            .flat_map(|parts| &parts[at])
            .copied()
            .collect();
        let rows = Array2::from_shape_vec((described.len(), part.dim()), values)?;
        let pca = Pca::new(rows.view(), reduced_dim(part), &mut random);
        say(&format!(
            "{part:?}: {:.3} of the variance kept",
            pca.share_kept
        ));
        let affine = affine_of(pca.directions, &pca.mean).quantized();
        reduced.push(affine.apply_rows(rows.view()));
        parts.push(affine);
    }
    let modes = MODES
        .map(|mode| learn_mode(mode, &reduced, &mut random))
        .to_vec();
    let projection = Projection::new(codebook, parts, modes)?;
    let bytes = projection.to_bytes();
    std::fs::write(&arguments.out, &bytes)
        .with_context(|| format!("write {}", arguments.out.display()))?;
    say(&format!(
        "{} written, {} bytes, checksum {:016x}",
        arguments.out.display(),
        bytes.len(),
        projection.checksum()
    ));
    evaluate::print(&arguments.data, &projection)
}

fn arguments() -> Result<Arguments> {
    let mut arguments = Arguments {
        data: PathBuf::from("../shared/data"),
        out: PathBuf::from("embed/src/image/projection.bin"),
        seed: 7,
    };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words
            .next()
            .with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--data" => arguments.data = value.into(),
            "--out" => arguments.out = value.into(),
            "--seed" => arguments.seed = value.parse().context("--seed takes a whole number")?,
            _ => {
                bail!("unknown argument {name}: --data DIR, --out FILE and --seed NUMBER are known")
            }
        }
    }
    Ok(arguments)
}

/// Photos, views of them, drawings: in an order that depends on nothing but the seed.
fn training_pictures(data: &std::path::Path, random: &mut Random) -> Result<Vec<RgbImage>> {
    let mut pictures = Vec::new();
    for set in ["grocery", "clothing"] {
        pictures.extend(
            photos::load(&data.join(set).join("train"))?
                .into_iter()
                .map(|p| p.rgb),
        );
    }
    let photos = pictures.len();
    for _ in 0..VIEWS {
        for at in 0..photos {
            let view = augment::view(&pictures[at], random);
            pictures.push(view);
        }
    }
    pictures.extend((0..DRAWINGS).map(|_| draw::draw(random)));
    Ok(pictures)
}

/// The last rotation: weights, principal directions and half-whitening in one matrix.
fn learn_mode(mode: Mode, reduced: &[Array2<f32>], random: &mut Random) -> Affine {
    let used: Vec<_> = PARTS
        .iter()
        .zip(reduced)
        .filter(|(part, _)| mode.uses(**part))
        .collect();
    let weighted: Vec<_> = used
        .iter()
        .map(|(part, rows)| *rows * weight(**part, mode))
        .collect();
    let views: Vec<_> = weighted.iter().map(|rows| rows.view()).collect();
    let joined = concatenate(Axis(1), &views).expect("as many rows each");
    let mut pca = Pca::new(joined.view(), output_dim(mode), random);
    for (mut direction, deviation) in pca.directions.rows_mut().into_iter().zip(&pca.deviations) {
        direction /= deviation.max(1e-6).powf(WHITENING);
    }
    let mut affine = affine_of(pca.directions, &pca.mean);
    // The weights go into the matrix, so that the file needs none.
    let mut start = 0;
    for (part, rows) in used {
        let end = start + rows.ncols();
        let mut columns = affine.matrix.slice_mut(s![.., start..end]);
        columns *= weight(*part, mode);
        start = end;
    }
    affine
}

/// `directions (x - mean)`.
fn affine_of(directions: Array2<f32>, mean: &Array1<f32>) -> Affine {
    let bias = -directions.dot(mean);
    Affine {
        matrix: directions,
        bias,
    }
}
