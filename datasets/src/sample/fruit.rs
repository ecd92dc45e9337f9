//! Fruit.

use super::canvas::{Canvas, Ink, WHITE, around, rgb};
use super::scene::Scene;
use super::{Look, Pose, Thing};

const SCENES: &[Scene] = &[Scene::Light, Scene::Table, Scene::Pastel];

pub(super) const THINGS: &[Thing] = &[
    Thing {
        label: "apple",
        scenes: SCENES,
        looks: &[
            Look {
                color: "green",
                paint: rgb(0x7fb82f),
                second: rgb(0xa9d15a),
                phrases: &["a green apple with a leaf", "a fresh green apple"],
                plural: "green apples",
            },
            Look {
                color: "red",
                paint: rgb(0xc9202b),
                second: rgb(0xe86a3d),
                phrases: &["a shiny red apple", "a ripe red apple with a leaf"],
                plural: "red apples",
            },
            Look {
                color: "yellow",
                paint: rgb(0xeec12f),
                second: rgb(0xf3d977),
                phrases: &["a yellow apple with a small leaf", "a golden yellow apple"],
                plural: "yellow apples",
            },
        ],
        pictures: 2,
        draw: apple,
        pose: Pose::Still,
    },
    Thing {
        label: "banana",
        scenes: SCENES,
        looks: &[Look {
            color: "yellow",
            paint: rgb(0xf4cf2b),
            second: rgb(0x6b4a1f),
            phrases: &["a ripe yellow banana", "a curved banana"],
            plural: "yellow bananas",
        }],
        pictures: 2,
        draw: banana,
        pose: Pose::Still,
    },
    Thing {
        label: "banana bunch",
        scenes: SCENES,
        looks: &[Look {
            color: "yellow",
            paint: rgb(0xf2c928),
            second: rgb(0x6b4a1f),
            phrases: &["a bunch of bananas", "a bunch of ripe yellow bananas"],
            plural: "",
        }],
        pictures: 2,
        draw: banana_bunch,
        pose: Pose::Still,
    },
    Thing {
        label: "orange",
        scenes: SCENES,
        looks: &[Look {
            color: "orange",
            paint: rgb(0xf38a13),
            second: rgb(0xfbb95a),
            phrases: &["a round orange with a leaf", "a juicy orange"],
            plural: "oranges",
        }],
        pictures: 3,
        draw: orange,
        pose: Pose::Still,
    },
    Thing {
        label: "orange slice",
        scenes: SCENES,
        looks: &[Look {
            color: "orange",
            paint: rgb(0xf38a13),
            second: rgb(0xfdb648),
            phrases: &["a slice of orange", "a round slice of an orange"],
            plural: "",
        }],
        pictures: 2,
        draw: orange_slice,
        pose: Pose::Still,
    },
    Thing {
        label: "pear",
        scenes: SCENES,
        looks: &[
            Look {
                color: "green",
                paint: rgb(0xa5bf3a),
                second: rgb(0xcbd96a),
                phrases: &["a green pear", "a ripe green pear with a stalk"],
                plural: "green pears",
            },
            Look {
                color: "yellow",
                paint: rgb(0xe9c53f),
                second: rgb(0xf5df85),
                phrases: &["a yellow pear", "a soft yellow pear"],
                plural: "yellow pears",
            },
        ],
        pictures: 2,
        draw: pear,
        pose: Pose::Still,
    },
    Thing {
        label: "strawberry",
        scenes: SCENES,
        looks: &[Look {
            color: "red",
            paint: rgb(0xd9202e),
            second: rgb(0xf7d774),
            phrases: &["a red strawberry with green leaves", "a sweet strawberry"],
            plural: "strawberries",
        }],
        pictures: 3,
        draw: strawberry,
        pose: Pose::Still,
    },
    Thing {
        label: "grapes",
        scenes: SCENES,
        looks: &[
            Look {
                color: "purple",
                paint: rgb(0x6b2f86),
                second: rgb(0x6f9c3c),
                phrases: &["a bunch of purple grapes", "dark grapes with a vine leaf"],
                plural: "",
            },
            Look {
                color: "green",
                paint: rgb(0xa6c64a),
                second: rgb(0x6f9c3c),
                phrases: &["a bunch of green grapes", "white grapes with a vine leaf"],
                plural: "",
            },
        ],
        pictures: 2,
        draw: grapes,
        pose: Pose::Still,
    },
    Thing {
        label: "cherry",
        scenes: SCENES,
        looks: &[Look {
            color: "red",
            paint: rgb(0xa9142b),
            second: rgb(0x5f8f2f),
            phrases: &[
                "two red cherries on one stalk",
                "a pair of cherries with a leaf",
            ],
            plural: "",
        }],
        pictures: 3,
        draw: cherry,
        pose: Pose::Still,
    },
    Thing {
        label: "lemon",
        scenes: SCENES,
        looks: &[Look {
            color: "yellow",
            paint: rgb(0xf6df2f),
            second: rgb(0xfbf0a0),
            phrases: &["a yellow lemon", "a sour lemon with a leaf"],
            plural: "lemons",
        }],
        pictures: 3,
        draw: lemon,
        pose: Pose::Still,
    },
    Thing {
        label: "watermelon",
        scenes: SCENES,
        looks: &[Look {
            color: "green",
            paint: rgb(0x3f8f3f),
            second: rgb(0x1f5a2a),
            phrases: &["a striped green watermelon", "a whole watermelon"],
            plural: "",
        }],
        pictures: 2,
        draw: watermelon,
        pose: Pose::Still,
    },
    Thing {
        label: "watermelon slice",
        scenes: SCENES,
        looks: &[Look {
            color: "red",
            paint: rgb(0xe8414f),
            second: rgb(0x2f7d3a),
            phrases: &[
                "a slice of watermelon with black seeds",
                "a red watermelon slice",
            ],
            plural: "",
        }],
        pictures: 2,
        draw: watermelon_slice,
        pose: Pose::Still,
    },
    Thing {
        label: "pineapple",
        scenes: SCENES,
        looks: &[Look {
            color: "brown",
            paint: rgb(0xd8992b),
            second: rgb(0x3f8a45),
            phrases: &["a pineapple with a crown of leaves", "a ripe pineapple"],
            plural: "pineapples",
        }],
        pictures: 3,
        draw: pineapple,
        pose: Pose::Still,
    },
    Thing {
        label: "kiwi",
        scenes: SCENES,
        looks: &[Look {
            color: "green",
            paint: rgb(0x8fbf3f),
            second: rgb(0x8a6a3c),
            phrases: &["half a kiwi with green flesh", "a kiwi fruit cut in half"],
            plural: "",
        }],
        pictures: 2,
        draw: kiwi,
        pose: Pose::Still,
    },
    Thing {
        label: "blueberry",
        scenes: SCENES,
        looks: &[Look {
            color: "blue",
            paint: rgb(0x46589e),
            second: rgb(0x2c3a70),
            phrases: &["a handful of blueberries", "some blue blueberries"],
            plural: "",
        }],
        pictures: 2,
        draw: blueberries,
        pose: Pose::Still,
    },
];

