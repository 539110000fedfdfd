"""Native kernels of the speckle filters and the stretch, if the package was built with a C compiler.

They compute the same bits as their NumPy twins in ``speckle`` and ``stretch``, several times as fast, and release the
interpreter lock.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.core.box_sums import Plane
from sarlens.imagery.render.window_stats import SIDE
from sarlens.types.render_params import Filter

try:
    from sarlens.imagery.render import _kernels
except ImportError:
    NATIVE = False
else:
    NATIVE = True
    """Whether the native kernels are installed."""


def filter_plane(filter_name: Filter, power: Plane, valid: NDArray[np.bool_], mean: float, looks: float) -> Plane:
    """Filter one band whose mean is ``mean``; invalid pixels become 0.

    Args:
        filter_name: A filter other than ``none``.
        power: Linear power, of shape (row, column).
        valid: Mask of the same shape.
        mean: Mean of the valid pixels, above 0.
        looks: Equivalent number of looks.
    """
    filtered = np.empty(power.shape, dtype=np.float32)
    getattr(_kernels, filter_name)(*_contiguous(power, valid), filtered, *power.shape, mean, looks)
    return filtered


def relative_variances(power: Plane, valid: NDArray[np.bool_], mean: float) -> NDArray[np.float64]:
    """Return the relative variance of each block of 7 x 7 valid pixels, from left to right and from top to bottom."""
    rows, cols = power.shape
    blocks = np.empty((rows // SIDE) * (cols // SIDE))
    contiguous, mask = _contiguous(power, valid)
    _kernels.relative_variances(contiguous, mask, blocks, rows, cols, mean, 1)
    return blocks[blocks >= 0]


def _contiguous(power: Plane, valid: NDArray[np.bool_]) -> tuple[Plane, NDArray[np.bool_] | None]:
    """Return arrays as a kernel reads them; the mask is None if all pixels are valid."""
    mask = None if valid.all() else np.ascontiguousarray(valid)
    return np.ascontiguousarray(power, dtype=np.float32), mask


def scale_to_8_bits(band: Plane, black: float, factor: float) -> NDArray[np.uint8]:
    """Return ``(band - black) * factor``, rounded and clipped to 8 bits."""
    brightness = np.empty(band.shape, dtype=np.uint8)
    _kernels.scale_to_8_bits(np.ascontiguousarray(band, dtype=np.float32), brightness, black, factor)
    return brightness


def values_between(values: NDArray[np.float32], low: np.float32, high: np.float32) -> tuple[int, NDArray[np.float32]]:
    """Return the number of values below ``low``, and the values from ``low`` to ``high`` in their order.

    The values are finite and of shape (value,). If more than an eighth of them are between the two, the result is all.
    """
    if not NATIVE:
        return int(np.count_nonzero(values < low)), values[(values >= low) & (values <= high)]
    nearby = np.empty(values.size // 8 + 16, dtype=np.float32)
    below, found = _kernels.values_between(values, nearby, float(low), float(high))
    return (below, nearby[:found]) if found >= 0 else (0, values)
