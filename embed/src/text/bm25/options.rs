//! The options of `vecino/bm25`, with the names that the dialect gives them.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::Language;

/// How a text is cut into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bm25Tokenizer {
    /// Runs of letters and digits; in scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) every two
    /// neighbouring characters.
    #[serde(alias = "multilingual")]
    Word,
    /// What stands between white space, punctuation included.
    Whitespace,
    /// As `Word`, but a document has every beginning of each word as a term, so that `app` finds `apple`.
    /// Nothing is stemmed.
    Prefix,
}

/// The options of `vecino/bm25`.
#[derive(Debug, Clone, PartialEq)]
pub struct Bm25Options {
    /// How soon a term that is repeated stops to count for more: 0 at once (a term is there or not), finite, at most 1000.
    pub k: f32,
    /// How much a longer document is held against it: 0 not at all, 1 in full.
    pub b: f32,
    /// Terms in an average document; above 0.
    pub avg_len: f32,
    /// Whose stop words are dropped and endings cut, unless the options below say otherwise. `None`: no one's.
    pub language: Option<Language>,
    /// How a text is cut into words.
    pub tokenizer: Bm25Tokenizer,
    /// Whether case is ignored.
    pub lowercase: bool,
    /// Whether accents are ignored.
    pub ascii_folding: bool,
    /// Whose endings are cut. `None`: no one's.
    pub stemmer: Option<Language>,
    /// Languages whose stop words are dropped.
    pub stop_word_languages: Vec<Language>,
    /// More words to drop.
    pub stop_words: BTreeSet<String>,
    /// Terms of fewer characters are dropped.
    pub min_token_len: usize,
    /// Terms of more characters are dropped; as prefixes they are cut.
    pub max_token_len: usize,
}

impl Default for Bm25Options {
    /// English, k 1.2, b 0.4, an average of 128 terms.
    ///
    /// Measured on SciFact's train queries (809; nDCG@10): 0.703. The hill is flat: k from 0.9 to 1.5 and an average from
    /// 64 to 256 cost at most 0.01. A small b is what makes a fixed average harmless: captions of ten terms and pages of a
    /// thousand are in one collection, and a wrong average only scales the part b of a length's weight. 128 is a paragraph
    /// without its stop words.
    fn default() -> Self {
        Bm25Options {
            k: 1.2,
            b: 0.4,
            avg_len: 128.0,
            language: Some(Language::English),
            tokenizer: Bm25Tokenizer::Word,
            lowercase: true,
            ascii_folding: true,
            stemmer: Some(Language::English),
            stop_word_languages: vec![Language::English],
            stop_words: BTreeSet::new(),
            min_token_len: 1,
            max_token_len: 100,
        }
    }
}

/// The options as they come, all of them optional.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Given {
    k: Option<f64>,
    b: Option<f64>,
    avg_len: Option<f64>,
    language: Option<String>,
    tokenizer: Option<Bm25Tokenizer>,
    lowercase: Option<bool>,
    ascii_folding: Option<bool>,
    stemmer: Option<GivenStemmer>,
    stopwords: Option<GivenStopWords>,
    min_token_len: Option<usize>,
    max_token_len: Option<usize>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "stemmer must be a language, \"none\", or {\"type\": \"snowball\", \"language\": ..}"
)]
enum GivenStemmer {
    Name(String),
    Object {
        r#type: String,
        language: Option<String>,
    },
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "stopwords must be a language, \"none\", a list of words, or {\"languages\": [..], \"custom\": [..]}"
)]
enum GivenStopWords {
    Language(String),
    Words(Vec<String>),
    Object {
        #[serde(default)]
        languages: Option<Vec<String>>,
        #[serde(default)]
        custom: Option<Vec<String>>,
    },
}