/// A leaf that grows from the origin to the right.
pub(super) fn leaf(canvas: &mut Canvas, at: [f32; 2], scale: f32, degrees: f32) {
    canvas.placed(at, scale, degrees, |canvas| {
        canvas.fill(
            "M0 0 C 14 -26 46 -26 62 -4 C 46 14 16 16 0 0 Z",
            Ink::Down((-24.0, rgb(0x7cc04a)), (14.0, rgb(0x3f8a33))),
        );
        canvas.line("M4 -1 Q 30 -10 54 -4", 2.0, rgb(0x2f6d28));
    });
}

fn apple(canvas: &mut Canvas, look: &Look) {
    canvas.line("M2 -50 C 0 -66 6 -78 14 -86", 7.0, rgb(0x6a4526));
    let body = "M0 -50 C -26 -70 -84 -62 -84 -2 C -84 46 -50 88 -22 88 C -8 88 -6 84 0 84 C 6 84 8 88 22 88 C 50 88 84 46 84 -2 C 84 -62 26 -70 0 -50 Z";
    canvas.fill(body, Ink::Ball(0.0, 14.0, 88.0, look.paint));
    canvas.inside(body, |canvas| {
        canvas.circle(
            36.0,
            30.0,
            44.0,
            Ink::Glow(
                36.0,
                30.0,
                44.0,
                look.second.faded(0.7),
                look.second.faded(0.0),
            ),
        );
        canvas.oval(
            0.0,
            -52.0,
            30.0,
            13.0,
            Ink::Glow(
                0.0,
                -52.0,
                28.0,
                look.paint.darker(0.55).faded(0.9),
                look.paint.darker(0.4).faded(0.0),
            ),
        );
    });
    canvas.placed([-44.0, -18.0], 1.0, 24.0, |canvas| {
        canvas.oval(0.0, 0.0, 11.0, 22.0, WHITE.faded(0.5))
    });
    leaf(canvas, [8.0, -66.0], 0.95, -8.0);
}

