//! The preloaded library: C, compiled when it is first needed.
//!
//! C and not a Rust library, because it takes the place of functions of the C library with a variable number of arguments, and needs no
//! crate, no member of the workspace and no unsafe Rust; a C compiler is there, RocksDB needs one.

use std::path::Path;
use std::process::Command;

/// The compiled library, in a folder of its own that goes with it.
pub struct Recorder {
    folder: tempfile::TempDir,
}

impl Recorder {
    /// Compiles it.
    pub fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("recorder.c");
        std::fs::write(&source, include_str!("recorder.c")).unwrap();
        let compiled = Command::new("cc")
            .args([
                "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o",
            ])
            .arg(folder.path().join("recorder.so"))
            .arg(&source)
            .status()
            .expect("a C compiler is there: RocksDB needs it");
        assert!(compiled.success(), "recorder.c does not compile");
        Self { folder }
    }

    /// Has the command tell what it does in the folder `root` to the file `journal`; an fsync takes up to `sync_us` microseconds.
    pub fn watch(&self, command: &mut Command, root: &Path, journal: &Path, sync_us: u64) {
        command
            .env("LD_PRELOAD", self.folder.path().join("recorder.so"))
            .env("VECINO_RECORD_ROOT", root)
            .env("VECINO_RECORD_JOURNAL", journal)
            .env("VECINO_RECORD_SYNC_US", sync_us.to_string());
    }

    /// Has the command killed by SIGKILL as soon as it has made so many changes to paths with `part` in them, counted from when it tells
    /// `from`, if given: between two writes that come together, where a kill by the clock hardly ever falls.
    pub fn kill_at(command: &mut Command, changes: u64, part: &str, from: Option<&str>) {
        command
            .env("VECINO_RECORD_KILL_AT", changes.to_string())
            .env("VECINO_RECORD_KILL_IN", part);
        if let Some(from) = from {
            command.env("VECINO_RECORD_KILL_FROM", from);
        }
    }

    /// Has the command killed by SIGKILL while its n-th sync of a path with `part` in it goes on, counted from when it tells `from`.
    pub fn kill_in_sync(command: &mut Command, number: u64, part: &str, from: &str) {
        command.env("VECINO_RECORD_KILL_ON", "S");
        Self::kill_at(command, number, part, Some(from));
    }

    /// Has the command killed by SIGKILL right after its n-th renaming of a path with `part` in it, counted from when it tells `from`.
    pub fn kill_at_rename(command: &mut Command, number: u64, part: &str, from: &str) {
        command.env("VECINO_RECORD_KILL_ON", "r");
        Self::kill_at(command, number, part, Some(from));
    }

    /// Has the command's n-th sync, counted from 1, of a path with `part` in it fail.
    pub fn fail_sync(command: &mut Command, number: u64, part: &str) {
        command
            .env("VECINO_RECORD_FAIL_SYNC", number.to_string())
            .env("VECINO_RECORD_FAIL_IN", part);
    }
}
