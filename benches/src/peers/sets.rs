//! The data sets of the comparison: real ones, seeded ones, and four that are meant to hurt us.

use std::fmt;

use anyhow::{Context, Result};
use clap::ValueEnum;
use datasets::formats::OpenOptions;
use datasets::matrix::read_vectors;
use datasets::random::Random;
use datasets::synthetic::{Shape, Synthetic};
use ndarray::{Array2, Axis, concatenate, s};

use crate::data;

/// Queries of the seeded sets.
const QUERIES: usize = 1000;
/// A surface of as many dimensions as that of sentence embeddings.
const MANIFOLD: Shape = Shape::Manifold { latent: 24 };
/// Within a cluster rows are 1.1 apart, clusters are 3.3 from each other.
const CLUSTERS: Shape = Shape::Clusters {
    clusters: 200,
    spread: 0.1,
};

/// One data set. All are compared by squared L2; rows of the embeddings have unit length, so that this is their cosine.
#[derive(Copy, Clone, Debug, Eq, PartialEq, ValueEnum)]
pub enum Set {
    /// 40,000 sentence embeddings of 384 dimensions.
    Minilm40k,
    /// 100,000 SIFT descriptors of 128 dimensions.
    SiftCaltech100k,
    /// 60,000 pictures of 784 pixels.
    Mnist,
    /// 10,925 word vectors of 25 dimensions, 1,000 others ask.
    GloveTwitter25d,
    /// 300,000 x 128 on a curved surface.
    Manifold300k,
    /// 1,000,000 x 128 on a curved surface.
    Manifold1m,
    /// The sentence embeddings with four dimensions that are far larger than all others: bad for codes of one range.
    Outliers,
    /// 100,000 rows of which most are copies of others: bad for graphs.
    Duplicates,
    /// 100,000 x 64 in 200 clusters that are far from each other: bad for walks.
    Clusters,
    /// The sentence embeddings, asked by other ones: noise, and half of the dimensions rotated.
    Shifted,
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no set is hidden");
        f.write_str(value.get_name())
    }
}

/// Rows and queries.
pub struct Vectors {
    /// `[rows, dim]`.
    pub base: Array2<f32>,
    /// `[queries, dim]`.
    pub queries: Array2<f32>,
}

impl Set {
    /// Reads or makes the vectors.
    ///
    /// # Errors
    ///
    /// The data is absent or damaged.
    pub fn vectors(self, seed: u64) -> Result<Vectors> {
        match self {
            Self::Minilm40k => minilm(),
            Self::SiftCaltech100k => read(
                "sift-caltech100k/base.bvecs",
                "sift-caltech100k/query.bvecs",
            ),
            Self::Mnist => {
                let mut set = read(
                    "mnist/train-images-idx3-ubyte.gz",
                    "mnist/t10k-images-idx3-ubyte.gz",
                )?;
                set.queries.slice_axis_inplace(Axis(0), (..QUERIES).into());
                Ok(set)
            }
            Self::GloveTwitter25d => glove(),
            Self::Manifold300k => Ok(seeded(MANIFOLD, 128, 300_000, seed)),
            Self::Manifold1m => Ok(seeded(MANIFOLD, 128, 1_000_000, seed)),
            Self::Outliers => outliers(),
            Self::Duplicates => Ok(duplicates(seed)),
            Self::Clusters => Ok(seeded(CLUSTERS, 64, 100_000, seed)),
            Self::Shifted => shifted(seed),
        }
    }
}

fn read(base: &str, queries: &str) -> Result<Vectors> {
    let all = |name: &str| -> Result<Array2<f32>> {
        let path = data::find(name)?;
        read_vectors(&path, &OpenOptions::default(), usize::MAX)
            .with_context(|| format!("read {}", path.display()))
    };
    Ok(Vectors {
        base: all(base)?,
        queries: all(queries)?,
    })
}

fn minilm() -> Result<Vectors> {
    // Stored as f16: the length of a row is 1 but for rounding, and the truth is of the rows as they are.
    read("minilm-40k/base.npy", "minilm-40k/query.npy")
}

fn glove() -> Result<Vectors> {
    let path = data::find("glove-twitter-25d/vectors.txt.gz")?;
    let mut words = read_vectors(&path, &OpenOptions::default(), usize::MAX)?;
    words.rows_mut().into_iter().for_each(|mut row| {
        let length = row.dot(&row).sqrt().max(f32::MIN_POSITIVE);
        row /= length;
    });
    // Words stand by frequency: every so many-th asks, so that queries are like the rows.
    let every = words.nrows() / QUERIES;
    let (asking, rest): (Vec<usize>, Vec<usize>) =
        (0..words.nrows()).partition(|row| row % every == 0 && row / every < QUERIES);
    Ok(Vectors {
        base: words.select(Axis(0), &rest),
        queries: words.select(Axis(0), &asking),
    })
}

fn seeded(shape: Shape, dim: usize, rows: usize, seed: u64) -> Vectors {
    let set = Synthetic::new(shape, dim, seed);
    Vectors {
        base: set.base(rows),
        queries: set.queries(QUERIES),
    }
}

fn outliers() -> Result<Vectors> {
    let mut set = minilm()?;
    for matrix in [&mut set.base, &mut set.queries] {
        for dimension in [7, 77, 177, 277] {
            matrix.column_mut(dimension).mapv_inplace(|x| 4.0 * x + 3.0);
        }
    }
    Ok(set)
}

fn duplicates(seed: u64) -> Vectors {
    let set = Synthetic::new(MANIFOLD, 128, seed);
    let distinct = set.base(20_000);
    let mut random = Random::of_stream(seed, 1, 0);
    // The cube makes some rows very common: one in a thousand rows is a copy of the commonest few.
    let drawn: Vec<usize> = (0..80_000)
        .map(|_| (distinct.nrows() as f32 * random.unit().powi(3)) as usize)
        .collect();
    Vectors {
        base: concatenate![Axis(0), distinct, distinct.select(Axis(0), &drawn)],
        queries: set.queries(QUERIES),
    }
}

fn shifted(seed: u64) -> Result<Vectors> {
    let mut set = minilm()?;
    let mut random = Random::of_stream(seed, 2, 0);
    let dim = set.base.ncols();
    let half = dim / 2;
    // A product of reflections is a rotation or a mirror: lengths stay.
    for _ in 0..8 {
        let mut mirror = ndarray::Array1::from_shape_simple_fn(half, || random.normal());
        mirror /= mirror.dot(&mirror).sqrt();
        for mut query in set.queries.rows_mut() {
            let mut part = query.slice_mut(s![..half]);
            let along = 2.0 * part.dot(&mirror);
            part.scaled_add(-along, &mirror);
        }
    }
    let noise = 0.3 / (dim as f32).sqrt();
    for mut query in set.queries.rows_mut() {
        query.mapv_inplace(|x| x + noise * random.normal());
        let length = query.dot(&query).sqrt();
        query /= length;
    }
    Ok(set)
}
