//! What is written is read again.

use std::fs::{self, File};
use std::io::{BufWriter, Cursor};

use datasets::formats::{OpenOptions, open_reader};
use datasets::matrix::{read_neighbors, read_vectors};
use datasets::{ImageSource, Row, RowId, writers};
use half::f16;
use ndarray::Array2;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{read, split};

fn vectors() -> impl Strategy<Value = Array2<f32>> {
    (1usize..8, 1usize..9).prop_flat_map(|(rows, dim)| {
        prop::collection::vec(
            prop::num::f32::NORMAL | prop::num::f32::ZERO | prop::num::f32::SUBNORMAL,
            rows * dim,
        )
        .prop_map(move |numbers| Array2::from_shape_vec((rows, dim), numbers).unwrap())
    })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,4}", inner), 0..4)
                .prop_map(|fields| Value::Object(Map::from_iter(fields))),
        ]
    })
}

prop_compose! {
    fn row()(
        id in prop_oneof![any::<u64>().prop_map(RowId::Num), ".{1,8}".prop_map(RowId::Str)],
        text in prop::option::of("[a-z][a-z ,.]{0,20}[a-z.]"),
        image in prop::option::of(prop::collection::vec(any::<u8>(), 1..40)),
        vectors in vectors(),
        names in prop::collection::hash_set("[a-z]{0,3}", 0..4),
        payload in prop::collection::vec(("p[a-z]{0,4}", json_value()), 0..4),
    ) -> Row {
        let vectors = names.into_iter().zip(vectors.rows()).map(|(name, row)| (name, row.to_vec())).collect();
        Row { source: id.to_string(), id: Some(id), text, image: image.map(ImageSource::Bytes), vectors, payload: Map::from_iter(payload) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn fvecs(matrix in vectors()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.fvecs");
        let mut writer = writers::fvecs(BufWriter::new(File::create(&path).unwrap()));
        matrix.rows().into_iter().for_each(|row| writer.row(row.as_slice().unwrap()).unwrap());
        writer.finish().unwrap();
        prop_assert_eq!(read_vectors(&path, &OpenOptions::default(), usize::MAX).unwrap(), matrix);
    }

    #[test]
    fn npy(matrix in vectors()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        writers::npy(File::create(&path).unwrap(), matrix.view()).unwrap();
        prop_assert_eq!(&read_vectors(&path, &OpenOptions::default(), usize::MAX).unwrap(), &matrix);
        prop_assert_eq!(fs::read(&path).unwrap().len(), 128 + 4 * matrix.len());
        writers::npy(File::create(&path).unwrap(), matrix.mapv(f64::from).view()).unwrap();
        prop_assert_eq!(&read_vectors(&path, &OpenOptions::default(), usize::MAX).unwrap(), &matrix);
    }

    #[test]
    fn jsonl(rows in prop::collection::vec(row(), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut bytes = Vec::new();
        rows.iter().for_each(|row| writers::jsonl_row(&mut bytes, row).unwrap());
        fs::write(&path, bytes).unwrap();
        let (got, errors) = read(&path, &OpenOptions::default());
        prop_assert!(errors.is_empty(), "{:?}", errors);
        prop_assert_eq!(got, rows);
    }

    #[test]
    fn ivecs(numbers in prop::collection::vec(any::<i32>().prop_map(|n| n & i32::MAX), 1..20)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ivecs");
        let mut writer = writers::ivecs(File::create(&path).unwrap());
        writer.row(&numbers).unwrap();
        writer.row(&numbers).unwrap();
        writer.finish().unwrap();
        let got = read_neighbors(&path, &OpenOptions::default()).unwrap();
        prop_assert_eq!(got.dim(), (2, numbers.len()));
        prop_assert!(got.iter().zip(numbers.iter().chain(&numbers)).all(|(&a, &b)| a == b as u32));
    }
}

#[test]
fn small_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let bytes = Array2::from_shape_fn((3, 4), |(i, j)| (60 * i + j) as u8);
    writers::npy(File::create(&path).unwrap(), bytes.view()).unwrap();
    assert_eq!(
        read_vectors(&path, &OpenOptions::default(), 2).unwrap(),
        bytes.mapv(f32::from).slice(ndarray::s![..2, ..])
    );
    let halves = Array2::from_shape_fn((3, 4), |(i, j)| f16::from_f32(i as f32 - 0.125 * j as f32));
    writers::npy(File::create(&path).unwrap(), halves.view()).unwrap();
    assert_eq!(
        read_vectors(&path, &OpenOptions::default(), 9).unwrap(),
        halves.mapv(f16::to_f32)
    );
    let path = folder.path().join("a.bvecs");
    let mut writer = writers::bvecs(File::create(&path).unwrap());
    bytes
        .rows()
        .into_iter()
        .for_each(|row| writer.row(row.as_slice().unwrap()).unwrap());
    writer.finish().unwrap();
    assert_eq!(
        read_vectors(&path, &OpenOptions::default(), 9).unwrap(),
        bytes.mapv(f32::from)
    );
}

#[test]
fn what_cannot_be_written() {
    let mut writer = writers::fvecs(Vec::new());
    assert_eq!(
        writer.row(&[]).unwrap_err().to_string(),
        "a row has 0 numbers, wanted 1"
    );
    writer.row(&[1.0, 2.0]).unwrap();
    assert_eq!(
        writer.row(&[1.0]).unwrap_err().to_string(),
        "a row has 1 numbers, wanted 2"
    );
    assert_eq!(writer.finish().unwrap().len(), 12);
    let mut row = Row {
        source: "1".to_owned(),
        id: None,
        text: None,
        image: None,
        vectors: Vec::new(),
        payload: Map::new(),
    };
    let mut bytes = Vec::new();
    for (field, text) in [("caption", None), ("title", None), ("title", Some("b"))] {
        row.payload = Map::from_iter([(field.to_owned(), json!("a"))]);
        row.text = text.map(str::to_owned);
        let error = writers::jsonl_row(&mut bytes, &row).unwrap_err();
        assert!(error.to_string().contains(&format!("'{field}'")), "{error}");
        assert!(bytes.is_empty());
    }
    row.text = Some("a. b".to_owned());
    writers::jsonl_row(&mut bytes, &row).unwrap();
    let (rows, _) =
        split(open_reader(Box::new(Cursor::new(bytes)), &OpenOptions::default()).unwrap());
    assert_eq!((&rows[0].text, &rows[0].payload), (&row.text, &row.payload));
}

#[test]
fn bad_matrices() {
    let folder = tempfile::tempdir().unwrap();
    let message = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let vectors = read_vectors(&path, &OpenOptions::default(), 9)
            .unwrap_err()
            .to_string();
        (
            vectors,
            read_neighbors(&path, &OpenOptions::default()).map_err(|error| error.to_string()),
        )
    };
    let (vectors, neighbors) = message("a.jsonl", "{\"vector\":[1,2]}\n{\"vector\":[1]}");
    assert_eq!(vectors, "a.jsonl#1: wanted a vector of 2 numbers, got 1");
    assert!(neighbors.unwrap_err().contains("wanted NPY, ivecs"));
    assert_eq!(
        message("b.jsonl", "{}").0,
        "b.jsonl#0: wanted a vector of 0 numbers, got 0"
    );
    let path = folder.path().join("a.ivecs");
    let mut writer = writers::ivecs(File::create(&path).unwrap());
    writer.row(&[1, -1]).unwrap();
    assert!(
        read_neighbors(&path, &OpenOptions::default())
            .unwrap_err()
            .to_string()
            .ends_with("row 0: -1 is no offset")
    );
}
