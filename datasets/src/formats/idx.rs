//! IDX, the format of MNIST and its kin.
//!
//! ```text
//! 0 0  type (08 u8, 09 i8, 0B i16, 0C i32, 0D f32, 0E f64)  count of axes
//! the length of each axis (u32)        all numbers big-endian
//! the numbers, last axis fastest
//! ```
//!
//! Description: <http://yann.lecun.com/exdb/mnist>. Labels stand in a file of one axis beside the pictures, with the
//! same name but for `labels` and `idx1` where the other says `images` and `idx3`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::element::{ByteOrder, Element};
use super::input::{Filled, Input, fill};
use super::numbers::{FixedRows, NumberRows, NumberSource};
use super::{Format, IdxPictures, OpenError, OpenOptions, Progress, Source, png};
use crate::row::{ImageSource, Place, Row, RowError, RowFault};

/// An open IDX file.
pub(super) struct Idx {
    pub rows: Box<dyn NumberRows>,
    /// The length of the first axis, as the header says.
    pub rows_total: u32,
    /// The lengths of all axes but the first.
    pub shape: Vec<u32>,
    pub element: Element,
}

/// Opens an array of two axes or more: the first axis are the rows, the others together the numbers of a row.
pub(super) fn open(input: Input, options: &OpenOptions) -> Result<Idx, OpenError> {
    let name = input.name.clone();
    let problem_of = |problem| OpenError::Header {
        name: name.clone(),
        problem,
    };
    let (input, header) = read_header(input).map_err(problem_of)?;
    let (rows, shape) = header.axes.split_first().unwrap_or((&0, &[]));
    if shape.is_empty() {
        return Err(problem_of(only_labels(input.path.as_deref())));
    }
    let dim = shape
        .iter()
        .try_fold(1u64, |dim, &axis| dim.checked_mul(u64::from(axis)));
    let dim = dim
        .and_then(|dim| usize::try_from(dim).ok())
        .filter(|dim| (1..=options.dim_max).contains(dim));
    let Some(dim) = dim else {
        return Err(problem_of(format!(
            "rows of shape {shape:?}; wanted 1 to {} numbers",
            options.dim_max
        )));
    };
    let fixed = FixedRows::new(input, header.element, ByteOrder::Big, u64::from(*rows), dim);
    Ok(Idx {
        rows: Box::new(fixed),
        rows_total: *rows,
        shape: shape.to_owned(),
        element: header.element,
    })
}

/// Opens an array as a source of vectors or pictures, with its labels.
pub(super) fn open_source(
    input: Input,
    options: &OpenOptions,
) -> Result<Box<dyn Source>, OpenError> {
    let name = input.name.clone();
    let labels = match input.path.as_deref().and_then(labels_path) {
        Some(path) => Some(open_labels(&path)?),
        None => None,
    };
    let idx = open(input, options)?;
    if let Some((labels, count)) = &labels
        && *count != idx.rows_total
    {
        let problem = format!(
            "has {} rows, but {} has {count} labels",
            idx.rows_total,
            labels.name()
        );
        return Err(OpenError::Header { name, problem });
    }
    let labels = labels.map(|(labels, _)| labels);
    let picture = match (options.idx_pictures, idx.element, idx.shape.as_slice()) {
        (IdxPictures::Vectors, _, _) => None,
        (IdxPictures::Pictures, Element::U8, &[height, width]) => {
            Some(PictureSize { height, width })
        }
        (IdxPictures::Pictures, _, _) => {
            return Err(OpenError::Header {
                name,
                problem: "is no array [n, height, width] of bytes, so no pictures".to_owned(),
            });
        }
    };
    Ok(Box::new(LabelledRows {
        rows: NumberSource::new(idx.rows, Format::Idx),
        labels,
        picture,
    }))
}

struct Header {
    element: Element,
    axes: Vec<u32>,
}

fn read_header(mut input: Input) -> Result<(Input, Header), String> {
    let mut read = |buffer: &mut [u8]| match fill(&mut input.bytes, buffer) {
        Ok(Filled::All) => Ok(()),
        Ok(Filled::Part(_)) => Err("the file ends inside the header".to_owned()),
        Err(error) => Err(format!("read: {error}")),
    };
    let mut start = [0; 4];
    read(&mut start)?;
    let element = match start {
        [0, 0, 0x08, _] => Element::U8,
        [0, 0, 0x09, _] => Element::I8,
        [0, 0, 0x0b, _] => Element::I16,
        [0, 0, 0x0c, _] => Element::I32,
        [0, 0, 0x0d, _] => Element::F32,
        [0, 0, 0x0e, _] => Element::F64,
        _ => return Err("not IDX: it does not begin with two zeros and a known type".to_owned()),
    };
    let mut axes = Vec::new();
    for _ in 0..start[3] {
        let mut axis = [0; 4];
        read(&mut axis)?;
        axes.push(u32::from_be_bytes(axis));
    }
    Ok((input, Header { element, axes }))
}

/// The existing labels file that belongs to a file of pictures.
fn labels_path(path: &Path) -> Option<PathBuf> {
    sibling(path, [("images", "labels"), ("idx3", "idx1")])
}

