//! Vectors in every form that the dialect allows, read without a detour over a JSON tree.

use std::collections::BTreeMap;
use std::fmt;

use cluster::engine::{PointId, SparseVector, Vector};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::id::Id;
use super::inference::{InferenceObject, Source};

/// Whatever may stand where a vector is wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum VectorInput {
    /// A list of numbers.
    Dense(Vec<f32>),
    /// A list of lists of numbers: a multi-vector.
    Multi,
    /// `{"indices": [], "values": []}`.
    Sparse(SparseVector),
    /// Text, picture or object that an embedder turns into a vector.
    Inference(InferenceObject),
    /// In a query: the vector of a stored point.
    Id(PointId),
    /// `{"name": vector}`: vectors by name, in the order sent.
    Named(Vec<(String, VectorInput)>),
    /// The place of an inference object that is being embedded.
    Pending,
}

impl VectorInput {
    /// The name of its form, for errors.
    pub fn form(&self) -> &'static str {
        match self {
            Self::Dense(_) => "a list of numbers",
            Self::Multi => "a list of lists (a multi-vector)",
            Self::Sparse(_) => "a sparse vector",
            Self::Inference(_) => "an inference object",
            Self::Id(_) => "an id",
            Self::Named(_) => "an object of named vectors",
            Self::Pending => "a vector that was not embedded",
        }
    }
}

impl From<Vector> for VectorInput {
    fn from(vector: Vector) -> Self {
        match vector {
            Vector::Dense(numbers) => Self::Dense(numbers),
            Vector::Sparse(sparse) => Self::Sparse(sparse),
        }
    }
}

/// A finite number that fits 32 bits.
struct Number(f32);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor).map(Self)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = f32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a finite number")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f32, E> {
        let narrow = value as f32;
        if narrow.is_finite() {
            return Ok(narrow);
        }
        Err(E::custom(format!(
            "the number {value} does not fit a 32-bit float: scale the vector"
        )))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f32, E> {
        Ok(value as f32)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f32, E> {
        Ok(value as f32)
    }
}

/// The first element of a list tells what the list is.
enum Element {
    Number(f32),
    List,
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementVisitor;
        impl<'de> Visitor<'de> for ElementVisitor {
            type Value = Element;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a finite number")
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Element, E> {
                NumberVisitor.visit_f64(value).map(Element::Number)
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Element, E> {
                Ok(Element::Number(value as f32))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Element, E> {
                Ok(Element::Number(value as f32))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Element, A::Error> {
                while seq.next_element::<Number>()?.is_some() {}
                Ok(Element::List)
            }
        }
        deserializer.deserialize_any(ElementVisitor)
    }
}

impl<'de> Deserialize<'de> for VectorInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VectorVisitor)
    }
}

pub(super) struct VectorVisitor;

