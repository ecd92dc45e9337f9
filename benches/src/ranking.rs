//! How well a ranking answers a query, by judgements of people.

use std::collections::HashMap;

/// Grade by document; what is not there was not judged relevant.
pub type Judgements = HashMap<usize, f64>;

/// nDCG@k: the gain is the grade, the discount log2(rank + 1), as trec_eval counts. 0 if nothing is relevant.
///
/// Paper: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.
pub fn ndcg(ranking: &[usize], relevant: &Judgements, k: usize) -> f64 {
    let discounted = |(rank, gain): (usize, f64)| gain / ((rank + 2) as f64).log2();
    let gain = |document: &usize| relevant.get(document).copied().unwrap_or(0.0);
    let got: f64 = ranking
        .iter()
        .take(k)
        .map(gain)
        .enumerate()
        .map(discounted)
        .sum();
    let mut best: Vec<f64> = relevant.values().copied().collect();
    best.sort_by(|a, b| b.total_cmp(a));
    let ideal: f64 = best.into_iter().take(k).enumerate().map(discounted).sum();
    if ideal > 0.0 { got / ideal } else { 0.0 }
}

/// Recall@k: the share of the relevant documents that are among the first `k`. 0 if nothing is relevant.
pub fn recall(ranking: &[usize], relevant: &Judgements, k: usize) -> f64 {
    let wanted = relevant.values().filter(|&&grade| grade > 0.0).count();
    let is_relevant = |document: &&usize| relevant.get(document).is_some_and(|&grade| grade > 0.0);
    let found = ranking.iter().take(k).filter(is_relevant).count();
    if wanted > 0 {
        found as f64 / wanted as f64
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let relevant: Judgements = [(3, 1.0), (5, 1.0)].into();
        let check = |ranking: &[usize], expected_ndcg: f64, expected_recall: f64| {
            assert!(
                (ndcg(ranking, &relevant, 3) - expected_ndcg).abs() < 1e-6,
                "{ranking:?}"
            );
            assert_eq!(
                recall(ranking, &relevant, 3),
                expected_recall,
                "{ranking:?}"
            );
        };
        check(&[3, 5, 1], 1.0, 1.0);
        check(&[5, 3], 1.0, 1.0);
        // (1/log2 3) / (1 + 1/log2 3)
        check(&[1, 3, 2, 5], 0.386_853, 0.5);
        check(&[], 0.0, 0.0);
        check(&[1, 2, 4, 3, 5], 0.0, 0.0);
        assert_eq!(ndcg(&[1], &Judgements::new(), 3), 0.0);
        assert_eq!(recall(&[1], &Judgements::new(), 3), 0.0);
    }
}
