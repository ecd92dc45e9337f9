//! Reads a folder of classes of photos.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use embed::image::{DecodeLimits, decode};
use image::RgbImage;
use rayon::prelude::*;

/// A photo and the folder that it lay in.
pub struct Photo {
    pub class: String,
    pub rgb: RgbImage,
}

/// All photos under `folder/CLASS/`, by class and name.
pub fn load(folder: &Path) -> Result<Vec<Photo>> {
    let mut files = Vec::new();
    for class in sorted(folder)? {
        let name = class
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        files.extend(sorted(&class)?.into_iter().map(|file| (name.clone(), file)));
    }
    let read = |(class, file): (String, PathBuf)| {
        let bytes = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        let picture = decode(&bytes, &DecodeLimits::default())
            .with_context(|| format!("decode {}", file.display()))?;
        Ok(Photo {
            class,
            rgb: picture.rgb,
        })
    };
    files.into_par_iter().map(read).collect()
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()
        .with_context(|| format!("list {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}
