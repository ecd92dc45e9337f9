//! NPY, the file format of one NumPy array.
//!
//! ```text
//! \x93NUMPY  major minor  header length (u16, from version 2 u32, little-endian)
//! {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 784), }   padded with spaces, then \n
//! the numbers
//! ```
//!
//! Specification: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use super::element::{ByteOrder, Element};
use super::input::{Filled, Input, fill};
use super::numbers::{FixedRows, NumberRows};
use super::{OpenError, OpenOptions};

/// What every NPY file begins with.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest header read: NumPy itself refuses more than 10,000 bytes.
const HEADER_BYTES_MAX: usize = 10_000;

/// Opens the array: its first axis are the rows, all others together the numbers of a row.
pub(super) fn open(
    mut input: Input,
    options: &OpenOptions,
) -> Result<Box<dyn NumberRows>, OpenError> {
    let name = input.name.clone();
    let (header, (rows, dim)) = read_header(&mut input)
        .and_then(|text| parse_header(&text))
        .and_then(|header| {
            header
                .rows_and_dim(options.dim_max)
                .map(|size| (header, size))
        })
        .map_err(|problem| OpenError::Header { name, problem })?;
    Ok(Box::new(FixedRows::new(
        input,
        header.element,
        header.order,
        rows,
        dim,
    )))
}

fn read_header(input: &mut Input) -> Result<String, String> {
    let mut start = [0; 8];
    read_exactly(input, &mut start)?;
    if !start.starts_with(MAGIC) {
        return Err("not NPY: it does not begin with \\x93NUMPY".to_owned());
    }
    let mut length = [0; 4];
    match start[6] {
        1 => read_exactly(input, &mut length[..2])?,
        2 | 3 => read_exactly(input, &mut length)?,
        version => return Err(format!("NPY version {version} is not known")),
    }
    let header_bytes = u32::from_le_bytes(length) as usize;
    if header_bytes > HEADER_BYTES_MAX {
        return Err(format!(
            "the header says it has {header_bytes} bytes, at most {HEADER_BYTES_MAX} are read"
        ));
    }
    let mut header = vec![0; header_bytes];
    read_exactly(input, &mut header)?;
    String::from_utf8(header).map_err(|_| "the header is not text".to_owned())
}

fn read_exactly(input: &mut Input, buffer: &mut [u8]) -> Result<(), String> {
    match fill(&mut input.bytes, buffer) {
        Ok(Filled::All) => Ok(()),
        Ok(Filled::Part(_)) => Err("the file ends inside the header".to_owned()),
        Err(error) => Err(format!("read: {error}")),
    }
}

#[derive(Debug, PartialEq)]
struct Header {
    element: Element,
    order: ByteOrder,
    shape: Vec<u64>,
}

impl Header {
    fn rows_and_dim(&self, dim_max: usize) -> Result<(u64, usize), String> {
        let [rows, rest @ ..] = self.shape.as_slice() else {
            return Err("the array is a single number; wanted a matrix [rows, dim]".to_owned());
        };
        if rest.is_empty() {
            return Err(format!(
                "the array has one axis of {rows}; wanted a matrix [rows, dim]"
            ));
        }
        let dim = rest
            .iter()
            .try_fold(1u64, |dim, &axis| dim.checked_mul(axis))
            .filter(|&dim| dim <= dim_max as u64);
        match dim {
            Some(0) => Err("the rows of the array have no numbers".to_owned()),
            Some(dim) => Ok((*rows, dim as usize)),
            None => Err(format!(
                "rows of shape {rest:?} have more than {dim_max} numbers"
            )),
        }
    }
}

fn parse_header(text: &str) -> Result<Header, String> {
    let mut literal = Literal { rest: text };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    literal.expect('{')?;
    while !literal.accept('}') {
        let key = literal.string()?;
        literal.expect(':')?;
        match key {
            "descr" => descr = Some(element_of(literal.descr()?)?),
            "fortran_order" => fortran_order = Some(literal.truth()?),
            "shape" => shape = Some(literal.shape()?),
            key => return Err(format!("unknown header key '{key}'")),
        }
        if !literal.accept(',') {
            literal.expect('}')?;
            break;
        }
    }
    match (descr, fortran_order, shape) {
        (Some(_), Some(true), Some(_)) => Err(
            "the array is in Fortran order; save it with numpy.ascontiguousarray(array)".to_owned(),
        ),
        (Some((element, order)), Some(false), Some(shape)) => Ok(Header {
            element,
            order,
            shape,
        }),
        _ => Err("the header wants descr, fortran_order and shape".to_owned()),
    }
}

