//! Drawn pictures: a few random shapes on a random background, so that the projection knows more than two photo sets.

use image::{Rgb, RgbImage};

use crate::random::Random;

const SIDE: u32 = 128;

type Color = [f32; 3];

/// Draws one picture of 128 x 128 pixels.
pub fn draw(random: &mut Random) -> RgbImage {
    let background = Fill::new(random, true);
    let count = 1 + random.below(6);
    let shapes: Vec<Shape> = (0..count).map(|_| Shape::new(random)).collect();
    let noise = random.unit().powi(3) * 30.0;
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let mut sum = [0.0; 3];
        // Two by two points a pixel make smooth edges.
        for (dx, dy) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)] {
            let at = ((x as f32 + dx) / SIDE as f32, (y as f32 + dy) / SIDE as f32);
            let top = shapes.iter().rev().find(|shape| shape.covers(at));
            let color = top.map_or(&background, |shape| &shape.fill).color(at);
            (0..3).for_each(|c| sum[c] += color[c] / 4.0);
        }
        let grain = random.between(-noise, noise);
        Rgb(sum.map(|value| (value * 255.0 + grain).clamp(0.0, 255.0) as u8))
    })
}

/// A colour that changes along a line, smoothly or in stripes.
struct Fill {
    colors: [Color; 2],
    direction: (f32, f32),
    /// Stripes across the picture; 0 for a smooth change.
    stripes: f32,
}

impl Fill {
    fn new(random: &mut Random, is_background: bool) -> Self {
        let first = color(random);
        // Mostly a shade of the first colour, sometimes another one.
        let second = if random.unit() < 0.7 {
            let shade = random.between(0.5, 1.3);
            first.map(|value| (value * shade).min(1.0))
        } else {
            color(random)
        };
        let angle = random.between(0.0, std::f32::consts::TAU);
        let striped = random.unit() < if is_background { 0.2 } else { 0.3 };
        let stripes = if striped {
            random.between(3.0, 25.0)
        } else {
            0.0
        };
        Self {
            colors: [first, second],
            direction: (angle.cos(), angle.sin()),
            stripes,
        }
    }

    fn color(&self, (x, y): (f32, f32)) -> Color {
        let along = 0.5 + (x - 0.5) * self.direction.0 + (y - 0.5) * self.direction.1;
        let share = if self.stripes > 0.0 {
            f32::from((along * self.stripes).rem_euclid(1.0) > 0.5)
        } else {
            along.clamp(0.0, 1.0)
        };
        std::array::from_fn(|c| self.colors[0][c] * (1.0 - share) + self.colors[1][c] * share)
    }
}

/// Any hue, from pale to full: a third greys, as in photos.
fn color(random: &mut Random) -> Color {
    let value = random.between(0.1, 1.0);
    let saturation = if random.unit() < 0.35 {
        0.05
    } else {
        random.unit()
    };
    let hue = random.between(0.0, 6.0);
    std::array::from_fn(|c| {
        let k = (hue + [5.0, 3.0, 1.0][c]) % 6.0;
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

enum Outline {
    Ellipse,
    /// Radius by angle: corners or petals.
    Star {
        points: f32,
        depth: f32,
    },
    Box,
    Ring {
        thickness: f32,
    },
    Bar {
        thickness: f32,
    },
}

struct Shape {
    outline: Outline,
    center: (f32, f32),
    radii: (f32, f32),
    turn: (f32, f32),
    fill: Fill,
}

impl Shape {
    fn new(random: &mut Random) -> Self {
        let outline = match random.below(5) {
            0 => Outline::Ellipse,
            1 => Outline::Star {
                points: (3 + random.below(6)) as f32,
                depth: random.between(0.1, 0.6),
            },
            2 => Outline::Box,
            3 => Outline::Ring {
                thickness: random.between(0.1, 0.5),
            },
            _ => Outline::Bar {
                thickness: random.between(0.03, 0.25),
            },
        };
        let radius = random.between(0.08, 0.45);
        let angle = random.between(0.0, std::f32::consts::TAU);
        Self {
            outline,
            center: (random.between(0.15, 0.85), random.between(0.15, 0.85)),
            radii: (radius, radius * random.between(0.4, 1.0)),
            turn: (angle.cos(), angle.sin()),
            fill: Fill::new(random, false),
        }
    }

    fn covers(&self, (x, y): (f32, f32)) -> bool {
        let (dx, dy) = (x - self.center.0, y - self.center.1);
        let u = (dx * self.turn.0 + dy * self.turn.1) / self.radii.0;
        let v = (dy * self.turn.0 - dx * self.turn.1) / self.radii.1;
        let distance = u.hypot(v);
        match self.outline {
            Outline::Ellipse => distance < 1.0,
            Outline::Star { points, depth } => {
                distance < 1.0 - depth * (0.5 - 0.5 * (v.atan2(u) * points).cos())
            }
            Outline::Box => u.abs().max(v.abs()) < 0.8,
            Outline::Ring { thickness } => distance < 1.0 && distance > 1.0 - thickness,
            Outline::Bar { thickness } => u.abs() < 1.0 && v.abs() < thickness,
        }
    }
}
