"""Speckle filters of linear power, in windows of 7 x 7 pixels.

In the formulas, I is the power of a pixel, and m and s² are the mean and variance of the valid pixels around it.
Ci = s/m is their coefficient of variation. Cu = 1/√L is that of speckle alone with L looks; L is estimated from the
image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.core.box_sums import Plane
from sarlens.imagery.core.raster import Raster, stack_planes
from sarlens.imagery.render import kernels
from sarlens.imagery.render.refined_lee import refined_lee
from sarlens.imagery.render.window_stats import (
    RADIUS,
    SIDE,
    PaddedRows,
    apply_window_filter,
    local_mean_variance,
)
from sarlens.types.render_params import Filter

FROST_DAMPING = 2.0
_FLAT_PERCENTILE = 25
"""Percentile of the relative variance of blocks that represents flat ground."""
_MAX_ENL = 1e4
_ONE, _TINY = np.float32(1), np.float32(1e-30)
_EXP_COEFFICIENTS: Plane = np.array(
    [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5], dtype=np.float32
)
"""Coefficients of the polynomial for e^r - 1 - r, from the highest power of r to the second."""


class Speckle(NamedTuple):
    """Statistics of one band, which a filter can't estimate from a part of an image."""

    mean: float
    """Mean power of the valid pixels, above 0."""
    looks: float
    """Equivalent number of looks."""


def despeckle(raster: Raster, filter_name: Filter, speckle: Sequence[Speckle] | None = None) -> Raster:
    """Filter the speckle of an INTENSITY raster, each band independently. Invalid pixels stay 0.

    Args:
        raster: The raster.
        filter_name: The filter.
        speckle: Statistics of each band; estimated from the raster by default.
    """
    if filter_name == "none":
        return raster
    known = speckle or (None,) * len(raster.pixels)
    planes = [
        _filter_plane(plane, raster.valid, filter_name, statistics)
        for plane, statistics in zip(raster.pixels, known, strict=True)
    ]
    return replace(raster, pixels=stack_planes(planes))


def estimate_speckle(raster: Raster) -> tuple[Speckle, ...]:
    """Return the statistics of each band of an INTENSITY raster; a band without power has a mean of 1."""
    valid = max(int(np.count_nonzero(raster.valid)), 1)
    means = [float(plane.sum(dtype=np.float64)) / valid for plane in raster.pixels]
    return tuple(
        Speckle(mean, estimate_enl(plane, raster.valid, np.float32(mean))) if mean > 0 else Speckle(1.0, 1.0)
        for plane, mean in zip(raster.pixels, means, strict=True)
    )


def _filter_plane(power: Plane, valid: NDArray[np.bool_], filter_name: Filter, speckle: Speckle | None = None) -> Plane:
    """Filter one band. The filter gets power of mean 1, so that its square fits into float32."""
    if speckle is None:
        mean = np.float32(power.sum(dtype=np.float64) / max(np.count_nonzero(valid), 1))
        if not mean > 0:
            return power
        looks = estimate_enl(power, valid, mean) if _uses_looks(filter_name, valid) else 1.0
    else:
        mean, looks = np.float32(speckle.mean), speckle.looks
    if kernels.NATIVE:
        return kernels.filter_plane(filter_name, power, valid, float(mean), looks)
    scaled = np.maximum(power / mean, 0)
    return apply_window_filter(scaled, valid, lambda rows: FILTERS[filter_name](rows, looks)) * mean


def _uses_looks(filter_name: Filter, valid: NDArray[np.bool_]) -> bool:
    """Refined Lee uses the number of looks only near invalid pixels, and Frost doesn't use it."""
    return filter_name in {"lee", "gamma_map"} or (filter_name == "refined_lee" and not valid.all())


def estimate_enl(power: Plane, valid: NDArray[np.bool_], mean: np.float32 = _ONE) -> float:
    """Estimate the equivalent number of looks (ENL), m²/s² of flat ground: between 1 and 10,000.

    The estimate uses the blocks of 7 x 7 valid pixels. The 25th percentile of their s²/m² is that of flat ground.
    Without such a block, the estimate is 1.

    Args:
        power: Linear power, of shape (row, column).
        valid: Mask of the same shape.
        mean: Mean of the valid pixels, above 0.
    """
    if kernels.NATIVE:
        relative_variance = kernels.relative_variances(power, valid, float(mean))
    else:
        relative_variance = _relative_variances(np.maximum(power / mean, 0), valid)
    flat = float(np.percentile(relative_variance, _FLAT_PERCENTILE)) if relative_variance.size else 1.0
    return 1 / min(max(flat, 1 / _MAX_ENL), 1.0)


