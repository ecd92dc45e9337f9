//! Texts and pictures of an upload, read from JSON, NDJSON or raw bodies.

use std::sync::Arc;

use cluster::engine::{Payload, PointId};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::http::{ApiError, ApiResult, from_json, meant, plain};
use crate::wire::id::{Id, from_path};
use crate::wire::inference::image_bytes;

/// One text or picture to be stored as a point.
#[derive(Clone, Debug, Default)]
pub struct Item {
    /// The user's id; derived from the content if `None`.
    pub id: Option<PointId>,
    /// A document, or the words that come with a picture.
    pub text: Option<Arc<str>>,
    /// An encoded picture.
    pub image: Option<Arc<[u8]>>,
    /// What the picture's file was called: its words stand in for a missing text.
    pub file_name: Option<String>,
    /// JSON object to attach.
    pub payload: Payload,
    /// When it ends, and what must be there for it to be written.
    pub terms: Terms,
}

/// When an item ends, and what must be there for it to be written: as of points.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Milliseconds since 1970 from which the point is hidden.
    pub expires_at: Option<u64>,
    /// The same as seconds from now.
    pub ttl: Option<u64>,
    /// The version of the stored point, 0 for none.
    pub if_version: Option<u64>,
}

impl Terms {
    /// Those of `self` that are given, else those of `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        let ends = match (self.expires_at, self.ttl) {
            (None, None) => others,
            _ => self,
        };
        Self {
            if_version: self.if_version.or(others.if_version),
            ..ends
        }
    }
}

/// An item as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemWire {
    id: Option<Id>,
    #[serde(alias = "caption")]
    text: Option<String>,
    image: Option<String>,
    #[serde(alias = "file")]
    file_name: Option<String>,
    payload: Option<Payload>,
    expires_at: Option<u64>,
    ttl: Option<u64>,
    if_version: Option<u64>,
}

impl ItemWire {
    fn item(self) -> ApiResult<Item> {
        let image = self.image.map(|text| image_bytes(&text)).transpose()?;
        Ok(Item {
            id: self.id.map(|id| id.0),
            text: self.text.map(Into::into),
            image: image.map(Into::into),
            file_name: self.file_name,
            payload: self.payload.unwrap_or_default(),
            terms: Terms {
                expires_at: self.expires_at,
                ttl: self.ttl,
                if_version: self.if_version,
            },
        })
    }
}

/// What a raw body cannot say, in the query string.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawItemParams {
    id: Option<String>,
    #[serde(alias = "caption")]
    text: Option<String>,
    #[serde(alias = "file")]
    file_name: Option<String>,
    payload: Option<String>,
    expires_at: Option<u64>,
    ttl: Option<u64>,
    if_version: Option<u64>,
}

impl RawItemParams {
    /// When the item ends, and what must be there for it to be written.
    pub fn terms(&self) -> Terms {
        Terms {
            expires_at: self.expires_at,
            ttl: self.ttl,
            if_version: self.if_version,
        }
    }

    /// An item without media yet.
    ///
    /// # Errors
    ///
    /// 400 if the id or the payload cannot be read.
    pub fn item(self) -> ApiResult<Item> {
        let terms = self.terms();
        let payload = self.payload.map(|json| from_json(json.as_bytes()));
        Ok(Item {
            terms,
            id: self.id.map(|id| from_path(&id)).transpose()?,
            text: self.text.map(Into::into),
            image: None,
            file_name: self.file_name,
            payload: payload
                .transpose()
                .map_err(|error| error.at("payload"))?
                .unwrap_or_default(),
        })
    }
}

/// Whether a media type says one JSON value per line.
pub fn is_ndjson(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/jsonlines"
    )
}

/// Reads items from JSON (one object or a list) or NDJSON, which is recognised by its first line too.
///
/// # Errors
///
/// The whole body is refused (400) only if it is no JSON at all; else each item has its own error.
pub fn parse(bytes: &[u8], media_type: &str) -> ApiResult<Vec<ApiResult<Item>>> {
    if is_ndjson(media_type) || has_object_lines(bytes) {
        return Ok(parse_lines(bytes));
    }
    match from_json::<Value>(bytes)? {
        Value::Array(values) => Ok(values.into_iter().map(parse_value).collect()),
        value => Ok(vec![parse_value(value)]),
    }
}

/// Whether the first line is a whole object and something follows it.
fn has_object_lines(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        return false;
    };
    let (first, rest) = bytes.split_at(end);
    let more = rest.iter().any(|byte| !byte.is_ascii_whitespace());
    more && first.starts_with(b"{")
        && serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok()
}

fn parse_value(value: Value) -> ApiResult<Item> {
    let wire = serde_path_to_error::deserialize::<_, ItemWire>(value).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." {
            String::new()
        } else {
            format!("`{}`: ", crate::error::quote(&path))
        };
        let message = error.inner().to_string();
        ApiError::bad_request(format!(
            "{place}{}{}",
            plain(&crate::error::quote(&message)),
            meant(&message)
        ))
    });
    wire?.item()
}

