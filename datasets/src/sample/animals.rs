//! Animals.

use super::canvas::{BLACK, Canvas, Ink, Rgb, WHITE, rgb};
use super::scene::Scene;
use super::{Look, Pose, Thing};

const LAND: &[Scene] = &[Scene::Meadow, Scene::Light, Scene::Pastel];
const AIR: &[Scene] = &[Scene::Sky, Scene::Light, Scene::Pastel];

pub(super) const THINGS: &[Thing] = &[
    Thing {
        label: "cat",
        scenes: LAND,
        looks: &[
            Look {
                color: "orange",
                paint: rgb(0xe8923a),
                second: rgb(0xb8641c),
                phrases: &["an orange tabby cat", "a sitting orange cat with stripes"],
                plural: "",
            },
            Look {
                color: "gray",
                paint: rgb(0x8d939c),
                second: rgb(0x5f656e),
                phrases: &["a gray cat", "a sitting gray cat with whiskers"],
                plural: "",
            },
            Look {
                color: "black",
                paint: rgb(0x34343c),
                second: rgb(0x24242a),
                phrases: &["a black cat with yellow eyes", "a sitting black cat"],
                plural: "",
            },
        ],
        pictures: 2,
        draw: cat,
        pose: Pose::Upright,
    },
    Thing {
        label: "dog",
        scenes: LAND,
        looks: &[
            Look {
                color: "brown",
                paint: rgb(0xa8703f),
                second: rgb(0x6f4522),
                phrases: &[
                    "a brown dog with floppy ears",
                    "a friendly brown dog with its tongue out",
                ],
                plural: "",
            },
            Look {
                color: "white",
                paint: rgb(0xf1ece4),
                second: rgb(0x4d4036),
                phrases: &[
                    "a white dog with dark ears",
                    "a white dog with its tongue out",
                ],
                plural: "",
            },
        ],
        pictures: 2,
        draw: dog,
        pose: Pose::Sideways,
    },
    Thing {
        label: "fish",
        scenes: &[Scene::Underwater, Scene::Light],
        looks: &[
            Look {
                color: "orange",
                paint: rgb(0xf47b20),
                second: rgb(0xfff4e2),
                phrases: &[
                    "an orange fish with white stripes",
                    "an orange and white striped fish",
                ],
                plural: "",
            },
            Look {
                color: "blue",
                paint: rgb(0x2f6fd0),
                second: rgb(0xf4d53a),
                phrases: &["a blue fish with yellow stripes", "a blue tropical fish"],
                plural: "",
            },
            Look {
                color: "red",
                paint: rgb(0xd23a3f),
                second: rgb(0xf3a29a),
                phrases: &["a red fish", "a red striped fish"],
                plural: "",
            },
        ],
        pictures: 2,
        draw: fish,
        pose: Pose::Sideways,
    },
    Thing {
        label: "bird",
        scenes: AIR,
        looks: &[
            Look {
                color: "blue",
                paint: rgb(0x3f7fd4),
                second: rgb(0x254f92),
                phrases: &["a small blue bird", "a blue bird on a branch"],
                plural: "",
            },
            Look {
                color: "red",
                paint: rgb(0xd43a35),
                second: rgb(0x8f1f22),
                phrases: &["a small red bird", "a red bird on a branch"],
                plural: "",
            },
            Look {
                color: "yellow",
                paint: rgb(0xf2c92e),
                second: rgb(0xc78f16),
                phrases: &["a small yellow bird", "a yellow canary bird on a branch"],
                plural: "",
            },
        ],
        pictures: 2,
        draw: bird,
        pose: Pose::Sideways,
    },
    Thing {
        label: "butterfly",
        scenes: &[Scene::Light, Scene::Sky, Scene::Pastel],
        looks: &[
            Look {
                color: "orange",
                paint: rgb(0xf08a24),
                second: rgb(0x2a2326),
                phrases: &[
                    "an orange butterfly with black edges",
                    "an orange butterfly with open wings",
                ],
                plural: "",
            },
            Look {
                color: "blue",
                paint: rgb(0x3d8fe0),
                second: rgb(0x1b2c5a),
                phrases: &["a blue butterfly", "a blue butterfly with open wings"],
                plural: "",
            },
            Look {
                color: "pink",
                paint: rgb(0xe667a6),
                second: rgb(0x7a2460),
                phrases: &["a pink butterfly", "a pink butterfly with open wings"],
                plural: "",
            },
        ],
        pictures: 2,
        draw: butterfly,
        pose: Pose::Still,
    },
    Thing {
        label: "rabbit",
        scenes: LAND,
        looks: &[
            Look {
                color: "white",
                paint: rgb(0xf4f1ee),
                second: rgb(0xf0b7bd),
                phrases: &["a white rabbit with long ears", "a white bunny rabbit"],
                plural: "",
            },
            Look {
                color: "brown",
                paint: rgb(0xb08a62),
                second: rgb(0xe3b9a4),
                phrases: &["a brown rabbit with long ears", "a brown bunny rabbit"],
                plural: "",
            },
        ],
        pictures: 2,
        draw: rabbit,
        pose: Pose::Upright,
    },
    Thing {
        label: "snail",
        scenes: LAND,
        looks: &[Look {
            color: "brown",
            paint: rgb(0xb5713a),
            second: rgb(0xd9c08c),
            phrases: &[
                "a snail with a spiral shell",
                "a slow snail with a brown shell",
            ],
            plural: "",
        }],
        pictures: 3,
        draw: snail,
        pose: Pose::Sideways,
    },
    Thing {
        label: "ladybird",
        scenes: &[Scene::Light, Scene::Meadow, Scene::Pastel],
        looks: &[Look {
            color: "red",
            paint: rgb(0xd6242a),
            second: BLACK,
            phrases: &[
                "a red ladybird with black dots",
                "a ladybird, also called a ladybug,",
            ],
            plural: "",
        }],
        pictures: 3,
        draw: ladybird,
        pose: Pose::Still,
    },
    Thing {
        label: "bee",
        scenes: AIR,
        looks: &[Look {
            color: "yellow",
            paint: rgb(0xf4c21f),
            second: BLACK,
            phrases: &[
                "a bee with black and yellow stripes",
                "a striped bee with wings",
            ],
            plural: "",
        }],
        pictures: 3,
        draw: bee,
        pose: Pose::Sideways,
    },
    Thing {
        label: "turtle",
        scenes: &[Scene::Desert, Scene::Meadow, Scene::Light],
        looks: &[Look {
            color: "green",
            paint: rgb(0x5d8f45),
            second: rgb(0x9cbf63),
            phrases: &["a green turtle with a domed shell", "a slow turtle"],
            plural: "",
        }],
        pictures: 3,
        draw: turtle,
        pose: Pose::Sideways,
    },
    Thing {
        label: "duck",
        scenes: &[Scene::Sea, Scene::Light, Scene::Pastel],
        looks: &[Look {
            color: "yellow",
            paint: rgb(0xf7d22e),
            second: rgb(0xf08b1d),
            phrases: &["a yellow duck with an orange beak", "a yellow rubber duck"],
            plural: "",
        }],
        pictures: 3,
        draw: duck,
        pose: Pose::Sideways,
    },
    Thing {
        label: "frog",
        scenes: LAND,
        looks: &[Look {
            color: "green",
            paint: rgb(0x5fae3c),
            second: rgb(0xd3e8a0),
            phrases: &["a green frog with big eyes", "a sitting frog"],
            plural: "",
        }],
        pictures: 3,
        draw: frog,
        pose: Pose::Upright,
    },
    Thing {
        label: "owl",
        scenes: &[Scene::Night, Scene::Light, Scene::Dusk],
        looks: &[Look {
            color: "brown",
            paint: rgb(0x8d6239),
            second: rgb(0xd9b88a),
            phrases: &["a brown owl on a branch", "an owl with big round eyes"],
            plural: "",
        }],
        pictures: 3,
        draw: owl,
        pose: Pose::Upright,
    },
    Thing {
        label: "pig",
        scenes: LAND,
        looks: &[Look {
            color: "pink",
            paint: rgb(0xf3a6b1),
            second: rgb(0xdd7f8e),
            phrases: &["a pink pig with a curly tail", "a pink pig"],
            plural: "",
        }],
        pictures: 2,
        draw: pig,
        pose: Pose::Sideways,
    },
    Thing {
        label: "penguin",
        scenes: &[Scene::Snow, Scene::Light, Scene::Pastel],
        looks: &[Look {
            color: "black",
            paint: rgb(0x2b2f3a),
            second: rgb(0xf2a024),
            phrases: &["a black and white penguin", "a penguin with an orange beak"],
            plural: "",
        }],
        pictures: 3,
        draw: penguin,
        pose: Pose::Upright,
    },
];

