//! Facts without which no figure means anything: commit, CPU, threads.

use std::process::Command;

use serde_json::{Value, json};

/// Commit, CPU, instruction sets, threads, memory, and the command as it was given.
pub fn facts() -> Value {
    let mut command = "cargo run --release -p benches".to_owned();
    for (argument_idx, argument) in std::env::args().skip(1).enumerate() {
        command += if argument_idx == 0 { " -- " } else { " " };
        command += &argument;
    }
    json!({
        "command": command,
        )
    };
    text.lines().find_map(value)
}

/// A field given in kB, as bytes.
pub fn proc_bytes(path: &str, name: &str) -> Option<u64> {
    let value = proc_field(path, name)?;
    Some(value.trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

fn cpu_features() -> Vec<&'static str> {
    let mut features = vec![];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! push_if_detected {
            ($($feature:tt),*) => {
                $( if std::arch::is_x86_feature_detected!($feature) { features.push($feature); } )*
            };
        }
        push_if_detected!("avx2", "fma", "avx512f", "avx512bw", "avx512vnni");
    }
    #[cfg(target_arch = "aarch64")]
    features.push("neon");
    features
}
