//! Words of a text: what `match.text`, `match.text_any` and `match.phrase` compare.
//!
//! A word is a longest run of letters and digits, in lower case. An empty list of words is found in no text.

use std::collections::HashSet;

/// The words of a text, in order.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// Whether the text holds every word of the query.
pub(super) fn contains_all(text: &str, query: &str) -> bool {
    let held: HashSet<String> = words(text).collect();
    let mut wanted = words(query).peekable();
    wanted.peek().is_some() && wanted.all(|word| held.contains(&word))
}

/// Whether the text holds at least one word of the query.
pub(super) fn contains_any(text: &str, query: &str) -> bool {
    let wanted: HashSet<String> = words(query).collect();
    words(text).any(|word| wanted.contains(&word))
}

/// Whether the text holds the words of the query in a row.
pub(super) fn contains_phrase(text: &str, query: &str) -> bool {
    let wanted: Vec<String> = words(query).collect();
    let held: Vec<String> = words(text).collect();
    !wanted.is_empty() && held.windows(wanted.len()).any(|row| row == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        fn check(text: &str, query: &str, all: bool, any: bool, phrase: bool) {
            assert_eq!(contains_all(text, query), all, "{text:?} all {query:?}");
            assert_eq!(contains_any(text, query), any, "{text:?} any {query:?}");
            assert_eq!(
                contains_phrase(text, query),
                phrase,
                "{text:?} phrase {query:?}"
            );
        }
        check("A Green apple, sliced", "green APPLE", true, true, true);
        check("A Green apple, sliced", "apple green", true, true, false);
        check("A Green apple, sliced", "apple pie", false, true, false);
        check("A Green apple, sliced", "app", false, false, false);
        check("snake_case-word", "snake word", true, true, false);
        check("snake_case-word", "CASE+word", true, true, true);
        check("naïve Ärzte 2024", "ÄRZTE 2024", true, true, true);
        check("word", "", false, false, false);
        check("word", " ,.;", false, false, false);
        check("", "word", false, false, false);
        check("one", "one one", true, true, false);
    }
}
