//! What the pictures are drawn with: paths written as text, colours that can be lightened, soft light and shadow.
//!
//! A thing is drawn in its own square, from -100 to 100 with `y` downwards; the scene moves, turns and scales it.

use tiny_skia::{
    Color, FillRule, GradientStop, LineCap, LineJoin, LinearGradient, Mask, Paint, Path,
    PathBuilder, Pixmap, Point, RadialGradient, Rect, Shader, SpreadMode, Stroke, Transform,
};

/// Width and height of a picture, in pixels.
pub(super) const SIDE: u32 = 256;

/// A colour with opacity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rgb {
    channels: [f32; 3],
    opacity: f32,
}

/// A colour as `0xRRGGBB`.
pub(super) const fn rgb(hex: u32) -> Rgb {
    Rgb {
        channels: [
            ((hex >> 16) & 0xff) as f32 / 255.0,
            ((hex >> 8) & 0xff) as f32 / 255.0,
            (hex & 0xff) as f32 / 255.0,
        ],
        opacity: 1.0,
    }
}

pub(super) const WHITE: Rgb = rgb(0xffffff);
pub(super) const BLACK: Rgb = rgb(0x1c1c22);

impl Rgb {
    /// This colour, by `share` another.
    pub fn mixed(self, other: Rgb, share: f32) -> Rgb {
        let channels = std::array::from_fn(|i| {
            self.channels[i] + (other.channels[i] - self.channels[i]) * share
        });
        Rgb { channels, ..self }
    }

    pub fn lighter(self, share: f32) -> Rgb {
        self.mixed(WHITE, share)
    }

    pub fn darker(self, share: f32) -> Rgb {
        self.mixed(rgb(0x000000), share)
    }

    pub fn faded(self, opacity: f32) -> Rgb {
        Rgb { opacity, ..self }
    }

    fn color(self) -> Color {
        let [red, green, blue] = self.channels.map(|channel| channel.clamp(0.0, 1.0));
        Color::from_rgba(red, green, blue, self.opacity.clamp(0.0, 1.0))
            .expect("channels lie within 0 and 1")
    }
}

/// What a shape is filled with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ink {
    /// One colour.
    Flat(Rgb),
    /// From one colour at `y` to another at the second `y`.
    Down((f32, Rgb), (f32, Rgb)),
    /// From one colour at `x` to another at the second `x`.
    Across((f32, Rgb), (f32, Rgb)),
    /// A round body about `(x, y)` of a radius, lit from the top left.
    Ball(f32, f32, f32, Rgb),
    /// From one colour in the middle to another at the radius.
    Glow(f32, f32, f32, Rgb, Rgb),
}

impl From<Rgb> for Ink {
    fn from(color: Rgb) -> Ink {
        Ink::Flat(color)
    }
}

impl Ink {
    fn shader(self) -> Shader<'static> {
        let linear = |from: (f32, f32), to: (f32, f32), start: Rgb, end: Rgb| {
            LinearGradient::new(
                Point::from(from),
                Point::from(to),
                stops(&[(0.0, start), (1.0, end)]),
                SpreadMode::Pad,
                Transform::identity(),
            )
        };
        let radial = |x: f32, y: f32, radius: f32, colors: &[(f32, Rgb)]| {
            let centre = Point::from_xy(x, y);
            RadialGradient::new(
                centre,
                0.0,
                centre,
                radius,
                stops(colors),
                SpreadMode::Pad,
                Transform::identity(),
            )
        };
        let (shader, flat) = match self {
            Ink::Flat(color) => (None, color),
            Ink::Down((y0, top), (y1, bottom)) => {
                (linear((0.0, y0), (0.0, y1), top, bottom), bottom)
            }
            Ink::Across((x0, left), (x1, right)) => {
                (linear((x0, 0.0), (x1, 0.0), left, right), right)
            }
            Ink::Ball(x, y, radius, color) => {
                let colors = [
                    (0.0, color.lighter(0.45)),
                    (0.28, color.lighter(0.12)),
                    (0.6, color),
                    (1.0, color.darker(0.32)),
                ];
                (
                    radial(x - 0.35 * radius, y - 0.4 * radius, 1.45 * radius, &colors),
                    color,
                )
            }
            Ink::Glow(x, y, radius, inner, outer) => {
                (radial(x, y, radius, &[(0.0, inner), (1.0, outer)]), inner)
            }
        };
        shader.unwrap_or(Shader::SolidColor(flat.color()))
    }
}

fn stops(colors: &[(f32, Rgb)]) -> Vec<GradientStop> {
    colors
        .iter()
        .map(|&(position, color)| GradientStop::new(position, color.color()))
        .collect()
}

/// A picture being drawn.
pub(super) struct Canvas {
    pixels: Pixmap,
    transform: Transform,
    clip: Option<Mask>,
}

