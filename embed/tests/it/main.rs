//! What `embed` promises, on real data and through its public names.

mod image;
mod retrieval;
mod text;
