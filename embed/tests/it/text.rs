//! The built-in text embedders on SciFact: how well they find, how fast they are.

use std::sync::Arc;
use std::time::Instant;

use embed::{Embedder, Embedding, Input, OwnedInput, Purpose, QueueOptions, Registry};
use serde_json::Value;

use crate::retrieval::{self, Collection, Inverted};

fn builtin(name: &str) -> Arc<dyn Embedder> {
    Registry::builtin().get(name, &Value::Null).unwrap()
}

fn embed(embedder: &dyn Embedder, texts: &[String], purpose: Purpose) -> Vec<Embedding> {
    let inputs: Vec<Input<'_>> = texts.iter().map(|text| Input::Text(text)).collect();
    embedder
        .embed(&inputs, purpose)
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

fn scifact() -> Option<Collection> {
    retrieval::data("scifact").map(|folder| retrieval::beir(&folder, "test"))
}

#[test]
fn bm25_finds_on_scifact() {
    let Some(collection) = scifact() else { return };
    let embedder = builtin("vecino/bm25");
    let sparse = |texts, purpose| {
        let vectors = embed(&*embedder, texts, purpose).into_iter();
        vectors.map(|vector| match vector {
            Embedding::Sparse(vector) => vector,
            Embedding::Dense(_) => unreachable!(),
        })
    };
    let index =
        Inverted::new(&sparse(&collection.documents, Purpose::Document).collect::<Vec<_>>());
    let queries = sparse(&collection.queries, Purpose::Query).zip(&collection.relevant);
    let each: Vec<f64> = queries
        .map(|(query, relevant)| {
            retrieval::ndcg(&retrieval::top(&index.scores(&query), 10, true), relevant)
        })
        .collect();
    let ndcg = retrieval::mean(each.into_iter());
    println!("vecino/bm25, SciFact test: nDCG@10 {ndcg:.4}");
    assert!(ndcg >= 0.655, "{ndcg}");
}

#[test]
fn the_table_finds_on_scifact() {
    let Some(collection) = scifact() else { return };
    let embedder = builtin("vecino/text");
    let matrix = |texts: &[String], purpose| {
        let inputs: Vec<Input<'_>> = texts.iter().map(|text| Input::Text(text)).collect();
        embedder.embed(&inputs, purpose).matrix().unwrap().clone()
    };
    let documents = matrix(&collection.documents, Purpose::Document);
    let scores = matrix(&collection.queries, Purpose::Query).dot(&documents.t());
    let rows = scores.rows().into_iter().zip(&collection.relevant);
    let each: Vec<f64> = rows
        .map(|(row, relevant)| retrieval::ndcg(&retrieval::top(&row.to_vec(), 10, false), relevant))
        .collect();
    let ndcg = retrieval::mean(each.into_iter());
    println!("vecino/text, SciFact test: nDCG@10 {ndcg:.4}");
    assert!(ndcg >= TABLE_NDCG_MIN, "{ndcg}");
}

/// What the shipped table must reach.
const TABLE_NDCG_MIN: f64 = 0.50;

#[test]
fn through_the_queue_as_without_it() {
    let texts: Vec<String> = (0..500)
        .map(|i| format!("text number {} about apples and {}", i % 300, i * 7))
        .collect();
    for name in ["vecino/text", "vecino/bm25"] {
        let embedder = builtin(name);
        let direct = embed(&*embedder, &texts, Purpose::Document);
        let handle = embed::Handle::new(embedder, QueueOptions::default());
        let inputs: Vec<OwnedInput> = texts
            .iter()
            .map(|text| OwnedInput::from(text.as_str()))
            .collect();
        let queued: Vec<Embedding> = handle
            .embed_blocking(inputs, Purpose::Document)
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(direct, queued, "{name}");
    }
}

#[test]
fn meanings_are_near() {
    let embedder = builtin("vecino/text");
    let texts = [
        "a big dog",
        "large puppies",
        "stock market prices",
        "the share index fell",
    ]
    .map(str::to_owned);
    let vectors: Vec<Vec<f32>> = embed(&*embedder, &texts, Purpose::Document)
        .into_iter()
        .map(|vector| match vector {
            Embedding::Dense(vector) => vector,
            Embedding::Sparse(_) => unreachable!(),
        })
        .collect();
    let near = |a: usize, b: usize| {
        vectors[a]
            .iter()
            .zip(&vectors[b])
            .map(|(x, y)| x * y)
            .sum::<f32>()
    };
    assert!(
        near(0, 1) > near(0, 2) + 0.1,
        "{} {}",
        near(0, 1),
        near(0, 2)
    );
    assert!(
        near(2, 3) > near(1, 3) + 0.1,
        "{} {}",
        near(2, 3),
        near(1, 3)
    );
}

/// Printed, and held to a tenth of what an idle machine does.
#[test]
fn speed() {
    let texts: Vec<String> = (0..20_000)
        .map(|i| {
            format!(
                "A short description of item {i}: the red apple lies beside {} green pears",
                i % 17
            )
        })
        .collect();
    for (name, floor) in [("vecino/text", 5_000.0), ("vecino/bm25", 2_000.0)] {
        let started = Instant::now();
        let embedder = builtin(name);
        embed(&*embedder, &texts[..1], Purpose::Document);
        let first = started.elapsed();
        let started = Instant::now();
        for batch in texts.chunks(256) {
            embed(&*embedder, batch, Purpose::Document);
        }
        let per_second = texts.len() as f64 / started.elapsed().as_secs_f64();
        println!(
            "{name}: first vector after {first:?}, then {per_second:.0} texts of 13 words a second and core"
        );
        assert!(per_second >= floor, "{name}: {per_second}");
    }
}
