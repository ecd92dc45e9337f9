//! Text to [`Path`].

use super::{PATH_STEPS_MAX, Path, Step};
use crate::error::{Error, Result};

/// How much of a wrong path an error repeats, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// Whether a key may hold this character without quotes.
pub(super) fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

pub(super) fn path(text: &str) -> Result<Path> {
    let mut reader = Reader { text, rest: text };
    let key = reader.key()?;
    let mut steps = Vec::new();
    while let Some(step) = reader.step()? {
        if steps.len() + 1 == PATH_STEPS_MAX {
            return Err(reader.error(&format!(
                "the path has too many steps; the limit is {PATH_STEPS_MAX}"
            )));
        }
        steps.push(step);
    }
    Ok(Path {
        key,
        steps: steps.into(),
    })
}

struct Reader<'t> {
    text: &'t str,
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn step(&mut self) -> Result<Option<Step>> {
        if self.skip(".") {
            return self.key().map(|key| Some(Step::Key(key)));
        }
        if self.skip("[") {
            return self.bracket().map(Some);
        }
        match self.rest.chars().next() {
            None => Ok(None),
            Some(found) => Err(self.unexpected(found)),
        }
    }

    fn key(&mut self) -> Result<Box<str>> {
        if self.skip("\"") {
            let end = self.rest.find('"').ok_or_else(|| {
                self.error("the quoted key has no end; close it with a double quote")
            })?;
            let key = self.take(end);
            self.skip("\"");
            return Ok(key.into());
        }
        let end = self.rest.find(|c| !is_plain(c)).unwrap_or(self.rest.len());
        if end > 0 {
            return Ok(self.take(end).into());
        }
        Err(match self.rest.chars().next() {
            None | Some('.' | '[' | ']') => {
                self.error("a key is missing; an empty one is written \"\"")
            }
            Some(found) => self.unexpected(found),
        })
    }

    fn bracket(&mut self) -> Result<Step> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(self.rest.len());
        let digits = self.take(end);
        let step = match digits.parse() {
            Ok(index) => Step::Index(index),
            Err(_) if digits.is_empty() => Step::Each,
            Err(_) => {
                return Err(self.error("the position before this byte is too large for an array"));
            }
        };
        if self.skip("]") {
            Ok(step)
        } else {
            Err(self.error(
                "expected digits and \"]\"; write [0] for one element, [] for every element",
            ))
        }
    }

    fn skip(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn unexpected(&self, found: char) -> Error {
        self.error(&format!(
            "{found:?} cannot stand here; separate keys with dots and quote a key that holds other characters than \
             letters, digits, _ and -, as in \"first name\".x"
        ))
    }

    fn error(&self, problem: &str) -> Error {
        let mut shown: String = self.text.chars().take(SHOWN_CHARS_MAX).collect();
        if shown.len() < self.text.len() {
            shown.push('…');
        }
        let at = self.text.len() - self.rest.len();
        Error::invalid(format!("payload path {shown:?}, byte {at}: {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn written_as_read() {
        fn check(text: &str, expected: &str) {
            assert_eq!(path(text).unwrap().to_string(), expected, "{text}");
        }
        for text in [
            "a",
            "a.b",
            "a.b[].c",
            "a[0].b",
            "a[0][][17]",
            "\"a.b\".c",
            "\"\"",
            "a-b_c.d",
            "é.名",
            "0.1",
            "a.\"[]\"",
        ] {
            check(text, text);
        }
        check("\"plain\".x", "plain.x");
        check("a[007]", "a[7]");
        check("a[18446744073709551615]", "a[18446744073709551615]");
    }

    #[test]
    fn errors_say_where_and_how_to_mend() {
        fn check(text: &str, at: usize, says: &str) {
            let error = path(text).unwrap_err();
            let message = error.to_string();
            assert_eq!(error.kind(), crate::error::ErrorKind::InvalidInput);
            assert!(
                message.contains(&format!(", byte {at}: ")),
                "{text:?}: {message}"
            );
            assert!(message.contains(says), "{text:?}: {message}");
        }
        check("", 0, "a key is missing");
        check(".", 0, "a key is missing");
        check(".a", 0, "a key is missing");
        check("a.", 2, "a key is missing");
        check("a..b", 2, "a key is missing");
        check("[0]", 0, "a key is missing");
        check("a.[0]", 2, "a key is missing");
        check("a]", 1, "cannot stand here");
        check("a b", 1, "quote a key");
        check("a[", 2, "write [0]");
        check("a[x]", 2, "write [0]");
        check("a[-1]", 2, "write [0]");
        check("a[1", 3, "write [0]");
        check("a[]b", 3, "separate keys with dots");
        check("a[18446744073709551616]", 22, "too large");
        check("\"a", 1, "close it");
        check("\"a\"b", 3, "separate keys with dots");
        check("$x", 0, "quote a key");
    }

    #[test]
    fn a_path_has_at_most_so_many_steps() {
        assert!(path(&["a"; PATH_STEPS_MAX].join(".")).is_ok());
        assert!(path(&["a"; PATH_STEPS_MAX + 1].join(".")).is_err());
        let long = path(&"[".repeat(1_000_000)).unwrap_err().to_string();
        assert!(long.len() < 1000, "an error does not repeat a long text");
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            "[^\"]{0,8}".prop_map(|key| Step::Key(key.into())),
            "[a-z0-9_-]{1,4}".prop_map(|key| Step::Key(key.into())),
            any::<u64>().prop_map(Step::Index),
            Just(Step::Each),
        ]
    }

    proptest! {
        #[test]
        fn every_path_is_read_back(key in "[^\"]{0,8}", steps in proptest::collection::vec(any_step(), 0..10)) {
            let made = Path { key: key.into(), steps: steps.into() };
            prop_assert_eq!(path(&made.to_string()).unwrap(), made);
        }

        #[test]
        fn any_text_reads_without_panic(text in "[a-b\"\\[\\]\\.0-9 é]{0,12}|\\PC{0,12}") {
            if let Ok(read) = path(&text) {
                prop_assert_eq!(path(&read.to_string()).unwrap(), read);
            }
        }
    }
}
