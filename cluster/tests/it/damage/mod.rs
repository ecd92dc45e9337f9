//! Damage to the files of a store that is not running: what was acknowledged is there, or its loss is told; what is read is right.
//!
//! - `folder`: copies of a store to damage.
//! - `wal`: the write-ahead log cut, flipped, missing.
//! - `tables`: blocks of tables and blob files.
//!
//! `scripts/crash --damage` runs the long forms.

pub mod folder;
mod tables;
mod wal;

/// Whether the long forms are wanted.
pub fn is_long() -> bool {
    std::env::var_os("VECINO_DAMAGE_LONG").is_some()
}
