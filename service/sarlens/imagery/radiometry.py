"""From what a raster measures to power and decibels, and the average over looks in between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.raster import Quantity, Raster
from sarlens.request import Looks

_DECIBEL_LIMIT = 200.0
_FILL_SIDE = 5
_NEPER = np.float32(10 / np.log(10))


def detect(raster: Raster) -> Raster:
    """The linear power of a measurement: INTENSITY in float32, 0 where nothing was measured.

    Power is re² + im² of COMPLEX, the square of AMPLITUDE and 10^(x/10) of DECIBEL. Amplitudes below zero, decibels
    beyond ±200 and numbers that are not finite measure nothing. Nor do zeros that fill a square of 5 x 5 pixels:
    products are padded with them, while a dark pixel that rounds to zero has neighbours.
    """
    power, fit = _power(raster.pixels, raster.quantity)
    fit &= np.isfinite(power)
    valid = raster.valid & fit.all(axis=0)
    if raster.quantity is not Quantity.DECIBEL:
        valid &= ~_fill((power == 0).all(axis=0))
    if not valid.all():
        power = np.where(valid, power, np.float32(0))
    origin = raster.detected or raster.quantity
    return replace(raster, pixels=power, valid=valid, quantity=Quantity.INTENSITY, detected=origin)


def _power(pixels: NDArray[Any], quantity: Quantity) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Power, and where the pixels are numbers that can mean one."""
    with np.errstate(over="ignore", invalid="ignore"):
        if quantity is Quantity.COMPLEX:
            power = np.square(pixels.real, dtype=np.float32, casting="same_kind")
            power += np.square(pixels.imag, dtype=np.float32, casting="same_kind")
            return power, np.ones(power.shape, dtype=bool)
        values = pixels.astype(np.float32, copy=False)
        if quantity is Quantity.AMPLITUDE:
            return np.square(values), values >= 0
        if quantity is Quantity.DECIBEL:
            return np.exp(values / _NEPER), np.abs(values) <= _DECIBEL_LIMIT
        return values.copy(), np.ones(values.shape, dtype=bool)


def _fill(zero: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The zeros that lie in some square of zeros; outside the image counts as zero."""
    if not zero.any():
        return zero
    margin = _FILL_SIDE - 1
    squares = _slid(np.pad(zero, margin, constant_values=True), np.logical_and)
    return zero & _slid(squares, np.logical_or)


def _slid(mask: NDArray[np.bool_], join: np.ufunc) -> NDArray[np.bool_]:
    """A mask joined over each square, smaller by the margin of a square."""
    rows, cols = (side - _FILL_SIDE + 1 for side in mask.shape)
    tall = join.reduce([mask[start : start + rows] for start in range(_FILL_SIDE)])
    joined: NDArray[np.bool_] = join.reduce([tall[:, start : start + cols] for start in range(_FILL_SIDE)])
    return joined


def looks_across(shape: tuple[int, int], size: int) -> int:
    """How many pixels each way become one, so that about ``2 * size`` remain on the longest side; at least 1."""
    return max(1, round(max(shape) / (2 * size)))


def multilook(raster: Raster, looks: Looks) -> Raster:
    """The mean over looks, of the pixels that were measured.

    Takes INTENSITY, as ``detect`` gives it, or a PICTURE; cells at the right and the lower edge may hold fewer pixels.
    """
    if looks == (1, 1):
        return raster
    masked = not raster.valid.all()
    sums = _block_sums(np.where(raster.valid, raster.pixels, 0) if masked else raster.pixels, looks)
    if masked:
        counts = _block_sums(raster.valid[np.newaxis], looks)[0]
    else:
        rows, cols = (
            np.minimum(length, side - np.arange(0, side, length, dtype=np.float32))
            for side, length in zip(raster.shape, (looks.down, looks.across), strict=True)
        )
        counts = np.outer(rows, cols)
    sums /= np.maximum(counts, 1)
    pixels = np.rint(sums).astype(np.uint8) if raster.quantity is Quantity.PICTURE else sums
    return replace(raster, pixels=pixels, valid=counts > 0)


def averaged(raster: Raster, looks: Looks | None) -> Raster:
    """The power of a measurement, averaged over the looks that are asked for; a PICTURE stays as it is."""
    if looks is None or raster.quantity is Quantity.PICTURE:
        return raster
    return multilook(detect(raster), looks)


def _block_sums(planes: NDArray[Any], looks: Looks) -> NDArray[np.float32]:
    """Sums over blocks of (band, row, col), by adding strided views."""
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


def decibels(raster: Raster) -> Raster:
    """Ten times the decimal logarithm of INTENSITY; power that is not above zero measures nothing."""
    valid = raster.valid & (raster.pixels > 0).all(axis=0)
    level = np.log(np.where(valid, raster.pixels, np.float32(1)))
    level *= _NEPER
    return replace(raster, pixels=level, valid=valid, quantity=Quantity.DECIBEL)
