"""Speckle filters on linear power, over 7 x 7 pixels.

In all of them I is the power of a pixel, m and s² are mean and variance of the measured pixels around it, Ci = s/m
is how much they scatter, and Cu = 1/√L how much L looks of speckle alone scatter. L is estimated from the image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.neighbourhood import RADIUS, SIDE, Patch, Plane, filtered, moments
from sarlens.imagery.raster import Raster
from sarlens.imagery.refined_lee import refined_lee
from sarlens.request import Filter

DAMPING = 2.0
_TINY = np.float32(1e-30)


def despeckle(raster: Raster, name: Filter) -> Raster:
    """An INTENSITY raster with its speckle filtered, each band by itself; pixels that were not measured stay 0."""
    if name == "none":
        return raster
    planes = [_calm(plane, raster.valid, FILTERS[name]) for plane in raster.pixels]
    return replace(raster, pixels=np.stack(planes))


def _calm(power: Plane, valid: NDArray[np.bool_], kernel: Callable[[Patch, float], Plane]) -> Plane:
    """A filtered plane. Power is scaled to a mean of 1 meanwhile, so that its square fits float32."""
    mean = float(power.mean(where=valid, dtype=np.float64)) if valid.any() else 0.0
    if mean <= 0:
        return power
    scaled = np.maximum(power / np.float32(mean), 0)
    looks = equivalent_looks(scaled, valid)
    return filtered(scaled, valid, lambda patch: kernel(patch, looks)) * np.float32(mean)


def equivalent_looks(power: Plane, valid: NDArray[np.bool_]) -> float:
    """The equivalent number of looks, at least 1: m²/s² where the image is flat.

    Flat is the quarter of its 7 x 7 blocks that scatter least. An image without one measured block has one look.
    """
    rows, cols = (side // SIDE for side in power.shape)
    shape = (rows, SIDE, cols, SIDE)
    whole = valid[: rows * SIDE, : cols * SIDE].reshape(shape).all(axis=(1, 3))
    blocks = power[: rows * SIDE, : cols * SIDE].reshape(shape).swapaxes(1, 2)[whole].reshape(-1, SIDE**2)
    mean = blocks.mean(axis=1)
    scatter = blocks.var(axis=1, ddof=1) / np.maximum(np.square(mean), _TINY)
    flat = float(np.percentile(scatter, 25)) if scatter.size else 1.0
    return 1 / min(max(flat, 1e-4), 1.0)


def lee(patch: Patch, looks: float) -> Plane:
    """R = m + W (I - m) with W = max(0, 1 - Cu²/Ci²) (Lee 1980)."""
    mean, variance = moments(patch)
    weight = 1 - np.square(mean) / (np.maximum(variance, _TINY) * np.float32(looks))
    np.maximum(weight, 0, out=weight)
    return mean + weight * (patch.centre - mean)


def frost(patch: Patch, looks: float) -> Plane:
    """The mean weighted by exp(-D Ci² |t|), |t| being the distance to the pixel and D = 2 (Frost 1982)."""
    mean, variance = moments(patch)
    decay = np.float32(-DAMPING) * variance / np.maximum(np.square(mean), _TINY)
    total, weights = patch.centre.copy(), np.ones_like(mean)
    for squared, offsets in _RINGS.items():
        weight = np.exp(decay * np.float32(np.sqrt(squared)))
        total += weight * _ring_sum(patch.power, offsets)
        weights += weight * (len(offsets) if patch.weight is None else _ring_sum(patch.weight, offsets))
    return total / weights


def gamma_map(patch: Patch, looks: float) -> Plane:
    """The most likely power under gamma-distributed scene and speckle (Lopes 1990).

    R = m where Ci ≤ Cu, I where Ci ≥ √2 Cu; between them, with a = (1 + Cu²)/(Ci² - Cu²) and b = a - L - 1,
    R = (b m + √(b² m² + 4 a L m I)) / 2a.
    """
    mean, variance = moments(patch)
    pixel = patch.centre
    speckle = np.float32(1 / looks)
    scatter = variance / np.maximum(np.square(mean), _TINY)
    alpha = (1 + speckle) / np.maximum(scatter - speckle, np.float32(1e-6))
    b = alpha - np.float32(looks + 1)
    root = np.sqrt(np.square(mean * b) + 4 * alpha * np.float32(looks) * mean * pixel)
    likely = (b * mean + root) / (2 * alpha)
    return np.where(scatter <= speckle, mean, np.where(scatter >= 2 * speckle, pixel, likely))


FILTERS: Mapping[Filter, Callable[[Patch, float], Plane]] = MappingProxyType(
    {"refined_lee": refined_lee, "lee": lee, "frost": frost, "gamma_map": gamma_map}
)


def _rings() -> dict[int, list[tuple[int, int]]]:
    """The offsets in a 7 x 7 window by their squared distance from its centre, without the centre."""
    rings: dict[int, list[tuple[int, int]]] = {}
    for row in range(-RADIUS, RADIUS + 1):
        for col in range(-RADIUS, RADIUS + 1):
            if row or col:
                rings.setdefault(row * row + col * col, []).append((row, col))
    return rings


_RINGS = _rings()


def _ring_sum(plane: Plane, offsets: list[tuple[int, int]]) -> Plane:
    """The sum of the neighbours at some offsets, for every pixel of a patch without its margin."""
    rows, cols = (side - 2 * RADIUS for side in plane.shape)
    total = np.zeros((rows, cols), dtype=np.float32)
    for row, col in offsets:
        total += plane[RADIUS + row : RADIUS + row + rows, RADIUS + col : RADIUS + col + cols]
    return total
