//! `vecino search`: the nearest points to a text, a picture, a vector or a stored point.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::client::{Client, ServerArgs, collection_path};
use super::failure::{Failure, Result, io_at};
use super::output::{Output, Paint, counted, grouped, one_line};

/// The largest picture sent as a query.
const IMAGE_BYTES_MAX: u64 = 20 << 20;
/// Payload fields that tell a person best what a point is, best first.
const TELLING_FIELDS: [&str; 8] = [
    "title",
    "name",
    "caption",
    "label",
    "text",
    "description",
    "file",
    "file_name",
];
/// Width of what is shown of a point.
const SNIPPET_WIDTH: usize = 90;

/// What to search for, and how.
#[derive(Args, Debug)]
pub struct SearchArgs {
    /// A text; the path of a picture; or a vector, as [1, 2, 3].
    #[arg(
        required_unless_present = "like",
        value_name = "TEXT|FILE|VECTOR",
        allow_hyphen_values = true
    )]
    query: Option<String>,
    /// Collection to search.
    #[arg(long, short)]
    collection: String,
    #[command(flatten)]
    server: ServerArgs,
    /// How many answers.
    #[arg(short, default_value_t = 10)]
    k: u64,
    /// By meaning (dense), by words (sparse), or both. Default: both where the collection has them.
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Only points that pass, as {"must": [{"key": "label", "match": {"value": "apple"}}]}.
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// Compare with every vector, however long it takes.
    #[arg(long, conflicts_with = "target_recall")]
    exact: bool,
    /// How many of the true neighbours the answers shall hold, on average: more than 0, at most 1, which compares with every vector. Default: 0.98.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    target_recall: Option<f64>,
    /// Say how the answers were found and what it cost.
    #[arg(long)]
    explain: bool,
    /// Take the query as text even if there is a file of that name.
    #[arg(long)]
    text: bool,
    /// Search for points like this stored one. Digits are a number; '"17"' is the text of these digits.
    #[arg(long, value_name = "ID", conflicts_with = "query")]
    like: Option<String>,
    /// Name of the vector to compare; for a vector the unnamed one, for --like all that fit, if not given.
    #[arg(long, value_name = "NAME")]
    using: Option<String>,
}

impl SearchArgs {
    /// How to search, as both routes have it.
    fn params(&self) -> Map<String, Value> {
        let mut params = Map::new();
        if self.exact {
            params.insert("exact".to_owned(), true.into());
        }
        if let Some(target) = self.target_recall {
            params.insert("target_recall".to_owned(), target.into());
        }
        params
    }
}

/// Ways to search by text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Mode {
    /// By meaning.
    Dense,
    /// By words.
    Sparse,
    /// Both, fused.
    Hybrid,
}

impl Mode {
    fn wire(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Sparse => "sparse",
            Self::Hybrid => "hybrid",
        }
    }
}

/// A share that answers can hold; NaN is none.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok();
    share
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or_else(|| "give a number of more than 0 and at most 1, as 0.99".to_owned())
}

/// What the words on the command line mean.
#[derive(Debug, PartialEq)]
enum Asked {
    Text(String),
    Picture(Vec<u8>),
    Vector(Vec<f64>),
    Like(Value),
}

/// Runs the command.
///
/// # Errors
///
/// The query or filter cannot be understood, the server does not answer or refuses.
pub fn run(args: &SearchArgs, output: Output) -> Result<()> {
    let asked = asked(args)?;
    let filter = args.filter.as_deref().map(parse_filter).transpose()?;
    let client = Client::connect(&args.server)?;
    let answer = match asked {
        Asked::Vector(vector) => by_vector(&client, args, json!(vector), filter),
        Asked::Like(id) if args.using.is_some() => by_vector(&client, args, id, filter),
        asked => native(&client, args, asked, filter),
    }?;
    output.answer(&answer, |paint| to_text(&answer, args, paint));
    Ok(())
}