fn banana_shape(canvas: &mut Canvas, look: &Look) {
    let body = "M-84 -36 C -70 40 0 78 80 34 C 86 30 92 20 86 14 C 30 40 -34 14 -62 -44 C -68 -54 -86 -48 -84 -36 Z";
    canvas.fill(
        body,
        Ink::Down(
            (-40.0, look.paint.lighter(0.25)),
            (66.0, look.paint.darker(0.2)),
        ),
    );
    canvas.line(
        "M-74 -36 C -52 26 10 54 82 26",
        3.0,
        look.paint.darker(0.25).faded(0.8),
    );
    canvas.fill(
        "M-84 -38 L -90 -60 -74 -64 -62 -44 Z",
        look.second.mixed(look.paint, 0.35),
    );
    canvas.fill("M78 34 L 94 26 92 14 84 14 Z", look.second);
}

fn banana(canvas: &mut Canvas, look: &Look) {
    canvas.placed([0.0, 22.0], 1.05, -4.0, |canvas| banana_shape(canvas, look));
}

fn banana_bunch(canvas: &mut Canvas, look: &Look) {
    canvas.placed([-14.0, 14.0], 0.84, 0.0, |canvas| bananas(canvas, look));
}

fn bananas(canvas: &mut Canvas, look: &Look) {
    for (degrees, shade) in [(-30.0, 0.16), (-6.0, 0.08), (18.0, 0.0)] {
        let shaded = Look {
            paint: look.paint.darker(shade),
            phrases: &[],
            ..*look
        };
        canvas.placed([-66.0, -58.0], 0.98, degrees, |canvas| {
            canvas.placed([78.0, 52.0], 1.0, 0.0, |canvas| {
                banana_shape(canvas, &shaded)
            })
        });
    }
    canvas.fill("M-86 -74 L -60 -84 -46 -52 -70 -40 Z", look.second);
}

fn orange(canvas: &mut Canvas, look: &Look) {
    canvas.ball(0.0, 8.0, 80.0, look.paint);
    for idx in 0..40 {
        let (x, y) = around(137.5 * idx as f32, 11.5 * (idx as f32).sqrt());
        canvas.circle(x, 8.0 + y, 2.0, look.paint.darker(0.16).faded(0.7));
    }
    canvas.placed([-32.0, -26.0], 1.0, 40.0, |canvas| {
        canvas.oval(0.0, 0.0, 12.0, 22.0, WHITE.faded(0.45))
    });
    canvas.polygon(
        super::canvas::star(5, 11.0, 5.0).map(|(x, y)| (x + 4.0, y - 64.0)),
        rgb(0x5d7f2c),
    );
    leaf(canvas, [8.0, -66.0], 0.85, -14.0);
}

fn orange_slice(canvas: &mut Canvas, look: &Look) {
    canvas.circle(0.0, 0.0, 84.0, look.paint);
    canvas.circle(0.0, 0.0, 75.0, rgb(0xfff3d6));
    for idx in 0..9 {
        let degrees = 40.0 * idx as f32;
        canvas.placed([0.0, 0.0], 1.0, degrees, |canvas| {
            canvas.fill(
                "M0 -8 C -6 -20 -22 -56 -20 -62 C -14 -72 14 -72 20 -62 C 22 -56 6 -20 0 -8 Z",
                Ink::Down((-70.0, look.second), (0.0, look.paint.lighter(0.1))),
            );
        });
    }
    canvas.circle(0.0, 0.0, 7.0, rgb(0xfff3d6));
}

fn pear(canvas: &mut Canvas, look: &Look) {
    canvas.line("M0 -70 Q 2 -86 12 -96", 7.0, rgb(0x6a4526));
    let body = "M0 -78 C -24 -78 -30 -54 -34 -28 C -38 -4 -72 8 -72 44 C -72 78 -40 92 0 92 C 40 92 72 78 72 44 C 72 8 38 -4 34 -28 C 30 -54 24 -78 0 -78 Z";
    canvas.fill(body, Ink::Ball(0.0, 34.0, 84.0, look.paint));
    canvas.inside(body, |canvas| {
        canvas.circle(
            26.0,
            54.0,
            44.0,
            Ink::Glow(
                26.0,
                54.0,
                44.0,
                look.second.faded(0.7),
                look.second.faded(0.0),
            ),
        );
        for idx in 0..26 {
            let (x, y) = around(137.5 * idx as f32, 12.0 * (idx as f32).sqrt());
            canvas.circle(x, 44.0 + y, 1.5, look.paint.darker(0.35).faded(0.6));
        }
    });
    canvas.placed([-34.0, 18.0], 1.0, 24.0, |canvas| {
        canvas.oval(0.0, 0.0, 9.0, 22.0, WHITE.faded(0.4))
    });
    leaf(canvas, [6.0, -82.0], 0.7, 4.0);
}

