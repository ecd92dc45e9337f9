//! A folder of pictures, its sub-folders, and the metadata beside them.

use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::vec;

use serde_json::{Map, Value};

use super::csv::CsvObjects;
use super::fields::{FILE_FIELDS, join_texts, take_id, take_vectors};
use super::input::Input;
use super::jsonl::JsonObjects;
use super::objects::{Object, Objects};
use super::picture::{self, Kind};
use super::{Format, OpenError, OpenOptions, Progress, ProgressUnit, Source};
use crate::row::{At, ImageSource, Place, Row, RowError, RowFault};

/// Names of metadata files; the first that a folder has is read.
const METADATA_NAMES: [&str; 4] = [
    "metadata.jsonl",
    "metadata.jsonl.gz",
    "metadata.csv",
    "metadata.csv.gz",
];

/// Folder names that tell a split of the data.
const SPLITS: [&str; 7] = ["train", "test", "val", "valid", "validation", "dev", "eval"];

/// Deepest nesting of folders that is followed.
const DEPTH_MAX: usize = 64;

/// A [`Source`] of the pictures of a folder. In each folder, first those that its metadata names, in that order, then
/// the others and the sub-folders, by name.
pub(super) struct Folder {
    root: PathBuf,
    options: OpenOptions,
    /// The folders being read, each inside the one before.
    open: Vec<Level>,
    /// Hashes of the pictures that metadata has named: relative paths.
    named: HashSet<u64>,
    hasher: RandomState,
    done: u64,
    total: u64,
    /// Faults of folders and metadata files, to be told before the next row.
    waiting: Option<RowError>,
    place: Option<Place>,
}

/// A folder being read.
struct Level {
    /// Its path below the root, parts divided by `/`; empty for the root.
    path: String,
    metadata: Option<Box<dyn Objects>>,
    entries: vec::IntoIter<Entry>,
}

struct Entry {
    name: String,
    is_folder: bool,
    /// Whether `name` is the name, and not what is left of one that is no text.
    is_text: bool,
}

impl Entry {
    /// Why what would be read otherwise is not, inside `depth` folders.
    fn problem(&self, depth: usize) -> Option<String> {
        let is_wanted = self.is_folder || picture::kind_of_name(&self.name) != Kind::Other;
        if is_wanted && !self.is_text {
            return Some("its name is not UTF-8; rename it".to_owned());
        }
        (self.is_folder && depth >= DEPTH_MAX)
            .then(|| format!("folders are followed {DEPTH_MAX} deep; load it by itself"))
    }
}

impl Folder {
    /// Opens a folder and counts its pictures.
    pub fn open(root: &Path, options: &OpenOptions) -> Result<Folder, OpenError> {
        fs::read_dir(root).map_err(|error| OpenError::Io {
            path: root.to_owned(),
            error,
        })?;
        let total = count_pictures(root, 0);
        if total == 0 && metadata_path(root).is_none() {
            return Err(OpenError::NoPictures {
                path: root.to_owned(),
                hint: loadable_file(root),
            });
        }
        let mut folder = Folder {
            root: root.to_owned(),
            options: options.clone(),
            open: Vec::new(),
            named: HashSet::new(),
            hasher: RandomState::new(),
            done: 0,
            total,
            waiting: None,
            place: None,
        };
        folder.enter(String::new());
        Ok(folder)
    }

    fn enter(&mut self, path: String) {
        let full = self.root.join(&path);
        let entries = match entries_of(&full) {
            Ok(entries) => entries,
            Err(error) => {
                self.waiting = Some(error_at(&path, RowFault::Read(error)));
                return;
            }
        };
        let metadata = metadata_path(&full).and_then(|metadata| {
            match open_metadata(&metadata, &self.options) {
                Ok(objects) => Some(objects),
                Err(error) => {
                    let name = metadata.file_name().unwrap_or_default().to_string_lossy();
                    self.waiting = Some(error_at(
                        &joined(&path, &name),
                        RowFault::Read(std::io::Error::other(error.to_string())),
                    ));
                    None
                }
            }
        });
        self.open.push(Level {
            path,
            metadata,
            entries: entries.into_iter(),
        });
    }

