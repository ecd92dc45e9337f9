//! The raw descriptor of a picture: eight classical parts side by side, before the learned projection.

mod color;
mod gist;
mod gradient;
mod hog;
mod lbp;
mod local;
mod phog;

use crate::image::canvas::Canvas;
use gradient::Gradient;
pub use local::{LOCAL_DIM, LocalDescriptors};

/// All parts raw.
pub fn parts(picture: &image::RgbImage) -> Vec<(&'static str, Vec<f32>)> {
    let canvas = Canvas::new(picture);
    let gradient = Gradient::new(&canvas);
    let mut all = Vec::new();
    let mut add = |name, f: &dyn Fn(&mut Vec<f32>)| { let mut v = Vec::new(); f(&mut v); all.push((name, v)); };
    add("hog8", &|v| hog::append_hog(&gradient, 8, v));
    add("hog4", &|v| hog::append_hog(&gradient, 4, v));
    add("phog", &|v| phog::append_phog(&gradient, v));
    add("gist", &|v| gist::append_gist(&canvas, v));
    add("labm", &|v| color::append_lab_moments(&canvas, v));
    add("labh", &|v| color::append_lab_histogram(&canvas, v));
    add("lbp", &|v| lbp::append_lbp(&canvas, v));
    add("hsv", &|v| color::append_hsv_histogram(&canvas, v));
    all
}

/// local
pub fn locals(picture: &image::RgbImage) -> LocalDescriptors { LocalDescriptors::new(&Gradient::new(&Canvas::new(picture))) }
