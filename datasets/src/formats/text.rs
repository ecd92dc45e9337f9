//! Plain text: one text a line.

use serde_json::Map;

use super::input::{ByteCount, Input};
use super::lines::{Line, Lines};
use super::numbers::RowKey;
use super::{Format, OpenOptions, Progress, Source};
use crate::row::{At, Place, Row, RowError, RowFault};

/// Reads lines and numbers them.
pub(super) struct NumberedLines {
    lines: Lines,
    bytes_max: usize,
    name: String,
    is_pipe: bool,
    count: ByteCount,
    row: u64,
    ended: bool,
}

impl NumberedLines {
    pub fn new(input: Input, options: &OpenOptions) -> NumberedLines {
        NumberedLines {
            bytes_max: options.line_bytes_max,
            is_pipe: input.is_pipe(),
            count: input.count(),
            name: input.name,
            lines: Lines::new(input.bytes, options.line_bytes_max),
            row: 0,
            ended: false,
        }
    }

    /// Reads the next line and gives it to `read` with the source of its row.
    pub fn next_with(
        &mut self,
        read: impl FnOnce(&str, String) -> Result<Row, RowFault>,
    ) -> Option<Result<Row, RowError>> {
        if self.ended {
            return None;
        }
        let line = self.lines.next().transpose()?;
        let row = self.row;
        self.row += 1;
        let key = if self.is_pipe {
            RowKey::Content
        } else {
            RowKey::File(self.name.clone())
        };
        let read = match line {
            Ok(Line::Full) => match std::str::from_utf8(self.lines.text()) {
                Ok(text) => read(text, key.source_of(row, || text.to_owned())),
                Err(_) => Err(RowFault::NotUtf8),
            },
            Ok(Line::TooLong) => Err(RowFault::TooLong {
                bytes_max: self.bytes_max,
            }),
            Err(error) => {
                self.ended = true;
                Err(RowFault::Read(error))
            }
        };
        Some(read.map_err(|fault| RowError {
            place: self.place(),
            fault,
        }))
    }

    pub fn progress(&self) -> Progress {
        self.count.progress()
    }

    /// Where the line read last stands.
    pub fn place(&self) -> Place {
        Place {
            file: self.name.clone(),
            at: At::Line(self.lines.number),
        }
    }
}

/// A [`Source`] of one text a line.
pub(super) struct TextLines(NumberedLines);

impl TextLines {
    pub fn new(input: Input, options: &OpenOptions) -> TextLines {
        TextLines(NumberedLines::new(input, options))
    }
}

impl Iterator for TextLines {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_with(|text, source| {
            Ok(Row {
                source,
                id: None,
                text: Some(text.trim().to_owned()),
                image: None,
                vectors: Vec::new(),
                payload: Map::new(),
            })
        })
    }
}

impl Source for TextLines {
    fn format(&self) -> Format {
        Format::Lines
    }

    fn progress(&self) -> Progress {
        self.0.progress()
    }

    fn place(&self) -> Option<Place> {
        Some(self.0.place()).filter(|place| place.at != At::Line(0))
    }
}