    fn hash(&self, path: &str) -> u64 {
        self.hasher.hash_one(path)
    }

    /// The row of a picture that metadata names.
    fn named_row(&mut self, folder: &str, object: Object) -> Result<Row, RowFault> {
        let mut fields = object.fields;
        let field = FILE_FIELDS
            .into_iter()
            .find(|&field| fields.get(field).is_some_and(Value::is_string));
        let field = field.ok_or_else(|| RowFault::MissingField {
            field: FILE_FIELDS.join("' or '"),
        })?;
        let Some(Value::String(file)) = fields.shift_remove(field) else {
            return Err(RowFault::MissingField {
                field: field.to_owned(),
            });
        };
        let inside =
            picture::inside(&file).ok_or_else(|| RowFault::OutsideFolder { path: file.clone() })?;
        let path = joined(folder, &slashed(&inside));
        let ImageSource::Path(full) = picture::of_path(&path, Some(&self.root))? else {
            return Err(RowFault::NoPicture { path });
        };
        let hash = self.hash(&path);
        if !self.named.insert(hash) {
            return Err(RowFault::NamedTwice { path });
        }
        self.done += 1;
        self.place = Some(picture_place(&path));
        let id = take_id(&mut fields, &self.options)?;
        let vectors = take_vectors(&mut fields, &self.options)?;
        let mut payload = facts_of(&path);
        let words = self
            .words_of_fields(&fields)
            .or_else(|| words_of_path(&path));
        payload.extend(fields);
        let source = id
            .as_ref()
            .map_or_else(|| path.clone(), ToString::to_string);
        Ok(Row {
            source,
            id,
            text: words,
            image: Some(ImageSource::Path(full)),
            vectors,
            payload,
        })
    }

    fn words_of_fields(&self, fields: &Map<String, Value>) -> Option<String> {
        if !self.options.text_fields.is_empty() {
            return join_texts(
                self.options
                    .text_fields
                    .iter()
                    .filter_map(|field| fields.get(field)?.as_str()),
            );
        }
        let mut texts: Vec<String> = Vec::new();
        for (name, value) in fields
            .iter()
            .filter(|(name, _)| !["split", "folder"].contains(&name.as_str()))
        {
            match value {
                Value::String(text) if is_words(text) => texts.push(spaced(text)),
                Value::Array(items) if name != "split" => texts.extend(
                    items
                        .iter()
                        .filter_map(Value::as_str)
                        .filter(|text| is_words(text))
                        .map(spaced),
                ),
                _ => {}
            }
        }
        join_texts(texts.iter().map(String::as_str))
    }

    /// The row of a picture without metadata; none if it is no picture, or was named by metadata.
    fn plain_row(&mut self, path: String, name: &str) -> Option<Result<Row, RowError>> {
        match picture::kind_of_name(name) {
            Kind::Other => return None,
            Kind::NotRead => {
                let fault = RowFault::PictureKind {
                    extension: picture::extension_of(name),
                };
                return Some(Err(error_at(&path, fault)));
            }
            Kind::Read if self.named.contains(&self.hash(&path)) => return None,
            Kind::Read => {}
        }
        self.done += 1;
        self.place = Some(picture_place(&path));
        Some(Ok(Row {
            id: None,
            text: words_of_path(&path),
            image: Some(ImageSource::Path(self.root.join(&path))),
            vectors: Vec::new(),
            payload: facts_of(&path),
            source: path,
        }))
    }
}

impl Iterator for Folder {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(error) = self.waiting.take() {
                return Some(Err(error));
            }
            let level = self.open.last_mut()?;
            let folder = level.path.clone();
            if let Some(metadata) = &mut level.metadata {
                match metadata.next_object() {
                    Some(Ok(object)) => {
                        let place = inside_folder(&folder, object.place.clone());
                        return Some(
                            self.named_row(&folder, object)
                                .map_err(|fault| RowError { place, fault }),
                        );
                    }
                    Some(Err(error)) => {
                        let place = inside_folder(&folder, error.place);
                        return Some(Err(RowError {
                            place,
                            fault: going_on(error.fault),
                        }));
                    }
                    None => level.metadata = None,
                }
                continue;
            }
            let Some(entry) = level.entries.next() else {
                self.open.pop();
                continue;
            };
            let path = joined(&folder, &entry.name);
            if let Some(problem) = entry.problem(self.open.len()) {
                let fault = RowFault::Unreadable(std::io::Error::other(problem));
                return Some(Err(error_at(&path, fault)));
            }
            if entry.is_folder {
                self.enter(path);
            } else if let Some(row) = self.plain_row(path, &entry.name) {
                return Some(row);
            }
        }
    }
}

