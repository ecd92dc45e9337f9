//! What an operator sees: metrics in Prometheus text, and structured logs.
//!
//! Written by hand instead of taken from a metrics crate: those keep samples until someone scrapes or a timer runs, and an idle
//! server has neither.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use cluster::Node;
use cluster::engine::{ErrorKind, ProcessMemory};
use parking_lot::Mutex;

/// Upper bounds of the latency buckets, in seconds: from a cached answer to a bulk load.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Durations of requests by route, method and status.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<Series, Histogram>>,
}

/// What requests are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// The route that matched, never the path.
    pub route: String,
    /// One of a few names.
    pub method: &'static str,
    /// The status answered.
    pub status: u16,
}

#[derive(Debug, Default)]
struct Histogram {
    /// One more than bounds: the last holds what is slower.
    counts: [u64; BUCKETS.len() + 1],
    sum_seconds: f64,
}

impl Metrics {
    /// Counts a request.
    pub fn observe(&self, series: Series, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS
            .iter()
            .position(|&bound| seconds <= bound)
            .unwrap_or(BUCKETS.len());
        let mut requests = self.requests.lock();
        let histogram = requests.entry(series).or_default();
        histogram.counts[bucket] += 1;
        histogram.sum_seconds += seconds;
    }

    /// All metrics in Prometheus text format. Reads the state of every collection: milliseconds.
    ///
    /// - `waiting`: inputs that wait to be embedded, of queries and of bulk.
    /// - `bodies_bytes`: memory that request bodies take.
    pub fn render(
        &self,
        waiting: (usize, usize),
        bodies_bytes: u64,
        node: Option<&Node>,
    ) -> String {
        let mut out = String::new();
        self.render_requests(&mut out);
        let (queries, bulk) = waiting;
        gauge(
            &mut out,
            "vecino_embed_waiting_inputs",
            "Inputs that wait to be embedded.",
            &[
                ("class=\"query\"", queries as f64),
                ("class=\"bulk\"", bulk as f64),
            ],
        );
        if let Some(process) = ProcessMemory::now() {
            gauge(
                &mut out,
                "vecino_process_resident_bytes",
                "Memory that the process holds.",
                &[("", process.resident as f64)],
            );
            gauge(
                &mut out,
                "vecino_process_anonymous_bytes",
                "Of it, heap and stacks.",
                &[("", process.anonymous as f64)],
            );
        }
        if let Some(node) = node {
            render_node(&mut out, node);
            render_usage(&mut out, bodies_bytes, node);
        }
        out
    }

    fn render_requests(&self, out: &mut String) {
        const NAME: &str = "vecino_http_request_duration_seconds";
        header(
            out,
            NAME,
            "histogram",
            "Time from a request's head to its answer.",
        );
        for (series, histogram) in &*self.requests.lock() {
            let Series {
                route,
                method,
                status,
            } = series;
            let labels = format!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
            let mut count = 0;
            for (at, bucket) in histogram.counts.iter().enumerate() {
                count += bucket;
                let bound = BUCKETS.get(at).map_or("+Inf".to_owned(), f64::to_string);
                line(
                    out,
                    &format!("{NAME}_bucket{{{labels},le=\"{bound}\"}}"),
                    count as f64,
                );
            }
            line(
                out,
                &format!("{NAME}_sum{{{labels}}}"),
                histogram.sum_seconds,
            );
            line(out, &format!("{NAME}_count{{{labels}}}"), count as f64);
        }
    }
}

fn render_node(out: &mut String, node: &Node) {
    let names = node.collections();
    let infos: Vec<_> = names
        .iter()
        .filter_map(|name| Some(node.collection(name).ok()?.info()))
        .collect();
    let sum = |f: &dyn Fn(&cluster::engine::CollectionInfo) -> usize| {
        infos.iter().map(f).sum::<usize>() as f64
    };
    gauge(
        out,
        "vecino_collections",
        "Collections on this node.",
        &[("", names.len() as f64)],
    );
    gauge(
        out,
        "vecino_points",
        "Live points of all loaded collections.",
        &[("", sum(&|info| info.points))],
    );
    gauge(
        out,
        "vecino_vectors",
        "Live vectors of all names.",
        &[("", sum(&|info| info.vectors.values().sum()))],
    );
    gauge(
        out,
        "vecino_segments",
        "Segments, growing ones included.",
        &[("", sum(&|info| info.segments.len()))],
    );
    let stats = node.storage_stats();
    let disk: Vec<_> = stats
        .disk_bytes
        .iter()
        .map(|(part, bytes)| (format!("part=\"{part}\""), *bytes as f64))
        .collect();
    let disk: Vec<_> = disk
        .iter()
        .map(|(labels, bytes)| (labels.as_str(), *bytes))
        .collect();
    gauge(
        out,
        "vecino_storage_disk_bytes",
        "Bytes on disk by part of the storage.",
        &disk,
    );
    let memory: usize = stats.memory_bytes.iter().map(|(_, bytes)| bytes).sum();
    gauge(
        out,
        "vecino_index_memory_bytes",
        "Vectors and search structures in memory.",
        &[("", memory as f64)],
    );
}

