//! The machine: CPU, memory, limits of the system.

use rustix::process::{Resource, getrlimit};
use serde_json::json;

use super::{Finding, Status};
use crate::cli::output::{bytes_text, counted, grouped};

/// Below this much free memory a load will soon swap.
const FREE_BYTES_ODD: u64 = 200_000_000;
/// RocksDB keeps table files open; every client is a file too.
const OPEN_FILES_ODD: u64 = 4096;
/// With fewer it cannot work for long.
const OPEN_FILES_BAD: u64 = 512;

/// Name of the CPU, as the system tells it.
pub fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find_map(|line| {
        line.strip_prefix("model name")?
            .split_once(':')
            .map(|(_, name)| name.trim().to_owned())
    });
    line.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Instruction sets that speed up distances, as far as this CPU has them.
pub fn cpu_features() -> Vec<&'static str> {
    let mut features = vec![];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! push_if_detected {
            ($($feature:tt),*) => { $( if std::arch::is_x86_feature_detected!($feature) { features.push($feature); } )* };
        }
        push_if_detected!("avx2", "fma", "avx512f", "avx512bw", "avx512vnni");
    }
    #[cfg(target_arch = "aarch64")]
    features.push("neon");
    features
}

/// Number of threads that the system lets this process use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The CPU and what of it speeds up distances.
pub(super) fn cpu() -> Finding {
    let (features, cores) = (cpu_features(), cores());
    let data = json!({ "name": cpu_name(), "cores": cores, "features": features });
    let fast = features
        .iter()
        .any(|feature| matches!(*feature, "avx2" | "neon" | "avx512f"));
    let detail = format!(
        "{}, {}, {}",
        cpu_name(),
        counted(cores as u64, "core"),
        if features.is_empty() {
            "no vector instructions".to_owned()
        } else {
            features.join(" ")
        }
    );
    if fast {
        Finding::new(Status::Ok, "cpu", detail).data(data)
    } else {
        Finding::new(
            Status::Warn,
            "cpu",
            format!("{detail}: distances are computed without SIMD, several times slower"),
        )
        .mend("use a CPU with AVX2, or let the virtual machine pass it through")
        .data(data)
    }
}

/// Memory that is free.
pub(super) fn memory() -> Finding {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| -> Option<u64> {
        let rest = info.lines().find_map(|line| line.strip_prefix(name))?;
        rest.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()
            .map(|kilobytes| kilobytes * 1024)
    };
    match (field("MemTotal:"), field("MemAvailable:")) {
        (Some(total), Some(free)) => {
            let detail = format!("{} free of {}", bytes_text(free), bytes_text(total));
            let data = json!({ "total_bytes": total, "available_bytes": free });
            if free < FREE_BYTES_ODD {
                Finding::new(Status::Warn, "memory", detail)
                    .mend("end other programs, or add memory: vectors are held in it")
                    .data(data)
            } else {
                Finding::new(Status::Ok, "memory", detail).data(data)
            }
        }
        _ => Finding::new(Status::Ok, "memory", "this system does not tell"),
    }
}

/// How many files the process may open.
pub(super) fn open_files() -> Finding {
    // No limit is unlimited.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let data = json!({ "limit": limit });
    let detail = if limit == u64::MAX {
        "no limit".to_owned()
    } else {
        format!("at most {} open files", grouped(limit))
    };
    let mend =
        "raise it: `ulimit -n 65536` before the start, or LimitNOFILE=65536 in the systemd unit";
    match limit {
        0..OPEN_FILES_BAD => Finding::new(Status::Fail, "limits", detail).mend(mend),
        OPEN_FILES_BAD..OPEN_FILES_ODD => Finding::new(Status::Warn, "limits", detail).mend(mend),
        _ => Finding::new(Status::Ok, "limits", detail),
    }
    .data(data)
}
