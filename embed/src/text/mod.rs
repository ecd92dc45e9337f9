//! Text to vectors: the static token table `vecino/text` and the term weights `vecino/bm25`.
//!
//! The table knows meanings (synonyms, topics) and blurs names and numbers; BM25 knows exact words and nothing else. They err
//! on different texts, so the default search asks both. `FORMAT.md` beside this file is the specification of the table's
//! tokens and file, shared with the program that trains it.

mod bm25;
mod table;
mod table_embedder;
mod tokens;
mod words;

pub use bm25::{Bm25Embedder, Bm25Options, Bm25Tokenizer, Language};
pub use table::{Table, TableError, TableRow};
pub use table_embedder::TextEmbedder;
pub use tokens::{Token, tokenize};
pub use words::Words;

/// Largest text that the built-in embedders take, in bytes: a long book is about this size, and takes them about 0.1 s.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Says why a text cannot be embedded before anyone looks at its words.
fn refuse(text: &str) -> Result<(), crate::EmbedError> {
    if text.len() > TEXT_BYTES_MAX {
        let (got, max) = (text.len() as u64, TEXT_BYTES_MAX as u64);
        return Err(crate::EmbedError::TooLarge {
            what: "the text",
            unit: "bytes",
            got,
            max,
        });
    }
    if text.chars().all(char::is_whitespace) {
        return Err(crate::EmbedError::Empty {
            modality: crate::Modality::Text,
        });
    }
    Ok(())
}
