//! Rules that make one ranking of two.

use std::collections::HashMap;

/// A rule; `weight` is that of the table, BM25 has `1 - weight`.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// Sum of `weight / (k + rank)`, rank from 0 (Cormack et al., "Reciprocal rank fusion", SIGIR 2009).
    ReciprocalRank { k: f32, weight: f32 },
    /// Scores mapped so that mean - 3 sigma is 0 and mean + 3 sigma is 1; what a list does not have counts 0.
    Distribution { weight: f32 },
    /// Scores mapped so that a list's last is 0 and its first is 1.
    MinMax { weight: f32 },
    /// Scores minus mean, over sigma; what a list does not have counts as its last.
    Standard { weight: f32 },
    /// Scores over the list's first, from the least that is possible (0 for BM25, `floor` for a cosine); what a list does
    /// not have counts as its last (Bruch et al., "An analysis of fusion functions for hybrid retrieval", TOIS 2023).
    Theoretical { weight: f32, floor: f32 },
    /// BM25 over the most that the query's terms could score, and the cosine as it is: a query whose words are hardly
    /// found leans on the table. What a list does not have counts as its last.
    Coverage { weight: f32 },
}

impl Rule {
    /// All that are compared.
    pub fn candidates() -> Vec<Rule> {
        let mut rules = Vec::new();
        for step in 2..=18 {
            let weight = step as f32 / 20.0;
            rules.extend([2.0, 10.0, 20.0, 60.0].map(|k| Rule::ReciprocalRank { k, weight }));
            rules.extend([
                Rule::Distribution { weight },
                Rule::MinMax { weight },
                Rule::Standard { weight },
            ]);
            rules.extend([-1.0, -0.5, 0.0].map(|floor| Rule::Theoretical { weight, floor }));
            rules.push(Rule::Coverage { weight });
        }
        rules
    }

    /// Those whose figures are reported, the default of the server last.
    pub fn reported() -> Vec<Rule> {
        vec![
            Rule::ReciprocalRank {
                k: 2.0,
                weight: 0.5,
            },
            Rule::ReciprocalRank {
                k: 60.0,
                weight: 0.5,
            },
            Rule::ReciprocalRank {
                k: 2.0,
                weight: 0.35,
            },
            Rule::ReciprocalRank {
                k: 60.0,
                weight: 0.2,
            },
            Rule::Distribution { weight: 0.5 },
            Rule::Distribution { weight: 0.3 },
            Rule::MinMax { weight: 0.5 },
            Rule::MinMax { weight: 0.3 },
            Rule::Standard { weight: 0.4 },
            Rule::Coverage { weight: 0.4 },
            Rule::Theoretical {
                weight: 0.65,
                floor: -1.0,
            },
        ]
    }
}

/// Fuses two rankings, best first.
///
/// - `bound`: the most that BM25 could score for the query.
pub fn fuse(
    rule: Rule,
    bm25: &[(usize, f32)],
    bound: f32,
    text: &[(usize, f32)],
) -> Vec<(usize, f32)> {
    let (weight, by_bm25, by_text) = match rule {
        Rule::ReciprocalRank { k, weight } => (weight, reciprocal(bm25, k), reciprocal(text, k)),
        Rule::Distribution { weight } => {
            let map = |(mean, sigma): (f32, f32)| (mean - 3.0 * sigma, 6.0 * sigma);
            (
                weight,
                linear(bm25, map(moments(bm25)), 0.0),
                linear(text, map(moments(text)), 0.0),
            )
        }
        Rule::MinMax { weight } => (
            weight,
            linear(bm25, span(bm25), 0.0),
            linear(text, span(text), 0.0),
        ),
        Rule::Standard { weight } => {
            let (of_bm25, of_text) = (moments(bm25), moments(text));
            let last = |list: &[(usize, f32)], (mean, sigma): (f32, f32)| {
                (lowest(list) - mean) / sigma.max(1e-9)
            };
            (
                weight,
                linear(bm25, of_bm25, last(bm25, of_bm25)),
                linear(text, of_text, last(text, of_text)),
            )
        }
        Rule::Theoretical { weight, floor } => {
            let best = |list: &[(usize, f32)], floor: f32| {
                (floor, list.first().map_or(1.0, |best| best.1) - floor)
            };
            let (of_bm25, of_text) = (best(bm25, 0.0), best(text, floor));
            (
                weight,
                linear(bm25, of_bm25, last(bm25, of_bm25)),
                linear(text, of_text, last(text, of_text)),
            )
        }
        Rule::Coverage { weight } => {
            let (of_bm25, of_text) = ((0.0, bound), (0.0, 1.0));
            (
                weight,
                linear(bm25, of_bm25, last(bm25, of_bm25)),
                linear(text, of_text, last(text, of_text)),
            )
        }
    };
    let mut scores: HashMap<usize, f32> = HashMap::new();
    for &(document, _) in bm25.iter().chain(text) {
        scores.insert(
            document,
            (1.0 - weight) * by_bm25(document) + weight * by_text(document),
        );
    }
    let mut fused: Vec<(usize, f32)> = scores.into_iter().collect();
    fused.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    fused
}

type Scorer = Box<dyn Fn(usize) -> f32>;

fn reciprocal(list: &[(usize, f32)], k: f32) -> Scorer {
    let scores: HashMap<usize, f32> = list
        .iter()
        .enumerate()
        .map(|(rank, &(document, _))| (document, 1.0 / (k + rank as f32)))
        .collect();
    Box::new(move |document| scores.get(&document).copied().unwrap_or(0.0))
}

/// `(score - low) / width`, and `absent` for what the list does not have.
fn linear(list: &[(usize, f32)], (low, width): (f32, f32), absent: f32) -> Scorer {
    let map = |score: f32| {
        if width > 1e-9 {
            (score - low) / width
        } else {
            0.5
        }
    };
    let scores: HashMap<usize, f32> = list
        .iter()
        .map(|&(document, score)| (document, map(score)))
        .collect();
    Box::new(move |document| scores.get(&document).copied().unwrap_or(absent))
}

/// The mapped score of a list's last; of BM25's, that is nearly 0 if the list has all that score.
fn last(list: &[(usize, f32)], (low, width): (f32, f32)) -> f32 {
    if list.is_empty() {
        0.0
    } else {
        (lowest(list) - low) / width.max(1e-9)
    }
}

fn lowest(list: &[(usize, f32)]) -> f32 {
    list.last().map_or(0.0, |last| last.1)
}

/// Lowest score, and how far the highest is above it.
fn span(list: &[(usize, f32)]) -> (f32, f32) {
    (
        lowest(list),
        list.first().map_or(0.0, |best| best.1 - lowest(list)),
    )
}

fn moments(list: &[(usize, f32)]) -> (f32, f32) {
    let count = list.len().max(1) as f32;
    let mean = list.iter().map(|row| row.1).sum::<f32>() / count;
    let variance = list.iter().map(|row| (row.1 - mean).powi(2)).sum::<f32>() / count;
    (mean, variance.sqrt())
}
