"""What do the numbers mean? Told by the caller, or recognised from their type and values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import BadRequest
from sarlens.imagery.raster import Quantity
from sarlens.request import Scale

_SAMPLE = 2**16
_DECIBELS = (-120.0, 80.0)


def recognise(pixels: NDArray[Any], valid: NDArray[np.bool_], stored: np.dtype[Any], scale: Scale) -> Quantity:
    """The quantity of pixels.

    Args:
        pixels: (band, row, col), after the file's own scale and offset.
        valid: (row, col), which of them were measured.
        stored: the type of number that the file stores.
        scale: what the caller says: ``db``, ``linear``, or ``auto`` to look at the numbers.

    Complex numbers are COMPLEX, 8-bit numbers a PICTURE. Others are DECIBEL where at least a tenth of them lies
    below -1, which linear power never does but for noise, and where they stay between -120 and 80; without such
    negative numbers, floating point is INTENSITY and whole numbers are AMPLITUDE.

    Raises:
        BadRequest: the numbers fit none of these, so that the caller has to say what they are.
    """
    if stored.kind == "c":
        if scale == "db":
            raise BadRequest('Complex pixels are linear, so "scale" cannot be "db".', param="sar.scale")
        return Quantity.COMPLEX
    if scale == "db":
        return Quantity.DECIBEL
    linear = Quantity.INTENSITY if stored.kind == "f" else Quantity.AMPLITUDE
    if scale == "linear":
        return linear
    if stored == np.uint8:
        return Quantity.PICTURE
    return linear if pixels.dtype.kind == "u" else _from_values(pixels[:, valid].ravel(), linear)


def _from_values(measured: NDArray[Any], linear: Quantity) -> Quantity:
    sample = measured[:: max(1, measured.size // _SAMPLE)]
    if not sample.size or np.mean(sample <= -1) < 0.1:
        return linear
    low, high = np.percentile(sample, (1, 99))
    if _DECIBELS[0] <= low and high <= _DECIBELS[1]:
        return Quantity.DECIBEL
    raise BadRequest(
        f"The pixels lie between {low:g} and {high:g}, which is neither linear power nor a range of decibels. "
        'Say which with "scale": "linear" or "db".',
        param="sar.scale",
    )
