//! Files that break off, lie, or are made to hurt: each a clear error, and nothing held because a header says so.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use datasets::formats::{Format, IdxPictures, OpenOptions, open, open_reader};
use datasets::writers;
use proptest::prelude::*;

use crate::{read, split};

fn file(folder: &tempfile::TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Reads a file and compares how many rows it has and what is wrong with it: the beginnings of the messages.
fn check(name: &str, bytes: impl AsRef<[u8]>, rows: usize, errors: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, name, bytes);
    let options = OpenOptions {
        line_bytes_max: 1000,
        ..OpenOptions::default()
    };
    let (got_rows, got_errors) = match open(&path, &options) {
        Ok(source) => split(source),
        Err(error) => (Vec::new(), vec![error.to_string()]),
    };
    assert_eq!(got_rows.len(), rows, "{name}: {got_errors:?}");
    assert_eq!(got_errors.len(), errors.len(), "{name}: {got_errors:?}");
    for (got, wanted) in got_errors.iter().zip(errors) {
        assert!(
            got.starts_with(wanted),
            "{name}: got {got:?}, wanted {wanted:?}"
        );
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[test]
fn jsonl() {
    check(
        "a.jsonl",
        "{\"id\":1}\n[1]\n{\"id\":\n\n{\"id\":2}",
        2,
        &[
            "a.jsonl line 2: wanted a JSON object, got an array",
            "a.jsonl line 3: not JSON: EOF",
        ],
    );
    check(
        "a.jsonl",
        format!("{{\"a\":{}\n{{}}", "[".repeat(900)),
        1,
        &["a.jsonl line 1: not JSON: recursion limit"],
    );
    check(
        "a.jsonl",
        format!("{{\"a\":\"{}\"}}\n{{}}", "x".repeat(100_000)),
        1,
        &["a.jsonl line 1: longer than 1000 bytes"],
    );
    check(
        "a.jsonl",
        b"{\"a\": \"\xff\"}\n{}",
        1,
        &["a.jsonl line 1: not UTF-8"],
    );
    check(
        "a.jsonl",
        "[\n{}\n]",
        0,
        &["a.jsonl: one JSON value over many lines"],
    );
    check("a.jsonl", "", 0, &[]);
    let commas = format!("{{\"vector\":[{}0]}}\n{{}}", "0,".repeat(3 << 20));
    let (rows, errors) = split(
        open_reader(
            Box::new(Cursor::new(commas.into_bytes())),
            &OpenOptions::default(),
        )
        .unwrap(),
    );
    assert_eq!((rows.len(), errors.len()), (1, 1));
    assert!(errors[0].contains("JSON values in one row"), "{errors:?}");
}

#[test]
fn gzip_that_breaks_off() {
    let lines: String = (0..20_000).map(|i| format!("{{\"id\":{i}}}\n")).collect();
    let packed = gzip(lines.as_bytes());
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "a.jsonl.gz", &packed[..packed.len() / 2]);
    let mut source = open(&path, &OpenOptions::default()).unwrap();
    let error = source.by_ref().find_map(Result::err).unwrap();
    assert!(
        error.ends_file() && error.to_string().contains("read: "),
        "{error}"
    );
    assert!(source.next().is_none());
    let (rows, errors) = read(
        file(&folder, "b.jsonl.gz", &packed),
        &OpenOptions::default(),
    );
    assert_eq!((rows.len(), errors.len()), (20_000, 0));
}

/// The check at the end of a small file is met while its beginning is looked at, which must not be the end of it.
#[test]
fn damage_of_a_small_compressed_file_is_told() {
    let vector = [2i32.to_le_bytes(), [0; 4], [0; 4]].concat();
    for (format, bytes) in [
        (Format::Csv, &b"id,x\n1,2\n"[..]),
        (Format::Jsonl, b"{\"id\":1}\n"),
        (Format::Lines, b"one\n"),
        (Format::Fvecs, &vector),
    ] {
        let mut packed = gzip(bytes);
        let check_at = packed.len() - 8;
        packed[check_at] ^= 1;
        let options = OpenOptions {
            format: Some(format),
            ..OpenOptions::default()
        };
        let (rows, errors) = split(open_reader(Box::new(Cursor::new(packed)), &options).unwrap());
        assert_eq!((rows.len(), errors.len()), (1, 1), "{format}: {errors:?}");
        assert!(errors[0].contains("read: "), "{format}: {errors:?}");
    }
}

#[test]
fn csv() {
    check(
        "a.csv",
        "id,x\n1,2\n3\n4,5,6\n7,8\n",
        2,
        &[
            "a.csv line 3: wanted 2 cells as in the header, got 1",
            "a.csv line 4: wanted 2 cells",
        ],
    );
    check(
        "a.csv",
        "id,x\n1,\"never\nclosed\n",
        0,
        &["a.csv line 2: the quote opened in this record is never closed"],
    );
    check(
        "a.csv",
        format!("id,x\n1,{}\n2,b\n", "x".repeat(5000)),
        1,
        &["a.csv line 2: longer than 1000 bytes"],
    );
    check(
        "a.csv",
        b"id,x\n1,\xff\n2,b\n",
        1,
        &["a.csv line 2: not UTF-8"],
    );
    check(
        "a.csv",
        "id,id\n1,2\n",
        0,
        &["a.csv: the header names 'id' twice"],
    );
    check("a.csv", "", 0, &["a.csv: is empty"]);
    check("a.csv", "\"", 0, &["a.csv: header: the quote"]);
}

#[test]
fn npy() {
    let header = |text: &str| {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes
    };
    let mut lying =
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000000, 2)}");
    lying.extend([0; 20]);
    check(
        "a.npy",
        &lying,
        2,
        &["a.npy row 2: the file breaks off: wanted 8 bytes, got 4"],
    );
    let mut short = header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}");
    short.extend([0; 9]);
    check(
        "a.npy",
        &short,
        1,
        &["a.npy row 1: the header announces 1 rows, but the file goes on"],
    );
    let mut not_a_number = header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)}");
    not_a_number.extend(f32::NAN.to_le_bytes());
    not_a_number.extend(1f32.to_le_bytes());
    check(
        "a.npy",
        &not_a_number,
        1,
        &["a.npy row 0: vector '': element 0 is not a finite"],
    );
    check(
        "a.npy",
        b"\x93NUMPY\x01\x00\xff\xff",
        0,
        &["a.npy: the header says it has 65535 bytes"],
    );
    check(
        "a.npy",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        0,
        &["a.npy: the header says it has 4294967295 bytes"],
    );
    check(
        "a.npy",
        b"\x93NUMPY\x09\x00\x00\x00",
        0,
        &["a.npy: NPY version 9"],
    );
    check(
        "a.npy",
        b"\x93NUM",
        0,
        &["a.npy: the file ends inside the header"],
    );
    check("a.npy", b"PK\x03\x04aaaa", 0, &["a.npy: not NPY"]);
}

