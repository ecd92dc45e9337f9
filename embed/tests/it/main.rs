//! What `embed` promises, on real data and through its public names.

mod retrieval;
mod text;