fn strawberry(canvas: &mut Canvas, look: &Look) {
    let body = "M0 -52 C -40 -66 -82 -40 -72 4 C -62 46 -24 78 0 94 C 24 78 62 46 72 4 C 82 -40 40 -66 0 -52 Z";
    canvas.fill(body, Ink::Ball(0.0, 4.0, 84.0, look.paint));
    for (row, y) in [-26.0, -2.0, 22.0, 46.0, 66.0].into_iter().enumerate() {
        let seeds = [5, 4, 4, 3, 1][row];
        for idx in 0..seeds {
            let x = (idx as f32 - (seeds - 1) as f32 / 2.0) * 25.0;
            canvas.oval(x, y, 2.8, 4.6, look.second);
        }
    }
    canvas.line("M0 -58 Q 2 -76 12 -88", 6.0, rgb(0x4f8a34));
    for degrees in [-78.0, -40.0, 0.0, 40.0, 78.0] {
        canvas.placed([0.0, -58.0], 1.0, degrees, |canvas| {
            canvas.fill(
                "M-9 0 Q -12 22 0 42 Q 12 22 9 0 Z",
                Ink::Down((0.0, rgb(0x6fb545)), (42.0, rgb(0x3c8231))),
            );
        });
    }
}

fn grapes(canvas: &mut Canvas, look: &Look) {
    canvas.line("M2 -56 Q 0 -78 12 -92", 7.0, rgb(0x6a4a2a));
    leaf(canvas, [4.0, -66.0], 0.9, -12.0);
    canvas.mirrored(|canvas| leaf(canvas, [0.0, -66.0], 0.7, -6.0));
    for (row, count) in [4, 5, 4, 3, 2, 1].into_iter().enumerate() {
        for idx in 0..count {
            let x = (idx as f32 - (count - 1) as f32 / 2.0) * 32.0;
            let y = -44.0 + 25.0 * row as f32;
            canvas.ball(x, y, 19.0, look.paint);
            canvas.circle(x - 6.0, y - 7.0, 4.0, WHITE.faded(0.5));
        }
    }
}

fn cherry(canvas: &mut Canvas, look: &Look) {
    canvas.line("M-42 22 C -34 -20 -10 -60 18 -84", 5.0, look.second);
    canvas.line("M44 34 C 46 -6 34 -52 18 -84", 5.0, look.second);
    leaf(canvas, [18.0, -82.0], 1.0, 12.0);
    for (x, y) in [(-42.0, 48.0), (44.0, 56.0)] {
        canvas.ball(x, y, 39.0, look.paint);
        canvas.oval(x, y - 32.0, 13.0, 5.0, look.paint.darker(0.45));
        canvas.circle(x - 14.0, y - 12.0, 8.0, WHITE.faded(0.55));
    }
}

fn lemon(canvas: &mut Canvas, look: &Look) {
    canvas.placed([0.0, 24.0], 1.0, -18.0, |canvas| {
        let body = "M-96 0 C -88 -10 -80 -12 -70 -26 C -46 -66 46 -66 70 -26 C 80 -12 88 -10 96 0 C 88 10 80 12 70 26 C 46 66 -46 66 -70 26 C -80 12 -88 10 -96 0 Z";
        canvas.fill(body, Ink::Ball(0.0, 0.0, 76.0, look.paint));
        for idx in 0..30 {
            let (x, y) = around(137.5 * idx as f32, 9.0 * (idx as f32).sqrt());
            canvas.circle(1.3 * x, 0.8 * y, 1.8, look.paint.darker(0.16).faded(0.7));
        }
        canvas.oval(-26.0, -26.0, 22.0, 9.0, WHITE.faded(0.5));
        leaf(canvas, [80.0, -16.0], 0.75, -62.0);
    });
}

fn watermelon(canvas: &mut Canvas, look: &Look) {
    canvas.oval(
        0.0,
        14.0,
        94.0,
        74.0,
        Ink::Ball(0.0, 14.0, 92.0, look.paint),
    );
    canvas.inside_oval(0.0, 14.0, 94.0, 74.0, |canvas| {
        for x in [-72.0f32, -38.0, 0.0, 38.0, 72.0] {
            let bow = 1.25 * x;
            let path = format!(
                "M{} -64 Q {} -30 {} 4 Q {} 50 {} 92",
                0.35 * x,
                bow - 8.0,
                bow + 4.0,
                bow - 6.0,
                0.35 * x
            );
            canvas.line(&path, 11.0, look.second.faded(0.85));
        }
        canvas.oval(-34.0, -22.0, 24.0, 12.0, WHITE.faded(0.25));
    });
    canvas.line("M0 -58 Q 4 -72 18 -76", 6.0, rgb(0x6f8a3a));
}

