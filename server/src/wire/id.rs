//! Point ids: unsigned integers, UUIDs in any form, and any other string.

use std::fmt;

use cluster::engine::PointId;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

/// A point's id as JSON: a number stays a number, a UUID is answered in its dashed form.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Id(pub PointId);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            PointId::Num(number) => serializer.serialize_u64(*number),
            other => serializer.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor).map(Self)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = PointId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a point id: an unsigned integer, a UUID or another string")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<PointId, E> {
        Ok(PointId::Num(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<PointId, E> {
        u64::try_from(number).map(PointId::Num).map_err(|_| {
            E::custom(format!(
                "point id {number} is negative: give an unsigned integer or a string"
            ))
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PointId, E> {
        text.parse().map_err(E::custom)
    }
}

/// Reads an id in a URL's path: digits are a number, `"17"` in quotes is the string of these digits.
///
/// # Errors
///
/// `InvalidInput` if it is empty or too long.
pub fn from_path(text: &str) -> cluster::engine::Result<PointId> {
    if let Ok(number) = text.parse::<u64>()
        && text.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Ok(PointId::Num(number));
    }
    match text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(inner) => inner.parse(),
        None => text.parse(),
    }
}

/// What stands below `points/` in routes of the dialect: in a path, such an id would name the route.
const ROUTE_WORDS: [&str; 10] = [
    "batch",
    "count",
    "delete",
    "discover",
    "payload",
    "query",
    "recommend",
    "scroll",
    "search",
    "vectors",
];

/// The id as [`from_path`] reads it back, percent-encoded.
pub fn to_path(id: &PointId) -> String {
    let text = match id {
        PointId::Str(text)
            if text.parse::<u64>().is_ok()
                || text.starts_with('"')
                || matches!(&**text, "." | "..")
                || ROUTE_WORDS.contains(&&**text) =>
        {
            format!("\"{text}\"")
        }
        other => other.to_string(),
    };
    percent_encode(&text)
}

/// Percent-encodes everything but unreserved characters.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_answered() {
        let check = |json: &str, expected: &str| {
            let id: Id = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&id).unwrap(), expected);
        };
        check("17", "17");
        check("18446744073709551615", "18446744073709551615");
        check("\"17\"", "\"17\"");
        check(
            "\"F39C70E620184BC69FA7481538298572\"",
            "\"f39c70e6-2018-4bc6-9fa7-481538298572\"",
        );
        check(
            "\"urn:uuid:f39c70e6-2018-4bc6-9fa7-481538298572\"",
            "\"f39c70e6-2018-4bc6-9fa7-481538298572\"",
        );
        check("\"a name/é\"", "\"a name/é\"");
    }

    #[test]
    fn others_are_refused_with_a_reason() {
        let check = |json: &str, part: &str| {
            let error = serde_json::from_str::<Id>(json).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check("-1", "negative");
        check("1.5", "a point id");
        check("null", "a point id");
        check("\"\"", "empty");
        check(
            &format!("\"{}\"", "x".repeat(10_000_000)),
            "10000000 bytes are too long",
        );
    }

    #[test]
    fn a_path_is_read_back() {
        for id in [
            PointId::Num(17),
            PointId::Str("17".into()),
            PointId::Str("\"17\"".into()),
            PointId::Str("a b/c?é%".into()),
            PointId::Str("query".into()),
            PointId::Str("..".into()),
            PointId::Uuid(5),
        ] {
            let path = to_path(&id);
            assert!(path.is_ascii() && !path.contains('/'), "{path}");
            assert_eq!(from_path(&percent_decode(&path)).unwrap(), id, "{path}");
        }
    }

    fn percent_decode(text: &str) -> String {
        let (mut out, mut bytes) = (Vec::new(), text.bytes());
        while let Some(byte) = bytes.next() {
            if byte == b'%' {
                let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            } else {
                out.push(byte);
            }
        }
        String::from_utf8(out).unwrap()
    }
}
