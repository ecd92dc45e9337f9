"""Writes and reads `table.bin` as `embed/src/text/FORMAT.md`, sections 3 and 4, draws it."""

import struct

import numpy as np
import xxhash

HEADER = struct.Struct("<8sIIIIf16sIQQ")
MAGIC = b"VECINOTT"


def quantise(rows):
    """int8 rows and their scales; `rows`: float32 [n, dim], weights folded in."""
    scale = np.abs(rows).max(1) / 127
    whole = np.rint(rows / np.maximum(scale, 1e-30)[:, None])
    return np.clip(whole, -127, 127).astype(np.int8), scale.astype(np.float32)


def write(path, vocabulary, rows, version):
    whole, scale = quantise(rows)
    unknown_weight = float(np.median(scale * np.linalg.norm(whole.astype(np.float32), axis=1)))
    entries = [entry.encode() for entry in vocabulary]
    ends = np.cumsum([0] + [len(e) for e in entries]).astype("<u4")
    body = ends.tobytes() + scale.astype("<f4").tobytes() + whole.tobytes() + b"".join(entries)
    header = HEADER.pack(
        MAGIC, 1, len(entries), rows.shape[1], int(ends[-1]), unknown_weight, version.encode(), 0,
        xxhash.xxh3_64_intdigest(body), 0,
    )  # fmt: skip
    path.write_bytes(header + body)


def read(path):
    """(vocabulary, float32 rows with scale and weight folded in)."""
    data = path.read_bytes()
    magic, version, count, dim, length, _, _, _, checksum, _ = HEADER.unpack_from(data)
    body = data[HEADER.size :]
    assert (magic, version, checksum) == (MAGIC, 1, xxhash.xxh3_64_intdigest(body)), path
    ends = np.frombuffer(body, "<u4", count + 1)
    at = ends.nbytes
    scale = np.frombuffer(body, "<f4", count, at)
    at += scale.nbytes
    whole = np.frombuffer(body, np.int8, count * dim, at).reshape(count, dim)
    glued = body[at + whole.nbytes :]
    assert len(glued) == length, path
    vocabulary = [glued[a:b].decode() for a, b in zip(ends, ends[1:])]
    return vocabulary, whole.astype(np.float32) * scale[:, None]
