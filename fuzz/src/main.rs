//! Runs a door of `engine::fuzz` under libFuzzer; `scripts/fuzz` builds and calls it. One binary for all targets: RocksDB is linked once.
//!
//! - `VECINO_FUZZ_TARGET`: the target's name; without it the names are printed.
//! - `VECINO_FUZZ_SEEDS`: a folder into which the target's seeds are written first; it is one of the corpus folders.

#![no_main]

mod memory;

use std::path::PathBuf;
use std::sync::OnceLock;

use engine::fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(init: choose(), |bytes: &[u8]| {
    let target = TARGET.get().expect("it was chosen first");
    // What a short record may claim, more than once; and what a longer one may for each of its bytes.
    memory::within((1 << 20) + 4096 * bytes.len(), || (target.run)(bytes));
});

fn choose() {
    let name = std::env::var("VECINO_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        TARGETS
            .iter()
            .for_each(|target| println!("{}", target.name));
        std::process::exit(i32::from(!name.is_empty()));
    };
    if let Some(folder) = std::env::var_os("VECINO_FUZZ_SEEDS").map(PathBuf::from) {
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed).expect("write a seed");
        }
    }
    let _ = TARGET.set(*target);
}
