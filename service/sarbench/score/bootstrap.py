"""Means with 95 % bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 0
MAX_DRAWS_IN_MEMORY = 4_000_000
"""Maximum number of random indices held at once."""


@dataclass(frozen=True, slots=True)
class MeanInterval:
    """Mean of ``n`` values with the 2.5th and 97.5th percentiles of its bootstrap distribution."""

    n: int
    mean: float
    low: float
    high: float


def bootstrap_mean(values: Sequence[float], images: Sequence[str]) -> MeanInterval:
    """Return the mean of one value per text, with an interval from resampled images.

    Texts about one image are correlated, so images are resampled instead of texts: a cluster bootstrap (Field and
    Welsh, 2007). The resampling is seeded, so equal values give equal intervals.
    """
    _, image_of = np.unique(np.asarray(images), return_inverse=True)
    sums = np.bincount(image_of, weights=np.asarray(values, dtype=np.float64)).astype(np.float64)
    counts = np.bincount(image_of).astype(np.float64)
    low, high = np.percentile(_resampled_means(sums, counts), (2.5, 97.5))
    return MeanInterval(len(values), float(sums.sum() / counts.sum()), float(low), float(high))


def _resampled_means(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    rng = np.random.default_rng(SEED)
    images = len(sums)
    rows = max(1, MAX_DRAWS_IN_MEMORY // images)
    means = []
    for start in range(0, RESAMPLES, rows):
        indices = rng.integers(images, size=(min(rows, RESAMPLES - start), images))
        means.append(sums[indices].sum(axis=1) / counts[indices].sum(axis=1))
    return np.concatenate(means)