#[test]
fn vecs() {
    let row = |dim: i32, count: usize| [dim.to_le_bytes().to_vec(), vec![0; 4 * count]].concat();
    check(
        "a.fvecs",
        [row(2, 2), row(2, 1)].concat(),
        1,
        &["a.fvecs row 1: the file breaks off: wanted 8 bytes, got 4"],
    );
    check(
        "a.fvecs",
        [row(2, 2), vec![2, 0]].concat(),
        1,
        &["a.fvecs row 1: the file breaks off: wanted 4 bytes, got 2"],
    );
    check(
        "a.fvecs",
        [row(2, 2), row(3, 3)].concat(),
        1,
        &["a.fvecs row 1: the row says dim 3, wanted 2"],
    );
    check(
        "a.fvecs",
        row(-1, 2),
        0,
        &["a.fvecs: the first row says it has -1 numbers"],
    );
    check(
        "a.fvecs",
        row(i32::MAX, 2),
        0,
        &["a.fvecs: the first row says it has 2147483647 numbers"],
    );
    check(
        "a.fvecs",
        [0; 3],
        0,
        &["a.fvecs row 0: the file breaks off: wanted 4 bytes, got 3"],
    );
    check("a.bvecs", "", 0, &[]);
}

#[test]
fn idx() {
    let header = |kind: u8, axes: &[u32]| {
        let mut bytes = vec![0, 0, kind, axes.len() as u8];
        axes.iter()
            .for_each(|axis| bytes.extend(axis.to_be_bytes()));
        bytes
    };
    check(
        "a.idx",
        header(8, &[u32::MAX, 2, 2]),
        0,
        &["a.idx row 0: the file breaks off: wanted 4 bytes, got 0"],
    );
    check(
        "a.idx",
        header(8, &[1, u32::MAX, u32::MAX]),
        0,
        &["a.idx: rows of shape"],
    );
    check(
        "a.idx",
        header(8, &[5]),
        0,
        &["a.idx: has one axis only: these are labels"],
    );
    check(
        "a.idx",
        &header(8, &[5, 2])[..6],
        0,
        &["a.idx: the file ends inside the header"],
    );

    let folder = tempfile::tempdir().unwrap();
    let pictures = [header(8, &[2, 2, 2]), (0..8).collect()].concat();
    let path = file(&folder, "x-images-idx3-ubyte", &pictures);
    let labels = file(
        &folder,
        "x-labels-idx1-ubyte",
        [header(8, &[2]), vec![7, 9]].concat(),
    );
    let (rows, errors) = read(&path, &OpenOptions::default());
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(
        (rows[1].vectors[0].1.as_slice(), &rows[1].payload["label"]),
        (&[4.0, 5.0, 6.0, 7.0][..], &serde_json::json!(9))
    );
    let (rows, _) = read(
        &path,
        &OpenOptions {
            idx_pictures: IdxPictures::Pictures,
            ..OpenOptions::default()
        },
    );
    assert!(
        rows[0]
            .image
            .as_ref()
            .unwrap()
            .read(1000)
            .unwrap()
            .starts_with(b"\x89PNG")
            && rows[0].vectors.is_empty()
    );
    std::fs::write(&labels, [header(8, &[2]), vec![7]].concat()).unwrap();
    let (rows, errors) = read(&path, &OpenOptions::default());
    assert_eq!(
        (rows.len(), errors),
        (
            1,
            vec!["x-images-idx3-ubyte row 1: field 'label' is missing".to_owned()]
        )
    );
    std::fs::write(&labels, header(8, &[3])).unwrap();
    let error = open(&path, &OpenOptions::default())
        .err()
        .unwrap()
        .to_string();
    assert_eq!(
        error,
        "x-images-idx3-ubyte: has 2 rows, but x-labels-idx1-ubyte has 3 labels"
    );
}