/// A round eye with a gleam.
fn eye(canvas: &mut Canvas, x: f32, y: f32, radius: f32) {
    canvas.circle(x, y, radius, BLACK);
    canvas.circle(x - 0.3 * radius, y - 0.35 * radius, 0.35 * radius, WHITE);
}

fn cat(canvas: &mut Canvas, look: &Look) {
    let iris = if look.color == "black" {
        rgb(0xf3d33b)
    } else {
        rgb(0x8fc25a)
    };
    canvas.line("M44 76 C 96 76 96 20 76 -2", 15.0, look.paint.darker(0.12));
    canvas.line("M78 2 L 76 -2", 15.0, look.second);
    canvas.fill(
        "M0 -14 C -40 -10 -56 50 -54 76 C -52 92 52 92 54 76 C 56 50 40 -10 0 -14 Z",
        Ink::Ball(0.0, 40.0, 68.0, look.paint),
    );
    canvas.oval(0.0, 56.0, 24.0, 32.0, look.paint.lighter(0.35));
    canvas.both_sides(|canvas| {
        canvas.oval(25.0, 82.0, 18.0, 10.0, look.paint.lighter(0.2));
        canvas.line(
            "M40 22 Q 52 26 50 32 M43 40 Q 54 44 52 50",
            4.0,
            look.second,
        );
    });
    canvas.both_sides(|canvas| {
        canvas.fill("M14 -74 L 52 -102 58 -46 Z", look.paint.darker(0.08));
        canvas.fill("M26 -74 L 48 -90 51 -58 Z", rgb(0xeeb0a8));
    });
    canvas.oval(
        0.0,
        -40.0,
        58.0,
        46.0,
        Ink::Ball(0.0, -40.0, 56.0, look.paint),
    );
    canvas.line(
        "M0 -84 L 0 -68 M-15 -82 L -11 -68 M15 -82 L 11 -68",
        5.0,
        look.second,
    );
    canvas.oval(0.0, -22.0, 24.0, 16.0, look.paint.lighter(0.5));
    canvas.both_sides(|canvas| {
        canvas.oval(24.0, -46.0, 11.0, 12.0, iris);
        canvas.oval(24.0, -46.0, 4.0, 10.0, BLACK);
        canvas.circle(21.0, -50.0, 2.6, WHITE);
        canvas.line(
            "M16 -24 L 66 -34 M16 -20 L 68 -18 M16 -16 L 62 -4",
            1.5,
            look.second.mixed(WHITE, 0.35),
        );
    });
    canvas.fill("M-7 -31 L 7 -31 0 -23 Z", rgb(0xd97b83));
    canvas.line(
        "M0 -23 L 0 -18 Q -6 -11 -12 -15 M0 -18 Q 6 -11 12 -15",
        2.0,
        BLACK.faded(0.8),
    );
}

