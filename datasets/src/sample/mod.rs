//! About 200 small captioned pictures, drawn by hand-written paths: something to load, search and show at once.
//!
//! Fruit, animals, vehicles, weather, shapes in colours, and things of house and garden, in several colours, sizes,
//! places and surroundings each. Captions are plain English and true to the picture.
//!
//! ```
//! let apple = datasets::sample::sample(1).find(|picture| picture.label == "apple").unwrap();
//! assert_eq!((apple.group, apple.color), ("fruit", "green"));
//! assert!(apple.caption.contains("apple"));
//! assert!(apple.png.starts_with(b"\x89PNG"));
//! ```

mod animals;
mod canvas;
mod fruit;
mod garden;
mod scene;
mod shapes;
mod vehicles;
mod weather;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::json;

use crate::random::Random;
use canvas::{Canvas, Rgb};
use scene::Scene;

/// The seed of the sample that is shipped.
pub const SEED: u64 = 1;

/// One picture of the sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamplePicture {
    /// The name of its file, different for each: `apple-green-01.png`.
    pub name: String,
    /// What it shows: `apple`.
    pub label: &'static str,
    /// What kind of thing that is: `fruit`, `animal`, `vehicle`, `weather`, `shape` or `garden`.
    pub group: &'static str,
    /// Its main colour: `green`.
    pub color: &'static str,
    /// A sentence about it, without a full stop: `A green apple with a leaf on a wooden table`.
    pub caption: String,
    /// The picture, 256 x 256 pixels, as PNG.
    pub png: Vec<u8>,
}

/// Something that can be drawn, in several looks.
struct Thing {
    label: &'static str,
    /// Where it may stand; each picture takes the next.
    scenes: &'static [Scene],
    looks: &'static [Look],
    /// Pictures of each look.
    pictures: usize,
    draw: fn(&mut Canvas, &Look),
    pose: Pose,
}

/// How a thing may be placed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pose {
    /// Upright, a little tilted; several in one picture if the look has a plural.
    Still,
    /// Drawn looking to the right; may look to the left, and the caption may say so.
    Sideways,
    /// Exactly upright.
    Upright,
    /// Exactly upright, and not standing on anything.
    Floating,
}

/// One look of a thing.
struct Look {
    color: &'static str,
    /// The main colour, and a second one for what needs it.
    paint: Rgb,
    second: Rgb,
    /// What a caption calls it; each picture takes the next: `a green apple with a leaf`.
    phrases: &'static [&'static str],
    /// What a caption calls many: `green apples`. Empty if there is only ever one.
    plural: &'static str,
}

/// The groups and their things, in the order of the sample.
fn groups() -> [(&'static str, &'static [Thing]); 6] {
    [
        ("fruit", fruit::THINGS),
        ("animal", animals::THINGS),
        ("vehicle", vehicles::THINGS),
        ("weather", weather::THINGS),
        ("shape", shapes::THINGS),
        ("garden", garden::THINGS),
    ]
}

/// Draws the pictures of a seed, one by one as they are asked for, 3 to 8 ms each. A seed means the same pictures as
/// far as the sine of the machine is the same; names, labels and captions are the same everywhere.
pub fn sample(seed: u64) -> impl Iterator<Item = SamplePicture> {
    let things = groups()
        .into_iter()
        .flat_map(|(group, things)| things.iter().map(move |thing| (group, thing)));
    things
        .enumerate()
        .flat_map(move |(thing_idx, (group, thing))| {
            let pictures = thing.looks.len() * thing.pictures;
            (0..pictures).map(move |idx| {
                picture(
                    group,
                    thing,
                    idx,
                    Random::of_stream(seed, thing_idx as u64, idx as u64),
                )
            })
        })
}

fn picture(
    group: &'static str,
    thing: &'static Thing,
    idx: usize,
    mut random: Random,
) -> SamplePicture {
    let look = &thing.looks[idx / thing.pictures];
    let turn = idx % thing.pictures;
    let scene = thing.scenes[idx % thing.scenes.len()];
    let count = if thing.pose == Pose::Still && !look.plural.is_empty() && turn == 1 {
        2 + random.below(2) as usize
    } else {
        1
    };
    let looks_left = thing.pose == Pose::Sideways && random.below(2) == 1;

    let mut canvas = Canvas::new();
    scene.draw(&mut canvas, &mut random);
    for [x, y, scale] in places(count, &mut random) {
        let tilt = if thing.pose == Pose::Still {
            random.between(-8.0, 8.0)
        } else {
            0.0
        };
        canvas.placed([x, y + scene.ground_shift()], scale, 0.0, |canvas| {
            if scene.has_ground() && thing.pose != Pose::Floating {
                canvas.shadow(0.0, 88.0, 88.0, 16.0);
            }
            canvas.placed([0.0, 0.0], 1.0, tilt, |canvas| match looks_left {
                true => canvas.mirrored(|canvas| (thing.draw)(canvas, look)),
                false => (thing.draw)(canvas, look),
            });
        });
    }
    SamplePicture {
        name: format!(
            "{}-{}-{:02}.png",
            thing.label.replace(' ', "-"),
            look.color,
            numbered(thing, idx)
        ),
        label: thing.label,
        group,
        color: look.color,
        caption: caption(
            look,
            scene,
            idx,
            count,
            (thing.pose == Pose::Sideways).then_some(looks_left),
        ),
        png: canvas.into_png(),
    }
}

