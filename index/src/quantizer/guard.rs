//! Learns a coding from rows, and measures whether its codes order them well enough.

use rayon::prelude::*;

use super::affine::{self, Affine};
use super::{Bits, Coding, Encoding, Float, Quantizer, Rotation, RowSource, read_row, stored};
use crate::codes::scan_codes;
use crate::random::Random;
use crate::{Metric, Offset, Rows, SearchParams, Stats, scan};

/// What to learn.
#[derive(Copy, Clone, Debug)]
pub struct TrainParams {
    /// The quantizer wanted.
    pub encoding: Encoding,
    /// By what rows are compared: L2, cosine or dot.
    pub metric: Metric,
    /// Equal seeds and rows make equal codings.
    pub seed: u64,
    /// Whether codes that order badly are replaced.
    pub guard: Guard,
}

impl TrainParams {
    /// The default codes, replaced where they order badly.
    pub fn new(metric: Metric) -> Self {
        Self {
            encoding: Encoding::default(),
            metric,
            seed: 1,
            guard: Guard::Replace,
        }
    }
}

/// What to do with codes that order rows badly.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Rotate, then take wider codes; for `F16`, wider ones. For `Binary` and `Sq4`, which whoever asks for them knows to be coarse, rotate only.
    Replace,
    /// Keep what was asked for: estimates of recall take it for good.
    Keep,
}

/// The exact nearest that are looked for in the order of codes.
const K: usize = 10;
/// The share of the exact nearest that the re-ranked ones must hold.
const SHARE_MIN: f64 = 0.99;
/// Rows and queries of the measurement: about 50 ms at 384 components.
const SAMPLE_ROWS: usize = 16_384;
const SAMPLE_QUERIES: usize = 64;
/// Rows that are more than so many times as long as the median are giants.
const GIANT: f32 = 4.0;
/// Components from which quantiles and means are taken.
const SAMPLE_VALUES: usize = 200_000;

/// Learns a coding from rows, of unit length if the metric is cosine.
///
/// One range of values serves all dimensions, so a few dimensions that reach farther than the others leave these with few
/// levels. Hence the guard: on a sample of the rows it takes the share of the exact 10 nearest that the order of the codes
/// has among those it would re-rank ([`Encoding::rerank`]). Below 0.99 the rows are rotated at random first; if that does
/// not mend it, half precision is taken, and the numbers themselves in the end: at once, if half precision was asked for.
///
/// # Panics
///
/// If the metric is none of L2, cosine and dot, or there are more than 65,536 components.
pub fn train(rows: &dyn RowSource, params: &TrainParams) -> Coding {
    assert!(
        matches!(params.metric, Metric::L2 | Metric::Cosine | Metric::Dot),
        "no codes for {}",
        params.metric
    );
    assert!(
        (1..=stored::DIM_MAX).contains(&rows.dim()),
        "no codes of dim {}",
        rows.dim()
    );
    let sample = Sample::of(rows, params.seed);
    let plain = sample.learn(params.metric, params.encoding, None);
    let is_kept = params.guard == Guard::Keep || params.encoding == Encoding::F32;
    if is_kept || sample.rows.len() < 2 * params.encoding.rerank(K) {
        return plain;
    }
    let plain_share = sample.share(&plain);
    if plain_share >= SHARE_MIN {
        return plain;
    }
    if params.encoding == Encoding::F16 {
        return sample.learn(params.metric, Encoding::F32, None);
    }
    let rotation = Rotation::new(params.seed, rows.dim());
    let rotated = sample.learn(params.metric, params.encoding, Some(rotation));
    let rotated_share = sample.share(&rotated);
    if rotated_share >= SHARE_MIN {
        return rotated;
    }
    if params.encoding == Encoding::Sq8 {
        let half = sample.learn(params.metric, Encoding::F16, None);
        return if sample.share(&half) >= SHARE_MIN {
            half
        } else {
            sample.learn(params.metric, Encoding::F32, None)
        };
    }
    if rotated_share > plain_share {
        rotated
    } else {
        plain
    }
}

/// Whether the codes of a coding that was learned from other rows order these well enough.
pub(crate) fn suits(coding: &Coding, rows: &dyn RowSource, seed: u64) -> bool {
    if coding.encoding().is_coarse() {
        return true;
    }
    let sample = Sample::of(rows, seed);
    sample.rows.len() < 2 * coding.encoding().rerank(K) || sample.share(coding) >= SHARE_MIN
}

/// Rows of the sample, in random order.
struct Sample {
    rows: Rows,
    norm_max: f32,
}

