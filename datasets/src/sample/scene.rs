//! Where things stand: backgrounds, and what captions call them.

use super::canvas::{Canvas, Ink, Rgb, WHITE, rgb};
use crate::random::Random;

/// A background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scene {
    Light,
    Table,
    Pastel,
    Meadow,
    Road,
    Rails,
    Sea,
    Underwater,
    Sky,
    Dusk,
    Night,
    Snow,
    Desert,
    Gray,
}

impl Scene {
    /// What may follow in a caption.
    pub fn phrases(self) -> &'static [&'static str] {
        match self {
            Scene::Light => &[
                "on a light background",
                "on a white background",
                "on plain paper",
            ],
            Scene::Table => &[
                "on a wooden table",
                "lying on a brown table",
                "on a kitchen table",
            ],
            Scene::Pastel => &["on a pale background", "on a soft pastel background"],
            Scene::Meadow => &[
                "on a green meadow",
                "in the grass under a blue sky",
                "outdoors on a sunny day",
            ],
            Scene::Road => &["on the road", "on a gray street", "on a country road"],
            Scene::Rails => &["on the rails", "on a railway track"],
            Scene::Sea => &["on the blue sea", "on the water", "on calm waves"],
            Scene::Underwater => &["under water", "in the sea", "among bubbles in the water"],
            Scene::Sky => &["in the sky", "in a blue sky", "high up in the air"],
            Scene::Dusk => &["at sunset", "in the evening sky"],
            Scene::Night => &["at night", "in a dark sky", "under the stars"],
            Scene::Snow => &["in the snow", "on a winter day"],
            Scene::Desert => &["in the sand", "in the desert"],
            Scene::Gray => &["in a gray sky", "on a gray day", "in dull weather"],
        }
    }

    /// Whether things stand on something and throw a shadow.
    pub fn has_ground(self) -> bool {
        matches!(
            self,
            Scene::Light
                | Scene::Table
                | Scene::Pastel
                | Scene::Meadow
                | Scene::Road
                | Scene::Snow
                | Scene::Desert
        )
    }

    /// How much lower things stand than in the middle.
    pub fn ground_shift(self) -> f32 {
        match self {
            Scene::Table
            | Scene::Meadow
            | Scene::Road
            | Scene::Rails
            | Scene::Snow
            | Scene::Desert => 10.0,
            _ => 0.0,
        }
    }

    pub fn draw(self, canvas: &mut Canvas, random: &mut Random) {
        match self {
            Scene::Light => {
                let shade = *random.pick(&[rgb(0xf7f5ef), rgb(0xf3f4f6), rgb(0xfdfdfb)]);
                fill(canvas, -128.0, shade.lighter(0.4), shade.darker(0.06));
            }
            Scene::Pastel => {
                let shade = *random.pick(&[
                    rgb(0xf9e4e4),
                    rgb(0xe2eef9),
                    rgb(0xe6f4e1),
                    rgb(0xf6ecd6),
                    rgb(0xebe4f6),
                ]);
                fill(canvas, -128.0, shade.lighter(0.3), shade.darker(0.05));
            }
            Scene::Table => table(canvas, random),
            Scene::Meadow => meadow(canvas, random),
            Scene::Road => {
                sky(canvas, rgb(0xbfe0f5), rgb(0xeaf4f8));
                hills(canvas, random, rgb(0xa5c98a));
                fill(canvas, 62.0, rgb(0x7d8087), rgb(0x5f6268));
                for x in [-120.0, -50.0, 20.0, 90.0] {
                    canvas.block([x, 112.0, 36.0, 5.0], 1.0, rgb(0xf1ede0));
                }
            }
            Scene::Rails => {
                sky(canvas, rgb(0xc9e4f4), rgb(0xf0f5f3));
                hills(canvas, random, rgb(0xb3cf94));
                fill(canvas, 84.0, rgb(0xb7a58c), rgb(0x988569));
                for step in 0..9 {
                    canvas.block(
                        [-126.0 + 30.0 * step as f32, 98.0, 14.0, 12.0],
                        2.0,
                        rgb(0x6b4d35),
                    );
                }
                canvas.block([-128.0, 95.0, 256.0, 5.0], 0.0, rgb(0x70757d));
            }
            Scene::Sea => {
                sky(canvas, rgb(0xaedcf5), rgb(0xeaf6fb));
                cloud(canvas, random.between(-90.0, -40.0), -84.0, 0.5, WHITE);
                fill(canvas, 58.0, rgb(0x3f94c9), rgb(0x1d5f96));
                for (row, y) in [76.0, 96.0, 114.0].into_iter().enumerate() {
                    for step in 0..4 {
                        let x = -120.0 + 66.0 * step as f32 + 30.0 * (row % 2) as f32;
                        canvas.line(
                            &format!("M{x} {y} Q {} {} {} {y}", x + 12.0, y - 7.0, x + 24.0),
                            3.0,
                            rgb(0x8cc7e8),
                        );
                    }
                }
            }
            Scene::Underwater => {
                fill(canvas, -128.0, rgb(0x9fdcea), rgb(0x2a7fae));
                for _ in 0..9 {
                    let (x, y, radius) = (
                        random.between(-118.0, 118.0),
                        random.between(-115.0, 90.0),
                        random.between(3.0, 8.0),
                    );
                    canvas.ring(x, y, radius, 1.8, WHITE.faded(0.7));
                }
                for x in [-104.0, -92.0, 100.0, 112.0] {
                    let path =
                        format!("M{x} 130 C {} 100 {} 90 {} 60", x - 14.0, x + 16.0, x - 2.0);
                    canvas.line(&path, 6.0, rgb(0x2f8f5b));
                }
            }
            Scene::Sky => {
                sky(canvas, rgb(0x6fb7ea), rgb(0xd9eefa));
                cloud(
                    canvas,
                    random.between(-100.0, -70.0),
                    random.between(50.0, 90.0),
                    0.5,
                    WHITE,
                );
                cloud(
                    canvas,
                    random.between(70.0, 100.0),
                    random.between(-100.0, -70.0),
                    0.42,
                    WHITE,
                );
            }
            Scene::Dusk => {
                fill(canvas, -128.0, rgb(0x6d6aa8), rgb(0xf9b27c));
                hills(canvas, random, rgb(0x5b5577));
            }
            Scene::Night => {
                fill(canvas, -128.0, rgb(0x141c40), rgb(0x2f3c72));
                for _ in 0..26 {
                    let (x, y, radius) = (
                        random.between(-125.0, 125.0),
                        random.between(-125.0, 125.0),
                        random.between(0.8, 2.2),
                    );
                    canvas.circle(x, y, radius, rgb(0xfff8dc));
                }
            }
            Scene::Snow => {
                sky(canvas, rgb(0xb4cfe6), rgb(0xe3edf5));
                canvas.fill(
                    "M-130 66 Q -60 40 0 62 Q 70 44 130 60 L 130 130 -130 130 Z",
                    Ink::Down((50.0, WHITE), (128.0, rgb(0xd9e5f0))),
                );
                for _ in 0..24 {
                    let (x, y) = (random.between(-125.0, 125.0), random.between(-125.0, 60.0));
                    canvas.circle(x, y, random.between(1.5, 3.2), WHITE);
                }
            }
            Scene::Desert => {
                sky(canvas, rgb(0xbfe3ee), rgb(0xfaf0d8));
                canvas.fill(
                    "M-130 60 Q -70 36 0 58 Q 60 40 130 56 L 130 130 -130 130 Z",
                    Ink::Down((40.0, rgb(0xf0d49a)), (128.0, rgb(0xdcb46d))),
                );
            }
            Scene::Gray => fill(canvas, -128.0, rgb(0x9aa6b2), rgb(0xc9d1d8)),
        }
    }
}