/// The existing file beside this one whose name has other words in it, packed or not.
fn sibling(path: &Path, words: [(&str, &str); 2]) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let other = words
        .iter()
        .fold(name.to_owned(), |name, (from, to)| name.replace(from, to));
    let plain = other.strip_suffix(".gz").unwrap_or(&other).to_owned();
    let packed = format!("{plain}.gz");
    // Without any of the words, the packed or unpacked form of the file itself would be found.
    if plain == name.strip_suffix(".gz").unwrap_or(name) {
        return None;
    }
    [other, plain, packed]
        .into_iter()
        .map(|other| path.with_file_name(other))
        .find(|path| path.is_file())
}

/// What is wrong with a file of one axis, and which one to open instead, if it stands beside it.
fn only_labels(path: Option<&Path>) -> String {
    let pictures = path.and_then(|path| sibling(path, [("labels", "images"), ("idx1", "idx3")]));
    let wanted = match pictures {
        Some(pictures) => format!("open {}", pictures.display()),
        None => "open the file with the pictures".to_owned(),
    };
    format!("has one axis only: these are labels; {wanted}, which takes the labels beside it along")
}

/// Opens a file of one axis, one number a row, and tells how many its header announces.
fn open_labels(path: &Path) -> Result<(FixedRows, u32), OpenError> {
    let input = Input::open(path).map_err(|error| OpenError::Io {
        path: path.to_owned(),
        error,
    })?;
    let name = input.name.clone();
    let problem_of = |problem| OpenError::Header {
        name: name.clone(),
        problem,
    };
    let (input, header) = read_header(input).map_err(problem_of)?;
    match header.axes.as_slice() {
        &[rows] => Ok((
            FixedRows::new(input, header.element, ByteOrder::Big, u64::from(rows), 1),
            rows,
        )),
        axes => Err(problem_of(format!(
            "has {} axes; labels have one",
            axes.len()
        ))),
    }
}

struct PictureSize {
    height: u32,
    width: u32,
}

struct LabelledRows {
    rows: NumberSource,
    labels: Option<FixedRows>,
    picture: Option<PictureSize>,
}

impl LabelledRows {
    /// Returns the next label, if there are labels.
    fn next_label(&mut self) -> Result<Option<Value>, RowFault> {
        let Some(labels) = &mut self.labels else {
            return Ok(None);
        };
        let mut numbers = Vec::new();
        match labels.next_row(&mut numbers) {
            Some(Ok(())) => Ok(numbers.first().map(|&number| label_value(number))),
            Some(Err(_)) | None => Err(RowFault::MissingField {
                field: "label".to_owned(),
            }),
        }
    }
}

fn label_value(number: f64) -> Value {
    if number.fract() == 0.0 {
        Value::from(number as i64)
    } else {
        Value::from(number)
    }
}

impl Iterator for LabelledRows {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.rows.next()?;
        let label = self.next_label();
        Some(read.and_then(|mut row| {
            match label {
                Ok(Some(label)) => row.payload = Map::from_iter([("label".to_owned(), label)]),
                Ok(None) => {}
                Err(fault) => return Err(self.rows.error_here(fault)),
            }
            if let Some(size) = &self.picture {
                let grey: Vec<u8> = self
                    .rows
                    .numbers()
                    .iter()
                    .map(|&number| number as u8)
                    .collect();
                row.image = Some(ImageSource::Bytes(png::encode_grey(
                    size.width,
                    size.height,
                    &grey,
                )));
                row.vectors.clear();
            }
            Ok(row)
        }))
    }
}

impl Source for LabelledRows {
    fn format(&self) -> Format {
        Format::Idx
    }

    fn progress(&self) -> Progress {
        self.rows.progress()
    }

    fn place(&self) -> Option<Place> {
        self.rows.place()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_labels() {
        let folder = tempfile::tempdir().unwrap();
        let check = |pictures: &str, labels: &str| {
            let path = folder.path().join(labels);
            std::fs::write(&path, []).unwrap();
            assert_eq!(
                labels_path(&folder.path().join(pictures)),
                Some(path.clone())
            );
            std::fs::remove_file(path).unwrap();
            assert_eq!(labels_path(&folder.path().join(pictures)), None);
        };
        check("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz");
        check("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte");
        check("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte");
        assert_eq!(labels_path(&folder.path().join("digits.idx")), None);
    }

    #[test]
    fn labels_name_their_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let labels = folder.path().join("t10k-labels-idx1-ubyte.gz");
        assert!(only_labels(Some(&labels)).contains("open the file with the pictures"));
        let pictures = folder.path().join("t10k-images-idx3-ubyte");
        std::fs::write(&pictures, []).unwrap();
        let said = only_labels(Some(&labels));
        assert!(
            said.contains(&format!("open {}", pictures.display())),
            "{said}"
        );
    }

    #[test]
    fn labels_are_numbers() {
        assert_eq!(label_value(7.0), Value::from(7));
        assert_eq!(label_value(0.5), Value::from(0.5));
    }
}