fn parse_lines(bytes: &[u8]) -> Vec<ApiResult<Item>> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    lines
        .filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
        .map(|(at, line)| {
            let wire = from_json::<ItemWire>(line);
            // The parser sees one line only: which of the body's it is stands in front.
            wire.and_then(ItemWire::item)
                .map_err(|error| error.at(format!("line {} of the body", at + 1)))
        })
        .collect()
}

impl Item {
    /// The id given, or one made of the content: UUIDv5 of the picture's bytes and the text, so equal content has equal ids.
    pub fn id_or_derived(&self) -> PointId {
        if let Some(id) = &self.id {
            return id.clone();
        }
        let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"vecino:content");
        let mut content = Vec::new();
        if let Some(image) = &self.image {
            content.extend_from_slice(image);
            content.push(0);
        }
        content.extend_from_slice(self.text.as_deref().unwrap_or_default().as_bytes());
        PointId::Uuid(Uuid::new_v5(&namespace, &content).as_u128())
    }

    /// The text, or the words of the file's name.
    pub fn words(&self) -> Option<Arc<str>> {
        let given = self
            .text
            .clone()
            .filter(|text| self.image.is_none() || !text.trim().is_empty());
        given.or_else(|| {
            self.file_name
                .as_deref()
                .and_then(words_of_file_name)
                .map(Into::into)
        })
    }
}

/// Prefixes that cameras and programs give to files: they say nothing of what a picture shows.
const EMPTY_WORDS: [&str; 10] = [
    "img",
    "image",
    "dsc",
    "dscn",
    "dcim",
    "pxl",
    "photo",
    "picture",
    "screenshot",
    "untitled",
];

/// The words of a file's name without folder, ending, numbers and what cameras write; `None` if nothing is left.
fn words_of_file_name(name: &str) -> Option<String> {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let words: Vec<&str> = stem
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() > 1 && !word.chars().any(|c| c.is_ascii_digit()))
        .filter(|word| !EMPTY_WORDS.contains(&word.to_lowercase().as_str()))
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str, media_type: &str) -> Vec<Result<String, String>> {
        let items = parse(body.as_bytes(), media_type).unwrap();
        let text = |item: Item| item.text.unwrap_or_default().to_string();
        items
            .into_iter()
            .map(|item| item.map(text).map_err(|error| error.message))
            .collect()
    }

    #[test]
    fn bodies_in_all_forms() {
        let two = vec![Ok("a".to_owned()), Ok("b".to_owned())];
        assert_eq!(
            texts(
                "[{\"text\": \"a\"}, {\"caption\": \"b\"}]",
                "application/json"
            ),
            two
        );
        assert_eq!(
            texts(
                "{\"text\": \"a\"}\n\n{\"text\": \"b\"}\n",
                "application/x-ndjson"
            ),
            two
        );
        assert_eq!(texts("{\"text\": \"a\"}\n{\"text\": \"b\"}", ""), two);
        assert_eq!(texts("{\n\"text\": \"a\"\n}", ""), two[..1]);
        assert!(parse(b"{\"text\"", "application/json").is_err());
        assert!(parse(b"[]", "").unwrap().is_empty());
    }

    #[test]
    fn a_bad_item_has_its_own_error() {
        let list = texts(
            "[{\"text\": \"a\"}, {\"txt\": \"b\"}, 7]",
            "application/json",
        );
        assert!(list[0].is_ok());
        assert!(
            list[1]
                .as_ref()
                .unwrap_err()
                .contains("unknown field `txt`")
        );
        assert!(
            list[1]
                .as_ref()
                .unwrap_err()
                .ends_with("did you mean `text`?")
        );
        assert!(list[2].is_err());
        let lines = texts(
            "{\"text\": \"a\"}\n{\"text\": 5}\n{\"te",
            "application/x-ndjson",
        );
        assert!(
            lines[1]
                .as_ref()
                .unwrap_err()
                .starts_with("line 2 of the body: JSON at `text`"),
            "{lines:?}"
        );
        assert!(lines[2].as_ref().unwrap_err().contains("cut off"));
    }

    #[test]
    fn equal_content_has_equal_ids() {
        let item = |text: &str| Item {
            text: Some(text.into()),
            ..Item::default()
        };
        assert_eq!(item("a").id_or_derived(), item("a").id_or_derived());
        assert_ne!(item("a").id_or_derived(), item("b").id_or_derived());
        // A released derivation never changes: loading again must add nothing.
        assert_eq!(
            item("a").id_or_derived().to_string(),
            "191b7db1-cdbb-5c96-9fa2-6d97447a93c3"
        );
        let given = Item {
            id: Some(PointId::Num(5)),
            ..item("a")
        };
        assert_eq!(given.id_or_derived(), PointId::Num(5));
    }

    #[test]
    fn words_of_files() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(words_of_file_name(name).as_deref(), expected, "{name}");
        };
        check("green_apple-03.jpg", Some("green apple"));
        check("fruit/Red Pear.jpeg", Some("Red Pear"));
        check("IMG_20240131.jpg", None);
        check("3f2a9c.png", None);
        check("", None);
        check("été à la mer.png", Some("été la mer"));
    }
}
