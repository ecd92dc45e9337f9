"""Training texts from Open English WordNet (CC BY 4.0): definitions, examples, and paragraphs of related definitions."""

import gzip
import json
import random
from collections import defaultdict

PARAGRAPH_CHARS = 900


def read_synsets(data_dir):
    with gzip.open(data_dir / "wordnet" / "synsets.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def judged_ids(data_dir):
    """What the reverse dictionary asks for: no word it asks may be seen beside its definition."""
    lines = (data_dir / "wordnet" / "revdict" / "qrels" / "test.tsv").read_text().splitlines()[1:]
    return {line.split("\t")[1] for line in lines}


def definitions(synsets):
    """Each definition once, bare."""
    return sorted({s["text"] for s in synsets})


def entries(synsets, judged):
    """Each definition behind its words, which teaches rare words by what they mean; none of the `judged`."""
    return [f"{', '.join(s['lemmas'][:3])}: {s['text']}" for s in synsets if s["id"] not in judged]


def examples(synsets):
    return sorted({example for s in synsets for example in s["examples"] if len(example.split()) > 2})


def lemmas(synsets):
    return sorted({lemma for s in synsets for lemma in s["lemmas"]})


def paragraphs(synsets, judged, seed):
    """Long texts on one subject: the entries below one hypernym, shuffled and cut into paragraphs.

    A paragraph with one of the `judged` is left out.
    """
    rng = random.Random(seed)
    below = defaultdict(list)
    by_id = {s["id"]: s for s in synsets}
    for s in synsets:
        for parent in s["hypernyms"]:
            below[parent].append(s)
    texts = []
    for parent in sorted(below):
        family = below[parent]
        if parent in by_id:
            family = family + [by_id[parent]]
        rng.shuffle(family)
        sentences = []
        for s in family:
            lemma = s["lemmas"][0]
            sentences.append(rng.choice([f"{lemma} is {s['text']}.", f"{lemma}: {s['text']}.", f"{s['text']}."]))
            sentences += [f"{example}." for example in s["examples"][:1]]
        hidden = [s["text"] for s in family if s["id"] in judged]
        texts += [t for t in paragraphs_of(sentences, PARAGRAPH_CHARS) if not any(h in t for h in hidden)]
    return texts


def paragraphs_of(sentences, chars):
    """Joins sentences in order into texts of about `chars` characters; leftovers under a quarter are dropped."""
    texts, open_text = [], []
    for sentence in sentences:
        open_text.append(sentence)
        if sum(map(len, open_text)) >= chars:
            texts.append(" ".join(open_text))
            open_text = []
    rest = " ".join(open_text)
    if len(rest) >= chars // 4:
        texts.append(rest)
    return texts
