//! fvecs, bvecs and ivecs: rows of an `i32` dim and as many `f32`, `u8` or `i32`, all little-endian.
//!
//! Description: <http://corpus-texmex.irisa.fr>.

use super::element::{ByteOrder, Element};
use super::input::{Filled, Input, fill};
use super::numbers::{NumberRows, RowKey};
use super::{Format, OpenError, OpenOptions, Progress};
use crate::row::RowFault;

/// Opens the file. Every row must have the first row's dim.
pub(super) fn open(
    mut input: Input,
    format: Format,
    options: &OpenOptions,
) -> Result<Box<dyn NumberRows>, OpenError> {
    let element = match format {
        Format::Bvecs => Element::U8,
        Format::Ivecs => Element::I32,
        _ => Element::F32,
    };
    let start = input
        .peek()
        .ok()
        .and_then(|bytes| bytes.first_chunk::<4>().copied());
    let dim_max = i32::try_from(options.dim_max).unwrap_or(i32::MAX);
    if let Some(dim) = start
        .map(i32::from_le_bytes)
        .filter(|dim| !(1..=dim_max).contains(dim))
    {
        let problem = format!(
            "the first row says it has {dim} numbers; wanted 1 to {dim_max}: is this {format}?"
        );
        return Err(OpenError::Header {
            name: input.name,
            problem,
        });
    }
    Ok(Box::new(PrefixedRows {
        input,
        element,
        dim_max,
        dim: None,
        bytes: Vec::new(),
        ended: false,
    }))
}

struct PrefixedRows {
    input: Input,
    element: Element,
    dim_max: i32,
    /// The first row's.
    dim: Option<i32>,
    bytes: Vec<u8>,
    ended: bool,
}

impl PrefixedRows {
    fn read_row(&mut self) -> Result<Option<()>, RowFault> {
        let mut prefix = [0; 4];
        match fill(&mut self.input.bytes, &mut prefix)? {
            Filled::All => {}
            Filled::Part(0) => return Ok(None),
            Filled::Part(got) => return Err(RowFault::Truncated { wanted: 4, got }),
        }
        let got = i32::from_le_bytes(prefix);
        // The file's opening looks at the first row too, but a damaged compressed file may hide it there.
        if !(1..=self.dim_max).contains(&got) {
            let wanted = self.dim.unwrap_or(self.dim_max);
            return Err(RowFault::BadRowDim { wanted, got });
        }
        let wanted = *self.dim.get_or_insert(got);
        if got != wanted {
            return Err(RowFault::BadRowDim { wanted, got });
        }
        self.bytes.resize(wanted as usize * self.element.bytes(), 0);
        match fill(&mut self.input.bytes, &mut self.bytes)? {
            Filled::All => Ok(Some(())),
            Filled::Part(got) => Err(RowFault::Truncated {
                wanted: self.bytes.len(),
                got,
            }),
        }
    }
}

impl NumberRows for PrefixedRows {
    fn next_row(&mut self, numbers: &mut Vec<f64>) -> Option<Result<(), RowFault>> {
        if self.ended {
            return None;
        }
        numbers.clear();
        let read = self.read_row().transpose();
        match read {
            Some(Ok(())) => self.element.decode(ByteOrder::Little, &self.bytes, numbers),
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
