//! Vehicles.

use super::canvas::{BLACK, Canvas, Ink, WHITE, rgb};
use super::scene::Scene;
use super::{Look, Pose, Thing};

const STREET: &[Scene] = &[Scene::Road, Scene::Light, Scene::Pastel];
const AIR: &[Scene] = &[Scene::Sky, Scene::Dusk];

pub(super) const THINGS: &[Thing] = &[
    Thing {
        label: "car",
        scenes: STREET,
        looks: &[
            Look {
                color: "red",
                paint: rgb(0xd42a2a),
                second: WHITE,
                phrases: &["a red car", "a small red car seen from the side"],
                plural: "",
            },
            Look {
                color: "blue",
                paint: rgb(0x2b6cc9),
                second: WHITE,
                phrases: &["a blue car", "a small blue car seen from the side"],
                plural: "",
            },
            Look {
                color: "yellow",
                paint: rgb(0xf0bf1f),
                second: WHITE,
                phrases: &["a yellow car", "a bright yellow car"],
                plural: "",
            },
        ],
        pictures: 2,
        draw: car,
        pose: Pose::Sideways,
    },
    Thing {
        label: "bus",
        scenes: STREET,
        looks: &[
            Look {
                color: "yellow",
                paint: rgb(0xf3b61c),
                second: BLACK,
                phrases: &["a yellow school bus", "a long yellow bus"],
                plural: "",
            },
            Look {
                color: "red",
                paint: rgb(0xc9282d),
                second: WHITE,
                phrases: &["a red city bus", "a long red bus with many windows"],
                plural: "",
            },
        ],
        pictures: 2,
        draw: bus,
        pose: Pose::Sideways,
    },
    Thing {
        label: "truck",
        scenes: STREET,
        looks: &[
            Look {
                color: "blue",
                paint: rgb(0x2c62ac),
                second: rgb(0xe8e8e4),
                phrases: &["a blue truck with a white box", "a blue delivery truck"],
                plural: "",
            },
            Look {
                color: "green",
                paint: rgb(0x3c8d4d),
                second: rgb(0xe9dfc6),
                phrases: &["a green truck", "a green lorry, a truck with a big box,"],
                plural: "",
            },
        ],
        pictures: 2,
        draw: truck,
        pose: Pose::Sideways,
    },
    Thing {
        label: "bicycle",
        scenes: STREET,
        looks: &[
            Look {
                color: "red",
                paint: rgb(0xcf2f2f),
                second: BLACK,
                phrases: &["a red bicycle", "a red bike, a bicycle with two wheels,"],
                plural: "",
            },
            Look {
                color: "green",
                paint: rgb(0x2f9460),
                second: BLACK,
                phrases: &["a green bicycle", "a green bicycle with a leather saddle"],
                plural: "",
            },
        ],
        pictures: 2,
        draw: bicycle,
        pose: Pose::Sideways,
    },
    Thing {
        label: "sailing boat",
        scenes: &[Scene::Sea],
        looks: &[
            Look {
                color: "white",
                paint: rgb(0xfaf8f0),
                second: rgb(0x8d4a2b),
                phrases: &[
                    "a sailing boat with white sails",
                    "a sailing boat, a sailboat with white sails,",
                ],
                plural: "",
            },
            Look {
                color: "red",
                paint: rgb(0xd8443f),
                second: rgb(0x27507f),
                phrases: &[
                    "a sailing boat with red sails",
                    "a small sailing boat with a red sail",
                ],
                plural: "",
            },
        ],
        pictures: 2,
        draw: sailing_boat,
        pose: Pose::Sideways,
    },
    Thing {
        label: "plane",
        scenes: AIR,
        looks: &[Look {
            color: "white",
            paint: rgb(0xf2f4f7),
            second: rgb(0x2e63b5),
            phrases: &[
                "a white plane flying",
                "a passenger plane, an airplane with a blue tail,",
            ],
            plural: "",
        }],
        pictures: 4,
        draw: plane,
        pose: Pose::Sideways,
    },
    Thing {
        label: "train",
        scenes: &[Scene::Rails],
        looks: &[
            Look {
                color: "black",
                paint: rgb(0x33373f),
                second: rgb(0xc0312f),
                phrases: &[
                    "a black steam train",
                    "an old steam engine, a train with smoke,",
                ],
                plural: "",
            },
            Look {
                color: "green",
                paint: rgb(0x2f7d55),
                second: rgb(0xd3a62e),
                phrases: &["a green steam train", "a green steam train with smoke"],
                plural: "",
            },
        ],
        pictures: 2,
        draw: train,
        pose: Pose::Sideways,
    },
    Thing {
        label: "rocket",
        scenes: &[Scene::Night, Scene::Sky, Scene::Night],
        looks: &[Look {
            color: "white",
            paint: rgb(0xeef0f4),
            second: rgb(0xd4353a),
            phrases: &[
                "a white and red rocket flying",
                "a space rocket with a flame",
            ],
            plural: "",
        }],
        pictures: 3,
        draw: rocket,
        pose: Pose::Still,
    },
    Thing {
        label: "hot air balloon",
        scenes: AIR,
        looks: &[
            Look {
                color: "red",
                paint: rgb(0xd93a35),
                second: rgb(0xf6c843),
                phrases: &[
                    "a red and yellow hot air balloon",
                    "a striped hot air balloon with a basket",
                ],
                plural: "",
            },
            Look {
                color: "purple",
                paint: rgb(0x7a4bb0),
                second: rgb(0xf0e6f8),
                phrases: &[
                    "a purple and white hot air balloon",
                    "a purple hot air balloon with a basket",
                ],
                plural: "",
            },
        ],
        pictures: 2,
        draw: balloon,
        pose: Pose::Upright,
    },
    Thing {
        label: "tractor",
        scenes: &[Scene::Meadow, Scene::Light, Scene::Desert],
        looks: &[Look {
            color: "green",
            paint: rgb(0x3d8b37),
            second: rgb(0xf0c62d),
            phrases: &[
                "a green tractor with yellow wheels",
                "a farm tractor with a big back wheel",
            ],
            plural: "",
        }],
        pictures: 3,
        draw: tractor,
        pose: Pose::Sideways,
    },
];

