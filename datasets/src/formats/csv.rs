//! CSV and TSV: a header of names, then one record a row.
//!
//! Cells may be quoted with `"`, doubled inside; a quoted cell may hold delimiters and line ends (RFC 4180). The
//! delimiter of a `.csv` is `;` if its header has more of these than commas. Records end at `\n`, `\r\n` or `\r`.
//!
//! A column becomes numbers if its first 256 records say so: all whole numbers, or all numbers, empty cells aside and
//! none written with a leading zero or plus, which are codes. A later cell that is none stays text. An empty cell is a
//! field that is not there.

use std::collections::{HashSet, VecDeque};
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::input::{ByteCount, Input};
use super::numbers::RowKey;
use super::objects::{Object, Objects};
use super::{Format, OpenError, OpenOptions, Progress};
use crate::row::{At, Place, RowError, RowFault};

/// Records looked at to tell the types of columns.
const TYPING_RECORDS: usize = 256;

/// Bytes looked at, at most, to tell the types of columns.
const TYPING_BYTES_MAX: usize = 4 << 20;

/// Most columns of a header.
const COLUMNS_MAX: usize = 100_000;

/// The records of a CSV file as named fields.
pub(super) struct CsvObjects {
    records: Records,
    name: String,
    folder: Option<PathBuf>,
    is_pipe: bool,
    count: ByteCount,
    columns: Vec<Column>,
    /// Records read to tell the types, still to be returned.
    waiting: VecDeque<Result<Record, RowError>>,
    row: u64,
}

#[derive(Debug)]
struct Column {
    name: String,
    kind: ColumnKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnKind {
    /// No cell has been seen that is not empty.
    Empty,
    Integers,
    Numbers,
    Text,
}

impl CsvObjects {
    /// Opens a file, reads its header, and tells the types of its columns from its first records.
    pub fn open(
        mut input: Input,
        format: Format,
        options: &OpenOptions,
    ) -> Result<CsvObjects, OpenError> {
        let name = input.name.clone();
        let delimiter = match format {
            Format::Tsv => b'\t',
            _ => delimiter_of(input.peek().unwrap_or_default()),
        };
        let (is_pipe, count, folder) = (input.is_pipe(), input.count(), input.folder.take());
        let mut records =
            Records::new(input.bytes, delimiter, options.line_bytes_max, name.clone());
        let columns = match records.next_record() {
            Some(Ok(header)) => columns_of(&header).map_err(|problem| OpenError::Header {
                name: name.clone(),
                problem,
            })?,
            Some(Err(error)) => {
                return Err(OpenError::Header {
                    name,
                    problem: format!("header: {}", error.fault),
                });
            }
            None => {
                return Err(OpenError::Header {
                    name,
                    problem: "is empty; wanted a header with the names of the columns".to_owned(),
                });
            }
        };
        let mut objects = CsvObjects {
            records,
            name,
            folder,
            is_pipe,
            count,
            columns,
            waiting: VecDeque::new(),
            row: 0,
        };
        objects.tell_types();
        Ok(objects)
    }

    fn tell_types(&mut self) {
        let mut bytes = 0;
        while self.waiting.len() < TYPING_RECORDS && bytes < TYPING_BYTES_MAX {
            let Some(record) = self.records.next_record() else {
                return;
            };
            if let Ok(record) = &record {
                bytes += record.text.len();
                for (column, cell) in self.columns.iter_mut().zip(record.cells()) {
                    column.kind = column.kind.with(cell);
                }
            }
            self.waiting.push_back(record);
        }
    }

    fn fields_of(&self, record: &Record) -> Result<Map<String, Value>, RowFault> {
        if record.ends.len() != self.columns.len() {
            return Err(RowFault::CellCount {
                wanted: self.columns.len(),
                got: record.ends.len(),
            });
        }
        let cells = self.columns.iter().zip(record.cells());
        Ok(cells
            .filter(|(_, cell)| !cell.is_empty())
            .map(|(column, cell)| (column.name.clone(), column.kind.value_of(cell)))
            .collect())
    }
}

impl Objects for CsvObjects {
    fn next_object(&mut self) -> Option<Result<Object, RowError>> {
        let record = self
            .waiting
            .pop_front()
            .or_else(|| self.records.next_record())?;
        let row = self.row;
        self.row += 1;
        Some(record.and_then(|record| {
            let place = Place {
                file: self.name.clone(),
                at: At::Line(record.line),
            };
            match self.fields_of(&record) {
                Ok(fields) => Ok(Object { place, row, fields }),
                Err(fault) => Err(RowError { place, fault }),
            }
        }))
    }

