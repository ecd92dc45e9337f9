//! From words to tokens: `FORMAT.md` section 2.

use super::{Table, Words};

/// A word of more characters is not cut into pieces: it is no word but data (a sequence, a hash, an address).
const WORD_CHARS_MAX: usize = 64;

/// What a text is made of, for the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// A row of the table.
    Row(u32),
    /// A word that the table does not cover at all.
    Unknown(&'a str),
}

/// Gives the tokens of `text` in order to `each`.
///
/// - `words`: working memory; holds the words of `text` afterwards.
/// - Time O(bytes), times the length of the longest piece for words that are not in the vocabulary.
pub fn tokenize(table: &Table, text: &str, words: &mut Words, mut each: impl FnMut(Token<'_>)) {
    words.split(text);
    let mut i = 0;
    while i < words.len() {
        if let Some(row) = words.pair(i).and_then(|pair| table.whole_row(pair)) {
            each(Token::Row(row));
            i += 2;
            continue;
        }
        let word = words.get(i);
        match table.whole_row(word) {
            Some(row) => each(Token::Row(row)),
            None => {
                if !cut(table, word, &mut each) {
                    each(Token::Unknown(word));
                }
            }
        }
        i += 1;
    }
    if words.is_empty() {
        let mut utf8 = [0; 4];
        for character in text.chars().filter(|c| !c.is_whitespace()) {
            each(Token::Unknown(character.encode_utf8(&mut utf8)));
        }
    }
}

/// Cuts a word into pieces, longest first. False if none fits anywhere.
fn cut(table: &Table, word: &str, each: &mut impl FnMut(Token<'_>)) -> bool {
    if word.chars().nth(WORD_CHARS_MAX).is_some() {
        return false;
    }
    let mut rest = word;
    let mut any = false;
    while let Some(first) = rest.chars().next() {
        let found = if rest.len() == word.len() {
            longest(rest, table.whole_bytes_max(), |prefix| {
                table.whole_row(prefix)
            })
        } else {
            longest(rest, table.piece_bytes_max(), |prefix| {
                table.piece_row(prefix)
            })
        };
        let bytes = match found {
            Some((row, bytes)) => {
                each(Token::Row(row));
                any = true;
                bytes
            }
            None => first.len_utf8(),
        };
        rest = &rest[bytes..];
    }
    any
}

/// The longest prefix of at most `bytes_max` bytes that `row_of` knows, with its length in bytes.
fn longest(
    text: &str,
    bytes_max: usize,
    row_of: impl Fn(&str) -> Option<u32>,
) -> Option<(u32, usize)> {
    let most = text.len().min(bytes_max);
    (1..=most)
        .rev()
        .filter(|&bytes| text.is_char_boundary(bytes))
        .find_map(|bytes| row_of(&text[..bytes]).map(|row| (row, bytes)))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::text::TableRow;

    fn strings(value: &Value) -> Vec<String> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    }

    /// The cases that the training program checks itself against too.
    #[test]
    fn golden() {
        let golden: Value = serde_json::from_str(include_str!("golden_tokens.json")).unwrap();
        let row = |entry| TableRow {
            entry,
            scale: 1.0,
            codes: vec![1],
        };
        let rows: Vec<_> = strings(&golden["vocabulary"])
            .into_iter()
            .map(row)
            .collect();
        let table = Table::from_bytes(Table::encode("1", 1, 1.0, &rows).unwrap()).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() >= 25);
        let mut words = Words::new();
        for case in cases {
            let text = case["text"].as_str().unwrap();
            let (mut tokens, mut unknown) = (Vec::new(), Vec::new());
            tokenize(&table, text, &mut words, |token| match token {
                Token::Row(row) => tokens.push(table.entry(row).to_owned()),
                Token::Unknown(word) => unknown.push(word.to_owned()),
            });
            assert_eq!(
                words.iter().collect::<Vec<_>>(),
                strings(&case["words"]),
                "words of {text:?}"
            );
            assert_eq!(tokens, strings(&case["tokens"]), "tokens of {text:?}");
            assert_eq!(
                unknown,
                strings(&case["unknown"]),
                "unknown words of {text:?}"
            );
        }
    }
}
