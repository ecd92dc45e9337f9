//! The parts of a hybrid search: rankings by BM25 and by the table.

use std::io::Read;

use embed::text::{Bm25Embedder, Bm25Options, TextEmbedder};
use embed::{Batch, Embedder, Embedding, Input, Purpose, SparseVector};
use rayon::prelude::*;

use crate::fusion::{Rule, fuse};
use crate::retrieval::{self, Collection, Inverted};

/// How many answers each part gives to the fusion.
pub const DEPTH: usize = 100;

/// What one part answers to each query, best first, with what is relevant.
pub struct Part {
    pub rankings: Vec<Vec<(usize, f32)>>,
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
        let both = self.bm25.rankings.iter().zip(&self.text.rankings);
        let fused = both.map(|(bm25, text)| fuse(rule, bm25, text));
        let rankings = fused.collect();
        Part {
            rankings,
            relevant: self.bm25.relevant.clone(),
        }
        .ndcg()
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
    let rankings = queries
        .par_iter()
        .map(|query| retrieval::top(&index.scores(query), DEPTH, true))
        .collect();
    Part {
        rankings,
        relevant: collection.relevant.clone(),
    }
}

/// The ranking of the table.
pub fn text(collection: &Collection) -> Part {
    let embedder = TextEmbedder::builtin().expect("the shipped table is whole");
    let documents = embed(&embedder, &collection.documents, Purpose::Document);
    let documents = documents.matrix().expect("dense").t();
    let queries = embed(&embedder, &collection.queries, Purpose::Query);
    let queries = queries.matrix().expect("dense");
    let rank = |query: ndarray::ArrayView1<'_, f32>| {
        retrieval::top(&query.dot(&documents).to_vec(), DEPTH, false)
    };
    let rankings = queries.rows().into_iter().map(rank).collect();
    Part {
        rankings,
        relevant: collection.relevant.clone(),
    }
}
