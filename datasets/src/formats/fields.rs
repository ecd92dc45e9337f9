//! From named fields to a row: which field is the id, the text, the picture, the vector.

use serde_json::{Map, Value};

use super::objects::{Object, Objects, kind_of};
use super::{Format, OpenOptions, Progress, Source, picture};
use crate::row::{ImageSource, Place, Row, RowError, RowFault, RowId, VectorFault};

const ID_FIELDS: [&str; 2] = ["id", "_id"];
const TITLE_FIELD: &str = "title";
const BODY_FIELDS: [&str; 5] = ["text", "content", "caption", "body", "description"];
const IMAGE_FIELDS: [&str; 2] = ["image", "image_path"];
const VECTOR_FIELDS: [&str; 4] = ["vector", "vectors", "embedding", "embeddings"];

/// Fields that name the picture of a row of a folder's metadata.
pub(super) const FILE_FIELDS: [&str; 2] = ["file_name", "file"];

/// A [`Source`] of JSONL or CSV rows.
pub(super) struct FieldSource {
    objects: Box<dyn Objects>,
    format: Format,
    options: OpenOptions,
    place: Option<Place>,
}

impl FieldSource {
    pub fn new(objects: Box<dyn Objects>, format: Format, options: &OpenOptions) -> FieldSource {
        FieldSource {
            objects,
            format,
            options: options.clone(),
            place: None,
        }
    }

    fn row_of(&self, row: u64, mut fields: Map<String, Value>) -> Result<Row, RowFault> {
        let key = self.objects.key();
        let content = key
            .needs_content()
            .then(|| Value::Object(fields.clone()).to_string());
        let id = take_id(&mut fields, &self.options)?;
        let vectors = take_vectors(&mut fields, &self.options)?;
        let image = self.take_image(&mut fields)?;
        let text = take_text(&mut fields, &self.options);
        let source = match &id {
            Some(id) => id.to_string(),
            None => key.source_of(row, || content.unwrap_or_default()),
        };
        Ok(Row {
            source,
            id,
            text,
            image,
            vectors,
            payload: fields,
        })
    }

    fn take_image(&self, fields: &mut Map<String, Value>) -> Result<Option<ImageSource>, RowFault> {
        let folder = self.objects.folder();
        let field = match &self.options.image_field {
            Some(field) => fields
                .get(field)
                .is_some_and(|value| !value.is_null())
                .then_some(field.as_str()),
            None => IMAGE_FIELDS
                .into_iter()
                .find(|&field| fields.get(field).is_some_and(|value| !value.is_null())),
        };
        if let Some(field) = field {
            let image = picture::of_value(field, &fields[field], folder)?;
            if matches!(image, ImageSource::Bytes(_)) {
                fields.shift_remove(field);
            }
            return Ok(Some(image));
        }
        let named = FILE_FIELDS
            .into_iter()
            .filter_map(|field| fields.get(field)?.as_str());
        match named
            .into_iter()
            .find(|path| picture::kind_of_name(path) == picture::Kind::Read)
        {
            Some(path) => picture::of_path(path, folder).map(Some),
            None => Ok(None),
        }
    }
}

impl Iterator for FieldSource {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let object = self.objects.next_object()?;
        Some(object.and_then(|Object { place, row, fields }| {
            let read = self.row_of(row, fields);
            self.place = Some(place.clone());
            read.map_err(|fault| RowError { place, fault })
        }))
    }
}

impl Source for FieldSource {
    fn format(&self) -> Format {
        self.format
    }

    fn progress(&self) -> Progress {
        self.objects.progress()
    }

    fn place(&self) -> Option<Place> {
        self.place.clone()
    }
}

