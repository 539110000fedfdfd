"""Scale factors that vary over an image: a polynomial of the distance from a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.polynomial import polygrid2d
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ScaleFactorPolynomial:
    """A two-dimensional polynomial of distances in meters, as the scale factors of SICD (volume 1, Radiometric)."""

    coefficients: Values
    """Coefficients with shape (power of the row distance, power of the column distance)."""
    origin: tuple[float, float]
    """Pixel (row, col) whose center has distance 0."""
    spacing: tuple[float, float]
    """Meters between pixels along a column and along a row."""

    def at(self, rows: Values, cols: Values) -> Values:
        """The factor at all pairs of rows and columns, with shape (row, col)."""
        x, y = (rows - self.origin[0]) * self.spacing[0], (cols - self.origin[1]) * self.spacing[1]
        return np.asarray(polygrid2d(x, y, self.coefficients), dtype=np.float64)
