//! An open file, gzip unpacked, that counts how far it has been read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::{Progress, ProgressUnit};

/// The name of an input that has none.
const PIPE: &str = "pipe";

/// Bytes of file held at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// An open file or pipe. Reading it gives the unpacked bytes.
pub(super) struct Input {
    /// The file's name without `.gz`.
    pub name: String,
    /// The file's folder, against which paths in it are resolved; none for a pipe.
    pub folder: Option<PathBuf>,
    /// The file itself; none for a pipe.
    pub path: Option<PathBuf>,
    /// The unpacked bytes.
    pub bytes: Box<dyn BufRead + Send>,
    count: ByteCount,
}

impl Input {
    /// Opens a file.
    pub fn open(path: &Path) -> io::Result<Input> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let bytes_total = metadata.is_file().then_some(metadata.len());
        let name = path.file_name().map_or_else(
            || PIPE.to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
        let mut input = Input::unpack(Box::new(file), bytes_total)?;
        input.name = name.strip_suffix(".gz").unwrap_or(&name).to_owned();
        input.folder = Some(match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        });
        input.path = Some(path.to_owned());
        Ok(input)
    }

    /// Takes a pipe.
    pub fn pipe(reader: Box<dyn Read + Send>) -> io::Result<Input> {
        Input::unpack(reader, None)
    }

    fn unpack(reader: Box<dyn Read + Send>, total: Option<u64>) -> io::Result<Input> {
        let count = ByteCount {
            done: Arc::new(AtomicU64::new(0)),
            total,
        };
        let mut packed = Peek::new(Counting {
            reader,
            done: count.done.clone(),
        });
        let bytes: Box<dyn BufRead + Send> = if packed.peek()?.starts_with(&[0x1f, 0x8b]) {
            Box::new(Peek::new(MultiGzDecoder::new(packed)))
        } else {
            Box::new(packed)
        };
        Ok(Input {
            name: PIPE.to_owned(),
            folder: None,
            path: None,
            bytes,
            count,
        })
    }

    /// Returns the first bytes, some thousands or all there are, without taking them. Call it before reading only.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        self.bytes.fill_buf()
    }

    /// A counter that goes on telling the progress after the bytes have been handed to someone else.
    pub fn count(&self) -> ByteCount {
        self.count.clone()
    }

    /// Whether there is a name by which rows can be told again.
    pub fn is_pipe(&self) -> bool {
        self.path.is_none()
    }
}

/// How many bytes of an [`Input`] have been read from disk.
#[derive(Clone)]
pub(super) struct ByteCount {
    done: Arc<AtomicU64>,
    total: Option<u64>,
}

impl ByteCount {
    pub fn progress(&self) -> Progress {
        Progress {
            done: self.done.load(Ordering::Relaxed),
            total: self.total,
            unit: ProgressUnit::Bytes,
        }
    }
}

struct Counting {
    reader: Box<dyn Read + Send>,
    done: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.reader.read(buffer)?;
        self.done.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// A buffered reader whose first buffer holds as much as a pipe gives within [`PEEK_BYTES`], so that formats can be
/// told by more than the few bytes of a first `read`.
struct Peek<R> {
    reader: BufReader<R>,
    first: Vec<u8>,
    first_at: usize,
    peeked: bool,
    /// What ended peeking. It stands behind the first bytes for whoever reads on: decompressors do not repeat themselves.
    failed: Option<io::Error>,
}

/// What is read to recognise a format.
const PEEK_BYTES: u64 = 4096;

impl<R: Read> Peek<R> {
    fn new(reader: R) -> Peek<R> {
        Peek {
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            first: Vec::new(),
            first_at: 0,
            peeked: false,
            failed: None,
        }
    }

    fn peek(&mut self) -> io::Result<&[u8]> {
        self.read_first();
        self.check()?;
        Ok(&self.first[self.first_at..])
    }

    fn read_first(&mut self) {
        if !self.peeked {
            self.peeked = true;
            let mut reader = self.reader.by_ref().take(PEEK_BYTES);
            self.failed = reader.read_to_end(&mut self.first).err();
        }
    }

    /// Gives the error that ended peeking, as often as it is asked for.
    fn check(&self) -> io::Result<()> {
        match &self.failed {
            Some(error) => Err(io::Error::new(error.kind(), error.to_string())),
            None => Ok(()),
        }
    }
}

impl<R: Read> Read for Peek<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let bytes = available.read(buffer)?;
        self.consume(bytes);
        Ok(bytes)
    }
}

impl<R: Read> BufRead for Peek<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.read_first();
        if self.first_at < self.first.len() {
            return Ok(&self.first[self.first_at..]);
        }
        self.check()?;
        self.reader.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        if self.first_at < self.first.len() {
            self.first_at += bytes;
        } else {
            self.reader.consume(bytes);
        }
    }
}

/// How much of a wanted block of bytes there was.
pub(super) enum Filled {
    /// All of it.
    All,
    /// Only this many bytes, then the end.
    Part(usize),
}

/// Reads until `buffer` is full or the input ends.
pub(super) fn fill(reader: &mut dyn BufRead, buffer: &mut [u8]) -> io::Result<Filled> {
    let mut at = 0;
    while at < buffer.len() {
        match reader.read(&mut buffer[at..]) {
            Ok(0) => return Ok(Filled::Part(at)),
            Ok(bytes) => at += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Filled::All)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Gives one byte at a time, as a slow pipe does.
    struct Slow(io::Cursor<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }

    #[test]
    fn peeks_and_unpacks() {
        let text = "id,name\n".repeat(2000).into_bytes();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&text).unwrap();
        for bytes in [text.clone(), packed.finish().unwrap()] {
            let packed_len = bytes.len() as u64;
            let mut input = Input::pipe(Box::new(Slow(io::Cursor::new(bytes)))).unwrap();
            assert_eq!(input.peek().unwrap().len(), PEEK_BYTES as usize);
            let mut read = Vec::new();
            input.bytes.read_to_end(&mut read).unwrap();
            assert_eq!(read, text);
            assert_eq!(input.count().progress().done, packed_len);
        }
    }

    #[test]
    fn empty_input() {
        let mut input = Input::pipe(Box::new(io::empty())).unwrap();
        assert!(input.peek().unwrap().is_empty());
    }
}
