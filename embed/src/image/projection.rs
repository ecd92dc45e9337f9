//! The learned projection: from the descriptor's parts to the vectors that are stored, and the file it comes in.
//!
//! Every part is reduced by a matrix of its own, the reduced parts are joined and rotated by one more for each [`Mode`]: two
//! steps, because one would be five times the bytes. `embed/train/README.md` tells how they are learned.
//!
//! ```text
//! file     "VIMG" | version u32 | payload bytes u32 | XXH3-64 of the payload u64 | payload
//! payload  affine * (2 of the codebook + 8 of the parts + 3 of the modes), as `affine.rs` draws it
//! ```
//!
//! Little-endian.

use std::sync::LazyLock;

use ndarray::ArrayView1;
use xxhash_rust::xxh3::xxh3_64;

use super::affine::{Affine, AffineError, Reader};
use super::descriptor::{Codebook, PARTS, Part};

const MAGIC: &[u8; 4] = b"VIMG";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 20;

/// What a picture's vector speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Shape, texture and colour: looks alike.
    All,
    /// Colour only: same colours, whatever it shows.
    Color,
    /// Shape and texture only: same outline, in any colour.
    Shape,
}

/// All modes, in their order in the file.
pub const MODES: [Mode; 3] = [Mode::All, Mode::Color, Mode::Shape];

impl Mode {
    /// Whether the mode looks at a part.
    pub fn uses(self, part: Part) -> bool {
        match self {
            Mode::All => true,
            Mode::Color => part.is_color(),
            Mode::Shape => !part.is_color(),
        }
    }
}

/// Why a file is no projection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionError {
    /// It does not begin as one.
    #[error("not an image projection: it begins with other bytes")]
    Foreign,
    /// Written by another version.
    #[error("image projection of version {got}, this program reads {VERSION}")]
    Version {
        /// The file's version.
        got: u32,
    },
    /// Too short, or it announces matrices larger than it is.
    #[error("image projection cut off or with a wrong length")]
    Truncated,
    /// The bytes have changed since they were written.
    #[error("image projection damaged: its checksum is {got:016x}, wanted {wanted:016x}")]
    Checksum {
        /// Of the bytes.
        got: u64,
        /// In the header.
        wanted: u64,
    },
    /// A matrix fits no part or mode, or holds NaN or infinity.
    #[error("image projection does not fit this program: {0}")]
    Shape(String),
}

impl From<AffineError> for ProjectionError {
    fn from(error: AffineError) -> Self {
        match error {
            AffineError::Truncated => Self::Truncated,
            AffineError::Side(_) => Self::Shape(error.to_string()),
        }
    }
}

/// The learned matrices.
#[derive(Debug, Clone)]
pub struct Projection {
    /// What windows are compared with.
    pub codebook: Codebook,
    /// For each of [`PARTS`], what reduces it.
    pub parts: Vec<Affine>,
    /// For each of [`MODES`], what turns its joined reduced parts into the vector.
    pub modes: Vec<Affine>,
    checksum: u64,
}

impl Projection {
    /// Joins matrices that fit each other, rounded as a file rounds them.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Shape`] names the first that does not fit.
    pub fn new(
        codebook: Codebook,
        parts: Vec<Affine>,
        modes: Vec<Affine>,
    ) -> Result<Self, ProjectionError> {
        Self::from_bytes(
            &Self {
                codebook,
                parts,
                modes,
                checksum: 0,
            }
            .to_bytes(),
        )
    }

