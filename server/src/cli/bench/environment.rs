//! Facts about the machine, without which no figure means anything.

use serde_json::{Value, json};

use crate::cli::doctor::{cores, cpu_features, cpu_name};

/// Program, CPU, system.
pub fn facts() -> Value {
    json!({
        "program": concat!("vecino ", env!("CARGO_PKG_VERSION")),
        "cpu": cpu_name(),
        "cores": cores(),
        "features": cpu_features(),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "memory_bytes": memory_bytes(),
    })
}

fn memory_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let rest = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(
        rest.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()?
            * 1024,
    )
}
