//! What every reader produces: one [`Row`] per future point, or a [`RowError`] that says what is wrong and where.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use serde_json::{Map, Value};

/// One row of a dataset: what a loader turns into one point.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Names the row for ever: reading the same data again gives the same text, so a loader that derives its point id
    /// from it (a UUIDv5, say) adds nothing the second time. In this order:
    ///
    /// 1. the row's own id, as text, if it has one;
    /// 2. the picture's path relative to the loaded folder, with `/` (`train/apple/7.jpg`);
    /// 3. the file's name without `.gz`, `#` and the number of the row, from 0, bad rows counted and blank lines not
    ///    (`base.npy#17`);
    /// 4. from a pipe, which has no name: `pipe#` and 32 hex digits of a hash of the row's content.
    pub source: String,
    /// The id that the data gives, if any.
    pub id: Option<RowId>,
    /// The text to embed; for a picture, the words that belong to it.
    pub text: Option<String>,
    /// The picture to embed.
    pub image: Option<ImageSource>,
    /// Ready vectors by name; the name of the only one is often `""`. Every number is finite, no vector is empty.
    pub vectors: Vec<(String, Vec<f32>)>,
    /// Everything else, in the order of the source.
    pub payload: Map<String, Value>,
}

/// The id that a dataset gives to a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RowId {
    /// A number, zero included.
    Num(u64),
    /// Any text but the empty one.
    Str(String),
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowId::Num(number) => write!(f, "{number}"),
            RowId::Str(text) => f.write_str(text),
        }
    }
}

/// Where the bytes of a picture are. They have not been decoded: they may turn out to be no picture at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A file that existed when the row was read.
    Path(PathBuf),
    /// The bytes themselves, from base64 inside the row.
    Bytes(Vec<u8>),
}

impl ImageSource {
    /// Returns the encoded bytes of the picture, reading the file if it is one.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or there are more than `bytes_max` bytes (`ErrorKind::FileTooLarge`): not more than
    /// that is ever held.
    pub fn read(&self, bytes_max: u64) -> io::Result<Vec<u8>> {
        let too_large = || {
            io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("picture has over {bytes_max} bytes"),
            )
        };
        match self {
            ImageSource::Bytes(bytes) if bytes.len() as u64 > bytes_max => Err(too_large()),
            ImageSource::Bytes(bytes) => Ok(bytes.clone()),
            ImageSource::Path(path) => {
                let mut bytes = Vec::new();
                File::open(path)?
                    .take(bytes_max.saturating_add(1))
                    .read_to_end(&mut bytes)?;
                if bytes.len() as u64 > bytes_max {
                    Err(too_large())
                } else {
                    Ok(bytes)
                }
            }
        }
    }
}

/// A row that could not be read: where it stands and what is wrong with it. Reading goes on after it unless
/// [`ends_file`](RowError::ends_file).
#[derive(Debug, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct RowError {
    /// Where the row stands.
    pub place: Place,
    /// What is wrong with it.
    pub fault: RowFault,
}

impl RowError {
    /// Whether nothing can be read after this row: the file breaks off, or its disk or decompressor fails.
    pub fn ends_file(&self) -> bool {
        matches!(
            self.fault,
            RowFault::Truncated { .. }
                | RowFault::BadRowDim { .. }
                | RowFault::Read(_)
                | RowFault::TrailingBytes { .. }
        )
    }
}

/// A place in a dataset, as a person would look it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, relative to the loaded folder or by its name alone.
    pub file: String,
    /// The place in the file.
    pub at: At,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The file as a whole.
    File,
    /// The line on which the row begins, from 1.
    Line(u64),
    /// The row, from 0, of a file without lines.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            At::File => write!(f, "{}", self.file),
            At::Line(line) => write!(f, "{} line {line}", self.file),
            At::Row(row) => write!(f, "{} row {row}", self.file),
        }
    }
}

