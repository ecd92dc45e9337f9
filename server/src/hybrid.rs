//! How `search` merges what several vectors found: the one place that holds the rule and its weights.

use cluster::engine::query::Fusion;

/// Answers that each list brings to the fusion, unless more are asked for.
const CANDIDATES: usize = 100;

/// By which way a list of answers was found.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Way {
    /// Words by meaning: a dense vector of a text.
    Dense,
    /// Words as written: a sparse vector of a text.
    Sparse,
    /// Looks: a vector of a picture.
    Image,
}

impl Way {
    /// What a list counts in the weighted sum of scores, each list normalised from its worst to its best answer.
    ///
    /// Words as written weigh more than meaning. Chosen on SciFact's train queries and WordNet with
    /// `embed/examples/evaluate_text`; on SciFact's test queries it gives nDCG@10 0.705, equal weights 0.697.
    fn weight(self) -> f32 {
        match self {
            Self::Dense => 0.3,
            Self::Sparse => 0.7,
            Self::Image => 1.0,
        }
    }
}

/// The rule for lists found by these ways, in their order.
pub fn fusion(ways: &[Way]) -> Fusion {
    Fusion::MinMax {
        weights: ways.iter().map(|way| way.weight()).collect(),
    }
}

/// How many answers each list brings so that `wanted` can be given.
pub fn candidates(wanted: usize) -> usize {
    wanted.max(CANDIDATES)
}
