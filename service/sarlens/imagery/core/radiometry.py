"""Detection of power, multilooking and decibels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.types.window import Looks

_DECIBEL_LIMIT = 200.0
_FILL_SIDE = 5
_NEPER = np.float32(10 / np.log(10))


def detect(raster: Raster) -> Raster:
    """Compute linear power: INTENSITY in float32, and 0 for invalid pixels.

    Power is re² + im² of COMPLEX, the square of AMPLITUDE and 10^(x/10) of DECIBEL. Amplitudes below 0, decibels
    beyond ±200 and values that aren't finite are invalid. Products are padded with zeros, so zeros that fill a square
    of 5 x 5 pixels are invalid too; a dark pixel that rounds to zero has neighbors above zero.
    """
    power, usable = _power(raster.pixels, raster.quantity)
    usable &= np.isfinite(power)
    valid = raster.valid & usable.all(axis=0)
    if raster.quantity is not Quantity.DECIBEL:
        valid &= ~_nodata_mask((power == 0).all(axis=0))
    if not valid.all():
        power = np.where(valid, power, np.float32(0))
    origin = raster.quantity_before_detection or raster.quantity
    return replace(raster, pixels=power, valid=valid, quantity=Quantity.INTENSITY, quantity_before_detection=origin)


def _power(pixels: NDArray[Any], quantity: Quantity) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Power, and the mask of pixels whose value is in the range of the quantity."""
    with np.errstate(over="ignore", invalid="ignore"):
        if quantity is Quantity.COMPLEX:
            power = np.square(pixels.real, dtype=np.float32, casting="same_kind")
            power += np.square(pixels.imag, dtype=np.float32, casting="same_kind")
            return power, np.ones(power.shape, dtype=bool)
        values = pixels.astype(np.float32, copy=False)
        if quantity is Quantity.AMPLITUDE:
            in_range = values >= 0
            return np.square(values, out=None if values is pixels else values), in_range
        if quantity is Quantity.DECIBEL:
            return np.exp(values / _NEPER), np.abs(values) <= _DECIBEL_LIMIT
        return values.copy(), np.ones(values.shape, dtype=bool)


def _nodata_mask(zero: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The zeros that belong to a square of zeros; pixels outside the image count as zero."""
    if not zero.any():
        return zero
    margin = _FILL_SIDE - 1
    squares = _sliding_reduce(np.pad(zero, margin, constant_values=True), np.logical_and)
    return zero & _sliding_reduce(squares, np.logical_or)


def _sliding_reduce(mask: NDArray[np.bool_], join: np.ufunc) -> NDArray[np.bool_]:
    """Join a mask over each square; the result is smaller by the margin of a square."""
    rows, cols = (side - _FILL_SIDE + 1 for side in mask.shape)
    tall = join.reduce([mask[start : start + rows] for start in range(_FILL_SIDE)])
    joined: NDArray[np.bool_] = join.reduce([tall[:, start : start + cols] for start in range(_FILL_SIDE)])
    return joined


def looks_for_size(shape: tuple[int, int], size: int) -> int:
    """Looks along each axis, at least 1, so that the longest side has about ``2 * size`` pixels."""
    return max(1, round(max(shape) / (2 * size)))


def multilook(raster: Raster, looks: Looks) -> Raster:
    """Average the valid pixels of each block of looks.

    The raster is INTENSITY, as ``detect`` returns it, or BRIGHTNESS. Blocks at the right and lower edge can be smaller.
    """
    if looks == (1, 1):
        return raster
    masked = not raster.valid.all()
    sums = block_sums(np.where(raster.valid, raster.pixels, 0) if masked else raster.pixels, looks)
    if masked:
        counts = block_sums(raster.valid[np.newaxis], looks)[0]
    else:
        rows, cols = (
            np.minimum(length, side - np.arange(0, side, length, dtype=np.float32))
            for side, length in zip(raster.shape, (looks.down, looks.across), strict=True)
        )
        counts = np.outer(rows, cols)
    sums /= np.maximum(counts, 1)
    pixels = np.rint(sums).astype(np.uint8) if raster.quantity is Quantity.BRIGHTNESS else sums
    return replace(raster, pixels=pixels, valid=counts > 0)


def apply_looks(raster: Raster, looks: Looks | None) -> Raster:
    """Detect power and average it over the requested looks; BRIGHTNESS is returned unchanged."""
    if looks is None or raster.quantity is Quantity.BRIGHTNESS:
        return raster
    return multilook(detect(raster), looks)


def block_sums(planes: NDArray[Any], looks: Looks) -> NDArray[np.float32]:
    """Sums over blocks of planes (band, row, col), by adding strided views."""
    bands, rows, cols = planes.shape
    tall = np.zeros((bands, -(-rows // looks.down), cols), dtype=np.float32)
    for start in range(looks.down):
        part = planes[:, start :: looks.down]
        tall[:, : part.shape[1]] += part
    sums = np.zeros((bands, tall.shape[1], -(-cols // looks.across)), dtype=np.float32)
    for start in range(looks.across):
        part = tall[:, :, start :: looks.across]
        sums[:, :, : part.shape[2]] += part
    return sums


def to_db(raster: Raster) -> Raster:
    """Ten times the decimal logarithm of INTENSITY; pixels without power are invalid."""
    valid = raster.valid & (raster.pixels > 0).all(axis=0)
    level = np.log(raster.pixels if valid.all() else np.where(valid, raster.pixels, np.float32(1)))
    level *= _NEPER
    return replace(raster, pixels=level, valid=valid, quantity=Quantity.DECIBEL)
