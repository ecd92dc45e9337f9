//! Damage to the files of a store that is not running: what was acknowledged is there, or its loss is told; what is read is right.
//!
//! - `folder`: copies of a store to damage.
//! - `wal`: the write-ahead log cut, flipped, missing.
//! - `last_log`: its last file missing, at any time.
//! - `tables`: blocks of tables and blob files.
//!
//! `scripts/crash --damage` runs the long forms.

pub mod folder;
mod last_log;
mod tables;
mod wal;

use std::time::Duration;

/// How long the guard may lag behind what is durable, and the fsync of its note on a busy disk.
const WINDOW: Duration = Duration::from_secs(1);
const WINDOW_SLACK: Duration = Duration::from_millis(500);

/// Whether the long forms are wanted.
pub fn is_long() -> bool {
    std::env::var_os("VECINO_DAMAGE_LONG").is_some()
}
