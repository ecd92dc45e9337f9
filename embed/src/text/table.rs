//! The token table's file: `FORMAT.md` section 4.
//!
//! The file is used where it lies: rows and vocabulary are slices of it, and only a table of hashes is built beside it. A built-in
//! table thus costs the memory of the rows that texts really touch.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"VECINOTT";
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
const ROWS_MAX: u32 = 1_000_000;
const DIM_MAX: u32 = 4_096;
const ENTRY_BYTES_MAX: usize = 255;
/// Larger scales could overflow the sum of a long text.
const SCALE_MAX: f32 = 1e6;
/// What marks an entry as a piece.
const PIECE: &str = "##";

/// Why bytes are not a token table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The first eight bytes are something else.
    #[error("not a token table: it does not begin with VECINOTT")]
    Magic,
    /// Written by a later program.
    #[error("token table of format {0}, this program reads format {FORMAT_VERSION}")]
    Version(u32),
    /// Shorter or longer than its header says.
    #[error("token table of {got} bytes, its header says {wanted}")]
    Length {
        /// What the header says.
        wanted: u64,
        /// How long it is.
        got: u64,
    },
    /// A field has a value that it must not have.
    #[error("damaged token table: {0}")]
    Damaged(&'static str),
    /// The bytes are not those that were written.
    #[error("damaged token table: checksum {got:016x}, its header says {wanted:016x}")]
    Checksum {
        /// What the header says.
        wanted: u64,
        /// What the bytes have.
        got: u64,
    },
}

/// One row to write with [`Table::encode`].
#[derive(Debug, Clone, PartialEq)]
pub struct TableRow {
    /// A word, a pair of words with one space, or a piece that begins with `##`.
    pub entry: String,
    /// What the codes are multiplied by; holds the token's weight.
    pub scale: f32,
    /// `[dim]`.
    pub codes: Vec<i8>,
}

/// A token table: vocabulary entries, each with a vector of int8 codes and a scale.
pub struct Table {
    bytes: Cow<'static, [u8]>,
    rows: usize,
    dim: usize,
    unknown_weight: f32,
    version: String,
    checksum: u64,
    scales_at: usize,
    codes_at: usize,
    vocabulary_at: usize,
    /// Words and pairs.
    whole: Lookup,
    /// Pieces, without their `##`.
    pieces: Lookup,
}

impl Table {
    /// Reads a table that is part of the program, without copying it.
    ///
    /// Checks everything but the checksum ([`Table::verify`]), so that the codes of rarely used rows are never touched. About
    /// 3 ms for 30,000 rows.
    ///
    /// # Errors
    ///
    /// [`TableError`] for whatever is not as `FORMAT.md` has it.
    pub fn from_static(bytes: &'static [u8]) -> Result<Self, TableError> {
        Table::open(Cow::Borrowed(bytes))
    }

