//! `{"text"}`, `{"image"}` and `{"object"}`: media that stand where a vector may.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cluster::engine::{Media, MediaKind};
use embed::OwnedInput;
use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult, quote};

/// Standard or URL-safe base64, with or without padding.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A longer string is never mistaken for the name of a file.
const PATH_CHARS_MAX: usize = 1024;

/// Media to be embedded, and by which model.
#[derive(Clone, Debug, PartialEq)]
pub struct InferenceObject {
    /// What to embed.
    pub source: Source,
    /// The embedder's name; the collection's own for that vector if `None`.
    pub model: Option<String>,
    /// The embedder's options; the collection's own if empty.
    pub options: Map<String, Value>,
}

/// The medium as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// `{"text": …}`.
    Text(String),
    /// `{"image": …}`: base64, a `data:` URI, or a URL.
    Image(String),
    /// `{"object": …}`: whatever the model takes; a string is a text.
    Object(Value),
}

impl Source {
    /// The key it was sent under.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::Object(_) => "object",
        }
    }

    /// The bytes to embed and keep.
    ///
    /// # Errors
    ///
    /// 422 if a picture is neither base64 nor a `data:` URI, or an object is nothing that an embedder takes.
    pub fn into_medium(self) -> ApiResult<Medium> {
        match self {
            Self::Text(text) => Ok(Medium::Text(text.into())),
            Self::Image(text) => Ok(Medium::Image(image_bytes(&text)?.into())),
            Self::Object(Value::String(text)) => Ok(Medium::Text(text.into())),
            Self::Object(Value::Object(mut object)) if object.len() == 1 => {
                match (object.remove("text"), object.remove("image")) {
                    (Some(Value::String(text)), _) => Ok(Medium::Text(text.into())),
                    (_, Some(Value::String(image))) => {
                        Ok(Medium::Image(image_bytes(&image)?.into()))
                    }
                    _ => Err(no_medium()),
                }
            }
            Self::Object(_) => Err(no_medium()),
        }
    }
}

fn no_medium() -> ApiError {
    ApiError::unprocessable(
        "this object is nothing that an embedder takes: send a string, {\"text\": \"…\"} or {\"image\": \"base64\"}",
    )
}

/// A text or picture as bytes. Cloning shares them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Medium {
    /// UTF-8.
    Text(Arc<str>),
    /// An encoded picture.
    Image(Arc<[u8]>),
}

impl Medium {
    /// For an embedder.
    pub fn to_input(&self) -> OwnedInput {
        match self {
            Self::Text(text) => OwnedInput::Text(Arc::clone(text)),
            Self::Image(bytes) => OwnedInput::Image(Arc::clone(bytes)),
        }
    }

    /// For keeping with the point; the type of a picture is told by its bytes.
    pub fn to_media(&self) -> Media {
        match self {
            Self::Text(text) => Media {
                kind: MediaKind::Text,
                content_type: "text/plain; charset=utf-8".to_owned(),
                bytes: text.as_bytes().into(),
            },
            Self::Image(bytes) => Media {
                kind: MediaKind::Image,
                content_type: embed::image::sniff(bytes)
                    .map_or("application/octet-stream", |format| format.media_type())
                    .to_owned(),
                bytes: Arc::clone(bytes),
            },
        }
    }
}

/// The bytes of a picture sent as text.
///
/// # Errors
///
/// 422 that says what the text seems to be instead.
pub fn image_bytes(text: &str) -> ApiResult<Vec<u8>> {
    let text = text.trim();
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(ApiError::unprocessable(
            "this server fetches no URLs: send the picture's bytes as base64 or as a data: URI",
        ));
    }
    if let Some(rest) = text.strip_prefix("data:") {
        let encoded = rest
            .split_once(',')
            .filter(|(kind, _)| kind.trim_end().ends_with(";base64"));
        let Some((_, encoded)) = encoded else {
            return Err(ApiError::unprocessable(
                "this data: URI holds no base64: write data:image/png;base64,…",
            ));
        };
        return decode(encoded).map_err(|error| error.at("data: URI"));
    }
    match decode(text) {
        Ok(bytes) if !looks_like_path(text) || embed::image::sniff(&bytes).is_some() => Ok(bytes),
        Err(error) if !looks_like_path(text) => Err(error),
        _ => Err(ApiError::unprocessable(format!(
            "\"{}\" looks like the name of a file: the server reads no local files, send the picture's bytes as base64",
            quote(text)
        ))),
    }
}

fn decode(text: &str) -> ApiResult<Vec<u8>> {
    let wrapped = text.bytes().any(|byte| byte.is_ascii_whitespace());
    let joined: Vec<u8>;
    let bytes = if wrapped {
        joined = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        &joined
    } else {
        text.as_bytes()
    };
    let url_safe = bytes.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { &URL_SAFE } else { &STANDARD };
    engine.decode(bytes).map_err(|error| {
        ApiError::unprocessable(format!(
            "the picture is not base64 ({error}): send its bytes as base64 or as a data: URI"
        ))
    })
}

/// A short text with a slash or an ending: base64 of a real picture is longer, or begins like one.
fn looks_like_path(text: &str) -> bool {
    let ending = text
        .rsplit_once('.')
        .is_some_and(|(_, end)| (1..=5).contains(&end.len()));
    text.len() <= PATH_CHARS_MAX
        && (ending || text.contains(['/', '\\']) || text.starts_with("file:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_in_all_its_forms() {
        for text in [
            "aGVsbG8=",
            "aGVsbG8",
            " aGVs\nbG8= ",
            "data:image/png;base64,aGVsbG8=",
        ] {
            assert_eq!(image_bytes(text).unwrap(), b"hello", "{text}");
        }
        assert_eq!(image_bytes("-_8=").unwrap(), [0xfb, 0xff]);
    }

    #[test]
    fn the_start_of_a_jpeg_is_no_path() {
        let bytes = image_bytes("/9j/4AAQSkZJRgABAQEASABIAAD").unwrap();
        assert_eq!(&bytes[..3], [0xff, 0xd8, 0xff]);
    }

    #[test]
    fn others_are_refused_with_a_reason() {
        let check = |text: &str, part: &str| {
            let error = image_bytes(text).unwrap_err();
            assert_eq!(error.status.as_u16(), 422);
            assert!(error.message.contains(part), "{text}: {error}");
        };
        check("/home/me/cat.jpg", "reads no local files");
        check("cat.png", "reads no local files");
        check("images/cat", "reads no local files");
        check("file:///cat", "reads no local files");
        check("https://example.org/cat.jpg", "fetches no URLs");
        check("data:image/png,abc", "no base64");
        check("data:image/png;base64,###", "not base64");
        check("not base64 !", "not base64");
    }
}
