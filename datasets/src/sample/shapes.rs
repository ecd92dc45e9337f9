//! Shapes in colours.

use super::canvas::{Canvas, Ink, WHITE, rgb, star};
use super::scene::Scene;
use super::{Look, Pose, Thing};

const SCENES: &[Scene] = &[Scene::Light, Scene::Pastel];

/// The looks of a shape: its name, and one plural for all.
macro_rules! looks {
    ($name:literal) => {
        &[
            Look {
                color: "red",
                paint: rgb(0xd9252b),
                second: WHITE,
                phrases: &[concat!("a red ", $name), concat!("a bright red ", $name)],
                plural: "",
            },
            Look {
                color: "blue",
                paint: rgb(0x2258c4),
                second: WHITE,
                phrases: &[concat!("a blue ", $name), concat!("a deep blue ", $name)],
                plural: "",
            },
            Look {
                color: "green",
                paint: rgb(0x2f9a45),
                second: WHITE,
                phrases: &[concat!("a green ", $name), concat!("a large green ", $name)],
                plural: "",
            },
            Look {
                color: "yellow",
                paint: rgb(0xf2c512),
                second: WHITE,
                phrases: &[
                    concat!("a yellow ", $name),
                    concat!("a simple yellow ", $name),
                ],
                plural: "",
            },
        ]
    };
}

pub(super) const THINGS: &[Thing] = &[
    Thing {
        label: "circle",
        scenes: SCENES,
        looks: looks!("circle"),
        pictures: 1,
        draw: circle,
        pose: Pose::Floating,
    },
    Thing {
        label: "square",
        scenes: SCENES,
        looks: looks!("square"),
        pictures: 1,
        draw: square,
        pose: Pose::Floating,
    },
    Thing {
        label: "triangle",
        scenes: SCENES,
        looks: looks!("triangle"),
        pictures: 1,
        draw: triangle,
        pose: Pose::Floating,
    },
    Thing {
        label: "star",
        scenes: SCENES,
        looks: looks!("star with five points"),
        pictures: 1,
        draw: five_star,
        pose: Pose::Floating,
    },
    Thing {
        label: "heart",
        scenes: SCENES,
        looks: looks!("heart"),
        pictures: 1,
        draw: heart,
        pose: Pose::Floating,
    },
    Thing {
        label: "hexagon",
        scenes: SCENES,
        looks: looks!("hexagon"),
        pictures: 1,
        draw: hexagon,
        pose: Pose::Floating,
    },
];

/// The gentle light on every shape.
fn ink(look: &Look) -> Ink {
    Ink::Down(
        (-80.0, look.paint.lighter(0.14)),
        (80.0, look.paint.darker(0.12)),
    )
}

fn circle(canvas: &mut Canvas, look: &Look) {
    canvas.circle(0.0, 0.0, 78.0, ink(look));
}

fn square(canvas: &mut Canvas, look: &Look) {
    canvas.block([-72.0, -72.0, 144.0, 144.0], 2.0, ink(look));
}

fn triangle(canvas: &mut Canvas, look: &Look) {
    canvas.fill("M0 -80 L 88 74 -88 74 Z", ink(look));
}

fn five_star(canvas: &mut Canvas, look: &Look) {
    canvas.polygon(star(5, 92.0, 38.0), ink(look));
}

fn heart(canvas: &mut Canvas, look: &Look) {
    canvas.fill("M0 84 C -60 40 -92 6 -86 -34 C -80 -76 -24 -82 0 -40 C 24 -82 80 -76 86 -34 C 92 6 60 40 0 84 Z", ink(look));
}

fn hexagon(canvas: &mut Canvas, look: &Look) {
    canvas.polygon(star(3, 84.0, 84.0), ink(look));
}