fn dog(canvas: &mut Canvas, look: &Look) {
    canvas.line("M-50 46 C -80 40 -92 18 -88 0", 13.0, look.paint);
    canvas.fill(
        "M-6 -6 C -52 4 -66 50 -62 84 L 52 84 C 54 46 42 4 -6 -6 Z",
        Ink::Ball(-8.0, 42.0, 70.0, look.paint),
    );
    canvas.oval(8.0, 40.0, 20.0, 30.0, look.paint.lighter(0.4));
    canvas.block([-2.0, 34.0, 21.0, 54.0], 10.0, look.paint.lighter(0.1));
    canvas.block([26.0, 34.0, 21.0, 54.0], 10.0, look.paint);
    canvas.oval(-34.0, 78.0, 32.0, 11.0, look.paint.darker(0.1));
    canvas.oval(
        12.0,
        -42.0,
        48.0,
        44.0,
        Ink::Ball(12.0, -42.0, 50.0, look.paint),
    );
    canvas.oval(40.0, -26.0, 32.0, 22.0, look.paint.lighter(0.4));
    canvas.fill("M44 -10 C 42 12 62 14 62 -8 Z", rgb(0xe4687a));
    canvas.line("M26 -12 Q 44 0 66 -14", 2.6, BLACK);
    canvas.oval(62.0, -40.0, 12.0, 9.0, BLACK);
    canvas.circle(59.0, -43.0, 2.6, WHITE.faded(0.8));
    eye(canvas, 26.0, -54.0, 7.0);
    eye(canvas, 52.0, -58.0, 5.6);
    canvas.fill(
        "M-10 -80 C -46 -82 -52 -30 -36 -4 C -18 -2 -6 -36 2 -62 Z",
        Ink::Down((-80.0, look.second), (0.0, look.second.darker(0.25))),
    );
    canvas.fill("M-20 -8 Q 8 12 40 4 L 42 14 Q 6 22 -22 2 Z", rgb(0xc8323a));
    canvas.circle(22.0, 16.0, 6.0, rgb(0xf0c33a));
}

