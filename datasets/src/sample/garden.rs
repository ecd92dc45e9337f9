//! House and garden.

use super::canvas::{Canvas, Ink, Rgb, WHITE, around, rgb};
use super::fruit::leaf;
use super::scene::Scene;
use super::{Look, Pose, Thing};

const OUTDOORS: &[Scene] = &[Scene::Meadow, Scene::Light];

pub(super) const THINGS: &[Thing] = &[
    Thing {
        label: "house",
        scenes: &[Scene::Meadow, Scene::Snow],
        looks: &[
            Look {
                color: "white",
                paint: rgb(0xf3ead8),
                second: rgb(0xb5402f),
                phrases: &[
                    "a white house with a red roof",
                    "a small house with a chimney and a red roof",
                ],
                plural: "",
            },
            Look {
                color: "yellow",
                paint: rgb(0xf2d27a),
                second: rgb(0x4a6b8f),
                phrases: &["a yellow house with a blue roof", "a small yellow house"],
                plural: "",
            },
        ],
        pictures: 2,
        draw: house,
        pose: Pose::Upright,
    },
    Thing {
        label: "tree",
        scenes: OUTDOORS,
        looks: &[
            Look {
                color: "green",
                paint: rgb(0x4f9a3c),
                second: rgb(0x7a5230),
                phrases: &["a green tree in summer", "a big leafy tree"],
                plural: "",
            },
            Look {
                color: "orange",
                paint: rgb(0xdf7f27),
                second: rgb(0x6f4a2b),
                phrases: &[
                    "a tree with orange autumn leaves",
                    "an autumn tree with orange leaves",
                ],
                plural: "",
            },
        ],
        pictures: 2,
        draw: tree,
        pose: Pose::Upright,
    },
    Thing {
        label: "fir tree",
        scenes: &[Scene::Snow, Scene::Meadow],
        looks: &[Look {
            color: "green",
            paint: rgb(0x2f7a4f),
            second: rgb(0x6b4526),
            phrases: &["a dark green fir tree", "a tall fir tree, a conifer,"],
            plural: "",
        }],
        pictures: 2,
        draw: fir,
        pose: Pose::Upright,
    },
    Thing {
        label: "tulip",
        scenes: OUTDOORS,
        looks: &[
            Look {
                color: "red",
                paint: rgb(0xd8303a),
                second: rgb(0x4d9a45),
                phrases: &["a red tulip flower", "a red tulip in bloom"],
                plural: "",
            },
            Look {
                color: "purple",
                paint: rgb(0x8a4fb5),
                second: rgb(0x4d9a45),
                phrases: &["a purple tulip flower", "a purple tulip in bloom"],
                plural: "",
            },
        ],
        pictures: 1,
        draw: tulip,
        pose: Pose::Still,
    },
    Thing {
        label: "sunflower",
        scenes: OUTDOORS,
        looks: &[Look {
            color: "yellow",
            paint: rgb(0xf6be1a),
            second: rgb(0x5f3b1d),
            phrases: &["a yellow sunflower", "a tall sunflower in bloom"],
            plural: "",
        }],
        pictures: 2,
        draw: sunflower,
        pose: Pose::Still,
    },
    Thing {
        label: "daisy",
        scenes: OUTDOORS,
        looks: &[Look {
            color: "white",
            paint: rgb(0xfbfbf7),
            second: rgb(0xf3bd24),
            phrases: &["a white daisy flower", "a daisy with white petals"],
            plural: "",
        }],
        pictures: 2,
        draw: daisy,
        pose: Pose::Still,
    },
    Thing {
        label: "mushroom",
        scenes: OUTDOORS,
        looks: &[Look {
            color: "red",
            paint: rgb(0xcf2b2b),
            second: rgb(0xf4ecdc),
            phrases: &[
                "a red mushroom with white dots",
                "a fly agaric, a red toadstool mushroom,",
            ],
            plural: "",
        }],
        pictures: 2,
        draw: mushroom,
        pose: Pose::Still,
    },
    Thing {
        label: "cactus",
        scenes: &[Scene::Desert, Scene::Light],
        looks: &[Look {
            color: "green",
            paint: rgb(0x4e9a56),
            second: rgb(0xe56f9a),
            phrases: &["a green cactus with a pink flower", "a prickly cactus"],
            plural: "",
        }],
        pictures: 2,
        draw: cactus,
        pose: Pose::Upright,
    },
    Thing {
        label: "umbrella",
        scenes: &[Scene::Light, Scene::Pastel],
        looks: &[
            Look {
                color: "red",
                paint: rgb(0xd43338),
                second: rgb(0x6b4526),
                phrases: &["an open red umbrella"],
                plural: "",
            },
            Look {
                color: "blue",
                paint: rgb(0x2f66bd),
                second: rgb(0x6b4526),
                phrases: &["an open blue umbrella"],
                plural: "",
            },
        ],
        pictures: 1,
        draw: umbrella,
        pose: Pose::Still,
    },
];

