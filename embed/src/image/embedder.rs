//! `vecino/image`, `vecino/image-color`, `vecino/image-shape`: pictures to vectors, offline.

use std::time::Duration;

use image::RgbImage;
use rayon::prelude::*;
use serde_json::Value;

use super::decode::{DecodeError, DecodeLimits, decode};
use super::descriptor::describe;
use super::projection::{Mode, Projection, ProjectionError};
use crate::{
    Batch, EmbedError, Embedder, Identity, Input, Kind, Limits, Metric, Modality, Purpose,
    RegistryError,
};

/// Version of the algorithm; the checksum of the identity tells the weights.
const VERSION: &str = "1";

/// Pictures in one call: enough to keep a machine's cores busy, few enough that a query does not wait long.
const BATCH_MAX: usize = 32;

impl Mode {
    /// The embedder's name in the registry.
    pub fn model_name(self) -> &'static str {
        match self {
            Mode::All => "vecino/image",
            Mode::Color => "vecino/image-color",
            Mode::Shape => "vecino/image-shape",
        }
    }
}

/// The built-in embedder of pictures: a descriptor of shape, texture and colour, and a learned projection.
///
/// It finds look-alikes, not meanings. Vectors are of unit length, to be compared by cosine; the same bytes give the same
/// vector. About 4 ms a picture and core after decoding.
pub struct ImageEmbedder {
    mode: Mode,
    projection: &'static Projection,
    limits: DecodeLimits,
    identity: Identity,
}

impl ImageEmbedder {
    /// With the shipped projection and the default [`DecodeLimits`].
    ///
    /// # Errors
    ///
    /// [`ProjectionError`] if the program was built with a damaged projection.
    pub fn builtin(mode: Mode) -> Result<Self, ProjectionError> {
        let projection = Projection::shipped()?;
        let identity = Identity {
            name: mode.model_name().to_owned(),
            version: VERSION.to_owned(),
            checksum: format!("{:016x}", projection.checksum()),
        };
        Ok(Self {
            mode,
            projection,
            limits: DecodeLimits::default(),
            identity,
        })
    }

    /// For the registry; takes no options.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Options`] if there are any, [`RegistryError::Broken`] if the projection is damaged.
    pub fn from_options(mode: Mode, options: &Value) -> Result<Self, RegistryError> {
        let model = || mode.model_name().to_owned();
        let none = options.is_null()
            || options
                .as_object()
                .is_some_and(|options| options.is_empty());
        if !none {
            let why = format!("takes no options, got {options}");
            return Err(RegistryError::Options {
                model: model(),
                why,
            });
        }
        Self::builtin(mode).map_err(|error| RegistryError::Broken {
            model: model(),
            why: error.to_string(),
        })
    }

    /// The vector of a decoded picture, `[dim]`, of unit length.
    pub fn embed_picture(&self, picture: &RgbImage) -> Vec<f32> {
        let parts = describe(picture, &self.projection.codebook, |part| {
            self.mode.uses(part)
        });
        self.projection.project(&parts, self.mode)
    }

    fn embed_one(&self, input: &Input<'_>) -> Result<Vec<f32>, EmbedError> {
        match input {
            Input::Image(bytes) => {
                let picture = decode(bytes, &self.limits).map_err(refusal)?;
                Ok(self.embed_picture(&picture.rgb))
            }
            Input::Text(_) => Err(EmbedError::WrongModality {
                model: self.identity.name.clone(),
                got: Modality::Text,
            }),
        }
    }
}

fn refusal(error: DecodeError) -> EmbedError {
    match error {
        DecodeError::Empty => EmbedError::Empty {
            modality: Modality::Image,
        },
        DecodeError::TooManyBytes { got, max } => EmbedError::TooLarge {
            what: "the picture",
            unit: "bytes",
            got: got as u64,
            max: max as u64,
        },
        other => EmbedError::Decode(other.to_string()),
    }
}

impl Embedder for ImageEmbedder {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn modalities(&self) -> &[Modality] {
        &[Modality::Image]
    }

    fn kind(&self) -> Kind {
        Kind::Dense {
            dim: self.projection.dim(self.mode),
            metric: Metric::Cosine,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            text_bytes_max: 0,
            image_bytes_max: self.limits.bytes_max,
            image_pixels_max: self.limits.pixels_max,
            batch_max: BATCH_MAX,
            // Pictures of a batch share nothing, so waiting for more gains nothing.
            gather: Duration::ZERO,
        }
    }

    /// Uses all threads of the rayon pool that it is called in; memory for decoding is bounded by its threads.
    fn embed(&self, inputs: &[Input<'_>], _purpose: Purpose) -> Batch {
        let rows = match inputs {
            [one] => vec![self.embed_one(one)],
            many => many
                .par_iter()
                .with_max_len(1)
                .map(|input| self.embed_one(input))
                .collect(),
        };
        Batch::from_rows(self.projection.dim(self.mode), rows)
    }
}
