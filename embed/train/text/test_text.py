"""Checks the tokenizer against the goldens it shares with the Rust reader, and the table file's round trip.

    python -m unittest test_text
"""

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np

import table
from packages import prose
from tokenizer import Tokenizer, words_of
from wordnet import paragraphs_of

GOLDEN = Path(__file__).parents[2] / "src" / "text" / "golden_tokens.json"


class Text(unittest.TestCase):
    def test_golden_tokens(self):
        golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
        vocabulary = golden["vocabulary"]
        tokenizer = Tokenizer(vocabulary)
        for case in golden["cases"]:
            with self.subTest(text=case["text"]):
                rows, unknown = tokenizer.encode(case["text"])
                self.assertEqual(words_of(case["text"]), case["words"])
                self.assertEqual([vocabulary[row] for row in rows], case["tokens"])
                self.assertEqual(unknown, case["unknown"])

    def test_table_round_trip(self):
        rows = np.random.default_rng(1).normal(size=(3, 256)).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.bin"
            table.write(path, ["a", "##é", "in vitro"], rows, "1")
            vocabulary, read = table.read(path)
        self.assertEqual(vocabulary, ["a", "##é", "in vitro"])
        self.assertLess(np.abs(read - rows).max(), np.abs(rows).max() / 127)

    def test_prose(self):
        text = "Title\n-----\nOne sentence of plain words\nover two lines.\n\nParameters\n----------\nx : int\n\n>>> code"
        self.assertEqual(list(prose(text)), ["One sentence of plain words over two lines."])

    def test_paragraphs(self):
        self.assertEqual(paragraphs_of(["ab", "cd", "e"], 4), ["ab cd", "e"])


if __name__ == "__main__":
    unittest.main()