/// Takes the id out of the fields.
pub(super) fn take_id(
    fields: &mut Map<String, Value>,
    options: &OpenOptions,
) -> Result<Option<RowId>, RowFault> {
    let field = match &options.id_field {
        Some(field) => field.as_str(),
        None => match ID_FIELDS
            .into_iter()
            .find(|&field| fields.contains_key(field))
        {
            Some(field) => field,
            None => return Ok(None),
        },
    };
    let bad = |problem| {
        Err(RowFault::BadField {
            field: field.to_owned(),
            problem,
        })
    };
    match fields.shift_remove(field) {
        None if options.id_field.is_some() => Err(RowFault::MissingField {
            field: field.to_owned(),
        }),
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => bad("an id cannot be empty"),
        Some(Value::String(text)) => Ok(Some(RowId::Str(text))),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(number) => Ok(Some(RowId::Num(number))),
            None => bad("an id that is a number must be whole and not below 0"),
        },
        Some(_) => bad("an id is a string or a number"),
    }
}

/// Takes the vectors out of the fields.
pub(super) fn take_vectors(
    fields: &mut Map<String, Value>,
    options: &OpenOptions,
) -> Result<Vec<(String, Vec<f32>)>, RowFault> {
    let mut vectors = Vec::new();
    if !options.vector_fields.is_empty() {
        vectors.push((String::new(), take_columns(fields, options)?));
    }
    for field in VECTOR_FIELDS {
        let parsed = match fields.get(field) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) if text.trim_start().starts_with('[') => {
                serde_json::from_str(text)?
            }
            // An `embedding` that names a model, say, is no vector and no fault.
            Some(Value::String(_)) if field.starts_with("embedding") => continue,
            Some(_) => fields[field].clone(),
        };
        match parsed {
            Value::Object(named) => {
                for (name, value) in named {
                    let vector =
                        vector_of_value(&value, options).map_err(|fault| RowFault::Vector {
                            name: name.clone(),
                            fault,
                        })?;
                    vectors.push((name, vector));
                }
            }
            value => {
                let vector =
                    vector_of_value(&value, options).map_err(|fault| RowFault::Vector {
                        name: String::new(),
                        fault,
                    })?;
                vectors.push((String::new(), vector));
            }
        }
        fields.shift_remove(field);
    }
    match repeated_name(&vectors) {
        Some(name) => Err(RowFault::BadField {
            field: name,
            problem: "the row has two vectors of this name",
        }),
        None => Ok(vectors),
    }
}

fn repeated_name(vectors: &[(String, Vec<f32>)]) -> Option<String> {
    let mut names: Vec<&str> = vectors.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
        .windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0].to_owned())
}

fn vector_of_value(value: &Value, options: &OpenOptions) -> Result<Vec<f32>, VectorFault> {
    let Value::Array(elements) = value else {
        return Err(VectorFault::NotAnArray {
            got: kind_of(value),
        });
    };
    if elements.len() > options.dim_max {
        return Err(VectorFault::TooLong {
            dim_max: options.dim_max,
            got: elements.len(),
        });
    }
    if elements.is_empty() {
        return Err(VectorFault::Empty);
    }
    elements
        .iter()
        .enumerate()
        .map(|(idx, element)| element_of(idx, element))
        .collect()
}

fn element_of(idx: usize, element: &Value) -> Result<f32, VectorFault> {
    let number = element.as_f64().ok_or(VectorFault::NotANumber { idx })? as f32;
    if number.is_finite() {
        Ok(number)
    } else {
        Err(VectorFault::NotFinite { idx })
    }
}

/// Builds the unnamed vector from fields of one number each.
fn take_columns(
    fields: &mut Map<String, Value>,
    options: &OpenOptions,
) -> Result<Vec<f32>, RowFault> {
    let mut names: Vec<String> = Vec::new();
    for wanted in &options.vector_fields {
        match wanted.strip_suffix('*') {
            Some(prefix) => names.extend(
                fields
                    .keys()
                    .filter(|name| name.starts_with(prefix))
                    .cloned(),
            ),
            None => names.push(wanted.clone()),
        }
    }
    let vector_fault = |fault| RowFault::Vector {
        name: String::new(),
        fault,
    };
    if names.len() > options.dim_max {
        return Err(vector_fault(VectorFault::TooLong {
            dim_max: options.dim_max,
            got: names.len(),
        }));
    }
    let mut vector = Vec::with_capacity(names.len());
    for (idx, name) in names.iter().enumerate() {
        let value = fields.get(name).ok_or_else(|| RowFault::MissingField {
            field: name.clone(),
        })?;
        vector.push(element_of(idx, value).map_err(vector_fault)?);
    }
    if vector.is_empty() {
        return Err(vector_fault(VectorFault::Empty));
    }
    fields.retain(|name, _| !names.contains(name));
    Ok(vector)
}

