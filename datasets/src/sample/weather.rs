//! Weather and sky.

use super::canvas::{BLACK, Canvas, Ink, WHITE, rgb};
use super::scene::{Scene, cloud};
use super::{Look, Pose, Thing};

pub(super) const THINGS: &[Thing] = &[
    Thing {
        label: "sun",
        scenes: &[Scene::Sky, Scene::Light, Scene::Pastel],
        looks: &[Look {
            color: "yellow",
            paint: rgb(0xfbc81c),
            second: rgb(0xf59a17),
            phrases: &["a bright yellow sun with rays", "the shining sun"],
            plural: "",
        }],
        pictures: 3,
        draw: sun,
        pose: Pose::Floating,
    },
    Thing {
        label: "rain cloud",
        scenes: &[Scene::Gray, Scene::Light, Scene::Gray],
        looks: &[Look {
            color: "gray",
            paint: rgb(0x77828f),
            second: rgb(0x3c87d0),
            phrases: &[
                "a gray rain cloud with blue drops",
                "heavy rain falling from a rain cloud",
            ],
            plural: "",
        }],
        pictures: 3,
        draw: rain,
        pose: Pose::Floating,
    },
    Thing {
        label: "snow cloud",
        scenes: &[Scene::Gray, Scene::Pastel, Scene::Gray],
        looks: &[Look {
            color: "white",
            paint: rgb(0xe9eef4),
            second: rgb(0x5fa3dc),
            phrases: &[
                "a white snow cloud with snowflakes",
                "snow falling from a snow cloud",
            ],
            plural: "",
        }],
        pictures: 3,
        draw: snow,
        pose: Pose::Floating,
    },
    Thing {
        label: "lightning",
        scenes: &[Scene::Night, Scene::Gray, Scene::Night],
        looks: &[Look {
            color: "yellow",
            paint: rgb(0x5a6272),
            second: rgb(0xffd52b),
            phrases: &[
                "yellow lightning from a dark cloud",
                "a thunderstorm with lightning",
            ],
            plural: "",
        }],
        pictures: 3,
        draw: lightning,
        pose: Pose::Floating,
    },
    Thing {
        label: "rainbow",
        scenes: &[Scene::Sky, Scene::Light, Scene::Pastel],
        looks: &[Look {
            color: "colorful",
            paint: WHITE,
            second: WHITE,
            phrases: &["a rainbow between two clouds", "a colorful rainbow"],
            plural: "",
        }],
        pictures: 3,
        draw: rainbow,
        pose: Pose::Floating,
    },
    Thing {
        label: "moon",
        scenes: &[Scene::Night],
        looks: &[Look {
            color: "yellow",
            paint: rgb(0xf8e59a),
            second: rgb(0xd8bf66),
            phrases: &[
                "a crescent moon",
                "the yellow moon, shaped like a crescent,",
            ],
            plural: "",
        }],
        pictures: 3,
        draw: moon,
        pose: Pose::Still,
    },
    Thing {
        label: "cloud",
        scenes: &[Scene::Sky],
        looks: &[Look {
            color: "white",
            paint: rgb(0xf4f8fb),
            second: WHITE,
            phrases: &["a fluffy white cloud", "a big white cloud"],
            plural: "",
        }],
        pictures: 2,
        draw: white_cloud,
        pose: Pose::Floating,
    },
    Thing {
        label: "snowman",
        scenes: &[Scene::Snow, Scene::Night, Scene::Pastel],
        looks: &[Look {
            color: "white",
            paint: rgb(0xf5f8fb),
            second: rgb(0xc9343a),
            phrases: &[
                "a snowman with a carrot nose and a hat",
                "a white snowman with a red scarf",
            ],
            plural: "",
        }],
        pictures: 3,
        draw: snowman,
        pose: Pose::Upright,
    },
];

fn sun(canvas: &mut Canvas, look: &Look) {
    for idx in 0..12 {
        let length = if idx % 2 == 0 { 1.0 } else { 0.86 };
        canvas.placed([0.0, 0.0], length, 30.0 * idx as f32, |canvas| {
            canvas.fill("M-10 -58 L 10 -58 0 -98 Z", look.second)
        });
    }
    canvas.circle(
        0.0,
        0.0,
        54.0,
        Ink::Glow(-12.0, -14.0, 72.0, rgb(0xfff1a0), look.paint),
    );
}

fn rain(canvas: &mut Canvas, look: &Look) {
    for (row, y) in [36.0, 66.0].into_iter().enumerate() {
        for idx in 0..5 {
            let x = -66.0 + 32.0 * idx as f32 + 14.0 * row as f32;
            canvas.placed([x, y], 1.0, 14.0, |canvas| {
                canvas.fill(
                    "M0 -14 C 4 -4 9 2 9 8 C 9 18 -9 18 -9 8 C -9 2 -4 -4 0 -14 Z",
                    Ink::Ball(0.0, 6.0, 10.0, look.second),
                );
            });
        }
    }
    cloud(canvas, 0.0, -26.0, 0.96, look.paint);
}

