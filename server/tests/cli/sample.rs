//! The sample: 20 queries with the answers that a person would expect among the first three.

use datasets::sample::{SEED, SamplePicture, sample};
use serde_json::Value;

use crate::harness::Server;

/// A text, and what the first answer must show, and one more of the first three if there are more such pictures.
const TEXTS: [(&str, &str, &str); 12] = [
    ("a green apple", "apple", "green"),
    ("red apples", "apple", "red"),
    ("kitten", "cat", ""),
    ("a dog", "dog", ""),
    (
        "something to eat that is yellow and curved, a banana",
        "banana",
        "yellow",
    ),
    ("a boat with sails on the water", "sailing boat", ""),
    ("aeroplane", "plane", ""),
    ("thunderstorm with lightning", "lightning", ""),
    ("blue square", "square", "blue"),
    ("red circle", "circle", "red"),
    ("rocket flying to space", "rocket", ""),
    ("a house", "house", ""),
];

/// Labels of pictures of another seed, which are not in the collection: at least one of the first three answers must have it.
const PICTURES: [&str; 8] = [
    "apple",
    "banana",
    "fish",
    "car",
    "sailing boat",
    "rainbow",
    "star",
    "sunflower",
];

fn field<'a>(found: &'a Value, rank: usize, field: &str) -> &'a str {
    found["points"][rank]["payload"][field]
        .as_str()
        .unwrap_or_default()
}

fn shown(found: &Value) -> Vec<String> {
    (0..3)
        .map(|rank| {
            format!(
                "{} {}: {}",
                field(found, rank, "color"),
                field(found, rank, "label"),
                field(found, rank, "caption")
            )
        })
        .collect()
}

#[test]
fn twenty_queries_find_what_a_person_expects() {
    let server = Server::start();
    let report = server.json(&["sample"]);
    assert_eq!(report["rows_skipped"], 0, "{report}");
    assert_eq!(
        report["points_added"].as_u64(),
        Some(sample(SEED).count() as u64),
        "{report}"
    );
    assert_eq!(server.json(&["sample"])["points_added"], 0);

    let mut faults = vec![];
    for (text, label, color) in TEXTS {
        let found = server.json(&["search", text, "-c", "sample", "-k", "3"]);
        let fits = |rank: &usize| {
            field(&found, *rank, "label") == label && field(&found, *rank, "color").contains(color)
        };
        let there_are = sample(SEED)
            .filter(|picture| picture.label == label && picture.color.contains(color))
            .count();
        assert!(there_are > 0, "no {color} {label} is drawn");
        if !fits(&0) || (0..3).filter(fits).count() < there_are.min(2) {
            faults.push(format!("{text:?}: {:?}", shown(&found)));
        }
    }
    for label in PICTURES {
        let picture: SamplePicture = sample(SEED + 1)
            .find(|picture| picture.label == label)
            .unwrap();
        let path = server.file(&picture.name, &picture.png);
        let found = server.json(&["search", path.to_str().unwrap(), "-c", "sample", "-k", "3"]);
        if !(0..3).any(|rank| field(&found, rank, "label") == label) {
            faults.push(format!("picture of {label}: {:?}", shown(&found)));
        }
    }
    assert!(
        faults.is_empty(),
        "{} of 20 queries:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn the_sample_as_a_folder() {
    let server = Server::start();
    let written = server.json(&["sample", "sample"]);
    assert_eq!(
        written["pictures"].as_u64(),
        Some(sample(SEED).count() as u64),
        "{written}"
    );
    // A folder called `sample` has the same ids as the sample that is loaded directly.
    let folder = server.folder.path().join("sample");
    assert_eq!(
        server.load(&folder, "sample", &["--limit", "10"])["points_added"],
        10
    );
    let direct = server.json(&["sample"]);
    assert_eq!(direct["points_updated"], 10, "{direct}");
}
