"""Threshold factor of a cell-averaging CFAR detector for speckle of any number of looks."""

from __future__ import annotations

from functools import lru_cache
from math import exp, floor, lgamma, log, log1p

import numpy as np

from sarlens.imagery.core.box_sums import Plane

_MAX_TERMS = 500
_PRECISION = 1e-12
_TINY = 1e-300
_NODES = 6
_LOOKS_STEP = log(1.02)
_MIN_LOOKS, _MAX_LOOKS = 0.1, 1000.0


def threshold_factor(pfa: float, cells: float, looks: float) -> float:
    """Return the factor ``a`` by which a pixel must exceed the mean of its training cells.

    A pixel of L looks in homogeneous clutter is gamma distributed with shape L (Ulaby and Dobson, 1989), and so is the
    mean of N independent cells, with shape N L. Their ratio has the F distribution with 2 L and 2 N L degrees of
    freedom, so that the false alarm probability is P(F > a) = I_x(N L, L), x = N / (N + a), with the regularized
    incomplete beta function I. For one look this is (1 + a / N)^(-N), and a = N (pfa^(-1/N) - 1) exactly: Finn and
    Johnson, "Adaptive detection mode with threshold control", RCA Review 29, 1968; Gandhi and Kassam, IEEE TAES 24,
    1988, equation 9.

    Args:
        pfa: false alarm probability of a pixel, above 0 and below 1.
        cells: number of training cells N, at least 1.
        looks: equivalent number of looks L, above 0.
    """
    if looks == 1:
        return float(cells * np.expm1(-log(pfa) / cells))
    low, high = 1e-9, 1e9
    while high / low > 1 + 1e-9:
        middle = (low * high) ** 0.5
        if regularized_beta(cells / (cells + middle), cells * looks, looks) > pfa:
            low = middle
        else:
            high = middle
    return high


def threshold_factors(pfa: float, cells: Plane, looks: float, fewest: float, most: float) -> Plane:
    """Return ``threshold_factor`` for each number of cells of a plane; infinity for less than ``fewest`` cells.

    The factor is almost linear in 1 / N, so it is computed at six numbers from ``fewest`` to ``most``, and linear
    between them. Looks are rounded down by at most 2 %, so that tiles of a scene share these factors.
    """
    steps = floor(log(min(max(looks, _MIN_LOOKS), _MAX_LOOKS)) / _LOOKS_STEP)
    nodes, factors = _factor_table(pfa, steps, fewest, most)
    inverse = np.reciprocal(np.maximum(cells, np.float32(1)))
    return np.where(cells >= fewest, np.interp(inverse, nodes, factors), np.inf).astype(np.float32)


@lru_cache(maxsize=1024)
def _factor_table(pfa: float, steps: int, fewest: float, most: float) -> tuple[list[float], list[float]]:
    nodes = [float(node) for node in np.geomspace(1 / most, 1 / fewest, _NODES)]
    return nodes, [threshold_factor(pfa, 1 / node, exp(steps * _LOOKS_STEP)) for node in nodes]


def regularized_beta(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b) for 0 < x < 1.

    Continued fraction 8.17.22 of the NIST Digital Library of Mathematical Functions, by the method of Lentz (1976).
    """
    if x > (a + 1) / (a + b + 2):
        return 1 - regularized_beta(1 - x, b, a)
    log_front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)
    upper, lower = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    fraction = lower
    for m in range(1, _MAX_TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            lower = 1 / _away_from_zero(1 + term * lower)
            upper = _away_from_zero(1 + term / upper)
            fraction *= upper * lower
        if abs(upper * lower - 1) < _PRECISION:
            break
    return exp(log_front) * fraction / a


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def equivalent_looks(mean: Plane, mean_square: Plane) -> float:
    """Return the equivalent number of looks of clutter, mean² / variance, as the median over windows; 1 without any.

    Texture and trends of the clutter lower it, and so raise the threshold.
    """
    variance = mean_square - np.square(mean)
    usable = (mean > 0) & (variance > 0)
    return float(np.median(np.square(mean[usable]) / variance[usable])) if usable.any() else 1.0