fn house(canvas: &mut Canvas, look: &Look) {
    canvas.block([34.0, -78.0, 20.0, 48.0], 2.0, rgb(0x9a5a44));
    canvas.block(
        [-70.0, -14.0, 140.0, 102.0],
        2.0,
        Ink::Across(
            (-70.0, look.paint.lighter(0.2)),
            (70.0, look.paint.darker(0.12)),
        ),
    );
    canvas.fill(
        "M0 -92 L 94 -10 -94 -10 Z",
        Ink::Down(
            (-92.0, look.second.lighter(0.15)),
            (-10.0, look.second.darker(0.15)),
        ),
    );
    canvas.line(
        "M-62 -36 L 62 -36 M-34 -62 L 34 -62",
        2.0,
        look.second.darker(0.3),
    );
    canvas.block([-16.0, 28.0, 34.0, 60.0], 3.0, rgb(0x7d4a2a));
    canvas.circle(11.0, 60.0, 3.0, rgb(0xf0c040));
    for x in [-56.0, 32.0] {
        canvas.block([x - 2.0, 8.0, 30.0, 32.0], 2.0, WHITE);
        canvas.block(
            [x, 10.0, 26.0, 28.0],
            1.0,
            Ink::Down((10.0, rgb(0xbfe2f4)), (38.0, rgb(0x7fb2d3))),
        );
        canvas.line(
            &format!(
                "M{} 10 L {} 38 M{x} 24 L {} 24",
                x + 13.0,
                x + 13.0,
                x + 26.0
            ),
            2.4,
            WHITE,
        );
    }
    canvas.circle(0.0, -40.0, 11.0, WHITE);
    canvas.circle(0.0, -40.0, 8.0, rgb(0x9ccbe6));
}

fn tree(canvas: &mut Canvas, look: &Look) {
    canvas.fill(
        "M-12 10 C -10 50 -14 76 -28 90 L 28 90 C 14 76 10 50 12 10 Z",
        Ink::Across(
            (-20.0, look.second.lighter(0.15)),
            (20.0, look.second.darker(0.25)),
        ),
    );
    canvas.line("M0 40 L 26 10 M0 48 L -24 18", 7.0, look.second);
    for (x, y, radius) in [
        (-40.0, -6.0, 38.0),
        (42.0, -8.0, 38.0),
        (0.0, 2.0, 42.0),
        (-26.0, -46.0, 38.0),
        (28.0, -48.0, 38.0),
        (0.0, -68.0, 30.0),
    ] {
        canvas.ball(x, y, radius, look.paint);
    }
    for idx in 0..36 {
        let (x, y) = around(137.5 * idx as f32, 10.5 * (idx as f32).sqrt());
        let shade = if idx % 2 == 0 {
            look.paint.lighter(0.28)
        } else {
            look.paint.darker(0.22)
        };
        canvas.oval(x, y - 32.0, 5.0, 3.4, shade.faded(0.75));
    }
}

fn fir(canvas: &mut Canvas, look: &Look) {
    canvas.block([-11.0, 60.0, 22.0, 32.0], 2.0, look.second);
    for (top, bottom, half) in [(0.0, 70.0, 72.0), (-46.0, 28.0, 56.0), (-98.0, -18.0, 40.0)] {
        let path = format!(
            "M0 {top} L {half} {bottom} Q {} {} 0 {} Q {} {} {} {bottom} Z",
            half * 0.5,
            bottom - 6.0,
            bottom + 4.0,
            -half * 0.5,
            bottom - 6.0,
            -half
        );
        canvas.fill(
            &path,
            Ink::Down(
                (top, look.paint.lighter(0.22)),
                (bottom, look.paint.darker(0.2)),
            ),
        );
    }
}

fn stem(canvas: &mut Canvas, top: f32, color: Rgb) {
    canvas.line(&format!("M0 {top} Q 4 50 0 94"), 8.0, color);
}

fn tulip(canvas: &mut Canvas, look: &Look) {
    stem(canvas, 0.0, look.second);
    canvas.both_sides(|canvas| {
        canvas.fill(
            "M2 92 C 12 40 40 14 62 4 C 58 44 36 80 2 92 Z",
            Ink::Down(
                (4.0, look.second.lighter(0.2)),
                (92.0, look.second.darker(0.2)),
            ),
        )
    });
    canvas.fill("M-48 -78 C -58 -20 -40 14 0 16 C 40 14 58 -20 48 -78 C 34 -70 30 -60 24 -50 C 18 -66 10 -80 0 -92 C -10 -80 -18 -66 -24 -50 C -30 -60 -34 -70 -48 -78 Z", Ink::Ball(0.0, -30.0, 58.0, look.paint));
    canvas.line(
        "M-24 -50 C -22 -24 -14 0 0 14 M24 -50 C 22 -24 14 0 0 14",
        2.4,
        look.paint.darker(0.35),
    );
}

fn petals(canvas: &mut Canvas, count: u32, length: f32, color: Rgb) {
    for idx in 0..count {
        canvas.placed(
            [0.0, -24.0],
            1.0,
            360.0 * idx as f32 / count as f32,
            |canvas| {
                canvas.oval(0.0, -length, 11.0, 24.0, color.darker(0.2));
                canvas.oval(0.0, -length, 9.5, 22.5, color);
            },
        );
    }
}

