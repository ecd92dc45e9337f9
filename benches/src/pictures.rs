//! Pictures: the class of the nearest one, words that find them, and how fast they are loaded.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use clap::Args;
use datasets::Row;
use datasets::formats::{OpenOptions, open};
use serde_json::{Map, Value, json};
use ureq::http::Method;

use crate::data::{self, Absent};
use crate::environment;
use crate::measure::median;
use crate::report::{Cell, Report, Table};
use crate::target::{Target, TargetArgs, TemporaryCollection};
use crate::upload::{CONNECTIONS, Uploaded, upload};

/// Pictures a second that loading must reach on two cores.
const RATE_MIN: f64 = 60.0;
/// Pictures of the set that the rate is told of.
const GROCERY_PICTURES: usize = 729;
/// The text that must find apples by their words.
const TEXT: &str = "green apple";
/// How many answers to the text are looked at, and how many of them must be apples.
const TEXT_K: usize = 10;
const APPLES_MIN: usize = 8;
const PICTURE_BYTES_MAX: u64 = 20 << 20;
/// A filter value in a query string: `{"must":[{"key":"split","match":{"value":"train"}}]}`.
const TRAIN_ONLY: &str = "%7B%22must%22%3A%5B%7B%22key%22%3A%22split%22%2C%22match%22%3A%7B%22value%22%3A%22train%22%7D%7D%5D%7D";

/// What to measure.
#[derive(Args, Debug)]
pub struct PicturesArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Sets of pictures, with folders `train` and `test`.
    #[arg(long, value_delimiter = ',', default_values_t = ["grocery".to_owned(), "caltech51".to_owned()])]
    sets: Vec<String>,
}

/// A picture that asks.
struct Asking {
    bytes: Vec<u8>,
    payload: Map<String, Value>,
}

/// Loads each set into a new collection and asks for the neighbours of its test pictures.
///
/// # Errors
///
/// All sets are absent; the server refuses.
pub fn run(args: &PicturesArgs) -> Result<Report> {
    let target = Target::open(&args.target)?;
    let settings = json!({ "server": target.place(), "k": 1, "connections": CONNECTIONS, "threads": environment::threads() });
    let mut report = Report::new("pictures", settings);
    let columns = &[
        "set",
        "field",
        "asked",
        "classes",
        "1-NN_accuracy",
        "mean_of_classes",
        "p50_ms",
    ];
    let mut classes = Table::new(
        "class of the nearest picture: test against train, by picture over HTTP",
        columns,
    );
    let columns = &["set", "pictures", "skipped", "seconds", "pictures/s"];
    let mut loads = Table::new("load, end to end, into a new collection", columns);
    let mut absent: Option<anyhow::Error> = None;
    for set in &args.sets {
        match measure(&target, set, &mut report, &mut loads, &mut classes) {
            Ok(()) => {}
            Err(error) if error.is::<Absent>() => {
                report.remark(format!("skipped: {error}"));
                absent.get_or_insert(error);
            }
            Err(error) => return Err(error.context(format!("measure {set}"))),
        }
    }
    match absent {
        Some(absent) if loads.is_empty() => Err(absent),
        _ => {
            report.table(loads);
            report.table(classes);
            Ok(report)
        }
    }
}

fn measure(
    target: &Target,
    set: &str,
    report: &mut Report,
    loads: &mut Table,
    classes: &mut Table,
) -> Result<()> {
    let folder = data::find(set)?;
    let mut rows = 0;
    // Counted and checked first, so that loading is not the first to read the files either way.
    for row in open(&folder, &OpenOptions::default())? {
        row?;
        rows += 1;
    }
    report.dataset(data::describe(set, &folder, rows)?);
    let collection = target.collection(set)?;
    let source = open(&folder, &OpenOptions::default())?;
    let loaded = upload(&collection, source.map(|row| row.map_err(Into::into)))?;
    loads.push(vec![
        set.into(),
        loaded.stored.into(),
        loaded.skipped.into(),
        Cell::Number(loaded.seconds, 2),
        Cell::Number(loaded.rate(), 1),
    ]);
    report.goal(
        format!("{set}: all pictures stored"),
        loaded.to_text(),
        loaded.stored == rows && loaded.skipped == 0,
    );
    if set == "grocery" {
        grocery(&collection, &loaded, report)?;
    }

    let asking = asking(&folder)?;
    let mut nearest = Vec::with_capacity(asking.len());
    let mut milliseconds = Vec::with_capacity(asking.len());
    let path = collection.path(&format!("/search?k=1&filter={TRAIN_ONLY}"));
    for picture in &asking {
        let started = std::time::Instant::now();
        let answer =
            collection
                .client()
                .send(Method::POST, &path, Some(("image/jpeg", &picture.bytes)))?;
        milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
        nearest.push(answer["points"][0]["payload"].clone());
    }
    milliseconds.sort_by(f64::total_cmp);
    for field in ["label", "coarse"] {
        if asking
            .iter()
            .any(|picture| !picture.payload.contains_key(field))
        {
            continue;
        }
        let Accuracy {
            of_all,
            of_classes,
            count,
        } = accuracy(&asking, &nearest, field);
        classes.push(vec![
            set.into(),
            field.into(),
            asking.len().into(),
            count.into(),
            Cell::Number(of_all, 4),
            Cell::Number(of_classes, 4),
            Cell::Number(median(&milliseconds), 2),
        ]);
    }
    Ok(())
}

