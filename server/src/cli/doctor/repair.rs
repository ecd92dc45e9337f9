//! `vecino doctor --repair DIR`: mends the data folder that no server uses.

use std::path::Path;

use cluster::engine::{ErrorKind, OnLoss, RepairOutcome, RepairReport, repair};

use crate::cli::failure::{Failure, Result};
use crate::cli::output::{Output, Paint, counted};

/// Lines of a kind that are shown; the report on disk has all.
const SHOWN_MAX: usize = 20;

/// Repairs the data in `folder`. Returns whether it is sound now.
///
/// # Errors
///
/// A server uses it, there is no data, or too little is left of it.
pub(super) fn run(folder: &Path, on_loss: OnLoss, output: Output) -> Result<bool> {
    let report = repair(folder, on_loss).map_err(|error| {
        let failure = Failure::new(error.to_string()).at(folder.display().to_string());
        match error.kind() {
            ErrorKind::Unavailable => failure.mend("stop the server that uses this folder, then repair it"),
            ErrorKind::NotFound => failure.mend("name the data folder: the one of `vecino serve --data`"),
            ErrorKind::StorageFull => failure.mend("the disk is full, which damages nothing: make room on it, then repair again"),
            _ => failure.mend("restore the folder from a snapshot of the node, or its collections from their archives; keep a copy of what is there"),
        }
    })?;
    let answer = serde_json::to_value(&report).map_err(|error| Failure::new(error.to_string()))?;
    output.answer(&answer, |paint| to_text(&report, folder, paint));
    Ok(report.outcome != RepairOutcome::Asked && report.left.is_empty())
}

fn to_text(report: &RepairReport, folder: &Path, paint: Paint) -> String {
    let shown = folder.display();
    if report.outcome == RepairOutcome::Sound {
        return format!("{shown} is sound: nothing to repair\n");
    }
    let asked = report.outcome == RepairOutcome::Asked;
    let mut text = String::new();
    let mut list = |title: String, lines: &[String]| {
        if lines.is_empty() {
            return;
        }
        text.push_str(&format!("{title}\n"));
        for line in lines.iter().take(SHOWN_MAX) {
            text.push_str(&format!("  {line}\n"));
        }
        if lines.len() > SHOWN_MAX {
            let more = lines.len() - SHOWN_MAX;
            text.push_str(&format!("  and {more} more (--json tells all)\n"));
        }
    };
    let dropped: Vec<String> = report.dropped.iter().map(ToString::to_string).collect();
    let lost: Vec<String> = report.lost.iter().map(ToString::to_string).collect();
    let will = |done: &str, to_do: &str| {
        if asked {
            to_do.to_owned()
        } else {
            done.to_owned()
        }
    };
    list(will("built again:", "can be built again:"), &report.rebuilt);
    list(will("restored:", "can be restored:"), &report.restored);
    list(paint.bad("may be lost:"), &dropped);
    list(paint.bad("lost, and nowhere else:"), &lost);
    list(paint.bad("still wrong:"), &report.left);
    text.push_str(&match (asked, &report.kept) {
        (true, _) => format!(
            "nothing was changed: {} cannot be read. Restore a snapshot, or give up what is lost and have the rest served:\n  vecino doctor --repair {shown} --accept-loss\n",
            counted(lost.len() as u64, "thing")
        ),
        (false, Some(kept)) => format!("repaired; what was changed, as it was, and the report are in {}\n", kept.display()),
        (false, None) => "repaired\n".to_owned(),
    });
    text
}
