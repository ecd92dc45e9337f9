//! Learns what windows are compared with: principal components, then k-means.

use embed::image::Affine;
use embed::image::descriptor::{Codebook, LOCAL_DIM, LocalDescriptors, local_descriptors};
use image::RgbImage;
use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

use crate::affine_of;
use crate::linear::Pca;
use crate::random::Random;

/// Windows taken from each picture.
const SAMPLE: usize = 16;
const ROUNDS: usize = 15;

pub fn learn(pictures: &[RgbImage], random: &mut Random) -> Codebook {
    let sample = sample_windows(pictures, random);
    let full = ArrayView2::from_shape((sample.centers.len(), LOCAL_DIM), &sample.values)
        .expect("LOCAL_DIM values a window");
    let pca = Pca::new(full, Codebook::REDUCED, random);
    let reduce = affine_of(pca.directions, &pca.mean).quantized();
    let nothing = Affine {
        matrix: Array2::zeros((0, 0)),
        bias: Array1::zeros(0),
    };
    let mut codebook = Codebook {
        reduce,
        words: nothing,
    };
    let windows = codebook.windows(&sample);
    // Rounded first, so that the bias belongs to the words that the file will hold.
    let words = with_half_lengths(k_means(&windows, Codebook::WORDS, random)).quantized();
    codebook.words = with_half_lengths(words.matrix);
    codebook
}

fn sample_windows(pictures: &[RgbImage], random: &mut Random) -> LocalDescriptors {
    let seeds: Vec<u64> = pictures.iter().map(|_| random.next_u64()).collect();
    let samples: Vec<LocalDescriptors> = pictures
        .par_iter()
        .zip(seeds)
        .map(|(picture, seed)| {
            let (all, mut random) = (local_descriptors(picture), Random::new(seed));
            let mut some = LocalDescriptors {
                values: Vec::new(),
                centers: Vec::new(),
            };
            for _ in 0..SAMPLE {
                let at = random.below(all.centers.len());
                some.values
                    .extend(&all.values[at * LOCAL_DIM..][..LOCAL_DIM]);
                some.centers.push(all.centers[at]);
            }
            some
        })
        .collect();
    LocalDescriptors {
        values: samples
            .iter()
            .flat_map(|some| &some.values)
            .copied()
            .collect(),
        centers: samples
            .iter()
            .flat_map(|some| &some.centers)
            .copied()
            .collect(),
    }
}

fn with_half_lengths(words: Array2<f32>) -> Affine {
    let bias = words
        .rows()
        .into_iter()
        .map(|word| -0.5 * word.dot(&word))
        .collect();
    Affine {
        matrix: words,
        bias,
    }
}

/// Lloyd's algorithm from random rows; a word without windows stays where it is.
fn k_means(rows: &Array2<f32>, k: usize, random: &mut Random) -> Array2<f32> {
    let starts: Vec<usize> = (0..k).map(|_| random.below(rows.nrows())).collect();
    let mut words = rows.select(ndarray::Axis(0), &starts);
    for _ in 0..ROUNDS {
        let scores = with_half_lengths(words.clone()).apply_rows(rows.view());
        let mut sums = Array2::<f32>::zeros(words.dim());
        let mut counts = vec![0usize; k];
        for (row, scores) in rows.rows().into_iter().zip(scores.rows()) {
            let nearest = (0..k)
                .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
                .expect("k > 0");
            let mut sum = sums.row_mut(nearest);
            sum += &row;
            counts[nearest] += 1;
        }
        for (word, count) in counts
            .into_iter()
            .enumerate()
            .filter(|(_, count)| *count > 0)
        {
            words
                .row_mut(word)
                .assign(&(&sums.row(word) / count as f32));
        }
    }
    words
}
