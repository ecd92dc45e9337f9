//! SciFact: claims look for the abstracts that speak of them, by words, by meaning, and by fusions of both.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use datasets::Row;
use datasets::formats::{OpenOptions, open};
use serde_json::{Map, Value, json};

use crate::data;
use crate::ranking::{self, Judgements};
use crate::report::{Cell, Report, Table};
use crate::target::{Target, TargetArgs, TemporaryCollection};
use crate::upload::{CONNECTIONS, upload};

/// Answers asked for, and candidates of each list of a fusion.
const DEPTH: usize = 100;
/// Answers that nDCG looks at.
const JUDGED: usize = 10;
/// What BM25 alone must reach.
const SPARSE_MIN: f64 = 0.655;
/// What the text embedder alone must reach.
const DENSE_MIN: f64 = 0.50;

/// How to measure.
#[derive(Args, Debug)]
pub struct ScifactArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Which queries. Choose weights by those of `train` only.
    #[arg(long, value_enum, default_value_t = Split::Test)]
    split: Split,
    /// Weights of `text` and `bm25` in the weighted RRF. The default is the best of four pairs on the train queries.
    #[arg(long, value_name = "TEXT,BM25", default_value = "0.3,0.7", value_parser = weights)]
    weights: [f64; 2],
    /// The k of the weighted RRF.
    #[arg(long, default_value_t = 2.0)]
    weighted_k: f64,
}

/// Reads `0.3,0.7`.
fn weights(text: &str) -> Result<[f64; 2], String> {
    let numbers: Result<Vec<f64>, _> = text
        .split(',')
        .map(|number| number.trim().parse())
        .collect();
    let positive = |weights: &[f64; 2]| {
        weights
            .iter()
            .all(|weight| weight.is_finite() && *weight > 0.0)
    };
    numbers
        .ok()
        .and_then(|numbers| <[f64; 2]>::try_from(numbers).ok())
        .filter(positive)
        .ok_or_else(|| "give two positive numbers, as 0.3,0.7".to_owned())
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Split {
    Test,
    Train,
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Train => "train",
        }
    }
}

/// Documents are known by their place in the file.
struct Judged {
    documents: Vec<String>,
    queries: Vec<(String, Judgements)>,
}

/// A way to ask.
struct Way {
    name: String,
    path: &'static str,
    body: Box<dyn Fn(&str) -> Value>,
}

/// What a way gives.
struct Quality {
    ndcg: f64,
    recall: f64,
    ms: f64,
}

/// Loads the abstracts and asks every claim in every way.
///
/// # Errors
///
/// The data is absent or damaged; the server refuses.
pub fn run(args: &ScifactArgs) -> Result<Report> {
    let folder = data::find("scifact")?;
    let judged = read(&folder, args.split)?;
    let target = Target::open(&args.target)?;
    let settings = json!({
        "server": target.place(),
        "split": args.split.name(),
        "depth": DEPTH,
        "weighted_rrf": { "k": args.weighted_k, "text": args.weights[0], "bm25": args.weights[1] },
        "connections": CONNECTIONS,
    });
    let mut report = Report::new("scifact", settings);
    report.dataset(data::describe("scifact", &folder, judged.documents.len())?);

    let collection = target.collection("scifact")?;
    let loaded = upload(
        &collection,
        judged.documents.iter().map(|text| Ok(document(text))),
    )?;
    report.remark(format!(
        "{} documents loaded in {:.1} s, {:.0} a second; {} queries, one connection",
        loaded.stored,
        loaded.seconds,
        loaded.rate(),
        judged.queries.len()
    ));
    let complete = loaded.stored == judged.documents.len() && loaded.skipped == 0;
    report.goal("every document stored", loaded.to_text(), complete);

    let ways = ways(args);
    let qualities: Vec<Quality> = ways
        .iter()
        .map(|way| ask_all(&collection, &judged, way))
        .collect::<Result<_>>()?;
    let (sparse, dense, hybrid) = (&qualities[0], &qualities[1], &qualities[2]);
    let title = format!(
        "SciFact, {} queries, over HTTP: {} documents",
        args.split.name(),
        judged.documents.len()
    );
    let columns = &[
        "way",
        "nDCG@10",
        "recall@100",
        "mean_ms",
        "beats_both_parts",
    ];
    let mut table = Table::new(title, columns);
    for (way_idx, (way, quality)) in ways.iter().zip(&qualities).enumerate() {
        let beats = match quality.ndcg > sparse.ndcg.max(dense.ndcg) {
            _ if way_idx < 2 => Cell::Empty,
            true => "yes".into(),
            false => "no".into(),
        };
        table.push(vec![
            way.name.as_str().into(),
            Cell::Number(quality.ndcg, 4),
            Cell::Number(quality.recall, 4),
            Cell::Number(quality.ms, 2),
            beats,
        ]);
    }
    report.table(table);
    if let Split::Test = args.split {
        let of = |quality: &Quality| format!("{:.4}", quality.ndcg);
        report.goal(
            format!("BM25 alone: nDCG@10 >= {SPARSE_MIN}"),
            of(sparse),
            sparse.ndcg >= SPARSE_MIN,
        );
        report.goal(
            format!("text alone: nDCG@10 >= {DENSE_MIN}"),
            of(dense),
            dense.ndcg >= DENSE_MIN,
        );
        let best = sparse.ndcg.max(dense.ndcg);
        report.goal(
            "hybrid beats both its parts",
            format!("{} over {best:.4}", of(hybrid)),
            hybrid.ndcg > best,
        );
    }
    Ok(report)
}

