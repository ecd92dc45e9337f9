"""The teacher's vectors of many texts, computed in chunks and kept on disk, so that a stopped run goes on."""

import hashlib
import sys
import time

import numpy as np

CHUNK = 4096


def chunk_path(cache_dir, texts):
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]
    return cache_dir / "vectors" / f"{digest}.npy"


def teacher_vectors(teacher, cache_dir, name, texts, only_cached=False):
    """float16 [n, 384], one unit row per text. A chunk's file is named after its texts, so stale ones are never read.

    With `only_cached` the chunks not computed yet are left out: returns the texts that have vectors, and these.
    """
    (cache_dir / "vectors").mkdir(parents=True, exist_ok=True)
    kept, parts = [], []
    began, fresh = time.time(), 0
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        path = chunk_path(cache_dir, chunk)
        if not path.exists():
            if only_cached:
                continue
            unfinished = path.with_suffix(".tmp.npy")
            np.save(unfinished, teacher.embed(chunk).astype(np.float16))
            unfinished.rename(path)
            fresh += len(chunk)
            rate = fresh / (time.time() - began)
            print(f"{name}: {start + len(chunk)} of {len(texts)} texts, {rate:.0f} a second", file=sys.stderr, flush=True)
        kept += chunk
        parts.append(np.load(path))
    vectors = np.concatenate(parts) if parts else np.empty((0, 384), np.float16)
    return kept, vectors
