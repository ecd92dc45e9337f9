//! Reading, writing and exact search through the public API, on files made here and, where it is, on real data.

mod folders;
mod hostile;
mod real;
mod round_trip;

use std::path::PathBuf;

use datasets::Row;
use datasets::formats::{OpenOptions, Source, open};

/// The rows of a file or folder, and the messages of the bad ones.
fn read(path: impl Into<PathBuf>, options: &OpenOptions) -> (Vec<Row>, Vec<String>) {
    split(open(&path.into(), options).unwrap())
}

fn split(source: Box<dyn Source>) -> (Vec<Row>, Vec<String>) {
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    source.for_each(|row| match row {
        Ok(row) => rows.push(row),
        Err(error) => errors.push(error.to_string()),
    });
    (rows, errors)
}
