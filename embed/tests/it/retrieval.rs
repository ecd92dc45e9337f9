//! A search collection in the layout of BEIR, and how well a ranking answers it. Shared with `examples/evaluate_text`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use embed::SparseVector;
use serde_json::Value;

/// How many answers are judged.
pub const JUDGED: usize = 10;

/// Documents, queries, and which documents answer which query.
pub struct Collection {
    pub documents: Vec<String>,
    pub queries: Vec<String>,
    /// Of each query: document and grade.
    pub relevant: Vec<HashMap<usize, f64>>,
}

/// Where data for tests lies, if it is there.
pub fn data(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("VECINO_DATA").map_or(beside, PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    println!(
        "skipped: {} is absent (VECINO_DATA names another folder)",
        path.display()
    );
    None
}

/// Reads `corpus.jsonl` (title and text), `queries.jsonl` and `qrels/{split}.tsv`; keeps the queries with judgements.
pub fn beir(folder: &Path, split: &str) -> Collection {
    let corpus = fs::read_to_string(folder.join("corpus.jsonl")).expect("corpus.jsonl");
    let whole = |row: &Value| format!("{} {}", text(row, "title"), text(row, "text"));
    let (ids, documents): (Vec<_>, Vec<_>) = rows(&corpus)
        .map(|row| (text(&row, "_id"), whole(&row)))
        .unzip();
    judged(folder, split, &ids, documents)
}

/// Adds to documents the queries of a folder with `queries.jsonl` and `qrels/{split}.tsv`.
pub fn judged(folder: &Path, split: &str, ids: &[String], documents: Vec<String>) -> Collection {
    let place: HashMap<&str, usize> = ids
        .iter()
        .enumerate()
        .map(|(i, id)| (id.as_str(), i))
        .collect();
    let queries = fs::read_to_string(folder.join("queries.jsonl")).expect("queries.jsonl");
    let texts: HashMap<String, String> = rows(&queries)
        .map(|row| (text(&row, "_id"), text(&row, "text")))
        .collect();

    let judgements =
        fs::read_to_string(folder.join(format!("qrels/{split}.tsv"))).expect("judgements");
    let mut collection = Collection {
        documents,
        queries: Vec::new(),
        relevant: Vec::new(),
    };
    let mut query_of: HashMap<&str, usize> = HashMap::new();
    for line in judgements.lines().skip(1) {
        let mut fields = line.split('\t');
        let mut field = || fields.next().expect("query, document and grade");
        let (query, document, grade) = (field(), field(), field());
        let i = *query_of.entry(query).or_insert_with(|| {
            collection.queries.push(texts[query].clone());
            collection.relevant.push(HashMap::new());
            collection.queries.len() - 1
        });
        collection.relevant[i].insert(place[document], grade.trim().parse().expect("a grade"));
    }
    collection
}

fn rows(lines: &str) -> impl Iterator<Item = Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("a row of JSON"))
}

fn text(row: &Value, key: &str) -> String {
    row[key].as_str().unwrap_or_default().to_owned()
}

/// The `k` largest scores, largest first, equal ones by place. Scores of 0 and less are left out if `positive`.
pub fn top(scores: &[f32], k: usize, positive: bool) -> Vec<(usize, f32)> {
    let mut order: Vec<usize> = (0..scores.len())
        .filter(|&i| !positive || scores[i] > 0.0)
        .collect();
    let better = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    if order.len() > k {
        order.select_nth_unstable_by(k, better);
        order.truncate(k);
    }
    order.sort_unstable_by(better);
    order.into_iter().map(|i| (i, scores[i])).collect()
}

/// nDCG@10 of one ranking: gain is the grade, discount is log2(rank + 1).
pub fn ndcg(ranking: &[(usize, f32)], relevant: &HashMap<usize, f64>) -> f64 {
    let discount = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
    let gain = |(rank, (document, _)): (usize, &(usize, f32))| {
        relevant.get(document).unwrap_or(&0.0) * discount(rank)
    };
    let got: f64 = ranking.iter().take(JUDGED).enumerate().map(gain).sum();
    let mut best: Vec<f64> = relevant.values().copied().collect();
    best.sort_by(|a, b| b.total_cmp(a));
    let ideal: f64 = best
        .iter()
        .take(JUDGED)
        .enumerate()
        .map(|(rank, grade)| grade * discount(rank))
        .sum();
    got / ideal
}

/// The mean over queries.
pub fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// An inverted index over sparse vectors, with the inverse document frequency `ln(1 + (N - df + 0.5) / (df + 0.5))`.
pub struct Inverted {
    documents: usize,
    lists: HashMap<u32, Vec<(u32, f32)>>,
}

impl Inverted {
    pub fn new(documents: &[SparseVector]) -> Self {
        let mut lists: HashMap<u32, Vec<(u32, f32)>> = HashMap::new();
        for (document, vector) in documents.iter().enumerate() {
            for (&index, &value) in vector.indices.iter().zip(&vector.values) {
                lists
                    .entry(index)
                    .or_default()
                    .push((document as u32, value));
            }
        }
        Inverted {
            documents: documents.len(),
            lists,
        }
    }

    fn idf(&self, index: u32) -> f32 {
        let (all, with) = (
            self.documents as f32,
            self.lists.get(&index).map_or(0, Vec::len) as f32,
        );
        (1.0 + (all - with + 0.5) / (with + 0.5)).ln()
    }

    /// The sum of the inverse document frequencies of a query's terms, those that occur nowhere included.
    #[allow(dead_code, reason = "only the example asks for it")]
    pub fn idf_sum(&self, query: &SparseVector) -> f32 {
        query.indices.iter().map(|&index| self.idf(index)).sum()
    }

    /// The score of every document; 0 where no term is shared.
    pub fn scores(&self, query: &SparseVector) -> Vec<f32> {
        let mut scores = vec![0.0; self.documents];
        for (index, &weight) in query.indices.iter().zip(&query.values) {
            let idf = self.idf(*index);
            for &(document, value) in self.lists.get(index).map_or(&[][..], Vec::as_slice) {
                scores[document as usize] += weight * idf * value;
            }
        }
        scores
    }
}