fn document(text: &str) -> Row {
    Row {
        source: String::new(),
        id: None,
        text: Some(text.to_owned()),
        image: None,
        vectors: Vec::new(),
        payload: Map::new(),
    }
}

/// Parts first, then the default, then what `points/query` can fuse.
fn ways(args: &ScifactArgs) -> Vec<Way> {
    let search = |name: &str, mode: &'static str| Way {
        name: name.to_owned(),
        path: "/search",
        body: Box::new(
            move |text| json!({ "text": text, "k": DEPTH, "mode": mode, "with_payload": false }),
        ),
    };
    let fusion = |name: String, rule: Value| Way {
        name,
        path: "/points/query",
        body: Box::new(move |text| {
            let list =
                |using: &str| json!({ "query": { "text": text }, "using": using, "limit": DEPTH });
            json!({ "prefetch": [list("text"), list("bm25")], "query": rule, "limit": DEPTH })
        }),
    };
    let (k, weights) = (args.weighted_k, args.weights);
    let weighted = format!("RRF, k {k}, text {} bm25 {}", weights[0], weights[1]);
    vec![
        search("sparse: BM25 alone", "sparse"),
        search("dense: text alone", "dense"),
        search("hybrid: the default", "hybrid"),
        fusion("RRF, k 2".to_owned(), json!({ "fusion": "rrf" })),
        fusion("RRF, k 60".to_owned(), json!({ "rrf": { "k": 60 } })),
        fusion(weighted, json!({ "rrf": { "k": k, "weights": weights } })),
        fusion("DBSF".to_owned(), json!({ "fusion": "dbsf" })),
    ]
}

fn ask_all(collection: &TemporaryCollection<'_>, judged: &Judged, way: &Way) -> Result<Quality> {
    let path = collection.path(way.path);
    let (mut ndcg, mut recall) = (0.0, 0.0);
    let mut seconds = 0.0;
    for (query, relevant) in &judged.queries {
        let body = (way.body)(query);
        let started = Instant::now();
        let answer = collection.client().post(&path, &body)?;
        seconds += started.elapsed().as_secs_f64();
        let ranking = ranking(&answer)?;
        ndcg += ranking::ndcg(&ranking, relevant, JUDGED);
        recall += ranking::recall(&ranking, relevant, DEPTH);
    }
    let count = judged.queries.len() as f64;
    Ok(Quality {
        ndcg: ndcg / count,
        recall: recall / count,
        ms: seconds * 1e3 / count,
    })
}

fn ranking(answer: &Value) -> Result<Vec<usize>> {
    let points = answer["points"]
        .as_array()
        .context("the answer has no points")?;
    let id = |point: &Value| {
        let number = point["id"].as_u64().context("an id is no number")?;
        Ok(usize::try_from(number)?)
    };
    points.iter().map(id).collect()
}

/// Reads the layout of BEIR: documents as title and text, and the queries of a split that have judgements.
fn read(folder: &Path, split: Split) -> Result<Judged> {
    let corpus = texts(&folder.join("corpus.jsonl"))?;
    let place: HashMap<&str, usize> = corpus
        .iter()
        .enumerate()
        .map(|(place, (id, _))| (id.as_str(), place))
        .collect();
    let queries: HashMap<String, String> =
        texts(&folder.join("queries.jsonl"))?.into_iter().collect();
    let path = folder.join(format!("qrels/{}.tsv", split.name()));
    let lines =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut judged: Vec<(String, Judgements)> = Vec::new();
    let mut query_places: HashMap<&str, usize> = HashMap::new();
    for (line_idx, line) in lines.lines().enumerate().skip(1) {
        let context = || {
            format!(
                "{} line {}: no query, document and grade",
                path.display(),
                line_idx + 1
            )
        };
        let fields: Vec<&str> = line.trim().split('\t').collect();
        let &[query, document, grade] = fields.as_slice() else {
            return Err(anyhow::anyhow!(context()));
        };
        let document = *place.get(document).with_context(context)?;
        let text = queries.get(query).with_context(context)?;
        let query_idx = *query_places.entry(query).or_insert_with(|| {
            judged.push((text.clone(), Judgements::new()));
            judged.len() - 1
        });
        judged[query_idx]
            .1
            .insert(document, grade.parse().with_context(context)?);
    }
    ensure!(!judged.is_empty(), "{} holds no judgements", path.display());
    let documents = corpus.into_iter().map(|(_, text)| text).collect();
    Ok(Judged {
        documents,
        queries: judged,
    })
}

/// Id and `title text` of every row of a JSONL file, in its order.
fn texts(path: &Path) -> Result<Vec<(String, String)>> {
    let options = OpenOptions {
        text_fields: vec!["title".to_owned(), "text".to_owned()],
        ..OpenOptions::default()
    };
    let row = |row: Result<Row, _>| {
        let row = row.with_context(|| format!("read {}", path.display()))?;
        let id = row.id.map(|id| id.to_string()).context("a row has no id")?;
        Ok((id, row.text.unwrap_or_default()))
    };
    open(path, &options)?.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_two_positive_numbers() {
        assert_eq!(weights("0.3, 7"), Ok([0.3, 7.0]));
        for text in ["", "1", "1,2,3", "1,x", "0,1", "-1,1", "inf,1"] {
            assert!(weights(text).is_err(), "{text}");
        }
    }
}
