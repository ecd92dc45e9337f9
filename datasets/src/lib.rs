//! Datasets: read them, write them, draw them, and know the exact answers to queries on them.
//!
//! - [`formats`] reads pictures in folders, JSONL, CSV, NPY, fvecs and more as a stream of [`Row`]s; a bad row is an
//!   item with a reason and a place, and reading goes on.
//! - [`writers`] writes NPY, fvecs, bvecs, ivecs and JSONL.
//! - [`matrix`] reads a whole file of vectors or neighbours into memory, for benchmarks.
//! - [`truth`] finds the exact nearest neighbours by brute force, and counts recall against them.
//! - [`synthetic`] makes vectors from a seed, and [`sample`] about 200 small captioned pictures; with [`random`] as
//!   their only source, a seed means the same for ever.
//!
//! It is a leaf: it knows no other crate of the project, no points, no collections, and decodes no pictures.
//!
//! ```
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("words.jsonl");
//! # std::fs::write(&path, "{\"id\": 1, \"text\": \"a green apple\", \"year\": 2020}\nnot JSON\n").unwrap();
//! use datasets::formats::{OpenOptions, open};
//!
//! for row in open(&path, &OpenOptions::default())? {
//!     match row {
//!         Ok(row) => println!("{}: {:?} {:?}", row.source, row.text, row.payload),
//!         Err(error) => println!("skipped: {error}"), // skipped: words.jsonl line 2: not JSON: ...
//!     }
//! }
//! # Ok::<(), datasets::formats::OpenError>(())
//! ```

pub mod formats;
pub mod matrix;
pub mod random;
mod row;
pub mod sample;
pub mod synthetic;
pub mod truth;
pub mod writers;

pub use row::{At, ImageSource, Place, Row, RowError, RowFault, RowId, VectorFault};