    fn key(&self) -> RowKey {
        if self.is_pipe {
            RowKey::Content
        } else {
            RowKey::File(self.name.clone())
        }
    }

    fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    fn progress(&self) -> Progress {
        self.count.progress()
    }
}

fn delimiter_of(start: &[u8]) -> u8 {
    let header = start
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let count = |delimiter| header.iter().filter(|&&byte| byte == delimiter).count();
    if count(b';') > count(b',') {
        b';'
    } else {
        b','
    }
}

fn columns_of(header: &Record) -> Result<Vec<Column>, String> {
    if header.ends.len() > COLUMNS_MAX {
        return Err(format!(
            "the header has {} columns, at most {COLUMNS_MAX} are read",
            header.ends.len()
        ));
    }
    let mut seen = HashSet::new();
    let columns = header
        .cells()
        .enumerate()
        .map(|(idx, cell)| match cell.trim() {
            "" => Ok(format!("column_{idx}")),
            name if seen.insert(name.to_owned()) => Ok(name.to_owned()),
            name => Err(format!("the header names '{name}' twice")),
        });
    columns
        .map(|name| {
            name.map(|name| Column {
                name,
                kind: ColumnKind::Empty,
            })
        })
        .collect()
}

impl ColumnKind {
    /// The kind of a column that holds `cell` too.
    fn with(self, cell: &str) -> ColumnKind {
        match (self, number_kind(cell)) {
            (kind, ColumnKind::Empty) => kind,
            (ColumnKind::Empty, kind) => kind,
            (ColumnKind::Text, _) | (_, ColumnKind::Text) => ColumnKind::Text,
            (ColumnKind::Numbers, _) | (_, ColumnKind::Numbers) => ColumnKind::Numbers,
            (ColumnKind::Integers, ColumnKind::Integers) => ColumnKind::Integers,
        }
    }

    fn value_of(self, cell: &str) -> Value {
        let text = || Value::from(cell);
        let number = || {
            serde_json::from_str::<serde_json::Number>(cell)
                .map_or_else(|_| Value::from(cell), Value::Number)
        };
        match (self, number_kind(cell)) {
            (ColumnKind::Text, _) => text(),
            (_, ColumnKind::Integers | ColumnKind::Numbers) => number(),
            _ => text(),
        }
    }
}

/// What kind of column a cell alone would make.
fn number_kind(cell: &str) -> ColumnKind {
    if cell.is_empty() {
        return ColumnKind::Empty;
    }
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit());
    match serde_json::from_str::<serde_json::Number>(cell) {
        _ if cell.trim() != cell => ColumnKind::Text,
        Ok(number) if is_whole && (number.is_i64() || number.is_u64()) => ColumnKind::Integers,
        Ok(_) if !is_whole || cell == "-0" => ColumnKind::Numbers,
        _ => ColumnKind::Text,
    }
}

/// One record: its cells, one after the other.
#[derive(Debug, Default)]
struct Record {
    text: String,
    /// Where each cell ends in `text`.
    ends: Vec<usize>,
    /// The line on which the record begins, from 1.
    line: u64,
}

impl Record {
    fn cells(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| &self.text[start..end])
    }
}

/// Cuts bytes into records, holding no more than `bytes_max` of one.
struct Records {
    reader: Box<dyn BufRead + Send>,
    delimiter: u8,
    bytes_max: usize,
    name: String,
    line: u64,
    /// The last byte was `\r`, so a `\n` that follows belongs to it.
    after_return: bool,
    at_start: bool,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a record: line ends are blank lines.
    RecordStart,
    CellStart,
    Plain,
    Quoted,
    /// After a quote inside a quoted cell: its end, or the first of two.
    QuoteInQuoted,
}