fn sunflower(canvas: &mut Canvas, look: &Look) {
    stem(canvas, 0.0, rgb(0x4d8f3c));
    leaf(canvas, [2.0, 72.0], 0.9, -24.0);
    canvas.mirrored(|canvas| leaf(canvas, [0.0, 80.0], 0.9, -20.0));
    petals(canvas, 18, 48.0, look.paint.darker(0.1));
    petals(canvas, 12, 42.0, look.paint);
    canvas.ball(0.0, -24.0, 33.0, look.second);
    for idx in 0..40 {
        let (x, y) = around(137.5 * idx as f32, 4.6 * (idx as f32).sqrt());
        canvas.circle(x, y - 24.0, 1.7, rgb(0xc98f3a));
    }
}

fn daisy(canvas: &mut Canvas, look: &Look) {
    stem(canvas, 0.0, rgb(0x4d9a45));
    leaf(canvas, [2.0, 80.0], 0.7, -30.0);
    petals(canvas, 14, 42.0, look.paint);
    canvas.ball(0.0, -24.0, 22.0, look.second);
}

fn mushroom(canvas: &mut Canvas, look: &Look) {
    canvas.fill(
        "M-24 4 C -20 40 -30 70 -34 84 C -20 94 20 94 34 84 C 30 70 20 40 24 4 Z",
        Ink::Across(
            (-30.0, look.second.lighter(0.4)),
            (32.0, look.second.darker(0.18)),
        ),
    );
    canvas.fill(
        "M-36 20 Q 0 36 36 20 L 30 34 Q 0 46 -30 34 Z",
        look.second.darker(0.08),
    );
    canvas.oval(0.0, 12.0, 86.0, 14.0, look.second.darker(0.2));
    let cap = "M-92 12 C -90 -52 -46 -84 0 -84 C 46 -84 90 -52 92 12 C 50 22 -50 22 -92 12 Z";
    canvas.fill(cap, Ink::Ball(0.0, -30.0, 90.0, look.paint));
    canvas.inside(cap, |canvas| {
        for (x, y, radius) in [
            (-6.0, -58.0, 13.0),
            (-48.0, -36.0, 12.0),
            (40.0, -40.0, 14.0),
            (0.0, -14.0, 15.0),
            (-66.0, 0.0, 11.0),
            (64.0, -2.0, 12.0),
        ] {
            canvas.oval(x, y, radius, 0.85 * radius, WHITE);
        }
    });
}

fn cactus(canvas: &mut Canvas, look: &Look) {
    let arm = |canvas: &mut Canvas, path: &str| {
        canvas.line(path, 30.0, look.paint.darker(0.2));
        canvas.line(path, 24.0, look.paint);
    };
    arm(canvas, "M0 36 L -44 36 Q -54 36 -54 24 L -54 -14");
    arm(canvas, "M0 10 L 42 10 Q 54 10 54 -2 L 54 -44");
    canvas.block(
        [-27.0, -86.0, 54.0, 176.0],
        27.0,
        Ink::Across(
            (-27.0, look.paint.lighter(0.2)),
            (27.0, look.paint.darker(0.25)),
        ),
    );
    canvas.line(
        "M-11 -70 L -11 86 M9 -72 L 9 86",
        2.4,
        look.paint.darker(0.35),
    );
    for idx in 0..7 {
        let y = -60.0 + 22.0 * idx as f32;
        canvas.line(
            &format!(
                "M-22 {y} L -29 {} M22 {y} L 29 {} M0 {y} L 0 {}",
                y - 4.0,
                y - 4.0,
                y - 6.0
            ),
            1.8,
            rgb(0xf4f0d2),
        );
    }
    for idx in 0..6 {
        canvas.placed([0.0, -88.0], 1.0, 60.0 * idx as f32, |canvas| {
            canvas.oval(0.0, -9.0, 6.0, 9.0, look.second)
        });
    }
    canvas.circle(0.0, -88.0, 5.0, rgb(0xf9d24a));
}

fn umbrella(canvas: &mut Canvas, look: &Look) {
    canvas.line("M0 -88 L 0 66 C 0 94 -34 94 -34 68", 6.0, look.second);
    let dome = "M-96 0 C -92 -58 -48 -84 0 -84 C 48 -84 92 -58 96 0 Q 80 -16 64 0 Q 48 -16 32 0 Q 16 -16 0 0 Q -16 -16 -32 0 Q -48 -16 -64 0 Q -80 -16 -96 0 Z";
    canvas.fill(dome, Ink::Ball(0.0, -20.0, 96.0, look.paint));
    canvas.line("M0 -84 C -30 -60 -34 -24 -32 0 M0 -84 C 30 -60 34 -24 32 0 M0 -84 C -60 -70 -66 -24 -64 0 M0 -84 C 60 -70 66 -24 64 0", 2.2, look.paint.darker(0.35));
}