fn fish(canvas: &mut Canvas, look: &Look) {
    canvas.fill(
        "M-56 0 L -98 -44 Q -84 0 -98 44 Z",
        Ink::Across((-98.0, look.paint.darker(0.2)), (-50.0, look.paint)),
    );
    canvas.fill("M-20 -46 Q 10 -92 44 -44 Z", look.paint.darker(0.15));
    canvas.fill("M-14 46 Q 4 80 30 46 Z", look.paint.darker(0.15));
    let body = "M-66 0 C -44 -62 56 -72 92 -2 C 56 68 -44 60 -66 0 Z";
    canvas.fill(body, Ink::Ball(14.0, 0.0, 82.0, look.paint));
    canvas.inside(body, |canvas| {
        for x in [34.0, -6.0, -42.0] {
            canvas.line(
                &format!("M{x} -70 Q {} 0 {x} 70", x + 16.0),
                13.0,
                look.second,
            );
        }
        canvas.line("M20 -70 L 20 -70", 1.0, look.second);
    });
    canvas.fill(
        "M4 10 Q -26 14 -30 34 Q -4 36 14 22 Z",
        look.paint.darker(0.22),
    );
    canvas.circle(66.0, -12.0, 12.0, WHITE);
    eye(canvas, 68.0, -12.0, 7.5);
    canvas.line("M88 6 Q 80 14 70 12", 3.0, look.paint.darker(0.55));
}

fn bird(canvas: &mut Canvas, look: &Look) {
    canvas.line("M-104 84 Q 0 74 104 86", 10.0, rgb(0x7a5230));
    canvas.line("M-6 56 L -8 80 M14 56 L 14 79", 5.0, rgb(0xd98a24));
    canvas.fill("M-44 20 L -102 40 -96 58 -36 44 Z", look.second);
    canvas.fill("M-56 30 C -52 -14 -10 -34 8 -52 C 30 -76 76 -64 74 -28 C 72 30 44 66 0 64 C -30 64 -52 52 -56 30 Z", Ink::Ball(8.0, 2.0, 76.0, look.paint));
    canvas.inside("M-56 30 C -52 -14 -10 -34 8 -52 C 30 -76 76 -64 74 -28 C 72 30 44 66 0 64 C -30 64 -52 52 -56 30 Z", |canvas| {
        canvas.oval(46.0, 40.0, 40.0, 44.0, WHITE.faded(0.6));
    });
    canvas.fill(
        "M-52 32 C -40 -10 14 -22 30 2 C 24 34 -20 46 -72 44 Z",
        Ink::Across(
            (-70.0, look.second),
            (30.0, look.second.mixed(look.paint, 0.5)),
        ),
    );
    canvas.line(
        "M-44 34 Q -10 34 18 14 M-34 24 Q -6 24 16 6",
        2.4,
        look.second.darker(0.35),
    );
    canvas.fill("M70 -42 L 102 -32 70 -22 Z", rgb(0xf0a023));
    canvas.line("M72 -32 L 94 -32", 1.6, rgb(0xa86510));
    canvas.circle(50.0, -40.0, 9.0, WHITE);
    eye(canvas, 51.0, -40.0, 6.5);
}