/// Bytes by part, the budget, and background work.
fn render_usage(out: &mut String, bodies_bytes: u64, node: &Node) {
    let mut usage = match node.usage() {
        Ok(usage) => usage,
        Err(error) => {
            tracing::warn!(%error, "usage is not told");
            return;
        }
    };
    usage.memory_bytes.add("bodies", bodies_bytes);
    let lists = [
        ("vecino_memory_bytes", "Heap by part.", &usage.memory_bytes),
        (
            "vecino_memory_mapped_bytes",
            "Mapped files by part, resident or not.",
            &usage.mapped_bytes,
        ),
        (
            "vecino_disk_bytes",
            "Files of the data folder by part.",
            &usage.disk_bytes,
        ),
    ];
    for (name, help, parts) in lists {
        let parts = parts.iter().map(|(part, bytes)| ("part", part, bytes));
        gauge_by(out, name, help, parts);
    }
    let budget = usage.budget;
    let shares = [
        ("block_cache", budget.shares.block_cache),
        ("bodies", budget.shares.bodies),
        ("collections", budget.shares.collections),
        ("growing", budget.shares.growing),
        ("memtables", budget.shares.memtables),
        ("payload_cache", budget.shares.payload_cache),
        ("program", budget.shares.program),
    ];
    let shares = shares.map(|(share, bytes)| ("share", share, bytes));
    let help = "The memory budget by share.";
    gauge_by(out, "vecino_memory_budget_bytes", help, shares.into_iter());
    let held = [
        ("builds", budget.builds),
        ("collections", budget.collections),
        ("growing", budget.growing),
    ];
    let held = held.map(|(purpose, bytes)| ("purpose", purpose, bytes));
    let help = "What is held of the memory budget.";
    gauge_by(out, "vecino_memory_held_bytes", help, held.into_iter());
    let pending = node.collections().into_iter().filter(|name| {
        let collection = node.collection(name);
        collection.is_ok_and(|collection| collection.progress().pending)
    });
    gauge(
        out,
        "vecino_background_pending_collections",
        "Collections with segments to seal, merge or build.",
        &[("", pending.count() as f64)],
    );
    gauge(
        out,
        "vecino_background_reclaim_steps",
        "Steps left to give back the disk of deleted collections.",
        &[("", usage.background.reclaim_steps as f64)],
    );
    let refused = node.ensure_writable().err().map(|error| error.kind());
    let reasons = [
        ("reason=\"damaged\"", ErrorKind::Corrupted),
        ("reason=\"disk_full\"", ErrorKind::StorageFull),
        ("reason=\"half_written\"", ErrorKind::Unavailable),
    ];
    let refused = reasons.map(|(labels, kind)| (labels, f64::from(refused == Some(kind))));
    gauge(
        out,
        "vecino_writes_refused",
        "1 if every write is refused now, by why; reads go on.",
        &refused,
    );
}

/// A gauge with one label.
fn gauge_by<'a>(
    out: &mut String,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (&'a str, &'a str, u64)>,
) {
    header(out, name, "gauge", help);
    for (label, value, bytes) in values {
        line(out, &format!("{name}{{{label}=\"{value}\"}}"), bytes as f64);
    }
}

fn header(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, series: &str, value: f64) {
    let _ = writeln!(out, "{series} {value}");
}

fn gauge(out: &mut String, name: &str, help: &str, values: &[(&str, f64)]) {
    header(out, name, "gauge", help);
    for (labels, value) in values {
        match *labels {
            "" => line(out, name, *value),
            labels => line(out, &format!("{name}{{{labels}}}"), *value),
        }
    }
}

/// Starts logging to standard error: `VECINO_LOG` says how much (default `info`), `VECINO_LOG_FORMAT=json` how. A second call
/// changes nothing.
pub fn init_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("VECINO_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A file or a journal shows the codes instead of the colours.
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_writer(std::io::stderr);
    let json = std::env::var("VECINO_LOG_FORMAT").is_ok_and(|format| format == "json");
    // An error means that a subscriber is there already, which is as well.
    let _ = if json {
        subscriber.json().try_init()
    } else {
        subscriber.try_init()
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up() {
        let metrics = Metrics::default();
        let series = |status| Series {
            route: "/collections/{collection}".into(),
            method: "GET",
            status,
        };
        metrics.observe(series(200), Duration::from_micros(600));
        metrics.observe(series(200), Duration::from_secs(60));
        metrics.observe(series(404), Duration::ZERO);
        let mut out = String::new();
        metrics.render_requests(&mut out);
        let labels = "route=\"/collections/{collection}\",method=\"GET\",status=\"200\"";
        let has = |line: &str| assert!(out.lines().any(|l| l == line), "{line} in\n{out}");
        has(&format!(
            "vecino_http_request_duration_seconds_bucket{{{labels},le=\"0.0005\"}} 0"
        ));
        has(&format!(
            "vecino_http_request_duration_seconds_bucket{{{labels},le=\"0.001\"}} 1"
        ));
        has(&format!(
            "vecino_http_request_duration_seconds_bucket{{{labels},le=\"10\"}} 1"
        ));
        has(&format!(
            "vecino_http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 2"
        ));
        has(&format!(
            "vecino_http_request_duration_seconds_count{{{labels}}} 2"
        ));
        assert_eq!(out.matches("# TYPE").count(), 1);
    }
}
