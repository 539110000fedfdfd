"""Sums over the neighbourhood of every pixel at once, and the walk over an image in strips that fit a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
RADIUS = 3
SIDE = 2 * RADIUS + 1
_STRIP_ROWS = 32


class Patch(NamedTuple):
    """A strip of an image with ``RADIUS`` pixels more on each side, for a filter to work on.

    ``power`` is 0 where nothing was measured. ``weight`` is 1 where something was and 0 elsewhere, or None where
    everything was, so that counts need not be summed.
    """

    power: Plane
    weight: Plane | None

    @property
    def centre(self) -> Plane:
        """The strip without the margin."""
        return self.power[RADIUS:-RADIUS, RADIUS:-RADIUS]


def filtered(power: Plane, valid: NDArray[np.bool_], kernel: Callable[[Patch], Plane]) -> Plane:
    """Run a 7 x 7 filter over a plane (row, col); the image is mirrored at its edges.

    What the filter says of pixels that were not measured is replaced by 0.
    """
    whole = bool(valid.all())
    padded = np.pad(power, RADIUS, mode="symmetric")
    weight = np.pad(valid, RADIUS, mode="symmetric").astype(np.float32)
    result = np.empty_like(power)
    for row in range(0, power.shape[0], _STRIP_ROWS):
        part = slice(row, row + _STRIP_ROWS + 2 * RADIUS)
        measured = whole or bool(weight[part].all())
        result[row : row + _STRIP_ROWS] = kernel(Patch(padded[part], None if measured else weight[part]))
    return result if whole else np.where(valid, result, np.float32(0))


def line_sums(plane: Plane, length: int, axis: int) -> Plane:
    """Sums of ``length`` neighbours along an axis, shorter by ``length - 1``, from sums of 1, 2, 4 … neighbours."""
    along = plane if axis == 0 else plane.T
    count = along.shape[0] - length + 1
    parts: list[Plane] = []
    run, width, at = along, 1, 0
    while width <= length:
        if length & width:
            parts.append(run[at : at + count])
            at += width
        run = run[:-width] + run[width:]
        width *= 2
    total = sum(parts[1:], start=parts[0])
    return total if axis == 0 else total.T


def box_sums(plane: Plane, side: int) -> Plane:
    """Sums over ``side`` x ``side`` pixels, smaller by ``side - 1`` both ways."""
    return line_sums(line_sums(plane, side, 1), side, 0)


def moments(patch: Patch, side: int = SIDE) -> tuple[Plane, Plane]:
    """Mean and population variance of the measured pixels in each square of ``side``; both 0 where there are none."""
    total = box_sums(patch.power, side)
    squares = box_sums(np.square(patch.power), side)
    if patch.weight is None:
        scale: Plane | np.float32 = np.float32(1 / side**2)
    else:
        scale = np.reciprocal(np.maximum(box_sums(patch.weight, side), np.float32(1)))
    total *= scale
    squares *= scale
    squares -= np.square(total)
    return total, np.maximum(squares, 0, out=squares)