fn fill(canvas: &mut Canvas, top: f32, from: Rgb, to: Rgb) {
    canvas.block(
        [-129.0, top, 258.0, 129.0 - top],
        0.0,
        Ink::Down((top, from), (128.0, to)),
    );
}

fn sky(canvas: &mut Canvas, from: Rgb, to: Rgb) {
    canvas.block(
        [-129.0, -129.0, 258.0, 258.0],
        0.0,
        Ink::Down((-128.0, from), (80.0, to)),
    );
}

fn hills(canvas: &mut Canvas, random: &mut Random, color: Rgb) {
    let x = random.between(-30.0, 30.0);
    canvas.fill(
        &format!(
            "M-130 70 Q {} 10 {} 60 Q {} 24 130 56 L 130 130 -130 130 Z",
            x - 70.0,
            x,
            x + 60.0
        ),
        color,
    );
}

fn meadow(canvas: &mut Canvas, random: &mut Random) {
    sky(canvas, rgb(0x9ed3f2), rgb(0xe9f6fb));
    cloud(canvas, random.between(60.0, 100.0), -98.0, 0.4, WHITE);
    hills(canvas, random, rgb(0xb9dc9d));
    canvas.fill(
        "M-130 66 Q -40 54 30 64 Q 80 70 130 62 L 130 130 -130 130 Z",
        Ink::Down((54.0, rgb(0x93cb6a)), (128.0, rgb(0x5f9f45))),
    );
    for _ in 0..16 {
        let (x, y) = (random.between(-122.0, 122.0), random.between(84.0, 124.0));
        canvas.line(
            &format!(
                "M{x} {y} L {} {} M{x} {y} L {} {}",
                x - 3.0,
                y - 9.0,
                x + 4.0,
                y - 8.0
            ),
            2.0,
            rgb(0x4c8a38),
        );
    }
}

fn table(canvas: &mut Canvas, random: &mut Random) {
    let wall = *random.pick(&[rgb(0xf3ead9), rgb(0xe5edf0), rgb(0xf0e6ea)]);
    fill(canvas, -128.0, wall.lighter(0.2), wall.darker(0.06));
    fill(canvas, 44.0, rgb(0xcb9a64), rgb(0x9f6b3a));
    canvas.block([-129.0, 42.0, 258.0, 5.0], 0.0, rgb(0xdfb27e));
    for y in [62.0, 84.0, 106.0] {
        let shift = random.between(-20.0, 20.0);
        canvas.line(
            &format!("M-130 {y} Q {shift} {} 130 {}", y + 5.0, y + 1.0),
            1.4,
            rgb(0x8a5a2e).faded(0.6),
        );
    }
}

/// A cloud of round puffs about `(x, y)`, 200 wide at scale 1.
pub(super) fn cloud(canvas: &mut Canvas, x: f32, y: f32, scale: f32, color: Rgb) {
    canvas.placed([x, y], scale, 0.0, |canvas| {
        let ink = Ink::Down((-58.0, color.lighter(0.5)), (50.0, color.darker(0.14)));
        canvas.block([-96.0, -14.0, 192.0, 58.0], 29.0, ink);
        canvas.circle(-48.0, -12.0, 36.0, ink);
        canvas.circle(4.0, -28.0, 46.0, ink);
        canvas.circle(54.0, -6.0, 34.0, ink);
    });
}
