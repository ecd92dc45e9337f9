//! `vecino load`: a folder or file becomes points of a collection.
//!
//! One thread reads and encodes rows, a few connections send batches of them; a row always takes the connection that its
//! id falls to, so that of two rows with one id the later one wins. Whatever is refused goes to the errors file.

mod create;
mod errors_file;
mod item;
mod report;
mod send;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use datasets::formats::{Format, OpenError, OpenOptions, Progress, Source};
use datasets::{Place, Row, RowError};
use serde_json::{Value, json};

use super::client::{Client, ServerArgs, collection_path};
use super::failure::{Failure, Result};
use super::output::{Meter, Output, counted, grouped, one_line};
use create::VectorChoice;
use errors_file::ErrorsFile;
use item::{Encoder, Item};
use send::Sender;

pub use create::{Creation, IndexName, MetricName};
pub use report::Report;

const IDS: &str = "\
Ids: a row keeps its own id: the field id or _id (or --id-field), or the word of a word vector. A row without one gets an id
derived from where it is, so that loading the same again adds nothing: of a file, from its full path (without .gz) and the number
of the row; of a folder of pictures, from the folder's own name and the picture's path in it; of a pipe, from the row's content.
--id-prefix TEXT stands in for the path of the file's folder, or for the folder's name: give the old one for data that has been
moved, and different ones to keep folders of the same name apart.";

/// What to load, and where to.
#[derive(Args, Debug)]
#[command(after_help = IDS)]
pub struct LoadArgs {
    /// Folder of pictures, a file (JSONL, CSV, TSV, NPY, fvecs, bvecs, ivecs, IDX, word vectors, lines; also .gz), or -
    /// for standard input.
    path: PathBuf,
    /// Collection to load into; made if it does not exist.
    #[arg(long, short)]
    collection: String,
    #[command(flatten)]
    server: ServerArgs,
    /// How to read: folder, jsonl, csv, tsv, npy, fvecs, bvecs, ivecs, idx, words, lines. Guessed if not given.
    #[arg(long)]
    format: Option<Format>,
    /// Columns that hold one number each and together are the vector, as r,g,b; a trailing * stands for all that begin so.
    #[arg(long, value_name = "A,B,..", value_delimiter = ',')]
    vector_columns: Vec<String>,
    /// Fields that are the text, joined.
    #[arg(long, value_name = "A,B,..", value_delimiter = ',')]
    text_fields: Vec<String>,
    /// Field that is the id.
    #[arg(long, value_name = "FIELD")]
    id_field: Option<String>,
    /// What the ids of rows without one derive from, in place of the path of the file's folder or the folder's name; see below.
    #[arg(long, value_name = "TEXT")]
    id_prefix: Option<String>,
    /// Field that is the picture: a path, base64 or a data URI.
    #[arg(long, value_name = "FIELD")]
    image_field: Option<String>,
    #[command(flatten)]
    vectors: VectorChoice,
    /// Most rows in one request.
    #[arg(long, value_name = "ROWS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    batch: u64,
    /// Requests in flight.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=32))]
    connections: u64,
    /// File for rows that could not be loaded, with reasons; made when there is one. Default COLLECTION.errors.jsonl.
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Stop after so many rows.
    #[arg(long, value_name = "ROWS")]
    limit: Option<u64>,
}

/// Runs the command. Returns whether every row was taken.
///
/// # Errors
///
/// The path cannot be read, the server does not answer, or it refuses everything.
pub fn run(args: &LoadArgs, output: Output) -> Result<bool> {
    let options = OpenOptions {
        format: args.format,
        id_field: args.id_field.clone(),
        text_fields: args.text_fields.clone(),
        vector_fields: args.vector_columns.clone(),
        image_field: args.image_field.clone(),
        ..OpenOptions::default()
    };
    let source = datasets::formats::open(&args.path, &options).map_err(unreadable)?;
    let format = source.format();
    let loader = Loader {
        client: Client::connect(&args.server)?,
        collection: args.collection.clone(),
        creation: Creation {
            choice: args.vectors.clone(),
            format: Some(format),
        },
        id_prefix: match &args.id_prefix {
            Some(prefix) => format!("{}/", prefix.trim_end_matches('/')),
            None => id_prefix(&args.path, format),
        },
        batch: args.batch as usize,
        connections: args.connections as usize,
        errors: args
            .errors
            .clone()
            .unwrap_or_else(|| errors_file_default(&args.collection)),
        limit: args.limit.unwrap_or(u64::MAX),
    };
    let report = loader.load(&mut Opened(source))?;
    output.answer(&report.to_json(&args.collection, format.name()), |paint| {
        report.to_text(&args.collection, paint)
    });
    Ok(report.skipped == 0)
}