impl Source for Folder {
    fn format(&self) -> Format {
        Format::Folder
    }

    fn progress(&self) -> Progress {
        Progress {
            done: self.done,
            total: Some(self.total),
            unit: ProgressUnit::Pictures,
        }
    }

    fn place(&self) -> Option<Place> {
        self.place.clone()
    }
}

fn picture_place(path: &str) -> Place {
    Place {
        file: path.to_owned(),
        at: At::File,
    }
}

fn error_at(path: &str, fault: RowFault) -> RowError {
    let file = if path.is_empty() { "." } else { path };
    RowError {
        place: Place {
            file: file.to_owned(),
            at: At::File,
        },
        fault: going_on(fault),
    }
}

/// A fault that ends a metadata file or a sub-folder does not end the folder.
fn going_on(fault: RowFault) -> RowFault {
    match fault {
        RowFault::Read(error) => RowFault::Unreadable(error),
        fault => fault,
    }
}

fn inside_folder(folder: &str, place: Place) -> Place {
    Place {
        file: joined(folder, &place.file),
        at: place.at,
    }
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

fn slashed(path: &Path) -> String {
    path.components()
        .map(|component| component.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

/// The files and folders of a folder by name; hidden ones and links to folders left out.
fn entries_of(folder: &Path) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, is_text) = match entry.file_name().into_string() {
            Ok(name) => (name, true),
            Err(name) => (name.to_string_lossy().into_owned(), false),
        };
        let kind = entry.file_type()?;
        let is_hidden = name.starts_with('.') || name == "__MACOSX";
        let is_link_to_folder = kind.is_symlink() && entry.path().is_dir();
        if !is_hidden && !is_link_to_folder {
            entries.push(Entry {
                name,
                is_folder: kind.is_dir(),
                is_text,
            });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn count_pictures(folder: &Path, depth: usize) -> u64 {
    let entries = if depth < DEPTH_MAX {
        entries_of(folder).unwrap_or_default()
    } else {
        Vec::new()
    };
    let count = |entry: Entry| match picture::kind_of_name(&entry.name) {
        _ if entry.is_folder => count_pictures(&folder.join(entry.name), depth + 1),
        Kind::Read if entry.is_text => 1,
        _ => 0,
    };
    entries.into_iter().map(count).sum()
}

fn metadata_path(folder: &Path) -> Option<PathBuf> {
    METADATA_NAMES
        .into_iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

fn open_metadata(path: &Path, options: &OpenOptions) -> Result<Box<dyn Objects>, OpenError> {
    let input = Input::open(path).map_err(|error| OpenError::Io {
        path: path.to_owned(),
        error,
    })?;
    if input.name.ends_with(".csv") {
        return Ok(Box::new(CsvObjects::open(input, Format::Csv, options)?));
    }
    Ok(Box::new(JsonObjects::new(input, options)))
}

/// A file that could have been meant by someone who named a folder without pictures.
fn loadable_file(folder: &Path) -> Option<PathBuf> {
    const EXTENSIONS: [&str; 9] = [
        "jsonl", "ndjson", "csv", "tsv", "npy", "fvecs", "bvecs", "ivecs", "txt",
    ];
    let entries = entries_of(folder).unwrap_or_default();
    let is_loadable = |entry: &Entry| {
        EXTENSIONS.contains(
            &picture::extension_of(entry.name.strip_suffix(".gz").unwrap_or(&entry.name)).as_str(),
        )
    };
    entries
        .iter()
        .find(|entry| !entry.is_folder && entry.is_text && is_loadable(entry))
        .map(|entry| folder.join(&entry.name))
}

/// What a picture's path tells: `file`, `folder`, `label`, `split`.
fn facts_of(path: &str) -> Map<String, Value> {
    let mut facts = Map::from_iter([("file".to_owned(), Value::from(path))]);
    let Some((folder, _)) = path.rsplit_once('/') else {
        return facts;
    };
    facts.insert("folder".to_owned(), Value::from(folder));
    if let Some(label) = label_of(folder) {
        facts.insert("label".to_owned(), Value::from(label));
    }
    if let Some(split) = folder
        .split('/')
        .find(|part| SPLITS.contains(&part.to_ascii_lowercase().as_str()))
    {
        facts.insert("split".to_owned(), Value::from(split));
    }
    facts
}

/// The last folder, unless it is a split of unlabelled pictures.
fn label_of(folder: &str) -> Option<&str> {
    let last = folder.rsplit('/').next()?;
    (!SPLITS.contains(&last.to_ascii_lowercase().as_str())).then_some(last)
}

/// The words of a picture without metadata: its label and, if it is made of words, the name of its file.
fn words_of_path(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let label = label_of(folder)
        .map(spaced)
        .filter(|label| is_words(label))
        .unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let words = words_of_stem(stem);
    let is_told = words
        .split(' ')
        .all(|word| label.split(' ').any(|told| told.eq_ignore_ascii_case(word)));
    let words = if is_told { "" } else { words.as_str() };
    join_texts([label.as_str(), words].into_iter())
}

/// The words in a file's name; none if it is a number, a hash, or what a camera writes.
fn words_of_stem(stem: &str) -> String {
    const CAMERA_WORDS: [&str; 12] = [
        "img",
        "image",
        "images",
        "dsc",
        "dscn",
        "photo",
        "picture",
        "pic",
        "frame",
        "screenshot",
        "untitled",
        "copy",
    ];
    let spaced = spaced(stem);
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let has_hash = words
        .iter()
        .any(|word| word.len() >= 8 && word.bytes().any(|byte| byte.is_ascii_digit()));
    let is_word = |word: &&&str| {
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        letters >= 3
            && letters == word.chars().count()
            && !CAMERA_WORDS.contains(&word.to_lowercase().as_str())
    };
    if has_hash {
        String::new()
    } else {
        words
            .iter()
            .filter(is_word)
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A name as words: `grand_piano` and `grand-piano` as `grand piano`. A text with blanks stays as it is.
fn spaced(name: impl AsRef<str>) -> String {
    let name = name.as_ref();
    if name.contains(char::is_whitespace) {
        name.to_owned()
    } else {
        name.replace(['_', '-', '+'], " ").trim().to_owned()
    }
}

/// Whether a text is for reading: it has letters and is no address.
fn is_words(text: &str) -> bool {
    text.chars().any(char::is_alphabetic) && !text.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_paths() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(words_of_path(path).as_deref(), expected, "{path}")
        };
        check("train/grand_piano/image_0001.jpg", Some("grand piano"));
        check(
            "test/Golden-Delicious/Golden-Delicious_001.jpg",
            Some("Golden Delicious"),
        );
        check("apple-green-01.png", Some("apple green"));
        check("fruit/apple-green-01.png", Some("fruit. apple green"));
        check(
            "test/dress/06a00c0f-5f9a-410d-a7da-3881a9df3a71.jpg",
            Some("dress"),
        );
        check("train/IMG_2041.JPG", None);
        check("cats/DSC00012.jpg", Some("cats"));
        check("1/2.png", None);
    }

    #[test]
    fn facts_of_paths() {
        let check = |path: &str, expected: &str| {
            assert_eq!(Value::Object(facts_of(path)).to_string(), expected);
        };
        check("a.png", r#"{"file":"a.png"}"#);
        check(
            "train/a.png",
            r#"{"file":"train/a.png","folder":"train","split":"train"}"#,
        );
        check(
            "train/apple/a.png",
            r#"{"file":"train/apple/a.png","folder":"train/apple","label":"apple","split":"train"}"#,
        );
    }
}
