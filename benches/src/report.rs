//! What a command measured: tables for people, one JSON document for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::environment;

/// Everything that one command has to say.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    settings: Value,
    datasets: Vec<Value>,
    tables: Vec<Table>,
    goals: Vec<Goal>,
    remarks: Vec<String>,
}

/// Rows under heads.
#[derive(Debug)]
pub struct Table {
    title: String,
    columns: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A number, and the decimal places that mean something.
    Number(f64, usize),
    /// Nothing was measured.
    Empty,
}

/// What a figure has to reach.
#[derive(Debug)]
struct Goal {
    what: String,
    got: String,
    met: bool,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Self::Number(count as f64, 0)
    }
}

impl Cell {
    fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number, digits) => grouped(*number, *digits),
            Self::Empty => String::new(),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            // Rounded as it is shown: more digits would be noise.
            Self::Number(number, 0) => Value::from(number.round() as i64),
            Self::Number(number, digits) => {
                let scale = 10f64.powi(*digits as i32);
                Value::from((number * scale).round() / scale)
            }
            Self::Empty => Value::Null,
        }
    }

    fn is_number(&self) -> bool {
        !matches!(self, Self::Text(_))
    }
}

impl Table {
    /// An empty table. The heads are the keys in JSON too.
    pub fn new(title: impl Into<String>, columns: &'static [&'static str]) -> Self {
        Self {
            title: title.into(),
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// If it has not one cell per column.
    pub fn push(&mut self, row: Vec<Cell>) {
        assert_eq!(row.len(), self.columns.len(), "{}: {row:?}", self.title);
        self.rows.push(row);
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn to_text(&self) -> String {
        let cells: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(Cell::to_text).collect())
            .collect();
        let width = |column: usize| {
            let widths = cells.iter().map(|row| row[column].chars().count());
            widths
                .max()
                .unwrap_or(0)
                .max(self.columns[column].chars().count())
        };
        let right = |column: usize| self.rows.iter().all(|row| row[column].is_number());
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::from(" ");
            for (column, cell) in cells.enumerate() {
                let width = width(column);
                // Writing to a string cannot fail.
                let _ = match right(column) {
                    true => write!(line, " {cell:>width$} "),
                    false => write!(line, " {cell:<width$} "),
                };
            }
            line.trim_end().to_owned() + "\n"
        };
        let mut text = format!("{}\n", self.title);
        text += &line(&mut self.columns.iter().copied());
        for row in &cells {
            text += &line(&mut row.iter().map(String::as_str));
        }
        text
    }

    fn to_json(&self) -> Value {
        let row = |row: &Vec<Cell>| {
            let cells = self.columns.iter().zip(row);
            let cells = cells.map(|(name, cell)| ((*name).to_owned(), cell.to_json()));
            Value::Object(cells.collect::<Map<_, _>>())
        };
        json!({ "title": self.title, "rows": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

impl Report {
    /// A report without figures yet.
    pub fn new(name: &'static str, settings: Value) -> Self {
        Self {
            name,
            settings,
            datasets: Vec::new(),
            tables: Vec::new(),
            goals: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Says what was read or made.
    pub fn dataset(&mut self, description: Value) {
        self.datasets.push(description);
    }

    /// Adds figures.
    pub fn table(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Adds a goal: what is wanted, what came, and whether that is enough.
    pub fn goal(&mut self, what: impl Into<String>, got: impl Into<String>, met: bool) {
        self.goals.push(Goal {
            what: what.into(),
            got: got.into(),
            met,
        });
    }

    /// Adds a sentence.
    pub fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// Whether no goal was missed.
    pub fn all_met(&self) -> bool {
        self.goals.iter().all(|goal| goal.met)
    }

    /// Prints it to standard output.
    pub fn print(&self, json: bool) {
        if json {
            println!("{:#}", self.to_json());
        } else {
            print!("{}", self.to_text());
        }
    }

    fn to_json(&self) -> Value {
        let goal = |goal: &Goal| json!({ "what": goal.what, "got": goal.got, "met": goal.met });
        json!({
            "benchmark": self.name,
            "environment": environment::facts(),
            "settings": self.settings,
            "datasets": self.datasets,
            "tables": self.tables.iter().map(Table::to_json).collect::<Vec<_>>(),
            "goals": self.goals.iter().map(goal).collect::<Vec<_>>(),
            "remarks": self.remarks,
        })
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            text += &table.to_text();
            text.push('\n');
        }
        for goal in &self.goals {
            let mark = if goal.met { "ok    " } else { "MISSED" };
            text += &format!("{mark} {}: {}\n", goal.what, goal.got);
        }
        for remark in &self.remarks {
            text += &format!("note: {remark}\n");
        }
        for dataset in &self.datasets {
            text += &format!("data: {}\n", words(dataset));
        }
        text += &format!("settings: {}\n", words(&self.settings));
        text += &format!("environment: {}\n", words(&environment::facts()));
        text
    }
}

/// `key value, key value` of an object, without braces and quotes.
fn words(object: &Value) -> String {
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let values: Vec<String> = values
                .iter()
                .map(|value| value.to_string().replace('"', ""))
                .collect();
            values.join(" ")
        }
        other => other.to_string(),
    };
    let pairs = object.as_object().into_iter().flatten();
    let pairs: Vec<String> = pairs
        .map(|(key, value)| format!("{key} {}", word(value)))
        .collect();
    pairs.join(", ")
}

/// A number with commas between thousands.
fn grouped(number: f64, digits: usize) -> String {
    let plain = format!("{number:.digits$}");
    let (sign, plain) = plain
        .strip_prefix('-')
        .map_or(("", plain.as_str()), |rest| ("-", rest));
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut text = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, digits, expected) in [
            (0.0, 0, "0"),
            (999.6, 0, "1,000"),
            (1234567.891, 2, "1,234,567.89"),
            (-1234.5, 1, "-1,234.5"),
            (0.51234, 3, "0.512"),
        ] {
            assert_eq!(grouped(number, digits), expected);
        }
    }

    #[test]
    fn tables_have_both_forms() {
        let mut table = Table::new("things", &["name", "count"]);
        table.push(vec!["apple".into(), 1200.into()]);
        table.push(vec!["fig".into(), Cell::Empty]);
        assert_eq!(
            table.to_text(),
            "things\n  name   count\n  apple  1,200\n  fig\n"
        );
        let expected = json!({"title": "things", "rows": [{"name": "apple", "count": 1200}, {"name": "fig", "count": null}]});
        assert_eq!(table.to_json(), expected);
    }

    #[test]
    fn a_missed_goal_is_told() {
        let mut report = Report::new("x", json!({ "k": 10 }));
        report.goal("a >= 1", "2", true);
        assert!(report.all_met());
        report.goal("b >= 1", "0", false);
        assert!(!report.all_met());
        assert!(report.to_text().contains("MISSED b >= 1: 0\n"));
    }
}
