"""Trains the table's rows and weights so that the weighted sum of a text's rows points where the teacher's vector does.

Loss of a batch, summed over its texts `i`, with `s` the student's and `t` the teacher's unit vectors:

    1 - cos(s_i, target_i)  +  similarity_weight * KL(softmax_j(t_i . t_j / temperature) || softmax_j(s_i . s_j / temperature))

`target` is the teacher's vector on its principal axes. Half of each batch is drawn from a few clusters, so that the
second term also sees near neighbours, not only texts that have nothing in common. Gradients are written out by hand:
the student is one sparse product, its optimiser (Adam) touches only the rows that a batch used.
"""

from dataclasses import dataclass

import numpy as np

from distill import DIM, principal_axes
from evaluate import unit


@dataclass
class Settings:
    steps: int = 1200
    batch: int = 1024
    clusters: int = 512
    clusters_per_batch: int = 4
    clustered_share: float = 0.5
    rate: float = 3e-3
    weight_rate: float = 1e-2
    warmup: int = 100
    similarity_weight: float = 1.0
    temperature: float = 0.1
    target_whitening: float = 0.0
    final_whitening: float = 0.5
    seed: int = 7


class Adam:
    """Adam (Kingma and Ba 2015) that advances only the rows it is given."""

    def __init__(self, shape):
        self.mean = np.zeros(shape, np.float32)
        self.square = np.zeros(shape, np.float32)
        self.step = 0

    def change(self, rows, gradient):
        self.step += 1
        self.mean[rows] = mean = 0.9 * self.mean[rows] + 0.1 * gradient
        self.square[rows] = square = 0.99 * self.square[rows] + 0.01 * gradient**2
        mean = mean / (1 - 0.9**self.step)
        square = square / (1 - 0.99**self.step)
        return mean / (np.sqrt(square) + 1e-8)


class Batches:
    """Draws batches of text indices: by the groups' shares, partly from a few clusters of like texts."""

    def __init__(self, settings, shares, vectors):
        self.rng = np.random.default_rng(settings.seed)
        self.settings = settings
        self.ends = np.cumsum(shares / shares.sum())
        cluster = assign_clusters(vectors, settings.clusters, self.rng)
        order = np.argsort(cluster, kind="stable")
        bounds = np.searchsorted(cluster[order], np.arange(settings.clusters + 1))
        members = [order[a:b] for a, b in zip(bounds, bounds[1:])]
        self.members = [(m, np.cumsum(shares[m] / shares[m].sum())) for m in members if len(m) >= 100]
        sizes = np.array([shares[m].sum() for m, _ in self.members])
        self.cluster_shares = sizes / sizes.sum()

    def draw(self):
        s = self.settings
        near = int(s.batch * s.clustered_share)
        picked = [self._sample(np.arange(len(self.ends)), self.ends, s.batch - near)]
        for c in self.rng.choice(len(self.members), s.clusters_per_batch, replace=False, p=self.cluster_shares):
            picked.append(self._sample(*self.members[c], near // s.clusters_per_batch))
        return np.unique(np.concatenate(picked))

    def _sample(self, items, ends, count):
        places = np.searchsorted(ends, self.rng.random(count))
        return items[np.minimum(places, len(items) - 1)]


def assign_clusters(vectors, count, rng):
    """Spherical k-means: fitted on a sample, five rounds; returns the cluster of each row."""
    sample = vectors[rng.choice(len(vectors), min(len(vectors), 60_000), replace=False)].astype(np.float32)
    centres = sample[rng.choice(len(sample), count, replace=False)]
    for _ in range(5):
        nearest = (sample @ centres.T).argmax(1)
        for c in range(count):
            own = sample[nearest == c]
            if len(own):
                centres[c] = own.mean(0)
        centres = unit(centres)
    parts = [(vectors[a : a + 50_000].astype(np.float32) @ centres.T).argmax(1) for a in range(0, len(vectors), 50_000)]
    return np.concatenate(parts)


def softmax_without_self(similarities, temperature):
    logits = similarities / temperature
    np.fill_diagonal(logits, -np.inf)
    logits -= logits.max(1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(1, keepdims=True)
    return logits


def whitened(rows, counts, exponent):
    """The rows turned to the principal axes of the vectors that `counts` make of them, each axis divided by its
    standard deviation to the power `exponent`: nearly empty axes tell neighbours apart that the large ones cannot."""
    vectors = unit(counts @ rows)
    axes, variance = principal_axes(vectors)
    return rows @ (axes * variance ** (-exponent / 2))


def train(settings, counts, vectors, shares, entry_vectors, entry_weights, report):
    """float32 [rows, DIM], weights folded in.

    - `counts`: sparse [texts, rows]; `vectors`: float16 [texts, 384], the teacher's; `shares`: [texts], how often
      each text is drawn; `entry_vectors`, `entry_weights`: where rows and weights start.
    - `report(step, rows, losses)` is called now and then.
    """
    rng = np.random.default_rng(settings.seed + 1)
    sample = vectors[rng.choice(len(vectors), min(len(vectors), 100_000), replace=False, p=shares / shares.sum())]
    axes, variance = principal_axes(sample)
    axes = axes * (variance / variance.mean()) ** (-settings.target_whitening / 2)

    directions = ((entry_vectors - entry_vectors.mean(0)) @ axes).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1).mean()
    weights = np.log(entry_weights).astype(np.float32)
    direction_adam, weight_adam = Adam(directions.shape), Adam(weights.shape)
    batches = Batches(settings, shares, vectors)
    losses = np.zeros(2)

    for step in range(settings.steps):
        chosen = batches.draw()
        texts = counts[chosen]
        rows, texts.indices = np.unique(texts.indices, return_inverse=True)
        texts.indices = texts.indices.astype(np.int32)
        texts.resize(len(chosen), len(rows))

        used = directions[rows]
        scale = np.exp(weights[rows])[:, None]
        weighted = used * scale
        sums = texts @ weighted
        lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6)
        student = sums / lengths

        teacher = vectors[chosen].astype(np.float32)
        target = unit(teacher @ axes)
        gradient = -target
        p = softmax_without_self(teacher @ teacher.T, settings.temperature)
        q = softmax_without_self(student @ student.T, settings.temperature)
        difference = q - p
        gradient += (settings.similarity_weight / settings.temperature) * ((difference + difference.T) @ student)
        losses += [
            float(np.mean(1 - (student * target).sum(1))),
            float(np.sum(p * np.log((p + 1e-12) / (q + 1e-12))) / len(chosen)),
        ]

        gradient = (gradient - (gradient * student).sum(1, keepdims=True) * student) / lengths
        row_gradient = texts.T @ gradient
        weight_gradient = (row_gradient * weighted).sum(1)
        row_gradient = row_gradient * scale

        rate = min(1, (step + 1) / settings.warmup) * 0.5 * (1 + np.cos(np.pi * step / settings.steps))
        directions[rows] = used - settings.rate * rate * direction_adam.change(rows, row_gradient)
        weights[rows] -= settings.weight_rate * rate * weight_adam.change(rows, weight_gradient)
        if (step + 1) % 250 == 0 or step + 1 == settings.steps:
            report(step + 1, directions * np.exp(weights)[:, None], losses / 250)
            losses[:] = 0
    rows = directions * np.exp(weights)[:, None]
    chosen = rng.choice(len(shares), min(len(shares), 20_000), replace=False, p=shares / shares.sum())
    return whitened(rows, counts[chosen], settings.final_whitening)