/// `COLLECTION.errors.jsonl` in the current folder.
pub fn errors_file_default(collection: &str) -> PathBuf {
    let name: String = collection
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    PathBuf::from(format!("{name}.errors.jsonl"))
}

/// Why a path cannot be read as rows, and what to do.
fn unreadable(error: OpenError) -> Failure {
    let not_found =
        matches!(&error, OpenError::Io { error, .. } if error.kind() == ErrorKind::NotFound);
    let failure = Failure::new(error.to_string());
    match error {
        OpenError::Io { path, .. } if not_found => Failure::new("there is no such file or folder")
            .at(path.display().to_string())
            .mend("check the path: a folder of pictures or a file of rows is wanted"),
        OpenError::Io { path, .. } => failure
            .at(path.display().to_string())
            .mend("see whether you may read it"),
        OpenError::UnknownFormat { .. } => failure.mend("say what it is with --format"),
        OpenError::WrongKind { .. } => failure.mend("leave --format out, or give another"),
        _ => failure,
    }
}

/// What stands before a row's source in the text that its id is derived from. Of a folder, its own name: the folder may be moved, and
/// `1.jpg` of two folders are still two points. Of a file, whose name is in the source already, the full path of the folder it is
/// in: parts of a data set have the same names in each folder.
fn id_prefix(path: &Path, format: Format) -> String {
    if path == Path::new("-") {
        return String::new();
    }
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let prefix = match format {
        Format::Folder => full.file_name().map(Path::new),
        // A link to a file has another name than the file: the source holds the link's.
        _ => full.parent(),
    };
    prefix
        .map(|prefix| format!("{}/", prefix.display()))
        .unwrap_or_default()
}

/// If none of so many rows can be loaded, none of the rest will be.
const HOPELESS_ROWS: u64 = 100;

/// Rows from wherever they come.
pub trait Rows {
    /// The next row, or why there is none in this place.
    fn next(&mut self) -> Option<Result<Row, RowError>>;
    /// How far reading has come.
    fn progress(&self) -> Progress;
    /// Where the row read last stands, if that says more than its source.
    fn place(&self) -> Option<Place>;
}

struct Opened(Box<dyn Source>);

impl Rows for Opened {
    fn next(&mut self) -> Option<Result<Row, RowError>> {
        self.0.next()
    }

    fn progress(&self) -> Progress {
        self.0.progress()
    }

    fn place(&self) -> Option<Place> {
        self.0.place()
    }
}

/// Loads rows into one collection.
pub struct Loader {
    /// The server.
    pub client: Client,
    /// The collection's name.
    pub collection: String,
    /// How to make the collection if it does not exist.
    pub creation: Creation,
    /// Text before the source in derived ids.
    pub id_prefix: String,
    /// Most rows in a request.
    pub batch: usize,
    /// Requests in flight.
    pub connections: usize,
    /// Where reasons for left out rows go.
    pub errors: PathBuf,
    /// Most rows to read.
    pub limit: u64,
}

impl Loader {
    /// Loads all rows.
    ///
    /// # Errors
    ///
    /// The server does not answer or refuses the collection; no row can be loaded.
    pub fn load(&self, rows: &mut dyn Rows) -> Result<Report> {
        let mut work = Work {
            encoder: Encoder::new(&self.id_prefix),
            errors: ErrorsFile::new(&self.errors),
            report: Report::default(),
            meter: Meter::new(),
            limit: self.limit,
        };
        let exists = create::exists(&self.client, &self.collection)?;
        // The first row that can be loaded says what collection to make.
        let Some((row, item)) = work.first_item(rows)? else {
            return work.finish(0);
        };
        if !exists {
            self.creation.create(&self.client, &self.collection, &row)?;
            work.report.created = true;
        }
        let before = self.count()?;
        self.send_all(item, rows, &mut work)?;
        let after = self.count()?;
        work.finish(after.saturating_sub(before))
    }

    fn count(&self) -> Result<u64> {
        let path = collection_path(&self.collection, "/points/count");
        let answer =
            self.client
                .json(ureq::http::Method::POST, &path, &json!({ "exact": true }))?;
        Ok(answer.get("count").and_then(Value::as_u64).unwrap_or(0))
    }

