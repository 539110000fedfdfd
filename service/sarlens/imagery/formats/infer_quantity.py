"""Inference of the physical quantity of pixels, from the request, their type and their values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import BadRequest
from sarlens.imagery.core.raster import Quantity
from sarlens.types.render_params import Scale

_MIN_SAMPLES = 2**16
_NEGATIVE_SHARE = 0.1
"""Share of values of at most -1 that rules out linear power, which is below 0 only by noise."""
_DECIBEL_RANGE_DB = (-120.0, 80.0)
"""Range of the 1st and the 99th percentile of decibels."""


def infer_quantity(pixels: NDArray[Any], valid: NDArray[np.bool_], dtype: np.dtype[Any], scale: Scale) -> Quantity:
    """Infer the quantity of pixels.

    Complex numbers are COMPLEX, and 8-bit numbers are BRIGHTNESS. Other numbers are DECIBEL if at least a tenth of them
    are -1 or less, and if they range from -120 to 80. Without such negative numbers, floating-point numbers are
    INTENSITY and integers AMPLITUDE.

    Args:
        pixels: Values of shape (band, row, col), after the file's scale and offset.
        valid: Valid pixels, of shape (row, col).
        dtype: Type of the stored numbers.
        scale: ``db`` or ``linear`` if the request states it, ``auto`` to infer it from the values.

    Raises:
        BadRequest: The values match no quantity, so the request must state the scale; or ``db`` of complex numbers.
    """
    if dtype.kind == "c":
        if scale == "db":
            raise BadRequest('Complex pixels are linear, so "scale" can\'t be "db".', param="sar.scale")
        return Quantity.COMPLEX
    if scale == "db":
        return Quantity.DECIBEL
    linear = Quantity.INTENSITY if dtype.kind == "f" else Quantity.AMPLITUDE
    if scale == "linear":
        return linear
    if dtype == np.uint8:
        return Quantity.BRIGHTNESS
    return linear if pixels.dtype.kind == "u" else _infer_from_values(pixels[:, valid].ravel(), linear)


def _infer_from_values(values: NDArray[Any], linear: Quantity) -> Quantity:
    """Return DECIBEL or ``linear``, from at least 65,536 evenly spaced values if there are that many."""
    sample = values[:: max(1, values.size // _MIN_SAMPLES)]
    if not sample.size or np.mean(sample <= -1) < _NEGATIVE_SHARE:
        return linear
    low, high = np.percentile(sample, (1, 99))
    if _DECIBEL_RANGE_DB[0] <= low and high <= _DECIBEL_RANGE_DB[1]:
        return Quantity.DECIBEL
    raise BadRequest(
        f"The pixels range from {low:g} to {high:g}, which is neither linear power nor decibels. "
        'Set "scale" to "linear" or "db".',
        param="sar.scale",
    )
