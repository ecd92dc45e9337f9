//! Word vectors as text: `word 0.1 -0.2 ...` lines, as of GloVe; word2vec's first line, `count dim`, is skipped.
//!
//! The first row says the dim. A word may hold blanks: the last `dim` parts of a line are the numbers.

use serde_json::{Map, Value};

use super::input::Input;
use super::text::NumberedLines;
use super::{Format, OpenOptions, Progress, Source};
use crate::row::{At, Place, Row, RowError, RowFault, RowId, VectorFault};

/// Longest word that is an id, in bytes; longer ones (in large tables, the addresses of pages) are told by their line.
const ID_BYTES_MAX: usize = 512;

/// A [`Source`] of words: the word as id, as text and as payload `word`, its numbers as the unnamed vector.
pub(super) struct WordVectors {
    lines: NumberedLines,
    dim: Option<usize>,
    dim_max: usize,
    /// The line `count dim` has been looked for.
    begun: bool,
}

impl WordVectors {
    pub fn new(input: Input, options: &OpenOptions) -> WordVectors {
        WordVectors {
            lines: NumberedLines::new(input, options),
            dim: None,
            dim_max: options.dim_max,
            begun: false,
        }
    }
}

impl Iterator for WordVectors {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (dim, dim_max) = (&mut self.dim, self.dim_max);
            let mut is_header = false;
            let begun = std::mem::replace(&mut self.begun, true);
            let row = self.lines.next_with(|line, source| {
                is_header = !begun && is_count_and_dim(line);
                row_of(line, source, dim.filter(|_| !is_header), dim_max)
            })?;
            if is_header {
                continue;
            }
            if let Ok(row) = &row {
                dim.get_or_insert(row.vectors[0].1.len());
            }
            return Some(row);
        }
    }
}

impl Source for WordVectors {
    fn format(&self) -> Format {
        Format::Words
    }

    fn progress(&self) -> Progress {
        self.lines.progress()
    }

    fn place(&self) -> Option<Place> {
        Some(self.lines.place()).filter(|place| place.at != At::Line(0))
    }
}

fn is_count_and_dim(line: &str) -> bool {
    let mut cells = line.split_whitespace();
    let mut is_count = || cells.next().is_some_and(|cell| cell.parse::<u64>().is_ok());
    is_count() && is_count() && cells.next().is_none()
}

fn row_of(line: &str, source: String, dim: Option<usize>, dim_max: usize) -> Result<Row, RowFault> {
    let fault = |fault| RowFault::Vector {
        name: String::new(),
        fault,
    };
    let parts = line.split_ascii_whitespace().count();
    let dim = dim.unwrap_or(parts.saturating_sub(1));
    if dim == 0 {
        return Err(fault(VectorFault::Empty));
    }
    if dim > dim_max {
        return Err(fault(VectorFault::TooLong { dim_max, got: dim }));
    }
    if parts <= dim {
        return Err(fault(VectorFault::DimMismatch {
            wanted: dim,
            got: parts.saturating_sub(1),
        }));
    }
    let word = line
        .split_ascii_whitespace()
        .take(parts - dim)
        .collect::<Vec<_>>()
        .join(" ");
    let mut vector = Vec::with_capacity(dim);
    for (idx, part) in line.split_ascii_whitespace().skip(parts - dim).enumerate() {
        let number: f32 = part
            .parse()
            .map_err(|_| fault(VectorFault::NotANumber { idx }))?;
        if !number.is_finite() {
            return Err(fault(VectorFault::NotFinite { idx }));
        }
        vector.push(number);
    }
    let payload = Map::from_iter([("word".to_owned(), Value::from(word.as_str()))]);
    let is_id = word.len() <= ID_BYTES_MAX;
    Ok(Row {
        source: if is_id { word.clone() } else { source },
        id: is_id.then(|| RowId::Str(word.clone())),
        text: Some(word),
        image: None,
        vectors: vec![(String::new(), vector)],
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::open_reader;

    fn check(text: &str, expected: &[&str]) {
        let options = OpenOptions {
            format: Some(Format::Words),
            ..OpenOptions::default()
        };
        let source = open_reader(
            Box::new(std::io::Cursor::new(text.as_bytes().to_vec())),
            &options,
        )
        .unwrap();
        let got: Vec<String> = source
            .map(|row| match row {
                Ok(row) => {
                    let word = row.text.unwrap();
                    assert_eq!(row.id, Some(RowId::Str(word.clone())));
                    format!("{word} {:?}", row.vectors[0].1)
                }
                Err(error) => error.to_string(),
            })
            .collect();
        assert_eq!(got, expected, "{text:?}");
    }

    #[test]
    fn reads_words() {
        check("a 1 2\nb -1e-1 3\n", &["a [1.0, 2.0]", "b [-0.1, 3.0]"]);
        check(
            "2 2\na 1 2\n. . . 3 4\n",
            &["a [1.0, 2.0]", ". . . [3.0, 4.0]"],
        );
        check(
            "a 1 2\nb 1\nc 1 x\nd 1 inf\ne 5 6",
            &[
                "a [1.0, 2.0]",
                "pipe line 2: vector '': has 1 number, wanted 2",
                "pipe line 3: vector '': element 1 is no number",
                "pipe line 4: vector '': element 1 is not a finite 32-bit number",
                "e [5.0, 6.0]",
            ],
        );
        check("a\n", &["pipe line 1: vector '': is empty"]);
    }

    #[test]
    fn a_word_too_long_for_an_id_is_told_by_its_line() {
        let line = format!("{} 1 2", "x".repeat(ID_BYTES_MAX + 1));
        let row = row_of(&line, "a.txt#0".to_owned(), None, 10).unwrap();
        assert_eq!((row.id, row.source.as_str()), (None, "a.txt#0"));
    }
}
