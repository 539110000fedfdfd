"""Lookup tables of Sentinel-1 annotation: gain and thermal noise on a grid of azimuth lines and range pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationLut:
    """A lookup table on a sparse grid of azimuth lines and range pixels.

    A position refers to the center of a pixel, and position 0 to the center of the first pixel.
    """

    azimuth_lines: Values
    """Azimuth lines (image rows) of the grid, strictly increasing."""
    range_pixels: tuple[Values, ...]
    """Range pixels (image columns) on each azimuth line, strictly increasing."""
    values: tuple[Values, ...]
    """Values on each azimuth line, one for each range pixel."""

    @property
    def nbytes(self) -> int:
        """Size of the table in bytes."""
        return sum(array.nbytes for array in (self.azimuth_lines, *self.range_pixels, *self.values))

    def interpolate(self, azimuth_lines: Values, range_pixels: Values) -> Values:
        """Return values of shape (azimuth line, range pixel) by bilinear interpolation.

        The table is interpolated along range first and then between azimuth lines. Outside the grid, the nearest
        value of the table is repeated.
        """
        lut_lines = np.array(
            [np.interp(range_pixels, xs, ys) for xs, ys in zip(self.range_pixels, self.values, strict=True)]
        )
        position = np.interp(azimuth_lines, self.azimuth_lines, np.arange(len(self.azimuth_lines)))
        low = np.minimum(position.astype(int), max(0, len(self.azimuth_lines) - 2))
        high = np.minimum(low + 1, len(self.azimuth_lines) - 1)
        weight = (position - low)[:, np.newaxis]
        values: Values = lut_lines[low] * (1 - weight) + lut_lines[high] * weight
        return values

    def covers(self, last_line: int, last_pixel: int) -> bool:
        """Return whether the table ends at most one grid step before this azimuth line and range pixel."""
        line_step, pixel_step = (np.diff(axis).max(initial=1) for axis in (self.azimuth_lines, self.range_pixels[0]))
        return bool(
            self.azimuth_lines[-1] + line_step >= last_line and self.range_pixels[0][-1] + pixel_step >= last_pixel
        )


@dataclass(frozen=True, slots=True, eq=False)
class AzimuthNoiseBlock:
    """Variation of the thermal noise along azimuth in one part of the image (``noiseAzimuthVector``).

    The bounds are inclusive, and infinite if the annotation has none.
    """

    first_azimuth_line: float
    last_azimuth_line: float
    first_range_sample: float
    last_range_sample: float
    azimuth_lines: Values
    """Azimuth lines of ``values``, strictly increasing."""
    values: Values
    """Factors of the noise along range, dimensionless."""

    def apply(self, noise: Values, azimuth_lines: Values, range_pixels: Values) -> None:
        """Multiply ``noise`` of shape (azimuth line, range pixel) in place, inside the block."""
        rows = (azimuth_lines >= self.first_azimuth_line - 0.5) & (azimuth_lines < self.last_azimuth_line + 0.5)
        cols = (range_pixels >= self.first_range_sample - 0.5) & (range_pixels < self.last_range_sample + 0.5)
        factors = np.interp(azimuth_lines[rows], self.azimuth_lines, self.values)
        noise[np.ix_(rows, cols)] *= factors[:, np.newaxis]