/// The pictures of the split `test`.
fn asking(folder: &std::path::Path) -> Result<Vec<Asking>> {
    let is_test = |row: &Row| {
        row.payload
            .get("split")
            .is_some_and(|split| split == "test")
    };
    let mut asking = Vec::new();
    for row in open(folder, &OpenOptions::default())? {
        let row = row?;
        if let (true, Some(image)) = (is_test(&row), &row.image) {
            let bytes = image
                .read(PICTURE_BYTES_MAX)
                .with_context(|| format!("read {}", row.source))?;
            asking.push(Asking {
                bytes,
                payload: row.payload,
            });
        }
    }
    anyhow::ensure!(
        !asking.is_empty(),
        "{} has no pictures of the split test",
        folder.display()
    );
    Ok(asking)
}

struct Accuracy {
    /// Share of all pictures.
    of_all: f64,
    /// Mean over the classes of the share of each.
    of_classes: f64,
    count: usize,
}

/// How often the nearest picture has the same value in a payload field.
fn accuracy(asking: &[Asking], nearest: &[Value], field: &str) -> Accuracy {
    let mut by_class: HashMap<&str, [usize; 2]> = HashMap::new();
    for (picture, found) in asking.iter().zip(nearest) {
        let wanted = picture.payload[field].as_str().unwrap_or_default();
        let [right, asked] = by_class.entry(wanted).or_default();
        *right += usize::from(found[field].as_str() == Some(wanted));
        *asked += 1;
    }
    let right: usize = by_class.values().map(|[right, _]| right).sum();
    let shares: f64 = by_class
        .values()
        .map(|&[right, asked]| right as f64 / asked as f64)
        .sum();
    Accuracy {
        of_all: right as f64 / asking.len() as f64,
        of_classes: shares / by_class.len() as f64,
        count: by_class.len(),
    }
}

/// The goals that are told of this set: load rate, and apples found by words.
fn grocery(
    collection: &TemporaryCollection<'_>,
    loaded: &Uploaded,
    report: &mut Report,
) -> Result<()> {
    report.goal(
        format!("grocery: {GROCERY_PICTURES} pictures"),
        loaded.stored.to_string(),
        loaded.stored == GROCERY_PICTURES,
    );
    let got = format!("{:.1} on {} threads", loaded.rate(), environment::threads());
    report.goal(
        format!("grocery: >= {RATE_MIN} pictures/s"),
        got,
        loaded.rate() >= RATE_MIN,
    );

    let answer = collection.client().post(
        &collection.path("/search"),
        &json!({ "text": TEXT, "k": TEXT_K }),
    )?;
    let points = answer["points"]
        .as_array()
        .context("the answer has no points")?;
    let field =
        |point: &Value, name: &str| point["payload"][name].as_str().unwrap_or("?").to_owned();
    let apples = points
        .iter()
        .filter(|point| field(point, "coarse") == "Apple")
        .count();
    let mut labels: BTreeMap<String, usize> = BTreeMap::new();
    points
        .iter()
        .for_each(|point| *labels.entry(field(point, "label")).or_default() += 1);
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, count)| format!("{count} {label}"))
        .collect();
    let got = format!("{apples} ({})", labels.join(", "));
    report.goal(
        format!("grocery: \"{TEXT}\": >= {APPLES_MIN} of {TEXT_K} are apples"),
        got,
        apples >= APPLES_MIN,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_of_all_and_of_classes() {
        let asking: Vec<Asking> = ["a", "a", "a", "b"]
            .into_iter()
            .map(|label| Asking {
                bytes: Vec::new(),
                payload: [("label".to_owned(), label.into())].into_iter().collect(),
            })
            .collect();
        let nearest = ["a", "a", "b", "a"].map(|label| json!({ "label": label }));
        let Accuracy {
            of_all,
            of_classes,
            count,
        } = accuracy(&asking, &nearest, "label");
        assert_eq!((of_all, count), (0.5, 2));
        assert!((of_classes - 1.0 / 3.0).abs() < 1e-12);
    }
}
