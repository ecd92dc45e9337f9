//! Rows of numbers: what NPY, fvecs, bvecs, ivecs and IDX have in common.

use super::element::{ByteOrder, Element};
use super::input::{Filled, Input, fill};
use super::{Format, Progress, Source};
use crate::row::{At, Place, Row, RowError, RowFault, VectorFault};

/// A stream of rows of numbers.
pub(crate) trait NumberRows: Send {
    /// Reads the next row into `numbers`, which is cleared. `None` at the end.
    fn next_row(&mut self, numbers: &mut Vec<f64>) -> Option<Result<(), RowFault>>;
    /// The file's name.
    fn name(&self) -> &str;
    /// What the rows are told by.
    fn key(&self) -> RowKey;
    /// How far reading has come.
    fn progress(&self) -> Progress;
}

/// Rows of one length, as many as a header announced.
pub(super) struct FixedRows {
    input: Input,
    element: Element,
    order: ByteOrder,
    rows: u64,
    rows_done: u64,
    bytes: Vec<u8>,
    ended: bool,
}

impl FixedRows {
    /// - `dim`: numbers in a row, already checked against the limit: a row is held, the count of rows is only counted.
    pub fn new(
        input: Input,
        element: Element,
        order: ByteOrder,
        rows: u64,
        dim: usize,
    ) -> FixedRows {
        FixedRows {
            input,
            element,
            order,
            rows,
            rows_done: 0,
            bytes: vec![0; dim * element.bytes()],
            ended: false,
        }
    }

    fn read_row(&mut self) -> Option<Result<(), RowFault>> {
        if self.rows_done == self.rows {
            return match fill(&mut self.input.bytes, &mut [0]) {
                Ok(Filled::Part(_)) => None,
                Ok(Filled::All) => Some(Err(RowFault::TrailingBytes { rows: self.rows })),
                Err(error) => Some(Err(RowFault::Read(error))),
            };
        }
        self.rows_done += 1;
        Some(match fill(&mut self.input.bytes, &mut self.bytes) {
            Ok(Filled::All) => Ok(()),
            Ok(Filled::Part(got)) => Err(RowFault::Truncated {
                wanted: self.bytes.len(),
                got,
            }),
            Err(error) => Err(RowFault::Read(error)),
        })
    }
}

impl NumberRows for FixedRows {
    fn next_row(&mut self, numbers: &mut Vec<f64>) -> Option<Result<(), RowFault>> {
        if self.ended {
            return None;
        }
        numbers.clear();
        let read = self.read_row();
        match read {
            Some(Ok(())) => self.element.decode(self.order, &self.bytes, numbers),
            Some(Err(_)) | None => self.ended = true,
        }
        read
    }

    fn name(&self) -> &str {
        &self.input.name
    }

    fn key(&self) -> RowKey {
        RowKey::of(&self.input)
    }

    fn progress(&self) -> Progress {
        self.input.count().progress()
    }
}

/// Turns numbers into a vector.
pub(super) fn vector_of(numbers: &[f64]) -> Result<Vec<f32>, VectorFault> {
    if numbers.is_empty() {
        return Err(VectorFault::Empty);
    }
    let vector: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
    match vector.iter().position(|number| !number.is_finite()) {
        Some(idx) => Err(VectorFault::NotFinite { idx }),
        None => Ok(vector),
    }
}

/// A [`Source`] of rows that are one unnamed vector each.
pub(super) struct NumberSource {
    rows: Box<dyn NumberRows>,
    format: Format,
    row: u64,
    numbers: Vec<f64>,
}

impl NumberSource {
    pub fn new(rows: Box<dyn NumberRows>, format: Format) -> NumberSource {
        NumberSource {
            rows,
            format,
            row: 0,
            numbers: Vec::new(),
        }
    }

    /// An error at the row that was returned last.
    pub fn error_here(&self, fault: RowFault) -> RowError {
        RowError {
            place: self.place_of(self.row.saturating_sub(1)),
            fault,
        }
    }

    fn place_of(&self, row: u64) -> Place {
        Place {
            file: self.rows.name().to_owned(),
            at: At::Row(row),
        }
    }

    /// The numbers of the row that was returned last.
    pub fn numbers(&self) -> &[f64] {
        &self.numbers
    }
}

impl Iterator for NumberSource {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.rows.next_row(&mut self.numbers)?;
        let row = self.row;
        self.row += 1;
        let vector = read.and_then(|()| {
            vector_of(&self.numbers).map_err(|fault| RowFault::Vector {
                name: String::new(),
                fault,
            })
        });
        Some(match vector {
            Ok(vector) => Ok(Row {
                source: self
                    .rows
                    .key()
                    .source_of(row, || format!("{:?}", self.numbers)),
                id: None,
                text: None,
                image: None,
                vectors: vec![(String::new(), vector)],
                payload: serde_json::Map::new(),
            }),
            Err(fault) => Err(self.error_here(fault)),
        })
    }
}

impl Source for NumberSource {
    fn format(&self) -> Format {
        self.format
    }

    fn progress(&self) -> Progress {
        self.rows.progress()
    }

    fn place(&self) -> Option<Place> {
        self.row.checked_sub(1).map(|row| self.place_of(row))
    }
}

/// What the rows of an input without ids are told by; see [`Row::source`].
pub(crate) enum RowKey {
    /// The name of the file and the number of the row.
    File(String),
    /// A hash of the row's content.
    Content,
}

impl RowKey {
    pub(super) fn of(input: &Input) -> RowKey {
        if input.is_pipe() {
            RowKey::Content
        } else {
            RowKey::File(input.name.clone())
        }
    }

    /// Whether [`source_of`](RowKey::source_of) asks for the row's content.
    pub fn needs_content(&self) -> bool {
        matches!(self, RowKey::Content)
    }

    /// The source of a row; `content` is asked only if the input has no name.
    pub fn source_of(&self, row: u64, content: impl FnOnce() -> String) -> String {
        match self {
            RowKey::File(name) => format!("{name}#{row}"),
            RowKey::Content => format!("pipe#{:032x}", fnv1a_128(content().as_bytes())),
        }
    }
}

/// The 128-bit FNV-1a hash: not against an attacker, who would only overwrite rows of the very pipe they write.
///
/// Paper: <https://datatracker.ietf.org/doc/html/rfc9923>.
fn fnv1a_128(bytes: &[u8]) -> u128 {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET_BASIS, |hash, &byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_fnv1a() {
        // Test vectors of the specification.
        assert_eq!(fnv1a_128(b""), 0x6c62272e07bb014262b821756295c58d);
        assert_eq!(fnv1a_128(b"a"), 0xd228cb696f1a8caf78912b704e4a8964);
    }

    #[test]
    fn vectors_are_finite() {
        assert_eq!(vector_of(&[1.0, -2.5]), Ok(vec![1.0, -2.5]));
        assert_eq!(vector_of(&[]), Err(VectorFault::Empty));
        assert_eq!(
            vector_of(&[0.0, 1e39]),
            Err(VectorFault::NotFinite { idx: 1 })
        );
        assert_eq!(
            vector_of(&[f64::NAN]),
            Err(VectorFault::NotFinite { idx: 0 })
        );
    }
}
