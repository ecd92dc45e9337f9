//! `vecino doctor`: what is right and wrong with the machine, the data folder and the server, a line each.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use cluster::{Node, NodeOptions};
use embed::{Input, Purpose};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

use super::client::{Client, ServerArgs, get};
use super::failure::Result;
use super::output::{Output, Paint, bytes_text, grouped};
use super::serve::{DATA_DEFAULT, is_locked};

/// Below this much free space a load of pictures will soon end.
const FREE_BYTES_ODD: u64 = 2_000_000_000;
/// Below this much free space RocksDB can hardly compact.
const FREE_BYTES_BAD: u64 = 200_000_000;
/// RocksDB keeps table files open; every client is a file too.
const OPEN_FILES_ODD: u64 = 4096;
const OPEN_FILES_BAD: u64 = 512;

/// What to check.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Folder of the data.
    #[arg(long, value_name = "DIR", env = "VECINO_DATA_DIR", default_value = DATA_DEFAULT)]
    data: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Status {
    Ok,
    Warn,
    Fail,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the report.
#[derive(Debug)]
struct Finding {
    status: Status,
    subject: &'static str,
    detail: String,
    mend: Option<String>,
    /// Figures for `--json`.
    data: Value,
}

impl Finding {
    fn new(status: Status, subject: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            subject,
            detail: detail.into(),
            mend: None,
            data: Value::Null,
        }
    }

    fn mend(mut self, advice: impl Into<String>) -> Self {
        self.mend = Some(advice.into());
        self
    }

    fn data(mut self, data: Value) -> Self {
        self.data = data;
        self
    }

    fn to_json(&self) -> Value {
        json!({ "status": self.status.name(), "subject": self.subject, "detail": self.detail, "mend": self.mend, "data": self.data })
    }

    fn to_text(&self, paint: Paint) -> String {
        let name = format!("{:<4}", self.status.name());
        let status = match self.status {
            Status::Ok => paint.good(&name),
            Status::Warn => paint.odd(&name),
            Status::Fail => paint.bad(&name),
        };
        let mend = self
            .mend
            .as_ref()
            .map(|mend| format!("\n                 mend: {mend}"))
            .unwrap_or_default();
        format!("{status}  {:<10} {}{mend}\n", self.subject, self.detail)
    }
}