const GLASS: Ink = Ink::Down((-60.0, rgb(0xd3ecf8)), (20.0, rgb(0x8fbdd8)));

fn wheel(canvas: &mut Canvas, x: f32, y: f32, radius: f32) {
    canvas.circle(x, y, radius, rgb(0x26272c));
    canvas.circle(
        x,
        y,
        0.58 * radius,
        Ink::Ball(x, y, 0.58 * radius, rgb(0xc3c8cf)),
    );
    canvas.circle(x, y, 0.2 * radius, rgb(0x5b6068));
}

fn car(canvas: &mut Canvas, look: &Look) {
    canvas.fill(
        "M-52 4 C -42 -44 -30 -50 -6 -50 C 28 -50 38 -34 58 4 Z",
        Ink::Down((-50.0, look.paint.lighter(0.15)), (4.0, look.paint)),
    );
    canvas.fill("M-42 2 C -36 -34 -26 -40 -6 -40 L -6 2 Z", GLASS);
    canvas.fill("M2 -40 C 24 -40 32 -24 46 2 L 2 2 Z", GLASS);
    canvas.fill("M-98 34 C -98 6 -84 0 -60 0 L 56 0 C 86 2 98 12 98 36 L 98 50 C 98 58 92 60 86 60 L -88 60 C -96 60 -98 54 -98 48 Z", Ink::Down((0.0, look.paint.lighter(0.2)), (60.0, look.paint.darker(0.25))));
    canvas.line(
        "M-2 4 L -2 54 M-54 6 Q -56 30 -48 54 M54 6 Q 52 34 46 54",
        2.0,
        look.paint.darker(0.4),
    );
    canvas.block([-24.0, 14.0, 14.0, 4.0], 2.0, look.paint.darker(0.5));
    canvas.block([20.0, 14.0, 14.0, 4.0], 2.0, look.paint.darker(0.5));
    canvas.oval(92.0, 26.0, 7.0, 9.0, rgb(0xfff3b8));
    canvas.block([-98.0, 20.0, 8.0, 14.0], 3.0, rgb(0x8e1a1a));
    canvas.block([-100.0, 50.0, 200.0, 8.0], 4.0, rgb(0x55585e));
    for x in [-52.0, 54.0] {
        canvas.circle(x, 58.0, 30.0, look.paint.darker(0.6));
        wheel(canvas, x, 62.0, 25.0);
    }
}