fn butterfly(canvas: &mut Canvas, look: &Look) {
    canvas.both_sides(|canvas| {
        let wing = "M6 -14 C 16 -84 96 -98 96 -54 C 96 -16 58 4 6 4 Z";
        canvas.fill(wing, look.second);
        canvas.fill(
            "M12 -14 C 22 -70 84 -82 84 -52 C 84 -22 52 -4 12 -2 Z",
            Ink::Glow(20.0, -20.0, 80.0, look.paint.lighter(0.35), look.paint),
        );
        canvas.fill("M6 4 C 56 6 84 30 74 62 C 64 94 22 74 6 22 Z", look.second);
        canvas.fill(
            "M12 10 C 48 14 70 32 62 56 C 54 76 26 62 12 22 Z",
            Ink::Glow(20.0, 20.0, 60.0, look.paint.lighter(0.35), look.paint),
        );
        canvas.line(
            "M10 -10 Q 40 -34 78 -60 M10 -6 Q 44 -22 82 -38 M12 14 Q 34 30 58 56",
            2.2,
            look.second,
        );
        for (x, y) in [
            (88.0, -66.0),
            (90.0, -46.0),
            (80.0, -78.0),
            (70.0, 62.0),
            (60.0, 74.0),
        ] {
            canvas.circle(x, y, 3.2, WHITE);
        }
        canvas.line("M2 -44 Q 8 -70 26 -84", 2.4, look.second);
        canvas.circle(26.0, -84.0, 4.0, look.second);
    });
    canvas.oval(
        0.0,
        6.0,
        8.0,
        48.0,
        Ink::Ball(0.0, 6.0, 30.0, look.second.lighter(0.15)),
    );
    canvas.circle(0.0, -42.0, 10.0, look.second);
}

fn rabbit(canvas: &mut Canvas, look: &Look) {
    let edge = look.paint.darker(0.25);
    canvas.both_sides(|canvas| {
        canvas.placed([24.0, -56.0], 1.0, 10.0, |canvas| {
            canvas.oval(0.0, -14.0, 16.0, 46.0, edge);
            canvas.oval(0.0, -14.0, 14.0, 44.0, look.paint);
            canvas.oval(0.0, -12.0, 7.0, 34.0, look.second);
        });
    });
    canvas.oval(0.0, 48.0, 52.0, 46.0, edge);
    canvas.oval(
        0.0,
        48.0,
        50.0,
        44.0,
        Ink::Ball(0.0, 48.0, 52.0, look.paint),
    );
    canvas.oval(0.0, 56.0, 28.0, 30.0, look.paint.lighter(0.5));
    canvas.both_sides(|canvas| {
        canvas.oval(32.0, 86.0, 24.0, 12.0, edge);
        canvas.oval(32.0, 85.0, 22.0, 10.0, look.paint.lighter(0.3));
        canvas.oval(16.0, 44.0, 10.0, 18.0, look.paint.darker(0.08));
    });
    canvas.oval(0.0, -16.0, 46.0, 40.0, edge);
    canvas.oval(
        0.0,
        -16.0,
        44.0,
        38.0,
        Ink::Ball(0.0, -16.0, 48.0, look.paint),
    );
    canvas.both_sides(|canvas| {
        eye(canvas, 19.0, -22.0, 7.0);
        canvas.oval(27.0, -4.0, 9.0, 6.0, rgb(0xf2a9b3).faded(0.7));
        canvas.line("M12 -2 L 52 -10 M12 2 L 52 4", 1.3, edge.darker(0.3));
        canvas.oval(9.0, 0.0, 11.0, 8.0, look.paint.lighter(0.6));
    });
    canvas.oval(0.0, -7.0, 7.0, 5.0, rgb(0xe0808e));
    canvas.block([-6.0, 6.0, 12.0, 10.0], 2.0, WHITE);
    canvas.line("M0 6 L 0 15", 1.2, edge);
}

fn snail(canvas: &mut Canvas, look: &Look) {
    canvas.fill("M-96 80 C -70 58 -10 62 30 56 C 44 40 50 6 62 -8 C 80 -18 94 0 86 24 C 80 56 66 84 30 84 L -90 86 Z", Ink::Down((-10.0, look.second.lighter(0.2)), (86.0, look.second.darker(0.22))));
    canvas.line(
        "M66 -6 Q 62 -34 52 -50 M80 -6 Q 84 -34 92 -48",
        5.0,
        look.second,
    );
    canvas.circle(52.0, -52.0, 6.0, BLACK);
    canvas.circle(92.0, -50.0, 6.0, BLACK);
    canvas.line("M72 26 Q 80 30 86 22", 2.5, BLACK.faded(0.7));
    canvas.ball(-16.0, 14.0, 60.0, look.paint);
    canvas.line(
        "M40 30 C 40 -18 10 -42 -20 -40 C -54 -38 -70 -8 -66 16 C -62 44 -36 58 -14 54 C 10 50 22 30 18 10 C 14 -12 -6 -20 -22 -14 C -38 -8 -40 12 -30 22 C -20 30 -6 24 -8 12",
        6.0,
        look.paint.darker(0.45),
    );
}

