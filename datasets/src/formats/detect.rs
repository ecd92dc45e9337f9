//! What a file is, by its name and by its first bytes.

use super::input::Input;
use super::{Format, OpenError, npy};

/// Tells the format of a file or pipe.
pub(super) fn format_of(input: &mut Input) -> Result<Format, OpenError> {
    let name = input.name.clone();
    let path = input.path.clone().unwrap_or_default();
    let is_pipe = input.is_pipe();
    let start = input
        .peek()
        .map_err(|error| OpenError::Io { path, error })?;
    let is_array = || json_start(start) == Some(b'[');
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("jsonl" | "ndjson" | "json") if is_array() => Err(OpenError::JsonArray { name }),
        Some("jsonl" | "ndjson" | "json") => Ok(Format::Jsonl),
        Some("csv") => Ok(Format::Csv),
        Some("tsv" | "tab") => Ok(Format::Tsv),
        Some("npy") => Ok(Format::Npy),
        Some("fvecs") => Ok(Format::Fvecs),
        Some("bvecs") => Ok(Format::Bvecs),
        Some("ivecs") => Ok(Format::Ivecs),
        Some("txt" | "vec" | "glove" | "text") => Ok(if is_word_vectors(start) {
            Format::Words
        } else {
            Format::Lines
        }),
        _ => match format_of_content(start) {
            Some(format) => Ok(format),
            None if is_array() => Err(OpenError::JsonArray { name }),
            None if is_pipe && is_text(start) => Ok(Format::Lines),
            None => Err(OpenError::UnknownFormat { name }),
        },
    }
}

fn format_of_content(start: &[u8]) -> Option<Format> {
    if start.starts_with(npy::MAGIC) {
        return Some(Format::Npy);
    }
    if matches!(start, [0, 0, 0x08..=0x0e, 1..=8, ..]) {
        return Some(Format::Idx);
    }
    if json_start(start) == Some(b'{') {
        return Some(Format::Jsonl);
    }
    let line = first_line(start)?;
    if is_header(line, '\t') {
        Some(Format::Tsv)
    } else if is_header(line, ',') || is_header(line, ';') {
        Some(Format::Csv)
    } else {
        is_word_vectors(start).then_some(Format::Words)
    }
}

/// The first byte that is no blank.
fn json_start(start: &[u8]) -> Option<u8> {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    start
        .iter()
        .copied()
        .find(|byte| !byte.is_ascii_whitespace())
}

fn first_line(start: &[u8]) -> Option<&str> {
    let line = start
        .split(|&byte| byte == b'\n')
        .find(|line| !line.iter().all(u8::is_ascii_whitespace))?;
    std::str::from_utf8(line).ok()
}

/// Whether a line names columns: at least two cells, all short, different and no numbers.
fn is_header(line: &str, delimiter: char) -> bool {
    const CELL_CHARS_MAX: usize = 40;
    let cells: Vec<&str> = line
        .trim()
        .split(delimiter)
        .map(|cell| cell.trim().trim_matches('"'))
        .collect();
    let is_name = |cell: &&str| {
        !cell.is_empty() && cell.chars().count() <= CELL_CHARS_MAX && cell.parse::<f64>().is_err()
    };
    let mut sorted = cells.clone();
    sorted.sort_unstable();
    sorted.dedup();
    cells.len() >= 2 && cells.iter().all(is_name) && sorted.len() == cells.len()
}

/// Whether the first whole line is a word and numbers, or the `count dim` that word2vec writes.
fn is_word_vectors(start: &[u8]) -> bool {
    let Some(line) = first_line(start) else {
        return false;
    };
    let cells: Vec<&str> = line.split_whitespace().collect();
    match cells.as_slice() {
        [count, dim] => count.parse::<u64>().is_ok() && dim.parse::<u64>().is_ok(),
        // The last number may have been cut by the end of the bytes looked at.
        [_, _, numbers @ ..] => {
            !numbers.is_empty()
                && numbers[..numbers.len() - 1]
                    .iter()
                    .all(|cell| cell.parse::<f32>().is_ok())
                && cells[1].parse::<f32>().is_ok()
        }
        _ => false,
    }
}

fn is_text(start: &[u8]) -> bool {
    let cut = match std::str::from_utf8(start) {
        Ok(_) => return !start.contains(&0),
        Err(error) => error,
    };
    cut.error_len().is_none() && !start.contains(&0)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn check(content: &[u8], expected: Option<Format>) {
        let mut input = Input::pipe(Box::new(Cursor::new(content.to_vec()))).unwrap();
        assert_eq!(
            format_of(&mut input).ok(),
            expected,
            "{:?}",
            String::from_utf8_lossy(content)
        );
    }

    #[test]
    fn by_content() {
        check(b"\x93NUMPY\x01\x00", Some(Format::Npy));
        check(b"\x00\x00\x08\x03\x00\x00", Some(Format::Idx));
        check(b"\xef\xbb\xbf {\"id\": 1}\n", Some(Format::Jsonl));
        check(b"[{\"id\": 1}]", None);
        check(b"id,name,r\n1,red,255\n", Some(Format::Csv));
        check(b"id;name\n1;red\n", Some(Format::Csv));
        check(b"id\tname, first\n1\tred\n", Some(Format::Tsv));
        check(b"the 0.1 -0.2 1e-3\n", Some(Format::Words));
        check(b"3 2\nthe 0.1 0.2\n", Some(Format::Words));
        check(b"a small green apple\nanother\n", Some(Format::Lines));
        check(
            b"Red, red wine, you make me feel so fine, red, red\n",
            Some(Format::Lines),
        );
        check("\u{e9}".as_bytes(), Some(Format::Lines));
        check(b"\x7fELF\x02\x01\x01\x00", None);
        check(b"\xff\xfe\xff", None);
    }
}
