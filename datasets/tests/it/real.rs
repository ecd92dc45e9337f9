//! Real data, where it is: `../shared/data` beside the workspace, or where `VECINO_DATA` says. Skipped otherwise.

use std::path::{Path, PathBuf};

use datasets::formats::{Format, OpenOptions, open};
use datasets::matrix::{read_neighbors, read_vectors};
use datasets::truth::{Metric, exact};
use ndarray::Array2;
use serde_json::json;

use crate::{read, split};

/// A file or folder of the real data, or `None` with a message.
fn data(name: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = std::env::var_os("VECINO_DATA")
        .map_or_else(|| workspace.join("../shared/data"), PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no {} (set VECINO_DATA)", path.display());
    None
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn pictures() {
    for (name, count) in [("grocery", 729), ("clothing", 400), ("caltech51", 2013)] {
        let Some(path) = data(name) else { return };
        let (rows, errors) = read(path, &OpenOptions::default());
        assert_eq!((rows.len(), errors.as_slice()), (count, &[][..]), "{name}");
        assert!(
            rows.iter().all(|row| row.image.is_some()
                && row.text.is_some()
                && row.payload.contains_key("label")),
            "{name}"
        );
        if name == "grocery" {
            let text = rows[0].text.as_deref().unwrap();
            assert!(
                text.starts_with(
                    "Golden Delicious. Apple. Golden Delicious has a white juicy pulp"
                ),
                "{text}"
            );
            assert_eq!(
                (&rows[0].payload["split"], &rows[0].payload["label"]),
                (&json!("train"), &json!("Golden Delicious"))
            );
        }
    }
}

#[test]
fn texts() {
    let Some(path) = data("scifact/corpus.jsonl") else {
        return;
    };
    let (rows, errors) = read(path, &OpenOptions::default());
    assert_eq!((rows.len(), errors.len()), (5183, 0));
    assert_eq!(rows[0].source, "4983");
    assert!(rows[0].text.as_deref().unwrap().starts_with("Microstructural development of human newborn cerebral white matter assessed in vivo by diffusion tensor magnetic resonance imaging. Alterations of"));
    for (name, count) in [
        ("texts/movies.jsonl.gz", 34_532),
        ("texts/trivia.jsonl.gz", 49_599),
        ("texts/texts100k.txt.gz", 100_000),
        ("wordnet/synsets.jsonl.gz", 107_525),
    ] {
        let Some(path) = data(name) else { return };
        let (rows, errors) = read(path, &OpenOptions::default());
        assert_eq!((rows.len(), errors.as_slice()), (count, &[][..]), "{name}");
        assert!(rows.iter().all(|row| row.text.is_some()), "{name}");
    }
}

#[test]
fn tables() {
    let Some(path) = data("colors.csv") else {
        return;
    };
    let options = OpenOptions {
        vector_fields: strings(&["r", "g", "b"]),
        ..OpenOptions::default()
    };
    let (rows, errors) = read(path, &options);
    assert_eq!((rows.len(), errors.len()), (31_914, 0));
    assert_eq!(
        (rows[0].source.as_str(), &rows[0].vectors[0].1),
        ("0", &vec![201.0, 63.0, 56.0])
    );
    assert_eq!(
        json!(rows[0].payload),
        json!({"name": "100 Mph", "hex": "#c93f38"})
    );
    let Some(path) = data("cities.csv.gz") else {
        return;
    };
    let (rows, errors) = read(path, &OpenOptions::default());
    assert_eq!((rows.len(), errors.len()), (68_729, 0));
    assert_eq!(
        json!(rows[0].payload),
        json!({"country": "AD", "name": "Sant Julià de Lòria", "lat": 42.46372, "lng": 1.49129, "pop15000": 0})
    );
}

#[test]
fn numbers() {
    let Some(path) = data("mnist/train-images-idx3-ubyte.gz") else {
        return;
    };
    let mut source = open(&path, &OpenOptions::default()).unwrap();
    assert_eq!(source.format(), Format::Idx);
    let first = source.next().unwrap().unwrap();
    assert_eq!(
        (first.vectors[0].1.len(), &first.payload["label"]),
        (784, &json!(5))
    );
    let (rows, errors) = split(source);
    assert_eq!((rows.len(), errors.len()), (59_999, 0));
    let Some(path) = data("glove-twitter-25d/vectors.txt.gz") else {
        return;
    };
    let (rows, errors) = read(path, &OpenOptions::default());
    assert_eq!((rows.len(), errors.as_slice()), (11_925, &[][..]));
    assert_eq!(
        (rows[0].text.as_deref(), rows[0].vectors[0].1.len()),
        (Some("the"), 25)
    );
}

/// Compares our exact search with a ground truth made elsewhere: the same distances at every rank.
fn check(folder: &str, base: &str, query: &str, truth: &str, metric: Metric, tolerance: f32) {
    let Some(folder) = data(folder) else { return };
    let vectors =
        |name: &str| read_vectors(&folder.join(name), &OpenOptions::default(), usize::MAX).unwrap();
    let (base, queries) = (vectors(base), vectors(query));
    let given = read_neighbors(&folder.join(truth), &OpenOptions::default()).unwrap();
    let k = given.ncols();
    let start = std::time::Instant::now();
    let ours = exact(base.view(), queries.view(), metric, k).unwrap();
    println!(
        "{}: {} x {} queries, k {k}: {:.2?}",
        folder.display(),
        base.nrows(),
        queries.nrows(),
        start.elapsed()
    );
    let distance = |row: usize, offset: u32| {
        metric.distance(row_of(&queries, row), row_of(&base, offset as usize))
    };
    let mut same = 0;
    for (row, given) in given.rows().into_iter().enumerate() {
        for (rank, (&given, &ours)) in given.iter().zip(ours.offsets.row(row)).enumerate() {
            let (given_at, ours_at) = (distance(row, given), distance(row, ours));
            assert!(
                (given_at - ours_at).abs() <= tolerance,
                "query {row}, rank {rank}: {given_at} and {ours_at}"
            );
            same += usize::from(given == ours);
        }
        let found: Vec<(u32, f32)> = given
            .iter()
            .map(|&offset| (offset, distance(row, offset)))
            .collect();
        assert!(
            ours.recall(row, &found, k) > 1.0 - 1e-9 || tolerance > 0.0,
            "query {row}"
        );
    }
    println!("{same} of {} neighbours are the same row", given.len());
    assert!(
        same * 100 >= given.len() * if tolerance > 0.0 { 98 } else { 100 },
        "{same} of {}",
        given.len()
    );
}

fn row_of(matrix: &Array2<f32>, row: usize) -> &[f32] {
    matrix.row(row).to_slice().unwrap()
}

#[test]
fn ground_truth_of_sentences() {
    // The truth fits neither cosine nor dot of the stored half-precision vectors in 64 bits (98.6 % of it is the same),
    // so it must have been found before they were rounded: distances at equal ranks differ by up to 4.2e-5.
    check(
        "minilm-40k",
        "base.npy",
        "query.npy",
        "groundtruth.npy",
        Metric::Cosine,
        1e-4,
    );
}

#[test]
fn ground_truth_of_descriptors() {
    check(
        "sift-caltech100k",
        "base.bvecs",
        "query.bvecs",
        "groundtruth.ivecs",
        Metric::L2,
        0.0,
    );
    check(
        "sift5k-ngt",
        "base.bvecs",
        "query.bvecs",
        "groundtruth.ivecs",
        Metric::L2,
        0.0,
    );
}
