//! A row of a dataset as one line of a request.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datasets::{Place, Row, RowId};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Ids derived from a row's source live in this namespace; it must never change, or loading again would add everything again.
/// It is the UUIDv5 of `vecino:load` in the URL namespace.
pub const ID_NAMESPACE: Uuid = Uuid::from_u128(0x3c7c_b3b7_6da6_51ba_ac9e_eb98_b93b_7f1e);

/// The largest picture sent: what the server takes is 32 MB a request, and base64 adds a third.
const IMAGE_BYTES_MAX: u64 = 23 << 20;

/// Which route takes the item.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum Route {
    /// Pictures, with words or without.
    Images,
    /// Texts.
    Documents,
    /// Ready vectors.
    Points,
}

/// One row, encoded.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where it came from, for the errors file.
    pub source: String,
    /// Its point id.
    pub id: Value,
    /// Which route takes it.
    pub route: Route,
    /// One JSON object, without a line end.
    pub body: Vec<u8>,
}

/// Why a row cannot be sent.
#[derive(Debug)]
pub struct Refusal {
    /// Where it came from.
    pub source: String,
    /// Its id.
    pub id: Option<Value>,
    /// The reason.
    pub reason: String,
}

/// Encodes rows, and remembers what of them was not sent.
#[derive(Debug, Default)]
pub struct Encoder {
    id_prefix: String,
    derived_ids: bool,
    remarks: BTreeSet<&'static str>,
}

impl Encoder {
    /// An encoder that derives ids from `id_prefix` and the row's source.
    pub fn new(id_prefix: &str) -> Self {
        Self {
            id_prefix: id_prefix.to_owned(),
            derived_ids: false,
            remarks: BTreeSet::new(),
        }
    }

    /// Encodes one row, which stands at `place` for whoever looks it up; reads its picture.
    ///
    /// # Errors
    ///
    /// The picture cannot be read or is too large; there is nothing to search by.
    pub fn encode(&mut self, row: &Row, place: Option<&Place>) -> Result<Item, Refusal> {
        self.derived_ids |= row.id.is_none();
        let source = place.map_or_else(|| row.source.clone(), ToString::to_string);
        let id = match &row.id {
            Some(RowId::Num(number)) => Value::from(*number),
            Some(RowId::Str(text)) => Value::from(text.as_str()),
            None => Value::from(derived_id(&self.id_prefix, &row.source)),
        };
        let refuse = |reason: String| Refusal {
            source: source.clone(),
            id: Some(id.clone()),
            reason,
        };
        let mut line = Line::new(&id);
        let route = if !row.vectors.is_empty() {
            if row.image.is_some() {
                self.remarks.insert(
                    "rows have vectors and pictures: the vectors are stored, the pictures are not",
                );
            }
            let mut payload = Cow::Borrowed(&row.payload);
            if let Some(text) = &row.text {
                payload
                    .to_mut()
                    .entry("text")
                    .or_insert_with(|| Value::from(text.as_str()));
            }
            line.vectors("vector", &row.vectors);
            line.object("payload", &payload);
            Route::Points
        } else if let Some(image) = &row.image {
            let bytes = image
                .read(IMAGE_BYTES_MAX)
                .map_err(|error| refuse(format!("read the picture: {error}")))?;
            line.base64("image", &bytes);
            line.text("text", row.text.as_deref());
            line.object("payload", &row.payload);
            Route::Images
        } else if row
            .text
            .as_deref()
            .is_some_and(|text| !text.trim().is_empty())
        {
            line.text("text", row.text.as_deref());
            line.object("payload", &row.payload);
            Route::Documents
        } else {
            if let Some(reason) = misread_text(&row.payload) {
                return Err(refuse(reason));
            }
            return Err(refuse(format!(
                "neither text, picture nor vector in it{}; name the fields with --text-fields, --image-field or --vector-columns",
                fields_hint(&row.payload)
            )));
        };
        Ok(Item {
            source,
            id,
            route,
            body: line.finish(),
        })
    }

    /// Whether an id of any row was derived from where it is.
    pub fn derived_ids(&self) -> bool {
        self.derived_ids
    }

    /// What a person should know about rows that were sent in part.
    pub fn remarks(self) -> impl Iterator<Item = String> {
        self.remarks.into_iter().map(str::to_owned)
    }
}

/// The id of a row without one: the same for the same prefix and source, for ever.
pub fn derived_id(prefix: &str, source: &str) -> String {
    Uuid::new_v5(&ID_NAMESPACE, format!("{prefix}{source}").as_bytes()).to_string()
}

/// Says so if a field that would be the text is none.
fn misread_text(payload: &Map<String, Value>) -> Option<String> {
    let (name, value) = ["text", "content", "caption", "body", "description"]
        .into_iter()
        .find_map(|name| Some((name, payload.get(name).filter(|value| !value.is_null())?)))?;
    let kind = match value {
        Value::Number(_) => "a number",
        Value::Bool(_) => "true or false",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
        Value::Null | Value::String(_) => return None,
    };
    Some(format!(
        "field '{name}' is {kind}, which cannot be searched as text: write it as a string, in quotes"
    ))
}