fn bus(canvas: &mut Canvas, look: &Look) {
    canvas.block(
        [-100.0, -52.0, 200.0, 116.0],
        16.0,
        Ink::Down(
            (-52.0, look.paint.lighter(0.18)),
            (64.0, look.paint.darker(0.16)),
        ),
    );
    for x in [-90.0, -54.0, -18.0, 18.0] {
        canvas.block([x, -38.0, 30.0, 40.0], 5.0, GLASS);
    }
    canvas.block([56.0, -38.0, 38.0, 44.0], 6.0, GLASS);
    canvas.block(
        [-100.0, 16.0, 200.0, 7.0],
        0.0,
        look.second.mixed(look.paint, 0.1),
    );
    canvas.block([24.0, 8.0, 26.0, 50.0], 3.0, look.paint.darker(0.22));
    canvas.block([27.0, 12.0, 9.0, 34.0], 2.0, GLASS);
    canvas.block([38.0, 12.0, 9.0, 34.0], 2.0, GLASS);
    canvas.oval(95.0, 42.0, 6.0, 8.0, rgb(0xfff3b8));
    canvas.block([-102.0, 56.0, 204.0, 9.0], 4.0, rgb(0x4b4d53));
    for x in [-58.0, 70.0] {
        wheel(canvas, x, 66.0, 23.0);
    }
}

fn truck(canvas: &mut Canvas, look: &Look) {
    canvas.block(
        [-102.0, -62.0, 132.0, 112.0],
        4.0,
        Ink::Down((-62.0, look.second), (50.0, look.second.darker(0.16))),
    );
    canvas.line(
        "M-80 -56 L -80 44 M-58 -56 L -58 44 M-36 -56 L -36 44 M-14 -56 L -14 44 M8 -56 L 8 44",
        1.6,
        look.second.darker(0.25),
    );
    canvas.fill(
        "M36 -34 L 70 -34 C 80 -34 84 -28 88 -18 L 100 10 L 100 58 L 36 58 Z",
        Ink::Down(
            (-34.0, look.paint.lighter(0.2)),
            (58.0, look.paint.darker(0.2)),
        ),
    );
    canvas.fill(
        "M52 -24 L 68 -24 C 76 -24 78 -18 82 -10 L 90 8 52 8 Z",
        GLASS,
    );
    canvas.block([-104.0, 48.0, 206.0, 12.0], 3.0, rgb(0x44474d));
    canvas.oval(97.0, 32.0, 5.0, 8.0, rgb(0xfff3b8));
    canvas.block([56.0, 18.0, 14.0, 4.0], 2.0, look.paint.darker(0.5));
    for x in [-74.0, -26.0, 68.0] {
        wheel(canvas, x, 64.0, 24.0);
    }
}

