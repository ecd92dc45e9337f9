//! Lines of bounded length.

use std::io::{self, BufRead};

/// What [`Lines::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line that is not blank; it stands in [`Lines::text`].
    Full,
    /// A line over the limit: it has been skipped.
    TooLong,
}

/// Reads lines, without holding more than `bytes_max` of one. A byte order mark, line ends and blank lines are left out.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    bytes_max: usize,
    line: Vec<u8>,
    /// The number of the line last read, from 1.
    pub number: u64,
}

impl Lines {
    pub fn new(reader: Box<dyn BufRead + Send>, bytes_max: usize) -> Lines {
        Lines {
            reader,
            bytes_max,
            line: Vec::new(),
            number: 0,
        }
    }

    /// The bytes of the line last read.
    pub fn text(&self) -> &[u8] {
        &self.line
    }

    /// Reads the next line that is not blank.
    pub fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            self.line.clear();
            let Some(line) = self.read_one()? else {
                return Ok(None);
            };
            self.number += 1;
            if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
                self.line.drain(..3);
            }
            while self
                .line
                .last()
                .is_some_and(|&byte| byte == b'\r' || byte == b'\n')
            {
                self.line.pop();
            }
            if line == Line::TooLong || !self.line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line));
            }
        }
    }

    fn read_one(&mut self) -> io::Result<Option<Line>> {
        let mut any = false;
        let mut too_long = false;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() && !any {
                return Ok(None);
            }
            let end = available.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(available.len(), |at| at + 1);
            let ended = end.is_some() || available.is_empty();
            any = true;
            too_long |= self.line.len() + taken > self.bytes_max;
            if !too_long {
                self.line.extend_from_slice(&available[..taken]);
            }
            self.reader.consume(taken);
            if ended {
                return Ok(Some(if too_long { Line::TooLong } else { Line::Full }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &[&str]) {
        let mut lines = Lines::new(Box::new(io::Cursor::new(input.as_bytes().to_vec())), 8);
        let mut got = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            let text = if line == Line::TooLong {
                "too long"
            } else {
                std::str::from_utf8(lines.text()).unwrap()
            };
            got.push(format!("{}:{text}", lines.number));
        }
        assert_eq!(got, expected, "{input:?}");
    }

    #[test]
    fn reads_lines() {
        check("", &[]);
        check("a", &["1:a"]);
        check("\u{feff}a\r\n\n  \nb\n", &["1:a", "4:b"]);
        check(
            "123456789\nok\n12345678901234567890",
            &["1:too long", "2:ok", "3:too long"],
        );
        check("1234567\n12345678\n", &["1:1234567", "2:too long"]);
    }
}
