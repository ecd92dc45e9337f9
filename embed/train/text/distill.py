"""The first table: every vocabulary entry through the teacher, PCA, frequency weights, half-whitened."""

import numpy as np

DIM = 256
SIF_A = 1e-3
WHITENING = 0.5


def principal_axes(vectors):
    """[384, DIM] axes of largest variance about zero, and the variance along each."""
    second_moment = vectors.T.astype(np.float32) @ vectors.astype(np.float32) / len(vectors)
    values, axes = np.linalg.eigh(second_moment)
    return axes[:, ::-1][:, :DIM].astype(np.float32), values[::-1][:DIM].astype(np.float32)


def frequency_weights(counts):
    """SIF: a / (a + p) with p the share of an entry among all tokens (Arora et al. 2017)."""
    share = counts / counts.sum()
    return (SIF_A / (SIF_A + share)).astype(np.float32)


def distilled_rows(entry_vectors, counts):
    """float32 [rows, DIM], weights folded in; `entry_vectors`: the teacher's [rows, 384], `counts`: uses of each entry."""
    centred = entry_vectors - entry_vectors.mean(0)
    axes, variance = principal_axes(centred)
    whitened = (centred @ axes) * variance ** (-WHITENING / 2)
    whitened /= np.linalg.norm(whitened, axis=1).mean()
    return whitened * frequency_weights(counts)[:, None]