fn bicycle(canvas: &mut Canvas, look: &Look) {
    for x in [-56.0, 56.0] {
        canvas.ring(x, 40.0, 42.0, 6.0, look.second);
        canvas.ring(x, 40.0, 37.0, 2.0, rgb(0xaab0b8));
        for idx in 0..6 {
            canvas.placed([x, 40.0], 1.0, 30.0 * idx as f32, |canvas| {
                canvas.line("M0 -37 L 0 37", 1.1, rgb(0x8a9098))
            });
        }
        canvas.circle(x, 40.0, 5.0, rgb(0x55585e));
    }
    canvas.line(
        "M-56 40 L -6 44 L 40 -32 L -22 -30 Z M-6 44 L -26 -44 M56 40 L 36 -48",
        6.5,
        look.paint,
    );
    canvas.line("M36 -50 L 30 -64 L 54 -68", 6.0, look.second);
    canvas.line("M50 -68 L 60 -66", 9.0, rgb(0x7a4a28));
    canvas.fill(
        "M-48 -52 Q -28 -58 -6 -50 Q -10 -42 -24 -43 Q -44 -42 -48 -52 Z",
        rgb(0x7a4a28),
    );
    canvas.circle(-6.0, 44.0, 12.0, rgb(0x6b7078));
    canvas.line("M-6 44 L 6 64 M0 65 L 14 64", 5.0, look.second);
}

fn sailing_boat(canvas: &mut Canvas, look: &Look) {
    canvas.line("M0 -98 L 0 44", 5.0, rgb(0x7a5636));
    canvas.fill(
        "M6 -92 C 52 -56 72 0 76 30 L 6 30 Z",
        Ink::Across((6.0, look.paint), (80.0, look.paint.darker(0.18))),
    );
    canvas.fill(
        "M-6 -78 C -34 -40 -56 0 -66 30 L -6 30 Z",
        Ink::Across(
            (-70.0, look.paint.darker(0.08)),
            (-6.0, look.paint.darker(0.24)),
        ),
    );
    canvas.fill("M0 -98 L -24 -92 0 -84 Z", rgb(0xf0b429));
    canvas.fill(
        "M-88 42 L 94 42 C 84 72 62 82 44 82 L -48 82 C -66 82 -80 66 -88 42 Z",
        Ink::Down(
            (42.0, look.second.lighter(0.2)),
            (82.0, look.second.darker(0.2)),
        ),
    );
    canvas.block([-88.0, 42.0, 182.0, 7.0], 3.0, look.second.lighter(0.55));
    canvas.fill(
        "M-110 84 Q -84 70 -58 82 Q -30 72 -4 82 Q 24 72 50 82 Q 80 70 110 84 L 110 92 -110 92 Z",
        rgb(0x3f94c9),
    );
}

fn plane(canvas: &mut Canvas, look: &Look) {
    canvas.placed([0.0, 4.0], 1.0, -12.0, |canvas| {
        canvas.fill("M-76 -8 L -98 -58 -74 -58 -46 -10 Z", Ink::Down((-58.0, look.second.lighter(0.1)), (-8.0, look.second.darker(0.1))));
        canvas.fill("M2 -12 L -34 -56 -16 -56 34 -12 Z", look.paint.darker(0.28));
        canvas.fill("M-92 2 C -90 -18 -50 -22 0 -22 C 60 -22 92 -14 100 2 C 94 18 50 20 0 20 C -50 20 -86 14 -92 2 Z", Ink::Down((-22.0, look.paint.lighter(0.2)), (20.0, look.paint.darker(0.24))));
        canvas.fill("M72 -14 C 84 -12 90 -8 93 -3 L 74 -3 Z", rgb(0x5b86ad));
        for idx in 0..8 {
            canvas.circle(-54.0 + 15.0 * idx as f32, -6.0, 4.0, rgb(0x5b86ad));
        }
        canvas.fill("M18 6 L -44 70 -22 70 50 8 Z", Ink::Down((6.0, look.paint.darker(0.1)), (70.0, look.paint.darker(0.32))));
        canvas.block([-14.0, 34.0, 30.0, 15.0], 7.0, look.second);
        canvas.fill("M-72 4 L -96 26 -82 26 -52 6 Z", look.paint.darker(0.3));
        canvas.line("M-84 8 L 90 8", 3.0, look.second);
    });
}

