//! Frames: the kind, length and checksum around every record of an archive.

use std::io::{Read, Write};

use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"VECINOAR";
const VERSION: u32 = 1;
/// A longer frame is damage: points are gathered up to a megabyte, and one alone is bounded by the body of a request.
const BODY_BYTES_MAX: u32 = 128 << 20;

/// What a frame holds.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Header = 1,
    Points = 2,
    End = 3,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Header, Self::Points, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// Writes frames.
pub(super) struct FrameWriter<W> {
    out: W,
    next: u64,
    bytes: u64,
}

impl<W: Write> FrameWriter<W> {
    /// Begins the file.
    pub fn new(mut out: W) -> std::io::Result<Self> {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        Ok(Self {
            out,
            next: 0,
            bytes: 12,
        })
    }

    /// Appends a frame.
    pub fn write(&mut self, kind: Kind, body: &[u8]) -> std::io::Result<()> {
        let len = u32::try_from(body.len())
            .ok()
            .filter(|len| *len <= BODY_BYTES_MAX)
            .ok_or_else(|| std::io::Error::other(format!("a frame of {} bytes", body.len())))?;
        self.out.write_all(&[kind as u8])?;
        self.out.write_all(&len.to_le_bytes())?;
        self.out
            .write_all(&checksum(self.next, kind as u8, body).to_le_bytes())?;
        self.out.write_all(body)?;
        self.next += 1;
        self.bytes += 9 + u64::from(len);
        Ok(())
    }

    /// Everything handed to the file; how many bytes.
    pub fn finish(mut self) -> std::io::Result<u64> {
        self.out.flush()?;
        Ok(self.bytes)
    }
}

/// Reads frames; trusts nothing.
pub(super) struct FrameReader<R> {
    input: R,
    next: u64,
}

impl<R: Read> FrameReader<R> {
    /// Begins to read a file.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is no archive, or of another version.
    pub fn new(mut input: R) -> Result<Self> {
        let mut head = [0; 12];
        input
            .read_exact(&mut head)
            .map_err(|_| not_an_archive("it is shorter than one can be"))?;
        if head[..8] != *MAGIC {
            return Err(not_an_archive("it begins with other bytes"));
        }
        let version = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        if version != VERSION {
            return Err(Error::invalid(format!(
                "the archive is of format {version}, this program reads format {VERSION}; use the version that wrote it"
            )));
        }
        Ok(Self { input, next: 0 })
    }

    /// The next frame.
    ///
    /// # Errors
    ///
    /// `Corrupted` if it is cut off or its checksum differs.
    pub fn read(&mut self) -> Result<(Kind, Vec<u8>)> {
        let number = self.next;
        let damaged = |what: &str| {
            Error::corrupted(format!(
                "archive: frame {number} {what}; fetch the archive again"
            ))
        };
        let mut head = [0; 9];
        self.input
            .read_exact(&mut head)
            .map_err(|error| damaged(&format!("is missing ({error})")))?;
        let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        if len > BODY_BYTES_MAX {
            return Err(damaged("claims an impossible length"));
        }
        // Grows with what arrives, not with what is claimed.
        let mut body = Vec::new();
        (&mut self.input)
            .take(u64::from(len))
            .read_to_end(&mut body)
            .map_err(|error| damaged(&format!("cannot be read ({error})")))?;
        if body.len() != len as usize {
            return Err(damaged("is cut off"));
        }
        let wanted = u32::from_le_bytes([head[5], head[6], head[7], head[8]]);
        if checksum(number, head[0], &body) != wanted {
            return Err(damaged("has another checksum than was written"));
        }
        let kind = Kind::from_number(head[0]).ok_or_else(|| damaged("is of an unknown kind"))?;
        self.next += 1;
        Ok((kind, body))
    }

    /// Whether nothing follows.
    ///
    /// # Errors
    ///
    /// `Corrupted` if something does.
    pub fn finish(mut self) -> Result<()> {
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            _ => Err(Error::corrupted(
                "archive: bytes follow its end; fetch the archive again",
            )),
        }
    }
}

fn not_an_archive(why: &str) -> Error {
    Error::invalid(format!(
        "the file is no archive of a collection: {why}; give one that a snapshot has written"
    ))
}

fn checksum(number: u64, kind: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&[kind]);
    hasher.update(body);
    hasher.finalize()
}
