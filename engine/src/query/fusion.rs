//! Several ranked lists into one.
//!
//! - **RRF**, reciprocal rank fusion (Cormack, Clarke, Buettcher 2009): ranks count, scores do not.
//! - **DBSF**, distribution-based score fusion: scores of each list moved to a common scale by its mean and deviation.
//! - **Min-max**: scores of each list stretched from 0 (its worst) to 1 (its best).
//!
//! The first two follow the API dialect to the digit, weights of RRF included: a weight divides the *rank*, so a list of weight 2
//! is read half as fast.

use std::collections::HashMap;

use super::Fusion;
use crate::error::{Error, Result};
use crate::point::PointId;

/// One list to fuse.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FusionList {
    /// Ids, each once, and their scores; best first.
    pub scores: Vec<(PointId, f32)>,
    /// False if the scores are distances.
    pub higher_is_better: bool,
}

impl Fusion {
    /// Checks the parameters for a fusion of so many lists.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is not one weight per list (or none at all), a weight is negative or not finite, or RRF's `k` is less than 1.
    pub fn validate(&self, lists: usize) -> Result<()> {
        let weights = match self {
            Self::Rrf { k, .. } if !(k.is_finite() && *k >= 1.0) => {
                return Err(Error::invalid(format!("rrf: k is {k}; give 1 or more")));
            }
            Self::Rrf { weights, .. } | Self::MinMax { weights } => weights,
            Self::Dbsf => return Ok(()),
        };
        if !weights.is_empty() && weights.len() != lists {
            return Err(Error::invalid(format!(
                "fusion: {} weights for {lists} prefetched lists; give one per list, or none",
                weights.len()
            )));
        }
        match weights
            .iter()
            .find(|weight| !(weight.is_finite() && **weight >= 0.0))
        {
            Some(weight) => Err(Error::invalid(format!(
                "fusion: the weight {weight} is not a number from 0 up"
            ))),
            None => Ok(()),
        }
    }
}

/// Fuses the lists into one of all their ids, best first; higher scores are better, equal ones are ordered by id.
///
/// Scores are finite whatever goes in. With parameters that [`Fusion::validate`] refuses: a `k` below 1 counts as 1, a negative or
/// non-finite weight as 0, a missing one as 1. Time O(n log n) for n entries in all, space O(n).
pub fn fuse(fusion: &Fusion, lists: &[FusionList]) -> Vec<(PointId, f32)> {
    let mut totals: HashMap<&PointId, f64> = HashMap::new();
    for (position, list) in lists.iter().enumerate() {
        let parts = match fusion {
            Fusion::Rrf { k, weights } => {
                reciprocal_ranks(list.scores.len(), *k, weight(weights, position))
            }
            Fusion::Dbsf => by_deviation(&oriented(list)),
            Fusion::MinMax { weights } => by_extremes(&oriented(list), weight(weights, position)),
        };
        for ((id, _), part) in list.scores.iter().zip(parts) {
            *totals.entry(id).or_default() += part;
        }
    }
    let mut fused: Vec<(PointId, f32)> = totals
        .into_iter()
        .map(|(id, total)| (id.clone(), to_f32(total)))
        .collect();
    fused.sort_unstable_by(|(id_a, a), (id_b, b)| b.total_cmp(a).then_with(|| id_a.cmp(id_b)));
    fused
}

fn weight(weights: &[f32], position: usize) -> f64 {
    match weights.get(position) {
        Some(weight) if weight.is_finite() => f64::from(weight.max(0.0)),
        Some(_) => 0.0,
        None => 1.0,
    }
}

/// 1 / (k + rank) for weight 1, rank counted from 0; else the count from 1 is divided by the weight first.
fn reciprocal_ranks(len: usize, k: f32, weight: f64) -> Vec<f64> {
    let k = f64::from(k.max(1.0));
    let score = |count: usize| {
        if weight > 0.0 {
            1.0 / (count as f64 / weight + k - 1.0)
        } else {
            0.0
        }
    };
    (1..=len).map(score).collect()
}

/// Scores as higher-is-better and finite; NaN becomes the worst.
fn oriented(list: &FusionList) -> Vec<f64> {
    let sign = if list.higher_is_better { 1.0 } else { -1.0 };
    let orient = |score: f32| {
        if score.is_nan() {
            f32::MIN
        } else {
            (sign * score).clamp(f32::MIN, f32::MAX)
        }
    };
    list.scores
        .iter()
        .map(|&(_, score)| f64::from(orient(score)))
        .collect()
}

/// From 0 at mean - 3 sigma to 1 at mean + 3 sigma, sigma the sample's; 0.5 for all where there is no deviation.
fn by_deviation(scores: &[f64]) -> Vec<f64> {
    let count = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / count;
    let variance = scores
        .iter()
        .map(|score| (score - mean).powi(2))
        .sum::<f64>()
        / (count - 1.0);
    let sigma = variance.sqrt();
    let spread = extremes(scores).is_some_and(|(worst, best)| best > worst) && sigma > 0.0;
    let place = |&score: &f64| {
        if spread {
            0.5 + (score - mean) / (6.0 * sigma)
        } else {
            0.5
        }
    };
    scores.iter().map(place).collect()
}

/// From 0 for the worst to `weight` for the best; `weight` for all where they are equal.
fn by_extremes(scores: &[f64], weight: f64) -> Vec<f64> {
    let Some((worst, best)) = extremes(scores) else {
        return Vec::new();
    };
    let place = |&score: &f64| {
        if best > worst {
            weight * (score - worst) / (best - worst)
        } else {
            weight
        }
    };
    scores.iter().map(place).collect()
}

/// Smallest and largest; `None` for an empty list.
fn extremes(scores: &[f64]) -> Option<(f64, f64)> {
    scores
        .iter()
        .map(|&score| (score, score))
        .reduce(|(low, high), (score, _)| (low.min(score), high.max(score)))
}

/// Rounded to f32 without overflow to infinity; 0 without sign.
fn to_f32(total: f64) -> f32 {
    total.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32 + 0.0
}

#[cfg(test)]
mod tests;
