"""Refined Lee: the filter that SARLANG-1M renders with. It averages along edges, never across them.

J.-S. Lee, "Refined filtering of image noise using local statistics", 1981. Around each pixel, in 7 x 7:

1. nine means and variances of 3 x 3 pixels, at the offsets -2, 0 and 2 each way;
2. v, the relative variance of the speckle: the mean of the five smallest of the nine variance/mean²;
3. the direction, of four, in which opposite means differ most: an edge crosses it;
4. the half of the window on the side whose 3 x 3 mean is nearer to that of the centre, 28 pixels with the edge's own;
5. R = m + b (I - m) with b = max(0, (s² - m² v) / (1 + v)) / s², m and s² being mean and variance of the half.

Unmeasured pixels are counted nowhere. A 3 x 3 square with fewer than five measured pixels says nothing of speckle and
takes 1/L for its variance/mean²; one with none has mean 0, so that the half window turns away from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.neighbourhood import RADIUS, SIDE, Patch, Plane, box_sums, line_sums, moments

_HALF = SIDE * (RADIUS + 1)
_SUB = 3
_ENOUGH = 5
_TINY = np.float32(1e-30)
_EDGES = (((0, -2), (0, 2)), ((-2, 0), (2, 0)), ((-2, -2), (2, 2)), ((-2, 2), (2, -2)))
"""Offsets of the opposite squares, in the order of ``_halves``: left-right, up-down and the two diagonals."""


def refined_lee(patch: Patch, looks: float) -> Plane:
    """The filtered pixels of a patch without its margin."""
    means, variances = moments(patch, _SUB)
    scatter: Plane = variances / np.maximum(np.square(means), _TINY)
    if patch.weight is not None:
        scatter[box_sums(patch.weight, _SUB) < _ENOUGH] = 1 / looks
    mean, variance = _half_moments(patch, means)
    speckle = _five_smallest(scatter) / 5
    share = variance - np.square(mean) * speckle
    share /= (1 + speckle) * np.maximum(variance, _TINY)
    np.maximum(share, 0, out=share)
    result: Plane = mean + share * (patch.centre - mean)
    return result


def _five_smallest(nine: Plane) -> Plane:
    """The sum of the five smallest of the nine values at offsets -2, 0, 2 around each pixel.

    Sorting each column of three is shared by three neighbours. Once the columns are sorted, the five smallest are the
    least of the lows, middles and highs that form a staircase, of which there are three: all that differs between
    them is which of ``max(lows)``, ``median(middles)`` and ``min(highs)`` is left out, and it is the largest.
    """
    rows, cols = (side - 2 * (_SUB - 1) for side in nine.shape)
    low, middle, high = _sorted(*(nine[start : start + rows] for start in (0, 2, 4)))
    lows, middles, highs = ([plane[:, start : start + cols] for start in (0, 2, 4)] for plane in (low, middle, high))
    least, median, _ = _sorted(*middles)
    most_low = np.maximum(np.maximum(lows[0], lows[1]), lows[2])
    least_high = np.minimum(np.minimum(highs[0], highs[1]), highs[2])
    left_out = np.maximum(np.maximum(most_low, median), least_high)
    total: Plane = lows[0] + lows[1] + lows[2] + least + median + least_high - left_out
    return total


def _sorted(a: Plane, b: Plane, c: Plane) -> tuple[Plane, Plane, Plane]:
    """Three planes sorted pixel by pixel."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    return np.minimum(low, c), np.maximum(low, np.minimum(high, c)), np.maximum(high, c)


def _half_moments(patch: Patch, means: Plane) -> tuple[Plane, Plane]:
    """Mean and population variance over the half window that each pixel's edge leaves."""
    planes = [patch.power, np.square(patch.power), *([] if patch.weight is None else [patch.weight])]
    halves = [_halves(plane) for plane in planes]
    rows, cols = patch.centre.shape
    centre = means[2 : 2 + rows, 2 : 2 + cols]
    steepest: Plane | None = None
    chosen: list[Plane] = []
    for direction, edge in enumerate(_EDGES):
        one, other = (means[2 + row : 2 + row + rows, 2 + col : 2 + col + cols] for row, col in edge)
        steep = np.abs(one - other)
        nearer = _mask(np.abs(one - centre) <= np.abs(other - centre))
        sums = [_choose(nearer, *half[direction]) for half in halves]
        if steepest is None:
            steepest, chosen = steep, sums
            continue
        steeper = _mask(steep > steepest)
        chosen = [_choose(steeper, new, kept) for kept, new in zip(chosen, sums, strict=True)]
        np.maximum(steepest, steep, out=steepest)
    scale = np.float32(1 / _HALF) if patch.weight is None else np.reciprocal(np.maximum(chosen[2], np.float32(1)))
    mean, variance = chosen[0] * scale, chosen[1] * scale
    variance -= np.square(mean)
    return mean, np.maximum(variance, 0, out=variance)


def _mask(condition: NDArray[np.bool_]) -> NDArray[np.int32]:
    """All bits of a pixel set where a condition holds, none elsewhere."""
    return np.negative(condition.view(np.int8)).astype(np.int32)


def _choose(mask: NDArray[np.int32], one: Plane, other: Plane) -> Plane:
    """``one`` where a mask is set, else ``other``.

    ``np.where`` branches at each pixel, which is guesswork for a processor where speckle decides.
    """
    differ = one.view(np.int32) ^ other.view(np.int32)
    differ &= mask
    differ ^= other.view(np.int32)
    return differ.view(np.float32)


def _halves(plane: Plane) -> list[tuple[Plane, Plane]]:
    """Sums over the eight half windows of 28 pixels, in opposite pairs, the diagonal or middle line in both."""
    rows, cols = (side - 2 * RADIUS for side in plane.shape)
    runs = [plane]
    for width in range(1, SIDE):
        runs.append(runs[-1][:, :-1] + plane[:, width:])
    upright = line_sums(runs[RADIUS], SIDE, 0)
    flat = line_sums(runs[SIDE - 1], RADIUS + 1, 0)

    def triangle(widest_row: int, *, right: bool) -> Plane:
        """Sums over a triangle whose rows grow from one pixel to seven at the first or the last row."""
        total = np.zeros((rows, cols), dtype=np.float32)
        for row in range(SIDE):
            width = SIDE - abs(row - widest_row)
            start = SIDE - width if right else 0
            total += runs[width - 1][row : row + rows, start : start + cols]
        return total

    last = SIDE - 1
    return [
        (upright[:, :cols], upright[:, RADIUS : RADIUS + cols]),
        (flat[:rows], flat[RADIUS : RADIUS + rows]),
        (triangle(0, right=False), triangle(last, right=True)),
        (triangle(0, right=True), triangle(last, right=False)),
    ]
