//! Readers of dataset formats. [`open`] looks at a path's name and first bytes and returns a [`Source`] of rows.
//!
//! | format | rows |
//! |---|---|
//! | folder of pictures | one per picture, sub-folders included; see [`folder`](self) below |
//! | JSONL | one object a line |
//! | CSV, TSV | one record each, named by the header; columns of numbers become numbers |
//! | NPY | the rows of a C-order matrix of f16, f32, f64 or integers |
//! | fvecs, bvecs, ivecs | rows of `i32` dim and as many f32, u8 or i32, little-endian |
//! | IDX | the first axis of an array, with the labels file beside it |
//! | word vectors | `word 0.1 0.2 ...` lines, as of GloVe and word2vec |
//! | lines | one text a line |
//!
//! Every file may be compressed with gzip, told by its content. `-` is standard input.
//!
//! # Fields of JSONL and CSV
//!
//! - id: `id` or `_id`; text: `title`, and the first of `text`, `content`, `caption`, `body`, `description`, joined;
//! - picture: `image` (also `image_path`, or `file_name` and `file` if they name a picture): a path relative to the
//!   file and not outside its folder, base64, or a data URI;
//! - vector: `vector`, `vectors`, `embedding` or `embeddings`: an array of numbers, or an object of named arrays.
//!
//! The fields used leave the payload, but for `title` and a picture's path; all others are the payload.
//! [`OpenOptions`] names other fields.
//!
//! # Folders of pictures
//!
//! Files are taken in the order of their names, hidden ones and links to folders left out. The payload gets `file`
//! (relative path), `folder`, `label` (the last folder's name) and `split` if a folder is called `train`, `test`,
//! `validation` or the like. A `metadata.jsonl` or `metadata.csv` in a folder names pictures by `file_name` or `file`,
//! relative to itself, and gives them further fields; its text fields, joined, are the words of the picture. Without
//! it, label and file name are.
//!
//! # Memory
//!
//! Readers stream: they hold one row, 64 KiB of file, the names of one folder per level, and 8 bytes per picture
//! named in metadata. Nothing is reserved because a header says so.

mod csv;
mod detect;
mod element;
mod fields;
mod folder;
mod idx;
mod input;
mod jsonl;
mod lines;
mod npy;
mod numbers;
mod objects;
mod picture;
mod png;
mod text;
mod vecs;
mod words;

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::row::{Place, Row, RowError};
use input::Input;
pub(crate) use numbers::NumberRows;

/// A stream of rows. A bad row is an `Err` item, and reading goes on after it; after an error with
/// [`ends_file`](RowError::ends_file) comes `None`.
pub trait Source: Iterator<Item = Result<Row, RowError>> + Send {
    /// The format being read.
    fn format(&self) -> Format;

    /// How far reading has come, for a progress bar.
    fn progress(&self) -> Progress;

    /// Where the row returned last stands; the place of a bad row is in its error. `None` before the first row.
    fn place(&self) -> Option<Place>;
}

/// How far a [`Source`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Units read.
    pub done: u64,
    /// Units in all, if that is known: a hint, the file may change.
    pub total: Option<u64>,
    /// What is counted.
    pub unit: ProgressUnit,
}

/// What a [`Progress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressUnit {
    /// Bytes of the file as it lies on disk (compressed, if it is).
    Bytes,
    /// Pictures of a folder.
    Pictures,
}

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it; the module's page describes each
pub enum Format {
    Folder,
    Jsonl,
    Csv,
    Tsv,
    Npy,
    Fvecs,
    Bvecs,
    Ivecs,
    Idx,
    Words,
    Lines,
}

impl Format {
    /// Every format, in the order of the module's table.
    pub const ALL: [Format; 11] = [
        Format::Folder,
        Format::Jsonl,
        Format::Csv,
        Format::Tsv,
        Format::Npy,
        Format::Fvecs,
        Format::Bvecs,
        Format::Ivecs,
        Format::Idx,
        Format::Words,
        Format::Lines,
    ];

    /// The name of the format, as [`from_str`](Format::from_str) takes it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Folder => "folder",
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Npy => "npy",
            Format::Fvecs => "fvecs",
            Format::Bvecs => "bvecs",
            Format::Ivecs => "ivecs",
            Format::Idx => "idx",
            Format::Words => "words",
            Format::Lines => "lines",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown format '{0}'; known: folder, jsonl, csv, tsv, npy, fvecs, bvecs, ivecs, idx, words, lines"
)]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    /// Takes the names of [`Format::name`], and `ndjson`, `glove`, `txt`.
    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        let alias = match name {
            "ndjson" => "jsonl",
            "glove" => "words",
            "txt" => "lines",
            name => name,
        };
        Format::ALL
            .into_iter()
            .find(|format| format.name() == alias)
            .ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// Longest line or CSV record read, by default: a picture of 24 MiB in base64 still fits.
pub const LINE_BYTES_MAX: usize = 32 << 20;

/// Most numbers in a vector, by default: the largest dim that clients of the dialect may ask for.
pub const DIM_MAX: usize = 65_536;

