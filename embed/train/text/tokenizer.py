"""Text to tokens exactly as `embed/src/text/FORMAT.md`, sections 1 and 2, says; the Rust reader does the same."""

import re
import unicodedata

WORD_CHARS_MAX = 64
ASCII_WORD = re.compile(r"[a-z0-9]+")


def is_ideograph(char):
    code = ord(char)
    return 0x3400 <= code <= 0x4DBF or 0x4E00 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x3FFFF


def words_of(text):
    """The words of a text: NFKD, marks dropped, lowercase, split at everything not alphanumeric."""
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    bare = [c for c in unicodedata.normalize("NFKD", text) if not unicodedata.category(c).startswith("M")]
    words, open_word = [], []
    for char in "".join(c.lower() for c in bare) + " ":
        ideograph = is_ideograph(char)
        if char.isalnum() and not ideograph:
            open_word.append(char)
            continue
        if open_word:
            words.append("".join(open_word))
            open_word = []
        if ideograph:
            words.append(char)
    return words


class Tokenizer:
    """Maps words to rows of a vocabulary of words, pairs of words and `##` pieces."""

    def __init__(self, vocabulary):
        self.ids = {entry: row for row, entry in enumerate(vocabulary)}
        self.firsts = {entry.split(" ")[0] for entry in vocabulary if " " in entry}
        self.chars_max = max(len(entry) for entry in vocabulary)
        self.cache = {}

    def pieces(self, word):
        """Rows of one word that is no entry, longest match first; empty if the word is unknown."""
        if len(word) > WORD_CHARS_MAX:
            return []
        rows, start = [], 0
        while start < len(word):
            mark = "##" if start else ""
            for end in range(min(len(word), start + self.chars_max), start, -1):
                row = self.ids.get(mark + word[start:end])
                if row is not None:
                    rows.append(row)
                    start = end
                    break
            else:
                start += 1
        return rows

    def encode(self, text):
        """(rows, unknown words) of a text, both in its order."""
        words = words_of(text)
        rows, unknown, at = [], [], 0
        if not words:
            return rows, [c for c in text if not c.isspace()]
        while at < len(words):
            word = words[at]
            if word in self.firsts and at + 1 < len(words):
                row = self.ids.get(f"{word} {words[at + 1]}")
                if row is not None:
                    rows.append(row)
                    at += 2
                    continue
            found = self.cache.get(word)
            if found is None:
                row = self.ids.get(word)
                found = self.cache[word] = self.pieces(word) if row is None else [row]
            if found:
                rows += found
            else:
                unknown.append(word)
            at += 1
        return rows, unknown
