"""A factor that changes over an image: a polynomial of the distance from a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.polynomial import polygrid2d
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """``coefficients`` (power of rows, power of columns) of distances in metres, as SICD's scale factors are.

    ``origin`` is the pixel (row, col) from whose centre they are measured, ``spacing`` is metres between pixels.
    """

    coefficients: Values
    origin: tuple[float, float]
    spacing: tuple[float, float]

    def at(self, rows: Values, cols: Values) -> Values:
        """The factor (row, col) at centres of pixels."""
        x, y = ((at - zero) * step for at, zero, step in zip((rows, cols), self.origin, self.spacing, strict=True))
        return np.asarray(polygrid2d(x, y, self.coefficients), dtype=np.float64)