impl Records {
    fn new(
        reader: Box<dyn BufRead + Send>,
        delimiter: u8,
        bytes_max: usize,
        name: String,
    ) -> Records {
        Records {
            reader,
            delimiter,
            bytes_max,
            name,
            line: 1,
            after_return: false,
            at_start: true,
            ended: false,
        }
    }

    /// Reads the next record.
    fn next_record(&mut self) -> Option<Result<Record, RowError>> {
        if self.ended {
            return None;
        }
        let mut building = Building::default();
        let read = loop {
            match self.step(&mut building) {
                Ok(Step::More) => {}
                Ok(Step::Record) => break Ok(()),
                Ok(Step::End) => {
                    self.ended = true;
                    match building.state {
                        State::RecordStart => return None,
                        State::Quoted => break Err(RowFault::OpenQuote),
                        _ => break Ok(()),
                    }
                }
                Err(error) => {
                    self.ended = true;
                    break Err(RowFault::Read(error));
                }
            }
        };
        let place = Place {
            file: self.name.clone(),
            at: At::Line(building.line),
        };
        Some(
            read.and_then(|()| building.finish(self.bytes_max))
                .map_err(|fault| RowError { place, fault }),
        )
    }

    /// Takes what is buffered, up to the end of the record.
    fn step(&mut self, building: &mut Building) -> io::Result<Step> {
        let mut available = match self.reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Step::More),
            available => available?,
        };
        if available.is_empty() {
            return Ok(Step::End);
        }
        let mut taken = 0;
        if self.at_start {
            self.at_start = false;
            if let Some(rest) = available.strip_prefix(b"\xef\xbb\xbf") {
                available = rest;
                taken = 3;
            }
        }
        let mut step = Step::More;
        for &byte in available {
            taken += 1;
            let is_second_of_pair = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            if is_second_of_pair {
                // `\r\n` is one line end; inside quotes both bytes belong to the cell.
                if building.state == State::Quoted {
                    building.push(byte, self.bytes_max);
                }
                continue;
            }
            if building.state == State::RecordStart {
                building.line = self.line;
            }
            self.line += u64::from(byte == b'\n' || byte == b'\r');
            if building.take(byte, self.delimiter, self.bytes_max) {
                step = Step::Record;
                break;
            }
        }
        self.reader.consume(taken);
        Ok(step)
    }
}

enum Step {
    More,
    Record,
    End,
}

/// A record while it is read.
struct Building {
    state: State,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    line: u64,
    too_long: bool,
}

impl Default for Building {
    fn default() -> Building {
        Building {
            state: State::RecordStart,
            bytes: Vec::new(),
            ends: Vec::new(),
            line: 0,
            too_long: false,
        }
    }
}

impl Building {
    /// Takes one byte and tells whether it ended the record.
    fn take(&mut self, byte: u8, delimiter: u8, bytes_max: usize) -> bool {
        let is_line_end = byte == b'\n' || byte == b'\r';
        match self.state {
            State::RecordStart if is_line_end => return false,
            State::RecordStart | State::CellStart if byte == b'"' => self.state = State::Quoted,
            State::Quoted if byte == b'"' => self.state = State::QuoteInQuoted,
            State::Quoted => self.push(byte, bytes_max),
            State::QuoteInQuoted if byte == b'"' => {
                self.state = State::Quoted;
                self.push(byte, bytes_max);
            }
            _ if byte == delimiter => {
                self.end_cell(bytes_max);
                self.state = State::CellStart;
            }
            _ if is_line_end => return true,
            _ => {
                self.state = State::Plain;
                self.push(byte, bytes_max);
            }
        }
        false
    }

    /// Counts 8 bytes for each cell, so that a line of delimiters is bounded too.
    fn push(&mut self, byte: u8, bytes_max: usize) {
        self.too_long |= self.bytes.len() + 8 * self.ends.len() >= bytes_max;
        if !self.too_long {
            self.bytes.push(byte);
        }
    }

    fn end_cell(&mut self, bytes_max: usize) {
        self.too_long |= self.bytes.len() + 8 * self.ends.len() >= bytes_max;
        if !self.too_long {
            self.ends.push(self.bytes.len());
        }
    }

