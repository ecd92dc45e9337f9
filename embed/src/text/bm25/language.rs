//! The languages whose endings can be cut.

use rust_stemmers::Algorithm;

/// A language: its endings (Snowball stemmers) and, for some, its stop words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Language {
    Arabic,
    Danish,
    Dutch,
    English,
    Finnish,
    French,
    German,
    Greek,
    Hungarian,
    Italian,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    Spanish,
    Swedish,
    Tamil,
    Turkish,
}

/// Every language with its name, its ISO 639-1 code and its stemmer.
const ALL: [(Language, &str, &str, Algorithm); 18] = [
    (Language::Arabic, "arabic", "ar", Algorithm::Arabic),
    (Language::Danish, "danish", "da", Algorithm::Danish),
    (Language::Dutch, "dutch", "nl", Algorithm::Dutch),
    (Language::English, "english", "en", Algorithm::English),
    (Language::Finnish, "finnish", "fi", Algorithm::Finnish),
    (Language::French, "french", "fr", Algorithm::French),
    (Language::German, "german", "de", Algorithm::German),
    (Language::Greek, "greek", "el", Algorithm::Greek),
    (Language::Hungarian, "hungarian", "hu", Algorithm::Hungarian),
    (Language::Italian, "italian", "it", Algorithm::Italian),
    (Language::Norwegian, "norwegian", "no", Algorithm::Norwegian),
    (
        Language::Portuguese,
        "portuguese",
        "pt",
        Algorithm::Portuguese,
    ),
    (Language::Romanian, "romanian", "ro", Algorithm::Romanian),
    (Language::Russian, "russian", "ru", Algorithm::Russian),
    (Language::Spanish, "spanish", "es", Algorithm::Spanish),
    (Language::Swedish, "swedish", "sv", Algorithm::Swedish),
    (Language::Tamil, "tamil", "ta", Algorithm::Tamil),
    (Language::Turkish, "turkish", "tr", Algorithm::Turkish),
];

impl Language {
    /// By English name or ISO 639-1 code, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        ALL.iter()
            .find(|(_, long, short, _)| *long == name || *short == name)
            .map(|&(language, ..)| language)
    }

    /// The English names of all.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|&(_, name, ..)| name)
    }

    /// What cuts its endings.
    pub(super) fn stemmer(self) -> rust_stemmers::Stemmer {
        rust_stemmers::Stemmer::create(ALL[self as usize].3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (i, (language, name, code, _)) in ALL.into_iter().enumerate() {
            assert_eq!(language as usize, i, "{name}");
            assert_eq!(Language::from_name(&name.to_uppercase()), Some(language));
            assert_eq!(Language::from_name(code), Some(language));
        }
        assert_eq!(Language::from_name("klingon"), None);
    }
}