fn asked(args: &SearchArgs) -> Result<Asked> {
    if let Some(id) = &args.like {
        return Ok(Asked::Like(like(id)));
    }
    let query = args.query.as_deref().unwrap_or_default();
    if query.trim().is_empty() {
        return Err(Failure::new("the query is empty")
            .mend("say what to search for: a text, the path of a picture, or a vector"));
    }
    if args.text {
        return Ok(Asked::Text(query.to_owned()));
    }
    if let Some(vector) = vector(query) {
        return vector.map(Asked::Vector).map_err(|reason| {
            Failure::new(format!("the vector cannot be read: {reason}"))
                .at(one_line(query, SNIPPET_WIDTH))
                .mend("write numbers between brackets, as '[1, 2.5, -3]'; or give --text to search for these words")
        });
    }
    let path = Path::new(query);
    if path.is_file() {
        return picture(path).map(Asked::Picture);
    }
    if looks_like_a_picture(path) {
        return Err(Failure::new("there is no such file")
            .at(query)
            .mend("check the path, or give --text to search for these words"));
    }
    Ok(Asked::Text(query.to_owned()))
}

/// The numbers, if the words begin as a vector does: with a bracket and a number. Else they are words, as in `[citation needed]`.
fn vector(query: &str) -> Option<Result<Vec<f64>, String>> {
    let rest = query.trim().strip_prefix('[')?;
    let inner = rest.strip_suffix(']');
    let mut parts = inner.unwrap_or(rest).split(',').map(str::trim).peekable();
    parts.peek()?.parse::<f64>().ok()?;
    if inner.is_none() {
        return Some(Err("the closing ] is missing".to_owned()));
    }
    let number = |(idx, part): (usize, &str)| match part.parse::<f64>() {
        Ok(number) if (number as f32).is_finite() => Ok(number),
        Ok(_) => Err(format!(
            "{part}, number {} of it, is not finite in 32 bits",
            idx + 1
        )),
        Err(_) => Err(format!("`{part}`, number {} of it, is no number", idx + 1)),
    };
    Some(parts.enumerate().map(number).collect())
}

/// An id as `--like` has it.
fn like(id: &str) -> Value {
    let quoted = id.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match (quoted, id.parse::<u64>()) {
        (Some(text), _) => text.into(),
        (None, Ok(number)) => number.into(),
        (None, Err(_)) => id.into(),
    }
}

fn picture(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::metadata(path)
        .map_err(io_at(path.display()))?
        .len();
    if bytes > IMAGE_BYTES_MAX {
        return Err(Failure::new(format!(
            "the picture has {bytes} bytes; at most {IMAGE_BYTES_MAX} can be searched with"
        ))
        .at(path.display().to_string())
        .mend("make it smaller; a side of 500 pixels is plenty"));
    }
    std::fs::read(path).map_err(io_at(path.display()))
}

fn looks_like_a_picture(path: &Path) -> bool {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
        .to_lowercase();
    ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"].contains(&extension.as_str())
}

fn parse_filter(text: &str) -> Result<Value> {
    let mend = r#"give one like {"must": [{"key": "label", "match": {"value": "apple"}}]}, in quotes for the shell"#;
    match serde_json::from_str(text) {
        Ok(Value::Object(filter)) => Ok(Value::Object(filter)),
        Ok(_) => Err(Failure::new("the filter is no JSON object")
            .at("--filter")
            .mend(mend)),
        Err(error) => Err(Failure::new(format!("the filter is not JSON: {error}"))
            .at("--filter")
            .mend(mend)),
    }
}