/// Takes the text out of the fields; a title, and fields that the options name, stay there too.
fn take_text(fields: &mut Map<String, Value>, options: &OpenOptions) -> Option<String> {
    if !options.text_fields.is_empty() {
        let texts = options
            .text_fields
            .iter()
            .filter_map(|field| fields.get(field)?.as_str());
        return join_texts(texts);
    }
    let body = BODY_FIELDS
        .into_iter()
        .find(|&field| fields.get(field).is_some_and(Value::is_string));
    let body = body.and_then(|field| fields.shift_remove(field));
    let body = body.as_ref().and_then(Value::as_str);
    let title = fields.get(TITLE_FIELD).and_then(Value::as_str);
    let title = title.filter(|title| !body.is_some_and(|body| body.starts_with(title)));
    join_texts(title.into_iter().chain(body))
}

/// Joins texts into one, as sentences; empty ones, and ones that repeat an earlier one, are left out.
pub(super) fn join_texts<'a>(texts: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    for text in texts.map(str::trim).filter(|text| !text.is_empty()) {
        if !kept
            .iter()
            .any(|earlier| earlier.eq_ignore_ascii_case(text))
        {
            kept.push(text);
        }
    }
    let mut joined = String::new();
    for text in kept {
        if !joined.is_empty() {
            joined.push_str(if joined.ends_with(['.', '!', '?', ':', ';', ',']) {
                " "
            } else {
                ". "
            });
        }
        joined.push_str(text);
    }
    (!joined.is_empty()).then_some(joined)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::formats::open_reader;

    /// Reads one object and shows what became of it.
    fn read(object: Value, options: &OpenOptions) -> Result<Row, String> {
        let mut source = open_reader(
            Box::new(std::io::Cursor::new(object.to_string().into_bytes())),
            options,
        )
        .unwrap();
        source
            .next()
            .unwrap()
            .map_err(|error| error.fault.to_string())
    }

    fn check(object: Value, text: Option<&str>, vectors: &[(&str, &[f32])], payload: Value) {
        let row = read(object.clone(), &OpenOptions::default())
            .unwrap_or_else(|error| panic!("{object}: {error}"));
        assert_eq!(row.text.as_deref(), text, "{object}");
        let got: Vec<_> = row
            .vectors
            .iter()
            .map(|(name, vector)| (name.as_str(), vector.as_slice()))
            .collect();
        assert_eq!(got, vectors, "{object}");
        assert_eq!(Value::Object(row.payload), payload, "{object}");
    }

    #[test]
    fn fields_find_their_place() {
        check(json!({}), None, &[], json!({}));
        check(
            json!({"title": "A", "text": "b", "year": 3}),
            Some("A. b"),
            &[],
            json!({"title": "A", "year": 3}),
        );
        check(
            json!({"title": "A?", "caption": "b"}),
            Some("A? b"),
            &[],
            json!({"title": "A?"}),
        );
        check(
            json!({"title": "same", "content": "Same"}),
            Some("same"),
            &[],
            json!({"title": "same"}),
        );
        check(
            json!({"title": "A", "text": "A. b"}),
            Some("A. b"),
            &[],
            json!({"title": "A"}),
        );
        check(
            json!({"text": 5, "caption": "c"}),
            Some("c"),
            &[],
            json!({"text": 5}),
        );
        check(
            json!({"vector": [1, 2.5]}),
            None,
            &[("", &[1.0, 2.5])],
            json!({}),
        );
        check(
            json!({"embedding": "[1, 2]", "a": null}),
            None,
            &[("", &[1.0, 2.0])],
            json!({"a": null}),
        );
        check(
            json!({"embedding": "mini"}),
            None,
            &[],
            json!({"embedding": "mini"}),
        );
        check(
            json!({"vectors": {"a": [1], "b": [2, 3]}}),
            None,
            &[("a", &[1.0]), ("b", &[2.0, 3.0])],
            json!({}),
        );
    }

    #[test]
    fn ids() {
        let check = |object: Value, expected: Result<Option<RowId>, &str>| {
            let got = read(object.clone(), &OpenOptions::default()).map(|row| row.id);
            assert_eq!(got, expected.map_err(str::to_owned), "{object}");
        };
        check(json!({"id": 5}), Ok(Some(RowId::Num(5))));
        check(json!({"_id": "5"}), Ok(Some(RowId::Str("5".to_owned()))));
        check(json!({"id": null}), Ok(None));
        check(
            json!({"id": -5}),
            Err("field 'id': an id that is a number must be whole and not below 0"),
        );
        check(json!({"id": ""}), Err("field 'id': an id cannot be empty"));
        check(
            json!({"id": [1]}),
            Err("field 'id': an id is a string or a number"),
        );
    }

    #[test]
    fn bad_vectors() {
        let options = OpenOptions {
            dim_max: 3,
            ..OpenOptions::default()
        };
        let check = |object: Value, expected: &str| {
            assert_eq!(
                read(object.clone(), &options).unwrap_err(),
                expected,
                "{object}"
            )
        };
        check(json!({"vector": []}), "vector '': is empty");
        check(
            json!({"vector": [1, "a"]}),
            "vector '': element 1 is no number",
        );
        check(
            json!({"vector": [1e39]}),
            "vector '': element 0 is not a finite 32-bit number",
        );
        check(
            json!({"vector": [1, 2, 3, 4]}),
            "vector '': has 4 numbers, at most 3 are read",
        );
        check(
            json!({"vector": {"a": 1}}),
            "vector 'a': wanted an array of numbers, got a number",
        );
        check(
            json!({"vector": "abc"}),
            "vector '': wanted an array of numbers, got a string",
        );
        check(
            json!({"vector": [1], "embedding": [2]}),
            "field '': the row has two vectors of this name",
        );
    }

    #[test]
    fn named_fields() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<String>>()
        };
        let options = OpenOptions {
            id_field: Some("key".to_owned()),
            text_fields: names(&["name", "hex"]),
            vector_fields: names(&["x", "p*"]),
            ..OpenOptions::default()
        };
        let row = read(
            json!({"key": 1, "name": "red", "hex": "#f00", "p1": 2, "p2": 3, "x": 1, "id": 7}),
            &options,
        )
        .unwrap();
        assert_eq!(
            (row.id, row.text.as_deref()),
            (Some(RowId::Num(1)), Some("red. #f00"))
        );
        assert_eq!(row.vectors, [(String::new(), vec![1.0, 2.0, 3.0])]);
        assert_eq!(
            Value::Object(row.payload),
            json!({"name": "red", "hex": "#f00", "id": 7})
        );
        assert_eq!(
            read(json!({"x": 1}), &options).unwrap_err(),
            "field 'key' is missing"
        );
        assert_eq!(
            read(json!({"key": 1, "p1": 2}), &options).unwrap_err(),
            "field 'x' is missing"
        );
    }

    #[test]
    fn pipes_are_told_by_content() {
        let source = |object: Value| read(object, &OpenOptions::default()).unwrap().source;
        assert_eq!(source(json!({"text": "a"})), source(json!({"text": "a"})));
        assert_ne!(source(json!({"text": "a"})), source(json!({"text": "b"})));
        assert_eq!(source(json!({"text": "a"})).len(), "pipe#".len() + 32);
        assert_eq!(source(json!({"id": 8, "text": "a"})), "8");
    }
}