    /// The one in the program. Read and checked at the first call (about 2 ms), then shared.
    ///
    /// # Errors
    ///
    /// A [`ProjectionError`] if the program was built with a damaged file.
    pub fn shipped() -> Result<&'static Self, ProjectionError> {
        static SHIPPED: LazyLock<Result<Projection, ProjectionError>> =
            LazyLock::new(|| Projection::from_bytes(include_bytes!("projection.bin")));
        SHIPPED.as_ref().map_err(Clone::clone)
    }

    /// Reads a file's bytes, without trust.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`]: foreign, another version, cut off, damaged, or matrices that do not fit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProjectionError> {
        if !bytes.starts_with(MAGIC) {
            return Err(ProjectionError::Foreign);
        }
        let (header, payload) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or(ProjectionError::Truncated)?;
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        if word(4) != VERSION {
            return Err(ProjectionError::Version { got: word(4) });
        }
        if word(8) as usize != payload.len() {
            return Err(ProjectionError::Truncated);
        }
        let (got, wanted) = (
            xxh3_64(payload),
            u64::from(word(16)) << 32 | u64::from(word(12)),
        );
        if got != wanted {
            return Err(ProjectionError::Checksum { got, wanted });
        }
        let mut reader = Reader::new(payload);
        let codebook = Codebook {
            reduce: Affine::read(&mut reader)?,
            words: Affine::read(&mut reader)?,
        };
        let mut read = |count: usize| -> Result<Vec<Affine>, AffineError> {
            (0..count).map(|_| Affine::read(&mut reader)).collect()
        };
        let (parts, modes) = (read(PARTS.len())?, read(MODES.len())?);
        if !reader.is_empty() {
            return Err(ProjectionError::Truncated);
        }
        let projection = Self {
            codebook,
            parts,
            modes,
            checksum: got,
        };
        projection.check()?;
        Ok(projection)
    }

    /// The bytes of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        self.affines().for_each(|affine| affine.write(&mut payload));
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(
            u32::try_from(payload.len())
                .expect("about a megabyte")
                .to_le_bytes(),
        );
        bytes.extend(xxh3_64(&payload).to_le_bytes());
        bytes.extend(payload);
        bytes
    }

    /// XXH3-64 of the payload.
    pub fn checksum(&self) -> u64 {
        self.checksum
    }

    /// How many numbers a mode's vectors have.
    pub fn dim(&self, mode: Mode) -> usize {
        self.of(mode).shape().0
    }

    /// Turns a descriptor into a vector of unit length.
    ///
    /// - `parts`: in the order of [`PARTS`]; those that the mode does not use may be empty.
    ///
    /// Time O(numbers in the matrices), about 0.3 ms.
    pub fn project(&self, parts: &[Vec<f32>], mode: Mode) -> Vec<f32> {
        let mut joined = Vec::new();
        for ((part, values), reduce) in PARTS.iter().zip(parts).zip(&self.parts) {
            if mode.uses(*part) {
                joined.extend(reduce.apply(ArrayView1::from(values)));
            }
        }
        let mut vector = self.of(mode).apply(ArrayView1::from(&joined)).to_vec();
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 1e-9 {
            vector.iter_mut().for_each(|value| *value /= length);
        } else {
            // A picture exactly like the mean of all points nowhere; it gets a direction, so that it can be stored.
            vector.fill(0.0);
            vector[0] = 1.0;
        }
        vector
    }

    fn of(&self, mode: Mode) -> &Affine {
        &self.modes[MODES
            .iter()
            .position(|&m| m == mode)
            .expect("MODES has all")]
    }

    fn affines(&self) -> impl Iterator<Item = &Affine> {
        let codebook = [&self.codebook.reduce, &self.codebook.words];
        codebook.into_iter().chain(&self.parts).chain(&self.modes)
    }

    fn check(&self) -> Result<(), ProjectionError> {
        let wrong = |what: String| Err(ProjectionError::Shape(what));
        if !self.codebook.is_well_shaped() {
            return wrong("the codebook has another size".to_owned());
        }
        for (part, affine) in PARTS.iter().zip(&self.parts) {
            if affine.shape().1 != part.dim() {
                return wrong(format!("{part:?} takes {} values", affine.shape().1));
            }
        }
        for (mode, affine) in MODES.iter().zip(&self.modes) {
            let used = PARTS
                .iter()
                .zip(&self.parts)
                .filter(|(part, _)| mode.uses(**part));
            let joined: usize = used.map(|(_, reduce)| reduce.shape().0).sum();
            if affine.shape().1 != joined || affine.shape().0 == 0 {
                return wrong(format!("{mode:?} has a matrix of {:?}", affine.shape()));
            }
        }
        let is_finite = |affine: &Affine| {
            affine
                .matrix
                .iter()
                .chain(&affine.bias)
                .all(|v| v.is_finite())
        };
        if !self.affines().all(is_finite) {
            return wrong("it holds values that are not finite".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_sound_and_small() {
        let bytes = include_bytes!("projection.bin");
        assert!(bytes.len() < 1_000_000, "{} bytes", bytes.len());
        let projection = Projection::shipped().unwrap();
        assert_eq!(projection.dim(Mode::All), 256);
        assert_eq!(projection.to_bytes(), bytes);
    }

    #[test]
    fn damage_is_noticed() {
        let bytes = include_bytes!("projection.bin");
        let check = |bytes: &[u8], expected: &str| {
            let error = Projection::from_bytes(bytes).unwrap_err().to_string();
            assert!(
                error.contains(expected),
                "{error:?} does not say {expected:?}"
            );
        };
        check(b"", "begins with other bytes");
        check(b"VIMG", "cut off");
        check(&bytes[..bytes.len() - 1], "cut off");
        let changed = |at: usize| {
            let mut copy = bytes.to_vec();
            copy[at] ^= 0x40;
            copy
        };
        check(&changed(0), "begins with other bytes");
        check(&changed(4), "version");
        check(&changed(9), "length");
        check(&changed(5000), "checksum");
    }

    #[test]
    fn lying_sizes_are_refused() {
        let signed = |payload: &[u8]| {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(VERSION.to_le_bytes());
            bytes.extend((payload.len() as u32).to_le_bytes());
            bytes.extend(xxh3_64(payload).to_le_bytes());
            bytes.extend(payload);
            bytes
        };
        let sides = |rows: u32, columns: u32| [rows.to_le_bytes(), columns.to_le_bytes()].concat();
        let refused = |payload: &[u8]| Projection::from_bytes(&signed(payload)).unwrap_err();
        assert!(matches!(
            refused(&sides(u32::MAX, 2)),
            ProjectionError::Shape(_)
        ));
        assert_eq!(refused(&sides(16_000, 16_000)), ProjectionError::Truncated);
        assert_eq!(refused(b""), ProjectionError::Truncated);
    }
}