    /// Reads a table that comes from outside; checks everything.
    ///
    /// # Errors
    ///
    /// [`TableError`] for whatever is not as `FORMAT.md` has it.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, TableError> {
        let table = Table::open(Cow::Owned(bytes))?;
        table.verify()?;
        Ok(table)
    }

    fn open(bytes: Cow<'static, [u8]>) -> Result<Self, TableError> {
        let data: &[u8] = &bytes;
        if data.len() < 8 || &data[..8] != MAGIC {
            return Err(TableError::Magic);
        }
        if data.len() < HEADER_BYTES {
            return Err(TableError::Length {
                wanted: HEADER_BYTES as u64,
                got: data.len() as u64,
            });
        }
        match u32_at(data, 8) {
            FORMAT_VERSION => {}
            other => return Err(TableError::Version(other)),
        }
        let (rows, dim, vocabulary_bytes) = (u32_at(data, 12), u32_at(data, 16), u32_at(data, 20));
        if !(1..=ROWS_MAX).contains(&rows) || !(1..=DIM_MAX).contains(&dim) {
            return Err(TableError::Damaged("number of rows or dim out of range"));
        }
        let ends_bytes = (u64::from(rows) + 1) * 4;
        let scales_bytes = u64::from(rows) * 4;
        let codes_bytes = u64::from(rows) * u64::from(dim);
        let wanted = HEADER_BYTES as u64
            + ends_bytes
            + scales_bytes
            + codes_bytes
            + u64::from(vocabulary_bytes);
        if wanted != data.len() as u64 {
            return Err(TableError::Length {
                wanted,
                got: data.len() as u64,
            });
        }
        let unknown_weight = f32_at(data, 24);
        if !(unknown_weight > 0.0 && unknown_weight <= SCALE_MAX) {
            return Err(TableError::Damaged("weight of unknown words out of range"));
        }
        let version = std::str::from_utf8(&data[28..44])
            .ok()
            .map(|text| text.trim_end_matches('\0'));
        let version = version
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()));
        let version = version
            .ok_or(TableError::Damaged("model version is not printable ASCII"))?
            .to_owned();

        let scales_at = HEADER_BYTES + ends_bytes as usize;
        let codes_at = scales_at + scales_bytes as usize;
        let vocabulary_at = codes_at + codes_bytes as usize;
        let scale_fits =
            |row: u32| (0.0..=SCALE_MAX).contains(&f32_at(data, scales_at + row as usize * 4));
        if !(0..rows).all(scale_fits) {
            return Err(TableError::Damaged("scale out of range"));
        }
        let (whole, pieces) =
            read_vocabulary(&data[HEADER_BYTES..scales_at], &data[vocabulary_at..])?;
        Ok(Table {
            rows: rows as usize,
            dim: dim as usize,
            unknown_weight,
            version,
            checksum: u64_at(data, 48),
            scales_at,
            codes_at,
            vocabulary_at,
            whole,
            pieces,
            bytes,
        })
    }

    /// Compares the checksum of all bytes with the header's. About 1 ms per 10 MB, and touches them all.
    ///
    /// # Errors
    ///
    /// [`TableError::Checksum`] if they differ.
    pub fn verify(&self) -> Result<(), TableError> {
        let got = xxh3_64(&self.bytes[HEADER_BYTES..]);
        if got == self.checksum {
            Ok(())
        } else {
            Err(TableError::Checksum {
                wanted: self.checksum,
                got,
            })
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers per row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Length of the vector that stands for an unknown word.
    pub fn unknown_weight(&self) -> f32 {
        self.unknown_weight
    }

    /// Version of the model.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The header's checksum, which covers everything after it.
    pub fn checksum(&self) -> u64 {
        self.checksum
    }

    /// The entry of a row, as written: a word, a pair, or a piece with its `##`.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn entry(&self, row: u32) -> &str {
        std::str::from_utf8(self.entry_bytes(row)).expect("checked when the table was opened")
    }

    /// The row of a word or of a pair of words with one space between them.
    pub fn whole_row(&self, entry: &str) -> Option<u32> {
        self.whole
            .find(entry.as_bytes(), |row| self.entry_bytes(row))
    }

    /// The row of a piece, given without its `##`.
    pub fn piece_row(&self, piece: &str) -> Option<u32> {
        self.pieces.find(piece.as_bytes(), |row| {
            &self.entry_bytes(row)[PIECE.len()..]
        })
    }

    /// Bytes of the longest word or pair.
    pub(super) fn whole_bytes_max(&self) -> usize {
        self.whole.bytes_max
    }

    /// Bytes of the longest piece, without its `##`.
    pub(super) fn piece_bytes_max(&self) -> usize {
        self.pieces.bytes_max
    }

    /// Adds the vector of a row to `sum`, `[dim]`.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn add_row(&self, row: u32, sum: &mut [f32]) {
        let row = row as usize;
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let scale = f32_at(&self.bytes, self.scales_at + row * 4);
        let codes = &self.bytes[self.codes_at + row * self.dim..][..self.dim];
        for (x, &code) in sum.iter_mut().zip(codes) {
            *x += scale * f32::from(code as i8);
        }
    }

    fn entry_bytes(&self, row: u32) -> &[u8] {
        entry_of(
            &self.bytes[HEADER_BYTES..self.scales_at],
            &self.bytes[self.vocabulary_at..],
            row,
        )
    }

    /// Writes a table.
    ///
    /// - `version`: 1 to 16 printable ASCII characters.
    /// - `rows`: all of `dim` codes, in any order.
    ///
    /// # Errors
    ///
    /// What [`Table::from_bytes`] would say of it.
    pub fn encode(
        version: &str,
        dim: usize,
        unknown_weight: f32,
        rows: &[TableRow],
    ) -> Result<Vec<u8>, TableError> {
        if version.len() > 16 || rows.iter().any(|row| row.codes.len() != dim) {
            return Err(TableError::Damaged(
                "version too long, or rows of different dim",
            ));
        }
        let mut body = vec![0; 4];
        let mut end = 0_u32;
        for row in rows {
            end += row.entry.len() as u32;
            body.extend(end.to_le_bytes());
        }
        body.extend(rows.iter().flat_map(|row| row.scale.to_le_bytes()));
        body.extend(
            rows.iter()
                .flat_map(|row| row.codes.iter().map(|&code| code as u8)),
        );
        body.extend(rows.iter().flat_map(|row| row.entry.bytes()));

        let mut file = MAGIC.to_vec();
        for word in [FORMAT_VERSION, rows.len() as u32, dim as u32, end] {
            file.extend(word.to_le_bytes());
        }
        file.extend(unknown_weight.to_le_bytes());
        file.extend(version.bytes().chain(std::iter::repeat(0)).take(16));
        file.extend([0; 4]);
        file.extend(xxh3_64(&body).to_le_bytes());
        file.extend([0; 8]);
        file.extend(body);
        Table::from_bytes(file.clone())?;
        Ok(file)
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Table {
            rows,
            dim,
            version,
            checksum,
            ..
        } = self;
        write!(
            f,
            "Table {{ rows: {rows}, dim: {dim}, version: {version}, checksum: {checksum:016x} }}"
        )
    }
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(data[at..at + 8].try_into().expect("eight bytes"))
}

