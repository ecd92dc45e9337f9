//! Why one input got no vector.

use std::sync::Arc;

use crate::Modality;

/// Why one input got no vector: what is wrong, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// There is nothing to embed.
    #[error("the {modality} is empty: leave the input out or give it content")]
    Empty {
        /// What kind of input it was.
        modality: Modality,
    },
    /// The source has more bytes, pixels or frames than the embedder takes.
    #[error("{what} is {got} {unit}, at most {max} are taken: make it smaller, or split it")]
    TooLarge {
        /// What is too large: "the text", "the picture".
        what: &'static str,
        /// Bytes or pixels.
        unit: &'static str,
        /// Its size.
        got: u64,
        /// The limit.
        max: u64,
    },
    /// The bytes are not what they should be. The text says what they are and how to mend them.
    #[error("{0}")]
    Decode(String),
    /// The embedder does not take this kind of media.
    #[error("model {model} takes no {got}: use a model that does, see GET /v1/models")]
    WrongModality {
        /// The embedder's name.
        model: String,
        /// The kind of the input.
        got: Modality,
    },
    /// The queue in front of the embedder is full.
    #[error("the queue of model {model} is full: try again in a second, or send smaller batches")]
    Busy {
        /// The embedder's name.
        model: String,
    },
    /// The embedder gave NaN, infinity or a vector of the wrong size; nothing of it is stored.
    #[error(
        "model {model} gave a vector that cannot be stored ({why}): report this with the input"
    )]
    NotFinite {
        /// The embedder's name.
        model: String,
        /// What was wrong with it.
        why: String,
    },
    /// The embedder itself broke on this input or batch.
    #[error("model {model} broke: {why}; report this with the input")]
    Internal {
        /// The embedder's name.
        model: String,
        /// What it said.
        why: Arc<str>,
    },
}