fn element_of(descr: &str) -> Result<(Element, ByteOrder), String> {
    let unknown = || {
        format!("numbers of type '{descr}' are not read; wanted f2, f4, f8, i1 to i8 or u1 to u8")
    };
    let (order, kind) = descr.split_at_checked(1).ok_or_else(unknown)?;
    let order = match order {
        "<" | "|" | "=" => ByteOrder::Little,
        ">" => ByteOrder::Big,
        _ => return Err(unknown()),
    };
    let element = match kind {
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        "i1" => Element::I8,
        "u1" => Element::U8,
        "i2" => Element::I16,
        "u2" => Element::U16,
        "i4" => Element::I32,
        "u4" => Element::U32,
        "i8" => Element::I64,
        "u8" => Element::U64,
        _ => return Err(unknown()),
    };
    Ok((element, order))
}

/// A reader of the few Python literals that a header is made of.
struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    fn accept(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.accept(wanted) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("'{wanted}'")))
        }
    }

    fn unexpected(&self, wanted: &str) -> String {
        let got: String = self.rest.chars().take(20).collect();
        format!("header: wanted {wanted}, got '{got}'")
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.accept('\'') {
            '\''
        } else if self.accept('"') {
            '"'
        } else {
            return Err(self.unexpected("a string"));
        };
        let (string, rest) = self
            .rest
            .split_once(quote)
            .ok_or_else(|| self.unexpected("the end of a string"))?;
        self.rest = rest;
        Ok(string)
    }

    fn descr(&mut self) -> Result<&'a str, String> {
        if self.accept('[') {
            return Err("an array of records is not read; save one of its fields".to_owned());
        }
        self.string()
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn truth(&mut self) -> Result<bool, String> {
        match self.word() {
            "True" => Ok(true),
            "False" => Ok(false),
            word => Err(format!("header: wanted True or False, got '{word}'")),
        }
    }

    fn shape(&mut self) -> Result<Vec<u64>, String> {
        let mut shape = Vec::new();
        self.expect('(')?;
        while !self.accept(')') {
            let word = self.word();
            let axis = word.trim_end_matches('L'); // Python 2 wrote 10L
            shape.push(
                axis.parse()
                    .map_err(|_| format!("header: '{word}' is no length of an axis"))?,
            );
            if !self.accept(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(Element, ByteOrder, u64, usize), &str>) {
        let got = parse_header(text).and_then(|h| {
            h.rows_and_dim(1000)
                .map(|(rows, dim)| (h.element, h.order, rows, dim))
        });
        match (got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{text}"),
            (Err(got), Err(expected)) => assert!(got.contains(expected), "{text}: {got}"),
            (got, expected) => panic!("{text}: {got:?}, wanted {expected:?}"),
        }
    }

    #[test]
    fn headers() {
        use ByteOrder::*;
        use Element::*;
        check(
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n",
            Ok((F32, Little, 3, 4)),
        );
        check(
            "{\"shape\":(3,2,2),\"fortran_order\":False,\"descr\":\">i2\"}",
            Ok((I16, Big, 3, 4)),
        );
        check(
            "{'descr': '|u1', 'fortran_order': False, 'shape': (0L, 4L)}",
            Ok((U8, Little, 0, 4)),
        );
        check(
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000000, 4)}",
            Ok((F32, Little, 10u64.pow(18), 4)),
        );
        check(
            "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4)}",
            Err("Fortran"),
        );
        check(
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
            Err("one axis"),
        );
        check(
            "{'descr': '<f4', 'fortran_order': False, 'shape': ()}",
            Err("single number"),
        );
        check(
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 0)}",
            Err("no numbers"),
        );
        check(
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1001)}",
            Err("more than 1000"),
        );
        check(
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4294967296, 4294967296)}",
            Err("more than 1000"),
        );
        check(
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, -1)}",
            Err("no length"),
        );
        check(
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 99999999999999999999)}",
            Err("no length"),
        );
        check(
            "{'descr': '|O', 'fortran_order': False, 'shape': (3, 4)}",
            Err("'|O' are not read"),
        );
        check(
            "{'descr': '', 'fortran_order': False, 'shape': (3, 4)}",
            Err("are not read"),
        );
        check(
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}",
            Err("records"),
        );
        check("{'descr': '<f4', 'shape': (3, 4)}", Err("wants descr"));
        check("{'descr': '<f4' 'shape': (3, 4)}", Err("wanted '}'"));
        check("{'descr': '<f4", Err("end of a string"));
        check("", Err("wanted '{'"));
    }
}