fn snow(canvas: &mut Canvas, look: &Look) {
    for (x, y, scale) in [
        (-62.0, 44.0, 1.0),
        (0.0, 54.0, 1.1),
        (62.0, 44.0, 1.0),
        (-32.0, 82.0, 0.9),
        (32.0, 84.0, 0.9),
    ] {
        canvas.placed([x, y], scale, 0.0, |canvas| {
            for idx in 0..6 {
                canvas.placed([0.0, 0.0], 1.0, 60.0 * idx as f32, |canvas| {
                    canvas.line(
                        "M0 0 L 0 -17 M0 -10 L -5 -15 M0 -10 L 5 -15",
                        2.6,
                        look.second,
                    )
                });
            }
        });
    }
    cloud(canvas, 0.0, -30.0, 0.94, look.paint);
}

fn lightning(canvas: &mut Canvas, look: &Look) {
    canvas.fill(
        "M8 -6 L -30 48 -6 48 -22 98 36 32 8 32 30 -6 Z",
        Ink::Down((-6.0, look.second.lighter(0.3)), (98.0, look.second)),
    );
    cloud(canvas, 0.0, -34.0, 0.96, look.paint);
}

fn rainbow(canvas: &mut Canvas, _: &Look) {
    canvas.inside("M-120 -100 L 120 -100 120 52 -120 52 Z", |canvas| {
        for (idx, color) in [
            0xe23b3b, 0xf28a1f, 0xf7d62f, 0x46ab4a, 0x2f78d0, 0x5746a8, 0x8d4fb8,
        ]
        .into_iter()
        .enumerate()
        {
            canvas.ring(0.0, 52.0, 92.0 - 9.0 * idx as f32, 9.6, rgb(color));
        }
    });
    cloud(canvas, -64.0, 56.0, 0.4, rgb(0xf0f4f8));
    cloud(canvas, 64.0, 56.0, 0.4, rgb(0xf0f4f8));
}

fn moon(canvas: &mut Canvas, look: &Look) {
    canvas.circle(
        6.0,
        0.0,
        112.0,
        Ink::Glow(
            6.0,
            0.0,
            112.0,
            look.paint.faded(0.28),
            look.paint.faded(0.0),
        ),
    );
    let crescent = "M36 -78 C -26 -96 -82 -50 -80 4 C -78 60 -18 96 42 74 C -4 66 -30 36 -30 0 C -30 -36 -4 -66 36 -78 Z";
    canvas.fill(
        crescent,
        Ink::Across((-80.0, look.paint.lighter(0.3)), (30.0, look.second)),
    );
    canvas.inside(crescent, |canvas| {
        for (x, y, radius) in [
            (-56.0, -10.0, 9.0),
            (-46.0, 30.0, 6.0),
            (-34.0, -44.0, 6.0),
            (-16.0, 62.0, 7.0),
        ] {
            canvas.circle(x, y, radius, look.second.faded(0.6));
        }
    });
}

fn white_cloud(canvas: &mut Canvas, look: &Look) {
    cloud(canvas, 0.0, 8.0, 1.0, look.paint);
}

fn snowman(canvas: &mut Canvas, look: &Look) {
    canvas.line(
        "M-40 8 L -84 -22 M-70 -12 L -86 -4 M40 8 L 84 -22 M70 -12 L 86 -4",
        5.0,
        rgb(0x6a4a2c),
    );
    for (y, radius) in [(52.0, 44.0), (-4.0, 34.0), (-50.0, 26.0)] {
        canvas.circle(0.0, y, radius + 1.5, rgb(0xb4c4d4));
        canvas.circle(
            0.0,
            y,
            radius,
            Ink::Glow(
                -0.3 * radius,
                y - 0.4 * radius,
                1.6 * radius,
                WHITE,
                rgb(0xc3d2e0),
            ),
        );
    }
    canvas.block([-26.0, -80.0, 52.0, 8.0], 3.0, BLACK);
    canvas.block([-18.0, -106.0, 36.0, 30.0], 3.0, BLACK);
    canvas.block([-18.0, -88.0, 36.0, 7.0], 0.0, look.second);
    canvas.both_sides(|canvas| canvas.circle(9.0, -56.0, 3.6, BLACK));
    canvas.fill("M0 -52 L 30 -44 0 -42 Z", rgb(0xf08a24));
    canvas.fill(
        "M-26 -32 Q 0 -18 26 -32 L 26 -22 Q 0 -8 -26 -22 Z",
        look.second,
    );
    canvas.fill("M10 -20 L 24 -22 28 10 14 12 Z", look.second.darker(0.15));
    for y in [-4.0, 14.0, 40.0, 60.0] {
        canvas.circle(0.0, y, 3.8, BLACK);
    }
}