def _relative_variances(power: Plane, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return s²/m² of each block of 7 x 7 valid pixels, with s² the sample variance."""
    rows, cols = (length // SIDE for length in power.shape)
    shape = (rows, SIDE, cols, SIDE)
    complete = valid[: rows * SIDE, : cols * SIDE].reshape(shape).all(axis=(1, 3))
    blocks = power[: rows * SIDE, : cols * SIDE].astype(np.float64).reshape(shape)
    total, squares = (_block_sums(values)[complete] for values in (blocks, np.square(blocks)))
    mean = total / SIDE**2
    variance = np.maximum((squares - total * mean) / (SIDE**2 - 1), 0)
    relative: NDArray[np.float64] = variance / np.maximum(np.square(mean), 1e-30)
    return relative


def _block_sums(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sums over the axes 1 and 3: first over the columns of a block, then over its rows."""
    lines = reduce(np.add, (blocks[..., col] for col in range(SIDE)))
    return reduce(np.add, (lines[:, row] for row in range(SIDE)))


def lee(rows: PaddedRows, looks: float) -> Plane:
    """Lee filter: R = m + W (I - m) with W = max(0, 1 - Cu²/Ci²) (Lee 1980)."""
    mean, variance = local_mean_variance(rows)
    weight = 1 - np.square(mean) / (np.maximum(variance, _TINY) * np.float32(looks))
    np.maximum(weight, 0, out=weight)
    return mean + weight * (rows.center - mean)


def frost(rows: PaddedRows, looks: float) -> Plane:
    """Frost filter: the mean weighted by exp(-D Ci² |t|), with |t| the distance in pixels and D = 2 (Frost 1982)."""
    mean, variance = local_mean_variance(rows)
    decay = np.float32(-FROST_DAMPING) * variance / np.maximum(np.square(mean), _TINY)
    total, weights = rows.center.copy(), np.ones_like(mean)
    for squared_distance, offsets in _OFFSETS_BY_SQUARED_DISTANCE.items():
        weight = _exp(decay * np.float32(np.sqrt(squared_distance)))
        total += weight * _sum_at_offsets(rows.power, offsets)
        weights += weight * (len(offsets) if rows.weight is None else _sum_at_offsets(rows.weight, offsets))
    return total / weights


def _exp(exponent: Plane) -> Plane:
    """Return e to the power of ``exponent``, at most 0, within 2e-7 of its value.

    Unlike ``np.exp``, it has the same bits on every processor. The polynomial is that of ``expf`` in the Cephes
    Mathematical Library.
    """
    x = np.maximum(exponent, np.float32(-87))
    n = np.rint(x * np.float32(1.44269504088896341))
    r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
    polynomial = np.full_like(r, _EXP_COEFFICIENTS[0])
    for coefficient in _EXP_COEFFICIENTS[1:]:
        polynomial *= r
        polynomial += coefficient
    polynomial *= np.square(r)
    polynomial += r
    polynomial += 1
    result: Plane = np.ldexp(polynomial, n.astype(np.int32))
    return result


def gamma_map(rows: PaddedRows, looks: float) -> Plane:
    """Gamma MAP filter: the most likely power if scene and speckle are gamma-distributed (Lopes 1990).

    R = m if Ci ≤ Cu, and R = I if Ci ≥ √2 Cu. Between them, R = (b m + √(b² m² + 4 a L m I)) / 2a with
    a = (1 + Cu²)/(Ci² - Cu²) and b = a - L - 1.
    """
    mean, variance = local_mean_variance(rows)
    pixel = rows.center
    speckle_variance = np.float32(1 / looks)
    relative_variance = variance / np.maximum(np.square(mean), _TINY)
    a = (1 + speckle_variance) / np.maximum(relative_variance - speckle_variance, np.float32(1e-6))
    b = a - np.float32(looks + 1)
    root = np.sqrt(np.square(mean * b) + 4 * a * np.float32(looks) * mean * pixel)
    most_likely = (b * mean + root) / (2 * a)
    is_flat, is_target = relative_variance <= speckle_variance, relative_variance >= 2 * speckle_variance
    return np.where(is_flat, mean, np.where(is_target, pixel, most_likely))


FILTERS: Mapping[Filter, Callable[[PaddedRows, float], Plane]] = MappingProxyType(
    {"refined_lee": refined_lee, "lee": lee, "frost": frost, "gamma_map": gamma_map}
)
"""Kernels by name: from a block of rows and the number of looks to the filtered rows."""


def _offsets_by_squared_distance() -> dict[int, list[tuple[int, int]]]:
    """Group the offsets (row, column) of a 7 x 7 window, except its center, by squared distance in pixels."""
    groups: dict[int, list[tuple[int, int]]] = {}
    for row in range(-RADIUS, RADIUS + 1):
        for col in range(-RADIUS, RADIUS + 1):
            if row or col:
                groups.setdefault(row * row + col * col, []).append((row, col))
    return groups


_OFFSETS_BY_SQUARED_DISTANCE = _offsets_by_squared_distance()


def _sum_at_offsets(plane: Plane, offsets: list[tuple[int, int]]) -> Plane:
    """Return the sum of the neighbors at some offsets, for every pixel of a plane without its margin."""
    rows, cols = (length - 2 * RADIUS for length in plane.shape)
    total = np.zeros((rows, cols), dtype=np.float32)
    for row, col in offsets:
        total += plane[RADIUS + row : RADIUS + row + rows, RADIUS + col : RADIUS + col + cols]
    return total
