//! From a text to its terms.

use std::collections::HashSet;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::stop_words::stop_words;
use super::{Bm25Options, Bm25Tokenizer, Language};
use crate::Purpose;

/// What English leaves behind an apostrophe: not words.
const ENGLISH_CLITICS: [&str; 7] = ["s", "t", "d", "m", "ll", "re", "ve"];

/// Cuts a text into terms, as the options say. In this order: compose characters, lower case, cut into words, drop stop words,
/// cut endings, drop accents. Accents go last, because stemmers and stop words know them.
#[derive(Debug, Clone)]
pub(super) struct Analysis {
    tokenizer: Bm25Tokenizer,
    lowercase: bool,
    ascii_folding: bool,
    stemmer: Option<Language>,
    stop_words: Arc<HashSet<String>>,
    /// Whether what stands behind an apostrophe may be an English clitic.
    english: bool,
    min_chars: usize,
    max_chars: usize,
}

impl Analysis {
    pub(super) fn new(options: &Bm25Options) -> Self {
        let languages = options.stop_word_languages.iter();
        let mut words: HashSet<String> = languages
            .flat_map(|&language| stop_words(language))
            .map(str::to_owned)
            .collect();
        for word in &options.stop_words {
            words.insert(if options.lowercase {
                word.to_lowercase()
            } else {
                word.clone()
            });
        }
        Analysis {
            tokenizer: options.tokenizer,
            lowercase: options.lowercase,
            ascii_folding: options.ascii_folding,
            stemmer: options
                .stemmer
                .filter(|_| options.tokenizer != Bm25Tokenizer::Prefix),
            stop_words: Arc::new(words),
            english: options.stop_word_languages.contains(&Language::English),
            min_chars: options.min_token_len,
            max_chars: options.max_token_len,
        }
    }

    /// Gives the terms of `text` in order to `each`, repeated ones as often as they occur. Time O(bytes).
    pub(super) fn terms(&self, text: &str, purpose: Purpose, mut each: impl FnMut(&str)) {
        let mut term = |word: &str| self.finish(word, purpose, &mut each);
        if text.is_ascii() {
            let lower = if self.lowercase {
                text.to_ascii_lowercase()
            } else {
                text.to_owned()
            };
            self.words(&lower, &mut term);
        } else {
            let composed = text.nfkc();
            let composed: String = match self.lowercase {
                true => composed.flat_map(char::to_lowercase).nfc().collect(),
                false => composed.collect(),
            };
            self.words(&composed, &mut term);
        }
    }

    /// Cuts normalised text into words.
    fn words(&self, text: &str, each: &mut impl FnMut(&str)) {
        if self.tokenizer == Bm25Tokenizer::Whitespace {
            return text
                .split_whitespace()
                .filter(|word| !self.stop_words.contains(*word))
                .for_each(each);
        }
        let mut rest = text;
        let mut before = ' ';
        while let Some(start) = rest.find(char::is_alphanumeric) {
            before = rest[..start].chars().next_back().unwrap_or(before);
            rest = &rest[start..];
            let unspaced = rest.starts_with(is_unspaced);
            let inside = |c: char| {
                (c.is_alphanumeric() || is_combining_mark(c)) && is_unspaced(c) == unspaced
            };
            let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
            // A mark of the other kind of script may stand first: it is a word, not an endless loop.
            let end = if end == 0 {
                rest.chars().next().map_or(0, char::len_utf8)
            } else {
                end
            };
            let (word, after) = rest.split_at(end);
            let clitic =
                self.english && matches!(before, '\'' | '’') && ENGLISH_CLITICS.contains(&word);
            if unspaced {
                neighbours(word, each);
            } else if !clitic && !self.stop_words.contains(word) {
                each(word);
            }
            before = word.chars().next_back().unwrap_or(' ');
            rest = after;
        }
    }

    /// Cuts the ending of a word, drops its accents, and gives it if its length is right.
    fn finish(&self, word: &str, purpose: Purpose, each: &mut impl FnMut(&str)) {
        let stemmed = match self.stemmer {
            Some(language) => language.stemmer().stem(word),
            None => word.into(),
        };
        let folded: String;
        let term = if self.ascii_folding && !stemmed.is_ascii() {
            folded = fold(&stemmed);
            folded.as_str()
        } else {
            &stemmed
        };
        let chars = term.chars().count();
        if chars < self.min_chars {
            return;
        }
        match (self.tokenizer, purpose) {
            (Bm25Tokenizer::Prefix, Purpose::Document) => {
                for (i, (at, c)) in term.char_indices().take(self.max_chars).enumerate() {
                    if i + 1 >= self.min_chars {
                        each(&term[..at + c.len_utf8()]);
                    }
                }
            }
            (Bm25Tokenizer::Prefix, Purpose::Query) => {
                let end = term
                    .char_indices()
                    .nth(self.max_chars)
                    .map_or(term.len(), |(at, _)| at);
                each(&term[..end]);
            }
            _ if chars <= self.max_chars => each(term),
            _ => {}
        }
    }
}

/// Without accents: decomposed, marks dropped, and the few Latin letters that have a stroke or are two letters in one written
/// plainly.
fn fold(word: &str) -> String {
    let mut folded = String::with_capacity(word.len());
    for c in word.nfkd().filter(|&c| !is_combining_mark(c)) {
        match c {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'þ' => folded.push_str("th"),
            'ı' => folded.push('i'),
            _ => folded.push(c),
        }
    }
    folded
}

/// Whether a character belongs to a script that is written without spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF       // Thai, Lao
        | 0x1000..=0x109F     // Burmese
        | 0x1780..=0x17FF     // Khmer
        | 0x3040..=0x30FF     // Hiragana, Katakana
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF)
}

/// Every two neighbouring characters of a run; a single one as it is.
fn neighbours(run: &str, each: &mut impl FnMut(&str)) {
    let ends = run.char_indices().map(|(at, c)| at + c.len_utf8());
    let starts = run.char_indices().map(|(at, _)| at);
    let mut alone = true;
    for (start, end) in starts.zip(ends.skip(1)) {
        alone = false;
        each(&run[start..end]);
    }
    if alone {
        each(run);
    }
}