fn ladybird(canvas: &mut Canvas, look: &Look) {
    canvas.both_sides(|canvas| {
        canvas.line(
            "M56 -20 L 88 -36 M66 14 L 98 16 M56 48 L 84 68",
            7.0,
            look.second,
        );
        canvas.line("M12 -74 Q 18 -92 34 -96", 4.0, look.second);
    });
    canvas.circle(
        0.0,
        -52.0,
        34.0,
        Ink::Ball(0.0, -52.0, 34.0, look.second.lighter(0.12)),
    );
    canvas.both_sides(|canvas| canvas.circle(17.0, -66.0, 7.0, WHITE));
    canvas.oval(
        0.0,
        18.0,
        72.0,
        70.0,
        Ink::Ball(0.0, 18.0, 74.0, look.paint),
    );
    canvas.line("M0 -50 L 0 88", 4.0, look.second);
    canvas.both_sides(|canvas| {
        for (x, y, radius) in [(26.0, -18.0, 12.0), (42.0, 22.0, 13.0), (22.0, 56.0, 12.0)] {
            canvas.circle(x, y, radius, look.second);
        }
    });
    canvas.placed([-34.0, -20.0], 1.0, 40.0, |canvas| {
        canvas.oval(0.0, 0.0, 8.0, 16.0, WHITE.faded(0.4))
    });
}

fn bee(canvas: &mut Canvas, look: &Look) {
    for degrees in [-52.0, -16.0] {
        canvas.placed([-2.0, -24.0], 1.0, degrees, |canvas| {
            canvas.oval(0.0, -40.0, 24.0, 44.0, rgb(0x9fc4dc).faded(0.9));
            canvas.oval(0.0, -40.0, 21.0, 41.0, rgb(0xe3f3fb).faded(0.9));
            canvas.line("M0 -4 L 0 -70 M0 -30 L 12 -58", 1.6, rgb(0x9fc4dc));
        });
    }
    canvas.fill("M-70 22 L -96 26 -70 34 Z", look.second);
    canvas.oval(
        -12.0,
        22.0,
        68.0,
        44.0,
        Ink::Ball(-12.0, 22.0, 62.0, look.paint),
    );
    canvas.inside_oval(-12.0, 22.0, 68.0, 44.0, |canvas| {
        for x in [-58.0, -28.0, 2.0] {
            canvas.line(
                &format!("M{x} -30 Q {} 22 {x} 74", x + 12.0),
                14.0,
                look.second,
            );
        }
    });
    canvas.ball(58.0, 14.0, 33.0, look.paint.darker(0.06));
    canvas.line(
        "M62 -16 Q 64 -40 80 -46 M72 -12 Q 80 -30 96 -32",
        3.4,
        look.second,
    );
    canvas.circle(80.0, -46.0, 4.5, look.second);
    canvas.circle(96.0, -32.0, 4.5, look.second);
    eye(canvas, 68.0, 8.0, 8.0);
    canvas.line("M66 28 Q 76 32 82 24", 2.6, look.second);
}

