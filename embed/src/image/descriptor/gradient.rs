//! Strength and direction of the edge at every pixel.

use crate::image::canvas::{Canvas, SIDE};

/// Gradient of the colour channel that changes most, as in HOG.
pub(super) struct Gradient {
    /// Length of the gradient, `[SIDE * SIDE]`.
    pub magnitude: Vec<f32>,
    /// Direction in turns, 0 to 1 (1 excluded), `[SIDE * SIDE]`.
    pub turns: Vec<f32>,
}

impl Gradient {
    pub fn new(canvas: &Canvas) -> Self {
        let mut magnitude = vec![0.0; SIDE * SIDE];
        let mut turns = vec![0.0; SIDE * SIDE];
        for y in 0..SIDE {
            let (above, below) = (y.saturating_sub(1) * SIDE, (y + 1).min(SIDE - 1) * SIDE);
            for x in 0..SIDE {
                let (left, right) = (x.saturating_sub(1), (x + 1).min(SIDE - 1));
                let (mut dx, mut dy, mut strongest) = (0.0, 0.0, 0.0);
                for plane in &canvas.rgb {
                    let across = plane[y * SIDE + right] - plane[y * SIDE + left];
                    let down = plane[below + x] - plane[above + x];
                    let squared = across * across + down * down;
                    if squared > strongest {
                        (dx, dy, strongest) = (across, down, squared);
                    }
                }
                magnitude[y * SIDE + x] = strongest.sqrt();
                turns[y * SIDE + x] = turns_of(dx, dy);
            }
        }
        Self { magnitude, turns }
    }
}

/// `atan2(y, x)` in turns within 0.0001, by a polynomial on the first octant. The zero vector points to 0.
fn turns_of(x: f32, y: f32) -> f32 {
    let (long, short) = (x.abs().max(y.abs()), x.abs().min(y.abs()));
    if long == 0.0 {
        return 0.0;
    }
    let ratio = short / long;
    let squared = ratio * ratio;
    let octant =
        ratio * (0.159_155 + squared * (-0.052_1 + squared * (0.026_6 - squared * 0.008_66)));
    let quadrant = if y.abs() > x.abs() {
        0.25 - octant
    } else {
        octant
    };
    let half = if x < 0.0 { 0.5 - quadrant } else { quadrant };
    let whole = if y < 0.0 { 1.0 - half } else { half };
    if whole >= 1.0 { 0.0 } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_agree_with_atan2() {
        for step in 0..720 {
            let angle = step as f32 / 720.0 * std::f32::consts::TAU;
            let expected = angle
                .sin()
                .atan2(angle.cos())
                .rem_euclid(std::f32::consts::TAU)
                / std::f32::consts::TAU;
            let got = turns_of(angle.cos(), angle.sin());
            let apart = (got - expected).abs();
            assert!(apart.min(1.0 - apart) < 5e-4, "{got} is not {expected}");
        }
    }
}
