//! `vecino/bm25`: a text as the weights of its terms.
//!
//! BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009) scores a document by the sum,
//! over the query's terms, of
//!
//! ```text
//! idf(term) * tf * (k + 1) / (tf + k * (1 - b + b * length / avg_len))
//! ```
//!
//! The fraction depends on the document alone and is the value of the term in the document's sparse vector; a query has 1 for each of its terms;
//! `idf` is the collection's, multiplied into the query when it is asked. So the inner product is the score. The average length is an option and not
//! measured, because a vector, once stored, must not change when others arrive.
//!
//! A term's index is the hash of its characters ([`token_id`]), so no vocabulary has to be kept; two terms share
//! one of the 2^31 indices about once per 65,000 different terms.

mod analysis;
mod language;
mod options;
mod stop_words;
mod token_id;

use std::time::Duration;

use serde_json::Value;

use self::analysis::Analysis;
pub use self::language::Language;
pub use self::options::{Bm25Options, Bm25Tokenizer};
use self::token_id::token_id;
use super::{TEXT_BYTES_MAX, refuse};
use crate::{
    Batch, EmbedError, Embedder, Identity, Input, Kind, Limits, Modality, Purpose, RegistryError,
    SparseVector,
};

const NAME: &str = "vecino/bm25";

/// Changes when the same options would give other vectors.
const VERSION: &str = "1";

/// Text to a sparse vector of term weights.
///
/// More than 20,000 short texts a second and core. A text whose words are all stop words has an empty vector: it is found by nothing, and finds nothing.
#[derive(Debug, Clone)]
pub struct Bm25Embedder {
    options: Bm25Options,
    analysis: Analysis,
    identity: Identity,
}

impl Bm25Embedder {
    /// With the given options.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Options`] if a number is out of its range.
    pub fn new(options: Bm25Options) -> Result<Self, RegistryError> {
        options.validate().map_err(|why| RegistryError::Options {
            model: NAME.to_owned(),
            why,
        })?;
        let analysis = Analysis::new(&options);
        let identity = Identity {
            name: NAME.to_owned(),
            version: VERSION.to_owned(),
            checksum: format!(
                "{:016x}",
                xxhash_rust::xxh3::xxh3_64(format!("{VERSION} {options:?}").as_bytes())
            ),
        };
        Ok(Bm25Embedder {
            options,
            analysis,
            identity,
        })
    }

    /// For the registry: the names of the options are those of [`Bm25Options`]; those that are absent or null have their default.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Options`] names the option, what is wrong, and what is allowed.
    pub fn from_options(options: &Value) -> Result<Self, RegistryError> {
        let options = Bm25Options::from_json(options);
        Bm25Embedder::new(options.map_err(|why| RegistryError::Options {
            model: NAME.to_owned(),
            why,
        })?)
    }

    /// The options it was made with.
    pub fn options(&self) -> &Bm25Options {
        &self.options
    }

    /// The terms of a text as they are hashed, in order: to show a user why a text is found.
    pub fn terms(&self, text: &str, purpose: Purpose) -> Vec<String> {
        let mut terms = Vec::new();
        self.analysis
            .terms(text, purpose, |term| terms.push(term.to_owned()));
        terms
    }

    fn embed_text(&self, text: &str, purpose: Purpose) -> Result<SparseVector, EmbedError> {
        refuse(text)?;
        let mut ids = Vec::new();
        self.analysis
            .terms(text, purpose, |term| ids.push(token_id(term)));
        let length = ids.len() as f32;
        ids.sort_unstable();
        let mut vector = SparseVector::default();
        for same in ids.chunk_by(|a, b| a == b) {
            vector.indices.push(same[0]);
            vector.values.push(match purpose {
                Purpose::Document => self.weight(same.len() as f32, length),
                Purpose::Query => 1.0,
            });
        }
        Ok(vector)
    }

    /// - `tf`: how often the term occurs in the document.
    /// - `length`: number of terms of the document.
    fn weight(&self, tf: f32, length: f32) -> f32 {
        let Bm25Options { k, b, avg_len, .. } = self.options;
        tf * (k + 1.0) / (tf + k * (1.0 - b + b * length / avg_len))
    }
}

impl Embedder for Bm25Embedder {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn modalities(&self) -> &[Modality] {
        &[Modality::Text]
    }

    fn kind(&self) -> Kind {
        Kind::Sparse { idf: true }
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

    fn embed(&self, inputs: &[Input<'_>], purpose: Purpose) -> Batch {
        let embed = |input: &Input<'_>| match input {
            Input::Text(text) => self.embed_text(text, purpose),
            Input::Image(_) => Err(EmbedError::WrongModality {
                model: NAME.to_owned(),
                got: Modality::Image,
            }),
        };
        Batch::sparse(inputs.iter().map(embed).collect())
    }
}

#[cfg(test)]
mod tests;