fn train(canvas: &mut Canvas, look: &Look) {
    for (x, y, radius) in [
        (66.0, -84.0, 14.0),
        (44.0, -98.0, 18.0),
        (14.0, -106.0, 22.0),
        (-24.0, -108.0, 24.0),
    ] {
        canvas.circle(x, y, radius, Ink::Ball(x, y, radius, rgb(0xdfe3e6)));
    }
    canvas.fill("M64 -64 L 88 -64 84 -20 68 -20 Z", look.paint.darker(0.15));
    canvas.block([60.0, -72.0, 32.0, 11.0], 4.0, look.paint);
    canvas.block(
        [-30.0, -30.0, 126.0, 60.0],
        26.0,
        Ink::Down(
            (-30.0, look.paint.lighter(0.28)),
            (30.0, look.paint.darker(0.2)),
        ),
    );
    for x in [6.0, 36.0] {
        canvas.block([x, -30.0, 7.0, 60.0], 0.0, look.second);
    }
    canvas.fill("M18 -30 C 18 -46 40 -46 40 -30 Z", look.second);
    canvas.block(
        [-98.0, -62.0, 76.0, 100.0],
        4.0,
        Ink::Down(
            (-62.0, look.paint.lighter(0.12)),
            (38.0, look.paint.darker(0.1)),
        ),
    );
    canvas.block([-104.0, -72.0, 88.0, 13.0], 5.0, look.second);
    canvas.block([-86.0, -48.0, 24.0, 32.0], 3.0, GLASS);
    canvas.block([-54.0, -48.0, 24.0, 32.0], 3.0, GLASS);
    canvas.block([-102.0, 28.0, 196.0, 16.0], 3.0, look.second);
    canvas.fill("M88 36 L 106 76 80 76 Z", look.second.darker(0.2));
    canvas.circle(97.0, -2.0, 9.0, rgb(0xfff0b0));
    for (x, radius) in [(-72.0, 28.0), (-12.0, 28.0), (40.0, 20.0), (74.0, 20.0)] {
        let y = 82.0 - radius;
        canvas.circle(x, y, radius, look.second.darker(0.25));
        canvas.circle(x, y, 0.76 * radius, rgb(0x2a2c31));
        for idx in 0..4 {
            canvas.placed([x, y], radius / 28.0, 45.0 * idx as f32, |canvas| {
                canvas.line("M0 -20 L 0 20", 3.4, look.second.darker(0.1))
            });
        }
    }
    canvas.line("M-72 54 L -12 54 40 62", 6.0, rgb(0xb9bec6));
}

fn rocket(canvas: &mut Canvas, look: &Look) {
    canvas.placed([0.0, 0.0], 1.0, 22.0, |canvas| {
        canvas.fill(
            "M-20 62 C -30 84 -8 92 0 114 C 8 92 30 84 20 62 Z",
            Ink::Down((62.0, rgb(0xffd23f)), (112.0, rgb(0xf0601e))),
        );
        canvas.fill(
            "M-9 62 C -14 76 -4 82 0 94 C 4 82 14 76 9 62 Z",
            rgb(0xfff3b0),
        );
        canvas.both_sides(|canvas| {
            canvas.fill(
                "M26 12 C 54 26 60 52 58 76 L 24 58 Z",
                Ink::Across((24.0, look.second), (60.0, look.second.darker(0.3))),
            )
        });
        canvas.fill(
            "M0 -102 C 38 -66 44 0 28 60 L -28 60 C -44 0 -38 -66 0 -102 Z",
            Ink::Across((-36.0, look.paint), (38.0, look.paint.darker(0.28))),
        );
        canvas.inside(
            "M0 -102 C 38 -66 44 0 28 60 L -28 60 C -44 0 -38 -66 0 -102 Z",
            |canvas| {
                canvas.block(
                    [-50.0, -104.0, 100.0, 48.0],
                    0.0,
                    Ink::Across((-30.0, look.second), (32.0, look.second.darker(0.3))),
                );
                canvas.block([-50.0, 38.0, 100.0, 10.0], 0.0, look.second);
            },
        );
        canvas.circle(0.0, -18.0, 20.0, rgb(0x6b7480));
        canvas.circle(0.0, -18.0, 15.0, Ink::Ball(0.0, -18.0, 15.0, rgb(0x6fb6e0)));
        canvas.block([-18.0, 58.0, 36.0, 9.0], 3.0, rgb(0x6b7480));
    });
}

