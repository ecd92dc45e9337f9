"""All training texts, by group. None of them comes from a set that the table is judged by."""

import json
import random

import biology
import packages
import wordnet

# How often a text of a group is drawn in training, and how many of a group the teacher reads at most: its time is what
# a text costs. Long and natural texts are few and count more, names are many and count less.
DRAWN = {
    "entries": 1.0,
    "examples": 1.0,
    "lemmas": 0.3,
    "paragraphs": 3.0,
    "definitions": 1.0,
    "documents": 4.0,
    "claims": 0.7,
    "doc_paragraphs": 1.5,
    "terms": 0.5,
    "relations": 0.5,
    "term_paragraphs": 3.0,
}
TEXTS_MAX = {"doc_paragraphs": 28_672, "terms": 81_920, "relations": 40_960, "term_paragraphs": 4_096}


def read_all(data_dir, cache_dir, seed):
    """Group name -> shuffled texts. Kept as JSON in `cache_dir`, because reading the packages takes minutes."""
    path = cache_dir / f"texts-{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    synsets = wordnet.read_synsets(data_dir)
    judged = wordnet.judged_ids(data_dir)
    names = biology.Vocabularies(cache_dir)
    doc_paragraphs, documents = packages.read(cache_dir)
    groups = {
        "entries": wordnet.entries(synsets, judged),
        "examples": wordnet.examples(synsets),
        "lemmas": wordnet.lemmas(synsets),
        "paragraphs": wordnet.paragraphs(synsets, judged, seed),
        "definitions": wordnet.definitions(synsets),
        "documents": documents,
        "claims": names.claims(seed),
        "doc_paragraphs": doc_paragraphs,
        "terms": names.terms(),
        "relations": names.relations(),
        "term_paragraphs": names.paragraphs(seed),
    }
    for texts in groups.values():
        random.Random(seed).shuffle(texts)
    path.write_text(json.dumps(groups))
    return groups
