"""Sums over runs and squares of neighboring pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""One band, of shape (row, column)."""


def line_sums(plane: Plane, length: int, axis: int) -> Plane:
    """Return sums of ``length`` neighbors along an axis, which is shorter by ``length - 1``.

    They are composed of sums of 1, 2, 4 … neighbors.
    """
    along = plane if axis == 0 else plane.T
    count = along.shape[0] - length + 1
    parts: list[Plane] = []
    run, width, offset = along, 1, 0
    while width <= length:
        if length & width:
            parts.append(run[offset : offset + count])
            offset += width
        run = run[:-width] + run[width:]
        width *= 2
    total = sum(parts[1:], start=parts[0])
    return total if axis == 0 else total.T


def box_sums(plane: Plane, side: int) -> Plane:
    """Return sums over ``side`` x ``side`` pixels; both axes are shorter by ``side - 1``."""
    return line_sums(line_sums(plane, side, 1), side, 0)
