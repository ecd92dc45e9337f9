//! What this machine has, as the operating system tells it.

use std::path::{Component, Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// Checks that this processor has what RocksDB is compiled for, see `scripts/environment`: to be asked first, because a missing instruction ends the
/// process without a word.
///
/// # Errors
///
/// `Unavailable`, with what is missing.
pub fn ensure_processor() -> Result<()> {
    match missing_instructions().as_slice() {
        [] => Ok(()),
        missing => Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "this processor lacks {}, which the storage is compiled for; run it on an x86-64 processor that has both, as nearly all made since 2010 do",
                missing.join(" and ")
            ),
        )),
    }
}

#[cfg(target_arch = "x86_64")]
fn missing_instructions() -> Vec<&'static str> {
    let all = [
        ("SSE 4.2", is_x86_feature_detected!("sse4.2")),
        ("PCLMULQDQ", is_x86_feature_detected!("pclmulqdq")),
    ];
    let missing = all.into_iter().filter(|(_, is_there)| !is_there);
    missing.map(|(name, _)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn missing_instructions() -> Vec<&'static str> {
    Vec::new()
}

/// The machine's memory or the smallest limit of the control groups that this process is in, whichever is less; `None` where neither is told.
pub(crate) fn memory_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = info.and_then(|text| bytes_of_line(&text, "MemTotal:"));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = smallest_limit(Path::new("/sys/fs/cgroup"), &groups);
    machine.into_iter().chain(limit).min()
}

/// A line of `/proc` that tells kilobytes, in bytes.
pub(crate) fn bytes_of_line(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = rest.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// The smallest memory limit of the groups of a process, below `root`, and of all that they are in: each of these holds. `groups` is
/// `/proc/self/cgroup`: `0::PATH` for version 2, `N:memory:PATH` for version 1.
fn smallest_limit(root: &Path, groups: &str) -> Option<u64> {
    let files = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or("?"), parts.next().unwrap_or(""));
        let (root, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return Vec::new(),
        };
        let folders = ancestors(&root, Path::new(path)).into_iter();
        folders.map(|folder| folder.join(file)).collect()
    });
    // "max" is no number: no limit.
    let limits = files.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok());
    limits.min()
}

/// The folder of a group and of those that it is in, up to the root. Of one that lies outside of what is mounted, only the root.
fn ancestors(root: &Path, group: &Path) -> Vec<PathBuf> {
    let mut folders = vec![root.to_path_buf()];
    for part in group.components() {
        match (part, folders.last()) {
            (Component::Normal(name), Some(last)) => folders.push(last.join(name)),
            (Component::ParentDir, _) => return vec![root.to_path_buf()],
            _ => {}
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc() {
        let text = "MemTotal:       24689764 kB\nMemFree:  17 kB\n";
        assert_eq!(bytes_of_line(text, "MemTotal:"), Some(24_689_764 * 1024));
        assert_eq!(bytes_of_line(text, "MemFree:"), Some(17 * 1024));
        assert_eq!(bytes_of_line(text, "Swap:"), None);
        assert_eq!(bytes_of_line("MemTotal: many kB", "MemTotal:"), None);
    }

    #[test]
    fn the_smallest_limit_of_nested_groups_holds() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let check = |groups: &str, expected: Option<u64>| {
            assert_eq!(smallest_limit(dir.path(), groups), expected, "{groups}");
        };
        check("0::/a/b\n", None);
        write("a/memory.max", "3000\n");
        write("a/b/memory.max", "max\n");
        check("0::/a/b\n", Some(3000));
        write("a/b/memory.max", "2000\n");
        check("0::/a/b\n", Some(2000));
        check("0::/a\n", Some(3000));
        write("memory.max", "1000\n");
        check("0::/a/b\n", Some(1000));
        check("0::/\n", Some(1000));
        check("0::/../../a\n", Some(1000));
        write("memory/x/memory.limit_in_bytes", "500\n");
        check("7:cpu:/x\n5:memory:/x/y\n", Some(500));
        check("7:cpu:/x\nnonsense\n", None);
    }
}
