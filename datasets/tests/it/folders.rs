//! Folders of pictures.

use std::fs;
use std::path::Path;

use datasets::ImageSource;
use datasets::formats::{Format, OpenError, OpenOptions, ProgressUnit, open};
use datasets::sample::{SEED, sample, write_folder};
use serde_json::{Value, json};

use crate::{read, split};

fn write(folder: &Path, file: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn labels_come_from_folders() {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "train/green_apple/1.jpg",
        "train/pear/2.PNG",
        "test/pear/3.webp",
        "top.gif",
        "notes.md",
        ".hidden/4.jpg",
        "train/.DS_Store",
    ] {
        write(folder.path(), file, b"x");
    }
    write(folder.path(), "test/pear/5.heic", b"x");
    let (rows, errors) = read(folder.path(), &OpenOptions::default());
    let sources: Vec<&str> = rows.iter().map(|row| row.source.as_str()).collect();
    assert_eq!(
        sources,
        [
            "test/pear/3.webp",
            "top.gif",
            "train/green_apple/1.jpg",
            "train/pear/2.PNG"
        ]
    );
    assert_eq!(
        errors,
        [
            "test/pear/5.heic: pictures of kind '.heic' are not read; convert it to JPEG, PNG or WebP"
        ]
    );
    let apple = &rows[2];
    assert_eq!(apple.text.as_deref(), Some("green apple"));
    assert_eq!(
        apple.image,
        Some(ImageSource::Path(
            folder.path().join("train/green_apple/1.jpg")
        ))
    );
    let payload = json!({"file": "train/green_apple/1.jpg", "folder": "train/green_apple", "label": "green_apple", "split": "train"});
    assert_eq!(Value::Object(apple.payload.clone()), payload);
}

#[test]
fn metadata_names_pictures() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["a/1.jpg", "a/2.jpg", "b/3.jpg"] {
        write(folder.path(), file, b"x");
    }
    let lines = [
        r#"{"file": "a/1.jpg", "label": "Golden Delicious", "coarse": "Apple", "split": "train", "tags": ["sweet", "grand_piano"], "width": 5}"#,
        r#"{"file": "a/none.jpg"}"#,
        r#"{"file": "../a.jpg"}"#,
        r#"{"file": "./a/1.jpg"}"#,
        r#"{"label": "x"}"#,
        "{",
    ];
    write(folder.path(), "metadata.jsonl", lines.join("\n"));
    write(
        folder.path(),
        "b/metadata.csv",
        "file_name,id,note\n3.jpg,77,\"a pear, green\"\n",
    );
    let (rows, errors) = read(folder.path(), &OpenOptions::default());
    let got: Vec<_> = rows
        .iter()
        .map(|row| (row.source.as_str(), row.text.as_deref()))
        .collect();
    assert_eq!(
        got,
        [
            (
                "a/1.jpg",
                Some("Golden Delicious. Apple. sweet. grand piano")
            ),
            ("a/2.jpg", Some("a")),
            ("77", Some("a pear, green"))
        ]
    );
    assert_eq!(rows[0].payload["label"], json!("Golden Delicious"));
    assert_eq!(rows[0].payload["folder"], json!("a"));
    assert_eq!(rows[0].payload["width"], json!(5));
    let starts = [
        "metadata.jsonl line 2: no file 'a/none.jpg'",
        "metadata.jsonl line 3: '../a.jpg' lies outside",
        "metadata.jsonl line 4: 'a/1.jpg' was named before",
        "metadata.jsonl line 5: field 'file_name' or 'file' is missing",
        "metadata.jsonl line 6: not JSON",
    ];
    assert_eq!(errors.len(), starts.len(), "{errors:?}");
    assert!(
        errors
            .iter()
            .zip(starts)
            .all(|(error, start)| error.starts_with(start)),
        "{errors:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_named_or_lies_too_deep_is_told() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "1.jpg", b"x");
    for name in [&b"caf\xe9.jpg"[..], b"caf\xe9.txt"] {
        fs::write(folder.path().join(OsStr::from_bytes(name)), b"x").unwrap();
    }
    let deep = vec!["d"; 65].join("/");
    write(folder.path(), &format!("{deep}/2.jpg"), b"x");
    let (rows, errors) = read(folder.path(), &OpenOptions::default());
    assert_eq!(rows.len(), 1);
    let wanted = [
        "caf\u{fffd}.jpg: read: its name is not UTF-8; rename it".to_owned(),
        format!(
            "{}: read: folders are followed 64 deep; load it by itself",
            vec!["d"; 64].join("/")
        ),
    ];
    assert_eq!(errors, wanted);
}

#[test]
fn folders_without_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let message = || {
        open(folder.path(), &OpenOptions::default())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(message().ends_with("no pictures in this folder"));
    write(folder.path(), "corpus.jsonl", b"{}");
    assert!(
        message().contains("to load a file, name it: ") && message().ends_with("corpus.jsonl"),
        "{}",
        message()
    );
    let as_csv = OpenOptions {
        format: Some(Format::Csv),
        ..OpenOptions::default()
    };
    assert!(matches!(
        open(folder.path(), &as_csv),
        Err(OpenError::WrongKind { .. })
    ));
    let as_folder = OpenOptions {
        format: Some(Format::Folder),
        ..OpenOptions::default()
    };
    assert!(matches!(
        open(&folder.path().join("corpus.jsonl"), &as_folder),
        Err(OpenError::WrongKind { .. })
    ));
    assert!(matches!(
        open(Path::new("/no/such/path"), &as_csv),
        Err(OpenError::Io { .. })
    ));
}

#[test]
fn damaged_metadata_does_not_end_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "1.jpg", b"x");
    write(
        folder.path(),
        "metadata.jsonl.gz",
        [0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8],
    );
    let (rows, errors) = read(folder.path(), &OpenOptions::default());
    assert_eq!((rows.len(), errors.len()), (1, 1), "{errors:?}");
    assert!(errors[0].starts_with("metadata.jsonl"), "{errors:?}");
}

#[test]
fn the_sample_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let written = write_folder(folder.path(), SEED).unwrap();
    let mut source = open(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!(source.progress().total, Some(written as u64));
    let first = source.next().unwrap().unwrap();
    assert_eq!(
        (source.progress().done, source.progress().unit),
        (1, ProgressUnit::Pictures)
    );
    let (rows, errors) = split(source);
    assert_eq!((rows.len() + 1, errors.len()), (written, 0), "{errors:?}");
    let apple = sample(SEED).next().unwrap();
    assert_eq!(first.payload["caption"], json!(apple.caption));
    assert!(
        first.text.as_ref().unwrap().starts_with(&apple.caption),
        "{:?}",
        first.text
    );
    assert_eq!(first.image.unwrap().read(1 << 20).unwrap(), apple.png);
    assert_eq!(first.source, format!("fruit/{}", apple.name));
}