#[test]
fn unknown_files() {
    check(
        "a.bin",
        b"\x7fELF\x02\x01\x01\x00\x00",
        0,
        &["a.bin: unknown format; name it"],
    );
    check(
        "a.parquet",
        b"PAR1\x15\x04",
        0,
        &["a.parquet: unknown format"],
    );
    check("a.data", b"{\"id\": 1}\n", 1, &[]);
}

#[test]
fn pipes() {
    let check = |bytes: &[u8], format: Format, rows: usize| {
        let source = open_reader(
            Box::new(Cursor::new(bytes.to_vec())),
            &OpenOptions::default(),
        )
        .unwrap();
        assert_eq!(source.format(), format);
        assert_eq!(split(source).0.len(), rows);
    };
    check(b"{\"id\":1}\n{\"id\":2}\n", Format::Jsonl, 2);
    check(&gzip(b"id,name\n1,red\n"), Format::Csv, 1);
    check(b"one\ntwo\n", Format::Lines, 2);
    let mut npy = Vec::new();
    writers::npy(&mut npy, ndarray::Array2::<f32>::zeros((3, 2)).view()).unwrap();
    check(&npy, Format::Npy, 3);
}

/// A gzip stream whose checks fail shows no first row when the file is opened, and then a negative dim.
#[test]
fn a_dim_hidden_by_a_damaged_compressed_file_is_a_bad_row() {
    let bytes = [0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0, 0, 146, 40, 56, 112, 0];
    for format in [Format::Fvecs, Format::Bvecs, Format::Ivecs] {
        let options = OpenOptions {
            format: Some(format),
            ..OpenOptions::default()
        };
        if let Ok(source) = open_reader(Box::new(Cursor::new(bytes.to_vec())), &options) {
            assert!(source.count() < 10);
        }
    }
}

proptest! {
    /// Nothing that stands in a file makes a reader panic or go on for ever.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), choice in 0usize..10, start in 0usize..6) {
        let starts: [&[u8]; 6] = [b"", b"\x93NUMPY\x01\x00\x40\x00{'descr': '<f4', 'shape': (", b"\x00\x00\x08\x02", b"{\"vector\":[", b"a,b\n\"", b"\x1f\x8b\x08"];
        let format = Format::ALL[choice + 1];
        let options = OpenOptions { format: Some(format), line_bytes_max: 100, dim_max: 100, ..OpenOptions::default() };
        let bytes = [starts[start], &bytes].concat();
        if let Ok(source) = open_reader(Box::new(Cursor::new(bytes)), &options) {
            prop_assert!(source.count() < 1000);
        }
    }
}