impl Sample {
    fn of(rows: &dyn RowSource, seed: u64) -> Self {
        let chosen = Random::new(seed).sample(rows.len(), SAMPLE_ROWS);
        let dim = rows.dim();
        let mut values = vec![0.0; chosen.len() * dim];
        for (vector, &offset) in values.chunks_exact_mut(dim).zip(&chosen) {
            read_row(rows, offset, vector);
        }
        let norm = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        let mut norms: Vec<f32> = values.chunks_exact(dim).map(norm).collect();
        norms.sort_unstable_by(f32::total_cmp);
        // Products with longer rows are told apart, too, but giants would hide the differences of all others.
        let at = |share: f64| norms.get((norms.len() as f64 * share) as usize).copied();
        let norm_max = at(0.999).map_or(1.0, |most| most.min(GIANT * at(0.5).unwrap_or(most)));
        let norm_max = norm_max.clamp(0.0, 1e18);
        Self {
            rows: Rows::new(dim, values),
            norm_max,
        }
    }

    /// A coding with the numbers of this sample.
    fn learn(&self, metric: Metric, encoding: Encoding, rotation: Option<Rotation>) -> Coding {
        let dim = self.rows.dim();
        let norm_max = if metric == Metric::Cosine {
            1.0
        } else {
            self.norm_max
        };
        let affine = |bits: affine::Bits| -> Box<dyn Quantizer> {
            let range = self.range(bits.cut(), rotation.as_ref());
            Box::new(Affine::between(metric, dim, bits, range, norm_max))
        };
        let float = |half| -> Box<dyn Quantizer> {
            Box::new(Float {
                metric,
                dim,
                half,
                norm_max,
            })
        };
        let quantizer = match encoding {
            Encoding::Sq8 => affine(affine::Bits::Eight),
            Encoding::Sq4 => affine(affine::Bits::Four),
            Encoding::F16 => float(true),
            Encoding::F32 => float(false),
            Encoding::Binary => Box::new(Bits {
                means: self.means(rotation.as_ref()),
            }),
        };
        Coding {
            metric,
            rotation,
            quantizer,
        }
    }

    /// Some rows of the sample, as they are coded.
    fn vectors(&self, rotation: Option<&Rotation>) -> Vec<f32> {
        let dim = self.rows.dim();
        let count = (SAMPLE_VALUES / dim).clamp(1, self.rows.len().max(1));
        let step = self.rows.len().div_ceil(count).max(1);
        let chosen = self.rows.as_slice().chunks_exact(dim).step_by(step);
        match rotation {
            None => chosen.flatten().copied().collect(),
            Some(rotation) => chosen.flat_map(|row| rotation.rotated(row)).collect(),
        }
    }

    /// The ends between which nearly all components lie.
    fn range(&self, cut: f64, rotation: Option<&Rotation>) -> [f32; 2] {
        let mut values = self.vectors(rotation);
        values.retain(|x| x.is_finite());
        if values.is_empty() {
            return [0.0, 1.0];
        }
        let at = ((values.len() as f64 * cut) as usize).min(values.len() - 1);
        let last = values.len() - 1 - at;
        let low = *values.select_nth_unstable_by(at, f32::total_cmp).1;
        let high = *values.select_nth_unstable_by(last, f32::total_cmp).1;
        [low.max(-1e18), high.min(1e18)]
    }

    fn means(&self, rotation: Option<&Rotation>) -> Vec<f32> {
        let vectors = self.vectors(rotation);
        let dim = self.rows.dim();
        let count = (vectors.len() / dim).max(1) as f64;
        let mut sums = vec![0.0; dim];
        for row in vectors.chunks_exact(dim) {
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += f64::from(x);
            }
        }
        sums.into_iter().map(|sum| (sum / count) as f32).collect()
    }

    /// The share of the exact nearest that the order of the codes would re-rank.
    ///
    /// An exact neighbour as far as the first that is not one counts as found: which of equal rows is taken means nothing.
    fn share(&self, coding: &Coding) -> f64 {
        let codes = coding.encode_all(&self.rows);
        let queries = Random::new(1).sample(self.rows.len(), SAMPLE_QUERIES);
        let found: usize = queries
            .par_iter()
            .map(|&query| self.found(coding, codes.as_slice(), query))
            .sum();
        found as f64 / (queries.len() * K) as f64
    }

    fn found(&self, coding: &Coding, codes: &[u8], query: Offset) -> usize {
        let query = self.rows.row(query);
        let metric = coding.metric();
        let exact = scan(
            metric,
            query,
            self.rows.as_slice(),
            self.rows.dim(),
            &SearchParams::new(K),
            &mut Stats::default(),
        );
        let rerank = coding.encoding().rerank(K);
        let near = scan_codes(&coding.prepare(query), codes, coding.row_bytes(), rerank);
        let mut distances: Vec<f32> = near
            .iter()
            .map(|near| metric.distance(query, self.rows.row(near.offset)))
            .collect();
        distances.sort_unstable_by(f32::total_cmp);
        let farthest = exact.last().map_or(0.0, |last| last.distance);
        distances
            .iter()
            .take(K)
            .filter(|&&distance| distance <= farthest)
            .count()
    }
}