    fn send_all(&self, first: Item, rows: &mut dyn Rows, work: &mut Work) -> Result<()> {
        let Work {
            encoder,
            errors,
            report,
            meter,
            limit,
        } = work;
        let errors = &*errors;
        std::thread::scope(|scope| {
            let mut sender = Sender::start(scope, self, errors);
            sender.push(first);
            while !sender.stopped()
                && report.read < *limit
                && let Some(row) = rows.next()
            {
                report.read += 1;
                match row {
                    Err(error) => {
                        errors.add(&error.place.to_string(), None, &error.fault.to_string())?
                    }
                    Ok(row) => match encoder.encode(&row, rows.place().as_ref()) {
                        Ok(item) => sender.push(item),
                        Err(refusal) => {
                            errors.add(&refusal.source, refusal.id.as_ref(), &refusal.reason)?
                        }
                    },
                }
                meter.tell(sender.taken(), errors.count(), rows.progress());
            }
            let outcome = sender.finish(|taken| meter.tell(taken, errors.count(), rows.progress()));
            report.taken = outcome.taken;
            match outcome.stop {
                Some(failure) if outcome.taken > 0 => Err(failure.mend(format!(
                    "{} stored; mend this and load again: nothing is stored twice",
                    counted(outcome.taken, "row")
                ))),
                Some(failure) => Err(failure),
                None => Ok(()),
            }
        })
    }
}

/// A load under way.
struct Work {
    encoder: Encoder,
    errors: ErrorsFile,
    report: Report,
    meter: Meter,
    /// Most rows to read.
    limit: u64,
}

impl Work {
    /// The first row that can be loaded, with its item; none if there is no such row.
    fn first_item(&mut self, rows: &mut dyn Rows) -> Result<Option<(Row, Item)>> {
        while self.report.read < self.limit && self.report.read < HOPELESS_ROWS {
            let Some(row) = rows.next() else { break };
            self.report.read += 1;
            match row {
                Err(error) => {
                    self.errors
                        .add(&error.place.to_string(), None, &error.fault.to_string())?
                }
                Ok(row) => match self.encoder.encode(&row, rows.place().as_ref()) {
                    Ok(item) => return Ok(Some((row, item))),
                    Err(refusal) => {
                        self.errors
                            .add(&refusal.source, refusal.id.as_ref(), &refusal.reason)?
                    }
                },
            }
        }
        Ok(None)
    }

    /// The report; a failure if nothing of what was read could be loaded.
    fn finish(mut self, added: u64) -> Result<Report> {
        self.report.added = added;
        self.report.seconds = self.meter.seconds();
        self.meter.finish();
        let path = self.errors.path.clone();
        let (skipped, first_reason) = self.errors.finish()?;
        if self.report.read > 0 && self.report.taken == 0 {
            let rows = match self.report.read {
                1 => "the only row cannot be loaded".to_owned(),
                rows => format!("none of the first {} rows can be loaded", grouped(rows)),
            };
            let failure = Failure::new(format!(
                "{rows}; the first because: {}",
                one_line(&first_reason.unwrap_or_default(), 400)
            ));
            return Err(failure.at(path.display().to_string()).mend("see all reasons in that file, and `vecino load --help` for how to read the rows otherwise"));
        }
        self.report.skipped = skipped;
        self.report.errors_file = (skipped > 0).then_some(path);
        let updated = self.report.taken.saturating_sub(added);
        if updated > 0 && self.encoder.derived_ids() {
            self.report.remarks.push(format!(
                "{} there already and now hold these rows; if they were other rows, tell them apart with --id-prefix (see `vecino load --help`)",
                counted(updated, "point")
            ));
        }
        self.report.remarks.extend(self.encoder.remarks());
        if self.report.read == 0 {
            self.report
                .remarks
                .push("there was no row to load".to_owned());
        }
        Ok(self.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_file_is_named_after_the_collection() {
        assert_eq!(errors_file_default("a b"), Path::new("a_b.errors.jsonl"));
    }

    #[test]
    fn ids_of_folders_carry_the_folders_name() {
        let folder = tempfile::tempdir().unwrap();
        let photos = folder.path().join("photos");
        std::fs::create_dir(&photos).unwrap();
        for path in [photos.clone(), photos.join("."), photos.join("../photos/")] {
            assert_eq!(
                id_prefix(&path, Format::Folder),
                "photos/",
                "{}",
                path.display()
            );
        }
        assert_eq!(id_prefix(Path::new("-"), Format::Csv), "");
    }

    /// Parts of the same name in two folders overwrote each other.
    #[test]
    fn ids_of_files_carry_the_full_path() {
        let folder = tempfile::tempdir().unwrap();
        let full = folder.path().canonicalize().unwrap();
        for name in ["a", "b"] {
            let inner = folder.path().join(name);
            std::fs::create_dir(&inner).unwrap();
            std::fs::write(inner.join("part.jsonl"), "{}").unwrap();
            let wanted = format!("{}/{name}/", full.display());
            for path in [
                inner.join("part.jsonl"),
                inner.join("../b/../a/../").join(name).join("part.jsonl"),
            ] {
                if path.exists() {
                    assert_eq!(id_prefix(&path, Format::Jsonl), wanted);
                }
            }
        }
    }
}