fn fields_hint(payload: &Map<String, Value>) -> String {
    let names: Vec<&str> = payload.keys().map(String::as_str).take(12).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" (fields: {})", names.join(", "))
    }
}

/// A JSON object written field by field, so that pictures are not copied into a tree first.
struct Line {
    out: Vec<u8>,
}

impl Line {
    fn new(id: &Value) -> Self {
        Self {
            out: format!("{{\"id\":{id}").into_bytes(),
        }
    }

    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn value(&mut self, key: &str, value: &Value) {
        self.key(key);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    fn text(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.value(key, &Value::from(text));
        }
    }

    fn object(&mut self, key: &str, object: &Map<String, Value>) {
        if !object.is_empty() {
            self.key(key);
            self.json(object);
        }
    }

    /// Numbers in their shortest form that reads back as the same f32.
    fn vectors(&mut self, key: &str, vectors: &[(String, Vec<f32>)]) {
        self.key(key);
        if let [(name, vector)] = vectors
            && name.is_empty()
        {
            return self.json(vector);
        }
        self.out.push(b'{');
        for (idx, (name, vector)) in vectors.iter().enumerate() {
            if idx > 0 {
                self.out.push(b',');
            }
            self.json(name);
            self.out.push(b':');
            self.json(vector);
        }
        self.out.push(b'}');
    }

    fn json<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        serde_json::to_writer(&mut self.out, value)
            .expect("numbers, strings and maps of them can be written to memory");
    }

    fn base64(&mut self, key: &str, bytes: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        self.out
            .extend_from_slice(STANDARD.encode(bytes).as_bytes());
        self.out.push(b'"');
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

#[cfg(test)]
mod tests {
    use datasets::ImageSource;
    use serde_json::json;

    use super::*;

    fn row() -> Row {
        Row {
            source: "a.csv#0".to_owned(),
            id: None,
            text: None,
            image: None,
            vectors: vec![],
            payload: Map::new(),
        }
    }

    fn payload(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn rows_become_lines() {
        let check = |row: Row, route: Route, expected: Value| {
            let item = Encoder::new("").encode(&row, None).unwrap();
            assert_eq!(item.route, route);
            assert_eq!(
                serde_json::from_slice::<Value>(&item.body).unwrap(),
                expected
            );
        };
        let id = || Some(RowId::Num(7));
        check(
            Row {
                id: id(),
                text: Some("a \"text\"\n".into()),
                payload: payload(json!({"x": [1]})),
                ..row()
            },
            Route::Documents,
            json!({"id": 7, "text": "a \"text\"\n", "payload": {"x": [1]}}),
        );
        check(
            Row {
                id: id(),
                text: Some("words".into()),
                image: Some(ImageSource::Bytes(vec![1, 2, 3])),
                ..row()
            },
            Route::Images,
            json!({"id": 7, "image": "AQID", "text": "words"}),
        );
        check(
            Row {
                id: Some(RowId::Str("k".into())),
                vectors: vec![(String::new(), vec![0.5, 1.0])],
                text: Some("t".into()),
                ..row()
            },
            Route::Points,
            json!({"id": "k", "vector": [0.5, 1.0], "payload": {"text": "t"}}),
        );
        check(
            Row {
                id: id(),
                vectors: vec![("a".into(), vec![0.5])],
                ..row()
            },
            Route::Points,
            json!({"id": 7, "vector": {"a": [0.5]}}),
        );
    }

    #[test]
    fn derived_ids_never_change() {
        // Golden: a change here makes every load add everything again.
        assert_eq!(
            derived_id("photos/", "a.jpg"),
            derived_id("", "photos/a.jpg")
        );
        assert_eq!(
            derived_id("", "base.npy#17"),
            "de48cfd7-81e2-5870-add0-df07d759c1e1"
        );
    }

    #[test]
    fn a_row_with_nothing_names_its_fields() {
        let refusal = Encoder::new("")
            .encode(
                &Row {
                    payload: payload(json!({"lat": 1, "lng": 2})),
                    ..row()
                },
                None,
            )
            .unwrap_err();
        assert!(
            refusal.reason.contains("lat, lng") && refusal.reason.contains("--vector-columns"),
            "{}",
            refusal.reason
        );
        let blank = Row {
            text: Some(" \n".into()),
            ..row()
        };
        assert!(Encoder::new("").encode(&blank, None).is_err());
        let number = Row {
            payload: payload(json!({"text": 5})),
            ..row()
        };
        let refusal = Encoder::new("").encode(&number, None).unwrap_err();
        assert!(
            refusal.reason.contains("'text' is a number"),
            "{}",
            refusal.reason
        );
    }

    #[test]
    fn a_picture_that_is_gone_is_refused() {
        let row = Row {
            image: Some(ImageSource::Path("/nowhere/x.jpg".into())),
            ..row()
        };
        assert!(
            Encoder::new("")
                .encode(&row, None)
                .unwrap_err()
                .reason
                .starts_with("read the picture")
        );
    }
}