impl<'de> Visitor<'de> for VectorVisitor {
    type Value = VectorInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a vector: a list of numbers, {\"indices\": [], \"values\": []}, {\"text\": \"\"}, {\"image\": \"\"} or vectors by name",
        )
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<VectorInput, E> {
        Ok(VectorInput::Id(PointId::Num(number)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<VectorInput, E> {
        Err(E::custom(format!(
            "{number} is neither a vector nor a point id (ids are unsigned)"
        )))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<VectorInput, E> {
        text.parse().map(VectorInput::Id).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<VectorInput, A::Error> {
        let mut numbers = match seq.next_element::<Element>()? {
            None => return Ok(VectorInput::Dense(Vec::new())),
            Some(Element::List) => {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(VectorInput::Multi);
            }
            Some(Element::Number(first)) => vec![first],
        };
        while let Some(Number(number)) = seq.next_element()? {
            numbers.push(number);
        }
        Ok(VectorInput::Dense(numbers))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VectorInput, A::Error> {
        let mut entries = Entries::default();
        while let Some(key) = map.next_key::<String>()? {
            entries.read(key, &mut map)?;
        }
        entries.into_vector().map_err(A::Error::custom)
    }
}

/// The members of an object that may be a sparse vector, an inference object, or vectors by name.
#[derive(Default)]
pub(super) struct Entries {
    indices: Option<Vec<u32>>,
    options: Option<Map<String, Value>>,
    object: Option<Value>,
    others: Vec<(String, Member)>,
}

enum Member {
    Text(String),
    Vector(VectorInput),
    Null,
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MemberVisitor;
        impl<'de> Visitor<'de> for MemberVisitor {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                VectorVisitor.expecting(f)
            }

            fn visit_str<E>(self, text: &str) -> Result<Member, E> {
                Ok(Member::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Member, E> {
                Ok(Member::Text(text))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Member, E> {
                Ok(Member::Other("a number"))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Member, E> {
                Ok(Member::Other("a number"))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
                Ok(Member::Other("a number"))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Member, E> {
                Ok(Member::Other("a boolean"))
            }

            fn visit_unit<E>(self) -> Result<Member, E> {
                Ok(Member::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Member, A::Error> {
                VectorVisitor.visit_seq(seq).map(Member::Vector)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Member, A::Error> {
                VectorVisitor.visit_map(map).map(Member::Vector)
            }
        }
        deserializer.deserialize_any(MemberVisitor)
    }
}

impl Entries {
    /// Reads the value of `key`.
    pub(super) fn read<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key.as_str() {
            "indices" => self.indices = Some(map.next_value()?),
            "options" => self.options = map.next_value()?,
            "object" => self.object = Some(map.next_value()?),
            _ => self.others.push((key, map.next_value()?)),
        }
        Ok(())
    }

    fn take_text(&mut self, key: &str) -> Option<String> {
        let at = self
            .others
            .iter()
            .position(|(k, v)| k == key && matches!(v, Member::Text(_)))?;
        match self.others.swap_remove(at).1 {
            Member::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Decides what the object is.
    pub(super) fn into_vector(mut self) -> Result<VectorInput, String> {
        if let Some(indices) = self.indices.take() {
            return self.sparse(indices);
        }
        if let Some(text) = self.take_text("text") {
            return self.inference(Source::Text(text));
        }
        if let Some(image) = self.take_text("image") {
            return self.inference(Source::Image(image));
        }
        if let Some(object) = self.object.take() {
            return self.object(object);
        }
        let named = self.others.into_iter().map(|(name, member)| match member {
            Member::Vector(VectorInput::Named(_)) => Err(format!(
                "vector \"{name}\": an object of vectors stands inside another"
            )),
            Member::Vector(vector) => Ok((name, vector)),
            Member::Text(_) => Err(no_vector(&name, "a string")),
            Member::Null => Err(no_vector(&name, "null")),
            Member::Other(form) => Err(no_vector(&name, form)),
        });
        let named = named.collect::<Result<Vec<_>, _>>()?;
        match self.options {
            Some(_) => Err("`options` stand without `text`, `image` or `object`".to_owned()),
            None => Ok(VectorInput::Named(named)),
        }
    }

    fn sparse(self, indices: Vec<u32>) -> Result<VectorInput, String> {
        let mut others = self.others.into_iter();
        match (others.next(), others.next()) {
            (Some((key, Member::Vector(VectorInput::Dense(values)))), None) if key == "values" => {
                SparseVector::new(indices, values)
                    .map(VectorInput::Sparse)
                    .map_err(|error| error.to_string())
            }
            _ => Err(
                "a sparse vector has exactly `indices` and `values`, two lists of numbers"
                    .to_owned(),
            ),
        }
    }

    /// `{"object": …}` with a model is an inference object; without one, a list there is a vector named `object`.
    fn object(mut self, object: Value) -> Result<VectorInput, String> {
        let has_model = self
            .others
            .iter()
            .any(|(k, v)| k == "model" && matches!(v, Member::Text(_)));
        if has_model || !object.is_array() {
            return self.inference(Source::Object(object));
        }
        let vector = serde_json::from_value(object)
            .map_err(|error| format!("vector \"object\": {error}"))?;
        self.others
            .push(("object".to_owned(), Member::Vector(vector)));
        self.into_vector()
    }

    fn inference(mut self, source: Source) -> Result<VectorInput, String> {
        let model = self.take_text("model");
        // Some clients write what they leave open as null.
        let mut beside = self
            .others
            .iter()
            .filter(|(_, member)| !matches!(member, Member::Null))
            .map(|(key, _)| key.as_str())
            .chain(
                self.object
                    .iter()
                    .filter(|o| !o.is_null())
                    .map(|_| "object"),
            );
        if let Some(key) = beside.next() {
            return Err(format!(
                "`{key}` stands beside `{}`: an inference object has that, `model` and `options` only",
                source.key()
            ));
        }
        let options = self.options.unwrap_or_default();
        Ok(VectorInput::Inference(InferenceObject {
            source,
            model,
            options,
        }))
    }
}

fn no_vector(name: &str, form: &str) -> String {
    format!(
        "vector \"{name}\": {form} is no vector; give a list of numbers, {{\"indices\": [], \"values\": []}}, {{\"text\": \"\"}} or {{\"image\": \"\"}}"
    )
}

/// Stored vectors as the dialect answers them: the unnamed one alone as a list, else an object by name.
pub struct VectorsOut<'a>(pub &'a BTreeMap<String, Vector>);

impl Serialize for VectorsOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let (1, Some(vector)) = (self.0.len(), self.0.get("")) {
            return VectorOut(vector).serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, vector) in self.0 {
            map.serialize_entry(name, &VectorOut(vector))?;
        }
        map.end()
    }
}

struct VectorOut<'a>(&'a Vector);

impl Serialize for VectorOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Vector::Dense(numbers) => numbers.serialize(serializer),
            Vector::Sparse(sparse) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("indices", sparse.indices())?;
                map.serialize_entry("values", sparse.values())?;
                map.end()
            }
        }
    }
}

/// A list of ids.
pub fn ids(list: Vec<Id>) -> Vec<PointId> {
    list.into_iter().map(|id| id.0).collect()
}

#[cfg(test)]
mod tests;
