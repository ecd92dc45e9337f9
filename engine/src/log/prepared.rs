//! Points as the log takes them.

use std::collections::BTreeMap;

use crate::point::{Media, Payload, Point, PointId, Vector};

/// A point whose payload is encoded already: by whoever makes it, in its own thread. One thread alone appends to the logs, and every writer waits
/// for it.
///
/// ```
/// # use engine::{CollectionId, Operation, Point, PointId};
/// # let point = Point { id: PointId::Num(1), vectors: Default::default(), payload: Default::default(), media: Vec::new(), expires_at_ms: None };
/// let upsert = Operation::Upsert { collection: CollectionId(1), point: point.into() };
/// assert_eq!(upsert.point_id(), Some(&PointId::Num(1)));
/// ```
#[derive(Clone, Debug)]
pub struct PreparedPoint {
    pub(crate) id: PointId,
    pub(crate) vectors: BTreeMap<String, Vector>,
    /// A JSON object; empty for one without fields.
    pub(super) payload: Vec<u8>,
    pub(crate) media: Vec<Media>,
    pub(crate) expires_at_ms: Option<u64>,
    /// What vectors, media and payload take in a batch.
    pub(super) bytes: usize,
}

impl From<Point> for PreparedPoint {
    /// Time O(bytes of the payload).
    fn from(point: Point) -> Self {
        let payload = encode_payload(&point);
        Self {
            bytes: point.value_bytes() + payload.len(),
            payload,
            id: point.id,
            vectors: point.vectors,
            media: point.media,
            expires_at_ms: point.expires_at_ms,
        }
    }
}

fn encode_payload(point: &Point) -> Vec<u8> {
    if point.payload.is_empty() {
        return Vec::new();
    }
    let mut bytes = Vec::with_capacity(point.payload_bytes());
    serde_json::to_writer::<_, Payload>(&mut bytes, &point.payload)
        .expect("a JSON object is written into memory without a way to fail");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_point_has_the_json_of_its_payload_and_the_bytes_of_all() {
        let check = |payload: serde_json::Value, json: &str| {
            let point = Point {
                id: PointId::Num(1),
                vectors: [(String::new(), Vector::Dense(vec![0.5; 3]))].into(),
                payload: payload.as_object().expect("an object").clone(),
                media: Vec::new(),
                expires_at_ms: Some(7),
            };
            let prepared = PreparedPoint::from(point.clone());
            assert_eq!(std::str::from_utf8(&prepared.payload), Ok(json));
            assert_eq!(prepared.bytes, 12 + json.len());
            assert_eq!((prepared.id, prepared.vectors), (point.id, point.vectors));
            assert_eq!(prepared.expires_at_ms, Some(7));
        };
        check(serde_json::json!({}), "");
        let nested = serde_json::json!({"b": "\"\u{1}ü", "a": [1, 2.5, null, {"c": true}]});
        check(nested, r#"{"b":"\"\u0001ü","a":[1,2.5,null,{"c":true}]}"#);
    }
}