impl Canvas {
    /// A transparent picture; `(0, 0)` is its middle, and 128 units reach its edges.
    pub fn new() -> Canvas {
        let half = SIDE as f32 / 2.0;
        Canvas {
            pixels: Pixmap::new(SIDE, SIDE).expect("the side is not 0"),
            transform: Transform::from_translate(half, half),
            clip: None,
        }
    }

    /// Fills a path; see [`path_of`].
    pub fn fill(&mut self, path: &str, ink: impl Into<Ink>) {
        self.fill_path(&path_of(path), ink.into());
    }

    /// Draws along a path with round ends.
    pub fn line(&mut self, path: &str, width: f32, color: Rgb) {
        self.stroke_path(&path_of(path), width, color);
    }

    pub fn circle(&mut self, x: f32, y: f32, radius: f32, ink: impl Into<Ink>) {
        self.oval(x, y, radius, radius, ink);
    }

    /// An ellipse about `(x, y)` with these half axes.
    pub fn oval(&mut self, x: f32, y: f32, half_width: f32, half_height: f32, ink: impl Into<Ink>) {
        if let Some(path) = oval_path(x, y, half_width, half_height) {
            self.fill_path(&path, ink.into());
        }
    }

    /// A round body with light and shadow.
    pub fn ball(&mut self, x: f32, y: f32, radius: f32, color: Rgb) {
        self.circle(x, y, radius, Ink::Ball(x, y, radius, color));
    }

    pub fn ring(&mut self, x: f32, y: f32, radius: f32, width: f32, color: Rgb) {
        if let Some(path) = oval_path(x, y, radius, radius) {
            self.stroke_path(&path, width, color);
        }
    }

    /// A box from `(x, y)`, its corners rounded.
    pub fn block(&mut self, [x, y, width, height]: [f32; 4], corner: f32, ink: impl Into<Ink>) {
        let (right, bottom, c) = (
            x + width,
            y + height,
            corner.min(width / 2.0).min(height / 2.0),
        );
        let mut path = PathBuilder::new();
        path.move_to(x + c, y);
        path.line_to(right - c, y);
        path.quad_to(right, y, right, y + c);
        path.line_to(right, bottom - c);
        path.quad_to(right, bottom, right - c, bottom);
        path.line_to(x + c, bottom);
        path.quad_to(x, bottom, x, bottom - c);
        path.line_to(x, y + c);
        path.quad_to(x, y, x + c, y);
        path.close();
        if let Some(path) = path.finish() {
            self.fill_path(&path, ink.into());
        }
    }

    /// A polygon.
    pub fn polygon(&mut self, corners: impl IntoIterator<Item = (f32, f32)>, ink: impl Into<Ink>) {
        if let Some(path) = polygon_path(corners) {
            self.fill_path(&path, ink.into());
        }
    }

    /// A soft dark ellipse: the shadow that a thing throws on the ground.
    pub fn shadow(&mut self, x: f32, y: f32, half_width: f32, half_height: f32) {
        self.placed([x, y], half_height / half_width, 0.0, |canvas| {
            let widened = canvas.transform.pre_scale(half_width / half_height, 1.0);
            let before = std::mem::replace(&mut canvas.transform, widened);
            canvas.circle(
                0.0,
                0.0,
                half_width,
                Ink::Glow(
                    0.0,
                    0.0,
                    half_width,
                    rgb(0x000000).faded(0.38),
                    rgb(0x000000).faded(0.0),
                ),
            );
            canvas.transform = before;
        });
    }

    /// Draws with the origin moved to `at`, scaled and turned clockwise by `degrees`.
    pub fn placed(
        &mut self,
        at: [f32; 2],
        scale: f32,
        degrees: f32,
        draw: impl FnOnce(&mut Canvas),
    ) {
        let inner = self
            .transform
            .pre_translate(at[0], at[1])
            .pre_rotate(degrees)
            .pre_scale(scale, scale);
        let before = std::mem::replace(&mut self.transform, inner);
        draw(self);
        self.transform = before;
    }

    /// Draws with left and right exchanged.
    pub fn mirrored(&mut self, draw: impl FnOnce(&mut Canvas)) {
        let exchanged = self.transform.pre_scale(-1.0, 1.0);
        let before = std::mem::replace(&mut self.transform, exchanged);
        draw(self);
        self.transform = before;
    }

    /// Draws once as it is and once with left and right exchanged.
    pub fn both_sides(&mut self, draw: impl Fn(&mut Canvas)) {
        draw(self);
        self.mirrored(draw);
    }

    /// Draws inside a path only.
    pub fn inside(&mut self, path: &str, draw: impl FnOnce(&mut Canvas)) {
        self.inside_path(&path_of(path), draw);
    }

    /// Draws inside an ellipse only.
    pub fn inside_oval(
        &mut self,
        x: f32,
        y: f32,
        half_width: f32,
        half_height: f32,
        draw: impl FnOnce(&mut Canvas),
    ) {
        if let Some(path) = oval_path(x, y, half_width, half_height) {
            self.inside_path(&path, draw);
        }
    }

