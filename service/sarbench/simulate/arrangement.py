"""Classification of object arrangements: in a row, clustered, or scattered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MIN_OBJECTS = 4
"""Minimum number of objects that form an arrangement."""


def classify_arrangement(points: Sequence[tuple[float, float]]) -> str | None:
    """Return the arrangement of ``points``, given as fractions of the image, or None if it is ambiguous.

    A row spreads less than a tenth across as along. The standard deviation of a cluster is under a ninth of the image
    in every direction. That of scattered objects is over a fifth along and over a ninth across.
    """
    if len(points) < MIN_OBJECTS:
        return None
    spread = np.linalg.svd(np.asarray(points) - np.mean(points, axis=0), compute_uv=False) / len(points) ** 0.5
    along, across = float(spread[0]), float(spread[1])
    if along > 0.1 and across < 0.1 * along:
        return "In a row"
    if along < 0.11 and across > 0.3 * along:
        return "Clustered"
    return "Scattered" if along > 0.2 and across > 0.12 else None