fn native(
    client: &Client,
    args: &SearchArgs,
    asked: Asked,
    filter: Option<Value>,
) -> Result<Value> {
    let mut body = Map::new();
    match asked {
        Asked::Picture(bytes) => body.insert("image".to_owned(), STANDARD.encode(bytes).into()),
        Asked::Text(text) => body.insert("text".to_owned(), text.into()),
        Asked::Like(id) => body.insert("like".to_owned(), id),
        Asked::Vector(_) => None,
    };
    body.insert("k".to_owned(), args.k.into());
    body.insert("explain".to_owned(), args.explain.into());
    body.insert("params".to_owned(), args.params().into());
    if let Some(mode) = args.mode {
        body.insert("mode".to_owned(), mode.wire().into());
    }
    if let Some(filter) = filter {
        body.insert("filter".to_owned(), filter);
    }
    client.json(
        Method::POST,
        &collection_path(&args.collection, "/search"),
        &Value::Object(body),
    )
}

fn by_vector(
    client: &Client,
    args: &SearchArgs,
    query: Value,
    filter: Option<Value>,
) -> Result<Value> {
    let mut params = args.params();
    params.insert("explain".to_owned(), args.explain.into());
    let mut body =
        json!({ "query": query, "limit": args.k, "with_payload": true, "params": params });
    if let Some(using) = &args.using {
        body["using"] = using.as_str().into();
    }
    if let Some(filter) = filter {
        body["filter"] = filter;
    }
    let path = collection_path(&args.collection, "/points/query");
    client.json(Method::POST, &path, &body).map_err(|failure| {
        // Other refusals have nothing to do with it.
        match failure.what().contains("vector") {
            true => failure.mend("name the vector with --using; `vecino doctor --json` lists what each collection has"),
            false => failure,
        }
    })
}

fn to_text(answer: &Value, args: &SearchArgs, paint: Paint) -> String {
    let none = vec![];
    let points = answer
        .get("points")
        .and_then(Value::as_array)
        .unwrap_or(&none);
    let mut text = String::new();
    if points.is_empty() {
        text.push_str("nothing found\n");
    }
    for (rank, point) in points.iter().enumerate() {
        let score = point
            .get("score")
            .and_then(Value::as_f64)
            .unwrap_or_default();
        let id = point
            .get("id")
            .map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned))
            .unwrap_or_default();
        let place = point
            .pointer("/payload/file")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let trail = one_line(&format!("{id} {place}"), 120);
        let _ = writeln!(
            text,
            "{:>3}. {score:>9.4}  {}  {}",
            rank + 1,
            paint.bold(&describe(point)),
            paint.faint(&trail)
        );
        if args.explain
            && let Some(parts) = point
                .get("score_parts")
                .filter(|parts| parts.as_array().is_some_and(|parts| !parts.is_empty()))
        {
            let _ = writeln!(
                text,
                "      {}",
                paint.faint(&one_line(&parts.to_string(), 200))
            );
        }
    }
    if let Some(explain) = answer.get("explain").filter(|explain| explain.is_object()) {
        text.push_str(&explain_text(explain, paint));
    }
    text
}

