//! `vecino sample`: about 200 drawn pictures with captions, to try things with.

use std::path::PathBuf;

use clap::Args;
use datasets::formats::{Progress, ProgressUnit};
use datasets::sample::SamplePicture;
use datasets::{ImageSource, Place, Row, RowError};
use serde_json::{Map, Value, json};

use super::client::{Client, ServerArgs};
use super::failure::{Failure, Result};
use super::load::{Creation, Loader, Rows, errors_file_default};
use super::output::Output;

/// Collection that the sample goes to.
const COLLECTION: &str = "sample";
/// Pictures in one request.
const BATCH_ROWS: usize = 32;

/// Where the sample goes.
#[derive(Args, Debug)]
pub struct SampleArgs {
    /// Write the pictures and a metadata.jsonl into this folder, instead of loading them.
    folder: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// Collection to load into.
    #[arg(long, short, default_value = COLLECTION)]
    collection: String,
    /// Which pictures: another number gives other ones.
    #[arg(long, default_value_t = datasets::sample::SEED)]
    seed: u64,
}

/// Runs the command. Returns whether every picture was taken.
///
/// # Errors
///
/// The folder cannot be written; the server does not answer or refuses.
pub fn run(args: &SampleArgs, output: Output) -> Result<bool> {
    if let Some(folder) = &args.folder {
        let pictures = datasets::sample::write_folder(folder, args.seed).map_err(|error| {
            Failure::new(format!("write the sample: {error}"))
                .at(folder.display().to_string())
                .mend("name a folder that you may write")
        })?;
        output.answer(&json!({ "folder": folder, "pictures": pictures }), |_| {
            format!(
                "{pictures} pictures in {0}; load them with `vecino load {0} --collection NAME`\n",
                folder.display()
            )
        });
        return Ok(true);
    }
    let loader = Loader {
        client: Client::connect(&args.server)?,
        collection: args.collection.clone(),
        creation: Creation::default(),
        // That of a folder of this name: see `vecino load --help`.
        id_prefix: "sample/".to_owned(),
        batch: BATCH_ROWS,
        connections: 2,
        errors: errors_file_default(&args.collection),
        limit: u64::MAX,
    };
    let mut rows = Pictures {
        pictures: datasets::sample::sample(args.seed),
        done: 0,
    };
    let report = loader.load(&mut rows)?;
    output.answer(&report.to_json(&args.collection, "sample"), |paint| {
        report.to_text(&args.collection, paint)
    });
    Ok(report.skipped == 0)
}

struct Pictures<I> {
    pictures: I,
    done: u64,
}

impl<I: Iterator<Item = SamplePicture>> Rows for Pictures<I> {
    fn next(&mut self) -> Option<Result<Row, RowError>> {
        let picture = self.pictures.next()?;
        self.done += 1;
        Some(Ok(row(picture)))
    }

    fn progress(&self) -> Progress {
        Progress {
            done: self.done,
            total: None,
            unit: ProgressUnit::Pictures,
        }
    }

    fn place(&self) -> Option<Place> {
        None
    }
}

fn row(picture: SamplePicture) -> Row {
    // As in the folder that `write_folder` makes: loading that is the same as this.
    let file = format!("{}/{}", picture.group, picture.name);
    let mut payload = Map::new();
    let fields = [
        ("file", file.clone()),
        ("label", picture.label.to_string()),
        ("group", picture.group.to_string()),
        ("color", picture.color.to_string()),
        ("caption", picture.caption.clone()),
    ];
    payload.extend(fields.map(|(key, value)| (key.to_owned(), Value::from(value))));
    Row {
        source: file,
        id: None,
        text: Some(picture.caption),
        image: Some(ImageSource::Bytes(picture.png)),
        vectors: vec![],
        payload,
    }
}