    fn inside_path(&mut self, path: &Path, draw: impl FnOnce(&mut Canvas)) {
        let mut mask = Mask::new(SIDE, SIDE).expect("the side is not 0");
        mask.fill_path(path, FillRule::Winding, true, self.transform);
        let before = self.clip.replace(mask);
        draw(self);
        self.clip = before;
    }

    fn fill_path(&mut self, path: &Path, ink: Ink) {
        let paint = Paint {
            shader: ink.shader(),
            anti_alias: true,
            ..Paint::default()
        };
        self.pixels.fill_path(
            path,
            &paint,
            FillRule::Winding,
            self.transform,
            self.clip.as_ref(),
        );
    }

    fn stroke_path(&mut self, path: &Path, width: f32, color: Rgb) {
        let paint = Paint {
            shader: Shader::SolidColor(color.color()),
            anti_alias: true,
            ..Paint::default()
        };
        let stroke = Stroke {
            width,
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        self.pixels
            .stroke_path(path, &paint, &stroke, self.transform, self.clip.as_ref());
    }

    /// The picture as PNG.
    pub fn into_png(self) -> Vec<u8> {
        self.pixels
            .encode_png()
            .expect("a picture of this size can be encoded")
    }
}

fn oval_path(x: f32, y: f32, half_width: f32, half_height: f32) -> Option<Path> {
    PathBuilder::from_oval(Rect::from_ltrb(
        x - half_width,
        y - half_height,
        x + half_width,
        y + half_height,
    )?)
}

fn polygon_path(corners: impl IntoIterator<Item = (f32, f32)>) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (idx, (x, y)) in corners.into_iter().enumerate() {
        if idx == 0 {
            path.move_to(x, y)
        } else {
            path.line_to(x, y)
        }
    }
    path.close();
    path.finish()
}

/// A path from text in the manner of SVG: `M x y`, `L x y`, `Q x1 y1 x y`, `C x1 y1 x2 y2 x y` and `Z`, numbers
/// divided by blanks or commas, a command standing until the next.
///
/// # Panics
///
/// On anything else: the paths are ours.
fn path_of(text: &str) -> Path {
    let mut path = PathBuilder::new();
    let mut numbers: Vec<f32> = Vec::new();
    let mut command = 'M';
    for token in tokens_of(text) {
        match token.chars().next() {
            Some('Z') => path.close(),
            Some(letter) if letter.is_ascii_alphabetic() => command = letter,
            _ => numbers.push(
                token
                    .parse()
                    .unwrap_or_else(|_| panic!("'{token}' is no number in path '{text}'")),
            ),
        }
        match (command, numbers.as_slice()) {
            ('M', &[x, y]) => {
                path.move_to(x, y);
                command = 'L';
            }
            ('L', &[x, y]) => path.line_to(x, y),
            ('Q', &[x1, y1, x, y]) => path.quad_to(x1, y1, x, y),
            ('C', &[x1, y1, x2, y2, x, y]) => path.cubic_to(x1, y1, x2, y2, x, y),
            ('M' | 'L' | 'Q' | 'C', _) => continue,
            (command, _) => panic!("unknown command '{command}' in path '{text}'"),
        }
        numbers.clear();
    }
    path.finish()
        .unwrap_or_else(|| panic!("path '{text}' draws nothing"))
}

fn tokens_of(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', '\n'])
        .filter(|token| !token.is_empty())
        .flat_map(|token| {
            let letters = token.chars().take_while(char::is_ascii_alphabetic).count();
            let (command, number) = token.split_at(letters);
            [command, number]
                .into_iter()
                .filter(|part| !part.is_empty())
        })
}

/// Corners of a star or, with equal radii, of a regular polygon about the origin, the first on top.
pub(super) fn star(points: u32, outer: f32, inner: f32) -> impl Iterator<Item = (f32, f32)> {
    (0..2 * points).map(move |idx| {
        let radius = if idx % 2 == 0 { outer } else { inner };
        around(360.0 * idx as f32 / (2 * points) as f32, radius)
    })
}

/// The point at a distance from the origin, `degrees` clockwise from the top.
pub(super) fn around(degrees: f32, radius: f32) -> (f32, f32) {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    (radius * sine, -radius * cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let bounds = path_of("M0,0 L10 0 10 5 Q 5 10 0 5 C 0 4 0 2 0 1 Z").bounds();
        assert_eq!(
            (bounds.left(), bounds.right(), bounds.top()),
            (0.0, 10.0, 0.0)
        );
    }

    #[test]
    #[should_panic(expected = "unknown command")]
    fn bad_path() {
        path_of("M0,x");
    }

    #[test]
    fn stars() {
        let corners: Vec<_> = star(5, 10.0, 4.0).collect();
        assert_eq!(corners.len(), 10);
        assert!(corners[0].0.abs() < 1e-6 && (corners[0].1 + 10.0).abs() < 1e-6);
    }
}
