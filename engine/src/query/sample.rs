//! Points chosen at random.

use super::execute::Candidate;
use crate::collection::Collection;

/// `k` points chosen at random, in random order (reservoir sampling, Vitter 1985, algorithm R).
pub(super) fn sample(
    collection: &Collection,
    all: impl Iterator<Item = Candidate>,
    k: usize,
) -> Vec<Candidate> {
    if k == 0 {
        return Vec::new();
    }
    let mut chosen: Vec<Candidate> = Vec::new();
    for (seen, candidate) in (1u64..).zip(all) {
        if chosen.len() < k {
            chosen.push(candidate);
        } else {
            let at = collection.env.random() % seen;
            if at < k as u64 {
                chosen[at as usize] = candidate;
            }
        }
    }
    for last in (1..chosen.len()).rev() {
        let at = collection.env.random() % (last as u64 + 1);
        chosen.swap(last, at as usize);
    }
    chosen
}
