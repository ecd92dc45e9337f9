//! Tables and JSON of what was measured.

use std::fmt::Write as _;

use cluster::engine::Metric;
use datasets::truth::Truth;
use serde_json::{Value, json};

use super::measure::Measured;
use super::workload::Workload;
use crate::cli::output::{Paint, counted, grouped, table};

/// How a line through the socket is named.
pub const HTTP: &str = "HTTP";

/// One workload and everything measured on it.
pub struct Section {
    /// Rows and queries.
    pub workload: Workload,
    /// Exact answers.
    pub truth: Truth,
    /// Seconds that brute force took for all queries.
    pub truth_seconds: f64,
    /// Writing the rows, if they were written here.
    pub load: Option<LoadFigures>,
    /// Seconds from the last write until all segments were sealed.
    pub build_seconds: Option<f64>,
    /// Seconds from start until the server answered with these rows.
    pub restart_seconds: Option<f64>,
    /// What searches, segment by segment.
    pub structures: Vec<String>,
    /// The measurements.
    pub lines: Vec<Line>,
}

/// Writing rows.
pub struct LoadFigures {
    /// Rows written.
    pub rows: usize,
    /// Seconds it took.
    pub seconds: f64,
}

/// One measurement.
pub struct Line {
    way: &'static str,
    threads: u64,
    measured: Measured,
}

impl Line {
    /// Names what was measured.
    pub fn new(way: &'static str, threads: u64, measured: Measured) -> Self {
        Self {
            way,
            threads,
            measured,
        }
    }
}

impl Section {
    /// A section without measurements.
    pub fn new(workload: Workload, truth: Truth, truth_seconds: f64) -> Self {
        Self {
            workload,
            truth,
            truth_seconds,
            load: None,
            build_seconds: None,
            restart_seconds: None,
            structures: vec![],
            lines: vec![],
        }
    }

    fn to_json(&self) -> Value {
        let workload = &self.workload;
        let results = self.lines.iter().map(|line| {
            let m = &line.measured;
            json!({
                "way": line.way,
                "threads": line.threads,
                "recall": rounded(m.recall, 4),
                "qps": rounded(m.qps, 1),
                "p50_us": rounded(m.p50_us, 1),
                "p95_us": rounded(m.p95_us, 1),
                "p99_us": rounded(m.p99_us, 1),
                "queries_timed": m.timed,
                "queries_distinct": m.distinct,
            })
        });
        json!({
            "name": workload.name,
            "dataset": {
                "rows": workload.base.nrows(),
                "dim": workload.base.ncols(),
                "metric": metric_name(workload.metric),
                "queries": workload.queries.nrows(),
                "queries_from": workload.queries_from,
                "checksum": workload.checksum(),
                "seed": workload.seed,
            },
            "k": workload.k,
            "structures": self.structures,
            "truth_seconds": rounded(self.truth_seconds, 3),
            "load_seconds": self.load.as_ref().map(|load| rounded(load.seconds, 3)),
            "load_rows_per_second": self.load.as_ref().map(|load| rounded(load.rows as f64 / load.seconds.max(1e-9), 1)),
            "build_seconds": self.build_seconds.map(|seconds| rounded(seconds, 3)),
            "restart_seconds": self.restart_seconds.map(|seconds| rounded(seconds, 3)),
            "results": results.collect::<Vec<_>>(),
        })
    }

    fn to_text(&self, paint: Paint) -> String {
        let workload = &self.workload;
        let mut text = format!(
            "{}: {} x {}, {}, {} ({}), k {}\n",
            paint.bold(&workload.name),
            counted(workload.base.nrows() as u64, "row"),
            workload.base.ncols(),
            metric_name(workload.metric),
            match workload.queries.nrows() as u64 {
                1 => "1 query".to_owned(),
                count => format!("{} queries", grouped(count)),
            },
            workload.queries_from,
            workload.k
        );
        let _ = writeln!(text, "  searched by {}", self.structures.join(", "));
        let recall = format!("recall@{}", workload.k);
        let head = [
            "",
            "threads",
            recall.as_str(),
            "QPS",
            "p50 us",
            "p95 us",
            "p99 us",
        ];
        let rows: Vec<Vec<String>> = self
            .lines
            .iter()
            .map(|line| {
                let m = &line.measured;
                vec![
                    format!("  {}", line.way),
                    line.threads.to_string(),
                    format!("{:.4}", m.recall),
                    grouped(m.qps.round() as u64),
                    grouped(m.p50_us.round() as u64),
                    grouped(m.p95_us.round() as u64),
                    grouped(m.p99_us.round() as u64),
                ]
            })
            .collect();
        text.push_str(&table(
            &head,
            &rows,
            &[false, true, true, true, true, true, true],
        ));
        let mut facts = vec![];
        if let Some(load) = &self.load {
            facts.push(format!(
                "load {:.1} s ({} rows/s)",
                load.seconds,
                grouped((load.rows as f64 / load.seconds.max(1e-9)) as u64)
            ));
        }
        facts.extend(
            self.build_seconds
                .map(|seconds| format!("sealed {seconds:.1} s later")),
        );
        facts.push(format!("truth {:.1} s", self.truth_seconds));
        facts.extend(
            self.restart_seconds
                .map(|seconds| format!("restart to first answer {seconds:.2} s")),
        );
        facts.push(format!("checksum {}", workload.checksum()));
        facts.push(format!("seed {}", workload.seed));
        let _ = writeln!(text, "  {}", paint.faint(&facts.join(", ")));
        text
    }
}

/// For `--json`.
pub fn to_json(environment: &Value, sections: &[Section]) -> Value {
    json!({ "environment": environment, "workloads": sections.iter().map(Section::to_json).collect::<Vec<_>>() })
}

/// For people.
pub fn to_text(environment: &Value, sections: &[Section], paint: Paint) -> String {
    let mut text: String = sections
        .iter()
        .map(|section| section.to_text(paint) + "\n")
        .collect();
    let features = environment["features"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    let mut line = format!(
        "{}, {}, {}, {features}",
        environment["program"].as_str().unwrap_or_default(),
        environment["cpu"].as_str().unwrap_or_default(),
        counted(environment["cores"].as_u64().unwrap_or_default(), "core")
    );
    let mut lines = sections.iter().flat_map(|section| &section.lines);
    if lines.any(|line| line.way == HTTP) {
        line.push_str("; over HTTP, client and server share the cores");
    }
    text.push_str(&paint.faint(&line));
    text.push('\n');
    text
}

fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "cosine",
        Metric::Dot => "dot",
        Metric::L2 => "euclid",
        Metric::L1 => "manhattan",
        Metric::LInf => "chebyshev",
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
