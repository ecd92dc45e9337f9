//! Media to vectors: what turns a text or a picture into the numbers that are searched.
//!
//! An [`Embedder`] takes a batch of [`Input`]s and gives a [`Batch`] of vectors, with an error *per input*: one bad picture
//! never fails its neighbours. The [`Registry`] maps names to constructors; a [`Handle`] stands in front of one embedder,
//! gathers requests into batches on threads of its own, serves queries before bulk, and remembers what it has embedded.
//!
//! Built in, without any download:
//!
//! | name | what | vector |
//! |---|---|---|
//! | `vecino/text` | static token table, weighted mean ([`text::TextEmbedder`]) | dense, 256, cosine |
//! | `vecino/bm25` | term weights of BM25 ([`text::Bm25Embedder`]) | sparse, IDF of the collection |
//! | `vecino/image`, `-color`, `-shape` | descriptor of shape, texture and colour ([`image::ImageEmbedder`]) | dense, cosine |
//!
//! This crate knows nothing of points, collections, storage, HTTP or async runtimes.
//!
//! ```
//! use embed::{Embedding, Handle, OwnedInput, Purpose, QueueOptions, Registry};
//!
//! let registry = Registry::builtin();
//! let embedder = registry.get("vecino/text", &serde_json::Value::Null)?;
//! let handle = Handle::new(embedder, QueueOptions::default());
//! let answers = handle.embed_blocking(vec![OwnedInput::from("a green apple"), OwnedInput::from("")], Purpose::Document);
//! let Ok(Embedding::Dense(vector)) = &answers[0] else { panic!("a dense vector") };
//! assert_eq!(vector.len(), 256);
//! assert!(answers[1].is_err(), "empty text is refused, its neighbour is not");
//! # Ok::<(), embed::RegistryError>(())
//! ```

mod batch;
mod cache;
mod embedder;
mod error;
pub mod image;
mod queue;
mod registry;
pub mod text;

pub use batch::{Batch, Embedding, SparseVector};
pub use embedder::{
    Embedder, Identity, Input, Kind, Limits, Metric, Modality, OwnedInput, Purpose,
};
pub use error::EmbedError;
pub use queue::{Handle, QueueOptions, Reply};
pub use registry::{Registry, RegistryError};
