//! What a load did, as text and JSON.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::output::{Paint, counted, grouped};

/// What a load did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rows read, bad ones included.
    pub read: u64,
    /// Rows that the server has taken.
    pub taken: u64,
    /// Rows left out, with a line in the errors file each.
    pub skipped: u64,
    /// Points that the collection has more than before.
    pub added: u64,
    /// Seconds from the first row to the last answer.
    pub seconds: f64,
    /// Whether the collection was made.
    pub created: bool,
    /// Where the reasons are, if rows were left out.
    pub errors_file: Option<PathBuf>,
    /// Remarks about what was not stored.
    pub remarks: Vec<String>,
}

impl Report {
    /// For `--json`.
    pub fn to_json(&self, collection: &str, format: &str) -> Value {
        json!({
            "collection": collection,
            "created": self.created,
            "format": format,
            "rows_read": self.read,
            "rows_loaded": self.taken,
            "points_added": self.added,
            "points_updated": self.taken.saturating_sub(self.added),
            "rows_skipped": self.skipped,
            "seconds": (self.seconds * 1000.0).round() / 1000.0,
            "rows_per_second": (self.rate() * 10.0).round() / 10.0,
            "errors_file": self.errors_file,
            "remarks": self.remarks,
        })
    }

    /// For people.
    pub fn to_text(&self, collection: &str, paint: Paint) -> String {
        let mut text = format!(
            "{}: {} read, {} added, {} updated, {} skipped; {} rows/s, {:.1} s\n",
            paint.bold(collection),
            counted(self.read, "row"),
            counted(self.added, "point"),
            grouped(self.taken.saturating_sub(self.added)),
            grouped(self.skipped),
            grouped(self.rate().round() as u64),
            self.seconds
        );
        for remark in &self.remarks {
            text.push_str(&format!("note: {remark}\n"));
        }
        if let Some(file) = &self.errors_file {
            text.push_str(&paint.odd(&format!(
                "{} left out; the reasons are in {}\n",
                counted(self.skipped, "row"),
                file.display()
            )));
        }
        text
    }

    fn rate(&self) -> f64 {
        self.taken as f64 / self.seconds.max(1e-3)
    }
}