fn turtle(canvas: &mut Canvas, look: &Look) {
    canvas.fill("M-70 52 L -98 64 -70 66 Z", look.second);
    for x in [-46.0, 34.0] {
        canvas.block(
            [x - 14.0, 48.0, 30.0, 40.0],
            12.0,
            Ink::Down((48.0, look.second), (88.0, look.second.darker(0.2))),
        );
    }
    canvas.fill(
        "M52 56 C 66 48 60 10 74 0 C 100 -8 106 28 94 38 C 84 46 82 62 62 70 Z",
        Ink::Down(
            (0.0, look.second.lighter(0.15)),
            (70.0, look.second.darker(0.1)),
        ),
    );
    eye(canvas, 84.0, 12.0, 6.0);
    canvas.line("M84 32 Q 94 32 97 25", 2.4, look.second.darker(0.6));
    let shell = "M-82 60 C -84 -30 -40 -62 -6 -62 C 32 -62 70 -28 68 60 Z";
    canvas.fill(shell, Ink::Ball(-8.0, 10.0, 80.0, look.paint));
    canvas.inside(shell, |canvas| {
        let line = look.paint.darker(0.45);
        canvas.polygon([(-30.0, -30.0), (16.0, -30.0), (32.0, 6.0), (10.0, 34.0), (-28.0, 34.0), (-46.0, 4.0)], look.paint.lighter(0.18));
        canvas.line("M-30 -30 L 16 -30 32 6 10 34 -28 34 -46 4 Z", 4.0, line);
        canvas.line("M-30 -30 L -44 -62 M16 -30 L 30 -62 M32 6 L 74 2 M10 34 L 26 64 M-28 34 L -42 64 M-46 4 L -90 0", 4.0, line);
    });
    canvas.block([-88.0, 50.0, 162.0, 14.0], 7.0, rgb(0xc9b56a));
}

fn duck(canvas: &mut Canvas, look: &Look) {
    canvas.fill("M-92 8 C -76 16 -50 14 -30 10 C 10 2 50 14 62 36 C 66 76 20 86 -14 84 C -64 82 -92 50 -92 8 Z", Ink::Ball(-12.0, 42.0, 76.0, look.paint));
    canvas.ball(38.0, -30.0, 46.0, look.paint);
    canvas.fill(
        "M-58 34 C -40 20 0 22 16 36 C 6 62 -36 66 -58 34 Z",
        look.paint.darker(0.12),
    );
    canvas.line("M-46 40 Q -20 54 8 42", 2.6, look.paint.darker(0.35));
    canvas.fill(
        "M74 -34 C 90 -42 106 -32 104 -22 C 94 -10 78 -10 70 -16 Z",
        Ink::Down(
            (-40.0, look.second.lighter(0.2)),
            (-8.0, look.second.darker(0.1)),
        ),
    );
    canvas.line("M78 -24 Q 92 -22 102 -24", 2.0, look.second.darker(0.45));
    eye(canvas, 52.0, -40.0, 8.0);
}

fn frog(canvas: &mut Canvas, look: &Look) {
    canvas.both_sides(|canvas| {
        canvas.oval(
            58.0,
            52.0,
            30.0,
            34.0,
            Ink::Ball(58.0, 52.0, 34.0, look.paint.darker(0.1)),
        );
        canvas.fill("M44 78 L 96 84 88 92 40 92 Z", look.paint.darker(0.15));
    });
    canvas.oval(
        0.0,
        40.0,
        56.0,
        48.0,
        Ink::Ball(0.0, 40.0, 58.0, look.paint),
    );
    canvas.oval(0.0, 54.0, 36.0, 34.0, look.second);
    canvas.both_sides(|canvas| {
        canvas.block([18.0, 44.0, 16.0, 46.0], 8.0, look.paint);
        canvas.fill("M16 84 L 44 86 40 94 12 94 Z", look.paint);
        canvas.ball(38.0, -52.0, 27.0, look.paint);
    });
    canvas.oval(
        0.0,
        -18.0,
        72.0,
        44.0,
        Ink::Ball(0.0, -18.0, 70.0, look.paint),
    );
    canvas.both_sides(|canvas| {
        canvas.circle(38.0, -54.0, 18.0, WHITE);
        eye(canvas, 38.0, -53.0, 11.0);
        canvas.circle(8.0, -20.0, 2.6, look.paint.darker(0.5));
        canvas.oval(50.0, -6.0, 10.0, 6.0, rgb(0xf0a08a).faded(0.6));
    });
    canvas.line("M-46 -6 Q 0 26 46 -6", 4.0, look.paint.darker(0.6));
}

