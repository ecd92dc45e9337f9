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
        "version": env!("CARGO_PKG_VERSION"),
        "commit": commit(),
        "cpu": cpu_name(),
        "features": cpu_features(),
        "threads": threads(),
        "memory_bytes": memory_bytes(),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// Threads that the system lets this process use.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The commit of the workspace, with `+` behind it if files differ from it; absent without git.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() {
        commit
    } else {
        commit + "+"
    })
}

fn cpu_name() -> String {
    proc_field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn memory_bytes() -> Option<u64> {
    proc_bytes("/proc/meminfo", "MemTotal")
}

/// The first value of a field in a file of `name: value` lines.
fn proc_field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?.trim_start().strip_prefix(':')?;
        Some(rest.trim().to_owned())
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