fn f32_at(data: &[u8], at: usize) -> f32 {
    f32::from_bits(u32_at(data, at))
}

fn entry_of<'a>(ends: &[u8], vocabulary: &'a [u8], row: u32) -> &'a [u8] {
    let row = row as usize;
    &vocabulary[u32_at(ends, row * 4) as usize..u32_at(ends, row * 4 + 4) as usize]
}

/// Checks the vocabulary and hashes it: words and pairs, and pieces without their `##`.
fn read_vocabulary(ends: &[u8], vocabulary: &[u8]) -> Result<(Lookup, Lookup), TableError> {
    let rows = (ends.len() / 4 - 1) as u32;
    if u32_at(ends, 0) != 0 || u32_at(ends, rows as usize * 4) as usize != vocabulary.len() {
        return Err(TableError::Damaged("entries do not span the vocabulary"));
    }
    let grows = (0..rows as usize).all(|row| u32_at(ends, row * 4) < u32_at(ends, row * 4 + 4));
    if !grows {
        return Err(TableError::Damaged("ends of entries do not grow"));
    }
    // The ends grow up to the vocabulary's length, so every entry lies inside it.
    let glued = std::str::from_utf8(vocabulary)
        .map_err(|_| TableError::Damaged("vocabulary is not UTF-8"))?;
    let mut whole = Lookup::with_capacity(rows as usize);
    let mut pieces = Lookup::with_capacity(rows as usize);
    for row in 0..rows {
        let entry = entry_of(ends, vocabulary, row);
        if entry.len() > ENTRY_BYTES_MAX {
            return Err(TableError::Damaged("entry is too long"));
        }
        if !glued.is_char_boundary(u32_at(ends, row as usize * 4) as usize) {
            return Err(TableError::Damaged("entry begins inside a character"));
        }
        let fresh = match entry.strip_prefix(PIECE.as_bytes()) {
            Some([]) => return Err(TableError::Damaged("piece without characters")),
            Some(piece) => pieces.insert(piece, row, |row| {
                &entry_of(ends, vocabulary, row)[PIECE.len()..]
            }),
            None => whole.insert(entry, row, |row| entry_of(ends, vocabulary, row)),
        };
        if !fresh {
            return Err(TableError::Damaged("entry occurs twice"));
        }
    }
    Ok((whole, pieces))
}

/// From an entry's bytes to its row: open addressing, at most half full, with a part of the hash beside each row.
struct Lookup {
    /// Pairs of hash and row; row `u32::MAX` is free. A power of two.
    slots: Vec<(u32, u32)>,
    bytes_max: usize,
}

impl Lookup {
    const FREE: u32 = u32::MAX;

    fn with_capacity(entries: usize) -> Self {
        Lookup {
            slots: vec![(0, Lookup::FREE); (entries * 2).next_power_of_two()],
            bytes_max: 0,
        }
    }

    /// The slot where the search for a key begins, and the part of its hash that is compared.
    fn start(&self, key: &[u8]) -> (usize, u32) {
        let hash = xxh3_64(key);
        (hash as usize & (self.slots.len() - 1), (hash >> 32) as u32)
    }

    fn find<'a>(&self, key: &[u8], bytes_of: impl Fn(u32) -> &'a [u8]) -> Option<u32> {
        if key.len() > self.bytes_max {
            return None;
        }
        let (mut slot, tag) = self.start(key);
        loop {
            match self.slots[slot] {
                (_, Lookup::FREE) => return None,
                (other, row) if other == tag && bytes_of(row) == key => return Some(row),
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// Whether the key was not there before.
    fn insert<'a>(&mut self, key: &[u8], row: u32, bytes_of: impl Fn(u32) -> &'a [u8]) -> bool {
        if self.find(key, bytes_of).is_some() {
            return false;
        }
        let (mut slot, tag) = self.start(key);
        while self.slots[slot].1 != Lookup::FREE {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = (tag, row);
        self.bytes_max = self.bytes_max.max(key.len());
        true
    }
}

#[cfg(test)]
mod tests;
