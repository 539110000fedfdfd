"""Conversion of decibels to 8-bit brightness: composites, and the stretch between percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, floor, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import NoValidPixels
from sarlens.imagery.core.raster import Quantity, Raster, stack_planes
from sarlens.imagery.render import kernels

_MIN_CONTRAST_DB = 1e-3
"""Smallest difference in decibels between black and white."""
_SAMPLES = 8192
"""Values from which the neighborhood of a percentile is estimated."""
_MARGIN = 4
"""Half of the neighborhood, in standard deviations of a sample's quantile."""
_LOWEST, _HIGHEST = np.finfo(np.float32).min, np.finfo(np.float32).max


def composite(raster: Raster) -> Raster:
    """Add a third band to a raster of two: their ratio, which is the difference of DECIBEL.

    In an 8-bit image, the third band is half the difference plus 128. One band or three are returned unchanged.
    """
    if len(raster.bands) != 2:
        return raster
    first, second = raster.pixels
    if raster.quantity is Quantity.BRIGHTNESS:
        ratio = ((first.astype(np.int16) - second + 256) // 2).astype(np.uint8)
    else:
        ratio = first - second
    names = (*raster.bands, "/".join(raster.bands))
    return replace(raster, pixels=np.stack([first, second, ratio]), bands=names)


class Limits(NamedTuple):
    """The values in decibels that become black and white."""

    black: float
    """Value that becomes 0."""
    white: float
    """Value that becomes 255."""


def stretch(raster: Raster, percentiles: tuple[float, float]) -> Raster:
    """Stretch each band of DECIBEL linearly to 8 bits, from black at the first percentile to white at the second.

    Percentiles are those of the valid pixels. Values outside them are clipped. A band without contrast is mid-gray.
    Invalid pixels are 0.

    Raises:
        NoValidPixels: The raster has no valid pixel.
    """
    return apply_limits(raster, stretch_limits(raster, percentiles))


def stretch_limits(raster: Raster, percentiles: tuple[float, float]) -> tuple[Limits, ...]:
    """Return the percentiles of the valid pixels of each band, at least ``_MIN_CONTRAST_DB`` apart.

    Raises:
        NoValidPixels: The raster has no valid pixel.
    """
    if not raster.valid.any():
        raise NoValidPixels("The window has no valid pixel: every pixel is nodata, zero or not a number.")
    all_valid = bool(raster.valid.all())
    return tuple(_band_limits(band if all_valid else band[raster.valid], percentiles) for band in raster.pixels)


def apply_limits(raster: Raster, limits: Sequence[Limits]) -> Raster:
    """Stretch each band of DECIBEL linearly to 8 bits between its limits. Invalid pixels are 0."""
    pixels = stack_planes([_scale_band(band, *between) for band, between in zip(raster.pixels, limits, strict=True)])
    if not raster.valid.all():
        pixels *= raster.valid
    return replace(raster, pixels=pixels, quantity=Quantity.BRIGHTNESS)


def _band_limits(valid_values: NDArray[np.float32], percentiles: tuple[float, float]) -> Limits:
    values = np.ascontiguousarray(valid_values).ravel()
    sample = np.sort(values[:: values.size // _SAMPLES | 1])
    black, white = (_percentile(values, sample, percent) for percent in percentiles)
    if white - black < _MIN_CONTRAST_DB:
        black, white = black - _MIN_CONTRAST_DB / 2, white + _MIN_CONTRAST_DB / 2
    return Limits(black, white)


def _scale_band(band: NDArray[np.float32], black: float, white: float) -> NDArray[np.uint8]:
    factor = 255 / (white - black)
    if kernels.NATIVE:
        return kernels.scale_to_8_bits(band, black, factor)
    brightness = band - np.float32(black)
    brightness *= np.float32(factor)
    brightness += np.float32(0.5)
    return np.clip(brightness, 0, 255, out=brightness).astype(np.uint8)


def _percentile(values: NDArray[np.float32], sample: NDArray[np.float32], percent: float) -> float:
    """Return NumPy's percentile, linear between two values. ``sample`` has some of the values, sorted."""
    position = percent / 100 * (values.size - 1)
    rank = int(position)
    below, nearby = _nearby_values(values, sample, rank)
    partitioned = np.partition(nearby, rank - below)
    low, high = float(partitioned[rank - below]), float(partitioned[rank - below + 1 :].min(initial=np.inf))
    return low if position == rank else low + (high - low) * (position - rank)


def _nearby_values(
    values: NDArray[np.float32], sample: NDArray[np.float32], rank: int
) -> tuple[int, NDArray[np.float32]]:
    """Narrow a search for the value of a rank, and the next one, to the values between two quantiles of a sample.

    They are few: partitioning all values takes 5 to 20 times as long as their comparison with two numbers.

    Returns:
        The number of values below those returned, and the values. All are returned if the sample misjudges the rank.
    """
    share = rank / values.size
    margin = _MARGIN * sqrt(sample.size * share * (1 - share)) + 1
    first, last = floor(share * sample.size - margin), ceil(share * sample.size + margin)
    low = sample[first] if first >= 0 else _LOWEST
    high = sample[last] if last < sample.size else _HIGHEST
    below, nearby = kernels.values_between(values, low, high)
    found = 0 <= rank - below < len(nearby) - 1
    return (below, nearby) if found else (0, values)
