//! Writers of dataset formats: what [`formats`](crate::formats) reads again.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use half::f16;
use ndarray::ArrayView2;
use serde_json::{Map, Value};

use crate::row::{ImageSource, Row, RowId};

/// Why a row was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output, or the picture of a row, fails.
    #[error("write: {0}")]
    Io(#[from] io::Error),
    /// A row of no numbers, of another count than the first, or of more than 2^31 - 1.
    #[error("a row has {got} numbers, wanted {wanted}")]
    Dim {
        /// Numbers of the first row.
        wanted: usize,
        /// Numbers of this row.
        got: usize,
    },
    /// A payload field would be read back as something else.
    #[error("payload field '{field}' has the name of an id, text, picture or vector")]
    ReservedField {
        /// The name of the field.
        field: String,
    },
}

/// A number that binary formats hold.
pub trait Number: Copy {
    /// What NPY calls it.
    const NPY_NAME: &'static str;

    /// Appends its little-endian bytes.
    fn push_bytes(self, bytes: &mut Vec<u8>);
}

macro_rules! number {
    ($type:ty, $name:literal) => {
        impl Number for $type {
            const NPY_NAME: &'static str = $name;

            fn push_bytes(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    };
}

number!(f32, "<f4");
number!(f64, "<f8");
number!(f16, "<f2");
number!(u8, "|u1");
number!(i8, "|i1");
number!(i32, "<i4");

/// Writes fvecs (`f32`), bvecs (`u8`) or ivecs (`i32`): see [`fvecs`], [`bvecs`], [`ivecs`].
///
/// Gives each row to the output at once: wrap a file in a `BufWriter`.
pub struct VecsWriter<T, W> {
    output: W,
    dim: Option<usize>,
    bytes: Vec<u8>,
    kind: std::marker::PhantomData<T>,
}

/// A writer of fvecs.
pub fn fvecs<W: Write>(output: W) -> VecsWriter<f32, W> {
    VecsWriter::new(output)
}

/// A writer of bvecs.
pub fn bvecs<W: Write>(output: W) -> VecsWriter<u8, W> {
    VecsWriter::new(output)
}

/// A writer of ivecs.
pub fn ivecs<W: Write>(output: W) -> VecsWriter<i32, W> {
    VecsWriter::new(output)
}

impl<T: Number, W: Write> VecsWriter<T, W> {
    fn new(output: W) -> VecsWriter<T, W> {
        VecsWriter {
            output,
            dim: None,
            bytes: Vec::new(),
            kind: std::marker::PhantomData,
        }
    }

    /// Writes one row.
    ///
    /// # Errors
    ///
    /// [`WriteError::Dim`] for a row that is empty or unlike the first; nothing has been written then.
    pub fn row(&mut self, row: &[T]) -> Result<(), WriteError> {
        let wanted = self.dim.unwrap_or(row.len().max(1));
        let prefix = i32::try_from(row.len())
            .ok()
            .filter(|_| row.len() == wanted);
        let prefix = prefix.ok_or(WriteError::Dim {
            wanted,
            got: row.len(),
        })?;
        self.dim = Some(wanted);
        self.bytes.clear();
        self.bytes.extend_from_slice(&prefix.to_le_bytes());
        row.iter()
            .for_each(|number| number.push_bytes(&mut self.bytes));
        Ok(self.output.write_all(&self.bytes)?)
    }

    /// Flushes the output and gives it back.
    ///
    /// # Errors
    ///
    /// What flushing gives.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }
}

/// Writes a matrix as NPY, version 1.0, C order, little-endian.
///
/// # Errors
///
/// What the output gives.
pub fn npy<T: Number>(mut output: impl Write, matrix: ArrayView2<T>) -> io::Result<()> {
    // Magic, version and length take 10 bytes; the numbers begin at a multiple of 64.
    let (rows, dim) = matrix.dim();
    let mut header = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}",
        T::NPY_NAME
    );
    header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
    header.push('\n');
    output.write_all(b"\x93NUMPY\x01\x00")?;
    output.write_all(&(header.len() as u16).to_le_bytes())?;
    output.write_all(header.as_bytes())?;
    let mut bytes = Vec::new();
    for row in matrix.rows() {
        bytes.clear();
        row.iter().for_each(|number| number.push_bytes(&mut bytes));
        output.write_all(&bytes)?;
    }
    output.flush()
}

/// Largest picture that [`jsonl_row`] reads from a file.
const PICTURE_BYTES_MAX: u64 = 24 << 20;

/// Names under which the reader looks for other things than payload; `title`, which stays there, may be among them too.
const RESERVED: [&str; 15] = [
    "id",
    "_id",
    "text",
    "content",
    "caption",
    "body",
    "description",
    "image",
    "image_path",
    "file_name",
    "file",
    "vector",
    "vectors",
    "embedding",
    "embeddings",
];

/// Writes a row as one line of JSON: `id`, `text`, `image` (base64, also of a picture in a file), `vectors`, payload.
///
/// Reading it gives the same row, but that its `source` follows from its place if it has no id, and that blanks around
/// its text are gone.
///
/// # Errors
///
/// [`WriteError::ReservedField`] if the payload has a field of such a name, or a `title` that the text does not begin
/// with and that would be read as its beginning; nothing has been written then.
pub fn jsonl_row(mut output: impl Write, row: &Row) -> Result<(), WriteError> {
    let text = row.text.as_deref().unwrap_or_default();
    let would_be_read_otherwise = |(field, value): &(&String, &Value)| match field.as_str() {
        "title" => value.as_str().is_some_and(|title| !text.starts_with(title)),
        field => RESERVED.contains(&field),
    };
    if let Some((field, _)) = row.payload.iter().find(would_be_read_otherwise) {
        return Err(WriteError::ReservedField {
            field: field.clone(),
        });
    }
    let mut fields = Map::new();
    match &row.id {
        Some(RowId::Num(number)) => fields.insert("id".to_owned(), Value::from(*number)),
        Some(RowId::Str(text)) => fields.insert("id".to_owned(), Value::from(text.as_str())),
        None => None,
    };
    if let Some(text) = &row.text {
        fields.insert("text".to_owned(), Value::from(text.as_str()));
    }
    if let Some(image) = &row.image {
        fields.insert("image".to_owned(), Value::from(base64_of(image)?));
    }
    match row.vectors.as_slice() {
        [] => {}
        [(name, vector)] if name.is_empty() => {
            fields.insert("vector".to_owned(), Value::from(vector.as_slice()));
        }
        vectors => {
            let named = vectors
                .iter()
                .map(|(name, vector)| (name.clone(), Value::from(vector.as_slice())))
                .collect();
            fields.insert("vectors".to_owned(), Value::Object(named));
        }
    }
    fields.extend(row.payload.clone());
    let mut line = Value::Object(fields).to_string();
    line.push('\n');
    Ok(output.write_all(line.as_bytes())?)
}

fn base64_of(image: &ImageSource) -> io::Result<String> {
    Ok(format!(
        "data:;base64,{}",
        STANDARD.encode(image.read(PICTURE_BYTES_MAX)?)
    ))
}
