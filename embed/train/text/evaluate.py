"""Judges a table on SciFact (nDCG@10) and WordNet's reverse dictionary (recall@10).

    python evaluate.py TABLE DATA_DIR [--test]

Tune on the train queries; the test queries are for the final figure only.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

import table
import wordnet
from tokenizer import Tokenizer


def count_matrix(tokenizer, texts):
    """Sparse counts [texts, vocabulary]; a text without tokens has an empty row."""
    indices, ends = [], [0]
    for text in texts:
        indices += tokenizer.encode(text)[0]
        ends.append(len(indices))
    data = np.ones(len(indices), np.float32)
    return csr_matrix((data, np.array(indices, np.int32), np.array(ends, np.int64)), (len(texts), len(tokenizer.ids)))


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def ndcg_at_10(order, relevant):
    gain = sum(1 / np.log2(place + 2) for place, document in enumerate(order[:10]) if document in relevant)
    return gain / sum(1 / np.log2(place + 2) for place in range(min(10, len(relevant))))


class SciFact:
    def __init__(self, data_dir, tokenizer):
        folder = data_dir / "scifact"
        documents = [json.loads(line) for line in (folder / "corpus.jsonl").open(encoding="utf-8")]
        queries = {q["_id"]: q["text"] for q in map(json.loads, (folder / "queries.jsonl").open(encoding="utf-8"))}
        place = {d["_id"]: i for i, d in enumerate(documents)}
        self.texts = [d["title"] + " " + d["text"] for d in documents]
        self.documents = count_matrix(tokenizer, self.texts)
        self.query_texts, self.queries, self.relevant = {}, {}, {}
        for split in ("train", "test"):
            relevant = defaultdict(set)
            for line in (folder / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]:
                query, document, grade = line.split("\t")
                if int(grade) > 0:
                    relevant[query].add(place[document])
            self.query_texts[split] = [queries[q] for q in relevant]
            self.queries[split] = count_matrix(tokenizer, self.query_texts[split])
            self.relevant[split] = list(relevant.values())

    def ndcg(self, documents, queries, split):
        order = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :10]
        return float(np.mean([ndcg_at_10(o, r) for o, r in zip(order, self.relevant[split])]))

    def judge(self, rows, split):
        return self.ndcg(unit(self.documents @ rows), unit(self.queries[split] @ rows), split)


class ReverseDictionary:
    """WordNet's definitions, queried by one word each."""

    def __init__(self, data_dir, tokenizer):
        folder = data_dir / "wordnet" / "revdict"
        documents = wordnet.read_synsets(data_dir)
        queries = {q["_id"]: q["text"] for q in map(json.loads, (folder / "queries.jsonl").open(encoding="utf-8"))}
        place = {d["id"]: i for i, d in enumerate(documents)}
        relevant = defaultdict(set)
        for path in sorted(folder.glob("qrels/*.tsv")):
            for line in path.read_text().splitlines()[1:]:
                query, document, _ = line.split("\t")
                relevant[query].add(place[document])
        self.documents = count_matrix(tokenizer, [d["text"] for d in documents])
        self.queries = count_matrix(tokenizer, [queries[q] for q in relevant])
        self.relevant = list(relevant.values())

    def judge(self, rows):
        documents, queries = unit(self.documents @ rows), unit(self.queries @ rows)
        scores = []
        for start in range(0, len(self.relevant), 500):
            near = np.argpartition(-(queries[start : start + 500] @ documents.T), 10, axis=1)[:, :10]
            scores += [len(r & set(n)) / min(10, len(r)) for n, r in zip(near.tolist(), self.relevant[start:])]
        return float(np.mean(scores))


def main():
    vocabulary, rows = table.read(Path(sys.argv[1]))
    data_dir, tokenizer = Path(sys.argv[2]), Tokenizer(vocabulary)
    scifact = SciFact(data_dir, tokenizer)
    for split in ["train"] + ["test"] * ("--test" in sys.argv):
        print(f"SciFact {split} nDCG@10 {scifact.judge(rows, split):.4f}")
    print(f"reverse dictionary recall@10 {ReverseDictionary(data_dir, tokenizer).judge(rows):.4f}")


if __name__ == "__main__":
    main()