/// How to read. The default recognises everything by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenOptions {
    /// The format, if it is not to be guessed.
    pub format: Option<Format>,
    /// The field that holds the id, instead of `id` and `_id`.
    pub id_field: Option<String>,
    /// The fields that, joined, are the text, instead of those of the module's page. They stay in the payload.
    pub text_fields: Vec<String>,
    /// The fields that hold one number each and together, in this order, the unnamed vector (`r`, `g`, `b`). A name
    /// that ends in `*` stands for all fields that begin so, in the order of the row. They leave the payload.
    pub vector_fields: Vec<String>,
    /// The field that holds the picture, instead of those of the module's page.
    pub image_field: Option<String>,
    /// What becomes of the pictures in an IDX file.
    pub idx_pictures: IdxPictures,
    /// Longest line or CSV record, in bytes; longer ones are bad rows and are skipped without being held.
    pub line_bytes_max: usize,
    /// Most numbers in a vector.
    pub dim_max: usize,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions {
            format: None,
            id_field: None,
            text_fields: Vec::new(),
            vector_fields: Vec::new(),
            image_field: None,
            idx_pictures: IdxPictures::Vectors,
            line_bytes_max: LINE_BYTES_MAX,
            dim_max: DIM_MAX,
        }
    }
}

/// What becomes of the rows of an IDX file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdxPictures {
    /// One vector each, of all values in order.
    Vectors,
    /// One grey PNG each; the array must be `[n, height, width]` of bytes.
    Pictures,
}

/// A path that cannot be read as a dataset.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or folder cannot be opened or read.
    #[error("open {}: {error}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Neither the name nor the content says what it is.
    #[error(
        "{name}: unknown format; name it (jsonl, csv, tsv, npy, fvecs, bvecs, ivecs, idx, words, lines)"
    )]
    UnknownFormat {
        /// The file's name.
        name: String,
    },
    /// One JSON array, where one object a line is read.
    #[error("{name}: one JSON value over many lines; write one object a line (jq -c '.[]')")]
    JsonArray {
        /// The file's name.
        name: String,
    },
    /// A folder was asked to be read as a file, or a file as a folder.
    #[error("{}: cannot be read as {format}", path.display())]
    WrongKind {
        /// The path.
        path: PathBuf,
        /// The format asked for.
        format: Format,
    },
    /// A folder without any picture.
    #[error("{}: no pictures in this folder{}", path.display(), hint.as_ref().map(|file| format!("; to load a file, name it: {}", file.display())).unwrap_or_default())]
    NoPictures {
        /// The folder.
        path: PathBuf,
        /// A file in it that could be loaded.
        hint: Option<PathBuf>,
    },
    /// The header is not what the format says.
    #[error("{name}: {problem}")]
    Header {
        /// The file's name.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

/// Opens a dataset: a file, a folder of pictures, or `-` for standard input.
///
/// The format is `options.format`, or told by the name's extension (`.gz` aside), or by the first bytes.
///
/// # Errors
///
/// [`OpenError`], which says how to mend it. The file's header, and labels file, are read here; rows are not.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Source>, OpenError> {
    if path == Path::new("-") {
        return open_reader(Box::new(io::stdin()), options);
    }
    let as_error = |error| OpenError::Io {
        path: path.to_owned(),
        error,
    };
    let is_folder = std::fs::metadata(path).map_err(as_error)?.is_dir();
    match options.format {
        Some(format) if (format == Format::Folder) != is_folder => Err(OpenError::WrongKind {
            path: path.to_owned(),
            format,
        }),
        _ if is_folder => Ok(Box::new(folder::Folder::open(path, options)?)),
        _ => open_input(Input::open(path).map_err(as_error)?, options),
    }
}

/// Opens a dataset that comes through a pipe. The format is `options.format` or told by the first bytes.
///
/// # Errors
///
/// As [`open`].
pub fn open_reader(
    reader: Box<dyn Read + Send>,
    options: &OpenOptions,
) -> Result<Box<dyn Source>, OpenError> {
    let input = Input::pipe(reader).map_err(|error| OpenError::Io {
        path: PathBuf::from("-"),
        error,
    })?;
    open_input(input, options)
}

fn open_input(mut input: Input, options: &OpenOptions) -> Result<Box<dyn Source>, OpenError> {
    let format = match options.format {
        Some(format) => format,
        None => detect::format_of(&mut input)?,
    };
    Ok(match format {
        Format::Folder => {
            return Err(OpenError::WrongKind {
                path: PathBuf::from(&input.name),
                format,
            });
        }
        Format::Jsonl => Box::new(fields::FieldSource::new(
            Box::new(jsonl::JsonObjects::new(input, options)),
            format,
            options,
        )),
        Format::Csv | Format::Tsv => Box::new(fields::FieldSource::new(
            Box::new(csv::CsvObjects::open(input, format, options)?),
            format,
            options,
        )),
        Format::Npy => Box::new(numbers::NumberSource::new(
            npy::open(input, options)?,
            format,
        )),
        Format::Fvecs | Format::Bvecs | Format::Ivecs => Box::new(numbers::NumberSource::new(
            vecs::open(input, format, options)?,
            format,
        )),
        Format::Idx => idx::open_source(input, options)?,
        Format::Words => Box::new(words::WordVectors::new(input, options)),
        Format::Lines => Box::new(text::TextLines::new(input, options)),
    })
}

/// Opens a file of numbers (NPY, fvecs, bvecs, ivecs, IDX) as rows of `f64`, which hold 32-bit integers exactly.
pub(crate) fn open_numbers(
    path: &Path,
    options: &OpenOptions,
) -> Result<Option<Box<dyn NumberRows>>, OpenError> {
    let mut input = Input::open(path).map_err(|error| OpenError::Io {
        path: path.to_owned(),
        error,
    })?;
    let format = match options.format {
        Some(format) => format,
        None => detect::format_of(&mut input)?,
    };
    Ok(match format {
        Format::Npy => Some(npy::open(input, options)?),
        Format::Fvecs | Format::Bvecs | Format::Ivecs => Some(vecs::open(input, format, options)?),
        Format::Idx => Some(idx::open(input, options)?.rows),
        _ => None,
    })
}