impl Bm25Options {
    /// Reads options; `null` and `{}` are the defaults.
    ///
    /// # Errors
    ///
    /// Which option, what is wrong, what is allowed.
    pub(super) fn from_json(options: &Value) -> Result<Self, String> {
        if options.is_null() {
            return Ok(Bm25Options::default());
        }
        let given: Given = if options.is_object() {
            serde_json::from_value(options.clone()).map_err(|error| format!("options: {error}"))?
        } else {
            return Err(format!("options must be an object, got {options}"));
        };
        let defaults = Bm25Options::default();
        let language = match given.language.as_deref() {
            None => defaults.language,
            Some(name) => language_of("language", name)?,
        };
        let stemmer = match given.stemmer {
            None => language,
            Some(GivenStemmer::Name(name)) => language_of("stemmer", &name)?,
            Some(GivenStemmer::Object {
                r#type,
                language: name,
            }) => match r#type.as_str() {
                "none" => None,
                "snowball" => match name {
                    Some(name) => language_of("stemmer.language", &name)?,
                    None => language,
                },
                other => {
                    return Err(format!(
                        "stemmer.type must be \"snowball\" or \"none\", got {other:?}"
                    ));
                }
            },
        };
        let mut stop_words = BTreeSet::new();
        let mut stop_word_languages: Vec<Language> = language.into_iter().collect();
        match given.stopwords {
            None => {}
            Some(GivenStopWords::Language(name)) => {
                stop_word_languages = language_of("stopwords", &name)?.into_iter().collect();
            }
            Some(GivenStopWords::Words(words)) => stop_words.extend(words),
            Some(GivenStopWords::Object { languages, custom }) => {
                if let Some(names) = languages {
                    let languages: Result<Vec<_>, _> = names
                        .iter()
                        .map(|name| language_of("stopwords.languages", name))
                        .collect();
                    stop_word_languages = languages?.into_iter().flatten().collect();
                }
                stop_words.extend(custom.unwrap_or_default());
            }
        }
        Ok(Bm25Options {
            k: given.k.map_or(defaults.k, |k| k as f32),
            b: given.b.map_or(defaults.b, |b| b as f32),
            avg_len: given
                .avg_len
                .map_or(defaults.avg_len, |avg_len| avg_len as f32),
            language,
            tokenizer: given.tokenizer.unwrap_or(defaults.tokenizer),
            lowercase: given.lowercase.unwrap_or(defaults.lowercase),
            ascii_folding: given.ascii_folding.unwrap_or(defaults.ascii_folding),
            stemmer,
            stop_word_languages,
            stop_words,
            min_token_len: given.min_token_len.unwrap_or(defaults.min_token_len),
            max_token_len: given.max_token_len.unwrap_or(defaults.max_token_len),
        })
    }

    /// Whether every number lies in its range.
    ///
    /// # Errors
    ///
    /// Which does not, and what is allowed.
    pub(super) fn validate(&self) -> Result<(), String> {
        let check = |name, value: f32, fits, range| match fits {
            true => Ok(()),
            false => Err(format!("option {name} must be {range}, got {value}")),
        };
        check(
            "k",
            self.k,
            (0.0..=1000.0).contains(&self.k),
            "from 0 to 1000",
        )?;
        check("b", self.b, (0.0..=1.0).contains(&self.b), "from 0 to 1")?;
        check(
            "avg_len",
            self.avg_len,
            (1e-3..=1e9).contains(&self.avg_len),
            "from 0.001 to 1e9",
        )?;
        if self.max_token_len == 0 || self.max_token_len < self.min_token_len {
            let (min, max) = (self.min_token_len, self.max_token_len);
            return Err(format!(
                "option max_token_len must be at least 1 and min_token_len, got {max} and {min}"
            ));
        }
        Ok(())
    }
}

/// A language by name; `none` is none.
fn language_of(option: &str, name: &str) -> Result<Option<Language>, String> {
    if name.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let unknown = || {
        let names: Vec<_> = Language::names().collect();
        format!(
            "option {option} must be \"none\" or one of {}, got {name:?}",
            names.join(", ")
        )
    };
    Language::from_name(name).map(Some).ok_or_else(unknown)
}
