//! The direction of the arrows between crates, and where the required packages are in real use.
//!
//! `server -> {cluster, embed, datasets}`, `cluster -> engine -> index`; `index`, `embed` and `datasets` are leaves;
//! `benches` may use anything, and nothing uses `server` or `benches`. A new arrow is a design decision: it changes
//! this file in its own commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// What each crate depends on of ours: exactly this. Those of `benches` are free.
const ARROWS: [(&str, &[&str]); 6] = [
    ("index", &[]),
    ("embed", &[]),
    ("datasets", &[]),
    ("engine", &["index"]),
    ("cluster", &["engine"]),
    ("server", &["cluster", "datasets", "embed"]),
];

/// Packages that must be in real use in a crate: a dependency that its sources name.
const REQUIRED: [(&str, &str); 12] = [
    ("engine", "rocksdb"),
    ("engine", "bincode"),
    ("index", "kiddo"),
    ("embed", "ndarray"),
    ("datasets", "ndarray"),
    ("embed", "image"),
    ("server", "axum"),
    ("server", "tokio"),
    ("server", "serde"),
    ("engine", "serde"),
    ("embed", "serde"),
    ("cluster", "xxhash_rust"),
];

/// Packages, and the only crates that may know them, `benches` aside.
const KEPT_IN: [(&str, &[&str]); 6] = [
    ("rocksdb", &["engine"]),
    ("bincode", &["engine"]),
    ("kiddo", &["index"]),
    ("image", &["embed"]),
    ("axum", &["server"]),
    ("tokio", &["server", "cluster"]),
];

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut command = MetadataCommand::new();
    command.manifest_path(manifest).no_deps();
    command.exec().expect("cargo tells about the workspace")
}

fn package<'a>(metadata: &'a Metadata, name: &str) -> &'a Package {
    let found = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == name);
    found.unwrap_or_else(|| panic!("there is no crate {name}"))
}

/// Dependencies of any kind on crates of the workspace, tests' included.
fn arrows(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let ours: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let of = |package: &Package| {
        let names = package
            .dependencies
            .iter()
            .map(|dependency| dependency.name.clone());
        names.filter(|name| ours.contains(name.as_str())).collect()
    };
    metadata
        .packages
        .iter()
        .map(|package| (package.name.to_string(), of(package)))
        .collect()
}

#[test]
fn arrows_go_one_way() {
    let mut arrows = arrows(&metadata());
    assert!(
        arrows.remove("benches").is_some(),
        "benches is in the workspace"
    );
    let expected: BTreeMap<String, BTreeSet<String>> = ARROWS
        .iter()
        .map(|(name, targets)| {
            (
                (*name).to_owned(),
                targets.iter().map(|name| (*name).to_owned()).collect(),
            )
        })
        .collect();
    assert_eq!(arrows, expected);
}

#[test]
fn nothing_depends_on_server_or_benches() {
    for (name, targets) in arrows(&metadata()) {
        assert!(!targets.contains("benches"), "{name} depends on benches");
        assert!(
            name == "benches" || !targets.contains("server"),
            "{name} depends on server"
        );
    }
}

#[test]
fn required_packages_are_in_use_where_they_belong() {
    let metadata = metadata();
    for (name, required) in REQUIRED {
        let package = package(&metadata, name);
        let is_it = |dependency: &&cargo_metadata::Dependency| {
            dependency.kind == DependencyKind::Normal
                && dependency.name.replace('-', "_") == required
        };
        assert!(
            package
                .dependencies
                .iter()
                .any(|dependency| is_it(&dependency)),
            "{name} does not depend on {required}"
        );
        let folder = package
            .manifest_path
            .parent()
            .expect("a manifest lies in a folder")
            .join("src");
        assert!(
            names(folder.as_std_path(), required),
            "the sources of {name} never name {required}"
        );
    }
}

#[test]
fn packages_stay_in_the_crates_that_hide_them() {
    for package in &metadata().packages {
        let normal = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal);
        for dependency in normal.filter(|_| package.name.as_str() != "benches") {
            let kept = KEPT_IN.iter().find(|(name, _)| *name == dependency.name);
            let allowed = kept.is_none_or(|(_, crates)| crates.contains(&package.name.as_str()));
            assert!(allowed, "{} depends on {}", package.name, dependency.name);
        }
    }
}

/// Whether some source in the folder uses the package: a path begins with its name, outside comments.
fn names(folder: &Path, package: &str) -> bool {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display()));
    entries
        .map(|entry| entry.expect("an entry of the folder").path())
        .any(|path| {
            if path.is_dir() {
                return names(&path, package);
            }
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            is_source
                && uses(
                    &fs::read_to_string(&path).expect("a source is text"),
                    package,
                )
        })
}

fn uses(source: &str, package: &str) -> bool {
    let start = format!("{package}::");
    source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .any(|line| {
            line.match_indices(&start).any(|(at, _)| {
                // `image::` within `embed::image::` or `my_image::` is something else; `::image::` at a start is not.
                let before = line[..at].trim_end_matches("::");
                let path = before.len() < at
                    && before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>');
                !path && !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
            })
        })
}

#[test]
fn uses_are_told_from_look_alikes() {
    for (source, expected) in [
        ("use image::DynamicImage;", true),
        ("    let x = ::image::open(path);", true),
        ("Ok(image::open(path)?)", true),
        ("use embed::image::sniff;", false),
        ("use crate::image::sniff;", false),
        ("my_image::open()", false),
        ("// use image::DynamicImage;", false),
        ("let image = 1;", false),
    ] {
        assert_eq!(uses(source, "image"), expected, "{source}");
    }
}
