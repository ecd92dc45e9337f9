//! `vecino/text`: the weighted mean of static token vectors.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ndarray::Array2;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::{TEXT_BYTES_MAX, Table, TableError, Token, Words, refuse, tokenize};
use crate::{
    Batch, EmbedError, Embedder, Identity, Input, Kind, Limits, Metric, Modality, Purpose,
    RegistryError,
};

const NAME: &str = "vecino/text";

/// A shorter sum has no direction that means anything.
const LENGTH_MIN: f32 = 1e-6;

/// The table that is part of the program, opened when it is first wanted.
static BUILTIN: LazyLock<Result<Arc<Table>, TableError>> =
    LazyLock::new(|| Table::from_static(include_bytes!("table.bin")).map(Arc::new));

/// Text to a dense vector by a table of token vectors: no network runs, the knowledge lies in the table, which was trained to
/// imitate a sentence model (`embed/train/`).
///
/// A text's vector is the sum of its tokens' vectors, made unit length: order does not count, negation is not understood. Words
/// that the table does not cover, in scripts it was not trained on, count by their spelling alone, so that equal words
/// still find each other. Every text that is not blank gets a finite vector of unit length.
///
/// More than 50,000 short texts a second and core; shares one table among all instances.
#[derive(Debug, Clone)]
pub struct TextEmbedder {
    table: Arc<Table>,
    identity: Identity,
}

impl TextEmbedder {
    /// With the table that is part of the program. The first call takes some milliseconds.
    ///
    /// # Errors
    ///
    /// [`TableError`] if that table is damaged.
    pub fn builtin() -> Result<Self, TableError> {
        BUILTIN.clone().map(TextEmbedder::new)
    }

    /// With another table.
    pub fn new(table: Arc<Table>) -> Self {
        let identity = Identity {
            name: NAME.to_owned(),
            version: table.version().to_owned(),
            checksum: format!("{:016x}", table.checksum()),
        };
        TextEmbedder { table, identity }
    }

    /// For the registry: takes no options.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Options`] if there is one.
    pub fn from_options(options: &Value) -> Result<Self, RegistryError> {
        let none = options.is_null()
            || options
                .as_object()
                .is_some_and(|options| options.is_empty());
        if !none {
            let why = format!("takes no options, got {options}");
            return Err(RegistryError::Options {
                model: NAME.to_owned(),
                why,
            });
        }
        TextEmbedder::builtin().map_err(|error| RegistryError::Broken {
            model: NAME.to_owned(),
            why: error.to_string(),
        })
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Writes the vector of one text into `vector`, `[dim]`, which must be zero.
    fn embed_text(
        &self,
        text: &str,
        words: &mut Words,
        vector: &mut [f32],
    ) -> Result<(), EmbedError> {
        refuse(text)?;
        let table = &*self.table;
        tokenize(table, text, words, |token| match token {
            Token::Row(row) => table.add_row(row, vector),
            Token::Unknown(word) => add_noise(word, table.unknown_weight(), vector),
        });
        if normalise(vector) {
            return Ok(());
        }
        // The tokens cancel each other, or their rows are zero: the words' spelling takes their place.
        vector.fill(0.0);
        words.iter().for_each(|word| add_noise(word, 1.0, vector));
        if !normalise(vector) {
            vector.fill(0.0);
            add_noise(text, 1.0, vector);
            normalise(vector);
        }
        Ok(())
    }
}

impl Embedder for TextEmbedder {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn modalities(&self) -> &[Modality] {
        &[Modality::Text]
    }

    fn kind(&self) -> Kind {
        Kind::Dense {
            dim: self.table.dim(),
            metric: Metric::Cosine,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            text_bytes_max: TEXT_BYTES_MAX,
            image_bytes_max: 0,
            image_pixels_max: 0,
            batch_max: 1024,
            gather: Duration::ZERO,
        }
    }

    fn embed(&self, inputs: &[Input<'_>], _purpose: Purpose) -> Batch {
        let mut vectors = Array2::zeros((inputs.len(), self.table.dim()));
        let mut words = Words::new();
        let errors = inputs
            .iter()
            .zip(vectors.rows_mut())
            .map(|(input, mut row)| match input {
                Input::Text(text) => {
                    let row = row
                        .as_slice_mut()
                        .expect("rows of a new matrix are contiguous");
                    self.embed_text(text, &mut words, row).err()
                }
                Input::Image(_) => Some(EmbedError::WrongModality {
                    model: NAME.to_owned(),
                    got: Modality::Image,
                }),
            });
        let errors = errors.collect();
        Batch::dense(vectors, errors)
    }
}

/// Makes a vector unit length. False, and nothing done, if it is too short to have a direction.
fn normalise(vector: &mut [f32]) -> bool {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length < LENGTH_MIN {
        return false;
    }
    vector.iter_mut().for_each(|x| *x /= length);
    true
}

/// Adds a vector of length `weight` that depends on the word's bytes only: `FORMAT.md` section 5.
fn add_noise(word: &str, weight: f32, vector: &mut [f32]) {
    let hash = xxh3_64(word.as_bytes());
    let size = weight / (vector.len() as f32).sqrt();
    for (block, values) in vector.chunks_mut(64).enumerate() {
        let bits = splitmix64(hash.wrapping_add(block as u64));
        for (bit, x) in values.iter_mut().enumerate() {
            *x += if bits >> bit & 1 == 1 { size } else { -size };
        }
    }
}

/// The mixing function of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Embedding;
    use crate::text::TableRow;

