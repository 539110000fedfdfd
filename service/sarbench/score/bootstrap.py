"""Means with 95 % bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
SEED = 0
BLOCK = 4_000_000
"""Random numbers held at a time."""


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of ``n`` values and the 2.5th and 97.5th percentile of its bootstrap."""

    n: int
    mean: float
    low: float
    high: float


def mean_of(values: Sequence[float], images: Sequence[str]) -> Mean:
    """The mean of one value per text, its interval by resampling images (a cluster bootstrap, Field and Welsh 2007).

    Texts on one image rise and fall together, so images are drawn and not texts. The draws are seeded: the same
    values give the same interval.
    """
    _, image_of = np.unique(np.asarray(images), return_inverse=True)
    sums = np.bincount(image_of, weights=np.asarray(values, dtype=np.float64)).astype(np.float64)
    counts = np.bincount(image_of).astype(np.float64)
    low, high = np.percentile(_resampled(sums, counts), (2.5, 97.5))
    return Mean(len(values), float(sums.sum() / counts.sum()), float(low), float(high))


def _resampled(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    rng = np.random.default_rng(SEED)
    images = len(sums)
    rows = max(1, BLOCK // images)
    means = []
    for start in range(0, DRAWS, rows):
        drawn = rng.integers(images, size=(min(rows, DRAWS - start), images))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)
