//! The words of a text for the static table: `FORMAT.md` section 1.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The normalised words of one text, glued together with one space between them, so that a pair of neighbours is one slice.
/// Reused from text to text to keep its memory.
#[derive(Debug, Default)]
pub struct Words {
    glued: String,
    /// End of each word in `glued`; the next begins one byte after.
    ends: Vec<usize>,
}

impl Words {
    /// No words yet.
    pub fn new() -> Self {
        Words::default()
    }

    /// Takes the words of `text` in place of what was there. Time O(bytes).
    pub fn split(&mut self, text: &str) {
        self.glued.clear();
        self.ends.clear();
        if text.is_ascii() {
            self.split_ascii(text);
        } else {
            self.split_unicode(text);
        }
    }

    /// What [`Words::split_unicode`] does, for a text whose characters have no decomposition, no marks and simple case.
    fn split_ascii(&mut self, text: &str) {
        for word in text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
        {
            self.begin();
            let from = self.glued.len();
            self.glued.push_str(word);
            self.glued[from..].make_ascii_lowercase();
            self.ends.push(self.glued.len());
        }
    }

    fn split_unicode(&mut self, text: &str) {
        let mut inside = false;
        let characters = text
            .nfkd()
            .filter(|&c| !is_combining_mark(c))
            .flat_map(char::to_lowercase);
        for c in characters {
            let alone = is_ideograph(c);
            if inside && (alone || !c.is_alphanumeric()) {
                self.ends.push(self.glued.len());
                inside = false;
            }
            if alone {
                self.begin();
                self.glued.push(c);
                self.ends.push(self.glued.len());
            } else if c.is_alphanumeric() {
                if !inside {
                    self.begin();
                    inside = true;
                }
                self.glued.push(c);
            }
        }
        if inside {
            self.ends.push(self.glued.len());
        }
    }

    fn begin(&mut self) {
        if !self.ends.is_empty() {
            self.glued.push(' ');
        }
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the text had no word.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Word `i`.
    ///
    /// # Panics
    ///
    /// If there is no such word.
    pub fn get(&self, i: usize) -> &str {
        &self.glued[self.start(i)..self.ends[i]]
    }

    /// Words `i` and `i + 1` with one space between them, if both exist.
    pub fn pair(&self, i: usize) -> Option<&str> {
        let end = *self.ends.get(i + 1)?;
        Some(&self.glued[self.start(i)..end])
    }

    /// The words in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|i| self.get(i))
    }

    fn start(&self, i: usize) -> usize {
        if i == 0 { 0 } else { self.ends[i - 1] + 1 }
    }
}

/// Whether a character is a word of its own: Chinese characters, which are written without spaces.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c), 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let mut words = Words::new();
        words.split("something before");
        words.split(text);
        assert_eq!(words.iter().collect::<Vec<_>>(), expected, "{text:?}");
        words.split_unicode("");
        words.glued.clear();
        words.ends.clear();
        words.split_unicode(text);
        assert_eq!(
            words.iter().collect::<Vec<_>>(),
            expected,
            "the same without the fast way: {text:?}"
        );
    }

    #[test]
    fn words_of_many_texts() {
        check("", &[]);
        check(" \t.,", &[]);
        check(
            "Hello, World-wide 42nd",
            &["hello", "world", "wide", "42nd"],
        );
        check("don't_stop", &["don", "t", "stop"]);
        check("Ca\u{301}fé ÅÄÖ", &["cafe", "aao"]);
        check("東京tower", &["東", "京", "tower"]);
        check("a東b", &["a", "東", "b"]);
        check("ﬁﬂ ½", &["fifl", "1", "2"]);
    }

    #[test]
    fn pairs_are_slices() {
        let mut words = Words::new();
        words.split("In: Vitro,é x");
        assert_eq!(words.pair(0), Some("in vitro"));
        assert_eq!(words.pair(1), Some("vitro e"));
        assert_eq!(words.pair(3), None);
    }
}