fn owl(canvas: &mut Canvas, look: &Look) {
    canvas.line("M-110 88 Q 0 80 110 90", 12.0, rgb(0x5f4126));
    canvas.fill(
        "M0 -82 C -70 -84 -76 0 -62 42 C -50 84 50 84 62 42 C 76 0 70 -84 0 -82 Z",
        Ink::Ball(0.0, 0.0, 86.0, look.paint),
    );
    canvas.both_sides(|canvas| {
        canvas.fill("M22 -70 L 62 -100 58 -46 Z", look.paint.darker(0.1));
        canvas.fill(
            "M46 -10 C 84 10 78 62 48 74 C 40 40 38 10 46 -10 Z",
            look.paint.darker(0.3),
        );
    });
    canvas.oval(0.0, 34.0, 38.0, 42.0, look.second);
    for (row, y) in [12.0, 30.0, 48.0].into_iter().enumerate() {
        for idx in 0..3 {
            let x = (idx as f32 - 1.0) * 22.0 + if row % 2 == 1 { 8.0 } else { 0.0 };
            canvas.line(
                &format!("M{} {y} Q {x} {} {} {y}", x - 7.0, y + 9.0, x + 7.0),
                3.0,
                look.paint.darker(0.1),
            );
        }
    }
    canvas.both_sides(|canvas| {
        canvas.circle(28.0, -36.0, 29.0, look.second.lighter(0.3));
        canvas.circle(28.0, -36.0, 20.0, rgb(0xf5c531));
        eye(canvas, 28.0, -36.0, 12.0);
        canvas.line("M12 76 L 12 88 M22 76 L 22 88", 6.0, rgb(0xe3a02f));
    });
    canvas.fill("M-10 -24 L 10 -24 0 2 Z", rgb(0xe9a32b));
}

fn pig(canvas: &mut Canvas, look: &Look) {
    canvas.line(
        "M-84 6 C -100 0 -104 -18 -92 -20 C -82 -20 -86 -6 -98 -8",
        4.5,
        look.second,
    );
    for x in [-58.0, -30.0, 12.0, 38.0] {
        canvas.block([x, 50.0, 18.0, 38.0], 5.0, look.paint.darker(0.1));
        canvas.block([x, 78.0, 18.0, 10.0], 3.0, rgb(0x8a5560));
    }
    canvas.oval(
        -12.0,
        22.0,
        76.0,
        48.0,
        Ink::Ball(-12.0, 22.0, 70.0, look.paint),
    );
    canvas.fill("M26 -46 L 18 -78 52 -58 Z", look.second);
    canvas.ball(48.0, -16.0, 44.0, look.paint);
    canvas.fill("M58 -48 L 72 -78 86 -44 Z", look.second);
    canvas.oval(
        74.0,
        -4.0,
        20.0,
        17.0,
        Ink::Ball(74.0, -4.0, 20.0, look.second),
    );
    canvas.oval(69.0, -4.0, 3.4, 5.5, rgb(0x8a4352));
    canvas.oval(80.0, -4.0, 3.4, 5.5, rgb(0x8a4352));
    eye(canvas, 42.0, -26.0, 6.0);
    eye(canvas, 70.0, -30.0, 5.4);
    canvas.line("M50 16 Q 60 24 72 20", 2.6, rgb(0x9a4b5b));
}

fn penguin(canvas: &mut Canvas, look: &Look) {
    canvas.both_sides(|canvas| {
        canvas.oval(24.0, 88.0, 22.0, 9.0, look.second);
        canvas.fill(
            "M44 -20 C 76 0 84 40 74 58 C 60 52 50 24 40 8 Z",
            look.paint.darker(0.2),
        );
    });
    canvas.fill("M0 -92 C -46 -92 -46 -44 -52 -4 C -58 44 -48 88 0 88 C 48 88 58 44 52 -4 C 46 -44 46 -92 0 -92 Z", Ink::Ball(0.0, 0.0, 92.0, look.paint));
    belly(canvas, WHITE);
    canvas.both_sides(|canvas| {
        canvas.oval(16.0, -54.0, 18.0, 22.0, rgb(0xfbfbf8));
        eye(canvas, 15.0, -58.0, 7.0);
        canvas.oval(24.0, -40.0, 7.0, 4.5, rgb(0xf3a9a0).faded(0.7));
    });
    canvas.fill(
        "M-13 -46 L 13 -46 0 -28 Z",
        Ink::Down((-46.0, look.second), (-28.0, look.second.darker(0.15))),
    );
}

fn belly(canvas: &mut Canvas, color: Rgb) {
    canvas.oval(
        0.0,
        32.0,
        37.0,
        50.0,
        Ink::Glow(-8.0, 16.0, 66.0, color, color.darker(0.12)),
    );
}
