//! How well text is found, and by which rule two rankings become one.
//!
//! ```text
//! cargo run --release -p embed --example evaluate_text -- bm25      options of BM25, on SciFact's train queries
//! cargo run --release -p embed --example evaluate_text -- fusion    rules of fusion, on train queries and WordNet
//! cargo run --release -p embed --example evaluate_text -- test      the figures we report, on SciFact's test queries
//! ```
//!
//! `VECINO_TABLE` names another table than the shipped one. Data is read from `../shared/data` beside the workspace, or from the folder `VECINO_DATA`. Tune on the first two only.

mod fusion;
mod parts;
#[path = "../../tests/it/retrieval.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod retrieval;

use embed::text::{Bm25Embedder, Bm25Options};

use crate::fusion::Rule;
use crate::parts::Judged;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("bm25") => tune_bm25(),
        Some("fusion") => tune_fusion(),
        Some("test") => report(),
        _ => println!("say what to evaluate: bm25, fusion or test"),
    }
}

/// One line per set of options: each alone against the default, then a grid of k, b and the average length.
fn tune_bm25() {
    let Some(collection) = parts::scifact("train") else {
        return;
    };
    let mut changes: Vec<(String, serde_json::Value)> = vec![
        ("defaults".into(), serde_json::json!({})),
        (
            "no stop words".into(),
            serde_json::json!({"stopwords": "none"}),
        ),
        ("no stemmer".into(), serde_json::json!({"stemmer": "none"})),
        ("neither".into(), serde_json::json!({"language": "none"})),
    ];
    for k in [0.6, 0.9, 1.2, 1.5] {
        for b in [0.2, 0.4, 0.6, 0.75] {
            for avg_len in [64.0, 128.0, 256.0] {
                let options = serde_json::json!({"k": k, "b": b, "avg_len": avg_len});
                changes.push((options.to_string(), options));
            }
        }
    }
    for (name, options) in changes {
        let embedder = Bm25Embedder::from_options(&options).expect("options within their ranges");
        println!("{:.4}  {name}", parts::bm25(&embedder, &collection).ndcg());
    }
}

/// Both sets with every rule, best last.
fn tune_fusion() {
    let sets: Vec<Judged> = ["scifact", "scifact-titles", "revdict"]
        .into_iter()
        .filter_map(parts::judge_train)
        .collect();
    for set in &sets {
        println!(
            "{}: bm25 {:.4}, text {:.4}",
            set.name,
            set.bm25.ndcg(),
            set.text.ndcg()
        );
    }
    let mut lines: Vec<(f64, String)> = Rule::candidates()
        .into_iter()
        .map(|rule| {
            let each: Vec<f64> = sets.iter().map(|set| set.fused(rule)).collect();
            let gains = sets
                .iter()
                .zip(&each)
                .map(|(set, ndcg)| ndcg / set.bm25.ndcg().max(set.text.ndcg()));
            let mean = retrieval::mean(gains);
            let each: Vec<String> = each.iter().map(|ndcg| format!("{ndcg:.4}")).collect();
            (
                mean,
                format!("{}  gain {mean:.4}  {rule:?}", each.join(" ")),
            )
        })
        .collect();
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    lines.iter().for_each(|(_, line)| println!("{line}"));
}

/// The rules that are reported, on the queries that nothing was tuned on.
fn report() {
    let Some(collection) = parts::scifact("test") else {
        return;
    };
    let embedder =
        Bm25Embedder::new(Bm25Options::default()).expect("the defaults are within their ranges");
    let judged = Judged::new("SciFact test", &embedder, collection);
    println!(
        "bm25 {:.4}\ntext {:.4}",
        judged.bm25.ndcg(),
        judged.text.ndcg()
    );
    for rule in Rule::reported() {
        println!("{:.4}  {rule:?}", judged.fused(rule));
    }
}
