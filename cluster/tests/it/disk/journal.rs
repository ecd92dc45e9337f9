//! The journal that the preloaded library writes; `recorder.c` draws its records.

use std::path::Path;

/// One change.
pub struct Record<'a> {
    pub kind: u8,
    pub a: u64,
    pub b: u64,
    pub c: u64,
    pub text: &'a [u8],
}

impl<'a> Record<'a> {
    /// The path that it names.
    pub fn path(&self) -> &'a Path {
        path(self.text)
    }

    /// The two paths that it names, old and new.
    pub fn paths(&self) -> (&'a Path, &'a Path) {
        let at = self.text.iter().position(|byte| *byte == 0).unwrap();
        (path(&self.text[..at]), path(&self.text[at + 1..]))
    }
}

fn path(text: &[u8]) -> &Path {
    Path::new(std::str::from_utf8(text).unwrap())
}

/// The records in order; one that a kill has cut is none.
pub fn records(mut bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<40>()?;
        let number = |at: usize| u64::from_le_bytes(head[at * 8..][..8].try_into().unwrap());
        let text = rest.get(..number(4) as usize)?;
        bytes = &rest[text.len()..];
        Some(Record {
            kind: number(0) as u8,
            a: number(1),
            b: number(2),
            c: number(3),
            text,
        })
    })
}
