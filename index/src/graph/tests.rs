//! What graphs promise.
