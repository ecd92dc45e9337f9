"""Chooses the table's entries: whole words, frequent pairs of words, and pieces that any other word falls into."""

import re
import string
from collections import Counter

from tokenizer import Tokenizer, words_of

ROWS = 31_000
PIECES = 4_500
PAIRS = 1_500
GREEK = "αβγδεζηθικλμνξοπρστυφχψω"
ALPHABET = string.ascii_lowercase + string.digits + GREEK

# How much a word of a group counts: running prose stands for what users write, lists of names for little of it.
GROUP_WEIGHT = {
    "entries": 2.0,
    "examples": 3.0,
    "documents": 0.5,
    "doc_paragraphs": 0.5,
    "terms": 1.0,
    "relations": 0.2,
}

# The teacher's own vocabulary falls by frequency; its rank stands for the frequency in general English.
TEACHER_WEIGHT = 2e6
TEACHER_RANK_OFFSET = 1000


def count(groups):
    """Weighted counts of words and of neighbouring pairs over the groups of `GROUP_WEIGHT`."""
    words, pairs = Counter(), Counter()
    for name, weight in GROUP_WEIGHT.items():
        own_words, own_pairs = Counter(), Counter()
        for text in groups[name]:
            found = words_of(text)
            own_words.update(found)
            own_pairs.update(zip(found, found[1:]))
        for word, n in own_words.items():
            words[word] += n * weight
        for pair, n in own_pairs.items():
            if n > 4:
                pairs[pair] += n * weight
    return words, pairs


def choose(groups, teacher_vocabulary):
    """The entries, words and pairs by falling frequency, pieces last.

    `teacher_vocabulary`: the teacher's tokens in its order.
    """
    words, pairs = count(groups)
    whole = [t for t in teacher_vocabulary if re.fullmatch("[a-z0-9]+", t)]
    scores = Counter({w: n for w, n in words.items() if re.fullmatch("[a-z0-9]+", w) and len(w) <= 24})
    for rank, word in enumerate(whole):
        scores[word] += TEACHER_WEIGHT / (rank + TEACHER_RANK_OFFSET)
    # Long digit strings are codes of the sources, not words of users; pieces serve them.
    for word in [w for w in scores if len(w) > 4 and sum(c.isdigit() for c in w) > len(w) / 2]:
        del scores[word]

    named = {tuple(words_of(lemma)) for lemma in groups["lemmas"] + groups["terms"]}
    common = {word for word, _ in scores.most_common(150)}
    worthy = {
        p: n for p, n in pairs.items() if p in named and not set(p) & common and all(len(w) > 2 and w.isalpha() for w in p)
    }
    chosen_pairs = sorted(worthy, key=lambda p: (-worthy[p], p))[:PAIRS]

    single = list(ALPHABET)
    most = ROWS - PIECES - PAIRS - 2 * len(single)
    ranked = sorted((w for w in scores if w not in set(single)), key=lambda w: (-scores[w], w))[:most]
    chosen_words = sorted(single + ranked, key=lambda w: (-scores[w], w))

    # Pieces in the order of how often the words left outside need them.
    marked = sorted({t for t in teacher_vocabulary if re.fullmatch("##[a-z0-9]+", t)} | {"##" + c for c in ALPHABET})
    everything = chosen_words + marked
    tokenizer, inside, need = Tokenizer(everything), set(chosen_words), Counter()
    for word, n in words.items():
        if word not in inside:
            need.update({row: n for row in tokenizer.pieces(word)})
    uses = Counter({entry: need[row] for row, entry in enumerate(everything) if entry.startswith("##")})
    always = ["##" + c for c in ALPHABET]
    rest = sorted((p for p in uses if p not in set(always)), key=lambda p: (-uses[p], p))[:PIECES]
    return chosen_words + [" ".join(p) for p in chosen_pairs] + always + rest
