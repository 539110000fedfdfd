"""Moments of the neighborhood of every pixel, and filtering in blocks of rows that fit the CPU cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.core.box_sums import Plane, box_sums

RADIUS = 3
"""Pixels from the center of a filter window to its edge."""
SIDE = 2 * RADIUS + 1
"""Rows and columns of a filter window."""
_BLOCK_ROWS = 32


class PaddedRows(NamedTuple):
    """A block of rows with a margin of ``RADIUS`` pixels on each side."""

    power: Plane
    """Linear power; 0 in invalid pixels."""
    weight: Plane | None
    """1 in valid pixels and 0 in invalid ones. None if all are valid, so that counts needn't be summed."""

    @property
    def center(self) -> Plane:
        """Power without the margin."""
        return self.power[RADIUS:-RADIUS, RADIUS:-RADIUS]


def apply_window_filter(power: Plane, valid: NDArray[np.bool_], kernel: Callable[[PaddedRows], Plane]) -> Plane:
    """Apply a 7 x 7 filter to a plane, block by block. The image is mirrored at its edges; invalid pixels become 0."""
    all_valid = bool(valid.all())
    padded = np.pad(power, RADIUS, mode="symmetric")
    weight = np.pad(valid, RADIUS, mode="symmetric").astype(np.float32)
    result = np.empty_like(power)
    for row in range(0, power.shape[0], _BLOCK_ROWS):
        rows = slice(row, row + _BLOCK_ROWS + 2 * RADIUS)
        block_valid = all_valid or bool(weight[rows].all())
        result[row : row + _BLOCK_ROWS] = kernel(PaddedRows(padded[rows], None if block_valid else weight[rows]))
    return result if all_valid else np.where(valid, result, np.float32(0))


def local_mean_variance(rows: PaddedRows, side: int = SIDE) -> tuple[Plane, Plane]:
    """Return mean and population variance of the valid pixels in each square of ``side``; 0 if none is valid."""
    mean = box_sums(rows.power, side)
    variance = box_sums(np.square(rows.power), side)
    if rows.weight is None:
        scale: Plane | np.float32 = np.float32(1 / side**2)
    else:
        scale = np.reciprocal(np.maximum(box_sums(rows.weight, side), np.float32(1)))
    mean *= scale
    variance *= scale
    variance -= np.square(mean)
    return mean, np.maximum(variance, 0, out=variance)