/// What can be wrong with a row.
#[derive(Debug, thiserror::Error)]
pub enum RowFault {
    /// The line is no JSON; the message of the parser says why.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The line is JSON, but no object.
    #[error("wanted a JSON object, got {got}")]
    NotAnObject {
        /// What stands there: `an array`, say.
        got: &'static str,
    },
    /// The line or the CSV record is longer than the reader may hold.
    #[error("longer than {bytes_max} bytes")]
    TooLong {
        /// The limit, in bytes.
        bytes_max: usize,
    },
    /// The line holds more JSON values than the reader may hold.
    #[error("more than {values_max} JSON values in one row")]
    TooManyValues {
        /// The limit.
        values_max: usize,
    },
    /// The bytes are no UTF-8.
    #[error("not UTF-8 text")]
    NotUtf8,
    /// A CSV record with more or fewer cells than the header.
    #[error("wanted {wanted} cells as in the header, got {got}")]
    CellCount {
        /// Cells of the header.
        wanted: usize,
        /// Cells of the record.
        got: usize,
    },
    /// The file ends inside a quoted CSV cell that began with this record.
    #[error("the quote opened in this record is never closed")]
    OpenQuote,
    /// A field that must be there is not.
    #[error("field '{field}' is missing")]
    MissingField {
        /// The name of the field.
        field: String,
    },
    /// A field with a value that it cannot have.
    #[error("field '{field}': {problem}")]
    BadField {
        /// The name of the field.
        field: String,
        /// What is wrong with its value.
        problem: &'static str,
    },
    /// A vector that cannot be used.
    #[error("vector '{name}': {fault}")]
    Vector {
        /// The name of the vector, `""` for the unnamed one.
        name: String,
        /// What is wrong with it.
        fault: VectorFault,
    },
    /// A row names a picture that is not there.
    #[error("no file '{path}'")]
    NoPicture {
        /// The path as the row gives it.
        path: String,
    },
    /// A row names a picture outside the folder of its dataset.
    #[error("'{path}' lies outside the folder of the dataset; put the picture inside it")]
    OutsideFolder {
        /// The path as the row gives it.
        path: String,
    },
    /// A row names a picture by its address; nothing is fetched.
    #[error("pictures are not fetched from addresses ('{url}'); give a file or base64")]
    RemotePicture {
        /// The address.
        url: String,
    },
    /// A picture of a kind that is not read.
    #[error("pictures of kind '.{extension}' are not read; convert it to JPEG, PNG or WebP")]
    PictureKind {
        /// The file's extension.
        extension: String,
    },
    /// The picture has been named by an earlier row.
    #[error("'{path}' was named before")]
    NamedTwice {
        /// The path, relative to the loaded folder.
        path: String,
    },
    /// The file breaks off inside the row.
    #[error("the file breaks off: wanted {wanted} bytes, got {got}")]
    Truncated {
        /// Bytes that the row needs.
        wanted: usize,
        /// Bytes that were left.
        got: usize,
    },
    /// A row of an fvecs, bvecs or ivecs file whose own dim differs from the first row's: nothing after it can be found.
    #[error("the row says dim {got}, wanted {wanted}")]
    BadRowDim {
        /// The dim of the first row.
        wanted: i32,
        /// What the file says.
        got: i32,
    },
    /// The file goes on after the rows that its header announces.
    #[error("the header announces {rows} rows, but the file goes on")]
    TrailingBytes {
        /// Rows announced.
        rows: u64,
    },
    /// The file, or the compressed data in it, cannot be read: there is nothing after this.
    #[error("read: {0}")]
    Read(#[from] io::Error),
    /// A sub-folder or a metadata file cannot be read; the rest of the folder can.
    #[error("read: {0}")]
    Unreadable(io::Error),
}

/// What can be wrong with a vector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VectorFault {
    /// No numbers.
    #[error("is empty")]
    Empty,
    /// An element that is no number.
    #[error("element {idx} is no number")]
    NotANumber {
        /// The element, from 0.
        idx: usize,
    },
    /// An element that is NaN, infinite, or too large for 32 bits.
    #[error("element {idx} is not a finite 32-bit number")]
    NotFinite {
        /// The element, from 0.
        idx: usize,
    },
    /// Neither an array of numbers nor an object of such arrays.
    #[error("wanted an array of numbers, got {got}")]
    NotAnArray {
        /// What stands there.
        got: &'static str,
    },
    /// More numbers than a vector may have.
    #[error("has {}, at most {dim_max} are read", numbers(*got))]
    TooLong {
        /// The limit.
        dim_max: usize,
        /// The numbers given.
        got: usize,
    },
    /// Another count of numbers than the rows before it.
    #[error("has {}, wanted {wanted}", numbers(*got))]
    DimMismatch {
        /// The dim of the first row.
        wanted: usize,
        /// The dim of this one.
        got: usize,
    },
}

fn numbers(count: usize) -> String {
    match count {
        1 => "1 number".to_owned(),
        count => format!("{count} numbers"),
    }
}
