//! Random views of a photo: another crop, mirrored, in another light.

use image::RgbImage;
use image::imageops::{crop_imm, flip_horizontal_in_place};

use crate::random::Random;

/// A crop of a third to all of the picture, half of them mirrored, with brightness and colour balance changed a little.
pub fn view(picture: &RgbImage, random: &mut Random) -> RgbImage {
    let share = random.between(0.35, 1.0).sqrt();
    let shape = random.between(-0.25, 0.25).exp();
    let side = |whole: u32, share: f32| ((whole as f32 * share.min(1.0)) as u32).clamp(1, whole);
    let width = side(picture.width(), share * shape);
    let height = side(picture.height(), share / shape);
    let x = random.below((picture.width() - width + 1) as usize) as u32;
    let y = random.below((picture.height() - height + 1) as usize) as u32;
    let mut view = crop_imm(picture, x, y, width, height).to_image();
    if random.unit() < 0.5 {
        flip_horizontal_in_place(&mut view);
    }
    let light = random.between(0.75, 1.25);
    let balance: [f32; 3] = std::array::from_fn(|_| light * random.between(0.92, 1.08));
    for pixel in view.pixels_mut() {
        for (value, factor) in pixel.0.iter_mut().zip(balance) {
            *value = (f32::from(*value) * factor).min(255.0) as u8;
        }
    }
    view
}