fn balloon(canvas: &mut Canvas, look: &Look) {
    canvas.line(
        "M-26 34 L -15 68 M26 34 L 15 68 M-9 38 L -6 68 M9 38 L 6 68",
        1.8,
        rgb(0x5a4530),
    );
    let envelope = "M0 -100 C -58 -100 -82 -56 -74 -20 C -66 10 -36 28 -26 40 L 26 40 C 36 28 66 10 74 -20 C 82 -56 58 -100 0 -100 Z";
    canvas.fill(envelope, look.paint);
    canvas.inside(envelope, |canvas| {
        canvas.both_sides(|canvas| {
            canvas.fill(
                "M4 -104 C 60 -84 72 0 16 44 L 34 44 C 60 30 50 0 38 -30 C 28 -60 20 -84 4 -104 Z",
                look.second,
            )
        });
        canvas.oval(0.0, -36.0, 18.0, 84.0, look.second);
        canvas.block(
            [-90.0, -104.0, 180.0, 150.0],
            0.0,
            Ink::Across(
                (-76.0, WHITE.faded(0.25)),
                (78.0, rgb(0x000000).faded(0.28)),
            ),
        );
    });
    canvas.block(
        [-19.0, 66.0, 38.0, 27.0],
        5.0,
        Ink::Down((66.0, rgb(0xb98347)), (93.0, rgb(0x80552a))),
    );
    canvas.line("M-18 75 L 18 75 M-18 84 L 18 84", 1.6, rgb(0x6a4521));
}

fn tractor(canvas: &mut Canvas, look: &Look) {
    canvas.block([-62.0, -74.0, 72.0, 8.0], 3.0, look.paint.darker(0.2));
    canvas.fill("M-54 -68 L -48 0 4 0 0 -68 Z", GLASS);
    canvas.line(
        "M-56 -68 L -50 4 M2 -68 L 6 4 M-26 -68 L -24 0",
        5.0,
        look.paint.darker(0.1),
    );
    canvas.block(
        [0.0, -18.0, 92.0, 52.0],
        10.0,
        Ink::Down(
            (-18.0, look.paint.lighter(0.2)),
            (34.0, look.paint.darker(0.15)),
        ),
    );
    canvas.fill("M-76 10 C -70 -16 -20 -16 4 4 L 4 40 -70 40 Z", look.paint);
    canvas.line("M60 -18 L 60 -58 M60 -58 L 66 -62", 7.0, rgb(0x4a4d53));
    canvas.line(
        "M18 -4 L 48 -4 M18 6 L 48 6 M18 16 L 48 16",
        3.0,
        look.paint.darker(0.4),
    );
    canvas.circle(92.0, 2.0, 6.0, rgb(0xfff0b0));
    canvas.block([-30.0, 34.0, 112.0, 12.0], 3.0, rgb(0x4a4d53));
    for (x, radius) in [(-44.0, 46.0), (66.0, 27.0)] {
        let y = 88.0 - radius;
        for idx in 0..16 {
            canvas.placed([x, y], radius / 46.0, 22.5 * idx as f32, |canvas| {
                canvas.block([-5.0, -49.0, 10.0, 12.0], 2.0, rgb(0x1f2024))
            });
        }
        canvas.circle(x, y, 0.94 * radius, rgb(0x2a2b30));
        canvas.circle(
            x,
            y,
            0.56 * radius,
            Ink::Ball(x, y, 0.56 * radius, look.second),
        );
        canvas.circle(x, y, 0.18 * radius, look.second.darker(0.4));
    }
}
