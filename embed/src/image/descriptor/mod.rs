//! The raw descriptor of a picture: classical parts side by side, before the learned projection.
//!
//! Each part says another thing, none is enough alone; every part is brought to unit length by itself, so that none drowns
//! the others by its unit. What is public here is public for the tool that learns the projection.

mod color;
mod gist;
mod gradient;
mod hog;
mod lbp;
mod local;
mod phog;
mod vlad;

use image::RgbImage;

use super::canvas::Canvas;
use gradient::Gradient;
pub use local::{LOCAL_DIM, LocalDescriptors};
pub use vlad::Codebook;

/// One part of the descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Edge directions in 4 x 4 cells, normalised among neighbours.
    Hog,
    /// Edge directions over the whole, its quarters, its sixteenths.
    Phog,
    /// Frequencies and directions in lightness and colour, in 4 x 4 cells.
    Gist,
    /// Brightness patterns of neighbouring pixels: texture.
    Lbp,
    /// Small windows of edges, counted against a codebook, with their places.
    Vlad,
    /// Mean, spread and skew of colour in 4 x 4 cells.
    LabMoments,
    /// Joint histogram of L*a*b*.
    LabHistogram,
    /// Histograms of hue, saturation and value in five regions.
    HsvHistogram,
}

/// All parts in their order in a descriptor and in the projection's file.
pub const PARTS: [Part; 8] = [
    Part::Hog,
    Part::Phog,
    Part::Gist,
    Part::Lbp,
    Part::Vlad,
    Part::LabMoments,
    Part::LabHistogram,
    Part::HsvHistogram,
];

impl Part {
    /// How many numbers the part has.
    pub fn dim(self) -> usize {
        match self {
            Part::Hog => hog::DIM,
            Part::Phog => phog::DIM,
            Part::Gist => gist::DIM,
            Part::Lbp => lbp::DIM,
            Part::Vlad => vlad::DIM,
            Part::LabMoments => color::MOMENTS_DIM,
            Part::LabHistogram => color::LAB_HISTOGRAM_DIM,
            Part::HsvHistogram => color::HSV_DIM,
        }
    }

    /// Whether it speaks of colour; the others see mostly edges and light.
    pub fn is_color(self) -> bool {
        matches!(
            self,
            Part::LabMoments | Part::LabHistogram | Part::HsvHistogram
        )
    }

    /// The power its values are raised to: histograms have a few large bins that would outweigh all others.
    fn power(self) -> f32 {
        match self {
            Part::Hog | Part::Gist | Part::LabMoments | Part::Vlad => 1.0,
            Part::Phog => 0.5,
            Part::Lbp | Part::HsvHistogram => 0.4,
            Part::LabHistogram => 0.3,
        }
    }
}

/// Computes the parts of a picture that `wanted` names; the others stay empty.
///
/// The answer is in the order of [`PARTS`], each `[dim]` and of unit length (or zero, where the picture has nothing to say,
/// such as edges on a plain one). Finite for any picture. Cost: about 4 ms for all, 1 ms for colour, and 1 ns for each pixel.
pub fn describe(
    picture: &RgbImage,
    codebook: &Codebook,
    wanted: impl Fn(Part) -> bool,
) -> [Vec<f32>; PARTS.len()] {
    let canvas = Canvas::new(picture);
    let sees_edges =
        |part: Part| matches!(part, Part::Hog | Part::Phog | Part::Vlad) && wanted(part);
    let gradient = PARTS
        .into_iter()
        .any(sees_edges)
        .then(|| Gradient::new(&canvas));
    PARTS.map(|part| {
        let mut values = Vec::new();
        if wanted(part) {
            values.reserve(part.dim());
            append(part, &canvas, gradient.as_ref(), codebook, &mut values);
            assert_eq!(values.len(), part.dim(), "{part:?}");
            normalize(&mut values, part.power());
        }
        values
    })
}

/// The windows of a picture, from which a [`Codebook`] is learned.
pub fn local_descriptors(picture: &RgbImage) -> LocalDescriptors {
    LocalDescriptors::new(&Gradient::new(&Canvas::new(picture)))
}

fn append(
    part: Part,
    canvas: &Canvas,
    gradient: Option<&Gradient>,
    codebook: &Codebook,
    out: &mut Vec<f32>,
) {
    let edges = || gradient.expect("made when a part that sees edges is wanted");
    match part {
        Part::Hog => hog::append_hog(edges(), out),
        Part::Phog => phog::append_phog(edges(), out),
        Part::Gist => gist::append_gist(canvas, out),
        Part::Lbp => lbp::append_lbp(canvas, out),
        Part::Vlad => vlad::append_vlad(&LocalDescriptors::new(edges()), codebook, out),
        Part::LabMoments => color::append_lab_moments(canvas, out),
        Part::LabHistogram => color::append_lab_histogram(canvas, out),
        Part::HsvHistogram => color::append_hsv_histogram(canvas, out),
    }
}

/// Signed power, then unit length; what is shorter than rounding stays zero.
fn normalize(values: &mut [f32], power: f32) {
    if power != 1.0 {
        values
            .iter_mut()
            .for_each(|value| *value = value.abs().powf(power).copysign(*value));
    }
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    let scale = if length > 1e-9 { 1.0 / length } else { 0.0 };
    values.iter_mut().for_each(|value| *value *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::projection::Projection;
    use image::Rgb;

    fn all_parts(picture: &RgbImage) -> [Vec<f32>; PARTS.len()] {
        describe(picture, &Projection::shipped().unwrap().codebook, |_| true)
    }

    #[test]
    fn parts_are_finite_and_of_unit_length_or_zero() {
        let noise = RgbImage::from_fn(90, 70, |x, y| {
            let value = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761) >> 24;
            Rgb([value as u8, (value * 3) as u8, (value * 7) as u8])
        });
        let plain = RgbImage::from_pixel(1, 1, Rgb([0, 0, 0]));
        let white = RgbImage::from_pixel(40, 4, Rgb([255, 255, 255]));
        for picture in [noise, plain, white] {
            for (part, values) in PARTS.iter().zip(all_parts(&picture)) {
                assert_eq!(values.len(), part.dim());
                let length: f32 = values.iter().map(|value| value * value).sum();
                assert!(
                    length == 0.0 || (length - 1.0).abs() < 1e-3,
                    "{part:?}: {length}"
                );
            }
        }
    }

    #[test]
    fn only_what_is_wanted_is_computed() {
        let picture = RgbImage::from_pixel(8, 8, Rgb([9, 99, 200]));
        let codebook = &Projection::shipped().unwrap().codebook;
        for (part, values) in PARTS
            .iter()
            .zip(describe(&picture, codebook, Part::is_color))
        {
            assert_eq!(!values.is_empty(), part.is_color());
        }
    }

    #[test]
    fn shape_parts_ignore_the_hue_of_a_grey_ramp_and_color_parts_the_direction() {
        let ramp = |turned: bool| {
            RgbImage::from_fn(64, 64, |x, y| {
                let value = if turned { y } else { x } as u8 * 4;
                Rgb([value, value, value])
            })
        };
        let (across, down) = (all_parts(&ramp(false)), all_parts(&ramp(true)));
        let cosine = |part: Part| {
            let at = PARTS.iter().position(|&p| p == part).unwrap();
            across[at]
                .iter()
                .zip(&down[at])
                .map(|(a, b)| a * b)
                .sum::<f32>()
        };
        assert!(cosine(Part::LabHistogram) > 0.99);
        assert!(cosine(Part::Phog) < 0.2);
        assert!(cosine(Part::Hog) < 0.8);
    }
}