    /// Rows that can cancel each other: `up` and `down` are opposite, `nil` is zero.
    fn small() -> TextEmbedder {
        let row = |(entry, x, y): (&str, i8, i8)| TableRow {
            entry: entry.to_owned(),
            scale: 0.1,
            codes: vec![x, y, 0, 0],
        };
        let rows: Vec<_> = [("up", 3, 4), ("down", -3, -4), ("nil", 0, 0), ("##s", 1, 0)]
            .into_iter()
            .map(row)
            .collect();
        let bytes = Table::encode("t", 4, 0.5, &rows).unwrap();
        TextEmbedder::new(Arc::new(Table::from_bytes(bytes).unwrap()))
    }

    fn one(embedder: &TextEmbedder, text: &str) -> Result<Vec<f32>, EmbedError> {
        let answer = embedder
            .embed(&[Input::Text(text)], Purpose::Document)
            .into_iter()
            .next()
            .unwrap();
        answer.map(|embedding| match embedding {
            Embedding::Dense(vector) => vector,
            Embedding::Sparse(_) => unreachable!(),
        })
    }

    #[test]
    fn sums_of_rows() {
        assert_eq!(one(&small(), "UP").unwrap(), [0.6, 0.8, 0.0, 0.0]);
        let ups = one(&small(), "ups").unwrap();
        let wanted = [4.0 / 32_f32.sqrt(), 4.0 / 32_f32.sqrt(), 0.0, 0.0];
        assert!(
            ups.iter().zip(wanted).all(|(x, y)| (x - y).abs() < 1e-6),
            "{ups:?}"
        );
    }

    #[test]
    fn blank_huge_and_pictures_are_refused() {
        let embedder = small();
        for text in ["", " ", "\t\n\u{3000}"] {
            assert_eq!(
                one(&embedder, text),
                Err(EmbedError::Empty {
                    modality: Modality::Text
                })
            );
        }
        assert!(matches!(
            one(&embedder, &"x".repeat(TEXT_BYTES_MAX + 1)),
            Err(EmbedError::TooLarge { .. })
        ));
        let batch = embedder.embed(
            &[Input::Image(b"\xff\xd8"), Input::Text("up")],
            Purpose::Query,
        );
        assert!(matches!(
            batch.errors(),
            [Some(EmbedError::WrongModality { .. }), None]
        ));
    }

    #[test]
    fn what_cancels_or_is_unknown_goes_by_spelling() {
        let embedder = small();
        for (text, spelling) in [("nil", true), ("Ελλάδα", true), ("!", true), ("up", false)]
        {
            let vector = one(&embedder, text).unwrap();
            assert_eq!(
                vector.iter().all(|x| x.abs() == 0.5),
                spelling,
                "{text}: {vector:?}"
            );
        }
        let mut sum = vec![0.0; 4];
        ["up", "down"]
            .iter()
            .for_each(|word| add_noise(word, 1.0, &mut sum));
        assert!(normalise(&mut sum));
        assert_eq!(one(&embedder, "up, down"), Ok(sum));
        assert_eq!(one(&embedder, "Ελλάδα"), one(&embedder, "ελλαδα"));
        assert_ne!(one(&embedder, "!"), one(&embedder, "🍎"));
    }

    /// The noise of a word never changes: stored vectors hold it.
    #[test]
    fn noise_is_pinned() {
        let mut vector = vec![0.0; 100];
        add_noise("привет", 1.0, &mut vector);
        let signs: String = vector
            .iter()
            .map(|&x| if x > 0.0 { '+' } else { '-' })
            .collect();
        assert_eq!(signs, PINNED);
        assert!(vector.iter().all(|x| x.abs() == 0.1));
    }
    const PINNED: &str = "---+-++++--++-++++----+-+++++-++-+--+-++-++-++--++--+-++++-+-+++--+++--+-++-++--+-++-++-----+-+-+++-";

    proptest! {
        #[test]
        fn any_text_gives_a_unit_vector_or_is_blank(text in any::<String>()) {
            for embedder in [small(), TextEmbedder::builtin().unwrap()] {
                match one(&embedder, &text) {
                    Ok(vector) => {
                        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
                        prop_assert!((length - 1.0).abs() < 1e-4, "{}", length);
                    }
                    Err(error) => {
                        prop_assert_eq!(error, EmbedError::Empty { modality: Modality::Text });
                        prop_assert!(text.trim().is_empty());
                    }
                }
            }
        }
    }

    #[test]
    fn the_shipped_table_is_whole() {
        TextEmbedder::builtin().unwrap().table().verify().unwrap();
    }
}
