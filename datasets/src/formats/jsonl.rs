//! JSONL: one JSON object a line.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::input::{ByteCount, Input};
use super::lines::{Line, Lines};
use super::numbers::RowKey;
use super::objects::{Object, Objects, kind_of};
use super::{OpenOptions, Progress};
use crate::row::{At, Place, RowError, RowFault};

/// Most commas in one line: a parsed value takes 32 bytes, so this bounds what a line grows to.
const COMMAS_MAX: usize = 2 << 20;

/// The objects of a JSONL file. The parser itself refuses values nested more than 127 deep.
pub(super) struct JsonObjects {
    lines: Lines,
    bytes_max: usize,
    name: String,
    folder: Option<PathBuf>,
    is_pipe: bool,
    count: ByteCount,
    row: u64,
    ended: bool,
}

impl JsonObjects {
    pub fn new(input: Input, options: &OpenOptions) -> JsonObjects {
        JsonObjects {
            bytes_max: options.line_bytes_max,
            is_pipe: input.is_pipe(),
            count: input.count(),
            name: input.name,
            folder: input.folder,
            lines: Lines::new(input.bytes, options.line_bytes_max),
            row: 0,
            ended: false,
        }
    }

    fn parse(&self, line: io::Result<Line>) -> Result<Map<String, Value>, RowFault> {
        if line? == Line::TooLong {
            return Err(RowFault::TooLong {
                bytes_max: self.bytes_max,
            });
        }
        let text = self.lines.text();
        if text.len() > COMMAS_MAX && text.iter().filter(|&&byte| byte == b',').count() > COMMAS_MAX
        {
            return Err(RowFault::TooManyValues {
                values_max: COMMAS_MAX,
            });
        }
        let text = std::str::from_utf8(text).map_err(|_| RowFault::NotUtf8)?;
        match serde_json::from_str(text)? {
            Value::Object(fields) => Ok(fields),
            other => Err(RowFault::NotAnObject {
                got: kind_of(&other),
            }),
        }
    }
}

impl Objects for JsonObjects {
    fn next_object(&mut self) -> Option<Result<Object, RowError>> {
        if self.ended {
            return None;
        }
        let line = self.lines.next().transpose()?;
        self.ended = line.is_err();
        let row = self.row;
        self.row += 1;
        let place = Place {
            file: self.name.clone(),
            at: At::Line(self.lines.number),
        };
        Some(match self.parse(line) {
            Ok(fields) => Ok(Object { place, row, fields }),
            Err(fault) => Err(RowError { place, fault }),
        })
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
