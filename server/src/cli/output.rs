//! What a command prints: one JSON document, or text for people, with colour and a progress bar on a terminal only.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

use datasets::formats::{Progress, ProgressUnit};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// How often a pipe gets a line about the progress.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How often a bar is drawn anew.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Where answers go: standard output. Progress and remarks go to standard error.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    color: bool,
}

impl Output {
    /// JSON or text; text is coloured on a terminal unless `NO_COLOR` is set.
    pub fn new(json: bool) -> Self {
        let color = !json && io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, color }
    }

    /// Whether a JSON document is wanted.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints the answer: `value` as JSON, or what `text` makes of it for people. A closed pipe is no error.
    pub fn answer(self, value: &Value, text: impl FnOnce(Paint) -> String) {
        let mut out = if self.json {
            format!("{value:#}")
        } else {
            text(Paint { color: self.color })
        };
        if !out.ends_with('\n') {
            out.push('\n');
        }
        let _ = io::stdout().write_all(out.as_bytes());
    }

    /// A remark for people, on standard error; none in JSON.
    pub fn remark(self, text: &str) {
        if !self.json {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}

/// Emphasis, where the terminal can show it.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    color: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Bold.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Faint.
    pub fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Green.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Yellow.
    pub fn odd(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Red.
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }
}

/// Columns under their heads; columns of `right` are set flush right. Cells hold no colour codes.
pub fn table(head: &[&str], rows: &[Vec<String>], right: &[bool]) -> String {
    let width_of = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain([head[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width_of).collect();
    let mut out = String::new();
    let head_row: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(&head_row).chain(rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ = if right[column] {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A count with a thin grouping, as `12,345`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun, which is in the singular: `1 row`, `12,345 rows`.
pub fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{} {noun}s", grouped(count)),
    }
}

/// Bytes in the unit that a person would choose, as `1.2 GB`.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// One line of at most `width_max` characters: white space runs become one space, the rest is cut.
pub fn one_line(text: &str, width_max: usize) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        let space = (width > 0).then_some(' ');
        for ch in space.into_iter().chain(word.chars()) {
            if width == width_max {
                out.pop();
                out.push('…');
                return out;
            }
            // Control characters could rewrite the terminal.
            out.push(if ch.is_control() { '\u{fffd}' } else { ch });
            width += 1;
        }
    }
    out
}

/// Tells how far a load has come: a bar on a terminal, a line every five seconds elsewhere.
pub struct Meter {
    bar: Option<ProgressBar>,
    started: Instant,
    told: Option<Instant>,
}

impl Meter {
    /// A meter on standard error.
    pub fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            // The template is ours and has a test.
            bar.set_style(bar_style());
            bar.enable_steady_tick(DRAW_EVERY);
            bar
        });
        Self {
            bar,
            started: Instant::now(),
            told: None,
        }
    }

    /// Says that `rows` have been answered and `skipped` left out, with the reader at `progress`.
    pub fn tell(&mut self, rows: u64, skipped: u64, progress: Progress) {
        // Called for every row: most calls end here.
        let every = if self.bar.is_some() {
            DRAW_EVERY
        } else {
            LINE_EVERY
        };
        if self.told.unwrap_or(self.started).elapsed() < every {
            return;
        }
        self.told = Some(Instant::now());
        let seconds = self.seconds().max(1e-3);
        let mut text = format!(
            "{}, {} rows/s",
            counted(rows, "row"),
            grouped((rows as f64 / seconds).round() as u64)
        );
        if skipped > 0 {
            let _ = write!(text, ", {} skipped", grouped(skipped));
        }
        if let Some(bar) = &self.bar {
            if let Some(total) = progress.total {
                bar.set_length(total.max(1));
            }
            bar.set_position(progress.done);
            bar.set_message(text);
        } else {
            if let Some(total) = progress.total.filter(|&total| total > 0) {
                let share = (progress.done as f64 / total as f64).min(1.0);
                let unit = match progress.unit {
                    ProgressUnit::Bytes => "of the file",
                    ProgressUnit::Pictures => "of the pictures",
                };
                let left = if share > 0.0 {
                    seconds / share * (1.0 - share)
                } else {
                    0.0
                };
                let _ = write!(
                    text,
                    ", {:.0} % {unit}, about {left:.0} s left",
                    share * 100.0
                );
            }
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}  ETA {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(count), text);
        }
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(0, "row"), "0 rows");
        assert_eq!(counted(1234, "row"), "1,234 rows");
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_500_000, "1.5 MB"),
            (999_999, "1.0 MB"),
        ] {
            assert_eq!(bytes_text(bytes), text);
        }
    }

    #[test]
    fn a_line_is_one_line() {
        for (text, width, line) in [
            ("a  b\n\tc", 10, "a b c"),
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abcde…"),
            ("ab cd", 3, "ab…"),
            ("\u{1b}[2Jx", 9, "\u{fffd}[2Jx"),
            ("", 4, ""),
        ] {
            assert_eq!(one_line(text, width), line, "{text:?}");
        }
    }

    #[test]
    fn a_table_is_aligned() {
        let rows = vec![
            vec!["a".to_owned(), "10".to_owned()],
            vec!["long".to_owned(), "7".to_owned()],
        ];
        assert_eq!(
            table(&["name", "n"], &rows, &[false, true]),
            "name   n\na     10\nlong   7\n"
        );
    }

    #[test]
    fn the_bar_has_its_template() {
        assert!(ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}  ETA {eta}").is_ok());
    }
}
