//! The parts of a hybrid search: rankings by BM25 and by the table.

use std::io::Read;

use embed::text::{Bm25Embedder, Bm25Options, Table, TextEmbedder};
use embed::{Batch, Embedder, Embedding, Input, Purpose, SparseVector};
use rayon::prelude::*;

use crate::fusion::{Rule, fuse};
use crate::retrieval::{self, Collection, Inverted};

/// How many answers each part gives to the fusion: `VECINO_DEPTH`, else 100.
fn depth() -> usize {
    std::env::var("VECINO_DEPTH").map_or(100, |depth| {
        depth.parse().expect("VECINO_DEPTH is a number")
    })
}

/// What one part answers to each query, best first, with what is relevant.
pub struct Part {
    pub rankings: Vec<Vec<(usize, f32)>>,
    /// Of each query: the most that a document could score.
    bounds: Vec<f32>,
    relevant: Vec<std::collections::HashMap<usize, f64>>,
}

impl Part {
    pub fn ndcg(&self) -> f64 {
        let each = self.rankings.iter().zip(&self.relevant);
        retrieval::mean(each.map(|(ranking, relevant)| retrieval::ndcg(ranking, relevant)))
    }
}

/// A set of queries with both parts' answers.
pub struct Judged {
    pub name: &'static str,
    pub bm25: Part,
    pub text: Part,
}

impl Judged {
    pub fn new(name: &'static str, embedder: &Bm25Embedder, collection: Collection) -> Self {
        Judged {
            name,
            bm25: bm25(embedder, &collection),
            text: text(&collection),
        }
    }

    /// nDCG@10 of a rule.
    pub fn fused(&self, rule: Rule) -> f64 {
        let bm25 = self.bm25.rankings.iter().zip(&self.bm25.bounds);
        let fused = bm25
            .zip(&self.text.rankings)
            .map(|((bm25, &bound), text)| fuse(rule, bm25, bound, text));
        let each: Vec<f64> = fused
            .zip(&self.bm25.relevant)
            .map(|(ranking, relevant)| retrieval::ndcg(&ranking, relevant))
            .collect();
        retrieval::mean(each.into_iter())
    }
}

pub fn scifact(split: &str) -> Option<Collection> {
    retrieval::data("scifact").map(|folder| retrieval::beir(&folder, split))
}

/// The sets that fusion may be tuned on: SciFact's train queries, the same against titles alone (short texts), and one-word
/// queries against WordNet's definitions.
pub fn judge_train(name: &'static str) -> Option<Judged> {
    let mut collection = match name {
        "revdict" => revdict()?,
        _ => scifact("train")?,
    };
    if name == "scifact-titles" {
        let first = |text: &String| {
            text.split_inclusive(". ")
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        collection.documents = collection.documents.iter().map(first).collect();
    }
    let embedder =
        Bm25Embedder::new(Bm25Options::default()).expect("the defaults are within their ranges");
    Some(Judged::new(name, &embedder, collection))
}

/// 500 of the one-word queries, against all definitions.
fn revdict() -> Option<Collection> {
    let folder = retrieval::data("wordnet")?;
    let file = std::fs::File::open(folder.join("synsets.jsonl.gz")).expect("synsets");
    let mut lines = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut lines)
        .expect("gzip");
    let rows = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a row of JSON"));
    let field =
        |row: &serde_json::Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let (ids, documents): (Vec<_>, Vec<_>) = rows
        .map(|row| (field(&row, "id"), field(&row, "text")))
        .unzip();
    let mut collection = retrieval::judged(&folder.join("revdict"), "test", &ids, documents);
    collection.queries.truncate(500);
    collection.relevant.truncate(500);
    Some(collection)
}

fn embed(embedder: &dyn Embedder, texts: &[String], purpose: Purpose) -> Batch {
    let inputs: Vec<Input<'_>> = texts.iter().map(|text| Input::Text(text)).collect();
    embedder.embed(&inputs, purpose)
}

fn sparse(embedder: &dyn Embedder, texts: &[String], purpose: Purpose) -> Vec<SparseVector> {
    let answers = embed(embedder, texts, purpose).into_iter();
    let vectors = answers.map(|answer| match answer {
        Ok(Embedding::Sparse(vector)) => vector,
        _ => SparseVector::default(),
    });
    vectors.collect()
}

/// The ranking of BM25.
pub fn bm25(embedder: &Bm25Embedder, collection: &Collection) -> Part {
    let index = Inverted::new(&sparse(embedder, &collection.documents, Purpose::Document));
    let queries = sparse(embedder, &collection.queries, Purpose::Query);
    let rank = |query| retrieval::top(&index.scores(query), depth(), true);
    let rankings = queries.par_iter().map(rank).collect();
    let bounds = queries
        .iter()
        .map(|query| index.idf_sum(query) * (embedder.options().k + 1.0))
        .collect();
    Part {
        rankings,
        bounds,
        relevant: collection.relevant.clone(),
    }
}

/// The ranking of the table: the shipped one, or the file that `VECINO_TABLE` names.
pub fn text(collection: &Collection) -> Part {
    let embedder = match std::env::var_os("VECINO_TABLE") {
        None => TextEmbedder::builtin().expect("the shipped table is whole"),
        Some(path) => {
            let bytes = std::fs::read(path).expect("VECINO_TABLE names a file");
            TextEmbedder::new(Table::from_bytes(bytes).expect("a token table").into())
        }
    };
    let documents = embed(&embedder, &collection.documents, Purpose::Document);
    let documents = documents.matrix().expect("dense");
    let queries = embed(&embedder, &collection.queries, Purpose::Query);
    let queries = queries.matrix().expect("dense");
    let rank = |query: ndarray::ArrayView1<'_, f32>| {
        retrieval::top(&documents.dot(&query).to_vec(), depth(), false)
    };
    let rankings = queries.rows().into_iter().map(rank).collect();
    Part {
        rankings,
        bounds: vec![1.0; collection.queries.len()],
        relevant: collection.relevant.clone(),
    }
}