/// Runs the command. Returns whether nothing fails.
///
/// # Errors
///
/// The server's address is none.
pub fn run(args: &DoctorArgs, output: Output) -> Result<bool> {
    let client = Client::connect(&args.server)?;
    let mut findings = vec![cpu(), memory(), open_files()];
    findings.extend(embedders());
    findings.push(free_space(&args.data));
    findings.extend(data_folder(&args.data));
    findings.extend(reachable(&client));
    let failing = findings
        .iter()
        .filter(|finding| finding.status == Status::Fail)
        .count();
    let odd = findings
        .iter()
        .filter(|finding| finding.status == Status::Warn)
        .count();
    let answer = json!({ "sound": failing == 0, "findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>() });
    output.answer(&answer, |paint| {
        let mut text: String = findings
            .iter()
            .map(|finding| finding.to_text(paint))
            .collect();
        text.push_str(&match (failing, odd) {
            (0, 0) => "all is well\n".to_owned(),
            (0, _) => format!("it works; {odd} to look at\n"),
            _ => format!("{failing} to mend, {odd} to look at\n"),
        });
        text
    });
    Ok(failing == 0)
}

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

fn cpu() -> Finding {
    let (features, cores) = (cpu_features(), cores());
    let data = json!({ "name": cpu_name(), "cores": cores, "features": features });
    let fast = features
        .iter()
        .any(|feature| matches!(*feature, "avx2" | "neon" | "avx512f"));
    let detail = format!(
        "{}, {cores} cores, {}",
        cpu_name(),
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

fn memory() -> Finding {
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
            if free < FREE_BYTES_BAD {
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

fn open_files() -> Finding {
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

/// Loads every built-in embedder and puts one text or picture through it.
fn embedders() -> Vec<Finding> {
    let registry = embed::Registry::builtin();
    let picture = test_picture();
    let check = |name: &str| -> Finding {
        let started = Instant::now();
        let embedder = match registry.get(name, &Value::Null) {
            Ok(embedder) => embedder,
            Err(error) => {
                return Finding::new(Status::Fail, "embedder", format!("{name}: {error}"))
                    .mend("the program file is damaged; install it again");
            }
        };
        let input = if embedder.modalities().contains(&embed::Modality::Text) {
            Input::Text("a green apple")
        } else {
            Input::Image(&picture)
        };
        let batch = embedder.embed(&[input], Purpose::Query);
        let us = started.elapsed().as_micros() as u64;
        match batch.errors().first().and_then(Option::as_ref) {
            None => Finding::new(Status::Ok, "embedder", format!("{name} answers, first vector after {:.1} ms", us as f64 / 1000.0))
                .data(json!({ "model": name, "version": embedder.identity().version, "checksum": embedder.identity().checksum, "first_us": us })),
            Some(error) => Finding::new(Status::Fail, "embedder", format!("{name}: {error}")).mend("this is a fault of ours; please report it"),
        }
    };
    registry.names().into_iter().map(check).collect()
}

/// A BMP of 64 x 64 pixels: a green disc on light grey.
fn test_picture() -> Vec<u8> {
    const SIDE: u32 = 64;
    let bytes = SIDE * SIDE * 3;
    let mut out = b"BM".to_vec();
    for field in [54 + bytes, 0, 54, 40, SIDE, SIDE] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&24u16.to_le_bytes());
    for field in [0, bytes, 2835, 2835, 0, 0] {
        out.extend_from_slice(&u32::to_le_bytes(field));
    }
    for y in 0..SIDE {
        for x in 0..SIDE {
            let inside = (x as i32 - 32).pow(2) + (y as i32 - 32).pow(2) < 400;
            out.extend_from_slice(if inside {
                &[40, 160, 60]
            } else {
                &[240, 240, 240]
            });
        }
    }
    out
}

fn free_space(folder: &Path) -> Finding {
    // A folder that does not exist yet will lie on the file system of the nearest parent that does.
    let full = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let existing = full
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(Path::new("."));
    match rustix::fs::statvfs(existing) {
        Err(error) => Finding::new(
            Status::Warn,
            "disk",
            format!("{}: {error}", existing.display()),
        ),
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let detail = format!("{} free for {}", bytes_text(free), folder.display());
            let data = json!({ "free_bytes": free });
            let mend = "free some space, or choose a folder on another disk with --data; when it is full, writes answer 507 and reads go on";
            match free {
                0..FREE_BYTES_BAD => Finding::new(Status::Fail, "disk", detail).mend(mend),
                FREE_BYTES_BAD..FREE_BYTES_ODD => {
                    Finding::new(Status::Warn, "disk", detail).mend(mend)
                }
                _ => Finding::new(Status::Ok, "disk", detail),
            }
            .data(data)
        }
    }
}

/// Opens the data as the server would, unless a server has it open.
fn data_folder(folder: &Path) -> Vec<Finding> {
    let shown = folder.display();
    if !folder.exists() {
        return vec![Finding::new(
            Status::Ok,
            "data",
            format!("{shown} does not exist yet; `vecino serve` makes it"),
        )];
    }
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none()) {
        return vec![Finding::new(
            Status::Ok,
            "data",
            format!("{shown} is empty"),
        )];
    }
    let node = match Node::open(folder, NodeOptions::default()) {
        Ok(node) => node,
        Err(error) if is_locked(&error.to_string()) => {
            return vec![
                Finding::new(
                    Status::Ok,
                    "data",
                    format!("{shown} is in use by a running server"),
                )
                .mend("stop the server to have the data itself checked"),
            ];
        }
        Err(error) => {
            return vec![
                Finding::new(Status::Fail, "data", format!("{shown}: {error}"))
                    .mend("if the folder is right, restore it from a backup; keep a copy of what is there"),
            ];
        }
    };
    let started = Instant::now();
    while !node.is_ready() && started.elapsed().as_secs() < 600 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let problems = node.check();
    if !problems.is_empty() {
        return problems
            .into_iter()
            .map(|problem| {
                Finding::new(Status::Fail, "data", problem)
                    .mend("restore the folder from a backup; the rest of it is still served")
            })
            .collect();
    }
    let names = node.collections();
    let points: usize = names
        .iter()
        .filter_map(|name| node.collection(name).ok())
        .map(|collection| collection.info().points)
        .sum();
    let detail = format!(
        "{shown} is sound: {} collections, {} points",
        names.len(),
        grouped(points as u64)
    );
    vec![
        Finding::new(Status::Ok, "data", detail)
            .data(json!({ "collections": names, "points": points })),
    ]
}

/// Asks the server how it is, and what it has.
fn reachable(client: &Client) -> Vec<Finding> {
    let base = client.base();
    let started = Instant::now();
    match client.once(&get("/readyz")) {
        Err(error) => {
            let finding = Finding::new(
                Status::Warn,
                "server",
                format!("none answers at {base} ({error})"),
            );
            return vec![
                finding
                    .mend("start it with `vecino serve`, or name another with --url or VECINO_URL"),
            ];
        }
        Ok(reply) if reply.status != 200 => {
            return vec![Finding::new(
                Status::Warn,
                "server",
                format!(
                    "{base} answers {} to /readyz: it is still loading",
                    reply.status
                ),
            )];
        }
        Ok(_) => {}
    }
    let us = started.elapsed().as_micros() as u64;
    let list = match client.get("/collections") {
        Ok(list) => list,
        Err(failure) => {
            let words = failure.to_json();
            let text = |key: &str| {
                words
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            return vec![
                Finding::new(Status::Fail, "server", format!("{base}: {}", text("what")))
                    .mend(text("mend")),
            ];
        }
    };
    let names = list
        .get("collections")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let names: Vec<&str> = names
        .filter_map(|entry| entry.get("name")?.as_str())
        .collect();
    let ok = Finding::new(
        Status::Ok,
        "server",
        format!(
            "{base} is ready, answered in {:.1} ms; {} collections",
            us as f64 / 1000.0,
            names.len()
        ),
    );
    let mut findings = vec![ok.data(json!({ "url": base, "us": us, "collections": names }))];
    findings.extend(names.into_iter().map(|name| collection(client, name)));
    findings
}

fn collection(client: &Client, name: &str) -> Finding {
    let info = match client.get(&super::client::collection_path(name, "")) {
        Ok(info) => info,
        Err(failure) => {
            return Finding::new(
                Status::Fail,
                "collection",
                format!("{name}: {}", failure.to_json()["what"]),
            );
        }
    };
    let status = info
        .get("status")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    let points = info
        .get("points_count")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    let params = info.pointer("/config/params").cloned().unwrap_or_default();
    let vectors = vector_names(&params);
    let detail = format!(
        "{name}: {status}, {} points, vectors: {}",
        grouped(points),
        if vectors.is_empty() {
            "none".to_owned()
        } else {
            vectors.join(", ")
        }
    );
    let data = json!({ "name": name, "status": status, "points": points, "vectors": vectors });
    let finding = match status {
        "red" => Finding::new(Status::Fail, "collection", detail)
            .mend("look into the server's log for the reason"),
        _ => Finding::new(Status::Ok, "collection", detail),
    };
    finding.data(data)
}

fn vector_names(params: &Value) -> Vec<String> {
    let mut names = vec![];
    if let Some(vectors) = params.get("vectors").and_then(Value::as_object) {
        if vectors.contains_key("size") {
            names.push("(unnamed)".to_owned());
        } else {
            names.extend(vectors.keys().cloned());
        }
    }
    names.extend(
        params
            .get("sparse_vectors")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|sparse| sparse.keys().cloned()),
    );
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_listed() {
        for (params, names) in [
            (
                json!({"vectors": {"size": 3, "distance": "Dot"}}),
                vec!["(unnamed)"],
            ),
            (
                json!({"vectors": {"a": {"size": 3}}, "sparse_vectors": {"s": {}}}),
                vec!["a", "s"],
            ),
            (json!({}), vec![]),
        ] {
            assert_eq!(vector_names(&params), names);
        }
    }

    #[test]
    fn every_embedder_answers() {
        for finding in embedders() {
            assert_eq!(finding.status, Status::Ok, "{}", finding.detail);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_has_a_disk() {
        assert!(
            free_space(Path::new("/no/such/folder"))
                .data
                .get("free_bytes")
                .is_some()
        );
        assert_eq!(
            data_folder(Path::new("/no/such/folder"))[0].status,
            Status::Ok
        );
    }
}
