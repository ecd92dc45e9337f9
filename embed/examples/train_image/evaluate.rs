//! Judges a projection: is the nearest neighbour of the same class?

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use embed::image::descriptor::describe;
use embed::image::projection::{MODES, Projection};
use rayon::prelude::*;
use serde_json::Value;

use crate::photos;

struct Described {
    class: String,
    /// One for each mode.
    vectors: Vec<Vec<f32>>,
}

/// Prints 1-NN accuracy by class: `test` against `train`, and `train` against itself without the picture asked for.
pub fn print(data: &Path, projection: &Projection) -> Result<()> {
    println!("1-NN accuracy by class         all  color  shape");
    for set in ["grocery", "clothing", "caltech51"] {
        let train = described(&data.join(set).join("train"), projection)?;
        let test = described(&data.join(set).join("test"), projection)?;
        print_line(&format!("{set}, test in train"), &test, &train, |class| {
            class.to_owned()
        });
        print_line(
            &format!("{set}, train, leave one out"),
            &train,
            &train,
            |class| class.to_owned(),
        );
        if set == "grocery" {
            let coarse = coarse_classes(&data.join(set).join("metadata.jsonl"))?;
            let of = |class: &str| coarse.get(class).cloned().unwrap_or_default();
            print_line("grocery, coarse classes", &test, &train, of);
        }
    }
    Ok(())
}

fn described(folder: &Path, projection: &Projection) -> Result<Vec<Described>> {
    let describe = |photo: photos::Photo| {
        let parts = describe(&photo.rgb, &projection.codebook, |_| true);
        let vectors = MODES.map(|mode| projection.project(&parts, mode)).to_vec();
        Described {
            class: photo.class,
            vectors,
        }
    };
    Ok(photos::load(folder)?
        .into_par_iter()
        .map(describe)
        .collect())
}

fn print_line(
    name: &str,
    queries: &[Described],
    base: &[Described],
    class_of: impl Fn(&str) -> String,
) {
    print!("{name:<28}");
    for mode in 0..MODES.len() {
        let hits = queries.iter().filter(|query| {
            let dot = |other: &Described| -> f32 {
                query.vectors[mode]
                    .iter()
                    .zip(&other.vectors[mode])
                    .map(|(a, b)| a * b)
                    .sum()
            };
            let others = base.iter().filter(|other| !std::ptr::eq(*other, *query));
            let nearest = others.max_by(|a, b| dot(a).total_cmp(&dot(b)));
            nearest.is_some_and(|other| class_of(&other.class) == class_of(&query.class))
        });
        print!("  {:.3}", hits.count() as f32 / queries.len() as f32);
    }
    println!();
}

/// Folder of a class to its coarse class.
fn coarse_classes(metadata: &Path) -> Result<HashMap<String, String>> {
    let text = std::fs::read_to_string(metadata)
        .with_context(|| format!("read {}", metadata.display()))?;
    let mut coarse = HashMap::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line)?;
        let folder = row["file"].as_str().and_then(|file| file.split('/').nth(1));
        if let (Some(folder), Some(name)) = (folder, row["coarse"].as_str()) {
            coarse.insert(folder.to_owned(), name.to_owned());
        }
    }
    Ok(coarse)
}