    fn finish(mut self, bytes_max: usize) -> Result<Record, RowFault> {
        if self.too_long {
            return Err(RowFault::TooLong { bytes_max });
        }
        self.ends.push(self.bytes.len());
        let text = String::from_utf8(self.bytes).map_err(|_| RowFault::NotUtf8)?;
        // A cell ends where a character does, unless the text was broken inside a character by a delimiter.
        if self.ends.iter().any(|&end| !text.is_char_boundary(end)) {
            return Err(RowFault::NotUtf8);
        }
        Ok(Record {
            text,
            ends: self.ends,
            line: self.line,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records_of(text: &str, bytes_max: usize) -> Vec<Result<Vec<String>, String>> {
        let mut records = Records::new(
            Box::new(io::Cursor::new(text.as_bytes().to_vec())),
            b',',
            bytes_max,
            String::new(),
        );
        std::iter::from_fn(|| records.next_record())
            .map(|record| {
                record
                    .map(|r| r.cells().map(str::to_owned).collect())
                    .map_err(|e| e.to_string())
            })
            .collect()
    }

    #[test]
    fn cuts_records() {
        let check = |text: &str, expected: &[&[&str]]| {
            let got: Vec<_> = records_of(text, 100)
                .into_iter()
                .map(|record| record.unwrap())
                .collect();
            assert_eq!(got, expected, "{text:?}");
        };
        check("", &[]);
        check("\n\r\n\n", &[]);
        check("a,b\r\nc,d", &[&["a", "b"], &["c", "d"]]);
        check("\u{feff}a,\n,", &[&["a", ""], &["", ""]]);
        check("\"a,\"\"b\"\"\r\n\",c\n", &[&["a,\"b\"\r\n", "c"]]);
        check("a\"b,\"c\"d\n", &[&["a\"b", "cd"]]);
        check("\"\"\n", &[&[""]]);
    }

    #[test]
    fn goes_on_after_long_and_open_records() {
        let got = records_of(
            "12345678901234567890,1\n\"1234567890\n1234567890\"\nok,1\n\"open\nfor ever",
            12,
        );
        let expected = [
            Err(" line 1: longer than 12 bytes"),
            Err(" line 2: longer than 12 bytes"),
            Ok(vec!["ok", "1"]),
            Err(" line 5: the quote opened in this record is never closed"),
        ];
        assert_eq!(
            got,
            expected.map(|r| r
                .map(|cells| cells.into_iter().map(str::to_owned).collect())
                .map_err(str::to_owned))
        );
        assert_eq!(
            records_of(&",".repeat(1000), 100),
            [Err(" line 1: longer than 100 bytes".to_owned())]
        );
    }

    proptest! {
        #[test]
        fn cuts_as_the_csv_crate(text in "[ab\",\n\r é]{0,60}") {
            let quotes_are_closed = !records_of(&text, 1000).iter().any(Result::is_err);
            prop_assume!(quotes_are_closed);
            let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let expected: Vec<Vec<String>> = reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
            let got: Vec<Vec<String>> = records_of(&text, 1000).into_iter().map(Result::unwrap).collect();
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn columns_have_types() {
        let check = |cells: &[&str], expected: ColumnKind| {
            let got = cells
                .iter()
                .fold(ColumnKind::Empty, |kind, cell| kind.with(cell));
            assert_eq!(got, expected, "{cells:?}");
        };
        check(&["", ""], ColumnKind::Empty);
        check(&["1", "-20", "", "0"], ColumnKind::Integers);
        check(&["1", "2.5", "-1e3"], ColumnKind::Numbers);
        check(&["12", "007"], ColumnKind::Text);
        check(&["1", "-0"], ColumnKind::Numbers);
        check(&["+1"], ColumnKind::Text);
        check(&["1", "one"], ColumnKind::Text);
        check(&["#fff", "1"], ColumnKind::Text);
        check(&["NaN"], ColumnKind::Text);
        check(&[" 1"], ColumnKind::Text);
        check(&["123456789012345678901234567890"], ColumnKind::Text);
        assert_eq!(ColumnKind::Integers.value_of("n/a"), Value::from("n/a"));
        assert_eq!(ColumnKind::Text.value_of("12"), Value::from("12"));
        assert_eq!(ColumnKind::Integers.value_of("12"), Value::from(12));
    }
}
