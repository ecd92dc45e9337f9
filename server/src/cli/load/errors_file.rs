//! The rows that were left out, and why.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::cli::failure::{Failure, Result};

/// The file of rows that were left out: one JSON object a line with `source`, `id` if known, and `reason`. Made when the
/// first one comes.
pub(super) struct ErrorsFile {
    pub path: PathBuf,
    open: Mutex<Reasons>,
}

#[derive(Default)]
struct Reasons {
    count: u64,
    first: Option<String>,
    file: Option<BufWriter<File>>,
}

impl ErrorsFile {
    /// A file that does not exist yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            open: Mutex::default(),
        }
    }

    /// Adds a row that was left out.
    pub fn add(&self, source: &str, id: Option<&Value>, reason: &str) -> Result<()> {
        let line = match id {
            Some(id) => json!({ "source": source, "id": id, "reason": reason }),
            None => json!({ "source": source, "reason": reason }),
        };
        let mut reasons = self.lock();
        reasons.count += 1;
        reasons.first.get_or_insert_with(|| reason.to_owned());
        let write = |file: &mut Option<BufWriter<File>>| -> std::io::Result<()> {
            if file.is_none() {
                *file = Some(BufWriter::new(File::create(&self.path)?));
            }
            file.as_mut()
                .map_or(Ok(()), |file| writeln!(file, "{line}"))
        };
        write(&mut reasons.file).map_err(|error| self.failure(&error))
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    /// How many there were, and the first reason.
    pub fn finish(self) -> Result<(u64, Option<String>)> {
        let mut reasons = self.lock();
        if let Some(file) = &mut reasons.file {
            file.flush().map_err(|error| self.failure(&error))?;
        }
        Ok((reasons.count, reasons.first.take()))
    }

    fn failure(&self, error: &std::io::Error) -> Failure {
        Failure::new(format!("write the errors file: {error}"))
            .at(self.path.display().to_string())
            .mend("name another with --errors FILE")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reasons> {
        self.open
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_lines_of_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("errors.jsonl");
        let errors = ErrorsFile::new(&path);
        assert!(!path.exists());
        errors.add("a.csv line 3", None, "not \"JSON\"").unwrap();
        errors.add("b", Some(&json!(7)), "wrong dim").unwrap();
        assert_eq!(
            errors.finish().unwrap(),
            (2, Some("not \"JSON\"".to_owned()))
        );
        let lines: Vec<Value> = std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["reason"], "not \"JSON\"");
        assert_eq!(lines[1]["id"], 7);
    }
}