fn watermelon_slice(canvas: &mut Canvas, look: &Look) {
    canvas.placed([0.0, -14.0], 1.0, -8.0, |canvas| {
        canvas.fill(
            "M-98 0 C -96 132 96 132 98 0 Z",
            Ink::Down(
                (0.0, look.second.lighter(0.1)),
                (100.0, look.second.darker(0.15)),
            ),
        );
        canvas.fill("M-86 0 C -84 114 84 114 86 0 Z", rgb(0xe9f5cf));
        canvas.fill(
            "M-78 0 C -76 102 76 102 78 0 Z",
            Ink::Down((0.0, look.paint.lighter(0.12)), (80.0, look.paint)),
        );
        for (x, y) in [
            (-48.0, 18.0),
            (-16.0, 14.0),
            (18.0, 16.0),
            (50.0, 18.0),
            (-32.0, 42.0),
            (2.0, 42.0),
            (34.0, 42.0),
            (-10.0, 62.0),
            (16.0, 62.0),
        ] {
            canvas.oval(x, y, 3.6, 6.0, rgb(0x2a1a16));
        }
    });
}

fn pineapple(canvas: &mut Canvas, look: &Look) {
    for (degrees, length) in [
        (-58.0, 0.8),
        (58.0, 0.8),
        (-34.0, 1.0),
        (34.0, 1.0),
        (-12.0, 1.15),
        (14.0, 1.15),
    ] {
        canvas.placed([0.0, -30.0], length, degrees, |canvas| {
            canvas.fill(
                "M-11 0 Q -14 -34 0 -62 Q 14 -34 11 0 Z",
                Ink::Down(
                    (-62.0, look.second.lighter(0.25)),
                    (0.0, look.second.darker(0.2)),
                ),
            );
        });
    }
    canvas.oval(
        0.0,
        32.0,
        52.0,
        62.0,
        Ink::Ball(0.0, 32.0, 64.0, look.paint),
    );
    canvas.inside_oval(0.0, 32.0, 52.0, 62.0, |canvas| {
        for step in -8..9 {
            let x = 22.0 * step as f32;
            canvas.line(
                &format!("M{} -40 L {} 104", x - 60.0, x + 60.0),
                2.6,
                rgb(0x8f5a17),
            );
            canvas.line(
                &format!("M{} -40 L {} 104", x + 60.0, x - 60.0),
                2.6,
                rgb(0x8f5a17),
            );
        }
    });
}

fn kiwi(canvas: &mut Canvas, look: &Look) {
    canvas.oval(0.0, 6.0, 88.0, 76.0, Ink::Ball(0.0, 6.0, 88.0, look.second));
    canvas.oval(
        0.0,
        4.0,
        78.0,
        66.0,
        Ink::Glow(0.0, 4.0, 78.0, look.paint.lighter(0.35), look.paint),
    );
    for idx in 0..30 {
        canvas.placed([0.0, 4.0], 1.0, 12.0 * idx as f32, |canvas| {
            canvas.line("M0 -20 L 0 -58", 1.4, look.paint.lighter(0.5).faded(0.8));
            let y = if idx % 2 == 0 { -36.0 } else { -30.0 };
            canvas.oval(0.0, y, 2.6, 5.0, rgb(0x22201a));
        });
    }
    canvas.oval(0.0, 4.0, 24.0, 19.0, rgb(0xf0f2cf));
}

fn blueberries(canvas: &mut Canvas, look: &Look) {
    for (x, y) in [
        (-30.0, -28.0),
        (28.0, -26.0),
        (-58.0, 26.0),
        (0.0, 20.0),
        (56.0, 28.0),
        (-26.0, 60.0),
        (30.0, 62.0),
    ] {
        canvas.ball(x, y, 33.0, look.paint);
        canvas.polygon(
            super::canvas::star(5, 14.0, 7.0).map(|(dx, dy)| (x + 4.0 + dx, y - 8.0 + 0.8 * dy)),
            look.second,
        );
        canvas.circle(x + 4.0, y - 8.0, 5.0, look.second.darker(0.4));
    }
    leaf(canvas, [20.0, -52.0], 0.9, -30.0);
}
