//! Curves of recall against speed, and bars, as SVG.

use std::fmt::Write as _;

/// One system's line.
pub struct Curve {
    /// Whose.
    pub name: String,
    /// Recall and queries a second, in the order of the parameter.
    pub points: Vec<(f64, f64)>,
    /// Seconds of CPU that building took.
    pub build_s: f64,
    /// Bytes of memory a vector.
    pub bytes: f64,
}

const WIDTH: f64 = 1080.0;
const HEIGHT: f64 = 460.0;
const COLOURS: [&str; 10] = [
    "#c1121f", "#1d4e89", "#2a9d8f", "#8a5a00", "#6a4c93", "#3a7d44", "#d17b0f", "#52616b",
    "#9d4edd", "#0b7285",
];
/// Below it nobody looks.
const RECALL_MIN: f64 = 0.8;

/// Three panels: recall against queries a second, build time, bytes a vector.
pub fn svg(title: &str, curves: &[Curve]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"20\" y=\"24\" font-size=\"16\">{title}</text>\n"
    );
    lines(&mut svg, curves);
    let mut bars = |top: f64, heading: &str, value: fn(&Curve) -> f64| {
        let largest = curves.iter().map(value).fold(0.0, f64::max).max(1e-9);
        let _ = writeln!(svg, "<text x=\"700\" y=\"{top}\">{heading}</text>");
        for (at, curve) in curves.iter().enumerate() {
            let (y, width) = (top + 8.0 + 18.0 * at as f64, 180.0 * value(curve) / largest);
            let _ = writeln!(
                svg,
                "<rect x=\"810\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"13\" fill=\"{}\"/>\
                 <text x=\"804\" y=\"{:.1}\" text-anchor=\"end\">{}</text><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                COLOURS[at % COLOURS.len()],
                y + 11.0,
                curve.name,
                816.0 + width,
                y + 11.0,
                short(value(curve)),
            );
        }
    };
    bars(52.0, "build, seconds of CPU", |curve| curve.build_s);
    bars(262.0, "memory, bytes a vector", |curve| curve.bytes);
    svg + "</svg>\n"
}

fn lines(svg: &mut String, curves: &[Curve]) {
    let (left, right, top, bottom) = (70.0, 650.0, 45.0, 410.0);
    let speeds = curves
        .iter()
        .flat_map(|curve| curve.points.iter().map(|point| point.1));
    let (low, high) = speeds.fold((f64::INFINITY, 1.0f64), |(low, high), qps| {
        (low.min(qps), high.max(qps))
    });
    let (low, high) = (low.min(high).max(1.0).log10().floor(), high.log10().ceil());
    let x = |recall: f64| left + (recall - RECALL_MIN) / (1.0 - RECALL_MIN) * (right - left);
    let y =
        |qps: f64| bottom - (qps.max(1.0).log10() - low) / (high - low).max(1.0) * (bottom - top);
    for step in 0..=4 {
        let recall = RECALL_MIN + (1.0 - RECALL_MIN) * f64::from(step) / 4.0;
        let x = x(recall);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#dddddd\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{recall:.2}</text>",
            bottom + 16.0
        );
    }
    for power in low as i32..=high as i32 {
        let qps = 10f64.powi(power);
        let y = y(qps);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            y + 4.0,
            short(qps)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">recall@10; upwards: queries a second of CPU, one thread</text>",
        (left + right) / 2.0,
        bottom + 36.0
    );
    for (at, curve) in curves.iter().enumerate() {
        let shown: Vec<String> = curve
            .points
            .iter()
            .filter(|(recall, _)| *recall >= RECALL_MIN)
            .map(|(recall, qps)| format!("{:.1},{:.1}", x(*recall), y(*qps)))
            .collect();
        let colour = COLOURS[at % COLOURS.len()];
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            shown.join(" ")
        );
        for point in &shown {
            let (x, y) = point.split_once(',').unwrap_or_default();
            let _ = writeln!(
                svg,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"2.5\" fill=\"{colour}\"/>"
            );
        }
    }
}

/// A number in at most five characters: `950`, `12.5k`, `1.2M`.
fn short(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{:.1}M", n / 1e6),
        n if n >= 1e3 => format!("{:.1}k", n / 1e3),
        n if n >= 10.0 => format!("{n:.0}"),
        n => format!("{n:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_shows_every_system() {
        let curve = |name: &str, qps| Curve {
            name: name.into(),
            points: vec![(0.5, 2.0 * qps), (0.9, qps), (0.99, qps / 3.0)],
            build_s: 1.5,
            bytes: 640.0,
        };
        let svg = svg("a set", &[curve("ours", 4e4), curve("theirs", 900.0)]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        // Half a recall is left of the picture.
        assert_eq!(svg.matches("<circle").count(), 4);
        assert_eq!(svg.matches(">ours</text>").count(), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn numbers_are_short() {
        for (number, expected) in [
            (0.25, "0.2"),
            (64.0, "64"),
            (950.4, "950"),
            (12_500.0, "12.5k"),
            (3.2e6, "3.2M"),
        ] {
            assert_eq!(short(number), expected);
        }
    }
}
