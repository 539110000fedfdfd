"""Speckle filters pixel by pixel, directly from their formulas: slow, and independent of the tested code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]


def reference_filter(name: str, power: NDArray[Any], valid: NDArray[np.bool_], looks: float) -> Plane:
    """Return a filtered plane in float64, mirrored at the edges; invalid pixels are 0."""
    padded = np.pad(np.where(valid, power, np.nan).astype(np.float64), 3, mode="symmetric")
    result = np.zeros(power.shape)
    for row, col in np.argwhere(valid):
        result[row, col] = FILTERS[name](padded[row : row + 7, col : col + 7], looks)
    return result


def _lee(window: Plane, looks: float) -> float:
    pixel, mean, variance = window[3, 3], np.nanmean(window), np.nanvar(window)
    weight = max(0.0, 1 - (1 / looks) / (variance / mean**2)) if variance > 0 else 0.0
    return float(mean + weight * (pixel - mean))


def _frost(window: Plane, looks: float) -> float:
    ci2 = np.nanvar(window) / np.nanmean(window) ** 2
    rows, cols = np.mgrid[-3:4, -3:4]
    weights = np.where(np.isnan(window), 0, np.exp(-2 * ci2 * np.hypot(rows, cols)))
    return float(np.nansum(weights * window) / weights.sum())


def _gamma_map(window: Plane, looks: float) -> float:
    pixel, mean, cu = window[3, 3], np.nanmean(window), looks**-0.5
    ci = np.nanstd(window) / mean
    if ci <= cu:
        return float(mean)
    if ci >= 2**0.5 * cu:
        return float(pixel)
    alpha = (1 + cu**2) / (ci**2 - cu**2)
    b = alpha - looks - 1
    return float((b * mean + np.sqrt(mean**2 * b**2 + 4 * alpha * looks * mean * pixel)) / (2 * alpha))


def _refined_lee(window: Plane, looks: float) -> float:
    subs = {(r, c): window[2 + r : 5 + r, 2 + c : 5 + c] for r in (-2, 0, 2) for c in (-2, 0, 2)}
    means = {offset: float(np.nanmean(sub)) if np.isfinite(sub).any() else 0.0 for offset, sub in subs.items()}
    scatters = sorted(
        np.nanvar(sub) / means[offset] ** 2 if np.isfinite(sub).sum() >= 5 else 1 / looks
        for offset, sub in subs.items()
    )
    speckle = sum(scatters[:5]) / 5
    edges = [(0, -2), (-2, 0), (-2, -2), (-2, 2)]
    one = max(edges, key=lambda offset: abs(means[offset] - means[-offset[0], -offset[1]]))
    other = (-one[0], -one[1])
    side = one if abs(means[one] - means[0, 0]) <= abs(means[other] - means[0, 0]) else other
    rows, cols = np.mgrid[-3:4, -3:4]
    half = window[rows * side[0] + cols * side[1] >= 0]
    assert half.size == 28
    mean, variance = np.nanmean(half), np.nanvar(half)
    scene = max(0.0, (variance - mean**2 * speckle) / (1 + speckle))
    return float(mean + (scene / variance if variance > 0 else 0.0) * (window[3, 3] - mean))


FILTERS: dict[str, Callable[[Plane, float], float]] = {
    "lee": _lee,
    "frost": _frost,
    "gamma_map": _gamma_map,
    "refined_lee": _refined_lee,
}
