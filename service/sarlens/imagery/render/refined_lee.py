"""Refined Lee, the speckle filter of SARLANG-1M. It averages along edges, never across them.

Source: J.-S. Lee, "Refined filtering of image noise using local statistics", 1981. For each pixel I, in 7 x 7 pixels:

1. Nine means and variances of 3 x 3 pixels, at the offsets -2, 0 and 2 in rows and columns.
2. v, the relative variance of the speckle: the mean of the five smallest of the nine variance/mean².
3. The direction, of four, in which opposite means differ most: an edge crosses it.
4. The half window on the side whose 3 x 3 mean is nearer to that of the center: 28 pixels, those on the edge included.
5. R = m + b (I - m) with b = max(0, (s² - m² v) / (1 + v)) / s², and m and s² the mean and variance of the half window.

Invalid pixels are excluded. A 3 x 3 square with fewer than five valid pixels counts as variance/mean² = 1/L, with L
looks. A square without valid pixels has mean 0, so that the half window is on the other side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.core.box_sums import Plane, box_sums, line_sums
from sarlens.imagery.render.window_stats import (
    RADIUS,
    SIDE,
    PaddedRows,
    local_mean_variance,
)

_HALF_WINDOW_PIXELS = SIDE * (RADIUS + 1)
_SUBWINDOW_SIDE = 3
_MIN_VALID_PIXELS = 5
"""Fewest valid pixels of a 3 x 3 square whose variance is used."""
_TINY = np.float32(1e-30)
_OPPOSITE_SUBWINDOWS = (((0, -2), (0, 2)), ((-2, 0), (2, 0)), ((-2, -2), (2, 2)), ((-2, 2), (2, -2)))
"""Offsets (row, column) of opposite squares, in the order of ``_half_sums``: horizontal, vertical, two diagonals."""


def refined_lee(rows: PaddedRows, looks: float) -> Plane:
    """Return the filtered power of a block of rows, without its margin.

    Args:
        rows: Power with a margin of 3 pixels.
        looks: Equivalent number of looks.
    """
    means, variances = local_mean_variance(rows, _SUBWINDOW_SIDE)
    relative_variances: Plane = variances / np.maximum(np.square(means), _TINY)
    if rows.weight is not None:
        relative_variances[box_sums(rows.weight, _SUBWINDOW_SIDE) < _MIN_VALID_PIXELS] = 1 / looks
    mean, variance = _half_window_moments(rows, means)
    speckle_variance = _sum_of_five_smallest(relative_variances) / 5
    gain = variance - np.square(mean) * speckle_variance
    gain /= (1 + speckle_variance) * np.maximum(variance, _TINY)
    np.maximum(gain, 0, out=gain)
    filtered: Plane = mean + gain * (rows.center - mean)
    return filtered


def _sum_of_five_smallest(values: Plane) -> Plane:
    """Return the sum of the five smallest of the nine values at offsets -2, 0 and 2 around each pixel.

    Three neighbors share the sorting of a column of three. In sorted columns, the five smallest values form one of
    three staircases of lows, middles and highs. The staircases differ only in the value that they leave out of
    ``max(lows)``, ``median(middles)`` and ``min(highs)``: the largest.
    """
    rows, cols = (side - 2 * (_SUBWINDOW_SIDE - 1) for side in values.shape)
    low, middle, high = _sort_three(*(values[start : start + rows] for start in (0, 2, 4)))
    lows, middles, highs = ([plane[:, start : start + cols] for start in (0, 2, 4)] for plane in (low, middle, high))
    min_middle, median_middle, _ = _sort_three(*middles)
    max_low = np.maximum(np.maximum(lows[0], lows[1]), lows[2])
    min_high = np.minimum(np.minimum(highs[0], highs[1]), highs[2])
    left_out = np.maximum(np.maximum(max_low, median_middle), min_high)
    total: Plane = lows[0] + lows[1] + lows[2] + min_middle + median_middle + min_high - left_out
    return total


def _sort_three(a: Plane, b: Plane, c: Plane) -> tuple[Plane, Plane, Plane]:
    """Sort three planes pixel by pixel."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    return np.minimum(low, c), np.maximum(low, np.minimum(high, c)), np.maximum(high, c)


def _half_window_moments(padded: PaddedRows, means: Plane) -> tuple[Plane, Plane]:
    """Return mean and population variance of the half window that each pixel's edge direction selects."""
    planes = [padded.power, np.square(padded.power), *([] if padded.weight is None else [padded.weight])]
    halves = [_half_sums(plane) for plane in planes]
    rows, cols = padded.center.shape
    center = means[2 : 2 + rows, 2 : 2 + cols]
    max_gradient: Plane | None = None
    selected: list[Plane] = []
    for direction, offsets in enumerate(_OPPOSITE_SUBWINDOWS):
        one, other = (means[2 + row : 2 + row + rows, 2 + col : 2 + col + cols] for row, col in offsets)
        gradient = np.abs(one - other)
        nearer = _bit_mask(np.abs(one - center) <= np.abs(other - center))
        sums = [_bitwise_where(nearer, *half[direction]) for half in halves]
        if max_gradient is None:
            max_gradient, selected = gradient, sums
            continue
        steeper = _bit_mask(gradient > max_gradient)
        selected = [_bitwise_where(steeper, new, old) for old, new in zip(selected, sums, strict=True)]
        np.maximum(max_gradient, gradient, out=max_gradient)
    if padded.weight is None:
        scale: Plane | np.float32 = np.float32(1 / _HALF_WINDOW_PIXELS)
    else:
        scale = np.reciprocal(np.maximum(selected[2], np.float32(1)))
    mean, variance = selected[0] * scale, selected[1] * scale
    variance -= np.square(mean)
    return mean, np.maximum(variance, 0, out=variance)


def _bit_mask(condition: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return integers with all bits set if the condition is true, else none."""
    return np.negative(condition.view(np.int8)).astype(np.int32)


def _bitwise_where(mask: NDArray[np.int32], one: Plane, other: Plane) -> Plane:
    """Return ``one`` if the mask is set, else ``other``.

    Unlike ``np.where``, this doesn't branch for each pixel. Speckle makes such branches unpredictable for the CPU.
    """
    bits = one.view(np.int32) ^ other.view(np.int32)
    bits &= mask
    bits ^= other.view(np.int32)
    return bits.view(np.float32)


def _half_sums(plane: Plane) -> list[tuple[Plane, Plane]]:
    """Return sums over the eight half windows of 28 pixels, in opposite pairs that share the middle line."""
    rows, cols = (side - 2 * RADIUS for side in plane.shape)
    runs = [plane]
    for width in range(1, SIDE):
        runs.append(runs[-1][:, :-1] + plane[:, width:])
    vertical = line_sums(runs[RADIUS], SIDE, 0)
    horizontal = line_sums(runs[SIDE - 1], RADIUS + 1, 0)

    def triangle(widest_row: int, *, right: bool) -> Plane:
        """Return sums over a triangle whose rows shrink from seven pixels in the widest row to one pixel."""
        total = np.zeros((rows, cols), dtype=np.float32)
        for row in range(SIDE):
            width = SIDE - abs(row - widest_row)
            start = SIDE - width if right else 0
            total += runs[width - 1][row : row + rows, start : start + cols]
        return total

    last = SIDE - 1
    return [
        (vertical[:, :cols], vertical[:, RADIUS : RADIUS + cols]),
        (horizontal[:rows], horizontal[RADIUS : RADIUS + rows]),
        (triangle(0, right=False), triangle(last, right=True)),
        (triangle(0, right=True), triangle(last, right=False)),
    ]