/// The number of a picture among those of its thing and colour, from 1.
fn numbered(thing: &Thing, idx: usize) -> usize {
    let color = thing.looks[idx / thing.pictures].color;
    (0..=idx)
        .filter(|earlier| thing.looks[earlier / thing.pictures].color == color)
        .count()
}

/// Where the things of a picture stand, and how large: `[x, y, scale]`, the farther first.
fn places(count: usize, random: &mut Random) -> Vec<[f32; 3]> {
    let mut wobble = |reach: f32| random.between(-reach, reach);
    match count {
        1 => vec![[wobble(14.0), wobble(8.0), 0.92 + wobble(0.14)]],
        2 => vec![
            [-54.0 + wobble(4.0), 8.0 + wobble(6.0), 0.55 + wobble(0.03)],
            [54.0 + wobble(4.0), 22.0 + wobble(6.0), 0.58 + wobble(0.03)],
        ],
        _ => vec![
            [wobble(5.0), -6.0 + wobble(4.0), 0.46],
            [-66.0 + wobble(4.0), 46.0 + wobble(5.0), 0.5],
            [66.0 + wobble(4.0), 48.0 + wobble(5.0), 0.5],
        ],
    }
}

fn caption(
    look: &Look,
    scene: Scene,
    idx: usize,
    count: usize,
    looks_left: Option<bool>,
) -> String {
    let what = match count {
        1 => look.phrases[idx % look.phrases.len()].to_owned(),
        2 => format!("two {}", look.plural),
        _ => format!("three {}", look.plural),
    };
    let facing = match (looks_left, idx % 3) {
        (Some(true), 1) => " facing left",
        (Some(false), 1) => " facing right",
        _ => "",
    };
    let place = scene.phrases()[(idx / 2) % scene.phrases().len()];
    let sentence = match idx % 5 {
        3 => format!("a picture of {what}{facing} {place}"),
        _ => format!("{what}{facing} {place}"),
    };
    let mut letters = sentence.trim().chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// Writes the sample into a folder, which is made if need be: `group/name.png`, and a `metadata.jsonl` that names each
/// picture with its `label`, `group`, `color` and `caption`. [`formats`](crate::formats) reads it as a folder of pictures.
///
/// Returns how many pictures there are.
///
/// # Errors
///
/// What the disk gives.
pub fn write_folder(folder: &Path, seed: u64) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    let mut metadata = BufWriter::new(File::create(folder.join("metadata.jsonl"))?);
    let mut pictures = 0;
    for picture in sample(seed) {
        let file = format!("{}/{}", picture.group, picture.name);
        fs::create_dir_all(folder.join(picture.group))?;
        fs::write(folder.join(&file), &picture.png)?;
        let line = json!({
            "file_name": file,
            "caption": picture.caption,
            "label": picture.label,
            "group": picture.group,
            "color": picture.color,
        });
        writeln!(metadata, "{line}")?;
        pictures += 1;
    }
    metadata.flush()?;
    Ok(pictures)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    #[test]
    fn about_two_hundred_different_pictures() {
        let pictures: Vec<SamplePicture> = sample(SEED).collect();
        assert!(
            (190..=220).contains(&pictures.len()),
            "{} pictures",
            pictures.len()
        );
        let names: HashSet<&str> = pictures
            .iter()
            .map(|picture| picture.name.as_str())
            .collect();
        assert_eq!(names.len(), pictures.len(), "two pictures have one name");
        let images: HashSet<&[u8]> = pictures
            .iter()
            .map(|picture| picture.png.as_slice())
            .collect();
        assert_eq!(images.len(), pictures.len(), "two pictures are the same");
        let captions: HashSet<&str> = pictures
            .iter()
            .map(|picture| picture.caption.as_str())
            .collect();
        assert!(
            captions.len() * 100 > pictures.len() * 90,
            "{} captions",
            captions.len()
        );
        let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
        pictures
            .iter()
            .for_each(|picture| *groups.entry(picture.group).or_default() += 1);
        assert!(
            groups.len() == 6 && groups.values().all(|&count| count >= 15),
            "{groups:?}"
        );
    }

    #[test]
    fn captions_are_sentences_about_the_picture() {
        for picture in sample(SEED) {
            let caption = picture.caption.to_lowercase();
            let last_word = picture.label.rsplit(' ').next().unwrap_or_default();
            let stem = last_word.trim_end_matches('y');
            assert!(caption.contains(stem), "{}: {caption}", picture.name);
            assert!(picture.caption.starts_with(char::is_uppercase), "{caption}");
            assert!(
                !caption.contains("  ") && !caption.ends_with([' ', '.']),
                "{caption}"
            );
            for vowel in ["a a", "a e", "a i", "a o"] {
                assert!(
                    !format!(" {caption}").contains(&format!(" {vowel}")),
                    "{caption}"
                );
            }
        }
    }

    #[test]
    fn pictures_are_the_same_for_a_seed() {
        let first = |seed| sample(seed).take(5).collect::<Vec<_>>();
        assert_eq!(first(3), first(3));
        assert_ne!(first(3), first(4));
        assert_eq!(first(3)[0].name, first(4)[0].name);
        let size = |png: &[u8]| {
            tiny_skia::Pixmap::decode_png(png)
                .map(|pixels| (pixels.width(), pixels.height()))
                .unwrap()
        };
        assert!(
            first(3)
                .iter()
                .all(|picture| size(&picture.png) == (256, 256))
        );
    }
}
