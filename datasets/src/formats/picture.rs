//! Where a row's picture is: a file inside the dataset's folder, base64, or a data URI.

use std::path::{Component, Path, PathBuf};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::objects::kind_of;
use crate::row::{ImageSource, RowFault};

/// Longest text that is looked up as a path: the longest path of the common systems.
const PATH_BYTES_MAX: usize = 4096;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a file's name says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A picture of a kind that is read.
    Read,
    /// A picture of a kind that is not.
    NotRead,
    /// Something else.
    Other,
}

/// Tells by its extension whether a file is a picture.
pub(super) fn kind_of_name(name: &str) -> Kind {
    match extension_of(name).as_str() {
        "jpg" | "jpeg" | "jpe" | "jfif" | "png" | "webp" | "gif" | "bmp" | "tif" | "tiff" => {
            Kind::Read
        }
        "avif" | "heic" | "heif" | "jxl" | "jp2" | "svg" | "psd" | "ico" | "tga" | "exr"
        | "ppm" | "pgm" => Kind::NotRead,
        _ => Kind::Other,
    }
}

pub(super) fn extension_of(name: &str) -> String {
    Path::new(name)
        .extension()
        .map(|extension| extension.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default()
}

/// The picture that a field's value gives: text, or an object with `path`, `bytes` or `base64`.
pub(super) fn of_value(
    field: &str,
    value: &Value,
    folder: Option<&Path>,
) -> Result<ImageSource, RowFault> {
    let text_of = |name: &str| value.get(name).and_then(Value::as_str);
    let text = match value {
        Value::String(text) => Some(text.as_str()),
        Value::Object(_) => text_of("bytes")
            .or_else(|| text_of("base64"))
            .or_else(|| text_of("path")),
        _ => None,
    };
    let problem = match kind_of(value) {
        "an object" => "wanted 'path' or 'base64' in it",
        _ => "wanted a path, base64 or a data URI",
    };
    match text {
        Some(text) => of_text(field, text, folder),
        None => Err(RowFault::BadField {
            field: field.to_owned(),
            problem,
        }),
    }
}

fn of_text(field: &str, text: &str, folder: Option<&Path>) -> Result<ImageSource, RowFault> {
    let bad_base64 = || RowFault::BadField {
        field: field.to_owned(),
        problem: "is not valid base64",
    };
    if let Some(uri) = text.strip_prefix("data:") {
        let (_, base64) = uri.split_once(";base64,").ok_or(RowFault::BadField {
            field: field.to_owned(),
            problem: "a data URI wants ;base64,",
        })?;
        return decode(base64)
            .map(ImageSource::Bytes)
            .ok_or_else(bad_base64);
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(RowFault::RemotePicture {
            url: text.chars().take(200).collect(),
        });
    }
    // A path has an extension; base64 has no dot.
    if text.contains('.') && text.len() <= PATH_BYTES_MAX {
        return of_path(text, folder);
    }
    match decode(text) {
        Some(bytes) if !bytes.is_empty() => Ok(ImageSource::Bytes(bytes)),
        _ if text.len() <= PATH_BYTES_MAX => of_path(text, folder),
        _ => Err(bad_base64()),
    }
}

fn decode(base64: &str) -> Option<Vec<u8>> {
    if base64.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let dense: String = base64.split_ascii_whitespace().collect();
        return BASE64.decode(dense).ok();
    }
    BASE64.decode(base64).ok()
}

/// An existing file named relative to the dataset's folder, which it may not leave; for a pipe, the current folder.
pub(super) fn of_path(path: &str, folder: Option<&Path>) -> Result<ImageSource, RowFault> {
    let shown = || path.chars().take(200).collect::<String>();
    let inside = inside(path).ok_or_else(|| RowFault::OutsideFolder { path: shown() })?;
    let full = folder.unwrap_or(Path::new(".")).join(inside);
    if full.is_file() {
        Ok(ImageSource::Path(full))
    } else {
        Err(RowFault::NoPicture { path: shown() })
    }
}

/// The path without `.` parts, unless it is absolute, empty, or goes up.
pub(super) fn inside(path: &str) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => inside.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (inside != Path::new("")).then_some(inside)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_pictures() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/b.png"), b"x").unwrap();
        let check = |value: Value, expected: Result<&[u8], &str>| {
            let got = of_value("image", &value, Some(folder.path()));
            let got = got
                .map(|image| image.read(100).unwrap())
                .map_err(|fault| fault.to_string());
            match expected {
                Ok(bytes) => assert_eq!(got.as_deref(), Ok(bytes), "{value}"),
                Err(message) => assert!(
                    got.as_ref().is_err_and(|got| got.contains(message)),
                    "{value}: {got:?}"
                ),
            }
        };
        check(json!("a/b.png"), Ok(b"x"));
        check(json!("./a/./b.png"), Ok(b"x"));
        check(json!({"path": "a/b.png"}), Ok(b"x"));
        check(json!("data:image/png;base64,aGVsbG8="), Ok(b"hello"));
        check(json!("aGVs\nbG8"), Ok(b"hello"));
        check(json!({"base64": "aGVsbG8"}), Ok(b"hello"));
        check(json!("a/c.png"), Err("no file 'a/c.png'"));
        check(json!("a"), Err("no file 'a'"));
        check(json!("../b.png"), Err("outside the folder"));
        check(json!("/etc/x.png"), Err("outside the folder"));
        check(json!("https://example.com/a.png"), Err("not fetched"));
        check(json!("data:image/png,abc"), Err("wants ;base64,"));
        check(json!("data:image/png;base64,!!!"), Err("not valid base64"));
        check(json!({"id": 1}), Err("wanted 'path' or 'base64'"));
        check(json!(5), Err("wanted a path"));
        check(json!("!".repeat(5000)), Err("not valid base64"));
    }

    #[test]
    fn reads_within_bounds() {
        let image = ImageSource::Bytes(vec![0; 11]);
        assert_eq!(
            image.read(10).unwrap_err().kind(),
            std::io::ErrorKind::FileTooLarge
        );
        assert_eq!(image.read(11).unwrap().len(), 11);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0; 11]).unwrap();
        let image = ImageSource::Path(file.path().to_owned());
        assert_eq!(
            image.read(10).unwrap_err().kind(),
            std::io::ErrorKind::FileTooLarge
        );
        assert_eq!(image.read(11).unwrap().len(), 11);
    }
}