/// What a person would call the point.
fn describe(point: &Value) -> String {
    let payload = point.get("payload").and_then(Value::as_object);
    let field = |name: &&str| {
        payload?
            .get(*name)?
            .as_str()
            .filter(|text| !text.trim().is_empty())
    };
    let title = TELLING_FIELDS.iter().find_map(field);
    let source = point
        .get("text")
        .and_then(Value::as_str)
        .filter(|text| !text.trim().is_empty());
    let text = match (title, source) {
        (Some(title), Some(source)) if source.starts_with(title) => source.to_owned(),
        (Some(title), Some(source)) => format!("{title}: {source}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => payload
            .map(|payload| Value::Object(payload.clone()).to_string())
            .unwrap_or_default(),
    };
    one_line(&text, SNIPPET_WIDTH)
}

fn explain_text(explain: &Value, paint: Paint) -> String {
    let mut text = String::new();
    let plan = explain
        .get("plan")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let _ = writeln!(text, "{} {}", paint.bold("plan:"), one_line(plan, 400));
    for segment in explain
        .get("segments")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let field = |name: &str| {
            segment
                .get(name)
                .map(|value| {
                    value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned)
                })
                .unwrap_or_default()
        };
        let count = |name: &str| segment.get(name).and_then(Value::as_u64).unwrap_or(0);
        let codes = match segment.get("encoding").and_then(Value::as_str) {
            Some(encoding) => format!(" of {encoding} codes"),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "  {} segment, vector \"{}\": {}{codes} over {} ({}); {} visited, {}, {} us",
            field("state"),
            field("using"),
            field("index"),
            counted(count("rows"), "row"),
            field("reason"),
            grouped(count("visited")),
            counted(count("distance_calls"), "distance"),
            grouped(count("us"))
        );
    }
    if let Some(filter) = explain.get("filter").and_then(Value::as_str) {
        let _ = writeln!(text, "  filter: {}", one_line(filter, 300));
    }
    if let Some(recall) = explain.get("recall_estimate").and_then(Value::as_f64) {
        let _ = writeln!(text, "  expected recall: {recall:.3}");
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: SearchArgs,
    }

    fn parse(words: &[&str]) -> SearchArgs {
        Only::parse_from(["search", "-c", "x"].iter().chain(words)).args
    }

    #[test]
    fn what_the_words_mean() {
        let check = |words: &[&str], expected: Asked| {
            assert_eq!(asked(&parse(words)).unwrap(), expected, "{words:?}")
        };
        check(&["green apple"], Asked::Text("green apple".into()));
        check(&["[1, -2.5]"], Asked::Vector(vec![1.0, -2.5]));
        check(
            &["[citation needed]"],
            Asked::Text("[citation needed]".into()),
        );
        check(&["--text", "[1]"], Asked::Text("[1]".into()));
        check(&["--like", "17"], Asked::Like(json!(17)));
        check(&["--like", "a17"], Asked::Like(json!("a17")));
        check(&["--like", "\"17\""], Asked::Like(json!("17")));
        check(&["[1] a footnote"], Asked::Text("[1] a footnote".into()));
        for (words, part) in [
            ("[1,2", "closing ]"),
            ("[NaN,1,2]", "NaN, number 1"),
            ("[1, x]", "`x`, number 2"),
            ("[1e99]", "not finite"),
        ] {
            let said = asked(&parse(&[words])).unwrap_err().to_string();
            assert!(said.contains("vector") && said.contains(part), "{said}");
        }
        assert!(
            asked(&parse(&["no such.jpg"]))
                .unwrap_err()
                .to_string()
                .contains("--text")
        );
        assert!(asked(&parse(&["  "])).is_err());
    }

    #[test]
    fn a_target_is_a_share() {
        let target = |share: &str| {
            let words = ["search", "-c", "x", "moon", "--target-recall", share];
            Only::try_parse_from(words).map(|only| only.args.target_recall)
        };
        assert_eq!(target("0.99").unwrap(), Some(0.99));
        assert_eq!(target("1").unwrap(), Some(1.0));
        for share in ["NaN", "nan", "0", "1.5", "inf", "x", ""] {
            let said = target(share).unwrap_err().to_string();
            assert!(
                said.contains("--target-recall") && said.contains("more than 0"),
                "{share}: {said}"
            );
        }
    }

    #[test]
    fn filters_are_objects() {
        assert!(parse_filter(r#"{"must": []}"#).is_ok());
        for text in ["[]", "{", "label=apple"] {
            assert!(
                parse_filter(text).unwrap_err().to_string().contains("mend"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_point_is_described_by_its_best_field() {
        for (point, text) in [
            (
                json!({"payload": {"label": "apple", "caption": "A green apple"}}),
                "A green apple",
            ),
            (
                json!({"payload": {"title": "T"}, "text": "T and more"}),
                "T and more",
            ),
            (
                json!({"payload": {"label": "apple"}, "text": "a fruit"}),
                "apple: a fruit",
            ),
            (json!({"payload": {"n": 1}}), "{\"n\":1}"),
            (json!({"payload": null}), ""),
        ] {
            assert_eq!(describe(&point), text);
        }
    }
}
