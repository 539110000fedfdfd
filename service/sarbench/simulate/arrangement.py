"""How several objects stand to one another: in a row, clustered or scattered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEWEST = 4
"""Objects that it takes to speak of an arrangement."""


def arrangement(points: Sequence[tuple[float, float]]) -> str | None:
    """The arrangement of ``points``, given in shares of the image; None where one could argue.

    A row has a spread across itself of under a tenth of that along it. A cluster's standard deviation is under a
    ninth of the image in every direction; that of scattered objects is over a fifth along and a ninth across.
    """
    if len(points) < FEWEST:
        return None
    spread = np.linalg.svd(np.asarray(points) - np.mean(points, axis=0), compute_uv=False) / len(points) ** 0.5
    along, across = float(spread[0]), float(spread[1])
    if along > 0.1 and across < 0.1 * along:
        return "In a row"
    if along < 0.11 and across > 0.3 * along:
        return "Clustered"
    return "Scattered" if along > 0.2 and across > 0.12 else None
